"""Sentences on what was found come from the tables alone."""

import numpy as np
import pandas as pd
import pytest
from fakes import tidy_answers

from valuestab_utils.papers import kovac2024, sentences, yehudai2025
from valuestab_utils.papers.tables import NOTHING
from valuestab_utils.prompts import load_questionnaire

QUESTIONNAIRES = {"PVQ-40": load_questionnaire("PVQ-40", "project")}


def test_findings_tell_model_and_controls_apart():
    frame = pd.concat([tidy_answers(), tidy_answers(model="control-random"), tidy_answers("none", seeds=(1,))])
    model, controls = kovac2024.summary(kovac2024.stability_table(frame, QUESTIONNAIRES), "a-model")
    assert model.startswith("a-model: base, rank-order 1.00 ± 0.00 fictional characters")
    assert "ipsative 1.00 ± 0.00 no persona" in model and "ipsative" not in controls
    assert controls == "Controls: random, rank-order 1.00 ± 0.00 fictional characters."
    assert kovac2024.summary(kovac2024.stability_table(frame[:0], QUESTIONNAIRES), "a-model") == []


def test_bars_name_the_ends_and_the_controls():
    table = pd.DataFrame({"model": ["a-model", "control-random"], "format": "tuned_sys", "stability": [0.5, 0.1]})
    table = table.assign(standard_error=[0.02, np.nan], population="fictional_characters", chance_p=[0.01, 0.5])
    told = sentences.of_bars(table)
    assert told.startswith("Most stable: a-model") and "0.50 ± 0.02." in told
    assert "1 of 1 lie above what chance gives" in told and told.endswith("Controls: random control 0.10.")
    undefined = table.assign(stability=[np.nan, 0.1])
    assert sentences.of_bars(undefined) == "No model has a defined stability here."


@pytest.mark.parametrize(
    ("difference", "said"),
    [
        (-0.5, "the single order invents 0.50 of ipsative stability (0.40 alone, -0.10"),
        (0.3, "hides 0.30"),
        (np.nan, "undefined in one of the orders"),
    ],
)
def test_a_single_order_hides_or_invents(difference, said):
    row = {"model": "a-model", "format": "base", "measure": "ipsative", "single": 0.4, "balanced": -0.1}
    row |= {"expected": 0.2, "difference": difference, "letter_bias": 0.71, "favourite": "C"}
    assert said in sentences.of_orders(pd.DataFrame([row]))


def test_a_printed_number_is_never_said_of_a_model_of_the_same_name():
    mine = {"label": "same", "model": "same", "row": "BFI-2", "mean": 0.2, "published": False}
    behaviours = pd.DataFrame([mine, mine | {"row": "average", "mean": 0.9, "published": True}])
    values = pd.DataFrame([mine | {"row": "H-NP", "mean": 0.3}, mine | {"row": "H-NP", "mean": 0.8, "published": True}])
    assert yehudai2025.summary(values, behaviours, "same") == [
        "H-NP: same: values similarity 0.30, behaviour similarity BFI-2 0.20."
    ]
    assert sentences.of_similarities(behaviours) == "same: 0.20 (BFI-2)."
    assert sentences.of_similarities(behaviours[1:]) == NOTHING
