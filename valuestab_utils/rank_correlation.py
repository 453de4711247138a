"""Spearman's rank correlation, and the correlations between contexts that the stabilities are means of."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from valuestab_utils.errors import ValuestabError

# Scores are differences of means in floating point: two that are equal in theory may differ by 1e-16, and
# that noise would rank them apart. Questionnaire scores that really differ do so by far more than this.
TIE_TOLERANCE = 1e-9
FEWEST_OBSERVATIONS = 3


@dataclass(frozen=True, eq=False)
class Correlations:
    """Rank correlations, and why some have no value.

    Attributes
    ----------
    rho : ndarray
        Between -1 and 1; NaN where undefined.
    constant : ndarray of bool, same shape
        Undefined because one of the two vectors is constant.
    too_few : ndarray of bool, same shape
        Undefined because fewer than three observations are there on both sides.
    """

    rho: np.ndarray
    constant: np.ndarray
    too_few: np.ndarray


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's rank correlation of two vectors: Pearson's correlation of their ranks, ties averaged.

    Neighbours that differ by no more than 1e-9 are ties, so that rounding noise does not order equal scores.

    Parameters
    ----------
    x, y : array_like, shape (n,)
        Scores of the same n observations, in a unit in which 1e-9 is nothing; NaN where missing. Only
        observations that are there on both sides count, and ranks are taken among them.

    Returns
    -------
    float
        Between -1 and 1. NaN if fewer than three observations are complete, or if one of the vectors is
        constant over them: there is no correlation then, neither 0 nor 1.

    Raises
    ------
    ValuestabError
        If `x` and `y` are not two vectors of the same length.

    References
    ----------
    Kovač et al. 2024, section 3.2 (the correlation in the order of individuals, or of values).

    Examples
    --------
    >>> spearman([1, 2, 3, 4], [10, 30, 20, 40])  # 1 - 6 (1 + 1) / (4 (16 - 1))
    0.8
    >>> spearman([1, 2, 3], [5, 5, 5])
    nan
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if x.ndim != 1 or x.shape != y.shape:
        raise ValuestabError(f"Cannot correlate shapes {x.shape} and {y.shape}: give equally long vectors.")
    return float(spearman_columns(x[:, None], y[:, None]).rho[0])


def spearman_columns(x: np.ndarray, y: np.ndarray) -> Correlations:
    """Spearman's correlation of each column of `x` with the same column of `y`; conventions as in `spearman`.

    Parameters
    ----------
    x, y : ndarray, shape (n, k)
        n observations of k quantities; NaN where missing.

    Returns
    -------
    Correlations
        Each of its arrays with shape (k,).

    Examples
    --------
    >>> x = np.array([[1.0, 1.0], [2.0, 1.0], [3.0, 1.0]])
    >>> spearman_columns(x, -x)
    Correlations(rho=array([-1., nan]), constant=array([False,  True]), too_few=array([False, False]))
    """
    missing = np.isnan(x) | np.isnan(y)
    a, b = _centred_ranks(x, missing), _centred_ranks(y, missing)  # (n, k), whole, so that sums are exact
    aa, bb, ab = (a * a).sum(axis=0), (b * b).sum(axis=0), (a * b).sum(axis=0)
    too_few = (~missing).sum(axis=0) < FEWEST_OBSERVATIONS
    constant = ~too_few & ((aa == 0) | (bb == 0))
    defined = ~too_few & ~constant
    rho = np.full(defined.shape, np.nan)
    rho[defined] = ab[defined] / np.sqrt(aa[defined] * bb[defined].astype(float))
    return Correlations(np.clip(rho, -1.0, 1.0), constant, too_few)


def average_ranks(x: np.ndarray) -> np.ndarray:
    """Ranks of each column, ties (neighbours within 1e-9) averaged.

    Parameters
    ----------
    x : ndarray, shape (n, k)
        Without gaps.

    Returns
    -------
    ndarray, shape (n, k)
        From 1 to n.

    Examples
    --------
    >>> average_ranks(np.array([[0.3], [0.1], [0.1 + 1e-12]]))
    array([[3. ],
           [1.5],
           [1.5]])
    """
    return (_centred_ranks(x, np.zeros(x.shape, dtype=bool)) + len(x) + 1) / 2


def _centred_ranks(x: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Twice each column's average rank less twice the mean rank, as whole numbers; 0 where missing."""
    x = np.where(missing, np.nan, x)
    order = np.argsort(x, axis=0)  # missing ones last
    with np.errstate(invalid="ignore"):
        apart = np.diff(np.take_along_axis(x, order, axis=0), axis=0, prepend=np.nan) > TIE_TOLERANCE
    groups = np.empty(x.shape, dtype=np.int64)
    np.put_along_axis(groups, order, np.cumsum(apart, axis=0), axis=0)
    groups[missing] = len(x) + 1  # after all others, so that these keep the ranks among themselves
    doubled = np.rint(2 * rankdata(groups, axis=0)).astype(np.int64)
    return np.where(missing, 0, doubled - ((~missing).sum(axis=0) + 1))
