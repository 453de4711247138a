"""The statistics of agreement: by hand, and against scipy and plain loops."""

import itertools
import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from valuestab_utils.metrics import (
    ipsative_stability,
    mean_and_standard_error,
    neutral_profile,
    neutral_similarity,
    rank_order_stability,
    rank_order_to_neutral,
    retest_reliability,
    spearman,
    value_donation_correlations,
    value_scores,
)
from valuestab_utils.prompts import load_questionnaire

NAN = float("nan")

# No number here may depend on a warning that somebody overlooks.
pytestmark = pytest.mark.filterwarnings("error")


BASE, NEAR, BACK = [1, 2, 3, 4], [1, 3, 2, 4], [4, 3, 2, 1]  # 0.8 between the first two, -1 and -0.8 to the third

# No number here may depend on a warning that somebody overlooks.


def slow_spearman(x, y):
    """scipy's, on scores that are rounded first and complete."""
    complete = [(round(a, 9), round(b, 9)) for a, b in zip(x, y, strict=True) if not math.isnan(a + b)]
    if len(complete) < 3 or any(len(set(side)) == 1 for side in zip(*complete, strict=True)):
        return NAN
    return spearmanr(*zip(*complete, strict=True)).statistic


def slow_mean(numbers):
    defined = [x for x in numbers if not math.isnan(x)]
    return sum(defined) / len(defined) if defined else NAN


def check_pairs(pairwise, rho):
    first, second = np.triu_indices(len(pairwise), 1)
    np.testing.assert_allclose(pairwise[first, second], [slow_mean(of_pair) for of_pair in zip(*rho)])
    np.testing.assert_array_equal(pairwise, pairwise.T)


@pytest.mark.parametrize(
    ("x", "y", "rho"),
    [
        (BASE, NEAR, 0.8),  # 1 - 6 sum d^2 / (n (n^2 - 1))
        (BASE, [10, 20, 30, 400], 1.0),
        (BASE, BACK, -1.0),
        # Ranks 1.5 1.5 3 and 1 2 3; centred -.5 -.5 1 and -1 0 1; 1.5 / sqrt(1.5 * 2).
        ([5, 5, 7], [1, 2, 3], math.sqrt(3) / 2),
        # The missing ones leave 1 3 4 against 2 1 3: ranks 1 2 3 and 2 1 3, 1 - 6 * 2 / (3 * 8).
        ([1, NAN, 3, 4, 9], [2, 7, 1, 3, NAN], 0.5),
        # 0.1 + 0.2 and 0.3 are ties but for rounding noise: ranks 2.5 2.5 1 4 against 1 2 3 4.
        ([0.1 + 0.2, 0.3, 0.0, 1.0], BASE, 1.5 / math.sqrt(22.5)),
        ([0, 1e-6, 2e-6], [1, 2, 3], 1.0),  # and a real difference, however small, is none
        ([1, 2, 3], [0.1 + 0.2, 0.3, 0.3], NAN),  # constant but for rounding noise
        ([1, 1, 5, 1], [1, 2, NAN, 4], NAN),  # constant over what is complete
        ([1, 2, NAN], [1, NAN, 3], NAN),
        ([], [], NAN),
    ],
)
def test_spearman_by_hand(x, y, rho):
    assert spearman(x, y) == pytest.approx(rho, abs=1e-15, nan_ok=True)
    assert spearman(y, x) == pytest.approx(rho, abs=1e-15, nan_ok=True)


