"""The neutral profile and the neutral order: by hand, against plain loops, limiting cases, invariances."""

import math

import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr

from valuestab_utils.context_pairs import UndefinedCounts
from valuestab_utils.errors import ValuestabError
from valuestab_utils.ipsative import ipsative_stability
from valuestab_utils.neutral import (
    n_incomplete_permutations,
    neutral_profile,
    neutral_similarity,
    rank_order_to_neutral,
    similarity_over_seeds,
)
from valuestab_utils.rank_order import over_seeds, rank_order_stability

NAN = float("nan")

pytestmark = pytest.mark.filterwarnings("error")


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def counts(undefined: UndefinedCounts):
    return undefined.n, undefined.of, undefined.constant, undefined.too_few, undefined.each.tolist()


# --- the neutral profile


def test_profile_by_hand():
    # Ranks 1 2 3 4, then 4 3 1.5 1.5, then 2 1 3.5 3.5: sums 7 6 8 9.
    scores = [[-1.0, 0.0, 0.5, 2.0], [9.0, 3.0, 1.0, 1.0], [0.0, -1.0, 4.0, 4.0]]
    np.testing.assert_allclose(neutral_profile(scores), np.array([7, 6, 8, 9]) / 3)


def test_profile_is_a_mean_of_ranks_and_not_the_rank_of_means():
    # The mean scores (5, 1.5, 2) would put the first value highest; twice it is ranked lowest.
    scores = [[0.0, 1.0, 2.0], [0.0, 1.5, 2.0], [15.0, 2.0, 2.0 + 1e-12]]
    np.testing.assert_allclose(neutral_profile(scores), [5 / 3, 5.5 / 3, 7.5 / 3])


def test_profile_against_a_loop_over_the_papers_pseudocode():
    value_scores = np.random.default_rng(3).integers(1, 7, size=(50, 10)) / 6
    all_ranks = np.array([rankdata(value_scores[i]) for i in range(50)])
    np.testing.assert_allclose(neutral_profile(value_scores), all_ranks.mean(axis=0), atol=1e-12)


def test_rounding_noise_is_a_tie_in_the_profile():
    assert 0.1 + 0.2 != 0.3
    np.testing.assert_array_equal(neutral_profile([[0.1 + 0.2, 0.3, 0.9]]), [1.5, 1.5, 3.0])


def test_reversed_permutations_cancel():
    scores = normal(1, 10)
    np.testing.assert_array_equal(neutral_profile(np.vstack([scores, -scores])), np.full(10, 5.5))


def test_profile_does_not_depend_on_the_scale_of_a_permutation_or_on_their_order():
    scores = normal(6, 10)
    scaled = scores * np.arange(1, 7)[:, None] + np.arange(6)[:, None]
    np.testing.assert_array_equal(neutral_profile(scaled), neutral_profile(scores))
    np.testing.assert_allclose(neutral_profile(scores[::-1]), neutral_profile(scores), atol=1e-12)


def test_ranks_of_a_profile_have_their_mean_in_the_middle():
    assert neutral_profile(normal(7, 10)).mean() == pytest.approx(5.5)


def test_incomplete_permutations_are_left_out_and_counted():
    scores = normal(5, 4)
    scores[1, 2] = NAN
    scores[3] = NAN
    np.testing.assert_array_equal(neutral_profile(scores), neutral_profile(scores[[0, 2, 4]]))
    assert n_incomplete_permutations(scores) == 2
    assert n_incomplete_permutations(scores[[0, 2, 4]]) == 0


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([[1.0, NAN, 2.0], [NAN, 1.0, 2.0]], "all 3 value scores, but none of 2 has them"),
        (np.empty((0, 10)), "all 10 value scores, but none of 0"),
        ([1.0, 2.0, 3.0], r"shape \(3,\): give \(permutations, values\)"),
        (np.ones((2, 3, 4)), r"shape \(2, 3, 4\): give \(permutations, values\)"),
    ],
)
def test_profile_refuses(scores, message):
    with pytest.raises(ValuestabError, match=message):
        neutral_profile(scores)


def test_count_of_permutations_refuses_other_axes():
    with pytest.raises(ValuestabError, match=r"give \(permutations, values\)"):
        n_incomplete_permutations([1.0, NAN])


