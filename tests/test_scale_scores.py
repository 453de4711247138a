from dataclasses import replace

import numpy as np
import pytest

from valuestab_utils.bfi2 import load_bfi2
from valuestab_utils.errors import ValuestabError
from valuestab_utils.instruments import Instrument, Item, load_pvq40
from valuestab_utils.scale_scores import item_scores, scale_scores
from valuestab_utils.value_scores import read_key, value_scores

NAN = float("nan")
ITEMS = tuple(Item(number, scale, "", "") for number, scale in enumerate(("Tea", "Jam", "Tea", "Jam"), start=1))
PLAIN = Instrument("Larder", "", "", "", ("a", "b", "c", "d", "e"), ITEMS, ("Tea", "Jam"), centred=False)


def test_means_of_codes_by_scale():
    codes = np.array([[1, 2, 3, 5], [5, NAN, NAN, 4], [NAN, 1, NAN, 1], [NAN] * 4])
    expected = [[2, 3.5], [5, 4], [NAN, 1], [NAN, NAN]]
    np.testing.assert_array_equal(scale_scores(codes, PLAIN), expected)


def test_reversed_items_and_option_scores():
    counts = replace(PLAIN, option_scores=(0.0, 1.0, 2.0, 3.0, 10.0), reversed_items=(2, 3))
    # Item 2: 10 - 1, item 3: 10 - 10; item 1 counts 0 and item 4 counts 10.
    np.testing.assert_array_equal(item_scores(np.array([1, 2, 5, 5]), counts), [0, 9, 0, 10])
    np.testing.assert_array_equal(scale_scores(np.array([1, 2, 5, 5]), counts), [0, 9.5])


def test_centred_on_all_answered_items():
    centred = replace(PLAIN, centred=True)
    np.testing.assert_array_equal(scale_scores(np.array([[1, 2, 3, 2], [5, NAN, NAN, 1]]), centred), [[0, 0], [2, -2]])


def test_any_leading_axes():
    codes = np.random.default_rng(3).integers(1, 6, size=(2, 3, 5, 4)).astype(float)
    scores = scale_scores(codes, PLAIN)
    assert scores.shape == (2, 3, 5, 2)
    np.testing.assert_array_equal(scores[1, 2, 4], scale_scores(codes[1, 2, 4], PLAIN))


def test_agrees_with_value_scores_on_the_pvq40():
    codes = np.random.default_rng(5).integers(1, 7, size=(2, 3, 40)).astype(float)
    codes[0, 1, 7] = NAN
    expected = value_scores(codes, read_key(), items=range(1, 41))
    np.testing.assert_array_equal(scale_scores(codes, load_pvq40("project")), expected)


def test_agrees_with_the_bfi2_packages_own_scoring():
    from personality_questionnaire.bfi2 import DOMAIN_SCALES, bfi2

    bfi = load_bfi2()
    codes = np.random.default_rng(7).integers(1, 6, size=(20, 60))
    theirs = dict(zip(DOMAIN_SCALES, bfi2(codes)["OCEAN"].T))  # scaled to 0..1
    names = ("extraversion", "agreeableness", "conscientiousness", "neuroticism", "openness")
    expected = np.stack([1 + 4 * theirs[name] for name in names], axis=1)
    np.testing.assert_allclose(scale_scores(codes, bfi), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("codes", "instrument", "message"),
    [
        ([1, 2, 3], PLAIN, r"shape \(3,\), but Larder has 4 items"),
        (3.0, PLAIN, r"shape \(\), but"),
        ([1, 2, 3, 6], PLAIN, "6 is no code of Larder: codes are 1 to 5"),
        ([1, 2, 3, 0], PLAIN, "0 is no code"),
        ([1, 2, 2.5, 1], PLAIN, "2.5 is no code"),
        ([1, 2, 3, 4], replace(PLAIN, reversed_items=(9,)), "no item 9"),
        ([1, 2, 3, 4], replace(PLAIN, option_scores=(0.0, 1.0)), "5 options, but option_scores for 2"),
    ],
)
def test_what_cannot_be_scored(codes, instrument, message):
    with pytest.raises(ValuestabError, match=message):
        scale_scores(np.array(codes, dtype=float), instrument)
