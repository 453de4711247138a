"""Stability against the length of contexts, as a number (paper, "How additional contexts ...", figure 10)."""

import itertools
from dataclasses import dataclass

import numpy as np

from valuestab_utils.errors import ValuestabError
from valuestab_utils.rank_correlation import FEWEST_OBSERVATIONS, spearman, spearman_columns

EXACT_UP_TO = 7  # contexts whose orders are all tried: 5040
FEWEST_CONTEXTS = 3  # which make three pairs
PER = 100  # units of length that the slope is for


@dataclass(frozen=True)
class LengthEffect:
    """How stability between two contexts goes with their length.

    Attributes
    ----------
    rho : float
        Spearman's correlation over pairs of contexts between their mean length and their stability, -1 to 1;
        NaN if one of the two is constant or fewer than three pairs are there.
    p_value : float
        Two-sided, by permuting contexts; NaN where rho is.
    n_pairs : int
        Pairs with a defined stability, those behind all three numbers.
    slope : float
        Change of stability per 100 units of length, by least squares; NaN with fewer than three pairs, or if
        all are equally long.
    n_undefined : int
        Pairs without a stability, left out.
    """

    rho: float
    p_value: float
    n_pairs: int
    slope: float
    n_undefined: int


def length_effect(
    pairwise: np.ndarray, lengths: np.ndarray, n_permutations: int = 5000, seed: int = 0
) -> LengthEffect:
    """Is stability lower between longer contexts?

    Pairs that have a context in common are not independent, so the correlation over pairs is tested by giving
    the contexts each other's lengths, not the pairs (a Mantel test). With up to seven contexts every order is
    tried, the observed one among them; with more, `n_permutations` random ones, and then
    p = (1 + as extreme) / (1 + tried). With three contexts there are six orders, of which two or more are as
    extreme: no p-value is below 1/3.

    Parameters
    ----------
    pairwise : ndarray, shape (contexts, contexts)
        Stability, symmetric; NaN where undefined, the diagonal is not looked at.
    lengths : ndarray, shape (contexts,)
        Length of each context: characters or tokens.
    n_permutations : int
        Random orders of eight contexts or more.
    seed : int
        Of these orders.

    Returns
    -------
    LengthEffect
        rho below 0 means: the longer, the less stable.

    Raises
    ------
    ValuestabError
        With fewer than three contexts, if the two do not fit, if the matrix is not symmetric, if a length is
        missing, or without permutations.

    References
    ----------
    Mantel 1967 for the test; the number is ours, the paper has the picture (figure 10).

    Examples
    --------
    >>> pairwise = np.array([[np.nan, 0.9, 0.5], [0.9, np.nan, 0.1], [0.5, 0.1, np.nan]])
    >>> effect = length_effect(pairwise, np.array([0, 100, 500]))
    >>> round(effect.rho, 6), round(effect.p_value, 6), effect.n_pairs
    (-1.0, 0.333333, 3)
    """
    pairwise, lengths = _checked(pairwise, lengths)
    if n_permutations < 1:
        raise ValuestabError(f"n_permutations is {n_permutations}, but must be 1 or more.")
    first, second = np.triu_indices(len(lengths), k=1)
    stability = pairwise[first, second]
    there = ~np.isnan(stability)
    of_pairs = (lengths[first] + lengths[second]) / 2
    rho = spearman(of_pairs, stability)
    p_value = float("nan")
    if not np.isnan(rho):
        shuffled = lengths[_orders(len(lengths), n_permutations, seed)]  # (orders, contexts)
        columns = ((shuffled[:, first] + shuffled[:, second]) / 2).T  # (pairs, orders)
        drawn = spearman_columns(columns, np.broadcast_to(stability[:, None], columns.shape)).rho
        # An order for which there is no correlation says nothing for the observed one, and counts against it.
        extreme = np.isnan(drawn) | (np.abs(drawn) >= abs(rho) - 1e-12)
        own = 0 if len(lengths) <= EXACT_UP_TO else 1  # the observed order, where it is not among those tried
        p_value = float((own + extreme.sum()) / (own + len(drawn)))
    slope = _slope(of_pairs[there], stability[there])
    return LengthEffect(rho, p_value, int(there.sum()), slope, int((~there).sum()))


def _checked(pairwise: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    pairwise, lengths = np.asarray(pairwise, dtype=float), np.asarray(lengths, dtype=float)
    if lengths.ndim != 1 or len(lengths) < FEWEST_CONTEXTS or pairwise.shape != lengths.shape * 2:
        raise ValuestabError(
            f"Stability against length needs three contexts or more and a square of them, not "
            f"{lengths.size} lengths for {pairwise.shape}: add contexts, or give both of the same ones."
        )
    if not np.isfinite(lengths).all():
        raise ValuestabError(f"Every context needs a length, not {lengths.tolist()}: fill the gaps.")
    if not np.allclose(pairwise, pairwise.T, rtol=0, atol=1e-9, equal_nan=True):
        raise ValuestabError(
            "The stability of contexts 1 and 2 must be that of 2 and 1, but the matrix is not symmetric: "
            "give the pairwise stability as it was computed."
        )
    return pairwise, lengths


def _orders(n: int, n_permutations: int, seed: int) -> np.ndarray:
    """Orders of n contexts, shape (orders, n)."""
    if n <= EXACT_UP_TO:
        return np.array(list(itertools.permutations(range(n))))
    return np.random.default_rng(seed).permuted(np.tile(np.arange(n), (n_permutations, 1)), axis=1)


def _slope(of_pairs: np.ndarray, stability: np.ndarray) -> float:
    if len(of_pairs) < FEWEST_OBSERVATIONS or np.ptp(of_pairs) == 0:
        return float("nan")
    centred = of_pairs - of_pairs.mean()
    return float(PER * (centred @ (stability - stability.mean())) / (centred @ centred))
