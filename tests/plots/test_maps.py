"""Maps of values and of characters: what lies where, one scale, labels apart."""

import numpy as np
import pandas as pd
import pytest
from plot_tables import assert_legible, key

from valuestab_utils.plots import persona_map, value_maps
from valuestab_utils.prompts import ACRONYMS, REFINED_VALUES, VALUES

FOUR = ("Openness to change", "Self-enhancement", "Conservation", "Self-transcendence")

pytestmark = pytest.mark.usefixtures("notebook_style")


def structure(names, panel="m", noise=0.05, reference="theory") -> pd.DataFrame:
    """Values on a circle of radius 1 / sqrt(n), and moved from there."""
    angles = 2 * np.pi * np.arange(len(names)) / len(names)
    x, y = np.cos(angles) / np.sqrt(len(names)), np.sin(angles) / np.sqrt(len(names))
    moved = np.random.default_rng(3).normal(0, noise, (2, len(names)))
    places = {"x": x + moved[0], "y": y + moved[1], "reference_x": x, "reference_y": y}
    told = {"panel": panel, "disparity": 0.25, "low": 0.2, "high": 0.31, "reference": reference}
    acronyms = [ACRONYMS[name] for name in names]
    higher = [FOUR[4 * i // len(names)] for i in range(len(names))]
    return pd.DataFrame({"value": names, "acronym": acronyms, "higher_order": higher, **places}).assign(**told)


@pytest.mark.parametrize("names", [REFINED_VALUES, VALUES])
def test_the_reference_is_joined_in_the_order_of_the_circle(names):
    points = structure(names)
    figure = value_maps(points, "Values")
    axes = figure.axes[0]
    np.testing.assert_array_equal(axes.lines[0].get_xdata(), [*points["reference_x"], points["reference_x"][0]])
    filled = [line for line in axes.lines if line.get_marker() != "None" and line.get_markerfacecolor() != "white"]
    assert {line.get_xdata()[0] for line in filled} == set(points["x"]) and len(axes.texts) == len(names)
    assert axes.get_aspect() == 1 and axes.get_xlim() == axes.get_ylim()
    assert_legible(figure)


def test_panels_share_one_scale_and_say_their_reference():
    near, far = structure(VALUES, "near"), structure(VALUES, "far", 0.2, "human")
    undefined = structure(VALUES, "none").assign(**dict.fromkeys(["x", "y", "disparity", "low", "high"], np.nan))
    figure = value_maps(pd.concat([near, far.assign(low=np.nan), undefined]), "Values")
    assert figure.axes[0].get_xlim() == figure.axes[1].get_xlim()
    assert [axes.get_title(loc="left") for axes in figure.axes[:3]] == [
        "near\nSSD to the theory's circle 0.25 [0.20, 0.31]",
        "far\nSSD to people 0.25",
        "none\nSSD to the theory's circle undefined",
    ]
    assert_legible(figure)


def sixty(spread):
    """Three clouds of twenty characters; the smaller the spread, the more crowded."""
    rng = np.random.default_rng(4)
    places = rng.normal(0, spread, (60, 2)) + np.repeat([[-3, 0], [0, 0.2], [3, 0]], 20, axis=0)
    names = [f"Somebody of {i}" for i in range(60)]
    classes = np.repeat(["positive", "neutral", "negative"], 20)
    return pd.DataFrame({"persona": names, "x": places[:, 0], "y": places[:, 1], "class": classes})


@pytest.mark.parametrize("spread", [1.5, 0.4])
def test_sixty_names_do_not_lie_on_each_other(spread):
    figure = persona_map(sixty(spread), [0.29, 0.11])
    assert len(figure.axes[0].texts) == 60
    assert figure.axes[0].get_xlabel() == "component 1 (29% of variance)"
    assert_legible(figure)


def test_classes_are_drawn_where_their_characters_are():
    points = sixty(1)
    points.loc[[0, 1], "class"] = None
    figure = persona_map(points, [0.3, 0.1])
    assert key(figure) == ["positive", "neutral", "negative", "no class"]
    for group, name in zip(figure.axes[0].collections, ["positive", "neutral", "negative", None], strict=True):
        own = points[points["class"] == name] if name else points[points["class"].isna()]
        np.testing.assert_allclose(group.get_offsets(), own[["x", "y"]])
