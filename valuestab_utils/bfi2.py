"""The Big Five Inventory-2: 60 items on five domains of personality, as an installed package carries them."""

from importlib.metadata import version

from valuestab_utils.errors import ValuestabError
from valuestab_utils.instrument_files import with_version
from valuestab_utils.instruments import Instrument, Item

# Domains as Soto and John (2017) name them, and as the package does.
DOMAINS = {
    "Extraversion": "extraversion",
    "Agreeableness": "agreeableness",
    "Conscientiousness": "conscientiousness",
    "Negative Emotionality": "neuroticism",
    "Open-Mindedness": "openness",
}

_PACKAGE = "personality-questionnaire"
_INSTRUCTION = (
    "Here is a characteristic that may or may not apply to you. How much do you agree or disagree that it does?"
)
_N_ITEMS = 60


def load_bfi2() -> Instrument:
    """The Big Five Inventory-2, each domain by 12 items, some of them reversed; scores 1 to 5, not centred.

    Items, options and key come from the package personality-questionnaire (MIT licence); the instruction is this
    project's. The package itself scales scores to 0 to 1; here a domain is the plain mean of its items, as in the
    paper.

    Returns
    -------
    Instrument
        Named "BFI-2", with the scales `DOMAINS`.

    Raises
    ------
    ValuestabError
        If the package is not installed, or does not have 60 items of which each counts for one domain.

    References
    ----------
    Soto and John 2017; Yehudai et al., appendix D.

    Examples
    --------
    >>> bfi = load_bfi2()
    >>> bfi.options[0], bfi.key["Extraversion"][:4], bfi.reversed_items[:4]
    ('Disagree strongly', [1, 6, 11, 16], (3, 4, 5, 8))
    """
    try:
        from personality_questionnaire.bfi2 import ANSWER, BFI2_QUESTIONNAIRE, DOMAIN_SCALES
    except ImportError as error:
        raise ValuestabError(
            f"The BFI-2 needs the package {_PACKAGE}, which cannot be imported ({error}): run make env."
        ) from error
    keyed = [
        (int(entry.removesuffix("R")), domain, entry.endswith("R"))
        for domain, theirs in DOMAINS.items()
        for entry in DOMAIN_SCALES[theirs]
    ]
    numbers = sorted(number for number, _, _ in keyed)
    if numbers != list(range(1, _N_ITEMS + 1)) or sorted(BFI2_QUESTIONNAIRE) != numbers:
        raise ValuestabError(
            f"{_PACKAGE} {version(_PACKAGE)} does not have {_N_ITEMS} items that count for one domain each: "
            "install the version in requirements.lock."
        )
    texts = BFI2_QUESTIONNAIRE
    items = tuple(Item(number, domain, texts[number], texts[number]) for number, domain, _ in sorted(keyed))
    options = tuple(sorted(ANSWER, key=ANSWER.__getitem__))
    reversed_items = tuple(sorted(number for number, _, is_reversed in keyed if is_reversed))
    wording = f"{len(items)} items of {_PACKAGE} {version(_PACKAGE)}"
    scales = tuple(DOMAINS)
    return with_version(
        Instrument(
            "BFI-2", wording, "", _INSTRUCTION, options, items, scales, centred=False, reversed_items=reversed_items
        )
    )
