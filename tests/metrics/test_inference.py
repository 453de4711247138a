"""Intervals, chance and tests: against plain loops and scipy, in limiting cases and under invariances."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_ind

from valuestab_utils.errors import ValuestabError
from valuestab_utils.metrics import (
    bootstrap_interval,
    chance_stability,
    compare_pairs,
    inference,
    length_effect,
    spearman,
    stability,
)
from valuestab_utils.metrics.inference import Interval

NAN = float("nan")

# No number here may depend on a warning that somebody overlooks.
pytestmark = pytest.mark.filterwarnings("error")


both_measures = pytest.mark.parametrize("measure", ["rank_order", "ipsative"])
all_cases = pytest.mark.parametrize("case", ["plain", "ties", "missing", "constant"])


def population(n_personas, rho, n_values=4, seed=0):
    """Normal scores (1, 3, personas, values) whose correlation between contexts is rho for each persona and value."""
    rng = np.random.default_rng(seed)
    own = rng.normal(size=(1, 1, n_personas, n_values))
    return math.sqrt(rho) * own + math.sqrt(1 - rho) * rng.normal(size=(1, 3, n_personas, n_values))


def awkward(case):
    """Small scores (2, 3, 6, 4) with what breaks correlations."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(2, 3, 6, 4))
    if case == "ties":
        scores = rng.integers(1, 4, size=scores.shape) / 10 + 0.1 * rng.integers(0, 2, size=scores.shape)
    if case == "missing":
        scores[rng.random(scores.shape) < 0.25] = NAN
        scores[0, 1, 2] = scores[1, :, 4] = NAN
    if case == "constant":
        scores[0, 0, :, 1] = 0.3
        scores[1, 2] = 0.1 * 3
        scores[0, :, 3] = 2.0
        scores[:, :, 0, 1:] = 1.0
    return scores


def check(found, drawn):
    """The interval is the central part of what was drawn and is defined."""
    defined = [x for x in drawn if not math.isnan(x)]
    expected = np.quantile(defined, [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx(tuple(expected), abs=1e-12)
    assert found.n_undefined == len(drawn) - len(defined)


@both_measures
@all_cases
def test_bootstrap_equals_a_plain_loop(measure, case):
    scores = awkward(case)
    who = np.random.default_rng(7).integers(6, size=(30, 6))
    found = bootstrap_interval(scores, measure, n_resamples=30, seed=7)
    check(found, [stability(scores[:, :, personas], measure).overall for personas in who])


@both_measures
@all_cases
def test_chance_equals_a_plain_loop(measure, case):
    scores = awkward(case)
    rng = np.random.default_rng(7)
    drawn = []
    for _ in range(30):
        permuted = scores.copy()
        for s, c in np.ndindex(2, 3):
            permuted[s, c] = scores[s, c, rng.permuted(np.arange(6))]
        drawn.append(stability(permuted, measure).overall)
    chance = chance_stability(scores, measure, n_permutations=30, seed=7)
    check(chance, drawn)
    as_high = sum(x >= stability(scores, measure).overall - 1e-9 for x in drawn)
    assert chance.mean == pytest.approx(np.nanmean(drawn), abs=1e-12)
    assert chance.p_value == pytest.approx((1 + as_high) / (1 + 30 - chance.n_undefined))


@both_measures
def test_chunks_change_nothing(measure, monkeypatch):
    scores = awkward("missing")
    whole = bootstrap_interval(scores, measure, 50), chance_stability(scores, measure, 50)
    monkeypatch.setattr(inference, "NUMBERS_AT_ONCE", 1000)  # 9 draws at once
    assert (bootstrap_interval(scores, measure, 50), chance_stability(scores, measure, 50)) == whole


@both_measures
def test_identical_contexts_are_stable_in_every_resample_and_not_by_chance(measure):
    scores = np.random.default_rng(0).normal(size=(2, 1, 12, 6)).repeat(3, axis=1)
    assert bootstrap_interval(scores, measure, 200) == Interval(1.0, 1.0, 1.0, 200, 0)
    chance = chance_stability(scores, measure, 199)
    assert chance.p_value == 1 / 200 and chance.high < 0.5


def test_a_profile_common_to_all_is_ipsative_stability_by_chance_but_no_rank_order():
    scores = 3 * np.arange(8.0) + population(15, 0.0, n_values=8)
    ipsative, rank_order = (chance_stability(scores, m, 199) for m in ("ipsative", "rank_order"))
    assert stability(scores, "ipsative").overall > 0.9 and ipsative.mean > 0.9 and ipsative.p_value > 0.05
    assert abs(rank_order.mean) < 0.05


def test_no_interval_if_most_resamples_are_undefined():
    # Only a resample with three draws or more of the first two personas, and of both, has a correlation.
    scores = np.full((1, 2, 12, 1), NAN)
    scores[:, :, :2, 0] = [1.0, 2.0]
    interval = bootstrap_interval(scores, "rank_order", 200)
    assert interval.n_undefined > 100 and math.isnan(interval.low) and math.isnan(interval.high)


def test_no_p_value_without_an_observed_stability():
    # Personas 0-2 are there in one context, 3-5 in the other: permuted, some meet, but never as observed.
    scores = np.full((1, 2, 6, 1), NAN)
    scores[0, 0, :4, 0] = scores[0, 1, 2:, 0] = [1.0, 2.0, 3.0, 4.0]
    chance = chance_stability(scores, "rank_order", 200)
    assert 0 < chance.n_undefined < 200 and math.isnan(chance.p_value)


@both_measures
def test_constant_scores_have_neither_interval_nor_chance(measure):
    scores = np.ones((1, 2, 5, 4))
    interval, chance = bootstrap_interval(scores, measure, 20), chance_stability(scores, measure, 20)
    assert interval.n_undefined == chance.n_undefined == 20
    numbers = (interval.low, interval.high, chance.mean, chance.low, chance.high, chance.p_value)
    assert all(math.isnan(x) for x in numbers)


@pytest.mark.parametrize("measured", [bootstrap_interval, chance_stability])
@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ((population(5, 0.4)[0, 0], "ipsative"), r"\(5, 4\): give \(seeds, contexts, personas, values\)"),
        ((population(2, 0.4), "rank_order"), "at least 3 personas, not 2"),
        ((population(5, 0.4, n_values=2), "ipsative"), "at least 3 values, not 2"),
    ],
)
def test_what_has_no_stability_is_refused(measured, asked, message):
    with pytest.raises(ValuestabError, match=message):
        measured(*asked)


