"""Matrices: contexts, significance, values, agreement with the human order, correlations."""

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from valuestab_utils.errors import ValuestabError
from valuestab_utils.plots import labels, layout
from valuestab_utils.prompts import population_label

COLOURS = colormaps["cividis"]  # its lightness rises all the way from -1 to 1, so that it can be read in greyscale
CORRELATION_COLOURS = colormaps["PuOr"]  # orange below zero, violet above: told apart by colour-blind readers
SIGNIFICANT = 0.05
ABSENT, UNDEFINED = "\N{EN DASH}", "\N{MULTIPLICATION SIGN}"

_SCALE = Normalize(-1, 1)
_BLACK_IF_ONE = ListedColormap(["white", "white", "black"])  # thirds of the scale: -1, 0, 1
_HATCHED = {"facecolor": "#f2f2f2", "edgecolor": "#b0b0b0", "hatch": "////", "lw": 0}


def context_matrix(
    pairs: pd.DataFrame, population: str, order: Sequence[str], lengths: Mapping[str, int] | None = None
) -> Figure:
    """Stability between each two contexts, a panel a respondent, as in figure 10 of paper 001.

    `order` has the contexts from the top and from the left; `lengths`, characters of their first messages, stand beside
    their names. Each pair is drawn once, below the diagonal, in colours from -1 to 1 in every panel; an undefined pair
    is hatched. ValuestabError if a context is not in ``order``.
    """
    rows = pairs if pairs.empty else pairs[pairs["population"] == population]
    if rows.empty:
        return layout.nothing(f"No context pairs of {population_label(population)}.")
    there = set(rows["context"])
    if there - set(order):
        raise ValuestabError(f"The context {min(there - set(order))} has no place in the order {list(order)}.")
    layout.check_once(rows, ["model", "format", "context", "other_context"])
    contexts = [context for context in order if context in there]
    ticks = [f"{name} ({lengths[name]})" if lengths else name for name in contexts]
    below = np.tril(np.ones((len(contexts), len(contexts)), dtype=bool), -1)[1:, :-1]
    respondents = rows.groupby(["model", "format"], sort=False)
    alone = len(contexts) > 7 or respondents.ngroups == 1
    figure, panels = layout.panel_grid(respondents.ngroups, 1 if alone else 2, (0.9 if alone else 0.47) * layout.WIDTH)
    for (names, part), panel in zip(respondents, panels):
        square = part.pivot(index="context", columns="other_context", values="stability")
        square = square.reindex(index=contexts, columns=contexts).set_axis(ticks).set_axis(ticks, axis=1)
        square = square.iloc[1:, :-1]
        _cells(panel, square, square.map(_text), shown=below)
        panel.set_aspect("equal")
        panel.set_title(layout.folded(labels.respondent_label(*names), 60 if alone else 26))
    measure = labels.measure_label(rows["measure"].iloc[0])
    undefined = f"; {UNDEFINED}: undefined" if rows["stability"].isna().any() else ""
    brackets = "\nin brackets: characters of the first message" if lengths else ""
    _colour_bar(figure, panels, f"{measure} (Spearman's r){undefined}{brackets}")
    return layout.finished(figure, f"{measure} between contexts: {population_label(population)}")


def significance_matrix(pairs: pd.DataFrame, title: str) -> Figure:
    """Which models differ: black where a t-test is significant after Benjamini-Hochberg (figures 16 to 21).

    White is no significant difference, hatched no test. Models are numbered along both sides.
    """
    if pairs.empty:
        return layout.nothing("Fewer than two respondents can be compared.")
    layout.check_once(pairs, ["one", "other"])
    models = list(dict.fromkeys([*pairs["one"], *pairs["other"]]))
    mirrored = pd.concat([pairs, pairs.rename(columns={"one": "other", "other": "one"})])
    square = mirrored.astype({"significant": float}).pivot(index="one", columns="other", values="significant")
    square = square.reindex(index=models, columns=models)
    tested, significant = int(pairs["significant"].notna().sum()), int(pairs["significant"].sum())
    left = f"; {len(pairs) - tested} could not be tested" if tested < len(pairs) else ""
    counts = f"{significant} of {tested} tested pairs differ significantly{left}"
    cell = float(np.clip(4.6 / len(models), 0.18, 0.4))
    figure, axes = layout.one_panel(1.6 + cell * len(models), f"{counts}\n(models by their numbers at the left)")
    no_texts = pd.DataFrame("", square.index, square.columns)
    _cells(axes, square, no_texts, _BLACK_IF_ONE, shown=~np.eye(len(models), dtype=bool))
    numbers = range(1, len(models) + 1)
    axes.set_xticks(np.arange(len(models)) + 0.5, numbers, rotation=0, ha="center")
    axes.set_yticks(np.arange(len(models)) + 0.5, [f"{name}  {n}" for name, n in zip(models, numbers)])
    for edge in range(len(models) + 1):
        axes.axhline(edge, color=layout.LIGHT, lw=0.8)
        axes.axvline(edge, color=layout.LIGHT, lw=0.8)
    axes.plot([0, len(models)], [0, len(models)], color=layout.DARK, lw=0.8)
    axes.set_aspect("equal")
    test = f"p \N{LESS-THAN OR EQUAL TO} {SIGNIFICANT:g}, Benjamini-Hochberg"
    key = [
        Patch(facecolor="black", label=f"significant ({test})"),
        Patch(facecolor="white", edgecolor=layout.DARK, lw=0.5, label="not significant"),
    ]
    if left:
        key.append(Patch(**_HATCHED, label="no test possible"))
    return layout.finished(figure, title, key=key)


