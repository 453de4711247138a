"""Maps of values and of personas: by hand, under invariances, and how far classes lie apart."""

import itertools

import numpy as np
import pytest

from valuestab_utils.errors import ValuestabError
from valuestab_utils.metrics import (
    PersonaMap,
    align,
    class_separation,
    disparity_interval,
    load_character_classes,
    persona_map,
    value_correlations,
    value_map,
)
from valuestab_utils.prompts import REFINED_VALUES, VALUES, angles_on_circle, load_population


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


def test_the_interval_is_narrow_around_nothing_for_a_perfect_circle_and_counts_what_is_undefined():
    angles = angles_on_circle(VALUES)
    where = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    theory = np.column_stack([np.cos(angles), np.sin(angles)])
    found = disparity_interval(np.cos(where[:, None] - angles), VALUES, theory, n_resamples=20)
    assert 0 <= found.low <= found.high < 0.05 and found.n_undefined == 0
    few = np.cos(where[:2, None] - angles)[[0, 0, 0, 1]]
    undefined = disparity_interval(few, VALUES, theory, n_resamples=20)  # runs of two kinds lie on a line
    assert undefined.n_undefined == 20 and np.isnan(undefined.low)


NAMES = [f"p{i}" for i in range(12)]


def on_a_line(*x):
    """Personas p0, p1, ... at these places on the first component."""
    coordinates = np.array(x, dtype=float)[:, None]
    return PersonaMap(tuple(NAMES[: len(x)]), coordinates, np.ones(1), 1, {})


def test_map_by_hand():
    # Four personas on a cross, arms 2 and 1: variances 8 and 2, so shares 0.8 and 0.2. The first axis is (-1,
    # 1) / sqrt(2): loadings of equal magnitude, so the first is made positive, and a point at (2, -2) /
    # sqrt(2) lies at +2.
    s = np.sqrt(0.5)
    scores = np.array([[2 * s, -2 * s], [-2 * s, 2 * s], [s, s], [-s, -s]])[None, None] + 7
    found = persona_map(scores, NAMES[:4])
    np.testing.assert_allclose(found.coordinates, [[2, 0], [-2, 0], [0, 1], [0, -1]], atol=1e-12)
    assert found.explained_variance_ratio == pytest.approx([0.8, 0.2])


def test_map_keeps_the_distances_between_personas_over_seeds_contexts_and_values_unscaled(rng):
    plane = rng.normal(size=(5, 2)) @ rng.normal(size=(2, 24))
    scores = plane.reshape(5, 2, 3, 4).transpose(1, 2, 0, 3) * [1, 1, 1, 100]
    found = persona_map(scores, NAMES[:5])
    vectors = scores.transpose(2, 0, 1, 3).reshape(5, -1)
    assert found.n_dimensions == 24 and found.explained_variance_ratio.sum() == pytest.approx(1)
    for a, b in itertools.combinations(range(5), 2):
        apart = np.linalg.norm(found.coordinates[a] - found.coordinates[b])
        assert apart == pytest.approx(np.linalg.norm(vectors[a] - vectors[b]))


def test_personas_with_gaps_are_named_and_never_filled_in(rng):
    scores = rng.normal(size=(2, 3, 12, 10))
    whole = persona_map(np.delete(scores, 5, axis=2), np.delete(NAMES, 5))
    scores[1, 0, 5, :4] = np.nan
    found = persona_map(scores, NAMES)
    assert found.left_out == {"p5": "4 of 60 scores are missing"} and "p5" not in found.personas
    assert found.coordinates == pytest.approx(whole.coordinates)
    with pytest.raises(ValuestabError, match="there is nothing to map"):
        persona_map(np.full((1, 2, 4, 10), 0.3) + 1e-16 * np.eye(4, 10), NAMES[:4])  # rounding noise


def test_signs_do_not_depend_on_order_of_personas_nor_on_rounding():
    base = np.zeros((1, 1, 6, 4))
    base[0, 0] = np.outer([3, -3, 1, -1, 0, 0], [1, -1, 1, -1])
    base[0, 0, 4:, :2] = [[1, 1], [-1, -1]]
    for seed in range(10):
        rng = np.random.default_rng(seed)
        who = rng.permutation(6)
        noisy = base[:, :, who] + rng.normal(0, 1e-13, base.shape)
        found = persona_map(noisy, [NAMES[i] for i in who])
        assert found.coordinates[list(who).index(0), 0] == pytest.approx(6)


def test_separation_by_hand():
    # Classes {0, 2}, {4, 6}, {9}; mean 4.2. Means 1, 5, 9: between 2 x 3.2^2 + 2 x 0.8^2 + 4.8^2 = 44.8;
    # total 17.64 + 4.84 + 0.04 + 3.24 + 23.04 = 48.8. Who has no class does not count.
    classes = dict(zip(NAMES, ["positive", "positive", "neutral", "neutral", "negative"]))
    found = class_separation(on_a_line(0, 2, 4, 6, 9, 1000), classes)
    assert (found.share, found.n) == (pytest.approx(44.8 / 48.8), 5)


def test_p_value_of_separation_is_near_that_of_all_orders():
    x, names = [0.0, 0.4, 0.3, 1.0, 1.2, 0.5, 2.0], ["a"] * 3 + ["b"] * 4
    found = class_separation(on_a_line(*x), dict(zip(NAMES, names)), n_permutations=20000)

    def share(which):
        one, other = np.array(x)[list(which)], np.delete(x, list(which))
        return (3 * (one.mean() - np.mean(x)) ** 2 + 4 * (other.mean() - np.mean(x)) ** 2) / (7 * np.var(x))

    drawn = np.array([share(which) for which in itertools.combinations(range(7), 3)])
    assert found.share == pytest.approx(share((0, 1, 2)))
    assert found.p_value == pytest.approx(np.mean(drawn >= found.share - 1e-9), abs=0.01)


def test_every_character_has_a_class_that_nobody_would_dispute():
    classes = load_character_classes()
    assert list(classes) == [p.persona for p in load_population("fictional_characters")]
    assert set(classes.values()) == {"positive", "neutral", "negative"}
    assert [classes[name] for name in ("Aragorn", "Boromir", "Sauron")] == ["positive", "neutral", "negative"]
