"""Tables of notebook 07: how like people a model with value prompts is, beside what the paper prints."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from valuestab_utils.behaviour_agreement import agreement_table, higher_order_correlations, politics_table
from valuestab_utils.behaviour_statements import behaviour_areas
from valuestab_utils.dominant_values import dominant_value_shares
from valuestab_utils.errors import ValuestabError
from valuestab_utils.human_value_behaviour import human_signs, human_value_behaviour, no_human_data
from valuestab_utils.instruments import VALUES, Instrument
from valuestab_utils.labels import respondent_label
from valuestab_utils.population_similarity import population_correlations, sign_agreement, value_order
from valuestab_utils.prompting_tables import (
    PRIMING,
    average_behaviour,
    behaviour_similarity_table,
    values_similarity_table,
    weights_table,
)
from valuestab_utils.published_values import published_similarities
from valuestab_utils.run_answers import tells_probabilities, without_probabilities
from valuestab_utils.run_scores import RunScores, run_scores
from valuestab_utils.simulated_populations import sample_runs
from valuestab_utils.texts_before import FILLED_AT
from valuestab_utils.value_circle import ACRONYMS, higher_order_of
from valuestab_utils.value_references import Reference, human_10, references_10
from valuestab_utils.value_structure import align, complete_runs, value_correlations, value_map

TEMPERATURE = 0.7  # that of paper 002: the number is missing from the text of paper 004 at hand
_MAP_SAMPLES = 10_000
_QUESTIONNAIRE = "PVQ-40"
_RUN = ["model", "format", "persona", "topic", "seed"]  # in whichever condition


@dataclass(frozen=True, eq=False)
class Prompted:
    """What the runs with value prompts answered, ready to be put together to populations.

    Attributes
    ----------
    values : RunScores
        Of the PVQ-40.
    behaviours : tuple of RunScores
        One an instrument.
    temperature : float
        At which answers are drawn: 0.7, or 0 (the answers themselves) if a model tells no probabilities.
    weights : DataFrame
        Of the simulated populations (see `valuestab_utils.prompting_tables.weights_table`).
    shares_label : str
        Where the shares of dominant values come from.
    shown : RunScores or None
        The values as they stand in the questionnaires that the runs filled in (see `valuestab_utils.texts_before`), of
        the models that tell probabilities: only these fill in any. None if there is no such model.
    """

    values: RunScores
    behaviours: tuple[RunScores, ...]
    temperature: float
    weights: pd.DataFrame
    shares_label: str
    shown: RunScores | None


def prompted(answers: pd.DataFrame, instruments: Mapping[str, Instrument]) -> Prompted:
    """Put the answers of the part prompting together.

    Parameters
    ----------
    answers : DataFrame
        To the PVQ-40 and to behaviour instruments, of the condition value_prompts.
    instruments : mapping of str to Instrument
        By name (see `valuestab_utils.study.Study.instruments`).

    Raises
    ------
    ValuestabError
        If the PVQ-40 was not asked.
    """
    there = set(answers["instrument"]) if len(answers) else set()
    if _QUESTIONNAIRE not in there:
        raise ValuestabError(
            "Without the PVQ-40 there are no values to go with behaviour: run the part prompting, condition "
            "value_prompts, with it."
        )
    told = all(tells_probabilities(rows, instruments[name]) for name, rows in answers.groupby("instrument"))
    of = {name: run_scores(_readable(answers, told), own) for name, own in instruments.items() if name in there}
    shares, label = dominant_value_shares()
    temperature = TEMPERATURE if told else 0.0
    values = of.pop(_QUESTIONNAIRE)
    weights = weights_table(values, shares, human_10(), temperature)
    shown = _filled_in(answers, instruments[_QUESTIONNAIRE])
    return Prompted(values, tuple(of.values()), temperature, weights.assign(shares=label), label, shown)


def values_similarity(study: Prompted) -> pd.DataFrame:
    """Table 1, long: similarity of each population's value structure to people's and to the theory's, and as printed.

    Returns
    -------
    DataFrame
        As `valuestab_utils.prompting_tables.values_similarity_table`, with ``label``, ``row`` (the population) and
        ``published``. The paper's human matrix is not the one at hand: its rows have the reference "human, the
        paper's". Populations informed by people rest on ``shares``.
    """
    own = values_similarity_table(study.values, study.weights, references_10(), study.temperature)
    own = own.assign(shares=study.shares_label)
    printed = published_similarities().query("measure == 'values' and model != 'average'")
    printed = printed.assign(format="", reference="human, the paper's", reference_label="human: the paper's")
    return _labelled(pd.concat([own, printed], ignore_index=True), "weighting")


def population_maps(study: Prompted, model: str, reference: Reference | None = None) -> pd.DataFrame:
    """Points of figures 5a and 9: a model's map of the ten values in each population, over a reference.

    Parameters
    ----------
    study : Prompted
    model : str
    reference : Reference, optional
        By default, the human one (derived).

    Returns
    -------
    DataFrame
        What `valuestab_utils.plots.value_maps` draws, a panel a population, and a format if there are several; x, y and
        disparity are NaN where a value does not vary or there is no such population.
    """
    reference = human_10() if reference is None else reference
    order = [reference.values.index(value) for value in VALUES]
    own = study.weights[study.weights["model"] == model]
    tables = []
    for (format, weighting), rows in own.groupby(["format", "weighting"], sort=False):
        runs = _runs_of(study.values, model, format)
        points, target, disparity = _map(runs, rows, reference.coordinates[order], study.temperature)
        panel = weighting if own["format"].nunique() == 1 else f"{weighting} ({format})"
        tables.append(
            pd.DataFrame(
                {"panel": panel, "value": VALUES, "acronym": [ACRONYMS[value] for value in VALUES]}
                | {"higher_order": [higher_order_of(value) for value in VALUES]}
                | {"x": points[:, 0], "y": points[:, 1], "reference_x": target[:, 0], "reference_y": target[:, 1]}
                | {"disparity": disparity, "low": np.nan, "high": np.nan, "reference": reference.kind, "model": model}
            )
        )
    return pd.concat(tables, ignore_index=True)


def behaviour_similarities(study: Prompted, weighting: str) -> pd.DataFrame:
    """Table 2 (H-NP) or 4 (Uniform), long: how like people's values and behaviours go together, and as printed.

    Returns
    -------
    DataFrame
        As `valuestab_utils.prompting_tables.behaviour_similarity_table`, with ``label``, ``row`` (the instrument) and
        ``published``; where there are no human data, ``mean`` is NaN and ``reason`` says which file would bring them.
    """
    own = _similarities(study.values, study.behaviours, study.weights, weighting, study.temperature)
    own = own.assign(shares=study.shares_label)
    number = {"H-NP": 2, "Uniform": 4}[weighting]
    printed = _printed(number).assign(format="")
    return _labelled(pd.concat([own, printed], ignore_index=True), "instrument")


def primed_similarities(
    study: Prompted, primed: pd.DataFrame, instruments: Mapping[str, Instrument], weighting: str
) -> pd.DataFrame:
    """Table 3 (H-NP) or 5 (Uniform), long: with value prompts, with a filled questionnaire, and with both.

    A run that was shown a filled questionnaire has the values that stand in it. All are of the same runs: those of a
    model that are there in each of its conditions.

    Parameters
    ----------
    study : Prompted
        Cut to the runs and behaviour instruments that were asked after filled questionnaires too.
    primed : DataFrame
        Answers of the part priming.
    instruments : mapping of str to Instrument
    weighting : {"H-NP", "Uniform"}

    Returns
    -------
    DataFrame
        model, format, population, weighting, mean over instruments, low and high (NaN: a mean over instruments has no
        interval), n_instruments, instruments, priming, label, row and published; no rows if nothing was primed.
    """
    if primed.empty or study.shown is None:
        return pd.DataFrame()
    names, common = set(primed["instrument"]), _common_runs(primed)
    primed = primed[_are_among(primed, common)]
    own_values = study.values.take(_are_among(study.values.runs, common))
    shown = study.shown.take(_are_among(study.shown.runs, common))
    own = [b.take(_are_among(b.runs, common)) for b in study.behaviours if b.instrument.name in names]
    tables = [_similarities(own_values, own, study.weights, weighting, study.temperature)]
    for condition, rows in primed.groupby("population", sort=False):
        told = all(tells_probabilities(of, instruments[name]) for name, of in rows.groupby("instrument"))
        readable = _readable(rows, told)
        behaviours = [run_scores(readable, instruments[name]) for name in dict.fromkeys(rows["instrument"])]
        weights = study.weights.assign(population=condition)
        temperature = study.temperature if told else 0.0
        values = _as_shown(shown, str(condition), temperature)
        tables.append(_similarities(values, behaviours, weights, weighting, temperature))
    number = {"H-NP": 3, "Uniform": 5}[weighting]
    printed = _printed(number)
    printed = printed.assign(format="", priming=printed["population"].map(PRIMING))
    own = average_behaviour(pd.concat(tables, ignore_index=True)).assign(low=np.nan, high=np.nan)  # over instruments
    own = own.assign(shares=study.shares_label)
    return _labelled(pd.concat([own, printed], ignore_index=True), "priming")


def correlations_with(study: Prompted, instrument: str, model: str, weighting: str = "H-NP") -> pd.DataFrame:
    """Correlation of each value with each scale of a behaviour instrument in one large population (figure 5b).

    Of a model that was asked in several formats, in the first of them.

    Returns
    -------
    DataFrame
        model, format, instrument, behaviour, value, r, n_samples, reason; no rows if the instrument was not asked.
        Where the population cannot be put together, r is NaN, n_samples 0, and reason says why ("" elsewhere).
    """
    behaviour = next((runs for runs in study.behaviours if runs.instrument.name == instrument), None)
    if behaviour is None:
        return pd.DataFrame()
    rows = study.weights[(study.weights["model"] == model) & (study.weights["weighting"] == weighting)]
    format = rows["format"].iloc[0]
    weights = rows[rows["format"] == format].set_index("group")["weight"]
    of_both = [_runs_of(runs, model, format) for runs in (study.values, behaviour)]
    try:
        table = population_correlations(*of_both, weights, study.temperature).assign(reason="")
    except ValuestabError as error:
        cells = [(instrument, scale, value) for scale in behaviour.scales for value in VALUES]
        table = pd.DataFrame(cells, columns=["instrument", "behaviour", "value"])
        table = table.assign(r=np.nan, n_samples=0, reason=str(error))
    table.insert(0, "model", model)
    table.insert(1, "format", format)
    return table


def signs(study: Prompted, model: str, weighting: str = "H-NP") -> pd.DataFrame:
    """Signs of value-behaviour correlations that abstracts of human studies state, and whether a model has them."""
    tables = [
        sign_agreement(correlations_with(study, runs.instrument.name, model, weighting), human_signs(runs.instrument))
        for runs in study.behaviours
        if len(human_signs(runs.instrument))
    ]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def agreement(answers: pd.DataFrame, instrument: Instrument) -> pd.DataFrame:
    """Agreement with behaviours by higher-order value, of all models and conditions (figures 3 and 6).

    Returns
    -------
    DataFrame
        As `valuestab_utils.behaviour_agreement.agreement_table`, with ``label`` and ``se``, and n in answers.
    """
    if answers.empty:
        return pd.DataFrame()
    table = agreement_table(run_scores(answers, instrument), behaviour_areas())
    table["n"] *= table["behaviour"].map({name: len(items) for name, items in instrument.key.items()})
    return _labelled(table.rename(columns={"standard_error": "se"}), "population")


def higher_order(table: pd.DataFrame) -> pd.DataFrame:
    """Correlations between the higher-order values' vectors of agreement (figures 4a, 7, 8)."""
    if table.empty:
        return table
    return _labelled(higher_order_correlations(table), "population")


