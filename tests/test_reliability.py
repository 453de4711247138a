"""Retest reliability and the correction for it: by hand, against loops, and on simulated populations."""

import itertools
import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from valuestab_utils.errors import ValuestabError
from valuestab_utils.rank_order import rank_order_stability
from valuestab_utils.reliability import (
    SMALLEST_RELIABILITY,
    corrected_over_seeds,
    corrected_stability,
    retest_ipsative,
    retest_rank_order,
)

NAN = float("nan")


def simulated(profile=1.0, context=0.0, noise=1.0, contexts=4, personas=2000, values=10, seed=0):
    """Two draws of scores from known standard deviations: persona, conversation, and answer noise."""
    rng = np.random.default_rng(seed)
    true = profile * rng.normal(size=(personas, values)) + context * rng.normal(
        size=(contexts, personas, values)
    )
    return tuple(true + noise * rng.normal(size=true.shape) for _ in range(2))


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


# --- retest


def test_rank_order_retest_by_hand():
    # Value 1: 1 2 3 4 against 1 3 2 4, 4 3 2 1 and itself in three contexts: 0.8, -1, 1: mean 0.8 / 3.
    # Value 2 is ordered alike: 1. Contexts: 0.9, 0, 1.
    first = np.tile(np.array([[1, 10], [2, 20], [3, 30], [4, 40]]), (3, 1, 1))
    second = first.copy()
    second[0, :, 0], second[1, :, 0] = [1, 3, 2, 4], [4, 3, 2, 1]
    result = retest_rank_order(first, second)
    np.testing.assert_allclose(result.per_value, [0.8 / 3, 1.0])
    np.testing.assert_allclose(result.per_context, [0.9, 0.0, 1.0])
    assert result.overall == pytest.approx((0.8 / 3 + 1) / 2)
    assert (result.undefined.n, result.undefined.of, result.undefined.each.tolist()) == (0, 6, [0, 0])


def test_ipsative_retest_by_hand():
    # Persona 1 has 0.8 and -1, persona 2 has 1 and 1: means -0.1 and 1; sd 1.1 / sqrt(2), error 0.55.
    first = np.array([[[1, 2, 3, 4], [4, 3, 2, 1]]] * 2)
    second = np.array([[[1, 3, 2, 4], [9, 8, 6, 5]], [[4, 3, 2, 1], [4, 3, 2, 0]]])
    result = retest_ipsative(first, second)
    np.testing.assert_allclose(result.per_persona, [-0.1, 1.0])
    np.testing.assert_allclose(result.per_context, [0.9, 0.0], atol=1e-15)
    assert (result.overall, result.standard_error) == pytest.approx((0.45, 0.55))
    assert result.undefined.of == 4


def test_against_scipy():
    first, second = normal(3, 7, 5), normal(3, 7, 5, seed=1)
    rank_order = [[spearmanr(first[c, :, v], second[c, :, v]).statistic for v in range(5)] for c in range(3)]
    ipsative = [[spearmanr(first[c, p], second[c, p]).statistic for p in range(7)] for c in range(3)]
    one, other = retest_rank_order(first, second), retest_ipsative(first, second)
    np.testing.assert_allclose(one.per_value, np.mean(rank_order, axis=0))
    np.testing.assert_allclose(one.per_context, np.mean(rank_order, axis=1))
    np.testing.assert_allclose(other.per_persona, np.mean(ipsative, axis=0))
    np.testing.assert_allclose(other.per_context, np.mean(ipsative, axis=1))
    assert (one.overall, other.overall) == pytest.approx((np.mean(rank_order), np.mean(ipsative)))


def test_same_draws_agree_wholly():
    scores = normal(3, 6, 10)
    assert retest_rank_order(scores, scores).overall == retest_ipsative(scores, scores).overall == 1.0
    assert retest_rank_order(scores, -scores).overall == retest_ipsative(scores, -scores).overall == -1.0


def test_one_context_is_enough_for_a_retest():
    assert retest_rank_order(normal(1, 6, 3), normal(1, 6, 3, seed=1)).per_context.shape == (1,)


def test_undefined_correlations_are_left_out_and_counted():
    first = np.tile(np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0], [4.0, 4.0]]), (3, 1, 1))
    second = first.copy()
    second[0, :, 0] = 5.0  # constant
    second[1, :2, 0] = NAN  # two are left
    second[2, :, 0] = [1, 3, 2, 4]
    result = retest_rank_order(first, second)
    np.testing.assert_allclose(result.per_value, [0.8, 1.0])
    undefined = result.undefined
    assert (undefined.n, undefined.of, undefined.constant, undefined.too_few) == (2, 6, 1, 1)
    assert undefined.each.tolist() == [2, 0]
    nothing = retest_ipsative(np.zeros((2, 3, 4)), np.zeros((2, 3, 4)))
    assert math.isnan(nothing.overall) and nothing.undefined.n == nothing.undefined.of == 6


# --- correction


