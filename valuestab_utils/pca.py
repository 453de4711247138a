"""Characters as points in two dimensions: principal components of all their value scores (paper, D.1)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA

from valuestab_utils.errors import ValuestabError, check_known
from valuestab_utils.paths import DATA
from valuestab_utils.populations import read_rows
from valuestab_utils.rank_correlation import TIE_TOLERANCE

CHARACTERS_FILE = DATA / "characters.csv"
CLASSES = ("positive", "neutral", "negative")
_FEWEST = 3  # personas for two components
_SAME = 1e-9  # shares or loadings that differ by less are equal but for rounding


@dataclass(frozen=True, eq=False)
class PersonaMap:
    """Personas in the space of the first principal components.

    Attributes
    ----------
    personas : tuple of str
        Those with all their scores.
    coordinates : ndarray, shape (personas, n_components)
        In the unit of the scores; the mean of the personas is at zero.
    explained_variance_ratio : ndarray, shape (n_components,)
        Share of the variance that each component carries, 0 to 1.
    n_dimensions : int
        Of the space before: seeds x contexts x values.
    left_out : dict of str to str
        Personas that are not there, with the reason.
    """

    personas: tuple[str, ...]
    coordinates: np.ndarray
    explained_variance_ratio: np.ndarray
    n_dimensions: int
    left_out: dict[str, str]


@dataclass(frozen=True)
class Separation:
    """How far classes lie apart on the first component.

    Attributes
    ----------
    share : float
        Of the first component's variance that lies between the classes (eta squared), 0 to 1.
    p_value : float
        One-sided, by permuting the personas over the classes: (1 + as large) / (1 + tried).
    n : int
        Personas on the map that have a class.
    """

    share: float
    p_value: float
    n: int


def persona_map(value_scores: np.ndarray, personas: Sequence[str], n_components: int = 2) -> PersonaMap:
    """Map personas by their value scores in all seeds and contexts.

    Each persona is a vector of seeds x contexts x values dimensions (250 in the paper), centred but not
    scaled. A component's sign means nothing; here its loading of largest magnitude is positive, the first one
    of equals.

    Parameters
    ----------
    value_scores : ndarray, shape (seeds, contexts, personas, values)
        NaN where missing: such a persona is left out and named, never filled in.
    personas : sequence of str
        Names, in the order of their axis.
    n_components : int
        From 1 to one less than the complete personas, and no more than dimensions.

    Returns
    -------
    PersonaMap

    Raises
    ------
    ValuestabError
        With fewer than three complete personas, if all of them are alike, if shapes do not fit, if a persona
        is named twice, or for more components than there can be.

    References
    ----------
    Kovač et al. 2024, appendix D.1 (figure 12).

    Examples
    --------
    >>> scores = np.array([[[[1.0, 0.0], [0.0, 0.0], [-1.0, 0.0], [np.nan, 0.0]]]])
    >>> found = persona_map(scores, ["Sam", "Frodo", "Gollum", "Shelob"])
    >>> found.coordinates[:, 0], found.explained_variance_ratio, found.left_out
    (array([ 1.,  0., -1.]), array([1., 0.]), {'Shelob': '1 of 2 scores are missing'})
    """
    scores = np.asarray(value_scores, dtype=float)
    if scores.ndim != 4 or scores.shape[2] != len(personas):
        raise ValuestabError(
            f"value_scores of shape {scores.shape} for {len(personas)} personas: give (seeds, contexts, "
            "personas, values)."
        )
    if len(set(personas)) != len(personas):
        raise ValuestabError(f"A persona is named twice in {list(personas)}: name each once.")
    vectors = scores.transpose(2, 0, 1, 3).reshape(len(personas), -1)  # (personas, dimensions)
    missing = np.isnan(vectors).sum(axis=1)
    n_dimensions = vectors.shape[1]
    left_out = {
        persona: f"{n} of {n_dimensions} scores are missing" for persona, n in zip(personas, missing) if n
    }
    complete = vectors[missing == 0]
    if len(complete) < _FEWEST:
        raise ValuestabError(
            f"A map needs {_FEWEST} personas with all their scores, but {len(complete)} of {len(personas)} "
            "have them: ask what is missing, or more personas."
        )
    most = min(len(complete) - 1, n_dimensions)
    if n_components not in range(1, most + 1):
        raise ValuestabError(
            f"n_components is {n_components!r}, but must be a whole number from 1 to {most} for "
            f"{len(complete)} complete personas in {n_dimensions} dimensions."
        )
    if np.ptp(complete, axis=0).max() <= TIE_TOLERANCE:  # rounding noise is no structure
        raise ValuestabError(
            "All personas have the same scores, so there is nothing to map: look at the answers."
        )
    components = PCA(n_components, svd_solver="full").fit(complete)
    magnitudes = np.abs(components.components_)
    # Equal magnitudes differ in the last digit, differently on each machine: the first of them decides.
    largest = (magnitudes >= magnitudes.max(axis=1, keepdims=True) - _SAME).argmax(axis=1)
    signs = np.sign(components.components_[np.arange(n_components), largest])
    return PersonaMap(
        tuple(persona for persona, n in zip(personas, missing) if not n),
        components.transform(complete) * signs + 0.0,  # no negative zero
        components.explained_variance_ratio_,
        n_dimensions,
        left_out,
    )


def class_separation(
    found: PersonaMap, classes: Mapping[str, str], n_permutations: int = 2000, seed: int = 0
) -> Separation:
    """Do classes of personas lie apart on the first component?

    With x the personas' coordinates, n(k) the personas and m(k) the mean of class k::

        share = sum over k of n(k) (m(k) - mean(x))^2  /  sum over personas of (x - mean(x))^2

    Classes that mean nothing have a share above 0 too, (classes - 1) / (n - 1) on average: hence the p-value.

    Parameters
    ----------
    found : PersonaMap
        See `persona_map`.
    classes : mapping of str to str
        Class of each persona; those without are left out.
    n_permutations : int
        Random orders of the personas.
    seed : int
        Of these orders.

    Returns
    -------
    Separation

    Raises
    ------
    ValuestabError
        If fewer than two classes have a persona on the map, if all these personas are in one place, or
        without permutations.

    References
    ----------
    The number is ours; the paper has the picture (figure 12).

    Examples
    --------
    >>> scores = np.array([[[[1.0, 0.0], [0.9, 0.0], [-1.0, 0.0], [-0.9, 0.0]]]])
    >>> found = persona_map(scores, ["Sam", "Frodo", "Sauron", "Shelob"])
    >>> classes = {"Sam": "positive", "Frodo": "positive", "Sauron": "negative", "Shelob": "negative"}
    >>> round(class_separation(found, classes).share, 3)  # 4 x 0.95^2 / (2 + 2 x 0.9^2)
    0.997
    """
    if n_permutations < 1:
        raise ValuestabError(f"n_permutations is {n_permutations}, but must be 1 or more.")
    there = [i for i, persona in enumerate(found.personas) if persona in classes]
    names = np.array([classes[found.personas[i]] for i in there])
    if len(set(names)) < 2:
        raise ValuestabError(
            f"Classes lie apart only with two of them on the map, not {len(set(names))}: add personas."
        )
    x = found.coordinates[there, 0]
    if np.ptp(x) <= TIE_TOLERANCE:
        raise ValuestabError(
            f"The {len(x)} personas with a class are all in one place on the first component: classify more."
        )
    rng = np.random.default_rng(seed)
    share = float(_share_between(x[None], names)[0])
    drawn = _share_between(rng.permuted(np.tile(x, (n_permutations, 1)), axis=1), names)
    p_value = (1 + (drawn >= share - _SAME).sum()) / (1 + n_permutations)
    return Separation(share, float(p_value), len(there))


def load_character_classes(path: str | Path = CHARACTERS_FILE) -> dict[str, str]:
    """Class of each fictional character: positive, neutral (more complex) or negative.

    The classes are this project's own, after J. R. R. Tolkien's books; those of the paper, made by another
    language model, are not published. Neutral are those that do great good and great harm, fall and repent,
    or stand aside.

    Parameters
    ----------
    path : str or Path
        CSV file with the columns character (as in the column persona of the population) and class.

    Returns
    -------
    dict of str to str
        In the order of the file.

    Raises
    ------
    ValuestabError
        An unknown class, a character that is empty or there twice, or a file that is no such table or has no
        rows.

    References
    ----------
    Kovač et al. 2024, appendix D.1.

    Examples
    --------
    >>> classes = load_character_classes()
    >>> classes["Gandalf"], classes["Boromir"], classes["Sauron"]
    ('positive', 'neutral', 'negative')
    """
    classes: dict[str, str] = {}
    for row, cells in read_rows(Path(path), ("character", "class")):
        character, of_character = cells["character"].strip(), cells["class"].strip()
        if not character:
            raise ValuestabError(f"{path}, row {row}: the character is empty.")
        if character in classes:
            raise ValuestabError(f"{path}, row {row}: the character {character!r} is there twice.")
        classes[character] = check_known(f"class in {path}, row {row}:", of_character, CLASSES)
    if not classes:
        raise ValuestabError(f"{path} has no characters: write one row for each below the header.")
    return classes


def _share_between(x: np.ndarray, names: np.ndarray) -> np.ndarray:
    """Share of the variance of x (draws, personas) that lies between the classes `names` (personas,)."""
    of_class = (names[:, None] == np.unique(names)).astype(float)  # (personas, classes)
    centred = x - x.mean(axis=1, keepdims=True)
    between = ((centred @ of_class) ** 2 / of_class.sum(axis=0)).sum(axis=1)
    return np.clip(between / (centred**2).sum(axis=1), 0.0, 1.0)
