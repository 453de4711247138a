"""Bars: each row once, in the paper's order, and nothing taken for what it is not."""

import numpy as np
import pandas as pd
import pytest
from fakes import tidy_answers as answers
from plot_tables import IN_ORDER, RESPONDENTS, assert_legible, bars, key, stability_rows, texts, ticks

from valuestab_utils import plots
from valuestab_utils.errors import ValuestabError
from valuestab_utils.papers import kovac2024 as tables
from valuestab_utils.papers import letters
from valuestab_utils.plots.bars import INDUCTIONS, ORDERS, RETEST
from valuestab_utils.plots.labels import HIGHER_ORDER
from valuestab_utils.prompts import load_questionnaire

ASKED = {"PVQ-40": load_questionnaire("PVQ-40", "project")}
WHERE = ("fictional_characters", "rank_order")
NOBODY = pd.DataFrame(columns=["measure", "ages", "value"])
NO_CONTROL = pd.DataFrame(columns=["model", "format", "population", "instrument", "measure"])
PRINTED = pd.DataFrame({"model": ["gpt-3.5-turbo-1106", "Mistral-7B-Instruct-v0.2"], "family": ["GPT-3.5", "Mistral"]})
PRINTED = PRINTED.assign(r=[0.2, 0.28], source="Kovač et al. 2024, journal version (and so on); 0.29 elsewhere")
EXPECTED = pd.DataFrame([{"model": "control-synthetic", "format": "base", "expected": 0.7, "expected_sd": 0.1}])
SIGNS = {"Universalism": 1, "Benevolence": 1, "Power": -1, "Achievement": -1}

pytestmark = pytest.mark.usefixtures("notebook_style")


@pytest.fixture(scope="module")
def frame():
    control = answers().assign(model="control-synthetic", family="control")
    return pd.concat([answers(), answers().assign(format="tuned_sys"), control])


def test_stability_bars_show_each_row_once_with_its_letter_use(frame):
    humans, seeds = tables.human_stability(), tables.per_seed_table(frame, ASKED)
    figure = plots.stability_bars(tables.stability_table(frame, ASKED), *WHERE, humans, EXPECTED, seeds)
    axes = figure.axes[0]
    assert ticks(axes) == ["a-model (base)", "a-model (system)", "synthetic control"]
    assert bars(axes) == pytest.approx([1, 1, 1])
    assert " ".join(texts(axes)).count("0.50") == 3  # letter mass beside each bar
    assert "NOT the published" in axes.get_xlabel()
    legend = " ".join(key(figure))
    assert "0.569" in legend and "0.657" in legend and "synthetic" in legend and "one seed" in legend


def test_undefined_stability_is_said_beside_its_bar():
    frame = answers(seeds=(1,))
    frame.loc[frame["topic"] == "chess", "answer"] = 3
    table = tables.stability_table(frame, ASKED)
    figure = plots.stability_bars(table, *WHERE, tables.human_stability(), NO_CONTROL)
    assert any("10 of 10 r undefined" in text for text in texts(figure.axes[0]))


def test_printed_values_stand_apart_from_the_runs_own_in_the_papers_order():
    figure = plots.stability_bars(stability_rows(), *WHERE, NOBODY, NO_CONTROL, published=PRINTED)
    axes = figure.axes[0]
    printed = ["printed in the paper (not this run)", "Mistral-7B-Instruct-v0.2", "gpt-3.5-turbo-1106"]
    assert ticks(axes) == [*IN_ORDER, *printed]
    assert bars(axes) == pytest.approx([0.4, 0.3, 0.2, 0.1])
    assert bars(axes, "printed in the paper") == [0.28, 0.2]
    assert "printed in the paper" in key(figure)


def test_intervals_and_chance_are_drawn_where_the_table_has_them():
    plain = plots.stability_bars(stability_rows(ci_low=np.nan, ci_high=np.nan), *WHERE, NOBODY, NO_CONTROL)
    assert not [text for text in key(plain) if "bootstrap" in text or "chance" in text]
    table = stability_rows(ci_low=-0.05, ci_high=0.45, chance_low=-0.1, chance_high=0.12)
    figure = plots.stability_bars(table, *WHERE, NOBODY, NO_CONTROL)
    assert {"95% bootstrap interval (personas)", "95% of what chance gives"} <= set(key(figure))
    (interval,) = (group for group in figure.axes[0].containers if "bootstrap" in group.get_label())
    assert [list(line[:, 0]) for line in interval[2][0].get_segments()] == [pytest.approx([-0.05, 0.45])] * 4
    (chance,) = (group for group in figure.axes[0].containers if "chance" in group.get_label())
    assert [(band.get_x(), band.get_width()) for band in chance] == [pytest.approx((-0.1, 0.22))] * 4


def test_human_lines_come_from_their_table_alone():
    figure = plots.stability_bars(stability_rows(), *WHERE, tables.human_stability(), NO_CONTROL)
    people = ["humans, ages 10-12 (0.569)", "humans, ages 20-28 (0.657)"]
    assert [text for text in key(figure) if "humans" in text] == people


def test_of_several_tasks_one_is_drawn():
    both = pd.concat([stability_rows(), stability_rows(instrument="Donation", wording="5 of 100 questions")])
    figure = plots.stability_bars(both, *WHERE, NOBODY, NO_CONTROL, instrument="Donation")
    assert "Donation, 5 of 100 questions" in figure.axes[0].get_xlabel()
    assert len(bars(figure.axes[0])) == 4
    with pytest.raises(ValuestabError, match="several rows of it: choose one"):
        plots.stability_bars(both, *WHERE, NOBODY, NO_CONTROL)


