"""What the order of the options does: balanced orders, the letters' own pull, and stability without that noise.

Where two draws of option orders disagree in the same conversations, nothing but the order has changed: that is answer
noise, and it lowers the correlation between contexts as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd

from valuestab_utils.errors import ValuestabError
from valuestab_utils.metrics.agreement import (
    OBSERVATIONS,
    checked_scores,
    correlations,
    mean_of_defined,
    retest_reliability,
)
from valuestab_utils.prompts import LETTERS

TIE = 1e-9  # nats; sums over rotations in another sequence differ by rounding, which must not decide
SESSION = ["model", "format", "population", "persona", "topic", "seed"]
ASKED = [*SESSION, "instrument", "item"]
SMALLEST_RELIABILITY = 0.05  # below, the quotient is mostly noise, whatever the size of the design
CHANCE_SDS = 2.0  # and a reliability within so many standard deviations of chance is no reliability


class BalancedAnswers(NamedTuple):
    """Answers to some items, each asked in balanced option orders; arrays (items,).

    answer : code of the option with the highest average log-probability, the lowest of tied ones
    expected : expected score, between 1 and the number of options
    single_answer : code at the likeliest letter of rotation 0 alone: what one random order gives
    tied : whether several options share the highest average, to within 1e-9 nats
    """

    answer: np.ndarray
    expected: np.ndarray
    single_answer: np.ndarray
    tied: np.ndarray


@dataclass(frozen=True, eq=False)
class LetterBias:
    """How far the letters themselves, whatever stands at them, move a model's answers.

    per_letter : (letters,), effect of each on the log-probability, in nats; they sum to 0
    size, option_size : standard deviation over letters, and of the options' averages (mean over items), in nats
    share : size² / (size² + option_size²), 0 if letters do nothing, 1 if they do everything; NaN if both are 0
    """

    per_letter: np.ndarray
    size: float
    option_size: float
    share: float


@dataclass(frozen=True, eq=False)
class Corrected:
    """Stability without the answer noise.

    stability, reliability : between contexts, each in another draw; within a context, between the draws
    corrected : stability / reliability, NaN if there is a `reason`; estimates may exceed 1 and are not cut
    chance_sd : standard deviation of the reliability if the two draws had nothing in common
    n_seeds : seeds that have both
    """

    stability: float
    reliability: float
    corrected: float
    reason: str
    chance_sd: float
    n_seeds: int


def rotated_orders(order: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """All cyclic rotations of an option order (the code at each letter, 1 = first option): a Latin square.

    >>> rotated_orders([2, 1, 3])
    ((2, 1, 3), (1, 3, 2), (3, 2, 1))
    """
    order = tuple(int(code) for code in order)
    return tuple(order[r:] + order[:r] for r in range(len(order)))


def balanced_frame(answers: pd.DataFrame) -> tuple[pd.DataFrame, LetterBias]:
    """Balanced answers of whole sessions, a row for each item, and the letter bias in them.

    Rows, one for each ``rotation`` (0, 1, ...), have the columns `ASKED`, ``option_order``, the codes at the letters A,
    B, ..., and ``logprob_A``, ... (nats).
    """
    rows = _in_rotations(answers)
    orders = np.stack(rows["option_order"].to_list())
    n = orders.shape[1]
    logprobs = rows[[f"logprob_{letter}" for letter in LETTERS[:n]]].to_numpy(dtype=float)
    arrays = logprobs.reshape(-1, n, n), orders.reshape(-1, n, n)  # (items of all sessions, rotations, letters)
    first = rows.iloc[::n].reset_index(drop=True)
    kept = [*ASKED, *(name for name in ("value", "persona_description", "family", "wording") if name in first)]
    return first[kept].assign(**balanced_answers(*arrays)._asdict()), letter_bias(*arrays)


def balanced_answers(logprobs: np.ndarray, orders: np.ndarray) -> BalancedAnswers:
    """Answers that do not depend on where an option stood, from arrays (items, rotations, letters).

    With l(r, k) the log-probability (nats) of the letter at which option k stands in rotation r::

        m(k) = mean over r of l(r, k);  answer = the k with the highest m(k)
        expected = sum over k of k exp(m(k)) / sum over k of exp(m(k))

    The balance is ours; a single random order is Kovač et al. 2024, appendix B.4. Three options; the letter B is
    preferred so much that it wins each time, whatever stands there:

    >>> orders = np.array([rotated_orders([2, 1, 3])])
    >>> liking = np.log([0.2, 0.3, 0.5])  # of the options 1, 2, 3
    >>> answers = balanced_answers(liking[orders - 1] + [0, 4, 0], orders)
    >>> answers.single_answer, answers.answer, answers.expected.round(6)  # 0.2 + 2 x 0.3 + 3 x 0.5
    (array([1]), array([3]), array([2.3]))
    """
    averages = _averages(logprobs, orders)
    unreadable = np.isnan(logprobs) | np.isposinf(logprobs)
    impossible = np.isneginf(logprobs).all(axis=2).any(axis=1) | np.isneginf(averages).all(axis=1)
    wrong = unreadable.any(axis=(1, 2)) | impossible
    if wrong.any():
        raise ValuestabError(
            f"In {wrong.sum()} of {len(wrong)} items a log-probability is NaN or +inf, or no letter or option has a "
            f"probability left, first in the {np.argmax(wrong) + 1}th: load the model in float32."
        )
    highest = averages.max(axis=1, keepdims=True)
    best = averages >= highest - TIE
    weights = np.exp(averages - highest)
    codes = np.arange(1, averages.shape[1] + 1)
    at_likeliest = logprobs[:, 0].argmax(axis=1)  # the first such letter, as in a single order
    return BalancedAnswers(
        answer=best.argmax(axis=1) + 1,
        expected=(weights * codes).sum(axis=1) / weights.sum(axis=1),
        single_answer=orders[np.arange(len(orders)), 0, at_likeliest],
        tied=best.sum(axis=1) > 1,
    )


def letter_bias(logprobs: np.ndarray, orders: np.ndarray) -> LetterBias:
    """Effect of each letter on its log-probability, apart from what stands there.

    The model is additive: log-probability = option effect (item, option) + letter effect (letter) + rest. In a Latin
    square the two do not mix, and a letter's effect is its mean over items and rotations, less that of all letters.
    """
    if not logprobs.size or not np.isfinite(logprobs).all():
        raise ValuestabError(
            "The letter bias is made of finite log-probabilities: leave items out that have others, and give one."
        )
    # The normaliser that makes letters' probabilities sum to 1 is the same for all letters of a prompt, so it
    # drops out of each difference of letters.
    per_letter = logprobs.mean(axis=(0, 1)) - logprobs.mean()
    size = float(per_letter.std())
    option_size = float(_averages(logprobs, orders).std(axis=1).mean())
    total = size**2 + option_size**2
    return LetterBias(per_letter, size, option_size, size**2 / total if total > TIE**2 else float("nan"))


def corrected_stability(first: np.ndarray, second: np.ndarray, measure: str = "rank_order") -> Corrected:
    """Stability as it would be without answer noise: 1 if contexts change nothing beyond that noise.

    With s1, s2 the value_scores in the two draws, k a value (rank-order) or persona (ipsative)::

        stability(k)   = mean over pairs c1 < c2 of
                         (spearman(s1(c1, k), s2(c2, k)) + spearman(s1(c2, k), s2(c1, k))) / 2
        corrected      = mean over k and seeds of stability(k)  /  mean over k and seeds of retest reliability(k)

    The correction (Spearman 1904) assumes that noise is independent between draws and between contexts, and scores
    equally reliable in every context. A conversation's own randomness belongs to its context and stays in. There is
    none, but a reason, where the reliability is undefined, below 0.05, or less than two standard deviations of chance,
    1 / sqrt((n - 1) N) with N correlations of n observations each.
    """
    reliabilities = retest_reliability(first, second, measure).per_seed
    first, second = checked_scores(first, measure), checked_scores(second, measure)
    n_contexts = first.shape[1]
    if n_contexts < 2:
        raise ValuestabError(f"Stability needs at least 2 contexts, not {n_contexts}: add one.")
    _, axis = OBSERVATIONS[measure]
    # Contexts are compared between draws, so that the noise is independent on both sides, as it is in the reliability.
    both_ways = [
        mean_of_defined([correlations(first[:, c1], second[:, c2], axis).rho for c1, c2 in (pair, pair[::-1])], axis=0)
        for pair in combinations(range(n_contexts), 2)
    ]  # (pairs, seeds, k)
    stabilities = mean_of_defined(mean_of_defined(both_ways, axis=0), axis=1)  # (seeds,)
    defined = ~np.isnan(stabilities) & ~np.isnan(reliabilities)
    n_correlations = (~np.isnan(correlations(first, second, axis).rho)).sum(axis=(1, 2))
    chance = 1 / np.sqrt((first.shape[axis] - 1) * n_correlations[defined])
    # The quotient of means: a seed with a small reliability would carry the mean of quotients away.
    return _corrected(
        float(mean_of_defined(stabilities[defined])),
        float(mean_of_defined(reliabilities[defined])),
        float(np.sqrt((chance**2).sum()) / len(chance)) if len(chance) else float("nan"),
        len(chance),
    )


def _corrected(stability: float, reliability: float, chance_sd: float, n_seeds: int) -> Corrected:
    if np.isnan(reliability):
        reason = "no correlation between the draws is defined, so there is no reliability"
    elif np.isnan(stability):
        reason = "no correlation between contexts is defined, so there is no stability"
    elif reliability < SMALLEST_RELIABILITY:
        reason = f"the reliability {reliability:.3f} is below {SMALLEST_RELIABILITY}: too near to none"
    elif reliability < CHANCE_SDS * chance_sd:
        reason = (
            f"the reliability {reliability:.3f} is less than {CHANCE_SDS:g} standard deviations of chance "
            f"({chance_sd:.3f} each): more personas, contexts or seeds would tell"
        )
    else:
        reason = ""
    corrected = float("nan") if reason else stability / reliability
    return Corrected(stability, reliability, corrected, reason, chance_sd, n_seeds)


def _in_rotations(answers: pd.DataFrame) -> pd.DataFrame:
    """Rows by session and item, each in its rotations 0, 1, ...; ValuestabError if one is missing or there twice."""
    group = answers.groupby(ASKED, sort=False, dropna=False).ngroup()
    rows = answers.assign(_group=group).sort_values(["_group", "rotation"])
    n, of_item = len(rows["option_order"].iloc[0]), rows.groupby("_group")["rotation"]
    wrong = (rows["rotation"] != of_item.cumcount()) | (of_item.transform("size") != n)
    if wrong.any():
        named = "/".join(map(str, rows.loc[wrong, ASKED].iloc[0]))
        raise ValuestabError(f"{named}: its rotations must be 0 to {n - 1}, each once: finish the run.")
    return rows


def _averages(logprobs: np.ndarray, orders: np.ndarray) -> np.ndarray:
    """Mean log-probability over rotations, (items, options by code); all orders of an item must be a Latin square."""
    codes = np.arange(1, orders.shape[2] + 1)
    rows, columns = np.sort(orders, axis=2) == codes, np.sort(orders, axis=1) == codes[:, None]
    square = (rows & columns).all(axis=(1, 2))
    if not square.all():
        raise ValuestabError(
            f"The option orders {orders[np.argmin(square)].tolist()} do not show each of the codes 1 to {len(codes)} "
            "once in every order and once at every letter: take those of rotated_orders."
        )
    return np.take_along_axis(logprobs, np.argsort(orders, axis=2), axis=2).mean(axis=1)
