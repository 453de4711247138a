"""A study is what its profile says and no more, in every paper; it answers with what was asked, and keeps figures."""

import json

import pandas as pd
import pytest
from fakes import CHATML, NO_SYSTEM, FakeRespondent, language_model, small_instrument
from paper_studies import FewLetters, answered_by, plan
from tiny import byte_tokenizer, llama

from valuestab_utils.errors import ValuestabError
from valuestab_utils.models import SAMPLER
from valuestab_utils.paths import ROOT
from valuestab_utils.prompts import PROMPTING, STRUCTURE, load_runs
from valuestab_utils.study import PAPERS, Study, experiments, load_profile, plan_study, read_record
from valuestab_utils.study.profiles import CONTROLS

PEOPLE = "persona,name,description,gender\nSam,Sam,The gardener.,M\nRose,Rose,The brewer.,F\nTed,Ted,The miller.,M\n"
NOBODY = {"population": "none", "n_personas": 2}
ANCHORS = {"name": "structure", "population": "value_anchor", "n_personas": 3, "questionnaire": "PVQ-RR"}
WAYS = ANCHORS | {"name": "administrations", "way": "batch", "temperature": 0.7}
VALUES = {"name": "prompting", "population": "value_prompts", "n_personas": 2, "questionnaire": ["PVQ-40", "BFI-2"]}
FILLED = {"name": "priming", "population": "filled_questionnaire", "n_personas": 2, "questionnaire": "BFI-2"}


class Named(FakeRespondent):
    def __init__(self, name, **own_settings):
        super().__init__()
        self.name, self.own_settings = name, own_settings

    @property
    def settings(self):
        return super().settings | self.own_settings


@pytest.fixture
def faked():
    with answered_by(FakeRespondent()):
        yield


@pytest.fixture
def planned(tmp_path):
    return lambda *entries, **asked: plan(tmp_path, *entries, **asked)


def sizes(study, name="pvq"):
    return {(e.model, e.format, e.population): (len(e.personas), len(e.topics), len(e.seeds)) for e in study.of(name)}


def test_the_paper_profile_has_the_papers_sizes(faked):
    whole = plan_study("paper")
    expected = {"fictional_characters": (60, 5, 5), "real_world_personas": (50, 5, 5), "none": (50, 5, 1)}
    models = ("fake", *CONTROLS)
    assert sizes(whole) == {(m, "tuned_sys", p): size for m in models for p, size in expected.items()}
    assert {e.n_messages for e in whole.of("pvq")} == {3}
    lengths = [e for e in whole.of("lengths") if e.model == "fake"]
    for population, expected in (("fictional_characters", [3, 7, 11, 19, 27, 35, 43]), ("none", [1, 3, 5, 7, 9, 43])):
        assert [e.n_messages for e in lengths if e.population == population] == expected
    tasks = {(e.questionnaire.name, len(e.questionnaire.items)) for e in whole.of("downstream")}
    assert tasks == {("Donation", 100), ("Stealing", 100), ("Religion", 5)}
    assert [len(e.topics) for e in whole.of("contexts")] == [14, 14, 14]
    assert [topic.topic for topic in whole.topics("neutral")] == ["no_conversation"]


def test_what_is_given_is_run_and_the_rest_is_as_the_profile_says(faked):
    sessions = {"topics": ["chess", "no_conversation"], "seeds": (7,), "n_personas": 4, "n_permutations": 6}
    changed = plan_study("paper", changes=sessions)
    assert sizes(changed)["fake", "tuned_sys", "fictional_characters"] == (4, 2, 1)
    assert sizes(changed)["fake", "tuned_sys", "none"] == (6, 2, 1)
    by_population = {e.population: e for e in changed.of("pvq")}
    assert by_population["real_world_personas"].seeds == (7,)
    assert by_population["none"].seeds == (1,)  # its unit is the permutation
    assert [t.topic for t in by_population["none"].topics] == ["chess", "no_conversation"]
    assert {len(e.topics) for e in changed.of("contexts")} == {14}  # which has topics of its own
    some = {"experiments": ["downstream", "lengths"], "n_names": 2, "lengths": [5, 1, 5], "controls": []}
    found = plan_study("paper", changes=some)
    assert {e.name for e in found.experiments} == {"downstream", "lengths"}
    assert {e.model for e in found.experiments} == {"fake"}
    assert {e.n_messages for e in found.of("lengths")} == {1, 5}
    assert {len(e.questionnaire.items) for e in found.of("downstream")} == {10, 5}
    one = {"populations": ["none"], "formats": ["base"], "controls": ["control-random"], "n_messages": 7}
    found = plan_study("quick", changes=one)
    assert set(sizes(found)) == {("fake", "base", "none"), ("control-random", "tuned_sys", "none")}
    assert {e.n_messages for e in found.of("pvq")} == {7}


