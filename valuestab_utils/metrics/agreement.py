"""How alike two orders are: rank correlations along one axis of value scores, averaged over the others.

`rank_order_stability` and `rank_order_to_neutral` correlate personas, value by value, with a standard error over seeds;
`ipsative_stability` and `neutral_similarity` correlate values, persona by persona, with one over personas.

value_scores have the axes (seeds, contexts, personas, values), NaN where missing; of one seed, the first may be left
out. A correlation is undefined where one side is constant or fewer than three observations are there on both sides:
it is in no mean, and counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

from valuestab_utils.errors import ValuestabError, check_known

# Scores are differences of means in floating point: two that are equal in theory may differ by 1e-16, and that noise
# would rank them apart. Rounding cannot part them either: a score halfway between two multiples of 1e-9 has a
# denominator that 1024 divides, which means over a questionnaire's items never have.
TIE_DECIMALS = 9
TIE_TOLERANCE = 1e-9
FEWEST_OBSERVATIONS = 3
OBSERVATIONS = {"rank_order": ("personas", -2), "ipsative": ("values", -1)}  # of a measure, and their axis
UNITS = {"rank_order": "seeds", "ipsative": "personas"}


class Correlations(NamedTuple):
    """Correlations, NaN where undefined, and masks of the same shape that say why."""

    rho: np.ndarray
    constant: np.ndarray
    too_few: np.ndarray


class Estimate(NamedTuple):
    """A mean (NaN if n = 0), its standard error (NaN if n < 2) and the number n of independent units behind both."""

    mean: float
    standard_error: float
    n: int


@dataclass(frozen=True, eq=False)
class UndefinedCounts:
    """How many correlations have no value, and why; a pair of contexts counts once.

    n, of : undefined correlations, and all of them; n = constant + too_few
    each : n for each value (rank-order) or persona (ipsative)
    """

    n: int
    of: int
    constant: int
    too_few: int
    each: np.ndarray


@dataclass(frozen=True, eq=False)
class Agreement:
    """Correlations, averaged: over contexts (or pairs of them) first, then over what they belong to.

    by_seed : (seeds, values) if personas are correlated, (seeds, personas) if values are
    pairwise : (contexts, contexts), mean over all else, symmetric, NaN on the diagonal; None if no two are compared
    unit : what the standard error is over, "seeds" or "personas"
    """

    by_seed: np.ndarray
    undefined: UndefinedCounts
    unit: str
    pairwise: np.ndarray | None = None

    @property
    def each(self) -> np.ndarray:
        """Of each value or persona: mean over seeds."""
        return mean_of_defined(self.by_seed, axis=0)

    @property
    def per_seed(self) -> np.ndarray:
        """Of each seed: mean over values or personas."""
        return mean_of_defined(self.by_seed, axis=1)

    @property
    def estimate(self) -> Estimate:
        """Mean over units and its standard error. Seeds of one persona are no independent draws of personas."""
        return mean_and_standard_error(self.per_seed if self.unit == "seeds" else self.each)

    @property
    def overall(self) -> float:
        return self.estimate.mean

    @property
    def standard_error(self) -> float:
        return self.estimate.standard_error

    @property
    def n(self) -> int:
        """Units that have a number."""
        return self.estimate.n


def mean_of_defined(x: np.ndarray | Sequence, axis: int | None = None) -> np.ndarray:
    """Mean over what is not NaN; NaN, without a warning, where nothing is there."""
    x = np.asarray(x, dtype=float)
    there = ~np.isnan(x)
    total = np.where(there, x, 0.0).sum(axis=axis)
    count = there.sum(axis=axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def mean_and_standard_error(values: Sequence[float] | np.ndarray) -> Estimate:
    """Mean and standard error of the mean, sd / sqrt(n) with n - 1 degrees of freedom, over what is not NaN.

    >>> mean_and_standard_error([1.0, 3.0, float("nan")])
    Estimate(mean=2.0, standard_error=1.0, n=2)
    """
    values = np.asarray(values, dtype=float)
    values = values[~np.isnan(values)]
    error = float(np.sqrt(np.var(values, ddof=1) / len(values))) if len(values) > 1 else float("nan")
    return Estimate(float(mean_of_defined(values)), error, len(values))


def average_ranks(x: np.ndarray, axis: int = -1) -> np.ndarray:
    """Ranks from 1, ties (equal to nine decimals) averaged, NaN where x is."""
    return rankdata(np.round(np.asarray(x, dtype=float), TIE_DECIMALS), axis=axis, nan_policy="omit")


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's rank correlation of two vectors (see `correlations`); Kovač et al. 2024, section 3.2.

    >>> spearman([1, 2, 3, 4], [10, 30, 20, 40])  # 1 - 6 (1 + 1) / (4 (16 - 1))
    0.8
    """
    if np.ndim(x) != 1 or np.shape(x) != np.shape(y):
        raise ValuestabError(f"Cannot correlate shapes {np.shape(x)} and {np.shape(y)}: give equally long vectors.")
    return float(correlations(x, y, axis=0).rho)


