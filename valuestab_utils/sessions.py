"""Sessions: the unit of measurement, its identity, and the random numbers that follow from it alone."""

import hashlib
import itertools
import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from valuestab_utils.errors import ValuestabError
from valuestab_utils.populations import Persona
from valuestab_utils.topics import NO_CONVERSATION, Topic


@dataclass(frozen=True)
class Session:
    """One simulated participant in one context: who is asked, by which model, after which conversation.

    The conversation of a session is simulated once and every item is asked after it (paper 001, section 3.1).

    Attributes
    ----------
    model : str
        Name under which the model's results are kept.
    format : str
        How the persona is induced: one of `valuestab_utils.prompts.FORMATS`.
    population : str
        Name of the population that the persona belongs to.
    persona : Persona
    topic : Topic
    seed : int
        The replication, a plain integer.
    """

    model: str
    format: str
    population: str
    persona: Persona
    topic: Topic
    seed: int

    @property
    def identity(self) -> dict[str, str | int]:
        """The six names that make the session, as columns of every result."""
        return {
            "model": self.model,
            "format": self.format,
            "population": self.population,
            "persona": self.persona.persona,
            "topic": self.topic.topic,
            "seed": self.seed,
        }

    @property
    def key(self) -> tuple[str, str, int]:
        """Persona, topic and seed: what tells the session apart inside its experiment."""
        return self.persona.persona, self.topic.topic, self.seed

    @property
    def stem(self) -> str:
        """File name of the session inside its experiment's folder; distinct for distinct sessions."""
        persona, topic, seed = self.key
        # The hash tells apart what a file system may not: upper and lower case, accents, long names.
        return f"{slug(topic)[:60]}-seed{seed}-{slug(persona)[:60]}-{_digest(*self.key)[:8]}"

    def __str__(self) -> str:
        return "/".join(str(part) for part in self.identity.values())

    def noise(self, message: int) -> np.random.Generator:
        """Generator of the sampling noise of one message of this session's conversation.

        It depends on the session's identity and the message's number only, so that neither batches nor
        resuming nor the conversation's final length change a text.
        """
        return seeded_generator("conversation", *self.identity.values(), message)

    def answer_noise(self, instrument: str, draw: int = 0) -> np.random.Generator:
        """Generator of what is drawn from this session's answer probabilities; another ``draw``, other answers."""
        return answer_noise(self.identity, instrument, draw)

    def option_order(
        self, item: int, n_options: int, instrument: str = "PVQ-40", draw: int = 0
    ) -> tuple[int, ...]:
        """Order in which the options are shown: element ``i`` is the code of the option at letter ``i``.

        The code of the instrument's first option is 1. The order is drawn per population, persona, topic,
        seed, instrument and item (protocol, section 6); another ``draw`` is another order, independent of the
        first. Model and format have no part in it: models are compared on the same orders.

        Examples
        --------
        >>> from valuestab_utils.populations import Persona
        >>> from valuestab_utils.topics import Topic
        >>> gandalf = Persona("Gandalf", "Gandalf", "Gandalf the wizard.", "M")
        >>> session = Session("m", "base", "p", gandalf, Topic("joke", "Tell me a joke."), 1)
        >>> sorted(session.option_order(7, 6))
        [1, 2, 3, 4, 5, 6]
        """
        # The same orders for item 1 of a task as for item 1 of the questionnaire would correlate the answers of
        # a model that answers by position.
        apart = () if (instrument, draw) == ("PVQ-40", 0) else (instrument, draw)
        generator = seeded_generator(
            *("option order", self.population, self.persona.persona, self.topic.topic, self.seed, item, *apart)
        )
        return tuple(int(code) + 1 for code in generator.permutation(n_options))


