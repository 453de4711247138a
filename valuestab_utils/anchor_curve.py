"""What anchoring a value does to the others: mean scores by their distance from the anchor on the circle."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from valuestab_utils.errors import ValuestabError
from valuestab_utils.estimates import mean_and_standard_error, mean_of_defined
from valuestab_utils.run_scores import RunScores
from valuestab_utils.value_circle import REFINED_VALUES

_N = len(REFINED_VALUES)
DISTANCES = np.arange(-(_N // 2), _N // 2 + 1)  # -9 to 9: anticlockwise neighbours are at +1
_FLAT = 1e-9  # an amplitude or a spread below this is rounding


def anchor_curve(scores: np.ndarray, anchors: Sequence[str]) -> pd.DataFrame:
    """Mean score at each signed distance from the anchored value.

    The runs of each anchor are averaged and turned so that the anchor is at distance 0; then the mean goes over the
    anchors. Only with all 19 of them does each value stand once at each distance, so that what is generally
    important cancels out: with fewer, differences between the values themselves remain in the curve. (The paper
    says that scores are normalised by setting the anchored value to zero; its Figure 4 shows that its position is.)

    Parameters
    ----------
    scores : ndarray, shape (runs, 19)
        Centred, values in the order of `valuestab_utils.value_circle.REFINED_VALUES`; NaN where missing.
    anchors : sequence of str
        Of each run. Others than the 19, as animal welfare, have no place on the circle and are left out.

    Returns
    -------
    DataFrame
        distance (-9 to 9, in the circle's order), mean, standard_error (over anchors), n_anchors (with a score there).

    Raises
    ------
    ValuestabError
        If the shapes do not fit or no run has one of the 19 as its anchor.

    References
    ----------
    Rozen et al. 2025, section 4.1 and Figure 4.
    """
    scores, anchors = np.asarray(scores, dtype=float), np.asarray(anchors, dtype=object)
    if scores.shape != (len(anchors), _N):
        raise ValuestabError(f"The scores have the shape {scores.shape}: give {len(anchors)} runs and {_N} values.")
    turned = [
        np.roll(mean_of_defined(scores[anchors == anchor], axis=0), _N // 2 - place)
        for place, anchor in enumerate(REFINED_VALUES)
        if (anchors == anchor).any()
    ]
    if not turned:
        raise ValuestabError("No run is anchored to one of the 19 values: give runs of the condition value_anchor.")
    estimates = [mean_and_standard_error(column) for column in np.array(turned).T]
    return pd.DataFrame({
        "distance": DISTANCES,
        "mean": [estimate.mean for estimate in estimates],
        "standard_error": [estimate.standard_error for estimate in estimates],
        "n_anchors": [estimate.n for estimate in estimates],
    })


def sinusoid(means: np.ndarray) -> dict[str, float]:
    """Fit a + b cos(2 pi d / 19 + phase) to the means at distances -9 to 9 by least squares.

    Parameters
    ----------
    means : ndarray, shape (19,)
        NaN where missing; then there is no fit.

    Returns
    -------
    dict
        offset a; amplitude b >= 0; phase (radians); peak, the distance at which the curve is highest (-9.5 to 9.5; 0
        = at the anchor); r_squared, 0 to 1. NaN without a fit; phase and peak NaN if the amplitude is nil, r_squared
        if the means are all the same.

    Examples
    --------
    >>> fit = sinusoid(1 + 2 * np.cos(2 * np.pi * (np.arange(-9, 10) - 3) / 19))
    >>> {name: round(number, 6) for name, number in fit.items()}
    {'offset': 1.0, 'amplitude': 2.0, 'phase': -0.992082, 'peak': 3.0, 'r_squared': 1.0}
    """
    means = np.asarray(means, dtype=float)
    if means.shape != DISTANCES.shape:
        raise ValuestabError(f"The curve has {means.size} means, but there are {_N} distances.")
    if np.isnan(means).any():
        return dict.fromkeys(("offset", "amplitude", "phase", "peak", "r_squared"), float("nan"))
    turn = 2 * np.pi * DISTANCES / _N
    design = np.column_stack([np.ones(_N), np.cos(turn), np.sin(turn)])
    (offset, cosine, sine), *_ = np.linalg.lstsq(design, means)
    residual, total = ((means - design @ (offset, cosine, sine)) ** 2).sum(), ((means - means.mean()) ** 2).sum()
    amplitude = float(np.hypot(cosine, sine))
    phase = float(np.arctan2(-sine, cosine)) if amplitude > _FLAT else float("nan")
    return {
        "offset": float(offset), "amplitude": amplitude, "phase": phase, "peak": -phase * _N / (2 * np.pi),
        "r_squared": float(1 - residual / total) if total > _FLAT**2 else float("nan"),
    }


def anchor_tables(run_scores: RunScores, temperature: float = 0.0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Curves of all experiments with value anchors, and the sinusoids fitted to them.

    Parameters
    ----------
    run_scores : RunScores
        Of the PVQ-RR; runs of other conditions than value_anchor are left alone.
    temperature : float

    Returns
    -------
    curves : DataFrame
        model, format, administration, temperature, and the columns of `anchor_curve`.
    fits : DataFrame
        model, format, administration, temperature, what `sinusoid` gives, and n_anchors (of 19).

    Raises
    ------
    ValuestabError
        If the instrument does not measure the 19 values, or an experiment has none of them as anchor.
    """
    if set(run_scores.scales) != set(REFINED_VALUES):
        raise ValuestabError(f"{run_scores.instrument.name} does not measure the 19 values: give the PVQ-RR's scores.")
    order = [run_scores.scales.index(value) for value in REFINED_VALUES]
    curves, fits = [], []
    for (model, format, population), of_experiment in run_scores.experiments():
        if population != "value_anchor":
            continue
        names = {"model": model, "format": format, "administration": run_scores.administration}
        names["temperature"] = temperature
        curve = anchor_curve(of_experiment.scores(temperature)[:, order], of_experiment.runs["group"])
        curves.append(curve.assign(**names)[[*names, *curve.columns]])
        fits.append(names | sinusoid(curve["mean"].to_numpy()) | {"n_anchors": int(curve["n_anchors"].min())})
    if not curves:
        raise ValuestabError("There are no runs of the condition value_anchor: run it first.")
    return pd.concat(curves, ignore_index=True), pd.DataFrame(fits)