def correlations(a: np.ndarray, b: np.ndarray, axis: int, ranks: bool = True) -> Correlations:
    """Spearman's correlation of a and b along one axis, which the result lacks; their other axes are broadcast.

    That is Pearson's correlation of ranks, ties averaged; without ``ranks``, of the numbers themselves. Only
    observations that are there on both sides count, and ranks are taken among them.
    """
    a, b = np.broadcast_arrays(np.asarray(a, dtype=float), np.asarray(b, dtype=float))
    missing = np.isnan(a) | np.isnan(b)
    n = (~missing).sum(axis=axis)
    centred = _centred_ranks if ranks else _centred
    x, y = (centred(np.where(missing, np.nan, side), axis) for side in (a, b))
    return correlations_of_centred(x, y, n, axis)


def correlations_of_centred(x: np.ndarray, y: np.ndarray, n: np.ndarray, axis: int = -1) -> Correlations:
    """From what is left after subtracting means over n observations, with 0 where missing."""
    xx, yy, xy = (x * x).sum(axis=axis), (y * y).sum(axis=axis), (x * y).sum(axis=axis)
    too_few = n < FEWEST_OBSERVATIONS
    constant = ~too_few & (np.minimum(xx, yy) < n * TIE_TOLERANCE**2)
    product = np.where(too_few | constant, np.nan, xx * yy)
    return Correlations(np.clip(xy / np.sqrt(product), -1.0, 1.0), constant, too_few)


def _centred_ranks(x: np.ndarray, axis: int) -> np.ndarray:
    ranks = average_ranks(x, axis)
    n = (~np.isnan(ranks)).sum(axis=axis, keepdims=True)
    # Ranks of ties may end in a half; doubled, all are whole, and sums of them are exact.
    return np.nan_to_num(2 * ranks - (n + 1))


def _centred(x: np.ndarray, axis: int) -> np.ndarray:
    return np.nan_to_num(x - np.expand_dims(mean_of_defined(x, axis), axis))


def rank_order_stability(value_scores: np.ndarray) -> Agreement:
    """How far the personas keep their order on each value between contexts (Kovač et al. 2024, section 3.2, D.3)::

        RO(v) = mean over pairs of contexts c1 < c2 of spearman(s(c1, v), s(c2, v));  overall = mean over v of RO(v)

    with s(c, v) the personas' scores. Four personas, two values; all have the same second value in the second context:

    >>> scores = np.array([[[1, 1], [2, 2], [3, 3], [4, 4]], [[1, 5], [3, 5], [2, 5], [4, 5]]])
    >>> result = rank_order_stability(scores)
    >>> result.overall, result.each, result.undefined.n, result.undefined.of
    (0.8, array([0.8, nan]), 1, 2)
    """
    return stability(value_scores, "rank_order")


def ipsative_stability(value_scores: np.ndarray) -> Agreement:
    """How far each persona keeps the order of its values between contexts (Kovač et al. 2024, section 3.2)::

        IP(p) = mean over pairs of contexts c1 < c2 of spearman(s(c1, p), s(c2, p));  overall = mean over p of IP(p)

    with s(c, p) the persona's scores on the values.

    >>> result = ipsative_stability(np.array([[[1, 2, 3, 4], [4, 3, 2, 1]], [[1, 3, 2, 4], [9, 8, 6, 5]]]))
    >>> result.each, round(result.overall, 6), round(result.standard_error, 6)
    (array([0.8, 1. ]), 0.9, 0.1)
    """
    return stability(value_scores, "ipsative")


def stability(value_scores: np.ndarray, measure: str) -> Agreement:
    """Rank-order or ipsative stability, by the name of the measure."""
    scores = checked_scores(value_scores, measure)
    n_contexts = scores.shape[1]
    if n_contexts < 2:
        raise ValuestabError(f"Stability needs at least 2 contexts, not {n_contexts}: add one.")
    _, axis = OBSERVATIONS[measure]
    # Pair by pair: all at once, a hundred contexts would fill the memory.
    pairs = [correlations(scores[:, i], scores[:, j], axis) for i, j in combinations(range(n_contexts), 2)]
    found = Correlations(*(np.stack(parts, axis=1) for parts in zip(*pairs, strict=True)))
    pairwise = np.full((n_contexts, n_contexts), np.nan)
    first, second = np.triu_indices(n_contexts, k=1)
    pairwise[first, second] = mean_of_defined(mean_of_defined(found.rho, axis=2), axis=0)
    pairwise[second, first] = pairwise[first, second]
    return _averaged(found, UNITS[measure], pairwise)


