"""A respondent whose values form a known circle: does the pipeline find the structure that is there?

It takes the place of a language model and knows what it knows: the text of each prompt. What was said before the first
question gives a run its direction on the circle of values, each item's scale has one too, and the closer the two, the
more it agrees. Its value structure is therefore a circle by construction, whatever the administration.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from valuestab_utils.answer_draws import at_temperature
from valuestab_utils.control_prompts import KnownItems, Question
from valuestab_utils.controls import PlainTemplate, RandomRespondent
from valuestab_utils.errors import ValuestabError, check_known
from valuestab_utils.inductions import INDUCTIONS
from valuestab_utils.instruments import Instrument
from valuestab_utils.populations import read_rows
from valuestab_utils.pvqrr import BASIC_VALUE_OF
from valuestab_utils.respondents import Answers, Prompt, Respondent, Text
from valuestab_utils.value_circle import REFINED_VALUES
from valuestab_utils.value_hierarchy import human_means_19

_ANCHORS = INDUCTIONS / "value_anchors.csv"
_DESCRIPTIONS = INDUCTIONS / "value_descriptions.csv"
_DIRECTIONS = INDUCTIONS / "scale_directions.csv"
OFF_CIRCLE = ("Animal-welfare",)  # an anchor of paper 002 that is none of the 19 values
_DIFFUSENESS = 0.5  # how far from the latent answer the options keep probability, in codes


@dataclass(frozen=True)
class CircumplexSettings:
    """What a circumplex respondent's answers are made of, in codes of a six-point scale.

    Attributes
    ----------
    amplitude : float
        What a run told of a value adds to the items of that value, and takes from those opposite; runs told anything
        else have an amplitude between 0 and this.
    noise : float
        Standard deviation of each answer's noise.
    """

    amplitude: float = 1.5
    noise: float = 0.5


def value_directions(refined: Sequence[str], basic_of: Mapping[str, str]) -> tuple[dict[str, float], dict[str, float]]:
    """Directions of the refined values, evenly spaced in the order of the circle, and of the basic values.

    A basic value has the mean direction of its refined values. With the theory's parents, Tradition (tradition,
    humility) and Conformity (rules, interpersonal) have the same one: the theory puts both into one wedge.

    Parameters
    ----------
    refined : sequence of str
        In the order of the circle.
    basic_of : mapping of str to str
        The basic value of each refined one, None for those that have none.

    Returns
    -------
    refined, basic : dict of str to float
        Angles in radians, the former from 0 to 2 pi, the latter from -pi to pi.

    Raises
    ------
    ValuestabError
        If the mapping names a refined value that is not in the order.

    Examples
    --------
    >>> refined, basic = value_directions(["a1", "a2", "b", "c"], {"a1": "A", "a2": "A", "b": "B"})
    >>> round(refined["b"] / np.pi, 3), {name: round(angle / np.pi, 3) for name, angle in basic.items()}
    (1.0, {'A': 0.25, 'B': 1.0})
    """
    angles = {value: 2 * math.pi * i / len(refined) for i, value in enumerate(refined)}
    members: dict[str, list[float]] = {}
    for value, basic in basic_of.items():
        if basic is None:  # lies between two
            continue
        members.setdefault(basic, []).append(angles[check_known("refined value", value, angles)])
    means = {basic: np.mean(np.exp(1j * np.array(of))) for basic, of in members.items()}
    return angles, {basic: float(np.angle(mean)) for basic, mean in means.items()}


class CircumplexRespondent(Respondent):
    """Agrees with an item as much as its scale lies in the direction of what was said before the questions.

    With K options, the latent answer to an item of a scale at the angle s, of a run at the angle r, is::

        (K + 1) / 2 + mean(scale) + (K - 1) / 5 * [amplitude * cos(s - r) + noise]

    and the reverse of it for reversed items. The run's angle is that of the value of which a text (an anchor or a
    description) is found before the first question; anything else said there has an angle and an amplitude by a hash of
    it; where nothing is said, the amplitude is 0. Scales that are no values have the direction of a value that they are
    given, or one by a hash of their names.

    Parameters
    ----------
    instruments : sequence of Instrument
        Those whose questions it knows.
    refined : sequence of str
        The refined values in the order of the circle.
    basic_of : mapping of str to str
        The basic value of refined values (see `value_directions`).
    anchors : mapping of str to str
        Texts by which a run may be told of a refined value, and that value, or one of `OFF_CIRCLE`.
    descriptions : mapping of str to str
        Texts by which a run may be told of a basic value, and that value.
    means : mapping of str to mapping, optional
        For instruments named there, the mean of each scale around the middle, in codes: a human sample's, say.
    settings : CircumplexSettings
    directions : mapping of (str, str) to str, optional
        By instrument and scale, the refined value in whose direction a scale that is no value lies.

    Raises
    ------
    ValuestabError
        Unknown value; means that lack a scale; an instrument that is there twice.
    """

    name, family, format = "control-circumplex", "control", "tuned_sys"
    template = PlainTemplate()

    def __init__(
        self,
        instruments: Sequence[Instrument],
        refined: Sequence[str],
        basic_of: Mapping[str, str],
        anchors: Mapping[str, str],
        descriptions: Mapping[str, str],
        means: Mapping[str, Mapping[str, float]] | None = None,
        settings: CircumplexSettings = CircumplexSettings(),
        directions: Mapping[tuple[str, str], str] | None = None,
    ):
        self._directions = dict(directions or {})
        self.known, self.parameters = KnownItems(instruments), settings
        self.refined, self.basic = value_directions(refined, basic_of)
        self._told = {text: self._anchor_angle(text, value) for text, value in anchors.items()}
        for text, value in descriptions.items():
            self._told[text] = self.basic[check_known("basic value", value, self.basic)]
        self._means = {name: dict(of) for name, of in (means or {}).items()}
        for name in self._means:
            check_known("instrument", name, [instrument.name for instrument in instruments])
        for instrument in instruments:
            lacking = set(instrument.scales) - set(self._means.get(instrument.name, instrument.scales))
            if lacking:
                raise ValuestabError(
                    f"The means of {instrument.name} lack {', '.join(sorted(lacking))}: give one a scale, or none."
                )

    @property
    def settings(self) -> dict:
        """All that decides its results beside the sessions."""
        parts = [sorted(self._told.items()), sorted(self.refined.items()), sorted(self.basic.items())]
        parts.append(sorted((name, sorted(of.items())) for name, of in self._means.items()))
        parts.append(sorted(self._directions.items()))
        digest = hashlib.sha256(repr(parts).encode()).hexdigest()[:12]
        circle = {**asdict(self.parameters), "values": digest}
        return {"model_source": "control", "model_revision": "circumplex-1", "circumplex": circle}

    def direction(self, said: str) -> tuple[float, float]:
        """Angle and amplitude of a run by what was said before its first question.

        Raises
        ------
        ValuestabError
            If texts of values with different directions are found in it.
        """
        if not said:
            return 0.0, 0.0
        found = [text for text in self._told if text in said]
        angles = {self._told[t] for t in found if not any(t != other and t in other for other in found)}
        if len(angles) > 1:
            raise ValuestabError(
                f"{said[:80]!r} holds the texts of several values ({'; '.join(found)}): tell a run of one value only."
            )
        if angles:
            return angles.pop(), self.parameters.amplitude
        rng = _noise("run", said)
        return float(rng.uniform(0, 2 * np.pi)), float(rng.uniform(0, self.parameters.amplitude))

    def scale_angle(self, instrument: Instrument, scale: str) -> float:
        """Direction of a scale: its value's, or that of the value it was given; else by a hash of its name."""
        for angles in (self.basic, self.refined):
            if set(instrument.scales) <= set(angles):
                return angles[scale]
        if (instrument.name, scale) in self._directions:
            return self.refined[check_known("refined value", self._directions[instrument.name, scale], self.refined)]
        return float(_noise("scale", instrument.name, scale).uniform(0, 2 * np.pi))

    def speak(self, prompts: Sequence[Prompt], max_new_tokens: int) -> list[Text]:
        """Write the codes of a questionnaire that is shown in one prompt; a few words after any other prompt."""
        return [self._written(prompt, max_new_tokens) for prompt in prompts]

    def answer(self, prompts: Sequence[Prompt], letters: str) -> Answers:
        """Score the letters of the options, or the digits of the codes; all the probability is on them."""
        asked = [self.known.question(prompt.text, letters) for prompt in prompts]
        logprobs = np.array([self._logprobs(q, prompt.text) for q, prompt in zip(asked, prompts)])
        return Answers(logprobs, [""] * len(prompts), np.full(len(prompts), -np.inf))

    def _written(self, prompt: Prompt, max_new_tokens: int) -> Text:
        questions = self.known.numbered_questions(prompt.text)
        if not questions:
            return RandomRespondent().speak([prompt], max_new_tokens)[0]
        lines = []
        for number, question in enumerate(questions, start=1):
            p = at_temperature(self._logprobs(question, f"{number}\0{prompt.text}"), prompt.temperature or 0.0)
            code = int(p.argmax()) if not prompt.temperature else int(prompt.noise.choice(len(p), p=p))
            lines.append(f"{number}. {question.codes[code]}")
        return Text("\n".join(lines), 4 * len(lines), "eos", 0)

    def _logprobs(self, question: Question, text: str) -> np.ndarray:
        instrument, item = question.instrument, question.item
        angle, amplitude = self.direction(question.said)
        n_options = len(instrument.options)
        moved = amplitude * math.cos(self.scale_angle(instrument, item.value) - angle)
        moved += _noise("answer", text).normal(0, self.parameters.noise)
        middle = (n_options + 1) / 2
        around = self._means.get(instrument.name, {}).get(item.value, 0.0) + (n_options - 1) / 5 * moved
        latent = middle - around if item.item in instrument.reversed_items else middle + around
        utilities = -((np.array(question.codes) - latent) ** 2) / (2 * _DIFFUSENESS**2)
        return utilities - np.logaddexp.reduce(utilities)

    def _anchor_angle(self, text: str, value: str) -> float:
        if value in OFF_CIRCLE:
            return float(_noise("anchor", text).uniform(0, 2 * np.pi))
        return self.refined[check_known("refined value", value, self.refined)]


