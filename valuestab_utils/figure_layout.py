"""What all figures have in common: heading, panels, key, and what stands where there is nothing to draw."""

import itertools
import textwrap
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from valuestab_utils.errors import ValuestabError

WIDTH = 7.0  # inches: labels of 8 points can still be read on a narrow screen
SMALL = 7.5  # points
DARK, LIGHT, BAND, PALE = "#333333", "#d9d9d9", "#e2e2e2", "#efefef"
OUTLINED = [withStroke(linewidth=3, foreground="white")]  # a black line on a dark bar


def nothing(message: str) -> Figure:
    """A figure that says why there is nothing on it."""
    figure, axes = plt.subplots(figsize=(WIDTH, 0.8))
    axes.set_axis_off()
    axes.text(0, 0.5, message, va="center")
    return figure


def compared_with(table: pd.DataFrame) -> list[str]:
    """What a table's own numbers are compared with, in sentences for a figure.

    Parameters
    ----------
    table : DataFrame
        With ``published`` (bool: printed in a paper, not of this run), and ``reference_label``, ``human_label`` or
        neither, from which the sentences are made.
    """
    own = table[~table["published"].astype(bool)]
    labels = [own[column].dropna().unique() for column in ("reference_label", "human_label") if column in own]
    texts = [text for text in dict.fromkeys(itertools.chain(*labels)) if text]
    return [textwrap.fill(f"This run is compared with: {text}", 90) for text in texts]


def heading(figure: Figure, text: str) -> None:
    """Title at the figure's left edge: that of the axes would begin beside the longest label."""
    text = textwrap.fill(text, int(11 * figure.get_figwidth()))
    weight, size = plt.rcParams["axes.titleweight"], plt.rcParams["axes.titlesize"]
    figure.suptitle(text, x=0.01, ha="left", fontweight=weight, fontsize=size)


def legend_below(figure: Figure, handles: Sequence[Artist], columns: int = 2) -> None:
    """Legend under the figure, where it covers nothing; without an entry there is none."""
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=columns, fontsize=SMALL)


def panel_grid(n: int, columns: int, size: tuple[float, float], **shared) -> tuple[Figure, list[Axes]]:
    """``n`` panels in rows of at most ``columns``, each ``size`` (width, height) in inches.

    The last ``columns`` of them have nothing below, and so the tick labels of a shared x axis.
    """
    columns = min(columns, n)
    lines = -(-n // columns)
    figure, axes = plt.subplots(
        lines, columns, figsize=(columns * size[0], lines * size[1]), squeeze=False, **shared
    )
    for panel in axes.flat[n:]:
        panel.set_axis_off()
    panels = list(axes.flat[:n])
    for panel in panels[-columns:]:
        panel.tick_params(labelbottom=True)
    return figure, panels


def folded(label: str, width: int = 30) -> str:
    """A long label on two lines, broken before its bracket.

    Examples
    --------
    >>> folded("Mixtral-8x7B-Instruct-v0.1-4b (no system)")
    'Mixtral-8x7B-Instruct-v0.1-4b\\n(no system)'
    >>> folded("phi-2 (base)")
    'phi-2 (base)'
    """
    return label.replace(" (", "\n(", 1) if len(label) > width else label


def check_once(table: pd.DataFrame, columns: Sequence[str]) -> None:
    """Refuse a table in which something would be drawn twice at one place, one bar hidden by another.

    Raises
    ------
    ValuestabError
        If two rows have the same entries in ``columns``.
    """
    twice = table[table.duplicated(list(columns))]
    if not twice.empty:
        names = " / ".join(str(twice.iloc[0][column]) for column in columns)
        raise ValuestabError(
            f"The figure has one place for {names}, but its table has several rows of it: choose one of the "
            "instruments, or draw them apart."
        )


def error_bars(axes: Axes, lengths: Sequence[float], at: Sequence[float], errors: Sequence[float]) -> None:
    """± 1 SE of horizontal bars; a bar without one has no whisker."""
    style = {"fmt": "none", "ecolor": "black", "elinewidth": 1.5, "capsize": 3, "path_effects": OUTLINED}
    axes.errorbar(lengths, at, xerr=errors, **style)


def key_of_errors(unit: str) -> Line2D:
    """The key to `error_bars`, which says what the standard errors are over."""
    return Line2D([], [], color="black", marker="|", ms=7, mew=1.4, lw=1.5, label=f"± 1 SE over {unit}")


def say_undefined(
    axes: Axes, lengths: Sequence[float], at: Sequence[float], run: Sequence[bool] | None = None
) -> None:
    """The word for a bar that is not there: it is undefined, or was not run."""
    for i, (length, place) in enumerate(zip(lengths, at)):
        if np.isnan(length):
            why = "undefined" if run is None or list(run)[i] else "not run"
            axes.text(0.01, place, why, fontsize=6.5, style="italic", va="center")
