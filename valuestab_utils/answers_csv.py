"""Tables of answers (columns context, persona, item, answer, perhaps seed): read, check, arrange as an array.

Everything is read as text, so that a persona called "NA" or "1" stays text, and a bad row is refused by its
number, never mended.
"""

import csv
import math
import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from numbers import Real
from pathlib import Path

import numpy as np
import pandas as pd

from valuestab_utils.errors import ValuestabError
from valuestab_utils.value_scores import listed

COLUMNS = ("context", "persona", "item", "answer")
FILE_ROW = "row of the file"  # name of the index of a frame that `read_answers` made
LARGEST_ANSWER = 1e5  # beyond, rounding noise of the means comes near `rank_correlation.TIE_TOLERANCE`
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")  # float() would read 1_0 as 10
_WHOLE = re.compile(r"[+-]?[0-9]+")
_MISSING = ("", "na", "nan")  # as spreadsheets, R and pandas write a missing answer


@dataclass(frozen=True, eq=False)
class Answers:
    """A checked table of answers, as an array.

    Attributes
    ----------
    coded : ndarray, shape (seeds, contexts, personas, items)
        Coded answers (Likert 1-6), NaN where missing.
    seeds : tuple of int
    contexts, personas : tuple of str
    items : tuple of int
        What stands along each axis, sorted.
    """

    coded: np.ndarray
    seeds: tuple[int, ...]
    contexts: tuple[str, ...]
    personas: tuple[str, ...]
    items: tuple[int, ...]


