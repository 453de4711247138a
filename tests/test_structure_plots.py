"""Figures 2 and 4 and tables 1 and 5 of paper 002: what is drawn, what is hatched, what is told."""

import numpy as np
import pandas as pd
import pytest
from plot_tables import assert_legible, key, ticks

from valuestab_utils.errors import ValuestabError
from valuestab_utils.rank_agreement_plot import rank_agreement_heatmap
from valuestab_utils.ssd_plot import ssd_bars
from valuestab_utils.structure_plots import anchor_curves, value_means_lines
from valuestab_utils.value_styles import CONDITIONS, higher_order_styles

LONG = "meta-llama_Llama-3.1-8B-Instruct (no system)"

pytestmark = pytest.mark.usefixtures("notebook_style")


def agreement(rows) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["label", "condition", "temperature", "rho", "p_value", "published"])


def structures(rows) -> pd.DataFrame:
    columns = ["label", "condition", "temperature", "administration", "disparity", "reference", "published"]
    table = pd.DataFrame(rows, columns=columns)
    return table.assign(low=table["disparity"] - 0.1, high=table["disparity"] + 0.2)


def means(**kinds) -> pd.DataFrame:
    rows = [
        {"label": kind, "kind": kind, "value": value, "acronym": value[:2].upper(), "human_rank": rank, "mean": mean}
        for kind, numbers in kinds.items()
        for rank, (value, mean) in enumerate(zip(("care", "rules", "power"), numbers), 1)
    ]
    return pd.DataFrame(rows).assign(se=np.nan)


def test_each_rho_stands_under_its_prompt_and_temperature():
    table = agreement(
        [
            ("paper", "basic", 0.0, -0.13, np.nan, True),
            ("mine", "names", 0.7, 0.8, 0.001, False),
            ("mine", "names", 0.0, 0.3, 0.2, False),
            ("mine", "basic", 0.0, np.nan, np.nan, False),
        ]
    )
    figure = rank_agreement_heatmap(table)
    axes = figure.axes[0]
    assert ticks(axes) == ["mine", "paper"]  # this run's first
    assert [tick.get_style() for tick in axes.get_yticklabels()] == ["normal", "italic"]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0", "0", "0.7"]
    texts = {text.get_position(): text.get_text() for text in axes.texts[:6]}
    assert texts == {(0, 0): "×", (1, 0): "(0.30)", (2, 0): "0.80", (0, 1): "-0.13", (1, 1): "–", (2, 1): "–"}
    assert [text.get_text() for text in axes.texts[6:]] == ["basic\nprompt", "names"]
    assert sum(patch.get_hatch() == "////" for patch in axes.patches) == 3
    assert axes.images[0].get_clim() == (-1, 1)


def test_all_prompts_of_many_models_are_legible():
    names = [f"{LONG} {i}" for i in range(12)]
    rows = [(n, c, t, -0.55, 0.3, n[-1] > "5") for n in names for c in CONDITIONS for t in (0.0, 0.7)]
    figure = rank_agreement_heatmap(agreement(rows))
    assert [text.get_text() for text in figure.axes[0].texts].count("(-0.55)") == 120
    assert_legible(figure)


def test_values_stand_in_the_order_of_people_whatever_the_order_of_the_rows():
    table = means(human=[0.8, -0.2, -1.4], run=[0.5, np.nan, -1.0], published=[0.7, 0.1, -2.0])
    figure = value_means_lines(table.iloc[::-1])
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["CA", "RU", "PO"]
    people, run, printed = (container.lines[0] for container in axes.containers)
    np.testing.assert_array_equal(people.get_ydata(), [0.8, -0.2, -1.4])
    np.testing.assert_array_equal(run.get_ydata().astype(float), [0.5, np.nan, -1.0])
    assert people.get_color() == "#D55E00" and run.get_linewidth() > 2 * printed.get_linewidth()
    assert key(figure) == ["human", "run (undefined: RU)", "published, printed in the paper"]
    assert_legible(figure)


