"""How papers 002 and 004 make a model somebody: by what is said before every question, in the same message.

A condition is a population whose personas are single runs of a questionnaire. What a run is told is its persona's
`prefix`; in it, ``{created}`` stands for the persona that the model itself wrote before, and ``{filled}`` for the
questionnaire that it filled in.

References
----------
Rozen et al. 2025, section 3.1 and appendices E, F (paper 002). Yehudai et al., sections 3, 6.2 and appendix E (004).
"""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

from valuestab_utils.errors import ValuestabError, check_known
from valuestab_utils.paths import DATA
from valuestab_utils.populations import GENDERS, Persona, read_rows
from valuestab_utils.sessions import Session, seeded_generator
from valuestab_utils.topics import NO_CONVERSATION, Topic

INDUCTIONS = DATA / "inductions"
STRUCTURE = ("basic", "value_anchor", "demographic", "generated_persona", "names")
PROMPTING = ("value_prompts", "value_names", "filled_questionnaire", "value_prompts_filled")
CONDITIONS = (*STRUCTURE, *PROMPTING)
MOST_RUNS = 300  # of each condition of paper 002
MOST_REPEATS = 100  # of each value prompt; how many paper 004 has is missing from the text at hand
NO_VALUE = "none"  # the group of runs without a value prompt, who stand for people without a dominant value

# The prompts of paper 002, letter for letter (section 3.1): "please answer" in two of them, "please rate" in three.
_BASIC = (
    "For each of the following descriptions, please answer how much the person described is like you from 1 (Not like "
    "me at all) to 6 (Very much like me), without elaborating on your reasoning."
)
_RATE = (
    "For each of the following descriptions, please rate how much the person described is like you, using a scale from "
    "1 (Not like me at all) to 6 (Very much like me), without elaborating on your reasoning."
)
_ANCHOR = f"{_BASIC} Answer as a person that is %s."
_DEMOGRAPHIC = (
    f"{_RATE} Answer as a %d-year-old who identifies as %s, working in the field of %s, and enjoys %s."
)
_CREATED = f"{_RATE} Answer as: {{created}}."
_NAMED = f"{_RATE} Answer as %s %s."
CREATE_PERSONA = Topic("create_persona", "Create a persona (2-3 sentences long):", temperature=0.7)

_AGES = (18, 75)
_IDENTITIES = ("male", "female", "non-binary", "other")
_TITLES = {"Mr.": "M", "Ms.": "F", "Mx.": None}

# Said before a filled questionnaire (paper 004, section 6.2, which does not print it): this project's words.
_FILLED = "This is a questionnaire as you have filled it in:\n\n{filled}"


def load_runs(condition: str, n_runs: int | None = None) -> tuple[Persona, ...]:
    """The runs of a condition, the first ``n_runs`` of them; groups take turns, so that few runs have all groups.

    Parameters
    ----------
    condition : str
        One of `CONDITIONS`.
    n_runs : int, optional
        By default 300 in the conditions of paper 002, 100 of each value and of no value in those of paper 004.

    Returns
    -------
    tuple of Persona
        Genders, which choose the portraits' form, alternate where the induction does not say one.

    Raises
    ------
    ValuestabError
        Unknown condition; more or fewer runs than there can be.

    Examples
    --------
    >>> load_runs("value_anchor", 2)[1].prefix[-59:]
    'Answer as a person that is being free to act independently.'
    >>> [run.persona for run in load_runs("value_prompts", 2)]
    ['Self-Direction 01', 'Stimulation 01']
    """
    check_known("condition", condition, CONDITIONS)
    runs = tuple(itertools.islice(_runs(condition), n_runs if type(n_runs) is int and n_runs > 0 else None))
    if n_runs is not None and len(runs) != n_runs:
        raise ValuestabError(
            f"n_personas is {n_runs!r}, but the condition {condition} has from 1 to {len(runs)} runs: take a whole "
            "number of that size."
        )
    return runs


def topic_of(condition: str) -> Topic:
    """What precedes the questions of a condition: the writing of a persona, or nothing."""
    return CREATE_PERSONA if condition == "generated_persona" else Topic(NO_CONVERSATION, None)


def needs_questionnaire(condition: str) -> str | None:
    """The condition whose answers to the questionnaire fill the one that this condition shows, if it shows one.

    Examples
    --------
    >>> needs_questionnaire("value_prompts_filled"), needs_questionnaire("names")
    ('value_prompts', None)
    """
    check_known("condition", condition, CONDITIONS)
    return "value_prompts" if condition in ("filled_questionnaire", "value_prompts_filled") else None


