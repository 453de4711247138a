"""A study: the experiments of a profile, with what is changed on the command line or in a notebook."""

import datetime
import functools
import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from valuestab_utils import __version__, administration
from valuestab_utils.catalogue import stored_answers
from valuestab_utils.circumplex_control import CircumplexRespondent, load_circumplex
from valuestab_utils.controls import RandomRespondent, SyntheticRespondent
from valuestab_utils.conversations import load_conversations, simulate_together
from valuestab_utils.errors import ValuestabError, check_known, check_text
from valuestab_utils.figure_files import save_figure, skip_figure
from valuestab_utils.inductions import CONDITIONS, needs_questionnaire
from valuestab_utils.instruments import Instrument, load_pvq40
from valuestab_utils.labels import population_label
from valuestab_utils.loading import load_model
from valuestab_utils.measurements import (
    NO_PERSONA,
    Changes,
    Design,
    Measurement,
    designs,
    listed,
    population_name,
)
from valuestab_utils.model_cards import API, model_card
from valuestab_utils.papers import FIRST, PAPERS, summary_file
from valuestab_utils.paths import ROOT
from valuestab_utils.profiles import PARTS, PARTS_OF, load_profile
from valuestab_utils.prompts import FORMATS
from valuestab_utils.provenance import git_commit
from valuestab_utils.quantization import SUFFIXES
from valuestab_utils.respondents import Respondent
from valuestab_utils.sessions import Experiment
from valuestab_utils.tasks import TASKS, load_task
from valuestab_utils.topics import Topic

CONTROLS = (RandomRespondent.name, SyntheticRespondent.name)  # as one asks for them
EVERY_CONTROL = (*CONTROLS, CircumplexRespondent.name)  # which takes the synthetic one's place in papers 002 and 004
_LONGEST = 60  # characters of a run's name that say what is changed of its profile

__all__ = ["CONTROLS", "EVERY_CONTROL", "NO_PERSONA", "Study", "plan_study", "run_name"]


