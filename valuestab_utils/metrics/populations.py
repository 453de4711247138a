"""Simulated populations: runs with value prompts put together as people are, and how like people they are."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product

import numpy as np
import pandas as pd
from scipy.stats import ttest_1samp

from valuestab_utils.errors import ValuestabError, check_known
from valuestab_utils.metrics.agreement import correlations, mean_and_standard_error
from valuestab_utils.metrics.inference import Interval, central, drawn_again
from valuestab_utils.metrics.references import GROUPS, HumanBehaviour, Reference
from valuestab_utils.metrics.scores import EXPERIMENT, RunScores, complete_in_both, complete_runs
from valuestab_utils.metrics.structure import align, value_correlations, value_map
from valuestab_utils.prompts import HIGHER_ORDER, HIGHER_ORDER_OF, NO_VALUE, VALUES

WEIGHTINGS = ("Uniform", "H-Norm", "H-Even", "H-NP", "Model-Specific")
N_ITERATIONS, N_SAMPLES = 100, 500  # Yehudai et al., appendix G
FEWEST_CELLS = 3
_FLAT = 1e-9  # a spread below this is rounding


@dataclass(frozen=True)
class Similarity(Interval):
    """A similarity over bootstrap iterations (n_resamples), its mean and sd over those in which it is defined.

    t, p_value : one-sample t-test against 0, two-sided, as the paper reports it. Iterations resample the same runs and
        are no independent replications: p shrinks as their number grows, whatever the runs say
    n_left_out : runs with missing answers, which are in no sample
    reason : why the first undefined iteration is so; "" if none is
    """

    sd: float
    t: float
    p_value: float
    n_samples: int
    n_left_out: int
    reason: str


def population_weights(
    weighting: str, shares: Mapping[str, float], similarities: Mapping[str, float] | None = None
) -> pd.Series:
    """Weight of each value prompt, and of no prompt, in a population; by `GROUPS`, none negative, summing to 1.

    With p(v) the share of people whose dominant value is v, p(none) that of those without, s(v) the similarity of the
    runs prompted with v to humans (Yehudai et al., section 5.2 and appendix E, eqs. 1-7)::

        Uniform         w(v) = 1/10
        H-Norm          w(v) = p(v) / sum of p(u) over the ten values
        H-Even          w(v) = p(v) + p(none) / 10
        H-NP            w(v) = p(v),  w(none) = p(none)
        Model-Specific  w(v) = max(s(v), 0) / sum of max(s(u), 0)

    The paper does not say what becomes of a negative similarity; here it counts as 0.
    """
    check_known("weighting", weighting, WEIGHTINGS)
    nobody, of_values = float(shares[NO_VALUE]), pd.Series({value: float(shares[value]) for value in VALUES})
    if weighting == "Uniform":
        of_values[:] = 1 / len(VALUES)
    elif weighting == "H-Norm":
        of_values = of_values / of_values.sum()
    elif weighting == "H-Even":
        of_values = of_values + nobody / len(VALUES)
    elif weighting == "Model-Specific":
        found = pd.Series({value: float((similarities or {}).get(value, np.nan)) for value in VALUES})
        undefined, positive = list(found.index[found.isna()]), found.clip(lower=0)
        if undefined or positive.sum() == 0:
            what = f"those of {', '.join(undefined)} are undefined" if undefined else "none is positive"
            raise ValuestabError(f"Model-Specific weights need similarities, but {what}: leave the weighting out.")
        of_values = positive / positive.sum()
    weights = pd.Series(0.0, index=list(GROUPS), name="weight")
    weights[list(VALUES)] = of_values
    weights[NO_VALUE] = nobody if weighting == "H-NP" else 0.0
    return weights


def prompt_similarities(value_runs: RunScores, human: np.ndarray, temperature: float) -> dict[str, float]:
    """How like that of humans the structure of values is among the runs of each value prompt; by value, -1 to 1.

    Pearson's r between the correlations of pairs of values in 500 runs (drawn with replacement, answers anew,
    from one model and condition, PVQ-40) and in humans (10, 10), in the order of `VALUES`. The diagonal, alike in all,
    is left out; Yehudai et al. (appendix E.2, eq. 6) do not say which elements they take, nor print their human matrix.
    """
    rng = np.random.default_rng(0)
    above = np.triu_indices(len(VALUES), 1)
    found = {}
    for value in VALUES:
        rows = np.flatnonzero(value_runs.runs["group"] == value)
        if not len(rows):
            raise ValuestabError(f"No run has the value prompt {value}: run it, or leave the weighting out.")
        scores = _ten_values(rng, value_runs, rng.choice(rows, N_SAMPLES), temperature)
        try:
            of_prompt = value_correlations(scores, VALUES)
        except ValuestabError as error:
            raise ValuestabError(f"Runs prompted with {value}: {error}") from error
        found[value] = _pearson(of_prompt[above], human[above])
    return found


def sample_runs(rng: np.random.Generator, groups: Sequence[str], weights: pd.Series, n_samples: int) -> np.ndarray:
    """Places of runs drawn with replacement: first the group of each by the weights, then any run of that group."""
    groups = np.asarray(groups, dtype=object)
    rows = {group: np.flatnonzero(groups == group) for group, weight in weights.items() if weight > 0}
    absent = [group for group, of_group in rows.items() if not len(of_group)]
    if absent:
        raise ValuestabError(
            f"The population needs runs of {', '.join(absent)}, but there are none (a run may have been left out for "
            "missing answers): run these, or leave the weighting out."
        )
    counts = rng.multinomial(n_samples, [weights[group] for group in rows])
    return np.concatenate([rng.choice(of_group, n) for of_group, n in zip(rows.values(), counts, strict=True)])


def _ten_values(rng: np.random.Generator, runs: RunScores, sample: np.ndarray, temperature: float) -> np.ndarray:
    """Scores (sample, 10) of sampled runs of the PVQ-40, in the order of `VALUES`."""
    return runs.sample_scores(rng, sample, temperature)[:, [runs.scales.index(value) for value in VALUES]]


def population_map(
    rng: np.random.Generator, value_runs: RunScores, weights: pd.Series, n_samples: int, temperature: float
) -> np.ndarray:
    """Map of the ten values (10, 2) in a population drawn from complete runs of the PVQ-40."""
    sample = sample_runs(rng, value_runs.runs["group"], weights, n_samples)
    return value_map(value_correlations(_ten_values(rng, value_runs, sample, temperature), VALUES))


def bootstrap_values_similarities(
    value_runs: RunScores,
    weights: pd.Series,
    references: Sequence[Reference],
    temperature: float,
    n_iterations: int = N_ITERATIONS,
    n_samples: int = N_SAMPLES,
) -> list[Similarity]:
    """Similarity of the map of values to each reference, in populations drawn again and again (Yehudai et al., 6.1).

    That is 1 less the Procrustes disparity: 0 to 1, and above 0 even for noise. The formula is missing from the text
    at hand, which says that it follows from the normalised disparity and is higher for more alike structures (section
    5.3). Of runs of the PVQ-40, one model and condition; each sampled run's answers are drawn anew at the
    temperature.
    """
    complete = complete_runs(value_runs.codes)
    runs, rng = value_runs.take(complete), np.random.default_rng(0)

    def similarities() -> list[float]:
        drawn = population_map(rng, runs, weights, n_samples, temperature)
        return [1 - align(reference.coordinates, drawn).disparity for reference in references]

    drawn, reason = drawn_again(similarities, n_iterations, len(references))
    return [_similarity(of_one, reason, n_samples, int((~complete).sum())) for of_one in drawn]


def bootstrap_behaviour_similarity(
    value_runs: RunScores,
    behaviour_runs: RunScores,
    weights: pd.Series,
    human: HumanBehaviour,
    temperature: float,
    n_iterations: int = N_ITERATIONS,
    n_samples: int = N_SAMPLES,
) -> Similarity:
    """`behaviour_similarity` of populations drawn again and again (Yehudai et al., 6.2, G).

    A sampled run brings its values and its behaviour; those with missing answers in one are left out.
    """
    of_values, of_behaviour, n_left_out = complete_in_both(value_runs, behaviour_runs)
    known = human.correlations.loc[list(VALUES), list(of_behaviour.scales)].to_numpy(dtype=float)
    rng = np.random.default_rng(0)

    def similarity() -> list[float]:
        found = _value_behaviour(rng, of_values, of_behaviour, weights, n_samples, temperature)
        return [behaviour_similarity(found, known)]

    (drawn,), reason = drawn_again(similarity, n_iterations)
    return _similarity(drawn, reason, n_samples, n_left_out)


def _similarity(drawn: np.ndarray, reason: str, n_samples: int, n_left_out: int) -> Similarity:
    interval, defined = central(drawn), drawn[~np.isnan(drawn)]
    sd = t = p_value = float("nan")
    if not np.isnan(interval.mean):
        sd = float(np.std(defined, ddof=1))
    if sd > _FLAT:  # without any spread t is infinite
        test = ttest_1samp(defined, 0)
        t, p_value = float(test.statistic), float(test.pvalue)
    return Similarity(**asdict(interval), sd=sd, t=t, p_value=p_value,
                      n_samples=n_samples, n_left_out=n_left_out, reason=reason)


def behaviour_similarity(found: np.ndarray, human: np.ndarray) -> float:
    """Pearson's r between two (values, behaviours) matrices, over the cells known (not NaN) of humans (section 5.3)."""
    known = ~np.isnan(human)
    ours, theirs = found[known], human[known]
    if len(theirs) < FEWEST_CELLS:
        raise ValuestabError(f"{len(theirs)} correlations are known of humans, but {FEWEST_CELLS} or more are needed.")
    undefined = int(np.isnan(ours).sum())
    if undefined:
        raise ValuestabError(
            f"{undefined} of {len(theirs)} value-behaviour correlations are undefined in the runs: a value or a "
            "behaviour is the same in all of them."
        )
    if min(np.ptp(ours), np.ptp(theirs)) < _FLAT:
        raise ValuestabError("All value-behaviour correlations are the same, so they go with no others.")
    return _pearson(ours, theirs)