@pytest.mark.parametrize("missing", [0.0, 0.2, 0.6])
def test_scores_and_stabilities_against_loops(missing):
    rng = np.random.default_rng(5)
    answers = rng.integers(1, 7, size=(4, 7, 40)).astype(float)
    answers[rng.random(answers.shape) < missing] = NAN
    key, items = load_questionnaire("PVQ-40").key, list(rng.permutation(range(1, 41)))
    scores = value_scores(answers, key, items)
    alone = value_scores(answers[2:3, 5:6], key, items)
    np.testing.assert_allclose(scores[2:3, 5:6], alone)
    scores[rng.random(scores.shape) < missing] = NAN
    pairs = list(itertools.combinations(range(4), 2))

    found = rank_order_stability(scores)
    rho = [[slow_spearman(scores[a, :, v], scores[b, :, v]) for a, b in pairs] for v in range(10)]
    assert found.overall == pytest.approx(slow_mean([slow_mean(of_value) for of_value in rho]))
    assert found.undefined.n == np.isnan(rho).sum() == found.undefined.constant + found.undefined.too_few
    np.testing.assert_array_equal(found.undefined.each, np.isnan(rho).sum(axis=1))
    check_pairs(found.pairwise, rho)

    found = ipsative_stability(scores)
    rho = [[slow_spearman(scores[a, p], scores[b, p]) for a, b in pairs] for p in range(7)]
    np.testing.assert_allclose(found.each, [slow_mean(of_persona) for of_persona in rho])
    assert found.overall == pytest.approx(slow_mean([slow_mean(of_persona) for of_persona in rho]))
    assert found.undefined.n == np.isnan(rho).sum()
    np.testing.assert_array_equal(found.undefined.each, np.isnan(rho).sum(axis=1))
    check_pairs(found.pairwise, rho)


def test_undefined_correlations_are_left_out_and_counted_by_their_reason():
    scores = np.stack([np.tile(np.array(BASE, dtype=float), (3, 1))] * 4, axis=2)
    scores[1, :, 0] = NEAR  # pairs 0.8, 1, 0.8
    scores[2, :, 1] = 5.0  # the same for all personas: two pairs of three
    scores[0, :2, 2] = NAN  # two personas left: two pairs
    scores[:, :, 3] = 0.0  # nothing is defined
    result = rank_order_stability(scores)
    np.testing.assert_allclose(result.each, [2.6 / 3, 1.0, 1.0, NAN])
    assert result.overall == pytest.approx((2.6 / 3 + 2) / 3)
    undefined = result.undefined
    assert (undefined.n, undefined.of, undefined.constant, undefined.too_few) == (7, 12, 5, 2)
    assert undefined.each.tolist() == [0, 2, 2, 3]
    constant = np.zeros((3, 5, 4))
    assert math.isnan(rank_order_stability(constant).overall) and math.isnan(ipsative_stability(constant).overall)


@pytest.mark.parametrize(
    ("values", "mean", "error", "n"),
    [([1.0, 3.0, NAN, 5.0], 3.0, 2 / math.sqrt(3), 3), ([NAN, 2.5], 2.5, NAN, 1), ([NAN], NAN, NAN, 0)],
)
def test_mean_and_standard_error_by_hand(values, mean, error, n):
    estimate = mean_and_standard_error(values)
    found = (estimate.mean, estimate.standard_error, estimate.n)
    assert found == pytest.approx((mean, error, n), nan_ok=True)


def test_rank_order_over_seeds_is_over_each_seed_alone(rng):
    scores = rng.normal(size=(5, 3, 8, 10))
    overall = [rank_order_stability(of_seed).overall for of_seed in scores]
    found = rank_order_stability(scores)
    assert (found.overall, found.n) == (pytest.approx(sum(overall) / 5), 5)
    assert found.standard_error == pytest.approx(np.std(overall, ddof=1) / math.sqrt(5))


def test_ipsative_over_seeds_averages_each_persona_first():
    # Two seeds and three personas: 0.8 and -1, 1 and 1, 1 and -1 -> -0.1, 1, 0: mean 0.3; deviations
    # -.4 .7 -.3; variance .74 / 2; standard error sqrt(.37 / 3). Pooled, the six would give another one.
    one, other = [[BASE, BASE, BASE], [NEAR, BASE, BASE]], [[BASE, BASE, BASE], [BACK, BASE, BACK]]
    both = ipsative_stability([one, other])
    np.testing.assert_allclose(both.each, [-0.1, 1.0, 0.0], atol=1e-15)
    assert (both.overall, both.standard_error) == pytest.approx((0.3, math.sqrt(0.37 / 3)))
    assert (both.n, both.undefined.of, both.pairwise[0, 1]) == (3, 6, pytest.approx(0.3))


