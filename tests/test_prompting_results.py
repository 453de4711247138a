"""Notebook 07's tables: known values are found in behaviour, noise is not, and printed numbers stay the paper's."""

import re
from functools import partial

import numpy as np
import pandas as pd
import pytest
import value_runs
from paper_studies import circumplex, plan

from valuestab_utils import prompting_findings as findings
from valuestab_utils import prompting_results as results
from valuestab_utils.behaviour_agreement import CONSERVATIVE
from valuestab_utils.errors import ValuestabError
from valuestab_utils.instrument_names import load_instrument
from valuestab_utils.instruments import PVQ_OPTIONS, VALUES
from valuestab_utils.texts_before import texts_before

PVQ = load_instrument("PVQ-40", "project")
GROUPS = [*VALUES, "none"]
TEST_ONLY, BOTH, PRIMED = "Test only", "Priming & test", "Priming only"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("prompting")


@pytest.fixture(scope="module")
def study(folder):
    """One run of each value prompt, of a control with known values and of the random one."""
    entry = {"part": "prompting", "population": "value_prompts", "n_personas": 11}
    entry["instruments"] = ["PVQ-40", "BFI-2", "Charity-game"]
    return plan(folder, entry, respondent=circumplex(), controls=["control-random"], paper="prompting")


@pytest.fixture(scope="module")
def priming(folder):
    """The same runs of the former control, shown questionnaires as it filled them in."""
    entry = {"part": "priming", "n_personas": 11, "instruments": ["BFI-2"]}
    conditions = [entry | {"population": name} for name in ("filled_questionnaire", "value_prompts_filled")]
    return plan(folder, *conditions, respondent=circumplex(), paper="prompting")


@pytest.fixture(scope="module")
def prompted(study):
    return results.prompted(study.answers("prompting"), study.instruments)


@pytest.fixture
def few_iterations(monkeypatch):
    """Populations are drawn a few times only."""
    for name in ("values_similarity_table", "behaviour_similarity_table"):
        monkeypatch.setattr(results, name, partial(getattr(results, name), n_iterations=4))


def similarity(table, instrument="BFI-2"):
    own = table[~table["published"]]
    return own[own.get("instrument", instrument) == instrument].set_index("label")["mean"]


# A known structure, end to end


@pytest.mark.parametrize(("weighting", "printed"), [("H-NP", 0.680), ("Uniform", 0.690)])
def test_known_values_go_with_behaviour_as_in_people_and_noise_does_not(prompted, few_iterations, weighting, printed):
    table = results.behaviour_similarities(prompted, weighting)
    found = similarity(table)
    assert found["circumplex control"] > 0.8 and abs(found["random control"]) < 0.5
    charity = table[(table["instrument"] == "Charity-game") & ~table["published"]]
    assert charity["mean"].isna().all() and charity["reason"].str.contains("human_value_behaviour.csv").all()
    paper = table[table["published"]].set_index("label")
    assert paper.loc["Qwen3-235B-A22B-Instruct", "mean"] == pytest.approx(printed)  # tables 2 and 4
    said = findings.of_similarities(table)
    assert f"circumplex control: {found['circumplex control']:.2f} [" in said and "Qwen3" not in said
    assert said.count("1 of 2 undefined.") == 2
    assert results.left_out(prompted) == [charity["reason"].iloc[0]]


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
    behaviours = results.behaviour_similarities(prompted, "H-NP")
    (said,) = findings.summary(table, behaviours, "a-model")
    assert said.startswith("H-NP: circumplex control: values similarity 0.") and "Qwen3" not in said
    assert said.count("behaviour similarity BFI-2") == 2


def test_published_signs_are_found_where_values_are_known(prompted):
    table = results.signs(prompted, "control-circumplex")
    assert len(table) >= 10 and table["reproduced"].mean() > 0.8
    reproduced = int(table["reproduced"].sum())
    assert findings.of_signs(table) == f"{reproduced} of {len(table)} published signs are reproduced."
    assert results.correlations_with(prompted, "Donation-causes", "control-circumplex").empty


# Filled questionnaires


