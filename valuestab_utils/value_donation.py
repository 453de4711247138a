"""Do values go with deeds? Value scores and donations, correlated context by context (paper, section 4.6)."""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral

import numpy as np

from valuestab_utils.context_pairs import UndefinedCounts
from valuestab_utils.errors import ValuestabError
from valuestab_utils.estimates import mean_of_defined
from valuestab_utils.rank_correlation import spearman_columns


@dataclass(frozen=True, eq=False)
class ValueDonation:
    """Correlations over personas between value scores and donations, from one seed.

    Attributes
    ----------
    per_value : ndarray, shape (values,)
        Mean over races of `per_race`.
    per_race : ndarray, shape (values, races)
        Mean over contexts.
    undefined : UndefinedCounts
        Correlations that are in none of these means; ``each`` counts by value.
    """

    per_value: np.ndarray
    per_race: np.ndarray
    undefined: UndefinedCounts


def value_donation_correlations(
    value_scores: np.ndarray, donations: np.ndarray, races: Sequence[int] | None = None
) -> ValueDonation:
    """How far the personas that value something more also give more, context by context.

    For value v and race r, with C the contexts, s(c, v) the personas' scores and d(c, r) their mean donations
    in the same context::

        VD(v, r) = mean over c in C of spearman(s(c, v), d(c, r));  VD(v) = mean over r of VD(v, r)

    Over seeds: `valuestab_utils.estimates.mean_and_standard_error` of a value's VD(v).

    Parameters
    ----------
    value_scores : ndarray, shape (contexts, personas, values)
        Of one seed; NaN where missing.
    donations : ndarray, shape (contexts, personas, races)
        Mean coins given to each race, by the same personas in the same contexts; NaN where missing.
    races : sequence of int, optional
        Races to take, by their place on the last axis; all unless given (the paper counts four, its data has
        five).

    Returns
    -------
    ValueDonation
        Each number between -1 and 1, or NaN where no correlation behind it is defined.

    Raises
    ------
    ValuestabError
        If the two have not the same contexts and personas, or if `races` are not places on the last axis of
        `donations`, each once.

    References
    ----------
    Kovač et al. 2024, section 4.6 (figure 9).

    Examples
    --------
    Four personas, one value, two races in one context; the second race gets the same from all:

    >>> scores = np.array([[[1.0], [2.0], [3.0], [4.0]]])
    >>> coins = np.array([[[0.0, 2.0], [4.0, 2.0], [2.0, 2.0], [6.0, 2.0]]])
    >>> result = value_donation_correlations(scores, coins)
    >>> result.per_value, result.per_race, result.undefined.n
    (array([0.8]), array([[0.8, nan]]), 1)
    """
    scores, coins = np.asarray(value_scores, dtype=float), np.asarray(donations, dtype=float)
    if scores.ndim != 3 or coins.ndim != 3 or scores.shape[:2] != coins.shape[:2]:
        raise ValuestabError(
            f"value_scores of shape {scores.shape} and donations of shape {coins.shape}: give (contexts, "
            "personas, values) and (contexts, personas, races) of the same contexts and personas."
        )
    if races is not None:
        coins = coins[..., _checked_races(races, coins.shape[2])]
    contexts, personas, n_values = scores.shape
    n_races = coins.shape[2]
    shape = (contexts, n_values, n_races)
    # One column for each context, value and race.
    left = np.repeat(scores.transpose(1, 0, 2).reshape(personas, -1), n_races, axis=1)
    right = np.tile(coins.transpose(1, 0, 2)[:, :, None, :], (1, 1, n_values, 1)).reshape(personas, -1)
    found = spearman_columns(left, right)
    per_race = mean_of_defined(found.rho.reshape(shape), axis=0)
    constant, too_few = found.constant.reshape(shape), found.too_few.reshape(shape)
    each = (constant | too_few).sum(axis=(0, 2))
    undefined = UndefinedCounts(int(each.sum()), constant.size, int(constant.sum()), int(too_few.sum()), each)
    return ValueDonation(mean_of_defined(per_race, axis=1), per_race, undefined)


def _checked_races(races: Sequence[int], n_races: int) -> list[int]:
    chosen = list(races)
    whole = all(isinstance(race, Integral) and not isinstance(race, bool) for race in chosen)
    if not chosen or not whole or len(set(chosen)) < len(chosen) or not set(chosen) <= set(range(n_races)):
        raise ValuestabError(
            f"races are {chosen}, but must be different places from 0 to {n_races - 1}, one or more, or None "
            "for all."
        )
    return [int(race) for race in chosen]