def population_correlations(
    value_runs: RunScores,
    behaviour_runs: RunScores,
    weights: pd.Series,
    temperature: float,
    n_samples: int = 10_000,
) -> pd.DataFrame:
    """Value-behaviour correlations of one large sample of a population, tidy (Yehudai et al., Figure 5b)."""
    of_values, of_behaviour, _ = complete_in_both(value_runs, behaviour_runs)
    found = _value_behaviour(np.random.default_rng(0), of_values, of_behaviour, weights, n_samples, temperature)
    table = pd.DataFrame(product(of_behaviour.scales, VALUES), columns=["behaviour", "value"])
    table.insert(0, "instrument", of_behaviour.instrument.name)
    return table.assign(r=found.T.ravel(), n_samples=n_samples)


def _value_behaviour(
    rng: np.random.Generator,
    value_runs: RunScores,
    behaviour_runs: RunScores,
    weights: pd.Series,
    n_samples: int,
    temperature: float,
) -> np.ndarray:
    """Value-behaviour correlations (values, behaviours) in a population drawn from the same runs of both."""
    sample = sample_runs(rng, value_runs.runs["group"], weights, n_samples)
    values = _ten_values(rng, value_runs, sample, temperature)
    return value_behaviour_correlations(values, behaviour_runs.sample_scores(rng, sample, temperature))