# --- similarity to it


def test_similarity_by_hand():
    # Persona 0: squared rank differences 0 1 1 0 -> 0.8, and 0 -> 1. Persona 1: reversed twice -> -1.
    scores = [[[1, 3, 2, 4], [4, 3, 2, 1]], [[1, 2, 3, 4], [9, 7, 6, 0]]]
    found = neutral_similarity(scores, [2.5, 3.0, 6.5, 8.0])
    np.testing.assert_allclose(found.per_persona, [0.9, -1.0])
    assert (found.overall, found.n) == (pytest.approx(-0.05), 2)
    assert found.standard_error == pytest.approx(1.9 / 2)  # |a - b| / sqrt(2) / sqrt(2)
    assert counts(found.undefined) == (0, 4, 0, 0, [0, 0])


def test_same_order_is_1_and_reversed_is_minus_1():
    profile = neutral_profile(normal(5, 10))
    same = np.broadcast_to(np.exp(profile), (3, 4, 10))
    found = neutral_similarity(same, profile)
    assert (found.overall, found.standard_error, found.n) == (1.0, 0.0, 4)
    assert neutral_similarity(-same, profile).overall == -1.0


def test_similarity_against_a_plain_loop():
    scores, profile = normal(5, 7, 10), neutral_profile(normal(50, 10, seed=1))
    slow = [np.mean([spearmanr(scores[c, p], profile).statistic for c in range(5)]) for p in range(7)]
    found = neutral_similarity(scores, profile)
    np.testing.assert_allclose(found.per_persona, slow, atol=1e-12)
    assert found.overall == pytest.approx(np.mean(slow))
    assert found.standard_error == pytest.approx(np.std(slow, ddof=1) / math.sqrt(7))


def test_similarity_to_one_permutation_is_the_ipsative_stability_of_both():
    scores, own = normal(1, 6, 10), normal(10, seed=1)
    both = np.stack([scores[0], np.broadcast_to(own, (6, 10))])
    of_pairs = ipsative_stability(both).per_persona
    np.testing.assert_allclose(neutral_similarity(scores, own).per_persona, of_pairs, atol=1e-15)


def test_constant_and_missing_values_are_left_out_and_counted_by_persona():
    scores = normal(3, 3, 5)
    scores[0, 0] = 0.1 * 3  # the same for all values: no order
    scores[1, 0] = scores[2, 0] = 2.0
    scores[2, 1, 1:4] = NAN  # two values left
    found = neutral_similarity(scores, [1, 2, 3, 4, 5])
    assert counts(found.undefined) == (4, 9, 3, 1, [3, 1, 0])
    assert math.isnan(found.per_persona[0])
    of_two = [spearmanr(scores[c, 1], [1, 2, 3, 4, 5]).statistic for c in (0, 1)]
    assert found.per_persona[1] == pytest.approx(np.mean(of_two))
    assert found.n == 2
    assert found.overall == pytest.approx(found.per_persona[1:].mean())


def test_a_persona_with_a_gap_is_compared_on_the_values_it_has():
    found = neutral_similarity([[[1.0, NAN, 3.0, 2.0, 4.0]]], [1, 5, 2, 3, 4])
    assert found.overall == pytest.approx(0.8)  # ranks 1 3 2 4 and 1 2 3 4


def test_a_constant_profile_has_no_similarity():
    found = neutral_similarity(normal(2, 3, 4), [2.5] * 4)
    assert math.isnan(found.overall) and math.isnan(found.standard_error) and found.n == 0
    assert counts(found.undefined) == (6, 6, 6, 0, [2, 2, 2])


def test_similarity_does_not_depend_on_order_of_contexts_or_values_and_follows_personas():
    scores, profile = normal(3, 4, 6), neutral_profile(normal(5, 6, seed=1))
    found = neutral_similarity(scores, profile).per_persona
    values = [5, 2, 0, 1, 4, 3]
    np.testing.assert_allclose(neutral_similarity(scores[::-1], profile).per_persona, found, atol=1e-15)
    moved = neutral_similarity(scores[:, :, values], profile[values]).per_persona
    np.testing.assert_allclose(moved, found, atol=1e-15)
    np.testing.assert_array_equal(neutral_similarity(scores[:, ::-1], profile).per_persona, found[::-1])


