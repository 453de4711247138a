"""Ipsative stability: does each persona keep the order of its values over contexts? (paper, section 3.2)"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np

from valuestab_utils.context_pairs import (
    UndefinedCounts,
    between_contexts,
    checked_scores,
    count_undefined,
    means_over_pairs,
)
from valuestab_utils.errors import ValuestabError
from valuestab_utils.estimates import mean_and_standard_error, mean_of_defined
from valuestab_utils.rank_correlation import FEWEST_OBSERVATIONS


@dataclass(frozen=True, eq=False)
class IpsativeStability:
    """Ipsative stability of the personas (or of the permutations of a model without persona).

    Attributes
    ----------
    overall : float
        Mean over personas of `per_persona`.
    standard_error : float
        Over personas; NaN with fewer than two.
    n : int
        Personas behind both: those whose stability is defined.
    per_persona : ndarray, shape (personas,)
        Mean over pairs of contexts (and over seeds, after `ipsative_over_seeds`).
    pairwise : ndarray, shape (contexts, contexts)
        Mean over personas; symmetric, NaN on the diagonal.
    undefined : UndefinedCounts
        Correlations that are in none of these means.
    """

    overall: float
    standard_error: float
    n: int
    per_persona: np.ndarray
    pairwise: np.ndarray
    undefined: UndefinedCounts


def ipsative_correlations(value_scores: np.ndarray) -> np.ndarray:
    """For each persona and pair of contexts, how alike its values are ordered: corr over values.

    Parameters
    ----------
    value_scores : ndarray, shape (contexts, personas, values)
        NaN where missing.

    Returns
    -------
    ndarray, shape (personas, contexts, contexts)
        Symmetric, between -1 and 1; NaN where undefined (see `spearman`) and on the diagonal.

    Raises
    ------
    ValuestabError
        With fewer than two contexts.

    References
    ----------
    Kovač et al. 2024, section 3.2, Figure 3.

    Examples
    --------
    One persona with four values in two contexts:

    >>> ipsative_correlations(np.array([[[1.0, 2.0, 3.0, 4.0]], [[1.0, 3.0, 2.0, 4.0]]]))
    array([[[nan, 0.8],
            [0.8, nan]]])
    """
    return between_contexts(checked_scores(value_scores).swapaxes(1, 2)).rho


def ipsative_stability(value_scores: np.ndarray) -> IpsativeStability:
    """How far each persona keeps the order of its values from context to context.

    For persona p, with C the contexts and s(c, p) its scores on the values::

        IP(p) = mean over pairs c1 < c2 in C of spearman(s(c1, p), s(c2, p));  overall = mean over p of IP(p)

    Parameters
    ----------
    value_scores : ndarray, shape (contexts, personas, values)
        Of one seed; NaN where missing. Several seeds: `ipsative_over_seeds`.

    Returns
    -------
    IpsativeStability
        Each number between -1 and 1, or NaN where no correlation behind it is defined.

    Raises
    ------
    ValuestabError
        With fewer than two contexts or three values.

    References
    ----------
    Kovač et al. 2024, section 3.2.

    Examples
    --------
    Two personas with four values in two contexts; the second keeps its order:

    >>> scores = np.array([[[1, 2, 3, 4], [4, 3, 2, 1]], [[1, 3, 2, 4], [9, 8, 6, 5]]])
    >>> result = ipsative_stability(scores)
    >>> result.per_persona, round(result.overall, 6), round(result.standard_error, 6)
    (array([0.8, 1. ]), 0.9, 0.1)
    """
    scores = checked_scores(value_scores)
    if scores.shape[2] < FEWEST_OBSERVATIONS:
        raise ValuestabError(
            f"Ipsative stability needs at least 3 values, not {scores.shape[2]}: use a key with more values."
        )
    correlations = between_contexts(scores.swapaxes(1, 2))
    return _ipsative(*means_over_pairs(correlations), count_undefined(correlations))


def ipsative_over_seeds(per_seed: Sequence[IpsativeStability]) -> IpsativeStability:
    """Ipsative stability of the same personas with several seeds.

    Each persona's stabilities are averaged over its seeds first; mean and standard error are then taken over
    personas. Seeds of one persona are not independent draws of personas, so they are never pooled with them.

    Parameters
    ----------
    per_seed : sequence of IpsativeStability
        One for each seed, with the same personas and contexts in the same order.

    Returns
    -------
    IpsativeStability
        `pairwise` is the mean over seeds, `undefined` the sum.

    Raises
    ------
    ValuestabError
        Without a seed, or if the seeds differ in personas or contexts.

    References
    ----------
    Kovač et al. 2024, section 3.2; the order of the two means is ours.

    Examples
    --------
    >>> one = ipsative_stability(np.array([[[1, 2, 3, 4], [4, 3, 2, 1]], [[1, 3, 2, 4], [9, 8, 6, 5]]]))
    >>> other = ipsative_stability(np.array([[[1, 2, 3, 4], [4, 3, 2, 1]], [[1, 2, 3, 4], [5, 6, 8, 9]]]))
    >>> both = ipsative_over_seeds([one, other])
    >>> both.per_persona, both.n
    (array([0.9, 0. ]), 2)
    """
    shapes = {(seed.per_persona.shape, seed.pairwise.shape) for seed in per_seed}
    if len(shapes) != 1:
        raise ValuestabError("Give one ipsative result a seed, all with the same personas and contexts.")
    counts = [seed.undefined for seed in per_seed]
    undefined = UndefinedCounts(
        n=sum(c.n for c in counts),
        of=sum(c.of for c in counts),
        constant=sum(c.constant for c in counts),
        too_few=sum(c.too_few for c in counts),
        each=np.sum([c.each for c in counts], axis=0),
    )
    per_persona = mean_of_defined(np.stack([seed.per_persona for seed in per_seed]), axis=0)
    pairwise = mean_of_defined(np.stack([seed.pairwise for seed in per_seed]), axis=0)
    return _ipsative(per_persona, pairwise, undefined)


def _ipsative(per_persona: np.ndarray, pairwise: np.ndarray, undefined: UndefinedCounts) -> IpsativeStability:
    mean, error, n = astuple(mean_and_standard_error(per_persona))
    return IpsativeStability(mean, error, n, per_persona, pairwise, undefined)