def counts(undefined):
    return undefined.n, undefined.of, undefined.constant, undefined.too_few, undefined.each.tolist()


@pytest.mark.parametrize(
    ("scores", "profile"),
    [
        # Ranks 1 2 3 4, then 4 3 1.5 1.5, then 2 1 3.5 3.5: sums 7 6 8 9.
        ([[-1.0, 0.0, 0.5, 2.0], [9.0, 3.0, 1.0, 1.0], [0.0, -1.0, 4.0, 4.0]], [7 / 3, 6 / 3, 8 / 3, 9 / 3]),
        # The mean scores (5, 1.5, 2) would put the first value highest; twice it is ranked lowest.
        ([[0.0, 1.0, 2.0], [0.0, 1.5, 2.0], [15.0, 2.0, 2.0 + 1e-12]], [5 / 3, 5.5 / 3, 7.5 / 3]),
        ([[0.1 + 0.2, 0.3, 0.9]], [1.5, 1.5, 3.0]),  # a tie but for rounding noise
        ([[0.1, 0.2, 0.3], [5.0, NAN, 0.1], [NAN] * 3], [1, 2, 3]),  # incomplete ones do not count
    ],
)
def test_profile_by_hand(scores, profile):
    scores = np.array(scores)
    np.testing.assert_allclose(neutral_profile(scores), profile)


def test_similarity_by_hand():
    # Persona 0: squared rank differences 0 1 1 0 -> 0.8, and 0 -> 1. Persona 1: reversed twice -> -1.
    scores = [[[1, 3, 2, 4], [4, 3, 2, 1]], [[1, 2, 3, 4], [9, 7, 6, 0]]]
    found = neutral_similarity(scores, [2.5, 3.0, 6.5, 8.0])
    np.testing.assert_allclose(found.each, [0.9, -1.0])
    assert (found.overall, found.n) == (pytest.approx(-0.05), 2)
    assert found.standard_error == pytest.approx(1.9 / 2)  # |a - b| / sqrt(2) / sqrt(2)
    assert counts(found.undefined) == (0, 4, 0, 0, [0, 0])


def test_constant_and_missing_values_are_left_out_and_counted_by_persona(rng):
    scores = rng.normal(size=(3, 3, 5))
    scores[:, 0] = 0.1 * 3  # the same for all values: no order
    scores[2, 1, 1:4] = NAN  # two values left
    scores[:, 2] = [1.0, NAN, 3.0, 2.0, 4.0]  # compared on the four that it has: ranks 1 3 2 4
    found = neutral_similarity(scores, [1, 5, 2, 3, 4])
    assert counts(found.undefined) == (4, 9, 3, 1, [3, 1, 0])
    of_two = [spearmanr(scores[c, 1], [1, 5, 2, 3, 4]).statistic for c in (0, 1)]
    np.testing.assert_allclose(found.each, [NAN, np.mean(of_two), 0.8])
    assert found.n == 2 and found.overall == pytest.approx(found.each[1:].mean())


def test_seeds_are_averaged_within_personas_first():
    profile = [1, 2, 3, 4]
    one = [[[1, 2, 3, 4], [1, 2, 3, 4], [7, 7, 7, 7]]]  # 1, 1, undefined
    other = [[[1, 3, 2, 4], [4, 3, 2, 1], [1, 3, 2, 4]]]  # 0.8, -1, 0.8
    both = neutral_similarity([other, one], profile)
    np.testing.assert_allclose(both.each, [0.9, 0.0, 0.8])
    assert (both.overall, both.n) == (pytest.approx(1.7 / 3), 3)
    assert both.standard_error == pytest.approx(np.std([0.9, 0.0, 0.8], ddof=1) / math.sqrt(3))
    assert counts(both.undefined) == (1, 6, 1, 0, [0, 0, 1])


def test_order_against_a_plain_loop(rng):
    scores, neutral = rng.normal(size=(5, 12, 10)), rng.normal(size=(12, 10))
    rho = [[spearmanr(scores[c, :, v], neutral[:, v]).statistic for v in range(10)] for c in range(5)]
    found = rank_order_to_neutral(scores, neutral[None])
    np.testing.assert_allclose(found.each, np.mean(rho, axis=0), atol=1e-12)
    assert found.overall == pytest.approx(np.mean(rho)) and counts(found.undefined) == (0, 50, 0, 0, [0] * 10)


