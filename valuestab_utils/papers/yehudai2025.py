"""Tables of notebook 07: how like people a model with value prompts is, beside what the paper prints."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import pandas as pd

from valuestab_utils import metrics
from valuestab_utils.errors import ValuestabError
from valuestab_utils.metrics import RunScores, Similarity
from valuestab_utils.papers.sentences import joined, number
from valuestab_utils.papers.tables import EXPERIMENT, beside_printed, is_control, map_points, rows_of, table_of, tidy
from valuestab_utils.prompts import VALUES, Questionnaire, load_questionnaire
from valuestab_utils.study import FILLED_AT

PRIMING = {  # conditions by the paper's names
    "value_prompts": "Priming only",
    "value_prompts_filled": "Priming & test",
    "filled_questionnaire": "Test only",
}
TEMPERATURE = 0.7  # that of paper 002: the number is missing from the text of paper 004 at hand
POLITICS = "Conservative politics"
_CHARITY = ("Charity-game", "Charity-choice")  # one game, its decision told in two ways: one column in the paper
_QUESTIONNAIRE = "PVQ-40"
_MAP_SAMPLES = 10_000
_NAMES = [*EXPERIMENT, "weighting"]
_RUN = ["model", "format", "persona", "topic", "seed"]  # in whichever condition
_COUNTS = ("n_iterations", "n_samples", "n_undefined", "n_left_out")
_FOUND = ("mean", "sd", "low", "high", "t", "p_value", *_COUNTS, "reason")


@dataclass(frozen=True, eq=False)
class Prompted:
    """What the runs with value prompts answered, ready to be put together to populations.

    values : of the PVQ-40
    behaviours : one an instrument
    temperature : at which answers are drawn, 0.7, or 0 (the answers themselves) if a model tells no probabilities
    weights : of the value prompts in each simulated population (weight is NaN, with a reason, where there is no such
        population; clipped is a negative similarity that counts as none)
    shares_label : where the shares of dominant values come from
    shown : values as they stand in the questionnaires that runs of models which tell probabilities filled in
    """

    values: RunScores
    behaviours: tuple[RunScores, ...]
    temperature: float
    weights: pd.DataFrame
    shares_label: str
    shown: RunScores


def prompted(answers: pd.DataFrame, questionnaires: Mapping[str, Questionnaire]) -> Prompted:
    """Put the answers of the experiment prompting together; no runs at all if there are none."""
    by_instrument = dict(tuple(answers.groupby("instrument", sort=False)))
    if by_instrument and _QUESTIONNAIRE not in by_instrument:
        raise ValuestabError(
            "Without the PVQ-40 there are no values to go with behaviour: ask it too in the experiment prompting, "
            "condition value_prompts."
        )
    behaviours, temperature = _runs(by_instrument, questionnaires)
    values = behaviours.pop(_QUESTIONNAIRE, None) or _no_runs()
    shares, label = metrics.dominant_value_shares()
    weights = _weights(values, shares, temperature).assign(shares=label)
    shown = _filled_in(by_instrument[_QUESTIONNAIRE], values.instrument) if by_instrument else values
    return Prompted(values, tuple(behaviours.values()), temperature, weights, label, shown)


def _runs(
    by_instrument: Mapping[str, pd.DataFrame], questionnaires: Mapping[str, Questionnaire]
) -> tuple[dict[str, RunScores], float]:
    """Runs of each instrument, and the temperature to draw at: 0, the answers, if some letters are untold."""
    told = all(metrics.tells_probabilities(rows, questionnaires[name]) for name, rows in by_instrument.items())
    runs = {
        name: metrics.run_scores(rows if told else metrics.without_probabilities(rows), questionnaires[name])
        for name, rows in by_instrument.items()
    }
    return runs, TEMPERATURE if told else 0.0


def _no_runs() -> RunScores:
    questionnaire = load_questionnaire(_QUESTIONNAIRE)
    runs = pd.DataFrame(columns=[*_RUN, "population", "group", "administration"])
    return RunScores(runs, questionnaire, np.empty((0, len(questionnaire.items))), None)


def _filled_in(answers: pd.DataFrame, questionnaire: Questionnaire) -> RunScores:
    """What the runs of models that tell probabilities filled in, whatever models stand beside them."""
    of_models = answers.groupby(["model", "format"], sort=False)
    tell = [of_one for _, of_one in of_models if metrics.tells_probabilities(of_one, questionnaire)]
    if not tell:
        return _no_runs()
    runs = metrics.run_scores(pd.concat(tell, ignore_index=True), questionnaire)
    return RunScores(runs.runs, questionnaire, runs.answers(FILLED_AT), None, "letters", FILLED_AT)


@tidy(*_NAMES, "group", "weight", "clipped", "reason")
def _weights(values: RunScores, shares: Mapping[str, float], temperature: float) -> Iterator[dict]:
    human = metrics.human_10().correlations
    for names, runs in values.experiments():
        for weighting in metrics.WEIGHTINGS:
            similarities: dict[str, float] = {}
            try:
                if weighting == "Model-Specific":
                    similarities = metrics.prompt_similarities(runs, human, temperature)
                weights, reason = metrics.population_weights(weighting, shares, similarities), ""
            except ValuestabError as error:
                weights, reason, similarities = pd.Series(np.nan, index=list(metrics.GROUPS)), str(error), {}
            negative = [value for value, similarity in similarities.items() if similarity < 0]
            about = dict(zip(_NAMES, (*names, weighting), strict=True)) | {"reason": reason}
            for group, weight in weights.items():
                yield about | {"group": group, "weight": weight, "clipped": group in negative}


def _populations(weights: pd.DataFrame, names: Sequence[str]) -> Iterator[tuple[dict, pd.Series, str]]:
    """Each population of an experiment: its names, the weights by group, and why there are none."""
    for weighting, rows in rows_of(weights, **dict(zip(EXPERIMENT, names))).groupby("weighting", sort=False):
        about = dict(zip(_NAMES, (*names, weighting), strict=True))
        yield about, rows.set_index("group")["weight"], rows["reason"].iloc[0]


def _undefined(reason: str) -> dict:
    return dict.fromkeys(_COUNTS, 0) | {"reason": reason}


def _fields(found: Similarity) -> dict:
    return asdict(found) | {"n_iterations": found.n_resamples}


def values_similarity(study: Prompted) -> pd.DataFrame:
    """Table 1, long: similarity of each population's value structure to people's and the theory's, and as printed.

    0 to 1 (the paper prints them times 100); for the columns see `metrics.populations.Similarity`. ``row`` is the
    population. The paper's human matrix is not the one at hand: its rows have the reference "human, the paper's".
    Populations informed by people rest on ``shares``.
    """
    rows, references = [], metrics.references_10()
    for names, runs in study.values.experiments():
        for about, weights, reason in _populations(study.weights, names):
            found = [_undefined(reason)] * len(references)
            if not reason:
                drawn = metrics.bootstrap_values_similarities(runs, weights, references, study.temperature)
                found = [_fields(similarity) for similarity in drawn]
            for reference, fields in zip(references, found, strict=True):
                rows.append(about | {"reference": reference.kind, "reference_label": reference.label} | fields)
    own = table_of(rows, [*_NAMES, "reference", "reference_label", *_FOUND]).assign(shares=study.shares_label)
    printed = rows_of(_printed(), measure="values")
    printed = printed.assign(reference="human, the paper's", reference_label="human: the paper's")
    return _with_rows(own, printed, "weighting")


@tidy(
    *("panel", "value", "acronym", "higher_order", "x", "y", "reference_x", "reference_y", "disparity", "low", "high"),
    *("reference", "model"),
)
def population_maps(study: Prompted, model: str) -> Iterator[pd.DataFrame]:
    """Points of figures 5a and 9: a model's map of the ten values in each population, over the human one (derived).

    A panel a population, and a format if there are several; x, y and disparity are NaN where a value does not vary or
    there is no such population.
    """
    reference = metrics.human_10()
    coordinates = reference.coordinates
    target = metrics.align(coordinates, coordinates).reference
    own = rows_of(study.weights, model=model)
    several = own["format"].nunique() > 1
    for (format, weighting), rows in own.groupby(["format", "weighting"], sort=False):
        points, disparity = _map(_of_model(study.values, model, format), rows, coordinates, study.temperature)
        panel = f"{weighting} ({format})" if several else weighting
        yield map_points(VALUES, points, target).assign(
            panel=panel, disparity=disparity, reference=reference.kind, model=model
        )


def _map(runs: RunScores, weights: pd.DataFrame, coordinates: np.ndarray, temperature: float) -> tuple:
    """Points of a population's map laid over a reference, and their disparity."""
    by_group = weights.set_index("group")["weight"]
    if by_group.notna().all():
        complete = runs.take(metrics.complete_runs(runs.codes))  # as behind the similarities
        try:
            drawn = metrics.population_map(np.random.default_rng(0), complete, by_group, _MAP_SAMPLES, temperature)
            found = metrics.align(coordinates, drawn)
            return found.aligned, found.disparity
        except ValuestabError:
            pass  # a value that does not vary, or a group without runs: the similarities' table has the reason
    return np.full_like(coordinates, np.nan), float("nan")


