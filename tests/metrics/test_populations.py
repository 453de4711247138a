"""Populations of value-prompted runs: weights, samples, similarity to humans, agreement with behaviours."""

import numpy as np
import pandas as pd
import pytest
from value_runs import answers, instrument, with_probabilities

from valuestab_utils.errors import ValuestabError
from valuestab_utils.metrics import (
    GROUPS,
    WEIGHTINGS,
    HumanBehaviour,
    agreement_table,
    bootstrap_behaviour_similarity,
    bootstrap_values_similarities,
    higher_order_correlations,
    population_correlations,
    population_weights,
    references_10,
    run_scores,
    value_behaviour_correlations,
)
from valuestab_utils.metrics.populations import behaviour_similarity, sample_runs
from valuestab_utils.prompts import VALUES, angles_on_circle

SHARES = pd.Series(0.05, index=list(GROUPS))
SHARES[["Power", "Security", "none"]] = 0.02, 0.08, 0.5
LIKERT = tuple("123456")


def pvq():
    return instrument(VALUES, 3, name="PVQ-40", options=LIKERT, centred=True)


def prompted(seed=0, per_value=6, noise=0.8, population="value_prompts"):
    """PVQ answers of runs at their value's angle on the circle; runs without a prompt are noise."""
    rng = np.random.default_rng(seed)
    angles = angles_on_circle(VALUES)
    groups = [group for group in GROUPS for _ in range(per_value)]
    own = np.array([np.cos(angles - angles[VALUES.index(g)]) if g in VALUES else np.zeros(10) for g in groups])
    codes = np.clip(np.round(3.5 + 2 * np.tile(own, 3) + rng.normal(0, noise, (len(groups), 30))), 1, 6)
    return codes, answers(pvq(), codes, population, groups)


def test_weights_by_hand():
    similarities = dict.fromkeys(VALUES, 0.0) | {"Power": 0.6, "Security": 0.2, "Hedonism": -0.4}
    weights = {name: population_weights(name, SHARES, similarities) for name in WEIGHTINGS}
    for weight in weights.values():
        assert weight.sum() == pytest.approx(1) and (weight >= 0).all() and list(weight.index) == list(GROUPS)
    assert [round(weights[name]["Security"], 9) for name in WEIGHTINGS] == [0.1, 0.16, 0.13, 0.08, 0.25]
    assert [round(weights[name]["none"], 9) for name in WEIGHTINGS] == [0, 0, 0, 0.5, 0]
    assert weights["Model-Specific"]["Hedonism"] == 0
    with pytest.raises(ValuestabError, match="none is positive"):
        population_weights("Model-Specific", SHARES, dict.fromkeys(VALUES, -0.1))
    groups = ["Power"] * 3 + ["Security"] * 7 + ["none"]
    weights = pd.Series({"Power": 0.75, "Security": 0.25, "none": 0.0})
    drawn = sample_runs(np.random.default_rng(0), groups, weights, 20_000)
    shares = np.bincount(drawn, minlength=11) / 20_000
    np.testing.assert_allclose(shares, [0.25] * 3 + [0.25 / 7] * 7 + [0], atol=0.01)


def test_correlations_of_values_with_behaviour_and_their_likeness_by_hand():
    values = np.array([[1.0, 3.0], [2.0, 3.0], [3.0, 0.0]])
    behaviour = np.array([[1.0], [0.0], [2.0]])
    found = value_behaviour_correlations(values, behaviour)
    np.testing.assert_allclose(found, [[0.5], [-np.sqrt(3) / 2]])
    human = np.array([[0.3, 0.1, np.nan], [-0.2, np.nan, 0.0]])
    ours = np.array([[0.4, 0.2, 9.0], [-0.1, np.nan, 0.1]])
    assert behaviour_similarity(ours, human) == pytest.approx(1)
    with pytest.raises(ValuestabError, match="1 of 4 value-behaviour"):
        behaviour_similarity(np.where(ours == 0.2, np.nan, ours), human)