@dataclass(frozen=True)
class Study:
    """What is asked of whom, with the respondents and the place of the results.

    Attributes
    ----------
    run : str
        Names the run's figures and pages.
    measurements : tuple of Measurement
    results_dir : Path
    compare : tuple of str
        Models in ``results_dir`` that stand beside: their names, or "all".
    left_out : tuple of str
        Sentences on what the profile has and this model cannot do.
    paper : str
        Whose study it is: one of `valuestab_utils.papers.PAPERS`.
    """

    run: str
    measurements: tuple[Measurement, ...]
    results_dir: Path
    _respondents: dict[str, Respondent] = field(repr=False)
    compare: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    paper: str = FIRST

    @property
    def experiments(self) -> tuple[Experiment, ...]:
        """The experiments of the study's first part: those with the questionnaire, unless only others are run."""
        first = self.measurements[0].part
        return tuple(m.experiment for m in self.measurements if m.part == first)

    @property
    def instrument(self) -> Instrument:
        """The study's first instrument: the questionnaire, unless only tasks are run."""
        return self.measurements[0].instrument

    @property
    def instruments(self) -> dict[str, Instrument]:
        """All instruments of the study, by name."""
        return {m.instrument.name: m.instrument for m in self.measurements}

    @property
    def tested_model(self) -> str:
        """Name of the model that is studied: that of the first experiment."""
        return self.experiments[0].model

    @property
    def figures_dir(self) -> Path:
        """Where figures go: figures/<run>."""
        return ROOT / "figures" / self.run

    def respondent(self, experiment: Experiment) -> Respondent:
        """Who is tested in ``experiment``."""
        return self._respondents[experiment.model]

    def has(self, part: str) -> bool:
        """Whether anything of a part (one of `valuestab_utils.profiles.PARTS`) is measured in this study."""
        check_known("part", part, PARTS)
        return any(m.part == part for m in self.measurements)

    def conversations(self) -> pd.DataFrame:
        """Conversations of all experiments, one row a message; those that are missing are simulated."""
        self._simulate(self.measurements)
        experiments = dict.fromkeys(m.experiment for m in self.measurements)
        together = _together(load_conversations(experiment, self.results_dir) for experiment in experiments)
        return together.drop_duplicates(
            ["model", "format", "population", "persona", "topic", "seed", "message"], ignore_index=True
        )

    def answers(
        self, part: str | None = None, orders: str = "single", instrument: str | None = None
    ) -> pd.DataFrame:
        """Answers of the measurements of a part, one row an answer; what is missing is computed.

        Parameters
        ----------
        part : str, optional
            One of `valuestab_utils.profiles.PARTS`; by default the study's first.
        orders : str
            Of the options (see `valuestab_utils.questionnaire.ORDERS`).
        instrument : str, optional
            Answers to this instrument only.

        Returns
        -------
        DataFrame
            As `valuestab_utils.administration.ask` gives it, with a column ``asked_after``, the
            number of messages that the experiment asks after; the answers of models to compare with come last.
            Without rows, and with the names alone, if nothing of that part and those orders is in the study.
        """
        part = check_known("part", part or self.measurements[0].part, PARTS)
        chosen = [m for m in self.measurements if m.part == part and m.orders == orders]
        chosen = [m for m in chosen if instrument in (None, m.instrument.name)]
        self._simulate(chosen)
        frames = []
        for m in chosen:
            answered = administration.ask(m, self.respondent(m.experiment), self.results_dir)
            frames.append(answered.assign(asked_after=m.experiment.n_messages))
        frames += stored_answers(chosen, self.compare, self.results_dir)
        return _together(frames) if frames else pd.DataFrame(columns=["model", "format", "population", "instrument"])

    def retest_answers(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Answers of the sessions that are asked in second orders: in the single order, and in the second ones."""
        again = [m for m in self.measurements if m.orders == "second"]
        once = replace(self, measurements=tuple(replace(m, orders="single") for m in again))
        if not again:
            return pd.DataFrame(), pd.DataFrame()
        return once.answers("orders"), self.answers("orders", orders="second")

    def topics(self, part: str) -> tuple[Topic, ...]:
        """Topics of a part, in the order in which its experiments name them."""
        return tuple(dict.fromkeys(t for m in self._of(part) for t in m.experiment.topics))

    def personas(self) -> pd.DataFrame:
        """Who is simulated: population, persona, description and gender of each persona of all experiments."""
        rows = dict.fromkeys((m.experiment.population, p) for m in self.measurements for p in m.experiment.personas)
        return pd.DataFrame(
            {"population": population, "persona": p.persona, "description": p.description, "gender": p.gender}
            for population, p in rows
        )

    def keep(
        self,
        figure: Figure | None,
        table: pd.DataFrame,
        name: str,
        found: str,
        part: str | tuple[str, ...] | None = None,
        text: str | None = None,
    ) -> Figure | None:
        """Save a figure with the table behind it and what it shows, in `figures_dir`; gives the figure.

        Of several parts, all are needed, and sample and wording are the first one's; by default the study's first.
        Where the table is empty, the figure is kept as "not part of this run". See
        `valuestab_utils.figure_files.save_figure`.
        """
        parts = (part or self.measurements[0].part,) if not isinstance(part, tuple) else part
        if table.empty:
            skip_figure(name, self.figures_dir, self._nothing_of(parts))
            plt.close(figure)  # shown once, as the cell's result
            return figure
        about = self._about(parts[0], set(table["population"]) if "population" in table else None)
        return save_figure(figure, table, name, self.figures_dir, found, about, text)

    def conclude(self, lines: Sequence[str]) -> list[str]:
        """Keep sentences on what was found beside the figures, in the paper's file of summaries."""
        self.figures_dir.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"lines": list(lines)}, ensure_ascii=False)
        (self.figures_dir / summary_file(self.paper)).write_text(text, encoding="utf-8")
        return list(lines)

    def _simulate(self, measurements: Sequence[Measurement]) -> None:
        """Simulate the conversations that these need, those of one respondent together."""
        together: dict[tuple, list[Experiment]] = {}
        for e in dict.fromkeys(m.experiment for m in measurements):
            temperatures = frozenset(topic.temperature for topic in e.topics)
            together.setdefault((e.model, e.format == "base", temperatures), []).append(e)
        for experiments in together.values():
            simulate_together(experiments, self.respondent(experiments[0]), self.results_dir)

    def _of(self, part: str) -> list[Measurement]:
        return [m for m in self.measurements if m.part == check_known("part", part, PARTS)]

    def _nothing_of(self, parts: Sequence[str]) -> str:
        """Why there is nothing for a figure that needs all of these parts: for those that are not there, if any."""
        needed = " and ".join(map(repr, parts))
        lacking = [part for part in parts if not self.has(part)] or parts
        if len(lacking) > 1:
            return f"The parts {needed} have nothing for this figure in this run."
        which = f": it needs the parts {needed}" if len(parts) > 1 else ""
        return f"The part {lacking[0]!r} has nothing for this figure in this run{which}."

    def _about(self, part: str, populations: set[str] | None) -> dict[str, str]:
        """Sample size, wording and provenance of a part's figures, in words."""
        sizes = dict.fromkeys(
            f"{population_label(e.population)}: {', '.join(_counted(n, what) for n, what in _sizes(e))}"
            for e in (m.experiment for m in self._of(part))
            if populations is None or e.population in populations
        )
        tested = {m.experiment.model for m in self._of(part)} - set(EVERY_CONTROL)
        models = [
            f"{name} ({r.settings['model_source']}, revision {r.settings['model_revision']}"
            f"{', ' * bool(r.settings['dtype'])}{r.settings['dtype']})"
            for name, r in self._respondents.items()
            if name in tested
        ]
        return {
            "sample": "; ".join(sizes),
            "wording": "; ".join(dict.fromkeys(m.instrument.label for m in self._of(part))),
            "models": "; ".join(models),
            "package_version": __version__,
            "git_commit": git_commit(),
            "date": datetime.date.today().isoformat(),
        }

    def overview(self) -> pd.DataFrame:
        """One row a measurement: its names, how many personas, topics, seeds, sessions and answers it has."""
        return pd.DataFrame(
            {
                "part": m.part,
                "instrument": m.instrument.name,
                "model": m.experiment.model,
                "format": m.experiment.format,
                "population": m.experiment.population,
                "personas": len(m.experiment.personas),
                "topics": ", ".join(topic.topic for topic in m.experiment.topics),
                "seeds": len(m.experiment.seeds),
                "messages": m.experiment.n_messages,
                "orders": m.orders,
                "administration": m.administration,
                "temperature": m.temperature,
                "sessions": len(m.experiment.sessions),
                "answers": len(m.experiment.sessions)
                * len(m.instrument.items)
                * (len(m.instrument.options) if m.orders == "balanced" else 1),
            }
            for m in self.measurements
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
    parts: Sequence[str] | None = None,
    n_names: int | None = None,
    lengths: Sequence[int] | None = None,
    compare: Sequence[str] | None = None,
    paper: str = FIRST,
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
        Names in data/topics.csv, or "no_conversation". The parts contexts and neutral keep their own.
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
    dtype : {"auto", "float32", "float16", "bfloat16", "8bit", "4bit"}
        See `valuestab_utils.loading.load_model`. An experiment of the profile may have one of its own.
    results_dir : path
        Default: ``results`` in the checkout.
    parts : sequence of str
        Parts of the paper to run (see `valuestab_utils.profiles.PARTS_OF`); all of them by default.
    n_names : int
        Names of each race that the downstream tasks ask about.
    lengths : sequence of int
        Numbers of messages of the part lengths, odd.
    compare : sequence of str
        Other models in ``results_dir`` to stand beside this one, by their names there, or ["all"].
    paper : {"stability", "structure", "prompting"}
        Whose study: Kovač et al. 2024, Rozen et al. 2025, or Yehudai et al.

    Raises
    ------
    ValuestabError
        Anything unknown or impossible, before anything is computed.
    """
    changes = Changes(topics, seeds, n_personas, n_permutations, n_messages, n_names, lengths, wording)
    others = {"populations": populations, "formats": formats, "controls": controls, "parts": parts, "compare": compare}
    run = run_name(profile, model, dtype, **vars(changes), **others)
    settings = load_profile(profile)
    controls = settings["controls"] if controls is None else controls
    for control in listed("controls", controls, ["control-random"], may_be_empty=True):
        check_known("control", control, CONTROLS)
    for name in listed("formats", ["own"] if formats is None else formats, ["base"]):
        check_known("format", name, ["own", *FORMATS])
    for part in listed("parts", list(PARTS) if parts is None else parts, ["pvq"]):
        check_known("part", part, PARTS)
    of_paper = PARTS_OF[check_known("paper", paper, PAPERS)]
    parts = of_paper if parts is None else [part for part in parts if part in of_paper]
    compare = () if compare is None else tuple(listed("compare", compare, ["all"], may_be_empty=True))
    questionnaire = load_pvq40(wording)
    entries = _entries(settings["experiments"], populations, parts, paper)
    planned = [design for entry in entries for design in designs(settings, entry, changes, questionnaire)]

    chosen = model or settings["model"]
    measurements: dict[tuple, Measurement] = {}
    respondents: dict[str, Respondent] = {}
    left_out: dict[str, None] = {}
    tasks = [load_task(task) for task in TASKS]
    known = {c.name: c for c in (RandomRespondent(), SyntheticRespondent(questionnaire, tasks=tasks))}
    if paper != FIRST:  # whose controls know value prompts, and have a circle of values to be found
        instruments = {design.instrument.name: design.instrument for design in planned}
        known[SyntheticRespondent.name] = load_circumplex({questionnaire.name: questionnaire, **instruments}.values())

    def add(design: Design, respondent: Respondent, format: str) -> None:
        experiment = replace(design.experiment, model=respondent.name, format=format)
        how = (design.administration, design.temperature, design.filled)
        measurement = Measurement(design.part, experiment, design.instrument, design.orders, *how)
        before = measurements.get(measurement.place)
        # "own" may be the format that another entry names: the larger of the two is run.
        if before is None or len(experiment.sessions) > len(before.experiment.sessions):
            measurements[measurement.place] = measurement
        respondents[respondent.name] = respondent

    if chosen.startswith(API) and any(design.dtype for design in planned):
        left_out[f"{chosen} is as its service runs it: the profile's 4-bit and 8-bit variants are left out."] = None
        planned = [design for design in planned if not design.dtype]
    tested = {kind: _load(chosen, kind) for kind in dict.fromkeys(design.dtype or dtype for design in planned)}
    directory = ROOT / "results" if results_dir is None else Path(str(results_dir)).expanduser()
    for respondent in tested.values():
        respondent.keep_journal(directory)
    for design in planned:
        respondent = tested[design.dtype or dtype]
        for name in [design.format] if formats is None else formats:
            try:
                _check_orders(respondent, design.orders)
                _check_administration(respondent, design)
                add(design, respondent, _format(respondent, name))
            except ValuestabError as error:
                needs_all = design.orders == "balanced" or design.administration == "serial" or _shows_filled(design)
                if (formats is not None or name == "own") and not (needs_all and not respondent.all_letters):
                    raise
                left_out[str(error)] = None
    for design in planned:
        for control in controls:
            add(design, known[control], known[control].format)
    if not measurements:
        raise ValuestabError(f"Nothing is left to be measured: {' '.join(left_out)}")
    in_order = sorted(measurements.values(), key=lambda m: PARTS.index(m.part))
    return Study(run, tuple(in_order), directory, respondents, compare, tuple(left_out), paper)


def run_name(profile: str, model: str | None = None, dtype: str = "auto", **changes: object) -> str:
    """Name that a run's figures and pages go by: the profile, the model if it is not the profile's own, and changes.

    These are the parameters of `plan_study` that are not as the profile says, in alphabetical order, populations of
    one's own by the name that they have in results; eight digits of their hash stand for them if they are too long, or
    no file name. ``compare`` is one of them, since the figures show more models by it. ``results_dir`` is none:
    wherever answers are kept, they are the same ones, and the figures too.

    Raises
    ------
    ValuestabError
        Unknown profile or model.

    Examples
    --------
    >>> run_name("quick"), run_name("paper", "mistralai/Mistral-7B-v0.1", "4bit")
    ('quick', 'paper-mistralai--Mistral-7B-v0.1-4bit')
    >>> run_name("quick", seeds=[1, 2], n_personas=8), run_name("quick", topics=["no_conversation"] * 9)
    ('quick-n_personas=8-seeds=1,2', 'quick-02dae2ca')
    """
    check_text("model", model or "")
    check_text("dtype", dtype)
    own = model_card(load_profile(profile)["model"])
    chosen = model_card(model) if model else own
    name = Path(profile).stem + ("" if chosen.name == own.name else f"-{chosen.name}")
    if dtype in SUFFIXES:
        name += f"-{dtype}"
    else:
        changes["dtype"] = dtype
    changes.pop("results_dir", None)
    given = sorted((key, value) for key, value in changes.items() if value not in (None, "auto"))
    changed = "-".join(f"{key}={_shown(value)}" for key, value in given)
    if len(changed) > _LONGEST or not re.fullmatch(r"[\w.,=-]*", changed, re.ASCII):
        changed = hashlib.sha256(changed.encode()).hexdigest()[:8]
    return f"{name}-{changed}" if changed else name


def _shown(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return ",".join(map(_shown, value))
    return Path(str(value)).stem if str(value).endswith(".csv") else str(value)


def _entries(
    entries: list[dict], populations: Sequence[str] | None, parts: Sequence[str], paper: str
) -> list[dict]:
    """Entries of the profile's experiments with the populations and parts that are asked for."""
    entries = [e for e in entries if e.get("part", "pvq") in parts]
    if populations is not None and paper != FIRST:
        for given in listed("populations", populations, ["names"]):
            check_known("condition", given, {e["population"] for e in entries})
        entries = [e for e in entries if e["population"] in populations]
    elif populations is not None:
        chosen = []
        for given in listed("populations", populations, ["none"]):
            same_name = [other for other in populations if Path(other).stem == Path(given).stem]
            if len(same_name) > 1:
                raise ValuestabError(
                    f"The populations {' and '.join(same_name)} have one name, and results go by it: rename one."
                )
            population_name(given)
            chosen += [e for e in entries if e["population"] == given] or [{"population": given, "format": "own"}]
        entries = chosen
    if not entries:
        raise ValuestabError(
            f"The profile has no experiment of the paper {paper!r} with the parts that were asked for: take others of "
            f"{list(PARTS_OF[paper])}."
        )
    return entries


def _check_orders(respondent: Respondent, orders: str) -> None:
    if orders == "balanced" and not respondent.all_letters:
        raise ValuestabError(
            f"{respondent.name} does not give every letter a log-probability, which balanced orders average: they are "
            "left out."
        )


def _check_administration(respondent: Respondent, design: Design) -> None:
    if design.administration == "serial" and not respondent.all_letters:
        raise ValuestabError(
            f"{respondent.name} does not give every code a log-probability, from which serial answers are read: they "
            "are left out."
        )
    if _shows_filled(design) and not respondent.all_letters:
        raise ValuestabError(
            f"{respondent.name} does not give every letter a log-probability, from which filled questionnaires are "
            "drawn: they are left out."
        )


def _shows_filled(design: Design) -> bool:
    """Whether a questionnaire is shown filled in."""
    population = design.experiment.population
    return population in CONDITIONS and needs_questionnaire(population) is not None


def _format(respondent: Respondent, name: str) -> str:
    """The format of this name, if the respondent can be asked in it."""
    format = respondent.format if name == "own" else name
    if format not in respondent.formats:
        raise ValuestabError(
            f"{respondent.name} cannot be asked in the format {format!r}: take formats={list(respondent.formats)}."
        )
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


def _sizes(experiment: Experiment) -> list[tuple[int, str]]:
    if experiment.population in CONDITIONS:
        return [(len(experiment.personas) * len(experiment.seeds), "run")]
    who = "permutation" if experiment.population == NO_PERSONA else "persona"
    sizes = [(len(experiment.personas), who), (len(experiment.topics), "topic"), (len(experiment.seeds), "seed")]
    return [*sizes, (experiment.n_messages, "message")]


def _counted(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


def _load(model: str, dtype: str) -> Respondent:
    if not model.startswith(API):
        return _load_once(model, dtype, lazily=True)
    from valuestab_utils.api import ApiRespondent  # openai takes a second to import

    if dtype != "auto":
        raise ValuestabError(f"{model} is as its service runs it: leave dtype={dtype!r} out.")
    return ApiRespondent(model_card(model))  # one for each study, since it keeps the study's journal


# A notebook that plans twice loads its model, and its variants, once.
_load_once = functools.lru_cache(maxsize=3)(load_model)


def _together(frames: Iterable[pd.DataFrame]) -> pd.DataFrame:
    frames = list(frames)
    return pd.concat([frame for frame in frames if not frame.empty] or frames[:1], ignore_index=True)