def value_heatmap(values: pd.DataFrame) -> Figure:
    """Rank-order stability of each value, a row an experiment (`valuestab_utils.papers.kovac2024.per_value_table`)."""
    if values.empty:
        return layout.nothing("No rank-order stability was computed.")
    layout.check_once(values, [*labels.EXPERIMENT, "value"])
    numbers, texts = _wide(values, labels.EXPERIMENT, ["value"], "stability")
    names = labels.experiment_labels(numbers.index.to_frame())
    numbers.index = [layout.folded(name, 26) for name in names]
    figure, axes = layout.one_panel(2.4 + 0.36 * len(numbers))
    _cells(axes, numbers, texts)
    _colour_bar(figure, [axes], f"Rank-order stability (Spearman's r){_signs(texts)}")
    return layout.finished(figure, "Rank-order stability of each value")


def rank_agreement_heatmap(table: pd.DataFrame) -> Figure:
    """Spearman's rho of the value hierarchy with people's: a row a model, a column a prompt and temperature.

    Columns of ``table``: label (model, and administration where that matters), condition, temperature, rho (NaN is
    undefined), p_value (NaN is unknown) and published (printed in the paper, not of this run). A rho with p above 0.05
    is in brackets; cells that the table lacks are hatched with a dash, undefined ones with a cross. Printed rows stand
    below, in italics.
    """
    if table.empty:
        return layout.nothing("No value hierarchy was compared with that of people.")
    row, column = ["published", "label"], ["condition", "temperature"]
    layout.check_once(table, [*row, *column])
    conditions = labels.in_condition_order(table["condition"])
    table = table.assign(published=table["published"].astype(bool)).sort_values("published", kind="stable")
    uncertain = table["p_value"] > SIGNIFICANT
    numbers, texts = _wide(table, row, column, "rho", uncertain)
    columns = sorted(numbers.columns, key=lambda names: (conditions.index(names[0]), names[1]))
    numbers, texts = numbers[columns], texts[columns]
    n_own = sum(not printed for printed, _ in numbers.index)
    told = f"temperature; in brackets: p > {SIGNIFICANT:g}{_signs(texts, 'not run or not printed')}"
    italics = "\nin italics: printed in the paper, not this run" if n_own < len(numbers) else ""
    figure, axes = layout.one_panel(2.3 + 0.34 * len(numbers), told + italics)
    _cells(axes, numbers, texts)
    axes.set_xticks(np.arange(len(columns)) + 0.5, [f"{t:g}" for _, t in columns], rotation=0, ha="center")
    axes.set_yticks(np.arange(len(numbers)) + 0.5, [layout.folded(label, 26) for _, label in numbers.index])
    for tick in axes.get_yticklabels()[n_own:]:
        tick.set(style="italic", color=layout.DARK)
    if 0 < n_own < len(numbers):
        axes.axhline(n_own, color="white", lw=5)
    for name in conditions:
        at = [i for i, (condition, _) in enumerate(columns) if condition == name]
        above = {"transform": axes.get_xaxis_transform(), "ha": "center", "va": "bottom"}
        axes.text(np.mean(at) + 0.5, 1.02, labels.condition_label(name), **above)
        if at[0]:
            axes.axvline(at[0], color="white", lw=3)
    _colour_bar(figure, [axes], "Spearman's rho with the human order of the values")
    return layout.finished(figure, "Are the values ordered as people order them?")


