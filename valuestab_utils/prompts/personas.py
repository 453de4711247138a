"""Populations of personas: data files, so that a user adds one without code."""

from dataclasses import dataclass
from pathlib import Path

from valuestab_utils.errors import ValuestabError, check_count, check_known
from valuestab_utils.files import read_rows
from valuestab_utils.paths import DATA

POPULATIONS = DATA / "populations"
GENDERS = ("M", "F")

_COLUMNS = ("persona", "name", "description", "gender")
_LABELS = {
    "none": "no persona", "real_world_personas": "real-world personas",
    "basic": "basic prompt", "value_anchor": "value anchors", "demographic": "demographic prompts",
    "generated_persona": "generated personas", "value_prompts_filled": "value prompts and filled questionnaires",
    "filled_questionnaire": "filled questionnaires",
}


@dataclass(frozen=True)
class Persona:
    """Somebody that a model is told to be, or, without a description, one answer-order permutation.

    persona : unique in its population; names the persona in results
    name : stands in turn labels and in the interlocutor's instruction
    description : what follows "You are "; empty where no persona is induced
    gender : "M" or "F", the form of the items that is asked; None where a user's file gives none
    prefix : said before every question, in the same message (papers 002, 004, see `inductions`); empty for others
    group : what the induction is about, where analyses need it: a value, or the ethnic group of a name
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


def population_label(population: str) -> str:
    """How figures and tables call a population; a user's own goes by its file's name."""
    return _LABELS.get(population, population.replace("_", " "))


def population_names() -> list[str]:
    """Names of the populations in data/populations, sorted."""
    return sorted(path.stem for path in POPULATIONS.glob("*.csv"))


def load_population(name_or_path: str | Path, n_personas: int | None = None) -> tuple[Persona, ...]:
    """Personas of a population in the order of its file (Kovač et al. 2024, appendix B.1 and Table 1).

    ``name_or_path`` is a name in data/populations, or a UTF-8 file whose name ends in .csv, with the columns persona,
    name, description and gender; ``n_personas`` takes the first of them. ValuestabError, with the row (the header is
    1), for a file that is not as it must be.

    >>> load_population("real_world_personas", 1)[0].description
    'Marilyn Monroe (1926 – 1962) American actress, singer, model.'
    """
    path = Path(name_or_path)
    if path.suffix != ".csv":
        path = POPULATIONS / f"{check_known('population', str(name_or_path), population_names())}.csv"
    there: dict[str, Persona] = {}
    for row, cells in read_rows(path, _COLUMNS):
        name, *_, gender = cells = [cells[column].strip() for column in _COLUMNS]
        said = cells[2].lower()
        if not all(cells[:2]) or name in there or gender not in ("", *GENDERS) or said.startswith("you are "):
            raise ValuestabError(
                f"{path}, row {row}: a persona needs a name of its own in results, a name in talks, a description that "
                f"does not begin with 'You are', which the prompts add, and M, F or no gender, but here is {cells}."
            )
        there[name] = Persona(*cells[:3], gender or None)
    if not there:
        raise ValuestabError(f"{path} has no personas: write one row for each below the header.")
    check_count("n_personas", n_personas, len(there))
    return tuple(there.values())[:n_personas]
