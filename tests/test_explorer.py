"""The explorer's menus, by themselves and in JupyterLab."""

import json
import shutil
import warnings

import pandas as pd
import pytest
from browser import CHROMIUM, Browser, jupyterlab
from fakes import CHESS, JOKE
from test_results_browser import copied

from valuestab_utils.answer_table import answer_table
from valuestab_utils.explorer import Explorer, explore
from valuestab_utils.paths import ROOT
from valuestab_utils.rank_lines_plot import as_svg, rank_lines


@pytest.fixture
def explorer(results):
    explorer = Explorer(results)
    explorer.respondent.value = ("control-synthetic", "tuned_sys")
    return explorer


def test_every_menu_changes_what_is_shown(explorer):
    assert explorer.message.value == "" and explorer.plot.layout.display is None
    assert CHESS.first_message in explorer.behind.value
    for menu in (explorer.value, explorer.seed, explorer.persona, explorer.context):
        before = explorer.plot.value, explorer.behind.value
        menu.value = next(value for _, value in menu.options if value != menu.value)
        assert explorer.plot.value != before[0] and explorer.behind.value != before[1]
    assert JOKE.first_message in explorer.behind.value
    explorer.context.value = "no_conversation"
    assert "No conversation came before" in explorer.behind.value


def test_what_was_chosen_stays_where_the_next_model_has_it(explorer):
    explorer.value.value, explorer.persona.value, explorer.seed.value = "Hedonism", "Gollum", 2
    explorer.respondent.value = ("control-random", "tuned_sys")
    assert (explorer.value.value, explorer.persona.value, explorer.seed.value) == ("Hedonism", "Gollum", 2)
    assert [label for label, _ in explorer.questions.options] == [
        "PVQ-40-project after 3 messages",
        "Donation-5-of-100-questions after 3 messages",
    ]
    explorer.questions.value = "Donation-5-of-100-questions after 3 messages"
    assert explorer.value.value == "elf" and "elf" in explorer.behind.value


def test_the_shown_persona_and_its_point_stand_out(explorer):
    plot = bytes(explorer.plot.value).decode()
    assert plot.count("0072b2") and all(f">{name}</text>" in plot for name, _ in explorer.persona.options)
    assert "rank on Self-Direction (1 = highest)" in plot


def test_names_stand_apart_where_ranks_are_tied_and_in_any_script():
    ranks = pd.DataFrame({"joke": [1.5, 1.5, 3.0], "chess": [2.0, 2.0, 2.0]}, index=["Gandalf", "孔子", "Sauron"])
    figure = rank_lines(ranks, "Power", "Gandalf", "joke")
    names = figure.axes[1]
    assert [text.get_text() for text in names.get_yticklabels()] == ["Gandalf", "孔子", "Sauron"]
    assert list(names.get_yticks()) == [1, 2, 3]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        once, again = as_svg(figure), as_svg(rank_lines(ranks, "Power", "Gandalf", "joke"))
    assert once == again and "孔子" in once.decode()


def test_models_of_the_same_label_can_be_told_apart(results, tmp_path):
    for owner in ("one", "two"):
        shutil.copytree(results / "control-synthetic", tmp_path / f"{owner}--model")
    labels = [label for label, _ in Explorer(tmp_path).respondent.options]
    assert labels == ["one--model, tuned_sys", "two--model, tuned_sys"]


def test_texts_are_no_markup(results, tmp_path):
    stored = copied(results, tmp_path)
    name = "A$AP <script>alert(1)</script> ^^$"
    conversations = stored.path.parent.parent / "conversations"
    for file in [*stored.path.glob("*.parquet"), *conversations.glob("*.parquet")]:
        frame = pd.read_parquet(file)
        frame.replace({"persona": {"Gandalf": name}}).to_parquet(file)
    explorer = Explorer(tmp_path)
    explorer.persona.value = name
    assert "A$AP &lt;script&gt;" in bytes(explorer.plot.value).decode()
    assert "<script" not in explorer.behind.value + explorer.message.value + bytes(explorer.plot.value).decode()
    row = {"item": 1, "question": "<i>?", "letter": "<u>", "code": 1, "answer": "<b>", "options": ("<b>",)}
    table = answer_table(pd.DataFrame([row | {"probabilities": (0.5,), "letter_mass": 0.5, "near_tie": False}]))
    assert not any(tag in table for tag in ("<i>", "<u>", "<b></td>", "1 <b>")) and "&lt;b&gt;" in table


