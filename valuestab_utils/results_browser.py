"""What a results folder holds, and what lies behind a point: for looking at results without a model."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from valuestab_utils.conversations import texts_digest
from valuestab_utils.errors import ValuestabError, check_known
from valuestab_utils.inductions import CONDITIONS
from valuestab_utils.instruments import PVQ_OPTIONS, Instrument, load_pvq40
from valuestab_utils.populations import Persona
from valuestab_utils.prompts import LETTERS
from valuestab_utils.scored_answers import QUESTIONNAIRE, score_answers
from valuestab_utils.sessions import Session
from valuestab_utils.store import Folder, read_whole_folder
from valuestab_utils.tasks import RACES, load_task
from valuestab_utils.topics import NO_CONVERSATION, Topic

_SINGLE = ("", "second")  # kinds of option orders in which each item is asked once
_NEEDED = (
    *("model", "format", "population", "persona", "topic", "seed", "persona_description", "gender", "conversation"),
    *("instrument", "wording", "instrument_version", "item", "value", "option_order", "letter_mass", "letter"),
    *("answer", "near_tie", "logprob_A"),
)


@dataclass(frozen=True)
class StoredAnswers:
    """A folder of answers.

    Attributes
    ----------
    model, format, population : str
        Names of its folders.
    instrument : str
        Name of its folder, such as PVQ-40-project.
    n_messages : int
        Messages before the questions.
    orders : str
        "" for the single random order, "second" for a second draw.
    path : Path
    """

    model: str
    format: str
    population: str
    instrument: str
    n_messages: int
    orders: str
    path: Path

    @property
    def questions(self) -> str:
        """What was asked, and when, for a person to choose from."""
        again = ", second orders" if self.orders else ""
        return f"{self.instrument} after {self.n_messages} message{'' if self.n_messages == 1 else 's'}{again}"


def stored_answers(results_dir: Path) -> list[StoredAnswers]:
    """All folders of answers with each item asked once a session, sorted by their names; empty if there are none.

    Those of papers 002 and 004 are left out: their runs have no topics between which values could change.
    """
    found = []
    for path in Path(results_dir).glob("*/*/*/*/n*"):
        length, _, orders = path.name.removeprefix("n").partition("-")
        of_condition = path.parent.parent.name in CONDITIONS
        if length.isdigit() and orders in _SINGLE and not of_condition and any(path.glob("*.parquet")):
            found.append(StoredAnswers(*path.parts[-5:-1], int(length), orders, path))
    return sorted(found, key=lambda s: (s.model, s.format, s.population, s.instrument, s.n_messages, s.orders))


def read_answers(stored: StoredAnswers) -> pd.DataFrame:
    """The answers of a folder, one row an answer (see `valuestab_utils.questionnaire.ask_questionnaire`).

    Raises
    ------
    ValuestabError
        If a file is damaged, or they are no answers of this package's.
    """
    answers = read_whole_folder(stored.path)
    lacking = [column for column in _NEEDED if column not in answers.columns]
    if lacking or answers.empty:
        raise ValuestabError(
            f"The files in {stored.path} have {f'no column {lacking[0]}' if lacking else 'no rows'}, so they are no "
            "answers that this version of the package wrote: move that folder away."
        )
    return answers


def induced(answers: pd.DataFrame) -> bool:
    """Whether the model was told to be somebody: without, what stands for personas are orders of the options."""
    return bool((answers["persona_description"] != "").all())


def personas_left_out(answers: pd.DataFrame, seed: int) -> list[str]:
    """Personas that have answers of this seed in some contexts, but not in all; they have no place in the order."""
    of_seed = answers[answers["seed"] == seed]
    asked = of_seed.groupby("persona")["topic"].nunique()
    return sorted(asked.index[asked < of_seed["topic"].nunique()])


def persona_ranks(answers: pd.DataFrame, value: str, seed: int) -> pd.DataFrame:
    """Each persona's place in the order of personas on a value, in each context.

    Parameters
    ----------
    answers : DataFrame
        Of one experiment, as `read_answers` gives them.
    value : str
        One of `values_of`.
    seed : int

    Returns
    -------
    DataFrame
        Index: personas, by their mean rank; columns: contexts. Rank 1 has the highest score, ties share their mean
        rank, and a persona whose score is missing in a context has NaN there. Those of `personas_left_out` are not
        in it.

    Raises
    ------
    ValuestabError
        If no persona was asked in every context, or the value is unknown.
    """
    of_seed = answers[answers["seed"] == seed]
    complete = of_seed[~of_seed["persona"].isin(personas_left_out(answers, seed))]
    if complete.empty:
        raise ValuestabError(f"No persona has answered in every context with seed {seed} yet: let the run go on.")
    scored = score_answers(complete)
    check_known("value", value, scored.values)
    scores = scored.scores[0, :, :, scored.values.index(value)]  # (contexts, personas)
    ranks = np.stack([rankdata(-context, nan_policy="omit") for context in scores], 1)
    table = pd.DataFrame(ranks, index=list(scored.personas), columns=list(scored.contexts))
    return table.loc[table.mean(axis=1).sort_values(kind="stable").index]


def values_of(answers: pd.DataFrame) -> tuple[str, ...]:
    """The values, or a task's scales, that these answers are scored on."""
    instrument = answers["instrument"].iloc[0]
    if instrument == QUESTIONNAIRE:
        return tuple(dict.fromkeys(answers.sort_values("item")["value"]))
    return tuple(load_task(instrument.lower()).key)