@pytest.mark.parametrize(("template", "own"), [(None, "base"), (CHATML, "tuned_sys"), (NO_SYSTEM, "tuned_no_sys")])
def test_a_models_own_format_and_those_that_it_cannot_be_asked_in(planned, template, own):
    model = language_model(template)
    assert [e.format for e in planned(NOBODY, respondent=model).experiments] == [own]
    if template != CHATML:
        with pytest.raises(ValuestabError, match="cannot be asked in the format 'tuned_sys'.*'base'"):
            planned(NOBODY, respondent=model, formats=["base", "tuned_sys"])
        both = planned(NOBODY, NOBODY | {"format": "tuned_sys"}, respondent=model)  # as the profile says: left out
        assert [e.format for e in both.experiments] == [own] and len(both.left_out) == 1


def test_a_service_has_no_variants(planned):
    api = planned(NOBODY, NOBODY | {"dtype": "4bit"}, respondent=Named("a-service"), model="api:a-service")
    assert len(api.experiments) == 1 and "4-bit and 8-bit variants are left out" in api.left_out[0]


def test_end_to_end_with_a_model_folder(tmp_path):
    tokenizer = byte_tokenizer(template=CHATML, eos="<|im_end|>")
    llama(tokenizer, num_hidden_layers=1, initializer_range=0.4).save_pretrained(tmp_path / "tiny")
    tokenizer.save_pretrained(tmp_path / "tiny")
    people = {"population": "fictional_characters", "n_personas": 2}
    plan(tmp_path, people, people | {"format": "base"})  # which writes the profile
    changes = {"results_dir": str(tmp_path / "results"), "topics": ["chess", "no_conversation"]}
    asked = (str(tmp_path / "mine.yaml"), str(tmp_path / "tiny"), changes)
    whole = plan_study(*asked)
    answers = whole.answers()
    assert len(answers) == whole.overview()["answers"].sum() == 2 * 2 * 2 * 40
    assert set(answers["format"]) == {"tuned_sys", "base"} and set(answers["model"]) == {"tiny"}
    for row in answers.to_dict("records"):
        assert row["answer"] == row["option_order"]["ABCDEF".index(row["letter"])]
    pd.testing.assert_frame_equal(plan_study(*asked).answers(), answers)
    assert set(whole.conversations()["topic"]) == {"chess"}
    assert whole.figures_dir == ROOT / "figures" / "mine-tiny-topics=chess,no_conversation"


# What is answered


@pytest.fixture
def small_study(planned, monkeypatch):
    """Plans a study of three short items, after conversations on two topics."""
    monkeypatch.setattr(experiments, "load_questionnaire", lambda *_: small_instrument())
    return lambda topics=("joke", "chess"), **asked: planned(NOBODY | asked.pop("entry", {}), topics=topics, **asked)


def test_a_longer_conversation_is_simulated_once_and_asked_after_each_length(small_study):
    respondent = FakeRespondent()
    lengths = small_study(entry={"name": "lengths", "n_messages": [1, 3, 5]}, respondent=respondent)
    answers = lengths.answers("lengths")
    assert sorted(answers["asked_after"].unique()) == [1, 3, 5]
    assert (answers["asked_after"] == answers["n_messages"]).all()
    assert len(respondent.spoken) == 2 * 2 * 5  # personas x topics x messages
    assert len(lengths.conversations()) == 2 * 2 * 6


