"""Figures 9 and 15 of the paper, balanced orders and retest: bars in groups."""

import numpy as np
import pandas as pd
import pytest
from plot_tables import IN_ORDER, RESPONDENTS, assert_legible, bars, key, stability_rows, ticks

from valuestab_utils.errors import ValuestabError
from valuestab_utils.grouped_bars import INDUCTIONS, ORDERS, RETEST, induction_bars, order_bars, retest_bars
from valuestab_utils.value_donation_plot import value_donation_bars

SIGNS = {"Universalism": 1, "Benevolence": 1, "Power": -1, "Achievement": -1}

pytestmark = pytest.mark.usefixtures("notebook_style")


def donations(correlation=0.2):
    rows = [
        {"model": model, "format": format, "family": family, "value": value, "expected_sign": sign}
        for model, format, family in RESPONDENTS
        for value, sign in SIGNS.items()
    ]
    fixed = {
        "population": "fictional_characters",
        "correlation": correlation,
        "standard_error": 0.05,
        "n_units": 5,
    }
    return pd.DataFrame(rows).assign(**fixed)


def experiments(**columns):
    """Two respondents, two populations, as order and retest tables have them."""
    table = stability_rows(RESPONDENTS[1:3])[
        ["model", "format", "family", "population", "measure", "wording"]
    ]
    alone = table.assign(population="none", measure="ipsative")
    return pd.concat([table, alone], ignore_index=True).assign(**columns)


def test_a_panel_a_value_with_the_sign_that_is_expected():
    figure = value_donation_bars(donations())
    assert [axes.get_title(loc="left") for axes in figure.axes] == list(SIGNS)
    expected = [axes.get_title(loc="right") for axes in figure.axes]
    assert [("positive" in text, "negative" in text) for text in expected] == [(True, False)] * 2 + [
        (False, True)
    ] * 2
    assert ticks(figure.axes[0]) == IN_ORDER
    for axes, sign in zip(figure.axes, SIGNS.values()):
        lengths = [bar.get_width() for bar in axes.containers[0]]
        assert lengths == [0.2] * 4
        side = axes.patches[0].get_extents().transformed(axes.transData.inverted())
        assert np.sign(side.x0 + side.x1) == sign  # the grey half
    assert_legible(figure)


def test_an_undefined_correlation_with_donations_is_said():
    texts = [text.get_text() for axes in value_donation_bars(donations(np.nan)).axes for text in axes.texts]
    assert texts == ["undefined"] * 16


def test_a_correlation_is_not_drawn_twice():
    with pytest.raises(ValuestabError, match="several rows of it"):
        value_donation_bars(pd.concat([donations(), donations()]))


def test_inductions_stand_side_by_side():
    table = stability_rows(
        [(name, format, "LLaMa-2") for name in "ab" for format in ("tuned_sys", "tuned_no_sys")]
    )
    control = stability_rows(RESPONDENTS[:1])
    elsewhere = table.assign(population="real_world_personas")
    figure = induction_bars(pd.concat([table, control, elsewhere, table.assign(format="base", model="c")]))
    assert ticks(figure.axes[0]) == ["a", "b"]
    assert bars(figure.axes[0], INDUCTIONS[0].label) == pytest.approx([0.1, 0.3])
    assert bars(figure.axes[0], INDUCTIONS[1].label) == pytest.approx([0.2, 0.4])
    assert key(figure) == [bar.label for bar in INDUCTIONS] + ["± 1 SE over seeds"]
    assert_legible(figure)


def test_an_induction_that_was_not_run_is_not_called_undefined():
    table = stability_rows([("a", "tuned_sys", "F"), ("b", "tuned_sys", "F"), ("b", "tuned_no_sys", "F")])
    table.loc[1, ["stability", "standard_error"]] = np.nan
    said = [text.get_text() for text in induction_bars(table).axes[0].texts]
    assert sorted(said) == ["not run", "undefined"]


def test_orders_show_three_stabilities_and_the_letter_bias():
    table = experiments(single=0.1, balanced=0.2, expected=0.3, letter_bias=[0.5, 1.0, 1.5, np.nan])
    figure = order_bars(table)
    axes = figure.axes[0]
    assert [bars(axes, bar.label) for bar in ORDERS] == [[0.1] * 4, [0.2] * 4, [0.3] * 4]
    assert [t.get_text() for t in axes.texts] == [
        "letter bias",
        "1.00 nats",
        "undefined",
        "0.50 nats",
        "1.50 nats",
    ]
    assert ticks(axes)[0] == "Mixtral-8x7B-Instruct-v0.1-4b (no system), fictional characters rank-order"
    assert_legible(figure)


def test_where_there_is_no_corrected_stability_its_reason_stands():
    reason = "the reliability 0.030 is below 0.05: too near to none"
    table = experiments(
        stability=0.1, reliability=0.4, corrected=[0.25, np.nan, 1.4, 0.25], reason=["", reason, "", ""]
    )
    figure = retest_bars(table)
    axes = figure.axes[0]
    said = [text.get_text().replace("\n", " ") for text in axes.texts]
    assert said == [f"no corrected value: {reason}"]
    assert np.nanmax(bars(axes, RETEST[2].label)) == 1.4 < axes.get_xlim()[1]
    assert_legible(figure)


@pytest.mark.parametrize("draw", [value_donation_bars, induction_bars, order_bars, retest_bars])
def test_nothing_to_draw_is_told(draw):
    assert draw(pd.DataFrame()).axes[0].texts[0].get_text().startswith("No ")
