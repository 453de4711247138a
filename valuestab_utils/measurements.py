"""What a profile asks for, laid out: which experiment is asked which instrument, in which orders of the options."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from valuestab_utils.coded_administration import check_askable
from valuestab_utils.errors import ValuestabError, check_known
from valuestab_utils.inductions import CONDITIONS, STRUCTURE, load_runs, topic_of
from valuestab_utils.instrument_names import load_instrument
from valuestab_utils.instruments import Instrument
from valuestab_utils.populations import POPULATIONS, Persona, load_population, population_names
from valuestab_utils.profiles import ADMINISTRATIONS, PARTS_OF
from valuestab_utils.questionnaire import ORDERS
from valuestab_utils.sessions import Experiment
from valuestab_utils.tasks import NAMES_OF_RACE, load_task
from valuestab_utils.topics import load_topics

NO_PERSONA = "none"  # the population of answer-order permutations


@dataclass(frozen=True)
class Measurement:
    """One instrument asked in one experiment.

    Attributes
    ----------
    part : str
        One of `valuestab_utils.profiles.PARTS`.
    experiment : Experiment
    instrument : Instrument
    orders : str
        One of `valuestab_utils.questionnaire.ORDERS`.
    administration : str
        One of `valuestab_utils.profiles.ADMINISTRATIONS`: each item alone by letters, all in one prompt, or one after
        the other in one conversation.
    temperature : float or None
        At which answers are given in the latter two; by letters, all temperatures are known.
    filled : Instrument or None
        The questionnaire that is shown filled in, to those who are shown one.
    """

    part: str
    experiment: Experiment
    instrument: Instrument
    orders: str = "single"
    administration: str = "letters"
    temperature: float | None = None
    filled: Instrument | None = None

    @property
    def place(self) -> tuple:
        """What tells it apart from others of the study: two with the same place differ in size alone."""
        e = self.experiment
        asked = (self.instrument.name, self.instrument.wording, self.orders, e.n_messages)
        how = () if self.administration == "letters" else (self.administration, self.temperature)
        return (self.part, e.model, e.format, e.population, *asked, *how)


@dataclass(frozen=True)
class Design:
    """A measurement of no respondent yet, with the format and dtype to run it in (dtype None: the run's own)."""

    part: str
    experiment: Experiment
    instrument: Instrument
    orders: str
    format: str
    dtype: str | None
    administration: str = "letters"
    temperature: float | None = None
    filled: Instrument | None = None


@dataclass(frozen=True)
class Changes:
    """What is changed of a profile's sizes; None leaves them. See `valuestab_utils.study.plan_study`."""

    topics: Sequence[str] | None = None
    seeds: Sequence[int] | None = None
    n_personas: int | None = None
    n_permutations: int | None = None
    n_messages: int | None = None
    n_names: int | None = None
    lengths: Sequence[int] | None = None
    wording: str = "auto"


def designs(profile: Mapping, entry: Mapping, changes: Changes, questionnaire: Instrument) -> Iterator[Design]:
    """What one experiment of a profile asks for: one design a number of messages and kind of orders.

    Raises
    ------
    ValuestabError
        Unknown population, topic, task or orders; sizes that are not what they must be.
    """
    part = entry.get("part", "pvq")
    if part not in PARTS_OF["stability"]:
        yield from _designs_of_condition(entry, changes, questionnaire)
        return
    without = population_name(entry["population"]) == NO_PERSONA
    n = changes.n_permutations if without else changes.n_personas
    personas = load_population(entry["population"], entry.get("n_personas") if n is None else n)
    _check_genders(population_name(entry["population"]), personas)
    own_seeds = entry.get("seeds", profile["seeds"])
    seeds = listed("seeds", own_seeds if without or changes.seeds is None else changes.seeds, [1, 2])
    own_topics = entry.get("topics", profile["topics"])
    fixed = changes.topics is None or part in ("contexts", "neutral")
    topics = load_topics(listed("topics", own_topics if fixed else changes.topics, ["joke"]))
    instrument = questionnaire
    if "task" in entry:
        n_names = entry.get("n_names", NAMES_OF_RACE) if changes.n_names is None else changes.n_names
        instrument = load_task(entry["task"], n_names)
    all_orders = entry.get("orders", "single")
    all_orders = [all_orders] if isinstance(all_orders, str) else listed("orders", all_orders, ["balanced"])
    for n_messages, orders in itertools.product(_numbers_of_messages(profile, entry, changes), all_orders):
        check_known("kind of option orders", orders, ORDERS)
        name = population_name(entry["population"])
        experiment = Experiment("", "", name, personas, topics, tuple(seeds), n_messages)
        yield Design(part, experiment, instrument, orders, entry["format"], entry.get("dtype"))


def _designs_of_condition(entry: Mapping, changes: Changes, questionnaire: Instrument) -> Iterator[Design]:
    """What is asked of the runs of a condition of papers 002 and 004."""
    condition = check_known("condition", entry["population"], CONDITIONS)
    for name in ("topics", "n_messages", "n_permutations", "n_names", "lengths"):
        if getattr(changes, name) is not None:
            raise ValuestabError(
                f"{name}={getattr(changes, name)!r} does not concern this paper, in which nothing is said before the "
                "questionnaire: leave it out (n_personas is the number of runs)."
            )
    runs = load_runs(condition, entry.get("n_personas") if changes.n_personas is None else changes.n_personas)
    seeds = listed("seeds", entry.get("seeds", [1]) if changes.seeds is None else changes.seeds, [1, 2])
    experiment = Experiment("", "", condition, runs, (topic_of(condition),), tuple(seeds), 1)
    how = listed("administrations", entry.get("administrations", ["letters"]), ["letters"])
    at = listed("temperatures", entry.get("temperatures", [0.0]), [0.0])
    names = listed("instruments", entry["instruments"], ["PVQ-RR"])
    for name, administration in itertools.product(names, how):
        check_known("administration", administration, ADMINISTRATIONS)
        own = questionnaire if name == questionnaire.name else load_instrument(name, _wording(name, changes.wording))
        for temperature in [None] if administration == "letters" else at:
            if temperature is not None:
                _check_codes_explained(condition, administration)
                check_askable(experiment, own, temperature)
            design = Design(entry["part"], experiment, own, "single", entry["format"], entry.get("dtype"))
            yield replace(design, administration=administration, temperature=temperature, filled=questionnaire)


def _check_codes_explained(condition: str, administration: str) -> None:
    if condition not in STRUCTURE:
        raise ValuestabError(
            f"The prompts of the condition {condition} do not explain the codes that are answered in the "
            f"administration {administration}: ask by letters."
        )


def _wording(name: str, asked_for: str) -> str:
    """The wording of an instrument: what was asked for, if it has two."""
    return asked_for if name == "PVQ-RR" else "auto"


def listed(name: str, values: object, example: list, may_be_empty: bool = False) -> Sequence:
    """``values`` if they are a list of the example's type: ``topics=joke`` would be taken apart by letters.

    Raises
    ------
    ValuestabError
        If they are not.

    Examples
    --------
    >>> listed("topics", ["joke", "chess"], ["joke"])
    ['joke', 'chess']
    """
    fits = isinstance(values, (list, tuple)) and all(type(value) is type(example[0]) for value in values)
    if not fits or not (values or may_be_empty):
        raise ValuestabError(f"{name} is {values!r}, but must be a list such as {example}.")
    return values


def population_name(given: str) -> str:
    """Name that a population has in results; it is given by name, or as a file.

    Raises
    ------
    ValuestabError
        If it is unknown, or a file with the name of one in data/populations.
    """
    path = Path(given)
    if path.suffix != ".csv":
        return check_known("population", given, population_names())
    if path.stem in CONDITIONS:
        raise ValuestabError(
            f"The population file {path} has the name of a condition of another paper, and results go by that name: "
            "give it another."
        )
    if path.stem in population_names() and path.resolve() != (POPULATIONS / path.name).resolve():
        raise ValuestabError(
            f"The population file {path} has the name of one in data/populations, and results go by that "
            "name: give it another."
        )
    return path.stem


def _numbers_of_messages(profile: Mapping, entry: Mapping, changes: Changes) -> Sequence[int]:
    if entry.get("part") == "lengths":
        lengths = entry.get("n_messages", [profile["n_messages"]]) if changes.lengths is None else changes.lengths
        return sorted(set(listed("lengths", lengths, [1, 3])))
    own = entry.get("n_messages", profile["n_messages"])
    return [own if changes.n_messages is None else changes.n_messages]


def _check_genders(population: str, personas: Sequence[Persona]) -> None:
    without = [persona.persona for persona in personas if persona.gender is None]
    if without:
        raise ValuestabError(
            f"{len(without)} personas of {population} have no gender, such as {without[0]!r}, but the items "
            "have a male and a female form: fill in M or F in the column gender."
        )
