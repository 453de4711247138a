"""Values as points on a plane, beside a reference: figures 3 and 7 to 12 of paper 002, 5a and 9 of paper 004."""

import textwrap

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from valuestab_utils.errors import ValuestabError, check_known
from valuestab_utils.figure_layout import (
    DARK,
    LIGHT,
    SMALL,
    WIDTH,
    check_once,
    heading,
    legend_below,
    nothing,
    panel_grid,
)
from valuestab_utils.instruments import VALUES
from valuestab_utils.persona_map_plot import label_offsets
from valuestab_utils.value_styles import REFERENCES, higher_order_styles

# The 19 refined values by their acronyms (paper 002, appendices C and E), in the order of the theory's circle.
CIRCLE = tuple("SDT SDA ST HE AC POD POR FAC SEP SES TR COR COI HUM BED BEC UNC UNN UNT".split())
_COORDINATES = ["x", "y", "reference_x", "reference_y"]
_BACKGROUND = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.3}


def value_maps(points: pd.DataFrame, title: str = "Which values go together?") -> Figure:
    """Two-dimensional value structures, each aligned to its reference, a panel a structure.

    Parameters
    ----------
    points : DataFrame
        One row a panel and value: panel (str), value, acronym, higher_order (see
        `valuestab_utils.value_styles.higher_order_styles`), x, y, reference_x and reference_y (standardised by
        Procrustes, no unit; x and y are NaN in all rows of a panel whose structure is undefined), disparity (sum of
        squared differences, SSD), low and high (its interval, NaN if there is none), and reference ("human" or
        "theory"). The values are the ten basic ones or those of the 19 with the acronyms in `CIRCLE`.
    title : str

    Returns
    -------
    Figure
        Filled points with acronyms; hollow ones of the same colour for the reference, joined in the order of the
        theory's circle; a thin line from each value's reference to it. All panels have one scale, the same for both
        dimensions.

    Raises
    ------
    ValuestabError
        If a panel has a value twice, lacks only some of its coordinates or has several disparities, or a value, a
        higher-order value or a reference is unknown.

    Examples
    --------
    >>> points = pd.DataFrame({"value": ["Power", "Benevolence"], "acronym": ["PO", "BE"]})
    >>> points = points.assign(panel="m", higher_order=["self-enhancement", "self-transcendence"], x=[-0.5, 0.4], y=0.1)
    >>> points = points.assign(reference_x=[-0.5, 0.5], reference_y=0.0, disparity=0.02, low=0.01, high=0.05)
    >>> value_maps(points.assign(reference="theory")).axes[0].get_title()
    "m\\nSSD to the theory's circle 0.02 [0.01, 0.05]"
    """
    if points.empty:
        return nothing("There is no value structure to draw.")
    check_once(points, ["panel", "value"])
    styles = higher_order_styles(points["higher_order"])
    panels = {name: _in_circular_order(part) for name, part in points.groupby("panel", sort=False)}
    for name, part in panels.items():
        _check_panel(name, part)
    columns = 1 if len(panels) == 1 else 2
    height = min(WIDTH / columns, 5.6) + 1.2 / -(-len(panels) // columns)  # and room for heading and key
    figure, axes = panel_grid(len(panels), columns, (WIDTH / columns, height), sharex=True, sharey=True)
    reach = 1.16 * np.nanmax(np.abs(points[_COORDINATES].to_numpy()))
    for panel, (name, part) in zip(axes, panels.items()):
        _draw(panel, part, styles)
        panel.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
        panel.set_title(_title(str(name), part, 80 if columns == 1 else 42), fontsize=SMALL, fontweight="normal")
        panel.tick_params(labelsize=SMALL)
        panel.locator_params(nbins=5)
    for panel in axes[-columns:]:
        panel.set_xlabel("dimension 1 (standardised, no unit)", fontsize=8.5)
    for panel in axes[::columns]:
        panel.set_ylabel("dimension 2 (standardised, no unit)", fontsize=8.5)
    heading(figure, title)
    legend_below(figure, _key(points, styles), 3)
    figure.canvas.draw()
    figure.set_layout_engine("none")  # labels are placed by where things are now
    for panel, part in zip(axes, panels.values()):
        if part["x"].notna().all():
            _name_values(panel, part)
    return figure


def _in_circular_order(part: pd.DataFrame) -> pd.DataFrame:
    if set(part["value"]) <= set(VALUES):
        return part.iloc[part["value"].map(VALUES.index).argsort(kind="stable")]
    for acronym in part["acronym"]:
        check_known("acronym of a value", acronym, CIRCLE)
    return part.iloc[part["acronym"].map(CIRCLE.index).argsort(kind="stable")]


def _check_panel(name: str, part: pd.DataFrame) -> None:
    lacking = part[_COORDINATES].isna()
    undefined = lacking[["x", "y"]].to_numpy().all()
    if lacking[["reference_x", "reference_y"]].to_numpy().any() or lacking.to_numpy().any() and not undefined:
        value = part["value"][lacking.any(axis=1)].iloc[0]
        raise ValuestabError(
            f"The map {name!r} has no complete coordinates of {value}: give all values a place, or leave x and y of "
            "the whole panel empty to show it as undefined."
        )
    if len(part[["disparity", "low", "high", "reference"]].drop_duplicates()) > 1:
        raise ValuestabError(
            f"The map {name!r} has several disparities, intervals or references: give all of its rows the same."
        )
    check_known("reference", part["reference"].iloc[0], REFERENCES)


def _draw(panel: Axes, part: pd.DataFrame, styles: dict) -> None:
    reference = part[["reference_x", "reference_y"]].to_numpy()
    circle = np.vstack([reference, reference[:1]])
    panel.plot(*circle.T, color=LIGHT, lw=1.0, zorder=1)
    for row in part.itertuples():
        style = styles[row.higher_order]
        at = (row.reference_x, row.reference_y)
        panel.plot(*at, marker=style.marker, ms=4, mfc="white", mec=style.colour, mew=0.9, zorder=2)
        panel.plot([at[0], row.x], [at[1], row.y], color=style.colour, lw=0.5, alpha=0.6, zorder=1.5)
        panel.plot(row.x, row.y, marker=style.marker, ms=5, color=style.colour, mew=0, zorder=3)
    if part["x"].isna().all():
        panel.text(0, 0, "undefined", style="italic", fontsize=9, ha="center", va="center")


def _title(name: str, part: pd.DataFrame, width: int) -> str:
    first = part.iloc[0]
    found = f"SSD to {REFERENCES[first['reference']]} "
    found += "undefined" if np.isnan(first["disparity"]) else f"{first['disparity']:.2f}"
    if not np.isnan([first["low"], first["high"]]).any():
        found += f" [{first['low']:.2f}, {first['high']:.2f}]"
    return f"{textwrap.fill(name, width)}\n{found}"


def _key(points: pd.DataFrame, styles: dict) -> list[Artist]:
    shown = {style.label: style for style in styles.values()}
    key: list[Artist] = [
        Line2D([], [], ls="", ms=5, mew=0, color=style.colour, marker=style.marker, label=label)
        for label, style in shown.items()
    ]
    whose = " or ".join(REFERENCES[name] for name in dict.fromkeys(points["reference"]))
    key.append(Line2D([], [], color=LIGHT, mfc="white", mec=DARK, marker="o", ms=4, label=f"hollow: {whose}"))
    key.append(Line2D([], [], ls="", label="SSD: sum of squared differences"))
    if points["low"].notna().any():
        key.append(Line2D([], [], ls="", label="in brackets: bootstrap interval"))
    return key


def _name_values(panel: Axes, part: pd.DataFrame) -> None:
    """Acronyms beside the filled points; neither these nor the hollow ones are covered."""
    to_points = 72 / panel.figure.dpi
    texts = [panel.text(0, 0, name, fontsize=6.5) for name in part["acronym"]]
    extents = [text.get_window_extent() for text in texts]
    sizes = np.array([[box.width, box.height] for box in extents]) * to_points
    for text in texts:
        text.remove()
    at = panel.transData.transform(part[["x", "y"]].to_numpy()) * to_points
    hollow = panel.transData.transform(part[["reference_x", "reference_y"]].to_numpy()) * to_points
    frame = panel.get_window_extent()
    bounds = tuple(edge * to_points for edge in (frame.x0, frame.y0, frame.x1, frame.y1))
    # A hollow point is a mark with a label of no size.
    offsets = label_offsets(np.vstack([at, hollow]), np.vstack([sizes, np.zeros_like(sizes)]), bounds)
    for row, offset, extent in zip(part.itertuples(), offsets, sizes):
        far = np.hypot(*np.clip(0, offset, offset + extent)) > 10
        line = {"arrowstyle": "-", "lw": 0.4, "color": "#999999", "shrinkA": 0, "shrinkB": 2}
        panel.annotate(
            row.acronym,
            (row.x, row.y),
            offset,
            textcoords="offset points",
            fontsize=6.5,
            color=DARK,
            ha="left",
            va="bottom",
            bbox=_BACKGROUND,
            arrowprops=line if far else None,
        )
