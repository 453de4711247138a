"""Points in rows: distance from a reference, similarity to people, agreement with behaviours."""

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from valuestab_utils.plots import labels, layout


def ssd_bars(table: pd.DataFrame) -> Figure:
    """Distance of each value structure from the reference, a panel a condition (tables 1 and 5 of paper 002).

    Columns: label, condition, temperature, administration, disparity (sum of squared differences after Procrustes, 0 to
    1, NaN is undefined), low and high (bootstrap interval or NaN), reference ("human" or "theory"), reference_label,
    and published (printed in the paper, not of this run). A point is a temperature, hollow if printed; a panel without
    a point of a row has a dash there. ValuestabError if two rows fall on one place.
    """
    if table.empty:
        return layout.nothing("No value structure was compared with a reference.")
    place = ["published", "label", "administration", "reference"]
    layout.check_once(table, [*place, "condition", "temperature"])
    rows = table.assign(published=table["published"].astype(bool)).sort_values("published", kind="stable")
    rows = rows.assign(at=rows.groupby(place, sort=False).ngroup())
    names = rows.drop_duplicates("at")
    conditions = labels.in_condition_order(rows["condition"])
    styles = labels.run_styles(sorted(rows["temperature"].unique()))
    heights = dict(zip(styles, layout.spread_in_row(len(styles), 0.2)))
    figure, panels = layout.panel_grid(len(conditions), len(conditions), 2.5 + 0.36 * len(names), "SSD")
    for condition, panel in zip(conditions, panels):
        of_condition = rows[rows["condition"] == condition]
        for (temperature, printed), part in of_condition.groupby(["temperature", "published"]):
            hollow = {"mfc": "white"} if printed else {}
            at = part["at"] + heights[temperature]
            _points(panel, part["disparity"], at, part[["low", "high"]], **styles[temperature] | hollow)
        for at in set(names["at"]) - set(of_condition["at"]):
            panel.text(0.5, at, "\N{EN DASH}", ha="center", va="center", bbox=layout.LEGIBLE)
        panel.set_title(labels.condition_label(condition))
        panel.grid(axis="x", color=layout.LIGHT, lw=0.6)
        if names["published"].nunique() == 2:
            panel.axhline((~names["published"]).sum() - 0.5, color=layout.DARK, lw=0.6)
    layout.name_rows(panels[0], _structure_labels(names))
    panels[0].set_xlim(-0.04, 1.04)
    panels[0].set_xticks([0, 0.5, 1], ["0", ".5", "1"])
    whose = rows["reference"].map(labels.REFERENCES).unique()
    key = [Line2D([], [], ls="", ms=5, label=f"temperature {t:g}", **style) for t, style in styles.items()]
    if rows["low"].notna().any():
        key.append(Line2D([], [], color=layout.DARK, lw=1.3, label="bootstrap interval over runs"))
    if rows["published"].any():
        printed = "hollow: printed in the paper (not this run)"
        key.append(Line2D([], [], ls="", marker="o", ms=5, mec=layout.DARK, mfc="white", label=printed))
    notes = ["SSD: sum of squared differences after Procrustes, from 0 (the same structure) to 1 (nothing in common)"]
    notes += layout.compared_with(rows)
    if len(rows) < len(names) * len(conditions) * len(styles):
        notes.append("\N{EN DASH}, or no point: not run or not printed")
    title = f"How far the value structure lies from {'its reference' if len(whose) > 1 else whose[0]}"
    return layout.finished(figure, title, 1, key, notes)


def _structure_labels(names: pd.DataFrame) -> list[str]:
    """Labels, below them the way of asking and the reference where there are several."""
    extras = [
        column
        for column in (names["administration"], "to " + names["reference"].map(labels.REFERENCES))
        if column.nunique() > 1
    ]
    if not extras:
        return [layout.folded(label, 20) for label in names["label"]]
    return [f"{label}\n{', '.join(extra)}" for label, *extra in zip(names["label"], *extras)]