def test_constant_and_missing_are_left_out_of_the_order_and_values_count_alike(rng):
    scores, neutral = rng.normal(size=(2, 4, 4)), rng.normal(size=(4, 4))
    scores[0, :, 0] = 1.5  # constant in one context
    neutral[:, 1] = -0.5  # constant without a conversation: in both
    scores[1, :2, 2] = NAN  # two personas left
    found = rank_order_to_neutral(scores, neutral[None])
    assert counts(found.undefined) == (4, 8, 3, 1, [1, 2, 1, 0])
    assert math.isnan(found.each[1])
    assert found.each[0] == pytest.approx(spearmanr(scores[1, :, 0], neutral[:, 0]).statistic)
    assert found.overall == pytest.approx(np.mean(found.each[[0, 2, 3]]))  # a mean over values, not correlations


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def test_by_hand():
    # Value 0 is up in context 0 and down in context 1. Race 0 gets up, up: 1, -1; race 1 swapped, down: 0.8,
    # 1. Value 1 is the mirror image of value 0 in both.
    up, down, swapped = [1, 2, 3, 4], [4, 3, 2, 1], [1, 3, 2, 4]
    scores = np.array([[up, down], [down, up]], dtype=float).transpose(0, 2, 1)  # contexts, personas, values
    coins = 2.0 * np.array([[up, swapped], [up, down]]).transpose(0, 2, 1)  # contexts, personas, races
    found = value_donation_correlations(scores, coins)
    np.testing.assert_allclose(found.each, [0.45, -0.45])
    assert counts(found.undefined) == (0, 8, 0, 0, [0, 0])


def test_against_a_plain_loop():
    scores, coins = normal(5, 11, 10), np.random.default_rng(1).integers(0, 6, size=(5, 11, 4)) * 2.0
    slow = np.zeros((10, 4))
    for v, r in np.ndindex(10, 4):
        slow[v, r] = np.mean([spearmanr(scores[c, :, v], coins[c, :, r]).statistic for c in range(5)])
    found = value_donation_correlations(scores, coins)
    np.testing.assert_allclose(found.each, slow.mean(axis=1), atol=1e-12)


def test_constant_and_missing_are_left_out_and_counted_by_value():
    scores, coins = normal(2, 4, 2), normal(2, 4, 3, seed=1)
    coins[0, :, 0] = 10.0  # all give race 0 everything, in one context: 1 correlation of each value
    scores[1, :, 1] = 0.1 * 3  # value 1 has no order in context 1: 3 correlations
    coins[1, :2, 2] = NAN  # two personas are left: 1 of value 0; that of value 1 has too few as well
    found = value_donation_correlations(scores, coins)
    assert counts(found.undefined) == (6, 12, 4, 2, [2, 4])
    rho = [spearmanr(scores[0, :, 1], coins[0, :, race]).statistic for race in (1, 2)]
    assert found.each[1] == pytest.approx(np.mean(rho))  # race 0 has no correlation with value 1


def test_retest_against_scipy(rng):
    first, second = rng.normal(size=(2, 3, 7, 5))
    rank_order = [[spearmanr(first[c, :, v], second[c, :, v]).statistic for v in range(5)] for c in range(3)]
    ipsative = [[spearmanr(first[c, p], second[c, p]).statistic for p in range(7)] for c in range(3)]
    one, other = (retest_reliability(first, second, measure) for measure in ("rank_order", "ipsative"))
    np.testing.assert_allclose(one.each, np.mean(rank_order, axis=0))
    np.testing.assert_allclose(other.each, np.mean(ipsative, axis=0))
    assert (one.overall, other.overall) == pytest.approx((np.mean(rank_order), np.mean(ipsative)))
    assert other.standard_error == pytest.approx(np.std(np.mean(ipsative, axis=0), ddof=1) / math.sqrt(7))