def test_twenty_five_bars_are_legible():
    long = "mistralai--Mixtral-8x7B-Instruct-v0.1-4b"
    many = [(f"{long}x{i}", "tuned_no_sys", "Mixtral") for i in range(24)] + RESPONDENTS[:1]
    intervals = {"ci_low": -0.2, "ci_high": 0.4, "chance_low": -0.1, "chance_high": 0.1}
    table = stability_rows(many, stability=0.2, undefined=3, **intervals)
    assert_legible(plots.stability_bars(table, *WHERE, tables.human_stability(), NO_CONTROL, published=PRINTED))


def test_real_tables_make_legible_figures(frame):
    table, humans = tables.stability_table(frame, ASKED), tables.human_stability()
    printed = tables.published_values("pvq", *WHERE)
    contexts = tables.context_pair_table(frame, ASKED)
    for figure in (
        plots.stability_bars(table, *WHERE, humans, EXPECTED, tables.per_seed_table(frame, ASKED), printed),
        plots.letter_bars(letters.letter_shares(frame)),
        plots.letter_mass_boxes(frame),
        plots.value_heatmap(tables.per_value_table(frame, ASKED)),
        plots.context_matrix(contexts, WHERE[0], sorted(set(frame["topic"]))),
        plots.significance_matrix(tables.comparison_table(frame, ASKED, *WHERE, "PVQ-40"), "Who?"),
    ):
        assert_legible(figure)


def donations(correlation=0.2):
    rows = [
        {"model": model, "format": format, "family": family, "value": value, "expected_sign": sign}
        for model, format, family in RESPONDENTS
        for value, sign in SIGNS.items()
    ]
    fixed = {"population": "fictional_characters", "standard_error": 0.05, "n_units": 5}
    return pd.DataFrame(rows).assign(correlation=correlation, **fixed)


def experiments(**columns):
    """Two respondents, two populations, as order and retest tables have them."""
    table = stability_rows(RESPONDENTS[1:3])[["model", "format", "family", "population", "measure", "wording"]]
    alone = table.assign(population="none", measure="ipsative")
    return pd.concat([table, alone], ignore_index=True).assign(**columns)


def test_a_panel_a_value_with_the_sign_that_is_expected():
    figure = plots.value_donation_bars(donations())
    assert [axes.get_title(loc="left") for axes in figure.axes] == list(SIGNS)
    assert ticks(figure.axes[0]) == IN_ORDER
    for axes, sign in zip(figure.axes, SIGNS.values()):
        assert ("positive" if sign > 0 else "negative") in axes.get_title(loc="right")
        assert [bar.get_width() for bar in axes.containers[0]] == [0.2] * 4
    assert_legible(figure)
    undefined = plots.value_donation_bars(donations(np.nan))
    assert [texts(axes) for axes in undefined.axes] == [["undefined"] * 4] * 4


def test_inductions_stand_side_by_side():
    table = stability_rows([(name, format, "LLaMa-2") for name in "ab" for format in ("tuned_sys", "tuned_no_sys")])
    figure = plots.induction_bars(pd.concat([table, table.assign(format="base", model="c")]))
    assert ticks(figure.axes[0]) == ["a", "b"]
    assert bars(figure.axes[0], INDUCTIONS["tuned_sys"]) == pytest.approx([0.1, 0.3])
    assert bars(figure.axes[0], INDUCTIONS["tuned_no_sys"]) == pytest.approx([0.2, 0.4])
    assert_legible(figure)
    lacking = table.iloc[[0, 2, 3]].reset_index(drop=True)
    lacking.loc[1, ["stability", "standard_error"]] = np.nan
    assert sorted(texts(plots.induction_bars(lacking).axes[0])) == ["not run", "undefined"]


def test_orders_show_three_stabilities_and_the_letter_bias():
    figure = plots.order_bars(experiments(single=0.1, balanced=0.2, expected=0.3, letter_bias=[0.5, 1.0, 1.5, np.nan]))
    axes = figure.axes[0]
    assert [bars(axes, label) for label in ORDERS.values()] == [[0.1] * 4, [0.2] * 4, [0.3] * 4]
    assert texts(axes) == ["letter bias\n(nats)", "1.00", "undefined", "0.50", "1.50"]
    assert ticks(axes)[0] == "Mixtral-8x7B-Instruct-v0.1-4b (no system), fictional characters rank-order"
    assert_legible(figure)


def test_where_there_is_no_corrected_stability_its_reason_stands():
    reason = "the reliability 0.030 is below 0.05: too near to none"
    corrected = {"corrected": [0.25, np.nan, 1.4, 0.25], "reason": ["", reason, "", ""]}
    figure = plots.retest_bars(experiments(stability=0.1, reliability=0.4, **corrected))
    axes = figure.axes[0]
    assert [text.replace("\n", " ") for text in texts(axes)] == [f"no corrected value: {reason}"]
    assert np.nanmax(bars(axes, RETEST["corrected"])) == 1.4 < axes.get_xlim()[1]
    assert_legible(figure)


def test_politics_has_a_panel_a_model_in_percent():
    models = ["a", "meta-llama_Llama-3.1-8B-Instruct (no system)"]
    rows = [(label, higher_order) for label in models for higher_order in reversed(HIGHER_ORDER)]
    table = pd.DataFrame(rows, columns=["label", "higher_order"]).assign(agreement=0.5, se=0.1)
    table.loc[0, "agreement"] = np.nan
    figure = plots.politics_bars(table)
    first, second = figure.axes
    assert ticks(first)[0] == "openness to change" and ticks(first)[-1] == "between two of them"
    assert [bar.get_width() for bar in second.patches] == [50] * 6
    assert texts(first) == ["undefined"]
    assert key(figure) == ["± 1 SE over runs"]
    assert_legible(figure)
