"""Stability against length: the number, and its test by permuting contexts."""

import itertools
import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from valuestab_utils.context_length import length_effect
from valuestab_utils.errors import ValuestabError
from valuestab_utils.rank_correlation import spearman

NAN = float("nan")

pytestmark = pytest.mark.filterwarnings("error")


def square(pairs, n):
    """Symmetric (n, n) with these numbers above the diagonal, row by row, and NaN on it."""
    pairwise = np.full((n, n), NAN)
    first, second = np.triu_indices(n, 1)
    pairwise[first, second] = pairwise[second, first] = pairs
    return pairwise


def falling(lengths, noise=0.0):
    """Stability that falls with the mean length of a pair, by 0.1 per 100."""
    lengths = np.asarray(lengths, dtype=float)
    pairwise = 1 - (lengths[:, None] + lengths) / 2 / 1000
    drawn = np.random.default_rng(1).normal(0, noise, pairwise.shape)
    return pairwise + (drawn + drawn.T) / 2


def test_a_stability_that_falls_with_length():
    lengths = [0, 100, 250, 500, 1000]
    found = length_effect(falling(lengths), lengths)
    assert found.rho == pytest.approx(-1) and found.slope == pytest.approx(-0.1) and found.n_pairs == 10
    assert found.p_value < 0.05
    assert length_effect(-falling(lengths), lengths).rho == pytest.approx(1)


def test_it_is_spearmans_correlation_over_pairs_once_each(rng):
    pairwise, lengths = falling(range(14), noise=1), rng.normal(size=14)
    first, second = np.triu_indices(14, 1)
    expected = spearmanr((lengths[first] + lengths[second]) / 2, pairwise[first, second])[0]
    assert length_effect(pairwise, lengths, n_permutations=20).rho == pytest.approx(expected)
    order = rng.permutation(14)
    again = length_effect(pairwise[np.ix_(order, order)], lengths[order], n_permutations=20)
    assert again.rho == pytest.approx(expected)


def test_p_values_are_uniform_where_there_is_nothing(rng):
    p = [
        length_effect((m := rng.normal(size=(5, 5))) + m.T, rng.normal(size=5)).p_value for _ in range(60)
    ]
    assert 0.3 < np.mean(p) < 0.7 and np.mean(np.array(p) < 0.1) < 0.25


def test_three_contexts_cannot_be_significant():
    assert length_effect(falling([0, 100, 500]), [0, 100, 500]).p_value == pytest.approx(1 / 3)


def test_random_permutations_can_be_repeated():
    pairwise, lengths = falling(np.arange(9) * 100, noise=0.5), np.arange(9) * 100
    one, other = (length_effect(pairwise, lengths, n_permutations=200, seed=s) for s in (1, 1))
    assert one == other and 1 / 201 <= one.p_value <= 1


def test_gaps_are_left_out_and_counted():
    lengths = [0, 100, 250, 500]
    pairwise = falling(lengths)
    pairwise[0, 1] = pairwise[1, 0] = np.nan
    found = length_effect(pairwise, lengths)
    assert found.n_pairs == 5 and found.rho == pytest.approx(-1)
    nothing = length_effect(np.full((4, 4), np.nan), lengths)
    assert np.isnan([nothing.rho, nothing.p_value, nothing.slope]).all() and nothing.n_pairs == 0


def test_too_few_contexts_are_refused():
    with pytest.raises(ValuestabError, match="three contexts or more"):
        length_effect(np.zeros((2, 2)), [1, 2])
    with pytest.raises(ValuestabError, match="4 lengths for .3, 3."):
        length_effect(np.zeros((3, 3)), [1, 2, 3, 4])


def test_by_hand():
    # Pairs ab ac ad bc bd cd have the mean lengths 50 100 200 150 250 300, ranks 1 2 4 3 5 6.
    # Their stabilities have the ranks 6 5 4 3 1 2: squared differences 25 9 0 0 16 16.
    found = length_effect(square([0.9, 0.8, 0.6, 0.5, 0.1, 0.4], 4), [0, 100, 200, 400])
    assert found.rho == pytest.approx(1 - 6 * 66 / 210)
    # Mean 175; deviations -125 -75 25 -25 75 125, squares 43750;
    # products with the stabilities -112.5 -60 15 -12.5 7.5 50 sum to -112.5.
    assert found.slope == pytest.approx(100 * -112.5 / 43750)
    assert (found.n_pairs, found.n_undefined) == (6, 0)