def test_correction_by_hand():
    # One value, two contexts, six personas. a = 1 2 3 4 5 6 and three neighbours of it: rho = 1 - 6 d / 210,
    # d the sum of squared rank differences.
    a, b, c, d = [1, 2, 3, 4, 5, 6], [2, 1, 3, 4, 5, 6], [1, 2, 4, 3, 5, 6], [1, 2, 3, 4, 6, 5]
    first, second = np.array([a, b])[:, :, None], np.array([c, d])[:, :, None]
    # within: a with c (d = 2), b with d (d = 4); between: a in draw 1 with d in draw 2 (2), b with c (4).
    within, between = 1 - 6 * 3 / 210, 1 - 6 * 3 / 210
    result = corrected_stability(first, second)
    assert (result.stability, result.reliability) == pytest.approx((between, within))
    assert (result.corrected, result.reason, result.n_seeds) == (pytest.approx(1.0), "", 1)
    assert result.chance_sd == pytest.approx(1 / math.sqrt(5 * 2))


def test_correction_is_a_quotient_and_may_exceed_one():
    # Within: 1 3 2 4 against 1 2 3 4, 0.8 twice; between: equal orders, 1 both ways; five values alike.
    first, second = np.array([[1, 2, 3, 4], [1, 3, 2, 4]]), np.array([[1, 3, 2, 4], [1, 2, 3, 4]])
    result = corrected_stability(*(np.repeat(draw[:, :, None], 5, axis=2) for draw in (first, second)))
    assert (result.stability, result.reliability, result.corrected) == pytest.approx((1.0, 0.8, 1.25))


def test_stability_between_draws_against_loops():
    first, second = normal(4, 8, 5), normal(4, 8, 5, seed=1)
    pairs = list(itertools.permutations(range(4), 2))  # both ways
    for measure, moved in (
        ("rank_order", (first, second)),
        ("ipsative", (first.swapaxes(1, 2), second.swapaxes(1, 2))),
    ):
        one, other = moved
        rho = [
            [spearmanr(one[a, :, k], other[b, :, k]).statistic for a, b in pairs] for k in range(one.shape[2])
        ]
        assert corrected_stability(first, second, measure).stability == pytest.approx(np.mean(rho))


@pytest.mark.parametrize("measure", ["rank_order", "ipsative"])
def test_sequence_of_the_draws_does_not_matter(measure):
    first, second = simulated(personas=40)
    one, other = corrected_stability(first, second, measure), corrected_stability(second, first, measure)
    assert one.corrected == pytest.approx(other.corrected, abs=1e-14)


@pytest.mark.parametrize("measure", ["rank_order", "ipsative"])
def test_identical_draws_give_the_stability_itself(measure):
    first, _ = simulated(context=0.5, personas=40)
    result = corrected_stability(first, first, measure)
    assert result.reliability == 1.0 and result.corrected == result.stability
    if measure == "rank_order":
        assert result.stability == pytest.approx(rank_order_stability(first).overall)


@pytest.mark.parametrize("measure", ["rank_order", "ipsative"])
def test_profiles_and_noise_alone_are_corrected_to_one(measure):
    first, second = simulated(profile=1.0, noise=1.0)
    result = corrected_stability(first, second, measure)
    assert rank_order_stability(first).overall < 0.55  # raw: 1 / (1 + 1), a little less in ranks
    assert result.stability < 0.55
    assert result.corrected == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("measure", ["rank_order", "ipsative"])
@pytest.mark.parametrize(("context", "noise"), [(0.5, 0.5), (1.0, 0.7), (1.5, 0.3)])
def test_context_effects_remain(context, noise, measure):
    first, second = simulated(profile=1.0, context=context, noise=noise)
    expected = 1 / (1 + context**2)
    result = corrected_stability(first, second, measure)
    # Spearman's correlation of normal scores is up to 0.02 below Pearson's, on both sides of the quotient.
    assert result.corrected == pytest.approx(expected, abs=0.035)
    assert result.stability < result.corrected


@pytest.mark.parametrize("measure", ["rank_order", "ipsative"])
def test_no_signal_gives_a_reason_not_a_number(measure):
    result = corrected_stability(*simulated(profile=0.0), measure)
    assert abs(result.reliability) < SMALLEST_RELIABILITY
    assert math.isnan(result.corrected) and "below 0.05" in result.reason


def test_noise_is_hardly_ever_corrected_in_small_designs():
    # At 5 personas, 3 topics and 10 values, two standard deviations of chance are 0.18.
    results = [
        corrected_stability(*simulated(profile=0.0, contexts=3, personas=5, seed=seed)) for seed in range(300)
    ]
    assert results[0].chance_sd == pytest.approx(1 / math.sqrt(4 * 30))
    assert np.std([result.reliability for result in results]) == pytest.approx(results[0].chance_sd, rel=0.1)
    assert np.mean([not result.reason for result in results]) < 0.05
    assert any("standard deviations of chance" in result.reason for result in results)