def behaviour_similarities(study: Prompted, weighting: str) -> pd.DataFrame:
    """Table 2 (H-NP) or 4 (Uniform), long: how like people's values and behaviours go together, and as printed.

    -1 to 1; ``row`` is the instrument, n_cells the correlations known of humans. Where there are none, ``mean`` is NaN
    and ``reason`` says which file would bring them.
    """
    own = _behaviour_similarities(study.values, study.behaviours, study.weights, weighting, study.temperature)
    printed = rows_of(_printed(), table={"H-NP": 2, "Uniform": 4}[weighting])
    return _with_rows(own.assign(shares=study.shares_label), printed, "instrument")


@tidy(*_NAMES, "instrument", "human_label", "n_cells", *_FOUND)
def _behaviour_similarities(
    values: RunScores, behaviours: Sequence[RunScores], weights: pd.DataFrame, weighting: str, temperature: float
) -> Iterator[dict]:
    chosen = rows_of(weights, weighting=weighting)
    for behaviour in behaviours:
        name, human = behaviour.instrument.name, metrics.human_value_behaviour(behaviour.instrument)
        known = {"human_label": human.label, "n_cells": human.n_cells} if human else {"human_label": "", "n_cells": 0}
        asked = dict(behaviour.experiments())
        for names, runs in values.experiments():
            for about, of_groups, reason in _populations(chosen, names) if names in asked else ():
                reason = reason or ("" if human else metrics.no_human_data(name))
                found = _undefined(reason)
                if not reason:
                    try:
                        both = runs, asked[names]
                        found = _fields(metrics.bootstrap_behaviour_similarity(*both, of_groups, human, temperature))
                    except ValuestabError as error:
                        found = _undefined(str(error))
                yield about | known | {"instrument": name} | found


