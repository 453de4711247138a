"""Correlations of values, their maps, and the references that these are compared with."""

import itertools

import numpy as np
import pandas as pd
import pytest
from value_runs import answers, instrument

from valuestab_utils.errors import ValuestabError
from valuestab_utils.instruments import VALUES
from valuestab_utils.run_scores import run_scores
from valuestab_utils.structure_tables import map_points, structure_table
from valuestab_utils.value_circle import REFINED_VALUES, angles_on_circle, higher_order_of
from valuestab_utils.value_references import human_10, human_structure_19, references_10, theory_10, theory_19
from valuestab_utils.value_structure import align, disparity_interval, value_correlations, value_map


def circumplex(values):
    angles = angles_on_circle(values)
    return np.cos(np.subtract.outer(angles, angles))


@pytest.mark.parametrize("values", [VALUES, REFINED_VALUES])
def test_a_perfect_circumplex_maps_to_a_perfect_circle(values):
    found = value_map(circumplex(values))
    np.testing.assert_allclose(np.hypot(*(found - found.mean(axis=0)).T), 1, atol=1e-6)
    angles = angles_on_circle(values)
    assert align(np.column_stack([np.cos(angles), np.sin(angles)]), found).disparity == pytest.approx(0, abs=1e-9)


def test_a_map_is_the_same_each_time_and_for_each_order_of_the_values():
    rng = np.random.default_rng(3)
    correlations = np.corrcoef(rng.normal(size=(12, 10)), rowvar=False)
    found, order = value_map(correlations), rng.permutation(10)
    np.testing.assert_array_equal(found, value_map(correlations))
    assert align(found[order], value_map(correlations[np.ix_(order, order)])).disparity == pytest.approx(0, abs=1e-3)


def test_a_turned_mirrored_scaled_and_shifted_copy_has_no_disparity():
    points = np.random.default_rng(0).normal(size=(19, 2))
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    copy = 5 * (points * [1, -1]) @ turn + [3, -7]
    fit = align(points, copy)
    assert fit.disparity == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(fit.aligned, fit.reference, atol=1e-12)
    np.testing.assert_allclose((fit.reference**2).sum(), 1)


def test_disparity_of_a_square_and_a_rhombus_by_hand():
    # Standardised axes: (1/2, 1/2) twice against (a, b) on the axes, a^2 + b^2 = 1/2. The best scale is the sum s of
    # the products' singular values, the disparity 1 - s^2.
    square = np.array([[1.0, 0], [0, 1], [-1, 0], [0, -1]])
    rhombus = square * [3.0, 1.0]
    s = 2 * (0.5 * 3 / np.sqrt(20) + 0.5 * 1 / np.sqrt(20))
    assert align(square, rhombus).disparity == pytest.approx(1 - s**2)  # 0.2


def test_values_that_do_not_vary_are_named():
    scores = np.array([[1.0, 2.0, 0.1], [2.0, 2.0, 0.1], [3.0, 2.0, 0.1]])
    with pytest.raises(ValuestabError, match="same score in all 3 runs.*: Power, Security"):
        value_correlations(scores, ["Hedonism", "Power", "Security"])
    with pytest.raises(ValuestabError, match="3 complete runs or more, not 2"):
        value_correlations(scores[:2], ["Hedonism", "Power", "Security"])
    with pytest.raises(ValuestabError, match="missing"):
        value_correlations(np.array([[np.nan], [1.0], [2.0]]), ["Power"])


def test_values_on_a_line_have_no_map():
    with pytest.raises(ValuestabError, match="one line"):
        value_map(np.array([[1.0, -1, 1], [-1, 1, -1], [1, -1, 1]]))


