"""From answers to scores: axes, units, runs at any temperature, and what is refused."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import value_runs
from value_runs import instrument, with_probabilities

from valuestab_utils.errors import ValuestabError
from valuestab_utils.letters import at_temperature, drawn_codes
from valuestab_utils.metrics import run_scores, same_runs, scale_scores, score_answers, value_scores
from valuestab_utils.prompts import Item, Questionnaire, load_questionnaire

NAN = float("nan")


@pytest.mark.parametrize(
    ("answers", "key", "centre", "expected"),
    [
        # Mean 22/7: A = 11/2 - 22/7, B = 4 - 22/7, C = 2 - 22/7, D = 1 - 22/7.
        ([6, 5, 4, 1, 2, 3, 1], {"A": [1, 2], "B": [3], "C": [4, 5, 6], "D": [7]}, True, [33, 12, -16, -30]),
        # The mean of the answers is 3.5; the mean of the values' means, 5 and 2 and 2, would be 3.
        ([5, 5, 2, 2], {"A": [1, 2], "B": [3], "C": [4]}, True, [21, -21, -21]),
        # Item 3, which the key does not have, counts for the mean of 4.
        ([6, 4, 2], {"A": [1], "B": [2]}, True, [28, 0]),
        ([6, 4, 2], {"A": [1, 3], "B": [2]}, False, [56, 56]),
        # There are 6, 2 and 1: mean 3. A has 6 alone, B nothing, C 2 and 1.
        ([6, NAN, NAN, 2, 1], {"A": [1, 2], "B": [3], "C": [4, 5]}, True, [42, NAN, -21]),
        ([NAN, NAN], {"A": [1], "B": [2]}, True, [NAN, NAN]),
    ],
)
def test_value_scores_by_hand(answers, key, centre, expected):
    scores = value_scores(np.array([[answers]]), key, list(range(1, len(answers) + 1)), centre=centre)
    np.testing.assert_allclose(scores[0, 0] * 14, expected, atol=1e-12)


ITEMS = tuple(Item(number, scale, "", "") for number, scale in enumerate(("Tea", "Jam", "Tea", "Jam"), start=1))
PLAIN = Questionnaire("Larder", "", "", "", ("a", "b", "c", "d", "e"), ITEMS, ("Tea", "Jam"), centred=False)


def test_means_of_codes_by_scale():
    codes = np.array([[1, 2, 3, 5], [5, NAN, NAN, 4], [NAN, 1, NAN, 1], [NAN] * 4])
    expected = [[2, 3.5], [5, 4], [NAN, 1], [NAN, NAN]]
    np.testing.assert_array_equal(scale_scores(codes, PLAIN), expected)
    np.testing.assert_array_equal(scale_scores(codes.reshape(2, 2, 4), PLAIN), np.reshape(expected, (2, 2, 2)))


def test_reversed_items_and_option_scores():
    counts = replace(PLAIN, option_scores=(0.0, 1.0, 2.0, 3.0, 10.0), reversed_items=(2, 3))
    # Item 2: 10 - 1, item 3: 10 - 10; item 1 counts 0 and item 4 counts 10.
    np.testing.assert_array_equal(scale_scores(np.array([1, 2, 5, 5]), counts), [0, 9.5])


def test_centred_on_all_answered_items():
    centred = replace(PLAIN, centred=True)
    np.testing.assert_array_equal(scale_scores(np.array([[1, 2, 3, 2], [5, NAN, NAN, 1]]), centred), [[0, 0], [2, -2]])


def test_agrees_with_value_scores_on_the_pvq40():
    codes = np.random.default_rng(5).integers(1, 7, size=(2, 3, 40)).astype(float)
    codes[0, 1, 7] = NAN
    expected = value_scores(codes, load_questionnaire("PVQ-40").key, items=range(1, 41))
    np.testing.assert_array_equal(scale_scores(codes, load_questionnaire("PVQ-40", "project")), expected)


def test_agrees_with_the_bfi2_packages_own_scoring():
    from personality_questionnaire.bfi2 import DOMAIN_SCALES, bfi2

    codes = np.random.default_rng(7).integers(1, 6, size=(20, 60))
    theirs = dict(zip(DOMAIN_SCALES, bfi2(codes)["OCEAN"].T))  # scaled to 0..1
    names = ("extraversion", "agreeableness", "conscientiousness", "neuroticism", "openness")
    expected = np.stack([1 + 4 * theirs[name] for name in names], axis=1)
    np.testing.assert_allclose(scale_scores(codes, load_questionnaire("BFI-2")), expected, atol=1e-12)


def test_what_is_no_code_cannot_be_scored():
    with pytest.raises(ValuestabError, match="6 is no code of Larder: give 1 to 5"):
        scale_scores(np.array([1.0, 2, 3, 6]), PLAIN)


PVQ = load_questionnaire("PVQ-40", "project")


def answers(code, instrument=PVQ, personas=("a", "b", "c"), topics=("joke", "chess"), seeds=(1,), induced=True):
    """Answers by a rule code(persona, topic, seed, item)."""
    return pd.DataFrame(
        {
            "model": "m", "format": "base", "population": "p", "instrument": instrument.name,
            "persona": persona, "topic": topic, "seed": seed, "item": item.item,
            "persona_description": f"{persona}." if induced else "", "answer": code(persona, topic, seed, item),
        }
        for persona in personas for topic in topics for seed in seeds for item in instrument.items
    )  # fmt: skip


def test_scores_of_the_questionnaire_are_centred_means_by_the_key():
    def code(persona, topic, seed, item):
        return 6 if item.value == "Power" else 2

    scored = score_answers(answers(code), PVQ)
    mean = (3 * 6 + 37 * 2) / 40
    assert scored.scores.shape == (1, 2, 3, 10) and scored.values == tuple(load_questionnaire("PVQ-40").key)
    power = scored.values.index("Power")
    assert scored.scores[..., power] == pytest.approx(6 - mean)
    assert np.delete(scored.scores, power, axis=-1) == pytest.approx(2 - mean)
    assert scored.contexts == ("chess", "joke") and scored.personas == ("a", "b", "c") and scored.missing == 0


def test_scores_of_donation_are_mean_coins_of_each_race():
    donation = load_questionnaire("Donation", n_names=2)
    scored = score_answers(answers(lambda p, t, s, item: 1 if item.value == "orc" else 6, donation), donation)
    assert scored.values == donation.scales
    assert list(scored.scores[0, 0, 0]) == [10, 10, 0, 10, 10]  # not centred
    half = score_answers(answers(lambda p, t, s, item: 2.5, donation), donation)
    assert (half.scores == 3).all()  # between 2 coins (code 2) and 4 coins (code 3)


def test_measures_are_those_that_are_defined():
    religion = load_questionnaire("Religion")
    of_one_scale = score_answers(answers(lambda p, t, s, item: "abc".index(p) + 1, religion), religion)
    assert of_one_scale.measures == ("rank_order",) and of_one_scale.scores.shape == (1, 2, 3, 1)
    assert of_one_scale.stability("rank_order").overall == 1
    for options in ({"induced": False}, {"personas": ("a", "b")}):  # without personas to be put in order
        frame = answers(lambda p, t, s, i: i.item % 6 + 1, **options)
        assert score_answers(frame, PVQ).measures == ("ipsative",)


def test_missing_answers_are_counted_and_left_out():
    scored = score_answers(answers(lambda p, t, s, i: 3.0 if i.item > 1 or p != "a" else np.nan), PVQ)
    assert scored.missing == 2 and not np.isnan(scored.scores).any()


def test_order_of_rows_makes_no_difference():
    rng = np.random.default_rng(0)
    frame = answers(lambda p, t, s, i: int(rng.integers(1, 7)), seeds=(2, 1))
    shuffled = frame.sample(frac=1, random_state=0)
    assert (score_answers(frame, PVQ).scores == score_answers(shuffled, PVQ).scores).all()
    assert score_answers(frame, PVQ).seeds == (1, 2)


def test_several_experiments_duplicates_and_missing_items_are_refused():
    frame = answers(lambda p, t, s, i: 3)
    with pytest.raises(ValuestabError, match="one format at a time.*other"):
        score_answers(pd.concat([frame, frame.assign(format="other")]), PVQ)
    with pytest.raises(ValuestabError, match="is answered by several rows"):
        score_answers(pd.concat([frame, frame]), PVQ)
    with pytest.raises(ValuestabError, match="lacks items of the key"):
        score_answers(frame[frame["item"] != 7], PVQ)


def test_runs_are_arranged_whatever_the_order_of_the_rows():
    of = instrument(("a", "b"))
    frame = value_runs.answers(of, [[1, 2], [3, 1]], groups=["x", "y"])
    scores = run_scores(frame.iloc[[3, 0, 1, 2]], of)
    assert scores.runs["group"].tolist() == ["y", "x"]
    np.testing.assert_array_equal(scores.scores(), [[3, 1], [1, 2]])


def test_probabilities_go_by_code_not_by_letter_and_are_sharpened_by_the_temperature():
    of = instrument(("a",))
    scores = run_scores(with_probabilities(value_runs.answers(of, [[2]]), [[0.2, 0.8, 0.0]], order=(3, 1, 2)), of)
    np.testing.assert_allclose(np.exp(scores.logprobs[0, 0]), [0.2, 0.8, 0.0])
    sample = scores.sample_scores(np.random.default_rng(0), np.zeros(20_000, dtype=int), temperature=0.5)
    assert set(np.unique(sample)) == {1.0, 2.0}
    assert (sample == 1).mean() == pytest.approx(0.04 / 0.68, abs=0.01)


@pytest.mark.parametrize(
    ("shares", "temperature", "expected"),
    [([1, 2], 1.0, [1 / 3, 2 / 3]), ([1, 2], 0.5, [1 / 5, 4 / 5]), ([1, 2], 0, [0, 1]), ([5, 5], 0, [1, 0])],
)
def test_temperature_sharpens_and_flattens_among_the_options_alone(shares, temperature, expected):
    assert at_temperature(np.log([shares]) - 2, temperature)[0] == pytest.approx(expected)


def test_a_draw_is_the_runs_own_and_repeats():
    of = instrument(("a", "b", "c"), 10)
    codes = np.ones((4, 30))
    frame = with_probabilities(value_runs.answers(of, codes), np.full((120, 3), 1 / 3), order=(1, 2, 3))
    scores = run_scores(frame, of)
    drawn = scores.answers(0.7)
    np.testing.assert_array_equal(drawn, scores.answers(0.7))
    np.testing.assert_array_equal(scores.take(np.array([2])).answers(0.7), drawn[[2]])
    assert (drawn != scores.answers(0.7, draw=1)).any()
    np.testing.assert_array_equal(drawn[2], drawn_codes(frame[frame["persona"] == "run 002"], 0.7))
    np.testing.assert_array_equal(scores.answers(0.0), codes)


def test_written_answers_have_the_temperature_they_were_written_at():
    of = instrument(("a",))
    scores = run_scores(value_runs.answers(of, [[2], [np.nan]], administration="batch", temperature=0.7), of)
    np.testing.assert_array_equal(scores.scores(0.7), [[2.0], [np.nan]])  # nan: it could not be parsed
    with pytest.raises(ValuestabError, match="temperature 0.7"):
        scores.scores(0.0)


def test_answers_without_all_probabilities_are_not_drawn():
    of = instrument(("a",))
    frame = with_probabilities(value_runs.answers(of, [[2]]), [[0.2, 0.8, 0.0]], order=(2, 1, 3))
    frame = frame.assign(logprob_C=np.nan)
    assert run_scores(frame, of).scores().tolist() == [[2.0]]
    with pytest.raises(ValuestabError, match="no probabilities of all letters"):
        run_scores(frame, of).scores(0.7)
    unanswered = value_runs.answers(of, [[np.nan]], first_run=1).assign(option_order=[(1, 2, 3)])
    missing = run_scores(pd.concat([frame.assign(logprob_C=-9.0), unanswered]), of)
    assert np.isnan(missing.scores(0.7)).tolist() == [[False], [True]]


OF = instrument(("a", "b"))
FRAME = value_runs.answers(OF, [[1, 2]])
WAYS = [value_runs.answers(OF, [[1, 2]], administration=way) for way in ("batch", "serial")]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (FRAME.assign(instrument="Other"), "no answers to Test"),
        (FRAME.iloc[:1], "each of its 2 items once"),
        (pd.concat([FRAME, FRAME]), "each of its 2 items once"),
        (pd.concat(WAYS), "several entries in the column administration"),
    ],
)
def test_what_is_no_set_of_runs_is_refused(bad, message):
    with pytest.raises(ValuestabError, match=message):
        run_scores(bad, OF)


def test_runs_of_two_instruments_are_paired_by_who_they_are():
    one, two = instrument(("a",), name="One"), instrument(("b",), name="Two")
    other = value_runs.answers(two, [[3], [2]], first_run=1).iloc[::-1]
    first, second = same_runs(run_scores(value_runs.answers(one, [[1], [2], [3]]), one), run_scores(other, two))
    assert first.scores().tolist() == [[2], [3]] and second.scores().tolist() == [[3], [2]]
