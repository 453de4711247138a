"""Maps of values: order of the circle, one scale, labels apart."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text
from plot_tables import assert_legible, key

from valuestab_utils.errors import ValuestabError
from valuestab_utils.instruments import VALUES
from valuestab_utils.value_map_plot import CIRCLE, value_maps

FOUR = ("openness_to_change", "self_enhancement", "conservation", "self_transcendence")

pytestmark = pytest.mark.usefixtures("notebook_style")


def structure(names, panel="m", noise=0.05, reference="theory") -> pd.DataFrame:
    """Values on a circle of radius 1 / sqrt(n), and moved from there."""
    angles = 2 * np.pi * np.arange(len(names)) / len(names)
    x, y = np.cos(angles) / np.sqrt(len(names)), np.sin(angles) / np.sqrt(len(names))
    moved = np.random.default_rng(3).normal(0, noise, (2, len(names)))
    places = {"x": x + moved[0], "y": y + moved[1], "reference_x": x, "reference_y": y}
    told = {"panel": panel, "disparity": 0.25, "low": 0.2, "high": 0.31, "reference": reference}
    acronyms = [name[:2].upper() for name in names] if names == VALUES else names
    higher = [FOUR[4 * i // len(names)] for i in range(len(names))]
    return pd.DataFrame({"value": names, "acronym": acronyms, "higher_order": higher, **places}).assign(**told)


@pytest.mark.parametrize("names", [CIRCLE, VALUES])
def test_the_reference_is_joined_in_the_order_of_the_circle(names):
    points = structure(names)
    figure = value_maps(points.sample(frac=1, random_state=1))
    axes = figure.axes[0]
    circle = axes.lines[0]
    np.testing.assert_array_equal(circle.get_xdata(), [*points["reference_x"], points["reference_x"][0]])
    filled = [line for line in axes.lines if line.get_marker() != "None" and line.get_markerfacecolor() != "white"]
    assert len(filled) == len(axes.texts) == len(names)
    assert axes.get_aspect() == 1 and axes.get_xlim() == axes.get_ylim()
    assert axes.get_title(loc="left") == "m\nSSD to the theory's circle 0.25 [0.20, 0.31]"
    assert_legible(figure)


def test_panels_share_one_scale_and_say_their_reference():
    near, far = structure(VALUES, "near"), structure(VALUES, "far", 0.2, "human")
    figure = value_maps(pd.concat([near, far.assign(low=np.nan)]))
    assert figure.axes[0].get_xlim() == figure.axes[1].get_xlim()
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "near\nSSD to the theory's circle 0.25 [0.20, 0.31]",
        "far\nSSD to people 0.25",
    ]
    assert key(figure)[:2] == ["openness to change", "self-enhancement"]
    assert "hollow: the theory's circle or people" in key(figure)
    assert_legible(figure)


def test_crowded_labels_lie_on_nothing():
    figure = value_maps(
        structure(CIRCLE, "Llama-3.1-8B-Instruct (no system), generated persona, temperature 0.7", 0.12)
    )
    axes = figure.axes[0]
    assert_legible(figure)
    at = axes.transData.transform([line.get_xydata()[0] for line in axes.lines if len(line.get_xdata()) == 1])
    boxes = [Text.get_window_extent(text) for text in axes.texts]
    assert len(at) == 38 and not any(box.contains(*place) for box in boxes for place in at)


def test_an_undefined_structure_is_told():
    table = structure(VALUES).assign(x=np.nan, y=np.nan, disparity=np.nan, low=np.nan, high=np.nan)
    axes = value_maps(table).axes[0]
    assert [text.get_text() for text in axes.texts] == ["undefined"]
    assert axes.get_title(loc="left").endswith("SSD to the theory's circle undefined")


def test_tables_that_cannot_be_drawn_are_refused():
    table = structure(VALUES)
    lacking = table.assign(x=table["x"].where(table["value"] != "Power"))
    with pytest.raises(ValuestabError, match="no complete coordinates of Power"):
        value_maps(lacking)
    with pytest.raises(ValuestabError, match="several disparities"):
        value_maps(table.assign(disparity=np.arange(10)))
    with pytest.raises(ValuestabError, match="one place for m / Self-Direction"):
        value_maps(pd.concat([table, table]))
    with pytest.raises(ValuestabError, match="Unknown acronym of a value 'XX'"):
        value_maps(table.assign(value="Wealth", acronym="XX")[:1])


def test_a_map_of_nothing_says_so():
    assert value_maps(pd.DataFrame()).axes[0].texts[0].get_text() == "There is no value structure to draw."
