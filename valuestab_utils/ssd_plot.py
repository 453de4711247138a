"""How far value structures lie from people's or the theory's: tables 1 and 5 of paper 002."""

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from valuestab_utils.errors import check_known
from valuestab_utils.figure_layout import (
    DARK,
    LIGHT,
    SMALL,
    WIDTH,
    check_once,
    compared_with,
    folded,
    heading,
    legend_below,
    nothing,
    panel_grid,
)
from valuestab_utils.value_styles import REFERENCES, condition_label, in_condition_order, run_styles, spread_in_row

_ABSENT = {"facecolor": "white", "edgecolor": "none", "pad": 1}


def ssd_bars(table: pd.DataFrame) -> Figure:
    """Distance of each value structure from the reference, a panel a condition (tables 1 and 5 of paper 002).

    Parameters
    ----------
    table : DataFrame
        Columns label, condition, temperature, administration, disparity (sum of squared differences after Procrustes,
        0 to 1; NaN is undefined), low and high (bootstrap interval, NaN if there is none), reference ("human" or
        "theory") and published (bool: printed in the paper, not of this run); reference_label, what the reference is,
        for the key.

    Returns
    -------
    Figure
        A point a temperature, hollow if printed. How the questionnaire was administered, and what the reference is,
        stand beside the label where the table has several. A panel without a point of a row has a dash there.

    Raises
    ------
    ValuestabError
        If two rows fall on one place, or a reference is unknown.

    Examples
    --------
    >>> row = {"label": "m", "condition": "names", "temperature": 0.0, "administration": "batch", "disparity": 0.4}
    >>> figure = ssd_bars(pd.DataFrame([{**row, "low": 0.3, "high": 0.5, "reference": "human", "published": False}]))
    >>> figure.axes[0].get_title()
    'names'
    """
    if table.empty:
        return nothing("No value structure was compared with a reference.")
    place = ["published", "label", "administration", "reference"]
    check_once(table, [*place, "condition", "temperature"])
    for name in dict.fromkeys(table["reference"]):
        check_known("reference", name, REFERENCES)
    rows = table.assign(published=table["published"].astype(bool)).sort_values("published", kind="stable")
    rows = rows.assign(row=rows.groupby(place, sort=False).ngroup())
    names = rows.drop_duplicates("row")
    conditions, temperatures = in_condition_order(rows["condition"]), run_styles(sorted(set(rows["temperature"])))
    dodge = dict(zip(temperatures, spread_in_row(len(temperatures), 0.2)))
    figure, panels = panel_grid(
        len(conditions), len(conditions), (WIDTH / len(conditions), 2.5 + 0.36 * len(names)), sharex=True, sharey=True
    )
    for condition, panel in zip(conditions, panels):
        part = rows[rows["condition"] == condition]
        for place_of_row in set(names["row"]) - set(part["row"]):
            panel.text(0.5, place_of_row, "\N{EN DASH}", ha="center", va="center", fontsize=SMALL, bbox=_ABSENT)
        for row in part.itertuples():
            _ssd_point(panel, row, row.row + dodge[row.temperature], temperatures[row.temperature])
        panel.set_title(condition_label(condition), fontsize=8.5, fontweight="normal")
        panel.grid(axis="x", color=LIGHT, lw=0.6)
        if 0 < (n_own := int((~names["published"]).sum())) < len(names):
            panel.axhline(n_own - 0.5, color=DARK, lw=0.6)
    panels[0].set(xlim=(-0.04, 1.04), ylim=(len(names) - 0.5, -0.5))
    panels[0].set_yticks(names["row"], _row_names(names), fontsize=SMALL)
    for panel in panels:
        panel.tick_params(axis="y", length=0)
        panel.set_xticks([0, 0.5, 1], ["0", ".5", "1"], fontsize=SMALL)
        panel.set_xlabel("SSD", fontsize=8.5)
    only = f" from {REFERENCES[rows['reference'].iloc[0]]}" if rows["reference"].nunique() == 1 else ""
    heading(figure, f"How far the value structure lies{only or ' from its reference'}")
    legend_below(figure, _ssd_key(rows, temperatures), 1)
    return figure


def _ssd_point(panel: Axes, row, at: float, style: dict) -> None:
    if np.isnan(row.disparity):
        panel.text(0.02, at, "undefined", fontsize=5.5, style="italic", va="center", color=style["color"])
        return
    fill = "white" if row.published else style["color"]
    panel.plot([row.low, row.high], [at, at], color=style["color"], lw=1.3)
    panel.plot(row.disparity, at, ls="", ms=4.5, mfc=fill, mec=style["color"], marker=style["marker"])


def _row_names(names: pd.DataFrame) -> list[str]:
    """Labels, with the administration and the reference where there are several of them."""
    told = {"administration": str, "reference": lambda name: f"to {REFERENCES[name]}"}
    told = {column: name for column, name in told.items() if names[column].nunique() > 1}
    extras = [", ".join(name(row[column]) for column, name in told.items()) for _, row in names.iterrows()]
    return [f"{label}\n{extra}" if extra else folded(label, 20) for label, extra in zip(names["label"], extras)]


def _ssd_key(rows: pd.DataFrame, temperatures: dict[float, dict]) -> list[Artist]:
    key: list[Artist] = [
        Line2D([], [], ls="", ms=5, label=f"temperature {t:g}", **style) for t, style in temperatures.items()
    ]
    if rows["low"].notna().any():
        key.append(Line2D([], [], color=DARK, lw=1.3, label="bootstrap interval over runs"))
    if rows["published"].any():
        printed = "hollow: printed in the paper (not this run)"
        key.append(Line2D([], [], ls="", marker="o", ms=5, mec=DARK, mfc="white", label=printed))
    ssd = "SSD: sum of squared differences after Procrustes, from 0 (the same structure) to 1 (nothing in common)"
    told = [ssd, *compared_with(rows)]
    if len(rows) < rows["row"].nunique() * rows["condition"].nunique() * len(temperatures):
        told.append("\N{EN DASH}, or no point: not run or not printed")
    return [*key, *(Line2D([], [], ls="", label=text) for text in told)]
