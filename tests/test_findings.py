"""Sentences on what was found come from the tables alone."""

import numpy as np
import pandas as pd
import pytest
from fakes import tidy_answers

from valuestab_utils import findings, tables
from valuestab_utils.experiment_tables import persona_points


def test_findings_tell_model_and_controls_apart():
    frame = pd.concat([tidy_answers(), tidy_answers(model="control-random"), tidy_answers("none", seeds=(1,))])
    model, controls = findings.summary(tables.stability_table(frame), "a-model")
    assert model.startswith("a-model: base, rank-order 1.00 ± 0.00 fictional characters")
    assert "ipsative 1.00 ± 0.00 no persona" in model and "ipsative" not in controls
    assert controls == "Controls: random, rank-order 1.00 ± 0.00 fictional characters."


def test_nothing_is_found_where_nothing_was_run():
    assert findings.summary(pd.DataFrame(), "a-model") == []
    points, found = persona_points(pd.DataFrame())
    assert points.empty and findings.of_map(points, found) == findings.NOTHING


def bars(**columns):
    frame = pd.DataFrame({"model": ["a-model", "control-random"], "format": "tuned_sys", "stability": [0.5, 0.1]})
    return frame.assign(standard_error=[0.02, np.nan], population="fictional_characters").assign(**columns)


def test_bars_name_the_ends_and_the_controls():
    told = findings.of_bars(bars(chance_p=[0.01, 0.5]))
    assert told.startswith("Most stable: a-model") and "0.50 ± 0.02." in told
    assert "1 of 1 lie above what chance gives" in told and told.endswith("Controls: random control 0.10.")
    assert findings.of_bars(bars(stability=[np.nan, 0.1])) == "No model has a defined stability here."


@pytest.mark.parametrize(("lengths", "end"), [([1], "0.50 after 1 message."), ([1, 3], "after 3 messages.")])
def test_lengths_are_told_also_of_tables_with_numbers_alone(lengths, end):
    table = pd.DataFrame({"n_messages": lengths, "stability": 0.5, "standard_error": np.nan})
    told = findings.of_lengths(
        table.assign(model="a-model", format="base", population="none", measure="ipsative")
    )
    assert told.startswith("a-model") and told.endswith(end)


def orders(**columns):
    row = {"model": "a-model", "format": "base", "measure": "ipsative", "single": 0.4, "balanced": -0.1}
    row |= {"expected": 0.2, "difference": -0.5, "letter_bias": 0.71, "favourite": "C"}
    return pd.DataFrame([row | columns])


def test_a_single_order_hides_or_invents():
    assert "the single order invents 0.50 of ipsative stability (0.40 alone, -0.10" in findings.of_orders(orders())
    assert "hides 0.30" in findings.of_orders(orders(difference=0.3))
    told = findings.of_orders(orders(difference=np.nan, single=np.nan))
    assert "undefined in one of the orders" in told and "nan" not in told


def test_retest_says_why_there_is_no_corrected_stability():
    row = {"model": "a-model", "format": "base", "measure": "ipsative", "stability": 0.2, "reliability": 0.5}
    assert "corrected 0.40" in findings.of_retest(pd.DataFrame([row | {"corrected": 0.4, "reason": ""}]))
    row |= {"reliability": np.nan, "corrected": np.nan, "reason": "reliability undefined"}
    told = findings.of_retest(pd.DataFrame([row]))
    assert "undefined between two draws" in told and told.endswith("reliability undefined.")


def test_comparison_counts_what_differs_and_what_could_not_be_tested():
    pairs = pd.DataFrame({"one": ["a", "a", "b"], "other": ["b", "c", "c"], "significant": [True, False, None]})
    told = findings.of_comparison(pairs)
    assert told == "1 of 2 tested pairs differ (p < 0.05 after correction): a and b. 1 could not be tested."
    assert findings.of_comparison(pairs[:0]) == "Fewer than two respondents can be compared."


def test_donations_count_expected_signs():
    table = pd.DataFrame({"value": ["Power", "Security"], "correlation": [-0.3, -0.1], "expected_sign": [-1, 1]})
    told = findings.of_donations(table.assign(model="a-model", format="base"))
    assert told.endswith("(1 of 2 with the expected sign).")


@pytest.mark.parametrize(
    "sentence",
    [
        findings.of_lengths,
        findings.of_contexts,
        findings.of_donations,
        findings.of_induction,
        findings.of_orders,
        findings.of_retest,
        findings.of_values,
    ],
)
def test_nothing_found_is_said(sentence):
    assert sentence(pd.DataFrame()) == findings.NOTHING
