"""How like people simulated populations are: tables 1 to 5 of paper 004 as a picture."""

import textwrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from valuestab_utils.figure_layout import (
    LIGHT,
    SMALL,
    WIDTH,
    check_once,
    compared_with,
    heading,
    legend_below,
    nothing,
)
from valuestab_utils.value_styles import PRINTED, run_styles, spread_in_row


def similarity_points(table: pd.DataFrame, title: str, measure: str) -> Figure:
    """Similarity to people with its interval, a line a model in each row (tables 1 to 5 of paper 004).

    Parameters
    ----------
    table : DataFrame
        Columns row (population, instrument or priming), label (model), mean (at most 1; NaN if undefined), low and
        high (percentile interval, NaN if there is none), published (bool: printed in the paper, not of this run);
        reference_label or human_label, what this run is compared with, to be told below.
    title : str
    measure : str
        What is drawn, for the axis, with its unit.

    Returns
    -------
    Figure
        This run's models in colour, the paper's hollow and grey below them.

    Raises
    ------
    ValuestabError
        If a label has two values in a row.

    Examples
    --------
    >>> table = pd.DataFrame({"row": ["uniform"], "label": "m", "mean": 0.8, "low": 0.7, "high": 0.9})
    >>> figure = similarity_points(table.assign(published=False), "A title", "values similarity")
    >>> figure.axes[0].get_xlabel()
    'values similarity (1: as people; lines: percentile interval)'
    """
    if table.empty:
        return nothing(f"No similarity was computed: {title}.")
    check_once(table, ["row", "published", "label"])
    table = table.assign(published=table["published"].astype(bool))
    printed = table["published"]
    own, theirs = run_styles(table["label"][~printed]), run_styles(table["label"][printed])
    styles = {(False, label): style | {"mfc": style["color"]} for label, style in own.items()}
    styles |= {(True, k): {"color": PRINTED, "marker": style["marker"], "mfc": "white"} for k, style in theirs.items()}
    rows = {name: i for i, name in enumerate(dict.fromkeys(table["row"]))}
    dodge = dict(zip(styles, spread_in_row(len(styles), 0.38)))
    figure, axes = plt.subplots(figsize=(WIDTH, 1.8 + 0.14 * len(styles) + len(rows) * max(0.35, 0.12 * len(styles))))
    for point in table.itertuples():
        style, at = styles[point.published, point.label], rows[point.row] + dodge[point.published, point.label]
        if np.isnan(point.mean):
            axes.text(0.01, at, "undefined", fontsize=6, style="italic", va="center", color=style["color"])
            continue
        axes.plot([point.low, point.high], [at, at], color=style["color"], lw=1.4)
        axes.plot(point.mean, at, ls="", ms=5, mew=1, **style)
    for i in range(1, len(rows)):
        axes.axhline(i - 0.5, color=LIGHT, lw=0.8)
    axes.axvline(0, color="black", lw=0.8)
    lowest = np.nanmin([0, *table["mean"], *table["low"]])
    axes.set(xlim=(lowest - 0.03 if lowest < 0 else 0, 1.02), ylim=(len(rows) - 0.5, -0.5))
    axes.set_yticks(range(len(rows)), [textwrap.fill(str(name), 26) for name in rows], fontsize=SMALL)
    axes.tick_params(axis="y", length=0)
    lines = "; lines: percentile interval" if table["low"].notna().any() else ""
    axes.set_xlabel("\n".join([f"{measure} (1: as people{lines})", *compared_with(table)]), fontsize=8.5)
    heading(figure, title)
    key: list[Artist] = [
        Line2D([], [], ls="", ms=5, label=f"{label} (printed in the paper)" if flag else label, **style)
        for (flag, label), style in styles.items()
    ]
    legend_below(figure, key, 2)
    return figure
