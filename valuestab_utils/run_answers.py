"""Answers frames taken apart: which run and item each row belongs to, and its probabilities in the codes' order."""

import numpy as np
import pandas as pd

from valuestab_utils.answer_draws import at_temperature, option_logprobs
from valuestab_utils.errors import ValuestabError
from valuestab_utils.instruments import Instrument
from valuestab_utils.prompts import LETTERS

IDENTITY = ("model", "format", "population", "persona", "topic", "seed")


def only(rows: pd.DataFrame, column: str, default, instrument: Instrument):
    """The one entry of a column; the default if there is no such column or nothing in it."""
    if column not in rows:
        return default
    found = list(rows[column].unique())
    if len(found) > 1:
        raise ValuestabError(f"The answers to {instrument.name} have several in the column {column} ({found}): give "
                             "those of one at a time.")
    return default if pd.isna(found[0]) else found[0]


def run_and_item(rows: pd.DataFrame, instrument: Instrument) -> tuple[np.ndarray, np.ndarray]:
    """Number of the run, and of the item in the instrument, for each row."""
    run = rows.groupby(list(IDENTITY), sort=False, dropna=False).ngroup().to_numpy()
    places = {item.item: i for i, item in enumerate(instrument.items)}
    positions = rows["item"].map(places)
    times = np.zeros((run.max() + 1, len(places)), dtype=int)
    if not positions.isna().any():
        np.add.at(times, (run, positions.to_numpy(dtype=int)), 1)
    if not (times == 1).all():
        wrong = np.argwhere(times != 1)[0]
        who = "/".join(str(part) for part in rows[list(IDENTITY)].iloc[list(run).index(wrong[0])])
        raise ValuestabError(
            f"The run {who} of {instrument.name} must have each of its {len(places)} items once, but item "
            f"{instrument.items[wrong[1]].item} is there {times[tuple(wrong)]} times, or there are items of another "
            "version: give the answers to one version, in one order of the options."
        )
    return run, positions.to_numpy(dtype=int)


def tells_probabilities(rows: pd.DataFrame, instrument: Instrument) -> bool:
    """Whether every answer has the probabilities of all letters, so that others can be drawn."""
    letters = [f"logprob_{letter}" for letter in LETTERS[: len(instrument.options)]]
    return bool(set(letters) <= set(rows) and rows[letters].notna().all(axis=None))


def without_probabilities(rows: pd.DataFrame) -> pd.DataFrame:
    """Answers as they were given, and nothing else to read them by."""
    return rows.drop(columns=[name for name in rows if name.startswith("logprob_")])


def probabilities_by_code(rows: pd.DataFrame, instrument: Instrument) -> np.ndarray | None:
    """Probabilities over the options of each row, in the order of the codes, summing to 1; NaN where missing.

    None if some answer was given without the probabilities of all letters, as services do that tell a few of them.
    """
    columns = {f"logprob_{letter}" for letter in LETTERS[: len(instrument.options)]}
    if not columns | {"option_order"} <= set(rows.columns):
        return None
    logprobs = option_logprobs(rows)
    known = ~np.isnan(logprobs).any(axis=1)
    if not known.any() or (~known & rows["answer"].notna().to_numpy()).any():
        return None
    by_code = np.full(logprobs.shape, np.nan)
    by_code[known] = at_temperature(logprobs[known], 1.0)
    return by_code
