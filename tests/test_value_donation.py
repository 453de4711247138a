"""Values against donations: by hand, against a plain loop, in limiting cases, under invariances."""

import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from valuestab_utils.errors import ValuestabError
from valuestab_utils.estimates import mean_and_standard_error
from valuestab_utils.value_donation import value_donation_correlations

NAN = float("nan")

pytestmark = pytest.mark.filterwarnings("error")


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def counts(undefined):
    return undefined.n, undefined.of, undefined.constant, undefined.too_few, undefined.each.tolist()


def by_hand():
    """Two contexts, four personas; two values, two races. The scores are orders, the donations are too."""
    up, down, swapped = [1, 2, 3, 4], [4, 3, 2, 1], [1, 3, 2, 4]
    scores = np.array([[up, down], [down, up]], dtype=float).transpose(0, 2, 1)  # contexts, personas, values
    coins = 2.0 * np.array([[up, swapped], [up, down]]).transpose(0, 2, 1)  # contexts, personas, races
    return scores, coins


def test_by_hand():
    # Value 0 is up in context 0 and down in context 1. Race 0 gets up, up: 1, -1; race 1 swapped, down: 0.8,
    # 1. Value 1 is the mirror image of value 0 in both.
    found = value_donation_correlations(*by_hand())
    np.testing.assert_allclose(found.per_race, [[0.0, 0.9], [0.0, -0.9]])
    np.testing.assert_allclose(found.per_value, [0.45, -0.45])
    assert counts(found.undefined) == (0, 8, 0, 0, [0, 0])


def test_only_matching_contexts_are_compared():
    # Each persona gives by its value of the same context, and the contexts' orders have nothing in common.
    scores = normal(3, 40, 2)
    coins = scores[..., :1]
    assert value_donation_correlations(scores, coins).per_value[0] == 1.0
    other_contexts = value_donation_correlations(scores, coins[[1, 2, 0]])
    slow = np.mean([spearmanr(scores[c, :, 0], coins[(c + 1) % 3, :, 0]).statistic for c in range(3)])
    assert other_contexts.per_value[0] == pytest.approx(slow)
    assert abs(slow) < 0.3


def test_against_a_plain_loop():
    scores, coins = normal(5, 11, 10), np.random.default_rng(1).integers(0, 6, size=(5, 11, 4)) * 2.0
    slow = np.zeros((10, 4))
    for v, r in np.ndindex(10, 4):
        slow[v, r] = np.mean([spearmanr(scores[c, :, v], coins[c, :, r]).statistic for c in range(5)])
    found = value_donation_correlations(scores, coins)
    np.testing.assert_allclose(found.per_race, slow, atol=1e-12)
    np.testing.assert_allclose(found.per_value, slow.mean(axis=1), atol=1e-12)


def test_who_gives_by_a_value_has_1_and_who_gives_against_it_minus_1():
    scores = normal(5, 9, 1)
    coins = np.concatenate([np.exp(scores), 10 + 3 * scores], axis=2)
    assert value_donation_correlations(scores, coins).per_value[0] == 1.0
    assert value_donation_correlations(scores, -coins).per_value[0] == -1.0


def test_constant_and_missing_are_left_out_and_counted_by_value():
    scores, coins = normal(2, 4, 2), normal(2, 4, 3, seed=1)
    coins[0, :, 0] = 10.0  # all give race 0 everything, in one context: 1 correlation of each value
    scores[1, :, 1] = 0.1 * 3  # value 1 has no order in context 1: 3 correlations
    coins[1, :2, 2] = NAN  # two personas are left: 1 of value 0; that of value 1 has too few as well
    found = value_donation_correlations(scores, coins)
    assert counts(found.undefined) == (6, 12, 4, 2, [2, 4])
    assert found.per_race[0, 0] == pytest.approx(spearmanr(scores[1, :, 0], coins[1, :, 0]).statistic)
    assert math.isnan(found.per_race[1, 0])  # constant coins in one context, constant scores in the other
    assert found.per_value[1] == pytest.approx(np.mean(found.per_race[1, 1:]))


