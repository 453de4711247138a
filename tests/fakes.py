"""Respondents and sessions that cost nothing, for tests of what is built around them."""

import hashlib
import time
from types import SimpleNamespace

import numpy as np
import pandas as pd
from tiny import byte_tokenizer, llama

from valuestab_utils.controls import PlainTemplate, RandomRespondent, SyntheticRespondent
from valuestab_utils.conversations import simulate_conversations
from valuestab_utils.instruments import Instrument, Item, load_pvq40
from valuestab_utils.model_cards import ModelCard
from valuestab_utils.models import LanguageModel
from valuestab_utils.populations import Persona, load_population
from valuestab_utils.questionnaire import ask_questionnaire
from valuestab_utils.respondents import Answers, Respondent, Text
from valuestab_utils.sampling import Sampling
from valuestab_utils.sessions import Experiment, Session
from valuestab_utils.tasks import load_task
from valuestab_utils.topics import NO_CONVERSATION, Topic

GANDALF = Persona("Gandalf", "Gandalf", "Gandalf from J. R. R. Tolkien's Middle-earth legendarium.", "M")
GALADRIEL = Persona(
    "Galadriel", "Galadriel", "Galadriel from J. R. R. Tolkien's Middle-earth legendarium.", "F"
)
NOBODY = Persona("permutation_01", "CHATBOT", "", "M")
JOKE, CHESS = Topic("joke", "Tell me a joke."), Topic("chess", "1. e4")
NO_TALK = Topic(NO_CONVERSATION, None)

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
NO_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}" + CHATML


def session(persona=GANDALF, topic=JOKE, seed=1, model="fake", format="tuned_sys", population="p"):
    return Session(model, format, population, persona, topic, seed)


def experiment(
    personas=(GANDALF, GALADRIEL),
    topics=(JOKE, CHESS),
    seeds=(1,),
    n_messages=3,
    format="tuned_sys",
    model="fake",
):
    return Experiment(model, format, "p", tuple(personas), tuple(topics), tuple(seeds), n_messages)


def small_instrument(n_items=3, portrait="{} likes item {}."):
    items = [
        Item(i, "Power", portrait.format("He", i), portrait.format("She", i)) for i in range(1, n_items + 1)
    ]
    pvq = load_pvq40("project")
    version = hashlib.sha256(repr(items).encode()).hexdigest()[:12]
    return Instrument("Small", "project", version, pvq.instruction, pvq.options, tuple(items))


class FakeRespondent(Respondent):
    """Says a hash of prompt and noise, answers by a hash of the prompt or by a rule, and keeps its calls.

    ``spoken`` and ``answered`` list what was asked of it: (session's key, prompt's text). ``utilities(text,
    letters)`` gives the letters' log-probabilities up to a constant; ``interrupt_at`` is the number of a call
    that is interrupted; ``seconds`` is how long each call takes.
    """

    name, family, format = "fake", "Fake", "tuned_sys"
    template = PlainTemplate()

    def __init__(self, utilities=None, seconds=0.0, revision="r1"):
        self.utilities, self.seconds, self.revision = utilities or hash_utilities, seconds, revision
        self.spoken, self.answered, self.interrupt_at, self.calls = [], [], None, 0

    @property
    def settings(self):
        return {"model_source": "fake", "model_revision": self.revision}

    def _call(self):
        self.calls += 1
        if self.calls == self.interrupt_at:
            raise KeyboardInterrupt
        time.sleep(self.seconds)

    def speak(self, prompts, max_new_tokens):
        self._call()
        self.spoken += [(prompt.session.key, prompt.text) for prompt in prompts]
        return [Text(f"{digest(p.text)[:6]} {p.noise.integers(10**9)}", 2, "eos", 0) for p in prompts]

    def answer(self, prompts, letters):
        self._call()
        self.answered += [(prompt.session.key, prompt.text) for prompt in prompts]
        utilities = np.array([self.utilities(prompt.text, letters) for prompt in prompts])
        logprobs = utilities - np.logaddexp.reduce(utilities, axis=1, keepdims=True) + np.log(0.5)
        return Answers(logprobs, [" I"] * len(prompts), np.full(len(prompts), np.log(0.25)))


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


def hash_utilities(text, letters):
    return np.random.default_rng(int(digest(text), 16)).normal(size=len(letters))


def language_model(template=CHATML, sampling=None, format=None, **config):
    """A real model, tiny and random; large weights, so that texts depend on the whole prompt."""
    tokenizer = byte_tokenizer(template=template, eos="<|im_end|>")
    card = ModelCard("tiny", "tiny", format, "Tiny", sampling or Sampling(temperature=0.7))
    return LanguageModel(card, llama(tokenizer, **{"initializer_range": 0.4} | config), tokenizer, "r1")


class Bar(SimpleNamespace):
    """Stands for a progress bar; ``n`` is where it is."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def update(self, n):
        self.n += n


def tidy_answers(
    population="fictional_characters", model="a-model", n_personas=4, topics=("joke", "chess"), seeds=(1, 2)
):
    """Tidy answers that depend on persona and item alone: the same in every context."""
    rng, items = np.random.default_rng(3), load_pvq40("project").items
    rows = []
    for p in range(n_personas):
        profile = {item.item: int(rng.integers(1, 7)) for item in items}
        for topic in topics:
            for seed in seeds:
                for item in items:
                    code = profile[item.item]
                    rows.append(
                        {
                            "model": model,
                            "family": "F",
                            "format": "base",
                            "population": population,
                            "instrument": "PVQ-40",
                            "persona": f"p{p}",
                            "topic": topic,
                            "seed": seed,
                            "wording": "project",
                            "persona_description": "" if population == "none" else f"person {p}.",
                            "item": item.item,
                            "value": item.value,
                            "answer": code,
                            "letter": "ABCDEF"[code - 1],
                            "option_order": [1, 2, 3, 4, 5, 6],
                            "letter_mass": 0.5,
                            "near_tie": code == 1,
                            "stray_token": "I",
                            **{
                                f"logprob_{x}": np.log(0.5 if i == code - 1 else 0.02)
                                for i, x in enumerate("ABCDEF")
                            },
                        }
                    )
    return pd.DataFrame(rows)


def write_results(folder):
    """Both controls' answers of four personas in three contexts, and a donation; gives the folder."""
    pvq, task, personas = load_pvq40("project"), load_task("donation", 1), load_population("fictional_characters", 4)
    for respondent in (SyntheticRespondent(pvq, tasks=[task]), RandomRespondent()):
        whole = Experiment(
            respondent.name, "tuned_sys", "fictional_characters", personas, (JOKE, CHESS, NO_TALK), (1, 2), 3
        )
        simulate_conversations(whole, respondent, folder)
        ask_questionnaire(whole, respondent, pvq, folder)
    ask_questionnaire(whole, respondent, pvq, folder, "balanced")
    ask_questionnaire(whole, respondent, task, folder)
    return folder
