"""Every questionnaire by its name: value questionnaires and behaviour questionnaires."""

from valuestab_utils.behaviour_instruments import BEHAVIOUR_INSTRUMENTS, load_behaviour_instrument
from valuestab_utils.behaviour_statements import load_behaviour_statements
from valuestab_utils.bfi2 import load_bfi2
from valuestab_utils.errors import ValuestabError, check_known
from valuestab_utils.instruments import WORDINGS, Instrument, load_pvq40
from valuestab_utils.pvqrr import load_pvqrr

_IN_TWO_WORDINGS = {"PVQ-40": load_pvq40, "PVQ-RR": load_pvqrr}
INSTRUMENTS = (*_IN_TWO_WORDINGS, *BEHAVIOUR_INSTRUMENTS, "BFI-2", "Behaviour-statements")


def load_instrument(name: str, wording: str = "auto") -> Instrument:
    """A questionnaire by its name.

    Parameters
    ----------
    name : str
        One of `INSTRUMENTS`.
    wording : str
        Of the PVQ-40 and the PVQ-RR: "project", "published", or "auto" for published where the user's files are
        there. Of the others there is one wording: "auto", or its own ("published" for the BFI-2, else "project").

    Returns
    -------
    Instrument

    Raises
    ------
    ValuestabError
        If there is no instrument of that name (the message lists all), or not in that wording.

    Examples
    --------
    >>> load_instrument("Charity-game").options[3]
    'I cannot decide'
    >>> load_instrument("BFI-2", "project")
    Traceback (most recent call last):
    valuestab_utils.errors.ValuestabError: BFI-2 has one wording: ask for 'auto' or 'published', not for 'project'.
    """
    check_known("instrument", name, INSTRUMENTS)
    check_known("wording", wording, WORDINGS)
    if name in _IN_TWO_WORDINGS:
        return _IN_TWO_WORDINGS[name](wording)
    own = "published" if name == "BFI-2" else "project"
    if wording not in ("auto", own):
        raise ValuestabError(
            f"{name} has one wording: ask for 'auto' or {own!r}, not for {wording!r}."
        )
    if name == "BFI-2":
        return load_bfi2()
    return load_behaviour_statements() if name == "Behaviour-statements" else load_behaviour_instrument(name)
