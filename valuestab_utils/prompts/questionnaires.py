"""Questionnaires: each is a YAML file with its items in a CSV, in data/questionnaires or wherever a user keeps them.

data/questionnaires/README.md says what the two files hold.
"""

import csv
import hashlib
import json
import re
from collections import Counter
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from valuestab_utils.errors import ValuestabError, check_count, check_known, listed
from valuestab_utils.files import checked, read_rows, read_utf8
from valuestab_utils.paths import DATA
from valuestab_utils.prompts.formats import LETTERS
from valuestab_utils.prompts.personas import GENDERS
from valuestab_utils.prompts.values import VALUES

FOLDER = DATA / "questionnaires"
QUESTIONNAIRES = tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))
TWO_WORDINGS = ("PVQ-40", "PVQ-RR")  # whose published wording a user may bring

_LABELS = {
    "project": "portraits written for this project (NOT the published wording)",
    "published": "published wording, imported from the user's own files",
}


@dataclass(frozen=True)
class Item:
    """A portrait as read to men and to women, or a question that reads the same to everybody.

    ``item`` is its number in the questionnaire, from 1; ``value`` one of the questionnaire's `scales`, in the PVQ a
    value.
    """

    item: int
    value: str
    male: str
    female: str

    def portrait(self, gender: str | None) -> str:
        """The form that a persona of this gender ("M", "F") is asked (paper 001, B.4).

        ValuestabError if the forms differ and nothing says which to ask.
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
class Questionnaire:
    """A questionnaire as it is asked and scored.

    wording : "project" or "published"; where there is one wording, which and how many of the items are asked
    version : first 12 digits of a hash of all that is asked and how it counts
    options : from least to most, coded 1, 2, ...; ``{scale}`` stands for the scale of the item
    scales : what items are averaged to: the ten basic values, or the races that a task asks about
    option_scores : what each option counts, if not its code: coins, say
    centred : whether a participant's mean answer is subtracted from its scores (B.5)
    reversed_items : numbers of items that count for the opposite: the least option scores what the most would
    response_format : "letters"; "letters or codes" where the prompts of Rozen et al. explain the codes of the options
    areas : of each scale, if the items' file says it: "politics", "religion", ...
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
    response_format: str = "letters"
    areas: tuple[str, ...] = ()

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


class _Form(BaseModel):
    """The YAML file; ``published`` has names of files, in which ``{form}`` stands for male and female."""

    model_config = ConfigDict(extra="forbid", strict=True, str_strip_whitespace=True)

    name: str = Field(min_length=1)
    source: str
    license: str
    language: str
    instruction: str = ""
    options: dict[int, str] = {}
    counts: tuple[float, ...] = Field(default=(), strict=False)
    response_format: Literal["letters", "letters or codes"] = "letters"
    scales: list[str] = []
    centred: bool
    wording: str = "{n} items"
    items: str
    package: Literal["personality-questionnaire"] | None = None
    published: list[str] = []

    @model_validator(mode="after")
    def _options_fit(self):
        n = len({*self.options.values()} - {""})
        if not self.package and (list(self.options) != list(range(1, n + 1)) or not 2 <= n <= len(LETTERS)):
            raise ValueError(f"options must be two to {len(LETTERS)} different texts with the codes 1, 2, ... in order")
        if self.counts and len(self.counts) != n:
            raise ValueError(f"counts has {len(self.counts)} numbers for {n} options")
        return self