def test_other_orders_are_answered_when_they_are_asked_for(small_study):
    orders = small_study(entry={"name": "orders", "way": ["second", "balanced"]})
    assert orders.answers().empty and orders.answers("orders").empty and orders.answers("pvq").empty
    assert len(orders.answers("orders", "balanced")) == 6 * len(orders.answers("orders", "second")) == 6 * 2 * 2 * 3
    first, second = orders.retest_answers()
    same = ["persona", "topic", "seed", "item", "conversation"]
    pd.testing.assert_frame_equal(first[same], second[same])
    assert first["option_order"].map(tuple).tolist() != second["option_order"].map(tuple).tolist()
    assert all(frame.empty for frame in small_study().retest_answers())
    for ask in (lambda: orders.answers("order"), lambda: orders.answers("orders", "balance")):
        with pytest.raises(ValuestabError, match="Did you mean '(orders|balanced)'"):
            ask()


def test_models_in_the_results_folder_stand_beside(small_study):
    small_study(respondent=Named("other")).answers()
    small_study(respondent=Named("third"), topics=["joke"]).answers()
    alone, beside = small_study().answers(), small_study(compare=["other"]).answers()
    assert set(alone["model"]) == {"fake"} and list(beside["model"].unique()) == ["fake", "other"]
    assert len(beside) == 2 * len(alone)
    everyone = small_study(compare=["all"]).answers()  # the third lacks sessions
    assert list(everyone["model"].unique()) == ["fake", "other"]
    with pytest.raises(ValuestabError, match="2 of 4 sessions have no result in .*third"):
        small_study(compare=["third"]).answers()


@pytest.mark.parametrize("compare", [["other"], ["all"]])
def test_results_of_another_sampler_do_not_stand_beside(small_study, compare):
    small_study(respondent=Named("other", dtype="float32", sampler=SAMPLER)).answers()
    assert set(small_study(compare=compare).answers()["model"]) == {"fake", "other"}
    for file in small_study().results_dir.glob("other/**/_settings.json"):
        settings = json.loads(file.read_text())
        del settings["sampler"]  # as before it had a version
        file.write_text(json.dumps(settings))
    with pytest.raises(ValuestabError, match="results in .*other.* are of version 1 of the sampler.*leave it out"):
        small_study(compare=compare).answers()


def test_a_figure_is_kept_with_its_sample_or_with_what_it_would_need(planned, tmp_path, monkeypatch):
    monkeypatch.setattr(Study, "figures_dir", tmp_path)
    table, nothing = pd.DataFrame({"r": [0.5], "population": ["none"]}), pd.DataFrame()
    some = planned(NOBODY, NOBODY | {"name": "lengths", "n_personas": 1}, respondent=Named("fake", dtype="float32"))
    some.keep(None, table, "figure_6", "r is 0.5.")
    about = read_record("figure_6", tmp_path).about
    assert "1 permutation, 1 topic, 1 seed, 1 message" in about["sample"] and "fake (fake, " in about["models"]
    some.keep(None, table, "table_1", "Two.")  # which needs none in particular
    assert "2 permutations" in read_record("table_1", tmp_path).about["sample"]
    for name, why in (
        ("figure_10", "It needs the experiment contexts, not part of this run."),
        ("figure_9", "It needs the experiment downstream, not part of this run."),
        ("figure_4a", "pvq with PVQ-40 have nothing for this figure. "),
    ):
        some.keep(None, nothing, name, "")
        assert read_record(name, tmp_path).skipped == why


# Conditions of Rozen et al. and Yehudai et al.


def places(study):
    return [(e.name, e.population, e.questionnaire.name, e.way, e.temperature) for e in study.experiments]


