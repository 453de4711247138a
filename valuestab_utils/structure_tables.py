"""Tables behind the maps of values: their fit to the references, and the points to draw."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from valuestab_utils.errors import ValuestabError
from valuestab_utils.run_scores import RunScores
from valuestab_utils.value_circle import ACRONYMS, circular_order_correlation, higher_order_of
from valuestab_utils.value_references import Reference
from valuestab_utils.value_structure import (
    align,
    complete_runs,
    disparity_interval,
    value_correlations,
    value_map,
)

NAMES = ["model", "format", "population", "administration", "temperature"]
_FIT = [
    "reference", "reference_label", "disparity", "low", "high", "level", "n_resamples", "n_undefined",
    "order_correlation", "n_runs", "n_left_out", "reason",
]


def structure_table(
    run_scores: RunScores, references: Sequence[Reference], temperature: float = 0.0, n_resamples: int = 200
) -> pd.DataFrame:
    """How far the map of values of each experiment is from each reference.

    Parameters
    ----------
    run_scores : RunScores
        Of the PVQ-RR or the PVQ-40.
    references : sequence of Reference
        Over the values of that instrument.
    temperature : float
    n_resamples : int
        Behind the interval, over runs (see `valuestab_utils.value_structure.disparity_interval`).

    Returns
    -------
    DataFrame
        model, format, population, administration, temperature, reference ("theory" or "human"), reference_label,
        disparity (0 = same shape, to 1), low, high, level, n_resamples, n_undefined, order_correlation (1 = the same
        circular order, see `valuestab_utils.value_circle.circular_order_correlation`), n_runs (complete ones),
        n_left_out, reason. Where there is no map, disparity is NaN and reason says why ("" elsewhere).

    References
    ----------
    Rozen et al. 2025, Tables 1 and 5.
    """
    rows = []
    for names, scores, n_left_out in _experiments(run_scores, temperature):
        for reference in references:
            fit = _fit(scores, _in_order(reference, run_scores.scales), run_scores.scales, n_resamples)
            about = {"reference": reference.kind, "reference_label": reference.label}
            rows.append(names | about | fit | {"n_runs": len(scores), "n_left_out": n_left_out})
    return pd.DataFrame(rows, columns=[*NAMES, *_FIT])


def map_points(
    run_scores: RunScores, reference: Reference, fits: pd.DataFrame, temperature: float = 0.0
) -> pd.DataFrame:
    """Points of each experiment's map of values, laid over a reference.

    Parameters
    ----------
    run_scores : RunScores
    reference : Reference
    fits : DataFrame
        As `structure_table` gives it for these runs, this reference and this temperature.
    temperature : float

    Returns
    -------
    DataFrame
        model, format, population, administration, temperature, value, acronym, higher_order, x, y (NaN without a
        map), reference_x, reference_y (both standardised), disparity, low, high, reference ("theory" or "human").

    Raises
    ------
    ValuestabError
        If an experiment is not in `fits`.

    References
    ----------
    Rozen et al. 2025, Figures 3 and 7-12; Yehudai et al., Figures 5a and 9.
    """
    fitted = fits[fits["reference"] == reference.kind].set_index(NAMES)
    coordinates, values = _in_order(reference, run_scores.scales), run_scores.scales
    alone = align(coordinates, coordinates).reference  # standardised
    tables = []
    for names, scores, _ in _experiments(run_scores, temperature):
        key = tuple(names.values())
        if key not in fitted.index:
            raise ValuestabError(f"The map of {'/'.join(map(str, key))} has no fit: give structure_table of these.")
        fit = fitted.loc[key]
        aligned = np.full_like(alone, np.nan)
        if not np.isnan(fit["disparity"]):
            aligned = align(coordinates, value_map(value_correlations(scores, values))).aligned
        tables.append(pd.DataFrame({
            **names, "value": values, "acronym": [ACRONYMS[value] for value in values],
            "higher_order": [higher_order_of(value) for value in values],
            "x": aligned[:, 0], "y": aligned[:, 1], "reference_x": alone[:, 0], "reference_y": alone[:, 1],
            "disparity": fit["disparity"], "low": fit["low"], "high": fit["high"], "reference": reference.kind,
        }))
    return pd.concat(tables, ignore_index=True)


def _experiments(run_scores: RunScores, temperature: float):
    """Names, complete scores and the number of runs left out, of each experiment."""
    for (model, format, population), of_experiment in run_scores.experiments():
        scores = of_experiment.scores(temperature)
        complete = complete_runs(scores)
        names = dict(zip(NAMES, (model, format, population, run_scores.administration, temperature), strict=True))
        yield names, scores[complete], int((~complete).sum())


def _fit(scores: np.ndarray, coordinates: np.ndarray, values: Sequence[str], n_resamples: int) -> dict:
    try:
        fit = align(coordinates, value_map(value_correlations(scores, values)))
    except ValuestabError as error:
        return {"disparity": np.nan, "low": np.nan, "high": np.nan, "reason": str(error)}
    interval = disparity_interval(scores, values, coordinates, n_resamples)
    angles = [np.arctan2(points[:, 1], points[:, 0]) for points in (fit.aligned, fit.reference)]
    return {
        "disparity": fit.disparity, "low": interval.low, "high": interval.high, "level": interval.level,
        "n_resamples": n_resamples, "n_undefined": interval.n_undefined,
        "order_correlation": circular_order_correlation(*angles), "reason": "",
    }


def _in_order(reference: Reference, values: Sequence[str]) -> np.ndarray:
    if set(reference.values) != set(values):
        raise ValuestabError(
            f"The reference ({reference.label}) has other values than the instrument: give one over its {len(values)}."
        )
    return reference.coordinates[[reference.values.index(value) for value in values]]