def models(n=5, seed=0):
    rng = np.random.default_rng(seed)
    return {f"model {i}": rng.normal(0.1 * i, 0.1 + 0.02 * i, size=4 + i % 3).tolist() for i in range(n)}


def row(pairs, one, other):
    (found,) = pairs[(pairs["one"] == one) & (pairs["other"] == other)].to_dict("records")
    return found


def benjamini_hochberg(p):
    """Adjusted p-values by the definition: the least p_k m / k over ranks k not before one's own."""
    ranked = sorted(p)
    return [min(q * len(p) / k for k, q in enumerate(ranked, 1) if q >= own) for own in p]


def test_one_pair_by_hand():
    # Means 2 and 5; squares 2 and 8 over 2 + 2 degrees of freedom: s² = 2.5, t = -3 / sqrt(2.5 * 2 / 3).
    found = row(compare_pairs({"a": [1, 2, 3], "b": [3, 5, 7]}), "a", "b")
    assert (found["n_one"], found["n_other"], found["degrees_of_freedom"]) == (3, 3, 4)
    assert (found["mean_one"], found["mean_other"], found["difference"]) == (2, 5, -3)
    assert found["t"] == pytest.approx(-3 / np.sqrt(5 / 3), rel=1e-12)
    assert found["p_adjusted"] == found["p"]  # one hypothesis
    assert found["undefined"] == ""


def test_21_models_make_210_comparisons_equal_to_scipy():
    units = models(21)
    pairs = compare_pairs(units)
    assert list(zip(pairs["one"], pairs["other"], strict=True)) == list(itertools.combinations(units, 2))
    # Variances are pooled, as in the paper: unequal numbers of units tell that from Welch's test.
    tests = [ttest_ind(units[one], units[other]) for one, other in itertools.combinations(units, 2)]
    np.testing.assert_allclose(pairs["t"], [test.statistic for test in tests], rtol=1e-10)
    np.testing.assert_allclose(pairs["p"], [test.pvalue for test in tests], rtol=1e-10)
    np.testing.assert_allclose(pairs["p_adjusted"], benjamini_hochberg(list(pairs["p"])), rtol=1e-12)
    assert (pairs["significant"] == (pairs["p_adjusted"] <= 0.05)).all()
    assert 0 < pairs["significant"].sum() < 210


def test_untestable_pairs_are_no_hypotheses():
    units = models(3)
    without = compare_pairs(units)
    pairs = compare_pairs(units | {"short": [0.5], "empty": []})
    np.testing.assert_array_equal(pairs.loc[pairs["undefined"] == "", "p_adjusted"], without["p_adjusted"])
    rest = pairs[pairs["undefined"] != ""]
    assert len(rest) == 7
    assert set(rest["undefined"]) == {"fewer than two units"}
    assert rest["significant"].isna().all()
    assert rest[["t", "p", "p_adjusted", "degrees_of_freedom"]].isna().all(axis=None)
    assert row(pairs, "short", "empty")["mean_one"] == 0.5


def test_no_variance_in_either_has_no_test_even_if_they_differ():
    pairs = compare_pairs({"a": [0.5, 0.5], "b": [0.7, 0.7, 0.7], "c": [0.1 + 0.2, 0.3]})
    assert list(pairs["undefined"]) == ["no variance in either"] * 3  # rounding noise is no variance
    assert pairs["significant"].isna().all()
    assert pairs.loc[0, "difference"] == pytest.approx(-0.2)
    # One that varies is enough: pooled variance (0 + 0.02) / 4, so t = 0.3 / sqrt(0.005 * 2 / 3).
    found = row(compare_pairs({"a": [0.5, 0.5, 0.5], "b": [0.1, 0.2, 0.3]}), "a", "b")
    assert found["t"] == pytest.approx(0.3 / np.sqrt(0.01 / 3)) and found["significant"]


