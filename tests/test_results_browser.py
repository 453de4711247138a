"""What a results folder holds, read without a model."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from fakes import CHESS, JOKE, NO_TALK

from valuestab_utils.controls import RandomRespondent, SyntheticRespondent
from valuestab_utils.conversations import simulate_conversations
from valuestab_utils.errors import ValuestabError
from valuestab_utils.instruments import load_pvq40
from valuestab_utils.populations import load_population
from valuestab_utils.questionnaire import ask_questionnaire
from valuestab_utils.results_browser import (
    answers_behind,
    conversation_behind,
    persona_ranks,
    read_answers,
    stored_answers,
    values_of,
)
from valuestab_utils.sessions import Experiment
from valuestab_utils.tasks import load_task

PVQ = load_pvq40("project")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Results of both controls on four personas and three contexts, and a donation."""
    folder = tmp_path_factory.mktemp("results")
    personas = load_population("fictional_characters", 4)
    for respondent in (SyntheticRespondent(PVQ, tasks=[load_task("donation", 1)]), RandomRespondent()):
        whole = Experiment(
            respondent.name, "tuned_sys", "fictional_characters", personas, (JOKE, CHESS, NO_TALK), (1, 2), 3
        )
        simulate_conversations(whole, respondent, folder)
        ask_questionnaire(whole, respondent, PVQ, folder)
    ask_questionnaire(whole, RandomRespondent(), PVQ, folder, "balanced")
    ask_questionnaire(whole, RandomRespondent(), load_task("donation", 1), folder)
    return folder


def of(results, text):
    return next(stored for stored in stored_answers(results) if text in stored.label)


def test_all_folders_with_one_answer_an_item_are_listed(results, tmp_path):
    labels = [stored.label for stored in stored_answers(results)]
    assert len(labels) == 3 and all("fictional characters" in label for label in labels)
    assert [label.split(":")[1] for label in labels][1:] == [" PVQ-40-project after 3 messages"] * 2
    assert stored_answers(tmp_path) == []


def test_ranks_are_those_of_the_centred_scores(results):
    answers = read_answers(of(results, "synthetic"))
    ranks = persona_ranks(answers, "Power", 1)
    assert list(ranks.columns) == ["chess", "joke", "no_conversation"] and len(ranks) == 4
    rows = answers[(answers["seed"] == 1) & (answers["topic"] == "joke")]
    centre = rows.groupby("persona")["answer"].mean()
    score = rows[rows["value"] == "Power"].groupby("persona")["answer"].mean() - centre
    expected = (-score).rank()
    pd.testing.assert_series_equal(ranks["joke"].sort_index(), expected.sort_index(), check_names=False)
    assert ranks.mean(axis=1).is_monotonic_increasing


def test_ties_share_a_rank():
    rows = []
    for persona in "abc":
        for item in PVQ.items:
            answer = 6 if item.value == "Power" and persona != "c" else 3
            rows.append({"persona": persona, "item": item.item, "value": item.value, "answer": answer})
    frame = pd.DataFrame(rows).assign(
        model="m", format="base", population="p", instrument="PVQ-40", topic="joke", seed=1, persona_description="x"
    )
    assert persona_ranks(frame, "Power", 1)["joke"].to_dict() == {"a": 1.5, "b": 1.5, "c": 3.0}


def test_a_run_on_its_way_shows_who_was_asked_everywhere(results):
    answers = read_answers(of(results, "random control, fictional characters: PVQ"))
    unfinished = answers[~((answers["persona"] == "Gandalf") & (answers["topic"] == "chess"))]
    assert "Gandalf" not in persona_ranks(unfinished, "Power", 1).index
    with pytest.raises(ValuestabError, match="No persona has answered in every context with seed 7"):
        persona_ranks(answers, "Power", 7)
    with pytest.raises(ValuestabError, match="no value 'power'"):
        persona_ranks(answers, "power", 1)


def test_behind_a_point_are_its_conversation_and_answers(results):
    stored = of(results, "synthetic")
    answers = read_answers(stored)
    talk = conversation_behind(stored, "Gandalf", "joke", 2)
    assert list(talk["message"]) == [0, 1, 2, 3] and talk["content"].iloc[0] == JOKE.first_message
    assert conversation_behind(stored, "Gandalf", "no_conversation", 2).empty
    found = answers_behind(answers, "Gandalf", "joke", 2, "Power")
    assert list(found["item"]) == [item.item for item in PVQ.items if item.value == "Power"]
    asked = answers.query("persona == 'Gandalf' and topic == 'joke' and seed == 2").set_index("item").loc[found["item"]]
    assert list(found["answer"]) == [PVQ.options[code - 1] for code in asked["answer"]]
    assert found["question"].iloc[0] == PVQ.items[found["item"].iloc[0] - 1].portrait("M")
    assert found["probability"].tolist() == [
        pytest.approx(np.exp(row[f"logprob_{row['letter']}"])) for _, row in asked.iterrows()
    ]


def test_missing_answers_are_told(results):
    answers = read_answers(of(results, "synthetic"))
    answers.loc[answers["value"] == "Power", ["answer", "letter"]] = [np.nan, ""]
    found = answers_behind(answers, "Gandalf", "joke", 2, "Power")
    assert (found["answer"] == "").all() and found["probability"].isna().all()


def test_tasks_have_their_own_scales_and_questions(results):
    stored = of(results, "Donation")
    answers = read_answers(stored)
    assert values_of(answers) == ("elf", "dwarf", "orc", "human", "hobbit")
    found = answers_behind(answers, "Gandalf", "joke", 1, "orc")
    assert "orc" in found["question"].item() and found["answer"].item().endswith(("coin", "coins"))
    assert persona_ranks(answers, "orc", 1).shape == (4, 3)


def test_a_damaged_file_is_named(results, tmp_path):
    stored = of(results, "synthetic")
    copy = tmp_path / "n3"
    copy.mkdir()
    (copy / "x.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(ValuestabError, match="x.parquet cannot be read"):
        read_answers(type(stored)(*[*vars(stored).values()][:-1], copy))


def test_no_model_library_is_needed():
    code = "import sys, valuestab_utils.explorer; sys.exit(bool({'torch', 'transformers'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
