"""The numbers: against hand calculation, scipy and plain loops, in limiting cases and under invariances."""

import itertools
import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from valuestab_utils.errors import ValuestabError
from valuestab_utils.stability import (
    ipsative_correlations,
    ipsative_over_seeds,
    ipsative_stability,
    mean_and_standard_error,
    over_seeds,
    rank_order_correlations,
    rank_order_stability,
    spearman,
    value_scores,
)
from valuestab_utils.value_scores import check_key, read_key

NAN = float("nan")
KEY = {"A": [1, 2], "B": [3], "C": [4, 5, 6], "D": [7]}
ITEMS = [1, 2, 3, 4, 5, 6, 7]

# No number here may depend on a warning that somebody overlooks.
pytestmark = pytest.mark.filterwarnings("error")


def likert(*shape, seed=0):
    return np.random.default_rng(seed).integers(1, 7, size=shape).astype(float)


def slow_value_scores(answers, key, items):
    """value_scores as one would write it without arrays."""
    scores = np.full((*answers.shape[:2], len(key)), NAN)
    for c, p in np.ndindex(answers.shape[:2]):
        given = {item: a for item, a in zip(items, answers[c, p], strict=True) if not math.isnan(a)}
        for v, of_value in enumerate(key.values()):
            own = [given[item] - sum(given.values()) / len(given) for item in of_value if item in given]
            if own:
                scores[c, p, v] = sum(own) / len(own)
    return scores


def slow_spearman(x, y):
    """scipy's, on scores that are rounded first and complete."""
    complete = [(round(a, 9), round(b, 9)) for a, b in zip(x, y, strict=True) if not math.isnan(a + b)]
    if len(complete) < 3 or any(len(set(side)) == 1 for side in zip(*complete, strict=True)):
        return NAN
    return spearmanr(*zip(*complete, strict=True)).statistic


def slow_mean(numbers):
    defined = [x for x in numbers if not math.isnan(x)]
    return sum(defined) / len(defined) if defined else NAN


# --- value scores


def test_value_scores_by_hand():
    # Answers 6 5 4 1 2 3 1: mean 22/7. A = 11/2 - 22/7 = 33/14; B = 4 - 22/7 = 6/7; C = 2 - 22/7 = -8/7;
    # D = 1 - 22/7 = -15/7.
    scores = value_scores(np.array([[[6, 5, 4, 1, 2, 3, 1]]]), KEY, ITEMS)
    np.testing.assert_allclose(scores, [[[33 / 14, 6 / 7, -8 / 7, -15 / 7]]], atol=1e-14)


def test_centring_uses_all_items_not_the_mean_of_values():
    # The mean of the answers is 3.5 (14 / 4); the mean of the value means 5 and 2 and 2 would be 3.
    scores = value_scores(np.array([[[5.0, 5.0, 2.0, 2.0]]]), {"A": [1, 2], "B": [3], "C": [4]}, [1, 2, 3, 4])
    np.testing.assert_allclose(scores, [[[1.5, -1.5, -1.5]]])


def test_unscored_items_count_for_centring():
    # The mean of 6, 4, 2 is 4, though the key has no item 3.
    scores = value_scores(np.array([[[6.0, 4.0, 2.0]]]), {"A": [1], "B": [2]}, [1, 2, 3])
    np.testing.assert_array_equal(scores, [[[2.0, 0.0]]])


def test_without_centring():
    scores = value_scores(np.array([[[6.0, 4.0, 2.0]]]), {"A": [1, 3], "B": [2]}, [1, 2, 3], centre=False)
    np.testing.assert_array_equal(scores, [[[4.0, 4.0]]])


def test_missing_answers():
    # There are 6, 2 and 1: mean 3. A has 6 alone: 3. B has nothing. C has 2 and 1: 1.5 - 3.
    answers = np.array([[[6.0, NAN, NAN, 2.0, 1.0]]])
    scores = value_scores(answers, {"A": [1, 2], "B": [3], "C": [4, 5]}, [1, 2, 3, 4, 5])
    np.testing.assert_array_equal(scores, [[[3.0, NAN, -1.5]]])


