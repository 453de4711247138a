"""The circle of values: names, acronyms, order, and the higher-order value that each belongs to."""

from collections.abc import Sequence

import numpy as np

from valuestab_utils.errors import check_known
from valuestab_utils.instruments import VALUES

_BASIC = dict(zip(VALUES, ("SD", "ST", "HE", "AC", "PO", "SE", "CO", "TR", "BE", "UN"), strict=True))
_REFINED = {  # in the order of the theory's circle (Rozen et al. 2025, Figure 1 and appendices C and E)
    "Self-direction-thought": "SDT",
    "Self-direction-action": "SDA",
    "Stimulation": "ST",
    "Hedonism": "HE",
    "Achievement": "AC",
    "Power-dominance": "POD",
    "Power-resources": "POR",
    "Face": "FAC",
    "Security-personal": "SEP",
    "Security-societal": "SES",
    "Tradition": "TR",
    "Conformity-rules": "COR",
    "Conformity-interpersonal": "COI",
    "Humility": "HUM",
    "Benevolence-dependability": "BED",
    "Benevolence-caring": "BEC",
    "Universalism-concern": "UNC",
    "Universalism-nature": "UNN",
    "Universalism-tolerance": "UNT",
}
REFINED_VALUES = tuple(_REFINED)
ACRONYMS = _BASIC | _REFINED  # of the ten and of the 19; names that both have, have one acronym

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
    """Higher-order value of a basic or a refined value.

    Three lie between two of them: hedonism (openness to change, self-enhancement) is "hedonism"; face
    (self-enhancement, conservation) and humility (conservation, self-transcendence) are "between" (Schwartz et al.
    2012).

    Raises
    ------
    ValuestabError
        If it is neither one of the ten nor one of the 19.

    Examples
    --------
    >>> higher_order_of("Universalism-nature"), higher_order_of("Self-Direction"), higher_order_of("Face")
    ('Self-transcendence', 'Openness to change', 'between')
    """
    check_known("value", value, (*VALUES, *REFINED_VALUES))
    if value in _BETWEEN:
        return _BETWEEN[value]
    return HIGHER_ORDER_OF[next(basic for basic in HIGHER_ORDER_OF if value.lower().startswith(basic.lower()))]


def angles_on_circle(values: Sequence[str]) -> np.ndarray:
    """Angle of each value if all stand evenly on the circle, counted anticlockwise from the right.

    The top of the circle lies between the last of the values and the first, as the theory is mostly drawn:
    the angle of the i-th of n is pi/2 + 2 pi (i + 1/2) / n, i = 0, 1, ...

    Parameters
    ----------
    values : sequence of str
        In circular order.

    Returns
    -------
    ndarray, shape (values,)
        Radians, from pi/2 to 5 pi/2.

    References
    ----------
    Rozen et al. 2025, Figure 1 and appendix C (order of the 19).

    Examples
    --------
    >>> np.degrees(angles_on_circle(["a", "b", "c", "d"])).round(6)
    array([135., 225., 315., 405.])
    """
    return np.pi / 2 + 2 * np.pi * (np.arange(len(values)) + 0.5) / len(values)


def circular_order_correlation(angles: np.ndarray, reference: np.ndarray) -> float:
    """Fisher and Lee's T-linear correlation of two sets of angles: do the values stand in the same circular order?

    ::

        sum_{i<j} sin(a_i - a_j) sin(b_i - b_j) / sqrt(sum sin^2(a_i - a_j) * sum sin^2(b_i - b_j))

    Parameters
    ----------
    angles, reference : ndarray, shape (values,)
        Radians.

    Returns
    -------
    float
        1 for the same angles but for a rotation, -1 if mirrored as well; NaN if one set has one direction only.

    References
    ----------
    Fisher and Lee 1983, Biometrika 70: 327-332.

    Examples
    --------
    >>> angles = np.array([0.0, 1.0, 2.5, 4.0])
    >>> [round(circular_order_correlation(turned, angles), 12) for turned in (angles + 2, -angles)]
    [1.0, -1.0]
    """
    first, second = (np.sin(np.subtract.outer(a, a))[np.triu_indices(len(a), 1)] for a in (angles, reference))
    size = np.sqrt((first**2).sum() * (second**2).sum())
    return float((first * second).sum() / size) if size > _NIL else float("nan")


def spelled(name: str) -> str:
    """Name of a value as this package spells it, from the spelling of the reference tables.

    Examples
    --------
    >>> spelled("self_direction"), spelled("self_direction_thought"), spelled("power_resources")
    ('Self-Direction', 'Self-direction-thought', 'Power-resources')
    """
    names = {value.lower().replace("-", "_"): value for value in (*REFINED_VALUES, *VALUES)}
    return names[check_known("value", name, names)]
