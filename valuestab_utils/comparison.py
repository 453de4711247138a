"""Which models differ in stability: t-tests of each two, corrected for their number (paper, appendix E)."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control, ttest_ind_from_stats

from valuestab_utils.errors import ValuestabError, check_known
from valuestab_utils.rank_correlation import TIE_TOLERANCE

TOO_FEW = "fewer than two units"
NO_VARIANCE = "no variance in either"
# Results that belong to a pair, and their sign with the pair turned round.
MIRRORED = {"p_adjusted": 1, "p": 1, "significant": 1, "degrees_of_freedom": 1, "difference": -1, "t": -1}


def compare_pairs(units: Mapping[str, Sequence[float]], alpha: float = 0.05) -> pd.DataFrame:
    """Student's t-test for each pair of models on their units' stabilities, with Benjamini-Hochberg.

    For models a and b with n, mean m and variance s² (n - 1 degrees of freedom) of their units::

        t = (m_a - m_b) / sqrt(s² (1 / n_a + 1 / n_b))
        s² = ((n_a - 1) s²_a + (n_b - 1) s²_b) / (n_a + n_b - 2)

    The p-values of the pairs that can be tested, and of nothing else, are adjusted together: 210 for 21
    models. Units must be independent of each other: seeds for rank-order stability, option-order permutations
    for ipsative stability without persona; not the seeds and permutations pooled.

    Parameters
    ----------
    units : mapping of str to array_like of shape (units,)
        Stability (-1 to 1) of each unit of each model. NaN units are left out.
    alpha : float
        Share of false discoveries that is accepted, between 0 and 1.

    Returns
    -------
    DataFrame
        One row a pair, in the order of `units`: one, other; n_one, n_other (units that are not NaN);
        mean_one, mean_other, difference (one - other); t, degrees_of_freedom, p and p_adjusted (two-sided, 0
        to 1); significant (p_adjusted <= alpha; <NA> where undefined); undefined ("", or why there is no
        test: fewer than two units, no variance in either).

    Raises
    ------
    ValuestabError
        With fewer than two models, units that are not a list of finite numbers, or alpha not between 0 and 1.

    References
    ----------
    Kovač et al. 2024, appendix E. Benjamini and Hochberg 1995.

    Examples
    --------
    Variance 0.01 each, so t = -0.2 / sqrt(0.01 * 2 / 3) = -sqrt(6):

    >>> pairs = compare_pairs({"small": [0.1, 0.2, 0.3], "large": [0.3, 0.4, 0.5]})
    >>> pairs[["one", "other", "t", "p"]].round(3)
         one  other      t     p
    0  small  large -2.449  0.07
    """
    if not 0 < alpha < 1:
        raise ValuestabError(f"alpha is {alpha}, but must lie between 0 and 1: the paper takes 0.05.")
    if len(units) < 2:
        raise ValuestabError(f"A comparison needs at least 2 models, not {len(units)}: add one.")
    there = {model: _defined_units(model, stabilities) for model, stabilities in units.items()}
    rows = [{"one": a, "other": b} | _student(there[a], there[b]) for a, b in combinations(there, 2)]
    pairs = pd.DataFrame(rows)
    pairs["degrees_of_freedom"] = pairs["degrees_of_freedom"].astype("Int64")
    tested = pairs["undefined"] == ""
    pairs["p_adjusted"] = np.nan
    if tested.any():
        pairs.loc[tested, "p_adjusted"] = false_discovery_control(pairs.loc[tested, "p"])
    pairs["significant"] = (pairs["p_adjusted"] <= alpha).astype("boolean").where(tested)
    return pairs[[name for name in pairs if name != "undefined"] + ["undefined"]]


def comparison_matrix(pairs: pd.DataFrame, column: str = "p_adjusted") -> pd.DataFrame:
    """Square table of one result of `compare_pairs`, models along both sides.

    Parameters
    ----------
    pairs : DataFrame
        As `compare_pairs` gives it.
    column : {"p_adjusted", "p", "significant", "degrees_of_freedom", "difference", "t"}
        What to show; `significant` as 1 and 0.

    Returns
    -------
    DataFrame, shape (models, models)
        Symmetric; NaN on the diagonal and where undefined. Only difference and t, which have a direction,
        change sign across the diagonal: they tell the row's model less the column's.

    Raises
    ------
    ValuestabError
        Without pairs, or for another column.

    Examples
    --------
    >>> pairs = compare_pairs({"a": [0.0, 0.2], "b": [0.5, 0.7], "c": [0.5, 0.7]})
    >>> comparison_matrix(pairs, "difference")
         a    b    c
    a  NaN -0.5 -0.5
    b  0.5  NaN  0.0
    c  0.5  0.0  NaN
    """
    check_known("column", column, MIRRORED)
    if pairs.empty:
        raise ValuestabError("There are no pairs to arrange: first compare 2 models or more (compare_pairs).")
    models = pd.unique(pd.concat([pairs["one"], pairs["other"]]))  # in the order of units
    values = pairs[column].to_numpy(dtype=float, na_value=np.nan)
    row, col = pd.Index(models).get_indexer(pairs["one"]), pd.Index(models).get_indexer(pairs["other"])
    matrix = np.full((len(models), len(models)), np.nan)
    matrix[row, col] = values
    matrix[col, row] = MIRRORED[column] * values + 0.0  # + 0.0: no -0.0
    return pd.DataFrame(matrix, index=list(models), columns=list(models))


def _defined_units(model: str, stabilities: Sequence[float]) -> np.ndarray:
    units = np.asarray(stabilities, dtype=float)
    if units.ndim != 1 or np.isinf(units).any():
        raise ValuestabError(
            f"Units of {model!r} have shape {units.shape}: give a list of finite stabilities, one a unit."
        )
    return units[~np.isnan(units)]


def _student(one: np.ndarray, other: np.ndarray) -> dict:
    """One row of `compare_pairs`, before the adjustment."""
    mean_one, mean_other = (float(units.mean()) if len(units) else np.nan for units in (one, other))
    row = {
        "n_one": len(one),
        "n_other": len(other),
        "mean_one": mean_one,
        "mean_other": mean_other,
        "difference": mean_one - mean_other,
        "t": np.nan,
        "degrees_of_freedom": None,
        "p": np.nan,
    }
    if min(len(one), len(other)) < 2:
        return row | {"undefined": TOO_FEW}
    # Equal stabilities may differ by rounding, whose variance would make any difference significant.
    if max(np.ptp(one), np.ptp(other)) <= TIE_TOLERANCE:
        return row | {"undefined": NO_VARIANCE}
    # From means and deviations: ttest_ind warns if one model is constant, though the test is sound.
    spread_one, spread_other = one.std(ddof=1), other.std(ddof=1)
    test = ttest_ind_from_stats(mean_one, spread_one, len(one), mean_other, spread_other, len(other))
    t, p = float(test.statistic), float(test.pvalue)
    return row | {"t": t, "degrees_of_freedom": len(one) + len(other) - 2, "p": p, "undefined": ""}
