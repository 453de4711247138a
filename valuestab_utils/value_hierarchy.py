"""Order of importance of the values: means and ranks over runs, and how far humans share the order."""

import numpy as np
import pandas as pd
from scipy.stats import norm, rankdata, spearmanr

from valuestab_utils.errors import ValuestabError
from valuestab_utils.estimates import mean_and_standard_error
from valuestab_utils.paths import DATA
from valuestab_utils.run_scores import RunScores
from valuestab_utils.value_circle import ACRONYMS, REFINED_VALUES, spelled

GROUPING = ["model", "format", "population", "administration", "temperature"]
_ALIKE = 1e-9  # means that differ by less are tied but for rounding


def human_means_19() -> pd.DataFrame:
    """Importance of the 19 refined values in 49 cultural groups (N = 53,472), as paper 002 prints it.

    Returns
    -------
    DataFrame
        In the circular order: value, acronym, mean (centred Likert), rank (1 = most important), source.

    References
    ----------
    Rozen et al. 2025, Tables 2-4; data of Schwartz and Cieciuch 2022.

    Examples
    --------
    >>> human_means_19().sort_values("rank")["acronym"].tolist()[:3]
    ['BEC', 'BED', 'SDA']
    """
    table = pd.read_csv(DATA / "reference" / "human_means_19_values.csv")
    table["value"] = table["value"].map(spelled)
    table = table.set_index("value").loc[list(REFINED_VALUES)].reset_index()
    return table.rename(columns={"abbr": "acronym", "mean_centered": "mean"})[
        ["value", "acronym", "mean", "rank", "source"]
    ]


def value_ranks(means: np.ndarray) -> np.ndarray:
    """Ranks from the most important value, 1, down; tied values share the mean of their ranks.

    Examples
    --------
    >>> value_ranks(np.array([0.5, -1.0, 0.5, 2.0]))
    array([2.5, 4. , 2.5, 1. ])
    """
    return rankdata(-np.round(np.asarray(means, dtype=float) / _ALIKE), nan_policy="omit")


def hierarchy_table(run_scores: RunScores, temperature: float = 0.0, draw: int = 0) -> pd.DataFrame:
    """Mean and rank of each of the 19 values in each experiment, beside the human ones.

    Parameters
    ----------
    run_scores : RunScores
        Of the PVQ-RR.
    temperature : float
    draw : int

    Returns
    -------
    DataFrame
        model, format, population, administration, temperature, value, acronym, mean (centred Likert),
        standard_error (over runs; NaN with one), n_runs (with a score), n_missing (without), rank (ties averaged),
        human_mean, human_rank.

    Raises
    ------
    ValuestabError
        If the instrument has other values.

    References
    ----------
    Rozen et al. 2025, section 3.2.1 and Tables 2-4.
    """
    if set(run_scores.scales) != set(REFINED_VALUES):
        raise ValuestabError(
            f"The hierarchy is compared over the 19 refined values, which {run_scores.instrument.name} does not "
            "measure: give the scores of the PVQ-RR."
        )
    human = human_means_19().set_index("value").loc[list(run_scores.scales)]
    tables = []
    for (model, format, population), of_experiment in run_scores.experiments():
        scores = of_experiment.scores(temperature, draw)
        estimates = [mean_and_standard_error(column) for column in scores.T]
        means = np.array([estimate.mean for estimate in estimates])
        tables.append(pd.DataFrame({
            "model": model, "format": format, "population": population,
            "administration": run_scores.administration, "temperature": temperature,
            "value": run_scores.scales, "acronym": [ACRONYMS[value] for value in run_scores.scales],
            "mean": means, "standard_error": [estimate.standard_error for estimate in estimates],
            "n_runs": [estimate.n for estimate in estimates],
            "n_missing": [len(scores) - estimate.n for estimate in estimates],
            "rank": value_ranks(means),
            "human_mean": human["mean"].to_numpy(), "human_rank": human["rank"].to_numpy(),
        }))
    return pd.concat(tables, ignore_index=True)


