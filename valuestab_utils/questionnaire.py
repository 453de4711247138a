"""Asking a questionnaire after each conversation, item by item and independently (paper 001, B.4)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from valuestab_utils.conversations import load_conversations, texts_by_session
from valuestab_utils.errors import ValuestabError
from valuestab_utils.instruments import Instrument
from valuestab_utils.progress import progress
from valuestab_utils.prompts import LETTERS, PROMPTS_DIGEST, question, tested_prompt
from valuestab_utils.provenance import provenance
from valuestab_utils.respondents import Prompt, Respondent
from valuestab_utils.sessions import Experiment, Session, slug
from valuestab_utils.store import Folder, experiment_folder

NEAR_TIE = 0.1  # nats between the two likeliest letters


def ask_questionnaire(
    experiment: Experiment, respondent: Respondent, instrument: Instrument, results_dir: Path
) -> pd.DataFrame:
    """Ask every item of ``instrument`` after each of an experiment's conversations; gives all the answers.

    The conversations must be there (see `valuestab_utils.conversations.simulate_conversations`). Each session is
    saved when it is answered.

    Returns
    -------
    DataFrame
        One row an answer: the session's identity, ``n_messages``, ``item``, ``value``, ``option_order`` (the codes at
        the letters A, B, ...), ``logprob_A`` ... (nats), ``letter_mass``, ``letter``, ``answer`` (1 = first option),
        ``near_tie``, ``stray_token`` with ``stray_logprob``, the instrument's name, wording and version, and
        provenance.
    """
    folder = answer_folder(experiment, instrument, results_dir, respondent)
    todo = folder.missing(experiment.sessions)
    if todo:
        conversations = texts_by_session(load_conversations(experiment, results_dir))
    with progress(total=len(todo), desc=f"{instrument.name} of {experiment}", unit="session") as bar:
        while todo:
            for session in list(todo):
                with folder.claim([session]) as mine:
                    if not mine:
                        continue  # another run is at it: come back later
                    if folder.missing(mine):  # another run may have finished it between our look and our claim
                        key = (session.persona.persona, session.topic.topic, session.seed)
                        said = conversations.get(key, [])
                        folder.write(session, _answers(session, respondent, instrument, said))
                todo.remove(session)
                bar.update(1)
            if todo:
                folder.wait_for(todo[0])
    return load_answers(experiment, instrument, results_dir)


def load_answers(experiment: Experiment, instrument: Instrument, results_dir: Path) -> pd.DataFrame:
    """Answers of an experiment as `ask_questionnaire` gives them, without asking."""
    frame = answer_folder(experiment, instrument, results_dir).read_all(experiment.sessions)
    if (frame["instrument_version"] != instrument.version).any():
        raise ValuestabError(
            f"The answers of {experiment} in {results_dir} were given to another text of {instrument.name} "
            f"({frame['instrument_version'].iloc[0]}, now {instrument.version}): give another results_dir."
        )
    stored = frame.drop_duplicates("persona").set_index("persona")[["persona_description", "gender"]]
    for persona in experiment.personas:
        then, now = tuple(stored.loc[persona.persona]), (persona.description, persona.gender)
        if then != now:
            raise ValuestabError(
                f"The answers of {persona.persona!r} ({experiment}) were given as {then}, but the population now says "
                f"{now}: use another persona name or another results_dir."
            )
    return frame


def item_prompts(
    session: Session, respondent: Respondent, instrument: Instrument, conversation: Sequence[str]
) -> list[Prompt]:
    """Prompts of all items of a session, each ending in the begun answer."""
    prompts = []
    for item in instrument.items:
        order = session.option_order(item.item, len(instrument.options))
        options = [instrument.options[code - 1] for code in order]
        text = question(instrument.instruction, item.portrait(session.persona.gender), options)
        prompt = tested_prompt(session.format, respondent.template, session.persona, conversation, text)
        prompts.append(Prompt(session, prompt))
    return prompts


def answer_folder(
    experiment: Experiment, instrument: Instrument, results_dir: Path, respondent: Respondent | None = None
) -> Folder:
    """Where the experiment's answers are kept: apart for each instrument, wording and number of messages.

    To be written to, it needs the respondent that answers.
    """
    name = slug(f"{instrument.name}-{instrument.wording}")
    path = experiment_folder(results_dir, experiment) / name / f"n{experiment.n_messages}"
    if respondent is None:
        return Folder(path)
    return Folder(path, {**respondent.settings, "prompts": PROMPTS_DIGEST, "instrument": instrument.version})


def _answers(
    session: Session, respondent: Respondent, instrument: Instrument, conversation: Sequence[str]
) -> pd.DataFrame:
    letters = LETTERS[: len(instrument.options)]
    prompts = item_prompts(session, respondent, instrument, conversation)
    try:
        scored = respondent.answer(prompts, letters)
    except ValuestabError as error:
        raise error if str(session) in str(error) else ValuestabError(f"Session {session}: {error}") from error
    orders = np.array([session.option_order(item.item, len(letters)) for item in instrument.items])  # (I, L)
    chosen = scored.logprobs.argmax(1)  # (I,)
    best = np.sort(scored.logprobs, 1)[:, ::-1]
    return pd.DataFrame(
        {
            **session.identity,
            "persona_description": session.persona.description,
            "gender": session.persona.gender,
            "n_messages": max(len(conversation) - 1, 0),
            "instrument": instrument.name,
            "wording": instrument.wording,
            "instrument_version": instrument.version,
            "item": [item.item for item in instrument.items],
            "value": [item.value for item in instrument.items],
            "option_order": list(orders),
            **{f"logprob_{letter}": scored.logprobs[:, i] for i, letter in enumerate(letters)},
            "letter_mass": np.exp(scored.logprobs).sum(1),
            "letter": [letters[i] for i in chosen],
            "answer": orders[np.arange(len(orders)), chosen],
            "near_tie": best[:, 0] - best[:, 1] < NEAR_TIE,
            "stray_token": scored.stray_tokens,
            "stray_logprob": scored.stray_logprobs,
            **provenance(respondent),
        }
    )
