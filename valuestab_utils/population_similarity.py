"""How like humans a simulated population is: its structure of values, and what its values have to do with behaviour."""

import numpy as np
import pandas as pd

from valuestab_utils.errors import ValuestabError
from valuestab_utils.instruments import VALUES
from valuestab_utils.run_scores import RunScores, same_runs
from valuestab_utils.simulated_populations import sample_runs
from valuestab_utils.value_structure import align, complete_runs, value_correlations, value_map

FEWEST_CELLS = 3
_FLAT = 1e-9  # a spread below this is rounding


def values_similarity(scores: np.ndarray, coordinates: np.ndarray) -> float:
    """1 minus the Procrustes disparity between the map of the ten values and a reference.

    The paper's formula is missing from the text at hand, which says that it follows from the normalised disparity and
    is higher for more alike structures. Unlike a correlation it is above 0 for noise.

    Parameters
    ----------
    scores : ndarray, shape (runs, 10)
    coordinates : ndarray, shape (10, 2)
        In the same order of values (see `valuestab_utils.value_references.references_10`).

    Returns
    -------
    float
        0 to 1.

    References
    ----------
    Yehudai et al., section 5.3.
    """
    return map_similarity(value_map(value_correlations(scores, VALUES)), coordinates)


def map_similarity(configuration: np.ndarray, coordinates: np.ndarray) -> float:
    """`values_similarity` from the map of the values, shape (10, 2), in the order of the coordinates."""
    return 1 - align(coordinates, configuration).disparity


def value_behaviour_correlations(value_scores: np.ndarray, behaviour_scores: np.ndarray) -> np.ndarray:
    """Pearson's correlation of each value with each behaviour over runs.

    Parameters
    ----------
    value_scores : ndarray, shape (runs, values)
    behaviour_scores : ndarray, shape (runs, behaviours)

    Returns
    -------
    ndarray, shape (values, behaviours)
        -1 to 1; NaN where one of the two is the same in all runs.

    References
    ----------
    Yehudai et al., section 5.3.

    Examples
    --------
    >>> value_behaviour_correlations(np.array([[1.0], [2.0], [3.0]]), np.array([[5.0, 1.0], [3.0, 1.0], [1.0, 1.0]]))
    array([[-1., nan]])
    """
    standardised = []
    for scores in (value_scores, behaviour_scores):
        spread = scores.std(axis=0)
        standardised.append((scores - scores.mean(axis=0)) / np.where(spread < _FLAT, np.nan, spread))
    return np.clip(standardised[0].T @ standardised[1] / len(value_scores), -1, 1)


def behaviour_similarity(correlations: np.ndarray, human: np.ndarray) -> float:
    """Pearson's correlation between two value-behaviour matrices, over the cells that are known of humans.

    Parameters
    ----------
    correlations, human : ndarray, shape (values, behaviours)
        NaN in `human` where nothing is known.

    Raises
    ------
    ValuestabError
        If fewer than three cells are known, one of these is undefined in the runs, or all are the same.

    References
    ----------
    Yehudai et al., section 5.3.

    Examples
    --------
    >>> human = np.array([[0.1, 0.2], [0.3, np.nan]])
    >>> round(behaviour_similarity(np.array([[0.2, 0.4], [0.6, -1.0]]), human), 12)
    1.0
    """
    known = ~np.isnan(human)
    ours, theirs = correlations[known], human[known]
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
    return float(np.corrcoef(ours, theirs)[0, 1])


def population_correlations(
    value_runs: RunScores,
    behaviour_runs: RunScores,
    weights: pd.Series,
    temperature: float,
    n_samples: int = 10_000,
    seed: int = 0,
) -> pd.DataFrame:
    """Value-behaviour correlations of one large sample of a population, tidy.

    Returns
    -------
    DataFrame
        instrument, behaviour, value, r (NaN where undefined), n_samples.

    References
    ----------
    Yehudai et al., Figure 5b.
    """
    of_values, of_behaviour, _ = complete_pairs(value_runs, behaviour_runs)
    rng = np.random.default_rng(seed)
    sample = sample_runs(rng, of_values.runs["group"], weights, n_samples)
    values = of_values.sample_scores(rng, sample, temperature)[:, value_order(of_values)]
    found = value_behaviour_correlations(values, of_behaviour.sample_scores(rng, sample, temperature))
    return pd.DataFrame([
        {"instrument": of_behaviour.instrument.name, "behaviour": behaviour, "value": value, "r": float(found[v, b]),
         "n_samples": n_samples}
        for b, behaviour in enumerate(of_behaviour.scales)
        for v, value in enumerate(VALUES)
    ])


def sign_agreement(correlations: pd.DataFrame, signs: pd.DataFrame) -> pd.DataFrame:
    """Whether a population's correlations have the signs that are published of humans.

    Parameters
    ----------
    correlations : DataFrame
        As `population_correlations` gives it.
    signs : DataFrame
        As `valuestab_utils.human_value_behaviour.human_signs` gives it.

    Returns
    -------
    DataFrame
        instrument, behaviour, value, sign, n, source, r, reproduced (True, False, or NA where r is undefined).
    """
    table = signs.merge(
        correlations[["instrument", "behaviour", "value", "r"]], on=["instrument", "behaviour", "value"], how="left"
    )
    reproduced = (np.sign(table["r"]) == table["sign"]).astype("boolean")
    return table.assign(reproduced=reproduced.mask(table["r"].isna()))


def complete_pairs(value_runs: RunScores, behaviour_runs: RunScores) -> tuple[RunScores, RunScores, int]:
    """The runs that answered all of both instruments, and how many that were asked both did not."""
    of_values, of_behaviour = same_runs(value_runs, behaviour_runs)
    complete = complete_runs(of_values.codes) & complete_runs(of_behaviour.codes)
    return of_values.take(complete), of_behaviour.take(complete), int((~complete).sum())


def value_order(runs: RunScores) -> list[int]:
    """Columns of the ten values in the scores of the PVQ-40's runs, in the order of `VALUES`."""
    if set(runs.scales) != set(VALUES):
        raise ValuestabError(f"{runs.instrument.name} does not measure the ten basic values: give the PVQ-40's runs.")
    return [runs.scales.index(value) for value in VALUES]
