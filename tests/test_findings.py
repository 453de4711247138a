"""Sentences on what was found come from the tables alone."""

import pandas as pd
from fakes import tidy_answers

from valuestab_utils import findings, tables


def test_findings_tell_model_and_controls_apart():
    frame = pd.concat([tidy_answers(), tidy_answers(model="control-random"), tidy_answers("none", seeds=(1,))])
    model, controls = findings.summary(tables.stability_table(frame), "a-model")
    assert model.startswith("a-model: base, rank-order 1.00 ± 0.00 fictional characters")
    assert "ipsative 1.00 ± 0.00 no persona" in model and "ipsative" not in controls
    assert controls == "Controls: random, rank-order 1.00 ± 0.00 fictional characters."
