"""What a results folder holds, read without a model."""

import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from fakes import JOKE, tidy_answers

from valuestab_utils.errors import ValuestabError
from valuestab_utils.instruments import load_pvq40
from valuestab_utils.results_browser import (
    answers_behind,
    conversation_behind,
    induced,
    persona_ranks,
    personas_left_out,
    read_answers,
    stored_answers,
    values_of,
)
from valuestab_utils.tasks import load_task

PVQ = load_pvq40("project")


def of(results, model, questions="PVQ"):
    return next(s for s in stored_answers(results) if s.model == model and s.questions.startswith(questions))


def copied(results, tmp_path):
    """A copy of the synthetic control's folder of answers that may be spoilt, conversations included."""
    shutil.copytree(results / "control-synthetic", tmp_path / "control-synthetic")
    return of(tmp_path, "control-synthetic")


def test_all_folders_with_one_answer_an_item_are_listed(results, tmp_path):
    listed = [(stored.model, stored.questions) for stored in stored_answers(results)]
    assert listed == [
        ("control-random", "Donation-5-of-100-questions after 3 messages"),
        ("control-random", "PVQ-40-project after 3 messages"),
        ("control-synthetic", "PVQ-40-project after 3 messages"),
    ]
    assert stored_answers(tmp_path) == stored_answers(tmp_path / "nowhere") == []


def test_folders_are_in_the_order_of_their_lengths(tmp_path):
    for name in ("n11", "n3", "n3-second", "n3-balanced", "nothing"):
        folder = tmp_path / "m" / "base" / "none" / "PVQ-40-project" / name
        folder.mkdir(parents=True)
        (folder / "a.parquet").touch()
    ends = [stored.questions.removeprefix("PVQ-40-project after ") for stored in stored_answers(tmp_path)]
    assert ends == ["3 messages", "3 messages, second orders", "11 messages"]


def test_ranks_are_those_of_the_centred_scores(results):
    answers = read_answers(of(results, "control-synthetic"))
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
    frame["persona"] = frame["persona"].map({"p0": "a", "p1": "b", "p2": "c"})
    power = (frame["value"] == "Power") & (frame["persona"] != "c")
    frame["answer"] = np.where(power, 6, 3)
    assert persona_ranks(frame, "Power", 1)["joke"].to_dict() == {"a": 1.5, "b": 1.5, "c": 3.0}


def test_a_run_on_its_way_shows_who_was_asked_everywhere(results):
    answers = read_answers(of(results, "control-random"))
    unfinished = answers[~((answers["persona"] == "Gandalf") & (answers["topic"] == "chess") & (answers["seed"] == 1))]
    assert "Gandalf" not in persona_ranks(unfinished, "Power", 1).index
    assert personas_left_out(unfinished, 1) == ["Gandalf"]
    assert "Gandalf" in persona_ranks(unfinished, "Power", 2).index and personas_left_out(unfinished, 2) == []
    with pytest.raises(ValuestabError, match="No persona has answered in every context with seed 7"):
        persona_ranks(answers, "Power", 7)
    with pytest.raises(ValuestabError, match="Unknown value 'power'. Did you mean 'Power'"):
        persona_ranks(answers, "power", 1)


def test_without_persona_nobody_is_ordered():
    assert induced(tidy_answers()) and not induced(tidy_answers(population="none"))


def test_behind_a_point_are_its_conversation_and_answers(results):
    stored = of(results, "control-synthetic")
    answers = read_answers(stored)
    talk = conversation_behind(stored, answers, "Gandalf", "joke", 2)
    assert list(talk["message"]) == [0, 1, 2, 3] and talk["content"].iloc[0] == JOKE.first_message
    assert set(talk["persona"]) == {"Gandalf"} and set(talk["seed"]) == {2}
    assert conversation_behind(stored, answers, "Gandalf", "no_conversation", 2).empty
    found = answers_behind(answers, "Gandalf", "joke", 2, "Power")
    assert list(found["item"]) == [item.item for item in PVQ.items if item.value == "Power"]
    asked = answers.query("persona == 'Gandalf' and topic == 'joke' and seed == 2").set_index("item").loc[found["item"]]
    assert list(found["answer"]) == [PVQ.options[code - 1] for code in asked["answer"]]
    assert list(found["code"]) == list(asked["answer"])
    assert found["question"].iloc[0] == PVQ.items[found["item"].iloc[0] - 1].portrait("M")


