"""Agreement with behaviours by the higher-order value of the prompt."""

import numpy as np
import pytest
from value_runs import answers, instrument

from valuestab_utils.behaviour_agreement import agreement_table, higher_order_correlations, politics_table
from valuestab_utils.errors import ValuestabError
from valuestab_utils.run_scores import run_scores

BEHAVIOURS = ("Conservative politics", "Risk seeking", "Helping others")
AREAS = {"Conservative politics": "politics", "Risk seeking": "personality", "Helping others": "ethics"}
GROUPS = ["Tradition", "Security", "Stimulation", "Power", "Universalism", "Hedonism", "none"]


def statements():
    yes_no = {"options": ("No", "Yes"), "option_scores": (0.0, 1.0), "reversed_items": (4,)}
    return instrument(BEHAVIOURS, 2, name="Behaviour-statements", **yes_no)


def runs():
    no, yes = 1, 2
    codes = [
        [yes, no, yes, no, no, yes],  # tradition: conservative by both statements, the second one reversed
        [yes, no, no, yes, no, no],  # security: by one
        [no, yes, no, yes, yes, no],
        [yes, yes, no, no, yes, no],
        [no, no, yes, yes, no, yes],
        [yes] * 6,  # hedonism and no prompt count for no higher-order value
        [no] * 6,
    ]
    return run_scores(answers(statements(), codes, "value_prompts", GROUPS), statements())


def test_shares_of_agreement_by_hand():
    table = agreement_table(runs(), AREAS).set_index(["behaviour", "higher_order"])
    conservation = table.loc[("Conservative politics", "Conservation")]
    assert conservation["agreement"] == 0.75 and conservation["n"] == 2 and conservation["standard_error"] == 0.25
    assert conservation["area"] == "politics"
    openness = table.loc[("Risk seeking", "Openness to change")]
    assert openness["agreement"] == 1 and openness["n"] == 1 and np.isnan(openness["standard_error"])


def test_vectors_of_agreement_are_correlated_over_behaviours():
    table = agreement_table(runs(), AREAS)
    found = higher_order_correlations(table).set_index(["value_a", "value_b"])["r"]
    vectors = table.pivot(index="behaviour", columns="higher_order", values="agreement")
    expected = np.corrcoef(vectors["Conservation"], vectors["Openness to change"])[0, 1]
    assert found["Conservation", "Openness to change"] == pytest.approx(expected)
    assert found["Conservation", "Conservation"] == pytest.approx(1) and len(found) == 16
    assert found["Self-enhancement", "Self-transcendence"] == pytest.approx(-1)


def test_politics_and_what_is_missing():
    table = agreement_table(runs(), AREAS)
    politics = politics_table(table).set_index("higher_order")["agreement"]
    assert politics["Self-transcendence"] == 0 and politics["Self-enhancement"] == 1
    with pytest.raises(ValuestabError, match="Flat earth"):
        politics_table(table, ("Flat earth",))
    with pytest.raises(ValuestabError, match="Risk seeking, Helping others have no area"):
        agreement_table(runs(), {"Conservative politics": "politics"})
