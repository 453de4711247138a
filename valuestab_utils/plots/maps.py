"""Names on a plane: characters by their value scores, and values beside a reference."""

import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from valuestab_utils.plots import labels, layout

# Colours that colour-blind readers tell apart, and markers for everybody else's printer.
CLASSES = {
    "positive": {"color": "#009E73", "marker": "o"},
    "neutral": {"color": "#777777", "marker": "s"},
    "negative": {"color": "#D55E00", "marker": "^"},
    "no class": {"color": "black", "marker": "x"},
}
_COORDINATES = ["x", "y", "reference_x", "reference_y"]
_MARK = 3.5  # points from a mark's middle to where a label may begin
_DISTANCES = np.array([4, 8, 13, 19, 26, 34, 44, 56, 70, 86]) + _MARK
_N_DIRECTIONS = 16


def persona_map(points: pd.DataFrame, explained: Sequence[float]) -> Figure:
    """Characters on the first two principal components of their value scores, each with its name.

    ``points`` are from `valuestab_utils.papers.kovac2024.persona_points`: class is positive, neutral,
    negative or missing. ``explained`` has the components' shares of the variance, 0 to 1.
    """
    if points.empty:
        return layout.nothing("There are no characters to draw.")
    layout.check_once(points, ["persona"])
    classes = points["class"].fillna("no class")
    axes_labels = [f"component {i} ({share:.0%} of variance)" for i, share in enumerate(explained, start=1)]
    figure, axes = layout.one_panel(7.0, *axes_labels)
    for name, style in CLASSES.items():
        part = points[classes == name]
        if not part.empty:
            axes.scatter(part["x"], part["y"], s=20, label=name, lw=1, **style)
    axes.margins(0.08)
    axes.axhline(0, color=layout.LIGHT, lw=0.8, zorder=0)
    axes.axvline(0, color=layout.LIGHT, lw=0.8, zorder=0)
    layout.finished(figure, f"{len(points)} characters by their value scores", 4)
    _hold_still(figure)
    _name_points(axes, points[["x", "y"]].to_numpy(), points["persona"], np.empty((0, 2)))
    return figure


