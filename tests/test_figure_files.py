"""What is kept of a figure, and that nothing half-made or old looks like one."""

import json

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import yaml

from valuestab_utils.errors import ValuestabError
from valuestab_utils.figure_files import (
    REGISTRY,
    load_figures,
    read_record,
    save_figure,
    skip_figure,
)
from valuestab_utils.papers import FIRST, paper_of
from valuestab_utils.paths import ROOT

TABLE = pd.DataFrame({"model": ["a", "b"], "stability": [0.5, np.nan]})


def drawn():
    figure, axes = plt.subplots(figsize=(2, 1))
    axes.bar(["a"], [1])
    return figure


def names(folder):
    return {path.name for path in folder.iterdir()}


def test_registry_is_complete_unique_and_in_the_papers_order():
    every = load_figures()
    assert len(every) == len(yaml.safe_load(REGISTRY.read_text()))
    for name, entry in every.items():
        assert entry.asked.endswith("?") and entry.title
        assert (ROOT / "notebooks" / f"{entry.notebook}.ipynb").exists()
    figures = {name: entry for name, entry in every.items() if paper_of(entry.notebook).name == FIRST}
    own = ["message_lengths", "letter_probabilities", "letter_mass", "letters_chosen", "values"]
    assert set(own + ["balanced_orders", "retest"]) == {n for n, e in figures.items() if not e.paper}
    numbered = [n for n, e in figures.items() if e.paper and n not in ("table_1", "figure_11")]
    of_4_to_21 = "4a 4b 5 6 7 8a 8b 8c 9 10 12 13 14 15 16 17 18 19 20 21".split()
    assert numbered == [f"figure_{number}" for number in of_4_to_21]
    for name, entry in figures.items():
        assert not entry.paper or entry.paper.lower().replace(" ", "_") == name
    sections = [entry.section for entry in every.values()]
    assert len(set(sections)) == sum(
        a != b for a, b in zip(sections, ["", *sections[:-1]], strict=True)
    )  # each in one piece


def test_every_registered_figure_is_made_by_the_notebook_that_it_names():
    for name, entry in load_figures().items():
        cells = json.loads((ROOT / "notebooks" / f"{entry.notebook}.ipynb").read_text())["cells"]
        code = "".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        assert f'"{name}"' in code, f"{entry.notebook} does not make {name}"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"asked": None}, "each a text"),
        ({"extra": "x"}, "has the keys .*extra"),
        ({"name": "a/b"}, "no name of letters"),
        ({"notebook": "stability"}, "not called like"),
    ],
)
def test_registry_with_a_wrong_entry_is_refused(tmp_path, change, told):
    entry = yaml.safe_load(REGISTRY.read_text())[0] | change
    (tmp_path / "figures.yaml").write_text(yaml.safe_dump([entry]))
    with pytest.raises(ValuestabError, match=told):
        load_figures(tmp_path / "figures.yaml")


def test_registry_with_a_name_twice_is_refused(tmp_path):
    entry = yaml.safe_load(REGISTRY.read_text())[0]
    (tmp_path / "figures.yaml").write_text(yaml.safe_dump([entry, entry]))
    with pytest.raises(ValuestabError, match="'table_1' in figures.yaml .* once"):
        load_figures(tmp_path / "figures.yaml")


def test_figure_is_saved_with_its_data_and_what_it_shows(tmp_path):
    figure = drawn()
    about = {"sample": "5 personas", "n": np.int64(5), "alpha": 0.05}
    given = save_figure(figure, TABLE, "figure_4a", tmp_path / "new", "r is 0.5.", about)
    assert given is figure and not plt.fignum_exists(figure.number)
    assert names(tmp_path / "new") == {f"figure_4a.{ending}" for ending in ("png", "pdf", "csv", "json")}
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "new" / "figure_4a.csv"), TABLE)
    record = read_record("figure_4a", tmp_path / "new")
    assert (record.name, record.found, record.skipped) == ("figure_4a", "r is 0.5.", "")
    assert record.about == {"sample": "5 personas", "n": 5, "alpha": 0.05}
    assert record.files == ("figure_4a.png", "figure_4a.pdf", "figure_4a.csv")


def test_four_arguments_are_enough(tmp_path):
    save_figure(drawn(), TABLE, "values", tmp_path)
    assert read_record("values", tmp_path).found == ""


def test_text_and_table_without_a_picture(tmp_path):
    save_figure(drawn(), TABLE, "figure_11", tmp_path)
    assert save_figure(None, TABLE, "figure_11", tmp_path, "2 formats.", text="You are Éowyn.") is None
    assert names(tmp_path) == {"figure_11.csv", "figure_11.txt", "figure_11.json"}
    assert (tmp_path / "figure_11.txt").read_text(encoding="utf-8") == "You are Éowyn."


def test_unknown_name_is_told_with_the_nearest(tmp_path):
    with pytest.raises(ValuestabError, match="Unknown figure 'figure_4'. Did you mean 'figure_4"):
        save_figure(None, TABLE, "figure_4", tmp_path)
    with pytest.raises(ValuestabError, match="Did you mean 'retest'"):
        skip_figure("retests", tmp_path, "Too few.")
    assert names(tmp_path) == set()


@pytest.mark.parametrize("value", [float("nan"), None, ["a"], {"a": 1}])
def test_what_is_kept_about_a_figure_is_text_or_numbers(tmp_path, value):
    with pytest.raises(ValuestabError, match="'sample' of values is .* text or a finite number"):
        save_figure(None, TABLE, "values", tmp_path, about={"sample": value})


def test_failed_drawing_leaves_nothing_that_looks_current(tmp_path):
    save_figure(drawn(), TABLE, "figure_5", tmp_path, "Old.")
    save_figure(drawn(), TABLE, "figure_6", tmp_path, "Another.")

    class Broken(matplotlib.figure.Figure):
        def savefig(self, path, **_):
            if str(path).endswith(".pdf"):
                raise MemoryError
            path.touch()

    with pytest.raises(MemoryError):
        save_figure(Broken(), TABLE, "figure_5", tmp_path, "New.")
    assert names(tmp_path) == {f"figure_6.{ending}" for ending in ("png", "pdf", "csv", "json")}
    assert read_record("figure_5", tmp_path) is None


def test_skipped_figure_says_why_and_takes_the_old_one_away(tmp_path):
    save_figure(drawn(), TABLE, "figure_10", tmp_path, "Old.")
    skip_figure("figure_10", tmp_path, "The profile has one topic.")
    assert names(tmp_path) == {"figure_10.json"}
    record = read_record("figure_10", tmp_path)
    assert (record.skipped, record.found, record.files) == ("The profile has one topic.", "", ())
    with pytest.raises(ValuestabError, match="figure_10 is left out without a reason"):
        skip_figure("figure_10", tmp_path, " ")


def test_record_that_is_none_is_refused(tmp_path):
    for text in ("{half", "[]", '{"name": "values"}', '{"name": "values", "files": [], "colour": 1}'):
        (tmp_path / "values.json").write_text(text)
        with pytest.raises(
            ValuestabError, match="values.json cannot be read .* run the notebook of values again"
        ):
            read_record("values", tmp_path)
