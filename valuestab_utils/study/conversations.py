"""Simulating the conversations that precede the questionnaire (paper 001, section 3.1 and B.2-B.3)."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from valuestab_utils.errors import ValuestabError
from valuestab_utils.models import Prompt, Respondent, Text
from valuestab_utils.prompts import Session
from valuestab_utils.prompts import formats as prompts
from valuestab_utils.study.experiments import Experiment
from valuestab_utils.study.progress import progress
from valuestab_utils.study.store import Folder, check_unchanged, claimed, experiment_folder, provenance

MAX_NEW_TOKENS = 100  # of one message (protocol, section 5)
_COLUMNS = (
    *("model", "format", "population", "persona", "topic", "seed", "persona_name", "persona_description"),
    *("message", "role", "content", "n_tokens", "finish", "close_calls"),
)


def simulate_conversations(experiment: Experiment, respondent: Respondent, results_dir: Path) -> pd.DataFrame:
    """An experiment's conversations; what is missing is simulated, and each message saved when it is written.

    Returns one row a message: the session's identity, ``persona_name``, ``persona_description``, ``message`` (0 is the
    topic's), ``role`` (interlocutor or tested, both played by the respondent), ``content``, ``n_tokens``, ``finish``
    (why it ended, as in `models.Text`; "given" for message 0), ``close_calls``, and the columns of `provenance`.
    Messages beyond the experiment's are left out; the condition without conversation has no rows.
    """
    simulate_together([experiment], respondent, results_dir)
    return load_conversations(experiment, results_dir)


def simulate_together(experiments: Sequence[Experiment], respondent: Respondent, results_dir: Path) -> None:
    """Simulate what is missing for several experiments of one respondent, in common batches, which take less time.

    A session of several experiments is simulated once, as far as the one that needs it longest. The base format, whose
    texts alone are cut at turn labels, needs a call of its own.
    """
    needed = _missing(experiments, results_dir, respondent)
    if not needed:
        return  # before a model is loaded in order to know its batches
    written = {task: _n_written(*task) for task in needed}
    names = ", ".join(dict.fromkeys(str(experiment) for experiment in experiments))
    label = names if len(names) < 60 else f"{respondent.name}, {len(experiments)} experiments"
    total = sum(needed.values()) - sum(written.values())
    with progress(total=total, desc=f"Conversations of {label}", unit="message") as bar:
        for mine in claimed(needed, respondent.batch_sessions):
            # Between our look and our claim, another run may have gone on with some.
            bar.update(sum(min(_n_written(*task), needed[task]) - written[task] for task in mine))
            _simulate({task: needed[task] for task in mine}, respondent, bar)


def missing_messages(experiments: Sequence[Experiment], results_dir: Path) -> int:
    """Messages that `simulate_together` would have to write for these experiments of one model."""
    missing = _missing(experiments, results_dir)
    return sum(n - _n_written(*task) for task, n in missing.items())


def load_conversations(experiment: Experiment, results_dir: Path) -> pd.DataFrame:
    """The conversations that `simulate_conversations` gives, without simulating any.

    ValuestabError if a session has none, or one made with another persona text or first message.
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
    """Message texts in order, by session key (persona, topic, seed)."""
    groups = conversations.sort_values("message").groupby(["persona", "topic", "seed"], sort=False)
    return {key: list(rows["content"]) for key, rows in groups}


def texts_digest(conversation: Sequence[str]) -> str:
    """First 12 hexadecimal digits of a hash of a conversation's texts; empty without conversation."""
    return hashlib.sha256(json.dumps(list(conversation)).encode()).hexdigest()[:12] if conversation else ""


def next_prompt(session: Session, respondent: Respondent, conversation: Sequence[str]) -> Prompt:
    """Prompt of a conversation's next message; odd messages are the tested model's."""
    number = len(conversation)
    render = prompts.tested_prompt if number % 2 else prompts.interlocutor_prompt
    text = render(session.format, respondent.template, session.persona, conversation)
    cut = None
    if session.format == "base":
        cut = partial(prompts.cut_at_label, labels=prompts.turn_labels(session.persona))
    return Prompt(session, text, session.noise(number), cut, temperature=session.topic.temperature)


def conversation_folder(experiment: Experiment, results_dir: Path, respondent: Respondent | None = None) -> Folder:
    """Where the conversations are kept; writing to it needs who speaks."""
    return experiment_folder(experiment, results_dir, "conversations", respondent, max_new_tokens=MAX_NEW_TOKENS)


def _with_conversation(experiment: Experiment) -> list[Session]:
    return [session for session in experiment.sessions if experiment.messages_of(session)]


def _n_written(folder: Folder, session: Session) -> int:
    # Without message 0, the topic's, which nobody has to write.
    return max(folder.n_rows(session) - 1, 0)


_Task = tuple[Folder, Session]


def _missing(
    experiments: Sequence[Experiment], results_dir: Path, respondent: Respondent | None = None
) -> dict[_Task, int]:
    """How many messages each session must have that lacks some; its folder, to be written to, needs who speaks."""
    folders: dict[Path, Folder] = {}
    needed: dict[_Task, int] = {}
    for experiment in experiments:
        folder = conversation_folder(experiment, results_dir, respondent)
        folder = folders.setdefault(folder.path, folder)
        for session in _with_conversation(experiment):
            if _n_written(folder, session) < experiment.n_messages:
                needed[folder, session] = max(needed.get((folder, session), 0), experiment.n_messages)
    return needed


def _simulate(needed: Mapping[_Task, int], respondent: Respondent, bar: tqdm) -> None:
    rows = {task: _so_far(*task, respondent) for task in needed}
    for number in range(1, max(needed.values(), default=0) + 1):
        speaking = [task for task, n in needed.items() if len(rows[task]) == number <= n]
        if not speaking:
            continue
        asked = [next_prompt(task[1], respondent, [row["content"] for row in rows[task]]) for task in speaking]
        counted = bar.n
        # A batch takes minutes on a slow machine: each message counts when it is written, if the respondent tells.
        texts = respondent.speak([replace(prompt, done=bar.update) for prompt in asked], MAX_NEW_TOKENS)
        for task, text in zip(speaking, texts, strict=True):
            folder, session = task
            rows[task].append(_row(session, number, text, respondent))
            folder.write(session, pd.DataFrame(rows[task]))
        bar.update(counted + len(speaking) - bar.n)


def _so_far(folder: Folder, session: Session, respondent: Respondent) -> list[dict]:
    if not folder.missing([session]):
        rows = folder.read_all([session]).to_dict("records")
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
        **asdict(text),
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
