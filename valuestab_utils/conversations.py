"""Simulating the conversations that precede the questionnaire (paper 001, section 3.1 and B.2-B.3)."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from valuestab_utils.errors import ValuestabError
from valuestab_utils.progress import progress
from valuestab_utils.prompts import PROMPTS_DIGEST, cut_at_label, interlocutor_prompt, tested_prompt, turn_labels
from valuestab_utils.provenance import provenance
from valuestab_utils.respondents import Prompt, Respondent, Text
from valuestab_utils.sessions import Experiment, Session
from valuestab_utils.store import Folder, experiment_folder

MAX_NEW_TOKENS = 100  # of one message (protocol, section 5)
BATCH_SESSIONS = 32


def simulate_conversations(
    experiment: Experiment, respondent: Respondent, results_dir: Path, batch_sessions: int = BATCH_SESSIONS
) -> pd.DataFrame:
    """Simulate what is missing of an experiment's conversations, and give all of them.

    Each message is saved when it is written, so that an interrupted run goes on where it was. A conversation that
    is there with fewer messages is continued.

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
        One row a message: the session's identity, ``message`` (0 is the topic's), ``role`` (interlocutor or tested),
        ``content``, ``n_tokens``, ``finish``, ``close_calls`` and provenance. Messages beyond
        ``experiment.n_messages`` are left out; the condition without conversation has no rows.
    """
    folder = conversation_folder(experiment, results_dir, respondent)
    sessions = [session for session in experiment.sessions if experiment.messages_of(session)]
    lengths = _lengths(folder, sessions)
    todo = [session for session in sessions if lengths.get(session.stem, 0) < experiment.n_messages]
    total = experiment.n_messages * len(todo) - sum(lengths.get(session.stem, 0) for session in todo)
    with progress(total=total, desc=f"Conversations of {experiment}", unit="message") as bar:
        while todo:
            with folder.claim(todo[:batch_sessions]) as mine:
                # Another run may have finished some between our look and our claim.
                lengths = _lengths(folder, mine)
                short = [session for session in mine if lengths.get(session.stem, 0) < experiment.n_messages]
                _simulate(short, experiment.n_messages, respondent, folder, bar)
            if not mine:  # all in other hands: let one of them finish
                folder.wait_for(todo[0])
            done = {session.stem for session in mine}
            lengths = _lengths(folder, todo) if not mine else {}
            todo = [
                session
                for session in todo
                if session.stem not in done and lengths.get(session.stem, 0) < experiment.n_messages
            ]
    return load_conversations(experiment, results_dir)


def load_conversations(experiment: Experiment, results_dir: Path) -> pd.DataFrame:
    """Conversations of an experiment as `simulate_conversations` gives them, without simulating any.

    Raises
    ------
    ValuestabError
        If a session has no conversation, or one of another persona text or first message.
    """
    folder = conversation_folder(experiment, results_dir)
    sessions = [session for session in experiment.sessions if experiment.messages_of(session)]
    if not sessions:
        return pd.DataFrame()
    frame = folder.read_all(sessions)
    frame = frame[frame["message"] <= experiment.n_messages].reset_index(drop=True)
    by_session = dict(tuple(frame.groupby(["persona", "topic", "seed"], sort=False)))
    for session in sessions:
        rows = by_session[session.persona.persona, session.topic.topic, session.seed]
        _check_texts(session, rows, folder)
        if len(rows) != experiment.n_messages + 1:
            raise ValuestabError(
                f"Session {session} has {len(rows) - 1} of {experiment.n_messages} messages: simulate its conversation."
            )
    return frame


def texts_by_session(conversations: pd.DataFrame) -> dict[tuple[str, str, int], list[str]]:
    """Message texts in order, by (persona, topic, seed)."""
    if conversations.empty:
        return {}
    groups = conversations.sort_values("message").groupby(["persona", "topic", "seed"], sort=False)
    return {key: list(rows["content"]) for key, rows in groups}


def next_prompt(session: Session, respondent: Respondent, conversation: Sequence[str]) -> Prompt:
    """Prompt of the next message of a session's conversation: odd messages are the tested model's."""
    number = len(conversation)
    render = tested_prompt if number % 2 else interlocutor_prompt
    text = render(session.format, respondent.template, session.persona, conversation)
    cut = partial(cut_at_label, labels=turn_labels(session.persona)) if session.format == "base" else None
    return Prompt(session, text, session.noise(number), cut)


def conversation_folder(
    experiment: Experiment, results_dir: Path, respondent: Respondent | None = None
) -> Folder:
    """Where the experiment's conversations are kept; to be written to, it needs the respondent that writes."""
    path = experiment_folder(results_dir, experiment) / "conversations"
    if respondent is None:
        return Folder(path)
    return Folder(path, {**respondent.settings, "prompts": PROMPTS_DIGEST, "max_new_tokens": MAX_NEW_TOKENS})


def _simulate(sessions: list[Session], n_messages: int, respondent: Respondent, folder: Folder, bar) -> None:
    there = set(sessions) - set(folder.missing(sessions))
    frames = {session: folder.read(session) if session in there else _opening(session) for session in sessions}
    for session in there:
        _check_texts(session, frames[session], folder)
    for number in range(1, n_messages + 1):
        speaking = [session for session in sessions if len(frames[session]) == number]
        if not speaking:
            continue
        prompts = [next_prompt(session, respondent, list(frames[session]["content"])) for session in speaking]
        for session, text in zip(speaking, respondent.speak(prompts, MAX_NEW_TOKENS)):
            row = _row(session, number, text) | provenance(respondent)
            frames[session] = pd.concat([frames[session], pd.DataFrame([row])], ignore_index=True)
            folder.write(session, frames[session].assign(**provenance(respondent)))
            bar.update(1)


def _opening(session: Session) -> pd.DataFrame:
    return pd.DataFrame([_row(session, 0, Text(session.topic.first_message, 0, "set", 0))])


def _row(session: Session, number: int, text: Text) -> dict:
    return {
        **session.identity,
        "persona_description": session.persona.description,
        "message": number,
        "role": "tested" if number % 2 else "interlocutor",
        "content": text.content,
        "n_tokens": text.n_tokens,
        "finish": text.finish,
        "close_calls": text.close_calls,
    }


def _lengths(folder: Folder, sessions: Sequence[Session]) -> dict[str, int]:
    """Messages after the first that each session's stored conversation has."""
    there = set(sessions) - set(folder.missing(sessions))
    return {session.stem: folder.n_rows(session) - 1 for session in there}


def _check_texts(session: Session, rows: pd.DataFrame, folder: Folder) -> None:
    stored = (rows["persona_description"].iloc[0], rows["content"].iloc[0])
    now = (session.persona.description, session.topic.first_message)
    if stored != now:
        raise ValuestabError(
            f"The conversation of session {session} in {folder.path} was made with the texts {stored}, which are now "
            f"{now}: give the changed persona or topic another name, or another results_dir."
        )
