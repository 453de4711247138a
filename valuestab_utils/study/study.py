"""A study: a profile's experiments, a respondent and a results folder, with what is changed for the run."""

import datetime
import functools
import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from valuestab_utils import __version__
from valuestab_utils.errors import ValuestabError, check_known
from valuestab_utils.models import API, SAMPLER, ApiRespondent, Respondent, controls, load_model, model_card
from valuestab_utils.paths import ROOT
from valuestab_utils.prompts import CONDITIONS, FORMATS, Questionnaire, Topic, load_questionnaire, population_label
from valuestab_utils.study.asking import COLUMNS, answer_folder, ask, cannot_ask, load
from valuestab_utils.study.conversations import load_conversations, simulate_together
from valuestab_utils.study.experiments import (
    NO_PERSONA,
    QUESTIONNAIRE,
    Experiment,
    chosen_entries,
    lay_out,
    questionnaire_of,
)
from valuestab_utils.study.figure_files import load_figures, save_figure, skip_figure
from valuestab_utils.study.profiles import (
    CONTROLS,
    EXPERIMENTS,
    FIRST,
    PAPERS,
    WAYS,
    Changes,
    Entry,
    as_changes,
    load_profile,
    run_name,
    summary_file,
)
from valuestab_utils.study.store import git_commit

EVERY_CONTROL = (*CONTROLS, controls.CircumplexRespondent.name)  # the last takes the synthetic one's place among runs
_TASKS = ("Donation", "Stealing", "Religion")
_ALL = "all"  # models with results


