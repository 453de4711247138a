"""Tables of letters and messages, on answers made by hand."""

import pandas as pd
import pytest
from fakes import tidy_answers

from valuestab_utils.papers import letters


def test_letter_use_and_shares():
    frame = tidy_answers()
    frame["letter"] = ["C", "C", "C", "D"] * (len(frame) // 4)
    use = letters.letter_use(frame).iloc[0]
    assert (use["top_letter"], use["top_letter_share"]) == ("C", 0.75)
    shares = letters.letter_shares(frame).set_index("letter")["share"]
    assert shares.to_dict() == {"A": 0, "B": 0, "C": 0.75, "D": 0.25, "E": 0, "F": 0}


def test_letter_probabilities_name_the_option_that_a_letter_stood_for():
    frame = tidy_answers()
    frame["option_order"] = [[6, 5, 4, 3, 2, 1]] * len(frame)
    table = letters.letter_probabilities(frame, [2])
    assert list(table["code"]) == [6, 5, 4, 3, 2, 1]
    assert table["probability"].sum() == pytest.approx(0.6)


def test_message_lengths():
    rows = [("tested", 1, 10, "eos", "a"), ("interlocutor", 2, 30, "eos", ""), ("tested", 3, 100, "length", "b")]
    frame = pd.DataFrame(rows, columns=["role", "message", "n_tokens", "finish", "content"])
    frame[["model", "format", "population"]] = ["m", "base", "p"]
    lengths = letters.message_lengths(frame).set_index("role")
    assert lengths.loc["tested", ["messages", "tokens", "at_limit"]].tolist() == [2, 55, 0.5]
    assert lengths.loc["interlocutor", "empty"] == 1


def test_letters_are_those_of_the_questionnaire_whatever_other_instruments_had():
    frame = tidy_answers().assign(logprob_G=float("nan"))  # a seven-point item stood beside it
    assert letters.letter_shares(frame)["letter"].tolist() == list("ABCDEF")
    assert list(letters.letter_shares(frame[:0])) == ["model", "format", "population", "letter", "share"]
