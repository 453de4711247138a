"""A study: the experiments that a profile names, with what is changed on the command line or in a notebook."""

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import yaml

from valuestab_utils.controls import RandomRespondent, SyntheticRespondent
from valuestab_utils.conversations import load_conversations, simulate_conversations
from valuestab_utils.errors import ValuestabError, check_known
from valuestab_utils.instruments import Instrument, load_pvq40
from valuestab_utils.models import load_model, model_card
from valuestab_utils.paths import DATA, ROOT
from valuestab_utils.populations import load_population, population_names
from valuestab_utils.prompts import FORMATS
from valuestab_utils.questionnaire import ask_questionnaire, load_answers
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
        """Where the study's figures go: figures/<profile>, with the model's name if it is not the profile's own."""
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
        """Answers of all experiments, one row an answer; what is missing, conversations included, is computed."""
        self.conversations()
        return _together(
            ask_questionnaire(experiment, self.respondent(experiment), self.instrument, self.results_dir)
            for experiment in self.experiments
        )

    def conclude(self, table: pd.DataFrame) -> list[str]:
        """Sentences on what was found, kept in ``summary.json`` beside the figures."""
        lines = findings(table, self.tested_model)
        self.figures_dir.mkdir(parents=True, exist_ok=True)
        (self.figures_dir / "summary.json").write_text(json.dumps({"lines": lines}, ensure_ascii=False), encoding="utf-8")
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


def load_profile(name: str) -> dict:
    """The settings of a profile: data/profiles/<name>.yaml, or the path of a file of that form.

    Raises
    ------
    ValuestabError
        Unknown profile (the nearest is suggested), or a file without one of the needed entries.

    Examples
    --------
    >>> load_profile("paper")["seeds"]
    [1, 2, 3, 4, 5]
    """
    path = Path(name)
    if path.suffix != ".yaml":
        known = sorted(file.stem for file in (DATA / "profiles").glob("*.yaml"))
        path = DATA / "profiles" / f"{check_known('profile', name, known)}.yaml"
    try:
        profile = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValuestabError(f"Profile {path} cannot be read ({error}): give a YAML file like those in data/profiles.") from error
    needed = {"model", "topics", "seeds", "n_messages", "experiments", "controls"}
    if not isinstance(profile, dict) or needed - profile.keys():
        lacking = ", ".join(sorted(needed - (profile.keys() if isinstance(profile, dict) else set())))
        raise ValuestabError(f"Profile {path} lacks {lacking}: see data/profiles/quick.yaml for the form.")
    return profile


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
    controls = settings["controls"] if controls is None else controls
    for control in controls:
        check_known("control", control, CONTROLS)
    for name in formats or ():
        check_known("format", name, ["own", *FORMATS])
    instrument = load_pvq40(wording)
    chosen_topics = load_topics(settings["topics"] if topics is None else topics)
    entries = _choose_populations(settings["experiments"], populations)
    tested = _respondents(model or settings["model"], dtype, tuple(controls), instrument)

    experiments: dict[tuple, Experiment] = {}
    for respondent in tested.values():
        is_control = respondent.name in CONTROLS
        for entry in entries:
            without = entry["population"] == NO_PERSONA
            n = n_permutations if without else n_personas
            personas = load_population(entry["population"], entry.get("n_personas") if n is None else n)
            own_seeds = entry.get("seeds", settings["seeds"]) if without or seeds is None else seeds
            for name in ["own"] if is_control else formats or [entry["format"]]:
                format = respondent.format if name == "own" else name
                if format != "base" and respondent.template is None:
                    raise ValuestabError(
                        f"{respondent.name} has no chat template, which the format {format!r} needs: give formats=['base']."
                    )
                experiment = Experiment(
                    respondent.name,
                    format,
                    Path(entry["population"]).stem,
                    personas,
                    chosen_topics,
                    tuple(own_seeds),
                    settings["n_messages"] if n_messages is None else n_messages,
                )
                experiments.setdefault((experiment.model, format, experiment.population), experiment)
    directory = ROOT / "results" if results_dir is None else Path(results_dir).expanduser()
    return Study(profile, tuple(experiments.values()), instrument, directory, tested)


def _choose_populations(entries: list[dict], populations: Sequence[str] | None) -> list[dict]:
    if populations is None:
        return entries
    chosen = []
    for name in populations:
        if Path(name).suffix != ".csv":
            check_known("population", name, population_names())
        own = [entry for entry in entries if entry["population"] == name]
        chosen += own or [{"population": name, "format": "own"}]
    return chosen


@functools.lru_cache(maxsize=1)  # a notebook that plans twice loads its model once
def _load(model: str, dtype: str) -> Respondent:
    return load_model(model, dtype)


def _respondents(model: str, dtype: str, controls: tuple[str, ...], instrument: Instrument) -> dict[str, Respondent]:
    there = {RandomRespondent.name: RandomRespondent(), SyntheticRespondent.name: SyntheticRespondent(instrument)}
    tested = _load(model, dtype)
    return {tested.name: tested} | {name: there[name] for name in controls}


def _together(frames) -> pd.DataFrame:
    return pd.concat([frame for frame in frames if not frame.empty], ignore_index=True)
