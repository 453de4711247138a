"""Intervals and chance: against plain loops on the same draws, in limiting cases, in simulations."""

import math

import numpy as np
import pytest

from valuestab_utils import uncertainty
from valuestab_utils.errors import ValuestabError
from valuestab_utils.ipsative import ipsative_over_seeds, ipsative_stability
from valuestab_utils.rank_order import over_seeds, rank_order_stability
from valuestab_utils.uncertainty import Chance, Interval, bootstrap_interval, chance_stability

NAN = float("nan")
MEASURES = ["rank_order", "ipsative"]

pytestmark = pytest.mark.filterwarnings("error")


def stability(scores, measure):
    if measure == "rank_order":
        return over_seeds([rank_order_stability(s).overall for s in scores]).mean
    return ipsative_over_seeds([ipsative_stability(s) for s in scores]).overall


def population(n_personas, rho, shape=(1, 3), n_values=4, seed=0):
    """Normal scores whose correlation between contexts is rho for each persona and value."""
    rng = np.random.default_rng(seed)
    own = rng.normal(size=(shape[0], 1, n_personas, n_values))
    return math.sqrt(rho) * own + math.sqrt(1 - rho) * rng.normal(size=(*shape, n_personas, n_values))


def expected_spearman(rho, n):
    """Expectation of Spearman's correlation in n draws from a bivariate normal distribution."""
    return 6 / math.pi * (math.asin(rho) + (n - 2) * math.asin(rho / 2)) / (n + 1)


