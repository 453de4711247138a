"""Runs: arranged, scored and drawn."""

import numpy as np
import pandas as pd
import pytest
from value_runs import answers, instrument, with_probabilities

from valuestab_utils.answer_draws import drawn_codes
from valuestab_utils.errors import ValuestabError
from valuestab_utils.run_scores import run_scores, same_runs


def test_runs_are_arranged_whatever_the_order_of_the_rows():
    of = instrument(("a", "b"))
    frame = answers(of, [[1, 2], [3, 1]], groups=["x", "y"])
    scores = run_scores(frame.iloc[[3, 0, 1, 2]], of)
    assert scores.runs["group"].tolist() == ["y", "x"]
    np.testing.assert_array_equal(scores.scores(), [[3, 1], [1, 2]])


def test_probabilities_go_by_code_not_by_letter():
    of = instrument(("a",))
    frame = with_probabilities(answers(of, [[2]]), [[0.2, 0.5, 0.3]], order=(3, 1, 2))
    np.testing.assert_allclose(run_scores(frame, of).probabilities[0, 0], [0.2, 0.5, 0.3])


def test_draws_follow_the_probabilities_sharpened_by_the_temperature():
    of = instrument(("a",))
    frame = with_probabilities(answers(of, [[2]]), [[0.2, 0.8, 0.0]], order=(2, 1, 3))
    scores = run_scores(frame, of)
    sample = scores.sample_scores(np.random.default_rng(0), np.zeros(20_000, dtype=int), temperature=0.5)
    assert set(np.unique(sample)) == {1.0, 2.0}
    assert (sample == 1).mean() == pytest.approx(0.04 / 0.68, abs=0.01)


def test_a_draw_is_the_runs_own_and_repeats():
    of = instrument(("a", "b", "c"), 10)
    codes = np.ones((4, 30))
    frame = with_probabilities(answers(of, codes), np.full((120, 3), 1 / 3), order=(1, 2, 3))
    scores = run_scores(frame, of)
    drawn = scores.answers(0.7)
    np.testing.assert_array_equal(drawn, scores.answers(0.7))
    np.testing.assert_array_equal(scores.take(np.array([2])).answers(0.7), drawn[[2]])
    assert (drawn != scores.answers(0.7, draw=1)).any()
    np.testing.assert_array_equal(drawn[2], drawn_codes(frame[frame["persona"] == "run 002"], 0.7))
    np.testing.assert_array_equal(scores.answers(0.0), codes)


def test_written_answers_have_the_temperature_they_were_written_at():
    of = instrument(("a",))
    scores = run_scores(answers(of, [[2]], administration="batch", temperature=0.7), of)
    assert scores.scores(0.7).tolist() == [[2.0]]
    with pytest.raises(ValuestabError, match="temperature 0.7"):
        scores.scores(0.0)


def test_answers_without_all_probabilities_are_not_drawn():
    of = instrument(("a",))
    frame = with_probabilities(answers(of, [[2]]), [[0.2, 0.8, 0.0]], order=(2, 1, 3)).assign(logprob_C=np.nan)
    assert run_scores(frame, of).scores().tolist() == [[2.0]]
    with pytest.raises(ValuestabError, match="no probabilities of all letters"):
        run_scores(frame, of).scores(0.7)
    missing = run_scores(pd.concat([frame.assign(logprob_C=-9.0), answers(of, [[np.nan]], first_run=1).assign(
        option_order=[(1, 2, 3)])]), of)
    assert np.isnan(missing.scores(0.7)).tolist() == [[False], [True]]


def test_an_unparsable_run_has_no_scores():
    of = instrument(("a", "b"))
    scores = run_scores(answers(of, [[np.nan, np.nan]], administration="batch", temperature=0.0), of)
    assert np.isnan(scores.scores()).all()


def test_what_is_no_set_of_runs_is_refused():
    of = instrument(("a", "b"))
    frame = answers(of, [[1, 2]])
    mixed = [answers(of, [[1, 2]], administration="batch"), answers(of, [[1, 2]], administration="serial")]
    for bad, message in (
        (frame.assign(instrument="Other"), "no answers to Test"),
        (frame.iloc[:1], "item 2 is there 0 times"),
        (pd.concat([frame, frame]), "item 1 is there 2 times"),
        (frame.assign(answer=4.0), "options 1 to 3, but 4"),
        (pd.concat(mixed), "several in the column administration"),
    ):
        with pytest.raises(ValuestabError, match=message):
            run_scores(bad, of)


def test_runs_of_two_instruments_are_paired_by_who_they_are():
    one, two = instrument(("a",), name="One"), instrument(("b",), name="Two")
    other = answers(two, [[3], [2]], first_run=1).iloc[::-1]
    first, second = same_runs(run_scores(answers(one, [[1], [2], [3]]), one), run_scores(other, two))
    assert first.scores().tolist() == [[2], [3]] and second.scores().tolist() == [[3], [2]]
    with pytest.raises(ValuestabError, match="asked both One and Two"):
        same_runs(first, run_scores(answers(two, [[3]], first_run=9), two))
