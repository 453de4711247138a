"""Agreement with statements of behaviour by the value that a run was prompted with."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from valuestab_utils.errors import ValuestabError
from valuestab_utils.estimates import mean_and_standard_error
from valuestab_utils.run_scores import RunScores
from valuestab_utils.value_circle import HIGHER_ORDER, HIGHER_ORDER_OF

NAMES = ["model", "format", "population"]
CONSERVATIVE = "Conservative politics"
_FLAT = 1e-9


def agreement_table(runs: RunScores, areas: Mapping[str, str], temperature: float = 0.0, draw: int = 0) -> pd.DataFrame:
    """Share of a behaviour's statements answered as somebody with that behaviour would, by higher-order value.

    Runs are put together by the higher-order value of their prompt: openness to change (self-direction, stimulation),
    conservation (security, conformity, tradition), self-enhancement (achievement, power), self-transcendence
    (benevolence, universalism). Hedonism lies between two of them and counts for neither, so that no run stands in
    two columns; runs without a value prompt count for none.

    Parameters
    ----------
    runs : RunScores
        Of the behaviour statements; ``group`` is the prompted value.
    areas : mapping
        Area of each behaviour.
    temperature : float
    draw : int

    Returns
    -------
    DataFrame
        model, format, population, behaviour, area, higher_order, agreement (0 to 1), standard_error (over runs), n
        (runs).

    Raises
    ------
    ValuestabError
        If a behaviour has no area.

    References
    ----------
    Yehudai et al., section 4 and Figures 3 and 6.
    """
    absent = [behaviour for behaviour in runs.scales if behaviour not in areas]
    if absent:
        raise ValuestabError(f"The behaviours {', '.join(absent)} have no area: give one for each behaviour.")
    worth = runs.instrument.scores
    rows = []
    for names, of_experiment in runs.experiments():
        shares = (of_experiment.scores(temperature, draw) - min(worth)) / (max(worth) - min(worth))
        groups = of_experiment.runs["group"].map(HIGHER_ORDER_OF)
        for column, behaviour in enumerate(runs.scales):
            for higher_order in HIGHER_ORDER:
                found = mean_and_standard_error(shares[(groups == higher_order).to_numpy(), column])
                rows.append(dict(zip(NAMES, names, strict=True)) | {
                    "behaviour": behaviour, "area": areas[behaviour], "higher_order": higher_order,
                    "agreement": found.mean, "standard_error": found.standard_error, "n": found.n,
                })
    return pd.DataFrame(rows)


def higher_order_correlations(agreement: pd.DataFrame) -> pd.DataFrame:
    """Correlations between the higher-order values' agreement over behaviours.

    Parameters
    ----------
    agreement : DataFrame
        As `agreement_table` gives it.

    Returns
    -------
    DataFrame
        model, format, population, value_a, value_b (all 16 pairs), r (NaN if one agrees with all behaviours alike),
        n_behaviours (that both have an agreement with).

    Raises
    ------
    ValuestabError
        If there are fewer than three behaviours.

    References
    ----------
    Yehudai et al., section 4 and Figures 4a, 7 and 8.
    """
    rows = []
    for names, of_experiment in agreement.groupby(NAMES, sort=False):
        vectors = of_experiment.pivot(index="behaviour", columns="higher_order", values="agreement")[list(HIGHER_ORDER)]
        if len(vectors) < 3:
            raise ValuestabError(f"Agreement is correlated over 3 behaviours or more, not {len(vectors)}: ask more.")
        for a in HIGHER_ORDER:
            for b in HIGHER_ORDER:
                both = np.column_stack([vectors[a], vectors[b]])
                both = both[~np.isnan(both).any(axis=1)]
                rows.append(dict(zip(NAMES, names, strict=True)) | {
                    "value_a": a, "value_b": b, "r": _pearson(both), "n_behaviours": len(both),
                })
    return pd.DataFrame(rows)


def politics_table(agreement: pd.DataFrame, behaviours: tuple[str, ...] = (CONSERVATIVE,)) -> pd.DataFrame:
    """Agreement with conservative politics by higher-order value.

    Parameters
    ----------
    agreement : DataFrame
        As `agreement_table` gives it.
    behaviours : tuple of str
        Those that count as conservative.

    Returns
    -------
    DataFrame
        model, format, population, behaviour, higher_order, agreement (0 to 1), standard_error (over runs), n.

    Raises
    ------
    ValuestabError
        If such a behaviour was not asked about.

    References
    ----------
    Yehudai et al., section 4 and Figure 4b.
    """
    absent = set(behaviours) - set(agreement["behaviour"])
    if absent:
        raise ValuestabError(f"There are no statements on {', '.join(sorted(absent))}: ask about it, or name another.")
    columns = [*NAMES, "behaviour", "higher_order", "agreement", "standard_error", "n"]
    return agreement[agreement["behaviour"].isin(behaviours)][columns].reset_index(drop=True)


def _pearson(pairs: np.ndarray) -> float:
    if len(pairs) < 3 or pairs.std(axis=0).min() < _FLAT:
        return float("nan")
    return float(np.clip(np.corrcoef(pairs, rowvar=False)[0, 1], -1, 1))
