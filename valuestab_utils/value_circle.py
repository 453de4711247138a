"""The circle of values: names, acronyms, order, and the higher-order value that each belongs to."""

from collections.abc import Sequence

import numpy as np

from valuestab_utils.errors import check_known
from valuestab_utils.instruments import VALUES

# The 19 refined values by acronym, in the order of the theory's circle.
_REFINED = {
    "SDT": "Self-direction-thought", "SDA": "Self-direction-action", "ST": "Stimulation", "HE": "Hedonism",
    "AC": "Achievement", "POD": "Power-dominance", "POR": "Power-resources", "FAC": "Face",
    "SEP": "Security-personal", "SES": "Security-societal", "TR": "Tradition", "COR": "Conformity-rules",
    "COI": "Conformity-interpersonal", "HUM": "Humility", "BED": "Benevolence-dependability",
    "BEC": "Benevolence-caring", "UNC": "Universalism-concern", "UNN": "Universalism-nature",
    "UNT": "Universalism-tolerance",
}
_BASIC = dict(zip(("SD", "ST", "HE", "AC", "PO", "SE", "CO", "TR", "BE", "UN"), VALUES, strict=True))
REFINED_VALUES = tuple(_REFINED.values())
ACRONYMS = {name: acronym for names in (_BASIC, _REFINED) for acronym, name in names.items()}

HIGHER_ORDER = ("Openness to change", "Conservation", "Self-enhancement", "Self-transcendence")
# Hedonism lies between openness to change and self-enhancement. It counts for neither: shared, it would make the two
# alike by construction.
HIGHER_ORDER_OF = {
    "Self-Direction": "Openness to change", "Stimulation": "Openness to change",
    "Achievement": "Self-enhancement", "Power": "Self-enhancement",
    "Security": "Conservation", "Conformity": "Conservation", "Tradition": "Conservation",
    "Benevolence": "Self-transcendence", "Universalism": "Self-transcendence",
}
_BORDERS = {  # refined values that stand between two higher-order values, or go by another name than their basic value
    "Hedonism": "", "Face": "", "Humility": "",
}


def higher_order_of(value: str) -> str:
    """Higher-order value of a basic or a refined value; "" for those that lie on a border.

    Hedonism stands between openness to change and self-enhancement, face between self-enhancement and conservation,
    humility between conservation and self-transcendence (Schwartz et al. 2012).

    Raises
    ------
    ValuestabError
        If it is neither one of the ten nor one of the 19.

    Examples
    --------
    >>> higher_order_of("Universalism-nature"), higher_order_of("Self-Direction"), higher_order_of("Face")
    ('Self-transcendence', 'Openness to change', '')
    """
    check_known("value", value, (*VALUES, *REFINED_VALUES))
    if value in _BORDERS:
        return ""
    return HIGHER_ORDER_OF[next(basic for basic in HIGHER_ORDER_OF if value.lower().startswith(basic.lower()))]


def circle_angles(values: Sequence[str]) -> np.ndarray:
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
    >>> np.degrees(circle_angles(["a", "b", "c", "d"])).round(6)
    array([135., 225., 315., 405.])
    """
    return np.pi / 2 + 2 * np.pi * (np.arange(len(values)) + 0.5) / len(values)


def spelled(name: str) -> str:
    """Name of a value as this package spells it, from the spelling of the reference tables.

    Examples
    --------
    >>> spelled("self_direction"), spelled("self_direction_thought"), spelled("power_resources")
    ('Self-Direction', 'Self-direction-thought', 'Power-resources')
    """
    names = {value.lower().replace("-", "_"): value for value in (*REFINED_VALUES, *VALUES)}
    return names[check_known("value", name, names)]