def politics(table: pd.DataFrame) -> pd.DataFrame:
    """Agreement with conservative politics by higher-order value (figure 4b)."""
    if table.empty:
        return table
    found = politics_table(table.rename(columns={"se": "standard_error"}))
    return _labelled(found.rename(columns={"standard_error": "se"}), "population")


def left_out(study: Prompted) -> list[str]:
    """Sentences on comparisons with people that cannot be made, and what would make them possible."""
    return [
        no_human_data(runs.instrument.name)
        for runs in study.behaviours
        if human_value_behaviour(runs.instrument) is None
    ]


def _printed(number: int) -> pd.DataFrame:
    """A table of the paper, without its averages over models."""
    table = published_similarities()
    return table[(table["table"] == number) & (table["model"] != "average")]


def _similarities(
    values: RunScores, behaviours: Sequence[RunScores], weights: pd.DataFrame, weighting: str, temperature: float
) -> pd.DataFrame:
    humans = {runs.instrument.name: human_value_behaviour(runs.instrument) for runs in behaviours}
    chosen = weights[weights["weighting"] == weighting]
    return behaviour_similarity_table(values, behaviours, chosen, humans, temperature)


def _filled_in(answers: pd.DataFrame, instrument: Instrument) -> RunScores | None:
    """What the runs of models that tell probabilities filled in, whatever models stand beside them."""
    rows = answers[answers["instrument"] == instrument.name]
    tell = [of for _, of in rows.groupby(["model", "format"], sort=False) if tells_probabilities(of, instrument)]
    if not tell:
        return None
    runs = run_scores(pd.concat(tell, ignore_index=True), instrument)
    return RunScores(runs.runs, instrument, runs.answers(FILLED_AT), None, "letters", FILLED_AT)


