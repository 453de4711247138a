"""Profiles: what is run, as data, and what is changed of one for a run."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictInt, StrictStr, model_validator

from valuestab_utils.errors import ValuestabError, check_known, check_text
from valuestab_utils.files import checked, read_utf8
from valuestab_utils.models import SUFFIXES, model_card
from valuestab_utils.paths import DATA
from valuestab_utils.prompts import FORMATS

PROFILES = DATA / "profiles"
CONTROLS = ("control-random", "control-synthetic")  # as one asks for them


@dataclass(frozen=True)
class Paper:
    """A paper with the command that runs its numbered notebooks, and the experiments of a profile that it is about."""

    name: str
    citation: str
    title: str
    command: str
    notebooks: tuple[str, ...]
    experiments: tuple[str, ...]


PAPERS = {
    paper.name: paper
    for paper in (
        Paper(
            "kovac2024", "Kovač et al. 2024",
            "Stick to your Role! Stability of Personal Values Expressed in Large Language Models",
            "make reproduce", ("01", "02", "03", "04", "05"),
            ("pvq", "induction", "downstream", "lengths", "contexts", "neutral", "orders"),
        ),
        Paper(
            "rozen2025", "Rozen et al. 2025", "Do LLMs have consistent values?",
            "make structure", ("06",), ("structure", "administrations"),
        ),
        Paper(
            "yehudai2025", "Yehudai et al.", "Teaching Values to Machines: Simulating Human-Like Behavior in LLMs",
            "make prompting", ("07",), ("prompting", "agreement", "priming"),
        ),
    )
}
FIRST = next(iter(PAPERS))
WAYS = ("letters", "second", "balanced", "batch", "serial")  # of asking
EXPERIMENTS = tuple(name for paper in PAPERS.values() for name in paper.experiments)
_OF_THE_PVQ = set(PAPERS[FIRST].experiments) - {"downstream"}  # which ask the PVQ-40 unless they say otherwise
_RENAMED = {
    **{"part": "name", "parts": "experiments", "task": "questionnaire", "instruments": "questionnaire"},
    **{"orders": "way", "administrations": "way", "temperatures": "temperature"},
}
_LONGEST = 60  # characters of a run's name that say what is changed of its profile


def paper_of(notebook: str) -> Paper:
    """The paper that a notebook is of, by its number; the first one's if no paper has it."""
    return next((paper for paper in PAPERS.values() if notebook[:2] in paper.notebooks), PAPERS[FIRST])


def summary_file(paper: str) -> str:
    """Name of the file with what was found for a paper, in a run's folder of figures."""
    return "summary.json" if paper == FIRST else f"summary_{paper}.json"


def _several(value: object) -> object:
    """One entry stands for a list of one."""
    return value if isinstance(value, list | tuple) else [value]


Names = Annotated[tuple[StrictStr, ...], Field(min_length=1)]
Numbers = Annotated[tuple[StrictInt, ...], Field(min_length=1)]
_Count = Annotated[StrictInt, Field(ge=1)]
_Temperature = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]


class Entry(BaseModel):
    """An experiment of a profile: several where it names several questionnaires, ways, temperatures or lengths."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Literal[EXPERIMENTS] = "pvq"
    population: StrictStr
    format: Literal["own", *FORMATS] = "own"
    questionnaire: Annotated[Names, BeforeValidator(_several)] = ("PVQ-40",)
    way: Annotated[tuple[Literal[WAYS], ...], Field(min_length=1), BeforeValidator(_several)] = ("letters",)
    temperature: Annotated[tuple[_Temperature, ...], Field(min_length=1), BeforeValidator(_several)] = (0.0,)
    n_messages: Annotated[Numbers, BeforeValidator(_several)] | None = None
    topics: Names | None = None
    seeds: Numbers | None = None
    n_personas: _Count | None = None
    n_names: _Count | None = None
    dtype: StrictStr | None = None

    @model_validator(mode="after")
    def _is_asked_something(self) -> "Entry":
        if self.name not in _OF_THE_PVQ and "questionnaire" not in self.model_fields_set:
            raise ValueError(f"the experiment {self.name} must name its questionnaire")
        return self


class Profile(BaseModel):
    """A list of experiments, with the sizes that those have which say no other."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    about: str = ""
    model: StrictStr
    topics: Names
    seeds: Numbers
    n_messages: StrictInt
    controls: tuple[Literal[CONTROLS], ...]
    experiments: Annotated[tuple[Entry, ...], Field(min_length=1)]


