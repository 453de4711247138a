"""Simulated characters as labelled points, as in figure 12 of paper 001."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from valuestab_utils.errors import check_known
from valuestab_utils.figure_layout import (
    DARK,
    SMALL,
    WIDTH,
    check_once,
    heading,
    legend_below,
    nothing,
)

# Colours that colour-blind readers tell apart, and markers for everybody else's printer.
CLASSES = {
    "positive": {"color": "#009E73", "marker": "o"},
    "neutral": {"color": "#777777", "marker": "s"},
    "negative": {"color": "#D55E00", "marker": "^"},
}
_NO_CLASS = {"color": "black", "marker": "x"}
_MARK = 3.5  # points from a mark's middle to where a label may begin
_DISTANCES = (4, 8, 13, 19, 26, 34, 44, 56, 70, 86)
_N_DIRECTIONS = 16


def persona_map(points: pd.DataFrame, explained: Sequence[float]) -> Figure:
    """Characters on the two first principal components of their value scores, each with its name.

    Parameters
    ----------
    points : DataFrame
        From `valuestab_utils.experiment_tables.persona_points`: columns persona, x, y, class (positive,
        neutral or negative; missing where there is none).
    explained : sequence of float
        Shares of the variance that the components carry, 0 to 1.

    Examples
    --------
    >>> points = pd.DataFrame({"persona": ["Gandalf", "Sauron"], "x": [-1.0, 1.0], "y": [0.0, 0.5]})
    >>> figure = persona_map(points.assign(**{"class": ["positive", "negative"]}), [0.29, 0.1])
    >>> figure.axes[0].get_xlabel()
    'component 1 (29% of variance)'
    """
    if points.empty:
        return nothing("There are no characters to draw.")
    check_once(points, ["persona"])
    for name in points["class"].dropna().unique():
        check_known("class of characters", name, CLASSES)
    figure, axes = plt.subplots(figsize=(WIDTH, 7.0))
    handles = []
    for name, style in {**CLASSES, "no class": _NO_CLASS}.items():
        part = points[points["class"].isna() if name == "no class" else points["class"] == name]
        if not part.empty:
            handles.append(axes.scatter(part["x"], part["y"], s=20, label=name, lw=1, **style))
    axes.set_xlabel(f"component 1 ({explained[0]:.0%} of variance)")
    axes.set_ylabel(f"component 2 ({explained[1]:.0%} of variance)")
    axes.margins(0.08)
    axes.axhline(0, color="#e2e2e2", lw=0.8, zorder=0)
    axes.axvline(0, color="#e2e2e2", lw=0.8, zorder=0)
    heading(figure, f"{len(points)} characters by their value scores")
    legend_below(figure, handles, 4)
    _name_points(axes, points)
    return figure


def label_offsets(
    points: np.ndarray, sizes: np.ndarray, bounds: tuple[float, float, float, float]
) -> np.ndarray:
    """Where labels go so that they cover neither each other nor a point, as far as there is room.

    Each label takes the free place that is nearest to its point, in the order of how crowded the points are;
    then each is placed again, twice, beside the others. The same input gives the same places.

    Parameters
    ----------
    points : array of shape (labels, 2)
    sizes : array of shape (labels, 2)
        Width and height of each label.
    bounds : (left, bottom, right, top)
        Within which labels stay. All in the same unit, printer's points.

    Returns
    -------
    array of shape (labels, 2)
        From each point to its label's lower left corner.

    Examples
    --------
    >>> label_offsets(np.array([[50.0, 50.0]]), np.array([[20.0, 8.0]]), (0, 0, 100, 100))
    array([[ 7.5, -4. ]])
    """
    angles = 2 * np.pi * np.arange(_N_DIRECTIONS) / _N_DIRECTIONS
    directions = np.column_stack([np.cos(angles), np.sin(angles)])
    distances = np.array(_DISTANCES) - _DISTANCES[0] + _MARK + 4
    marks = np.concatenate([points - _MARK, points + _MARK], axis=1)
    crowded = np.sort(np.linalg.norm(points[:, None] - points[None], axis=-1), axis=1)[:, 1:6].sum(axis=1)
    boxes = np.full((len(points), 4), np.nan)
    for _ in range(3):
        for i in np.argsort(crowded, kind="stable"):
            centres = points[i] + (distances[:, None, None] * directions).reshape(-1, 2)
            # The label's nearest edge, not its middle, lies at the distance.
            lean = np.tile(directions, (len(distances), 1)) * sizes[i] / 2
            lower_left = centres + lean - sizes[i] / 2
            tried = np.concatenate([lower_left, lower_left + sizes[i]], axis=1)
            others = np.delete(boxes, i, axis=0)
            cost = _overlap(tried, others[~np.isnan(others[:, 0])]) + _overlap(
                tried, np.delete(marks, i, axis=0)
            )
            cost += 100 * _outside(tried, bounds)
            cost += 0.02 * np.repeat(distances, _N_DIRECTIONS)  # near before far, if both are free
            boxes[i] = tried[np.argmin(cost)]
    return boxes[:, :2] - points


def _name_points(axes: Axes, points: pd.DataFrame) -> None:
    """Names beside points, with a thin line to those that had to go further away."""
    figure = axes.figure
    size = SMALL if len(points) <= 30 else 6.5
    texts = [axes.text(0, 0, name, fontsize=size) for name in points["persona"]]
    figure.canvas.draw()
    figure.set_layout_engine("none")  # what follows is placed by where things are now
    to_points = 72 / figure.dpi
    sizes = (
        np.array([[box.width, box.height] for box in (text.get_window_extent() for text in texts)])
        * to_points
    )
    for text in texts:
        text.remove()
    at = axes.transData.transform(points[["x", "y"]].to_numpy()) * to_points
    frame = axes.get_window_extent()
    bounds = tuple(edge * to_points for edge in (frame.x0, frame.y0, frame.x1, frame.y1))
    for row, offset, extent in zip(points.itertuples(), label_offsets(at, sizes, bounds), sizes):
        nearest = np.clip(0, offset, offset + extent)
        line = {"arrowstyle": "-", "lw": 0.4, "color": "#999999", "shrinkA": 0, "shrinkB": 2}
        far = np.hypot(*nearest) > _MARK + 6
        axes.annotate(
            row.persona,
            (row.x, row.y),
            offset,
            textcoords="offset points",
            fontsize=size,
            color=DARK,
            ha="left",
            va="bottom",
            arrowprops=line if far else None,
        )


def _overlap(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Area that each of some boxes (left, bottom, right, top) shares with all of the others."""
    if not len(others):
        return np.zeros(len(boxes))
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return np.prod(np.clip(high - low, 0, None), axis=-1).sum(axis=1)


def _outside(boxes: np.ndarray, bounds: tuple[float, float, float, float]) -> np.ndarray:
    """How far each box reaches over the bounds."""
    low, high = np.array(bounds[:2]), np.array(bounds[2:])
    return (np.clip(low - boxes[:, :2], 0, None) + np.clip(boxes[:, 2:] - high, 0, None)).sum(axis=1)