def test_runs_shown_a_questionnaire_have_the_values_that_stand_in_it(prompted, priming):
    """The text in the prompt and the values that behaviour is correlated with are the same draw of the same answers."""
    m = priming.measurements[0]
    texts = texts_before(m.experiment, priming.results_dir, m.filled)
    runs = results._as_shown(prompted.shown, "filled_questionnaire", 0.7)
    assert set(runs.runs["population"]) == {"filled_questionnaire"}
    own = runs.take((runs.runs["model"] == "control-circumplex").to_numpy())
    assert len(own.runs) == len(texts) == 11
    for row, codes in zip(own.runs.itertuples(), own.answers(0.7), strict=True):
        (text,) = texts[row.persona, row.topic, row.seed]
        assert [PVQ_OPTIONS.index(words) + 1 for words in re.findall(r"Answer: (.*)", text)] == codes.tolist()
    assert 0 < (runs.codes != prompted.values.codes).mean() < 0.5  # drawn at 0.7, not the likeliest


def test_prompts_and_filled_questionnaires_are_compared_on_the_same_runs(study, prompted, priming, few_iterations):
    primed = priming.answers("priming")
    table = results.primed_similarities(prompted, primed, study.instruments, "H-NP")
    own = table[~table["published"]].set_index(["label", "priming"])["mean"]
    assert own["circumplex control", PRIMED] > 0.8 and own["circumplex control", BOTH] > 0.8
    assert set(table[table["published"]]["priming"]) == {PRIMED, BOTH, TEST_ONLY}
    # Only runs that were primed too stand under "Priming only".
    lacking = (primed["persona"] == "Power 01") & (primed["population"] == "filled_questionnaire")
    cut = results.primed_similarities(prompted, primed[~lacking], study.instruments, "Uniform")
    assert len(cut[~cut["published"]]) == 3 and cut[~cut["published"]]["mean"].isna().all()
    whole = results.primed_similarities(prompted, primed, study.instruments, "Uniform")
    assert whole[~whole["published"]]["mean"].notna().all()


def test_nothing_primed_is_an_empty_table(study, prompted):
    table = results.primed_similarities(prompted, pd.DataFrame(), study.instruments, "H-NP")
    assert table.empty and findings.of_similarities(table) == findings.NOTHING


# Answers without probabilities, and missing ones


def few_values(n_runs=22, **columns):
    """Answers to the PVQ-40: a run's own value and its neighbours on the circle get more than those opposite."""
    rng = np.random.default_rng(5)
    groups = [GROUPS[run % 11] for run in range(n_runs)]
    turn = 2 * np.pi * np.array([VALUES.index(item.value) for item in PVQ.items]) / 10
    own = np.array([2 * np.pi * VALUES.index(g) / 10 if g in VALUES else np.nan for g in groups])
    moved = np.nan_to_num(1.5 * np.cos(turn - own[:, None]))
    codes = np.clip(np.round(3.5 + moved + rng.normal(0, 0.6, (n_runs, 40))), 1, 6)
    return value_runs.answers(PVQ, codes, "value_prompts", groups, **columns)


def with_letters(table, n_options=6):
    likely = np.full((len(table), n_options), 0.02)
    likely[np.arange(len(table)), table["answer"].astype(int) - 1] = 1
    order = np.random.default_rng(2).permutation(n_options) + 1
    return value_runs.with_probabilities(table, likely / likely.sum(1, keepdims=True), order)


SMALL = value_runs.instrument(["giving"], 2, "Small")


def small_answers(n_runs=22, **columns):
    groups = [GROUPS[run % 11] for run in range(n_runs)]
    kind = [[3, 3] if g in ("Benevolence", "Universalism") else [1, 2] for g in groups]
    return value_runs.answers(SMALL, kind, "value_prompts", groups, **columns)


INSTRUMENTS = {"PVQ-40": PVQ, "Small": SMALL}


def test_answers_are_drawn_only_where_all_probabilities_of_all_instruments_are_told():
    told = pd.concat([with_letters(few_values()), with_letters(small_answers(), 3)])
    both = results.prompted(told, INSTRUMENTS)
    assert both.temperature == 0.7 and both.values.probabilities is not None
    untold = told.copy()
    rows = np.flatnonzero(untold["instrument"] == "Small")
    untold.iloc[rows[4], list(untold).index("logprob_C")] = np.nan
    one = results.prompted(untold, INSTRUMENTS)  # one letter of one answer to one instrument
    assert one.temperature == 0.0 and one.values.probabilities is None and one.behaviours[0].probabilities is None
    assert (one.values.codes == both.values.codes).all()
    found = results.correlations_with(one, "Small", "m", "Uniform").set_index("value")["r"]
    assert found["Benevolence"] > 0.4 and found["Power"] < 0