def value_behaviour_correlations(value_scores: np.ndarray, behaviour_scores: np.ndarray) -> np.ndarray:
    """Pearson's r over runs of values with behaviours, (runs, values) and (runs, behaviours); Yehudai et al., 5.3."""
    return correlations(value_scores[:, :, None], behaviour_scores[:, None, :], axis=0, ranks=False).rho


def sign_agreement(correlations: pd.DataFrame, signs: pd.DataFrame) -> pd.DataFrame:
    """The signs, with r of `population_correlations` and whether it has them (reproduced; NA where r is undefined)."""
    table = signs.merge(
        correlations[["instrument", "behaviour", "value", "r"]], on=["instrument", "behaviour", "value"], how="left"
    )
    reproduced = (np.sign(table["r"]) == table["sign"]).astype("boolean")
    return table.assign(reproduced=reproduced.mask(table["r"].isna()))


def agreement_table(runs: RunScores) -> pd.DataFrame:
    """Share of a behaviour's statements answered as somebody with that behaviour would, by higher-order value.

    Runs are put together by the higher-order value of their prompt (`HIGHER_ORDER_OF`); hedonism, between two, counts
    for neither. agreement is 0 to 1, its standard error over n runs. Yehudai et al., section 4, figures 3 and 6.
    """
    worth = runs.instrument.scores
    rows = []
    for names, of_experiment in runs.experiments():
        shares = (of_experiment.scores() - min(worth)) / (max(worth) - min(worth))
        groups = of_experiment.runs["group"].map(HIGHER_ORDER_OF)
        for column, (behaviour, area) in enumerate(zip(runs.scales, runs.instrument.areas, strict=True)):
            for higher_order in HIGHER_ORDER:
                mean, error, n = mean_and_standard_error(shares[(groups == higher_order).to_numpy(), column])
                rows.append(dict(zip(EXPERIMENT, names, strict=True)) | {
                    "behaviour": behaviour, "area": area, "higher_order": higher_order,
                    "agreement": mean, "standard_error": error, "n": n,
                })
    return pd.DataFrame(rows)


def higher_order_correlations(agreement: pd.DataFrame) -> pd.DataFrame:
    """Correlations between the higher-order values' agreement over behaviours (section 4, figures 4a, 7 and 8)."""
    rows = []
    for names, of_experiment in agreement.groupby(EXPERIMENT, sort=False):
        vectors = of_experiment.pivot(index="behaviour", columns="higher_order", values="agreement")
        for a, b in product(HIGHER_ORDER, HIGHER_ORDER):
            rows.append(dict(zip(EXPERIMENT, names, strict=True)) | {
                "value_a": a, "value_b": b, "r": _pearson(vectors[a], vectors[b]),
                "n_behaviours": int((vectors[a] * vectors[b]).count()),
            })
    return pd.DataFrame(rows)


def _pearson(x: np.ndarray, y: np.ndarray) -> float:
    return float(correlations(x, y, axis=0, ranks=False).rho)
