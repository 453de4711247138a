"""How sure a stability is: an interval over personas, and what is left of it by chance. Beyond the paper."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from valuestab_utils.errors import ValuestabError, check_known
from valuestab_utils.estimates import mean_of_defined
from valuestab_utils.ipsative import IpsativeStability, ipsative_over_seeds, ipsative_stability
from valuestab_utils.rank_correlation import FEWEST_OBSERVATIONS, TIE_TOLERANCE, spearman_columns
from valuestab_utils.rank_order import over_seeds, rank_order_stability

MEASURES = ("rank_order", "ipsative")
NUMBERS_AT_ONCE = 4_000_000  # in one array: 32 MB
COLUMNS_AT_ONCE = 50_000


@dataclass(frozen=True)
class Interval:
    """A bootstrap interval of a stability.

    Attributes
    ----------
    low, high : float
        Between -1 and 1; NaN if more than half of the resamples have no stability.
    level : float
        Share of the resamples between them.
    n_resamples : int
        All resamples.
    n_undefined : int
        Those without a stability; they are left out.
    """

    low: float
    high: float
    level: float
    n_resamples: int
    n_undefined: int


@dataclass(frozen=True)
class Chance:
    """Stability without anything that a persona keeps to itself.

    Attributes
    ----------
    mean, low, high : float
        Mean and central 95% of the stabilities after permutation, -1 to 1; NaN if more than half are
        undefined.
    p_value : float
        One-sided, above 0 and at most 1; NaN where mean is, or if the observed stability is undefined.
    n_permutations : int
        All permutations.
    n_undefined : int
        Those without a stability; they are left out.
    """

    mean: float
    low: float
    high: float
    p_value: float
    n_permutations: int
    n_undefined: int


def bootstrap_interval(
    value_scores: np.ndarray, measure: str, n_resamples: int = 1000, level: float = 0.95, seed: int = 0
) -> Interval:
    """Percentile bootstrap interval of a stability, over personas.

    As many personas as there are are drawn with replacement, the same in every seed, context and value, and
    the stability is taken anew, many times: low and high are its quantiles (1 - level) / 2, (1 + level) / 2.

    The interval covers that the personas are a sample of possible personas. It does not cover other contexts,
    seeds or wordings: these stay as they are. How often it holds the true stability (level 0.95; simulated
    normal scores, 3 contexts, 4 values for rank-order and 10 for ipsative stability, 400 runs; true
    rank-order stability in brackets):

    ========  ================  ================  ================  ========
    personas  rank-order (0.2)  rank-order (0.5)  rank-order (0.9)  ipsative
    ========  ================  ================  ================  ========
    5         91%               89%               82%               77-84%
    10        93%               90%               77%               86-91%
    20        94%               90%               74%               90-94%
    60        94%               93%               86%               92-95%
    ========  ================  ================  ================  ========

    So with few personas it is rough. A rank-order interval also lies too low where stability is high, because
    a persona drawn twice ties with itself: take `high` for too low then, and never the middle for the
    stability. With a single persona whose ipsative stability is defined there is nothing to resample: the
    interval is NaN and all resamples count as undefined.

    Parameters
    ----------
    value_scores : ndarray, shape (seeds, contexts, personas, values)
        NaN where missing.
    measure : {"rank_order", "ipsative"}
        The statistic is the mean of `valuestab_utils.rank_order.over_seeds`, or the overall stability of
        `valuestab_utils.ipsative.ipsative_over_seeds`.
    n_resamples : int
    level : float
        Between 0 and 1.
    seed : int
        Of the random numbers: the same seed gives the same interval.

    Returns
    -------
    Interval

    Raises
    ------
    ValuestabError
        For an unknown measure, another shape, no resamples, a level that is no share, or scores that have no
        such stability (fewer than two contexts; three personas for rank-order, three values for ipsative
        stability).

    References
    ----------
    Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13.

    Examples
    --------
    Two contexts in which each of four personas keeps the order of its values:

    >>> scores = np.arange(24.0).reshape(1, 1, 4, 6).repeat(2, axis=1)
    >>> bootstrap_interval(scores, "ipsative", n_resamples=100)
    Interval(low=1.0, high=1.0, level=0.95, n_resamples=100, n_undefined=0)
    """
    scores = _checked(value_scores, measure, n_resamples, "resamples")
    if not 0 < level < 1:
        raise ValuestabError(f"level is {level}, but must lie between 0 and 1, such as 0.95.")
    n_personas = scores.shape[2]
    if measure == "ipsative":
        per_persona = _ipsative(scores).per_persona
        if (~np.isnan(per_persona)).sum() < 2:
            return Interval(np.nan, np.nan, level, n_resamples, n_resamples)

        def statistic(who: np.ndarray) -> np.ndarray:
            return mean_of_defined(per_persona[who], axis=1)

    else:
        _observed(scores, measure)  # its errors
        correlate = _rank_order_of_draws(scores)

        def statistic(who: np.ndarray) -> np.ndarray:
            return correlate(np.broadcast_to(who[:, None, None], (len(who), *scores.shape[:2], n_personas)))

    drawn = np.concatenate([statistic(who) for who in _resamples(scores.shape, n_resamples, seed)])
    (low, high), _, n_undefined = _central(drawn, level)
    return Interval(low, high, level, n_resamples, n_undefined)


def chance_stability(
    value_scores: np.ndarray, measure: str, n_permutations: int = 1000, seed: int = 0
) -> Chance:
    """Stability that is left when nobody knows who is who: personas permuted within each context and seed.

    Each context of each seed gets its own permutation of the personas (with all their values), and the
    stability is taken anew, many times. The p-value is that of the hypothesis that personas' identities do
    not matter::

        p = (1 + number of permutations with at least the observed stability) / (1 + number of permutations)

    For rank-order stability, which compares personas, chance is near 0. For ipsative stability it is what a
    profile of values common to all personas gives, which may be high: a model that answers alike whoever it
    plays has a high ipsative stability, and the same by chance. With a single persona nothing can be
    permuted: chance is the stability itself, and p is 1.

    Parameters
    ----------
    value_scores : ndarray, shape (seeds, contexts, personas, values)
        NaN where missing.
    measure : {"rank_order", "ipsative"}
        As for `bootstrap_interval`.
    n_permutations : int
    seed : int
        Of the random numbers: the same seed gives the same result.

    Returns
    -------
    Chance
        Permutations without a stability (possible where scores are missing) count in neither number of p.

    Raises
    ------
    ValuestabError
        As `bootstrap_interval`.

    References
    ----------
    Phipson and Smyth 2010, Permutation p-values should never be zero.

    Examples
    --------
    Four personas with one profile of values: perfectly stable, and just so by chance.

    >>> scores = np.tile(np.arange(6.0), (1, 2, 4, 1))
    >>> chance_stability(scores, "ipsative", n_permutations=99)
    Chance(mean=1.0, low=1.0, high=1.0, p_value=1.0, n_permutations=99, n_undefined=0)
    """
    scores = _checked(value_scores, measure, n_permutations, "permutations")
    observed = _observed(scores, measure)
    statistic = _rank_order_of_draws(scores) if measure == "rank_order" else _ipsative_of_draws(scores)
    drawn = np.concatenate([statistic(who) for who in _permutations(scores.shape, n_permutations, seed)])
    (low, high), mean, n_undefined = _central(drawn, 0.95)
    p_value = np.nan
    if not np.isnan(mean) and not np.isnan(observed):
        # Permutations that give the observed correlations again may sum to a hair less.
        as_high = int((drawn >= observed - TIE_TOLERANCE).sum())
        p_value = (1 + as_high) / (1 + n_permutations - n_undefined)
    return Chance(mean, low, high, p_value, n_permutations, n_undefined)


def _checked(value_scores: np.ndarray, measure: str, n: int, what: str) -> np.ndarray:
    check_known("measure", measure, MEASURES)
    scores = np.asarray(value_scores, dtype=float)
    if scores.ndim != 4 or 0 in scores.shape:
        raise ValuestabError(
            f"value_scores of shape {scores.shape}: give (seeds, contexts, personas, values), none of them 0."
        )
    if n < 1:
        raise ValuestabError(f"{n} {what} were asked for: take at least 1, better 1000.")
    return scores


def _ipsative(scores: np.ndarray) -> IpsativeStability:
    return ipsative_over_seeds([ipsative_stability(of_seed) for of_seed in scores])


def _observed(scores: np.ndarray, measure: str) -> float:
    if measure == "rank_order":
        return over_seeds([rank_order_stability(of_seed) for of_seed in scores]).mean
    return _ipsative(scores).overall


def _central(drawn: np.ndarray, level: float) -> tuple[tuple[float, float], float, int]:
    """Central interval and mean of the defined stabilities, NaN if fewer than half, and how many are not."""
    defined = drawn[~np.isnan(drawn)]
    n_undefined = len(drawn) - len(defined)
    if 2 * n_undefined > len(drawn):
        return (np.nan, np.nan), np.nan, n_undefined
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return (float(low), float(high)), float(defined.mean()), n_undefined


def _chunks(shape: tuple[int, ...], n: int) -> Iterator[int]:
    """Sizes that sum to n, so that an array of (draws, context pairs, personas) stays small."""
    seeds, contexts, personas, _ = shape
    size = max(1, NUMBERS_AT_ONCE // (seeds * contexts * contexts * personas))
    yield from (min(size, n - start) for start in range(0, n, size))


def _resamples(shape: tuple[int, ...], n: int, seed: int) -> Iterator[np.ndarray]:
    """Personas drawn with replacement, n times in chunks of shape (draws, personas)."""
    rng = np.random.default_rng(seed)
    for size in _chunks(shape, n):
        yield rng.integers(shape[2], size=(size, shape[2]))


def _permutations(shape: tuple[int, ...], n: int, seed: int) -> Iterator[np.ndarray]:
    """Permutations of the personas, n times in chunks of shape (draws, seeds, contexts, personas)."""
    rng = np.random.default_rng(seed)
    seeds, contexts, personas, _ = shape
    for size in _chunks(shape, n):
        yield rng.permuted(np.broadcast_to(np.arange(personas), (size, seeds, contexts, personas)), axis=-1)


def _rank_order_of_draws(scores: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Function from who (draws, seeds, contexts, personas) to their rank-order stabilities (draws,).

    Sorting each draw anew would take half a minute. But twice a persona's centred rank is the number of those
    below it less the number of those above it, whoever they are: a product of how often each is there, and of
    signs.
    """
    n_seeds, n_contexts, _, n_values = scores.shape
    there, places = ~np.isnan(scores), _places(scores)
    pairs = list(combinations(range(n_contexts), 2))

    def of_pair(who: np.ndarray, s: int, one: int, other: int, v: int) -> np.ndarray:
        complete = there[s, one, who[:, s, one], v] & there[s, other, who[:, s, other], v]
        a, b = (_drawn_ranks(who[:, s, c], complete, places[s, c, :, v]) for c in (one, other))
        return _correlated(a, b, complete)

    def stabilities(who: np.ndarray) -> np.ndarray:
        per_seed = []
        for s in range(n_seeds):
            rho = np.array([[of_pair(who, s, *pair, v) for pair in pairs] for v in range(n_values)])
            per_value = mean_of_defined(rho, axis=1)  # (values, draws)
            per_seed.append(mean_of_defined(per_value, axis=0))
        return mean_of_defined(np.stack(per_seed), axis=0)

    return stabilities


