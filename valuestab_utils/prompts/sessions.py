"""Sessions: the unit of measurement, its identity, and the random numbers that follow from it alone."""

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from valuestab_utils.prompts.contexts import Topic
from valuestab_utils.prompts.personas import Persona


@dataclass(frozen=True)
class Session:
    """One simulated participant in one context: who is asked, by which model, after which conversation.

    Its conversation is simulated once, and every item is asked after it (paper 001, section 3.1). ``format`` is how the
    persona is induced (`prompts.FORMATS`), ``seed`` the replication.
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
        who = {"model": self.model, "format": self.format, "population": self.population}
        return who | dict(zip(("persona", "topic", "seed"), self.key))

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
        """Generator of the sampling noise of one message of this session's conversation."""
        # Of nothing else, so that neither batches nor resuming nor the conversation's final length change a text.
        return seeded_generator("conversation", *self.identity.values(), message)

    def answer_noise(self, instrument: str, draw: int = 0) -> np.random.Generator:
        """Generator of what is drawn from this session's answer probabilities; another ``draw``, other answers."""
        return answer_noise(self.identity, instrument, draw)

    def option_order(self, item: int, n_options: int, instrument: str = "PVQ-40", draw: int = 0) -> tuple[int, ...]:
        """Order in which the options are shown: element ``i`` is the code of the option at letter ``i``.

        The code of the instrument's first option is 1. The order is drawn per population, persona, topic, seed,
        instrument and item (protocol, section 6); another ``draw`` is another order, independent of the first.
        """
        # The same orders for item 1 of a task as for item 1 of the questionnaire would correlate the answers of
        # a model that answers by position.
        apart = () if (instrument, draw) == ("PVQ-40", 0) else (instrument, draw)
        # Model and format have no part in it: models are compared on the same orders.
        asked = (self.population, *self.key, item, *apart)
        generator = seeded_generator("option order", *asked)
        return tuple(int(code) + 1 for code in generator.permutation(n_options))


def answer_noise(identity: Mapping[str, str | int], instrument: str, draw: int = 0) -> np.random.Generator:
    """Generator for answers drawn from the probabilities of one session.

    ``identity`` is `Session.identity`, or a row of answers, which has these columns; ``draw`` is which of several.
    """
    names = ("model", "format", "population", "persona", "topic")
    return seeded_generator("answer", *(str(identity[name]) for name in names), int(identity["seed"]), instrument, draw)


def slug(name: str) -> str:
    """ASCII file-name form of a name, never empty; two names may have the same.

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
