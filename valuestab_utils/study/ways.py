"""Ways of asking a questionnaire: what a model is sent in each, and how answers are read from what it says.

A way is one function, sessions in, answers out. By letters (Kovač et al. 2024, B.4), each item is asked alone, after
the same conversation, and the likeliest letter is the answer: in one random order of the options, in a second one drawn
independently, or in all rotations of the first ("balanced"), so that every option stands once at every letter. By codes
(Rozen et al. 2025, section 3.1), what stands before the items explains the numbers 1 to 6, and no options are shown:
all items in one prompt whose text is read ("batch"), or item by item in one conversation ("serial").
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pandas as pd

from valuestab_utils.errors import ValuestabError
from valuestab_utils.letters import at_temperature
from valuestab_utils.metrics import rotated_orders
from valuestab_utils.models import Answers, Prompt, Respondent
from valuestab_utils.prompts import Item, Questionnaire, Session, formats, what_is_said
from valuestab_utils.study.conversations import texts_digest
from valuestab_utils.study.experiments import Experiment
from valuestab_utils.study.store import provenance

NEAR_TIE = 0.1  # nats between the two likeliest letters
TOKENS_PER_ITEM = 12  # of a written answer, at most
_LINE = "{number}. {portrait}"
_ANSWERED = formats.QUERY + "{code})"
# A dot or a hyphen needs a blank after it: "1.4" may be a decimal and "1-6" a range.
_NUMBERED = re.compile(r"([1-9][0-9]*)(?:[ \t]*[:)=][ \t]*|[ \t]*[.-][ \t]+)([1-9][0-9]*)")
_BETWEEN_CODES = re.compile(r"\s*,\s*|\s+")

Texts = dict[tuple[str, str, int], list[str]]  # what was said before each session, by its key


# By letters


def item_prompts(
    experiment: Experiment, session: Session, respondent: Respondent, texts: Sequence[str]
) -> list[Prompt]:
    """Prompts of all items of a session, each ending in the begun answer; an item's orders follow one another."""
    before, conversation = opening(session, experiment.questionnaire, texts)
    prompts = []
    for item, order in _items_and_orders(experiment, session):
        shown = experiment.questionnaire.options_of(item)
        text = formats.question(before, item.portrait(session.persona.gender), [shown[code - 1] for code in order])
        rendered = formats.tested_prompt(session.format, respondent.template, session.persona, conversation, text)
        prompts.append(Prompt(session, rendered))
    return prompts


def _items_and_orders(experiment: Experiment, session: Session) -> list[tuple[Item, tuple[int, ...]]]:
    """Each item with each order in which it is asked: the codes of the options at the letters A, B, ..."""
    questionnaire, draw = experiment.questionnaire, 1 if experiment.way == "second" else 0
    asked = []
    for item in questionnaire.items:
        order = session.option_order(item.item, len(questionnaire.options), questionnaire.name, draw)
        orders = rotated_orders(order) if experiment.way == "balanced" else (order,)
        asked += [(item, order) for order in orders]
    return asked