def load_circumplex(instruments: Iterable[Instrument]) -> CircumplexRespondent:
    """The circumplex respondent that knows the value prompts and anchors of this project, and how people order values.

    Parameters
    ----------
    instruments : iterable of Instrument
        That it is to be asked.

    Examples
    --------
    >>> from valuestab_utils.pvqrr import load_pvqrr
    >>> control = load_circumplex([load_pvqrr("project")])
    >>> told = "Imagine that you are a person who greatly values power."
    >>> round(control.direction(told)[0] - control.basic["Power"], 9), control.direction(told)[1]
    (0.0, 1.5)
    """
    instruments = list(instruments)
    anchors = {row["description"]: row["value"] for _, row in read_rows(_ANCHORS, ("value", "description"))}
    told = {row["value"]: row for _, row in read_rows(_DESCRIPTIONS, ("value", "description", "prompt"))}
    named = {row["prompt"].partition(". ")[0]: value for value, row in told.items()}
    human = human_means_19().set_index("value")["mean"].to_dict()
    means = {instrument.name: human for instrument in instruments if instrument.name == "PVQ-RR"}
    descriptions = named | {row["description"]: value for value, row in told.items()}
    columns = ("instrument", "scale", "value")
    directions = {(row["instrument"], row["scale"]): row["value"] for _, row in read_rows(_DIRECTIONS, columns)}
    return CircumplexRespondent(
        instruments, REFINED_VALUES, BASIC_VALUE_OF, anchors, descriptions, means, directions=directions
    )


def _noise(*parts: str) -> np.random.Generator:
    return np.random.default_rng(int(hashlib.sha256("\0".join(parts).encode()).hexdigest(), 16))
