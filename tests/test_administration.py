"""Every way of asking gives its own answers, before and after they are stored, beside other models and in shards."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from fakes import FakeRespondent
from paper_studies import FewLetters, plan

from valuestab_utils import administration
from valuestab_utils.errors import ValuestabError
from valuestab_utils.questionnaire import ask_questionnaire
from valuestab_utils.shards import run_shard, unfinished_shards
from valuestab_utils.texts_before import texts_before

ANCHORS = {"population": "value_anchor", "n_personas": 2, "instruments": ["PVQ-RR"]}
IN_WAYS = {"part": "administrations", "administrations": ["batch", "serial"], "temperatures": [0.0, 0.7]} | ANCHORS
LETTERS = {"part": "structure"} | ANCHORS
FILLED = {"part": "priming", "population": "value_prompts_filled", "n_personas": 2, "instruments": ["Charity-choice"]}
KEY = ["persona", "item", "administration", "temperature", "answer"]


class Writing(FakeRespondent):
    """Writes codes when it is asked for codes: other ones at each temperature."""

    def __init__(self, name="fake"):
        super().__init__()
        self.name, self.asked = name, []

    def speak(self, prompts, max_new_tokens):
        self.asked += prompts
        texts = super().speak(prompts, max_new_tokens)
        codes = ", ".join(["3"] * 56 + [str(6 if prompts[0].temperature else 1)])
        return [replace(text, content=codes) for text in texts]

    def answer(self, prompts, letters):
        self.asked += prompts
        return super().answer(prompts, letters)


@pytest.fixture
def ways(tmp_path):
    respondent = Writing()
    study = plan(tmp_path, LETTERS, IN_WAYS, respondent=respondent, paper="structure")
    return study, respondent


def by_way(study):
    return {(m.administration, m.temperature): m for m in study.measurements}


# One way at a time


def test_each_way_of_asking_has_its_answers_and_its_folder(ways):
    study, respondent = ways
    measured = by_way(study)
    assert list(measured) == [("letters", None), ("batch", 0.0), ("batch", 0.7), ("serial", 0.0), ("serial", 0.7)]
    folders = {administration.folder(m, study.results_dir).path for m in measured.values()}
    assert len(folders) == 5
    for (way, temperature), m in measured.items():
        answers = administration.ask(m, respondent, study.results_dir)
        assert set(answers["administration"]) == {way} and len(answers) == 2 * 57
        assert answers["temperature"].isna().all() if way == "letters" else set(answers["temperature"]) == {temperature}
        pd.testing.assert_frame_equal(answers, administration.load(m, study.results_dir))
        assert not administration.folder(m, study.results_dir).missing(m.experiment.sessions)
        if way == "batch":
            assert answers.groupby("persona")["answer"].last().tolist() == [6 if temperature else 1] * 2
    letters = administration.load(measured["letters", None], study.results_dir)
    plain = ask_questionnaire(study.experiments[0], respondent, study.instrument, study.results_dir)
    pd.testing.assert_frame_equal(letters.drop(columns=["administration", "temperature"]), plain)
    calls = respondent.calls
    administration.ask(measured["serial", 0.7], respondent, study.results_dir)
    assert respondent.calls == calls  # what is there is not asked again


def test_letters_are_read_in_the_order_in_which_the_options_stood(ways):
    study, respondent = ways
    answers = study.answers("structure")
    letters = answers[[f"logprob_{letter}" for letter in "ABCDEF"]].to_numpy()
    orders = np.stack(answers["option_order"].to_numpy())
    assert (answers["answer"] == orders[np.arange(len(orders)), letters.argmax(1)]).all()
    assert len({tuple(order) for order in orders}) > 50


def test_answers_that_are_not_there_are_not_made_up(ways):
    study, _ = ways
    for m in study.measurements:
        with pytest.raises(ValuestabError, match="2 of 2 sessions have no result"):
            administration.load(m, study.results_dir)


def test_missing_answers_of_a_service_stay_missing(tmp_path):
    study = plan(tmp_path, LETTERS, respondent=FewLetters(), paper="structure")
    answers = study.answers("structure")
    assert answers.groupby("persona")["answer"].apply(lambda x: x.isna().sum()).tolist() == [1, 1]
    assert answers[answers["answer"].isna()]["letter"].tolist() == ["", ""]
    shown = np.stack(answers["option_order"].to_numpy())
    told = answers["answer"].notna().to_numpy()
    place = ["ABCDEF".index(letter) for letter in answers["letter"][told]]
    assert (answers["answer"][told] == shown[told][np.arange(told.sum()), place]).all()


# What must be there before


def test_a_filled_questionnaire_is_asked_of_the_same_runs_first(tmp_path):
    respondent = FakeRespondent()
    study = plan(tmp_path, FILLED, respondent=respondent, paper="prompting")
    (m,) = study.measurements
    (source,) = administration.sources(m)
    assert (source.instrument.name, source.experiment.population, source.administration) == (
        "PVQ-40", "value_prompts", "letters"
    )  # fmt: skip
    keys = [s.key for s in m.experiment.sessions]
    assert [s.key for s in source.experiment.sessions] == keys and administration.sources(source) == []
    one = replace(m, experiment=replace(m.experiment, keys=frozenset(keys[:1])))
    assert [s.key for s in administration.sources(one)[0].experiment.sessions] == keys[:1]
    administration.ask(m, respondent, study.results_dir)
    asked = [text for _, text in respondent.answered]
    assert len(asked) == 2 * 40 + 2 * len(m.instrument.items)
    for key, (text,) in texts_before(m.experiment, study.results_dir, m.filled).items():
        told = [prompt for of, prompt in respondent.answered if of == key]
        assert all(text in prompt for prompt in told[40:]) and not any(text in prompt for prompt in told[:40])
        assert text.count(" Answer: ") == 40
    assert not administration.folder(source, study.results_dir).missing(source.experiment.sessions)


def test_nothing_must_be_there_before_other_conditions(ways):
    assert [administration.sources(m) for m in ways[0].measurements] == [[]] * 5


def test_tokens_of_a_session_are_those_of_its_prompts(ways):
    study, respondent = ways
    measured = by_way(study)
    session = study.experiments[0].sessions[0]
    tokens = respondent.count_tokens
    for way in ("batch", "serial"):
        respondent.asked.clear()
        m = measured[way, 0.0]
        administration.ask(replace(m, experiment=m.experiment.only(session)), respondent, study.results_dir)
        n, unique, naive, written = administration.tokens_of_a_session(m, session, respondent, [])
        sent = [tokens(prompt.text) for prompt in respondent.asked]
        assert n == len(sent) == {"batch": 1, "serial": 57}[way]
        assert (unique, naive, written) == (max(sent), sum(sent), 12 * 57 if way == "batch" else 0)


# Other models beside this one


def two_models(tmp_path, n_of_other=2):
    for name, n in (("other", n_of_other), ("fake", 2)):
        entries = [entry | {"n_personas": n} for entry in (LETTERS, IN_WAYS | {"temperatures": [0.7]})]
        study = plan(tmp_path, *entries, respondent=Writing(name), paper="structure")
        both = {part: study.answers(part) for part in ("structure", "administrations")}
        yield study, both


def test_other_models_stand_beside_with_their_own_answers_to_the_same(tmp_path):
    (_, of_other), (study, own) = two_models(tmp_path)
    for compare in (("other",), ("all",)):
        beside = replace(study, compare=compare)
        for part in ("structure", "administrations"):
            both = beside.answers(part)
            assert both["model"].drop_duplicates().tolist() == ["fake", "other"]  # this run's first
            for name, expected in (("fake", own[part]), ("other", of_other[part])):
                found = both[both["model"] == name][KEY].reset_index(drop=True)
                pd.testing.assert_frame_equal(found, expected[KEY])
    assert len(of_other["administrations"]) == 2 * 2 * 57


def test_a_model_with_fewer_runs_is_left_out_or_refused_by_name(tmp_path):
    _, (study, own) = two_models(tmp_path, n_of_other=1)
    assert set(replace(study, compare=("all",)).answers("structure")["model"]) == {"fake"}
    for part in ("structure", "administrations"):
        with pytest.raises(ValuestabError, match="1 of 2 sessions have no result"):
            replace(study, compare=("other",)).answers(part)


# Shards


def stored(folder):
    return {path.relative_to(folder): path for path in folder.rglob("*") if path.suffix in (".parquet", ".json")}


@pytest.mark.parametrize(
    ("paper", "entries"),
    [
        ("structure", [LETTERS, {"part": "structure", "population": "generated_persona", "n_personas": 3,
                                 "instruments": ["PVQ-RR"]}, IN_WAYS | {"temperatures": [0.7]}]),
        ("prompting", [FILLED, FILLED | {"part": "prompting", "population": "value_prompts", "n_personas": 3}]),
    ],
)  # fmt: skip
def test_three_shards_make_the_files_that_one_run_makes(tmp_path, paper, entries):
    def planned(results):
        return plan(tmp_path, *entries, results=results, paper=paper)

    whole = planned("whole")
    whole.conversations()
    for part in dict.fromkeys(m.part for m in whole.measurements):
        whole.answers(part)
    assert unfinished_shards(planned("shards"), 3) == [0, 1, 2]
    assert sum(run_shard(planned("shards"), i, 3) for i in (2, 0, 1)) == len(
        {tuple(s.identity.values()) for m in whole.measurements for s in m.experiment.sessions}
    )
    assert unfinished_shards(planned("shards"), 3) == []
    expected, found = stored(whole.results_dir), stored(tmp_path / "shards")
    assert expected.keys() == found.keys() and len(expected) > 10
    for name, path in expected.items():
        if path.suffix == ".json":
            assert path.read_text() == found[name].read_text()
        else:
            pd.testing.assert_frame_equal(pd.read_parquet(path), pd.read_parquet(found[name]), check_exact=True)
