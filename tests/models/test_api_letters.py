"""Letters are read from a service's likeliest tokens or its written answers; what cannot be read is missing."""

import math

import numpy as np
import pytest

from valuestab_utils.models.api import kept_tops, likeliest_letters, written_letters


def step(token, logprob=-0.1, **top):
    """A written token with the likeliest in its place; ``_A`` stands for " A"."""
    tops = {name.replace("_", " "): value for name, value in top.items()} or {token: logprob}
    return {"token": token, "logprob": logprob, "top_logprobs": [{"token": t, "logprob": p} for t, p in tops.items()]}


def response(*steps, content="x", finish="stop", **message):
    logprobs = {"logprobs": {"content": list(steps)}} if steps else {"logprobs": None}
    return {"model": "m", "choices": [{"finish_reason": finish, "message": {"content": content} | message} | logprobs]}


def read(*steps):
    return likeliest_letters([kept_tops(response(*steps))], "AB")


def test_all_tokens_of_a_letter_are_summed_and_the_sum_decides():
    found = read(step("B", -1.0, A=-1.1, _A=-2.0, B=-1.0, The=-4.0, a=-5.0))
    np.testing.assert_allclose(found.logprobs[0], [np.logaddexp(-1.1, -2.0), -1.0])
    assert (found.chosen[0], found.stray_tokens, found.stray_logprobs[0]) == (0, ["The"], -4.0)


def test_probabilities_multiply_behind_what_leads_to_the_letter():
    lead = step("Answer", -0.2, Answer=-0.2, A=-3.0), step(":"), step(" (", -0.3)
    found = read(*lead, step("B", -0.4, B=-0.4, A=-2.0))
    np.testing.assert_allclose(found.logprobs[0], [np.logaddexp(-3.0, -0.6 - 2.0), -0.6 - 0.4])
    assert found.chosen[0] == 1 and found.stray_tokens == [""]


def test_letters_behind_other_words_are_not_read():
    found = read(step("Well", -0.1, Well=-0.1, A=-4.0, B=-9999.0), step(" B", -0.1, _B=-0.1))
    assert found.logprobs[0].tolist() == [-4.0, -math.inf] and found.stray_tokens == ["Well"]


@pytest.mark.parametrize("written", ["A| little| like", "A|nswer", "A|'m", "A|_"])
def test_an_option_in_words_is_no_letter(written):
    found = read(*map(step, written.split("|")))
    assert found.chosen[0] == -1 and np.isneginf(found.logprobs).all()
    assert found.stray_tokens == [written.replace("|", "")]


@pytest.mark.parametrize("written", ["A", "A|)", "A|)| Like", "A|.| Like", "A|\n|Because", "A)| Like"])
def test_a_letter_may_be_followed_by_what_ends_it(written):
    assert read(*map(step, written.split("|"))).chosen[0] == 0


@pytest.mark.parametrize(
    "refusal", [{"content": None, "refusal": "No."}, {"content": "No", "finish": "content_filter"}, {"content": ""}]
)
def test_a_refusal_is_a_missing_answer(refusal):
    assert likeliest_letters([kept_tops(response(**refusal))], "AB").chosen[0] == -1


@pytest.mark.parametrize("lacking", [{"model": "m", "choices": choices} for choices in (None, [], [1])] + [response()])
def test_a_response_that_lacks_something_is_told_apart_from_a_missing_answer(lacking):
    with pytest.raises(ValueError):
        kept_tops(lacking)


@pytest.mark.parametrize(
    ("text", "letter"),
    [("A", "A"), (" (B)", "B"), ("C) Like me", "C"), ("(D) Like me\nBecause", "D"), ("Answer: (E)", "E"), ("F.", "F")]
    + [("A little like me", ""), ("I am B", ""), ("(G)", ""), ("", ""), ("AB", ""), ("a", ""), ("A or B", "")]
    + [("(A) or (B)", ""), ("A) no, B)", ""), ("(A) as I said: (A)", "A")],
)
def test_written_answers_are_read_strictly(text, letter):
    found = written_letters([{"text": text}], "ABCDEF")
    assert found.chosen.tolist() == ["ABCDEF".index(letter) if letter else -1]
    assert np.isnan(found.logprobs).all() and found.stray_tokens == ["" if letter else text]
