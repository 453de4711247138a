"""Simulating the conversations that precede the questionnaire (paper 001, section 3.1 and B.2-B.3)."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from valuestab_utils import prompts
from valuestab_utils.errors import ValuestabError
from valuestab_utils.progress import progress
from valuestab_utils.provenance import provenance
from valuestab_utils.respondents import Prompt, Respondent, Text
from valuestab_utils.sessions import Experiment, Session
from valuestab_utils.store import Folder, check_unchanged, experiment_folder

MAX_NEW_TOKENS = 100  # of one message (protocol, section 5)
BATCH_SESSIONS = 32
_COLUMNS = (
    *("model", "format", "population", "persona", "topic", "seed", "persona_name", "persona_description"),
    *("message", "role", "content", "n_tokens", "finish", "close_calls"),
)


def simulate_conversations(
    experiment: Experiment, respondent: Respondent, results_dir: Path, batch_sessions: int = BATCH_SESSIONS
) -> pd.DataFrame:
    """Simulate what is missing of an experiment's conversations, and give all of them.

    Each message is saved when it is written, so that an interrupted run goes on where it was. A conversation
    that is there with fewer messages is continued.

    Parameters
    ----------
    experiment : Experiment
    respondent : Respondent
        Tested model and interlocutor in one.
    results_dir : Path
    batch_sessions : int
        Sessions simulated together; has no influence on any text.

    Returns
    -------
    DataFrame
        One row a message: the session's identity, ``persona_name`` and ``persona_description``, ``message``
        (0 is the topic's), ``role`` (interlocutor or tested), ``content``, ``n_tokens``, ``finish`` (why it
        ended: see `valuestab_utils.sampling.Sampled`; "given" for message 0), ``close_calls``, and the
        columns of `valuestab_utils.provenance.provenance`. Messages beyond ``experiment.n_messages`` are left
        out; the condition without conversation has no rows.
    """
    folder = conversation_folder(experiment, results_dir, respondent)
    n_messages = experiment.n_messages
    written = {session: _n_written(folder, session) for session in _with_conversation(experiment)}
    todo = [session for session, n in written.items() if n < n_messages]
    total = sum(n_messages - written[session] for session in todo)
    with progress(total=total, desc=f"Conversations of {experiment}", unit="message") as bar:
        while todo:
            with folder.claim(todo, batch_sessions) as mine:
                # Between our look and our claim, another run may have gone on with some.
                bar.update(sum(min(_n_written(folder, s), n_messages) - written[s] for s in mine))
                _simulate(mine, n_messages, respondent, folder, bar)
            if not mine:  # all in other hands: let one of them finish
                folder.wait_for(todo[0])
            todo = [session for session in todo if session not in set(mine)]
    return load_conversations(experiment, results_dir)


def load_conversations(experiment: Experiment, results_dir: Path) -> pd.DataFrame:
    """Conversations of an experiment as `simulate_conversations` gives them, without simulating any.

    Raises
    ------
    ValuestabError
        If a session has no conversation, or one of another persona text or first message.
    """
    folder = conversation_folder(experiment, results_dir)
    sessions = _with_conversation(experiment)
    if not sessions:
        return pd.DataFrame(columns=_COLUMNS)
    frame = folder.read_all(sessions)
    frame = frame[frame["message"] <= experiment.n_messages].reset_index(drop=True)
    by_session = dict(tuple(frame.groupby(["persona", "topic", "seed"], sort=False)))
    for session in sessions:
        rows = by_session[session.key]
        _check_texts(session, rows.iloc[0].to_dict(), folder)
        if len(rows) != experiment.n_messages + 1:
            raise ValuestabError(
                f"Session {session} has {len(rows) - 1} of {experiment.n_messages} messages: simulate its "
                "conversation (run the notebook that does)."
            )
    return frame


def texts_by_session(conversations: pd.DataFrame) -> dict[tuple[str, str, int], list[str]]:
    """Message texts in order, by the sessions' keys (persona, topic, seed)."""
    groups = conversations.sort_values("message").groupby(["persona", "topic", "seed"], sort=False)
    return {key: list(rows["content"]) for key, rows in groups}


def texts_digest(conversation: Sequence[str]) -> str:
    """First 12 hexadecimal digits of a hash of a conversation's texts; empty without conversation.

    Examples
    --------
    >>> texts_digest([]), texts_digest(["1. e4", "e5"])
    ('', '86e5674f154b')
    """
    return hashlib.sha256(json.dumps(list(conversation)).encode()).hexdigest()[:12] if conversation else ""


def next_prompt(session: Session, respondent: Respondent, conversation: Sequence[str]) -> Prompt:
    """Prompt of the next message of a session's conversation: odd messages are the tested model's."""
    number = len(conversation)
    render = prompts.tested_prompt if number % 2 else prompts.interlocutor_prompt
    text = render(session.format, respondent.template, session.persona, conversation)
    cut = None
    if session.format == "base":
        cut = partial(prompts.cut_at_label, labels=prompts.turn_labels(session.persona))
    return Prompt(session, text, session.noise(number), cut)


def conversation_folder(
    experiment: Experiment, results_dir: Path, respondent: Respondent | None = None
) -> Folder:
    """Where the experiment's conversations are kept; to be written to, it needs who speaks."""
    path = experiment_folder(results_dir, experiment) / "conversations"
    if respondent is None:
        return Folder(path)
    own = {"population": experiment.population, "max_new_tokens": MAX_NEW_TOKENS}
    return Folder(path, {**respondent.settings, "prompts": prompts.PROMPTS_DIGEST, **own})


def _with_conversation(experiment: Experiment) -> list[Session]:
    return [session for session in experiment.sessions if experiment.messages_of(session)]


def _n_written(folder: Folder, session: Session) -> int:
    """Messages after the first that the session's stored conversation has."""
    return max(folder.n_rows(session) - 1, 0)


def _simulate(sessions: list[Session], n_messages: int, respondent: Respondent, folder: Folder, bar) -> None:
    rows = {session: _so_far(session, respondent, folder) for session in sessions}
    for number in range(1, n_messages + 1):
        speaking = [session for session in sessions if len(rows[session]) == number]
        if not speaking:
            continue
        asked = [next_prompt(s, respondent, [row["content"] for row in rows[s]]) for s in speaking]
        for session, text in zip(speaking, respondent.speak(asked, MAX_NEW_TOKENS), strict=True):
            rows[session].append(_row(session, number, text, respondent))
            folder.write(session, pd.DataFrame(rows[session]))
            bar.update(1)


def _so_far(session: Session, respondent: Respondent, folder: Folder) -> list[dict]:
    """Rows of the session's conversation as far as it is written."""
    if not folder.missing([session]):
        rows = folder.read(session).to_dict("records")
        _check_texts(session, rows[0], folder)
        return rows
    return [_row(session, 0, Text(session.topic.first_message, 0, "given", 0), respondent)]


def _row(session: Session, number: int, text: Text, respondent: Respondent) -> dict:
    return {
        **session.identity,
        "persona_name": session.persona.name,
        "persona_description": session.persona.description,
        "message": number,
        "role": "tested" if number % 2 else "interlocutor",
        "content": text.content,
        "n_tokens": text.n_tokens,
        "finish": text.finish,
        "close_calls": text.close_calls,
        **provenance(respondent),
    }


def _check_texts(session: Session, first_row: Mapping, folder: Folder) -> None:
    now = {
        "persona_name": session.persona.name,
        "persona_description": session.persona.description,
        "first_message": session.topic.first_message,
    }
    check_unchanged(session, {**first_row, "first_message": first_row["content"]}, now, folder.path)
