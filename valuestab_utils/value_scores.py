"""From answers to value scores: the key of an instrument, and the scoring of appendix B.5."""

import json
from collections.abc import Mapping, Sequence
from numbers import Integral
from pathlib import Path

import numpy as np

from valuestab_utils.errors import ValuestabError
from valuestab_utils.estimates import mean_of_defined
from valuestab_utils.paths import DATA

PVQ40_KEY_FILE = DATA / "instruments" / "pvq40_key.json"
Key = Mapping[str, Sequence[int]]  # value -> its items


def value_scores(answers: np.ndarray, key: Key, items: Sequence[int], centre: bool = True) -> np.ndarray:
    """Score of each value for each participant, relative to the participant's own mean answer.

    A participant is one persona in one context. With a(i) its answer to item i, m the mean over *all* items
    that it answered (scored by the key or not) and I(v) the answered items of value v::

        score(v) = mean over i in I(v) of (a(i) - m)

    A missing answer is NaN: the means go over the answers that are there, and a value without any answered
    item has the score NaN.

    Parameters
    ----------
    answers : ndarray, shape (contexts, personas, items)
        Coded answers (PVQ: Likert 1-6), NaN where missing. Their range is checked where data enters.
    key : mapping of str to sequence of int
        The items of each value.
    items : sequence of int
        The item numbers along the last axis of `answers`.
    centre : bool
        False leaves m out, as the downstream tasks do.

    Returns
    -------
    ndarray, shape (contexts, personas, values)
        In the order of `key` and the unit of the answers; Likert 1-6 gives -5 to 5 (1 to 6 if not centred).

    Raises
    ------
    ValuestabError
        If the axes do not fit, or an item of the key is not among `items`.

    References
    ----------
    Kovač et al. 2024, appendix B.5.

    Examples
    --------
    Two participants in one context answer four items; the mean of the first is 3, that of the second 2:

    >>> answers = np.array([[[6.0, 4.0, 1.0, 1.0], [2.0, np.nan, 1.0, 3.0]]])
    >>> value_scores(answers, {"Power": [1, 2], "Security": [3, 4]}, items=[1, 2, 3, 4])
    array([[[ 2., -2.],
            [ 0.,  0.]]])
    """
    answers = np.asarray(answers, dtype=float)
    items = list(items)
    if answers.ndim != 3 or answers.shape[2] != len(items) or len(set(items)) != len(items):
        raise ValuestabError(
            f"answers have the shape {answers.shape} for {len(items)} items: give (contexts, personas, "
            "items), and every item once."
        )
    absent = sorted(set().union(*key.values()) - set(items))
    if absent:
        raise ValuestabError(
            f"The answers lack items of the key ({listed(absent)}): add them, or give a key without them."
        )
    column = {item: i for i, item in enumerate(items)}
    columns = [[column[item] for item in of_value] for of_value in key.values()]
    scores = [mean_of_defined(answers[:, :, of_value], axis=2) for of_value in columns]
    own_mean = mean_of_defined(answers, axis=2)[:, :, None] if centre else 0.0
    return np.stack(scores, axis=2) - own_mean


def check_key(key: Key) -> dict[str, list[int]]:
    """Return `key` as a dict of lists if every item counts for exactly one value.

    Raises
    ------
    ValuestabError
        If it is not an object of non-empty lists of item numbers, or an item stands in it twice.

    Examples
    --------
    >>> check_key({"Power": (2, 17), "Security": (5,)})
    {'Power': [2, 17], 'Security': [5]}
    """
    if not isinstance(key, Mapping) or not key:
        raise ValuestabError('A key must map values to lists of items, such as {"Power": [2, 17, 39]}.')
    value_of: dict[int, str] = {}
    for value, items in key.items():
        if not isinstance(items, list | tuple) or not items:
            raise ValuestabError(f"Each value of a key must have a list of items; {value!r} has {items!r}.")
        for item in items:
            if not isinstance(item, Integral) or isinstance(item, bool):
                raise ValuestabError(f"Items in a key must be whole numbers; {value!r} has {item!r}.")
            if item in value_of:
                raise ValuestabError(
                    f"The key has item {item} twice, for {value_of[item]!r} and for {value!r}; "
                    "every item must count for one value, once."
                )
            value_of[item] = value
    return {str(value): [int(item) for item in items] for value, items in key.items()}


def read_key(path: str | Path = PVQ40_KEY_FILE) -> dict[str, list[int]]:
    """Read a key from a JSON file, ``{value: [items]}``; without a path, that of the PVQ-40.

    Raises
    ------
    ValuestabError
        If the file cannot be read, is not JSON, names a value twice, or is no key (see `check_key`).

    Examples
    --------
    >>> read_key()["Hedonism"]
    [10, 26, 37]
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        return check_key(json.loads(text, object_pairs_hook=_each_name_once))
    except OSError as error:
        raise ValuestabError(f"Cannot read the key {str(path)!r}: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise ValuestabError(f"The key {str(path)!r} is not valid JSON: {error}.") from error


def _each_name_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Plain JSON reading keeps the last of two equal names and drops the first without a word."""
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValuestabError("The key names a value twice; name every value once, with all its items.")
    return dict(pairs)


def listed(items: Sequence[object], most: int = 40) -> str:
    """Name the items in a message, up to `most` of them."""
    return ", ".join(map(str, items[:most])) + (f" and {len(items) - most} more" if len(items) > most else "")
