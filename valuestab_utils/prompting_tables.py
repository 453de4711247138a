"""Tables of paper 004: similarity to humans by model, simulated population, instrument and priming."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd

from valuestab_utils.dominant_values import GROUPS
from valuestab_utils.errors import ValuestabError
from valuestab_utils.human_value_behaviour import HumanBehaviour, no_human_data
from valuestab_utils.instruments import VALUES
from valuestab_utils.run_scores import RunScores
from valuestab_utils.similarity_bootstrap import (
    N_ITERATIONS,
    N_SAMPLES,
    bootstrap_behaviour_similarity,
    bootstrap_values_similarities,
)
from valuestab_utils.simulated_populations import WEIGHTINGS, clipped, population_weights, prompt_similarities
from valuestab_utils.value_references import Reference

PRIMING = {  # conditions by the paper's names
    "value_prompts": "Priming only", "value_prompts_filled": "Priming & test", "filled_questionnaire": "Test only",
}
_CHARITY = ("Charity-game", "Charity-choice")  # one game, its decision told in two ways: one column in the paper
_FOUND = [
    "mean", "sd", "low", "high", "t", "p_value", "n_iterations", "n_samples", "n_undefined", "n_left_out", "reason",
]
_NAMES = ["model", "format", "population", "weighting"]


def weights_table(
    value_runs: RunScores,
    shares: Mapping[str, float],
    human: Reference,
    temperature: float,
    weightings: Sequence[str] = WEIGHTINGS,
) -> pd.DataFrame:
    """Weights of the value prompts in each simulated population.

    Parameters
    ----------
    value_runs : RunScores
        Of the PVQ-40.
    shares : mapping
        See `valuestab_utils.dominant_values.dominant_value_shares`.
    human : Reference
        With correlations; Model-Specific weights come from them.
    temperature : float
    weightings : sequence of str

    Returns
    -------
    DataFrame
        model, format, population, weighting, group, weight (NaN where there is no such population), clipped (a
        negative similarity that counts as none), reason ("" or why there is no such population).
    """
    rows = []
    for names, runs in value_runs.experiments():
        for weighting in weightings:
            about = dict(zip(_NAMES, (*names, weighting), strict=True))
            try:
                found = _similarities(runs, human, temperature) if weighting == "Model-Specific" else None
                weights, reason = population_weights(weighting, shares, found), ""
            except ValuestabError as error:
                found, weights, reason = None, pd.Series(np.nan, index=list(GROUPS)), str(error)
            negative = clipped(found) if found else []
            rows += [
                about | {"group": group, "weight": weight, "clipped": group in negative, "reason": reason}
                for group, weight in weights.items()
            ]
    return pd.DataFrame(rows, columns=[*_NAMES, "group", "weight", "clipped", "reason"])


def values_similarity_table(
    value_runs: RunScores,
    weights: pd.DataFrame,
    references: Iterable[Reference],
    temperature: float,
    n_iterations: int = N_ITERATIONS,
    n_samples: int = N_SAMPLES,
) -> pd.DataFrame:
    """Values similarity of each simulated population (Table 1, long).

    Parameters
    ----------
    value_runs : RunScores
        Of the PVQ-40.
    weights : DataFrame
        As `weights_table` gives it.
    references : iterable of Reference
        Over the ten values.
    temperature : float
    n_iterations, n_samples : int

    Returns
    -------
    DataFrame
        model, format, population, weighting, reference, reference_label, and the fields of
        `valuestab_utils.similarity_bootstrap.Similarity` (similarities 0 to 1; the paper prints them times 100).
    """
    rows, references = [], list(references)
    for names, runs in value_runs.experiments():
        for weighting, of_groups, reason in _weightings(weights, names):
            found = [_nothing(reason)] * len(references)
            if not reason:
                similarities = bootstrap_values_similarities(
                    runs, of_groups, references, temperature, n_iterations, n_samples
                )
                found = [asdict(similarity) for similarity in similarities]
            for reference, fields in zip(references, found, strict=True):
                about = dict(zip(_NAMES, (*names, weighting), strict=True))
                rows.append(about | {"reference": reference.kind, "reference_label": reference.label} | fields)
    return pd.DataFrame(rows, columns=[*_NAMES, "reference", "reference_label", *_FOUND])


def behaviour_similarity_table(
    value_runs: RunScores,
    behaviour_runs: Iterable[RunScores],
    weights: pd.DataFrame,
    humans: Mapping[str, HumanBehaviour | None],
    temperature: float,
    n_iterations: int = N_ITERATIONS,
    n_samples: int = N_SAMPLES,
) -> pd.DataFrame:
    """Behaviour similarity of each simulated population on each instrument (Tables 2-5, long).

    Parameters
    ----------
    value_runs, weights, temperature, n_iterations, n_samples
        As in `values_similarity_table`.
    behaviour_runs : iterable of RunScores
        One an instrument.
    humans : mapping
        By instrument; None where there are no human data: then the similarity is NaN and reason says what would
        change that.

    Returns
    -------
    DataFrame
        model, format, population, weighting, instrument, human_label, n_cells (correlations known of humans), and the
        fields of `valuestab_utils.similarity_bootstrap.Similarity` (-1 to 1).
    """
    rows = []
    for behaviour in behaviour_runs:
        human = humans[behaviour.instrument.name]
        asked = dict(behaviour.experiments())
        for names, runs in value_runs.experiments():
            if names not in asked:
                continue
            for weighting, of_groups, reason in _weightings(weights, names):
                about = dict(zip(_NAMES, (*names, weighting), strict=True))
                about |= {
                    "instrument": behaviour.instrument.name, "human_label": human.label if human else "",
                    "n_cells": human.n_cells if human else 0,
                }
                if human is None or reason:
                    rows.append(about | _nothing(reason or no_human_data(behaviour.instrument.name)))
                    continue
                rows.append(about | _tried(
                    bootstrap_behaviour_similarity, runs, asked[names], of_groups, human, temperature,
                    n_iterations, n_samples,
                ))
    return pd.DataFrame(rows, columns=[*_NAMES, "instrument", "human_label", "n_cells", *_FOUND])


def average_behaviour(table: pd.DataFrame) -> pd.DataFrame:
    """Mean over the paper's columns of the behaviour similarity (Tables 3 and 5, long).

    Parameters
    ----------
    table : DataFrame
        As `behaviour_similarity_table` gives it.

    Returns
    -------
    DataFrame
        model, format, population, weighting, mean (over the instruments that have one, the two ways of the charity
        game's decision being one between them; NaN if none has), n_instruments (so counted), instruments (their
        names), priming (the paper's name of the condition, "" for others).
    """
    rows = []
    for names, of_one in table.groupby(_NAMES, sort=False):
        defined = of_one.dropna(subset="mean")
        columns = defined.groupby(defined["instrument"].replace(_CHARITY, "Charity"), sort=False)
        rows.append(dict(zip(_NAMES, names, strict=True)) | {
            "mean": columns["mean"].mean().mean(), "n_instruments": columns.ngroups,
            "instruments": ", ".join(columns["instrument"].agg(" and ".join)), "priming": PRIMING.get(names[2], ""),
        })
    return pd.DataFrame(rows, columns=[*_NAMES, "mean", "n_instruments", "instruments", "priming"])


def _similarities(runs: RunScores, human: Reference, temperature: float) -> dict[str, float]:
    order = [human.values.index(value) for value in VALUES]
    return prompt_similarities(runs, human.correlations[np.ix_(order, order)], temperature)


def _weightings(weights: pd.DataFrame, names: tuple[str, str, str]):
    """Each weighting of an experiment: its name, the weights by group, and why there are none."""
    own = weights[(weights[_NAMES[:3]] == list(names)).all(axis=1)]
    for weighting, rows in own.groupby("weighting", sort=False):
        yield weighting, rows.set_index("group")["weight"], rows["reason"].iloc[0]


def _tried(bootstrap, *arguments) -> dict:
    try:
        return asdict(bootstrap(*arguments))
    except ValuestabError as error:
        return _nothing(str(error))


def _nothing(reason: str) -> dict:
    numbers = dict.fromkeys(_FOUND[:6], float("nan")) | dict.fromkeys(_FOUND[6:10], 0)
    return numbers | {"reason": reason}
