"""Figures show every row of their tables, and are written with their data."""

import re

import pandas as pd
import pytest
from fakes import tidy_answers as answers
from plot_tables import assert_legible, bars, key, ticks

from valuestab_utils import letter_tables, plots, tables
from valuestab_utils.paths import ROOT

pytestmark = pytest.mark.usefixtures("notebook_style")


@pytest.fixture(scope="module")
def frame():
    base = answers()
    return pd.concat(
        [base, base.assign(format="tuned_sys"), base.assign(model="control-synthetic", family="control")]
    )


@pytest.fixture(scope="module")
def expected():
    columns = ["model", "format", "population", "measure", "expected", "expected_sd"]
    return pd.DataFrame(
        [("control-synthetic", "base", "fictional_characters", "rank_order", 0.7, 0.1)], columns=columns
    )


def test_stability_bars_show_each_row_once_with_its_letter_use(frame, expected):
    table, humans = tables.stability_table(frame), tables.human_stability()
    figure = plots.stability_bars(
        table, "fictional_characters", "rank_order", humans, expected, tables.per_seed_table(frame)
    )
    axes = figure.axes[0]
    assert ticks(axes) == ["a-model (base)", "a-model (system)", "synthetic control"]
    assert bars(axes, "this run") == pytest.approx([1, 1, 1])
    said = " ".join(text.get_text() for text in axes.texts)
    assert said.count("0.50") == 3  # letter mass beside each bar
    assert "NOT the published" in axes.get_xlabel()
    legend = " ".join(key(figure))
    assert "0.569" in legend and "0.657" in legend and "synthetic" in legend and "one seed" in legend


def test_undefined_stability_is_said_beside_its_bar(expected):
    frame = answers(seeds=(1,))
    frame.loc[frame["topic"] == "chess", "answer"] = 3
    table = tables.stability_table(frame)
    figure = plots.stability_bars(
        table, "fictional_characters", "rank_order", tables.human_stability(), expected[:0]
    )
    assert any("10 of 10 r undefined" in text.get_text() for text in figure.axes[0].texts)


def test_nothing_to_draw_says_so(frame, expected):
    figure = plots.stability_bars(
        tables.stability_table(frame), "none", "ipsative", tables.human_stability(), expected
    )
    assert "No ipsative stability was run for no persona" in figure.axes[0].texts[0].get_text()


def test_real_tables_make_legible_figures(frame, expected):
    printed = tables.published_values("fictional_characters", "rank_order")
    figures = [
        plots.stability_bars(
            tables.stability_table(frame, intervals=True),
            "fictional_characters",
            "rank_order",
            tables.human_stability(),
            expected,
            tables.per_seed_table(frame),
            printed,
        ),
        plots.letter_bars(letter_tables.letter_shares(frame)),
        plots.letter_mass_boxes(frame),
        plots.value_heatmap(tables.per_value_table(frame)),
        plots.context_matrix(tables.context_pair_table(frame), "fictional_characters", sorted(set(frame["topic"]))),
        plots.significance_matrix(
            tables.comparison_table(frame, "fictional_characters", "rank_order"), "Who?"
        ),
    ]
    for figure in figures:
        assert_legible(figure)


def test_every_figure_that_a_notebook_calls_is_there():
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        called = set(re.findall(r"plots\.(\w+)\(", path.read_text(encoding="utf-8")))
        assert called <= set(plots.__all__), path.name
