"""The characters' map: axes, what is left out, and how far classes lie apart."""

import itertools

import numpy as np
import pytest

from valuestab_utils.errors import ValuestabError
from valuestab_utils.pca import (
    CLASSES,
    PersonaMap,
    Separation,
    class_separation,
    load_character_classes,
    persona_map,
)
from valuestab_utils.populations import load_population

NAMES = [f"p{i}" for i in range(12)]

pytestmark = pytest.mark.filterwarnings("error")


def on_a_line(*x):
    """Personas p0, p1, ... at these places on the first component."""
    coordinates = np.array(x, dtype=float)[:, None]
    return PersonaMap(tuple(NAMES[: len(x)]), coordinates, np.ones(1), 1, {})


def test_two_known_dimensions_come_out_with_their_shares(rng):
    x, y = rng.normal(size=(2, 12))
    x, y = x - x.mean(), y - y.mean()
    y = y - x * (x @ y) / (x @ x)  # uncorrelated
    scores = np.zeros((2, 3, 12, 10))
    scores[1, 2, :, 4], scores[0, 0, :, 7] = 5 * x, y
    found = persona_map(scores, NAMES)
    assert found.coordinates == pytest.approx(np.stack([5 * x, y], axis=1))  # the largest loading is positive
    total = 25 * x @ x + y @ y
    assert found.explained_variance_ratio == pytest.approx([25 * x @ x / total, y @ y / total])
    assert found.n_dimensions == 60 and found.left_out == {} and found.personas == tuple(NAMES)


def test_shifting_all_personas_changes_nothing_and_order_only_the_order(rng):
    scores = rng.normal(size=(2, 3, 12, 10))
    found, shifted = persona_map(scores, NAMES), persona_map(scores + 7, NAMES)
    assert shifted.coordinates == pytest.approx(found.coordinates)
    turned = persona_map(scores[:, :, ::-1], NAMES[::-1])
    assert turned.coordinates[::-1] == pytest.approx(found.coordinates)


def test_personas_with_gaps_are_named_and_never_filled_in(rng):
    scores = rng.normal(size=(2, 3, 12, 10))
    whole = persona_map(np.delete(scores, 5, axis=2), np.delete(NAMES, 5))
    scores[1, 0, 5, :4] = np.nan
    found = persona_map(scores, NAMES)
    assert found.left_out == {"p5": "4 of 60 scores are missing"} and "p5" not in found.personas
    assert found.coordinates == pytest.approx(whole.coordinates)


def test_what_cannot_be_mapped_is_refused(rng):
    scores = rng.normal(size=(1, 2, 4, 10))
    scores[0, 0, :2, 0] = np.nan
    with pytest.raises(ValuestabError, match="but 2 of 4 have them"):
        persona_map(scores, NAMES[:4])
    with pytest.raises(ValuestabError, match="same scores, so there is nothing to map"):
        persona_map(np.ones((1, 2, 4, 10)), NAMES[:4])
    with pytest.raises(ValuestabError, match="for 3 personas"):
        persona_map(np.ones((1, 2, 4, 10)), NAMES[:3])


def test_classes_that_lie_apart_and_classes_that_do_not(rng):
    classes = {name: CLASSES[i % 3] for i, name in enumerate(NAMES)}
    scores = rng.normal(size=(1, 2, 12, 10))
    by_chance = class_separation(persona_map(scores, NAMES), classes, n_permutations=200)
    assert by_chance.p_value > 0.02 and 0 <= by_chance.share <= 1 and by_chance.n == 12
    scores += 20 * np.array([i % 3 for i in range(12)])[:, None]
    apart = class_separation(persona_map(scores, NAMES), classes, n_permutations=200)
    assert apart.share > 0.95 and apart.p_value < 0.02
    some = {name: CLASSES[0] for name in NAMES[:2]}
    with pytest.raises(ValuestabError, match="two of them on the map, not 1"):
        class_separation(persona_map(scores, NAMES), some)


def test_every_character_has_a_class_and_no_other_has():
    classes = load_character_classes()
    assert list(classes) == [p.persona for p in load_population("fictional_characters")]
    assert set(classes.values()) == set(CLASSES)