def test_a_value_of_two_ranks_is_refused():
    table = means(human=[0.8, -0.2, -1.4], run=[0.5, 0.1, -1.0])
    table.loc[5, "human_rank"] = 4
    with pytest.raises(ValuestabError, match="one rank of its own"):
        value_means_lines(table)
    with pytest.raises(ValuestabError, match="Unknown kind of mean 'model'"):
        value_means_lines(means(model=[0.8, -0.2, -1.4]))


def test_the_fitted_curve_passes_where_its_formula_says():
    distances = np.arange(-9, 10)
    table = pd.DataFrame({"label": "a", "distance": distances, "mean": 0.0, "se": 0.1})
    table = pd.concat([table, table.assign(label="flat")])
    fit = {"label": "a", "offset": 0.5, "amplitude": 2.0, "phase": np.pi / 2, "r_squared": 0.987}
    fits = pd.DataFrame([fit, {"label": "flat", "r_squared": np.nan}])
    figure = anchor_curves(table, fits)
    (curve,) = [line for line in figure.axes[0].lines if line.get_linestyle() == "--"]
    x, y = curve.get_data()
    assert (x[0], x[-1]) == (-9, 9) and y[180] == pytest.approx(0.5)  # 0.5 + 2 cos(pi / 2)
    assert key(figure) == ["a (R² 0.99)", "flat (no curve could be fitted)", "fitted sinusoid"]
    assert_legible(figure)
    with pytest.raises(ValuestabError, match="Unknown label of a fit 'flat'"):
        anchor_curves(table, fits[:1])
    with pytest.raises(ValuestabError, match="distance 10 is further"):
        anchor_curves(table.assign(distance=table["distance"] + 1), fits)


def test_each_structure_has_a_point_with_its_interval():
    table = structures(
        [
            ("mine", "names", 0.0, "letters", 0.4, "theory", False),
            ("mine", "names", 0.7, "letters", np.nan, "theory", False),
            ("theirs", "basic", 0.0, "batch", 0.9, "human", True),
        ]
    )
    figure = ssd_bars(table)
    basic, names = figure.axes
    assert ticks(basic) == ["mine letters, to the theory's circle", "theirs batch, to people"]
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["basic\nprompt", "names"]
    interval, point, _ = names.lines
    np.testing.assert_allclose(interval.get_xdata(), [0.3, 0.6])
    assert point.get_xdata() == [0.4] and point.get_markerfacecolor() != "white"
    assert sorted(text.get_text() for text in names.texts) == ["undefined", "–"]
    assert [line.get_markerfacecolor() for line in basic.lines if line.get_marker() == "o"] == ["white"]
    assert "bootstrap interval over runs" in key(figure)
    assert_legible(figure)


def test_a_table_with_one_reference_names_it_in_the_heading():
    rows = [(f"{LONG} {i}", c, t, "batch", 0.5, "human", True) for i in range(3) for c in CONDITIONS for t in (0, 0.7)]
    figure = ssd_bars(structures(rows))
    assert figure.get_suptitle() == "How far the value structure lies from people"
    assert_legible(figure)
    with pytest.raises(ValuestabError, match="one place for True / .* 0 / batch / human / basic"):
        ssd_bars(structures([*rows, rows[0]]))


def test_higher_order_values_are_known_in_every_spelling():
    one = higher_order_styles(["self_enhancement"])["self_enhancement"]
    assert one == higher_order_styles(["Self-enhancement"])["Self-enhancement"]
    with pytest.raises(ValuestabError, match="Unknown higher-order value 'openness'"):
        higher_order_styles(["openness"])


def test_nothing_to_draw_is_told():
    empty = pd.DataFrame()
    figures = [rank_agreement_heatmap(empty), value_means_lines(empty), anchor_curves(empty, empty), ssd_bars(empty)]
    assert [figure.axes[0].texts[0].get_text()[:7] for figure in figures] == [
        "No valu",
        "No mean",
        "No runs",
        "No valu",
    ]