def test_participant_without_answers_has_no_scores():
    answers = likert(2, 3, 7)
    answers[1, 2] = NAN
    scores = value_scores(answers, KEY, ITEMS)
    assert np.isnan(scores[1, 2]).all()
    assert np.isfinite(scores[0]).all()


def test_value_scores_against_loop():
    answers = likert(3, 5, 40)
    answers[np.random.default_rng(1).random(answers.shape) < 0.3] = NAN
    key, items = read_key(), list(range(1, 41))
    expected = slow_value_scores(answers, key, items)
    np.testing.assert_allclose(value_scores(answers, key, items), expected, atol=1e-12)


def test_order_of_items_does_not_matter():
    answers, order = likert(2, 4, 7), [6, 2, 0, 5, 1, 3, 4]
    reordered = value_scores(answers[:, :, order], KEY, [ITEMS[i] for i in order])
    np.testing.assert_allclose(reordered, value_scores(answers, KEY, ITEMS), atol=1e-12)


def test_adding_a_constant_to_a_participant_does_not_matter():
    answers = likert(2, 4, 7)
    shift = np.random.default_rng(3).integers(-3, 4, size=(2, 4, 1))
    shifted = value_scores(answers + shift, KEY, ITEMS)
    np.testing.assert_allclose(shifted, value_scores(answers, KEY, ITEMS), atol=1e-12)


@pytest.mark.parametrize(
    ("answers", "items", "message"),
    [
        (np.ones((2, 3)), [1, 2, 3], r"shape \(2, 3\) for 3 items"),
        (np.ones((1, 2, 3)), [1, 2], r"shape \(1, 2, 3\) for 2 items"),
        (np.ones((1, 2, 3)), [1, 2, 2], "every item once"),
        (np.ones((1, 2, 3)), [1, 2, 3], r"lack items of the key \(4, 5, 6, 7\)"),
    ],
)
def test_value_scores_refuses(answers, items, message):
    with pytest.raises(ValuestabError, match=message):
        value_scores(answers, KEY, items)


def test_pvq40_key():
    key = read_key()
    assert list(key) == [
        "Self-Direction", "Stimulation", "Hedonism", "Achievement", "Power",
        "Security", "Conformity", "Tradition", "Benevolence", "Universalism",
    ]  # fmt: skip
    assert [len(items) for items in key.values()] == [4, 3, 3, 4, 3, 5, 4, 4, 4, 6]
    assert sorted(item for items in key.values() for item in items) == list(range(1, 41))


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ([1, 2], "must map values to lists"),
        ({}, "must map values to lists"),
        ({"A": 1}, "'A' has 1"),
        ({"A": "12"}, "'A' has '12'"),
        ({"A": []}, r"'A' has \[\]"),
        ({"A": [1.5]}, "whole numbers; 'A' has 1.5"),
        ({"A": ["1"]}, "whole numbers; 'A' has '1'"),
        ({"A": [True]}, "whole numbers; 'A' has True"),
        ({"A": [1], "B": [2, 1]}, "item 1 twice, for 'A' and for 'B'"),
        ({"A": [1, 1]}, "item 1 twice"),
    ],
)
def test_check_key_refuses(key, message):
    with pytest.raises(ValuestabError, match=message):
        check_key(key)


# --- Spearman