def primed_similarities(
    study: Prompted, primed: pd.DataFrame, questionnaires: Mapping[str, Questionnaire], weighting: str
) -> pd.DataFrame:
    """Table 3 (H-NP) or 5 (Uniform), long: with value prompts, with a filled questionnaire, and with both.

    A run that was shown a filled questionnaire has the values that stand in it. All are of the same runs: those of a
    model that are there in each of its conditions; `study` is cut to what was asked after filled questionnaires too.
    ``mean`` is over instruments and has no interval (low and high are NaN). No rows if nothing was primed.
    """
    common = _common_runs(primed)
    values, shown = (runs.take(_are_among(runs.runs, common)) for runs in (study.values, study.shown))
    behaviours = [runs for runs in study.behaviours if runs.instrument.name in set(primed["instrument"])]
    behaviours = [runs.take(_are_among(runs.runs, common)) for runs in behaviours]
    tables = [_behaviour_similarities(values, behaviours, study.weights, weighting, study.temperature)]
    for condition, rows in primed[_are_among(primed, common)].groupby("population", sort=False):
        behaviours, temperature = _runs(dict(tuple(rows.groupby("instrument", sort=False))), questionnaires)
        temperature = min(temperature, study.temperature)
        # As they were shown, under the condition's name: the same at any temperature of the behaviour.
        own = replace(shown, runs=shown.runs.assign(population=condition), temperature=temperature)
        weights = study.weights.assign(population=condition)
        tables.append(_behaviour_similarities(own, behaviours.values(), weights, weighting, temperature))
    own = average_behaviour(table_of([table for table in tables if len(table)], tables[0].columns))
    printed = rows_of(_printed(), table={"H-NP": 3, "Uniform": 5}[weighting])
    printed = printed.assign(priming=printed["population"].map(PRIMING))
    return _with_rows(own.assign(shares=study.shares_label), printed, "priming")


@tidy(*_NAMES, "mean", "n_instruments", "instruments", "priming", "low", "high")
def average_behaviour(table: pd.DataFrame) -> Iterator[dict]:
    """Mean behaviour similarity over the paper's columns (Tables 3 and 5, long).

    Of the instruments that have one (`n_instruments`; NaN if none has), the two ways of the charity game being one.
    priming is the paper's name of the condition, "" for others.
    """
    for names, of_one in table.groupby(_NAMES, sort=False):
        defined = of_one.dropna(subset="mean")
        columns = defined.groupby(defined["instrument"].replace(_CHARITY, "Charity"), sort=False)
        yield dict(zip(_NAMES, names, strict=True)) | {
            "mean": columns["mean"].mean().mean(),
            "n_instruments": columns.ngroups,
            "instruments": ", ".join(columns["instrument"].agg(" and ".join)),
            "priming": PRIMING.get(names[2], ""),
        }


def _common_runs(primed: pd.DataFrame) -> pd.MultiIndex:
    """The runs that are there in every condition that their model was asked in."""
    asked = primed[[*_RUN, "population"]].drop_duplicates()
    of_model = asked.groupby(_RUN[:2])["population"].transform("nunique")
    of_run = asked.groupby(_RUN)["population"].transform("count")
    return pd.MultiIndex.from_frame(asked.loc[of_model == of_run, _RUN].drop_duplicates())


def _are_among(table: pd.DataFrame, runs: pd.MultiIndex) -> np.ndarray:
    return pd.MultiIndex.from_frame(table[_RUN]).isin(runs)