def awkward(case, seed=0):
    """Small scores (2, 3, 6, 4) with what breaks correlations."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(2, 3, 6, 4))
    if case == "ties":
        scores = rng.integers(1, 4, size=scores.shape) / 10 + 0.1 * rng.integers(0, 2, size=scores.shape)
    if case == "missing":
        scores[rng.random(scores.shape) < 0.25] = NAN
        scores[0, 1, 2] = NAN
        scores[1, :, 4] = NAN
    if case == "constant":
        scores[0, 0, :, 1] = 0.3
        scores[1, 2] = 0.1 * 3
        scores[0, :, 3] = 2.0
        scores[:, :, 0, 1:] = 1.0
    return scores


def central(drawn, level):
    defined = [x for x in drawn if not math.isnan(x)]
    return np.quantile(defined, [(1 - level) / 2, (1 + level) / 2]), len(drawn) - len(defined)


# --- against plain loops


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("case", ["plain", "ties", "missing", "constant"])
def test_bootstrap_equals_a_plain_loop(measure, case):
    scores = awkward(case)
    who = np.random.default_rng(7).integers(6, size=(30, 6))
    drawn = [stability(scores[:, :, personas], measure) for personas in who]
    (low, high), n_undefined = central(drawn, 0.8)
    interval = bootstrap_interval(scores, measure, n_resamples=30, level=0.8, seed=7)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-12)
    assert (interval.level, interval.n_resamples, interval.n_undefined) == (0.8, 30, n_undefined)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("case", ["plain", "ties", "missing", "constant"])
def test_chance_equals_a_plain_loop(measure, case):
    scores = awkward(case)
    rng = np.random.default_rng(7)
    drawn = []
    for _ in range(30):
        permuted = scores.copy()
        for s, c in np.ndindex(2, 3):
            permuted[s, c] = scores[s, c, rng.permuted(np.arange(6))]
        drawn.append(stability(permuted, measure))
    (low, high), n_undefined = central(drawn, 0.95)
    as_high = sum(x >= stability(scores, measure) - 1e-9 for x in drawn)
    chance = chance_stability(scores, measure, n_permutations=30, seed=7)
    assert (chance.mean, chance.low, chance.high) == pytest.approx((np.nanmean(drawn), low, high), abs=1e-12)
    assert chance.p_value == pytest.approx((1 + as_high) / (1 + 30 - n_undefined))
    assert (chance.n_permutations, chance.n_undefined) == (30, n_undefined)


@pytest.mark.parametrize("measure", MEASURES)
def test_chunks_change_nothing(measure, monkeypatch):
    scores = awkward("missing")
    whole = bootstrap_interval(scores, measure, 50), chance_stability(scores, measure, 50)
    monkeypatch.setattr(uncertainty, "NUMBERS_AT_ONCE", 1000)  # 9 draws at once
    monkeypatch.setattr(uncertainty, "COLUMNS_AT_ONCE", 20)  # 3 personas at once
    assert (bootstrap_interval(scores, measure, 50), chance_stability(scores, measure, 50)) == whole


# --- limiting cases


@pytest.mark.parametrize("measure", MEASURES)
def test_identical_contexts_are_stable_in_every_resample_and_not_by_chance(measure):
    scores = np.random.default_rng(0).normal(size=(2, 1, 12, 6)).repeat(3, axis=1)
    assert bootstrap_interval(scores, measure, 200) == Interval(1.0, 1.0, 0.95, 200, 0)
    chance = chance_stability(scores, measure, 199)
    assert chance.p_value == 1 / 200
    assert chance.high < 0.5


@pytest.mark.parametrize("measure", MEASURES)
def test_independent_contexts_have_the_stability_of_chance(measure):
    drawn = [chance_stability(population(10, 0.0, seed=s), measure, 99, seed=s) for s in range(80)]
    assert abs(np.mean([chance.mean for chance in drawn])) < 0.02
    p = np.array([chance.p_value for chance in drawn])
    assert 0.4 < p.mean() < 0.6
    assert 0.02 <= (p <= 0.1).mean() <= 0.2
    assert 0.02 <= (p > 0.9).mean() <= 0.2


def test_a_profile_common_to_all_is_ipsative_stability_by_chance_but_no_rank_order():
    scores = 3 * np.arange(8.0) + population(15, 0.0, n_values=8)
    ipsative, rank_order = (chance_stability(scores, m, 199) for m in ("ipsative", "rank_order"))
    assert stability(scores, "ipsative") > 0.9
    assert ipsative.mean > 0.9
    assert ipsative.p_value > 0.05
    assert abs(rank_order.mean) < 0.05


def test_profiles_of_their_own_beat_the_chance_of_a_common_one():
    scores = np.arange(8.0) + population(15, 0.9, n_values=8)
    chance = chance_stability(scores, "ipsative", 199)
    assert stability(scores, "ipsative") > chance.high > chance.mean > 0.5
    assert chance.p_value == 1 / 200


def test_personas_kept_apart_by_contexts_of_opposite_order_have_no_small_p():
    scores = np.arange(9.0).reshape(1, 1, 9, 1) * np.array([1, -1]).reshape(1, 2, 1, 1)
    assert bootstrap_interval(scores, "rank_order", 50).high == -1.0
    assert chance_stability(scores, "rank_order", 50).p_value == 1.0


def test_three_personas_alike_in_a_resample_are_counted():
    scores = np.arange(3.0).reshape(1, 1, 3, 1).repeat(2, axis=1)
    who = np.random.default_rng(0).integers(3, size=(500, 3))
    alike = int((who == who[:, :1]).all(axis=1).sum())  # one in nine
    assert alike > 0
    assert bootstrap_interval(scores, "rank_order", 500) == Interval(1.0, 1.0, 0.95, 500, alike)


def test_no_interval_if_most_resamples_are_undefined():
    # Only a resample with three draws or more of the first two personas, and of both, has a correlation.
    scores = np.full((1, 2, 12, 1), NAN)
    scores[:, :, :2, 0] = [1.0, 2.0]
    interval = bootstrap_interval(scores, "rank_order", 200)
    assert interval.n_undefined > 100
    assert math.isnan(interval.low) and math.isnan(interval.high)


@pytest.mark.parametrize("measure", MEASURES)
def test_constant_scores_have_neither_interval_nor_chance(measure):
    scores = np.ones((1, 2, 5, 4))
    interval, chance = bootstrap_interval(scores, measure, 20), chance_stability(scores, measure, 20)
    assert interval.n_undefined == chance.n_undefined == 20
    assert all(math.isnan(x) for x in (interval.low, interval.high, chance.mean, chance.low, chance.high))
    assert math.isnan(chance.p_value)


def test_no_p_value_without_an_observed_stability():
    # Personas 0-2 are there in one context, 3-5 in the other: permuted, some meet, but never as observed.
    scores = np.full((1, 2, 6, 1), NAN)
    scores[0, 0, :4, 0] = scores[0, 1, 2:, 0] = [1.0, 2.0, 3.0, 4.0]
    assert math.isnan(stability(scores, "rank_order"))
    chance = chance_stability(scores, "rank_order", 200)
    assert 0 < chance.n_undefined < 200
    assert math.isnan(chance.p_value)


def test_one_persona_has_no_interval_and_its_own_chance():
    scores = population(1, 0.5, n_values=8)
    interval = bootstrap_interval(scores, "ipsative", 30)
    assert math.isnan(interval.low) and interval.n_undefined == 30
    observed = stability(scores, "ipsative")
    assert chance_stability(scores, "ipsative", 30) == Chance(observed, observed, observed, 1.0, 30, 0)


def test_one_persona_defined_has_no_interval():
    scores = population(4, 0.5, n_values=8)
    scores[:, :, 1:] = 2.0
    assert math.isnan(bootstrap_interval(scores, "ipsative", 30).high)


# --- invariances


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("measured", [bootstrap_interval, chance_stability])
def test_same_seed_same_numbers(measured, measure):
    scores = population(8, 0.4)
    assert measured(scores, measure, 50, seed=1) == measured(scores.copy(), measure, 50, seed=1)
    assert measured(scores, measure, 50, seed=1) != measured(scores, measure, 50, seed=2)


@pytest.mark.parametrize("measure", MEASURES)
def test_bootstrap_does_not_depend_on_the_order_of_contexts_values_and_seeds(measure):
    scores = population(8, 0.4, shape=(2, 3))
    first = bootstrap_interval(scores, measure, 60)
    for other in (scores[::-1], scores[:, ::-1], scores[..., ::-1]):
        interval = bootstrap_interval(other, measure, 60)
        assert (interval.low, interval.high) == pytest.approx((first.low, first.high), abs=1e-12)


def test_only_order_matters():
    scores = population(8, 0.4)
    for measured in (bootstrap_interval, chance_stability):
        for measure in MEASURES:
            assert measured(np.exp(scores), measure, 60) == measured(scores, measure, 60)


@pytest.mark.parametrize("measure", MEASURES)
def test_chance_hardly_depends_on_the_order_of_personas(measure):
    scores = population(20, 0.6, n_values=6)
    one, other = (chance_stability(x, measure, 400) for x in (scores, scores[:, :, ::-1]))
    assert one.mean == pytest.approx(other.mean, abs=0.02)
    assert one.high == pytest.approx(other.high, abs=0.04)
    assert one.p_value == other.p_value == 1 / 401


def test_input_is_not_changed():
    scores = awkward("missing")
    copy = scores.copy()
    for measure in MEASURES:
        bootstrap_interval(scores, measure, 5)
        chance_stability(scores, measure, 5)
    np.testing.assert_array_equal(scores, copy)


def test_a_higher_level_and_fewer_personas_make_it_wider():
    def width(n_personas, level):
        interval = bootstrap_interval(population(n_personas, 0.4), "rank_order", 300, level)
        return interval.high - interval.low

    assert width(60, 0.99) > width(60, 0.95) > width(60, 0.5)
    assert width(5, 0.95) > 2 * width(60, 0.95)


# --- coverage


@pytest.mark.parametrize("rho", [0.2, 0.5])
def test_rank_order_interval_covers_the_true_stability(rho):
    true = expected_spearman(rho, 10**9)
    scores = [population(60, rho, seed=s) for s in range(100)]
    intervals = [bootstrap_interval(x, "rank_order", 200, seed=s) for s, x in enumerate(scores)]
    assert 0.88 <= np.mean([i.low <= true <= i.high for i in intervals]) <= 0.99


def test_ipsative_interval_covers_the_true_stability():
    true = expected_spearman(0.5, 10)
    scores = [population(60, 0.5, n_values=10, seed=s) for s in range(100)]
    intervals = [bootstrap_interval(x, "ipsative", 200, seed=s) for s, x in enumerate(scores)]
    assert 0.88 <= np.mean([i.low <= true <= i.high for i in intervals]) <= 0.99


# --- errors


@pytest.mark.parametrize("measured", [bootstrap_interval, chance_stability])
def test_errors(measured):
    scores = population(5, 0.4)
    with pytest.raises(ValuestabError, match="Unknown measure 'rank-order'. Did you mean 'rank_order'"):
        measured(scores, "rank-order")
    with pytest.raises(ValuestabError, match=r"\(3, 5, 4\): give \(seeds, contexts, personas, values\)"):
        measured(scores[0], "ipsative")
    with pytest.raises(ValuestabError, match="none of them 0"):
        measured(scores[:0], "ipsative")
    with pytest.raises(ValuestabError, match="0 (resamples|permutations) were asked for"):
        measured(scores, "ipsative", 0)
    with pytest.raises(ValuestabError, match="at least 2 contexts, not 1"):
        measured(scores[:, :1], "ipsative")
    with pytest.raises(ValuestabError, match="at least 3 personas, not 2"):
        measured(scores[:, :, :2], "rank_order")
    with pytest.raises(ValuestabError, match="at least 3 values, not 2"):
        measured(scores[..., :2], "ipsative")


@pytest.mark.parametrize("level", [0, 1, 95, NAN])
def test_level_must_be_a_share(level):
    with pytest.raises(ValuestabError, match="level is .* between 0 and 1"):
        bootstrap_interval(population(5, 0.4), "ipsative", level=level)
