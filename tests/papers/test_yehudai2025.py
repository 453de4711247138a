"""Notebook 07's tables: known values are found in behaviour, noise is not, and printed numbers stay the paper's."""

import re
from functools import partial

import numpy as np
import pandas as pd
import pytest
import value_runs
from paper_studies import circumplex, plan

from valuestab_utils import metrics
from valuestab_utils.letters import drawn_codes
from valuestab_utils.papers import sentences
from valuestab_utils.papers import yehudai2025 as results
from valuestab_utils.papers.tables import NOTHING
from valuestab_utils.prompts import load_questionnaire, load_runs
from valuestab_utils.study import texts_before

TEST_ONLY, BOTH, PRIMED = "Test only", "Priming & test", "Priming only"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("prompting")


@pytest.fixture(scope="module")
def study(folder):
    """One run of each value prompt, of a control with known values and of the random one."""
    entry = {"name": "prompting", "population": "value_prompts", "n_personas": 11}
    entry["questionnaire"] = ["PVQ-40", "BFI-2", "Charity-game"]
    return plan(folder, entry, respondent=circumplex(), controls=["control-random"])


@pytest.fixture(scope="module")
def priming(folder):
    """The same runs of the former control, shown questionnaires as it filled them in."""
    entry = {"name": "priming", "n_personas": 11, "questionnaire": "BFI-2"}
    conditions = [entry | {"population": name} for name in ("filled_questionnaire", "value_prompts_filled")]
    return plan(folder, *conditions, respondent=circumplex())


@pytest.fixture(scope="module")
def prompted(study):
    return results.prompted(study.answers("prompting"), study.questionnaires)


@pytest.fixture
def few_iterations(monkeypatch):
    """Populations are drawn a few times only."""
    for name in ("bootstrap_values_similarities", "bootstrap_behaviour_similarity"):
        monkeypatch.setattr(metrics, name, partial(getattr(metrics, name), n_iterations=4))


@pytest.mark.parametrize(("weighting", "printed"), [("H-NP", 0.680), ("Uniform", 0.690)])
def test_known_values_go_with_behaviour_as_in_people_and_noise_does_not(prompted, few_iterations, weighting, printed):
    table = results.behaviour_similarities(prompted, weighting)
    own, paper = table[~table["published"]], table[table["published"]].set_index("label")
    found = own[own["instrument"] == "BFI-2"].set_index("label")["mean"]
    assert found["circumplex control"] > 0.8 and abs(found["random control"]) < 0.5
    charity = own[own["instrument"] == "Charity-game"]
    assert charity["mean"].isna().all() and charity["reason"].str.contains("human_value_behaviour.csv").all()
    assert paper.loc["Qwen3-235B-A22B-Instruct", "mean"] == pytest.approx(printed)  # tables 2 and 4
    said = sentences.of_similarities(table)
    assert f"circumplex control: {found['circumplex control']:.2f} [" in said and "Qwen3" not in said


def test_the_known_structure_of_values_is_found_in_each_population(prompted, few_iterations):
    table = results.values_similarity(prompted)
    own = table[~table["published"]].set_index(["label", "reference", "row"])["mean"].sort_index()
    assert (own["circumplex control", "human"] > 0.8).sum() >= 4  # Model-Specific leans on a few prompts
    assert own["circumplex control", "theory", "H-NP"] > 0.85 and own["random control", "theory", "H-NP"] < 0.6
    printed = table[table["published"]]
    assert set(printed["reference"]) == {"human, the paper's"} and len(printed) == 35
    points = results.population_maps(prompted, "control-circumplex")
    assert points["panel"].nunique() == 5 and len(points) == 50
    assert points[points["panel"] == "H-NP"]["disparity"].iloc[0] < 0.2


def test_published_signs_are_found_where_values_are_known(prompted):
    table = results.signs(prompted, "control-circumplex")
    assert len(table) >= 10 and table["reproduced"].mean() > 0.8


def test_runs_shown_a_questionnaire_have_the_values_that_stand_in_it(prompted, priming):
    """The text in the prompt and the values that behaviour is correlated with are the same draw of the same answers."""
    texts = texts_before(priming.experiments[0], priming.results_dir)
    runs = prompted.shown
    own = runs.take((runs.runs["model"] == "control-circumplex").to_numpy())
    assert len(own.runs) == len(texts) == 11
    for row, codes in zip(own.runs.itertuples(), own.answers(0.7), strict=True):
        (text,) = texts[row.persona, row.topic, row.seed]
        assert [PVQ.options.index(words) + 1 for words in re.findall(r"Answer: (.*)", text)] == codes.tolist()
    assert 0 < (runs.codes != prompted.values.codes).mean() < 0.5  # drawn at 0.7, not the likeliest


def test_prompts_and_filled_questionnaires_are_compared_on_the_same_runs(study, prompted, priming, few_iterations):
    primed = priming.answers("priming")
    table = results.primed_similarities(prompted, primed, study.questionnaires, "H-NP")
    own = table[~table["published"]].set_index(["label", "priming"])["mean"]
    assert own["circumplex control", PRIMED] > 0.8 and own["circumplex control", BOTH] > 0.8
    assert set(table[table["published"]]["priming"]) == {PRIMED, BOTH, TEST_ONLY}
    # Only runs that were primed too stand under "Priming only".
    lacking = (primed["persona"] == "Power 01") & (primed["population"] == "filled_questionnaire")
    cut = results.primed_similarities(prompted, primed[~lacking], study.questionnaires, "Uniform")
    assert len(cut[~cut["published"]]) == 3 and cut[~cut["published"]]["mean"].isna().all()
    whole = results.primed_similarities(prompted, primed, study.questionnaires, "Uniform")
    assert whole[~whole["published"]]["mean"].notna().all()


