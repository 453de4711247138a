"""What papers 002 and 004 print of their models, to stand beside a run's own numbers."""

import pandas as pd

from valuestab_utils.paths import DATA
from valuestab_utils.value_circle import spelled
from valuestab_utils.value_hierarchy import agreement_of, human_means_19, value_ranks

_CONDITION = r"^(?P<population>.+)_t(?P<temperature>[\d.]+)$"


def published_means_19() -> pd.DataFrame:
    """Importance of the 19 values to the models of paper 002, as printed for two of its conditions.

    Ranks are taken from the printed means: the printed ranks have slips.

    Returns
    -------
    DataFrame
        model, population, temperature, value, acronym, mean, rank, rank_as_printed, source.

    References
    ----------
    Rozen et al. 2025, Tables 2-4.
    """
    table = pd.read_csv(DATA / "reference" / "rozen2025_llm_means_19_values.csv")
    table[["population", "temperature"]] = table["condition"].str.extract(_CONDITION)
    table["temperature"] = table["temperature"].astype(float)
    table["value"] = table["value"].map(spelled)
    table = table.rename(columns={"abbr": "acronym", "mean_centered": "mean"})
    table["rank"] = table.groupby(["model", "condition"])["mean"].transform(value_ranks)
    return table[
        ["model", "population", "temperature", "value", "acronym", "mean", "rank", "rank_as_printed", "source"]
    ]


def published_agreement() -> pd.DataFrame:
    """The same for the models of paper 002, worked out here from the means that it prints (value_anchor and names).

    The values of its Figure 2a stand in a picture only; these may differ from them in the last digit, as the printed
    means are rounded.

    Examples
    --------
    >>> table = published_agreement().query("model == 'gemma_2_9b' and population == 'value_anchor'")
    >>> table["rho"].round(2).tolist()
    [0.81, 0.81]
    """
    human = human_means_19().set_index("value")["mean"]
    rows = [
        {"model": model, "format": "", "population": population, "administration": "batch", "temperature": temperature}
        | agreement_of(rows["mean"], rows["value"].map(human)) | {"published": True}
        for (model, population, temperature), rows in published_means_19().groupby(
            ["model", "population", "temperature"], sort=False
        )
    ]
    return pd.DataFrame(rows)


def published_disparities() -> pd.DataFrame:
    """Sums of squared differences to the human map as paper 002 prints them.

    Returns
    -------
    DataFrame
        model, population, administration, temperature, disparity (NaN where the paper has none), published, source.

    References
    ----------
    Rozen et al. 2025, Tables 1 and 5.

    Examples
    --------
    >>> table = published_disparities()
    >>> len(table), table["disparity"].isna().sum().item()
    (76, 2)
    """
    table = pd.read_csv(DATA / "reference" / "rozen2025_mds_ssd.csv")
    table = table.rename(columns={"prompt": "population", "procrustes_ssd_vs_human": "disparity"})
    columns = ["model", "population", "administration", "temperature", "disparity"]
    return table[[*columns, "source"]].assign(published=True)


def published_similarities() -> pd.DataFrame:
    """Similarities that paper 004 prints, as far as its text has them.

    Its Table 3 gives other numbers for the same condition than the average column of its Table 2 (as Table 5 and
    Table 4): 56.4 and 68.0 for Qwen3, say. Both stand here as printed.

    Returns
    -------
    DataFrame
        table, model ("average" over models), measure ("values" or "behaviour"), weighting, population, instrument
        ("average" over them), mean (-1 to 1; printed times 100), published, source.

    References
    ----------
    Yehudai et al., Tables 1-5.

    Examples
    --------
    >>> table = published_similarities().query("table == 1 and weighting == 'H-NP'")
    >>> round(float(table["mean"].mean()), 4)
    0.8281
    """
    table = pd.read_csv(DATA / "reference" / "yehudai_printed_similarities.csv")
    return table.assign(mean=table["percent"] / 100, published=True).drop(columns="percent")