def test_probabilities_are_those_of_the_options_not_of_the_letters(results):
    answers = read_answers(of(results, "control-synthetic"))
    found = answers_behind(answers, "Gandalf", "joke", 2, "Power").iloc[0]
    row = answers.query(f"persona == 'Gandalf' and topic == 'joke' and seed == 2 and item == {found['item']}").iloc[0]
    for letter, code in zip("ABCDEF", row["option_order"], strict=True):
        assert found["probabilities"][code - 1] == pytest.approx(np.exp(row[f"logprob_{letter}"]))
    assert int(np.argmax(found["probabilities"])) + 1 == found["code"]
    assert sum(found["probabilities"]) == pytest.approx(found["letter_mass"])


def test_missing_answers_are_told(results):
    answers = read_answers(of(results, "control-synthetic"))
    answers["answer"] = answers["answer"].astype(float)
    answers.loc[answers["value"] == "Power", ["answer", "letter", "logprob_A"]] = [np.nan, "", np.nan]
    found = answers_behind(answers, "Gandalf", "joke", 2, "Power")
    assert (found["answer"] == "").all() and found["code"].isna().all()
    assert all(np.isnan(p).sum() == 1 for p in found["probabilities"])


def test_a_question_is_shown_only_in_the_text_that_was_asked(results):
    answers = read_answers(of(results, "control-synthetic"))
    for changed in ({"instrument_version": "of long ago"}, {"wording": "published"}):
        found = answers_behind(answers.assign(**changed), "Gandalf", "joke", 2, "Power")
        assert (found["question"] == "").all() and found["answer"].isin(PVQ.options).all()


def test_tasks_have_their_own_scales_and_questions(results):
    answers = read_answers(of(results, "control-random", "Donation"))
    assert values_of(answers) == ("elf", "dwarf", "orc", "human", "hobbit")
    found = answers_behind(answers, "Gandalf", "joke", 1, "orc").iloc[0]
    orc = next(item for item in load_task("donation", 1).items if item.value == "orc")
    assert found["question"] == orc.male and found["answer"] == f"{2 * (found['code'] - 1)} coins"
    assert persona_ranks(answers, "orc", 1).shape == (4, 3)
    other = answers_behind(answers.assign(instrument_version="x"), "Gandalf", "joke", 1, "orc").iloc[0]
    assert (other["question"], other["answer"], other["options"]) == ("", "", ())


def test_a_conversation_that_is_lost_or_another_is_not_shown(results, tmp_path):
    stored = copied(results, tmp_path)
    answers = read_answers(stored)
    file = next((stored.path.parent.parent / "conversations").glob("joke-seed2-Gandalf-*.parquet"))
    pd.read_parquet(file).replace({"content": {JOKE.first_message: "Tell me two."}}).to_parquet(file)
    with pytest.raises(ValuestabError, match="joke-seed2-Gandalf-.*another conversation than the one before"):
        conversation_behind(stored, answers, "Gandalf", "joke", 2)
    file.write_bytes(b"PAR1 no more")
    with pytest.raises(ValuestabError, match="joke-seed2-Gandalf-.*cannot be read"):
        conversation_behind(stored, answers, "Gandalf", "joke", 2)
    file.unlink()
    with pytest.raises(ValuestabError, match="have no result in"):
        conversation_behind(stored, answers, "Gandalf", "joke", 2)
    assert len(conversation_behind(stored, answers, "Gandalf", "joke", 1)) == 4


def test_a_damaged_or_foreign_file_is_named(results, tmp_path):
    stored = copied(results, tmp_path)
    one = next(stored.path.glob("*.parquet"))
    one.write_bytes(b"PAR1 no more")
    with pytest.raises(ValuestabError, match=f"{one.name} cannot be read"):
        read_answers(stored)
    for file in stored.path.glob("*.parquet"):
        pd.DataFrame({"x": [1]}).to_parquet(file)
    with pytest.raises(ValuestabError, match="have no column model"):
        read_answers(stored)


def test_no_model_library_is_needed():
    code = "import sys, valuestab_utils.explorer; sys.exit(bool({'torch', 'transformers'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
