"""Structure of values: their correlations over runs, the map that these make, and its fit to another map."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import procrustes
from sklearn.manifold import MDS, ClassicalMDS

from valuestab_utils.errors import ValuestabError
from valuestab_utils.uncertainty import Interval

FEWEST_RUNS = 3
_FLAT = 1e-9  # a standard deviation below this is rounding
_THIN = 1e-6  # so is an extent of a map: rounding of r shows in sqrt(1 - r) by its root


@dataclass(frozen=True, eq=False)
class Alignment:
    """A map of values laid over a reference.

    Attributes
    ----------
    reference : ndarray, shape (values, 2)
        Centred, with a sum of squares of 1.
    aligned : ndarray, shape (values, 2)
        The map shifted, rotated or mirrored, and scaled for the least sum of squared differences.
    disparity : float
        That sum, 0 (same shape) to 1.
    """

    reference: np.ndarray
    aligned: np.ndarray
    disparity: float


def complete_runs(scores: np.ndarray) -> np.ndarray:
    """Which runs have all their scores, as a mask of shape (runs,)."""
    return ~np.isnan(scores).any(axis=1)


def value_correlations(scores: np.ndarray, values: Sequence[str]) -> np.ndarray:
    """Pearson correlations between values over runs.

    Parameters
    ----------
    scores : ndarray, shape (runs, values)
        All there: leave incomplete runs out first (`complete_runs`), and tell how many they are.
    values : sequence of str
        Names, for the message.

    Returns
    -------
    ndarray, shape (values, values)
        -1 to 1.

    Raises
    ------
    ValuestabError
        For fewer than three runs, a missing score, or values that have the same score in all runs: they have no
        correlation (named, as the cells without a value in paper 002, Table 1).

    References
    ----------
    Rozen et al. 2025, section 3.2.2.

    Examples
    --------
    >>> value_correlations(np.array([[1.0, 4.0], [2.0, 2.0], [3.0, 0.0]]), ["Power", "Security"])
    array([[ 1., -1.],
           [-1.,  1.]])
    """
    scores = np.asarray(scores, dtype=float)
    if scores.ndim != 2 or scores.shape[1] != len(values):
        raise ValuestabError(f"The scores have the shape {scores.shape}: give (runs, {len(values)} values).")
    if len(scores) < FEWEST_RUNS:
        raise ValuestabError(f"Correlations of values need {FEWEST_RUNS} complete runs or more, not {len(scores)}.")
    if np.isnan(scores).any():
        raise ValuestabError("There are runs with missing scores: leave them out, and tell how many they are.")
    flat = [value for value, spread in zip(values, scores.std(axis=0), strict=True) if spread < _FLAT]
    if flat:
        raise ValuestabError(
            f"These values have the same score in all {len(scores)} runs, and so no correlation: {', '.join(flat)}."
        )
    correlations = np.clip(np.corrcoef(scores, rowvar=False), -1, 1)
    return (correlations + correlations.T) / 2  # symmetric to the last digit, as a map needs them


def dissimilarities(correlations: np.ndarray) -> np.ndarray:
    """Distance sqrt(2 (1 - r)) between standardised variables that correlate by r: 0 (r = 1) to 2 (r = -1).

    Examples
    --------
    >>> dissimilarities(np.array([[1.0, -1.0], [-1.0, 1.0]]))
    array([[0., 2.],
           [2., 0.]])
    """
    distances = np.sqrt(2 * (1 - np.asarray(correlations, dtype=float)))
    np.fill_diagonal(distances, 0.0)
    return distances


def value_map(correlations: np.ndarray) -> np.ndarray:
    """Place values in the plane so that their distances come near to `dissimilarities`.

    Metric multidimensional scaling: SMACOF from the classical (Torgerson) solution, so that nothing is random.
    Neither paper says which stress or start it used.

    Parameters
    ----------
    correlations : ndarray, shape (values, values)
        Symmetric, with ones on the diagonal.

    Returns
    -------
    ndarray, shape (values, 2)
        In the unit of the dissimilarities. Rotation and mirroring mean nothing.

    Raises
    ------
    ValuestabError
        If the values fall on one point or one line.

    References
    ----------
    Borg, Groenen and Mair 2018, Applied Multidimensional Scaling and Unfolding; scikit-learn's MDS.
    """
    distances = dissimilarities(correlations)
    if np.isnan(distances).any():
        raise ValuestabError("There are undefined correlations among the values, so there is no map of them.")
    with warnings.catch_warnings():  # a second root below zero by rounding: the check that follows tells it
        warnings.simplefilter("ignore", RuntimeWarning)
        start = ClassicalMDS(n_components=2, metric="precomputed").fit_transform(distances)
    if np.isnan(start).any() or np.ptp(start, axis=0).min() < _THIN:
        raise ValuestabError("The values fall on one point or one line, not on a plane: these runs differ in one way.")
    scaling = MDS(n_components=2, metric="precomputed", init="random", n_init=1, normalized_stress=False)
    return scaling.fit_transform(distances, init=start)


def align(reference: np.ndarray, configuration: np.ndarray) -> Alignment:
    """Lay a map over a reference by Procrustes analysis; both are standardised first.

    The disparity is the sum of squared differences between the reference, centred and scaled to a sum of squares of
    1, and the map after the best shift, rotation or mirroring, and scaling. It is the same with the two exchanged.

    Parameters
    ----------
    reference, configuration : ndarray, shape (values, 2)
        The same values in the same order.

    Raises
    ------
    ValuestabError
        If the shapes differ or all points of one are the same.

    References
    ----------
    Rozen et al. 2025, section 3.2.2 and Table 1; Yehudai et al., section 5.3.

    Examples
    --------
    >>> square = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    >>> abs(round(align(square, 3 * square[:, ::-1] + 7).disparity, 12))
    0.0
    """
    try:
        reference, aligned, disparity = procrustes(reference, configuration)
    except ValueError as error:
        raise ValuestabError(
            f"The two maps of values cannot be laid over each other ({error}): give the same values in both."
        ) from error
    return Alignment(reference, aligned, float(disparity))


def disparity_interval(
    scores: np.ndarray,
    values: Sequence[str],
    reference: np.ndarray,
    n_resamples: int = 200,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap interval, over runs, of the disparity between the map of values and a reference.

    A resample is a noisier sample than its sample, so that its disparity tends to lie higher: the interval may lie
    above the disparity itself when that is small. Take it for the size of the noise, not for a test.

    Parameters
    ----------
    scores : ndarray, shape (runs, values)
        Complete runs.
    values : sequence of str
    reference : ndarray, shape (values, 2)
    n_resamples : int
    level : float
        Between 0 and 1.
    seed : int

    Returns
    -------
    Interval
        ``n_undefined`` counts resamples without a map (a value that does not vary in them); NaN if they are more
        than half.
    """

    def disparity(rows: np.ndarray) -> float:
        return align(reference, value_map(value_correlations(scores[rows], values))).disparity

    return resampled(disparity, len(scores), n_resamples, level, seed)


def resampled(
    statistic: Callable[[np.ndarray], float], n_units: int, n_resamples: int, level: float, seed: int
) -> Interval:
    """Percentile interval of a statistic of resampled units; one that it refuses with `ValuestabError` is undefined."""
    if n_resamples < 1 or not 0 < level < 1:
        raise ValuestabError(f"Give one resample or more and a level between 0 and 1, not {n_resamples} and {level}.")
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n_resamples):
        try:
            found.append(statistic(rng.integers(n_units, size=n_units)))
        except ValuestabError:
            continue
    n_undefined = n_resamples - len(found)
    if n_undefined > n_resamples / 2:
        return Interval(float("nan"), float("nan"), level, n_resamples, n_undefined)
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high), level, n_resamples, n_undefined)
