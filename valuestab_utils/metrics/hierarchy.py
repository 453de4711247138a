"""The hierarchy of the 19 values: their importance beside people's, and around the value that a run was anchored to."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import norm, spearmanr

from valuestab_utils.errors import ValuestabError
from valuestab_utils.metrics.agreement import average_ranks, mean_and_standard_error, mean_of_defined
from valuestab_utils.metrics.references import human_means_19, published_means_19
from valuestab_utils.metrics.scores import RunScores
from valuestab_utils.prompts import ACRONYMS, REFINED_VALUES

GROUPING = ["model", "format", "population", "administration", "temperature"]
_N = len(REFINED_VALUES)
DISTANCES = np.arange(-(_N // 2), _N // 2 + 1)  # -9 to 9: anticlockwise neighbours are at +1
_FLAT = 1e-9  # an amplitude or a spread below this is rounding


def value_ranks(means: np.ndarray) -> np.ndarray:
    """Ranks from the most important value, 1, down; tied values share the mean of their ranks."""
    return average_ranks(-np.asarray(means, dtype=float))


def hierarchy_table(run_scores: RunScores, temperature: float = 0.0) -> pd.DataFrame:
    """Mean and rank of each of the 19 values (PVQ-RR) in each experiment, beside the human ones.

    mean (centred Likert) and standard_error are over the n_runs with a score, n_missing have none. Rozen et al. 2025,
    section 3.2.1 and Tables 2-4.
    """
    if set(run_scores.scales) != set(REFINED_VALUES):
        raise ValuestabError(f"{run_scores.instrument.name} does not measure the 19 values: give the PVQ-RR's scores.")
    human = human_means_19().set_index("value").loc[list(run_scores.scales)]
    tables = []
    for (model, format, population), of_experiment in run_scores.experiments():
        found = _estimates(of_experiment.scores(temperature))
        tables.append(pd.DataFrame({
            "model": model, "format": format, "population": population,
            "administration": run_scores.administration, "temperature": temperature,
            "value": run_scores.scales, "acronym": [ACRONYMS[value] for value in run_scores.scales],
            "mean": found["mean"], "standard_error": found["standard_error"],
            "n_runs": found["n"], "n_missing": len(of_experiment.runs) - found["n"], "rank": value_ranks(found["mean"]),
            "human_mean": human["mean"].to_numpy(), "human_rank": human["rank"].to_numpy(),
        }))
    return pd.concat(tables, ignore_index=True)


def rank_agreement(table: pd.DataFrame) -> pd.DataFrame:
    """Spearman's rho of each hierarchy of a `hierarchy_table` with the human one, over values.

    NaN if a mean is missing or all are the same; p_value is two-sided, by the t approximation. Rozen et al. 2025,
    section 3.2.1 and Figure 2a.
    """
    rows = [
        dict(zip(GROUPING, names, strict=True)) | _agreement_of(rows["mean"], rows["human_mean"]) | {"published": False}
        for names, rows in table.groupby(GROUPING, sort=False)
    ]
    return pd.DataFrame(rows, columns=[*GROUPING, "rho", "p_value", "n_values", "published"])


def fisher_z_test(
    rho_1: np.ndarray, rho_2: np.ndarray, n_1: np.ndarray, n_2: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Fisher's test of the difference between two correlations of independent samples; gives z and p (two-sided).

    NaN where a correlation is undefined or perfect. Rozen et al. 2025 (appendix I) use it on two Spearman correlations
    over the same n = 19 values with the same human ranks. The samples are treated as independent, which they are not,
    and the standard error is that of Pearson's correlation: p is a rough guide, and too high where the two go together.
    """
    testable = (np.abs(rho_1) < 1) & (np.abs(rho_2) < 1)
    difference = np.arctanh(np.where(testable, rho_1, np.nan)) - np.arctanh(np.where(testable, rho_2, np.nan))
    z = difference / np.sqrt(1 / (n_1 - 3) + 1 / (n_2 - 3))
    return z, 2 * norm.sf(np.abs(z))