def test_missing_answers_and_unknown_probabilities_are_told():
    row = {"item": 1, "question": "", "letter": "", "code": float("nan"), "answer": "", "options": ()}
    probabilities = (0.25, float("nan"))
    table = answer_table(pd.DataFrame([row | {"probabilities": probabilities, "letter_mass": 0.25, "near_tie": False}]))
    assert "<td>missing</td>" in table and ">25%<" in table and ">?<" in table
    assert "The wording that was asked is not here." in table


def test_an_empty_folder_is_said_until_there_is_something(results, tmp_path):
    explorer = Explorer(tmp_path)
    assert "There are no answers in" in explorer.message.value and explorer.plot.layout.display == "none"
    copied(results, tmp_path)
    explorer.again.click()
    assert explorer.message.value == "" and explorer.plot.value
    assert "There are no answers in" in explore(tmp_path / "nowhere").children[3].value
    assert "There are no answers in 2024" in explore(2024).children[3].value


def test_a_damaged_file_is_said_and_the_others_are_shown(results, tmp_path):
    stored = copied(results, tmp_path)
    shutil.copytree(results / "control-random", tmp_path / "control-random")
    next(stored.path.glob("*.parquet")).write_bytes(b"nothing")
    explorer = Explorer(tmp_path)
    explorer.respondent.value = ("control-synthetic", "tuned_sys")
    assert "cannot be read" in explorer.message.value and explorer.plot.value == b"" and explorer.behind.value == ""
    assert explorer.value.options == () and explorer.plot.layout.display == "none"
    explorer.respondent.value = ("control-random", "tuned_sys")
    assert explorer.message.value == "" and explorer.value.value == "Self-Direction"


def test_an_unfinished_run_is_said(results, tmp_path):
    stored = copied(results, tmp_path)
    next(stored.path.glob("chess-seed1-Gandalf-*.parquet")).unlink()
    next((stored.path.parent.parent / "conversations").glob("joke-seed1-Gandalf-*.parquet")).unlink()
    explorer = Explorer(tmp_path)
    assert "Shown are 3 of 4" in explorer.message.value and "(Gandalf)" in explorer.message.value
    explorer.persona.value, explorer.context.value = "Gandalf", "chess"
    assert "has no answers in this context yet" in explorer.behind.value
    explorer.context.value = "joke"
    assert "have no result in" in explorer.behind.value and "No conversation came" not in explorer.behind.value
    assert "Answers on Self-Direction" in explorer.behind.value


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
def test_in_jupyterlab_a_menu_changes_the_plot(results, tmp_path):
    notebook = json.loads((ROOT / "notebooks" / "explorer.ipynb").read_text())
    for cell in notebook["cells"]:
        if "parameters" in cell["metadata"].get("tags", []):
            cell["source"] = [f"results_dir = {str(results)!r}"]
    (tmp_path / "explorer.ipynb").write_text(json.dumps(notebook))
    image = "document.querySelector('.jp-OutputArea img.widget-image')"
    drawn = f"{image}?.complete && {image}.naturalWidth > 300 && {image}.src"
    menu = "[...document.querySelectorAll('.widget-dropdown')].find(e => e.textContent.startsWith('Value'))"
    page = "document.body.innerText"
    with jupyterlab(tmp_path) as address, Browser(tmp_path / "browser") as browser:
        browser.send("Page.navigate", url=address("/lab/tree/explorer.ipynb"))
        browser.wait("window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'")
        browser.run("jupyterapp.commands.execute('notebook:run-all-cells').then(() => true)")
        first = browser.wait(drawn)
        assert "Answers on Self-Direction" in browser.run(page)
        browser.run(
            f"(menu => {{ menu.value = 'Hedonism'; menu.dispatchEvent(new Event('change', {{bubbles: true}})); }})"
            f"({menu}.querySelector('select'))"
        )
        browser.wait(f"{page}.includes('Answers on Hedonism') && {drawn} !== {first!r}")
        browser.screenshot(tmp_path / "explorer.png")
        assert "Traceback" not in browser.run(page)