@dataclass(frozen=True)
class Study:
    """What is asked of whom, with the respondents and the place of the results.

    ``run`` names its figures and pages; ``compare`` are models in ``results_dir`` that stand beside; ``left_out`` are
    sentences on what the profile has and this model cannot do; ``paper`` is whose experiments these are.
    """

    run: str
    experiments: tuple[Experiment, ...]
    results_dir: Path
    _respondents: dict[str, Respondent] = field(repr=False)
    compare: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    paper: str = FIRST

    @property
    def questionnaire(self) -> Questionnaire:
        """That of the first experiment."""
        return self.experiments[0].questionnaire

    @property
    def questionnaires(self) -> dict[str, Questionnaire]:
        return {e.questionnaire.name: e.questionnaire for e in self.experiments}

    @property
    def tested_model(self) -> str:
        return self.experiments[0].model

    @property
    def figures_dir(self) -> Path:
        return ROOT / "figures" / self.run

    def respondent(self, experiment: Experiment) -> Respondent:
        return self._respondents[experiment.model]

    def of(self, name: str) -> tuple[Experiment, ...]:
        """The experiments of a name, one of `EXPERIMENTS`; none if they are not part of this study."""
        check_known("experiment", name, EXPERIMENTS)
        return tuple(e for e in self.experiments if e.name == name)

    def has(self, name: str) -> bool:
        return bool(self.of(name))

    def conversations(self) -> pd.DataFrame:
        """Conversations of all experiments, one row a message; those that are missing are simulated."""
        self._simulate(self.experiments)
        together = _together(load_conversations(e, self.results_dir) for e in self.experiments)
        return together.drop_duplicates(
            ["model", "format", "population", "persona", "topic", "seed", "message"], ignore_index=True
        )

    def answers(
        self, name: str | None = None, way: str | None = None, questionnaire: str | None = None
    ) -> pd.DataFrame:
        """Answers of the experiments of a name (the first's by default), as `ask` gives them; what lacks is computed.

        ``way`` is that of asking: without it, all ways but other orders of the options, which must be asked for. Models
        to compare with come last. No rows if the study has no such experiment.
        """
        ways = set(WAYS) - {"second", "balanced"} if way is None else {check_known("way of asking", way, WAYS)}
        chosen = [e for e in self.of(name or self.experiments[0].name) if e.way in ways]
        chosen = [e for e in chosen if questionnaire in (None, e.questionnaire.name)]
        self._simulate(chosen)
        frames = [ask(e, self.respondent(e), self.results_dir) for e in chosen]
        frames += self._beside(chosen)
        return _together(frames) if frames else pd.DataFrame(columns=list(COLUMNS))

    def retest_answers(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Answers of the sessions that are asked in second orders: in the first orders, and in the second ones."""
        again = [e for e in self.experiments if e.way == "second"]
        if not again:
            return pd.DataFrame(columns=list(COLUMNS)), pd.DataFrame(columns=list(COLUMNS))
        once = replace(self, experiments=tuple(replace(e, way="letters") for e in again))
        return once.answers(), self.answers(again[0].name, "second")

    def topics(self, name: str) -> tuple[Topic, ...]:
        """Topics of the experiments of a name, in the order in which they name them."""
        return tuple(dict.fromkeys(topic for e in self.of(name) for topic in e.topics))

    def personas(self) -> pd.DataFrame:
        """Population, persona, description and gender of each persona of all experiments."""
        rows = dict.fromkeys((e.population, p) for e in self.experiments for p in e.personas)
        return pd.DataFrame(
            {"population": population, "persona": p.persona, "description": p.description, "gender": p.gender}
            for population, p in rows
        )

    def keep(
        self, figure: Figure | None, table: pd.DataFrame, name: str, found: str, text: str | None = None
    ) -> Figure | None:
        """Save a figure with the table behind it and what it shows, in `figures_dir`; gives the figure.

        Sample and wording are those of the first experiment that the registry of figures says it needs. Where the table
        is empty, the figure is kept as "not part of this run", with the experiments that it would need.
        """
        figures = load_figures()
        needs = figures[check_known("figure", name, figures)].needs or (self.experiments[0].name,)
        lacking = [needed for needed in needs if not self.has(needed)]
        if table.empty:
            why = f"It needs the experiment{'s' * (len(lacking) > 1)} {' and '.join(lacking)}, not part of this run."
            asked = dict.fromkeys(e.questionnaire.name for e in self.experiments if e.name in needs)
            nothing = f"{', '.join(needs)} with {', '.join(asked)} have nothing for this figure. {found}"
            skip_figure(name, self.figures_dir, why if lacking else nothing)
            plt.close(figure)  # shown once, as the cell's result
            return figure
        there = next((needed for needed in needs if needed not in lacking), self.experiments[0].name)
        about = self._about(there, set(table["population"]) if "population" in table else None)
        return save_figure(figure, table, name, self.figures_dir, found, about, text)

    def conclude(self, lines: Sequence[str]) -> list[str]:
        """Keep sentences on what was found beside the figures, in the paper's file of summaries."""
        self.figures_dir.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"lines": list(lines)}, ensure_ascii=False)
        (self.figures_dir / summary_file(self.paper)).write_text(text, encoding="utf-8")
        return list(lines)

    def overview(self) -> pd.DataFrame:
        """One row an experiment: its names, how many personas, topics, seeds, sessions and answers it has."""
        rows = []
        for e in self.experiments:
            asked = {"experiment": e.name, "instrument": e.questionnaire.name, "model": e.model, "format": e.format}
            whom = {"population": e.population, "personas": len(e.personas)}
            after = {"topics": ", ".join(t.topic for t in e.topics), "seeds": len(e.seeds), "messages": e.n_messages}
            how = {"way": e.way, "temperature": e.temperature, "sessions": len(e.sessions)}
            orders = len(e.questionnaire.options) if e.way == "balanced" else 1
            n_answers = len(e.sessions) * len(e.questionnaire.items) * orders
            rows.append(asked | whom | after | how | {"answers": n_answers})
        return pd.DataFrame(rows)

    def _simulate(self, experiments: Sequence[Experiment]) -> None:
        together: dict[tuple, list[Experiment]] = {}
        for e in experiments:
            temperatures = frozenset(topic.temperature for topic in e.topics)
            together.setdefault((e.model, e.format == "base", temperatures), []).append(e)
        for of_one in together.values():
            simulate_together(of_one, self.respondent(of_one[0]), self.results_dir)

    def _beside(self, chosen: Sequence[Experiment]) -> list[pd.DataFrame]:
        """Answers of the models to compare with to the same items in the same sessions, in any format.

        Of all models, one that lacks a session is left out, since it may be running just now.
        """
        there = sorted(path.name for path in self.results_dir.glob("*") if any(path.glob("*/*/*/*/*.parquet")))
        named = [check_known("model with results", name, there) for name in self.compare if name != _ALL]
        own = {(e.model, e.format) for e in chosen}
        found: dict[tuple, pd.DataFrame] = {}
        for e, model, format in itertools.product(chosen, there if _ALL in self.compare else named, FORMATS):
            other = replace(e, model=model, format=format)
            folder = answer_folder(other, self.results_dir)
            if (model, format) in own or other.place in found or not any(folder.path.glob("*.parquet")):
                continue
            if model not in named and folder.missing(other.sessions):
                continue
            settings = folder.settings()
            # Only what runs on this machine's engine has a dtype: controls and services sample by themselves.
            if settings.get("dtype") and settings.get("sampler") != SAMPLER:
                raise ValuestabError(
                    f"The results in {folder.path} are of version {settings.get('sampler', 1)} of the sampler, which "
                    f"is {SAMPLER} now: run that model anew in another results_dir, or leave it out of compare."
                )
            found[other.place] = load(other, self.results_dir)
        lacking = set(named) - {place[1] for place in found}
        if lacking and found:
            raise ValuestabError(
                f"{', '.join(sorted(lacking))} was not asked what is compared here: run it with the same profile "
                "first, or leave it out of compare."
            )
        return list(found.values())

    def _about(self, name: str, populations: set[str] | None) -> dict[str, str]:
        """Sample size, wording and provenance of an experiment's figures, in words."""
        sizes = dict.fromkeys(
            f"{population_label(e.population)}: {_sizes(e)}"
            for e in self.of(name)
            if populations is None or e.population in populations
        )
        tested = {e.model for e in self.of(name)} - set(EVERY_CONTROL)
        models = [
            f"{name} ({r.settings['model_source']}, revision {r.settings['model_revision']}"
            f"{', ' * bool(r.settings['dtype'])}{r.settings['dtype']})"
            for name, r in self._respondents.items()
            if name in tested
        ]
        return {
            "sample": "; ".join(sizes),
            "wording": "; ".join(dict.fromkeys(e.questionnaire.label for e in self.of(name))),
            "models": "; ".join(models),
            "package_version": __version__,
            "git_commit": git_commit(),
            "date": datetime.date.today().isoformat(),
        }