def _as_shown(shown: RunScores, condition: str, temperature: float) -> RunScores:
    """Values as they were shown, under another condition's name: the same at any temperature of the behaviour."""
    return RunScores(
        shown.runs.assign(population=condition), shown.instrument, shown.codes, None, "letters", temperature
    )


def _common_runs(primed: pd.DataFrame) -> pd.MultiIndex:
    """The runs that are there in every condition that their model was asked in."""
    asked = primed[[*_RUN, "population"]].drop_duplicates()
    of_model = asked.groupby(_RUN[:2])["population"].transform("nunique")
    of_run = asked.groupby(_RUN)["population"].transform("count")
    return pd.MultiIndex.from_frame(asked.loc[of_model == of_run, _RUN].drop_duplicates())


def _are_among(table: pd.DataFrame, runs: pd.MultiIndex) -> np.ndarray:
    return pd.MultiIndex.from_frame(table[_RUN]).isin(runs)


def _map(
    runs: RunScores, weights: pd.DataFrame, coordinates: np.ndarray, temperature: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """Points of a population's map, of the reference that it is laid over, and their disparity."""
    nowhere = np.full((len(VALUES), 2), np.nan)
    target = align(coordinates, coordinates).reference
    own = weights.set_index("group")["weight"]
    if own.isna().any():
        return nowhere, target, float("nan")
    rng = np.random.default_rng(0)
    complete = runs.take(complete_runs(runs.codes))  # as behind the similarities
    try:
        chosen = sample_runs(rng, complete.runs["group"].tolist(), own, _MAP_SAMPLES)
        scores = complete.sample_scores(rng, chosen, temperature)[:, value_order(complete)]
        found = align(coordinates, value_map(value_correlations(scores, VALUES)))
    except ValuestabError:
        return nowhere, target, float("nan")
    return found.aligned, found.reference, found.disparity


def _runs_of(runs: RunScores, model: str, format: str) -> RunScores:
    return runs.take(((runs.runs["model"] == model) & (runs.runs["format"] == format)).to_numpy())


def _readable(answers: pd.DataFrame, told: bool) -> pd.DataFrame:
    """Without probabilities where those of some letters are missing: then only the answers themselves count."""
    return answers if told else without_probabilities(answers)


def _labelled(table: pd.DataFrame, row: str) -> pd.DataFrame:
    published = table["published"].eq(True) if "published" in table else pd.Series(False, index=table.index)
    labels = [
        model if is_published else respondent_label(model, format)
        for model, format, is_published in zip(table["model"], table["format"], published, strict=True)
    ]
    return table.assign(label=labels, row=table[row], published=published)

