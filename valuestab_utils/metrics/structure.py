"""Structures: values as a map of their correlations, laid over a reference, and personas as a map of their scores."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import procrustes
from sklearn.decomposition import PCA
from sklearn.manifold import MDS, ClassicalMDS

from valuestab_utils.errors import ValuestabError
from valuestab_utils.metrics.agreement import TIE_TOLERANCE
from valuestab_utils.metrics.inference import Interval, central, drawn_again
from valuestab_utils.paths import DATA
from valuestab_utils.prompts import read_rows

FEWEST_RUNS = 3
N_COMPONENTS = 2
FEWEST_PERSONAS = 3  # for two components
_FLAT = 1e-9  # a standard deviation, or a difference of shares or loadings, below this is rounding
_THIN = 1e-6  # so is an extent of a map: rounding of r shows in sqrt(1 - r) by its root


@dataclass(frozen=True, eq=False)
class Alignment:
    """A map of values laid over a reference.

    reference, aligned : (values, 2), centred, with a sum of squares of 1; shifted, rotated or mirrored, and scaled to
        it
    disparity : the sum of squared differences that is left, 0 (same shape) to 1
    """

    reference: np.ndarray
    aligned: np.ndarray
    disparity: float


@dataclass(frozen=True, eq=False)
class PersonaMap:
    """Personas in the space of the first principal components, whose shares of the variance are given too.

    coordinates : (personas, components), in the unit of the scores; the mean of the personas is at zero
    n_dimensions : of the space before, seeds x contexts x values
    left_out : personas that are not there, with the reason
    """

    personas: tuple[str, ...]
    coordinates: np.ndarray
    explained_variance_ratio: np.ndarray
    n_dimensions: int
    left_out: dict[str, str]


@dataclass(frozen=True)
class Separation:
    """How far classes lie apart on the first component, of the n personas that have a class.

    share : of its variance that lies between the classes (eta squared), 0 to 1
    p_value : one-sided, by permuting the personas over the classes, (1 + as large) / (1 + tried)
    """

    share: float
    p_value: float
    n: int


def value_correlations(scores: np.ndarray, values: Sequence[str]) -> np.ndarray:
    """Pearson correlations between values over runs (runs, values) without gaps (Rozen et al. 2025, section 3.2.2).

    Values with the same score in all runs have none, and are named (in paper 002, Table 1, cells without a value).
    """
    if len(scores) < FEWEST_RUNS:
        raise ValuestabError(f"Correlations of values need {FEWEST_RUNS} complete runs or more, not {len(scores)}.")
    flat = [value for value, spread in zip(values, scores.std(axis=0), strict=True) if spread < _FLAT]
    if flat:
        raise ValuestabError(
            f"These values have the same score in all {len(scores)} runs, and so no correlation: {', '.join(flat)}."
        )
    correlations = np.clip(np.corrcoef(scores, rowvar=False), -1, 1)
    return (correlations + correlations.T) / 2  # symmetric to the last digit, as a map needs them


def value_map(correlations: np.ndarray) -> np.ndarray:
    """Place values in the plane (values, 2) so that their distances come near to sqrt(2 (1 - r)).

    Metric multidimensional scaling (Borg, Groenen and Mair 2018): SMACOF from the classical (Torgerson) solution.
    Neither paper says which stress or start it used. Rotation and mirroring mean nothing.
    """
    distances = np.sqrt(2 * (1 - correlations))
    np.fill_diagonal(distances, 0.0)
    with warnings.catch_warnings():  # a second root below zero by rounding: the check that follows tells it
        warnings.simplefilter("ignore", RuntimeWarning)
        start = ClassicalMDS(n_components=2, metric="precomputed").fit_transform(distances)
    if np.isnan(start).any() or np.ptp(start, axis=0).min() < _THIN:
        raise ValuestabError("The values fall on one point or one line, not on a plane: these runs differ in one way.")
    # With a start given, nothing here is random, whatever ``init`` says.
    scaling = MDS(n_components=2, metric="precomputed", init="random", n_init=1, normalized_stress=False)
    return scaling.fit_transform(distances, init=start)


def align(reference: np.ndarray, configuration: np.ndarray) -> Alignment:
    """Lay a map over a reference, both of shape (values, 2), by Procrustes analysis; both are standardised first.

    Rozen et al. 2025, section 3.2.2 and Table 1; Yehudai et al., section 5.3.
    """
    reference, aligned, disparity = procrustes(reference, configuration)
    return Alignment(reference, aligned, float(disparity))


def disparity_interval(
    scores: np.ndarray, values: Sequence[str], reference: np.ndarray, n_resamples: int
) -> Interval:
    """Percentile bootstrap interval, over complete runs, of the disparity between their map of values and a reference.

    A resample is noisier than its sample, so that its disparity tends to lie higher: the interval may lie above the
    disparity itself when that is small. Take it for the size of the noise, not for a test.
    """
    rng = np.random.default_rng(0)

    def disparity() -> list[float]:
        resample = scores[rng.integers(len(scores), size=len(scores))]
        return [align(reference, value_map(value_correlations(resample, values))).disparity]

    (drawn,), _ = drawn_again(disparity, n_resamples)
    return central(drawn)


def persona_map(value_scores: np.ndarray, personas: Sequence[str]) -> PersonaMap:
    """Map personas by their value scores in all seeds and contexts (Kovač et al. 2024, appendix D.1, figure 12).

    A persona with a missing score is left out and named, never filled in. Each is a vector of seeds x contexts x values
    dimensions (250 in the paper), centred but not scaled. A component's sign means nothing; here its loading of largest
    magnitude is positive.
    """
    scores = np.asarray(value_scores, dtype=float)
    vectors = scores.transpose(2, 0, 1, 3).reshape(len(personas), -1)  # (personas, dimensions)
    missing = np.isnan(vectors).sum(axis=1)
    n_dimensions = vectors.shape[1]
    reasons = [f"{n} of {n_dimensions} scores are missing" if n else "" for n in missing]
    left_out = {persona: reason for persona, reason in zip(personas, reasons, strict=True) if reason}
    complete = vectors[missing == 0]
    if len(complete) < FEWEST_PERSONAS or n_dimensions < N_COMPONENTS:
        raise ValuestabError(
            f"A map needs {FEWEST_PERSONAS} personas with all their scores and {N_COMPONENTS} scores of each, but "
            f"{len(complete)} of {len(personas)} have all of {n_dimensions}: ask what is missing, or more personas."
        )
    if np.ptp(complete, axis=0).max() <= TIE_TOLERANCE:  # rounding noise is no structure
        raise ValuestabError("All personas have the same scores, so there is nothing to map: look at the answers.")
    components = PCA(N_COMPONENTS, svd_solver="full").fit(complete)
    magnitudes = np.abs(components.components_)
    # Equal magnitudes differ in the last digit, differently on each machine: the first of them decides.
    largest = (magnitudes >= magnitudes.max(axis=1, keepdims=True) - _FLAT).argmax(axis=1)
    signs = np.sign(components.components_[np.arange(N_COMPONENTS), largest])
    return PersonaMap(
        tuple(persona for persona in personas if persona not in left_out),
        components.transform(complete) * signs + 0.0,  # no negative zero
        components.explained_variance_ratio_,
        n_dimensions,
        left_out,
    )


def class_separation(
    found: PersonaMap, classes: Mapping[str, str], n_permutations: int = 2000, seed: int = 0
) -> Separation:
    """Do classes of personas lie apart on the first component? The number is ours; the paper has the picture.

    Classes that mean nothing have a share above 0 too, (classes - 1) / (n - 1) on average: hence the p-value. Personas
    without a class are left out.
    """
    there = [i for i, persona in enumerate(found.personas) if persona in classes]
    names = np.array([classes[found.personas[i]] for i in there])
    x = found.coordinates[there, 0]
    if len(set(names)) < 2 or np.ptp(x) <= TIE_TOLERANCE:
        raise ValuestabError(
            f"The {len(x)} personas with a class are of {len(set(names))} classes, or all in one place on the first "
            "component: classify more."
        )
    rng = np.random.default_rng(seed)
    share = float(_share_between(x[None], names)[0])
    drawn = _share_between(rng.permuted(np.tile(x, (n_permutations, 1)), axis=1), names)
    p_value = (1 + (drawn >= share - _FLAT).sum()) / (1 + n_permutations)
    return Separation(share, float(p_value), len(there))


def load_character_classes() -> dict[str, str]:
    """Class of each fictional character: positive, neutral (more complex) or negative.

    The classes are this project's own, after J. R. R. Tolkien's books; those of the paper (appendix D.1), made by
    another language model, are not published.
    """
    classes: dict[str, str] = {}
    for number, row in read_rows(DATA / "characters.csv", ("character", "class")):
        if row["character"] in classes:
            raise ValuestabError(f"data/characters.csv, row {number}: {row['character']} is there twice: remove one.")
        classes[row["character"]] = row["class"]
    return classes


def _share_between(x: np.ndarray, names: np.ndarray) -> np.ndarray:
    """Share of the variance of x (draws, personas) that lies between the classes `names` (personas,)."""
    of_class = (names[:, None] == np.unique(names)).astype(float)  # (personas, classes)
    centred = x - x.mean(axis=1, keepdims=True)
    between = ((centred @ of_class) ** 2 / of_class.sum(axis=0)).sum(axis=1)
    return np.clip(between / (centred**2).sum(axis=1), 0.0, 1.0)
