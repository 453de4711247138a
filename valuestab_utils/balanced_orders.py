"""Answers from balanced option orders: every option stands once at every letter, so that letters cancel out.

The paper asks each item once, in one random order of its options. A model that prefers a letter then gives
the option that happens to stand there. Here each item is asked in as many orders as it has options, the
cyclic rotations of one random order, and the log-probabilities of an option are averaged over them. In this
Latin square any preference for a letter adds the same to every option, and so changes neither which option is
likeliest nor their probabilities.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from valuestab_utils.errors import ValuestabError
from valuestab_utils.prompts import LETTERS

TIE = 1e-9  # nats; sums over rotations in another sequence differ by rounding, which must not decide
SESSION = ["model", "format", "population", "persona", "topic", "seed"]
ASKED = [*SESSION, "instrument", "item"]
CARRIED = ["value", "persona_description", "family", "wording"]


@dataclass(frozen=True, eq=False)
class BalancedAnswers:
    """Answers to some items, each asked in balanced option orders.

    Attributes
    ----------
    answer : ndarray of int, shape (items,)
        Code of the option with the highest average log-probability; the lowest such code if there is a tie.
    expected : ndarray, shape (items,)
        Expected score, between 1 and the number of options.
    option_logprobs : ndarray, shape (items, options)
        Log-probability of each option (by code), mean over rotations, in nats; -inf if it was -inf in one.
    single_answer : ndarray of int, shape (items,)
        Code at the likeliest letter of rotation 0 alone: what one random order gives.
    tied : ndarray of bool, shape (items,)
        Whether several options share the highest average, to within 1e-9 nats.
    """

    answer: np.ndarray
    expected: np.ndarray
    option_logprobs: np.ndarray
    single_answer: np.ndarray
    tied: np.ndarray

    @property
    def ties(self) -> int:
        """Number of items that the rule for ties decided."""
        return int(self.tied.sum())


@dataclass(frozen=True, eq=False)
class LetterBias:
    """How far the letters themselves, whatever stands at them, move a model's answers.

    Attributes
    ----------
    per_letter : ndarray, shape (letters,)
        Effect of each letter on the log-probability, in nats; they sum to 0.
    size : float
        Standard deviation of `per_letter` over letters, in nats (population formula).
    option_size : float
        Standard deviation of the averaged log-probabilities over options, in nats, mean over items.
    share : float
        size^2 / (size^2 + option_size^2): 0 if letters do nothing, 1 if they do everything; NaN if neither
        letters nor options make a difference.
    """

    per_letter: np.ndarray
    size: float
    option_size: float
    share: float


def rotated_orders(order: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """All cyclic rotations of an option order: a Latin square of options and letters.

    Parameters
    ----------
    order : sequence of int
        The code (1 = first option) of the option at each letter.

    Returns
    -------
    tuple of tuple of int
        As many as there are options; the first is `order`, and rotation r shows order[(i + r) % n] at letter
        i.

    Raises
    ------
    ValuestabError
        If `order` does not name each of the codes 1 to n once.

    Examples
    --------
    >>> rotated_orders([2, 1, 3])
    ((2, 1, 3), (1, 3, 2), (3, 2, 1))
    """
    n = len(order)
    if n == 0 or sorted(order) != list(range(1, n + 1)):
        raise ValuestabError(
            f"The option order is {list(order)}: give each of the codes 1 to {n or 'n'} once."
        )
    return tuple(tuple(int(order[(i + r) % n]) for i in range(n)) for r in range(n))


def check_latin_square(orders: np.ndarray) -> np.ndarray:
    """Return `orders` as an array of int if, for each item, every option stands once at every letter.

    Parameters
    ----------
    orders : ndarray of int, shape (items, rotations, letters)
        The code (1 = first option) of the option at each letter, in each rotation.

    Raises
    ------
    ValuestabError
        With another shape, or at the first item whose rotations are no Latin square; it names the item's
        place.

    Examples
    --------
    >>> check_latin_square(np.array([rotated_orders([2, 1, 3])])).shape
    (1, 3, 3)
    """
    orders = np.asarray(orders)
    if orders.ndim != 3 or orders.shape[1] != orders.shape[2] or orders.shape[2] == 0:
        raise ValuestabError(
            f"orders have the shape {orders.shape}: give (items, rotations, letters), with as many rotations "
            "as letters."
        )
    bad = np.flatnonzero(_is_no_square(orders))
    if len(bad):
        raise ValuestabError(_no_square(f"Item {bad[0]} (counted from 0)", orders[bad[0]]))
    return orders.astype(int)


def balanced_answers(logprobs: np.ndarray, orders: np.ndarray) -> BalancedAnswers:
    """Answers that do not depend on where an option stood.

    With l(r, k) the log-probability of the letter at which option k stands in rotation r, and n options::

        m(k) = mean over r of l(r, k);  answer = the k with the highest m(k)
        expected = sum over k of k exp(m(k)) / sum over k of exp(m(k))

    A preference for letters that adds the same amount to a letter in every rotation leaves `answer` and
    `expected` as they are: it adds its mean over letters to each m(k).

    Parameters
    ----------
    logprobs : ndarray, shape (items, rotations, letters)
        Log-probability of each letter, in nats. -inf (probability 0) is allowed: an option that had it in one
        rotation has the average -inf, and is not the answer.
    orders : ndarray of int, shape (items, rotations, letters)
        The code (1 = first option) of the option at each letter.

    Returns
    -------
    BalancedAnswers

    Raises
    ------
    ValuestabError
        If the shapes differ, an item's orders are no Latin square, a log-probability is NaN or +inf, or an
        item has no letter or no option with a probability left; it names the item's place.

    References
    ----------
    The balance is ours; a single random order is Kovač et al. 2024, appendix B.4.

    Examples
    --------
    Three options; the letter B is preferred so much that it wins each time, whatever stands there:

    >>> orders = np.array([rotated_orders([2, 1, 3])])
    >>> liking = np.log([0.2, 0.3, 0.5])  # of the options 1, 2, 3
    >>> answers = balanced_answers(liking[orders - 1] + [0, 4, 0], orders)
    >>> answers.single_answer, answers.answer, answers.expected.round(6)  # 0.2 + 2 x 0.3 + 3 x 0.5
    (array([1]), array([3]), array([2.3]))
    """
    orders = check_latin_square(orders)
    logprobs = _of_same_shape(logprobs, orders)
    fault = _fault(logprobs, orders)
    if fault:
        raise ValuestabError(f"Item {fault[0]} (counted from 0): {fault[1]}.")
    return _balanced(logprobs, orders)


def letter_bias(logprobs: np.ndarray, orders: np.ndarray) -> LetterBias:
    """Effect of each letter on its log-probability, apart from what stands there.

    The model is additive: log-probability = option effect (item, option) + letter effect (letter) + rest. In
    a Latin square the two do not mix, and with l(i, r, a) the log-probability of letter a::

        per_letter(a) = mean over i, r of l(i, r, a)  -  mean over i, r, a of l(i, r, a)

    The normaliser that makes letters' probabilities sum to 1 is the same for all letters of a prompt, so it
    drops out of each difference of letters: a model that puts 1 nat on the letter C, and else sees options
    alone, has a C that stands 1.0 above the mean of the other letters.

    Parameters
    ----------
    logprobs : ndarray, shape (items, rotations, letters)
        Log-probability of each letter, in nats; all finite.
    orders : ndarray of int, shape (items, rotations, letters)
        The code (1 = first option) of the option at each letter.

    Returns
    -------
    LetterBias

    Raises
    ------
    ValuestabError
        As `balanced_answers`, without items, or if a log-probability is -inf: it has no mean.

    Examples
    --------
    >>> orders = np.array([rotated_orders([2, 1, 3])])
    >>> bias = letter_bias(np.array([1.0, 2.0, 3.0])[orders - 1] + [0, 3, 0], orders)
    >>> bias.per_letter.round(6), round(bias.size**2, 6), round(bias.option_size**2, 6), round(bias.share, 6)
    (array([-1.,  2., -1.]), 2.0, 0.666667, 0.75)
    """
    orders = check_latin_square(orders)
    logprobs = _of_same_shape(logprobs, orders)
    bad = np.flatnonzero(~np.isfinite(logprobs).all(axis=(1, 2)))
    if len(bad) or not len(logprobs):
        place = f"item {bad[0]} (counted from 0) has one that is not" if len(bad) else "there are no items"
        raise ValuestabError(
            f"The letter bias is made of finite log-probabilities, but {place}: leave such items out, and "
            "give at least one."
        )
    per_letter = logprobs.mean(axis=(0, 1)) - logprobs.mean()
    size = float(per_letter.std())
    option_size = float(_balanced(logprobs, orders).option_logprobs.std(axis=1).mean())
    total = size**2 + option_size**2
    return LetterBias(per_letter, size, option_size, size**2 / total if total > TIE**2 else float("nan"))


def balanced_frame(answers: pd.DataFrame) -> pd.DataFrame:
    """Balanced answers of whole sessions, from a row for each rotation to a row for each item.

    Parameters
    ----------
    answers : DataFrame
        Columns model, format, population, persona, topic, seed, instrument, item; ``rotation``, from 0 to the
        number of options less 1; ``option_order``, the codes at the letters A, B, ...; and ``logprob_A``,
        ``logprob_B``, ... (nats). Rows in any order; instruments may have different numbers of options.

    Returns
    -------
    DataFrame
        One row a session and item, in the sequence in which they first appear: the columns that name it;
        ``answer``, ``expected`` and ``single_answer`` as in `BalancedAnswers`; ``tied``; and value,
        persona_description, family and wording, where `answers` has them.

    Raises
    ------
    ValuestabError
        If a column is missing, there are no rows, or, for a session and item that it names, a rotation is
        missing or there twice, the orders are no Latin square, a log-probability is NaN or +inf, no letter or
        option has a probability, or a carried column differs between rotations.

    Examples
    --------
    >>> session = dict(model="m", format="base", population="p", persona="Sam", topic="joke", seed=1)
    >>> frame = pd.DataFrame(
    ...     session | {"instrument": "PVQ-40", "item": 7, "rotation": r, "option_order": order}
    ...     | {"logprob_A": -2.0 if order[0] == 1 else -1.0, "logprob_B": -0.5}
    ...     for r, order in enumerate(rotated_orders([1, 2]))
    ... )
    >>> balanced_frame(frame)[["item", "answer", "single_answer"]].values.tolist()
    [[7, 2, 2]]
    """
    absent = [name for name in (*ASKED, "rotation", "option_order") if name not in answers.columns]
    if absent or answers.empty:
        what = f"have no column {', '.join(absent)}" if absent else "have no rows"
        raise ValuestabError(
            f"The answers in balanced orders {what}: give the answers of a run with balanced orders."
        )
    group = answers.groupby(ASKED, sort=False, dropna=False).ngroup().to_numpy()
    rotation = answers["rotation"].to_numpy()
    n_options = answers["option_order"].map(len).to_numpy()
    _refuse_incomplete(answers, group, rotation, n_options)
    parts = []
    for n in np.unique(n_options):
        chosen = np.flatnonzero(n_options == n)
        chosen = chosen[np.lexsort((rotation[chosen], group[chosen]))]
        part = _of_n_options(answers.iloc[chosen], int(n))
        part.index = group[chosen][:: int(n)]
        parts.append(part)
    return pd.concat(parts).sort_index().reset_index(drop=True)


def _of_n_options(rows: pd.DataFrame, n: int) -> pd.DataFrame:
    """Balanced answers from rows in groups of n rotations."""
    letters = [f"logprob_{letter}" for letter in LETTERS[:n]]
    absent = [name for name in letters if name not in rows.columns]
    if absent or len(letters) < n:
        raise ValuestabError(
            f"Answers with {n} options lack a column ({', '.join(absent)}): give a column a letter, "
            f"{LETTERS[0]} to {LETTERS[-1]} at most."
        )
    shape = (len(rows) // n, n, n)
    orders = np.array(rows["option_order"].tolist()).reshape(shape)
    logprobs = rows[letters].to_numpy(dtype=float).reshape(shape)
    first = rows.iloc[::n]
    bad = np.flatnonzero(_is_no_square(orders))
    if len(bad):
        raise ValuestabError(_no_square(_named(first.iloc[bad[0]]), orders[bad[0]]))
    fault = _fault(logprobs, orders)
    if fault:
        raise ValuestabError(f"{_named(first.iloc[fault[0]])}: {fault[1]}.")
    carried = [name for name in CARRIED if name in rows.columns]
    for name in carried:
        column = rows[name].astype(object).where(rows[name].notna(), None).to_numpy().reshape(-1, n)
        differs = np.flatnonzero((column != column[:, :1]).any(axis=1))
        if len(differs):
            raise ValuestabError(
                f"{_named(first.iloc[differs[0]])}: its rotations differ in the column {name}, so they are "
                "not of the same question; give the rotations of one run."
            )
    result = _balanced(logprobs, orders.astype(int))
    return first[[*ASKED, *carried]].assign(
        answer=result.answer, expected=result.expected, single_answer=result.single_answer, tied=result.tied
    )


def _refuse_incomplete(
    answers: pd.DataFrame, group: np.ndarray, rotation: np.ndarray, n_options: np.ndarray
) -> None:
    """Each session and item needs each rotation from 0 to its number of options less 1, once."""
    places = pd.DataFrame({"group": group, "rotation": rotation, "n": n_options})
    each = places.groupby("group").agg(
        rows=("rotation", "size"), distinct=("rotation", "nunique"), low=("rotation", "min"),
        high=("rotation", "max"), n=("n", "min"), most=("n", "max"),
    )  # fmt: skip
    complete = (each["rows"] == each["n"]) & (each["distinct"] == each["n"]) & (each["n"] == each["most"])
    bad = np.flatnonzero(~(complete & (each["low"] == 0) & (each["high"] == each["n"] - 1)))
    if len(bad):
        mine = np.flatnonzero(group == bad[0])
        raise ValuestabError(
            f"{_named(answers.iloc[mine[0]])}: its rotations are {sorted(rotation[mine].tolist())}, but must "
            f"be 0 to {n_options[mine].max() - 1}, each once: finish the run, and give one run alone."
        )


def _named(row: pd.Series) -> str:
    return f"Session {'/'.join(str(row[name]) for name in SESSION)}, {row['instrument']} item {row['item']}"


def _is_no_square(orders: np.ndarray) -> np.ndarray:
    """Whether the orders (items, n, n) of an item lack a code 1 to n in some rotation or at some letter."""
    n = orders.shape[2]
    codes = np.arange(1, n + 1)
    rows, columns = np.sort(orders, axis=2) == codes, np.sort(orders, axis=1) == codes[:, None]
    return ~(rows & columns).all(axis=(1, 2))


def _no_square(who: str, orders: np.ndarray) -> str:
    return (
        f"{who}: the option orders {orders.tolist()} do not show each of the codes 1 to {len(orders)} once "
        "in every order and once at every letter; take those of rotated_orders."
    )


def _of_same_shape(logprobs: np.ndarray, orders: np.ndarray) -> np.ndarray:
    logprobs = np.asarray(logprobs, dtype=float)
    if logprobs.shape != orders.shape:
        raise ValuestabError(
            f"logprobs have the shape {logprobs.shape}, orders {orders.shape}: give both for the same items, "
            "rotations and letters."
        )
    return logprobs


def _fault(logprobs: np.ndarray, orders: np.ndarray) -> tuple[int, str] | None:
    """The first item without an answer, and why."""
    none_left = np.isneginf(_by_option(logprobs, orders.astype(int))).any(axis=1).all(axis=1)
    for wrong, why in (
        ((np.isnan(logprobs) | np.isposinf(logprobs)).any(axis=(1, 2)), "a log-probability is NaN or +inf"),
        (np.isneginf(logprobs).all(axis=2).any(axis=1), "in one rotation no letter has a probability"),
        (none_left, "every option has the probability 0 in one of its rotations"),
    ):
        if wrong.any():
            return int(np.argmax(wrong)), f"{why}, so there is no answer to read; load the model in float32"
    return None


def _by_option(logprobs: np.ndarray, orders: np.ndarray) -> np.ndarray:
    """Log-probabilities (items, rotations, options) by code in place of letter."""
    return np.take_along_axis(logprobs, np.argsort(orders, axis=2), axis=2)


def _balanced(logprobs: np.ndarray, orders: np.ndarray) -> BalancedAnswers:
    averages = _by_option(logprobs, orders).mean(axis=1)  # (items, options)
    highest = averages.max(axis=1, keepdims=True)
    best = averages >= highest - TIE
    weights = np.exp(averages - highest)
    codes = np.arange(1, averages.shape[1] + 1)
    at_likeliest = logprobs[:, 0].argmax(axis=1)  # the first such letter, as in a single order
    return BalancedAnswers(
        answer=best.argmax(axis=1) + 1,
        expected=(weights * codes).sum(axis=1) / weights.sum(axis=1),
        option_logprobs=averages,
        single_answer=orders[np.arange(len(orders)), 0, at_likeliest],
        tied=best.sum(axis=1) > 1,
    )
