"""Several numbers of one respondent side by side: two inductions, orders of the options, a retest."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from valuestab_utils.figure_layout import (
    LIGHT,
    SMALL,
    WIDTH,
    check_once,
    error_bars,
    folded,
    heading,
    key_of_errors,
    legend_below,
    nothing,
    say_undefined,
)
from valuestab_utils.labels import (
    in_family_order,
    measure_label,
    model_label,
    population_label,
    populations_of,
    row_labels,
    unit_label,
)


@dataclass(frozen=True)
class Bar:
    """One bar of each group: its column, what the key calls it, and how it is told apart without colour."""

    column: str
    label: str
    colour: str
    hatch: str = ""


INDUCTIONS = (
    Bar("tuned_sys", "persona in the system message", "#0072B2"),
    Bar("tuned_no_sys", "persona in a user message", "#E69F00", "////"),
)
ORDERS = (
    Bar("single", "one random order", "#999999"),
    Bar("balanced", "all rotations: the most probable option", "#0072B2"),
    Bar("expected", "all rotations: the expected score", "#E69F00", "////"),
)
RETEST = (
    Bar("stability", "stability between contexts", "#0072B2"),
    Bar("reliability", "retest reliability (same context, other orders)", "#E69F00", "////"),
    Bar("corrected", "corrected: stability / reliability", "#009E73", "...."),
)


def induction_bars(
    table: pd.DataFrame, measure: str = "rank_order", population: str = "fictional_characters"
) -> Figure:
    """The same model with its persona in the system message and in a user message (figure 15 of paper 001).

    Parameters
    ----------
    table : DataFrame
        From `valuestab_utils.tables.stability_table`. Controls, and the format of base models, are left out.
    measure, population : str
        What to draw of it.
    """
    formats = [bar.column for bar in INDUCTIONS]
    if not table.empty:
        table = table[(table["population"] == population) & (table["measure"] == measure)]
        table = table[table["format"].isin(formats) & (table["family"] != "control")]
    if table.empty:
        return nothing(f"No tuned format was run for {population_label(population)}.")
    check_once(table, ["model", "format"])
    rows = in_family_order(table)
    models = list(dict.fromkeys(rows["model"]))
    wide = {
        column: rows.pivot(index="model", columns="format", values=column).reindex(models, columns=formats)
        for column in ("stability", "standard_error")
    }
    run = rows.pivot(index="model", columns="format", values="family").notna()
    run = run.reindex(index=models, columns=formats, fill_value=False)
    labels = [model_label(model) for model in models]
    figure, axes = _grouped(labels, wide["stability"], INDUCTIONS, wide["standard_error"], run)
    axes.set_xlabel("mean Spearman's r over pairs of contexts", fontsize=8.5)
    heading(figure, f"{measure_label(measure)} by induction: {population_label(population)}")
    unit = unit_label(rows["unit"].iloc[0], population)
    legend_below(figure, [*_keys(INDUCTIONS), key_of_errors(unit)])
    return figure


def order_bars(table: pd.DataFrame) -> Figure:
    """Stability from the single random order, beside that from balanced orders; the letter bias at the right.

    Parameters
    ----------
    table : DataFrame
        From `valuestab_utils.order_tables.balanced_table`.
    """
    if table.empty:
        return nothing("No balanced orders were asked.")
    rows = in_family_order(table)
    figure, axes = _grouped(row_labels(rows), rows, ORDERS)
    axes.text(1.02, 1.0, "letter bias", style="italic", fontsize=SMALL, va="bottom", transform=axes.transAxes)
    for place, bias in enumerate(rows["letter_bias"]):
        text = "undefined" if np.isnan(bias) else f"{bias:.2f} nats"
        axes.text(1.02, place, text, transform=axes.get_yaxis_transform(), fontsize=SMALL, va="center")
    axes.set_xlabel(f"{_measures(rows)}\n(mean Spearman's r over pairs of contexts)", fontsize=8.5)
    heading(figure, f"What the order of the options does: {populations_of(rows)}")
    legend_below(figure, _keys(ORDERS))
    return figure


def retest_bars(table: pd.DataFrame) -> Figure:
    """Stability beside retest reliability and their ratio; where there is no ratio, why.

    Parameters
    ----------
    table : DataFrame
        From `valuestab_utils.order_tables.retest_table`.
    """
    if table.empty:
        return nothing("No second orders were asked.")
    rows = in_family_order(table)
    figure, axes = _grouped(row_labels(rows), rows, RETEST, say=("stability", "reliability"))
    for place, (corrected, reason) in enumerate(zip(rows["corrected"], rows["reason"])):
        if np.isnan(corrected):
            why = textwrap.fill(f"no corrected value: {reason}", 62)
            axes.text(0.01, place + 0.27, why, fontsize=6.5, style="italic", va="center", bbox=_LEGIBLE)
    axes.set_xlabel(f"{_measures(rows)} (mean Spearman's r)\n{_RATIO}", fontsize=8.5)
    heading(figure, f"Is it the context, or noise in the answers? {populations_of(rows).capitalize()}")
    legend_below(figure, _keys(RETEST), 1)
    return figure


_RATIO = "corrected: a ratio, which may exceed 1"
_LEGIBLE = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5}


def _grouped(
    labels: Sequence[str],
    rows: pd.DataFrame,
    bars: Sequence[Bar],
    errors: pd.DataFrame | None = None,
    run: pd.DataFrame | None = None,
    say: Sequence[str] | None = None,
) -> tuple[Figure, Axes]:
    """Horizontal bars in groups, a group a row; one that is undefined, or was not ``run``, is named."""
    figure, axes = plt.subplots(figsize=(WIDTH, 1.7 + 0.21 * (len(bars) + 0.6) * len(labels)))
    step = 0.8 / len(bars)
    for i, bar in enumerate(bars):
        at = np.arange(len(labels)) + (i - (len(bars) - 1) / 2) * step
        lengths = rows[bar.column].to_numpy(dtype=float)
        axes.barh(
            at,
            lengths,
            0.9 * step,
            color=bar.colour,
            hatch=bar.hatch,
            edgecolor="white",
            lw=0,
            label=bar.label,
        )
        if errors is not None:
            error_bars(axes, lengths, at, errors[bar.column])
        if say is None or bar.column in say:
            say_undefined(axes, lengths, at, None if run is None else run[bar.column])
    axes.axvline(0, color="black", lw=0.8)
    for place in range(1, len(labels)):
        axes.axhline(place - 0.5, color=LIGHT, lw=0.8, zorder=0)
    axes.set_yticks(range(len(labels)), [folded(label) for label in labels], fontsize=8)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_xlim(min(-0.3, axes.get_xlim()[0]), max(1.0, axes.get_xlim()[1]))
    return figure, axes


def _measures(rows: pd.DataFrame) -> str:
    """Names of the measures, as a sentence would begin with them."""
    first, *others = [measure_label(measure) for measure in dict.fromkeys(rows["measure"])]
    return " and ".join([first, *(name[0].lower() + name[1:] for name in others)])


def _keys(bars: Sequence[Bar]) -> list[Patch]:
    return [Patch(facecolor=b.colour, hatch=b.hatch, edgecolor="white", lw=0, label=b.label) for b in bars]
