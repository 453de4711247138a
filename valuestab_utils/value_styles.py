"""Colours and markers of the figures on value structure: of higher-order values, of models, of printed numbers."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import cycle

import numpy as np

from valuestab_utils.errors import check_known
from valuestab_utils.labels import population_label

PRINTED = "#8c8c8c"  # what a paper prints is grey and thin or hollow, so as not to pass for this run's
REFERENCES = {"human": "people", "theory": "the theory's circle"}
CONDITIONS = ("basic", "value_anchor", "demographic", "generated_persona", "names")  # table 1 of paper 002

_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#000000")  # Okabe and Ito, without its red
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")


@dataclass(frozen=True)
class ValueStyle:
    """How a higher-order value is drawn: what the key calls it, its colour, and its marker for greyscale."""

    label: str
    colour: str
    marker: str


HIGHER_ORDER = {
    "openness to change": ValueStyle("openness to change", "#E69F00", "o"),
    "self enhancement": ValueStyle("self-enhancement", "#0072B2", "s"),
    "conservation": ValueStyle("conservation", "#CC79A7", "^"),
    "self transcendence": ValueStyle("self-transcendence", "#009E73", "D"),
    "hedonism": ValueStyle("hedonism", "#D55E00", "v"),
    "between": ValueStyle("between two of them", "#666666", "p"),
    "none": ValueStyle("no value prompt", "#555555", "X"),
}


def higher_order_styles(names: Iterable[str]) -> dict[str, ValueStyle]:
    """Styles of higher-order values, in the order of the circle.

    Parameters
    ----------
    names : iterable of str
        As tables have them: "Self-enhancement", "self_enhancement" and "self enhancement" are the same. Besides the
        four: "hedonism", which lies between two; "between" for any other such value; "none" without a value prompt.

    Returns
    -------
    dict of str to ValueStyle
        By the names as they came, each once.

    Raises
    ------
    ValuestabError
        If a name is none of these.

    Examples
    --------
    >>> [style.label for style in higher_order_styles(["Conservation", "Openness-to-change"]).values()]
    ['openness to change', 'conservation']
    """
    keys = {name: str(name).lower().replace("-", " ").replace("_", " ") for name in names}
    for key in keys.values():
        check_known("higher-order value", key, HIGHER_ORDER)
    places = list(HIGHER_ORDER)
    return {name: HIGHER_ORDER[keys[name]] for name in sorted(keys, key=lambda name: places.index(keys[name]))}


def run_styles(labels: Iterable[str]) -> dict[str, dict]:
    """Colour and marker of each label, in order; both only repeat together after 42 of them.

    Examples
    --------
    >>> run_styles(["a", "b", "a"])
    {'a': {'color': '#0072B2', 'marker': 'o'}, 'b': {'color': '#E69F00', 'marker': 's'}}
    """
    pairs = zip(cycle(_COLOURS), cycle(_MARKERS))
    return {label: {"color": c, "marker": m} for label, (c, m) in zip(dict.fromkeys(labels), pairs)}


def in_condition_order(conditions: Iterable[str]) -> list[str]:
    """Conditions in the order of paper 002's table 1, others after them as they come.

    Examples
    --------
    >>> in_condition_order(["names", "my_prompt", "basic", "names"])
    ['basic', 'names', 'my_prompt']
    """
    there = list(dict.fromkeys(conditions))
    return [name for name in CONDITIONS if name in there] + [name for name in there if name not in CONDITIONS]


def condition_label(condition: str) -> str:
    """Name of a condition on two lines, for narrow columns.

    Examples
    --------
    >>> condition_label("generated_persona"), condition_label("names")
    ('generated\\npersonas', 'names')
    """
    return population_label(condition).replace(" ", "\n", 1)


def spread_in_row(n: int, reach: float) -> np.ndarray:
    """Heights of n marks in one row, from ``-reach`` to ``reach``; a mark alone stands in the middle.

    Examples
    --------
    >>> [float(height) for height in spread_in_row(3, 0.2)], [float(height) for height in spread_in_row(1, 0.2)]
    ([-0.2, 0.0, 0.2], [0.0])
    """
    return np.linspace(-reach, reach, n) if n > 1 else np.zeros(n)
