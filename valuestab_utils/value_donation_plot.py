"""Values against donations, as in figure 9 of paper 001."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from valuestab_utils.figure_layout import (
    PALE,
    SMALL,
    WIDTH,
    check_once,
    error_bars,
    folded,
    heading,
    key_of_errors,
    legend_below,
    nothing,
    panel_grid,
    say_undefined,
)
from valuestab_utils.labels import family_styles, in_family_order, populations_of, row_labels


def value_donation_bars(table: pd.DataFrame) -> Figure:
    """Correlation of values with the coins that are given, a panel a value, as in figure 9 of paper 001.

    Parameters
    ----------
    table : DataFrame
        From `valuestab_utils.experiment_tables.value_donation_table`.

    Returns
    -------
    Figure
        The side that the paper expects the bars on is grey and named.
    """
    if table.empty:
        return nothing("No donations stand beside answers to the questionnaire.")
    rows = in_family_order(table)
    rows = rows.assign(label=row_labels(rows))
    check_once(rows, ["label", "value"])
    styles = family_styles(rows["family"])
    names = list(dict.fromkeys(rows["label"]))
    values = list(dict.fromkeys(table["value"]))
    size = (WIDTH / 2, 1.15 + 0.25 * len(names))
    figure, panels = panel_grid(len(values), 2, size, sharex=True, sharey=True)
    reach = np.nanmax([0.3, *(rows["correlation"].abs() + rows["standard_error"].fillna(0))])
    for value, panel in zip(values, panels):
        part = rows[rows["value"] == value]
        at = [names.index(label) for label in part["label"]]
        sign = part["expected_sign"].iloc[0]
        panel.axvspan(0, sign * 1.1 * reach, color=PALE, lw=0, zorder=0)
        panel.barh(at, part["correlation"], 0.62, color=[styles[family].colour for family in part["family"]])
        error_bars(panel, part["correlation"], at, part["standard_error"])
        say_undefined(panel, part["correlation"], at)
        panel.axvline(0, color="black", lw=0.8)
        side = "positive \N{RIGHTWARDS ARROW}" if sign > 0 else "\N{LEFTWARDS ARROW} negative"
        panel.set_title(value, fontsize=9)
        panel.set_title(f"expected: {side}", fontsize=SMALL, fontweight="normal", loc="right")
    panels[0].set_xlim(-1.1 * reach, 1.1 * reach)
    panels[0].set_ylim(len(names) - 0.5, -0.5)
    for panel in panels:
        panel.set_yticks(range(len(names)), [folded(name, 26) for name in names], fontsize=SMALL)
        panel.tick_params(axis="y", length=0)
        panel.tick_params(axis="x", labelbottom=True)
    for panel in panels[-2:]:
        panel.set_xlabel("mean Spearman's r of value and coins", fontsize=8.5)
    heading(figure, f"Values and donations: {populations_of(rows)}")
    keys = [Patch(facecolor=style.colour, label=family) for family, style in styles.items()]
    expected_side = Patch(facecolor=PALE, label="expected side")
    legend_below(figure, [*keys, key_of_errors("seeds"), expected_side], 3)
    return figure
