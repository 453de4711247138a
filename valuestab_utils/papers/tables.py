"""What all papers share: how rows become a table, experiments one by one, what a paper prints, what nothing says."""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import pandas as pd

from valuestab_utils.plots import respondent_label
from valuestab_utils.prompts import ACRONYMS, higher_order_of

EXPERIMENT = ["model", "format", "population"]
SESSION = ["persona", "topic", "seed"]
NOTHING = "Nothing of this was run."
_PRINTED_AS = {
    "gpt_4_0314": "GPT-4-0314",
    "gemini_1.0_pro": "Gemini 1.0 Pro",
    "llama_3.1_8b": "Llama 3.1 8B",
    "llama_3.1_70b": "Llama 3.1 70B",
    "gemma_2_9b": "Gemma 2 9B",
    "gemma_2_27b": "Gemma 2 27B",
}


def table_of(rows: Iterable[dict] | Iterable[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    """Rows, or frames below one another, as a table with these columns, also where there are none."""
    rows = list(rows)
    if not rows:
        return pd.DataFrame(columns=list(columns))  # not by reindex: names of nothing are text, not numbers
    whole = pd.concat(rows, ignore_index=True) if isinstance(rows[0], pd.DataFrame) else pd.DataFrame(rows)
    return whole.reindex(columns=list(columns))


def tidy(*columns: str) -> Callable:
    """Makes a function that yields rows give a table of them, with these columns (see `table_of`).

    >>> @tidy("persona", "n")
    ... def counted(personas):
    ...     for persona in personas:
    ...         yield {"persona": persona, "n": len(persona)}
    >>> counted(["Sam"]).to_dict("records"), list(counted([]))
    ([{'persona': 'Sam', 'n': 3}], ['persona', 'n'])
    """

    def of_function(rows_of: Callable[..., Iterator]) -> Callable[..., pd.DataFrame]:
        @functools.wraps(rows_of)
        def table(*arguments, **named) -> pd.DataFrame:
            return table_of(rows_of(*arguments, **named), columns)

        return table

    return of_function


def experiments(answers: pd.DataFrame, *also: str) -> Iterator[tuple[dict, pd.DataFrame]]:
    """Experiments of some answers, and instruments in them, in their order: names, and rows."""
    keys = [*EXPERIMENT, "instrument", *also]
    for names, rows in answers.groupby(keys, sort=False):
        yield dict(zip(keys, names, strict=True)), rows


def rows_of(table: pd.DataFrame, /, **wanted: object) -> pd.DataFrame:
    """Rows of a table that have these entries in the columns of these names."""
    for column, value in wanted.items():
        table = table[table[column] == value]
    return table


def is_control(table: pd.DataFrame) -> pd.Series:
    return table["model"].str.startswith("control-").astype(bool)


def beside_printed(own: pd.DataFrame, printed: pd.DataFrame) -> pd.DataFrame:
    """This run's rows, and below them those that a paper prints, if the run has any; with published, and label."""
    own, printed = own.assign(published=False), printed.assign(format="", published=True)
    table = own if own.empty else pd.concat([own, printed], ignore_index=True)
    labels = [
        _PRINTED_AS.get(model, model) if published else respondent_label(model, format)
        for model, format, published in zip(table["model"], table["format"], table["published"], strict=True)
    ]
    return table.assign(label=labels)


def told(known: str | None = None, nothing: str = NOTHING) -> Callable:
    """Makes a sentence on a table's own rows (what a paper prints is no finding), those where the column is known.

    Without such rows, the sentence is ``nothing``.
    """

    def of_function(tell: Callable[..., str]) -> Callable[..., str]:
        @functools.wraps(tell)
        def sentence(table: pd.DataFrame, *others: pd.DataFrame) -> str:
            own = rows_of(table, published=False) if "published" in table else table
            rows = own.dropna(subset=known) if known else own
            return tell(rows, *others) if len(rows) else nothing

        return sentence

    return of_function


def map_points(values: Sequence[str], points: np.ndarray, reference: np.ndarray) -> pd.DataFrame:
    """A map of values as a table, beside the reference that it lies over; both of shape (values, 2)."""
    table = pd.DataFrame({"value": values, "x": points[:, 0], "y": points[:, 1]})
    acronyms, higher = table["value"].map(ACRONYMS), table["value"].map(higher_order_of)
    return table.assign(acronym=acronyms, higher_order=higher, reference_x=reference[:, 0], reference_y=reference[:, 1])


def respondent(row) -> str:
    return respondent_label(row.model, row.format)
