"""Reading a service's response: a message, or the letter of an answer from its likeliest tokens or from what it wrote.

An answer from which no single letter can be read is missing; it is never guessed.
"""

import math
import re
from collections.abc import Mapping, Sequence

import numpy as np

from valuestab_utils.respondents import Answers

IMPOSSIBLE = -9000.0  # services write -9999 for a token that cannot be; such a log-probability says nothing

# What may stand before the letter: nothing, or some of "Answer: (".
_LEAD = re.compile(r"\s*(?:Answer\s*:?)?\s*\(?\s*")
# What goes on in words: of "A little like me", the first token is no letter.
_WORDS = re.compile(r"[ \t]*[\w'’]")
# An answer in words that names one letter and nothing that could be read otherwise.
_WRITTEN = re.compile(
    r"\s*(?:Answer:\s*)?\(?(?:(?P<bracket>[A-Z])\)(?:[\s.,:].*)?|(?P<alone>[A-Z])\.?)\s*", flags=re.DOTALL
)
_NAMED = re.compile(r"(?<!\w)([A-Z])\)")


def kept_text(response: Mapping) -> dict:
    """What is kept of a written message.

    Parameters
    ----------
    response : mapping
        A chat completion.

    Returns
    -------
    dict
        ``text``, ``finish`` (as the service calls it) and ``tokens`` (how many it counts; 0 if it does not say).

    Raises
    ------
    ValueError
        If the response lacks one of them.
    """
    choice = _choice(response)
    usage = response.get("usage")
    tokens = usage.get("completion_tokens") if isinstance(usage, dict) else None
    return {"text": _text(choice), "finish": choice["finish_reason"], "tokens": tokens or 0}


def kept_tops(response: Mapping) -> dict:
    """What is kept of an answer with log-probabilities.

    Parameters
    ----------
    response : mapping
        A chat completion.

    Returns
    -------
    dict
        ``steps``: of each written token ``token``, ``logprob`` (nats) and ``top``, the likeliest tokens in its place
        with their log-probabilities. No steps, if the service wrote nothing or refused.

    Raises
    ------
    ValueError
        If log-probabilities are missing of an answer that is there.
    """
    choice = _choice(response)
    steps = content(response)
    if not steps:
        refused = choice["message"].get("refusal") or choice["finish_reason"] == "content_filter"
        if refused or not _text(choice):
            return {"steps": []}
        raise ValueError("log-probabilities are missing, which this service gave before")
    try:
        return {
            "steps": [
                {
                    "token": str(step["token"]),
                    "logprob": float(step["logprob"]),
                    "top": [[str(t["token"]), float(t["logprob"])] for t in step["top_logprobs"]],
                }
                for step in steps
            ]
        }
    except (KeyError, TypeError) as error:
        raise ValueError(f"log-probabilities are not of the usual form ({error!r})") from error


def content(response: Mapping) -> list:
    """A response's log-probabilities, a member a token; empty if it has none."""
    logprobs = _choice(response).get("logprobs")
    found = logprobs.get("content") if isinstance(logprobs, dict) else None
    return found if isinstance(found, list) else []


def likeliest_letters(found: Sequence[Mapping], letters: str) -> Answers:
    """Letters from the likeliest tokens.

    A letter's probability is that of being written at once, and that of being written after an opening bracket (or
    more of ``Answer: (``) if that is what the service wrote: the product along the way. A letter that is nowhere among
    the likeliest tokens has the log-probability -inf: it is unknown, and less than that of any token which is there.

    Parameters
    ----------
    found : sequence of N dicts
        From `kept_tops`.
    letters : str

    Returns
    -------
    Answers
        Missing where no letter is among the likeliest tokens, or where the answer goes on in words.
    """
    logprobs = np.full((len(found), len(letters)), -np.inf)
    strays, stray_logprobs = [""] * len(found), np.full(len(found), -np.inf)
    for row, answer in enumerate(found):
        before, written = 0.0, ""
        for at, step in enumerate(answer["steps"]):
            leads = bool(_LEAD.fullmatch(written + step["token"]))
            for token, logprob in step["top"]:
                if logprob < IMPOSSIBLE or (leads and token == step["token"]):
                    continue
                letter = _alone(token)
                if len(letter) == 1 and letter in letters:
                    place = letters.index(letter)
                    logprobs[row, place] = np.logaddexp(logprobs[row, place], before + logprob)
                elif before + logprob > stray_logprobs[row]:
                    strays[row], stray_logprobs[row] = token, before + logprob
            if not leads:
                rest = "".join(later["token"] for later in answer["steps"][at + 1 :])
                if _alone(step["token"]) in letters and ")" not in step["token"] and _WORDS.match(rest):
                    logprobs[row] = -np.inf
                    strays[row], stray_logprobs[row] = step["token"] + rest, before + step["logprob"]
                break
            written, before = written + step["token"], before + step["logprob"]
    return Answers(logprobs, strays, stray_logprobs, _chosen(logprobs))


def written_letters(found: Sequence[Mapping], letters: str) -> Answers:
    """Letters from written answers, whose probabilities are not known (NaN).

    Parameters
    ----------
    found : sequence of N dicts
        From `kept_text`.
    letters : str
    """
    chosen = np.array([letter_of(answer["text"], letters) for answer in found])
    unknown = np.full((len(found), len(letters)), math.nan)
    strays = ["" if c >= 0 else answer["text"][:40] for c, answer in zip(chosen, found, strict=True)]
    return Answers(unknown, strays, np.full(len(found), math.nan), chosen)


def letter_of(text: str, letters: str) -> int:
    """Place of the one letter that a written answer names, -1 if it names none or several.

    Examples
    --------
    >>> [letter_of(text, "AB") for text in ("(B) Like me", "A", "A little like me", "(A) or (B)")]
    [1, 0, -1, -1]
    """
    match = _WRITTEN.fullmatch(text)
    letter = (match["bracket"] or match["alone"]) if match else ""
    if not letter or letter not in letters or set(_NAMED.findall(text)) - {letter}:
        return -1
    return letters.index(letter)


def _chosen(logprobs: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(logprobs.max(1)), logprobs.argmax(1), -1)


def _alone(token: str) -> str:
    return token.strip().removeprefix("(").removesuffix(")").strip()


def _choice(response: Mapping) -> dict:
    choices = response.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict) or not isinstance(choice.get("message"), dict):
        raise ValueError("no message in it")
    if not isinstance(choice.get("finish_reason"), str):
        raise ValueError("it does not say why the message ended (finish_reason)")
    return choice


def _text(choice: Mapping) -> str:
    text = choice["message"].get("content")
    if text is not None and not isinstance(text, str):
        raise ValueError("the message is no text")
    return text or ""
