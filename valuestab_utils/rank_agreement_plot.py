"""Agreement with the human order of values, as in figures 2a and 6 of paper 002."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from valuestab_utils.figure_layout import DARK, SMALL, WIDTH, check_once, folded, heading, nothing
from valuestab_utils.matrix_plots import COLOURS
from valuestab_utils.number_cells import colour_bar, number_cells
from valuestab_utils.value_styles import condition_label, in_condition_order

SIGNIFICANT = 0.05


def rank_agreement_heatmap(table: pd.DataFrame) -> Figure:
    """Spearman's rho of the value hierarchy with people's: a row a model, a column a prompt and temperature.

    Parameters
    ----------
    table : DataFrame
        Columns label (str: model, and how the questionnaire was administered where that matters), condition,
        temperature, rho (-1 to 1; NaN is undefined), p_value (NaN is unknown) and published (bool: printed in the
        paper, not of this run).

    Returns
    -------
    Figure
        Each rho stands in its cell, in brackets if its p value is above 0.05. Cells that the table does not have
        are hatched, with a dash; undefined ones with a cross. Printed rows stand below this run's, in italics.

    Raises
    ------
    ValuestabError
        If a label has two rows of one condition and temperature.

    Examples
    --------
    >>> row = {"label": "m", "condition": "basic", "temperature": 0.0, "rho": 0.8, "p_value": 0.2}
    >>> figure = rank_agreement_heatmap(pd.DataFrame([{**row, "published": False}]))
    >>> figure.axes[0].texts[0].get_text()
    '(0.80)'
    """
    if table.empty:
        return nothing("No value hierarchy was compared with that of people.")
    table = table.assign(published=table["published"].astype(bool))
    check_once(table, ["label", "published", "condition", "temperature"])
    cells = table.set_index(["published", "label", "condition", "temperature"])
    rows = [
        (flag, label) for flag in (False, True) for label in dict.fromkeys(table["label"][table["published"] == flag])
    ]
    conditions = in_condition_order(table["condition"])
    temperatures = sorted(set(table["temperature"]))
    columns = [
        (name, t)
        for name in conditions
        for t in temperatures
        if ((table["condition"] == name) & (table["temperature"] == t)).any()
    ]
    numbers = np.full((len(rows), len(columns)), np.nan)
    texts = np.full(numbers.shape, "\N{EN DASH}", dtype=object)
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            if (*row, *column) in cells.index:
                cell = cells.loc[(*row, *column)]
                numbers[i, j], texts[i, j] = cell["rho"], _text(cell["rho"], cell["p_value"])

    figure, axes = plt.subplots(figsize=(WIDTH, 2.3 + 0.34 * len(rows)))
    number_cells(axes, numbers, texts, COLOURS)
    axes.set_xticks(range(len(columns)), [f"{t:g}" for _, t in columns], fontsize=SMALL)
    axes.set_yticks(range(len(rows)), [folded(label, 26) for _, label in rows], fontsize=SMALL)
    for (flag, _), tick in zip(rows, axes.get_yticklabels()):
        tick.set(style="italic" if flag else "normal", color=DARK if flag else "black")
    n_own = sum(not flag for flag, _ in rows)
    if 0 < n_own < len(rows):
        axes.axhline(n_own - 0.5, color="white", lw=5)
    above = axes.get_xaxis_transform()
    for name in conditions:
        at = [j for j, column in enumerate(columns) if column[0] == name]
        axes.text(np.mean(at), 1.02, condition_label(name), transform=above, fontsize=SMALL, ha="center", va="bottom")
        if at[0]:
            axes.axvline(at[0] - 0.5, color="white", lw=3)
    told = ["temperature", f"in brackets: p > {SIGNIFICANT:g}"]
    if (texts == "\N{EN DASH}").any():
        told.append("\N{EN DASH}: not run or not printed")
    if table["rho"].isna().any():
        told.append("\N{MULTIPLICATION SIGN}: undefined")
    italics = ["in italics: printed in the paper, not this run"] if len(rows) > n_own else []
    axes.set_xlabel("\n".join(["; ".join(told), *italics]), fontsize=8.5)
    colour_bar(figure, axes, COLOURS, "Spearman's rho with the human order of the values")
    heading(figure, "Are the values ordered as people order them?")
    return figure


def _text(rho: float, p_value: float) -> str:
    if np.isnan(rho):
        return "\N{MULTIPLICATION SIGN}"
    return f"({rho:.2f})" if p_value > SIGNIFICANT else f"{rho:.2f}"
