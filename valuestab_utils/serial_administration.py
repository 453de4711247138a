"""Asking a questionnaire item by item in one conversation, in which each answer stands before the next item.

Rozen et al. 2025 (paper 002), appendix I, compare this with showing all items in one prompt. Each code is read from
the probabilities of the digits after the begun answer.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from valuestab_utils import coded_administration as coded
from valuestab_utils.answer_draws import at_temperature
from valuestab_utils.errors import ValuestabError
from valuestab_utils.instruments import Instrument
from valuestab_utils.prompts import QUERY, tested_prompt
from valuestab_utils.provenance import provenance
from valuestab_utils.respondents import Answers, Prompt, Respondent
from valuestab_utils.sessions import Experiment, Session
from valuestab_utils.store import Folder
from valuestab_utils.texts_before import texts_before

_ANSWERED = QUERY + "{code})"


def ask_serial(
    experiment: Experiment,
    respondent: Respondent,
    instrument: Instrument,
    results_dir: Path,
    temperature: float,
) -> pd.DataFrame:
    """Ask the items of ``instrument`` one after the other in a conversation of each session; gives all the answers.

    What is said before a session (see `valuestab_utils.texts_before.texts_before`) must be there. Each session is
    saved when it is answered.

    Parameters
    ----------
    experiment : Experiment
    respondent : Respondent
        One that gives every digit a probability.
    instrument : Instrument
        With the options of the PVQ, whose codes the personas' prefixes explain.
    results_dir : Path
    temperature : float
        0 answers the likeliest code; above, the code is drawn from p^(1/temperature), normalised over the codes, by
        the session's own noise.

    Returns
    -------
    DataFrame
        One row an item: the session's identity; ``prefix``, ``group``, ``persona_name``, ``persona_description`` and
        ``gender``; ``n_messages`` before the first item and ``conversation``, a hash of their texts; ``instrument``,
        its ``wording`` and ``instrument_version``; ``item`` and its ``value``; ``logprob_1`` ... (nats, after the
        answers to the items before); ``letter_mass``, the probability of all codes together; ``answer`` (1 = the first
        option); ``stray_token``, the likeliest token that is no code, and ``stray_logprob``; ``administration``
        ("serial"), ``temperature``, and the columns of `valuestab_utils.provenance.provenance`.

    Raises
    ------
    ValuestabError
        If the respondent does not give every digit a probability, or the conversation becomes longer than its context;
        and see `valuestab_utils.coded_administration.check_askable`.

    References
    ----------
    Rozen et al. 2025, appendix I.
    """
    coded.check_askable(experiment, instrument, temperature)
    if not respondent.all_letters:
        raise ValuestabError(
            f"{respondent.name} does not tell the probability of every code after a begun answer, from which each "
            "answer of a conversation is read before the next item is asked: show it all items in one prompt (batch)."
        )
    folder = serial_folder(experiment, instrument, results_dir, temperature, respondent)
    texts = texts_before(experiment, results_dir)

    def ask(sessions: Sequence[Session], tell: Callable[[], object]) -> None:
        for session in sessions:
            folder.write(session, _answers(session, respondent, instrument, texts[session.key], temperature))
            tell()

    label = f"{instrument.name} item by item (temperature {temperature:g}) of {experiment}"
    coded.ask_missing(experiment, folder, 1, label, ask)
    return load_serial(experiment, instrument, results_dir, temperature)


def load_serial(experiment: Experiment, instrument: Instrument, results_dir: Path, temperature: float) -> pd.DataFrame:
    """Answers of an experiment as `ask_serial` gives them, without asking.

    Raises
    ------
    ValuestabError
        See `valuestab_utils.coded_administration.load_checked`.
    """
    folder = serial_folder(experiment, instrument, results_dir, temperature)
    return coded.load_checked(experiment, instrument, results_dir, folder)


def serial_folder(
    experiment: Experiment,
    instrument: Instrument,
    results_dir: Path,
    temperature: float,
    respondent: Respondent | None = None,
) -> Folder:
    """Where the experiment's answers of one temperature are kept; to be written to, it needs who answers."""
    own = {"answered": _ANSWERED}
    return coded.administration_folder(experiment, instrument, results_dir, "serial", temperature, respondent, own)


def serial_prompt(
    session: Session,
    respondent: Respondent,
    instrument: Instrument,
    texts: Sequence[str],
    codes: Sequence[int],
) -> Prompt:
    """Prompt of the item that follows those answered with ``codes``: the whole conversation up to its begun answer."""
    before, said = coded.opening(session, instrument, texts)
    portraits = [item.portrait(session.persona.gender) for item in instrument.items[: len(codes) + 1]]
    asked = [f"{before}\n\n{portraits[0]}", *portraits[1:]]
    for portrait, code in zip(asked, codes):
        said = [*said, portrait, _ANSWERED.format(code=code)]
    return Prompt(session, tested_prompt(session.format, respondent.template, session.persona, said, asked[-1]))


def _answers(
    session: Session, respondent: Respondent, instrument: Instrument, texts: Sequence[str], temperature: float
) -> pd.DataFrame:
    digits = "".join(map(str, instrument.codes))
    noise = session.answer_noise(f"{instrument.name}, serial, {float(temperature)}")
    codes: list[int] = []
    answered: list[Answers] = []
    for _ in instrument.items:
        try:
            prompt = serial_prompt(session, respondent, instrument, texts, codes)
            answered.append(respondent.answer_next(prompt, digits, begins=not codes))
            probabilities = at_temperature(answered[-1].logprobs[0], temperature)
        except ValuestabError as error:
            if str(session) in str(error):
                raise
            raise ValuestabError(f"Session {session}, item {len(codes) + 1}: {error}") from error
        codes.append(int(noise.choice(instrument.codes, p=probabilities)))
    logprobs = np.concatenate([answers.logprobs for answers in answered])  # (I, codes)
    return pd.DataFrame(
        {
            **coded.columns_before_answers(session, instrument, texts),
            **{f"logprob_{code}": logprobs[:, i] for i, code in enumerate(instrument.codes)},
            "letter_mass": np.exp(logprobs).sum(1),
            "answer": np.array(codes, dtype=float),
            "stray_token": [answers.stray_tokens[0] for answers in answered],
            "stray_logprob": [float(answers.stray_logprobs[0]) for answers in answered],
            "administration": "serial",
            "temperature": float(temperature),
            **provenance(respondent),
        }
    )