def test_populations_like_the_theory_and_like_people():
    game = instrument(("Contribution",), name="Charity-game", options=tuple("1234567"))
    codes, frame = prompted(per_value=4)
    codes[0, 0] = frame.loc[0, "answer"] = np.nan
    giving = np.clip(np.nan_to_num(codes[:, [9]] - codes[:, [4]]) + 4, 1, 7)  # universalism gives, power keeps
    groups = [group for group in GROUPS for _ in range(4)]
    values, behaviour = run_scores(frame, pvq()), run_scores(answers(game, giving, "value_prompts", groups), game)
    weights = population_weights("Uniform", SHARES)
    human, theory = bootstrap_values_similarities(values, weights, references_10(), 0.0, n_iterations=4, n_samples=100)
    assert theory.mean > 0.8 and theory.low <= theory.mean <= theory.high and theory.n_left_out == 1
    assert human.t == pytest.approx(human.mean / (human.sd / 2)) and human.n_undefined == 0  # of four iterations
    known = pd.DataFrame({"Contribution": np.nan}, index=list(VALUES))
    known.loc[["Universalism", "Power", "Benevolence", "Achievement"], "Contribution"] = 0.5, -0.5, 0.4, -0.4
    people = HumanBehaviour("Charity-game", known, "made up")
    assert people.n_cells == 4
    assert bootstrap_behaviour_similarity(values, behaviour, weights, people, 0.0, 3, 100).mean > 0.9
    r = population_correlations(values, behaviour, weights, 0.0, n_samples=500).set_index("value")["r"]
    assert r["Universalism"] > 0.5 > -0.5 > r["Power"]


def test_answers_are_drawn_anew_for_each_sampled_run():
    of = instrument(VALUES, 1, name="PVQ-40", options=("no", "yes"))
    frame = answers(of, np.ones((11, 10)), groups=list(GROUPS))
    runs = run_scores(with_probabilities(frame, np.full((110, 2), 0.5), (1, 2)), of)
    game = instrument(("Contribution",), name="Charity-game", options=("no", "yes"))
    frame = answers(game, np.ones((11, 1)), groups=list(GROUPS))
    behaviour = run_scores(with_probabilities(frame, np.full((11, 2), 0.5), (1, 2)), game)
    known = pd.DataFrame({"Contribution": np.linspace(-0.4, 0.4, 10)}, index=list(VALUES))
    human = HumanBehaviour("Charity-game", known, "made up")
    weights = population_weights("Uniform", SHARES)
    drawn = bootstrap_behaviour_similarity(runs, behaviour, weights, human, 1.0, n_iterations=40)
    assert drawn.n_undefined == 0 and abs(drawn.mean) < 0.25  # pure noise is like nobody
    likeliest = bootstrap_behaviour_similarity(runs, behaviour, weights, human, 0.0, n_iterations=4)
    assert likeliest.n_undefined == 4 and "the same in all of them" in likeliest.reason


BEHAVIOURS = ("Conservative politics", "Risk seeking", "Helping others")
AREAS = ("politics", "personality", "ethics")
PROMPTS = ["Tradition", "Security", "Stimulation", "Power", "Universalism", "Hedonism", "none"]
NO, YES = 1, 2
CODES = [
    [YES, NO, YES, NO, NO, YES],  # tradition: conservative by both statements, the second one reversed
    [YES, NO, NO, YES, NO, NO],  # security: by one
    [NO, YES, NO, YES, YES, NO],
    [YES, YES, NO, NO, YES, NO],
    [NO, NO, YES, YES, NO, YES],
    [YES] * 6,  # hedonism and no prompt count for no higher-order value
    [NO] * 6,
]


@pytest.fixture
def runs():
    yes_no = {"options": ("No", "Yes"), "option_scores": (0.0, 1.0), "reversed_items": (4,), "areas": AREAS}
    statements = instrument(BEHAVIOURS, 2, name="Behaviour-statements", **yes_no)
    return run_scores(answers(statements, CODES, "value_prompts", PROMPTS), statements)


def test_shares_of_agreement_by_hand(runs):
    table = agreement_table(runs).set_index(["behaviour", "higher_order"])
    conservation = table.loc[("Conservative politics", "Conservation")]
    assert conservation["agreement"] == 0.75 and conservation["n"] == 2 and conservation["standard_error"] == 0.25
    assert conservation["area"] == "politics"
    openness = table.loc[("Risk seeking", "Openness to change")]
    assert openness["agreement"] == 1 and openness["n"] == 1 and np.isnan(openness["standard_error"])
    politics = table.loc["Conservative politics", "agreement"]
    assert politics["Self-transcendence"] == 0 and politics["Self-enhancement"] == 1


def test_vectors_of_agreement_are_correlated_over_behaviours(runs):
    table = agreement_table(runs)
    found = higher_order_correlations(table).set_index(["value_a", "value_b"])["r"]
    vectors = table.pivot(index="behaviour", columns="higher_order", values="agreement")
    expected = np.corrcoef(vectors["Conservation"], vectors["Openness to change"])[0, 1]
    assert found["Conservation", "Openness to change"] == pytest.approx(expected)
    assert found["Conservation", "Conservation"] == pytest.approx(1) and len(found) == 16
    assert found["Self-enhancement", "Self-transcendence"] == pytest.approx(-1)
