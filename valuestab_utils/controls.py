"""Two respondents whose stability is known beforehand: can the pipeline tell stable from unstable?

They take the place of a language model and know what it knows: the text of each prompt. A wrong persona,
portrait, option order or letter anywhere between prompt and statistics therefore shows in their stability.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from valuestab_utils.chat_template import Message
from valuestab_utils.errors import ValuestabError
from valuestab_utils.instruments import VALUES, Instrument, Item
from valuestab_utils.populations import Persona
from valuestab_utils.prompts import LETTERS
from valuestab_utils.respondents import Answers, Prompt, Respondent, Text
from valuestab_utils.stability import ipsative_stability, rank_order_stability, value_scores

_WORDS = "well then the road goes on under a grey sky and nobody asks why we came here so late today".split()
_DIFFUSENESS = 0.5  # how far from the latent answer the options keep probability, in codes

# What a persona's values make it do in the tasks, by sign.
_KINDNESS = {"Benevolence": 1, "Universalism": 1, "Power": -1, "Achievement": -1}
_DRIVERS = {"Donation": _KINDNESS, "Stealing": _KINDNESS, "Religion": {"Tradition": 1}}

# How each format begins a prompt that induces a persona; the group is its description.
_INDUCTION = re.compile(
    r"\A(?:<system> You are (?P<tuned_sys>.*?)\n<user>"
    r"|<user> You are (?P<tuned_no_sys>(?:(?!\n<).)*)\n<assistant> OK\n"
    r"|CONTEXT: The following is a conversation with (?P<base>.*?)\nUSER:)",
    flags=re.DOTALL,
)


class PlainTemplate:
    """Chat template of the controls: roles as Figure 11 of paper 001 writes them."""

    accepts_system = True
    digest = "plain"

    def render(self, messages: Sequence[Message], begun: str | None = None) -> str:
        """Exact text of a chat; see `valuestab_utils.chat_template.ChatTemplate.render`."""
        turns = [f"<{message['role']}> {message['content']}" for message in messages]
        return "\n".join([*turns, "<assistant>" if begun is None else f"<assistant> {begun}"])


class _Control(Respondent):
    family = "control"
    format = "tuned_sys"
    template = PlainTemplate()

    def speak(self, prompts: Sequence[Prompt], max_new_tokens: int) -> list[Text]:
        """Write a few words that say nothing, from the session's own noise."""
        texts = []
        for prompt in prompts:
            n_words = int(prompt.noise.integers(4, 12))
            texts.append(Text(" ".join(prompt.noise.choice(_WORDS, n_words)), n_words, "eos", 0))
        return texts

    def answer(self, prompts: Sequence[Prompt], letters: str) -> Answers:
        """Score the letters by the control's own rule; all the probability is on them."""
        utilities = np.array([self._utilities(prompt.text, letters) for prompt in prompts])
        logprobs = utilities - np.logaddexp.reduce(utilities, axis=1, keepdims=True)
        return Answers(logprobs, [""] * len(prompts), np.full(len(prompts), -np.inf))


class RandomRespondent(_Control):
    """Answers any letter with the same chance: the stability is 0 but for chance."""

    name = "control-random"

    @property
    def settings(self) -> dict:
        """All that decides its results beside the sessions."""
        return {"model_source": "control", "model_revision": "random-1"}

    def _utilities(self, text: str, letters: str) -> np.ndarray:
        return _noise("random", text).gumbel(size=len(letters))


@dataclass(frozen=True)
class SyntheticSettings:
    """What a synthetic respondent's answers are made of, in codes of the answer scale (standard deviations).

    Attributes
    ----------
    profile : float
        Spread of a persona's ten values around the scale's middle: what should be stable.
    context : float
        Shift of each value by the conversation, anew for each conversation.
    answer : float
        Noise of each single answer.
    letter_bias : float
        What the letter C has ahead of the others, in nats.
    """

    profile: float = 1.2
    context: float = 0.5
    answer: float = 0.7
    letter_bias: float = 1.0


