"""Controls, whose result is known beforehand: does the pipeline find what is there, and nothing where nothing is?

They take a language model's place and know the text of each prompt alone, and whose items it may hold.
"""

import hashlib
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from valuestab_utils.errors import ValuestabError
from valuestab_utils.letters import at_temperature
from valuestab_utils.metrics import human_means_19, ipsative_stability, rank_order_stability, scale_scores
from valuestab_utils.models.respondents import Answers, Prompt, Respondent, Text
from valuestab_utils.prompts import (
    BASIC_VALUE_OF,
    INDUCTIONS,
    LETTERS,
    QUERY,
    REFINED_VALUES,
    VALUES,
    Item,
    Message,
    Persona,
    Questionnaire,
    read_rows,
)

_WORDS = "well then the road goes on under a grey sky and nobody asks why we came here so late today".split()
_DIFFUSENESS = 0.5  # how far from the latent answer the options keep probability, in codes


class PlainTemplate:
    """Chat template of the controls: roles as Figure 11 of Kovač et al. writes them."""

    accepts_system, digest = True, "plain"

    def render(self, messages: Sequence[Message], begun: str | None = None) -> str:
        turns = [f"<{message['role']}> {message['content']}" for message in messages]
        return "\n".join([*turns, "<assistant>" if begun is None else f"<assistant> {begun}"])


class _Control(Respondent):
    family, format = "control", "tuned_sys"
    template = PlainTemplate()

    def speak(self, prompts: Sequence[Prompt], max_new_tokens: int) -> list[Text]:
        return [self._written(prompt) for prompt in prompts]

    def _written(self, prompt: Prompt) -> Text:
        """A few words that say nothing, from the session's own noise."""
        n_words = int(prompt.noise.integers(4, 12))
        return Text(" ".join(prompt.noise.choice(_WORDS, n_words)), n_words, "eos", 0)

    def answer(self, prompts: Sequence[Prompt], letters: str) -> Answers:
        """Score the letters by the control's own rule; all the probability is on them."""
        utilities = np.array([self._utilities(prompt.text, letters) for prompt in prompts])
        logprobs = utilities - np.logaddexp.reduce(utilities, axis=1, keepdims=True)
        return Answers(logprobs, [""] * len(prompts), np.full(len(prompts), -np.inf))


class RandomRespondent(_Control):
    """Answers any letter with the same chance: its stability is 0 but for chance."""

    name = "control-random"
    settings = {"model_source": "control", "model_revision": "random-1"}

    def _utilities(self, text: str, letters: str) -> np.ndarray:
        return _noise("random", text).gumbel(size=len(letters))


# What a persona's basic values make it do in the tasks, by sign.
_KINDNESS = {"Benevolence": 1, "Universalism": 1, "Power": -1, "Achievement": -1}
_DRIVERS = {"Donation": _KINDNESS, "Stealing": _KINDNESS, "Religion": {"Tradition": 1}}

# How each format begins a prompt that induces a persona; the group is its description.
_INDUCTION = re.compile(
    r"\A(?:<system> You are (?P<tuned_sys>.*?)\n<user>"
    r"|<user> You are (?P<tuned_no_sys>(?:(?!\n<).)*)\n<assistant> OK\n"
    r"|CONTEXT: The following is a conversation with (?P<base>.*?)\nUSER:)",
    flags=re.DOTALL,
)


@dataclass(frozen=True)
class SyntheticSettings:
    """Spreads (standard deviations, in codes of a six-point scale) that a synthetic respondent's answers are made of.

    profile : of a persona's scores around the scale's middle, which is what should be stable
    context : shift of each score, anew for each conversation
    answer : noise of each single answer
    letter_bias : what the letter C has ahead of the others, in nats
    """

    profile: float = 1.2
    context: float = 0.5
    answer: float = 0.7
    letter_bias: float = 1.0


