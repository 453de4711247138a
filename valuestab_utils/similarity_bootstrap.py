"""Similarity of simulated populations to humans, over populations drawn again and again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import ttest_1samp

from valuestab_utils.errors import ValuestabError
from valuestab_utils.human_value_behaviour import HumanBehaviour
from valuestab_utils.instruments import VALUES
from valuestab_utils.population_similarity import (
    behaviour_similarity,
    complete_pairs,
    map_similarity,
    value_behaviour_correlations,
    value_order,
)
from valuestab_utils.run_scores import RunScores
from valuestab_utils.simulated_populations import sample_runs
from valuestab_utils.value_references import Reference
from valuestab_utils.value_structure import complete_runs, value_correlations, value_map

N_ITERATIONS, N_SAMPLES = 100, 500  # Yehudai et al., appendix G
_FLAT = 1e-9  # a spread below this is rounding


@dataclass(frozen=True)
class Similarity:
    """A similarity over bootstrap iterations.

    Attributes
    ----------
    mean, sd : float
        Over the iterations in which it is defined; NaN if these are less than half.
    low, high : float
        Central 95% of them.
    t, p_value : float
        Of the one-sample t-test against 0, two-sided. Iterations are resamples of the same runs and no independent
        replications: p shrinks as their number grows, whatever the runs say. It is here because the paper reports it.
    n_iterations, n_samples : int
    n_undefined : int
        Iterations without the similarity.
    n_left_out : int
        Runs with missing answers, which are in no sample.
    reason : str
        Why the first undefined iteration is so; "" if none is.
    """

    mean: float
    sd: float
    low: float
    high: float
    t: float
    p_value: float
    n_iterations: int
    n_samples: int
    n_undefined: int
    n_left_out: int
    reason: str


def bootstrap_values_similarities(
    value_runs: RunScores,
    weights: pd.Series,
    references: Sequence[Reference],
    temperature: float,
    n_iterations: int = N_ITERATIONS,
    n_samples: int = N_SAMPLES,
    seed: int = 0,
) -> list[Similarity]:
    """`values_similarity` of simulated populations, drawn again and again; the same populations for each reference.

    Parameters
    ----------
    value_runs : RunScores
        Of the PVQ-40, of one model and condition; ``group`` is the prompted value or "none".
    weights : Series
        See `valuestab_utils.simulated_populations.population_weights`.
    references : sequence of Reference
        Over the ten values.
    temperature : float
        Each sampled run's answers are drawn anew; at 0 they are the likeliest.
    n_iterations, n_samples, seed : int

    Returns
    -------
    list of Similarity
        One a reference.

    References
    ----------
    Yehudai et al., section 6.1 and appendix G.
    """
    complete = complete_runs(value_runs.codes)
    runs = value_runs.take(complete)
    order = value_order(runs)

    def next_map(rng: np.random.Generator) -> np.ndarray | ValuestabError:
        try:
            sample = sample_runs(rng, runs.runs["group"], weights, n_samples)
            return value_map(value_correlations(runs.sample_scores(rng, sample, temperature)[:, order], VALUES))
        except ValuestabError as error:
            return error

    rng = np.random.default_rng(seed)
    maps = [next_map(rng) for _ in range(n_iterations)]  # what takes time
    return [_similarity_to(reference, maps, n_samples, int((~complete).sum())) for reference in references]


def _similarity_to(
    reference: Reference, maps: Sequence[np.ndarray | ValuestabError], n_samples: int, n_left_out: int
) -> Similarity:
    coordinates = reference.coordinates[[reference.values.index(value) for value in VALUES]]
    waiting = iter(maps)

    def one(_: np.random.Generator) -> float:
        found = next(waiting)
        if isinstance(found, ValuestabError):
            raise found
        return map_similarity(found, coordinates)

    return iterated(one, len(maps), n_samples, 0, n_left_out)


def bootstrap_behaviour_similarity(
    value_runs: RunScores,
    behaviour_runs: RunScores,
    weights: pd.Series,
    human: HumanBehaviour,
    temperature: float,
    n_iterations: int = N_ITERATIONS,
    n_samples: int = N_SAMPLES,
    seed: int = 0,
) -> Similarity:
    """`behaviour_similarity` of simulated populations, drawn again and again; parameters as above.

    A sampled run brings its values and its behaviour: the two instruments must have been asked of the same runs, and
    those with missing answers in one are left out.

    References
    ----------
    Yehudai et al., section 6.2 and appendix G.
    """
    of_values, of_behaviour, n_left_out = complete_pairs(value_runs, behaviour_runs)
    order = value_order(of_values)
    known = human.correlations.loc[list(VALUES), list(of_behaviour.scales)].to_numpy(dtype=float)

    def one(rng: np.random.Generator) -> float:
        sample = sample_runs(rng, of_values.runs["group"], weights, n_samples)
        values = of_values.sample_scores(rng, sample, temperature)[:, order]
        behaviour = of_behaviour.sample_scores(rng, sample, temperature)
        return behaviour_similarity(value_behaviour_correlations(values, behaviour), known)

    return iterated(one, n_iterations, n_samples, seed, n_left_out)


def iterated(
    statistic: Callable[[np.random.Generator], float], n_iterations: int, n_samples: int, seed: int, n_left_out: int
) -> Similarity:
    """A statistic of random populations over iterations; one that it refuses with `ValuestabError` is undefined."""
    if n_iterations < 2 or n_samples < 3:
        raise ValuestabError(f"Give two iterations or more, of three samples or more, not {n_iterations}, {n_samples}.")
    rng = np.random.default_rng(seed)
    found, reason = [], ""
    for _ in range(n_iterations):
        try:
            found.append(statistic(rng))
        except ValuestabError as error:
            reason = reason or str(error)
    n_undefined = n_iterations - len(found)
    counts = (n_iterations, n_samples, n_undefined, n_left_out, reason)
    if len(found) < max(2, n_iterations / 2):
        return Similarity(*[float("nan")] * 6, *counts)
    low, high = np.quantile(found, [0.025, 0.975])
    mean, sd = float(np.mean(found)), float(np.std(found, ddof=1))
    test = ttest_1samp(found, 0) if sd > _FLAT else None  # without any spread t is infinite
    t, p_value = (float(test.statistic), float(test.pvalue)) if test else (float("nan"), float("nan"))
    return Similarity(mean, sd, float(low), float(high), t, p_value, *counts)