def _by_letters(
    experiment: Experiment, sessions: Sequence[Session], respondent: Respondent, texts: Texts
) -> Iterator[pd.DataFrame]:
    letters = formats.LETTERS[: len(experiment.questionnaire.options)]
    for session in sessions:
        with _naming(session):
            scored = respondent.answer(item_prompts(experiment, session, respondent, texts[session.key]), letters)
            lacking = np.isnan(scored.logprobs).any() or not np.isfinite(scored.logprobs.max(1)).all()
            if lacking and scored.chosen is None:
                raise ValuestabError(
                    f"{respondent.name} gives no letter a probability, so there is no answer to read: load it in "
                    "another dtype (float32 is safest)."
                )
        items, orders = zip(*_items_and_orders(experiment, session))
        orders = np.array(orders)  # (N, L), a row a prompt
        chosen = scored.logprobs.argmax(1) if scored.chosen is None else scored.chosen  # (N,)
        answers = orders[np.arange(len(orders)), chosen]
        if scored.chosen is not None:  # any may be missing: the column is one of numbers with gaps in every file
            answers = np.where(chosen < 0, np.nan, answers)
        best = np.sort(scored.logprobs, 1)[:, -2:]  # NaN is last: beside a letter without log-probability, no tie
        with np.errstate(invalid="ignore"):  # nor between two that have no probability
            near = best[:, 1] - best[:, 0] < NEAR_TIE
        columns = {
            "rotation": np.arange(len(orders)) % (len(orders) // len(experiment.questionnaire.items)),
            "option_order": list(orders),
            **{f"logprob_{letter}": scored.logprobs[:, i] for i, letter in enumerate(letters)},
            "letter_mass": np.exp(scored.logprobs).sum(1),
            "letter": [letters[i] if i >= 0 else "" for i in chosen],
            "answer": answers,
            "near_tie": near,
            "stray_token": scored.stray_tokens,
            "stray_logprob": scored.stray_logprobs,
        }
        yield _frame(experiment, session, respondent, texts, items, columns)


# By codes, in one prompt


def batch_prompt(experiment: Experiment, session: Session, respondent: Respondent, texts: Sequence[str]) -> Prompt:
    """Prompt of all items of a session: what is said before, a blank line, and a numbered line for each portrait."""
    questionnaire, temperature = experiment.questionnaire, float(experiment.temperature)
    before, conversation = opening(session, questionnaire, texts)
    lines = [
        _LINE.format(number=number, portrait=item.portrait(session.persona.gender))
        for number, item in enumerate(questionnaire.items, start=1)
    ]
    said = [*conversation, "\n".join([before, "", *lines])]
    text = formats.tested_prompt(session.format, respondent.template, session.persona, said)
    labels = formats.turn_labels(session.persona) if session.format == "base" else ()
    cut = partial(_cut, labels=labels, n_codes=len(questionnaire.options))
    noise = session.answer_noise(f"{questionnaire.name}, batch, {temperature}")
    return Prompt(session, text, noise, cut, temperature=temperature)


def parse_batch(text: str, n_items: int, n_codes: int) -> list[int] | None:
    """Codes of all items from the text of an answer, if it is nothing but such codes, numbered or in their order."""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    numbered = [_NUMBERED.fullmatch(line) for line in lines]
    if lines and all(numbered):
        if [match[1] for match in numbered] != [str(number) for number in range(1, n_items + 1)]:
            return None
        found = [match[2] for match in numbered]
    else:
        found = _BETWEEN_CODES.split(text.strip())
    codes = {str(code): code for code in range(1, n_codes + 1)}
    if len(found) != n_items or not set(found) <= set(codes):
        return None
    return [codes[code] for code in found]


def _cut(text: str, labels: Sequence[str], n_codes: int) -> str:
    """The text up to a turn label, or to the first whole line that is no code: nothing after it can be parsed."""
    text = formats.cut_at_label(text, labels) if labels else text
    codes = {str(code) for code in range(1, n_codes + 1)}
    *whole, _ = text.split("\n")
    length = 0
    for line in whole:
        length += len(line) + 1
        may_be_codes = set(_BETWEEN_CODES.split(line.strip(", \t"))) <= codes | {""}
        if line.strip() and not _NUMBERED.fullmatch(line.strip()) and not may_be_codes:
            return text[:length]
    return text


def _in_one_prompt(
    experiment: Experiment, sessions: Sequence[Session], respondent: Respondent, texts: Texts
) -> Iterator[pd.DataFrame]:
    items, n_codes = experiment.questionnaire.items, len(experiment.questionnaire.options)
    prompts = [batch_prompt(experiment, session, respondent, texts[session.key]) for session in sessions]
    written = respondent.speak(prompts, TOKENS_PER_ITEM * len(items)) if prompts else []
    for session, text in zip(sessions, written, strict=True):
        # What the limit cut off may have gone on with anything: its last number may be the beginning of a sentence.
        codes = None if text.finish == "length" else parse_batch(text.content, len(items), n_codes)
        columns = {
            "answer": np.full(len(items), np.nan) if codes is None else np.array(codes, float),
            "parsed": codes is not None,
            "text": text.content,
            "n_tokens": text.n_tokens,
            "finish": text.finish,
            "close_calls": text.close_calls,
        }
        yield _frame(experiment, session, respondent, texts, items, columns)


# By codes, item by item


def serial_prompt(
    experiment: Experiment, session: Session, respondent: Respondent, texts: Sequence[str], codes: Sequence[int]
) -> Prompt:
    """Prompt of the item that follows those answered with ``codes``: the whole conversation up to its begun answer."""
    before, said = opening(session, experiment.questionnaire, texts)
    items = experiment.questionnaire.items[: len(codes) + 1]
    first, *others = (item.portrait(session.persona.gender) for item in items)
    asked = [f"{before}\n\n{first}", *others]
    for portrait, code in zip(asked, codes):
        said = [*said, portrait, _ANSWERED.format(code=code)]
    return Prompt(session, formats.tested_prompt(session.format, respondent.template, session.persona, said, asked[-1]))


def _item_by_item(
    experiment: Experiment, sessions: Sequence[Session], respondent: Respondent, texts: Texts
) -> Iterator[pd.DataFrame]:
    questionnaire = experiment.questionnaire
    for session in sessions:
        noise = session.answer_noise(f"{questionnaire.name}, serial, {float(experiment.temperature)}")
        codes: list[int] = []
        answered: list[Answers] = []
        for _ in questionnaire.items:
            with _naming(session, f", item {len(codes) + 1}"):
                prompt = serial_prompt(experiment, session, respondent, texts[session.key], codes)
                digits = "".join(map(str, questionnaire.codes))
                answered.append(respondent.answer_next(prompt, digits, begins=not codes))
                probabilities = at_temperature(answered[-1].logprobs[0], experiment.temperature)
            codes.append(int(noise.choice(questionnaire.codes, p=probabilities)))
        logprobs = np.concatenate([answers.logprobs for answers in answered])  # (I, codes)
        columns = {
            **{f"logprob_{code}": logprobs[:, i] for i, code in enumerate(questionnaire.codes)},
            "letter_mass": np.exp(logprobs).sum(1),
            "answer": np.array(codes, dtype=float),
            "stray_token": [answers.stray_tokens[0] for answers in answered],
            "stray_logprob": [float(answers.stray_logprobs[0]) for answers in answered],
        }
        yield _frame(experiment, session, respondent, texts, questionnaire.items, columns)


@contextmanager
def _naming(session: Session, place: str = "") -> Iterator[None]:
    """An error inside names the session."""
    try:
        yield
    except ValuestabError as error:
        if str(session) in str(error):
            raise
        raise ValuestabError(f"Session {session}{place}: {error}") from error


# All ways


@dataclass(frozen=True)
class Way:
    """How sessions become answers.

    ``settings`` are what of it decides them, beside prompts and questionnaire; ``needs_all_letters`` says what for, if
    it takes a respondent that gives every letter a log-probability.
    """

    ask: Callable[[Experiment, Sequence[Session], Respondent, Texts], Iterator[pd.DataFrame]]
    settings: dict[str, object] = field(default_factory=dict)
    needs_all_letters: str = ""


WAYS = {
    "letters": Way(_by_letters),
    "second": Way(_by_letters),
    "balanced": Way(_by_letters, needs_all_letters="which balanced orders average"),
    "batch": Way(_in_one_prompt, {"line": _LINE, "tokens_per_item": TOKENS_PER_ITEM}),
    "serial": Way(_item_by_item, {"answered": _ANSWERED}, "from which serial answers are read"),
}


def opening(session: Session, questionnaire: Questionnaire, texts: Sequence[str]) -> tuple[str, list[str]]:
    """What stands before the first item in its message, and the conversation before that message."""
    prefix, conversation = what_is_said(session, texts)
    return "\n\n".join(filter(None, [prefix, questionnaire.instruction])), conversation


def _frame(
    experiment: Experiment,
    session: Session,
    respondent: Respondent,
    texts: Texts,
    items: Sequence[Item],
    answers: dict[str, object],
) -> pd.DataFrame:
    """Answers of a session, a row for each of ``items``, between what was asked of whom and who answered."""
    questionnaire, said = experiment.questionnaire, texts[session.key]
    before = {
        **session.identity,
        **asked_with(session, questionnaire, said),
        "n_messages": max(len(said) - 1, 0),
        "instrument": questionnaire.name,
        "wording": questionnaire.wording,
        "item": [item.item for item in items],
        "value": [item.value for item in items],
    }
    if experiment.temperature is not None:
        answers |= {"administration": experiment.way, "temperature": float(experiment.temperature)}
    return pd.DataFrame(before | answers | provenance(respondent))


def asked_with(session: Session, questionnaire: Questionnaire, texts: Sequence[str]) -> dict[str, str]:
    """All texts that a session's prompts are made of, by name or hash: other texts, other answers."""
    persona = session.persona
    own = {"prefix": persona.prefix, "group": persona.group} if persona.prefix or persona.group else {}
    return own | {
        "persona_name": persona.name,
        "persona_description": persona.description,
        "gender": persona.gender or "",
        "instrument_version": questionnaire.version,
        "conversation": texts_digest(texts),
    }
