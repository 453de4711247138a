"""The neutral value profile and the neutral order of personas, and how close personas are to them."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np

from valuestab_utils.context_pairs import UndefinedCounts
from valuestab_utils.errors import ValuestabError
from valuestab_utils.estimates import mean_and_standard_error, mean_of_defined
from valuestab_utils.rank_correlation import (
    FEWEST_OBSERVATIONS,
    Correlations,
    average_ranks,
    spearman_columns,
)


@dataclass(frozen=True, eq=False)
class NeutralSimilarity:
    """Similarity of personas' value profiles to the neutral one.

    Attributes
    ----------
    overall : float
        Mean over personas of `per_persona`.
    standard_error : float
        Over personas; NaN with fewer than two.
    n : int
        Personas behind both.
    per_persona : ndarray, shape (personas,)
        Mean over contexts (and over seeds, after `similarity_over_seeds`).
    undefined : UndefinedCounts
        Correlations that are in none of these means; ``each`` counts by persona.
    """

    overall: float
    standard_error: float
    n: int
    per_persona: np.ndarray
    undefined: UndefinedCounts


@dataclass(frozen=True, eq=False)
class RankOrderToNeutral:
    """Rank-order stability with respect to the personas' order without a conversation.

    Attributes
    ----------
    overall : float
        Mean over values of `per_value`.
    per_value : ndarray, shape (values,)
        Mean over contexts.
    per_context : ndarray, shape (contexts,)
        Mean over values.
    undefined : UndefinedCounts
        Correlations that are in none of these means; ``each`` counts by value.
    """

    overall: float
    per_value: np.ndarray
    per_context: np.ndarray
    undefined: UndefinedCounts


def neutral_profile(value_scores: np.ndarray) -> np.ndarray:
    """The model's own order of values: each permutation's scores are ranked, and ranks averaged.

    Only permutations with all their scores count, since a rank among fewer values is not comparable with the
    others; `n_incomplete_permutations` says how many were left out. Ties are averaged as in `spearman`.

    Parameters
    ----------
    value_scores : ndarray, shape (permutations, values)
        From the model without persona and without conversation; NaN where missing.

    Returns
    -------
    ndarray, shape (values,)
        Mean ranks, from 1 (valued least) to the number of values; their mean is (values + 1) / 2.

    Raises
    ------
    ValuestabError
        If no permutation is complete.

    References
    ----------
    Kovač et al. 2024, appendix D.2.

    Examples
    --------
    >>> neutral_profile(np.array([[0.1, 0.2, 0.3], [0.5, 0.4, 0.9]]))
    array([1.5, 1.5, 3. ])
    """
    scores = _checked_permutations(value_scores)
    complete = scores[~np.isnan(scores).any(axis=1)]
    if complete.size == 0:
        raise ValuestabError(
            f"The neutral profile needs a permutation with all {scores.shape[1]} value scores, but none of "
            f"{scores.shape[0]} has them: ask again without persona and conversation."
        )
    return average_ranks(complete.T).mean(axis=1)


def n_incomplete_permutations(value_scores: np.ndarray) -> int:
    """How many permutations are not in the neutral profile, because a score of theirs is missing.

    Parameters
    ----------
    value_scores : ndarray, shape (permutations, values)
        As for `neutral_profile`.

    Returns
    -------
    int
        From 0 to the number of permutations.

    Raises
    ------
    ValuestabError
        If the scores have other axes.

    References
    ----------
    Kovač et al. 2024, appendix D.2; leaving out is ours.

    Examples
    --------
    >>> n_incomplete_permutations(np.array([[0.1, 0.2, 0.3], [0.5, np.nan, 0.9]]))
    1
    """
    return int(np.isnan(_checked_permutations(value_scores)).any(axis=1).sum())


def neutral_similarity(value_scores: np.ndarray, profile: np.ndarray) -> NeutralSimilarity:
    """How alike the personas' order of values and that of the neutral profile are.

    Spearman's correlation over values of each persona in each context with the profile, averaged over
    contexts, then over personas.

    Parameters
    ----------
    value_scores : ndarray, shape (contexts, personas, values)
        Of one seed; NaN where missing.
    profile : ndarray, shape (values,)
        See `neutral_profile`.

    Returns
    -------
    NeutralSimilarity
        Each number between -1 and 1, or NaN where no correlation behind it is defined.

    Raises
    ------
    ValuestabError
        If scores and profile have not the same values, if there are fewer than three, or if the profile has a
        gap.

    References
    ----------
    Kovač et al. 2024, appendix D.2 (figure 13).

    Examples
    --------
    >>> scores = np.array([[[1, 2, 3, 4], [4, 3, 2, 1]], [[1, 3, 2, 4], [8, 6, 5, 4]]])
    >>> result = neutral_similarity(scores, np.array([1, 2, 3, 4]))
    >>> result.per_persona, round(result.overall, 6)
    (array([ 0.9, -1. ]), -0.05)
    """
    scores, profile = np.asarray(value_scores, dtype=float), np.asarray(profile, dtype=float)
    if scores.ndim != 3 or profile.shape != scores.shape[2:]:
        raise ValuestabError(
            f"value_scores of shape {scores.shape} do not fit a profile of shape {profile.shape}: give "
            "(contexts, personas, values) and (values,)."
        )
    if np.isnan(profile).any() or len(profile) < FEWEST_OBSERVATIONS:
        raise ValuestabError(
            f"The neutral profile needs at least 3 values without gaps, but is {profile.tolist()}: take it "
            "from neutral_profile."
        )
    contexts, personas, values = scores.shape
    columns = scores.reshape(-1, values).T  # (values, contexts x personas)
    found = spearman_columns(columns, np.broadcast_to(profile[:, None], columns.shape))
    rho = found.rho.reshape(contexts, personas)
    return _similarity(mean_of_defined(rho, axis=0), _counts(found, (contexts, personas), axis=0))


def similarity_over_seeds(per_seed: Sequence[NeutralSimilarity]) -> NeutralSimilarity:
    """Similarity of the same personas with several seeds: averaged over a persona's seeds first.

    Mean and standard error are then taken over personas, as in
    `valuestab_utils.ipsative.ipsative_over_seeds`: seeds of one persona are not independent draws of
    personas.

    Parameters
    ----------
    per_seed : sequence of NeutralSimilarity
        One for each seed, with the same personas in the same order.

    Returns
    -------
    NeutralSimilarity
        `undefined` is the sum over seeds.

    Raises
    ------
    ValuestabError
        Without a seed, or if the seeds differ in their number of personas.

    References
    ----------
    Kovač et al. 2024, appendix D.2; the order of the two means is ours.

    Examples
    --------
    >>> one = neutral_similarity(np.array([[[1, 2, 3]]]), np.array([1, 2, 3]))
    >>> other = neutral_similarity(np.array([[[3, 2, 1]]]), np.array([1, 2, 3]))
    >>> similarity_over_seeds([one, other]).per_persona
    array([0.])
    """
    if len({seed.per_persona.shape for seed in per_seed}) != 1:
        raise ValuestabError("Give one similarity a seed, all with the same personas.")
    counts = [seed.undefined for seed in per_seed]
    undefined = UndefinedCounts(
        n=sum(c.n for c in counts),
        of=sum(c.of for c in counts),
        constant=sum(c.constant for c in counts),
        too_few=sum(c.too_few for c in counts),
        each=np.sum([c.each for c in counts], axis=0),
    )
    return _similarity(mean_of_defined(np.stack([s.per_persona for s in per_seed]), axis=0), undefined)


def rank_order_to_neutral(value_scores: np.ndarray, neutral_scores: np.ndarray) -> RankOrderToNeutral:
    """How far the personas' order in each context is their order without a conversation.

    For value v, with C the contexts, s(c, v) the personas' scores in c and n(v) those without a
    conversation::

        RO_neut(v) = mean over c in C of spearman(s(c, v), n(v));  overall = mean over v of RO_neut(v)

    Over seeds: `valuestab_utils.rank_order.over_seeds` of the seeds' `overall`.

    Parameters
    ----------
    value_scores : ndarray, shape (contexts, personas, values)
        Of one seed; NaN where missing.
    neutral_scores : ndarray, shape (personas, values)
        Of the same personas in the same order, asked directly after the instruction; NaN where missing.

    Returns
    -------
    RankOrderToNeutral
        Each number between -1 and 1, or NaN where no correlation behind it is defined.

    Raises
    ------
    ValuestabError
        If the two have not the same personas and values, or with fewer than three personas.

    References
    ----------
    Kovač et al. 2024, appendix D.3, equation 2 (figure 14).

    Examples
    --------
    >>> scores = np.array([[[1.0], [2.0], [3.0], [4.0]], [[1.0], [3.0], [2.0], [4.0]]])
    >>> result = rank_order_to_neutral(scores, scores[0])
    >>> result.per_context, result.overall
    (array([1. , 0.8]), 0.9)
    """
    scores, neutral = np.asarray(value_scores, dtype=float), np.asarray(neutral_scores, dtype=float)
    if scores.ndim != 3 or scores.shape[1:] != neutral.shape:
        raise ValuestabError(
            f"value_scores of shape {scores.shape} and neutral scores of shape {neutral.shape}: give "
            "(contexts, personas, values) and (personas, values) of the same personas and values."
        )
    contexts, personas, values = scores.shape
    if personas < FEWEST_OBSERVATIONS:
        raise ValuestabError(
            f"Rank-order stability needs at least 3 personas, not {personas}: add some, or take the "
            "similarity to the neutral profile alone."
        )
    columns = scores.transpose(1, 0, 2).reshape(personas, -1)  # (personas, contexts x values)
    found = spearman_columns(columns, np.tile(neutral, (1, contexts)))
    rho = found.rho.reshape(contexts, values)
    per_value = mean_of_defined(rho, axis=0)
    counts = _counts(found, (contexts, values), axis=0)
    return RankOrderToNeutral(
        float(mean_of_defined(per_value)), per_value, mean_of_defined(rho, axis=1), counts
    )


def _checked_permutations(value_scores: np.ndarray) -> np.ndarray:
    scores = np.asarray(value_scores, dtype=float)
    if scores.ndim != 2:
        raise ValuestabError(f"Scores without persona of shape {scores.shape}: give (permutations, values).")
    return scores


def _similarity(per_persona: np.ndarray, undefined: UndefinedCounts) -> NeutralSimilarity:
    mean, error, n = astuple(mean_and_standard_error(per_persona))
    return NeutralSimilarity(mean, error, n, per_persona, undefined)


def _counts(found: Correlations, shape: tuple[int, int], axis: int) -> UndefinedCounts:
    constant, too_few = found.constant.reshape(shape), found.too_few.reshape(shape)
    each = (constant | too_few).sum(axis=axis)
    return UndefinedCounts(int(each.sum()), constant.size, int(constant.sum()), int(too_few.sum()), each)