def read_answers(path: str | Path) -> pd.DataFrame:
    """Read a CSV file (UTF-8, commas, a header row) as text; the index is the row in the file, from 2.

    Raises
    ------
    ValuestabError
        If the file is missing, empty or no such CSV file, or a row has more or fewer cells than the header.
    """
    name = repr(str(path))
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file, strict=True))
    except OSError as error:
        raise ValuestabError(f"Cannot read {name}: {error.strerror}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValuestabError(f"{name} is not CSV text in UTF-8 ({error}): export it as such.") from error
    header = [column.strip() for column in rows[0]] if rows else []
    numbers = [i for i, row in enumerate(rows, start=1) if i > 1 and row]
    if not numbers:
        raise ValuestabError(f"{name} has no rows of answers: give a header and a row for each answer.")
    for i in numbers:
        if len(rows[i - 1]) != len(header):
            raise ValuestabError(
                f"Row {i} (the header is row 1) of {name} has {len(rows[i - 1])} cells, the header has "
                f"{len(header)}: a row needs a cell for each column, in quotes if there is a comma in it."
            )
    index = pd.Index(numbers, name=FILE_ROW)
    return pd.DataFrame([rows[i - 1] for i in numbers], columns=header, index=index)


def answers_array(
    frame: pd.DataFrame,
    scored_items: Sequence[int],
    scale: tuple[int, int] | None = None,
    only_scored: bool = False,
) -> Answers:
    """Check a table of answers and arrange it by seed, context, persona and item.

    Parameters
    ----------
    frame : DataFrame
        Columns context, persona (text), item (whole number), answer (number; empty, NA or NaN where missing)
        and perhaps seed (whole number; without the column all rows are of seed 0). Rows in any order.
    scored_items : sequence of int
        Items that must be there.
    scale : (int, int), optional
        Lowest and highest answer; answers must then be whole numbers. Without it, any from -1e5 to 1e5.
    only_scored : bool
        Refuse all other items.

    Returns
    -------
    Answers
        An answer whose row is empty or absent is NaN.

    Raises
    ------
    ValuestabError
        At the first cell that breaks these rules; if an answer is given twice, a scored item is nowhere in
        the table, or not every persona is in every context with every seed.

    Examples
    --------
    >>> frame = pd.DataFrame({"context": ["a", "b"], "persona": "Sam", "item": 1, "answer": ["3", ""]})
    >>> answers_array(frame, scored_items=[1]).coded
    array([[[[ 3.]],
    <BLANKLINE>
            [[nan]]]])
    """
    absent = [column for column in COLUMNS if column not in frame.columns]
    if absent:
        raise ValuestabError(
            f"The table of answers has no column {', '.join(absent)}; it has "
            f"{', '.join(map(repr, frame.columns)) or 'none'}: name its columns so, with commas between them."
        )
    twice = [column for column in (*COLUMNS, "seed") if list(frame.columns).count(column) > 1]
    if twice:
        raise ValuestabError(f"The table of answers has the column {', '.join(twice)} twice: keep one.")
    if frame.empty:
        raise ValuestabError("The table of answers has no rows: give a row for each answer.")
    contexts, personas = _column(frame, "context", _label), _column(frame, "persona", _label)
    items = _column(frame, "item", _whole_number)
    seeds = _column(frame, "seed", _whole_number) if "seed" in frame.columns else [0] * len(frame)
    answers = np.array(_column(frame, "answer", lambda cell: _answer(cell, scale)))
    if only_scored:
        _refuse_unscored(frame, items, scored_items)
    lacking = sorted(set(scored_items) - set(items))
    if lacking:
        raise ValuestabError(
            f"The table lacks items of the key ({listed(lacking)}): add them, or give a key without them."
        )
    levels, codes = zip(*(_levels(labels) for labels in (seeds, contexts, personas, items)), strict=True)
    _refuse_incomplete(levels, codes)
    cells = np.ravel_multi_index(codes, [len(level) for level in levels])
    _refuse_duplicates(frame, cells, (seeds, contexts, personas, items))
    coded = np.full([len(level) for level in levels], np.nan)
    coded.flat[cells] = answers
    return Answers(coded, *levels)


def _levels(labels: Sequence[Hashable]) -> tuple[tuple, np.ndarray]:
    """The distinct labels, sorted so that the order of rows does not matter, and each row's place in them."""
    levels = tuple(sorted(set(labels)))
    place: Mapping = {label: i for i, label in enumerate(levels)}
    return levels, np.array([place[label] for label in labels])


def _column(frame: pd.DataFrame, name: str, parse: Callable[[object], object]) -> list:
    """Parse each cell; `parse` raises ValueError with what it expected."""
    parsed = []
    for i, cell in enumerate(frame[name].tolist()):
        try:
            parsed.append(parse(cell))
        except ValueError as error:
            shown = "is empty" if _is_missing(cell) else f"is {cell!r:.80}"
            raise ValuestabError(f"{_row(frame, i)}: {name} {shown}; {error}.") from error
    return parsed


def _row(frame: pd.DataFrame, i: int) -> str:
    return f"Row {frame.index[i]}" + (" (the header is row 1)" if frame.index.name == FILE_ROW else "")


def _is_missing(cell: object) -> bool:
    """Whether there is nothing in a cell; the texts "NA" and "None" are something."""
    if isinstance(cell, str):
        return not cell.strip()
    return cell is None or cell is pd.NA or cell is pd.NaT or (isinstance(cell, float) and math.isnan(cell))


def _label(cell: object) -> str:
    if _is_missing(cell):
        raise ValueError("give it a name in every row")
    return str(cell)


def _number(cell: object) -> float:
    text = str(cell).strip()
    readable = isinstance(cell, str) or (isinstance(cell, Real) and not isinstance(cell, bool))
    if not readable or not _NUMBER.fullmatch(text) or not math.isfinite(float(text)):
        raise ValueError("it must be a number")
    return float(text)


def _whole_number(cell: object) -> int:
    text = str(cell).strip()
    if not isinstance(cell, bool) and _WHOLE.fullmatch(text):
        return int(text)  # exact, however long
    try:
        number = _number(cell)
    except ValueError:
        number = math.nan
    if not number.is_integer():
        raise ValueError("it must be a whole number")
    return int(number)


def _answer(cell: object, scale: tuple[int, int] | None) -> float:
    if _is_missing(cell) or (isinstance(cell, str) and cell.strip().lower() in _MISSING):
        return math.nan
    number = _number(cell)
    if scale and not (number.is_integer() and scale[0] <= number <= scale[1]):
        raise ValueError(f"it must be a whole number from {scale[0]} to {scale[1]}, or empty where missing")
    if abs(number) > LARGEST_ANSWER:
        raise ValueError(f"it must lie between -{LARGEST_ANSWER:.0f} and {LARGEST_ANSWER:.0f}")
    return number


def _refuse_unscored(frame: pd.DataFrame, items: Sequence[int], scored_items: Sequence[int]) -> None:
    scored = set(scored_items)
    for i, item in enumerate(items):
        if item not in scored:
            raise ValuestabError(
                f"{_row(frame, i)}: item {item} is not among the items {min(scored)} to {max(scored)} of the "
                "questionnaire; remove it, or give a key of your own."
            )


def _refuse_incomplete(levels: Sequence[tuple], codes: Sequence[np.ndarray]) -> None:
    """Every persona must be in every context with every seed: orders of different personas do not compare."""
    there = set(zip(*(code.tolist() for code in codes[:3]), strict=True))
    n = math.prod(len(level) for level in levels[:3])
    if len(there) == n:
        return
    lacking = (cell for cell in product(*(range(len(level)) for level in levels[:3])) if cell not in there)
    seeds, contexts, personas = levels[:3]
    named = [f"({personas[p]!r}, context {contexts[c]!r}, seed {seeds[s]})" for s, c, p in islice(lacking, 3)]
    raise ValuestabError(
        f"{n - len(there)} of {n} participants have no rows, such as {', '.join(named)}: every persona must "
        "be in every context with every seed, so add these, or leave out their persona, context or seed."
    )


def _refuse_duplicates(frame: pd.DataFrame, cells: np.ndarray, labels: Sequence[Sequence[Hashable]]) -> None:
    repeated = np.flatnonzero(pd.Series(cells).duplicated())
    if not len(repeated):
        return
    second = repeated[0]
    first = np.flatnonzero(cells == cells[second])[0]
    seed, context, persona, item = (label[second] for label in labels)
    raise ValuestabError(
        f"{_row(frame, first)} and row {frame.index[second]} both answer item {item} for {persona!r}, "
        f"context {context!r}, seed {seed}: keep one of them, or tell them apart in the column seed."
    )