def administration_differences(agreement: pd.DataFrame, first: str, second: str) -> pd.DataFrame:
    """Whether two ways to administer the questionnaire agree differently with the human hierarchy (`fisher_z_test`).

    Of `rank_agreement` rows that have both. Rozen et al. 2025, appendix I.
    """
    keys = ["model", "format", "population", "temperature"]
    ways = [agreement[agreement["administration"] == name] for name in (first, second)]
    both = ways[0].merge(ways[1], on=keys, suffixes=("_first", "_second"))
    z, p_value = fisher_z_test(both["rho_first"], both["rho_second"], both["n_values_first"], both["n_values_second"])
    both = both.assign(z=z, p_value=p_value, n_values=both["n_values_first"])
    return both[[*keys, "rho_first", "rho_second", "z", "p_value", "n_values"]]


def published_agreement() -> pd.DataFrame:
    """Rank agreement with people of the models of paper 002, from its printed means (value_anchor and names).

    As these are rounded, the numbers may differ in the last digit from Figure 2a, which is a picture only.
    """
    human = human_means_19().set_index("value")["mean"]
    printed = published_means_19().assign(format="", administration="batch")
    return rank_agreement(printed.assign(human_mean=printed["value"].map(human))).assign(published=True)


def _estimates(rows: np.ndarray) -> pd.DataFrame:
    """Mean, standard error and n of each column."""
    return pd.DataFrame([mean_and_standard_error(column) for column in rows.T])


def _agreement_of(means: pd.Series, human: pd.Series) -> dict[str, float]:
    ranks = value_ranks(means)
    if np.isnan(ranks).any() or np.ptp(ranks) == 0:
        return {"rho": np.nan, "p_value": np.nan, "n_values": len(ranks)}
    found = spearmanr(ranks, value_ranks(human))
    return {"rho": float(found.statistic), "p_value": float(found.pvalue), "n_values": len(ranks)}


def anchor_curve(scores: np.ndarray, anchors: Sequence[str]) -> pd.DataFrame:
    """Mean score at each signed distance from the anchored value (Rozen et al. 2025, section 4.1 and Figure 4).

    `scores` are (runs, 19), centred, in the order of `REFINED_VALUES`. The runs of each anchor are averaged and
    turned so that it is at distance 0; then the mean goes over anchors. Only with all 19 of them does each value
    stand once at each distance, so that what is generally important cancels out. Anchors that are none of the 19,
    such as animal welfare, have no place on the circle and are left out.
    """
    anchors = np.asarray(anchors, dtype=object)
    # The paper says that scores are normalised by setting the anchored value to zero; its Figure 4 shows that its
    # position is.
    turned = [
        np.roll(mean_of_defined(scores[anchors == anchor], axis=0), _N // 2 - place)
        for place, anchor in enumerate(REFINED_VALUES)
        if (anchors == anchor).any()
    ]
    if not turned:
        raise ValuestabError("No run is anchored to one of the 19 values: give runs of the condition value_anchor.")
    curve = _estimates(np.array(turned)).rename(columns={"n": "n_anchors"})
    curve.insert(0, "distance", DISTANCES)
    return curve


def sinusoid(means: np.ndarray) -> dict[str, float]:
    """Fit a + b cos(2 pi d / 19 + phase) to the 19 means at distances -9 to 9 by least squares.

    peak is the distance at which the curve is highest (-9.5 to 9.5; 0 = at the anchor). All are NaN if a mean is
    missing; phase and peak if the amplitude is nil, r_squared if the means are all the same.
    """
    if np.isnan(means).any():
        return dict.fromkeys(("offset", "amplitude", "phase", "peak", "r_squared"), float("nan"))
    turn = 2 * np.pi * DISTANCES / _N
    design = np.column_stack([np.ones(_N), np.cos(turn), np.sin(turn)])
    (offset, cosine, sine), *_ = np.linalg.lstsq(design, means)
    residual, total = ((means - design @ (offset, cosine, sine)) ** 2).sum(), ((means - means.mean()) ** 2).sum()
    amplitude = float(np.hypot(cosine, sine))
    phase = float(np.arctan2(-sine, cosine)) if amplitude > _FLAT else float("nan")
    return {
        "offset": float(offset), "amplitude": amplitude, "phase": phase, "peak": -phase * _N / (2 * np.pi),
        "r_squared": float(1 - residual / total) if total > _FLAT**2 else float("nan"),
    }