def test_missing_units_are_left_out():
    pairs = compare_pairs({"a": [NAN, 0.1, 0.2, 0.3], "b": [0.3, NAN, 0.5, 0.4]})
    pd.testing.assert_frame_equal(pairs, compare_pairs({"a": [0.1, 0.2, 0.3], "b": [0.3, 0.5, 0.4]}))
    assert pairs.loc[0, "n_one"] == 3


def square(pairs, n):
    """Symmetric (n, n) with these numbers above the diagonal, row by row, and NaN on it."""
    pairwise = np.full((n, n), NAN)
    first, second = np.triu_indices(n, 1)
    pairwise[first, second] = pairwise[second, first] = pairs
    return pairwise


def falling(lengths, noise=0.0):
    """Stability that falls with the mean length of a pair, by 0.1 per 100."""
    drawn = np.random.default_rng(1).normal(0, noise, 2 * [len(lengths)])
    return 1 - (lengths[:, None] + lengths) / 2 / 1000 + (drawn + drawn.T) / 2


def test_by_hand():
    # Pairs ab ac ad bc bd cd have the mean lengths 50 100 200 150 250 300, ranks 1 2 4 3 5 6.
    # Their stabilities have the ranks 6 5 4 3 1 2: squared differences 25 9 0 0 16 16.
    found = length_effect(square([0.9, 0.8, 0.6, 0.5, 0.1, 0.4], 4), [0, 100, 200, 400])
    assert found.rho == pytest.approx(1 - 6 * 66 / 210)
    # Deviations from the mean 175: -125 -75 25 -25 75 125; products with the stabilities sum to -112.5.
    assert found.slope == pytest.approx(100 * -112.5 / 43750)
    assert (found.n_pairs, found.n_undefined) == (6, 0)


@pytest.mark.parametrize(("n", "gap"), [(3, False), (4, True), (5, False), (5, True)])
def test_exact_p_value_is_that_of_a_plain_loop_over_orders(n, gap):
    rng = np.random.default_rng(n)
    pairs, lengths = rng.normal(size=n * (n - 1) // 2), rng.integers(0, 500, n)
    if gap:
        pairs[1] = NAN
    couples = list(itertools.combinations(range(n), 2))

    def rho(order):
        return spearman([(lengths[order[a]] + lengths[order[b]]) / 2 for a, b in couples], pairs)

    found = length_effect(square(pairs, n), lengths)
    drawn = [rho(order) for order in itertools.permutations(range(n))]
    assert found.rho == rho(range(n))
    assert found.p_value == pytest.approx(np.mean([abs(r) >= abs(found.rho) - 1e-12 for r in drawn]))


def test_orders_without_a_correlation_count_against_the_observed_one():
    # The pairs of the last context are missing. One context is long: the first in 6 of 24 orders (rho as
    # observed), the second (0), the third (the other sign), the last: then the pairs left are equally long.
    found = length_effect(square([0.9, 0.8, NAN, 0.1, NAN, NAN], 4), [5, 0, 0, 0])
    assert found.rho == pytest.approx(math.sqrt(3) / 2) and found.p_value == pytest.approx(18 / 24)


def test_drawn_p_values_are_near_the_exact_one_and_never_0(monkeypatch):
    pairwise, lengths = falling(np.arange(6) * 100, noise=0.5), np.arange(6) * 100
    exact = length_effect(pairwise, lengths).p_value
    monkeypatch.setattr("valuestab_utils.metrics.inference.EXACT_UP_TO", 5)
    drawn = length_effect(pairwise, lengths, n_permutations=20000).p_value
    assert drawn == pytest.approx(exact, abs=0.015)  # four standard errors of 20000 draws at most
    fourteen = np.arange(14) ** 2 * 10
    assert length_effect(falling(fourteen), fourteen).p_value == pytest.approx(1 / 5001)


@pytest.mark.parametrize(
    ("pairs", "lengths", "slope"),
    [
        ([0.3] * 6, [0, 100, 250, 500], 0.0),  # constant stability: flat
        ([0.9, 0.8, 0.6, 0.5, 0.1, 0.4], [80] * 4, NAN),
        ([0.5, 0.1, NAN, NAN, NAN, NAN], [0, 100, 250, 500], NAN),  # two pairs are too few
    ],
)
def test_where_there_is_no_correlation(pairs, lengths, slope):
    found = length_effect(square(pairs, 4), lengths)
    assert math.isnan(found.rho) and math.isnan(found.p_value)
    assert found.slope == pytest.approx(slope, abs=1e-12, nan_ok=True)
    assert found.n_undefined == np.isnan(pairs).sum() == 6 - found.n_pairs
