"""Figures 10 and 16 to 21 of the paper: contexts against contexts, models against models."""

from itertools import combinations, permutations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from plot_tables import assert_legible, key

from valuestab_utils.errors import ValuestabError
from valuestab_utils.matrix_plots import COLOURS, context_matrix, significance_matrix, value_heatmap

WHERE = "fictional_characters"
NAMES = "chess joke history year poem grammar santa bicycle chord cooking weather code britney bjj".split()

pytestmark = pytest.mark.usefixtures("notebook_style")


def context_pairs(contexts, models=("m",)):
    """The stability of contexts i and j is (i + j) / 100."""
    rows = [
        {"model": model, "context": one, "other_context": other, "stability": (i + j) / 100}
        for model in models
        for (i, one), (j, other) in permutations(enumerate(contexts), 2)
    ]
    return pd.DataFrame(rows).assign(format="base", population=WHERE, measure="rank_order")


def compared(models, significant=True):
    rows = [{"one": a, "other": b, "significant": significant} for a, b in combinations(models, 2)]
    return pd.DataFrame(rows).astype({"significant": "boolean"})


def cells(axes):
    """Matrix cells by their place (column, row)."""
    return {(round(p.get_x() + 0.5), round(p.get_y() + 0.5)): p for p in axes.patches if hasattr(p, "get_x")}


def test_each_pair_of_contexts_stands_once_in_the_order_asked_for():
    order = ["poem", "chess", "joke"]
    figure = context_matrix(
        context_pairs(["chess", "joke", "poem"]), WHERE, order, {"poem": 9, "chess": 5, "joke": 7}
    )
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["poem (9)", "chess (5)"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["chess (5)", "joke (7)"]
    numbers = {tuple(text.get_position()): text.get_text() for text in axes.texts}
    assert numbers == {(0, 0): "0.02", (0, 1): "0.03", (1, 1): "0.01"}
    assert axes.images[0].get_clim() == (-1, 1)
    assert_legible(figure)


def test_fourteen_contexts_are_legible():
    figure = context_matrix(context_pairs(NAMES, "ab"), WHERE, NAMES, dict.fromkeys(NAMES, 4321))
    assert [len(axes.texts) for axes in figure.axes[:2]] == [91, 91]
    assert_legible(figure)


def test_lightness_alone_tells_low_from_high():
    colours = plt.get_cmap(COLOURS)(np.linspace(0, 1, 50))[:, :3]
    assert (np.diff(colours @ [0.2126, 0.7152, 0.0722]) > 0).all()


def test_an_undefined_pair_of_contexts_is_hatched():
    pairs = context_pairs(["chess", "joke", "poem"])
    pairs.loc[pairs["stability"] == 0.01, "stability"] = np.nan
    axes = context_matrix(pairs, WHERE, ["chess", "joke", "poem"]).axes[0]
    assert len(axes.texts) == 2 and [cell.get_hatch() for cell in axes.patches] == ["////"]


def test_a_context_without_a_place_is_refused():
    with pytest.raises(ValuestabError, match="poem has no place in the order"):
        context_matrix(context_pairs(["chess", "poem"]), WHERE, ["chess"])


def test_black_is_significant_white_is_not_and_hatched_is_untested():
    pairs = compared(["a", "b", "c"])
    pairs["significant"] = pd.array([True, False, None], dtype="boolean")  # ab, ac, bc
    figure = significance_matrix(pairs, "A title")
    axes = figure.axes[0]
    found = cells(axes)
    assert [found[place].get_facecolor()[:3] for place in ((1, 0), (0, 1))] == [(0, 0, 0)] * 2
    assert [found[place].get_facecolor()[:3] for place in ((2, 0), (0, 2))] == [(1, 1, 1)] * 2
    assert found[2, 1].get_hatch() and found[1, 2].get_hatch() and not found[1, 0].get_hatch()
    assert len(found) == 6  # nothing on the diagonal
    assert axes.get_xlabel().startswith("1 of 2 tested pairs differ significantly; 1 could not be tested")
    assert figure.get_suptitle() == "A title" and "no test possible" in key(figure)


@pytest.mark.parametrize("n", [2, 3, 25])
def test_matrices_of_all_sizes_are_legible(n):
    names = [f"Mixtral-8x7B-Instruct-v0.1-4b{i} (no system)" for i in range(n)]
    figure = significance_matrix(compared(names, False), "Rank-order stability: fictional characters")
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        f"{x}  {i + 1}" for i, x in enumerate(names)
    ]
    assert len(cells(axes)) == n * (n - 1) and "no test possible" not in key(figure)
    assert_legible(figure)


def test_values_are_rows_of_numbers():
    table = pd.DataFrame({"value": ["Power", "Security"], "stability": [0.5, np.nan]})
    figure = value_heatmap(table.assign(model="m", format="base", population=WHERE))
    assert [text.get_text() for text in figure.axes[0].texts] == ["0.50"]
    assert figure.axes[0].get_yticklabels()[0].get_text() == "m\n(base), fictional characters"


def test_nothing_to_draw_is_told():
    figures = [
        context_matrix(pd.DataFrame(), WHERE, []),
        significance_matrix(pd.DataFrame(), "A title"),
        value_heatmap(pd.DataFrame()),
    ]
    assert [figure.axes[0].texts[0].get_text()[:5] for figure in figures] == ["No co", "Fewer", "No ra"]