@pytest.mark.parametrize(
    ("scores", "profile", "message"),
    [
        (np.ones((2, 3)), [1, 2, 3], r"shape \(2, 3\) do not fit a profile of shape \(3,\)"),
        (np.ones((2, 3, 4)), [1, 2, 3], r"\(2, 3, 4\) do not fit a profile of shape \(3,\)"),
        (np.ones((2, 3, 4)), np.ones((1, 4)), r"profile of shape \(1, 4\)"),
        (np.ones((2, 3, 4)), [1, 2, 3, NAN], "without gaps, but is .*nan"),
        (np.ones((2, 3, 2)), [1, 2], "at least 3 values"),
    ],
)
def test_similarity_refuses(scores, profile, message):
    with pytest.raises(ValuestabError, match=message):
        neutral_similarity(scores, profile)


# --- over seeds


def test_seeds_are_averaged_within_personas_first():
    profile = [1, 2, 3, 4]
    one = neutral_similarity([[[1, 2, 3, 4], [1, 2, 3, 4], [7, 7, 7, 7]]], profile)  # 1, 1, undefined
    other = neutral_similarity([[[1, 3, 2, 4], [4, 3, 2, 1], [1, 3, 2, 4]]], profile)  # 0.8, -1, 0.8
    both = similarity_over_seeds([other, one])
    np.testing.assert_allclose(both.per_persona, [0.9, 0.0, 0.8])
    assert (both.overall, both.n) == (pytest.approx(1.7 / 3), 3)
    assert both.standard_error == pytest.approx(np.std([0.9, 0.0, 0.8], ddof=1) / math.sqrt(3))
    assert counts(both.undefined) == (1, 6, 1, 0, [0, 0, 1])


def test_one_seed_over_seeds_is_that_seed():
    one = neutral_similarity(normal(3, 4, 10), np.arange(10.0))
    same = similarity_over_seeds([one])
    assert (same.overall, same.standard_error, same.n) == (one.overall, one.standard_error, one.n)
    assert counts(same.undefined) == counts(one.undefined)


def test_over_seeds_refuses_none_and_other_personas():
    two, three = (neutral_similarity(normal(1, n, 5), np.arange(5.0)) for n in (2, 3))
    for per_seed in ([], [two, three]):
        with pytest.raises(ValuestabError, match="one similarity a seed, all with the same personas"):
            similarity_over_seeds(per_seed)


# --- the neutral order


def test_order_by_hand():
    # Value 0: the neutral order (1), then two neighbours swapped (0.8). Value 1: reversed (-1), then it (1).
    scores = np.array([[[1, 4], [2, 3], [3, 2], [4, 1]], [[1, 1], [3, 2], [2, 3], [4, 4]]])
    found = rank_order_to_neutral(scores, [[10, 0], [20, 5], [30, 6], [40, 7]])
    np.testing.assert_allclose(found.per_value, [0.9, 0.0])
    np.testing.assert_allclose(found.per_context, [0.0, 0.9])
    assert found.overall == pytest.approx(0.45)
    assert counts(found.undefined) == (0, 4, 0, 0, [0, 0])


def test_same_order_as_without_a_conversation_is_1_and_reversed_is_minus_1():
    neutral = normal(8, 10)
    same = np.stack([neutral, np.exp(neutral), 3 * neutral + 1])
    assert rank_order_to_neutral(same, neutral).overall == 1.0
    assert rank_order_to_neutral(-same, neutral).overall == -1.0


