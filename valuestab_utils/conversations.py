"""Simulating the conversations that precede the questionnaire (paper 001, section 3.1 and B.2-B.3)."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
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
_COLUMNS = (
    *("model", "format", "population", "persona", "topic", "seed", "persona_name", "persona_description"),
    *("message", "role", "content", "n_tokens", "finish", "close_calls"),
)


def simulate_conversations(
    experiment: Experiment, respondent: Respondent, results_dir: Path, batch_sessions: int | None = None
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
    simulate_together([experiment], respondent, results_dir, batch_sessions)
    return load_conversations(experiment, results_dir)


def simulate_together(
    experiments: Sequence[Experiment],
    respondent: Respondent,
    results_dir: Path,
    batch_sessions: int | None = None,
) -> None:
    """Simulate what is missing of the conversations of several experiments of one respondent, in common batches.

    Larger batches take less time. A session that several experiments have is simulated once, as far as the one that
    needs it longest. Parameters as in `simulate_conversations`; experiments in the base format and others need a call
    each, since only the former's texts are cut at turn labels.
    """
    work = _missing(experiments, respondent, results_dir)
    at_once = batch_sessions or (respondent.batch_sessions if work else 0)  # it may load a model to know
    written = {folder.path: {s: _n_written(folder, s) for s in longest} for folder, longest in work}
    total = sum(n - written[folder.path][s] for folder, longest in work for s, n in longest.items())
    names = ", ".join(dict.fromkeys(str(experiment) for experiment in experiments))
    label = names if len(names) < 60 else f"{respondent.name}, {len(experiments)} experiments"
    with progress(total=total, desc=f"Conversations of {label}", unit="message") as bar:
        while work:
            with ExitStack() as claims:
                mine: list[_Task] = []
                for folder, longest in work:
                    before = written[folder.path]
                    free = at_once - len(mine)
                    claimed = claims.enter_context(folder.claim(list(longest), free)) if free else []
                    # Between our look and our claim, another run may have gone on with some.
                    bar.update(sum(min(_n_written(folder, s), longest[s]) - before[s] for s in claimed))
                    mine += [_Task(folder, session, longest[session]) for session in claimed]
                _simulate(mine, respondent, bar)
            if not mine:  # all in other hands: let one of them finish
                folder, longest = work[0]
                folder.wait_for(next(iter(longest)))
            done = {(task.folder.path, task.session) for task in mine}
            work = [
                (folder, {s: n for s, n in longest.items() if (folder.path, s) not in done})
                for folder, longest in work
            ]
            work = [(folder, longest) for folder, longest in work if longest]


def missing_messages(experiments: Sequence[Experiment], results_dir: Path) -> int:
    """Messages that `simulate_together` would have to write for these experiments of one model."""
    longest: dict[tuple[Path, Session], int] = {}
    for experiment in experiments:
        place = conversation_folder(experiment, results_dir).path
        for session in _with_conversation(experiment):
            longest[place, session] = max(longest.get((place, session), 0), experiment.n_messages)
    return sum(max(n - _n_written(Folder(place), session), 0) for (place, session), n in longest.items())


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
    return Prompt(session, text, session.noise(number), cut, temperature=session.topic.temperature)


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


@dataclass(frozen=True)
class _Task:
    """One conversation to be simulated up to so many messages after the first."""

    folder: Folder
    session: Session
    n_messages: int


def _missing(
    experiments: Sequence[Experiment], respondent: Respondent, results_dir: Path
) -> list[tuple[Folder, dict[Session, int]]]:
    """Folders with the sessions that lack messages, and how many each must have."""
    folders: dict[Path, Folder] = {}
    longest: dict[Path, dict[Session, int]] = {}
    for experiment in experiments:
        folder = conversation_folder(experiment, results_dir, respondent)
        folder = folders.setdefault(folder.path, folder)
        for session in _with_conversation(experiment):
            needed = longest.setdefault(folder.path, {})
            needed[session] = max(needed.get(session, 0), experiment.n_messages)
    lacking = [
        (folders[path], {s: n for s, n in needed.items() if _n_written(folders[path], s) < n})
        for path, needed in longest.items()
    ]
    return [(folder, needed) for folder, needed in lacking if needed]


def _simulate(tasks: Sequence[_Task], respondent: Respondent, bar) -> None:
    rows = {task: _so_far(task.session, respondent, task.folder) for task in tasks}
    for number in range(1, max((task.n_messages for task in tasks), default=0) + 1):
        speaking = [task for task in tasks if len(rows[task]) == number <= task.n_messages]
        if not speaking:
            continue
        told: list[int] = []  # a batch takes minutes on a slow machine: count each message when it is written

        def tell() -> None:
            told.append(bar.update(1))

        asked = [next_prompt(t.session, respondent, [row["content"] for row in rows[t]]) for t in speaking]
        texts = respondent.speak([replace(prompt, done=tell) for prompt in asked], MAX_NEW_TOKENS)
        for task, text in zip(speaking, texts, strict=True):
            rows[task].append(_row(task.session, number, text, respondent))
            task.folder.write(task.session, pd.DataFrame(rows[task]))
        bar.update(len(speaking) - len(told))


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
        "prompts": prompts.PROMPTS_DIGEST,
    }
    check_unchanged(session, {**first_row, "first_message": first_row["content"]}, now, folder.path)
