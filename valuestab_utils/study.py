"""A study: the experiments of a profile, with what is changed on the command line or in a notebook."""

import functools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from valuestab_utils.controls import RandomRespondent, SyntheticRespondent
from valuestab_utils.conversations import simulate_conversations
from valuestab_utils.errors import ValuestabError, check_known
from valuestab_utils.instruments import Instrument, load_pvq40
from valuestab_utils.model_cards import model_card
from valuestab_utils.models import load_model
from valuestab_utils.paths import ROOT
from valuestab_utils.populations import POPULATIONS, Persona, load_population, population_names
from valuestab_utils.profiles import load_profile
from valuestab_utils.prompts import FORMATS
from valuestab_utils.questionnaire import ask_questionnaire
from valuestab_utils.respondents import Respondent
from valuestab_utils.sessions import Experiment
from valuestab_utils.tables import findings
from valuestab_utils.topics import load_topics

NO_PERSONA = "none"  # the population of answer-order permutations
CONTROLS = (RandomRespondent.name, SyntheticRespondent.name)


@dataclass(frozen=True)
class Study:
    """Experiments with the respondents that take part in them and the place of their results.

    Attributes
    ----------
    profile : str
    experiments : tuple of Experiment
    instrument : Instrument
    results_dir : Path
    """

    profile: str
    experiments: tuple[Experiment, ...]
    instrument: Instrument
    results_dir: Path
    _respondents: dict[str, Respondent] = field(repr=False)

    @property
    def tested_model(self) -> str:
        """Name of the model that is studied: that of the first experiment."""
        return self.experiments[0].model

    @property
    def figures_dir(self) -> Path:
        """Where figures go: figures/<profile>, with the model's name if it is not the profile's own."""
        own = model_card(load_profile(self.profile)["model"]).name == self.tested_model
        return ROOT / "figures" / (Path(self.profile).stem + ("" if own else f"-{self.tested_model}"))

    def respondent(self, experiment: Experiment) -> Respondent:
        """Who is tested in ``experiment``."""
        return self._respondents[experiment.model]

    def conversations(self) -> pd.DataFrame:
        """Conversations of all experiments, one row a message; those that are missing are simulated."""
        return _together(
            simulate_conversations(experiment, self.respondent(experiment), self.results_dir)
            for experiment in self.experiments
        )

    def answers(self) -> pd.DataFrame:
        """Answers of all experiments, one row an answer; what is missing is computed, conversations too."""
        self.conversations()
        return _together(
            ask_questionnaire(experiment, self.respondent(experiment), self.instrument, self.results_dir)
            for experiment in self.experiments
        )

    def conclude(self, table: pd.DataFrame) -> list[str]:
        """Sentences on what was found, kept in ``summary.json`` beside the figures."""
        lines = findings(table, self.tested_model)
        self.figures_dir.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"lines": lines}, ensure_ascii=False)
        (self.figures_dir / "summary.json").write_text(text, encoding="utf-8")
        return lines

    def overview(self) -> pd.DataFrame:
        """One row an experiment: its names, how many personas, topics, seeds and sessions it has."""
        return pd.DataFrame(
            {
                "model": experiment.model,
                "format": experiment.format,
                "population": experiment.population,
                "personas": len(experiment.personas),
                "topics": ", ".join(topic.topic for topic in experiment.topics),
                "seeds": len(experiment.seeds),
                "sessions": len(experiment.sessions),
                "answers": len(experiment.sessions) * len(self.instrument.items),
            }
            for experiment in self.experiments
        )


