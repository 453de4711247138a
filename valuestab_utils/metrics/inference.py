"""How sure a number is: bootstrap intervals, chance by permutation, tests of pairs of models and of context length."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations, permutations, product

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control, ttest_ind_from_stats

from valuestab_utils.errors import ValuestabError
from valuestab_utils.metrics.agreement import (
    FEWEST_OBSERVATIONS,
    TIE_TOLERANCE,
    average_ranks,
    checked_scores,
    correlations,
    correlations_of_centred,
    mean_of_defined,
    spearman,
    stability,
)

LEVEL = 0.95  # of all intervals
NUMBERS_AT_ONCE = 4_000_000  # in one array: 32 MB
EXACT_UP_TO = 7  # contexts whose orders are all tried: 5040
PER = 100  # units of length that the slope is for
TOO_FEW = "fewer than two units"
NO_VARIANCE = "no variance in either"


@dataclass(frozen=True)
class Interval:
    """Central 95% and mean of what was drawn n_resamples times; NaN if more than half of it is undefined."""

    low: float
    high: float
    mean: float
    n_resamples: int
    n_undefined: int


@dataclass(frozen=True)
class Chance(Interval):
    """Stability (-1 to 1) without anything that a persona keeps to itself; p_value is one-sided, above 0."""

    p_value: float


@dataclass(frozen=True)
class LengthEffect:
    """How stability between two contexts goes with their mean length.

    rho, p_value : Spearman's over pairs of contexts, two-sided; NaN if one is constant or below 3 pairs
    slope : change of stability per 100 units of length, least squares; NaN below 3 pairs or if all are equally long
    """

    rho: float
    p_value: float
    n_pairs: int
    slope: float
    n_undefined: int


def bootstrap_interval(
    value_scores: np.ndarray, measure: str, n_resamples: int = 1000, seed: int = 0
) -> Interval:
    """Percentile bootstrap interval over personas of a stability of scores (seeds, contexts, personas, values).

    As many personas as there are are drawn with replacement, the same in every seed, context and value, and the
    stability is taken anew (Efron and Tibshirani 1993, chapter 13): personas are a sample of possible ones, which
    contexts, seeds and wordings are not taken for.

    In simulations (normal scores, 3 contexts) a 95% interval held the true rank-order stability 0.5 in 89-93% of the
    studies with 5 to 60 personas, the ipsative one in 77-84% with 5 and 90-95% with 20 or more. Where rank-order
    stability is high (0.9: 74-86%) it lies too low, because a persona drawn twice ties with itself: take `high` for too
    low then, and never the middle for the stability.
    """
    scores, observed = checked_scores(value_scores, measure), stability(value_scores, measure)
    if measure == "ipsative" and observed.n < 2:
        return central(np.full(n_resamples, np.nan))

    def mean_over_personas(who: np.ndarray) -> np.ndarray:
        return mean_of_defined(observed.each[who[:, 0, 0]], axis=1)

    of_draws = mean_over_personas if measure == "ipsative" else _rank_order_of_draws(scores)
    drawn = np.concatenate([of_draws(who) for who in _resamples(scores.shape, n_resamples, seed)])
    return central(drawn)


def chance_stability(value_scores: np.ndarray, measure: str, n_permutations: int = 1000, seed: int = 0) -> Chance:
    """Stability that is left when nobody knows who is who: personas permuted within each context and seed.

    The p-value, of the hypothesis that personas' identities do not matter, is (1 + permutations with at least the
    observed stability) / (1 + permutations), where neither counts undefined ones (Phipson and Smyth 2010). For
    rank-order stability, chance is near 0. For ipsative stability it is what a profile common to all personas gives: a
    model that answers alike whoever it plays has a high stability, and the same by chance.
    """
    scores, observed = checked_scores(value_scores, measure), stability(value_scores, measure).overall
    of_draws = _rank_order_of_draws(scores) if measure == "rank_order" else _ipsative_of_draws(scores)
    drawn = np.concatenate([of_draws(who) for who in _permutations(scores.shape, n_permutations, seed)])
    interval, p_value = central(drawn), np.nan
    if not np.isnan([interval.mean, observed]).any():
        # Permutations that give the observed correlations again may sum to a hair less.
        as_high = int((drawn >= observed - TIE_TOLERANCE).sum())
        p_value = (1 + as_high) / (1 + n_permutations - interval.n_undefined)
    return Chance(**asdict(interval), p_value=p_value)


def central(drawn: np.ndarray) -> Interval:
    defined = drawn[~np.isnan(drawn)]
    n_undefined = len(drawn) - len(defined)
    if 2 * n_undefined > len(drawn):
        return Interval(np.nan, np.nan, np.nan, len(drawn), n_undefined)
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high), float(defined.mean()), len(drawn), n_undefined)


def drawn_again(statistics: Callable[[], Sequence[float]], n: int, n_statistics: int = 1) -> tuple[np.ndarray, str]:
    """Statistics of n draws, (statistics, n), NaN where `ValuestabError` refuses them; and why the first is refused."""
    drawn, reason = np.full((n_statistics, n), np.nan), ""
    for i in range(n):
        try:
            drawn[:, i] = statistics()
        except ValuestabError as error:
            reason = reason or str(error)
    return drawn, reason


def _chunks(shape: tuple[int, ...], n: int) -> Iterator[int]:
    """Sizes that sum to n, so that an array of (draws, context pairs, personas) stays small."""
    seeds, contexts, personas, _ = shape
    size = max(1, NUMBERS_AT_ONCE // (seeds * contexts * contexts * personas))
    yield from (min(size, n - start) for start in range(0, n, size))


def _resamples(shape: tuple[int, ...], n: int, seed: int) -> Iterator[np.ndarray]:
    """Personas drawn with replacement, n times in chunks of shape (draws, seeds, contexts, personas)."""
    rng = np.random.default_rng(seed)
    for size in _chunks(shape, n):
        who = rng.integers(shape[2], size=(size, 1, 1, shape[2]))
        yield np.broadcast_to(who, (size, *shape[:3]))


def _permutations(shape: tuple[int, ...], n: int, seed: int) -> Iterator[np.ndarray]:
    """Permutations of the personas, n times in chunks of shape (draws, seeds, contexts, personas)."""
    rng = np.random.default_rng(seed)
    for size in _chunks(shape, n):
        yield rng.permuted(np.broadcast_to(np.arange(shape[2]), (size, *shape[:3])), axis=-1)


def _rank_order_of_draws(scores: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Function from who (draws, seeds, contexts, personas) to their rank-order stabilities (draws,)."""
    n_seeds, n_contexts, _, n_values = scores.shape
    there, places = ~np.isnan(scores), np.nan_to_num(average_ranks(scores, axis=2))
    pairs = list(combinations(range(n_contexts), 2))

    def stabilities(who: np.ndarray) -> np.ndarray:
        rho = np.empty((n_seeds, len(pairs), n_values, len(who)))
        for s, p, v in product(range(n_seeds), range(len(pairs)), range(n_values)):
            complete = np.logical_and(*(there[s, c, who[:, s, c], v] for c in pairs[p]))
            x, y = (_drawn_ranks(who[:, s, c], complete, places[s, c, :, v]) for c in pairs[p])
            rho[s, p, v] = correlations_of_centred(x, y, complete.sum(axis=1)).rho
        per_value = mean_of_defined(rho, axis=1)  # (seeds, values, draws)
        return mean_of_defined(mean_of_defined(per_value, axis=1), axis=0)

    return stabilities