def what_is_said(session: Session, texts: Sequence[str]) -> tuple[str, list[str]]:
    """What stands before a question, and which conversation before that message.

    Parameters
    ----------
    session : Session
    texts : sequence of str
        The session's conversation; where a persona was written, that one; where a questionnaire was filled in, its
        text.

    Returns
    -------
    prefix : str
    conversation : list of str
        Empty for all whose texts have gone into the prefix.
    """
    prefix = session.persona.prefix
    if "{created}" in prefix:
        return prefix.replace("{created}", " ".join(texts[1].split()).removesuffix(".")), []
    if "{filled}" in prefix:
        return prefix.replace("{filled}", texts[0]), []
    return prefix, list(texts)


def _runs(condition: str) -> Iterator[Persona]:
    if condition in PROMPTING:
        return _value_runs(condition)
    return itertools.islice(_STRUCTURE_RUNS[condition](), MOST_RUNS)


def _basic() -> Iterator[Persona]:
    for i in itertools.count():
        yield _run(f"run {i + 1:03d}", GENDERS[i % 2], _BASIC)


def _anchored() -> Iterator[Persona]:
    anchors = [(row["value"], row["description"]) for _, row in _read("value_anchors.csv", "value", "description")]
    for repeat in itertools.count():
        for i, (value, description) in enumerate(anchors):
            yield _run(f"{value} {repeat + 1:02d}", GENDERS[(i + repeat) % 2], _ANCHOR % description, value)


def _demographic() -> Iterator[Persona]:
    hobbies = [row["hobby"] for _, row in _read("hobbies.csv", "hobby")]
    occupations = [row["occupation"] for _, row in _read("occupations.csv", "occupation")]
    for i in itertools.count():
        rng = seeded_generator("demographic", i)
        age, identity = int(rng.integers(_AGES[0], _AGES[1] + 1)), str(rng.choice(_IDENTITIES))
        occupation, hobby = (_in_sentence(str(rng.choice(of))) for of in (occupations, hobbies))
        gender = {"male": "M", "female": "F"}.get(identity) or str(rng.choice(GENDERS))
        yield _run(f"person {i + 1:03d}", gender, _DEMOGRAPHIC % (age, identity, occupation, hobby))


def _created() -> Iterator[Persona]:
    for i in itertools.count():
        yield _run(f"persona {i + 1:03d}", GENDERS[i % 2], _CREATED)


def _named() -> Iterator[Persona]:
    """Title and surname, groups in turn: the pairs that paper 002 prints come first, then others of its two lists."""
    of_group: dict[str, list[tuple[str, str]]] = {}
    for _, row in _read("names.csv", "group", "title", "surname"):
        of_group.setdefault(row["group"], []).append((row["title"], row["surname"]))
    queues = {}
    for group, printed in of_group.items():
        surnames = list(dict.fromkeys(surname for _, surname in printed))
        others = [(title, name) for title in _TITLES for name in surnames if (title, name) not in printed]
        order = seeded_generator("names", group).permutation(len(others))
        titled = [pair for pair in printed if pair[0]]
        queues[group] = [*dict.fromkeys(titled), *(others[i] for i in order)]
    for i in range(min(map(len, queues.values()))):
        for group, pairs in queues.items():
            title, surname = pairs[i]
            gender = _TITLES[title] or GENDERS[i % 2]
            yield _run(f"{title} {surname}", gender, _NAMED % (title, surname), group)


_STRUCTURE_RUNS = {
    "basic": _basic,
    "value_anchor": _anchored,
    "demographic": _demographic,
    "generated_persona": _created,
    "names": _named,
}


def _value_runs(condition: str) -> Iterator[Persona]:
    prompts = {row["value"]: row["prompt"] for _, row in _read("value_descriptions.csv", "value", "prompt")}
    if condition == "value_names":  # the prompt's first sentence names the value and says no more
        prompts = {value: prompt.partition(". ")[0] + "." for value, prompt in prompts.items()}
    prompts[NO_VALUE] = ""
    for repeat in range(MOST_REPEATS):
        for i, (value, prompt) in enumerate(prompts.items()):
            shown = [prompt if condition != "filled_questionnaire" else ""]
            shown += [_FILLED] if needs_questionnaire(condition) else []
            prefix = "\n\n".join(filter(None, shown))
            yield _run(f"{value} {repeat + 1:02d}", GENDERS[(i + repeat) % 2], prefix, value)


def _run(name: str, gender: str, prefix: str, group: str = "") -> Persona:
    return Persona(name, "CHATBOT", "", gender, prefix, group)


def _read(file: str, *columns: str) -> list[tuple[int, dict[str, str]]]:
    return read_rows(Path(INDUCTIONS / file), columns)


def _in_sentence(words: str) -> str:
    """With a small first letter, as in the middle of a sentence."""
    return words[:1].lower() + words[1:]
