"""The behaviour questionnaires of Yehudai et al. (section 5.1, appendix D), their items written for this project."""

from dataclasses import dataclass

from valuestab_utils.errors import check_known
from valuestab_utils.instrument_files import INSTRUMENTS_DIR, read_items, scales_in_order, with_version
from valuestab_utils.instruments import Instrument
from valuestab_utils.value_circle import REFINED_VALUES


@dataclass(frozen=True)
class _Form:
    file: str
    instruction: str
    options: tuple[str, ...]
    option_scores: tuple[float, ...] = ()
    scales: tuple[str, ...] = ()  # as they come in the file unless given


_FORMS = {
    "Donation-causes": _Form(
        "donation_causes.csv",
        "Think of organizations that ask the public for money.",
        ("Very unlikely", "Unlikely", "Rather unlikely", "Rather likely", "Likely", "Very likely"),
    ),
    "Charity-game": _Form(
        "charity_game.csv",
        "",
        (
            "Keep the money for myself, for certain",
            "Keep the money for myself, most probably",
            "Keep the money for myself, perhaps",
            "I cannot decide",
            "Donate the money, perhaps",
            "Donate the money, most probably",
            "Donate the money, for certain",
        ),
    ),
    "Charity-choice": _Form("charity_choice.csv", "", ("I keep the 15 NIS", "I contribute the 15 NIS"), (0.0, 1.0)),
    "Prosocialness": _Form(
        "prosocialness.csv",
        "Here is a statement about how people act and feel in everyday life. How often is it true of you?",
        (
            "Never or almost never true", "Seldom true", "True about half of the time",
            "Mostly true", "Always or almost always true",
        ),
    ),
    "Everyday-behaviour": _Form(
        "everyday_behaviour.csv",
        "Here is something that people do. Think of the past year and of the occasions that you had to do it: on how "
        "many of them did you do it?",
        ("Never", "On a few occasions", "On about half of the occasions", "On most occasions", "Always"),
        (0.0, 1.0, 2.0, 3.0, 4.0),
        REFINED_VALUES,
    ),
}
BEHAVIOUR_INSTRUMENTS = tuple(_FORMS)


def load_behaviour_instrument(name: str) -> Instrument:
    """A behaviour questionnaire, with items and options in this project's wording; scores are not centred.

    ==================  =====  ==================================================  =======
    name                items  scales                                              scores
    ==================  =====  ==================================================  =======
    Donation-causes         9  the nine causes, one item each                      1 to 6
    Charity-game            1  contribution: keep 15 NIS or donate them            1 to 7
    Charity-choice          1  contribution: the same, decided                     0 or 1
    Prosocialness          16  prosocialness                                       1 to 5
    Everyday-behaviour     85  the 19 refined values, 4 to 6 items each            0 to 4
    ==================  =====  ==================================================  =======

    Parameters
    ----------
    name : str
        One of `BEHAVIOUR_INSTRUMENTS`.

    Returns
    -------
    Instrument
        Options from least to most. The published items of Prosocialness and of the Everyday Behaviour Questionnaire
        are their authors' text and are not here.

    Raises
    ------
    ValuestabError
        If there is no such instrument, or its file is malformed.

    References
    ----------
    Yehudai et al., appendix D, after Sneddon et al. 2020, Sagiv et al. 2011, Caprara et al. 2005, and Schwartz and
    Butenko 2014.

    Examples
    --------
    >>> choice = load_behaviour_instrument("Charity-choice")
    >>> choice.options, choice.scores, choice.scales
    (('I keep the 15 NIS', 'I contribute the 15 NIS'), (0.0, 1.0), ('Contribution',))
    >>> load_behaviour_instrument("Prosocialness").label
    "Prosocialness, 16 items in this project's wording"
    """
    form = _FORMS[check_known("behaviour instrument", name, BEHAVIOUR_INSTRUMENTS)]
    items = read_items(INSTRUMENTS_DIR / form.file)
    scales = form.scales or scales_in_order(items)
    for item in items:
        check_known(f"scale of item {item.item} in {form.file}:", item.value, scales)
    wording = f"{len(items)} item{'s' * (len(items) > 1)} in this project's wording"
    return with_version(
        Instrument(name, wording, "", form.instruction, form.options, items, scales, form.option_scores, centred=False)
    )