def plan_study(
    profile: str = "quick", model: str | None = None, changes: dict | None = None, paper: str = FIRST
) -> Study:
    """Lay out a study of a paper's experiments; nothing is computed.

    ``model`` is a name in data/models.yaml, a folder or a hub id (the profile's own by default); for ``changes`` see
    `Changes`. ValuestabError for anything unknown or impossible, and for a change that concerns nothing that is run.
    """
    run = run_name(profile, model, changes)
    settings, change = load_profile(profile), as_changes(changes)
    entries = chosen_entries(settings, change, check_known("paper", paper, PAPERS))
    planned = [(e, entry) for entry in entries for e in lay_out(settings, entry, change)]
    chosen = model or settings.model
    left_out: dict[str, None] = {}
    if chosen.startswith(API) and any(entry.dtype for _, entry in planned):
        left_out[f"{chosen} is as its service runs it: the profile's 4-bit and 8-bit variants are left out."] = None
        planned = [(e, entry) for e, entry in planned if not entry.dtype]

    directory = (change.results_dir or ROOT / "results").expanduser()
    dtypes = dict.fromkeys(entry.dtype or change.dtype for _, entry in planned)
    tested = {dtype: _load(chosen, dtype) for dtype in dtypes}
    for respondent in tested.values():
        respondent.keep_journal(directory)
    experiments: dict[tuple, Experiment] = {}
    respondents: dict[str, Respondent] = {}

    def add(experiment: Experiment, respondent: Respondent, format: str) -> None:
        experiment = replace(experiment, model=respondent.name, format=format)
        before = experiments.get(experiment.place)
        # "own" may be the format that another entry names: the larger of the two is run.
        if before is None or len(experiment.sessions) > len(before.sessions):
            experiments[experiment.place] = experiment
        respondents[respondent.name] = respondent

    for experiment, entry in planned:
        respondent = tested[entry.dtype or change.dtype]
        for name in change.formats or [entry.format]:
            format = respondent.format if name == "own" else name
            unfit = _why_not_in(format, respondent)
            if unfit and (change.formats or name == "own"):
                raise ValuestabError(unfit)
            why_not = cannot_ask(experiment, respondent) or unfit
            if why_not:
                left_out[why_not] = None
            else:
                add(experiment, respondent, format)
    of_talks, of_runs = _controls(change, [e for e, _ in planned])
    for experiment, _ in planned:
        for control in settings.controls if change.controls is None else change.controls:
            respondent = (of_runs if experiment.population in CONDITIONS else of_talks)[control]
            add(experiment, respondent, respondent.format)
    if not experiments:
        raise ValuestabError(f"Nothing is left to be measured: {' '.join(left_out)}")
    in_order = sorted(experiments.values(), key=lambda e: EXPERIMENTS.index(e.name))
    return Study(run, tuple(in_order), directory, respondents, change.compare or (), tuple(left_out), paper)


