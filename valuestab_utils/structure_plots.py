"""Values of models beside those of people, and around an anchored value: figures 2b and 4 of paper 002."""

import textwrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from valuestab_utils.errors import ValuestabError, check_known
from valuestab_utils.figure_layout import (
    DARK,
    LIGHT,
    SMALL,
    WIDTH,
    check_once,
    heading,
    legend_below,
    nothing,
)
from valuestab_utils.value_styles import PRINTED, run_styles

N_VALUES = 19
_PEOPLE = {"color": "#D55E00", "marker": "o", "lw": 2.4, "ms": 5, "zorder": 4}
_FURTHEST = N_VALUES // 2


def value_means_lines(table: pd.DataFrame) -> Figure:
    """Mean centred score of each value, the values in the order that people give them (figure 2b of paper 002).

    Parameters
    ----------
    table : DataFrame
        Columns label, value, acronym, human_rank (1 is the most important), mean (points of the response scale,
        centred), se (NaN if there is none) and kind: "human", "run", or "published" for what the paper prints.

    Returns
    -------
    Figure
        People in red, this run's models in bold lines, the paper's in thin grey ones. A value at which a line has
        no mean is named in the key.

    Raises
    ------
    ValuestabError
        If a label has two means of a value, a value has two ranks or a rank two values, or a kind is unknown.

    Examples
    --------
    >>> table = pd.DataFrame({"value": ["Power-dominance", "Benevolence-caring"], "acronym": ["POD", "BEC"]})
    >>> table = table.assign(label="people", human_rank=[19, 1], mean=[-1.4, 0.79], se=np.nan, kind="human")
    >>> [label.get_text() for label in value_means_lines(table).axes[0].get_xticklabels()]
    ['BEC', 'POD']
    """
    if table.empty:
        return nothing("No mean value scores to draw.")
    check_once(table, ["kind", "label", "value"])
    for kind in dict.fromkeys(table["kind"]):
        check_known("kind of mean", kind, ("human", "run", "published"))
    order = table[["value", "acronym", "human_rank"]].drop_duplicates().sort_values("human_rank")
    if order["value"].duplicated().any() or order["human_rank"].duplicated().any():
        raise ValuestabError(
            "The figure draws the values by human rank, but a value of its table has two ranks or acronyms, or a "
            "rank two values: give each value one rank of its own in all rows."
        )
    at = np.arange(len(order))
    figure, axes = plt.subplots(figsize=(WIDTH, 4.6))
    axes.axhline(0, color=LIGHT, lw=0.8, zorder=0)
    handles: dict[str, list[Artist]] = {"human": [], "run": [], "published": []}
    for kind, drawn in handles.items():
        of_kind = table[table["kind"] == kind]
        for label, style in run_styles(of_kind["label"]).items():
            line = of_kind[of_kind["label"] == label].set_index("value").reindex(order["value"])
            absent = list(order["acronym"][line["mean"].isna().to_numpy()])
            shown = label + (f" (undefined: {', '.join(absent)})" if absent else "")
            if kind == "published":
                style = {"color": PRINTED, "marker": style["marker"], "mfc": "white", "lw": 0.8, "ms": 4, "zorder": 2}
                shown = f"{shown}, printed in the paper"
            elif kind == "human":
                style = _PEOPLE
            else:
                style = style | {"lw": 2.2, "ms": 5, "zorder": 3}
            bars = axes.errorbar(
                at, line["mean"], yerr=line["se"], capsize=2, elinewidth=1, label=textwrap.fill(shown, 48), **style
            )
            drawn.append(bars)
    axes.set_xticks(at, order["acronym"], fontsize=SMALL if len(order) > 12 else 9)
    axes.set_xlim(-0.5, len(order) - 0.5)
    axes.set_xlabel("value, from the most to the least important to people; bars: ± 1 SE over runs", fontsize=8.5)
    axes.set_ylabel("mean centred score\n(points of the response scale)", fontsize=8.5)
    heading(figure, "Importance of the values to models and to people")
    legend_below(figure, sum(handles.values(), []), 2)
    return figure


def anchor_curves(table: pd.DataFrame, fits: pd.DataFrame) -> Figure:
    """Scores by circular distance from the value that a run is anchored to (figure 4 of paper 002).

    Parameters
    ----------
    table : DataFrame
        Columns label, distance (whole places on the circle of the 19 values, -9 to 9), mean (points, centred) and se
        (over anchors).
    fits : DataFrame
        One row a label: offset a, amplitude b, phase (radians) and r_squared of the curve
        a + b cos(2 pi d / 19 + phase), d the distance; NaN where none could be fitted.

    Returns
    -------
    Figure
        The fitted curve is dashed; its R² stands in the key.

    Raises
    ------
    ValuestabError
        If a label has two means at a distance, no fit or two, or a distance is further than half the circle.

    Examples
    --------
    >>> table = pd.DataFrame({"label": "m", "distance": [-1, 0, 1], "mean": [0.5, 1.0, 0.5], "se": 0.1})
    >>> fits = pd.DataFrame([{"label": "m", "offset": 0.0, "amplitude": 1.0, "phase": 0.0, "r_squared": 0.96}])
    >>> anchor_curves(table, fits).legends[0].get_texts()[0].get_text()
    'm (R² 0.96)'
    """
    if table.empty:
        return nothing("No runs were anchored to one of the 19 values.")
    check_once(table, ["label", "distance"])
    check_once(fits, ["label"])
    if (table["distance"].abs() > _FURTHEST).any():
        raise ValuestabError(
            f"The distance {table['distance'].abs().max():g} is further than half the circle of {N_VALUES} values: "
            f"give signed distances from -{_FURTHEST} to {_FURTHEST}."
        )
    by_label = fits.set_index("label")
    figure, axes = plt.subplots(figsize=(WIDTH, 4.4))
    axes.axvline(0, color=LIGHT, lw=0.8, zorder=0)
    axes.axhline(0, color=LIGHT, lw=0.8, zorder=0)
    around = np.linspace(-_FURTHEST, _FURTHEST, 361)
    handles: list[Artist] = []
    for label, style in run_styles(table["label"]).items():
        check_known("label of a fit", label, by_label.index)
        line, fit = table[table["label"] == label].sort_values("distance"), by_label.loc[label]
        undefined = np.isnan(fit["r_squared"])
        fitted = "no curve could be fitted" if undefined else f"R² {fit['r_squared']:.2f}"
        named = f"{label} ({fitted})"
        points = {"ls": "", "ms": 5, "capsize": 2.5, "elinewidth": 1, "label": named}
        handles.append(axes.errorbar(line["distance"], line["mean"], yerr=line["se"], **points, **style))
        if not undefined:
            curve = fit["offset"] + fit["amplitude"] * np.cos(2 * np.pi * around / N_VALUES + fit["phase"])
            axes.plot(around, curve, color=style["color"], ls="--", lw=1.3)
    axes.set_xticks(range(-_FURTHEST, _FURTHEST + 1), [f"{d:+d}" if d else "0" for d in range(-9, 10)], fontsize=SMALL)
    axes.set_xlim(-_FURTHEST - 0.5, _FURTHEST + 0.5)
    axes.set_xlabel(
        f"places from the anchored value on the circle of {N_VALUES}; bars: ± 1 SE over anchors", fontsize=8.5
    )
    axes.set_ylabel("mean centred score\n(points of the response scale)", fontsize=8.5)
    heading(figure, "Scores around the anchored value")
    handles.append(Line2D([], [], color=DARK, ls="--", lw=1.3, label="fitted sinusoid"))
    legend_below(figure, handles, 2)
    return figure
