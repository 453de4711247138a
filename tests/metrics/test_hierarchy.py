"""The order of values, beside people's and around anchors."""

import numpy as np
import pandas as pd
import pytest
from value_runs import answers, instrument

from valuestab_utils.metrics import (
    administration_differences,
    hierarchy_table,
    human_means_19,
    rank_agreement,
    run_scores,
    value_ranks,
)
from valuestab_utils.metrics.hierarchy import anchor_curve, sinusoid
from valuestab_utils.prompts import REFINED_VALUES

PVQ_RR = instrument(REFINED_VALUES, name="PVQ-RR", options=tuple("123456"), centred=True)


def test_means_ranks_and_agreement_by_hand():
    human = human_means_19().set_index("value")["mean"][list(REFINED_VALUES)]
    thirds = value_ranks(-human.to_numpy())  # 1 = least important
    codes = np.ceil(thirds / 19 * 6)
    frame = pd.concat([answers(PVQ_RR, [codes, codes]), answers(PVQ_RR, [7 - codes], "opposite"),
                       answers(PVQ_RR, np.full((1, 19), 2), "same"), answers(PVQ_RR, np.full((1, 19), np.nan), "none")])
    table = hierarchy_table(run_scores(frame, PVQ_RR))
    own = table[table["population"] == "p"].set_index("value")
    assert own.loc["Power-dominance", "mean"] == pytest.approx(1 - codes.mean())
    assert own.loc["Benevolence-caring", "rank"] == 2.5  # four have a 6
    assert own.loc["Benevolence-caring", "human_rank"] == 1
    assert (own["n_runs"] == 2).all() and (own["standard_error"] == 0).all()
    agreement = rank_agreement(table).set_index("population")["rho"]
    assert agreement["p"] > 0.95 and agreement["opposite"] == pytest.approx(-agreement["p"])
    assert agreement[["same", "none"]].isna().all()


def test_batch_and_serial_are_compared_where_both_are():
    rows = [("names", "batch", 0.6), ("names", "serial", 0.8), ("basic", "batch", 0.6)]
    rows += [("demographic", "batch", 1.0), ("demographic", "serial", 0.5)]
    names = {"model": "m", "format": "f", "temperature": 0.0, "p_value": 0.0, "n_values": 19, "published": False}
    table = pd.DataFrame(rows, columns=["population", "administration", "rho"]).assign(**names)
    found = administration_differences(table, "batch", "serial").set_index("population")
    assert sorted(found.index) == ["demographic", "names"]
    assert found.loc["names", "z"] == pytest.approx(-1.1468, abs=1e-4) and np.isnan(found.loc["demographic", "z"])


def test_scores_are_turned_to_the_anchor_and_averaged_over_anchors():
    scores = np.zeros((5, 19))
    scores[0, 0], scores[0, 1], scores[0, 18] = 3.0, 2.0, 1.0  # anchored at 0; round the circle, 18 is -1
    scores[1] = scores[0]
    scores[2] = np.roll(scores[0], 10) + 1  # anchored at 10, one higher throughout
    scores[3] = np.nan  # an unparsable run of the same anchor
    scores[4] = 99.0
    anchors = [REFINED_VALUES[0]] * 2 + [REFINED_VALUES[10]] * 2 + ["Animal-welfare"]
    curve = anchor_curve(scores, anchors).set_index("distance")
    assert curve.loc[[-1, 0, 1, 5], "mean"].tolist() == [1.5, 3.5, 2.5, 0.5]
    np.testing.assert_allclose(curve["standard_error"], 0.5)
    assert (curve["n_anchors"] == 2).all()


def test_a_sinusoid_is_found_again_and_a_flat_curve_has_no_peak():
    distances = np.arange(-9, 10)
    fit = sinusoid(0.5 + 1.5 * np.cos(2 * np.pi * distances / 19 + 0.4) + 0.3 * (-1.0) ** distances)
    assert fit["amplitude"] == pytest.approx(1.5, abs=0.05)
    assert fit["peak"] == pytest.approx(-0.4 * 19 / (2 * np.pi), abs=0.1)
    assert 0.9 < fit["r_squared"] < 1
    flat = sinusoid(np.ones(19))
    assert flat["offset"] == pytest.approx(1) and np.isnan(flat["peak"]) and np.isnan(flat["r_squared"])
    assert all(np.isnan(number) for number in sinusoid(np.full(19, np.nan)).values())
