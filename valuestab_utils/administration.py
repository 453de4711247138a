"""Asking one measurement the way it is to be asked: the one place that knows all ways."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from valuestab_utils import batch_administration, questionnaire, serial_administration
from valuestab_utils.inductions import CONDITIONS, needs_questionnaire
from valuestab_utils.instruments import load_pvq40
from valuestab_utils.measurements import Measurement
from valuestab_utils.respondents import Respondent
from valuestab_utils.sessions import Session
from valuestab_utils.store import Folder
from valuestab_utils.texts_before import who_fills_in


def ask(m: Measurement, respondent: Respondent, results_dir: Path) -> pd.DataFrame:
    """Ask what is missing of a measurement; gives all its answers.

    Parameters
    ----------
    m : Measurement
    respondent : Respondent
    results_dir : Path

    Returns
    -------
    DataFrame
        As `valuestab_utils.questionnaire.ask_questionnaire` gives it, with the columns ``administration`` and
        ``temperature`` (NaN where answers were read from the letters' probabilities).
    """
    for source in sources(m):
        ask(source, respondent, results_dir)
    if m.administration == "batch":
        return batch_administration.ask_batch(m.experiment, respondent, m.instrument, results_dir, m.temperature)
    if m.administration == "serial":
        return serial_administration.ask_serial(m.experiment, respondent, m.instrument, results_dir, m.temperature)
    answers = questionnaire.ask_questionnaire(
        m.experiment, respondent, m.instrument, results_dir, m.orders, m.filled
    )
    return _by_letters(answers)


def load(m: Measurement, results_dir: Path) -> pd.DataFrame:
    """Answers of a measurement as `ask` gives them, without asking."""
    if m.administration == "batch":
        return batch_administration.load_batch(m.experiment, m.instrument, results_dir, m.temperature)
    if m.administration == "serial":
        return serial_administration.load_serial(m.experiment, m.instrument, results_dir, m.temperature)
    return _by_letters(
        questionnaire.load_answers(m.experiment, m.instrument, results_dir, m.orders, m.filled)
    )


def folder(m: Measurement, results_dir: Path, respondent: Respondent | None = None) -> Folder:
    """Where a measurement's answers are kept; to be written to, it needs the respondent that answers."""
    if m.administration == "batch":
        return batch_administration.batch_folder(m.experiment, m.instrument, results_dir, m.temperature, respondent)
    if m.administration == "serial":
        return serial_administration.serial_folder(m.experiment, m.instrument, results_dir, m.temperature, respondent)
    return questionnaire.answer_folder(m.experiment, m.instrument, results_dir, respondent, m.orders)


def sources(m: Measurement) -> list[Measurement]:
    """Measurements that must be there before this one: those whose answers fill the questionnaire that it shows."""
    if m.experiment.population not in CONDITIONS or needs_questionnaire(m.experiment.population) is None:
        return []
    filled = m.filled or load_pvq40()
    source = who_fills_in(m.experiment)
    return [replace(m, experiment=source, instrument=filled, administration="letters", temperature=None)]


def _by_letters(answers: pd.DataFrame) -> pd.DataFrame:
    return answers.assign(administration="letters", temperature=float("nan"))


def tokens_of_a_session(
    m: Measurement, session: Session, respondent: Respondent, texts: Sequence[str]
) -> tuple[int, int, int, int]:
    """Queries of a session that is asked in one prompt or in one conversation, and the tokens that they take.

    Parameters
    ----------
    m : Measurement
        Not by letters.
    session : Session
    respondent : Respondent
    texts : sequence of str
        As `valuestab_utils.texts_before.texts_before` gives them.

    Returns
    -------
    n_queries, unique_tokens, naive_tokens, written_tokens : int
        Of prompts, with each token that they share counted once, and with each prompt whole; and of what is written.
    """
    if m.administration == "batch":
        prompt = batch_administration.batch_prompt(session, respondent, m.instrument, texts, m.temperature)
        n = respondent.count_tokens(prompt.text)
        return 1, n, n, batch_administration.TOKENS_PER_ITEM * len(m.instrument.items)
    longest = len(m.instrument.options)
    lengths = [
        respondent.count_tokens(
            serial_administration.serial_prompt(session, respondent, m.instrument, texts, [longest] * n).text
        )
        for n in range(len(m.instrument.items))
    ]
    return len(lengths), max(lengths), sum(lengths), 0