def _why_not_in(format: str, respondent: Respondent) -> str | None:
    """Why the respondent cannot be asked in a format; None if it can."""
    template = respondent.template
    possible = [f for f in respondent.formats if f == "base" or template]
    if template and not template.accepts_system:
        possible = [f for f in possible if f != "tuned_sys"]
    if format in possible:
        return None
    return (
        f"{respondent.name} cannot be asked in the format {format!r}, by its chat template or the lack of one: take "
        f"formats={possible}."
    )


def _controls(changes: Changes, planned: Sequence[Experiment]) -> tuple[dict[str, Respondent], dict[str, Respondent]]:
    """Controls as one asks for them: in experiments with conversations, and of runs.

    Runs have a control that knows value prompts and has a circle of values to be found.
    """
    asked = questionnaire_of(QUESTIONNAIRE, Entry(population=NO_PERSONA), changes)
    known = {q.name: q for q in (asked, *(load_questionnaire(task) for task in _TASKS))}
    known = {e.questionnaire.name: e.questionnaire for e in planned if e.population not in CONDITIONS} | known
    synthetic = controls.SyntheticRespondent(list(known.values()))
    of_talks = {r.name: r for r in (controls.RandomRespondent(), synthetic)}
    asked_of_runs = {e.questionnaire.name: e.questionnaire for e in planned if e.population in CONDITIONS}
    if not asked_of_runs:
        return of_talks, {}
    filled = load_questionnaire(QUESTIONNAIRE, changes.wording)
    circumplex = controls.CircumplexRespondent({filled.name: filled, **asked_of_runs}.values())
    return of_talks, of_talks | {synthetic.name: circumplex}


def _sizes(experiment: Experiment) -> str:
    e = experiment
    if e.population in CONDITIONS:
        sizes = {"run": len(e.personas) * len(e.seeds)}
    else:
        who = "permutation" if e.population == NO_PERSONA else "persona"
        sizes = {who: len(e.personas), "topic": len(e.topics), "seed": len(e.seeds), "message": e.n_messages}
    return ", ".join(f"{n} {what}{'s' * (n != 1)}" for what, n in sizes.items())


def _load(model: str, dtype: str) -> Respondent:
    if not model.startswith(API):
        return _load_once(model, dtype)
    if dtype != "auto":
        raise ValuestabError(f"{model} is as its service runs it: leave dtype={dtype!r} out.")
    return ApiRespondent(model_card(model))  # one for each study, since it keeps the study's journal


# A notebook that plans twice loads its model, and its variants, once.
_load_once = functools.lru_cache(maxsize=3)(load_model)


def _together(frames: Iterable[pd.DataFrame]) -> pd.DataFrame:
    frames = list(frames)
    return pd.concat([frame for frame in frames if not frame.empty] or frames[:1], ignore_index=True)
