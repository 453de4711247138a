"""What a results folder holds, and the explorer's menus: damaged and unfinished runs too; texts are no markup."""

import shutil

import numpy as np
import pandas as pd
import pytest
from fakes import CHESS, JOKE, tidy_answers

from valuestab_utils.errors import ValuestabError
from valuestab_utils.prompts import load_questionnaire
from valuestab_utils.run.explorer import (
    Explorer,
    answer_table,
    answers_behind,
    conversation_behind,
    persona_ranks,
    personas_left_out,
    questionnaire_of,
    read_stored,
    show_chat,
    stored_answers,
)

PVQ = load_questionnaire("PVQ-40", "project")


def of(results, model, questions="PVQ"):
    return next(s for s in stored_answers(results) if s.model == model and s.instrument.startswith(questions))


def copied(results, tmp_path):
    """A copy of the synthetic control's folder of answers that may be spoilt, conversations included."""
    shutil.copytree(results / "control-synthetic", tmp_path / "control-synthetic")
    return of(tmp_path, "control-synthetic")


@pytest.fixture
def answers(results):
    return read_stored(of(results, "control-synthetic"))


def test_ranks_are_those_of_the_centred_scores(answers):
    ranks = persona_ranks(answers, "Power", 1)
    assert list(ranks.columns) == ["chess", "joke", "no_conversation"] and len(ranks) == 4
    rows = answers[(answers["seed"] == 1) & (answers["topic"] == "joke")]
    centre = rows.groupby("persona")["answer"].mean()
    score = rows[rows["value"] == "Power"].groupby("persona")["answer"].mean() - centre
    expected = (-score).rank()
    pd.testing.assert_series_equal(ranks["joke"].sort_index(), expected.sort_index(), check_names=False)
    assert ranks.mean(axis=1).is_monotonic_increasing


def test_ties_share_a_rank():
    frame = tidy_answers(n_personas=3)
    power = (frame["value"] == "Power") & (frame["persona"] != "p2")
    frame["answer"] = np.where(power, 6, 3)
    assert persona_ranks(frame, "Power", 1)["joke"].to_dict() == {"p0": 1.5, "p1": 1.5, "p2": 3.0}


def test_a_run_on_its_way_shows_who_was_asked_everywhere(answers):
    missing = answers.eval("persona == 'Gandalf' and topic == 'chess' and seed == 1")
    unfinished = answers[~missing]
    assert "Gandalf" not in persona_ranks(unfinished, "Power", 1).index
    assert personas_left_out(unfinished, 1) == ["Gandalf"]
    assert "Gandalf" in persona_ranks(unfinished, "Power", 2).index and personas_left_out(unfinished, 2) == []
    with pytest.raises(ValuestabError, match="No persona has answered in every context with seed 7"):
        persona_ranks(answers, "Power", 7)


def test_behind_a_point_are_its_conversation_and_answers(results, answers):
    stored = of(results, "control-synthetic")
    talk = conversation_behind(stored, answers, "Gandalf", "joke", 2)
    assert list(talk["message"]) == [0, 1, 2, 3] and talk["content"].iloc[0] == JOKE.first_message
    assert set(talk["persona"]) == {"Gandalf"} and set(talk["seed"]) == {2}
    assert conversation_behind(stored, answers, "Gandalf", "no_conversation", 2).empty
    found = answers_behind(answers, "Gandalf", "joke", 2, "Power")
    assert list(found["item"]) == [item.item for item in PVQ.items if item.value == "Power"]
    asked = answers.query("persona == 'Gandalf' and topic == 'joke' and seed == 2").set_index("item").loc[found["item"]]
    assert list(found["code"]) == list(asked["answer"])
    assert [answer.removesuffix(" (near-tie)") for answer in found["answer"]] == [
        PVQ.options[code - 1] for code in asked["answer"]
    ]
    assert found["question"].iloc[0] == PVQ.items[found["item"].iloc[0] - 1].portrait("M")
    first, row = found.iloc[0], asked.iloc[0]  # probabilities are those of the options, not of the letters
    for letter, code in zip("ABCDEF", row["option_order"], strict=True):
        assert first[code] == pytest.approx(np.exp(row[f"logprob_{letter}"]))


def test_tasks_have_their_own_scales_and_questions(results):
    answers = read_stored(of(results, "control-random", "Donation"))
    assert questionnaire_of(answers).scales == ("elf", "dwarf", "orc", "human", "hobbit")
    found = answers_behind(answers, "Gandalf", "joke", 1, "orc").iloc[0]
    orc = next(item for item in load_questionnaire("Donation", n_names=1).items if item.value == "orc")
    assert found["question"] == orc.male and found["answer"] == f"{2 * (found['code'] - 1)} coins"
    assert persona_ranks(answers, "orc", 1).shape == (4, 3)
    other = answers_behind(answers.assign(instrument_version="x"), "Gandalf", "joke", 1, "orc").iloc[0]
    assert other["question"] == ""  # none but the text that was asked


def test_a_conversation_that_is_lost_or_another_is_not_shown(results, tmp_path):
    stored = copied(results, tmp_path)
    answers = read_stored(stored)
    file = next((stored.path.parent.parent / "conversations").glob("joke-seed2-Gandalf-*.parquet"))
    pd.read_parquet(file).replace({"content": {JOKE.first_message: "Tell me two."}}).to_parquet(file)
    with pytest.raises(ValuestabError, match="joke-seed2-Gandalf-.*another conversation than the one before"):
        conversation_behind(stored, answers, "Gandalf", "joke", 2)
    file.unlink()
    with pytest.raises(ValuestabError, match="have no result in"):
        conversation_behind(stored, answers, "Gandalf", "joke", 2)


def test_every_menu_changes_what_is_shown(results):
    explorer = Explorer(results)
    explorer.stored.value = of(results, "control-synthetic")
    assert explorer.message.value == "" and explorer.plot.layout.display is None
    assert CHESS.first_message in explorer.behind.value
    for menu in (explorer.value, explorer.seed, explorer.persona, explorer.context):
        before = explorer.plot.value, explorer.behind.value
        menu.value = next(value for _, value in menu.options if value != menu.value)
        assert explorer.plot.value != before[0] and explorer.behind.value != before[1]
    assert JOKE.first_message in explorer.behind.value
    explorer.context.value = "no_conversation"
    assert "No conversation came before" in explorer.behind.value


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
    row = {"item": 1, "question": "<i>?", "answer": "<b>", "letter": "<u>", "code": 1, 1: 0.25, 2: float("nan")}
    table = answer_table(pd.DataFrame([row]))
    assert not any(tag in table for tag in ("<i>", "<u>", "<b>")) and "&lt;b&gt;" in table
    assert ">25%<" in table and ">?<" in table


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


def test_chat_shows_messages_as_text_and_never_as_html():
    rows = [
        ("interlocutor", 0, "Hi <b>you</b>", "given"),
        ("tested", 1, "<script>x</script>", "length"),
        ("interlocutor", 2, "", "eos"),
    ]
    frame = pd.DataFrame(rows, columns=["role", "message", "content", "finish"])
    frame[["model", "format", "population", "persona", "topic"]] = ["m", "base", "p", "Éowyn", "joke"]
    page = show_chat(frame.assign(seed=1)).data
    assert "&lt;script&gt;" in page and "<script>" not in page and "&lt;b&gt;you" in page
    assert "stopped at the length limit" in page and "(nothing)" in page
