"""Rank-order stability: do personas keep their order on each value over contexts? (paper, section 3.2)"""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np

from valuestab_utils.context_pairs import (
    UndefinedCounts,
    between_contexts,
    checked_scores,
    count_undefined,
    means_over_pairs,
)
from valuestab_utils.errors import ValuestabError
from valuestab_utils.estimates import Estimate, mean_and_standard_error, mean_of_defined
from valuestab_utils.rank_correlation import FEWEST_OBSERVATIONS


@dataclass(frozen=True, eq=False)
class RankOrderStability:
    """Rank-order stability of one population, from one seed.

    Attributes
    ----------
    overall : float
        Mean over values of `per_value`.
    per_value : ndarray, shape (values,)
        Mean over pairs of contexts.
    pairwise : ndarray, shape (contexts, contexts)
        Mean over values; symmetric, NaN on the diagonal.
    undefined : UndefinedCounts
        Correlations that are in none of these means.
    """

    overall: float
    per_value: np.ndarray
    pairwise: np.ndarray
    undefined: UndefinedCounts


def rank_order_correlations(value_scores: np.ndarray) -> np.ndarray:
    """For each value and pair of contexts, how alike the personas are ordered: corr over personas.

    Parameters
    ----------
    value_scores : ndarray, shape (contexts, personas, values)
        NaN where missing.

    Returns
    -------
    ndarray, shape (values, contexts, contexts)
        Symmetric, between -1 and 1; NaN where undefined (see `spearman`) and on the diagonal.

    Raises
    ------
    ValuestabError
        With fewer than two contexts.

    References
    ----------
    Kovač et al. 2024, section 3.2, Figure 2.

    Examples
    --------
    Four personas and one value in two contexts:

    >>> scores = np.array([[[1.0], [2.0], [3.0], [4.0]], [[1.0], [3.0], [2.0], [4.0]]])
    >>> rank_order_correlations(scores)
    array([[[nan, 0.8],
            [0.8, nan]]])
    """
    return between_contexts(checked_scores(value_scores)).rho


def rank_order_stability(value_scores: np.ndarray) -> RankOrderStability:
    """How far the personas keep their order on each value from context to context.

    For value v, with C the contexts and s(c, v) the personas' scores::

        RO(v) = mean over pairs c1 < c2 in C of spearman(s(c1, v), s(c2, v));  overall = mean over v of RO(v)

    Parameters
    ----------
    value_scores : ndarray, shape (contexts, personas, values)
        Of one seed; NaN where missing.

    Returns
    -------
    RankOrderStability
        Each number between -1 and 1, or NaN where no correlation behind it is defined.

    Raises
    ------
    ValuestabError
        With fewer than two contexts or three personas.

    References
    ----------
    Kovač et al. 2024, section 3.2 and D.3, equation 1.

    Examples
    --------
    Four personas, two values, two contexts; the second value is the same for all in the second context:

    >>> scores = np.array([[[1, 1], [2, 2], [3, 3], [4, 4]], [[1, 5], [3, 5], [2, 5], [4, 5]]])
    >>> result = rank_order_stability(scores)
    >>> float(result.overall), result.per_value, result.undefined.n, result.undefined.of
    (0.8, array([0.8, nan]), 1, 2)
    """
    scores = checked_scores(value_scores)
    if scores.shape[1] < FEWEST_OBSERVATIONS:
        raise ValuestabError(
            f"Rank-order stability needs at least 3 personas, not {scores.shape[1]}: add some, or take "
            "the ipsative stability alone."
        )
    correlations = between_contexts(scores)
    per_value, pairwise = means_over_pairs(correlations)
    overall = float(mean_of_defined(per_value))
    return RankOrderStability(overall, per_value, pairwise, count_undefined(correlations))


def over_seeds(per_seed: Sequence[RankOrderStability] | Sequence[float] | np.ndarray) -> Estimate:
    """Rank-order stability over seeds: the mean of the seeds' own stabilities, and its standard error.

    Parameters
    ----------
    per_seed : sequence of RankOrderStability, or array_like of shape (seeds,)
        One result, or its `overall`, for each seed.

    Returns
    -------
    Estimate
        n is the number of seeds whose stability is defined; the standard error is NaN if n < 2.

    Raises
    ------
    ValuestabError
        For anything else, above all ipsative results: their standard error is over personas
        (`ipsative_over_seeds`).

    References
    ----------
    Kovač et al. 2024, section 3.1, step 7.

    Examples
    --------
    >>> over_seeds([0.25, 0.75])  # standard deviation sqrt(1 / 8), divided by sqrt(2)
    Estimate(mean=0.5, standard_error=0.25, n=2)
    >>> over_seeds([0.25])
    Estimate(mean=0.25, standard_error=nan, n=1)
    """
    overall = [seed.overall if isinstance(seed, RankOrderStability) else seed for seed in per_seed]
    if not all(isinstance(number, Real) for number in overall):
        raise ValuestabError(
            "Give the rank-order result of each seed, or one number for each; the standard error of ipsative "
            "stability is over personas instead (ipsative_over_seeds)."
        )
    return mean_and_standard_error(overall)
