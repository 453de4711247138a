"""How papers 002 and 004 make a model somebody: by what is said before every question, in the same message.

A condition is a population whose personas are single runs of a questionnaire. A run is told its persona's `prefix`, in
which ``{created}`` stands for the persona that the model wrote before, ``{filled}`` for the questionnaire it filled in
(002: Rozen et al. 2025, section 3.1, appendices E and F; 004: Yehudai et al., sections 3 and 6.2, appendix E).
"""

import itertools
from collections.abc import Iterator, Sequence
from functools import partial

import yaml

from valuestab_utils.errors import check_count, check_known
from valuestab_utils.files import read_rows, read_utf8
from valuestab_utils.paths import DATA
from valuestab_utils.prompts.contexts import NO_CONVERSATION, Topic
from valuestab_utils.prompts.personas import GENDERS, Persona
from valuestab_utils.prompts.sessions import Session, seeded_generator

INDUCTIONS = DATA / "inductions"
STRUCTURE = ("basic", "value_anchor", "demographic", "generated_persona", "names")
PROMPTING = ("value_prompts", "value_names", "filled_questionnaire", "value_prompts_filled")
CONDITIONS = (*STRUCTURE, *PROMPTING)
MOST_RUNS = 300  # of each condition of paper 002
MOST_REPEATS = 100  # of each value prompt; how many paper 004 has is missing from the text at hand
NO_VALUE = "none"  # the group of runs without a value prompt, who stand for people without a dominant value

_PROMPTS = yaml.safe_load(read_utf8(INDUCTIONS / "prompts.yaml"))
CREATE_PERSONA = Topic("create_persona", _PROMPTS["create_persona"], temperature=0.7)

_AGES = (18, 75)
_IDENTITIES = ("male", "female", "non-binary", "other")
_TITLES = {"Mr.": "M", "Ms.": "F", "Mx.": None}


def load_runs(condition: str, n_runs: int | None = None) -> tuple[Persona, ...]:
    """The first runs of a condition, by default 300 in paper 002's and 100 a value, and of no value, in paper 004's.

    Groups take turns, so that few runs have all groups. Genders, which choose the portraits' form, alternate where the
    induction says none. ValuestabError if there are fewer runs than asked for.

    >>> [run.persona for run in load_runs("value_prompts", 2)]
    ['Self-Direction 01', 'Stimulation 01']
    """
    check_known("condition", condition, CONDITIONS)
    every = _value_runs(condition) if condition in PROMPTING else itertools.islice(_RUNS[condition](), MOST_RUNS)
    runs = tuple(every)
    check_count("n_personas", n_runs, len(runs))
    return runs[:n_runs]


def topic_of(condition: str) -> Topic:
    """What precedes the questions of a condition: the writing of a persona, or nothing."""
    return CREATE_PERSONA if condition == "generated_persona" else Topic(NO_CONVERSATION, None)


def needs_questionnaire(condition: str) -> str | None:
    """The condition whose filled questionnaires this one shows, if it shows any."""
    return "value_prompts" if condition in ("filled_questionnaire", "value_prompts_filled") else None


def what_is_said(session: Session, texts: Sequence[str]) -> tuple[str, list[str]]:
    """Prefix of a question, and the conversation before that message: empty where the texts go into the prefix.

    ``texts`` are the session's conversation (that which wrote a persona, too), or a filled questionnaire's text.
    """
    prefix = session.persona.prefix
    if "{created}" in prefix:
        # texts[0] asks for the persona; its full stop goes, as the prompt has its own.
        return prefix.replace("{created}", " ".join(texts[1].split()).removesuffix(".")), []
    if "{filled}" in prefix:
        return prefix.replace("{filled}", texts[0]), []
    return prefix, list(texts)


def _numbered(name: str, prompt: str) -> Iterator[Persona]:
    for i in itertools.count():
        yield _run(f"{name} {i + 1:03d}", GENDERS[i % 2], prompt)


def _anchored() -> Iterator[Persona]:
    anchors = _read("value_anchors.csv")
    for repeat in itertools.count():
        for i, row in enumerate(anchors):
            name, gender = f"{row['value']} {repeat + 1:02d}", GENDERS[(i + repeat) % 2]
            yield _run(name, gender, _PROMPTS["value_anchor"] % row["description"], row["value"])


def _demographic() -> Iterator[Persona]:
    hobbies = [row["hobby"] for row in _read("hobbies.csv")]
    occupations = [row["occupation"] for row in _read("occupations.csv")]
    for i in itertools.count():
        rng = seeded_generator("demographic", i)
        age, identity = int(rng.integers(_AGES[0], _AGES[1] + 1)), str(rng.choice(_IDENTITIES))
        occupation, hobby = (str(rng.choice(of)) for of in (occupations, hobbies))
        gender = {"male": "M", "female": "F"}.get(identity) or str(rng.choice(GENDERS))
        said = (age, identity, occupation[0].lower() + occupation[1:], hobby[0].lower() + hobby[1:])
        yield _run(f"person {i + 1:03d}", gender, _PROMPTS["demographic"] % said)


def _named() -> Iterator[Persona]:
    """Title and surname, groups in turn: the pairs that paper 002 prints come first, then others of its two lists."""
    of_group: dict[str, list[tuple[str, str]]] = {}
    for row in _read("names.csv"):
        of_group.setdefault(row["group"], []).append((row["title"], row["surname"]))
    queues = {}
    for group, printed in of_group.items():
        surnames = dict.fromkeys(surname for _, surname in printed)
        others = [(title, name) for title in _TITLES for name in surnames if (title, name) not in printed]
        order = seeded_generator("names", group).permutation(len(others))
        queues[group] = [pair for pair in printed if pair[0]] + [others[i] for i in order]
    for i in range(min(map(len, queues.values()))):
        for group, pairs in queues.items():
            title, surname = pairs[i]
            said = _PROMPTS["names"] % (title, surname)
            yield _run(f"{title} {surname}", _TITLES[title] or GENDERS[i % 2], said, group)


_RUNS = {
    "basic": partial(_numbered, "run", _PROMPTS["basic"]),
    "value_anchor": _anchored,
    "demographic": _demographic,
    "generated_persona": partial(_numbered, "persona", _PROMPTS["generated_persona"]),
    "names": _named,
}


def _value_runs(condition: str) -> Iterator[Persona]:
    prompts = {row["value"]: row["prompt"] for row in _read("value_descriptions.csv")} | {NO_VALUE: ""}
    for repeat in range(MOST_REPEATS):
        for i, (value, prompt) in enumerate(prompts.items()):
            if condition == "value_names" and prompt:  # its first sentence names the value and says no more
                prompt = prompt.partition(". ")[0] + "."
            shown = [] if condition == "filled_questionnaire" or not prompt else [prompt]
            if needs_questionnaire(condition):
                shown.append(_PROMPTS["filled_questionnaire"])
            yield _run(f"{value} {repeat + 1:02d}", GENDERS[(i + repeat) % 2], "\n\n".join(shown), value)


def _run(name: str, gender: str, prefix: str, group: str = "") -> Persona:
    return Persona(name, "CHATBOT", "", gender, prefix, group)


def _read(file: str) -> list[dict[str, str]]:
    return [row for _, row in read_rows(INDUCTIONS / file, ())]