def _places(scores: np.ndarray) -> np.ndarray:
    """Place of each persona's score from the lowest up; ties, made as in `spearman` among all, share one."""
    order = np.argsort(scores, axis=2)  # missing ones last; their places do not matter
    apart = np.diff(np.take_along_axis(scores, order, axis=2), axis=2, prepend=np.nan) > TIE_TOLERANCE
    places = np.empty(scores.shape)
    np.put_along_axis(places, order, np.cumsum(apart, axis=2).astype(float), axis=2)
    return places


def _drawn_ranks(who: np.ndarray, complete: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Twice the centred rank of each that was drawn, 0 where not complete, shape (draws, personas)."""
    n_draws, n_personas = who.shape
    cell = who + n_personas * np.arange(n_draws)[:, None]
    often = np.bincount(cell[complete], minlength=who.size).reshape(who.shape).astype(float)
    ranks = often @ np.sign(places[None, :] - places[:, None])
    return np.where(complete, ranks.ravel()[cell], 0.0)


def _correlated(a: np.ndarray, b: np.ndarray, complete: np.ndarray) -> np.ndarray:
    """Correlation of centred ranks (draws, personas) in each draw (draws,), NaN where `spearman` has none."""
    aa, bb, ab = (np.einsum("dp,dp->d", x, y) for x, y in ((a, a), (b, b), (a, b)))  # whole numbers, exact
    defined = (complete.sum(axis=1) >= FEWEST_OBSERVATIONS) & (aa > 0) & (bb > 0)
    rho = np.full(len(aa), np.nan)
    rho[defined] = ab[defined] / np.sqrt(aa[defined] * bb[defined])
    return np.clip(rho, -1.0, 1.0)


def _ipsative_of_draws(scores: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Function from who (draws, seeds, contexts, personas) to their ipsative stabilities (draws,).

    Each persona is correlated with each other between each two contexts once; to permute is to look up.
    """
    pairs = list(combinations(range(scores.shape[1]), 2))
    tables = [[_each_with_each(of_seed[one], of_seed[other]) for one, other in pairs] for of_seed in scores]

    def stabilities(who: np.ndarray) -> np.ndarray:
        per_seed = []
        for s, of_seed in enumerate(tables):
            rho = [
                table[who[:, s, one], who[:, s, other]]
                for table, (one, other) in zip(of_seed, pairs, strict=True)
            ]
            per_seed.append(mean_of_defined(np.stack(rho), axis=0))  # (draws, personas)
        return mean_of_defined(mean_of_defined(np.stack(per_seed), axis=0), axis=1)

    return stabilities


def _each_with_each(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Spearman's correlation over values of persona p in x (personas, values) with persona q in y, (p, q)."""
    n_personas = len(x)
    step = max(1, COLUMNS_AT_ONCE // n_personas)
    rho = np.empty((n_personas, n_personas))
    for start in range(0, n_personas, step):
        some = x[start : start + step]
        columns = spearman_columns(np.repeat(some.T, n_personas, axis=1), np.tile(y.T, len(some)))
        rho[start : start + step] = columns.rho.reshape(len(some), n_personas)
    return rho