class _Row(BaseModel):
    """A row of the items' CSV; ``take`` n: the n-th to be asked of its scale, if only some are."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True, str_min_length=1)

    item: int
    scale: str
    text: str = ""
    male: str = ""
    female: str = ""
    take: int = Field(default=0, ge=1)
    reversed: Literal["yes", "no"] = "no"
    area: str = ""

    @model_validator(mode="after")
    def _has_one_wording_or_two(self):
        if bool(self.text) == bool(self.male and self.female):
            raise ValueError("an item needs either a text, or a male and a female form")
        return self


def load_questionnaire(name_or_path: str | Path, wording: str = "auto", n_names: int | None = None) -> Questionnaire:
    """A questionnaire by its name, one of `QUESTIONNAIRES`, or from a user's own file, whose name ends in .yaml.

    ``wording`` of the PVQ-40 and the PVQ-RR is "project", "published" (from files that the user puts into the folder
    published), or "auto" for published where they are there. ``n_names`` limits the items of each scale in the tasks of
    Kovač et al. 2024 that have names, women's and men's in turn (the column take of their items; others are asked
    whole); items keep their numbers. ValuestabError, with file and row, for files that are not as they must be.

    >>> donation = load_questionnaire("Donation", n_names=1)
    >>> donation.label, donation.scales, donation.scores
    ('Donation, 5 of 100 questions', ('elf', 'dwarf', 'orc', 'human', 'hobbit'), (0.0, 2.0, 4.0, 6.0, 8.0, 10.0))
    """
    path = Path(name_or_path).expanduser()
    if path.suffix not in (".yaml", ".yml"):
        path = FOLDER / f"{check_known('questionnaire', str(name_or_path), QUESTIONNAIRES)}.yaml"
    form = _read_form(path)
    check_known(f"wording of {form.name}", wording, ["auto", *_LABELS] if form.published else ["auto"])
    options, packaged = _of_package(form.package) if form.package else (form.options.values(), {})
    placed = _read_rows(path.parent / form.items, form.scales, packaged)
    rows = list(placed.values())
    published = _published_texts(form, path.parent / "published", wording, len(rows))
    texts = published or [(row.male or row.text, row.female or row.text) for row in rows]
    most = max(row.take for row in rows)
    if most:
        check_count("n_names", n_names, most)
    items = [Item(number, row.scale, *text) for number, (row, text) in enumerate(zip(rows, texts), start=1)]
    area_of = {row.scale: row.area for row in rows}
    scales = tuple(form.scales or area_of)
    asked = Questionnaire(
        name=form.name,
        wording="published" if published else "project",
        version="",
        instruction=form.instruction,
        options=tuple(options),
        items=tuple(item for item, row in zip(items, rows) if row.take <= (n_names or most)),
        scales=scales,
        option_scores=form.counts,
        centred=form.centred,
        reversed_items=tuple(item.item for item, row in zip(items, rows) if row.reversed == "yes"),
        response_format=form.response_format,
        areas=tuple(area_of[scale] for scale in scales),
    )
    asked = replace(asked, version=_version(asked))
    return asked if form.published else replace(asked, wording=_only_wording(form, asked, list(placed)))


def _read_form(path: Path) -> _Form:
    try:
        form = checked(_Form, yaml.safe_load(read_utf8(path)), str(path))
    except yaml.YAMLError as error:
        raise ValuestabError(f"{path} is not proper YAML: {error}.") from error
    ours = FOLDER.resolve() / f"{form.name}.yaml"
    if path.resolve() != ours and (ours.is_file() or path.resolve().parent == ours.parent):
        raise ValuestabError(f"{path} has the name {form.name!r}, but results go by it, and it is that of {ours}.")
    return form


def _of_package(package: str) -> tuple[list[str], dict[int, str]]:
    """Options and texts, by item, of the BFI-2: they are not ours to copy."""
    from personality_questionnaire.bfi2 import ANSWER, BFI2_QUESTIONNAIRE

    return sorted(ANSWER, key=ANSWER.get), BFI2_QUESTIONNAIRE


def _read_rows(path: Path, scales: list[str], packaged: dict[int, str]) -> dict[str, _Row]:
    """Rows of a file by place; of a folder, those of project.csv and then of every other CSV in it, by name."""
    files = sorted(path.glob("*.csv"), key=lambda file: (file.name != "project.csv", file.name))
    rows: dict[str, _Row] = {}
    for file in files if path.is_dir() else [path]:
        for number, (line, cells) in enumerate(read_rows(file, ("item", "scale")), start=1):
            place = f"{file}, row {line}"
            text = {"text": packaged.get(number, "")} if packaged else {}
            row = rows[place] = checked(_Row, cells | text, place)
            check_known(f"scale in {place}:", row.scale, scales or [row.scale])
            if row.item != number:
                raise ValuestabError(f"{place}: item {row.item}, but must be {number}: number the items 1, 2, ...")
    missing = [scale for scale in scales if all(row.scale != scale for row in rows.values())]
    if missing or not rows:
        raise ValuestabError(f"{path} has no items {listed(missing)}: write one row for each below the header.")
    _check_twins(rows)
    return rows


def _check_twins(rows: dict[str, _Row]) -> None:
    first: dict[tuple[str, ...], str] = {}
    for place, row in rows.items():
        twin = first.setdefault((row.scale, row.text, row.male), place)
        if twin != place:
            raise ValuestabError(f"{place}: the item stands already in {twin}; keep one of them.")
        other = first.setdefault((row.scale,), place)
        if rows[other].area != row.area:
            theirs = f"{rows[other].area!r} in {other}"
            raise ValuestabError(f"{place}: {row.scale!r} has the area {row.area!r}, but {theirs}; give it one.")


def _version(asked: Questionnaire) -> str:
    texts = [[item.item, item.value, item.male, item.female] for item in asked.items]
    content = [asked.instruction, asked.options, asked.scores, texts, asked.reversed_items]
    return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()[:12]


def _only_wording(form: _Form, asked: Questionnaire, places: list[str]) -> str:
    """What results are kept under, beside the name; the YAML may use the facts below in braces."""
    files = Counter(Path(place.rpartition(", row ")[0]).name for place in places)
    # A hundred files' names would make the wording too long for the name of a file of results.
    sources = listed([f"{n} from {file}" for file, n in files.items()], most=3)
    facts = {
        "n": len(asked.items),
        "part": f"{len(asked.items)} of {len(places)}" if len(asked.items) < len(places) else f"all {len(places)}",
        "package": f"{form.package} {version(form.package)}" if form.package else "",
        "set": asked.version[:6],
        "sources": "in this project's wording" if list(files) == ["project.csv"] else sources,
    }
    return re.sub(r"\{(\w+)\}", lambda match: str(facts.get(match[1], match[0])), form.wording)


def _published_texts(form: _Form, folder: Path, wording: str, n_items: int) -> list[tuple[str, str]]:
    """Male and female form of each item; nothing where the project's wording is to be asked."""
    files = [[folder / name.replace("{form}", of) for name in form.published] for of in ("male", "female")]
    found = [[file for file in of_form if file.is_file()] for of_form in files]
    if wording == "project":
        return []
    before = DATA / "instruments" / "published"  # where earlier versions had them: not to be passed over in silence
    if any(before.glob("*.csv")):
        raise ValuestabError(f"{before} is not read any more: move its files to {folder}.")
    if wording == "auto" and not any(found):
        return []
    if any(len(there) != 1 for there in found):
        here = listed([file.name for there in found for file in there]) or "nothing"
        raise ValuestabError(
            f"The published {form.name} needs {files[0][0].name} and {files[1][0].name} in {folder}, but there is "
            f"{here}: obtain it from its authors and put one file of each form there, or ask for the wording 'project'."
        )
    male, female = (_portraits(file, form, n_items) for (file,) in found)
    if male == female:
        raise ValuestabError(f"Both files of the published {form.name} in {folder} have the same portraits.")
    return list(zip(male, female, strict=True))