def test_order_against_a_plain_loop():
    scores, neutral = normal(5, 12, 10), normal(12, 10, seed=1)
    slow = np.array(
        [[spearmanr(scores[c, :, v], neutral[:, v]).statistic for v in range(10)] for c in range(5)]
    )
    found = rank_order_to_neutral(scores, neutral)
    np.testing.assert_allclose(found.per_value, slow.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(found.per_context, slow.mean(axis=1), atol=1e-12)
    assert found.overall == pytest.approx(slow.mean())


def test_one_context_against_the_neutral_order_is_their_rank_order_stability():
    scores, neutral = normal(1, 9, 10), normal(9, 10, seed=1)
    of_pair = rank_order_stability(np.stack([scores[0], neutral]))
    found = rank_order_to_neutral(scores, neutral)
    np.testing.assert_allclose(found.per_value, of_pair.per_value, atol=1e-15)
    assert found.overall == pytest.approx(of_pair.overall)


def test_constant_and_missing_are_left_out_of_the_order_and_counted_by_value():
    scores, neutral = normal(2, 4, 4), normal(4, 4, seed=1)
    scores[0, :, 0] = 1.5  # constant in one context
    neutral[:, 1] = -0.5  # constant without a conversation: in both
    scores[1, :2, 2] = NAN  # two personas left
    found = rank_order_to_neutral(scores, neutral)
    assert counts(found.undefined) == (4, 8, 3, 1, [1, 2, 1, 0])
    assert math.isnan(found.per_value[1])
    assert found.per_value[0] == pytest.approx(spearmanr(scores[1, :, 0], neutral[:, 0]).statistic)
    assert found.overall == pytest.approx(np.mean(found.per_value[[0, 2, 3]]))


def test_overall_is_a_mean_over_values_not_over_all_correlations():
    # Value 0 has two correlations (1, 1), value 1 one (-1) and one undefined: 0, not 1/3.
    up, down = [1.0, 2.0, 3.0], [3.0, 2.0, 1.0]
    scores = np.array([[up, down], [up, [2.0] * 3]]).transpose(0, 2, 1)
    assert rank_order_to_neutral(scores, np.array([up, up]).T).overall == 0.0


def test_constant_everywhere_is_undefined():
    found = rank_order_to_neutral(np.ones((2, 3, 2)), normal(3, 2))
    assert math.isnan(found.overall) and np.isnan(found.per_value).all() and np.isnan(found.per_context).all()
    assert counts(found.undefined) == (4, 4, 4, 0, [2, 2])


def test_order_does_not_depend_on_the_order_of_personas_or_on_shifts():
    scores, neutral = normal(3, 8, 4), normal(8, 4, seed=1)
    found = rank_order_to_neutral(scores, neutral)
    who = np.random.default_rng(2).permutation(8)
    moved = rank_order_to_neutral(2 * scores[:, who] + 5, np.exp(neutral[who]))
    np.testing.assert_allclose(moved.per_value, found.per_value, atol=1e-15)


def test_the_neutral_order_between_contexts_is_nearer_to_them_than_they_are_to_each_other():
    """What the paper reads from figure 14: each context here is the neutral order and a pull of its own."""
    neutral = normal(200, 10)
    scores = neutral + normal(5, 200, 10, seed=1)
    to_neutral, between = rank_order_to_neutral(scores, neutral).overall, rank_order_stability(scores).overall
    # Normal scores correlate by sqrt(1/2) with the neutral ones, by 1/2 with each other; ranks a little less.
    assert to_neutral == pytest.approx(6 / math.pi * math.asin(math.sqrt(0.5) / 2), abs=0.03)
    assert between == pytest.approx(6 / math.pi * math.asin(0.25), abs=0.03)


def test_seeds_of_the_neutral_order_are_averaged_as_those_of_rank_order():
    neutral = normal(4, 2)
    seeds = [rank_order_to_neutral(sign * neutral[None], neutral).overall for sign in (1, -1, 1)]
    estimate = over_seeds(seeds)
    assert (estimate.mean, estimate.n) == (pytest.approx(1 / 3), 3)
    assert estimate.standard_error == pytest.approx(2 / 3)  # sd sqrt(4 / 3), divided by sqrt(3)


@pytest.mark.parametrize(
    ("scores", "neutral", "message"),
    [
        (np.ones((3, 4)), np.ones((3, 4)), r"shape \(3, 4\) and neutral scores of shape \(3, 4\)"),
        (np.ones((2, 3, 4)), np.ones((3, 5)), "the same personas and values"),
        (np.ones((2, 3, 4)), np.ones((4, 4)), "the same personas and values"),
        (np.ones((2, 2, 4)), np.ones((2, 4)), "at least 3 personas, not 2"),
    ],
)
def test_order_refuses(scores, neutral, message):
    with pytest.raises(ValuestabError, match=message):
        rank_order_to_neutral(scores, neutral)
