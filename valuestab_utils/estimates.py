"""Means and standard errors that leave out what is undefined."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from valuestab_utils.errors import ValuestabError


@dataclass(frozen=True)
class Estimate:
    """A mean, its standard error (NaN if n < 2) and the number n of independent units behind both."""

    mean: float
    standard_error: float
    n: int


def mean_of_defined(x: np.ndarray | Sequence, axis: int | None = None) -> np.ndarray:
    """Mean over what is not NaN; NaN, without a warning, where nothing is there.

    Examples
    --------
    >>> mean_of_defined(np.array([[1.0, np.nan, 3.0], [np.nan, np.nan, np.nan]]), axis=1)
    array([ 2., nan])
    """
    x = np.asarray(x, dtype=float)
    there = ~np.isnan(x)
    total = np.where(there, x, 0.0).sum(axis=axis)
    count = there.sum(axis=axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def mean_and_standard_error(values: Sequence[float] | np.ndarray) -> Estimate:
    """Mean and standard error of the mean, sd / sqrt(n) with n - 1 degrees of freedom, over what is not NaN.

    Parameters
    ----------
    values : array_like, shape (n,)
        One number for each independent unit.

    Returns
    -------
    Estimate
        The standard error is NaN if n < 2, the mean if n = 0.

    Examples
    --------
    >>> mean_and_standard_error([1.0, 3.0, float("nan")])
    Estimate(mean=2.0, standard_error=1.0, n=2)
    """
    values = np.asarray(values, dtype=float)
    if values.ndim != 1:
        raise ValuestabError(f"A standard error goes over one axis of units, not {values.ndim}.")
    values = values[~np.isnan(values)]
    error = float(np.sqrt(np.var(values, ddof=1) / len(values))) if len(values) > 1 else float("nan")
    return Estimate(float(mean_of_defined(values)), error, len(values))
