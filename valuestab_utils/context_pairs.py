"""Correlations between pairs of contexts, their means, and the count of those that are undefined."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from valuestab_utils.errors import ValuestabError
from valuestab_utils.estimates import mean_of_defined
from valuestab_utils.rank_correlation import Correlations, spearman_columns


@dataclass(frozen=True, eq=False)
class UndefinedCounts:
    """How many correlations have no value, and why. A pair of contexts counts once.

    Attributes
    ----------
    n, of : int
        Undefined correlations, and all of them; n = constant + too_few.
    constant : int
        Undefined because a vector is constant.
    too_few : int
        Undefined because fewer than three observations are complete.
    each : ndarray of int, shape (values,) or (personas,)
        n for each value (rank-order) or persona (ipsative).
    """

    n: int
    of: int
    constant: int
    too_few: int
    each: np.ndarray


def checked_scores(value_scores: np.ndarray) -> np.ndarray:
    """Return value_scores (contexts, personas, values) as floats if there are contexts to compare."""
    scores = np.asarray(value_scores, dtype=float)
    if scores.ndim != 3:
        raise ValuestabError(f"value_scores of shape {scores.shape}: give (contexts, personas, values).")
    if scores.shape[0] < 2:
        raise ValuestabError(f"Stability needs at least 2 contexts, not {scores.shape[0]}: add one.")
    return scores


def between_contexts(scores: np.ndarray) -> Correlations:
    """Correlations between all pairs of distinct contexts.

    Parameters
    ----------
    scores : ndarray, shape (contexts, n, k)
        n observations of k quantities in each context.

    Returns
    -------
    Correlations
        Each of its arrays with shape (k, contexts, contexts), symmetric; on the diagonal `rho` is NaN and the
        reasons are False, since a context is not compared with itself.

    Examples
    --------
    >>> between_contexts(np.array([[[1.0], [2.0], [3.0], [4.0]], [[1.0], [3.0], [2.0], [4.0]]])).rho
    array([[[nan, 0.8],
            [0.8, nan]]])
    """
    n_contexts, _, k = scores.shape
    shape = (k, n_contexts, n_contexts)
    rho, constant, too_few = np.full(shape, np.nan), np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    for one, other in combinations(range(n_contexts), 2):
        pair = spearman_columns(scores[one], scores[other])
        for c1, c2 in ((one, other), (other, one)):
            rho[:, c1, c2], constant[:, c1, c2], too_few[:, c1, c2] = pair.rho, pair.constant, pair.too_few
    return Correlations(rho, constant, too_few)


def means_over_pairs(correlations: Correlations) -> tuple[np.ndarray, np.ndarray]:
    """Means of the defined correlations: over pairs of contexts (k,), and over k (contexts, contexts).

    Examples
    --------
    >>> scores = np.array([[[1.0], [2.0], [3.0], [4.0]], [[1.0], [3.0], [2.0], [4.0]]])
    >>> means_over_pairs(between_contexts(scores))
    (array([0.8]), array([[nan, 0.8],
           [0.8, nan]]))
    """
    rho = correlations.rho
    first, second = np.triu_indices(rho.shape[1], k=1)
    return mean_of_defined(rho[:, first, second], axis=1), mean_of_defined(rho, axis=0)


def count_undefined(correlations: Correlations) -> UndefinedCounts:
    """Count the undefined correlations, each pair of contexts once.

    Examples
    --------
    >>> counts = count_undefined(between_contexts(np.array([[[1.0], [2.0], [3.0]], [[5.0], [5.0], [5.0]]])))
    >>> counts.n, counts.of, counts.constant, counts.too_few
    (1, 1, 1, 0)
    """
    first, second = np.triu_indices(correlations.rho.shape[1], k=1)
    constant, too_few = correlations.constant[:, first, second], correlations.too_few[:, first, second]
    each = (constant | too_few).sum(axis=1)
    return UndefinedCounts(int(each.sum()), constant.size, int(constant.sum()), int(too_few.sum()), each)