def conversation_behind(
    stored: StoredAnswers, answers: pd.DataFrame, persona: str, topic: str, seed: int
) -> pd.DataFrame:
    """The conversation before a session's questions, one row a message; empty if there was none.

    Raises
    ------
    ValuestabError
        If its file is missing or damaged, or holds another conversation than the answers were given after.
    """
    asked = _of_session(answers, persona, topic, seed)
    if topic == NO_CONVERSATION:
        return pd.DataFrame()
    place = stored.model, stored.format, stored.population
    session = Session(*place, Persona(persona, persona, "", None), Topic(topic, None), seed)
    folder = Folder(stored.path.parent.parent / "conversations")
    rows = folder.read(session).sort_values("message")
    rows = rows[rows["message"] <= stored.n_messages]
    if len(asked) and texts_digest(list(rows["content"])) != asked["conversation"].iloc[0]:
        raise ValuestabError(
            f"{folder.file(session)} holds another conversation than the one before these answers, which is lost: "
            "move both away, and the next run makes them anew."
        )
    return rows


def answers_behind(answers: pd.DataFrame, persona: str, topic: str, seed: int, value: str) -> pd.DataFrame:
    """What a persona answered in a context to the items of a value.

    Returns
    -------
    DataFrame
        One row an item: ``item``; ``question`` (as it was asked, if that wording is here; else ""); ``letter``, or ""
        if the answer is missing; ``code`` of the chosen option (1 is the first), NaN if missing; ``answer``, that
        option in words if they are known, else ""; ``options``, all of them in words; ``probabilities`` of the
        options in the order of their codes (of all next tokens: they sum to ``letter_mass``, NaN where unknown);
        ``letter_mass``; ``near_tie``.
    """
    rows = _of_session(answers, persona, topic, seed)
    rows = rows[rows["value"] == value].sort_values("item")
    found = []
    for row in rows.to_dict("records"):
        instrument = _as_asked(row)
        item = next((item for item in instrument.items if item.item == row["item"]), None) if instrument else None
        options = instrument.options_of(item) if item else _fixed_options(row["instrument"])
        missing = not row["letter"]
        found.append(
            {
                "item": row["item"],
                "question": item.portrait(row["gender"]) if item else "",
                "letter": row["letter"],
                "code": np.nan if missing else int(row["answer"]),
                "answer": "" if missing or not options else options[int(row["answer"]) - 1],
                "options": options,
                "probabilities": _probabilities(row),
                "letter_mass": row["letter_mass"],
                "near_tie": bool(row["near_tie"]),
            }
        )
    names = ("item", "question", "letter", "code", "answer", "options", "probabilities", "letter_mass", "near_tie")
    return pd.DataFrame(found, columns=list(names))


def _of_session(rows: pd.DataFrame, persona: str, topic: str, seed: int) -> pd.DataFrame:
    return rows[(rows["persona"] == persona) & (rows["topic"] == topic) & (rows["seed"] == seed)]


def _probabilities(row: dict) -> tuple[float, ...]:
    """Probabilities of the options by their codes, from those of the letters that they stood at."""
    order: Sequence[int] = row["option_order"]
    of_code = {code: float(np.exp(row[f"logprob_{letter}"])) for letter, code in zip(LETTERS, order)}
    return tuple(of_code[code] for code in sorted(of_code))


def _as_asked(row: dict) -> Instrument | None:
    """The instrument with the very texts that were asked; None if they are not here."""
    if row["instrument"] != QUESTIONNAIRE:
        part = re.match(r"(\d+) of ", row["wording"])
        n_names = {"n_names": int(part[1]) // len(RACES)} if part else {}
        instrument = load_task(row["instrument"].lower(), **n_names)
    else:
        try:
            instrument = load_pvq40(row["wording"])
        except ValuestabError:  # the published wording is its authors', and need not be on this machine
            return None
    return instrument if instrument.version == row["instrument_version"] else None


def _fixed_options(instrument: str) -> tuple[str, ...]:
    """Options that are the same whichever wording the questions have: the questionnaire's."""
    return PVQ_OPTIONS if instrument == QUESTIONNAIRE else ()