def test_bad_classes_are_refused(tmp_path):
    file = tmp_path / "classes.csv"
    file.write_text("character,class\nSam,good\n", encoding="utf-8")
    with pytest.raises(ValuestabError, match="Unknown class in .*row 2.*'good'"):
        load_character_classes(file)
    file.write_text("character,class\nSam,positive\nSam,negative\n", encoding="utf-8")
    with pytest.raises(ValuestabError, match="row 3: the character 'Sam' is there twice"):
        load_character_classes(file)


def test_map_by_hand():
    # Four personas on a cross, arms 2 and 1: variances 8 and 2, so shares 0.8 and 0.2. The first axis is (-1,
    # 1) / sqrt(2): loadings of equal magnitude, so the first is made positive, and a point at (2, -2) /
    # sqrt(2) lies at +2.
    s = np.sqrt(0.5)
    scores = np.array([[2 * s, -2 * s], [-2 * s, 2 * s], [s, s], [-s, -s]])[None, None]
    found = persona_map(scores, NAMES[:4])
    np.testing.assert_allclose(found.coordinates, [[2, 0], [-2, 0], [0, 1], [0, -1]], atol=1e-12)
    assert found.explained_variance_ratio == pytest.approx([0.8, 0.2])


def test_map_keeps_the_distances_between_personas(rng):
    scores = rng.normal(size=(2, 3, 5, 4))
    found = persona_map(scores, NAMES[:5], n_components=4)
    vectors = scores.transpose(2, 0, 1, 3).reshape(5, -1)
    for a, b in itertools.combinations(range(5), 2):
        apart = np.linalg.norm(found.coordinates[a] - found.coordinates[b])
        assert apart == pytest.approx(np.linalg.norm(vectors[a] - vectors[b]))
    assert found.explained_variance_ratio.sum() == pytest.approx(1)


def test_map_is_not_scaled(rng):
    scores = rng.normal(size=(1, 1, 12, 10))
    scores[..., 3] *= 100
    assert persona_map(scores, NAMES).explained_variance_ratio[0] > 0.99


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


def test_seeds_and_contexts_are_dimensions_in_any_order(rng):
    scores = rng.normal(size=(5, 5, 12, 10))
    found, turned = persona_map(scores, NAMES), persona_map(scores[::-1].swapaxes(0, 1), NAMES)
    assert found.n_dimensions == turned.n_dimensions == 250
    assert np.abs(turned.coordinates) == pytest.approx(np.abs(found.coordinates))
    assert turned.explained_variance_ratio == pytest.approx(found.explained_variance_ratio)


def test_rounding_noise_is_not_mapped():
    scores = np.full((1, 2, 4, 10), 0.3)
    scores[0, 0, 1] = 0.1 + 0.2
    with pytest.raises(ValuestabError, match="there is nothing to map"):
        persona_map(scores, NAMES[:4])


@pytest.mark.parametrize("n_components", [0, 4, 2.5])
def test_components_that_cannot_be_are_refused(rng, n_components):
    with pytest.raises(ValuestabError, match="whole number from 1 to 3 for 4 complete personas in 20 dim"):
        persona_map(rng.normal(size=(1, 2, 4, 10)), NAMES[:4], n_components)


def test_a_persona_named_twice_is_refused(rng):
    with pytest.raises(ValuestabError, match="named twice"):
        persona_map(rng.normal(size=(1, 2, 3, 10)), ["Sam", "Frodo", "Sam"])


def test_separation_by_hand():
    # Classes {0, 2}, {4, 6}, {9}; mean 4.2. Means 1, 5, 9: between 2 x 3.2^2 + 2 x 0.8^2 + 4.8^2 = 44.8;
    # total 17.64 + 4.84 + 0.04 + 3.24 + 23.04 = 48.8.
    classes = dict(zip(NAMES, ["positive", "positive", "neutral", "neutral", "negative"]))
    found = class_separation(on_a_line(0, 2, 4, 6, 9), classes)
    assert (found.share, found.n) == (pytest.approx(44.8 / 48.8), 5)


