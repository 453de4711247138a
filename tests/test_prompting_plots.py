"""Figures of paper 004: behaviours, correlations, politics, similarity to people."""

import numpy as np
import pandas as pd
import pytest
from plot_tables import assert_legible, key, ticks

from valuestab_utils.errors import ValuestabError
from valuestab_utils.prompting_plots import (
    agreement_dots,
    correlation_heatmap,
    politics_bars,
)
from valuestab_utils.similarity_plot import similarity_points

LONG = "meta-llama_Llama-3.1-8B-Instruct (no system)"
HIGHER = ("openness_to_change", "self_enhancement", "conservation", "self_transcendence", "none")

pytestmark = pytest.mark.usefixtures("notebook_style")


def behaviours(n: int, share: float = 0.5) -> pd.DataFrame:
    """Areas by turns, so that their behaviours do not follow each other."""
    rows = [
        {"behaviour": f"a behaviour with a long name, number {i}", "area": f"a long area {i % 3}", "higher_order": h}
        for i in range(n)
        for h in HIGHER
    ]
    return pd.DataFrame(rows).assign(agreement=share, n=8)


def similarity(*rows) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["row", "label", "mean", "low", "high", "published"])


def test_behaviours_of_an_area_stand_together_and_equal_shares_apart():
    figure = agreement_dots(behaviours(12))
    axes = figure.axes[0]
    assert [name[-1] for name in ticks(axes)[:4]] == ["0", "3", "6", "9"]  # those of the first area
    points = [line.get_xydata()[0] for line in axes.lines if line.get_linestyle() == "None"]
    assert {x for x, _ in points} == {50} and len({y for _, y in points}) == len(points) == 60
    assert [text.get_text() for text in axes.texts] == [f"a long area {i}" for i in range(3)]
    assert key(figure)[-1] == "no value prompt"
    assert_legible(figure)


def test_an_undefined_share_is_a_word_and_counts_are_told():
    table = behaviours(2)
    table.loc[0, ["agreement", "n"]] = [np.nan, 4]
    axes = agreement_dots(table).axes[0]
    assert "undefined" in [text.get_text() for text in axes.texts]
    assert axes.get_xlabel() == "agreement with the behaviour (% of 4 to 8 answers)"
    with pytest.raises(ValuestabError, match="one place for a long area 0"):
        agreement_dots(pd.concat([table, table]))


def test_undefined_correlations_and_absent_pairs_are_told_apart():
    table = pd.DataFrame({"a": ["x", "x", "y"], "b": ["x", "y", "x"], "r": [1.0, np.nan, -0.456]})
    figure = correlation_heatmap(table, "A title", "a", "b", "r")
    axes = figure.axes[0]
    texts = {text.get_position(): text.get_text() for text in axes.texts}
    assert texts == {(0, 0): "1.00", (1, 0): "×", (0, 1): "-0.46", (1, 1): "–"}
    assert len(axes.patches) == 2 and axes.images[0].get_clim() == (-1, 1)
    assert figure.axes[1].get_xlabel() == "Pearson's r (–: not in the data; ×: undefined)"
    with pytest.raises(ValuestabError, match="one place for x / x"):
        correlation_heatmap(table.assign(b="x"), "A title", "a", "b", "r")


@pytest.mark.parametrize("shape", [(4, 4), (10, 9)])
def test_matrices_of_both_sizes_are_legible(shape):
    names = [[f"a name as long as this, {i}" for i in range(n)] for n in shape]
    table = pd.MultiIndex.from_product(names, names=["a", "b"]).to_frame(index=False).assign(correlation=-0.55)
    figure = correlation_heatmap(table, f"Higher-order values: {LONG}", "a", "b", "correlation")
    assert len(figure.axes[0].texts) == shape[0] * shape[1] and ticks(figure.axes[0]) == names[0]
    assert_legible(figure)


def test_politics_has_a_panel_a_model_in_percent():
    rows = [{"label": label, "higher_order": h, "agreement": 0.5} for label in ("a", LONG) for h in HIGHER[::-1]]
    table = pd.DataFrame(rows).assign(se=0.1)
    table.loc[0, "agreement"] = np.nan
    figure = politics_bars(table)
    first, second = figure.axes
    assert ticks(first)[0] == "openness to change" and ticks(first)[-1] == "no value prompt"
    assert [bar.get_width() for bar in second.patches] == [50] * 5
    assert [text.get_text() for text in first.texts] == ["undefined"]
    assert key(figure) == ["± 1 SE over statements"]
    assert_legible(figure)


def test_similarities_of_a_row_do_not_hide_each_other():
    own = [(row, LONG, 0.4, -0.1, 0.6, False) for row in ("uniform", "H-NP")]
    theirs = [(row, name, 0.4, np.nan, np.nan, True) for row in ("uniform", "H-NP") for name in ("m", LONG)]
    figure = similarity_points(similarity(*own, *theirs), "A title", "values similarity")
    axes = figure.axes[0]
    points = [line for line in axes.lines if line.get_linestyle() == "None"]
    assert ticks(axes) == ["uniform", "H-NP"] and len({line.get_ydata()[0] for line in points}) == 6
    assert [line.get_markerfacecolor() == "white" for line in points] == [False, False, True, True, True, True]
    assert axes.get_xlim()[0] < -0.1
    assert key(figure) == [LONG, "m (printed in the paper)", f"{LONG} (printed in the paper)"]
    assert_legible(figure)


def test_an_undefined_similarity_is_told():
    nan = np.nan
    axes = similarity_points(similarity(("BFI-2", "m", nan, nan, nan, False)), "A title", "r").axes[0]
    assert [text.get_text() for text in axes.texts] == ["undefined"] and axes.get_xlabel() == "r (1: as people)"


def test_nothing_to_draw_is_told():
    empty = pd.DataFrame()
    figures = [
        agreement_dots(empty),
        correlation_heatmap(empty, "A title", "a", "b"),
        politics_bars(empty),
        similarity_points(empty, "A title", "r"),
    ]
    words = [figure.axes[0].texts[0].get_text() for figure in figures]
    assert words[1] == "There are no correlations to draw: A title." and all(word.endswith(".") for word in words)