class SyntheticRespondent(_Control):
    """Has a profile for each persona on any questionnaire's scales, moved by the conversation, with noise and bias.

    In the downstream tasks it acts by its basic values: benevolence and universalism above power and achievement make
    it give more and return what was found, tradition makes it pray; each race it likes by a degree of its own.
    """

    name = "control-synthetic"

    def __init__(self, questionnaires: Iterable[Questionnaire], settings: SyntheticSettings = SyntheticSettings()):
        self.known, self.parameters = KnownItems(questionnaires), settings
        self.settings = {"model_source": "control", "model_revision": "synthetic-2", "synthetic": asdict(settings)}

    def _utilities(self, text: str, letters: str) -> np.ndarray:
        question = self.known.question(text, letters)
        asked, item, before = question.questionnaire, question.item, question.before
        induction, spread = _INDUCTION.match(before), _spread(asked)
        description = induction[induction.lastgroup] if induction else ""
        latent = self.profile(description, asked)[asked.scales.index(item.value)]
        latent += spread * _noise("context", before, item.value).normal(0, self.parameters.context)
        latent += spread * _noise("answer", text).normal(0, self.parameters.answer)
        if item.item in asked.reversed_items:
            latent = len(asked.options) + 1 - latent
        is_favourite = np.array(list(letters)) == "C"
        return _option_utilities(latent, question.codes) + self.parameters.letter_bias * is_favourite

    def profile(self, description: str, asked: Questionnaire) -> np.ndarray:
        """The stable part of a persona's scores, shape (scales,), in codes; drawn by a hash of its description."""
        middle = (len(asked.options) + 1) / 2
        spread = self.parameters.profile
        values = _noise("profile", description).normal(0, spread, len(VALUES))
        if asked.name in _DRIVERS:
            drivers = _DRIVERS[asked.name]
            drive = sum(sign * values[VALUES.index(value)] for value, sign in drivers.items()) / len(drivers) ** 0.5
            own = [_noise("scale", description, scale).normal(0, spread / 3) for scale in asked.scales]
            return middle + drive + np.array(own)
        if asked.scales == VALUES:
            return middle + _spread(asked) * values
        own = [_noise("scale", description, asked.name, scale).normal(0, spread) for scale in asked.scales]
        return middle + _spread(asked) * np.array(own)

    def expected_stability(
        self, personas: Sequence[Persona], n_contexts: int, n_seeds: int, asked: Questionnaire, draws: int = 100
    ) -> dict[str, tuple[float, float]]:
        """Stability that the settings imply, from the model of the answers alone: no prompt, letter or file.

        By "rank_order" (with three described personas or more) and "ipsative" (with three scales or more): mean and
        standard deviation, over ``draws`` simulated studies, of the stability that a study of this size finds.
        """
        rng = np.random.default_rng(0)
        profiles = np.array([self.profile(persona.description, asked) for persona in personas])  # (P, V)
        studies = [[self._simulate(rng, profiles, asked, n_contexts) for _ in range(n_seeds)] for _ in range(draws)]
        measures = {}
        if len(personas) >= 3 and all(persona.induced for persona in personas):
            measures["rank_order"] = rank_order_stability
        if len(asked.scales) >= 3:
            measures["ipsative"] = ipsative_stability
        found = {}
        for name, measure in measures.items():
            of_studies = [np.mean([measure(seed).overall for seed in seeds]) for seeds in studies]
            found[name] = (float(np.mean(of_studies)), float(np.std(of_studies, ddof=1)))
        return found

    def _simulate(self, rng, profiles: np.ndarray, asked: Questionnaire, n_contexts: int) -> np.ndarray:
        """Scores (contexts, personas, scales) of one simulated seed."""
        shape, spread = (n_contexts, len(profiles)), _spread(asked)
        by_scale = profiles + spread * rng.normal(0, self.parameters.context, (*shape, len(asked.scales)))  # (C, P, V)
        latent = by_scale[..., [asked.scales.index(item.value) for item in asked.items]]  # (C, P, I)
        latent += spread * rng.normal(0, self.parameters.answer, latent.shape)
        is_reversed = [item.item in asked.reversed_items for item in asked.items]
        latent = np.where(is_reversed, len(asked.options) + 1 - latent, latent)
        codes = np.array(asked.codes)
        # Orders are random: any option may stand at the letter that is favoured, if there is that letter.
        biased = (rng.choice(codes, latent.shape)[..., None] == codes) & (len(codes) > LETTERS.index("C"))
        utilities = _option_utilities(latent[..., None], codes) + self.parameters.letter_bias * biased
        return scale_scores(codes[utilities.argmax(-1)], asked)