@pytest.mark.parametrize("n", [3, 4, 5])
@pytest.mark.parametrize("gap", [False, True])
def test_exact_p_value_is_that_of_a_plain_loop_over_orders(n, gap):
    rng = np.random.default_rng(n)
    pairs, lengths = rng.normal(size=n * (n - 1) // 2), rng.integers(0, 500, n)
    if gap and n > 3:
        pairs[1] = NAN
    couples = list(itertools.combinations(range(n), 2))

    def rho(order):
        return spearman([(lengths[order[a]] + lengths[order[b]]) / 2 for a, b in couples], pairs)

    found = length_effect(square(pairs, n), lengths)
    drawn = [rho(order) for order in itertools.permutations(range(n))]
    assert found.rho == rho(range(n))
    assert found.p_value == pytest.approx(np.mean([abs(r) >= abs(found.rho) - 1e-12 for r in drawn]))


def test_contexts_are_permuted_and_not_pairs():
    # One context differs from the others: 5 pairs of 15 are low. Pairs shuffled freely would make that very
    # unlikely (1 in 3003); but one of six contexts has to be the longest, so it is so in one order of six.
    low = [-1.0 if 5 in pair else 0.0 for pair in itertools.combinations(range(6), 2)]
    found = length_effect(square(low, 6), [0, 0, 0, 0, 0, 900])
    assert found.rho == pytest.approx(-1) and found.p_value == pytest.approx(1 / 6)


def test_orders_without_a_correlation_count_against_the_observed_one():
    # The pairs of the last context are missing. One context is long: the first in 6 of 24 orders (rho as
    # observed), the second (0), the third (the other sign), the last: then the pairs left are equally long.
    found = length_effect(square([0.9, 0.8, NAN, 0.1, NAN, NAN], 4), [5, 0, 0, 0])
    assert found.rho == pytest.approx(math.sqrt(3) / 2) and found.p_value == pytest.approx(18 / 24)


def test_seed_decides_on_the_orders():
    pairwise = square(np.random.default_rng(5).normal(size=36), 9)
    p = [length_effect(pairwise, range(9), seed=seed).p_value for seed in (1, 1, 2, 3, 4, 5)]
    assert p[0] == p[1] and len(set(p)) > 3


def test_no_p_value_of_three_contexts_is_below_a_third():
    for seed in range(40):
        rng = np.random.default_rng(seed)
        pairwise = square(rng.integers(0, 4, 3).astype(float), 3)  # with ties
        found = length_effect(pairwise, rng.integers(0, 4, 3))
        assert math.isnan(found.p_value) or found.p_value >= 1 / 3 - 1e-12


def test_seven_contexts_are_exact_and_eight_are_drawn(rng):
    seven, eight = (square(rng.normal(size=n * (n - 1) // 2), n) for n in (7, 8))
    assert length_effect(seven, range(7), seed=1) == length_effect(seven, range(7), n_permutations=1, seed=2)
    p = [length_effect(eight, range(8), n_permutations=99, seed=seed).p_value for seed in range(5)]
    assert len(set(p)) > 1
    assert all(round(x * 100) == pytest.approx(x * 100) and x >= 0.01 for x in p)  # (1 + k) / (1 + 99)


def test_drawn_p_value_is_near_the_exact_one(monkeypatch):
    pairwise, lengths = falling(np.arange(6) * 100, noise=0.5), np.arange(6) * 100
    exact = length_effect(pairwise, lengths).p_value
    monkeypatch.setattr("valuestab_utils.context_length.EXACT_UP_TO", 5)
    drawn = length_effect(pairwise, lengths, n_permutations=20000).p_value
    assert drawn == pytest.approx(exact, abs=0.015)  # four standard errors of 20000 draws at most


def test_fourteen_contexts_whose_stability_falls_are_significant():
    lengths = np.arange(14) ** 2 * 10
    found = length_effect(falling(lengths, noise=0.05), lengths)
    assert found.rho < -0.9 and found.p_value == pytest.approx(1 / 5001) and found.n_pairs == 91


def test_sign_follows_stability_and_not_p():
    pairwise, lengths = falling(np.arange(6) * 100, noise=0.5), np.arange(6) * 100
    found, turned = length_effect(pairwise, lengths), length_effect(-pairwise, lengths)
    assert (turned.rho, turned.slope) == (pytest.approx(-found.rho), pytest.approx(-found.slope))
    assert turned.p_value == found.p_value


def test_unit_of_length_changes_the_slope_alone():
    pairwise, lengths = falling(np.arange(6) * 100, noise=0.5), np.arange(6) * 100
    tokens, characters = length_effect(pairwise, lengths), length_effect(pairwise, 4 * lengths + 7)
    assert (characters.rho, characters.p_value) == (tokens.rho, tokens.p_value)
    assert characters.slope == pytest.approx(tokens.slope / 4)


def test_diagonal_is_not_looked_at():
    pairwise = falling([0, 100, 250, 500])
    without = pairwise.copy()
    np.fill_diagonal(without, NAN)
    assert length_effect(pairwise, [0, 100, 250, 500]) == length_effect(without, [0, 100, 250, 500])


def test_constant_stability_has_no_correlation_and_a_flat_slope():
    found = length_effect(np.full((4, 4), 0.3), [0, 100, 250, 500])
    assert math.isnan(found.rho) and math.isnan(found.p_value)
    assert found.slope == pytest.approx(0, abs=1e-12) and (found.n_pairs, found.n_undefined) == (6, 0)


def test_equal_lengths_have_neither():
    found = length_effect(falling([0, 100, 250, 500]), [80] * 4)
    assert np.isnan([found.rho, found.p_value, found.slope]).all() and found.n_pairs == 6


def test_two_pairs_are_too_few_and_gaps_are_counted():
    found = length_effect(square([0.5, 0.1, NAN], 3), [0, 100, 500])
    assert np.isnan([found.rho, found.p_value, found.slope]).all()
    assert (found.n_pairs, found.n_undefined) == (2, 1)


@pytest.mark.parametrize(
    ("pairwise", "lengths", "options", "message"),
    [
        (square(range(6), 4), [0, 1, NAN, 3], {}, "Every context needs a length, not .*nan"),
        (np.arange(16.0).reshape(4, 4), range(4), {}, "not symmetric"),
        (np.triu(np.ones((4, 4))), range(4), {}, "not symmetric"),
        (square(range(6), 4), [[0, 1], [2, 3]], {}, "4 lengths"),
        (square(range(6), 4), range(4), {"n_permutations": 0}, "n_permutations is 0, but must be 1 or more"),
    ],
)
def test_what_cannot_be_tested_is_refused(pairwise, lengths, options, message):
    with pytest.raises(ValuestabError, match=message):
        length_effect(pairwise, lengths, **options)