PVQ, DONATIONS = load_questionnaire("PVQ-40", "project"), load_questionnaire("Donation-causes")
QUESTIONNAIRES = {of.name: of for of in (PVQ, DONATIONS)}


def answers_of(of, n_runs=11, model="m", condition="value_prompts", tells=True, format="chat"):
    """Answers of the first runs of a condition, each with probabilities of its own."""
    runs, n_options = load_runs(condition, n_runs), len(of.options)
    probabilities = np.random.default_rng(len(of.items)).dirichlet(np.ones(n_options), n_runs * len(of.items))
    codes = probabilities.argmax(1).reshape(n_runs, -1) + 1
    frame = value_runs.answers(of, codes, condition, [run.group for run in runs], model=model, format=format,
                    administration="letters", temperature=np.nan)
    frame["persona"] = np.repeat([run.persona for run in runs], len(of.items))
    frame = value_runs.with_probabilities(frame, probabilities, range(1, n_options + 1))
    return frame if tells else frame.assign(logprob_B=np.nan)


def put_together(*hows):
    frames = [answers_of(of, **how) for how in hows for of in (PVQ, DONATIONS)]
    return results.prompted(pd.concat(frames), QUESTIONNAIRES)


def test_runs_with_missing_answers_are_left_out_and_counted(few_iterations):
    values, behaviour = answers_of(PVQ, 33, tells=False), answers_of(DONATIONS, 33, tells=False)
    values.loc[(values["persona"] == values["persona"].iloc[0]) & (values["item"] == 7), "answer"] = np.nan
    study = results.prompted(pd.concat([values, behaviour]), QUESTIONNAIRES)
    own = results.values_similarity(study).query("~published and weighting == 'Uniform'")
    assert own["n_left_out"].tolist() == [1, 1] and own["mean"].notna().all()
    values.loc[values["group"] == "Power", "answer"] = np.nan
    study = results.prompted(pd.concat([values, behaviour]), QUESTIONNAIRES)
    table = results.values_similarity(study).query("~published")
    assert table["mean"].isna().all() and table["reason"].str.contains("Power").all()
    assert results.population_maps(study, "m")["disparity"].isna().all()
    assert results.correlations_with(study, "Donation-causes", "m")["r"].isna().all()


def test_two_formats_of_a_model_are_two_respondents():
    both, base = put_together({"format": "base"}, {"format": "chat"}), put_together({"format": "base"})
    panels = results.population_maps(both, "m")["panel"].unique()
    assert {"Uniform (base)", "Uniform (chat)"} <= set(panels)
    found, alone = (results.correlations_with(study, "Donation-causes", "m") for study in (both, base))
    pd.testing.assert_frame_equal(found, alone)


def test_what_was_filled_in_is_drawn_whatever_models_stand_beside():
    study = put_together({"model": "m"}, {"model": "service", "tells": False})
    assert study.temperature == 0 and set(study.shown.runs["model"]) == {"m"}
    first = answers_of(PVQ).iloc[: len(PVQ.items)]
    np.testing.assert_array_equal(study.shown.codes[0], drawn_codes(first, 0.7))
    assert (study.shown.codes[0] != first["answer"]).any()
    values, behaviour = answers_of(PVQ), answers_of(DONATIONS)
    assert results.prompted(pd.concat([values, behaviour]), QUESTIONNAIRES).temperature == 0.7
    behaviour.iloc[4, list(behaviour).index("logprob_C")] = np.nan  # one letter of one answer to one instrument
    untold = results.prompted(pd.concat([values, behaviour]), QUESTIONNAIRES)
    assert untold.temperature == 0 and untold.values.logprobs is None


STATEMENTS = value_runs.instrument(
    [results.POLITICS, "Environmentalism", "Thrill-seeking"], 2, "Behaviour-statements", ("no", "yes"),
    reversed_items=(2,), areas=("politics", "nature", "risks"),
)  # fmt: skip


def test_agreement_by_the_value_of_the_prompt():
    #        conservative, environment (item 2 reversed), thrills, and again
    by_group = {"Tradition": [2, 1, 1, 2, 2, 1], "Stimulation": [1, 2, 2, 1, 1, 2]}
    by_group |= {"none": [2] * 6, "Hedonism": [2] * 6}
    table = value_runs.answers(STATEMENTS, list(by_group.values()), "value_prompts", list(by_group))
    found = results.agreement(table, {STATEMENTS.name: STATEMENTS})
    shares = found.set_index(["behaviour", "higher_order"])["agreement"]
    assert shares[results.POLITICS, "Conservation"] == 1 and shares[results.POLITICS, "Openness to change"] == 0
    assert shares["Environmentalism", "Conservation"] == 1 and shares["Environmentalism", "Openness to change"] == 0
    assert shares["Thrill-seeking", "Conservation"] == 0 and shares["Thrill-seeking", "Openness to change"] == 1
    assert np.isnan(shares[results.POLITICS, "Self-enhancement"])  # nobody was asked


def test_without_the_experiment_prompting_there_are_no_runs_and_no_numbers_of_the_paper(priming, study):
    primed, nothing = priming.answers("priming"), results.prompted(study.answers("agreement"), {})
    found = results.primed_similarities(nothing, primed, priming.questionnaires, "Uniform")
    assert sentences.of_similarities(found) == NOTHING
    for table in (found, results.values_similarity(nothing), results.behaviour_similarities(nothing, "H-NP")):
        assert table.empty and {"mean", "label", "row", "published"} <= set(table)
