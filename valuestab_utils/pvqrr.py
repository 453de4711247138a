"""The revised Portrait Values Questionnaire (PVQ-RR): 57 items, three for each of 19 refined values."""

from pathlib import Path

from valuestab_utils.errors import ValuestabError, check_known
from valuestab_utils.instrument_files import INSTRUMENTS_DIR, check_number, with_version
from valuestab_utils.instruments import PUBLISHED_DIR, PVQ_OPTIONS, WORDINGS, Instrument, Item
from valuestab_utils.populations import read_rows
from valuestab_utils.value_circle import REFINED_VALUES

PROJECT_FILE = INSTRUMENTS_DIR / "pvqrr_project.csv"
PUBLISHED_FILES = ("pvqrr_male.csv", "pvqrr_female.csv")

# The basic value, one of `instruments.VALUES`, that each refined value is a part of; face lies between two.
BASIC_VALUE_OF: dict[str, str | None] = {
    "Self-direction-thought": "Self-Direction",
    "Self-direction-action": "Self-Direction",
    "Stimulation": "Stimulation",
    "Hedonism": "Hedonism",
    "Achievement": "Achievement",
    "Power-dominance": "Power",
    "Power-resources": "Power",
    "Face": None,
    "Security-personal": "Security",
    "Security-societal": "Security",
    "Tradition": "Tradition",
    "Conformity-rules": "Conformity",
    "Conformity-interpersonal": "Conformity",
    "Humility": "Tradition",
    "Benevolence-dependability": "Benevolence",
    "Benevolence-caring": "Benevolence",
    "Universalism-concern": "Universalism",
    "Universalism-nature": "Universalism",
    "Universalism-tolerance": "Universalism",
}


def load_pvqrr(wording: str = "auto", published_dir: str | Path | None = None) -> Instrument:
    """The revised Portrait Values Questionnaire of 57 items, without instruction: the prompts have their own.

    Parameters
    ----------
    wording : str
        "project": the portraits written for this project. "published": those of the published questionnaire, from
        the files pvqrr_male.csv and pvqrr_female.csv that the user made. "auto": published if both files are there,
        else project.
    published_dir : str or Path, optional
        Where the published files are; data/instruments/published unless given. Each is UTF-8 with the header
        item,portrait and 57 rows in the order of the questionnaire.

    Returns
    -------
    Instrument
        Named "PVQ-RR", with the scales `REFINED_VALUES` and the options of the PVQ-40; scores are centred.

    Raises
    ------
    ValuestabError
        Unknown wording; published files that are asked for but not there, only one of the two, or malformed (the
        message names file and row; the header is row 1).

    References
    ----------
    Schwartz 2017 (the questionnaire and its key); Rozen et al. 2025, section 3 (how it is asked).

    Examples
    --------
    >>> pvqrr = load_pvqrr("project")
    >>> len(pvqrr.items), len(pvqrr.scales), pvqrr.key["Power-dominance"]
    (57, 19, [6, 29, 41])
    """
    check_known("wording", wording, WORDINGS)
    directory = PUBLISHED_DIR if published_dir is None else Path(published_dir)
    published = wording != "project" and _are_there(directory)
    if wording == "published" and not published:
        raise ValuestabError(
            f"The published PVQ-RR is not in {directory}: obtain it from its authors and put "
            f"{' and '.join(PUBLISHED_FILES)} there, or ask for the wording 'project'."
        )
    items = _project_items()
    if published:
        items = _published_items(directory, items)
    name = "published" if published else "project"
    return with_version(Instrument("PVQ-RR", name, "", "", PVQ_OPTIONS, items, REFINED_VALUES))


def _project_items() -> tuple[Item, ...]:
    rows = read_rows(PROJECT_FILE, ("item", "value", "male", "female"))
    return tuple(Item(int(row["item"]), row["value"], row["male"], row["female"]) for _, row in rows)


def _are_there(directory: Path) -> bool:
    missing = [name for name in PUBLISHED_FILES if not (directory / name).is_file()]
    if len(missing) == 1:
        both = " and ".join(PUBLISHED_FILES)
        raise ValuestabError(f"{directory} lacks {missing[0]}: the published PVQ-RR needs {both}.")
    return not missing


def _published_items(directory: Path, structure: tuple[Item, ...]) -> tuple[Item, ...]:
    """Published portraits on the items' numbers and values, which are the same in either wording."""
    male, female = (_portraits(directory / name, len(structure)) for name in PUBLISHED_FILES)
    if male == female:
        raise ValuestabError(
            f"{' and '.join(PUBLISHED_FILES)} in {directory} have the same portraits: one is a copy; put the male form "
            "into the one and the female form into the other."
        )
    return tuple(Item(item.item, item.value, he, she) for item, he, she in zip(structure, male, female, strict=True))


def _portraits(path: Path, n_items: int) -> list[str]:
    portraits: list[str] = []
    for row, cells in read_rows(path, ("item", "portrait")):
        if len(portraits) == n_items:
            raise ValuestabError(f"{path}, row {row}: one row too many, for the PVQ-RR has {n_items} items.")
        check_number(path, row, cells["item"], len(portraits) + 1)
        if not cells["portrait"].strip():
            raise ValuestabError(f"{path}, row {row}: the portrait is empty.")
        if cells["portrait"] in portraits:
            earlier = portraits.index(cells["portrait"]) + 1
            raise ValuestabError(
                f"{path}, row {row}: the portrait of item {earlier} stands here again, but every item has its own."
            )
        portraits.append(cells["portrait"])
    if len(portraits) < n_items:
        raise ValuestabError(
            f"{path} has {len(portraits)} items, but the PVQ-RR has {n_items}: item {len(portraits) + 1} is missing."
        )
    return portraits
