"""Retest reliability of value scores, and stability corrected for it.

The same conversations are asked twice, in two independent draws of option orders. Where the two draws
disagree, nothing but the order of the options has changed: that is answer noise. It also lowers the
correlation between contexts, so a low stability alone does not tell a role that gives way from answers that
are noisy. Stability divided by reliability does (Spearman's correction for attenuation).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from valuestab_utils.context_pairs import UndefinedCounts
from valuestab_utils.errors import ValuestabError, check_known
from valuestab_utils.estimates import mean_and_standard_error, mean_of_defined
from valuestab_utils.rank_correlation import FEWEST_OBSERVATIONS, Correlations, spearman_columns

SMALLEST_RELIABILITY = 0.05  # below, the quotient is mostly noise, whatever the size of the design
CHANCE_SDS = 2.0  # and a reliability within so many standard deviations of chance is no reliability


@dataclass(frozen=True, eq=False)
class RankOrderRetest:
    """Agreement of two draws on the order of the personas.

    Attributes
    ----------
    overall : float
        Mean over values of `per_value`.
    per_value : ndarray, shape (values,)
        Mean over contexts.
    per_context : ndarray, shape (contexts,)
        Mean over values.
    undefined : UndefinedCounts
        Correlations that are in none of these means; each context counts once.
    """

    overall: float
    per_value: np.ndarray
    per_context: np.ndarray
    undefined: UndefinedCounts


@dataclass(frozen=True, eq=False)
class IpsativeRetest:
    """Agreement of two draws on the order of each persona's values.

    Attributes
    ----------
    overall, standard_error : float
        Mean over personas of `per_persona`, and its standard error (NaN with fewer than two).
    per_persona : ndarray, shape (personas,)
        Mean over contexts.
    per_context : ndarray, shape (contexts,)
        Mean over personas.
    undefined : UndefinedCounts
        Correlations that are in none of these means; each context counts once.
    """

    overall: float
    standard_error: float
    per_persona: np.ndarray
    per_context: np.ndarray
    undefined: UndefinedCounts


@dataclass(frozen=True, eq=False)
class Corrected:
    """Stability without the answer noise.

    Attributes
    ----------
    stability : float
        Between contexts, each in another draw; between -1 and 1.
    reliability : float
        Within a context, between the draws; between -1 and 1.
    corrected : float
        stability / reliability, NaN if there is a `reason`. Estimates may exceed 1 and are not cut.
    reason : str
        Why there is no corrected stability; empty if there is one.
    chance_sd : float
        Standard deviation of the reliability if the two draws had nothing in common.
    n_seeds : int
        Seeds behind the numbers.
    measure : str
        "rank_order" or "ipsative".
    undefined_stability, undefined_reliability : int
        Correlations that do not exist and are left out of the two means.
    """

    stability: float
    reliability: float
    corrected: float
    reason: str
    chance_sd: float
    n_seeds: int
    measure: str
    undefined_stability: int
    undefined_reliability: int


def retest_rank_order(first: np.ndarray, second: np.ndarray) -> RankOrderRetest:
    """How far two draws of option orders agree on the order of the personas, in the same conversations.

    For value v, with C the contexts and s1(c, v), s2(c, v) the personas' scores in the two draws::

        RE(v) = mean over c in C of spearman(s1(c, v), s2(c, v));  overall = mean over v of RE(v)

    Parameters
    ----------
    first, second : ndarray, shape (contexts, personas, values)
        Value scores of one seed in the two draws; NaN where missing.

    Returns
    -------
    RankOrderRetest
        Each number between -1 and 1, or NaN where no correlation behind it is defined.

    Raises
    ------
    ValuestabError
        If the shapes differ, or there are fewer than three personas.

    References
    ----------
    Retest reliability in the sense of classical test theory; the design is ours.

    Examples
    --------
    Four personas, one value, two contexts: the draws agree on the first context only in part.

    >>> first = np.array([[[1], [2], [3], [4]], [[1], [2], [3], [4]]])
    >>> second = np.array([[[1], [3], [2], [4]], [[5], [6], [7], [8]]])
    >>> result = retest_rank_order(first, second)
    >>> result.overall, result.per_context
    (0.9, array([0.8, 1. ]))
    """
    _, within = _between_draws(*_checked(first, second, "rank_order"))
    return RankOrderRetest(
        float(mean_of_defined(mean_of_defined(within.rho, axis=1))),
        mean_of_defined(within.rho, axis=1),
        mean_of_defined(within.rho, axis=0),
        _count(within),
    )


def retest_ipsative(first: np.ndarray, second: np.ndarray) -> IpsativeRetest:
    """How far two draws of option orders agree on the order of each persona's values, conversations equal.

    For persona p, with C the contexts and s1(c, p), s2(c, p) its scores on the values in the two draws::

        RE(p) = mean over c in C of spearman(s1(c, p), s2(c, p));  overall = mean over p of RE(p)

    Parameters
    ----------
    first, second : ndarray, shape (contexts, personas, values)
        Value scores of one seed in the two draws; NaN where missing.

    Returns
    -------
    IpsativeRetest
        Each number between -1 and 1, or NaN where no correlation behind it is defined.

    Raises
    ------
    ValuestabError
        If the shapes differ, or there are fewer than three values.

    References
    ----------
    As `retest_rank_order`.

    Examples
    --------
    Two personas with four values, in one context:

    >>> first, second = [[[1, 2, 3, 4], [4, 3, 2, 1]]], [[[1, 3, 2, 4], [9, 8, 6, 5]]]
    >>> result = retest_ipsative(first, second)
    >>> result.overall, result.per_persona
    (0.9, array([0.8, 1. ]))
    """
    _, within = _between_draws(*_checked(first, second, "ipsative"))
    estimate = mean_and_standard_error(mean_of_defined(within.rho, axis=1))
    return IpsativeRetest(
        estimate.mean,
        estimate.standard_error,
        mean_of_defined(within.rho, axis=1),
        mean_of_defined(within.rho, axis=0),
        _count(within),
    )


def corrected_stability(
    first: np.ndarray, second: np.ndarray, measure: Literal["rank_order", "ipsative"] = "rank_order"
) -> Corrected:
    """Stability as it would be without answer noise: 1 if contexts change nothing beyond that noise.

    With s1, s2 the scores in the two draws, k a value (rank-order) or persona (ipsative)::

        stability(k)   = mean over pairs c1 < c2 of
                         (spearman(s1(c1, k), s2(c2, k)) + spearman(s1(c2, k), s2(c1, k))) / 2
        reliability(k) = mean over c of spearman(s1(c, k), s2(c, k))
        corrected      = mean over k of stability(k)  /  mean over k of reliability(k)

    Contexts are compared between draws, so that the noise is independent on both sides, as it is in the
    reliability. The correction assumes that noise is independent between draws and between contexts, and
    that scores are equally reliable in every context. It is exact for Pearson's correlation of large samples,
    and close for Spearman's. It removes the noise of the option orders alone: a conversation's own randomness
    is part of its context and stays in.

    Parameters
    ----------
    first, second : ndarray, shape (contexts, personas, values)
        Value scores of one seed in the two draws; NaN where missing.
    measure : str
        "rank_order" or "ipsative".

    Returns
    -------
    Corrected
        Without a corrected value, but with the reason, where the reliability is undefined, below 0.05, or
        less than two standard deviations of chance, 1 / sqrt((n - 1) N) with N correlations of n observations
        each.

    Raises
    ------
    ValuestabError
        If the shapes differ, the measure is unknown, or there are fewer than two contexts or three personas
        (rank-order) or values (ipsative).

    References
    ----------
    Spearman 1904, The proof and measurement of association between two things.

    Examples
    --------
    The draws agree wholly, so nothing is corrected:

    >>> scores = np.array([[[1], [2], [3], [4]], [[1], [3], [2], [4]]])
    >>> result = corrected_stability(scores, scores)
    >>> result.stability, result.reliability, result.corrected
    (0.8, 1.0, 0.8)
    """
    first, second = _checked(first, second, measure)
    if first.shape[0] < 2:
        raise ValuestabError(f"Stability needs at least 2 contexts, not {first.shape[0]}: add one.")
    between, within = _between_draws(first, second)
    upper = np.triu_indices(first.shape[0], k=1)
    both_ways = mean_of_defined([between.rho, between.rho.swapaxes(1, 2)], axis=0)  # (k, contexts, contexts)
    n_defined = int((~np.isnan(within.rho)).sum())
    return _corrected(
        stability=float(mean_of_defined(mean_of_defined(both_ways[:, *upper], axis=1))),
        reliability=float(mean_of_defined(mean_of_defined(within.rho, axis=1))),
        chance_sd=1 / np.sqrt((first.shape[1] - 1) * n_defined) if n_defined else float("nan"),
        n_seeds=1,
        measure=measure,
        undefined_stability=_count(between).n,
        undefined_reliability=_count(within).n,
    )


def corrected_over_seeds(per_seed: Sequence[Corrected]) -> Corrected:
    """Corrected stability over seeds: the mean of their stabilities over the mean of their reliabilities.

    The quotient of means, not the mean of quotients, which a seed with a small reliability would carry away.

    Parameters
    ----------
    per_seed : sequence of Corrected
        One for each seed, all of the same measure. Seeds without stability or reliability are left out.

    Returns
    -------
    Corrected
        `n_seeds` is the number of seeds behind it, `chance_sd` that of their mean reliability; the undefined
        correlations are summed over all seeds.

    Raises
    ------
    ValuestabError
        Without a seed, or with both measures.

    Examples
    --------
    >>> scores = np.array([[[1], [2], [3], [4]], [[1], [3], [2], [4]]])
    >>> one, other = corrected_stability(scores, scores), corrected_stability(scores[[0, 0]], scores[[0, 0]])
    >>> corrected_over_seeds([one, other]).corrected
    0.9
    """
    measures = sorted({seed.measure for seed in per_seed})
    if len(measures) != 1:
        raise ValuestabError(
            "Give one corrected stability a seed, all of one measure; these are of "
            f"{' and '.join(measures) or 'none'}."
        )
    defined = [seed for seed in per_seed if not np.isnan([seed.stability, seed.reliability]).any()]
    chance = np.array([seed.chance_sd for seed in defined])
    return _corrected(
        stability=float(mean_of_defined([seed.stability for seed in defined])),
        reliability=float(mean_of_defined([seed.reliability for seed in defined])),
        chance_sd=float(np.sqrt((chance**2).sum()) / len(chance)) if defined else float("nan"),
        n_seeds=len(defined),
        measure=measures[0],
        undefined_stability=sum(seed.undefined_stability for seed in per_seed),
        undefined_reliability=sum(seed.undefined_reliability for seed in per_seed),
    )


def _corrected(stability: float, reliability: float, chance_sd: float, **rest) -> Corrected:
    chance_sd = float(chance_sd)
    if np.isnan(reliability):
        reason = "no correlation between the draws is defined, so there is no reliability"
    elif np.isnan(stability):
        reason = "no correlation between contexts is defined, so there is no stability"
    elif reliability < SMALLEST_RELIABILITY:
        reason = f"the reliability {reliability:.3f} is below {SMALLEST_RELIABILITY}: too near to none"
    elif reliability < CHANCE_SDS * chance_sd:
        reason = (
            f"the reliability {reliability:.3f} is less than {CHANCE_SDS:g} standard deviations of chance "
            f"({chance_sd:.3f} each): more personas, contexts or seeds would tell"
        )
    else:
        return Corrected(stability, reliability, stability / reliability, "", chance_sd, **rest)
    return Corrected(stability, reliability, float("nan"), reason, chance_sd, **rest)


def _checked(first: np.ndarray, second: np.ndarray, measure: str) -> tuple[np.ndarray, np.ndarray]:
    """Both draws with what is correlated over (personas, or values) along axis 1."""
    check_known("measure", measure, ("rank_order", "ipsative"))
    first, second = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if first.ndim != 3 or first.shape != second.shape or not first.size:
        raise ValuestabError(
            f"The draws have the shapes {first.shape} and {second.shape}: give both as (contexts, personas, "
            "values), with the same of each."
        )
    over = "personas" if measure == "rank_order" else "values"
    if measure == "ipsative":
        first, second = first.swapaxes(1, 2), second.swapaxes(1, 2)
    if first.shape[1] < FEWEST_OBSERVATIONS:
        raise ValuestabError(f"This reliability needs at least 3 {over}, not {first.shape[1]}: add some.")
    return first, second


def _between_draws(first: np.ndarray, second: np.ndarray) -> tuple[Correlations, Correlations]:
    """Correlations of contexts in the first draw with contexts in the second.

    Returns those between different contexts, shape (k, contexts, contexts) and NaN on the diagonal, where row
    and column are the context in the first and second draw; and those within a context, shape (k, contexts).
    """
    n_contexts, _, k = first.shape
    shape = (k, n_contexts, n_contexts)
    rho, constant, too_few = np.full(shape, np.nan), np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    for c1, c2 in np.ndindex(n_contexts, n_contexts):
        pair = spearman_columns(first[c1], second[c2])
        rho[:, c1, c2], constant[:, c1, c2], too_few[:, c1, c2] = pair.rho, pair.constant, pair.too_few
    same = np.arange(n_contexts)
    within = Correlations(rho[:, same, same], constant[:, same, same], too_few[:, same, same])
    rho[:, same, same], constant[:, same, same], too_few[:, same, same] = np.nan, False, False
    return Correlations(rho, constant, too_few), within


def _count(correlations: Correlations) -> UndefinedCounts:
    """Count undefined correlations; those of a context with itself are no correlations between contexts."""
    constant, too_few = correlations.constant, correlations.too_few
    each = (constant | too_few).reshape(len(constant), -1).sum(axis=1)
    of = constant.size - (constant.shape[0] * constant.shape[1] if constant.ndim == 3 else 0)
    return UndefinedCounts(int(each.sum()), of, int(constant.sum()), int(too_few.sum()), each)