def retest_reliability(first: np.ndarray, second: np.ndarray, measure: str) -> Agreement:
    """How far two draws of option orders agree, context by context, on the order of personas or of values.

    Retest reliability as in classical test theory; the design is ours.
    """
    first, second = checked_scores(first, measure), checked_scores(second, measure)
    return _averaged(correlations(first, second, OBSERVATIONS[measure][1]), UNITS[measure])


def neutral_profile(value_scores: np.ndarray) -> np.ndarray:
    """The model's own order of values: each permutation's scores are ranked, and ranks averaged (D.2).

    value_scores (permutations, values) are of the model without persona and conversation. Only complete permutations
    count, since a rank among fewer values is not comparable (a rule of ours). Ranks (values,) go up from 1, valued
    least.
    """
    complete = value_scores[~np.isnan(value_scores).any(axis=1)]
    if complete.size == 0:
        raise ValuestabError(
            f"The neutral profile needs a permutation with all {value_scores.shape[1]} value scores, but none of "
            f"{value_scores.shape[0]} has them: ask again without persona and conversation."
        )
    return average_ranks(complete).mean(axis=0)


def neutral_similarity(value_scores: np.ndarray, profile: np.ndarray) -> Agreement:
    """How alike the personas' order of values and the neutral one (values,) are (D.2, figure 13)."""
    return _averaged(correlations(checked_scores(value_scores, "ipsative"), profile, axis=-1), "personas")


def rank_order_to_neutral(value_scores: np.ndarray, neutral_scores: np.ndarray) -> Agreement:
    """How far the personas' order in each context is their order without a conversation (D.3, equation 2, figure 14).

    neutral_scores are of the same seeds and personas, in one context: (seeds, 1, personas, values).
    """
    scores, neutral = (checked_scores(each, "rank_order") for each in (value_scores, neutral_scores))
    return _averaged(correlations(scores, neutral, axis=-2), "seeds")


def value_donation_correlations(value_scores: np.ndarray, donations: np.ndarray) -> Agreement:
    """How far the personas that value something more also give more (Kovač et al. 2024, section 4.6, figure 9).

    Donations are mean coins (seeds, contexts, personas, races). Correlations are averaged over contexts, then races.
    """
    scores, coins = _of_seeds(value_scores), _of_seeds(donations)
    # (seeds, contexts, values, races)
    return _averaged(correlations(scores[..., None], coins[..., None, :], axis=2), "seeds")


def checked_scores(value_scores: np.ndarray, measure: str) -> np.ndarray:
    """value_scores as (seeds, contexts, personas, values) if there are enough of what the measure correlates."""
    observations, axis = OBSERVATIONS[check_known("measure", measure, OBSERVATIONS)]
    scores = _of_seeds(value_scores)
    if scores.shape[axis] < FEWEST_OBSERVATIONS:
        name = measure.replace("_", "-").capitalize()
        raise ValuestabError(
            f"{name} stability needs at least {FEWEST_OBSERVATIONS} {observations}, not {scores.shape[axis]}: add "
            "some, or take the other measure alone."
        )
    return scores


def _of_seeds(scores: np.ndarray) -> np.ndarray:
    scores = np.asarray(scores, dtype=float)
    scores = scores[None] if scores.ndim == 3 else scores
    if scores.ndim != 4 or not scores.size:
        raise ValuestabError(
            f"Scores of shape {scores.shape}: give (seeds, contexts, personas, values), at least one of each."
        )
    return scores


def _averaged(found: Correlations, unit: str, pairwise: np.ndarray | None = None) -> Agreement:
    """From correlations (seeds, contexts or pairs of them, values or personas), which may end in an axis of races."""
    by_seed = mean_of_defined(found.rho, axis=1)
    by_seed = mean_of_defined(by_seed, axis=2) if by_seed.ndim == 3 else by_seed
    undefined = found.constant | found.too_few
    each = np.moveaxis(undefined, 2, 0).reshape(undefined.shape[2], -1).sum(axis=1)
    n_constant, n_too_few = int(found.constant.sum()), int(found.too_few.sum())
    return Agreement(
        by_seed, UndefinedCounts(int(each.sum()), undefined.size, n_constant, n_too_few, each), unit, pairwise
    )