def correlation_heatmap(table: pd.DataFrame, title: str, row: str, column: str) -> Figure:
    """Correlations as a matrix of numbers: figures 4a, 5b, 7 and 8 of paper 004.

    `table` is tidy: names of its columns `row` and `column` come in their order, `r` is -1 to 1. A pair that it
    does not have is hatched, with a dash; an undefined one with a cross.
    """
    if table.empty:
        return layout.nothing(f"There are no correlations to draw: {title}.")
    layout.check_once(table, [row, column])
    names = {name: [textwrap.fill(str(label), 24) for label in table[name]] for name in (row, column)}
    numbers, texts = _wide(table.assign(**names), [row], [column], "r")
    few = max(numbers.shape) <= 5
    height, width = 2.6 + (0.5 if few else 0.33) * len(numbers), 4.6 if few else layout.WIDTH
    figure, (axes,) = layout.panel_grid(1, 1, height, width=width)
    _cells(axes, numbers, texts, CORRELATION_COLOURS)
    _colour_bar(figure, [axes], f"Pearson's r{_signs(texts)}", CORRELATION_COLOURS)
    return layout.finished(figure, title)


def _wide(
    table: pd.DataFrame, rows: list[str], columns: list[str], values: str, bracketed: pd.Series | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Numbers and their texts as matrices, rows and columns in the order in which they come."""
    texts = table[values].map(_text)
    if bracketed is not None:
        texts = texts.mask(bracketed, "(" + texts + ")")
    wide = table.assign(text=texts).set_index([*rows, *columns])[[values, "text"]].unstack(columns)
    orders = [pd.MultiIndex.from_frame(table[names].drop_duplicates()) for names in (rows, columns)]
    index, columns = [order if order.nlevels > 1 else order.get_level_values(0) for order in orders]
    numbers, texts = (wide[name].reindex(index=index, columns=columns) for name in (values, "text"))
    return numbers, texts.fillna(ABSENT)


def _text(value: float) -> str:
    return labels.number(value, UNDEFINED)


def _signs(texts: pd.DataFrame, absent: str = "not in the data") -> str:
    told = {ABSENT: absent, UNDEFINED: "undefined"}
    return "".join(f"; {sign}: {meaning}" for sign, meaning in told.items() if texts.eq(sign).any(axis=None))


def _cells(
    axes: Axes,
    numbers: pd.DataFrame,
    texts: pd.DataFrame,
    colours: Colormap = COLOURS,
    shown: np.ndarray | None = None,
) -> None:
    """A frame from -1 to 1 as coloured cells with ``texts`` in them; NaN is hatched."""
    undefined = numbers.isna().to_numpy()
    hidden = np.zeros(numbers.shape, dtype=bool) if shown is None else ~shown
    style = {"cmap": colours, "vmin": -1, "vmax": 1, "cbar": False, "linewidths": 0, "ax": axes}
    said = {"xlabel": axes.get_xlabel(), "ylabel": axes.get_ylabel()}  # which seaborn would replace
    # Of a masked cell seaborn writes no text: what is undefined gets its own below.
    sns.heatmap(numbers.astype(float), mask=hidden | undefined, annot=texts, fmt="", annot_kws={"size": 7}, **style)
    for row, column in np.argwhere(undefined & ~hidden):
        axes.add_patch(Rectangle((column, row), 1, 1, **_HATCHED))
        box = {"facecolor": _HATCHED["facecolor"], "edgecolor": "none", "pad": 1}
        axes.text(column + 0.5, row + 0.5, texts.iat[row, column], ha="center", va="center", size=7, bbox=box)
    places = np.arange(numbers.shape[1]) + 0.5, np.arange(numbers.shape[0]) + 0.5
    axes.set_xticks(places[0], numbers.columns, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(places[1], numbers.index, rotation=0)
    axes.set(**said)
    axes.tick_params(length=0)
    axes.spines[["left", "bottom"]].set_visible(False)


def _colour_bar(figure: Figure, panels: Sequence[Axes], label: str, colours: Colormap = COLOURS) -> None:
    """The key to `_cells`, below them."""
    style = {"location": "bottom", "aspect": 40, "shrink": 0.8, "pad": 0.03}
    bar = figure.colorbar(ScalarMappable(_SCALE, colours), ax=panels, ticks=[-1, -0.5, 0, 0.5, 1], **style)
    bar.set_label(label)
