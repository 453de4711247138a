"""A user's own table of answers and key: read, checked cell by cell, and arranged as an array."""

import csv
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from numbers import Integral
from pathlib import Path

import numpy as np
import pandas as pd

from valuestab_utils.errors import ValuestabError, listed

Key = Mapping[str, Sequence[int]]  # value -> its items

AXES = ["seed", "context", "persona", "item"]
COLUMNS = ("context", "persona", "item", "answer")
FILE_ROW = "row of the file"  # name of the index of a frame that `read_answers` made
LARGEST_ANSWER = 1e5  # beyond, rounding noise of the means comes near what makes a tie
_NUMBER = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"  # float() would read 1_0 as 10
_MISSING = ["", "na", "nan"]  # as spreadsheets, R and pandas write a missing answer


@dataclass(frozen=True, eq=False)
class Answers:
    """A checked table of answers, as an array; the labels of each axis are sorted.

    coded : (seeds, contexts, personas, items), coded answers (Likert 1-6), NaN where missing
    """

    coded: np.ndarray
    seeds: tuple[int, ...]
    contexts: tuple[str, ...]
    personas: tuple[str, ...]
    items: tuple[int, ...]


def read_key(path: str | Path) -> dict[str, list[int]]:
    """Read a key from a JSON file, ``{value: [items]}``."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        return check_key(json.loads(text, object_pairs_hook=_each_name_once))
    except OSError as error:
        raise ValuestabError(f"Cannot read the key {str(path)!r}: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise ValuestabError(f"The key {str(path)!r} is not valid JSON: {error}.") from error


def _each_name_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    # Plain JSON reading keeps the last of two equal names and drops the first without a word.
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValuestabError("The key names a value twice; name every value once, with all its items.")
    return dict(pairs)


def check_key(key: Key) -> dict[str, list[int]]:
    """The key as a dict of lists; ValuestabError unless every item counts for exactly one value."""
    if not isinstance(key, Mapping) or not key:
        raise ValuestabError('A key must map values to lists of items, such as {"Power": [2, 17, 39]}.')
    for value, items in key.items():
        whole = isinstance(items, list | tuple) and all(
            isinstance(item, Integral) and not isinstance(item, bool) for item in items
        )
        if not whole or not items:
            raise ValuestabError(f"Each value of a key must have a list of items, whole numbers; {value!r}: {items!r}.")
    twice = [item for item, times in Counter(chain(*key.values())).items() if times > 1]
    if twice:
        raise ValuestabError(f"The key has the items {listed(twice)} twice; every item must count for one value, once.")
    return {str(value): [int(item) for item in items] for value, items in key.items()}


def read_answers(path: str | Path) -> pd.DataFrame:
    """Read a CSV file (UTF-8, commas, a header row) as text; the index is the row in the file, from 2."""
    name = repr(str(path))
    try:
        # Everything is read as text, so that a persona called "NA" or "1" stays text.
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file, strict=True))
    except OSError as error:
        raise ValuestabError(f"Cannot read {name}: {error.strerror}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValuestabError(f"{name} is not CSV text in UTF-8 ({error}): export it as such.") from error
    header = [column.strip() for column in rows[0]] if rows else []
    filled = {number: row for number, row in enumerate(rows, start=1) if number > 1 and row}
    if not filled:
        raise ValuestabError(f"{name} has no rows of answers: give a header and a row for each answer.")
    for number, row in filled.items():
        if len(row) != len(header):
            raise ValuestabError(
                f"Row {number} (the header is row 1) of {name} has {len(row)} cells, the header has {len(header)}: a "
                "row needs a cell for each column, in quotes if there is a comma in it."
            )
    return pd.DataFrame(list(filled.values()), columns=header, index=pd.Index(filled, name=FILE_ROW))


def answers_array(
    frame: pd.DataFrame,
    scored_items: Sequence[int],
    scale: tuple[int, int] | None = None,
    only_scored: bool = False,
) -> Answers:
    """Check a table of answers and arrange it by seed, context, persona and item.

    Rows come in any order; an answer that is empty, NA, NaN or absent is NaN, and without a column seed all rows are of
    seed 0. With a `scale` (lowest, highest) answers must be whole numbers on it; without, any from -1e5 to 1e5. All
    `scored_items` must be in the table (with `only_scored`, no others), and every persona in every context and seed.

    >>> frame = pd.DataFrame({"context": ["a", "b"], "persona": "Sam", "item": 1, "answer": ["3", ""]})
    >>> answers_array(frame, scored_items=[1]).coded.ravel()
    array([ 3., nan])
    """
    for column in COLUMNS:
        if list(frame.columns).count(column) != 1:
            raise ValuestabError(
                f"The table of answers must have each of the columns {', '.join(COLUMNS)} once; it has "
                f"{', '.join(map(repr, frame.columns)) or 'none'}."
            )
    if frame.empty:
        raise ValuestabError("The table of answers has no rows: give a row for each answer.")
    table = pd.DataFrame({
        "seed": _whole_numbers(frame, "seed") if "seed" in frame else 0,
        "context": _labels(frame, "context"), "persona": _labels(frame, "persona"),
        "item": _whole_numbers(frame, "item"), "answer": _answers(frame, scale),
    })
    if only_scored:
        where = f"it must be one of the items {min(scored_items)} to {max(scored_items)} of the key"
        _refuse(frame, "item", ~table["item"].isin(scored_items), where)
    lacking = sorted(set(scored_items) - set(table["item"]))
    if lacking:
        raise ValuestabError(f"The table lacks items of the key ({listed(lacking)}): add them, or shorten the key.")
    places, levels = zip(*(pd.factorize(table[axis], sort=True) for axis in AXES), strict=True)
    _refuse_incomplete(table, levels)
    twice = table[table.duplicated(AXES)]
    if len(twice):
        row = twice.iloc[0]
        raise ValuestabError(
            f"Item {row['item']} of {row['persona']!r} in context {row['context']!r}, seed {row['seed']}, is answered "
            "by several rows: keep one, or give another seed."
        )
    coded = np.full([len(level) for level in levels], np.nan)
    coded[places] = table["answer"]
    return Answers(coded, *(tuple(level.tolist()) for level in levels))


def _refuse(frame: pd.DataFrame, column: str, wrong: pd.Series, expected: str) -> None:
    """Raise an error at the first cell of a column that is wrong."""
    if wrong.any():
        i = int(np.argmax(wrong))
        header = " (the header is row 1)" if frame.index.name == FILE_ROW else ""
        raise ValuestabError(f"Row {frame.index[i]}{header}: {column} is {frame[column].iloc[i]!r:.80}; {expected}.")


def _labels(frame: pd.DataFrame, column: str) -> pd.Series:
    labels = frame[column].astype(str)
    _refuse(frame, column, frame[column].isna() | (labels.str.strip() == ""), "give it a name in every row")
    return labels


def _numbers(frame: pd.DataFrame, column: str) -> pd.Series:
    """Each cell as a number, NaN where it is none."""
    text = frame[column].astype(str).str.strip()
    return text.where(text.str.fullmatch(_NUMBER), "nan").astype(float)


def _whole_numbers(frame: pd.DataFrame, column: str) -> pd.Series:
    numbers = _numbers(frame, column)
    exact = numbers.abs() < 2**53  # beyond, a float skips whole numbers
    _refuse(frame, column, ~(exact & (numbers % 1 == 0)), "it must be a whole number")
    return numbers.astype(int)


def _answers(frame: pd.DataFrame, scale: tuple[int, int] | None) -> pd.Series:
    numbers = _numbers(frame, "answer")
    lowest, highest = scale or (-LARGEST_ANSWER, LARGEST_ANSWER)
    valid = numbers.between(lowest, highest) & ((numbers % 1 == 0) | (scale is None))
    missing = frame["answer"].isna() | frame["answer"].astype(str).str.strip().str.lower().isin(_MISSING)
    kind = "whole number" if scale else "number"
    _refuse(
        frame, "answer", ~valid & ~missing,
        f"it must be a {kind} from {lowest:.0f} to {highest:.0f}, or empty where missing",
    )
    return numbers


def _refuse_incomplete(table: pd.DataFrame, levels: Sequence[pd.Index]) -> None:
    """Every persona must be in every context with every seed: orders of different personas do not compare."""
    there = pd.MultiIndex.from_frame(table[AXES[:3]].drop_duplicates())
    n = math.prod(len(level) for level in levels[:3])
    if len(there) < n:
        lacking = pd.MultiIndex.from_product(levels[:3]).difference(there)
        named = [f"({persona!r}, context {context!r}, seed {seed})" for seed, context, persona in lacking[:3]]
        raise ValuestabError(
            f"{len(lacking)} of {n} participants have no rows, such as {', '.join(named)}: every persona must be in "
            "every context with every seed, so add these, or leave out their persona, context or seed."
        )