def test_separation_limits():
    halves = dict(zip(NAMES, ["positive", "negative"] * 2))
    apart = class_separation(on_a_line(1, -1, 1, -1), halves)
    mixed = class_separation(on_a_line(1, 1, -1, -1), halves)
    assert apart.share == 1.0 and (mixed.share, mixed.p_value) == (0.0, 1.0)
    assert class_separation(on_a_line(0, 1, 5), dict(zip(NAMES, CLASSES))) == Separation(1.0, 1.0, 3)


def test_p_value_of_separation_is_near_that_of_all_orders():
    x, names = [0.0, 0.4, 0.3, 1.0, 1.2, 0.5, 2.0], ["a"] * 3 + ["b"] * 4
    found = class_separation(on_a_line(*x), dict(zip(NAMES, names)), n_permutations=20000)

    def share(which):
        one, other = np.array(x)[list(which)], np.delete(x, list(which))
        return (3 * (one.mean() - np.mean(x)) ** 2 + 4 * (other.mean() - np.mean(x)) ** 2) / (7 * np.var(x))

    drawn = np.array([share(which) for which in itertools.combinations(range(7), 3)])
    assert found.share == pytest.approx(share((0, 1, 2)))
    assert found.p_value == pytest.approx(np.mean(drawn >= found.share - 1e-9), abs=0.01)


def test_p_value_of_separation_is_never_0():
    classes = dict(zip(NAMES, ["positive"] * 6 + ["negative"] * 6))
    apart = class_separation(on_a_line(*range(6), *range(100, 106)), classes, n_permutations=3)
    assert apart.p_value == 1 / 4


def test_separation_by_chance_is_as_large_as_it_says():
    x = np.random.default_rng(1).normal(size=(400, 12))
    classes = {name: CLASSES[i % 3] for i, name in enumerate(NAMES)}
    found = [class_separation(on_a_line(*row), classes, n_permutations=19) for row in x]
    assert np.mean([one.share for one in found]) == pytest.approx(2 / 11, abs=0.03)
    assert np.mean([one.p_value <= 0.05 for one in found]) < 0.09


def test_separation_ignores_sign_and_unit_and_those_without_a_class(rng):
    x, classes = rng.normal(size=9), {name: CLASSES[i % 3] for i, name in enumerate(NAMES[:9])}
    found = class_separation(on_a_line(*x), classes, seed=3)
    assert class_separation(on_a_line(*(5 - 3 * x)), classes, seed=3).share == pytest.approx(found.share)
    assert class_separation(on_a_line(*x, 1000, -7), classes, seed=3) == found
    moved = {name: CLASSES[i % 3] for i, name in enumerate(NAMES[2:11])}
    assert class_separation(on_a_line(1000, -7, *x), moved, seed=3) == found
    assert class_separation(on_a_line(*x), classes, seed=3) == found


def test_separation_refuses_one_place_and_no_permutations():
    classes = dict(zip(NAMES, CLASSES))
    with pytest.raises(ValuestabError, match="The 3 personas with a class are all in one place"):
        class_separation(on_a_line(1, 1, 1, 5), classes)
    with pytest.raises(ValuestabError, match="n_permutations is 0"):
        class_separation(on_a_line(1, 2, 3), classes, n_permutations=0)


def test_classes_that_nobody_would_dispute():
    classes = load_character_classes()
    for character in ("Sauron", "Morgoth", "Ungoliant", "Gothmog (Balrog)", "Durin's Bane"):
        assert classes[character] == "negative"
    for character in ("Samwise Gamgee", "Aragorn", "Lúthien", "Finrod Felagund"):
        assert classes[character] == "positive"
    for character in ("Boromir", "Denethor", "Túrin Turambar", "Sméagol"):
        assert classes[character] == "neutral"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("character,class\n", "has no characters"),
        ("character,class\n ,positive\n", "row 2: the character is empty"),
        ("character,kind\nSam,positive\n", "lacks the column 'class'"),
        ("character,class\nSam,\n", "Unknown class in .*row 2: ''"),
    ],
)
def test_class_files_that_are_none_are_refused(tmp_path, text, message):
    file = tmp_path / "classes.csv"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ValuestabError, match=message):
        load_character_classes(file)


def test_blanks_around_cells_do_not_count(tmp_path):
    file = tmp_path / "classes.csv"
    file.write_text("character,class\nSam , positive\n", encoding="utf-8")
    assert load_character_classes(file) == {"Sam": "positive"}
