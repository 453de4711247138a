"""Profiles: what a study consists of, as data."""

from pathlib import Path

from valuestab_utils.errors import ValuestabError, check_known, check_text
from valuestab_utils.parameters import parse_value
from valuestab_utils.paths import DATA
from valuestab_utils.prompts import FORMATS

PROFILES = DATA / "profiles"

# What an experiment of a profile belongs to, by the paper that it is of; the first part is a paper's main one.
PARTS_OF = {
    "stability": ("pvq", "induction", "downstream", "lengths", "contexts", "neutral", "orders"),
    "structure": ("structure", "administrations"),
    "prompting": ("prompting", "agreement", "priming"),
}
PARTS = tuple(part for parts in PARTS_OF.values() for part in parts)

_ENTRIES = ("model", "topics", "seeds", "n_messages", "experiments", "controls")
_WITH_TASK = ("downstream", "orders")
_OF_EXPERIMENT = ("population", "format", "part", "task", "n_names", "n_personas", "seeds", "topics")
_OF_EXPERIMENT += ("n_messages", "orders", "dtype")
_OF_CONDITION = ("population", "format", "part", "n_personas", "seeds", "dtype", "instruments", "administrations")
_OF_CONDITION += ("temperatures",)
ADMINISTRATIONS = ("letters", "batch", "serial")


def load_profile(name: str) -> dict:
    """The settings of a profile: data/profiles/<name>.yaml, or the path of a file of that form.

    Numbers are read as on the command line: only what is plainly a number is one (see
    `valuestab_utils.parameters.parse_value`).

    Raises
    ------
    ValuestabError
        Unknown profile (the nearest is suggested), or a file with the name of one in data/profiles, without one of the
        needed entries or with an unknown one.

    Examples
    --------
    >>> load_profile("paper")["seeds"]
    [1, 2, 3, 4, 5]
    """
    path = Path(check_text("profile", name))
    if path.suffix != ".yaml":
        known = sorted(file.stem for file in PROFILES.glob("*.yaml"))
        path = PROFILES / f"{check_known('profile', name, known)}.yaml"
    elif (PROFILES / path.name).exists() and path.resolve() != (PROFILES / path.name).resolve():
        raise ValuestabError(
            f"The profile {path} has the name of one in data/profiles, and runs go by that name: give it another."
        )
    try:
        profile = parse_value(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValuestabError) as error:
        reason = " ".join(str(error.__cause__ or error).split())
        raise ValuestabError(
            f"Profile {path} cannot be read ({reason}): give a YAML file like those in data/profiles."
        ) from error
    _check(f"Profile {path}", profile, needed=_ENTRIES, known=("about", *_ENTRIES))
    check_text(f"The model of profile {path}", profile["model"])
    if not isinstance(profile["experiments"], list) or not profile["experiments"]:
        raise ValuestabError(f"Profile {path} lacks experiments: see data/profiles/quick.yaml for the form.")
    for experiment in profile["experiments"]:
        part = check_known("part", experiment.get("part", "pvq"), PARTS) if isinstance(experiment, dict) else "pvq"
        of_condition = part not in PARTS_OF["stability"]
        needed = (*_OF_EXPERIMENT[:2], *(("instruments",) if of_condition else ()))
        known = _OF_CONDITION if of_condition else _OF_EXPERIMENT
        _check(f"An experiment of profile {path}", experiment, needed, known)
        for name in ("population", *(["dtype"] if experiment.get("dtype") else [])):
            check_text(f"The {name} of an experiment of {path}", experiment[name])
        check_known("format", experiment["format"], ["own", *FORMATS])
        if (part == "downstream") > ("task" in experiment) or ("task" in experiment) > (part in _WITH_TASK):
            raise ValuestabError(
                f"An experiment of {path} must name a task if it is of the part downstream, and may if of orders: "
                "see data/profiles/quick.yaml for the form."
            )
    return profile


def _check(what: str, entries: object, needed: tuple[str, ...], known: tuple[str, ...]) -> None:
    there = entries if isinstance(entries, dict) else {}
    lacking = [name for name in needed if name not in there]
    if lacking:
        raise ValuestabError(f"{what} lacks {', '.join(lacking)}: see data/profiles/quick.yaml for the form.")
    for name in there:
        check_known(f"entry in {what[0].lower()}{what[1:]}:", name, known)