def test_negative_reliability_is_refused():
    scores = normal(3, 20, 5)
    result = corrected_stability(scores, -scores)
    assert result.reliability == -1.0 and math.isnan(result.corrected)
    assert result.reason.startswith("the reliability -1.000 is below 0.05")


def test_nothing_defined_has_a_reason():
    constant = corrected_stability(np.zeros((3, 5, 4)), np.zeros((3, 5, 4)))
    assert (
        math.isnan(constant.reliability) and math.isnan(constant.corrected) and math.isnan(constant.chance_sd)
    )
    assert "no reliability" in constant.reason
    assert (constant.undefined_stability, constant.undefined_reliability) == (24, 12)
    # Disjoint halves of the personas: reliable within each context, nothing in common between them.
    scores = normal(2, 20, 3)
    scores[0, :10], scores[1, 10:] = NAN, NAN
    result = corrected_stability(scores, scores)
    assert result.reliability == 1.0 and math.isnan(result.stability) and math.isnan(result.corrected)
    assert "no stability" in result.reason


def test_undefined_directions_are_left_out():
    # Context 2 is constant in draw 2: its retest and one direction are undefined, the other is 0.8.
    first, second = np.array([[1, 2, 3, 4], [1, 3, 2, 4]]), np.array([[1, 2, 3, 4], [7, 7, 7, 7]])
    result = corrected_stability(*(np.repeat(draw[:, :, None], 5, axis=2) for draw in (first, second)))
    assert (result.stability, result.reliability, result.corrected) == pytest.approx((0.8, 1.0, 0.8))
    assert (result.undefined_stability, result.undefined_reliability) == (5, 5)


def test_too_few_correlations_to_tell_from_chance():
    # Two correlations of four personas: a chance standard deviation of 1 / sqrt(3 x 2), twice that is 0.82.
    first, second = np.array([[1, 2, 3, 4], [1, 3, 2, 4]]), np.array([[1, 3, 2, 4], [1, 2, 3, 4]])
    result = corrected_stability(first[:, :, None], second[:, :, None])
    assert (result.stability, result.reliability) == pytest.approx((1.0, 0.8)) and math.isnan(
        result.corrected
    )
    assert "the reliability 0.800 is less than 2 standard deviations of chance (0.408 each)" in result.reason


# --- seeds


def test_seeds_give_the_quotient_of_means():
    seeds = [corrected_stability(*simulated(context=0.5, personas=60, seed=seed)) for seed in range(3)]
    result = corrected_over_seeds(seeds)
    stability, reliability = (
        np.mean([getattr(s, name) for s in seeds]) for name in ("stability", "reliability")
    )
    assert (result.stability, result.reliability) == pytest.approx((stability, reliability))
    assert result.corrected == pytest.approx(stability / reliability)
    assert (result.n_seeds, result.measure) == (3, "rank_order")
    assert result.chance_sd == pytest.approx(seeds[0].chance_sd / math.sqrt(3))
    assert corrected_over_seeds(seeds[:1]).corrected == seeds[0].corrected


def test_a_weak_seed_counts_and_an_undefined_one_does_not():
    good = corrected_stability(*simulated(personas=200))
    weak = corrected_stability(*simulated(profile=0.0, personas=200))
    empty = corrected_stability(np.zeros((4, 200, 10)), np.zeros((4, 200, 10)))
    assert math.isnan(weak.corrected)
    result = corrected_over_seeds([good, weak, empty])
    assert result.n_seeds == 2 and result.undefined_reliability == 40
    assert result.corrected == pytest.approx(
        (good.stability + weak.stability) / (good.reliability + weak.reliability)
    )
    nothing = corrected_over_seeds([empty, empty])
    assert nothing.n_seeds == 0 and math.isnan(nothing.corrected) and "no reliability" in nothing.reason


def test_seeds_are_of_one_measure():
    draws = simulated(personas=20)
    mixed = [corrected_stability(*draws, measure) for measure in ("rank_order", "ipsative")]
    with pytest.raises(ValuestabError, match="these are of ipsative and rank_order"):
        corrected_over_seeds(mixed)
    with pytest.raises(ValuestabError, match="these are of none"):
        corrected_over_seeds([])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: retest_rank_order(normal(2, 5, 4), normal(2, 5, 3)), r"shapes \(2, 5, 4\) and \(2, 5, 3\)"),
        (lambda: retest_ipsative(normal(5, 4), normal(5, 4)), r"give both as \(contexts, personas"),
        (lambda: retest_rank_order(normal(2, 2, 4), normal(2, 2, 4)), "at least 3 personas, not 2"),
        (lambda: retest_ipsative(normal(2, 5, 2), normal(2, 5, 2)), "at least 3 values, not 2"),
        (lambda: corrected_stability(normal(1, 5, 4), normal(1, 5, 4)), "at least 2 contexts, not 1"),
        (
            lambda: corrected_stability(normal(2, 5, 4), normal(2, 5, 4), "rank-order"),
            "Did you mean 'rank_order'",
        ),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValuestabError, match=message):
        call()
