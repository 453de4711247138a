"""Asking a questionnaire in one prompt: all items are shown together, and the numbers are read from the answer's text.

Rozen et al. 2025 (paper 002), section 3.1, administer the PVQ-RR so, at the temperatures 0.0 and 0.7.
"""

import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from valuestab_utils import coded_administration as coded
from valuestab_utils.instruments import Instrument
from valuestab_utils.prompts import cut_at_label, tested_prompt, turn_labels
from valuestab_utils.provenance import provenance
from valuestab_utils.respondents import Prompt, Respondent, Text
from valuestab_utils.sessions import Experiment, Session
from valuestab_utils.store import Folder
from valuestab_utils.texts_before import texts_before

TOKENS_PER_ITEM = 12  # of the written answer, at most
_LINE = "{number}. {portrait}"

# A dot or a hyphen needs a blank after it: "1.4" may be a decimal and "1-6" a range.
_NUMBERED = re.compile(r"([1-9][0-9]*)(?:[ \t]*[:)=][ \t]*|[ \t]*[.-][ \t]+)([1-9][0-9]*)")
_BETWEEN_CODES = re.compile(r"\s*,\s*|\s+")


def ask_batch(
    experiment: Experiment,
    respondent: Respondent,
    instrument: Instrument,
    results_dir: Path,
    temperature: float,
    batch_sessions: int | None = None,
) -> pd.DataFrame:
    """Ask all items of ``instrument`` in one prompt a session; gives all the answers.

    What is said before a session (see `valuestab_utils.texts_before.texts_before`) must be there. Each session is
    saved when its batch is written.

    Parameters
    ----------
    experiment : Experiment
    respondent : Respondent
    instrument : Instrument
        With the options of the PVQ, whose codes the personas' prefixes explain.
    results_dir : Path
    temperature : float
        At which the text is sampled, without nucleus, top-k or repetition penalty; 0 takes the likeliest tokens.
    batch_sessions : int, optional
        Sessions whose texts are written together; has no influence on any text.

    Returns
    -------
    DataFrame
        One row an item: the session's identity; ``prefix``, ``group``, ``persona_name``, ``persona_description`` and
        ``gender``; ``n_messages`` before and ``conversation``, a hash of their texts; ``instrument``, its ``wording``
        and ``instrument_version``; ``item`` and its ``value``; ``answer`` (1 = the first option), NaN in all rows of a
        session whose text cannot be parsed; ``parsed``; ``text``, what was written, ``n_tokens``, ``finish`` and
        ``close_calls`` (see `valuestab_utils.sampling.Sampled`); ``administration`` ("batch"), ``temperature``, and
        the columns of `valuestab_utils.provenance.provenance`.

    Raises
    ------
    ValuestabError
        See `valuestab_utils.coded_administration.check_askable`; or if prompt and answer are longer than the model's
        context.

    References
    ----------
    Rozen et al. 2025, section 3.1.
    """
    coded.check_askable(experiment, instrument, temperature)
    folder = batch_folder(experiment, instrument, results_dir, temperature, respondent)
    texts = texts_before(experiment, results_dir)

    def ask(sessions: Sequence[Session], tell: Callable[[], object]) -> None:
        prompts = [batch_prompt(s, respondent, instrument, texts[s.key], temperature, tell) for s in sessions]
        written = respondent.speak(prompts, TOKENS_PER_ITEM * len(instrument.items))
        for session, text in zip(sessions, written, strict=True):
            folder.write(session, _answers(session, respondent, instrument, texts[session.key], text, temperature))

    if folder.missing(experiment.sessions):
        label = f"{instrument.name} in one prompt (temperature {temperature:g}) of {experiment}"
        coded.ask_missing(experiment, folder, batch_sessions or respondent.batch_questionnaires, label, ask)
    return load_batch(experiment, instrument, results_dir, temperature)


def load_batch(experiment: Experiment, instrument: Instrument, results_dir: Path, temperature: float) -> pd.DataFrame:
    """Answers of an experiment as `ask_batch` gives them, without asking.

    Raises
    ------
    ValuestabError
        See `valuestab_utils.coded_administration.load_checked`.
    """
    folder = batch_folder(experiment, instrument, results_dir, temperature)
    return coded.load_checked(experiment, instrument, results_dir, folder)


