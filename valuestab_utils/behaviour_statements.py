"""Statements that somebody with a certain behaviour agrees or disagrees with, as yes/no questions."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from valuestab_utils.errors import ValuestabError
from valuestab_utils.instrument_files import INSTRUMENTS_DIR, scales_in_order, with_version
from valuestab_utils.instruments import Instrument, Item
from valuestab_utils.populations import read_rows
from valuestab_utils.value_scores import listed

STATEMENTS_DIR = INSTRUMENTS_DIR / "behaviour_statements"
PROJECT_FILE = "project.csv"

_COLUMNS = ("behaviour", "area", "statement", "agrees")
_INSTRUCTION = "Here is a statement that somebody made about themselves or about the world. Do you agree with it?"


@dataclass(frozen=True)
class _Statement:
    file: str
    row: int
    behaviour: str
    area: str
    text: str
    agrees: bool


def load_behaviour_statements(directory: str | Path | None = None) -> Instrument:
    """The statements of every CSV file in a folder, as yes/no questions; a scale is a behaviour.

    A behaviour's score is the share of its statements that are answered as somebody with the behaviour would: Yes
    counts 1 and No counts 0, the other way round for the statements with which such a person disagrees
    (`reversed_items`). Scores are not centred.

    Parameters
    ----------
    directory : str or Path, optional
        data/instruments/behaviour_statements unless given. Its project.csv has statements written for this project;
        every further file counts too, in the order of the names. Each is UTF-8 with the columns behaviour, area
        ("politics", "religion", ...), statement, and agrees: yes if somebody with the behaviour agrees, no if not.

    Returns
    -------
    Instrument
        Named "Behaviour-statements". The wording says how many statements come from which files (it names three),
        and has the first digits of the version, so that no two sets share a wording.

    Raises
    ------
    ValuestabError
        If there is no file, an empty one, one with an empty cell or another word than yes or no, a statement that
        stands there twice, or a behaviour with two areas; the message names file and row.

    References
    ----------
    Yehudai et al., section 4, after Perez et al. 2023.

    Examples
    --------
    >>> statements = load_behaviour_statements(STATEMENTS_DIR)
    >>> statements.options, statements.scales[:2], len(statements.items) >= 48
    (('No', 'Yes'), ('Conservative politics', 'Liberal politics'), True)
    """
    statements = _read(STATEMENTS_DIR if directory is None else Path(directory))
    items = tuple(Item(n, s.behaviour, s.text, s.text) for n, s in enumerate(statements, start=1))
    reversed_items = tuple(n for n, s in enumerate(statements, start=1) if not s.agrees)

    def instrument(wording: str) -> Instrument:
        return with_version(
            Instrument(
                "Behaviour-statements", wording, "", _INSTRUCTION, ("No", "Yes"), items, scales_in_order(items),
                (0.0, 1.0), centred=False, reversed_items=reversed_items,
            )
        )

    files = Counter(s.file for s in statements)
    # Results are kept under the wording's name, which a hundred files' names would make too long for a file's.
    sources = listed([f"{n} from {file}" for file, n in files.items()], most=3)
    if list(files) == [PROJECT_FILE]:
        sources = "in this project's wording"
    return instrument(f"set {instrument('').version[:6]}: {len(items)} statements, {sources}")


def behaviour_areas(directory: str | Path | None = None) -> dict[str, str]:
    """The area of each behaviour, in the order of the instrument's scales; parameters and errors as above.

    Examples
    --------
    >>> behaviour_areas(STATEMENTS_DIR)["Conservative politics"]
    'politics'
    """
    return {s.behaviour: s.area for s in _read(STATEMENTS_DIR if directory is None else Path(directory))}


def _read(directory: Path) -> list[_Statement]:
    paths = sorted(directory.glob("*.csv"), key=lambda path: (path.name != PROJECT_FILE, path.name))
    if not paths:
        raise ValuestabError(
            f"{directory} has no CSV file: put one there with the columns {', '.join(_COLUMNS)}."
        )
    statements: list[_Statement] = []
    for path in paths:
        of_file = [_statement(path, row, cells) for row, cells in read_rows(path, _COLUMNS)]
        if not of_file:
            raise ValuestabError(f"{path} has no statements: add some, or remove the file.")
        statements += of_file
    _check_together(statements)
    return statements


def _statement(path: Path, row: int, cells: dict[str, str]) -> _Statement:
    behaviour, area, text, agrees = (cells[column].strip() for column in _COLUMNS)
    for column, cell in zip(_COLUMNS, (behaviour, area, text, agrees)):
        if not cell:
            raise ValuestabError(f"{path}, row {row}: the cell {column} is empty.")
    if agrees not in ("yes", "no"):
        raise ValuestabError(f"{path}, row {row}: {agrees!r} under agrees, but it must be yes or no.")
    return _Statement(path.name, row, behaviour, area, text, agrees == "yes")


def _check_together(statements: list[_Statement]) -> None:
    first: dict[str, _Statement] = {}
    areas: dict[str, _Statement] = {}
    for s in statements:
        twin = first.setdefault(f"{s.behaviour}\0{s.text}", s)
        if twin is not s:
            raise ValuestabError(
                f"{s.file}, row {s.row}: the statement stands already in {twin.file}, row {twin.row}; keep one of them."
            )
        other = areas.setdefault(s.behaviour, s)
        if other.area != s.area:
            raise ValuestabError(
                f"{s.file}, row {s.row}: {s.behaviour!r} has the area {s.area!r}, but {other.area!r} in {other.file}, "
                f"row {other.row}; give it one area."
            )
