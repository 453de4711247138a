"""From tidy answers to arrays of scores: axes, units, and what is refused."""

import numpy as np
import pandas as pd
import pytest

from valuestab_utils.errors import ValuestabError
from valuestab_utils.instruments import load_pvq40
from valuestab_utils.scored_answers import score_answers
from valuestab_utils.tasks import load_task
from valuestab_utils.value_scores import read_key

PVQ = load_pvq40("project")


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

    scored = score_answers(answers(code))
    mean = (3 * 6 + 37 * 2) / 40
    assert scored.scores.shape == (1, 2, 3, 10) and scored.values == tuple(read_key())
    power = scored.values.index("Power")
    assert scored.scores[..., power] == pytest.approx(6 - mean)
    assert np.delete(scored.scores, power, axis=-1) == pytest.approx(2 - mean)
    assert scored.contexts == ("chess", "joke") and scored.personas == ("a", "b", "c") and scored.missing == 0


def test_scores_of_donation_are_mean_coins_of_each_race():
    donation = load_task("donation", 2)
    scored = score_answers(answers(lambda p, t, s, item: 1 if item.value == "orc" else 6, donation))
    assert scored.values == donation.scales
    assert list(scored.scores[0, 0, 0]) == [10, 10, 0, 10, 10]  # not centred
    half = score_answers(answers(lambda p, t, s, item: 2.5, donation))
    assert (half.scores == 3).all()  # between 2 coins (code 2) and 4 coins (code 3)


def test_religion_has_one_scale_and_so_no_ipsative_stability():
    scored = score_answers(answers(lambda p, t, s, item: "abc".index(p) + 1, load_task("religion")))
    assert scored.measures == ("rank_order",) and scored.scores.shape == (1, 2, 3, 1)
    assert scored.rank_order()[0].overall == 1


def test_order_of_rows_makes_no_difference():
    rng = np.random.default_rng(0)
    frame = answers(lambda p, t, s, i: int(rng.integers(1, 7)), seeds=(2, 1))
    shuffled = frame.sample(frac=1, random_state=0)
    assert (score_answers(frame).scores == score_answers(shuffled).scores).all()
    assert score_answers(frame).seeds == (1, 2)


def test_without_persona_there_is_no_order_of_personas():
    frame = answers(lambda p, t, s, i: i.item % 6 + 1, induced=False)
    assert score_answers(frame).measures == ("ipsative",)
    two = answers(lambda p, t, s, i: i.item % 6 + 1, personas=("a", "b"))
    assert score_answers(two).measures == ("ipsative",)


def test_missing_answers_are_counted_and_left_out():
    frame = answers(lambda p, t, s, i: 3.0 if i.item > 1 or p != "a" else np.nan)
    scored = score_answers(frame)
    assert scored.missing == 2 and not np.isnan(scored.scores).any()


def test_several_experiments_at_once_are_refused():
    frame = answers(lambda p, t, s, i: 3)
    for column in ("model", "format", "population", "instrument"):
        both = pd.concat([frame, frame.assign(**{column: "other"})])
        with pytest.raises(ValuestabError, match=f"one {column} at a time.*other"):
            score_answers(both)


def test_answers_that_are_there_twice_or_lack_an_item_are_refused():
    frame = answers(lambda p, t, s, i: 3)
    with pytest.raises(ValuestabError, match="both answer item 1"):
        score_answers(pd.concat([frame, frame]))
    with pytest.raises(ValuestabError, match="lacks items of the key"):
        score_answers(frame[frame["item"] != 7])