@pytest.mark.parametrize(
    ("x", "y", "rho"),
    [
        # Without ties 1 - 6 sum d^2 / (n (n^2 - 1)): d = 0 1 1 0, so 1 - 12 / 60.
        ([1, 2, 3, 4], [1, 3, 2, 4], 0.8),
        ([1, 2, 3, 4], [10, 20, 30, 400], 1.0),
        ([1, 2, 3, 4], [4, 3, 2, 1], -1.0),
        # Ranks 1.5 1.5 3 and 1 2 3; centred -.5 -.5 1 and -1 0 1; 1.5 / sqrt(1.5 * 2).
        ([5, 5, 7], [1, 2, 3], math.sqrt(3) / 2),
        # The missing ones leave 1 3 4 against 2 1 3: ranks 1 2 3 and 2 1 3, 1 - 6 * 2 / (3 * 8).
        ([1, NAN, 3, 4, 9], [2, 7, 1, 3, NAN], 0.5),
    ],
)
def test_spearman_by_hand(x, y, rho):
    assert spearman(x, y) == pytest.approx(rho, abs=1e-15)
    assert spearman(y, x) == spearman(x, y)


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ([1, 1, 1], [1, 2, 3]),
        ([1, 2, 3], [0.1 + 0.2, 0.3, 0.3]),  # constant but for rounding noise
        ([1, 1, NAN, 1], [1, 2, 3, 4]),  # constant over what is complete
        ([1, 1, 5, 1], [1, 2, NAN, 4]),
        ([1, 2], [1, 2]),
        ([1, 2, NAN], [1, NAN, 3]),
        ([NAN] * 4, [NAN] * 4),
        ([], []),
    ],
)
def test_spearman_undefined(x, y):
    assert math.isnan(spearman(x, y))


def test_spearman_against_scipy():
    rng = np.random.default_rng(0)
    for n, levels in itertools.product([3, 4, 10, 60], [2, 3, 6, 1000]):
        x, y = rng.integers(0, levels, size=(2, n)) / 6
        assert spearman(x, y) == pytest.approx(slow_spearman(x, y), abs=1e-12, nan_ok=True)


def test_rounding_noise_breaks_no_ties():
    # 0.1 + 0.2 and 0.3 are equal in theory. As ties: ranks 2.5 2.5 1 4 against 1 2 3 4, centred 0 0 -1.5 1.5
    # and -1.5 -.5 .5 1.5: 1.5 / sqrt(4.5 * 5). Ranked apart, 3 2 1 4: 0.4 less or more.
    noisy = np.array([0.1 + 0.2, 0.3, 0.0, 1.0])
    assert noisy[0] != noisy[1]
    assert spearman(noisy, [1, 2, 3, 4]) == pytest.approx(1.5 / math.sqrt(22.5), abs=1e-15)


