"""What a results folder holds, and what lies behind a point: for looking at results without a model."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from valuestab_utils.errors import ValuestabError
from valuestab_utils.instruments import load_pvq40
from valuestab_utils.labels import population_label, respondent_label
from valuestab_utils.scored_answers import QUESTIONNAIRE, score_answers
from valuestab_utils.store import read_whole_folder
from valuestab_utils.tasks import load_task

_SINGLE = ("", "second")  # kinds of option orders in which each item is asked once


@dataclass(frozen=True)
class StoredAnswers:
    """A folder of answers.

    Attributes
    ----------
    model, format, population : str
    instrument : str
        Name of its folder, such as pvq-40-project.
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
    def label(self) -> str:
        """For a person to choose from."""
        who = f"{respondent_label(self.model, self.format)}, {population_label(self.population)}"
        again = ", second orders" if self.orders else ""
        return f"{who}: {self.instrument} after {self.n_messages} message{'' if self.n_messages == 1 else 's'}{again}"


def stored_answers(results_dir: Path) -> list[StoredAnswers]:
    """All folders of answers with each item asked once a session, sorted by their names; empty if there are none."""
    found = []
    for path in sorted(Path(results_dir).glob("*/*/*/*/n*")):
        length, _, orders = path.name.removeprefix("n").partition("-")
        if length.isdigit() and orders in _SINGLE and any(path.glob("*.parquet")):
            found.append(StoredAnswers(*path.parts[-5:-1], int(length), orders, path))
    return found


def read_answers(stored: StoredAnswers) -> pd.DataFrame:
    """The answers of a folder, one row an answer (see `valuestab_utils.questionnaire.ask_questionnaire`).

    Raises
    ------
    ValuestabError
        If a file is damaged.
    """
    return read_whole_folder(stored.path)


def complete_sessions(answers: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Answers of a seed's personas that were asked in every context; a run on its way has others too."""
    of_seed = answers[answers["seed"] == seed]
    contexts = of_seed["topic"].nunique()
    asked = of_seed.groupby("persona")["topic"].nunique()
    return of_seed[of_seed["persona"].isin(asked.index[asked == contexts])]


def persona_ranks(answers: pd.DataFrame, value: str, seed: int) -> pd.DataFrame:
    """Each persona's place in the order of personas on a value, in each context.

    Parameters
    ----------
    answers : DataFrame
        Of one experiment.
    value : str
        One of `values_of`.
    seed : int

    Returns
    -------
    DataFrame
        Index: personas, by their mean rank; columns: contexts. Rank 1 has the highest score, ties share their mean
        rank, and a persona whose score is missing in a context has NaN there.

    Raises
    ------
    ValuestabError
        If no persona was asked in every context, or the value is unknown.
    """
    complete = complete_sessions(answers, seed)
    if complete.empty:
        raise ValuestabError(f"No persona has answered in every context with seed {seed} yet: let the run go on.")
    scored = score_answers(complete)
    if value not in scored.values:
        raise ValuestabError(f"There is no value {value!r} in these answers, only {', '.join(scored.values)}.")
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


def conversation_behind(stored: StoredAnswers, persona: str, topic: str, seed: int) -> pd.DataFrame:
    """The conversation before a session's questions, one row a message; empty if it had none.

    Raises
    ------
    ValuestabError
        If a file is damaged.
    """
    folder = stored.path.parent.parent / "conversations"
    if not any(folder.glob("*.parquet")):
        return pd.DataFrame()
    rows = _of_session(read_whole_folder(folder), persona, topic, seed)
    return rows[rows["message"] <= stored.n_messages].sort_values("message")


def answers_behind(answers: pd.DataFrame, persona: str, topic: str, seed: int, value: str) -> pd.DataFrame:
    """What a persona answered in a context to the items of a value.

    Returns
    -------
    DataFrame
        One row an item: ``item``; ``question`` (as it was asked, if that wording is here; else ""); ``answer``, the
        chosen option in words, or "" if it is missing; ``letter``; ``probability`` of that letter (NaN if unknown).
    """
    rows = _of_session(answers, persona, topic, seed)
    rows = rows[rows["value"] == value].sort_values("item")
    instrument = _instrument(rows["instrument"].iloc[0], rows["wording"].iloc[0]) if len(rows) else None
    items = {item.item: item for item in instrument.items} if instrument else {}
    found = []
    for row in rows.to_dict("records"):
        item = items.get(row["item"])
        missing = not row["letter"]
        found.append(
            {
                "item": row["item"],
                "question": item.portrait(row["gender"]) if item else "",
                "answer": "" if missing else _option(instrument, item, int(row["answer"])),
                "letter": row["letter"],
                "probability": np.nan if missing else float(np.exp(row[f"logprob_{row['letter']}"])),
            }
        )
    return pd.DataFrame(found, columns=["item", "question", "answer", "letter", "probability"])


def _of_session(rows: pd.DataFrame, persona: str, topic: str, seed: int) -> pd.DataFrame:
    return rows[(rows["persona"] == persona) & (rows["topic"] == topic) & (rows["seed"] == seed)]


def _instrument(name: str, wording: str):
    """The instrument in this wording; None if its text is not here."""
    if name != QUESTIONNAIRE:
        return load_task(name.lower())
    try:
        return load_pvq40(wording)
    except ValuestabError:  # the published wording is its authors', and need not be on this machine
        return None


def _option(instrument, item, code: int) -> str:
    if instrument is None:
        return str(code)
    options: Sequence[str] = instrument.options_of(item) if item else instrument.options
    return options[code - 1]
