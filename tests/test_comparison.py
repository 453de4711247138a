"""Pairwise tests of models: against scipy and hand calculation, in degenerate cases and under invariances."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control, ttest_ind

from valuestab_utils.comparison import compare_pairs, comparison_matrix
from valuestab_utils.errors import ValuestabError

NAN = float("nan")
COLUMNS = ["one", "other", "n_one", "n_other", "mean_one", "mean_other", "difference", "t"]
COLUMNS += ["degrees_of_freedom", "p", "p_adjusted", "significant", "undefined"]

pytestmark = pytest.mark.filterwarnings("error")


def models(n=5, units=5, seed=0):
    rng = np.random.default_rng(seed)
    return {f"model {i}": rng.normal(0.1 * i, 0.2, size=units).tolist() for i in range(n)}


def row(pairs, one, other):
    (found,) = pairs[(pairs["one"] == one) & (pairs["other"] == other)].to_dict("records")
    return found


def benjamini_hochberg(p):
    """Adjusted p-values by the definition: the least p_k m / k over ranks k not before one's own."""
    ranked = sorted(p)
    return [min(q * len(p) / k for k, q in enumerate(ranked, 1) if q >= own) for own in p]


def test_one_pair_by_hand():
    # Means 2 and 5; squares 2 and 8 over 2 + 2 degrees of freedom: s² = 2.5, t = -3 / sqrt(2.5 * 2 / 3).
    pairs = compare_pairs({"a": [1, 2, 3], "b": [3, 5, 7]})
    assert list(pairs.columns) == COLUMNS
    found = row(pairs, "a", "b")
    assert (found["n_one"], found["n_other"], found["degrees_of_freedom"]) == (3, 3, 4)
    assert (found["mean_one"], found["mean_other"], found["difference"]) == (2, 5, -3)
    assert found["t"] == pytest.approx(-3 / np.sqrt(5 / 3), rel=1e-12)
    assert found["p_adjusted"] == found["p"]  # one hypothesis
    assert found["undefined"] == ""


def test_variances_are_pooled_not_welch():
    one, other = [0.1, 0.2, 0.3, 0.2], [0.0, 0.9]
    found = row(compare_pairs({"a": one, "b": other}), "a", "b")
    test = ttest_ind(one, other)
    assert (found["t"], found["p"]) == pytest.approx((test.statistic, test.pvalue), rel=1e-12)
    assert found["p"] != pytest.approx(ttest_ind(one, other, equal_var=False).pvalue, rel=0.01)
    assert found["degrees_of_freedom"] == 4


def test_21_models_make_210_comparisons_equal_to_scipy():
    units = models(21)
    pairs = compare_pairs(units)
    assert len(pairs) == 210
    assert list(zip(pairs["one"], pairs["other"], strict=True)) == list(itertools.combinations(units, 2))
    tests = [ttest_ind(units[one], units[other]) for one, other in itertools.combinations(units, 2)]
    np.testing.assert_allclose(pairs["t"], [test.statistic for test in tests], rtol=1e-10)
    np.testing.assert_allclose(pairs["p"], [test.pvalue for test in tests], rtol=1e-10)
    np.testing.assert_allclose(pairs["p_adjusted"], benjamini_hochberg(list(pairs["p"])), rtol=1e-12)
    assert (pairs["significant"] == (pairs["p_adjusted"] <= 0.05)).all()
    assert 0 < pairs["significant"].sum() < 210


def test_adjustment_by_hand():
    # 0.01 * 3 / 1; 0.04 * 3 / 3; and 0.03 * 3 / 2 = 0.045 exceeds the next, 0.04.
    assert benjamini_hochberg([0.04, 0.01, 0.03]) == pytest.approx([0.04, 0.03, 0.04])
    pairs = compare_pairs(models(3))
    low, middle, high = sorted(pairs["p"])
    by_hand = {low: min(3 * low, 1.5 * middle, high), middle: min(1.5 * middle, high), high: high}
    np.testing.assert_allclose(pairs["p_adjusted"], [by_hand[p] for p in pairs["p"]], rtol=1e-12)


def test_the_diagonal_is_not_among_the_hypotheses():
    pairs = compare_pairs(models(4))
    with_diagonal = false_discovery_control([*pairs["p"], 1, 1, 1, 1])[: len(pairs)]
    assert (pairs["p_adjusted"] < with_diagonal).any()
    assert (pairs["p_adjusted"] >= pairs["p"]).all()


def test_untestable_pairs_are_no_hypotheses():
    units = models(3)
    without = compare_pairs(units)
    pairs = compare_pairs(units | {"short": [0.5], "empty": []})
    np.testing.assert_array_equal(pairs.loc[pairs["undefined"] == "", "p_adjusted"], without["p_adjusted"])
    rest = pairs[pairs["undefined"] != ""]
    assert len(rest) == 7
    assert set(rest["undefined"]) == {"fewer than two units"}
    assert rest["significant"].isna().all()
    assert rest[["t", "p", "p_adjusted", "degrees_of_freedom"]].isna().all(axis=None)
    assert row(pairs, "short", "empty")["mean_one"] == 0.5
    assert np.isnan(row(pairs, "short", "empty")["difference"])


