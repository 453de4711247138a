"""Matrices: each pair where it belongs, and what is undefined not taken for what is not there."""

from itertools import combinations, permutations

import numpy as np
import pandas as pd
import pytest
from plot_tables import key, texts, ticks

from valuestab_utils import plots
from valuestab_utils.errors import ValuestabError

WHERE = "fictional_characters"

pytestmark = pytest.mark.usefixtures("notebook_style")


def written(axes):
    """Texts of the cells by their place (column, row)."""
    inside = [text for text in axes.texts if text.get_text() and text.get_position()[1] % 1 == 0.5]
    return {tuple(int(x) for x in text.get_position()): text.get_text() for text in inside}


def context_pairs(contexts, models=("m",)):
    """The stability of contexts i and j is (i + j) / 100."""
    rows = [
        {"model": model, "context": one, "other_context": other, "stability": (i + j) / 100}
        for model in models
        for (i, one), (j, other) in permutations(enumerate(contexts), 2)
    ]
    return pd.DataFrame(rows).assign(format="base", population=WHERE, measure="rank_order")


def compared(models, significant):
    rows = [{"one": a, "other": b} for a, b in combinations(models, 2)]
    return pd.DataFrame(rows).assign(significant=pd.array(significant, dtype="boolean"))


def test_each_pair_of_contexts_stands_once_in_the_order_asked_for():
    pairs, order, sizes = context_pairs(["chess", "joke", "poem"]), ["poem", "chess", "joke"], [9, 5, 7]
    axes = plots.context_matrix(pairs, WHERE, order, dict(zip(order, sizes))).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["poem (9)", "chess (5)"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["chess (5)", "joke (7)"]
    assert written(axes) == {(0, 0): "0.02", (0, 1): "0.03", (1, 1): "0.01"}
    assert axes.collections[0].get_clim() == (-1, 1)
    with pytest.raises(ValuestabError, match="poem has no place in the order"):
        plots.context_matrix(pairs, WHERE, ["chess", "joke"])
    pairs.loc[pairs["stability"] == 0.01, "stability"] = np.nan
    axes = plots.context_matrix(pairs, WHERE, order).axes[0]
    assert texts(axes).count("×") == 1 and [cell.get_hatch() for cell in axes.patches] == ["////"]


def test_black_is_significant_white_is_not_and_hatched_is_untested():
    figure = plots.significance_matrix(compared("abc", [True, False, None]), "A title")  # ab, ac, bc
    axes = figure.axes[0]
    cells = axes.collections[0]
    shades = cells.cmap(cells.norm(cells.get_array())).reshape(3, 3, 4)[..., 0]
    assert shades[0, 1] == shades[1, 0] == 0 and shades[0, 2] == shades[2, 0] == 1
    assert {patch.get_xy() for patch in axes.patches} == {(1, 2), (2, 1)}  # hatched
    assert axes.get_xlabel().startswith("1 of 2 tested pairs differ significantly; 1 could not be tested")
    assert "no test possible" in key(figure)


def test_each_rho_stands_under_its_prompt_and_temperature():
    rows = [
        ("paper", "basic", 0.0, -0.13, np.nan, True),
        ("mine", "names", 0.7, 0.8, 0.001, False),
        ("mine", "names", 0.0, 0.3, 0.2, False),
        ("mine", "basic", 0.0, np.nan, np.nan, False),
    ]
    columns = ["label", "condition", "temperature", "rho", "p_value", "published"]
    axes = plots.rank_agreement_heatmap(pd.DataFrame(rows, columns=columns)).axes[0]
    assert ticks(axes) == ["mine", "paper"]  # this run's first
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0", "0", "0.7"]
    assert written(axes) == {(0, 0): "×", (1, 0): "(0.30)", (2, 0): "0.80", (0, 1): "-0.13", (1, 1): "–", (2, 1): "–"}
    assert sum(patch.get_hatch() == "////" for patch in axes.patches) == 3


def test_undefined_correlations_and_absent_pairs_are_told_apart():
    table = pd.DataFrame({"a": ["x", "x", "y"], "b": ["x", "y", "x"], "r": [1.0, np.nan, -0.456]})
    figure = plots.correlation_heatmap(table, "A title", "a", "b")
    axes = figure.axes[0]
    assert written(axes) == {(0, 0): "1.00", (1, 0): "×", (0, 1): "-0.46", (1, 1): "–"}
    assert axes.collections[0].get_clim() == (-1, 1)
    assert figure.axes[1].get_xlabel() == "Pearson's r; –: not in the data; ×: undefined"