class SyntheticRespondent(_Control):
    """Has a value profile for each persona, moved by the conversation, with noise and a bias to one letter.

    What it does in a downstream task follows from its values: who values benevolence and universalism above power
    and achievement gives more and takes more trouble to return what was found, who values tradition prays more; with
    a liking for each race of its own.

    Parameters
    ----------
    instrument : Instrument
        The questionnaire whose portraits it recognises.
    settings : SyntheticSettings
    tasks : sequence of Instrument
        Downstream tasks whose questions it recognises too.
    """

    name = "control-synthetic"

    def __init__(
        self,
        instrument: Instrument,
        settings: SyntheticSettings = SyntheticSettings(),
        tasks: Sequence[Instrument] = (),
    ):
        self.instrument, self.parameters = instrument, settings
        self._known = {
            text: (asked, item)
            for asked in (instrument, *tasks)
            for item in asked.items
            for text in (item.male, item.female)
        }

    @property
    def settings(self) -> dict:
        """All that decides its results beside the sessions."""
        parameters = asdict(self.parameters)
        return {"model_source": "control", "model_revision": "synthetic-2", "synthetic": parameters}

    def _utilities(self, text: str, letters: str) -> np.ndarray:
        before, asked, item, shown = self._parse(text, letters)
        induction = _INDUCTION.match(before)
        description = induction[induction.lastgroup] if induction else ""
        latent = self.scales(description, asked)[asked.scales.index(item.value)]
        latent += _noise("context", before, item.value).normal(0, self.parameters.context)
        latent += _noise("answer", text).normal(0, self.parameters.answer)
        codes = np.array([asked.options_of(item).index(option) + 1 for option in shown])
        is_favourite = np.array(list(letters)) == "C"
        return _option_utilities(latent, codes) + self.parameters.letter_bias * is_favourite

    def profile(self, description: str) -> np.ndarray:
        """The stable part of a persona's ten values, shape (values,), in codes: a hash of the description."""
        middle = (len(self.instrument.options) + 1) / 2
        return middle + _noise("profile", description).normal(0, self.parameters.profile, len(VALUES))

    def scales(self, description: str, asked: Instrument) -> np.ndarray:
        """The stable part of a persona's scores on an instrument's scales, shape (scales,), in codes."""
        if asked.name not in _DRIVERS:
            return self.profile(description)
        values = self.profile(description) - (len(self.instrument.options) + 1) / 2
        drivers = _DRIVERS[asked.name]
        drive = sum(sign * values[VALUES.index(value)] for value, sign in drivers.items()) / len(drivers) ** 0.5
        own = [_noise("scale", description, scale).normal(0, self.parameters.profile / 3) for scale in asked.scales]
        return (len(asked.options) + 1) / 2 + drive + np.array(own)

    def expected_stability(
        self,
        personas: Sequence[Persona],
        n_contexts: int,
        n_seeds: int,
        draws: int = 100,
        asked: Instrument | None = None,
    ) -> dict[str, tuple[float, float]]:
        """Stability that the settings imply, from the model of the answers alone: no prompt, letter or file.

        Parameters
        ----------
        personas : sequence of Persona
        n_contexts, n_seeds : int
            Size of the design.
        draws : int
            Simulated studies.
        asked : Instrument
            The questionnaire (by default), or one of the tasks.

        Returns
        -------
        dict
            For "rank_order" (only with three personas or more that have a description) and "ipsative" (only with
            three scales or more): mean and standard deviation over simulated studies of the stability that a study
            of this size finds.
        """
        asked = asked or self.instrument
        rng = np.random.default_rng(0)
        profiles = np.array([self.scales(persona.description, asked) for persona in personas])  # (P, V)
        found: dict[str, list[float]] = {"rank_order": [], "ipsative": []}
        compare_personas = len(personas) >= 3 and all(persona.induced for persona in personas)
        for _ in range(draws):
            seeds = [self._simulate(rng, profiles, asked, n_contexts) for _ in range(n_seeds)]
            if compare_personas:
                found["rank_order"].append(np.mean([rank_order_stability(seed).overall for seed in seeds]))
            if len(asked.scales) >= 3:
                found["ipsative"].append(np.mean([ipsative_stability(seed).overall for seed in seeds]))
        return {name: (float(np.mean(x)), float(np.std(x, ddof=1))) for name, x in found.items() if x}

    def _simulate(self, rng, profiles: np.ndarray, asked: Instrument, n_contexts: int) -> np.ndarray:
        shape = (n_contexts, len(profiles))
        by_value = profiles + rng.normal(0, self.parameters.context, (*shape, len(asked.scales)))  # (C, P, V)
        latent = by_value[..., [asked.scales.index(item.value) for item in asked.items]]  # (C, P, I)
        latent = latent + rng.normal(0, self.parameters.answer, latent.shape)
        codes = np.array(asked.codes)
        at_favourite = rng.choice(codes, latent.shape)[..., None] == codes  # (C, P, I, codes)
        utilities = _option_utilities(latent[..., None], codes) + self.parameters.letter_bias * at_favourite
        answers = np.array(asked.scores)[utilities.argmax(-1)]
        return value_scores(answers, asked.key, [item.item for item in asked.items], centre=asked.centred)

    def _parse(self, text: str, letters: str) -> tuple[str, Instrument, Item, list[str]]:
        """What precedes the last question, who asks it, the question, and its options in the order of the letters."""
        lines = text.split("\n")
        first = max((i for i, line in enumerate(lines) if line.startswith("(A) ")), default=0)
        turn = re.match(r"(?:<user> |USER: )?", lines[first - 1])[0]
        portrait = lines[first - 1].removeprefix(turn)
        asked, item = self._known.get(portrait, (None, None))
        head = "\n".join([*lines[: first - 1], turn])
        if asked is None or not head.endswith(f"{asked.instruction}\n\n" if asked.instruction else turn):
            raise ValuestabError(
                f"The synthetic respondent does not know the item {portrait!r} after {head[-40:]!r}."
            )
        before = head.removesuffix(f"{asked.instruction}\n\n") if asked.instruction else head
        options = [line for line in lines[first:] if re.match(rf"\([{LETTERS}]\) ", line)]
        if "".join(option[1] for option in options) != letters:
            raise ValuestabError(f"The synthetic respondent was asked for {letters}, but shown {options}.")
        return before, asked, item, [option[4:] for option in options]


def _option_utilities(latent, codes: np.ndarray) -> np.ndarray:
    return -((codes - latent) ** 2) / (2 * _DIFFUSENESS**2)


def _noise(*parts: str) -> np.random.Generator:
    return np.random.default_rng(int(hashlib.sha256("\0".join(parts).encode()).hexdigest(), 16))
