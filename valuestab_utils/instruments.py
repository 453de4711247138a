"""The questionnaire: items, options and key, in this project's wording or the published one."""

import csv
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from valuestab_utils.errors import ValuestabError, check_known
from valuestab_utils.paths import DATA
from valuestab_utils.populations import GENDERS, read_rows, read_utf8

PROJECT_FILE = DATA / "instruments" / "pvq40_project.csv"
PUBLISHED_DIR = DATA / "instruments" / "published"
WORDINGS = ("auto", "project", "published")

# The ten basic values in the order of the theory's circle: neighbours are compatible, opposites conflict.
VALUES = (
    "Self-Direction", "Stimulation", "Hedonism", "Achievement", "Power",
    "Security", "Conformity", "Tradition", "Benevolence", "Universalism",
)

PVQ_INSTRUCTION = (
    "Here we briefly describe some people. Please read each description and think about how much each person "
    "is or is not like you. Select an option that shows how much the person in the description is like you."
)
PVQ_OPTIONS = (
    "Not like me at all", "Not like me", "A little like me",
    "Somewhat like me", "Like me", "Very much like me",
)

_PUBLISHED_FILES = {  # our name first, then the distributors'
    "male": ("pvq40_male.csv", "pvq_male_test.csv"),
    "female": ("pvq40_female.csv", "pvq_female_test.csv"),
}
_LAST_CELL = "undef"
_LABELS = {
    "project": "portraits written for this project (NOT the published wording)",
    "published": "published wording, imported from the user's own files",
}


@dataclass(frozen=True)
class Item:
    """A portrait in its two forms, or a task's question, and what the answer to it counts for.

    Attributes
    ----------
    item : int
        Number in the questionnaire, from 1.
    value : str
        One of the instrument's `scales`: in the PVQ a basic value, one of `VALUES`.
    male, female : str
        The text as read to men and to women.
    """

    item: int
    value: str
    male: str
    female: str

    def portrait(self, gender: str | None) -> str:
        """The form that a persona of this gender is asked (paper 001, B.4); one for all if the two are the same.

        Parameters
        ----------
        gender : str or None
            "M" or "F".

        Raises
        ------
        ValuestabError
            If the forms differ and the gender is None or unknown: nothing says which to ask.

        Examples
        --------
        >>> Item(1, "Hedonism", "He likes tea.", "She likes tea.").portrait("F")
        'She likes tea.'
        """
        if self.male == self.female:
            return self.male
        if gender is None:
            raise ValuestabError(
                f"Item {self.item} ({self.value}) has a male and a female form, but the persona has no "
                "gender: fill in M or F in the column gender of its population file."
            )
        return self.male if check_known("gender", gender, GENDERS) == "M" else self.female


@dataclass(frozen=True)
class Instrument:
    """A questionnaire as it is asked and scored.

    Attributes
    ----------
    name : str
        "PVQ-40", or a downstream task's.
    wording : str
        "project" or "published"; of a task, how many of its questions are asked.
    version : str
        First 12 hexadecimal digits of a hash of all that is asked: instruction, options, portraits, key.
    instruction : str
        Stands before each item.
    options : tuple of str
        From least to most like me, coded 1, 2, ...; ``{scale}`` in one stands for the scale of the item.
    items : tuple of Item
    scales : tuple of str
        What the items are averaged to: the ten basic values, or the races that a task asks about.
    option_scores : tuple of float, optional
        What each option counts, if not its code: coins, say.
    centred : bool
        Whether a participant's mean answer is subtracted from its scores (B.5).
    reversed_items : tuple of int
        Numbers of the items that count for the opposite of their scale: the least option scores what the most would.
    """

    name: str
    wording: str
    version: str
    instruction: str
    options: tuple[str, ...]
    items: tuple[Item, ...]
    scales: tuple[str, ...] = VALUES
    option_scores: tuple[float, ...] = ()
    centred: bool = True
    reversed_items: tuple[int, ...] = ()

    @property
    def codes(self) -> tuple[int, ...]:
        """Codes of `options`: Likert 1 to 6 in the PVQ."""
        return tuple(range(1, len(self.options) + 1))

    @property
    def key(self) -> dict[str, list[int]]:
        """Item numbers of each scale, in the order of `scales`."""
        return {scale: [item.item for item in self.items if item.value == scale] for scale in self.scales}

    def options_of(self, item: Item) -> tuple[str, ...]:
        """The options as they read at this item."""
        return tuple(option.replace("{scale}", item.value) for option in self.options)

    @property
    def scores(self) -> tuple[float, ...]:
        """What each option counts: its code unless `option_scores` are given."""
        return self.option_scores or tuple(float(code) for code in self.codes)

    @property
    def label(self) -> str:
        """What results and figures say of the wording."""
        return f"{self.name}, {_LABELS.get(self.wording, self.wording)}"


