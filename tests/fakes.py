"""Respondents and sessions that cost nothing, for tests of what is built around them."""

import hashlib
import time
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
from tiny import byte_tokenizer, llama

from valuestab_utils.models import LanguageModel, ModelCard, RandomRespondent, Sampling, SyntheticRespondent
from valuestab_utils.models.controls import PlainTemplate
from valuestab_utils.models.respondents import Answers, Respondent, Text
from valuestab_utils.prompts import NO_CONVERSATION, Item, Persona, Session, Topic, load_population, load_questionnaire
from valuestab_utils.study import Experiment, ask, item_prompts, simulate_conversations

GANDALF = Persona("Gandalf", "Gandalf", "Gandalf from J. R. R. Tolkien's Middle-earth legendarium.", "M")
GALADRIEL = Persona("Galadriel", "Galadriel", "Galadriel from J. R. R. Tolkien's Middle-earth legendarium.", "F")
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


def asked_prompts(session, respondent, questionnaire, texts, way="letters"):
    """Prompts of a questionnaire's items after a conversation."""
    return item_prompts(experiment(questionnaire=questionnaire, way=way), session, respondent, texts)


def small_instrument(n_items=3, portrait="{} likes item {}."):
    items = [Item(i, "Power", portrait.format("He", i), portrait.format("She", i)) for i in range(1, n_items + 1)]
    version = hashlib.sha256(repr(items).encode()).hexdigest()[:12]
    pvq = load_questionnaire("PVQ-40", "project")
    return replace(pvq, name="Small", version=version, items=tuple(items))


def experiment(personas=(GANDALF, GALADRIEL), topics=(JOKE, CHESS), seeds=(1,), n_messages=3, **fields):
    """One of a population "p"; ``fields`` are others of it, such as the way of asking and the temperature."""
    asked = {"model": "fake", "format": "tuned_sys", "questionnaire": small_instrument()} | fields
    sessions = {"personas": tuple(personas), "topics": tuple(topics), "seeds": tuple(seeds)}
    return Experiment("pvq", population="p", n_messages=n_messages, **sessions, **asked)


class FakeRespondent(Respondent):
    """Says a hash of prompt and noise, answers by a hash of the prompt or by a rule, and keeps its calls.

    ``spoken`` and ``answered`` list what was asked of it: (session's key, prompt's text). ``utilities(text, letters)``
    gives the letters' log-probabilities up to a constant; ``interrupt_at`` is the number of a call to be interrupted.
    """

    name, family, format = "fake", "Fake", "tuned_sys"
    template = PlainTemplate()

    def __init__(self, utilities=None, seconds=0.0, revision="r1"):
        self.utilities, self.seconds, self.revision = utilities or hashed, seconds, revision
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


def hashed(text, letters):
    return np.random.default_rng(int(digest(text), 16)).normal(size=len(letters))


def language_model(template=CHATML, sampling=None, format=None, **config):
    """A real model, tiny and random; large weights, so that texts depend on the whole prompt."""
    tokenizer = byte_tokenizer(template=template, eos="<|im_end|>")
    card = ModelCard("tiny", "tiny", format, "Tiny", sampling or Sampling(temperature=0.7))
    return LanguageModel(card, llama(tokenizer, **{"initializer_range": 0.4} | config), tokenizer, "r1")


def tidy_answers(
    population="fictional_characters", model="a-model", n_personas=4, topics=("joke", "chess"), seeds=(1, 2)
):
    """Tidy answers that depend on persona and item alone: the same in every context."""
    rng, items = np.random.default_rng(3), load_questionnaire("PVQ-40", "project").items
    rows = []
    for p in range(n_personas):
        profile = {item.item: int(rng.integers(1, 7)) for item in items}
        for topic, seed, item in product(topics, seeds, items):
            code = profile[item.item]
            letters = {f"logprob_{x}": np.log(0.5 if i == code else 0.02) for i, x in enumerate("ABCDEF", start=1)}
            answered = {"persona": f"p{p}", "topic": topic, "seed": seed, "item": item.item, "value": item.value}
            told = {"answer": code, "letter": "ABCDEF"[code - 1], "near_tie": code == 1}
            described = {"persona_description": "" if population == "none" else f"person {p}."}
            rows.append(answered | told | described | letters)
    same = {"model": model, "family": "F", "format": "base", "population": population, "instrument": "PVQ-40"}
    frame = pd.DataFrame(rows).assign(**same, wording="project", letter_mass=0.5, stray_token="I", asked_after=3)
    return frame.assign(option_order=[[1, 2, 3, 4, 5, 6]] * len(frame))


def write_results(folder):
    """Both controls' answers of four personas in three contexts, and a donation; gives the folder."""
    pvq, task = load_questionnaire("PVQ-40", "project"), load_questionnaire("Donation", n_names=1)
    personas = load_population("fictional_characters", 4)
    whole = experiment(personas, (JOKE, CHESS, NO_TALK), (1, 2), questionnaire=pvq)
    for respondent in (SyntheticRespondent([pvq, task]), RandomRespondent()):
        whole = replace(whole, model=respondent.name, population="fictional_characters")
        simulate_conversations(whole, respondent, folder)
        ask(whole, respondent, folder)
    ask(replace(whole, way="balanced"), respondent, folder)
    ask(replace(whole, questionnaire=task), respondent, folder)
    return folder