def _drawn_ranks(who: np.ndarray, complete: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Twice the centred rank of each that was drawn, 0 where not complete, shape (draws, personas)."""
    n_draws, n_personas = who.shape
    cell = who + n_personas * np.arange(n_draws)[:, None]
    often = np.bincount(cell[complete], minlength=who.size).reshape(who.shape).astype(float)
    # Sorting each draw anew would take half a minute. But twice a persona's centred rank is the number of those below
    # it less that of those above it, whoever they are: how often each is there, times signs.
    ranks = often @ np.sign(places[None, :] - places[:, None])
    return np.where(complete, ranks.ravel()[cell], 0.0)


def _ipsative_of_draws(scores: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Function from who (draws, seeds, contexts, personas) to their ipsative stabilities (draws,)."""
    pairs = list(combinations(range(scores.shape[1]), 2))
    # Each persona with each other between each two contexts, once: to permute is then to look up.
    tables = [
        [correlations(of_seed[i][:, None], of_seed[j][None], axis=-1).rho for i, j in pairs] for of_seed in scores
    ]

    def stabilities(who: np.ndarray) -> np.ndarray:
        rho = [
            [table[who[:, s, i], who[:, s, j]].T for table, (i, j) in zip(of_seed, pairs, strict=True)]
            for s, of_seed in enumerate(tables)
        ]
        per_persona = mean_of_defined(mean_of_defined(rho, axis=1), axis=0)  # (personas, draws)
        return mean_of_defined(per_persona, axis=0)

    return stabilities


def compare_pairs(units: Mapping[str, Sequence[float]], alpha: float = 0.05) -> pd.DataFrame:
    """Student's t-test for each pair of models on their units' stabilities, with Benjamini-Hochberg (1995).

    The p-values of the pairs that can be tested are adjusted together: 210 for 21 models. Units (NaN left out) must be
    independent of each other: seeds for rank-order stability, option-order permutations for ipsative stability without
    persona; not the seeds and permutations pooled. Kovač et al. 2024, appendix E.

    difference and t tell one less other; significant is p_adjusted <= alpha, <NA> where undefined says why there is no
    test.

    >>> pairs = compare_pairs({"small": [0.1, 0.2, 0.3], "large": [0.3, 0.4, 0.5]})
    >>> pairs[["one", "other", "t", "p"]].round(3)  # variance 0.01 each: t = -0.2 / sqrt(0.01 * 2 / 3)
         one  other      t     p
    0  small  large -2.449  0.07
    """
    of_models = {model: np.asarray(stabilities, dtype=float) for model, stabilities in units.items()}
    defined = {model: of_model[~np.isnan(of_model)] for model, of_model in of_models.items()}
    pairs = pd.DataFrame([
        {"one": one, "other": other} | _student(defined[one], defined[other]) for one, other in combinations(defined, 2)
    ])
    pairs["degrees_of_freedom"] = pairs["degrees_of_freedom"].astype("Int64")
    tested = pairs["undefined"] == ""
    pairs["p_adjusted"] = np.nan
    if tested.any():
        pairs.loc[tested, "p_adjusted"] = false_discovery_control(pairs.loc[tested, "p"])
    pairs["significant"] = (pairs["p_adjusted"] <= alpha).astype("boolean").where(tested)
    return pairs[[name for name in pairs if name != "undefined"] + ["undefined"]]


def _student(one: np.ndarray, other: np.ndarray) -> dict:
    """One row of `compare_pairs`, before the adjustment."""
    mean_one, mean_other = (float(mean_of_defined(units)) for units in (one, other))
    row = {
        "n_one": len(one), "n_other": len(other), "mean_one": mean_one, "mean_other": mean_other,
        "difference": mean_one - mean_other, "t": np.nan, "degrees_of_freedom": None, "p": np.nan,
    }
    if min(len(one), len(other)) < 2:
        return row | {"undefined": TOO_FEW}
    # Equal stabilities may differ by rounding, whose variance would make any difference significant.
    if max(np.ptp(one), np.ptp(other)) <= TIE_TOLERANCE:
        return row | {"undefined": NO_VARIANCE}
    # From means and deviations: ttest_ind warns if one model is constant, though the test is sound.
    test = ttest_ind_from_stats(
        mean_one, one.std(ddof=1), len(one), mean_other, other.std(ddof=1), len(other)
    )
    t, p = float(test.statistic), float(test.pvalue)
    return row | {"t": t, "degrees_of_freedom": len(one) + len(other) - 2, "p": p, "undefined": ""}


def length_effect(
    pairwise: np.ndarray, lengths: np.ndarray, n_permutations: int = 5000, seed: int = 0
) -> LengthEffect:
    """Is stability lower between longer contexts (rho below 0)? Figure 10 of the paper, as a number of our own.

    ``pairwise`` is the symmetric stability (contexts, contexts), NaN where undefined; ``lengths`` are characters or
    tokens, one for each context. The test is Mantel's (1967): contexts, not pairs, are given each other's lengths. Up
    to seven contexts, every order is tried, the observed one among them; with more, ``n_permutations`` random ones,
    and p = (1 + as extreme) / (1 + tried). With three contexts p is never below 1/3.
    """
    pairwise, lengths = np.asarray(pairwise, dtype=float), np.asarray(lengths, dtype=float)
    if pairwise.shape != lengths.shape * 2 or not np.isfinite(lengths).all():
        raise ValuestabError(
            f"Stability against length needs a square of contexts and a length of each, not {pairwise.shape} and "
            f"{lengths.tolist()}: give both of the same ones."
        )
    first, second = np.triu_indices(len(lengths), k=1)
    stabilities = pairwise[first, second]
    there = ~np.isnan(stabilities)
    of_pairs = (lengths[first] + lengths[second]) / 2
    rho = spearman(of_pairs, stabilities)
    p_value = float("nan")
    if not np.isnan(rho):
        # Pairs with a context in common are not independent: to permute pairs would find effects where there are none.
        shuffled = lengths[_orders(len(lengths), n_permutations, seed)]  # (orders, contexts)
        drawn = correlations((shuffled[:, first] + shuffled[:, second]) / 2, stabilities, axis=1).rho
        # An order for which there is no correlation says nothing for the observed one, and counts against it.
        # The tolerance: an order that ties with the observed one must not fall short of it by rounding.
        extreme = np.isnan(drawn) | (np.abs(drawn) >= abs(rho) - 1e-12)
        own = 0 if len(lengths) <= EXACT_UP_TO else 1  # the observed order, where it is not among those tried
        p_value = float((own + extreme.sum()) / (own + len(drawn)))
    slope = _slope(of_pairs[there], stabilities[there])
    return LengthEffect(rho, p_value, int(there.sum()), slope, int((~there).sum()))


def _orders(n: int, n_permutations: int, seed: int) -> np.ndarray:
    """Orders of n contexts, shape (orders, n)."""
    if n <= EXACT_UP_TO:
        return np.array(list(permutations(range(n))))
    return np.random.default_rng(seed).permuted(np.tile(np.arange(n), (n_permutations, 1)), axis=1)


def _slope(of_pairs: np.ndarray, stabilities: np.ndarray) -> float:
    if len(of_pairs) < FEWEST_OBSERVATIONS or np.ptp(of_pairs) == 0:
        return float("nan")
    centred = of_pairs - of_pairs.mean()
    return float(PER * (centred @ (stabilities - stabilities.mean())) / (centred @ centred))
