"""Experiments: who is asked which questionnaire in which way, after what; laid out from a profile's entries."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from valuestab_utils.errors import ValuestabError, check_known
from valuestab_utils.prompts import (
    CONDITIONS,
    NO_CONVERSATION,
    POPULATIONS,
    STRUCTURE,
    TWO_WORDINGS,
    Persona,
    Questionnaire,
    Session,
    Topic,
    load_population,
    load_questionnaire,
    load_runs,
    load_topics,
    needs_questionnaire,
    population_names,
    topic_of,
)
from valuestab_utils.study.profiles import FIRST, PAPERS, Changes, Entry, Profile

NO_PERSONA = "none"  # the population of answer-order permutations
QUESTIONNAIRE = "PVQ-40"  # which another may take the place of
_ABOUT_NAMES = ("Donation", "Stealing")  # which ask about people of several names
CODED = ("batch", "serial")  # ways in which the prompt explains the codes that are answered


@dataclass(frozen=True)
class Experiment:
    """Personas × topics × seeds of one respondent, asked one questionnaire in one way after ``n_messages`` messages.

    ``temperature`` is that of the coded ways, ``filled`` the questionnaire that is shown filled in, ``keys`` the
    sessions that are run (see `Session.key`; None: all).
    """

    name: str
    model: str
    format: str
    population: str
    personas: tuple[Persona, ...]
    topics: tuple[Topic, ...]
    seeds: tuple[int, ...]
    questionnaire: Questionnaire
    n_messages: int = 3
    way: str = "letters"
    temperature: float | None = None
    filled: Questionnaire | None = None
    keys: frozenset[tuple[str, str, int]] | None = None

    def __post_init__(self):
        if type(self.n_messages) is not int or self.n_messages < 1 or self.n_messages % 2 == 0:
            raise ValuestabError(
                f"n_messages is {self.n_messages!r}, but must be an odd whole number, 1 or more, for the "
                "tested model to speak last (items directly after the persona: the topic no_conversation)."
            )
        if len(set(self.seeds)) != len(self.seeds):
            raise ValuestabError(f"The seeds of an experiment are {list(self.seeds)}, but must be distinct.")

    @property
    def sessions(self) -> tuple[Session, ...]:
        """Every session, topics outermost, so that neighbours have prompts of similar length."""
        every = (
            Session(self.model, self.format, self.population, persona, topic, seed)
            for topic, seed, persona in itertools.product(self.topics, self.seeds, self.personas)
        )
        return tuple(session for session in every if self.keys is None or session.key in self.keys)

    @property
    def place(self) -> tuple:
        """What tells it apart from others of the study: two with the same place differ in size alone."""
        asked = (self.questionnaire.name, self.questionnaire.wording, self.way, self.temperature, self.n_messages)
        return (self.name, self.model, self.format, self.population, *asked)

    def messages_of(self, session: Session) -> int:
        """How many messages precede the items in ``session``: none in the condition without conversation."""
        return 0 if session.topic.topic == NO_CONVERSATION else self.n_messages

    def only(self, session: Session) -> "Experiment":
        """The experiment cut down to one of its sessions."""
        return replace(self, personas=(session.persona,), topics=(session.topic,), seeds=(session.seed,))

    def who_fills_in(self) -> "Experiment | None":
        """The experiment whose answers are shown filled in here: the same runs, under value prompts only."""
        condition = self.population in CONDITIONS and needs_questionnaire(self.population)
        if not condition:
            return None
        named = {persona.persona: persona for persona in load_runs(condition)}
        personas = tuple(named[persona.persona] for persona in self.personas)
        filled = self.filled or load_questionnaire(QUESTIONNAIRE)
        asked = {"questionnaire": filled, "way": "letters", "temperature": None}
        return replace(self, population=condition, personas=personas, **asked)

    def __str__(self) -> str:
        return f"{self.model}, {self.format}, {self.population}"


def lay_out(profile: Profile, entry: Entry, changes: Changes) -> Iterator[Experiment]:
    """The experiments of a profile's entry, with what is changed, of no model yet (``model`` and ``format`` are "")."""
    name = population_name(entry)
    lay_out_sessions = _runs if name in CONDITIONS else _conversations
    personas, topics, seeds, lengths = lay_out_sessions(profile, entry, changes)
    filled = load_questionnaire(QUESTIONNAIRE, changes.wording) if name in CONDITIONS else None
    for asked, n_messages, way in itertools.product(entry.questionnaire, lengths, entry.way):
        questionnaire = questionnaire_of(asked, entry, changes)
        for gender, item in itertools.product({persona.gender for persona in personas}, questionnaire.items):
            item.portrait(gender)  # now, and not in the middle of a run, is it told that a gender is missing
        for temperature in entry.temperature if way in CODED else [None]:
            sessions = (name, personas, topics, tuple(seeds), questionnaire, n_messages)
            experiment = Experiment(entry.name, "", "", *sessions, way, temperature, filled)
            _check_way(experiment)
            yield experiment


