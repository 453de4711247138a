"""Figures show every row of their tables, and are written with their data."""

import matplotlib
import matplotlib.pyplot
import numpy as np
import pandas as pd
import pytest

matplotlib.use("Agg")

from test_tables import answers  # noqa: E402

from valuestab_utils import plots, tables  # noqa: E402
from valuestab_utils.paths import ROOT  # noqa: E402


@pytest.fixture(autouse=True)
def notebook_style():
    with matplotlib.rc_context(fname=ROOT / "notebooks" / "matplotlibrc"):
        yield
        matplotlib.pyplot.close("all")


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
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "a-model (base)",
        "a-model (system)",
        "synthetic control",
    ]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([1, 1, 1])
    said = " ".join(text.get_text() for text in axes.texts)
    assert said.count("0.50") == 3  # letter mass beside each bar
    assert "NOT the published" in axes.get_xlabel()
    legend = " ".join(text.get_text() for text in figure.legends[0].get_texts())
    assert "0.569" in legend and "0.657" in legend and "synthetic" in legend


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
    assert "No ipsative stability was run for none" in figure.axes[0].texts[0].get_text()


def test_labels_lie_inside_the_figure(frame, expected):
    figures = [
        plots.stability_bars(
            tables.stability_table(frame),
            "fictional_characters",
            "rank_order",
            tables.human_stability(),
            expected,
        ),
        plots.letter_bars(tables.letter_shares(frame)),
        plots.letter_mass_boxes(frame),
        plots.value_heatmap(tables.per_value_table(frame)),
        plots.context_heatmaps(tables.context_pair_table(frame), "fictional_characters"),
    ]
    for figure in figures:
        figure.canvas.draw()
        width, height = figure.canvas.get_width_height()
        for axes in figure.axes:
            texts = [axes.title, axes.xaxis.label, axes.yaxis.label, *axes.texts]
            for text in (t for t in texts if t.get_text()):
                box = text.get_window_extent()
                assert box.x0 > -2 and box.y0 > -2 and box.x1 < width + 2 and box.y1 < height + 2, (
                    text.get_text()
                )


def test_figures_are_saved_with_their_data(tmp_path, frame):
    shares = tables.letter_shares(frame)
    plots.save_figure(plots.letter_bars(shares), shares, "letters", tmp_path / "new")
    assert {file.suffix for file in (tmp_path / "new").iterdir()} == {".png", ".pdf", ".csv"}
    assert np.allclose(pd.read_csv(tmp_path / "new" / "letters.csv")["share"], shares["share"])