def test_centred_scores_that_are_equal_in_theory_are_ties():
    # Each participant's B and C have the same mean answer, by different items: their scores are equal.
    rng = np.random.default_rng(0)
    key = {"A": [1, 2, 3], "B": [4, 5, 6], "C": [7, 8, 9], "D": [10]}
    answers = rng.integers(1, 7, size=(2, 200, 10)).astype(float)
    answers[:, :, 6:9] = answers[:, :, [5, 3, 4]]
    columns = [[item - 1 for item in of_value] for of_value in key.values()]
    thrice = [answers[:, :, of_value].sum(axis=2) * 3 // len(of_value) for of_value in columns]
    exact = np.stack(thrice, axis=2)
    expected = [slow_spearman(one, other) for one, other in zip(*exact, strict=True)]
    noise = rng.normal(scale=1e-15, size=exact.shape)
    got = ipsative_correlations(value_scores(answers, key, list(range(1, 11))) + noise)[:, 0, 1]
    np.testing.assert_allclose(got, expected, atol=1e-12)


def test_differences_that_are_real_stay():
    # The smallest difference of two PVQ-40 scores is far above the tolerance: here 1e-6 still orders.
    assert spearman([0, 1e-6, 2e-6], [1, 2, 3]) == 1.0


def test_spearman_refuses_other_shapes():
    for x, y in [([1, 2, 3], [1, 2]), ([[1, 2, 3]], [[1, 2, 3]])]:
        with pytest.raises(ValuestabError, match="equally long"):
            spearman(x, y)


# --- both stabilities


def test_rank_order_by_hand():
    # Value 1 orders the personas 1 2 3 4, 1 3 2 4, 4 3 2 1 in three contexts: 0.8, -1, -0.8: mean -1/3.
    # Value 2 orders them alike: 1.
    first = [[1, 2, 3, 4], [1, 3, 2, 4], [4, 3, 2, 1]]
    scores = np.stack([np.array(first), np.tile([10, 20, 30, 40], (3, 1))], axis=2)
    result = rank_order_stability(scores)
    np.testing.assert_allclose(result.per_value, [-1 / 3, 1.0])
    assert result.overall == pytest.approx(1 / 3)
    pairwise = [[NAN, 0.9, 0.0], [0.9, NAN, 0.1], [0.0, 0.1, NAN]]
    np.testing.assert_allclose(result.pairwise, pairwise, atol=1e-15)
    assert (result.undefined.n, result.undefined.of) == (0, 6)


def test_ipsative_by_hand():
    # Persona 1 orders its four values 1 2 3 4, 1 3 2 4, 4 3 2 1: mean -1/3; personas 2 and 3 keep theirs: 1.
    # Mean 5/9; deviations -8/9 4/9 4/9; variance (96 / 81) / 2 = 16/27; standard error sqrt(16 / 81) = 4/9.
    first = np.array([[1, 2, 3, 4], [1, 3, 2, 4], [4, 3, 2, 1]])
    same = np.tile([2, 1, 4, 3], (3, 1))
    result = ipsative_stability(np.stack([first, same, same + 1], axis=1))
    np.testing.assert_allclose(result.per_persona, [-1 / 3, 1.0, 1.0])
    assert (result.overall, result.standard_error) == pytest.approx((5 / 9, 4 / 9))
    assert result.n == 3
    np.testing.assert_allclose(result.pairwise[0], [NAN, 2.8 / 3, 1 / 3])
    assert (result.undefined.n, result.undefined.of) == (0, 9)


@pytest.mark.parametrize("missing", [0.0, 0.2, 0.6])
def test_against_loops(missing):
    rng = np.random.default_rng(5)
    answers = likert(4, 7, 40, seed=6)
    answers[rng.random(answers.shape) < missing] = NAN
    scores = value_scores(answers, read_key(), list(range(1, 41)))
    scores[rng.random(scores.shape) < missing] = NAN
    pairs = list(itertools.combinations(range(4), 2))

    rank_order, ipsative = rank_order_stability(scores), ipsative_stability(scores)
    rho = [[slow_spearman(scores[a, :, v], scores[b, :, v]) for a, b in pairs] for v in range(10)]
    assert rank_order.overall == pytest.approx(slow_mean([slow_mean(of_value) for of_value in rho]))
    assert rank_order.undefined.n == np.isnan(rho).sum()
    assert rank_order.undefined.n == rank_order.undefined.constant + rank_order.undefined.too_few
    np.testing.assert_array_equal(rank_order.undefined.each, np.isnan(rho).sum(axis=1))
    for i, (a, b) in enumerate(pairs):
        expected = slow_mean(of_value[i] for of_value in rho)
        assert rank_order.pairwise[a, b] == pytest.approx(expected, nan_ok=True)
    np.testing.assert_array_equal(rank_order.pairwise, rank_order.pairwise.T)

    rho = [[slow_spearman(scores[a, p], scores[b, p]) for a, b in pairs] for p in range(7)]
    np.testing.assert_allclose(ipsative.per_persona, [slow_mean(of_persona) for of_persona in rho])
    assert ipsative.overall == pytest.approx(slow_mean([slow_mean(of_persona) for of_persona in rho]))
    assert ipsative.undefined.n == np.isnan(rho).sum()
    np.testing.assert_array_equal(ipsative.undefined.each, np.isnan(rho).sum(axis=1))


def test_correlations_have_their_axes():
    scores = np.random.default_rng(0).normal(size=(3, 6, 4))  # contexts, personas, values
    rank_order, ipsative = rank_order_correlations(scores), ipsative_correlations(scores)
    assert rank_order.shape == (4, 3, 3)
    assert ipsative.shape == (6, 3, 3)
    assert rank_order[1, 0, 2] == pytest.approx(spearmanr(scores[0, :, 1], scores[2, :, 1]).statistic)
    assert ipsative[5, 0, 2] == pytest.approx(spearmanr(scores[0, 5], scores[2, 5]).statistic)
    for rho in (rank_order, ipsative):
        np.testing.assert_array_equal(rho, rho.swapaxes(1, 2))
        assert np.isnan(rho[:, range(3), range(3)]).all()


def test_identical_contexts_give_exactly_one():
    scores = np.repeat(np.random.default_rng(0).normal(size=(1, 20, 10)), 5, axis=0)
    rank_order, ipsative = rank_order_stability(scores), ipsative_stability(scores)
    assert rank_order.overall == ipsative.overall == 1.0
    assert ipsative.standard_error == 0.0


def test_reversed_contexts_give_exactly_minus_one():
    scores = np.random.default_rng(0).normal(size=(20, 10))
    both = np.stack([scores, -scores])
    assert rank_order_stability(both).overall == ipsative_stability(both).overall == -1.0


def test_independent_contexts_give_about_zero():
    # A Spearman correlation of n independent pairs has variance 1 / (n - 1). With two contexts, the mean of
    # 10 values over 400 personas has sd sqrt(1 / 3990), that of 400 personas over 10 values sqrt(1 / 3600);
    # 4 sd are allowed.
    scores = np.random.default_rng(7).normal(size=(2, 400, 10))
    assert abs(rank_order_stability(scores).overall) < 4 * math.sqrt(1 / 3990)
    result = ipsative_stability(scores)
    assert abs(result.overall) < 4 * math.sqrt(1 / 3600)
    assert result.standard_error == pytest.approx(math.sqrt(1 / 3600), rel=0.15)


@pytest.mark.parametrize("axis", [0, 1, 2], ids=["contexts", "personas", "values"])
def test_order_of_an_axis_does_not_matter(axis):
    answers = likert(4, 8, 40)
    scores = value_scores(answers, read_key(), list(range(1, 41)))
    order = np.random.default_rng(1).permutation(scores.shape[axis])
    moved = scores.take(order, axis=axis)
    expected = rank_order_stability(scores).overall
    assert rank_order_stability(moved).overall == pytest.approx(expected, abs=1e-14)
    one, other = ipsative_stability(moved), ipsative_stability(scores)
    assert one.overall == pytest.approx(other.overall, abs=1e-14)
    assert one.standard_error == pytest.approx(other.standard_error, abs=1e-14)
    per_persona = other.per_persona[order] if axis == 1 else other.per_persona
    np.testing.assert_allclose(one.per_persona, per_persona, atol=1e-14)
    pairwise = other.pairwise[np.ix_(order, order)] if axis == 0 else other.pairwise
    np.testing.assert_allclose(one.pairwise, pairwise, atol=1e-14)


def test_monotone_transforms_do_not_matter():
    scores = value_scores(likert(4, 8, 40), read_key(), list(range(1, 41)))
    for transformed in (np.exp(scores), scores**3, 7 * scores - 2):
        np.testing.assert_array_equal(rank_order_correlations(transformed), rank_order_correlations(scores))
        np.testing.assert_array_equal(ipsative_correlations(transformed), ipsative_correlations(scores))


def test_shifting_the_answers_of_one_participant_changes_nothing():
    answers = likert(3, 6, 40)
    shifted = answers.copy()
    shifted[1, 4] += 2
    scores, moved = (value_scores(a, read_key(), list(range(1, 41))) for a in (answers, shifted))
    np.testing.assert_array_equal(rank_order_correlations(scores), rank_order_correlations(moved))
    np.testing.assert_array_equal(ipsative_correlations(scores), ipsative_correlations(moved))


def test_constant_vectors_are_counted_and_left_out():
    # Value 2 is the same for all personas in context 3: 2 of its 3 pairs are undefined, the third is 1.
    scores = np.stack([np.tile([1.0, 2.0, 3.0, 4.0], (3, 1))] * 3, axis=2)
    scores[1, :, 0] = [1.0, 3.0, 2.0, 4.0]  # pairs 0.8, 1, 0.8
    scores[2, :, 1] = 5.0
    result = rank_order_stability(scores)
    np.testing.assert_allclose(result.per_value, [2.6 / 3, 1.0, 1.0])
    assert result.overall == pytest.approx((2.6 / 3 + 2) / 3)
    assert (result.undefined.n, result.undefined.of) == (2, 9)
    assert (result.undefined.constant, result.undefined.too_few) == (2, 0)
    assert result.undefined.each.tolist() == [0, 2, 0]


def test_wholly_undefined_value_or_persona_is_left_out():
    scores = np.repeat(np.random.default_rng(0).normal(size=(1, 5, 4)), 2, axis=0)
    scores[:, :, 2] = 0.0
    result = rank_order_stability(scores)
    assert math.isnan(result.per_value[2])
    assert (result.overall, result.undefined.n) == (1.0, 1)
    scores[:, 3] = 1.0  # a persona that answers everything alike
    result = ipsative_stability(scores)
    assert math.isnan(result.per_persona[3])
    assert (result.overall, result.n, result.undefined.n, result.undefined.constant) == (1.0, 4, 1, 1)


def test_no_correlation_at_all_is_nan_not_a_number():
    result = rank_order_stability(np.zeros((3, 5, 4)))
    assert math.isnan(result.overall)
    assert np.isnan(result.pairwise).all()
    assert (result.undefined.n, result.undefined.of, result.undefined.constant) == (12, 12, 12)
    result = ipsative_stability(np.zeros((3, 5, 4)))
    assert math.isnan(result.overall) and math.isnan(result.standard_error)
    assert (result.n, result.undefined.n, result.undefined.of) == (0, 15, 15)


def test_too_few_complete_observations_are_counted_apart():
    scores = np.random.default_rng(0).normal(size=(2, 4, 5))
    scores[0, :2, 1] = NAN  # two personas are left for value 2
    scores[1, :3, 2] = NAN
    scores[:, :, 3] = 1.0
    undefined = rank_order_stability(scores).undefined
    assert (undefined.n, undefined.constant, undefined.too_few) == (3, 1, 2)
    assert undefined.each.tolist() == [0, 1, 1, 1, 0]


@pytest.mark.parametrize(
    ("function", "shape", "message"),
    [
        (rank_order_stability, (1, 5, 5), "at least 2 contexts, not 1"),
        (ipsative_stability, (1, 5, 5), "at least 2 contexts, not 1"),
        (rank_order_correlations, (1, 5, 5), "at least 2 contexts, not 1"),
        (rank_order_stability, (2, 2, 5), "at least 3 personas, not 2"),
        (ipsative_stability, (2, 5, 2), "at least 3 values, not 2"),
        (rank_order_stability, (5, 5), r"shape \(5, 5\)"),
        (ipsative_correlations, (5, 5), r"shape \(5, 5\)"),
    ],
)
def test_too_little_to_compare(function, shape, message):
    with pytest.raises(ValuestabError, match=message):
        function(np.zeros(shape))


def test_one_persona_has_ipsative_stability_without_error():
    result = ipsative_stability(np.random.default_rng(0).normal(size=(2, 1, 10)))
    assert not math.isnan(result.overall)
    assert math.isnan(result.standard_error)
    assert result.n == 1


# --- seeds


def test_mean_and_standard_error_by_hand():
    # Mean 3; squared deviations 4 0 4: variance 4; standard error 2 / sqrt(3).
    estimate = mean_and_standard_error([1.0, 3.0, NAN, 5.0])
    assert (estimate.mean, estimate.standard_error, estimate.n) == pytest.approx((3.0, 2 / math.sqrt(3), 3))


@pytest.mark.parametrize(
    ("values", "mean", "n"), [([2.5], 2.5, 1), ([NAN, 2.5], 2.5, 1), ([], NAN, 0), ([NAN], NAN, 0)]
)
def test_no_standard_error_of_fewer_than_two(values, mean, n):
    estimate = mean_and_standard_error(values)
    assert (estimate.mean, estimate.n) == pytest.approx((mean, n), nan_ok=True)
    assert math.isnan(estimate.standard_error)


def test_standard_error_refuses_pooled_axes():
    with pytest.raises(ValuestabError, match="one axis"):
        mean_and_standard_error(np.zeros((5, 60)))


def test_rank_order_over_seeds_is_over_each_seed_alone():
    scores = np.random.default_rng(0).normal(size=(5, 3, 8, 10))
    results = [rank_order_stability(of_seed) for of_seed in scores]
    overall = [result.overall for result in results]
    estimate = over_seeds(results)
    assert estimate == over_seeds(overall) == over_seeds(np.array(overall))
    assert estimate.mean == pytest.approx(sum(overall) / 5)
    assert estimate.standard_error == pytest.approx(np.std(overall, ddof=1) / math.sqrt(5))
    assert estimate.n == 5


def test_over_seeds_refuses_ipsative_results():
    result = ipsative_stability(np.random.default_rng(0).normal(size=(2, 4, 10)))
    with pytest.raises(ValuestabError, match="over personas"):
        over_seeds([result, result])


def test_ipsative_over_seeds_averages_each_persona_first():
    # Two seeds and three personas: 0.8 and -1, 1 and 1, 1 and -1 -> -0.1, 1, 0: mean 0.3; deviations
    # -.4 .7 -.3; variance .74 / 2; standard error sqrt(.37 / 3). Pooled, the six would give another one.
    base, near, back = [1, 2, 3, 4], [1, 3, 2, 4], [4, 3, 2, 1]
    one = ipsative_stability(np.array([[base, base, base], [near, base, base]]))
    other = ipsative_stability(np.array([[base, base, base], [back, base, back]]))
    both = ipsative_over_seeds([one, other])
    np.testing.assert_allclose(both.per_persona, [-0.1, 1.0, 0.0], atol=1e-15)
    assert (both.overall, both.standard_error) == pytest.approx((0.3, math.sqrt(0.37 / 3)))
    assert (both.n, both.undefined.of) == (3, 6)
    assert both.pairwise[0, 1] == pytest.approx(0.3)


def test_ipsative_over_seeds_leaves_out_what_one_seed_lacks():
    base = [1, 2, 3, 4]
    one = ipsative_stability(np.array([[base, base], [[1, 3, 2, 4], base]]))
    other = ipsative_stability(np.array([[base, base], [[5, 5, 5, 5], base]]))
    both = ipsative_over_seeds([one, other])
    np.testing.assert_allclose(both.per_persona, [0.8, 1.0])
    assert (both.undefined.n, both.undefined.of, both.undefined.constant) == (1, 4, 1)
    assert both.undefined.each.tolist() == [1, 0]


def test_ipsative_over_seeds_refuses_other_personas():
    one, other = (ipsative_stability(np.random.default_rng(0).normal(size=(2, n, 10))) for n in (3, 4))
    for per_seed in ([one, other], []):
        with pytest.raises(ValuestabError, match="same personas and contexts"):
            ipsative_over_seeds(per_seed)
