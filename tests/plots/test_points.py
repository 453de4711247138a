"""Points: those of a row do not hide each other, and what is undefined is said."""

import numpy as np
import pandas as pd
import pytest
from plot_tables import assert_legible, key, texts, ticks

from valuestab_utils.plots import agreement_dots, similarity_points, ssd_bars

LONG = "meta-llama_Llama-3.1-8B-Instruct (no system)"
HIGHER = ("Openness to change", "Self-enhancement", "Conservation", "Self-transcendence", "hedonism")

pytestmark = pytest.mark.usefixtures("notebook_style")


def behaviours(n):
    """Areas by turns, so that their behaviours do not follow each other."""
    rows = [
        {"behaviour": f"a behaviour with a long name, number {i}", "area": f"a long area {i % 3}", "higher_order": h}
        for i in range(n)
        for h in HIGHER
    ]
    return pd.DataFrame(rows).assign(agreement=0.5, n=8)


def similarity(*rows):
    return pd.DataFrame(rows, columns=["row", "label", "mean", "low", "high", "published"])


def points(axes):
    return [line for line in axes.lines if line.get_linestyle() == "None"]


def test_behaviours_of_an_area_stand_together_and_equal_shares_apart():
    figure = agreement_dots(behaviours(12))
    axes = figure.axes[0]
    assert [name[-1] for name in ticks(axes)[:4]] == ["0", "3", "6", "9"]  # those of the first area
    places = np.concatenate([line.get_xydata() for line in points(axes)])
    assert set(places[:, 0]) == {50} and len(set(places[:, 1])) == len(places) == 60
    assert texts(axes) == [f"a long area {i}" for i in range(3)]
    assert_legible(figure)


def test_similarities_of_a_row_do_not_hide_each_other():
    own = [(row, LONG, 0.4, -0.1, 0.6, False) for row in ("uniform", "H-NP")]
    theirs = [(row, name, 0.4, np.nan, np.nan, True) for row in ("uniform", "H-NP") for name in ("m", LONG)]
    undefined = ("BFI-2", LONG, np.nan, np.nan, np.nan, False)
    figure = similarity_points(similarity(*own, *theirs, undefined), "A title", "values similarity")
    axes = figure.axes[0]
    heights = np.concatenate([line.get_ydata()[:2] for line in points(axes)])
    assert ticks(axes) == ["uniform", "H-NP", "BFI-2"] and len(set(heights)) == 6
    assert [line.get_markerfacecolor() == "white" for line in points(axes)] == [False, True, True]
    assert texts(axes) == ["undefined"]
    assert axes.get_xlim()[0] < -0.1
    assert key(figure) == [LONG, "m (printed in the paper)", f"{LONG} (printed in the paper)"]
    assert_legible(figure)


def test_each_structure_has_a_point_with_its_interval():
    rows = [
        ("mine", "names", 0.0, "letters", 0.4, "theory", False),
        ("mine", "names", 0.7, "letters", np.nan, "theory", False),
        ("theirs", "basic", 0.0, "batch", 0.9, "human", True),
    ]
    columns = ["label", "condition", "temperature", "administration", "disparity", "reference", "published"]
    table = pd.DataFrame(rows, columns=columns)
    figure = ssd_bars(table.assign(low=table["disparity"] - 0.1, high=table["disparity"] + 0.2))
    basic, names = figure.axes
    assert ticks(basic) == ["mine letters, to the theory's circle", "theirs batch, to people"]
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["basic\nprompt", "names"]
    assert [line[:, 0].tolist() for line in names.collections[0].get_segments()] == [pytest.approx([0.3, 0.6])]
    assert points(names)[0].get_xdata() == [0.4]
    assert sorted(texts(names)) == ["undefined", "–"]
    assert_legible(figure)
