"""Letters of a questionnaire that stands in one frame with others that have more options."""

import pandas as pd
from fakes import tidy_answers

from valuestab_utils import findings, letter_tables, plots


def test_letters_are_those_of_the_questionnaire_whatever_other_instruments_had():
    frame = tidy_answers().assign(logprob_G=float("nan"))  # a seven-point item stood beside it
    shares = letter_tables.letter_shares(frame)
    assert shares["letter"].tolist() == list("ABCDEF")
    dashed = plots.letter_bars(shares).axes[0].lines[0].get_ydata()
    assert set(dashed) == {1 / 6}


def test_without_answers_there_is_nothing_to_show():
    shares, use = letter_tables.letter_shares(pd.DataFrame()), letter_tables.letter_use(pd.DataFrame())
    assert shares.empty and findings.of_letters(use) == []
    assert "No answer" in plots.letter_bars(shares).axes[0].texts[0].get_text()
