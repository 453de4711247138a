"""Answers drawn from letter probabilities."""

import numpy as np
import pandas as pd
import pytest

from valuestab_utils.answer_draws import at_temperature, drawn_codes, option_logprobs
from valuestab_utils.errors import ValuestabError

IDENTITY = {"model": "m", "format": "base", "population": "names", "persona": "p", "topic": "t", "seed": 1}


def answers(probabilities, orders):
    """One run's answers: letter probabilities (items, letters) in these orders of the options."""
    logprobs = np.log(probabilities)
    chosen = [order[i] for order, i in zip(orders, logprobs.argmax(1))]
    letters = {f"logprob_{letter}": logprobs[:, i] for i, letter in enumerate("ABC"[: logprobs.shape[1]])}
    return pd.DataFrame({**IDENTITY, "instrument": "PVQ-RR", "option_order": list(orders), "answer": chosen, **letters})


def test_probabilities_go_with_the_option_whichever_letter_it_stands_at():
    frame = answers([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]], [(1, 2, 3), (3, 1, 2)])
    assert np.exp(option_logprobs(frame)) == pytest.approx(np.array([[0.5, 0.3, 0.2], [0.3, 0.2, 0.5]]))


def test_temperature_sharpens_and_flattens_among_the_options_alone():
    logprobs = np.log([[0.1, 0.2]])
    assert at_temperature(logprobs, 1.0) == pytest.approx(np.array([[1 / 3, 2 / 3]]))
    assert at_temperature(logprobs, 0.5) == pytest.approx(np.array([[1 / 5, 4 / 5]]))  # squares
    assert at_temperature(logprobs, 0).tolist() == [[0, 1]]
    assert at_temperature(np.log([[0.5, 0.5]]), 0).tolist() == [[1, 0]]


def test_draws_have_the_probabilities_and_are_the_same_each_time():
    n = 4000
    frame = answers(np.tile([0.6, 0.3, 0.1], (n, 1)), [(2, 3, 1)] * n)
    codes = drawn_codes(frame, 1.0)
    assert [np.mean(codes == code) for code in (1, 2, 3)] == pytest.approx([0.1, 0.6, 0.3], abs=0.03)
    assert (drawn_codes(frame, 1.0) == codes).all() and (drawn_codes(frame, 1.0, draw=1) != codes).any()
    other = frame.assign(persona="q")
    assert (drawn_codes(other, 1.0) != codes).any()


def test_temperature_zero_is_the_answer_itself_and_a_gap_stays_one():
    frame = answers([[0.5, 0.3, 0.2]], [(3, 1, 2)]).assign(answer=np.nan)
    assert np.isnan(drawn_codes(frame, 0)).all()


def test_nothing_is_drawn_from_missing_probabilities():
    frame = answers([[0.5, 0.3, 0.2]], [(3, 1, 2)]).assign(logprob_B=np.nan)
    with pytest.raises(ValuestabError, match="without the options' probabilities"):
        drawn_codes(frame, 0.7)
    with pytest.raises(ValuestabError, match="temperature"):
        at_temperature(np.zeros((1, 2)), -1)