def _spread(asked: Questionnaire) -> float:
    """Codes of a questionnaire's scale for one of a six-point scale; the tasks keep the spreads of six points."""
    return 1.0 if asked.name in _DRIVERS else (len(asked.options) - 1) / 5


def _option_utilities(latent, codes: Sequence[int]) -> np.ndarray:
    return -((np.asarray(codes) - latent) ** 2) / (2 * _DIFFUSENESS**2)


def _noise(*parts: str) -> np.random.Generator:
    # Python's own hash differs from process to process.
    return np.random.default_rng(int(hashlib.sha256("\0".join(parts).encode()).hexdigest(), 16))


_BEGUN = re.compile(rf"\n(?:<assistant>|[^\n:<>]+:) {re.escape(QUERY)}")
_NUMBERED = re.compile(r"(?:<user> |USER: )?([1-9][0-9]*)\. (.+)")
_ASKED_AFTER = re.compile(r"(?:\A|\n\n|\n?<user> |\n?USER: )\Z")


@dataclass(frozen=True)
class Question:
    """An item as a prompt asks it.

    before : what stands before the first question, without the questionnaire's own instruction
    codes : codes that may be answered, in the order of the letters, digits or options
    """

    before: str
    questionnaire: Questionnaire
    item: Item
    codes: tuple[int, ...]


class KnownItems:
    """The items of some questionnaires, each there once, recognised by their texts."""

    def __init__(self, questionnaires: Iterable[Questionnaire]):
        self._known: dict[str, list[tuple[Questionnaire, Item]]] = {}
        for questionnaire in questionnaires:
            for item in questionnaire.items:
                for text in dict.fromkeys((item.male, item.female)):
                    self._known.setdefault(text, []).append((questionnaire, item))

    def question(self, text: str, letters: str) -> Question:
        """What a prompt asks that ends in the begun answer; ValuestabError if no or several known questions fit.

        `letters` are those that options are shown at, or the digits of the codes, where none are shown.
        """
        begun = list(_BEGUN.finditer(text))
        body = text[: begun[-1].start()] if begun else ""
        if letters.isdigit():
            asked = [(q, item) for _, q, item in self._at_end(body) if len(q.options) == len(letters)]
            questionnaire, item = _only(asked, body)
            # What was said stands before the first item of the conversation, however many have been answered since.
            first = text[: begun[0].start()]
            before = [_before(first, shown, q) for shown, q, _ in self._at_end(first) if q is questionnaire]
            return Question(_only(before, first), questionnaire, item, tuple(map(int, letters)))
        body, options = _without_options(body, letters)
        found = self._at_end(body)
        asked = [(shown, q, item) for shown, q, item in found if sorted(q.options_of(item)) == sorted(options)]
        shown, questionnaire, item = _only(asked, body)
        codes = tuple(questionnaire.options_of(item).index(option) + 1 for option in options)
        return Question(_before(body, shown, questionnaire), questionnaire, item, codes)

    def numbered_questions(self, text: str) -> list[Question]:
        """What a prompt asks that ends in numbered items of a questionnaire, one a line; nothing if it does not."""
        lines, portraits = text.split("\n")[:-1], []  # the last line begins the answer
        while lines and (found := _NUMBERED.fullmatch(lines[-1])) and found[2] in self._known:
            portraits.insert(0, found[2])
            lines.pop()
        if not portraits:
            return []
        every = [{q.name: (q, item) for q, item in self._known[portrait]} for portrait in portraits]
        name = _only(sorted(set.intersection(*map(set, every))), portraits[0])
        before = _before("\n".join([*lines, ""]), "", every[0][name][0])
        return [Question(before, *of[name], of[name][0].codes) for of in every]

    def _at_end(self, body: str) -> Iterator[tuple[str, Questionnaire, Item]]:
        """Known texts that a prompt ends with, the longest first, and whose they are."""
        found = [t for t in self._known if body.endswith(t) and _ASKED_AFTER.search(body[: len(body) - len(t)])]
        for text in sorted(found, key=len, reverse=True):
            for questionnaire, item in self._known[text]:
                yield text, questionnaire, item


