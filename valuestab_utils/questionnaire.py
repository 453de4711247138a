"""Asking a questionnaire after each conversation, item by item and independently (paper 001, B.4)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from valuestab_utils.conversations import load_conversations, texts_by_session, texts_digest
from valuestab_utils.errors import ValuestabError
from valuestab_utils.instruments import Instrument
from valuestab_utils.progress import progress
from valuestab_utils.prompts import LETTERS, PROMPTS_DIGEST, question, tested_prompt
from valuestab_utils.provenance import provenance
from valuestab_utils.respondents import Answers, Prompt, Respondent
from valuestab_utils.sessions import Experiment, Session, slug
from valuestab_utils.store import Folder, check_unchanged, experiment_folder

NEAR_TIE = 0.1  # nats between the two likeliest letters


def ask_questionnaire(
    experiment: Experiment, respondent: Respondent, instrument: Instrument, results_dir: Path
) -> pd.DataFrame:
    """Ask every item of ``instrument`` after each of an experiment's conversations; gives all the answers.

    The conversations must be there (see `valuestab_utils.conversations.simulate_conversations`). Each session
    is saved when it is answered.

    Returns
    -------
    DataFrame
        One row an answer: the session's identity; ``persona_name``, ``persona_description`` and ``gender``;
        ``n_messages`` before the item and ``conversation``, a hash of their texts; ``instrument``, its
        ``wording`` and ``instrument_version``; ``item`` and its ``value``; ``option_order`` (the codes at the
        letters A, B, ...), ``logprob_A`` ... (nats), ``letter_mass``, ``letter``, ``answer`` (1 = the first
        option), ``near_tie``; ``stray_token``, the likeliest token that is no letter, and ``stray_logprob``;
        and the columns of `valuestab_utils.provenance.provenance`.
    """
    folder = answer_folder(experiment, instrument, results_dir, respondent)
    todo = folder.missing(experiment.sessions)
    conversations = texts_by_session(load_conversations(experiment, results_dir))
    with progress(total=len(todo), desc=f"{instrument.name} of {experiment}", unit="session") as bar:
        while todo:
            with folder.claim(todo, at_most=1) as mine:
                for session in folder.missing(mine):  # by now, another run may have answered it
                    said = conversations[session.key] if experiment.messages_of(session) else []
                    folder.write(session, _answers(session, respondent, instrument, said))
                bar.update(len(mine))
            if not mine:  # all in other hands: let one of them finish
                folder.wait_for(todo[0])
            todo = [session for session in todo if session not in mine]
    return load_answers(experiment, instrument, results_dir)


def load_answers(experiment: Experiment, instrument: Instrument, results_dir: Path) -> pd.DataFrame:
    """Answers of an experiment as `ask_questionnaire` gives them, without asking.

    Raises
    ------
    ValuestabError
        If a session has no answers, or was asked as another persona, with another text of the questionnaire
        or after another conversation than those of the same name now.
    """
    folder = answer_folder(experiment, instrument, results_dir)
    frame = folder.read_all(experiment.sessions)
    conversations = texts_by_session(load_conversations(experiment, results_dir))
    first_rows = frame.drop_duplicates(["persona", "topic", "seed"]).to_dict("records")
    asked = {(row["persona"], row["topic"], row["seed"]): row for row in first_rows}
    for session in experiment.sessions:
        said = conversations[session.key] if experiment.messages_of(session) else []
        check_unchanged(session, asked[session.key], _asked_with(session, instrument, said), folder.path)
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
    own = {"population": experiment.population, "instrument": instrument.version}
    return Folder(path, {**respondent.settings, "prompts": PROMPTS_DIGEST, **own})


def _answers(
    session: Session, respondent: Respondent, instrument: Instrument, conversation: Sequence[str]
) -> pd.DataFrame:
    letters = LETTERS[: len(instrument.options)]
    scored = _scored(session, respondent, instrument, conversation)
    orders = np.array([session.option_order(item.item, len(letters)) for item in instrument.items])  # (I, L)
    chosen = scored.logprobs.argmax(1)  # (I,)
    best = np.sort(scored.logprobs, 1)[:, ::-1]  # (I, L)
    return pd.DataFrame(
        {
            **session.identity,
            **_asked_with(session, instrument, conversation),
            "n_messages": max(len(conversation) - 1, 0),
            "instrument": instrument.name,
            "wording": instrument.wording,
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


def _scored(
    session: Session, respondent: Respondent, instrument: Instrument, conversation: Sequence[str]
) -> Answers:
    try:
        prompts = item_prompts(session, respondent, instrument, conversation)
        scored = respondent.answer(prompts, LETTERS[: len(instrument.options)])
        if np.isnan(scored.logprobs).any() or not np.isfinite(scored.logprobs.max(1)).all():
            raise ValuestabError(
                f"{respondent.name} gives no letter a probability, so there is no answer to read: load it in "
                "another dtype (float32 is safest)."
            )
    except ValuestabError as error:
        if str(session) in str(error):
            raise
        raise ValuestabError(f"Session {session}: {error}") from error
    return scored


def _asked_with(session: Session, instrument: Instrument, conversation: Sequence[str]) -> dict[str, str]:
    """All texts that a session's prompts are made of, by name or hash: other texts, other answers."""
    return {
        "persona_name": session.persona.name,
        "persona_description": session.persona.description,
        "gender": session.persona.gender,
        "instrument_version": instrument.version,
        "conversation": texts_digest(conversation),
    }