def value_maps(points: pd.DataFrame, title: str) -> Figure:
    """Two-dimensional value structures, each aligned to its reference, a panel a structure.

    Of one row a panel and value, in the order of the theory's circle: panel, value, acronym, higher_order; x, y,
    reference_x, reference_y (standardised by Procrustes, no unit; x and y NaN throughout a panel whose structure is
    undefined), disparity (sum of squared differences, SSD), low and high (its interval, or NaN), reference ("human" or
    "theory"). Hollow points are the reference, joined in the order of the circle; all panels have one scale, the same
    for both dimensions.
    """
    if points.empty:
        return layout.nothing("There is no value structure to draw.")
    layout.check_once(points, ["panel", "value"])
    styles = labels.higher_order_styles(points["higher_order"])
    names = list(points["panel"].unique())
    columns = min(2, len(names))
    height = min(layout.WIDTH / columns, 5.6) + 1.2 / -(-len(names) // columns)  # and room for heading and key
    axes_labels = [f"dimension {i} (standardised, no unit)" for i in (1, 2)]
    figure, panels = layout.panel_grid(len(names), columns, height, *axes_labels)
    reach = 1.16 * np.nanmax(points[_COORDINATES].abs())
    for name, panel in zip(names, panels):
        part = points[points["panel"] == name]
        _draw_structure(panel, part, styles)
        panel.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
        panel.set_title(f"{textwrap.fill(str(name), 80 // columns)}\n{_distance(part.iloc[0])}")
        panel.locator_params(nbins=5)
    whose = " or ".join(dict.fromkeys(points["reference"].map(labels.REFERENCES)))
    key = [Line2D([], [], ls="", ms=5, mew=0, **style) for style in styles.values()]
    hollow = {"marker": "o", "ms": 4, "mfc": "white", "mec": layout.DARK, "label": f"hollow: {whose}"}
    key.append(Line2D([], [], color=layout.LIGHT, **hollow))
    bracket = ["in brackets: bootstrap interval"] if points["low"].notna().any() else []
    layout.finished(figure, title, 3, key, ["SSD: sum of squared differences", *bracket])
    _hold_still(figure)
    for name, panel in zip(names, panels):
        part = points[points["panel"] == name]
        if part["x"].notna().all():
            references = part[["reference_x", "reference_y"]].to_numpy()
            _name_points(panel, part[["x", "y"]].to_numpy(), part["acronym"], references, bbox=layout.LEGIBLE)
    return figure


def _draw_structure(panel: Axes, part: pd.DataFrame, styles: dict[str, dict[str, str]]) -> None:
    around = part.iloc[[*range(len(part)), 0]]
    panel.plot(around["reference_x"], around["reference_y"], color=layout.LIGHT, lw=1.0, zorder=1)
    for row in part.itertuples():
        colour, marker = styles[row.higher_order]["color"], styles[row.higher_order]["marker"]
        style = {"marker": marker, "ls": ""}
        panel.plot(row.reference_x, row.reference_y, ms=4, mfc="white", mec=colour, mew=0.9, zorder=2, **style)
        panel.plot([row.reference_x, row.x], [row.reference_y, row.y], color=colour, lw=0.5, alpha=0.6, zorder=1.5)
        panel.plot(row.x, row.y, ms=5, color=colour, mew=0, zorder=3, **style)
    if part["x"].isna().all():
        panel.text(0, 0, "undefined", style="italic", fontsize=9, ha="center", va="center")


def _distance(row: pd.Series) -> str:
    interval = f" [{labels.number(row['low'])}, {labels.number(row['high'])}]" if pd.notna(row["low"]) else ""
    return f"SSD to {labels.REFERENCES[row['reference']]} {labels.number(row['disparity'])}{interval}"


def _hold_still(figure: Figure) -> None:
    """Lay the figure out once and for all: labels are placed by where things are now."""
    figure.canvas.draw()
    figure.set_layout_engine("none")


def _name_points(axes: Axes, points: np.ndarray, names: Sequence[str], others: np.ndarray, **style) -> None:
    """Names beside points, on neither these nor ``others``, with a thin line to those that had to go further away."""
    to_points = 72 / axes.figure.dpi
    texts = [axes.text(0, 0, name, fontsize=layout.SMALL) for name in names]
    boxes = [text.get_window_extent() for text in texts]
    sizes = np.array([[box.width, box.height] for box in boxes]) * to_points
    for text in texts:
        text.remove()
    at = axes.transData.transform(np.vstack([points, others])) * to_points
    # What a name must not cover is a mark with a label of no size.
    sizes = np.vstack([sizes, np.zeros_like(others)])
    bounds = axes.get_window_extent().extents * to_points
    for name, point, offset, size in zip(names, points, label_offsets(at, sizes, bounds), sizes):
        nearest = np.clip(0, offset, offset + size)
        line = {"arrowstyle": "-", "lw": 0.4, "color": "#999999", "shrinkA": 0, "shrinkB": 2}
        style |= {"arrowprops": line if np.hypot(*nearest) > _MARK + 6 else None}
        style |= {"fontsize": layout.SMALL, "color": layout.DARK, "va": "bottom"}
        axes.annotate(name, point, offset, textcoords="offset points", **style)


def label_offsets(points: np.ndarray, sizes: np.ndarray, bounds: Sequence[float]) -> np.ndarray:
    """Where labels go so that they cover neither each other nor a point, as far as there is room.

    ``points`` (labels, 2), ``sizes`` (labels, 2: width, height) and ``bounds`` (left, bottom, right, top) are in
    printer's points. The result (labels, 2) leads from each point to its label's lower left corner; the same input
    gives the same.
    """
    angles = 2 * np.pi * np.arange(_N_DIRECTIONS) / _N_DIRECTIONS
    directions = np.column_stack([np.cos(angles), np.sin(angles)])
    moves = (_DISTANCES[:, None, None] * directions).reshape(-1, 2)
    # A label's nearest edge, not its middle, is so far away.
    leans = np.tile(directions, (len(_DISTANCES), 1)) / 2 - 0.5
    far = 0.02 * np.repeat(_DISTANCES, _N_DIRECTIONS)  # near before far, if both are free
    marks = np.concatenate([points - _MARK, points + _MARK], axis=1)
    crowded = np.sort(np.linalg.norm(points[:, None] - points[None], axis=-1), axis=1)[:, 1:6].sum(axis=1)
    boxes = np.full((len(points), 4), np.nan)
    # Each label takes the cheapest place, those of the most crowded points first; two more rounds place each again,
    # now beside all others.
    for _ in range(3):
        for i in np.argsort(crowded, kind="stable"):
            lower_left = points[i] + moves + leans * sizes[i]
            tried = np.concatenate([lower_left, lower_left + sizes[i]], axis=1)
            covered = np.concatenate([np.delete(boxes, i, axis=0), np.delete(marks, i, axis=0)])
            cost = _overlap(tried, covered) + 100 * _outside(tried, bounds) + far
            boxes[i] = tried[np.argmin(cost)]
    return boxes[:, :2] - points


def _overlap(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Area that each of some boxes (left, bottom, right, top) shares with all of the others that have a place."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return np.nansum(np.prod(np.clip(high - low, 0, None), axis=-1), axis=1)


def _outside(boxes: np.ndarray, bounds: Sequence[float]) -> np.ndarray:
    """How far each box reaches over the bounds."""
    low, high = np.array(bounds[:2]), np.array(bounds[2:])
    return (np.clip(low - boxes[:, :2], 0, None) + np.clip(boxes[:, 2:] - high, 0, None)).sum(axis=1)