def test_races_that_get_the_same_from_all_are_not_zero():
    scores, coins = normal(2, 5, 3), np.full((2, 5, 4), 6.0)
    found = value_donation_correlations(scores, coins)
    assert np.isnan(found.per_value).all() and np.isnan(found.per_race).all()
    assert counts(found.undefined) == (24, 24, 24, 0, [8, 8, 8])


def test_means_go_over_contexts_first_and_races_then():
    # Race 0 has 1 in both contexts, race 1 has -1 in one and nothing in the other: 0, not 1/3.
    up = np.array([1.0, 2.0, 3.0])
    coins = np.array([[up, -up], [up, [4.0] * 3]]).transpose(0, 2, 1)
    found = value_donation_correlations(np.stack([up, up])[:, :, None], coins)
    assert found.per_race.tolist() == [[1.0, -1.0]]
    assert found.per_value[0] == 0.0 and found.undefined.n == 1


def test_two_personas_are_too_few():
    found = value_donation_correlations(normal(2, 2, 1), normal(2, 2, 3))
    assert math.isnan(found.per_value[0])
    assert counts(found.undefined) == (6, 6, 0, 6, [6])


def test_some_races():
    scores, coins = normal(3, 6, 4), normal(3, 6, 5, seed=1)
    found = value_donation_correlations(scores, coins, races=[3, 0])
    of_all = value_donation_correlations(scores, coins)
    np.testing.assert_array_equal(found.per_race, of_all.per_race[:, [3, 0]])
    np.testing.assert_allclose(found.per_value, of_all.per_race[:, [0, 3]].mean(axis=1), atol=1e-15)
    assert (found.undefined.of, of_all.undefined.of) == (24, 60)
    np.testing.assert_array_equal(
        value_donation_correlations(scores, coins, np.arange(5)).per_value, of_all.per_value
    )


def test_order_of_personas_and_contexts_does_not_matter():
    scores, coins = normal(3, 6, 4), normal(3, 6, 5, seed=1)
    found = value_donation_correlations(scores, coins).per_race
    who = [4, 2, 0, 5, 1, 3]
    moved = value_donation_correlations(scores[::-1, who], coins[::-1, who]).per_race
    np.testing.assert_allclose(moved, found, atol=1e-15)
    alone = value_donation_correlations(scores[:, who], coins).per_race
    assert not np.allclose(alone, found)


def test_rescaled_scores_and_coins_do_not_matter():
    scores, coins = normal(3, 6, 4), normal(3, 6, 5, seed=1)
    found = value_donation_correlations(scores, coins).per_race
    np.testing.assert_array_equal(value_donation_correlations(7 * scores - 1, np.exp(coins)).per_race, found)


def test_over_seeds():
    # Three seeds with 0.45 (by hand), 0.45, -0.45: mean 0.15, standard error 0.3.
    scores, coins = by_hand()
    seeds = [value_donation_correlations(sign * scores, coins).per_value[0] for sign in (1, 1, -1)]
    estimate = mean_and_standard_error(seeds)
    assert (estimate.mean, estimate.standard_error) == (pytest.approx(0.15), pytest.approx(0.3))


@pytest.mark.parametrize(
    ("scores", "coins", "message"),
    [
        (np.ones((3, 4)), np.ones((3, 4, 5)), r"shape \(3, 4\) and donations of shape \(3, 4, 5\)"),
        (np.ones((2, 3, 4)), np.ones((2, 3)), "values. and .contexts, personas, races."),
        (np.ones((2, 3, 4)), np.ones((1, 3, 5)), "of the same contexts and personas"),
        (np.ones((2, 3, 4)), np.ones((2, 4, 5)), "of the same contexts and personas"),
    ],
)
def test_refuses_what_does_not_fit(scores, coins, message):
    with pytest.raises(ValuestabError, match=message):
        value_donation_correlations(scores, coins)


@pytest.mark.parametrize(
    "races", [[], [5], [-1], [0, 0], [0.0], ["elf"], [True], [True, False, True, False, True], "elf"]
)
def test_refuses_races_that_are_no_places(races):
    with pytest.raises(ValuestabError, match="different places from 0 to 4, one or more, or None for all"):
        value_donation_correlations(normal(2, 4, 3), normal(2, 4, 5), races)