def test_the_interval_is_narrow_around_nothing_for_a_perfect_circle_and_counts_what_is_undefined():
    angles = angles_on_circle(VALUES)
    where = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    theory = np.column_stack([np.cos(angles), np.sin(angles)])
    found = disparity_interval(np.cos(where[:, None] - angles), VALUES, theory, n_resamples=20)
    assert 0 <= found.low <= found.high < 0.05 and found.n_undefined == 0
    few = np.cos(where[:2, None] - angles)[[0, 0, 0, 1]]
    undefined = disparity_interval(few, VALUES, theory, n_resamples=20)  # runs of two kinds lie on a line
    assert undefined.n_undefined == 20 and np.isnan(undefined.low)


def test_references():
    human = human_10()
    np.testing.assert_array_equal(human.correlations, human.correlations.T)
    assert human.values == VALUES and human.correlations[3, 4] == 0.2482  # achievement and power
    assert 0.05 < align(theory_10().coordinates, human.coordinates).disparity < 0.2
    assert higher_order_of(REFINED_VALUES[-1]) == "Self-transcendence"
    assert theory_19().coordinates[0, 0] < 0 < theory_19().coordinates[-1, 0]  # self-direction left of universalism


def test_the_users_human_structure(tmp_path):
    path = tmp_path / "human.csv"
    assert human_structure_19(path) is None
    truth = circumplex(REFINED_VALUES).round(6)
    pairs = pd.DataFrame(
        [(REFINED_VALUES[i], REFINED_VALUES[j], truth[i, j]) for i, j in itertools.combinations(range(19), 2)],
        columns=["value_a", "value_b", "r"],
    )
    pairs.to_csv(path, index=False)
    human = human_structure_19(path)
    np.testing.assert_array_equal(human.correlations, truth)
    assert align(theory_19().coordinates, human.coordinates).disparity == pytest.approx(0, abs=1e-6)
    twice = pairs.iloc[[0]].assign(r=0.1)
    for bad, message in (
        (pairs.iloc[1:], "lacks 1 of 171 pairs, the first Self-direction-thought and Self-direction-action"),
        (pairs.rename(columns={"r": "rho"}), "lacks the column 'r'"),
        (pairs.replace("Face", "Fame"), "Did you mean 'Face'"),
        (pairs.assign(r=1.2), "between -1 and 1"),
        (pd.concat([pairs, twice]), "row 173"),
        (pairs.assign(r=pairs["r"].astype(object).where(pairs.index > 0, "x")), "row 2, column r: 'x' is no number"),
    ):
        bad.to_csv(path, index=False)
        with pytest.raises(ValuestabError, match=message):
            human_structure_19(path)


def test_tables_tell_the_fit_of_each_experiment_or_why_there_is_none():
    of = instrument(VALUES, name="PVQ-40", options=tuple("123456"), centred=True)
    where = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    codes = np.round(3.5 + 2.5 * np.cos(where[:, None] - angles_on_circle(VALUES)))
    codes[0] = np.nan
    flat = np.tile(np.arange(10) % 6 + 1, (3, 1))
    frame = pd.concat([answers(of, codes, "varied"), answers(of, flat, "flat")])
    scores = run_scores(frame, of)
    fits = structure_table(scores, references_10(), n_resamples=5)
    table = fits.set_index(["population", "reference"])
    theory = table.loc[("varied", "theory")]
    assert theory["disparity"] < 0.1 and theory["order_correlation"] > 0.9
    assert theory["n_runs"] == 39 and theory["n_left_out"] == 1 and theory["reason"] == ""
    none = table.loc[("flat", "human")]
    assert np.isnan(none["disparity"]) and "same score in all 3 runs" in none["reason"]
    points = map_points(scores, theory_10(), fits)
    assert points.loc[points["population"] == "flat", ["x", "y", "disparity"]].isna().all(axis=None)
    assert points["reference_x"].notna().all()
    points = points[points["population"] == "varied"]
    squares = (points["x"] - points["reference_x"]) ** 2 + (points["y"] - points["reference_y"]) ** 2
    assert squares.sum() == pytest.approx(points["disparity"].iloc[0])