@pytest.mark.parametrize("profile", ["smoke", "quick", "single", "paper"])
@pytest.mark.parametrize(("paper", "conditions"), [("rozen2025", STRUCTURE), ("yehudai2025", PROMPTING)])
def test_profiles_in_this_project_are_laid_out_for_every_paper(faked, profile, paper, conditions):
    names = {entry.name for entry in load_profile(profile).experiments} & set(PAPERS[paper].experiments)
    if not names:
        return
    of_paper = plan_study(profile, paper=paper)
    assert {e.name for e in of_paper.experiments} == names and not of_paper.left_out
    assert {e.population for e in of_paper.experiments} <= set(conditions)
    assert {e.model for e in of_paper.experiments} == {"fake", "control-random", "control-circumplex"}


def test_every_way_and_temperature_of_an_entry_is_asked_of_the_same_runs(planned):
    every = WAYS | {"way": ["letters", "batch", "serial"], "temperature": [0.0, 0.7], "seeds": [1, 2]}
    both = planned(ANCHORS, every)
    assert places(both) == [("structure", "value_anchor", "PVQ-RR", "letters", None)] + [
        ("administrations", "value_anchor", "PVQ-RR", *how)
        for how in (("letters", None), ("batch", 0.0), ("batch", 0.7), ("serial", 0.0), ("serial", 0.7))
    ]
    assert {e.personas for e in both.experiments} == {load_runs("value_anchor", 3)}
    assert [e.seeds for e in both.experiments] == [(1,)] + [(1, 2)] * 5  # the profile's own are of conversations
    assert len({e.place for e in both.experiments}) == 6
    assert {(e.n_messages, e.topics[0].topic) for e in both.experiments} == {(1, "no_conversation")}


def test_sizes_that_are_given_and_the_larger_of_two_entries_of_one_place(planned):
    (e,) = planned(ANCHORS, n_personas=5, seeds=[3, 4]).experiments
    assert e.personas == load_runs("value_anchor", 5) and e.seeds == (3, 4)
    (e,) = planned({key: value for key, value in ANCHORS.items() if key != "n_personas"}).experiments
    assert len(e.personas) == 300
    (e,) = planned(ANCHORS, ANCHORS | {"n_personas": 5}).experiments
    assert len(e.personas) == 5


def test_a_study_is_of_one_paper(planned):
    entries = [ANCHORS, WAYS, VALUES, FILLED, NOBODY]

    def names(**asked):
        return {e.name for e in planned(*entries, **asked).experiments}

    assert names() == {"structure", "administrations"}
    assert names(paper="yehudai2025") == {"prompting", "priming"}
    assert names(paper="kovac2024") == {"pvq"}
    assert names(experiments=["pvq", "administrations"]) == {"administrations"}
    of_one = planned(*entries, paper="yehudai2025", populations=["filled_questionnaire"])
    assert places(of_one) == [("priming", "filled_questionnaire", "BFI-2", "letters", None)]


def test_what_needs_all_letters_is_left_out_where_they_are_not_told(planned):
    few = FewLetters()
    both = WAYS | {"way": ["batch", "serial"]}
    some = planned(ANCHORS, both, respondent=few)
    assert [e.way for e in some.experiments] == ["letters", "batch"]
    assert len(some.left_out) == 1 and "serial answers" in some.left_out[0]
    some = planned(VALUES, FILLED, FILLED | {"population": "value_prompts_filled"}, respondent=few)
    assert {e.name for e in some.experiments} == {"prompting"}
    assert len(some.left_out) == 1 and "filled" in some.left_out[0]
    some = planned(NOBODY, NOBODY | {"name": "orders", "way": ["second", "balanced"]}, respondent=few)
    assert [e.way for e in some.experiments] == ["letters", "second"] and "balanced" in some.left_out[0]
    with pytest.raises(ValuestabError, match="Nothing is left to be measured: fake does not give every"):
        planned(FILLED, respondent=few)
    # Controls do tell them.
    beside = planned(both, respondent=few, controls=["control-random"])
    assert [(e.model, e.way) for e in beside.experiments] == [
        ("fake", "batch"), ("control-random", "batch"), ("control-random", "serial")
    ]  # fmt: skip