def _conversations(profile: Profile, entry: Entry, changes: Changes) -> tuple:
    """Personas, topics, seeds and numbers of messages of an experiment of Kovač et al. 2024."""
    without = population_name(entry) == NO_PERSONA
    n = (changes.n_permutations if without else changes.n_personas) or entry.n_personas
    seeds = entry.seeds or profile.seeds
    topics = entry.topics or profile.topics
    lengths = entry.n_messages or (profile.n_messages,)
    if changes.seeds and not without:
        seeds = changes.seeds
    if changes.topics and entry.name not in ("contexts", "neutral"):  # whose topics are what they are about
        topics = changes.topics
    if entry.name == "lengths":
        lengths = sorted(set(changes.lengths or lengths))
    elif changes.n_messages:
        lengths = (changes.n_messages,)
    return load_population(entry.population, n), load_topics(topics), seeds, lengths


def _runs(profile: Profile, entry: Entry, changes: Changes) -> tuple:
    """The same of a condition of Rozen et al. 2025 or Yehudai et al., in which nothing is talked about."""
    runs = load_runs(entry.population, changes.n_personas or entry.n_personas)
    return runs, (topic_of(entry.population),), changes.seeds or entry.seeds or (1,), (1,)


def questionnaire_of(name: str, entry: Entry, changes: Changes) -> Questionnaire:
    """The questionnaire that an entry names, as it is asked with what is changed."""
    if name == QUESTIONNAIRE and changes.questionnaire and entry.population not in CONDITIONS:
        name = changes.questionnaire
    wording = changes.wording if name in TWO_WORDINGS else "auto"
    n_names = (changes.n_names or entry.n_names) if name in _ABOUT_NAMES else None
    return load_questionnaire(name, wording, n_names)


def chosen_entries(profile: Profile, changes: Changes, paper: str) -> list[Entry]:
    """Entries of the profile's experiments of a paper, with the names and populations that are asked for."""
    of_paper = PAPERS[paper].experiments
    names = changes.experiments or of_paper
    entries = [entry for entry in profile.experiments if entry.name in of_paper and entry.name in names]
    if not entries:
        raise ValuestabError(
            f"The profile has no experiment of {PAPERS[paper].citation} of those that were asked for: take others of "
            f"{', '.join(of_paper)}."
        )
    if not changes.populations:
        _check_changes(changes, entries)
        return entries
    chosen: dict[str, list[Entry]] = {}
    for given in changes.populations:
        own = [entry for entry in entries if entry.population == given]
        if not own and paper == FIRST and "pvq" in names:
            own = [Entry(population=given)]  # of which the profile has nothing: it is asked the questionnaire
        elif not own:
            check_known("population", given, {entry.population for entry in entries})
        name = population_name(own[0])
        if name in chosen:
            raise ValuestabError(
                f"The populations {list(changes.populations)} have the name {name!r} twice, and results go by it: "
                "rename one."
            )
        chosen[name] = own
    entries = [entry for own in chosen.values() for entry in own]
    _check_changes(changes, entries)
    return entries


def _check_changes(changes: Changes, entries: Sequence[Entry]) -> None:
    """Refuse a change that concerns none of the experiments that are run."""
    talking = [entry for entry in entries if entry.name in PAPERS[FIRST].experiments]
    without = [entry for entry in talking if population_name(entry) == NO_PERSONA]
    asked = {name for entry in entries for name in entry.questionnaire}
    concerned = {
        "topics": any(entry.name not in ("contexts", "neutral") for entry in talking),
        "n_messages": any(entry.name != "lengths" for entry in talking),
        "lengths": any(entry.name == "lengths" for entry in talking),
        "n_permutations": bool(without),
        "n_personas": len(without) < len(entries),
        "seeds": len(without) < len(entries),
        "n_names": bool(asked & set(_ABOUT_NAMES)),
        "questionnaire": any(QUESTIONNAIRE in entry.questionnaire for entry in talking),
    }
    for name, does in concerned.items():
        if getattr(changes, name) is not None and not does:
            run = ", ".join(dict.fromkeys(entry.name for entry in entries))
            raise ValuestabError(
                f"{name}={getattr(changes, name)!r} concerns none of the experiments that are run ({run}): leave it "
                "out."
            )


def population_name(entry: Entry) -> str:
    """Name that an entry's population, given by its name or as a file, has in results."""
    if entry.name not in PAPERS[FIRST].experiments:
        return check_known("condition", entry.population, CONDITIONS)
    path = Path(entry.population)
    if path.suffix != ".csv":
        return check_known("population", entry.population, population_names())
    if path.stem in CONDITIONS or (
        path.stem in population_names() and path.resolve() != (POPULATIONS / path.name).resolve()
    ):
        raise ValuestabError(
            f"The population file {path} has the name of a population of this project, and results go by that name: "
            "give it another."
        )
    return path.stem


def _check_way(experiment: Experiment) -> None:
    """Refuse what would be answered by codes that nothing explains: other options than the PVQ's, other prompts."""
    e = experiment
    if e.way in CODED and (e.questionnaire.response_format == "letters" or e.population not in STRUCTURE):
        raise ValuestabError(
            f"{e.questionnaire.name} cannot be asked of {e.population} in the way {e.way!r}: only the prompts of Rozen "
            f"et al. ({', '.join(STRUCTURE)}) explain codes, those of the PVQ; ask by letters."
        )
