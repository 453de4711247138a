"""What instruments from CSV files share: the reading of numbered items, and the version of all that is asked."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from valuestab_utils.errors import ValuestabError
from valuestab_utils.instruments import Instrument, Item
from valuestab_utils.paths import DATA
from valuestab_utils.populations import read_rows

INSTRUMENTS_DIR = DATA / "instruments"


def read_items(path: Path) -> tuple[Item, ...]:
    """Items of a file with the columns item, scale and text, which read the same to everybody.

    Raises
    ------
    ValuestabError
        If the file cannot be read, the items are not numbered 1, 2, ..., or a scale or text is empty; the message
        names file and row.

    Examples
    --------
    >>> read_items(INSTRUMENTS_DIR / "donation_causes.csv")[8].male
    'How likely are you to donate to sports clubs?'
    """
    items = []
    for number, (row, cells) in enumerate(read_rows(path, ("item", "scale", "text")), start=1):
        check_number(path, row, cells["item"], number)
        empty = [column for column, text in cells.items() if not text.strip()]
        if empty:
            raise ValuestabError(f"{path}, row {row}: the {empty[0]} is empty.")
        items.append(Item(number, cells["scale"], cells["text"], cells["text"]))
    return tuple(items)


def check_number(path: Path, row: int, cell: str, expected: int) -> None:
    """Raise an error unless the cell of the column item has the number that comes next."""
    if cell.strip() != str(expected):
        raise ValuestabError(
            f"{path}, row {row}: item {cell!r}, but it must be {expected}; number the items 1, 2, ... in their order."
        )


def with_version(instrument: Instrument) -> Instrument:
    """The instrument with its version: 12 hexadecimal digits of a hash of all that is asked and how it counts.

    Examples
    --------
    >>> tea = Item(1, "Tea", "Do you like tea?", "Do you like tea?")
    >>> with_version(Instrument("Tea", "one item", "", "", ("No", "Yes"), (tea,), ("Tea",))).version
    'a619597bbb30'
    """
    content = [
        instrument.instruction,
        instrument.options,
        instrument.scores,
        [[item.item, item.value, item.male, item.female] for item in instrument.items],
        instrument.reversed_items,
    ]
    version = hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()[:12]
    return replace(instrument, version=version)


def scales_in_order(items: Sequence[Item]) -> tuple[str, ...]:
    """The scales of the items, each once, in the order in which they come first.

    Examples
    --------
    >>> scales_in_order([Item(1, "Tea", "", ""), Item(2, "Jam", "", ""), Item(3, "Tea", "", "")])
    ('Tea', 'Jam')
    """
    return tuple(dict.fromkeys(item.value for item in items))