class Changes(BaseModel):
    """What is changed of a profile for a run; what is None is as the profile says.

    ``populations`` are names, to run only those of the profile's experiments, or paths of population files.
    ``formats`` hold for every experiment ("own" is the model's). ``seeds`` replicate the experiments with personas;
    ``n_personas`` are the first of each population, ``n_permutations`` the option orders of the condition without
    persona. ``n_messages`` and ``lengths`` (those of the experiment lengths) count messages after the first, and are
    odd. ``n_names`` are those of each race that the downstream tasks ask about. ``experiments`` are names, to run only
    those. ``questionnaire`` (a name, or a YAML file's path) takes the place of the PVQ-40. ``compare`` names models
    with results of the same size in ``results_dir`` to stand beside this one, or is ["all"].
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    populations: Names | None = Field(None, examples=[["fictional_characters"]])
    formats: tuple[Literal["own", *FORMATS], ...] | None = Field(None, min_length=1, examples=[["base"]])
    topics: Names | None = Field(None, examples=[["joke", "chess"]])
    seeds: Numbers | None = Field(None, examples=[[1, 2]])
    n_personas: _Count | None = Field(None, examples=[8])
    n_permutations: _Count | None = Field(None, examples=[8])
    n_messages: _Count | None = Field(None, examples=[3])
    n_names: _Count | None = Field(None, examples=[2])
    lengths: Numbers | None = Field(None, examples=[[1, 3]])
    experiments: tuple[Literal[EXPERIMENTS], ...] | None = Field(None, min_length=1, examples=[["pvq"]])
    controls: tuple[Literal[CONTROLS], ...] | None = Field(None, examples=[["control-random"]])
    compare: tuple[StrictStr, ...] | None = Field(None, examples=[["all"]])
    questionnaire: StrictStr | None = Field(None, examples=["PVQ-40"])
    wording: Literal["auto", "project", "published"] = "auto"
    dtype: StrictStr = Field("auto", examples=["bfloat16"])
    results_dir: Path | None = Field(None, examples=["results"])


def as_changes(given: Mapping[str, object] | None) -> Changes:
    """What a notebook or a command line gives; ValuestabError for what is unknown or does not fit."""
    return checked(Changes, given or {}, "changes", _RENAMED)


def load_profile(name: str) -> Profile:
    """A profile: data/profiles/<name>.yaml, or the path of a YAML file of that form."""
    path = Path(check_text("profile", name))
    if path.suffix != ".yaml":
        known = sorted(file.stem for file in PROFILES.glob("*.yaml"))
        path = PROFILES / f"{check_known('profile', name, known)}.yaml"
    elif (PROFILES / path.name).exists() and path.resolve() != (PROFILES / path.name).resolve():
        raise ValuestabError(
            f"The profile {path} has the name of one in data/profiles, and runs go by that name: give it another."
        )
    return checked(Profile, parse_value(read_utf8(path), f"Profile {path}"), f"Profile {path}", _RENAMED)


def run_name(profile: str, model: str | None = None, changes: dict | None = None) -> str:
    """Name that a run's figures and pages go by: the profile, the model if it is not the profile's own, and changes.

    Changes stand in alphabetical order, files by their stem; eight digits of a hash stand for what is too long, or no
    file name. ``results_dir`` is not among them: wherever answers are kept, they are the same, and the figures too.

    >>> run_name("quick"), run_name("paper", "mistralai/Mistral-7B-v0.1", {"dtype": "4bit"})
    ('quick', 'paper-mistralai--Mistral-7B-v0.1-4bit')
    >>> run_name("quick", changes={"seeds": [1, 2], "n_personas": 8})
    'quick-n_personas=8-seeds=1,2'
    """
    check_text("model", model or "")
    given = as_changes(changes).model_dump(exclude_none=True, exclude={"results_dir"})
    own = model_card(load_profile(profile).model)
    chosen = model_card(model) if model else own
    name = Path(profile).stem + ("" if chosen.name == own.name else f"-{chosen.name}")
    if given["dtype"] in SUFFIXES:
        name += f"-{given.pop('dtype')}"
    changed = "-".join(f"{key}={_shown(value)}" for key, value in sorted(given.items()) if value != "auto")
    if len(changed) > _LONGEST or not re.fullmatch(r"[\w.,=-]*", changed, re.ASCII):
        changed = hashlib.sha256(changed.encode()).hexdigest()[:8]
    return f"{name}-{changed}" if changed else name


def _shown(value: object) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(_shown, value))
    return Path(str(value)).stem if str(value).endswith((".csv", ".yaml")) else str(value)


class _Literals(yaml.SafeLoader):
    """YAML in which only what is plainly a number is one; all else stays text.

    YAML 1.1 and Python read ``0_1`` as 1 and ``2_4`` as 24, YAML also ``010`` as 8, ``1:30`` as 90 and ``no`` as False.
    """

    yaml_implicit_resolvers = {}


for _tag, _pattern, _first in (
    ("int", r"-?(0|[1-9]\d*)", "-0123456789"),
    ("float", r"-?(\d+\.\d*|\.\d+|\d+(?=[eE]))([eE][-+]?\d+)?", "-.0123456789"),
    ("bool", r"true|True|false|False", "tTfF"),
    ("null", r"null|None|~|", ["n", "N", "~", ""]),
):
    _Literals.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), list(_first))


def parse_value(text: str, place: str = "The value") -> object:
    """Read a value as it stands on a command line or in a profile: YAML, in which ``0_1`` is text.

    >>> [parse_value(text) for text in ("8", "0_1", "[1, 2]", "None", "0.5", "joke", "true")]
    [8, '0_1', [1, 2], None, 0.5, 'joke', True]
    """
    try:
        return yaml.load(text, Loader=_Literals)  # a SafeLoader: it builds plain data only
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or error
        raise ValuestabError(
            f"{place} cannot be read ({problem}): write it as in YAML, such as 8, joke or '[1, 2]'."
        ) from error