def rank_agreement(table: pd.DataFrame) -> pd.DataFrame:
    """Spearman's correlation of each hierarchy with the human one.

    Parameters
    ----------
    table : DataFrame
        As `hierarchy_table` gives it.

    Returns
    -------
    DataFrame
        model, format, population, administration, temperature, rho (-1 to 1; NaN if a mean is missing or all are the
        same), p_value (two-sided, over values, t approximation), n_values, published (False).

    References
    ----------
    Rozen et al. 2025, section 3.2.1 and Figure 2a.
    """
    rows = [
        dict(zip(GROUPING, names, strict=True)) | agreement_of(rows["mean"], rows["human_mean"]) | {"published": False}
        for names, rows in table.groupby(GROUPING, sort=False)
    ]
    return pd.DataFrame(rows, columns=[*GROUPING, "rho", "p_value", "n_values", "published"])


def fisher_z_test(rho_1: float, rho_2: float, n_1: int, n_2: int) -> tuple[float, float]:
    """Fisher's test of the difference between two correlations of independent samples.

    ::

        z = (atanh(rho_1) - atanh(rho_2)) / sqrt(1 / (n_1 - 3) + 1 / (n_2 - 3))

    Rozen et al. 2025 (appendix I) use it on two Spearman correlations over the same n = 19 values with the same human
    ranks. The samples are treated as independent, which they are not, and the standard error is that of Pearson's
    correlation; so the p value is a rough guide, and too high where the two go together.

    Returns
    -------
    z, p_value : float
        p two-sided, from the standard normal distribution.

    Raises
    ------
    ValuestabError
        If a correlation is not between -1 and 1 (both excluded) or n is below 4.

    Examples
    --------
    >>> z, p = fisher_z_test(0.6, 0.8, 19, 19)
    >>> round(z, 3), round(p, 3)
    (-1.147, 0.251)
    """
    if not (abs(rho_1) < 1 and abs(rho_2) < 1 and min(n_1, n_2) >= 4):
        raise ValuestabError(
            f"Fisher's z needs two correlations between -1 and 1, over 4 observations or more, not {rho_1} (n = {n_1}) "
            f"and {rho_2} (n = {n_2}): leave this pair out."
        )
    z = (np.arctanh(rho_1) - np.arctanh(rho_2)) / np.sqrt(1 / (n_1 - 3) + 1 / (n_2 - 3))
    return float(z), float(2 * norm.sf(abs(z)))


def administration_differences(agreement: pd.DataFrame, first: str = "batch", second: str = "serial") -> pd.DataFrame:
    """Whether two ways to administer the questionnaire agree differently with the human hierarchy.

    Parameters
    ----------
    agreement : DataFrame
        As `rank_agreement` gives it, of both administrations.
    first, second : {"letters", "batch", "serial"}

    Returns
    -------
    DataFrame
        model, format, population, temperature, rho_first, rho_second, z, p_value (see `fisher_z_test`; NaN where a
        correlation is undefined or perfect), n_values. Rows that have both.

    References
    ----------
    Rozen et al. 2025, appendix I.
    """
    keys = ["model", "format", "population", "temperature"]
    of = {name: agreement[agreement["administration"] == name] for name in (first, second)}
    both = of[first].merge(of[second], on=keys, suffixes=("_first", "_second"))
    rows = []
    for row in both.itertuples():
        testable = abs(row.rho_first) < 1 and abs(row.rho_second) < 1
        z, p_value = (
            fisher_z_test(row.rho_first, row.rho_second, row.n_values_first, row.n_values_second)
            if testable else (np.nan, np.nan)
        )
        rows.append({key: getattr(row, key) for key in keys} | {
            "rho_first": row.rho_first, "rho_second": row.rho_second, "z": z, "p_value": p_value,
            "n_values": row.n_values_first,
        })
    return pd.DataFrame(rows, columns=[*keys, "rho_first", "rho_second", "z", "p_value", "n_values"])


def agreement_of(means: pd.Series, human: pd.Series) -> dict[str, float]:
    """Spearman's rho (NaN if a mean is missing or all are the same), its p value and the number of values."""
    ranks = value_ranks(means)
    if np.isnan(ranks).any() or np.ptp(ranks) == 0:
        return {"rho": np.nan, "p_value": np.nan, "n_values": len(ranks)}
    found = spearmanr(ranks, value_ranks(human))
    return {"rho": float(found.statistic), "p_value": float(found.pvalue), "n_values": len(ranks)}