def similarity_points(table: pd.DataFrame, title: str, measure: str) -> Figure:
    """Similarity to people with its interval, in each row a line a model (tables 1 to 5 of paper 004).

    Of columns row (population, instrument or priming), label (model), mean (at most 1; NaN if undefined), low and high
    (percentile interval, NaN if there is none), published (printed in the paper: drawn hollow and grey, below this
    run's); reference_label or human_label is told below. ``measure`` names the axis, with its unit.
    """
    if table.empty:
        return layout.nothing(f"No similarity was computed: {title}.")
    layout.check_once(table, ["row", "published", "label"])
    table = table.assign(published=table["published"].astype(bool), at=pd.factorize(table["row"])[0])
    rows = table["row"].unique()
    own, printed = (labels.run_styles(table["label"][table["published"] == flag]) for flag in (False, True))
    styles = {(False, label): style for label, style in own.items()}
    styles |= {(True, label): style | {"color": layout.PRINTED, "mfc": "white"} for label, style in printed.items()}
    lines = "; lines: percentile interval" if table["low"].notna().any() else ""
    told = [f"{measure} (1: as people{lines})", *layout.compared_with(table)]
    height = 1.8 + 0.14 * len(styles) + len(rows) * max(0.35, 0.12 * len(styles))
    figure, axes = layout.one_panel(height, "\n".join(told))
    layout.name_rows(axes, [textwrap.fill(str(name), 26) for name in rows], ruled=True)
    for ((flag, label), style), height in zip(styles.items(), layout.spread_in_row(len(styles), 0.38)):
        part = table[(table["published"] == flag) & (table["label"] == label)]
        shown = f"{label} (printed in the paper)" if flag else label
        _points(axes, part["mean"], part["at"] + height, part[["low", "high"]], label=shown, **style)
    axes.axvline(0, color="black", lw=0.8)
    lowest = np.nanmin([0, *table["mean"], *table["low"]])
    axes.set_xlim(lowest - 0.03 if lowest < 0 else 0, 1.02)
    return layout.finished(figure, title)


def agreement_dots(table: pd.DataFrame) -> Figure:
    """Share of agreement with each behaviour by higher-order value (figures 3 and 6 of paper 004).

    `table` has behaviour, area (what it belongs to, such as politics; named at the right), higher_order, agreement (0
    to 1, NaN if undefined) and n (answers it is over). A marker is a higher-order value, each at its own height in the
    row, so that equal shares do not hide each other.
    """
    if table.empty:
        return layout.nothing("No statements of behaviours were asked.")
    layout.check_once(table, ["area", "behaviour", "higher_order"])
    styles = labels.higher_order_styles(table["higher_order"])
    areas = table["area"].unique()
    rows = table.sort_values("area", key=lambda column: column.map(list(areas).index), kind="stable")
    rows = rows.assign(at=rows.groupby(["area", "behaviour"], sort=False).ngroup())
    names = rows.drop_duplicates("at")
    counts = " to ".join(dict.fromkeys(f"{n:g}" for n in (rows["n"].min(), rows["n"].max())))
    xlabel = f"agreement with the behaviour (% of {counts} answers)"
    figure, axes = layout.one_panel(1.9 + 0.34 * len(names), xlabel)
    layout.name_rows(axes, [textwrap.fill(name, 32) for name in names["behaviour"]], ruled=True)
    for (name, style), height in zip(styles.items(), layout.spread_in_row(len(styles), 0.34)):
        part = rows[rows["higher_order"] == name]
        _points(axes, 100 * part["agreement"], part["at"] + height, mew=0, clip_on=False, **style)
    for area, places in names.groupby("area", sort=False)["at"]:
        layout.beside(axes, places.mean(), textwrap.fill(area, 14), style="italic")
        if places.min():
            axes.axhline(places.min() - 0.5, color=layout.DARK, lw=0.6)
    axes.set_xlim(-1, 101)
    return layout.finished(figure, "Agreement with behaviours by value prompt", 3)


def _points(axes: Axes, values: pd.Series, at: pd.Series, interval: pd.DataFrame | None = None, **style) -> None:
    if interval is not None:
        axes.hlines(at, interval["low"], interval["high"], color=style["color"], lw=1.3)
    axes.plot(values, at, ls="", **{"ms": 5} | style)
    layout.say_undefined(axes, values, at, color=style["color"])
