"""Coloured cells with a number in each."""

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from valuestab_utils.figure_layout import SMALL

SCALE = Normalize(-1, 1)
EMPTY = {"facecolor": "#f2f2f2", "edgecolor": "#c4c4c4", "hatch": "////", "lw": 0}
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


def number_cells(axes: Axes, numbers: np.ndarray, texts: np.ndarray, colours: str, size: float = SMALL) -> None:
    """A matrix from -1 to 1 as cells, with texts in them; cells without a number are hatched.

    Parameters
    ----------
    axes : Axes
    numbers : array of shape (rows, columns)
        Row 0 is on top; NaN is hatched.
    texts : array of str of shape (rows, columns)
    colours : str
        A colour map's name.
    size : float
        Of the texts, in points.

    Examples
    --------
    >>> figure = Figure()
    >>> axes = figure.subplots()
    >>> number_cells(axes, np.array([[0.5, np.nan]]), np.array([["0.50", "none"]]), "cividis")
    >>> [text.get_text() for text in axes.texts]
    ['0.50', 'none']
    """
    axes.imshow(np.ma.masked_invalid(numbers), cmap=colours, norm=SCALE, aspect="auto")
    shades = colormaps[colours](SCALE(numbers))[..., :3] @ _LUMINANCE
    for (row, column), number in np.ndenumerate(numbers):
        ink = "black" if np.isnan(number) or shades[row, column] > 0.45 else "white"
        background = None
        if np.isnan(number):
            axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, **EMPTY))
            background = {"facecolor": EMPTY["facecolor"], "edgecolor": "none", "pad": 1}
        axes.text(column, row, texts[row, column], fontsize=size, ha="center", va="center", color=ink, bbox=background)
    axes.tick_params(length=0)
    axes.spines[["left", "bottom"]].set_visible(False)


def colour_bar(figure: Figure, axes: Axes, colours: str, label: str) -> None:
    """The key to `number_cells`, below them."""
    bar = figure.colorbar(ScalarMappable(SCALE, colours), ax=axes, location="bottom", aspect=40, shrink=0.8, pad=0.03)
    bar.set_ticks([-1, -0.5, 0, 0.5, 1])
    bar.set_label(label, fontsize=8.5)
    bar.ax.tick_params(labelsize=8)