def load_pvq40(wording: str = "auto", published_dir: str | Path | None = None) -> Instrument:
    """The Portrait Values Questionnaire of 40 items.

    Parameters
    ----------
    wording : str
        "project": the portraits written for this project. "published": those of the published questionnaire,
        from files that the user obtained. "auto": published if its files are there, else project.
    published_dir : str or Path, optional
        Where the published files are; data/instruments/published unless given.

    Returns
    -------
    Instrument

    Raises
    ------
    ValuestabError
        Unknown wording; published files that are asked for but not there, only one of the two, or malformed
        (the message names file and row; the first row is row 1).

    References
    ----------
    Schwartz et al. 2001 (the questionnaire); Kovač et al. 2024, appendix B.4 and Figure 11 (how it is asked).

    Examples
    --------
    >>> pvq = load_pvq40("project")
    >>> len(pvq.items), pvq.codes, pvq.key["Power"]
    (40, (1, 2, 3, 4, 5, 6), [2, 17, 39])
    >>> pvq.label
    'PVQ-40, portraits written for this project (NOT the published wording)'
    """
    check_known("wording", wording, WORDINGS)
    directory = PUBLISHED_DIR if published_dir is None else Path(published_dir)
    files = {} if wording == "project" else _published_files(directory)
    if wording == "published" and not files:
        raise ValuestabError(
            f"The published PVQ-40 is not in {directory}: obtain it from its authors and put "
            f"{' and '.join(names[0] for names in _PUBLISHED_FILES.values())} there, "
            "or ask for the wording 'project'."
        )
    items = _project_items()
    if files:
        items = _published_items(files, items)
    content = [PVQ_INSTRUCTION, PVQ_OPTIONS, [[i.item, i.value, i.male, i.female] for i in items]]
    version = hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()[:12]
    return Instrument(
        "PVQ-40", "published" if files else "project", version, PVQ_INSTRUCTION, PVQ_OPTIONS, items
    )


def _project_items() -> tuple[Item, ...]:
    rows = read_rows(PROJECT_FILE, ("item", "value", "male", "female"))
    return tuple(Item(int(row["item"]), row["value"], row["male"], row["female"]) for _, row in rows)


def _published_files(directory: Path) -> dict[str, Path]:
    """The male and the female file, or nothing where neither is there."""
    found = {}
    for form, names in _PUBLISHED_FILES.items():
        there = [directory / name for name in names if (directory / name).is_file()]
        if len(there) > 1:
            raise ValuestabError(f"{directory} has both {' and '.join(names)}: remove one of them.")
        if there:
            found[form] = there[0]
    missing = [names[0] for form, names in _PUBLISHED_FILES.items() if form not in found]
    if found and missing:
        have = ", ".join(path.name for path in found.values())
        raise ValuestabError(
            f"{directory} has {have}, but {missing[0]} is missing: the published PVQ-40 needs both."
        )
    return found


def _published_items(files: dict[str, Path], structure: Sequence[Item]) -> tuple[Item, ...]:
    """Published portraits on the items' numbers and values, which are the same in either wording."""
    male, female = (_published_portraits(files[form], len(structure)) for form in _PUBLISHED_FILES)
    if male == female:
        raise ValuestabError(f"{files['male']} and {files['female']} have the same portraits: one is a copy.")
    return tuple(
        Item(item.item, item.value, he, she) for item, he, she in zip(structure, male, female, strict=True)
    )


def _published_portraits(path: Path, n_items: int) -> list[str]:
    rows = read_utf8(path).rstrip("\n").split("\n")  # the files have no final newline; one more does no harm
    if len(rows) != n_items:
        short = len(rows) < n_items
        wrong = f"row {len(rows) + 1} is missing" if short else f"row {n_items + 1} is one too many"
        raise ValuestabError(f"{path} has {len(rows)} rows, but the PVQ-40 has {n_items} items: {wrong}.")
    return [_portrait(path, number, row) for number, row in enumerate(rows, start=1)]


def _portrait(path: Path, number: int, row: str) -> str:
    """First cell of a row, checked together with the rest of the row."""
    # In one distributed row the portrait stands in doubled quotes, ""..."", which CSV reads as an empty cell
    # and a stray tail. Three at the start are proper CSV (the portrait begins with a quotation), two are not.
    row = re.sub(r'^""(?![",])(.*[^"])""(?=,)', r'"\1"', row)
    try:
        cells = next(csv.reader([row], strict=True), [])
    except csv.Error as error:
        raise ValuestabError(f"{path}, row {number}: not a proper CSV row ({error}).") from error
    expected = [*PVQ_OPTIONS, _LAST_CELL]
    if len(cells) != 1 + len(expected):
        raise ValuestabError(
            f"{path}, row {number}: {len(cells)} columns, but the portrait, {len(PVQ_OPTIONS)} options and "
            f"{_LAST_CELL!r} make {1 + len(expected)}."
        )
    portrait, *rest = cells
    for column, (cell, wanted) in enumerate(zip(rest, expected), start=2):
        if cell != wanted:
            raise ValuestabError(
                f"{path}, row {number}, column {column}: {cell!r}, but it must be {wanted!r}."
            )
    if not portrait.strip():
        raise ValuestabError(f"{path}, row {number}: the portrait is empty.")
    return portrait
