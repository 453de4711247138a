"""The circle of values: names, acronyms, order, and the higher-order value that each belongs to."""

from collections.abc import Sequence

import numpy as np

from valuestab_utils.errors import check_known

# The ten basic values in the order of the theory's circle: neighbours are compatible, opposites conflict.
_BASIC = {
    "Self-Direction": "SD", "Stimulation": "ST", "Hedonism": "HE", "Achievement": "AC", "Power": "PO",
    "Security": "SE", "Conformity": "CO", "Tradition": "TR", "Benevolence": "BE", "Universalism": "UN",
}
VALUES = tuple(_BASIC)
_REFINED = {  # in the order of the theory's circle (Rozen et al. 2025, Figure 1 and appendices C and E)
    "Self-direction-thought": "SDT", "Self-direction-action": "SDA", "Stimulation": "ST", "Hedonism": "HE",
    "Achievement": "AC", "Power-dominance": "POD", "Power-resources": "POR", "Face": "FAC",
    "Security-personal": "SEP", "Security-societal": "SES", "Tradition": "TR",
    "Conformity-rules": "COR", "Conformity-interpersonal": "COI", "Humility": "HUM",
    "Benevolence-dependability": "BED", "Benevolence-caring": "BEC",
    "Universalism-concern": "UNC", "Universalism-nature": "UNN", "Universalism-tolerance": "UNT",
}
REFINED_VALUES = tuple(_REFINED)
ACRONYMS = _BASIC | _REFINED  # of the ten and of the 19; names that both have, have one acronym

# The basic value that each refined value is a part of, mostly by its name; face lies between two.
BASIC_VALUE_OF: dict[str, str | None] = {
    refined: next((basic for basic in VALUES if refined.lower().startswith(basic.lower())), None)
    for refined in REFINED_VALUES
} | {"Humility": "Tradition"}

HIGHER_ORDER = ("Openness to change", "Conservation", "Self-enhancement", "Self-transcendence")
# Hedonism lies between openness to change and self-enhancement. It counts for neither: shared, it would make the two
# alike by construction.
HIGHER_ORDER_OF = {
    "Self-Direction": "Openness to change", "Stimulation": "Openness to change",
    "Achievement": "Self-enhancement", "Power": "Self-enhancement",
    "Security": "Conservation", "Conformity": "Conservation", "Tradition": "Conservation",
    "Benevolence": "Self-transcendence", "Universalism": "Self-transcendence",
}
_NIL = 1e-9  # a sum of squares below this is rounding
_BETWEEN = {"Hedonism": "hedonism", "Face": "between", "Humility": "between"}


def higher_order_of(value: str) -> str:
    """Higher-order value of one of the ten basic or the 19 refined values.

    Three lie between two of them (Schwartz et al. 2012): hedonism (openness to change, self-enhancement) is "hedonism";
    face (self-enhancement, conservation) and humility (conservation, self-transcendence) are "between".
    """
    check_known("value", value, (*VALUES, *REFINED_VALUES))
    return _BETWEEN.get(value) or HIGHER_ORDER_OF[BASIC_VALUE_OF.get(value, value)]


def angles_on_circle(values: Sequence[str]) -> np.ndarray:
    """Angle of each value (in circular order) if all stand evenly, in radians anticlockwise from the right.

    That of the i-th of n is pi/2 + 2 pi (i + 1/2) / n, i = 0, 1, ...: the circle's top lies between last and first, as
    the theory is mostly drawn (Rozen et al. 2025, Figure 1 and appendix C).
    """
    return np.pi / 2 + 2 * np.pi * (np.arange(len(values)) + 0.5) / len(values)


def circular_order_correlation(angles: np.ndarray, reference: np.ndarray) -> float:
    """Fisher and Lee's T-linear correlation of two sets of angles: do the values stand in the same circular order?

    ::

        sum_{i<j} sin(a_i - a_j) sin(b_i - b_j) / sqrt(sum sin^2(a_i - a_j) * sum sin^2(b_i - b_j))

    In radians; 1 for the same angles but for a rotation, -1 if mirrored as well, NaN if one set has one direction only
    (Fisher and Lee 1983, Biometrika 70: 327-332).

    >>> angles = np.array([0.0, 1.0, 2.5, 4.0])
    >>> [round(circular_order_correlation(turned, angles), 12) for turned in (angles + 2, -angles)]
    [1.0, -1.0]
    """
    first, second = (np.sin(np.subtract.outer(a, a))[np.triu_indices(len(a), 1)] for a in (angles, reference))
    size = np.sqrt((first**2).sum() * (second**2).sum())
    return float((first * second).sum() / size) if size > _NIL else float("nan")


def spelled(name: str) -> str:
    """Name of a value as this package spells it, from the spelling of the reference tables.

    >>> spelled("self_direction"), spelled("self_direction_thought"), spelled("power_resources")
    ('Self-Direction', 'Self-direction-thought', 'Power-resources')
    """
    names = {value.lower().replace("-", "_"): value for value in (*REFINED_VALUES, *VALUES)}
    return names[check_known("value", name, names)]
