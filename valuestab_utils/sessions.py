"""Sessions: the unit of measurement, its identity, and the random numbers that follow from it alone."""

import hashlib
import itertools
import json
import re
import unicodedata
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
    def stem(self) -> str:
        """File name of the session inside its experiment's folder; distinct for distinct personas."""
        persona = self.persona.persona
        return f"{self.topic.topic}-seed{self.seed}-{slug(persona)}-{_digest(persona)[:6]}"

    def __str__(self) -> str:
        return "/".join(str(part) for part in self.identity.values())

    def noise(self, message: int) -> np.random.Generator:
        """Generator of the sampling noise of one message of this session's conversation.

        It depends on the session's identity and the message's number only, so that neither batches nor resuming
        nor the conversation's final length change a text.
        """
        return _generator("conversation", *self.identity.values(), message)

    def option_order(self, item: int, n_options: int) -> tuple[int, ...]:
        """Order in which an item's options are shown: element ``i`` is the code (1 = first option) at letter ``i``.

        Drawn per persona, topic, seed and item (protocol, section 6). Model and format have no part in it: models
        are compared on the same orders.

        Examples
        --------
        >>> from valuestab_utils.populations import Persona
        >>> from valuestab_utils.topics import Topic
        >>> gandalf = Persona("Gandalf", "Gandalf", "Gandalf the wizard.", "M")
        >>> session = Session("m", "base", "p", gandalf, Topic("joke", "Tell me a joke."), 1)
        >>> sorted(session.option_order(7, 6))
        [1, 2, 3, 4, 5, 6]
        """
        draw = _generator(
            "option order", self.population, self.persona.persona, self.topic.topic, self.seed, item
        )
        return tuple(int(code) + 1 for code in draw.permutation(n_options))


@dataclass(frozen=True)
class Experiment:
    """All sessions of one model, format and population, asked after ``n_messages`` messages.

    Raises
    ------
    ValuestabError
        If ``n_messages`` is even or below 1, or a seed is not a plain integer.
    """

    model: str
    format: str
    population: str
    personas: tuple[Persona, ...]
    topics: tuple[Topic, ...]
    seeds: tuple[int, ...]
    n_messages: int = 3

    def __post_init__(self):
        if self.n_messages < 1 or self.n_messages % 2 == 0:
            raise ValuestabError(
                f"n_messages is {self.n_messages}, but the tested model must speak last: use an odd number, 1 or more."
            )
        for seed in self.seeds:
            if isinstance(seed, bool) or not isinstance(seed, int):
                raise ValuestabError(f"Seed {seed!r} is not a plain integer: write seeds as [1, 2, 3].")
        for kind, names in (
            ("seeds", self.seeds),
            ("topics", [topic.topic for topic in self.topics]),
            ("personas", [persona.persona for persona in self.personas]),
        ):
            if not names or len(set(names)) != len(names):
                raise ValuestabError(
                    f"The {kind} of an experiment must be distinct and at least one, but are {list(names)}."
                )

    @property
    def sessions(self) -> tuple[Session, ...]:
        """Every session, topics outermost, so that neighbours have prompts of similar length."""
        return tuple(
            Session(self.model, self.format, self.population, persona, topic, seed)
            for topic, seed, persona in itertools.product(self.topics, self.seeds, self.personas)
        )

    def only(self, session: Session) -> "Experiment":
        """The experiment cut down to one of its sessions."""
        return replace(self, personas=(session.persona,), topics=(session.topic,), seeds=(session.seed,))

    def messages_of(self, session: Session) -> int:
        """How many messages precede the items in ``session``: none in the condition without conversation."""
        return 0 if session.topic.topic == NO_CONVERSATION else self.n_messages

    def __str__(self) -> str:
        return f"{self.model}, {self.format}, {self.population}"


def slug(name: str) -> str:
    """ASCII file-name form of a name.

    Examples
    --------
    >>> slug("Éowyn of Rohan"), slug("mistralai/Mistral-7B-v0.1")
    ('Eowyn-of-Rohan', 'mistralai--Mistral-7B-v0.1')
    """
    ascii_name = unicodedata.normalize("NFKD", name.replace("/", "--")).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9._-]+", "-", ascii_name).strip("-.")


def _digest(*parts) -> str:
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).hexdigest()


def _generator(*identity) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(int(_digest(*identity), 16)))