def test_runs_with_missing_answers_are_left_out_and_counted(few_iterations):
    values, behaviour = few_values(33), small_answers(33)
    values.loc[(values["persona"] == "run 000") & (values["item"] == 7), "answer"] = np.nan
    prompted = results.prompted(pd.concat([values, behaviour]), INSTRUMENTS)
    assert prompted.temperature == 0.0
    own = results.values_similarity(prompted).query("~published and weighting == 'Uniform'")
    assert own["n_left_out"].tolist() == [1, 1] and own["mean"].notna().all()
    values.loc[values["group"] == "Power", "answer"] = np.nan
    prompted = results.prompted(pd.concat([values, behaviour]), INSTRUMENTS)
    table = results.values_similarity(prompted).query("~published")
    assert table["mean"].isna().all() and table["reason"].str.contains("Power").all()
    assert "undefined." in findings.of_similarities(table) and "Power" in findings.of_similarities(table)
    maps, found = results.population_maps(prompted, "m"), results.correlations_with(prompted, "Small", "m")
    assert maps["x"].isna().all() and findings.of_maps(maps).startswith("No map")
    assert len(found) == 10 and found["r"].isna().all()
    assert findings.of_correlations(found).startswith("No correlation is defined. The population needs runs of Power")


def test_other_studies_are_refused_by_name():
    with pytest.raises(ValuestabError, match="Without the PVQ-40"):
        results.prompted(small_answers(), INSTRUMENTS)
    with pytest.raises(ValuestabError, match="Without the PVQ-40"):
        results.prompted(pd.DataFrame(), INSTRUMENTS)


# Agreement with behaviours

STATEMENTS = value_runs.instrument(
    [CONSERVATIVE, "Environmentalism", "Thrill-seeking"], 2, "Behaviour-statements", ("no", "yes"), reversed_items=(2,)
)


def test_agreement_by_the_value_of_the_prompt(monkeypatch):
    monkeypatch.setattr(results, "behaviour_areas", lambda: dict.fromkeys(STATEMENTS.scales, "area"))
    #        conservative, environment (item 2 reversed), thrills, and again
    by_group = {"Tradition": [2, 1, 1, 2, 2, 1], "Stimulation": [1, 2, 2, 1, 1, 2]}
    by_group |= {"none": [2] * 6, "Hedonism": [2] * 6}
    table = value_runs.answers(STATEMENTS, list(by_group.values()), "value_prompts", list(by_group))
    found = results.agreement(table, STATEMENTS)
    shares = found.set_index(["behaviour", "higher_order"])["agreement"]
    assert shares[CONSERVATIVE, "Conservation"] == 1 and shares[CONSERVATIVE, "Openness to change"] == 0
    assert shares["Environmentalism", "Conservation"] == 1 and shares["Environmentalism", "Openness to change"] == 0
    assert shares["Thrill-seeking", "Conservation"] == 0 and shares["Thrill-seeking", "Openness to change"] == 1
    assert shares[CONSERVATIVE, "Self-enhancement"] != shares[CONSERVATIVE, "Self-enhancement"]  # nobody asked: NaN
    assert set(found["label"]) == {"m (chat)"}
    assert results.politics(found).query("higher_order == 'Conservation'")["agreement"].tolist() == [1]
    assert findings.of_politics(results.politics(found)) == "m (chat): most with conservation (100%)."
    opposites = findings.of_opposites(results.higher_order(found))
    assert opposites.startswith("Openness to change and conservation: -1.00; Self-enhancement and self-tran")
    assert ": undefined (" in opposites
    assert findings.of_agreement(found).startswith("On average, agreement differs by 100%")


def test_an_empty_part_gives_empty_tables_and_says_so():
    nothing = pd.DataFrame()
    tables = [results.agreement(nothing, STATEMENTS), results.higher_order(nothing), results.politics(nothing)]
    assert all(table.empty for table in tables)
    for sentence in ("of_similarities", "of_signs", "of_correlations", "of_agreement", "of_opposites", "of_politics"):
        assert getattr(findings, sentence)(nothing) == findings.NOTHING
    assert findings.of_maps(nothing).startswith("No map is defined")


def test_a_printed_number_is_never_said_of_a_model_of_the_same_name():
    mine = {"label": "same", "model": "same", "row": "BFI-2", "mean": 0.2, "published": False}
    behaviours = pd.DataFrame([mine, mine | {"row": "average", "mean": 0.9, "published": True}])
    values = pd.DataFrame([mine | {"row": "H-NP", "mean": 0.3}, mine | {"row": "H-NP", "mean": 0.8, "published": True}])
    assert findings.summary(values, behaviours, "same") == [
        "H-NP: same: values similarity 0.30, behaviour similarity BFI-2 0.20."
    ]
    assert findings.of_similarities(behaviours) == "same: 0.20 (BFI-2)."
