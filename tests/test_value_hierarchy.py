"""The order of values, anchors, and the numbers of paper 002."""

import numpy as np
import pandas as pd
import pytest
from value_runs import answers, instrument

from valuestab_utils.anchor_curve import anchor_curve, anchor_tables, sinusoid
from valuestab_utils.errors import ValuestabError
from valuestab_utils.published_values import published_disparities, published_means_19
from valuestab_utils.run_scores import run_scores
from valuestab_utils.value_circle import REFINED_VALUES
from valuestab_utils.value_hierarchy import (
    administration_differences,
    fisher_z_test,
    hierarchy_table,
    human_means_19,
    rank_agreement,
    value_ranks,
)

LIKERT = tuple("123456")


def pvqrr(**settings):
    return instrument(REFINED_VALUES, name="PVQ-RR", options=LIKERT, **settings)


def test_means_ranks_and_agreement_by_hand():
    of = pvqrr(centred=True)
    human = human_means_19().set_index("value")["mean"][list(REFINED_VALUES)]
    thirds = value_ranks(-human.to_numpy())  # 1 = least important
    codes = np.ceil(thirds / 19 * 6)
    frame = pd.concat([answers(of, [codes, codes]), answers(of, [7 - codes], "opposite"),
                       answers(of, np.full((1, 19), 2), "same"), answers(of, np.full((1, 19), np.nan), "none")])
    table = hierarchy_table(run_scores(frame, of))
    own = table[table["population"] == "p"].set_index("value")
    assert own.loc["Power-dominance", "mean"] == pytest.approx(1 - codes.mean())
    assert own.loc["Benevolence-caring", "rank"] == 2.5  # four have a 6
    assert own.loc["Benevolence-caring", "human_rank"] == 1
    assert (own["n_runs"] == 2).all() and (own["standard_error"] == 0).all()
    agreement = rank_agreement(table).set_index("population")["rho"]
    assert agreement["p"] > 0.95 and agreement["opposite"] == pytest.approx(-agreement["p"])
    assert agreement[["same", "none"]].isna().all()


def test_another_instrument_has_no_such_hierarchy():
    of = instrument(("a", "b"))
    with pytest.raises(ValuestabError, match="PVQ-RR"):
        hierarchy_table(run_scores(answers(of, [[1, 2]]), of))


def test_published_numbers_are_read_as_printed():
    means = published_means_19()
    assert means.groupby(["model", "population", "temperature"]).ngroups == 24
    gemma = means.query("model == 'gemma_2_9b' and population == 'names' and temperature == 0.7").set_index("acronym")
    assert gemma.loc["SDT", "mean"] == 1.91 and gemma.loc["POD", "rank"] == 19
    table = published_disparities().set_index(["model", "population", "administration", "temperature"])["disparity"]
    assert table["gemini_1.0_pro", "value_anchor", "batch", 0.0] == 0.11
    assert table["llama_3.1_70b", "names", "serial", 0.7] == 0.69
    assert human_means_19()["value"].tolist() == list(REFINED_VALUES)


def test_fishers_z_by_hand_and_where_it_is_undefined():
    z, p = fisher_z_test(0.0, np.tanh(1.0), 19, 19)
    assert z == pytest.approx(-np.sqrt(8)) and p == pytest.approx(0.00468, abs=1e-5)
    with pytest.raises(ValuestabError, match="between -1 and 1"):
        fisher_z_test(1.0, 0.5, 19, 19)


def test_batch_and_serial_are_compared_where_both_are():
    names = {"model": "m", "format": "f", "temperature": 0.0, "p_value": 0.0, "n_values": 19, "published": False}
    table = pd.DataFrame([
        names | {"population": "names", "administration": "batch", "rho": 0.6},
        names | {"population": "names", "administration": "serial", "rho": 0.8},
        names | {"population": "basic", "administration": "batch", "rho": 0.6},
        names | {"population": "demographic", "administration": "batch", "rho": 1.0},
        names | {"population": "demographic", "administration": "serial", "rho": 0.5},
    ])
    found = administration_differences(table).set_index("population")
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
    with pytest.raises(ValuestabError, match="anchored"):
        anchor_curve(scores[4:], anchors[4:])


def test_a_sinusoid_is_found_again_and_a_flat_curve_has_no_peak():
    distances = np.arange(-9, 10)
    fit = sinusoid(0.5 + 1.5 * np.cos(2 * np.pi * distances / 19 + 0.4) + 0.3 * (-1.0) ** distances)
    assert fit["amplitude"] == pytest.approx(1.5, abs=0.05)
    assert fit["peak"] == pytest.approx(-0.4 * 19 / (2 * np.pi), abs=0.1)
    assert 0.9 < fit["r_squared"] < 1
    flat = sinusoid(np.ones(19))
    assert flat["offset"] == pytest.approx(1) and np.isnan(flat["peak"]) and np.isnan(flat["r_squared"])
    assert all(np.isnan(number) for number in sinusoid(np.full(19, np.nan)).values())


def test_all_anchored_experiments_have_a_curve_and_a_fit():
    of = pvqrr(centred=True)
    places = 2 * np.pi * np.arange(19) / 19
    codes = np.round(3.5 + 2.5 * np.cos(np.subtract.outer(places, places)))
    frame = pd.concat([answers(of, codes, "value_anchor", REFINED_VALUES), answers(of, codes, "names")])
    curves, fits = anchor_tables(run_scores(frame, of))
    assert len(curves) == 19 and fits.loc[0, "n_anchors"] == 19
    assert fits.loc[0, "peak"] == pytest.approx(0, abs=1e-6) and fits.loc[0, "r_squared"] > 0.97
    with pytest.raises(ValuestabError, match="value_anchor"):
        anchor_tables(run_scores(answers(of, codes, "names"), of))