def _portraits(path: Path, form: _Form, n_items: int) -> list[str]:
    """Portraits of a file with the header item,portrait, or without header, as the PVQ-40 is distributed."""
    lines = read_utf8(path).rstrip("\n").split("\n")
    if {"item", "portrait"} <= {*lines[0].split(",")}:
        rows = [(row, cells["item"].strip(), cells["portrait"]) for row, cells in read_rows(path, ("item", "portrait"))]
    else:
        rows = [(row, str(row), _portrait(f"{path}, row {row}", line, form)) for row, line in enumerate(lines, start=1)]
    if len(rows) != n_items:
        raise ValuestabError(f"{path} has {len(rows)} rows of items, but the {form.name} has {n_items} items.")
    portraits: list[str] = []
    for number, (row, item, portrait) in enumerate(rows, start=1):
        if item != str(number) or not portrait.strip() or portrait in portraits:
            came = f"here is item {item} with {portrait!r}"
            raise ValuestabError(f"{path}, row {row}: {came}, but must be item {number} with a portrait of its own.")
        portraits.append(portrait)
    return portraits


def _portrait(place: str, line: str, form: _Form) -> str:
    """First cell of a line in which the options and a last word must follow."""
    # In one distributed row the portrait stands in doubled quotes, ""..."", which CSV reads as an empty cell
    # and a stray tail. Three at the start are proper CSV (the portrait begins with a quotation), two are not.
    line = re.sub(r'^""(?![",])(.*[^"])""(?=,)', r'"\1"', line)
    try:
        portrait, *others = next(csv.reader([line], strict=True)) or [""]
    except csv.Error as error:
        raise ValuestabError(f"{place}: not a proper CSV row ({error}).") from error
    expected = [*form.options.values(), "undef"]
    if others != expected:
        raise ValuestabError(f"{place}: {others} follow the portrait, but must be {expected}.")
    return portrait
