"""Matrices: contexts against contexts (figure 10 of paper 001), models against models (16 to 21), values."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from valuestab_utils.errors import ValuestabError
from valuestab_utils.figure_layout import (
    LIGHT,
    SMALL,
    WIDTH,
    check_once,
    folded,
    heading,
    legend_below,
    nothing,
    panel_grid,
)
from valuestab_utils.labels import (
    experiment_labels,
    measure_label,
    population_label,
    respondent_labels,
)

# Its lightness rises all the way from -1 to 1, so that it can be read in greyscale.
COLOURS = "cividis"
_SCALE = Normalize(-1, 1)
_UNDEFINED = {"facecolor": LIGHT, "edgecolor": "#8c8c8c", "hatch": "////", "lw": 0}


def context_matrix(
    pairs: pd.DataFrame, population: str, order: Sequence[str], lengths: Mapping[str, int] | None = None
) -> Figure:
    """Stability between each two contexts, a panel a respondent, as in figure 10 of paper 001.

    Parameters
    ----------
    pairs : DataFrame
        From `valuestab_utils.tables.context_pair_table`.
    population : str
        What to draw of it.
    order : sequence of str
        Contexts from the top and from the left.
    lengths : mapping of str to int, optional
        Characters of the contexts' first messages, to stand beside their names.

    Returns
    -------
    Figure
        Each pair once, below the diagonal; colours from -1 to 1 in every panel. An undefined pair is hatched.

    Raises
    ------
    ValuestabError
        If a context is not in ``order``, or there are fewer than two.
    """
    rows = pairs if pairs.empty else pairs[pairs["population"] == population]
    if rows.empty:
        return nothing(f"No context pairs of {population_label(population)}.")
    there = set(rows["context"])
    if there - set(order):
        raise ValuestabError(
            f"The context {sorted(there - set(order))[0]} has no place in the order {list(order)}."
        )
    contexts = [context for context in order if context in there]
    if len(contexts) < 2:
        raise ValuestabError(f"A matrix of contexts needs at least 2 of them, not {len(contexts)}.")
    check_once(rows, ["model", "format", "context", "other_context"])
    rows = rows.assign(respondent=respondent_labels(rows))
    names = list(dict.fromkeys(rows["respondent"]))
    columns = 1 if len(contexts) > 7 else 2
    alone = columns == 1 or len(names) == 1
    size = (WIDTH, 0.75 * WIDTH) if alone else (WIDTH / 2, 0.47 * WIDTH)
    figure, panels = panel_grid(len(names), columns, size)
    ticks = [f"{name} ({lengths[name]})" if lengths is not None else name for name in contexts]
    for name, panel in zip(names, panels):
        matrix = rows[rows["respondent"] == name].pivot(
            index="context", columns="other_context", values="stability"
        )
        _triangle(panel, matrix.reindex(index=contexts, columns=contexts).to_numpy(), ticks)
        panel.set_title(folded(name, 60 if alone else 26), fontsize=8.5)
    measure = measure_label(rows["measure"].iloc[0])
    by = "\nin brackets: characters of the first message" if lengths is not None else ""
    bar = figure.colorbar(
        ScalarMappable(_SCALE, COLOURS),
        ax=panels,
        location="bottom",
        shrink=0.7,
        aspect=30,
        pad=0.02,
    )
    bar.set_label(f"{measure} (Spearman's r){by}", fontsize=8.5)
    bar.ax.tick_params(labelsize=8)
    heading(figure, f"{measure} between contexts: {population_label(population)}")
    return figure


def significance_matrix(pairs: pd.DataFrame, title: str) -> Figure:
    """Which models differ: black where a t-test is significant after Benjamini-Hochberg (figures 16 to 21).

    Parameters
    ----------
    pairs : DataFrame
        From `valuestab_utils.comparison.compare_pairs`.
    title : str

    Returns
    -------
    Figure
        Models in their order, numbered along both sides; white is no significant difference, hatched no test.
    """
    if pairs.empty:
        return nothing("Fewer than two respondents can be compared.")
    models = list(dict.fromkeys([*pairs["one"], *pairs["other"]]))
    check_once(pairs, ["one", "other"])
    places = {model: i for i, model in enumerate(models)}
    cell = float(np.clip(4.6 / len(models), 0.18, 0.4))
    figure, axes = plt.subplots(figsize=(WIDTH, 1.6 + cell * len(models)))
    styles = {
        "yes": {"facecolor": "black", "edgecolor": LIGHT, "lw": 0.5},
        "no": {"facecolor": "white", "edgecolor": LIGHT, "lw": 0.5},
        "untested": _UNDEFINED,
    }
    for row in pairs.itertuples():
        style = styles["untested" if pd.isna(row.significant) else "yes" if row.significant else "no"]
        for x, y in ((row.one, row.other), (row.other, row.one)):
            axes.add_patch(Rectangle((places[x] - 0.5, places[y] - 0.5), 1, 1, **style))
    for i in range(len(models)):
        axes.plot([i - 0.5, i + 0.5], [i - 0.5, i + 0.5], color="#8c8c8c", lw=0.8)
    numbers = range(1, len(models) + 1)
    size = SMALL if len(models) > 12 else 8.5
    axes.set_xticks(range(len(models)), [str(n) for n in numbers], fontsize=size)
    axes.set_yticks(range(len(models)), [f"{name}  {n}" for name, n in zip(models, numbers)], fontsize=size)
    axes.tick_params(length=0)
    axes.set(xlim=(-0.5, len(models) - 0.5), ylim=(len(models) - 0.5, -0.5), aspect="equal")
    axes.spines[["top", "right"]].set_visible(True)
    tested = int(pairs["significant"].notna().sum())
    significant = int(pairs["significant"].fillna(False).astype(bool).sum())
    left = f"; {len(pairs) - tested} could not be tested" if tested < len(pairs) else ""
    counts = f"{significant} of {tested} tested pairs differ significantly{left}"
    axes.set_xlabel(f"{counts}\n(models by their numbers at the left)", fontsize=8.5)
    heading(figure, title)
    key = [
        Patch(
            **styles["yes"] | {"label": "significant (p \N{LESS-THAN OR EQUAL TO} 0.05, Benjamini-Hochberg)"}
        ),
        Patch(facecolor="white", edgecolor="#8c8c8c", lw=0.5, label="not significant"),
    ]
    legend_below(figure, key + ([Patch(**_UNDEFINED, label="no test possible")] if left else []), 2)
    return figure


def value_heatmap(values: pd.DataFrame) -> Figure:
    """Rank-order stability of each value, a row an experiment.

    Parameters
    ----------
    values : DataFrame
        From `valuestab_utils.tables.per_value_table`.
    """
    if values.empty:
        return nothing("No rank-order stability was computed.")
    check_once(values, ["model", "format", "population", "value"])
    rows = values.assign(experiment=experiment_labels(values))
    order = {axis: list(dict.fromkeys(rows[axis])) for axis in ("experiment", "value")}
    matrix = rows.pivot(index="experiment", columns="value", values="stability")
    matrix = matrix.reindex(index=order["experiment"], columns=order["value"])
    figure, axes = plt.subplots(figsize=(WIDTH, 2.4 + 0.36 * len(matrix)))
    _cells(axes, matrix.to_numpy(), SMALL)
    axes.set_xticks(range(matrix.shape[1]), order["value"], rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(matrix.shape[0]), [folded(name, 26) for name in order["experiment"]])
    axes.tick_params(length=0, labelsize=SMALL)
    bar = figure.colorbar(
        ScalarMappable(_SCALE, COLOURS),
        ax=axes,
        location="bottom",
        aspect=40,
        shrink=0.9,
        pad=0.02,
    )
    bar.set_label("Rank-order stability (Spearman's r)", fontsize=8.5)
    bar.ax.tick_params(labelsize=8)
    heading(figure, "Rank-order stability of each value")
    return figure


def _triangle(axes: Axes, matrix: np.ndarray, ticks: Sequence[str]) -> None:
    """The part of a symmetric matrix below its diagonal, without the empty row and column."""
    below = np.tril(np.ones(matrix.shape, dtype=bool), -1)
    n = len(ticks) - 1
    _cells(axes, matrix[1:, :-1], SMALL if n > 7 else 8.5, below[1:, :-1])
    axes.set_xticks(range(n), ticks[:-1], rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(n), ticks[1:])
    axes.tick_params(length=0, labelsize=SMALL if n > 4 else 8.5)
    axes.set_aspect("equal")
    axes.spines[["left", "bottom"]].set_visible(False)


def _cells(axes: Axes, matrix: np.ndarray, size: float, shown: np.ndarray | None = None) -> None:
    """Coloured cells with their numbers; undefined ones hatched."""
    shown = np.ones(matrix.shape, dtype=bool) if shown is None else shown
    axes.imshow(np.ma.masked_where(~shown, matrix), cmap=COLOURS, norm=_SCALE, aspect="auto")
    for (row, column), number in np.ndenumerate(matrix):
        if not shown[row, column]:
            continue
        if np.isnan(number):
            axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, **_UNDEFINED))
            continue
        ink = "black" if number > -0.05 else "white"
        axes.text(column, row, f"{number:.2f}", fontsize=size, ha="center", va="center", color=ink)
