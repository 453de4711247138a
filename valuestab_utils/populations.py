"""Populations of personas: data files, so that a user adds one without code."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from valuestab_utils.errors import ValuestabError, check_known
from valuestab_utils.paths import DATA

POPULATIONS = DATA / "populations"
GENDERS = ("M", "F")

_COLUMNS = ("persona", "name", "description", "gender")
_INDUCTION = "you are "  # the prompts put these words before a description


@dataclass(frozen=True)
class Persona:
    """Somebody that a model is told to be, or, without a description, one answer-order permutation.

    Attributes
    ----------
    persona : str
        Unique in its population; names the persona in results.
    name : str
        Stands in turn labels and in the interlocutor's instruction.
    description : str
        What follows "You are "; empty where no persona is induced.
    gender : str or None
        "M" or "F", the form of the items that is asked; None where a user's file gives none.
    prefix : str
        What is said before every question, in the same message, to those who are induced that way (papers 002 and 004;
        see `valuestab_utils.inductions`); empty for all others.
    group : str
        What the induction is about, where analyses need it: a value, or the ethnic group of a name.

    Examples
    --------
    >>> Persona("Gandalf", "Gandalf", "Gandalf, a wizard.", "M").induced
    True
    >>> Persona("permutation_01", "CHATBOT", "", "M").induced
    False
    """

    persona: str
    name: str
    description: str
    gender: str | None
    prefix: str = ""
    group: str = ""

    @property
    def induced(self) -> bool:
        """Whether the model is told to be somebody."""
        return bool(self.description)


def population_names() -> list[str]:
    """Names of the populations in data/populations, sorted.

    Examples
    --------
    >>> {"fictional_characters", "none", "real_world_personas"} <= set(population_names())
    True
    """
    return sorted(path.stem for path in POPULATIONS.glob("*.csv"))


def load_population(
    name_or_path: str | Path, n_personas: int | None = None, personas: Sequence[str] | None = None
) -> tuple[Persona, ...]:
    """Personas of a population, all of them or some.

    Parameters
    ----------
    name_or_path : str or Path
        Name of a file in data/populations, or path of a CSV file (with its ending .csv) of the same form:
        UTF-8, columns persona, name, description, gender.
    n_personas : int, optional
        Take the first so many.
    personas : sequence of str, optional
        Take these, in this order, by what stands in the column persona.

    Returns
    -------
    tuple of Persona
        In the order of the file unless `personas` are named.

    Raises
    ------
    ValuestabError
        Unknown population or persona; n_personas below 1 or above what there is; a file that cannot be read,
        lacks a column, or has a row with a persona that is empty or there twice, an empty name, a description
        that begins with "You are", or a gender other than M, F or empty (the header is row 1).

    References
    ----------
    Kovač et al. 2024, appendix B.1 and Table 1.

    Examples
    --------
    >>> [persona.name for persona in load_population("fictional_characters", n_personas=3)]
    ['Gandalf', 'Gollum', 'Sméagol']
    >>> load_population("real_world_personas", personas=["Marilyn Monroe"])[0].description
    'Marilyn Monroe (1926 – 1962) American actress, singer, model.'
    """
    if n_personas is not None and personas is not None:
        raise ValuestabError("Give n_personas or personas, not both.")
    path = _population_path(name_or_path)
    there: dict[str, Persona] = {}
    for row, cells in read_rows(path, _COLUMNS):
        persona = _persona(path, row, {column: cell.strip() for column, cell in cells.items()})
        if persona.persona in there:
            raise ValuestabError(f"{path}, row {row}: the persona {persona.persona!r} is there twice.")
        there[persona.persona] = persona
    if not there:
        raise ValuestabError(f"{path} has no personas: write one row for each below the header.")
    if personas is not None:
        return _chosen(there, [personas] if isinstance(personas, str) else list(personas))
    if n_personas is not None and (type(n_personas) is not int or not 1 <= n_personas <= len(there)):
        raise ValuestabError(
            f"n_personas is {n_personas!r}, but must be a whole number from 1 to {len(there)}, "
            f"as many as {path.name} has."
        )
    return tuple(there.values())[:n_personas]


def read_rows(path: Path, columns: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """Rows of a CSV file with a header, as text, each with its number as a spreadsheet counts.

    The header is row 1. Columns beyond the needed ones are left out, and so are empty rows.

    Raises
    ------
    ValuestabError
        If the file is not there, not UTF-8, no proper CSV, lacks a column, or has a row of another length.

    Examples
    --------
    >>> read_rows(DATA / "topics.csv", ["topic"])[0]
    (2, {'topic': 'poem'})
    """
    try:
        header, *rows = [*csv.reader(io.StringIO(read_utf8(path), newline=""), strict=True)] or [[]]
    except csv.Error as error:
        raise ValuestabError(f"{path} is not a proper CSV file: {error}.") from error
    missing = [column for column in columns if column not in header]
    if missing:
        raise ValuestabError(
            f"{path} lacks the column {missing[0]!r}: its first row must name {', '.join(columns)}, "
            f"separated by commas, but reads {', '.join(header)!r}."
        )
    numbered = []
    for number, cells in enumerate(rows, start=2):
        if cells and len(cells) != len(header):
            raise ValuestabError(
                f"{path}, row {number}: {len(cells)} cells, but the header has {len(header)}; "
                "a cell with a comma needs double quotes around it."
            )
        if any(cells):
            named = dict(zip(header, cells))
            numbered.append((number, {column: named[column] for column in columns}))
    return numbered


def read_utf8(path: Path) -> str:
    """Text of a file, with line ends as newlines and without a byte order mark.

    Raises
    ------
    ValuestabError
        If the file cannot be read or is not UTF-8.

    Examples
    --------
    >>> read_utf8(DATA / "topics.csv").split()[0]
    'topic,first_message'
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValuestabError(f"{path} is not UTF-8 text ({error.reason}): save it as UTF-8.") from error
    except OSError as error:
        raise ValuestabError(f"{path} cannot be read: {error.strerror}.") from error


def _population_path(name_or_path: str | Path) -> Path:
    if isinstance(name_or_path, Path) or name_or_path.endswith(".csv"):
        return Path(name_or_path)
    return POPULATIONS / f"{check_known('population', name_or_path, population_names())}.csv"


def _persona(path: Path, row: int, cells: dict[str, str]) -> Persona:
    for column in ("persona", "name"):
        if not cells[column]:
            raise ValuestabError(f"{path}, row {row}: the {column} is empty.")
    if cells["gender"] not in ("", *GENDERS):
        raise ValuestabError(
            f"{path}, row {row}: the gender is {cells['gender']!r}, but must be M, F or empty."
        )
    if cells["description"].lower().startswith(_INDUCTION):
        raise ValuestabError(
            f"{path}, row {row}: the description begins with 'You are', which the prompts add themselves: "
            "leave it out."
        )
    return Persona(cells["persona"], cells["name"], cells["description"], cells["gender"] or None)


def _chosen(there: dict[str, Persona], wanted: list[str]) -> tuple[Persona, ...]:
    chosen = tuple(there[check_known("persona", name, there)] for name in wanted)
    if len(set(wanted)) != len(wanted):
        raise ValuestabError(f"A persona is named twice in {wanted}.")
    return chosen
