"""What figures share: panels, headings, keys, rows of names, and what is said of what is not there."""

import textwrap
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from valuestab_utils.errors import ValuestabError

WIDTH = 7.0  # inches: labels of 8 points can still be read on a narrow screen
SMALL = 6.5  # points
DARK, LIGHT, PALE = "#333333", "#d9d9d9", "#e8e8e8"
PRINTED = "#8c8c8c"  # what a paper prints is grey and thin or hollow, so as not to pass for this run's
LEGIBLE = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5}  # behind words on lines


def nothing(message: str) -> Figure:
    """A figure that says why there is nothing on it."""
    figure, axes = plt.subplots(figsize=(WIDTH, 0.8))
    axes.set_axis_off()
    axes.text(0, 0.5, message, va="center", fontsize=10)
    return figure


def panel_grid(
    n: int, columns: int, height: float, xlabel: str = "", ylabel: str = "", width: float = WIDTH
) -> tuple[Figure, list[Axes]]:
    """``n`` panels of one scale in rows of at most ``columns``, each row ``height`` inches high, the outer labelled."""
    columns = min(columns, n)
    lines = -(-n // columns)
    size = (width, lines * height)
    figure, axes = plt.subplots(lines, columns, figsize=size, squeeze=False, sharex=True, sharey=True)
    for panel in axes.flat[n:]:
        panel.set_axis_off()
    panels = list(axes.flat[:n])
    for panel in panels[::columns]:
        panel.set_ylabel(ylabel)
    for panel in panels[-columns:]:  # nothing is below these, so that they have the tick labels of a shared axis
        panel.set_xlabel(xlabel)
        panel.tick_params(labelbottom=True)
    return figure, panels


def one_panel(height: float, xlabel: str = "", ylabel: str = "") -> tuple[Figure, Axes]:
    """A figure of full width and ``height`` inches."""
    figure, (axes,) = panel_grid(1, 1, height, xlabel, ylabel)
    return figure, axes


def finished(
    figure: Figure, title: str, columns: int = 2, key: Sequence[Artist] = (), notes: Sequence[str] = ()
) -> Figure:
    """The figure with its title, and with a legend below it.

    In the legend stand ``key``, then all that has a label, each label once, then ``notes``, sentences without a mark.
    """
    # At the figure's left edge: a title of the axes would begin beside the longest label.
    figure.suptitle(textwrap.fill(title, int(11 * figure.get_figwidth())), x=0.01, ha="left")
    entries = {handle.get_label(): handle for handle in key}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels()):
            entries.setdefault(label, handle)
    entries |= {note: Line2D([], [], ls="") for note in notes}
    if entries:
        figure.legend(list(entries.values()), list(entries), loc="outside lower center", ncols=columns)
    return figure


def name_rows(axes: Axes, labels: Sequence[str], ruled: bool = False) -> None:
    """Names of horizontal bars or points, the first on top; ruled: with lines between the rows."""
    axes.set_yticks(range(len(labels)), labels)
    for panel in axes.get_shared_y_axes().get_siblings(axes):
        panel.tick_params(axis="y", length=0)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    for place in range(1, len(labels) if ruled else 0):
        axes.axhline(place - 0.5, color=LIGHT, lw=0.8, zorder=0)


def beside(axes: Axes, place: float, text: str, **style) -> None:
    """Words at the right of a row; those at -0.5, the top, stand above all rows."""
    align = "center" if place >= 0 else "bottom"
    axes.text(1.02, place, text, transform=axes.get_yaxis_transform(), va=align, **style)


def say_undefined(
    axes: Axes, lengths: Sequence[float], at: Sequence[float], words: str | Sequence[str] = "undefined", **style
) -> None:
    """The word for a bar or point that is not there: one for all, or one each."""
    for length, place, word in zip(lengths, at, np.broadcast_to(words, len(at))):
        if np.isnan(length):
            axes.text(0.01, place, word, fontsize=SMALL, style="italic", va="center", bbox=LEGIBLE, **style)


def spread_in_row(n: int, reach: float) -> np.ndarray:
    """Heights of n marks in one row, from ``-reach`` to ``reach``; a mark alone stands in the middle."""
    return np.linspace(-reach, reach, n) if n > 1 else np.zeros(n)


def folded(label: str, width: int = 30) -> str:
    """A long label on two lines, broken before its bracket."""
    return label.replace(" (", "\n(", 1) if len(label) > width else label


def compared_with(table: pd.DataFrame) -> list[str]:
    """What a table's own numbers (those not ``published``) are compared with, in sentences for a figure."""
    own = table[~table["published"].astype(bool)]
    labels = [own[column].dropna() for column in ("reference_label", "human_label") if column in own]
    texts = dict.fromkeys(text for column in labels for text in column if text)
    return [textwrap.fill(f"This run is compared with: {text}", 90) for text in texts]


def check_once(table: pd.DataFrame, columns: Sequence[str]) -> None:
    """Refuse a table in which something would be drawn twice at one place, one bar hidden by another."""
    twice = table[table.duplicated(list(columns))]
    if not twice.empty:
        names = " / ".join(str(twice.iloc[0][column]) for column in columns)
        raise ValuestabError(
            f"The figure has one place for {names}, but its table has several rows of it: choose one of the "
            "instruments, or draw them apart."
        )