@tidy("model", "format", "instrument", "behaviour", "value", "r", "n_samples", "reason")
def correlations_with(study: Prompted, instrument: str, model: str) -> Iterator[pd.DataFrame]:
    """Correlation of each value with each scale of a behaviour instrument in one large population, H-NP (figure 5b).

    Of a model that was asked in several formats, in the first of them. No rows if the instrument was not asked; where
    the population cannot be put together, r is NaN, n_samples 0, and reason says why ("" elsewhere).
    """
    for behaviour in study.behaviours:
        if behaviour.instrument.name != instrument:
            continue
        rows = rows_of(study.weights, model=model, weighting="H-NP")
        format = rows["format"].iloc[0]
        weights = rows_of(rows, format=format).set_index("group")["weight"]
        of_both = [_of_model(runs, model, format) for runs in (study.values, behaviour)]
        try:
            table = metrics.population_correlations(*of_both, weights, study.temperature).assign(reason="")
        except ValuestabError as error:
            table = pd.MultiIndex.from_product([behaviour.scales, VALUES], names=["behaviour", "value"]).to_frame()
            table = table.assign(instrument=instrument, n_samples=0, reason=str(error))
        yield table.assign(model=model, format=format)


@tidy("instrument", "behaviour", "value", "sign", "n", "source", "r", "reproduced")
def signs(study: Prompted, model: str) -> Iterator[pd.DataFrame]:
    """Signs of value-behaviour correlations that abstracts of human studies state, and whether a model has them."""
    for runs in study.behaviours:
        stated = metrics.human_signs(runs.instrument)
        if len(stated):
            yield metrics.sign_agreement(correlations_with(study, runs.instrument.name, model), stated)


def left_out(study: Prompted) -> list[str]:
    """Sentences on comparisons with people that cannot be made, and what would make them possible."""
    asked = [runs.instrument for runs in study.behaviours]
    lacking = [instrument.name for instrument in asked if metrics.human_value_behaviour(instrument) is None]
    return [metrics.no_human_data(name) for name in lacking]


def agreement(answers: pd.DataFrame, questionnaires: Mapping[str, Questionnaire]) -> pd.DataFrame:
    """Agreement with behaviours by higher-order value, of all models and conditions (figures 3 and 6); n in answers."""
    found = []
    for name, rows in answers.groupby("instrument", sort=False):
        table = metrics.agreement_table(metrics.run_scores(rows, questionnaires[name]))
        n_items = {scale: len(items) for scale, items in questionnaires[name].key.items()}
        found.append(table.assign(n=table["n"] * table["behaviour"].map(n_items), se=table["standard_error"]))
    columns = [*EXPERIMENT, "behaviour", "area", "higher_order", "agreement", "se", "n"]
    return _with_rows(table_of(found, columns), None, "population")


def higher_order(table: pd.DataFrame) -> pd.DataFrame:
    """Correlations between the higher-order values' vectors of agreement (figures 4a, 7, 8)."""
    found = [metrics.higher_order_correlations(table)] if len(table) else []
    return _with_rows(table_of(found, [*EXPERIMENT, "value_a", "value_b", "r", "n_behaviours"]), None, "population")


def summary(values: pd.DataFrame, behaviours: pd.DataFrame, tested: str) -> list[str]:
    """What the run found of H-NP, in one sentence for the model ``tested`` and one for the controls.

    ``values`` are similarities with people's values, ``behaviours`` those with their behaviour.
    """
    own, sentences = rows_of(values, published=False), []
    known = rows_of(behaviours, published=False).dropna(subset="mean")
    for chosen in (rows_of(own, model=tested), own[is_control(own)]):
        parts = []
        for label, rows in chosen.groupby("label", sort=False):
            value = rows_of(rows, row="H-NP")["mean"].mean()
            found = ", ".join(f"{r['row']} {r['mean']:.2f}" for r in rows_of(known, label=label).to_dict("records"))
            parts.append(f"{label}: values similarity {number(value)}, behaviour similarity {found or 'undefined'}")
        sentences += [f"H-NP: {joined(parts)}"] if parts else []
    return sentences


def _printed() -> pd.DataFrame:
    """What the paper prints, without its averages over models."""
    table = metrics.published_similarities()
    return table[table["model"] != "average"]


def _with_rows(own: pd.DataFrame, printed: pd.DataFrame | None, row: str) -> pd.DataFrame:
    """Own rows and printed ones, with what is named at each row of a figure in the column row."""
    table = beside_printed(own, own[:0] if printed is None else printed)
    return table.assign(row=table[row])


def _of_model(runs: RunScores, model: str, format: str) -> RunScores:
    return runs.take(((runs.runs["model"] == model) & (runs.runs["format"] == format)).to_numpy())