def plan_study(
    profile: str = "quick",
    model: str | None = None,
    populations: Sequence[str] | None = None,
    formats: Sequence[str] | None = None,
    topics: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    n_personas: int | None = None,
    n_permutations: int | None = None,
    n_messages: int | None = None,
    controls: Sequence[str] | None = None,
    wording: str = "auto",
    dtype: str = "auto",
    results_dir: str | Path | None = None,
) -> Study:
    """Lay out a study. What is None is as the profile says.

    Parameters
    ----------
    profile : str
        Name or path of a profile (see `load_profile`).
    model : str
        A name in data/models.yaml, a model folder, or a hub id.
    populations : sequence of str
        Names of populations, to run those of the profile's experiments only; or paths of population files.
    formats : sequence of str
        Formats for every experiment: "own" (the model's), "base", "tuned_sys", "tuned_no_sys".
    topics : sequence of str
        Names in data/topics.csv, or "no_conversation".
    seeds : sequence of int
        Replications of the experiments with personas.
    n_personas, n_permutations : int
        The first personas of each population; answer-order permutations of the condition without persona.
    n_messages : int
        Messages exchanged after the first, odd.
    controls : sequence of str
        Control respondents that stand beside the model.
    wording : {"auto", "project", "published"}
        Portraits of the questionnaire (see `valuestab_utils.instruments.load_pvq40`).
    dtype : {"auto", "float32", "float16", "bfloat16"}
        See `valuestab_utils.models.load_model`.
    results_dir : path
        Default: ``results`` in the checkout.

    Raises
    ------
    ValuestabError
        Anything unknown or impossible, before anything is computed.
    """
    settings = load_profile(profile)
    topics = load_topics(_listed("topics", settings["topics"] if topics is None else topics, ["joke"]))
    n_messages = settings["n_messages"] if n_messages is None else n_messages
    controls = settings["controls"] if controls is None else controls
    for control in _listed("controls", controls, ["control-random"], may_be_empty=True):
        check_known("control", control, CONTROLS)
    for name in _listed("formats", ["own"] if formats is None else formats, ["base"]):
        check_known("format", name, ["own", *FORMATS])
    instrument = load_pvq40(wording)

    designs: list[tuple[Experiment, Sequence[str]]] = []  # of no model yet, with the formats to run it in
    for entry in _entries(settings["experiments"], populations):
        population = _population_name(entry["population"])
        without = population == NO_PERSONA
        n = n_permutations if without else n_personas
        personas = load_population(entry["population"], entry.get("n_personas") if n is None else n)
        _check_genders(population, personas)
        own_seeds = entry.get("seeds", settings["seeds"]) if without or seeds is None else seeds
        own_seeds = tuple(_listed("seeds", own_seeds, [1, 2]))
        design = Experiment("", "", population, personas, topics, own_seeds, n_messages)
        designs.append((design, [entry["format"]] if formats is None else formats))

    respondents = _respondents(model or settings["model"], dtype, tuple(controls), instrument)
    experiments: dict[tuple[str, str, str], Experiment] = {}
    for respondent in respondents.values():
        for design, names in designs:
            for name in ["own"] if respondent.name in CONTROLS else names:
                experiment = replace(design, model=respondent.name, format=_format(respondent, name))
                key = (experiment.model, experiment.format, experiment.population)
                # "own" may be the format that another entry names: the larger of the two is run.
                if key not in experiments or len(experiment.sessions) > len(experiments[key].sessions):
                    experiments[key] = experiment
    directory = ROOT / "results" if results_dir is None else Path(results_dir).expanduser()
    return Study(profile, tuple(experiments.values()), instrument, directory, respondents)


def _listed(name: str, values: object, example: list, may_be_empty: bool = False) -> Sequence:
    # From the command line, `topics=joke` comes as text, which Python would take apart by letters.
    fits = isinstance(values, (list, tuple)) and all(type(value) is type(example[0]) for value in values)
    if not fits or not (values or may_be_empty):
        raise ValuestabError(f"{name} is {values!r}, but must be a list such as {example}.")
    return values


def _entries(entries: list[dict], populations: Sequence[str] | None) -> list[dict]:
    """Entries of the profile's experiments with the populations that are asked for."""
    if populations is None:
        return entries
    chosen = []
    for given in _listed("populations", populations, ["none"]):
        same_name = [other for other in populations if Path(other).stem == Path(given).stem]
        if len(same_name) > 1:
            raise ValuestabError(
                f"The populations {' and '.join(same_name)} have one name, and results go by it: rename one."
            )
        chosen += [e for e in entries if e["population"] == given] or [{"population": given, "format": "own"}]
    return chosen


def _population_name(given: str) -> str:
    """Name that a population has in results; it is given by name, or as a file."""
    path = Path(given)
    if path.suffix != ".csv":
        return check_known("population", given, population_names())
    if path.stem in population_names() and path.resolve() != (POPULATIONS / path.name).resolve():
        raise ValuestabError(
            f"The population file {path} has the name of one in data/populations, and results go by that "
            "name: give it another."
        )
    return path.stem


def _check_genders(population: str, personas: Sequence[Persona]) -> None:
    without = [persona.persona for persona in personas if persona.gender is None]
    if without:
        raise ValuestabError(
            f"{len(without)} personas of {population} have no gender, such as {without[0]!r}, but the items "
            "have a male and a female form: fill in M or F in the column gender."
        )


def _format(respondent: Respondent, name: str) -> str:
    """The format of this name, if the respondent can be asked in it."""
    format = respondent.format if name == "own" else name
    if format != "base" and respondent.template is None:
        raise ValuestabError(
            f"{respondent.name} has no chat template, as the format {format!r} needs: take formats=['base']."
        )
    if format == "tuned_sys" and not respondent.template.accepts_system:
        raise ValuestabError(
            f"The chat template of {respondent.name} takes no system message, which the format 'tuned_sys' "
            "needs: use formats=['tuned_no_sys']."
        )
    return format


@functools.lru_cache(maxsize=1)  # a notebook that plans twice loads its model once
def _load(model: str, dtype: str) -> Respondent:
    return load_model(model, dtype)


def _respondents(
    model: str, dtype: str, controls: Sequence[str], instrument: Instrument
) -> dict[str, Respondent]:
    known = {control.name: control for control in (RandomRespondent(), SyntheticRespondent(instrument))}
    tested = _load(model, dtype)
    return {tested.name: tested} | {name: known[name] for name in controls}


def _together(frames: Iterable[pd.DataFrame]) -> pd.DataFrame:
    frames = list(frames)
    return pd.concat([frame for frame in frames if not frame.empty] or frames[:1], ignore_index=True)