@dataclass(frozen=True)
class Experiment:
    """All sessions of one model, format and population, asked after ``n_messages`` messages.

    With ``keys``, only those sessions of them that have one of these keys (see `Session.key`): a shard's.

    Raises
    ------
    ValuestabError
        If ``n_messages`` is no odd number, a seed is not a plain integer, or there are no personas, topics or
        seeds, or one of them twice.
    """

    model: str
    format: str
    population: str
    personas: tuple[Persona, ...]
    topics: tuple[Topic, ...]
    seeds: tuple[int, ...]
    n_messages: int = 3
    keys: frozenset[tuple[str, str, int]] | None = None

    def __post_init__(self):
        if type(self.n_messages) is not int or self.n_messages < 1 or self.n_messages % 2 == 0:
            raise ValuestabError(
                f"n_messages is {self.n_messages!r}, but must be an odd whole number, 1 or more, for the "
                "tested model to speak last (items directly after the persona: the topic no_conversation)."
            )
        for seed in self.seeds:
            if type(seed) is not int:  # True is an int to isinstance
                raise ValuestabError(f"Seed {seed!r} is not a plain integer: write seeds as [1, 2, 3].")
        for kind, names in (
            ("seeds", self.seeds),
            ("topics", [topic.topic for topic in self.topics]),
            ("personas", [persona.persona for persona in self.personas]),
        ):
            if not names or len(set(names)) != len(names):
                raise ValuestabError(
                    f"The {kind} of an experiment are {list(names)}, but must be distinct, and at least one."
                )

    @property
    def sessions(self) -> tuple[Session, ...]:
        """Every session, topics outermost, so that neighbours have prompts of similar length."""
        every = (
            Session(self.model, self.format, self.population, persona, topic, seed)
            for topic, seed, persona in itertools.product(self.topics, self.seeds, self.personas)
        )
        return tuple(session for session in every if self.keys is None or session.key in self.keys)

    def only(self, session: Session) -> "Experiment":
        """The experiment cut down to one of its sessions."""
        return replace(self, personas=(session.persona,), topics=(session.topic,), seeds=(session.seed,))

    def messages_of(self, session: Session) -> int:
        """How many messages precede the items in ``session``: none in the condition without conversation."""
        return 0 if session.topic.topic == NO_CONVERSATION else self.n_messages

    def __str__(self) -> str:
        return f"{self.model}, {self.format}, {self.population}"


def answer_noise(identity: Mapping[str, str | int], instrument: str, draw: int = 0) -> np.random.Generator:
    """Generator for answers drawn from the probabilities of one session, told by its six names.

    Parameters
    ----------
    identity : mapping
        As `Session.identity`, or a row of answers, which has these columns.
    instrument : str
        Name of what was asked.
    draw : int
        Which of several independent draws.

    Examples
    --------
    >>> names = ["model", "format", "population", "persona", "topic", "seed"]
    >>> identity = dict(zip(names, ["m", "base", "p", "Gandalf", "joke", 1]))
    >>> bool(answer_noise(identity, "PVQ-RR").random() == answer_noise(identity, "PVQ-RR").random())
    True
    """
    names = ("model", "format", "population", "persona", "topic")
    return seeded_generator("answer", *(str(identity[name]) for name in names), int(identity["seed"]), instrument, draw)


def slug(name: str) -> str:
    """ASCII file-name form of a name, never empty; two names may have the same.

    Examples
    --------
    >>> slug("Éowyn of Rohan"), slug("mistralai/Mistral-7B-v0.1")
    ('Eowyn-of-Rohan', 'mistralai--Mistral-7B-v0.1')
    """
    ascii_name = unicodedata.normalize("NFKD", name.replace("/", "--")).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9._-]+", "-", ascii_name).strip("-.") or _digest(name)[:8]


def _digest(*parts) -> str:
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).hexdigest()


def seeded_generator(*identity) -> np.random.Generator:
    """Generator that is the same wherever and whenever it is asked for by the same names and numbers."""
    return np.random.Generator(np.random.PCG64(int(_digest(*identity), 16)))
