"""What a value prompt does to behaviour, and what goes with what: figures 3 to 8 of paper 004."""

import textwrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from valuestab_utils.figure_layout import (
    DARK,
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
from valuestab_utils.number_cells import colour_bar, number_cells
from valuestab_utils.value_styles import higher_order_styles, spread_in_row

CORRELATION_COLOURS = "PuOr"  # orange below zero, violet above: told apart by colour-blind readers


def agreement_dots(table: pd.DataFrame, title: str = "Agreement with behaviours by value prompt") -> Figure:
    """Share of agreement with each behaviour by higher-order value (figures 3 and 6 of paper 004).

    Parameters
    ----------
    table : DataFrame
        Columns behaviour, area (what it belongs to, such as politics), higher_order (see
        `valuestab_utils.value_styles.higher_order_styles`), agreement (0 to 1, NaN if undefined) and n (answers it is
        over).
    title : str

    Returns
    -------
    Figure
        A row a behaviour, its area named at the right; a marker a higher-order value, each at its own height within
        the row, so that equal shares do not hide each other.

    Raises
    ------
    ValuestabError
        If a behaviour has two shares of one higher-order value, or a higher-order value is unknown.

    Examples
    --------
    >>> table = pd.DataFrame({"behaviour": ["risk seeking"], "area": ["personality"], "n": [8]})
    >>> figure = agreement_dots(table.assign(higher_order="conservation", agreement=0.25))
    >>> figure.axes[0].get_xlabel()
    'agreement with the behaviour (% of 8 answers)'
    """
    if table.empty:
        return nothing("No statements of behaviours were asked.")
    check_once(table, ["area", "behaviour", "higher_order"])
    styles = higher_order_styles(table["higher_order"])
    areas = list(dict.fromkeys(table["area"]))
    rows = pd.concat([table[table["area"] == area] for area in areas])
    names = rows[["area", "behaviour"]].drop_duplicates().reset_index(drop=True)
    places = {pair: i for i, pair in enumerate(zip(names["area"], names["behaviour"]))}
    dodge = dict(zip(styles, spread_in_row(len(styles), 0.34)))
    figure, axes = plt.subplots(figsize=(WIDTH, 1.9 + 0.34 * len(names)))
    for i in range(1, len(names), 2):
        axes.axhspan(i - 0.5, i + 0.5, color="#f5f5f5", lw=0, zorder=0)
    for row in rows.itertuples():
        style, at = styles[row.higher_order], places[row.area, row.behaviour] + dodge[row.higher_order]
        if np.isnan(row.agreement):
            axes.text(1, at, "undefined", fontsize=5.5, style="italic", va="center", color=style.colour)
        else:
            axes.plot(
                100 * row.agreement, at, ls="", marker=style.marker, color=style.colour, ms=5.5, mew=0, clip_on=False
            )
    for area in areas:
        at = [place for (name, _), place in places.items() if name == area]
        axes.text(1.02, np.mean(at), textwrap.fill(str(area), 14), transform=axes.get_yaxis_transform(),
                  fontsize=SMALL, style="italic", va="center")  # fmt: skip
        if at[0]:
            axes.axhline(at[0] - 0.5, color=DARK, lw=0.6)
    axes.set_yticks(range(len(names)), [textwrap.fill(str(name), 32) for name in names["behaviour"]], fontsize=SMALL)
    axes.tick_params(axis="y", length=0)
    axes.set(xlim=(-1, 101), ylim=(len(names) - 0.5, -0.5))
    low, high = rows["n"].min(), rows["n"].max()
    axes.set_xlabel(f"agreement with the behaviour (% of {_counts(low, high)} answers)", fontsize=8.5)
    heading(figure, title)
    key = {style.label: style for style in styles.values()}
    marks = [
        Line2D([], [], ls="", marker=s.marker, color=s.colour, ms=5.5, mew=0, label=label) for label, s in key.items()
    ]
    legend_below(figure, marks, 3)
    return figure


def correlation_heatmap(table: pd.DataFrame, title: str, row: str, column: str, value: str = "r") -> Figure:
    """Correlations as a matrix of numbers: figures 4a, 5b, 7 and 8 of paper 004.

    Parameters
    ----------
    table : DataFrame
        Tidy: two columns of names, of which rows and columns of the matrix come in their order, and a correlation (-1
        to 1).
    title : str
    row, column, value : str
        Names of these columns. A pair that the table does not have is hatched, with a dash; an undefined one with a
        cross.

    Raises
    ------
    ValuestabError
        If a pair has two correlations.

    Examples
    --------
    >>> table = pd.DataFrame({"value": ["Power", "Security"], "cause": "wildlife", "r": [-0.25, 0.1]})
    >>> [text.get_text() for text in correlation_heatmap(table, "A title", "value", "cause").axes[0].texts]
    ['-0.25', '0.10']
    """
    if table.empty:
        return nothing(f"There are no correlations to draw: {title}.")
    check_once(table, [row, column])
    names = {axis: list(dict.fromkeys(table[axis])) for axis in (row, column)}
    indexed = table.assign(there=True).set_index([row, column]).unstack(column)
    numbers = indexed[value].reindex(index=names[row], columns=names[column]).to_numpy(dtype=float)
    there = indexed["there"].reindex(index=names[row], columns=names[column]).notna().to_numpy()
    texts = np.where(there, "\N{MULTIPLICATION SIGN}", "\N{EN DASH}").astype(object)
    defined = ~np.isnan(numbers)
    texts[defined] = [f"{number:.2f}" for number in numbers[defined]]
    few = max(numbers.shape) <= 5
    figure, axes = plt.subplots(figsize=(4.6 if few else WIDTH, 2.6 + (0.5 if few else 0.33) * len(numbers)))
    number_cells(axes, numbers, texts, CORRELATION_COLOURS, 9 if few else SMALL)
    wrapped = {axis: [textwrap.fill(str(name), 24) for name in names[axis]] for axis in names}
    axes.set_xticks(range(numbers.shape[1]), wrapped[column], rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(numbers.shape[0]), wrapped[row])
    axes.tick_params(labelsize=SMALL)
    told = {"\N{EN DASH}: not in the data": ~there, "\N{MULTIPLICATION SIGN}: undefined": there & ~defined}
    told = [text for text, cells in told.items() if cells.any()]
    colour_bar(figure, axes, CORRELATION_COLOURS, "Pearson's r" + (f" ({'; '.join(told)})" if told else ""))
    heading(figure, title)
    return figure


def politics_bars(table: pd.DataFrame, unit: str = "statements") -> Figure:
    """Agreement with conservative behaviours by higher-order value, a panel a model (figure 4b of paper 004).

    Parameters
    ----------
    table : DataFrame
        Columns label, higher_order (see `valuestab_utils.value_styles.higher_order_styles`), agreement (0 to 1, NaN if
        undefined) and se (NaN if there is none).
    unit : str
        What the standard errors are over.

    Raises
    ------
    ValuestabError
        If a label has two bars of one higher-order value, or a higher-order value is unknown.

    Examples
    --------
    >>> table = pd.DataFrame({"label": "m", "higher_order": ["conservation"], "agreement": [0.75], "se": [0.1]})
    >>> float(politics_bars(table).axes[0].patches[0].get_width())
    75.0
    """
    if table.empty:
        return nothing("No statements of conservative politics were asked.")
    check_once(table, ["label", "higher_order"])
    styles = higher_order_styles(table["higher_order"])
    labels = list(dict.fromkeys(table["label"]))
    columns = min(2, len(labels))
    size = (WIDTH / columns, (1.0 if columns == 2 else 1.6) + 0.3 * len(styles))
    figure, panels = panel_grid(len(labels), columns, size, sharex=True, sharey=True)
    names = {higher: i for i, higher in enumerate(styles)}
    for label, panel in zip(labels, panels):
        part = table[table["label"] == label]
        at = [names[name] for name in part["higher_order"]]
        panel.barh(at, 100 * part["agreement"], 0.66, color=[styles[name].colour for name in part["higher_order"]])
        error_bars(panel, 100 * part["agreement"], at, 100 * part["se"])
        say_undefined(panel, part["agreement"], at)
        panel.set_title(folded(label, 40), fontsize=8.5)
        panel.tick_params(axis="y", length=0, labelsize=SMALL)
    for panel in panels[-columns:]:
        panel.set_xlabel("agreement (% of answers)", fontsize=8.5)
    panels[0].set_yticks(range(len(names)), [style.label for style in styles.values()])
    panels[0].set(xlim=(0, 105), ylim=(len(names) - 0.5, -0.5))
    heading(figure, "Agreement with conservative politics by value prompt")
    legend_below(figure, [key_of_errors(unit)] if table["se"].notna().any() else [])
    return figure


def _counts(low: float, high: float) -> str:
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"