def batch_folder(
    experiment: Experiment,
    instrument: Instrument,
    results_dir: Path,
    temperature: float,
    respondent: Respondent | None = None,
) -> Folder:
    """Where the experiment's answers of one temperature are kept; to be written to, it needs who answers."""
    own = {"line": _LINE, "tokens_per_item": TOKENS_PER_ITEM}
    return coded.administration_folder(experiment, instrument, results_dir, "batch", temperature, respondent, own)


def batch_prompt(
    session: Session,
    respondent: Respondent,
    instrument: Instrument,
    texts: Sequence[str],
    temperature: float,
    done: Callable[[], object] | None = None,
) -> Prompt:
    """Prompt of all items of a session: what is said before, a blank line, and a numbered line for each portrait."""
    before, conversation = coded.opening(session, instrument, texts)
    lines = [
        _LINE.format(number=number, portrait=item.portrait(session.persona.gender))
        for number, item in enumerate(instrument.items, start=1)
    ]
    said = [*conversation, "\n".join([before, "", *lines])]
    text = tested_prompt(session.format, respondent.template, session.persona, said)
    labels = turn_labels(session.persona) if session.format == "base" else ()
    cut = partial(_cut, labels=labels, n_codes=len(instrument.options))
    noise = session.answer_noise(f"{instrument.name}, batch, {float(temperature)}")
    return Prompt(session, text, noise, cut, done, temperature=float(temperature))


def parse_batch(text: str, n_items: int, n_codes: int) -> list[int] | None:
    """Codes of all items from the text of an answer, if it is nothing but such codes.

    Two forms are read: one line an item, with its number, one of ``. : ) - =`` and its code, each number once and in
    order; or the codes alone, as many as there are items, separated by commas, blanks or line ends. Empty lines and
    white space around do no harm; any other word or sign, a missing item or a code out of range does.

    Parameters
    ----------
    text : str
    n_items, n_codes : int

    Returns
    -------
    list of int, or None
        Codes 1..n_codes in the order of the items; None for a text that cannot be parsed.

    Examples
    --------
    >>> parse_batch("1. 4\\n2. 6", 2, 6), parse_batch("4, 6", 2, 6)
    ([4, 6], [4, 6])
    >>> parse_batch("1. 4 (somewhat)\\n2. 6", 2, 6) is None
    True
    """
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    numbered = [_NUMBERED.fullmatch(line) for line in lines]
    if lines and all(numbered):
        if [match[1] for match in numbered] != [str(number) for number in range(1, n_items + 1)]:
            return None
        found = [match[2] for match in numbered]
    else:
        found = _BETWEEN_CODES.split(text.strip())
    codes = {str(code): code for code in range(1, n_codes + 1)}
    if len(found) != n_items or not set(found) <= set(codes):
        return None
    return [codes[code] for code in found]


def _cut(text: str, labels: Sequence[str], n_codes: int) -> str:
    """The text up to a turn label, or to the first whole line that is no code: with it, nothing can be parsed any more.

    A small model may write the items all over again, which takes minutes and is worth nothing.
    """
    text = cut_at_label(text, labels) if labels else text
    *whole, _ = text.split("\n")
    length = 0
    for line in whole:
        length += len(line) + 1
        if line.strip() and not _may_be_codes(line.strip(), n_codes):
            return text[:length]
    return text


def _may_be_codes(line: str, n_codes: int) -> bool:
    codes = {str(code) for code in range(1, n_codes + 1)}
    return bool(_NUMBERED.fullmatch(line)) or set(_BETWEEN_CODES.split(line.strip(", \t"))) <= codes | {""}


def _answers(
    session: Session,
    respondent: Respondent,
    instrument: Instrument,
    texts: Sequence[str],
    written: Text,
    temperature: float,
) -> pd.DataFrame:
    # What the limit cut off may have gone on with anything: its last number may be the beginning of a sentence.
    whole = written.finish != "length"
    codes = parse_batch(written.content, len(instrument.items), len(instrument.options)) if whole else None
    return pd.DataFrame(
        {
            **coded.columns_before_answers(session, instrument, texts),
            "answer": np.full(len(instrument.items), np.nan) if codes is None else np.array(codes, dtype=float),
            "parsed": codes is not None,
            "text": written.content,
            "n_tokens": written.n_tokens,
            "finish": written.finish,
            "close_calls": written.close_calls,
            "administration": "batch",
            "temperature": float(temperature),
            **provenance(respondent),
        }
    )