def test_no_variance_in_either_has_no_test_even_if_they_differ():
    pairs = compare_pairs({"a": [0.5, 0.5], "b": [0.7, 0.7, 0.7], "c": [0.1 + 0.2, 0.3]})
    assert list(pairs["undefined"]) == ["no variance in either"] * 3  # rounding noise is no variance
    assert pairs["significant"].isna().all()
    assert pairs.loc[0, "difference"] == pytest.approx(-0.2)


def test_one_constant_model_is_tested():
    found = row(compare_pairs({"a": [0.5, 0.5, 0.5], "b": [0.1, 0.2, 0.3]}), "a", "b")
    # Pooled variance (0 + 0.02) / 4, so t = 0.3 / sqrt(0.005 * 2 / 3).
    assert found["t"] == pytest.approx(0.3 / np.sqrt(0.01 / 3))
    assert found["significant"]


def test_missing_units_are_left_out():
    pairs = compare_pairs({"a": [NAN, 0.1, 0.2, 0.3], "b": [0.3, NAN, 0.5, 0.4]})
    pd.testing.assert_frame_equal(pairs, compare_pairs({"a": [0.1, 0.2, 0.3], "b": [0.3, 0.5, 0.4]}))
    assert pairs.loc[0, "n_one"] == 3


def test_swapping_models_changes_signs_alone():
    units = models(4)
    pairs, swapped = compare_pairs(units), compare_pairs(dict(reversed(units.items())))
    for found in pairs.to_dict("records"):
        other = row(swapped, found["other"], found["one"])
        for column, sign in {"t": -1, "difference": -1, "p": 1, "p_adjusted": 1}.items():
            assert other[column] == pytest.approx(sign * found[column], rel=1e-10)
        assert (other["mean_one"], other["n_other"]) == (found["mean_other"], found["n_one"])


def test_the_order_of_units_and_their_unit_do_not_matter():
    units = models(4)
    p = compare_pairs(units)["p_adjusted"]
    reversed_units = {model: u[::-1] for model, u in units.items()}
    np.testing.assert_allclose(compare_pairs(reversed_units)["p_adjusted"], p, rtol=1e-9)
    shifted = {model: 3 + 2 * np.array(u) for model, u in units.items()}
    np.testing.assert_allclose(compare_pairs(shifted)["p_adjusted"], p, rtol=1e-9)


def test_alpha_decides_and_includes_its_bound():
    pairs = compare_pairs(models(4))
    bound = sorted(pairs["p_adjusted"])[2]
    assert compare_pairs(models(4), alpha=bound)["significant"].sum() == (pairs["p_adjusted"] <= bound).sum()
    assert str(pairs["significant"].dtype) == "boolean"


@pytest.mark.parametrize("alpha", [0, 1, -0.1, 5, NAN])
def test_alpha_must_be_a_share(alpha):
    with pytest.raises(ValuestabError, match="must lie between 0 and 1"):
        compare_pairs(models(2), alpha=alpha)


@pytest.mark.parametrize("units", [{}, {"a": [0.1, 0.2]}])
def test_fewer_than_two_models(units):
    with pytest.raises(ValuestabError, match=f"at least 2 models, not {len(units)}"):
        compare_pairs(units)


@pytest.mark.parametrize("bad", [[[0.1, 0.2]], 0.3, [0.1, float("inf")]])
def test_units_must_be_a_list_of_finite_numbers(bad):
    with pytest.raises(ValuestabError, match="Units of 'b'"):
        compare_pairs({"a": [0.1, 0.2], "b": bad})


# --- matrix


def test_matrix_is_square_symmetric_and_ordered():
    units = models(21)
    pairs = compare_pairs(units)
    matrix = comparison_matrix(pairs)
    assert list(matrix.index) == list(matrix.columns) == list(units)
    assert np.isnan(np.diag(matrix)).all()
    np.testing.assert_array_equal(matrix, matrix.T)
    assert matrix.notna().sum(axis=None) == 2 * 210
    for found in pairs.to_dict("records"):
        assert matrix.loc[found["one"], found["other"]] == found["p_adjusted"]


@pytest.mark.parametrize("column", ["difference", "t"])
def test_matrix_of_what_has_a_direction_is_row_less_column(column):
    pairs = compare_pairs(models(4))
    matrix = comparison_matrix(pairs, column)
    np.testing.assert_array_equal(matrix, -matrix.T)
    assert matrix.iloc[0, 3] == row(pairs, "model 0", "model 3")[column]


def test_matrix_of_significance_leaves_out_the_undefined():
    pairs = compare_pairs({"a": [0.1, 0.11, 0.12], "b": [0.9, 0.91, 0.92], "c": [0.5]})
    expected = [[NAN, 1, NAN], [1, NAN, NAN], [NAN, NAN, NAN]]
    np.testing.assert_array_equal(comparison_matrix(pairs, "significant"), expected)
    np.testing.assert_array_equal(comparison_matrix(pairs, "degrees_of_freedom").loc["a"], [NAN, 4, NAN])


def test_matrix_of_two_models():
    matrix = comparison_matrix(compare_pairs({"b": [0.1, 0.2], "a": [0.3, 0.4]}), "p")
    assert list(matrix.index) == ["b", "a"]


def test_matrix_errors():
    pairs = compare_pairs(models(2))
    with pytest.raises(ValuestabError, match="Unknown column 'mean_one'"):
        comparison_matrix(pairs, "mean_one")
    with pytest.raises(ValuestabError, match="no pairs to arrange"):
        comparison_matrix(pd.DataFrame())
