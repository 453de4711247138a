"""What administrations have in common in which the prompt explains the codes of the answers (paper 002, section 3.1).

There, no options are shown: what stands before the items says what the numbers 1 to 6 mean, and numbers are answered.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from valuestab_utils.conversations import texts_digest
from valuestab_utils.errors import ValuestabError
from valuestab_utils.inductions import what_is_said
from valuestab_utils.instruments import PVQ_OPTIONS, Instrument
from valuestab_utils.progress import progress
from valuestab_utils.prompts import PROMPTS_DIGEST
from valuestab_utils.respondents import Respondent
from valuestab_utils.sessions import Experiment, Session, slug
from valuestab_utils.store import Folder, check_unchanged, experiment_folder
from valuestab_utils.texts_before import texts_before


def check_askable(experiment: Experiment, instrument: Instrument, temperature: float) -> None:
    """Refuse what would be answered without its codes being explained.

    Raises
    ------
    ValuestabError
        If the instrument has other options than the PVQ, a session has nothing said before its questions, or the
        temperature is no number of 0 or more.
    """
    if instrument.options != PVQ_OPTIONS:
        raise ValuestabError(
            f"{instrument.name} has other options than the PVQ, whose codes 1 to {len(PVQ_OPTIONS)} the prompts of "
            "paper 002 explain, so that it cannot be asked for codes: ask it by letters."
        )
    for session in experiment.sessions:
        if not session.persona.prefix:
            raise ValuestabError(
                f"Session {session}: its persona has no prefix, and nothing says how to answer with codes: take a "
                "condition of paper 002, or ask by letters."
            )
    check_temperature(temperature)


def check_temperature(temperature: float) -> None:
    """Refuse a temperature that is no finite number of 0 or more."""
    if isinstance(temperature, bool) or not isinstance(temperature, int | float) or not 0 <= temperature < float("inf"):
        raise ValuestabError(f"The temperature is {temperature!r}, but must be a number of 0 or more.")


def opening(session: Session, instrument: Instrument, texts: Sequence[str]) -> tuple[str, list[str]]:
    """What stands before the first item in its message, and the conversation before that message.

    Parameters
    ----------
    session : Session
    instrument : Instrument
    texts : sequence of str
        As `valuestab_utils.texts_before.texts_before` gives them.
    """
    prefix, conversation = what_is_said(session, texts)
    return "\n\n".join(filter(None, [prefix, instrument.instruction])), conversation


def administration_folder(
    experiment: Experiment,
    instrument: Instrument,
    results_dir: Path,
    administration: str,
    temperature: float,
    respondent: Respondent | None = None,
    own_settings: Mapping[str, object] | None = None,
) -> Folder:
    """Where the answers of one administration at one temperature are kept; to be written to, it needs who answers.

    Parameters
    ----------
    own_settings : mapping, optional
        What of the administration itself decides its results.
    """
    check_temperature(temperature)
    name = slug(f"{instrument.name}-{instrument.wording}")
    asked = f"n{experiment.n_messages}-{administration}-t{float(temperature)}"
    path = experiment_folder(results_dir, experiment) / name / asked
    if respondent is None:
        return Folder(path)
    own = {"population": experiment.population, "instrument": instrument.version, "administration": administration}
    own |= {"temperature": float(temperature), **(own_settings or {})}
    return Folder(path, {**respondent.settings, "prompts": PROMPTS_DIGEST, **own})


def ask_missing(
    experiment: Experiment,
    folder: Folder,
    at_once: int,
    label: str,
    ask: Callable[[Sequence[Session], Callable[[], object]], None],
) -> None:
    """Have ``ask(sessions, tell)`` ask all sessions that have no result yet, ``at_once`` at a time.

    ``ask`` writes their results; it may call ``tell`` when one of them is answered.
    """
    todo = folder.missing(experiment.sessions)
    with progress(total=len(todo), desc=label, unit="session") as bar:
        while todo:
            told: list[int] = []
            with folder.claim(todo, at_once) as mine:
                lacking = folder.missing(mine)  # by now, another run may have answered some
                if lacking:
                    ask(lacking, lambda: told.append(bar.update(1)))
                bar.update(len(mine) - len(told))
            if not mine:  # all in other hands: let one of them finish
                folder.wait_for(todo[0])
            todo = [session for session in todo if session not in mine]


def load_checked(experiment: Experiment, instrument: Instrument, results_dir: Path, folder: Folder) -> pd.DataFrame:
    """The answers of all sessions of an experiment.

    Raises
    ------
    ValuestabError
        If a session has no answers, or was asked as another persona or with other texts than those of its name now.
    """
    frame = folder.read_all(experiment.sessions)
    texts = texts_before(experiment, results_dir)
    first_rows = frame.drop_duplicates(["persona", "topic", "seed"]).to_dict("records")
    asked = {(row["persona"], row["topic"], row["seed"]): row for row in first_rows}
    for session in experiment.sessions:
        now = asked_with(session, instrument, texts[session.key]) | {"prompts": PROMPTS_DIGEST}
        check_unchanged(session, asked[session.key], now, folder.path)
    return frame


def asked_with(session: Session, instrument: Instrument, texts: Sequence[str]) -> dict[str, str]:
    """All texts that a session's prompts are made of, by name or hash: other texts, other answers."""
    persona = session.persona
    return {
        "prefix": persona.prefix,
        "group": persona.group,
        "persona_name": persona.name,
        "persona_description": persona.description,
        "gender": persona.gender or "",
        "instrument_version": instrument.version,
        "conversation": texts_digest(texts),
    }


def columns_before_answers(session: Session, instrument: Instrument, texts: Sequence[str]) -> dict[str, object]:
    """Columns of a session's answers that do not depend on them: a row an item, in the questionnaire's order."""
    return {
        **session.identity,
        **asked_with(session, instrument, texts),
        "n_messages": max(len(texts) - 1, 0),
        "instrument": instrument.name,
        "wording": instrument.wording,
        "item": [item.item for item in instrument.items],
        "value": [item.value for item in instrument.items],
    }