def _without_options(body: str, letters: str) -> tuple[str, list[str]]:
    """What stands before the options, and the options in the order of the letters."""
    parts = re.split(r"\n\(([" + LETTERS + r"])\) ", body)
    n = len(letters)
    if "".join(parts[-2 * n :: 2]) != letters:
        raise ValuestabError(f"A control was asked for {letters}, but shown {body[-60:]!r}.")
    shown = parts[-2 * n + 1 :: 2]
    return body[: len(body) - sum(len(option) + len("\n(A) ") for option in shown)], shown


def _before(body: str, portrait: str, questionnaire: Questionnaire) -> str:
    head = body.removesuffix(portrait)
    if not questionnaire.instruction:
        return head
    without = head.rstrip("\n").removesuffix(questionnaire.instruction)
    if without == head.rstrip("\n"):
        raise ValuestabError(f"{questionnaire.name} is asked without its instruction: {head[-60:]!r}.")
    return without


def _only(found: list, where: str):
    if len(found) != 1:
        raise ValuestabError(
            f"A control knows {len(found)} questions, where it must know one, that are asked by {where[-60:]!r}."
        )
    return found[0]


_OFF_CIRCLE = "Animal-welfare"  # an anchor of Rozen et al. that is none of the 19 values


class CircumplexRespondent(_Control):
    """Agrees with an item as much as its scale lies in the direction of what was said before the questions.

    With K options, the latent answer to an item of a scale at the angle s, of a run at the angle r, is

        (K + 1) / 2 + mean(scale) + (K - 1) / 5 * [amplitude * cos(s - r) + noise]

    and the reverse of it for reversed items. The run's angle is that of the value prompt or anchor (data/inductions)
    that is found before the first question. Anything else said there has an angle and an amplitude by its hash; where
    nothing is said, the amplitude is 0. A scale that is no value lies where data/inductions/scale_directions.csv puts
    it, or by a hash of its name. The means of the PVQ-RR's scales are people's; all others are 0.

    amplitude and noise (standard deviation, of each answer) are in codes of a six-point scale; a run that is told no
    value has an amplitude between 0 and this.
    """

    name = "control-circumplex"

    def __init__(self, questionnaires: Iterable[Questionnaire], amplitude: float = 1.5, noise: float = 0.5):
        questionnaires = list(questionnaires)
        self.known, self.amplitude, self.noise = KnownItems(questionnaires), amplitude, noise
        self.refined = {value: 2 * math.pi * i / len(REFINED_VALUES) for i, value in enumerate(REFINED_VALUES)}
        self.basic = {}  # each in the mean direction of its refined values
        for basic in dict.fromkeys(filter(None, BASIC_VALUE_OF.values())):
            angles = np.array([angle for value, angle in self.refined.items() if BASIC_VALUE_OF[value] == basic])
            self.basic[basic] = float(np.angle(np.mean(np.exp(1j * angles))))  # as unit vectors: angles jump at 2 pi
        self._told: dict[str, float] = {}  # the angle that a text tells
        for _, row in read_rows(INDUCTIONS / "value_anchors.csv", ("value", "description")):
            nowhere = float(_noise("anchor", row["description"]).uniform(0, 2 * np.pi))
            self._told[row["description"]] = nowhere if row["value"] == _OFF_CIRCLE else self.refined[row["value"]]
        for _, row in read_rows(INDUCTIONS / "value_descriptions.csv", ("value", "description", "prompt")):
            self._told[row["prompt"].partition(". ")[0]] = self._told[row["description"]] = self.basic[row["value"]]
        human = human_means_19().set_index("value")["mean"].to_dict()
        self._means = {q.name: human for q in questionnaires if q.name == "PVQ-RR"}
        rows = read_rows(INDUCTIONS / "scale_directions.csv", ("instrument", "scale", "value"))
        self._directions = {(row["instrument"], row["scale"]): row["value"] for _, row in rows}
        means = {name: sorted(of.items()) for name, of in self._means.items()}
        parts = [sorted(part.items()) for part in (self._told, self.refined, self.basic, means, self._directions)]
        digest = hashlib.sha256(repr(parts).encode()).hexdigest()[:12]
        circle = {"amplitude": amplitude, "noise": noise, "values": digest}
        self.settings = {"model_source": "control", "model_revision": "circumplex-1", "circumplex": circle}

    def direction(self, said: str) -> tuple[float, float]:
        """Angle and amplitude of a run by what was said to it; ValuestabError if that names several directions."""
        if not said:
            return 0.0, 0.0
        found = [text for text in self._told if text in said]
        # A text within a longer one that is there, too, was not told by itself.
        angles = {self._told[t] for t in found if not any(t != other and t in other for other in found)}
        if len(angles) > 1:
            raise ValuestabError(
                f"{said[:80]!r} holds the texts of several values ({'; '.join(found)}): tell a run of one value only."
            )
        if angles:
            return angles.pop(), self.amplitude
        rng = _noise("run", said)
        return float(rng.uniform(0, 2 * np.pi)), float(rng.uniform(0, self.amplitude))

    def scale_angle(self, questionnaire: Questionnaire, scale: str) -> float:
        """Direction of a scale: its value's, or that of the value it was given; else by a hash of its name."""
        for angles in (self.basic, self.refined):
            if set(questionnaire.scales) <= set(angles):
                return angles[scale]
        if (questionnaire.name, scale) in self._directions:
            return self.refined[self._directions[questionnaire.name, scale]]
        return float(_noise("scale", questionnaire.name, scale).uniform(0, 2 * np.pi))

    def _written(self, prompt: Prompt) -> Text:
        """The codes of a questionnaire that is shown in one prompt; a few words after any other prompt."""
        questions = self.known.numbered_questions(prompt.text)
        if not questions:
            return super()._written(prompt)
        lines = []
        for number, question in enumerate(questions, start=1):
            p = at_temperature(self._agreement(question, f"{number}\0{prompt.text}"), prompt.temperature or 0.0)
            code = prompt.noise.choice(len(p), p=p) if prompt.temperature else p.argmax()
            lines.append(f"{number}. {question.codes[code]}")
        return Text("\n".join(lines), 4 * len(lines), "eos", 0)

    def _utilities(self, text: str, letters: str) -> np.ndarray:
        return self._agreement(self.known.question(text, letters), text)

    def _agreement(self, question: Question, text: str) -> np.ndarray:
        asked, item = question.questionnaire, question.item
        said = question.before.strip()
        for mark in ("<user>", "USER:"):  # of the turns around it
            said = said.removeprefix(mark).removesuffix(mark).strip()
        angle, amplitude = self.direction(said)
        n_options = len(asked.options)
        moved = amplitude * math.cos(self.scale_angle(asked, item.value) - angle)
        moved += _noise("answer", text).normal(0, self.noise)
        middle = (n_options + 1) / 2
        around = self._means.get(asked.name, {}).get(item.value, 0.0) + (n_options - 1) / 5 * moved
        latent = middle - around if item.item in asked.reversed_items else middle + around
        return _option_utilities(latent, question.codes)
