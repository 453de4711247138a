"""Before a run: what it would take, and the exact text of any prompt that a model is sent in it.

Sessions and tokens are counted on the prompts themselves, with messages at their longest; time comes from a short
calibration on this machine, price from the prices per token that the user gives.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from valuestab_utils.errors import ValuestabError, check_known
from valuestab_utils.models import (
    ANSWER_TOKENS,
    ApiRespondent,
    LanguageModel,
    Prompt,
    Respondent,
    bytes_per_token,
    weight_bytes,
)
from valuestab_utils.prompts import LETTERS, Session
from valuestab_utils.study import (
    EVERY_CONTROL,
    MAX_NEW_TOKENS,
    TOKENS_PER_ITEM,
    Experiment,
    Study,
    answer_folder,
    batch_prompt,
    filled_questionnaire,
    item_prompts,
    missing_messages,
    next_prompt,
    serial_prompt,
    texts_before,
)

FILLER = " and then"  # stands for what will be said; repeated, it takes two tokens a time in common vocabularies
CALIBRATION_STEPS = 8


def requirements(study: Study, measure: bool = True) -> list[str]:
    """Sentences and tables on what the study takes; ``measure`` loads the model, up to a minute on a CPU."""
    table = plan_table(study)
    lines = [f"The run {study.run}: pages in output/{study.run}, figures in figures/{study.run}.", *study.left_out]
    if table.empty:
        return [*lines, "Nothing but controls."]
    writing = table["written_tokens"].any()
    lines += [table.drop(columns=["model"] if writing else ["model", "written_tokens"]).to_string(index=False), ""]
    for model, of_model in table.groupby("model", sort=False):
        tested = [e for e in study.experiments if e.model == model]
        # A conversation that several experiments have counts once.
        messages, respondent = missing_messages(tested, study.results_dir), study.respondent(tested[0])
        total = of_model.sum(numeric_only=True)
        written = f", and {total['written_tokens']:,} written as answers" if writing else ""
        lines.append(
            f"{model}: {messages} messages and the answers of {total['missing']} sessions are missing: "
            f"{total['queries']:,} queries, at most {total['unique_tokens']:,} unique tokens "
            f"({total['naive_tokens']:,} with each prompt whole){written}."
        )
        longest = ((of_model["naive_tokens"] + of_model["written_tokens"]) / of_model["queries"].clip(lower=1)).max()
        if not isinstance(respondent, LanguageModel):
            # A service has no cache to speak of: each prompt is paid for whole, and each message has one.
            tokens_out = total["written_tokens"] + messages * MAX_NEW_TOKENS
            lines += respondent.price(int(total["naive_tokens"] + messages * longest), int(tokens_out))
            continue
        weights = weight_bytes(respondent.config, respondent.variant or respondent.dtype) / 2**30
        cache = int(longest) * bytes_per_token(respondent.config, respondent.dtype.itemsize) / 2**20
        lines.append(
            f"  Memory: {weights:.1f} GiB of weights in {respondent.settings['dtype']}, and {cache:.0f} MiB for each "
            "message of a batch."
        )
        if measure and (messages or total["missing"]):
            talk, answers = seconds_needed(tested, respondent, total, messages)
            lines.append(
                f"  At the speed of this machine, measured just now: about {_duration(talk)} for conversations and "
                f"{_duration(answers)} for answers, at most; figures and reading of results are not counted."
            )
    return lines


def plan_table(study: Study) -> pd.DataFrame:
    """What each experiment of the tested models takes, one row an experiment.

    ``missing`` are sessions without results; one that an earlier row has too is counted there. Of these are ``queries``
    (items times orders), ``unique_tokens`` (what all prompts of a session share counted once) and ``naive_tokens``
    (each prompt whole), with messages of `MAX_NEW_TOKENS`; ``written_tokens`` are those of whole questionnaires, or of
    an API, which has no other way to tell a letter.
    """
    rows: list[dict] = []
    counted: set[tuple[Path, Session]] = set()
    for e in study.experiments:
        if e.model in EVERY_CONTROL:
            continue
        folder = answer_folder(e, study.results_dir)
        lacking = {(folder.path, s) for s in folder.missing(e.sessions)} - counted
        counted |= lacking
        n = len(lacking)
        queries, unique, naive, written = _tokens_of_a_session(e, study.respondent(e))
        rows.append(
            {"experiment": e.name, "instrument": e.questionnaire.name, "model": e.model}
            | {"format": e.format, "population": e.population}
            | {"asked": e.way if e.temperature is None else f"{e.way} {e.temperature:g}"}
            | {"messages": e.n_messages, "sessions": len(e.sessions), "missing": n, "queries": queries * n}
            | {"unique_tokens": unique * n, "naive_tokens": naive * n, "written_tokens": written * n}
        )
    return pd.DataFrame(rows)


def _tokens_of_a_session(e: Experiment, respondent: Respondent) -> tuple[int, int, int, int]:
    """Queries of a session; tokens of the prompts with those in common counted once, and whole; tokens written."""
    session = max(e.sessions, key=lambda s: len(s.persona.description) + len(s.persona.prefix))
    texts, n_items = _stand_in(e, respondent), len(e.questionnaire.items)
    if e.way == "batch":
        n = respondent.count_tokens(batch_prompt(e, session, respondent, texts).text)
        return 1, n, n, TOKENS_PER_ITEM * n_items
    if e.way == "serial":
        longest = len(e.questionnaire.options)  # the code with the most digits
        prompts = [serial_prompt(e, session, respondent, texts, [longest] * n) for n in range(n_items)]
        lengths = [respondent.count_tokens(prompt.text) for prompt in prompts]
        # Each prompt goes on from the one before it: the longest holds all that they share.
        return n_items, max(lengths), sum(lengths), 0
    prompts = item_prompts(e, session, respondent, texts)
    written = ANSWER_TOKENS * len(prompts) if isinstance(respondent, ApiRespondent) else 0
    return len(prompts), *_unique_and_whole(respondent, prompts), written


def _unique_and_whole(respondent: Respondent, prompts: Sequence[Prompt]) -> tuple[int, int]:
    lengths = [respondent.count_tokens(prompt.text) for prompt in prompts]
    n_shared = respondent.count_tokens(os.path.commonprefix([prompt.text for prompt in prompts]))
    return sum(lengths) - n_shared * (len(lengths) - 1), sum(lengths)


def _stand_in(e: Experiment, respondent: Respondent) -> list[str]:
    """A conversation with messages at their longest, about a topic's first message; or a filled questionnaire."""
    if e.who_fills_in():
        return [filled_questionnaire(e.filled, "M")]
    topic = max(e.topics, key=lambda topic: len(topic.first_message or ""))
    if topic.first_message is None:
        return []
    text = FILLER.strip()
    while respondent.count_tokens(text) < MAX_NEW_TOKENS:
        text += FILLER
    return [topic.first_message, *[text] * e.n_messages]


def seconds_needed(
    experiments: Sequence[Experiment], respondent: Respondent, total: pd.Series, messages: int
) -> tuple[float, float]:
    """For conversations and for answers, at most, as measured now; ``total`` is the sum of `plan_table`.

    One session is scored, and a few tokens are sampled in batches as the run would; nothing is kept.
    """
    e = replace(max(experiments, key=lambda e: e.name == "pvq"), way="letters")  # however the run asks it
    prompts = item_prompts(e, e.sessions[0], respondent, _stand_in(e, respondent))
    letters = LETTERS[: len(e.questionnaire.options)]
    respondent.answer(prompts[:2], letters)  # loads the model, and checks it once
    begun = time.perf_counter()
    respondent.answer(prompts, letters)
    token_s = (time.perf_counter() - begun) / _unique_and_whole(respondent, prompts)[0]
    talk, answers = 0.0, total["unique_tokens"] * token_s
    talking = [e for e in experiments if any(map(e.messages_of, e.sessions))]
    if talking:
        together = talking[0].sessions[: respondent.batch_sessions]
        asked = [next_prompt(s, respondent, [s.topic.first_message]) for s in together]
        prompt_s, step_s = _seconds_to_speak(respondent, asked)
        talk = messages / len(asked) * (prompt_s + MAX_NEW_TOKENS * step_s)
    whole = [e for e in experiments if e.way == "batch"]
    if whole:
        together = whole[0].sessions[: respondent.batch_questionnaires]
        asked = [replace(prompt, noise=s.noise(1)) for prompt, s in zip(prompts, together)]
        answers += total["written_tokens"] * _seconds_to_speak(respondent, asked)[1] / len(asked)
    return talk, answers


def _seconds_to_speak(respondent: Respondent, asked: Sequence[Prompt]) -> tuple[float, float]:
    """Seconds of a batch for its prompts, and for each token more."""
    respondent.speak([max(asked, key=lambda prompt: len(prompt.text))], 1)  # it checks once whether batches can be used
    seconds = []
    for n_tokens in (1, 1 + CALIBRATION_STEPS):
        begun = time.perf_counter()
        respondent.speak(asked, n_tokens)
        seconds.append(time.perf_counter() - begun)
    step = max(seconds[1] - seconds[0], 0) / CALIBRATION_STEPS
    return max(seconds[0] - step, 0), step


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


# The text of prompts


def find_session(study: Study, persona: str, topic: str = "", seed: int = 1) -> tuple[Experiment, Session]:
    """The studied model's first session with these names (and the first topic, without one), and its experiment."""
    there = [(e, s) for e in study.experiments if e.model == study.tested_model for s in e.sessions]
    check_known("persona", persona, dict.fromkeys(s.persona.persona for _, s in there))
    there = [(e, s) for e, s in there if s.persona.persona == persona]
    topics = list(dict.fromkeys(s.topic.topic for _, s in there))
    topic = check_known("topic", topic or topics[0], topics)
    by_seed: dict[str, tuple[Experiment, Session]] = {}
    for e, s in there:
        if s.topic.topic == topic:
            by_seed.setdefault(str(s.seed), (e, s))
    return by_seed[check_known("seed", str(seed), by_seed)]


def render(
    study: Study, experiment: Experiment, session: Session, *, item: int | None = None, message: int | None = None
) -> str:
    """Exact text of the prompt that asks an item, or of the one that a message of the conversation answers.

    Give one of the two. Odd messages are the tested model's, even ones the interlocutor's. ValuestabError if there is
    no such item or message, or if the session's conversation has not been simulated.
    """
    if (item is None) == (message is None):
        raise ValuestabError("Say which prompt: an item (item=5) or a message of the conversation (message=2).")
    n_messages, respondent = experiment.messages_of(session), study.respondent(experiment)
    if message is not None:
        check_known("message", str(message), map(str, range(1, n_messages + 1)))
    if message == 1:
        return next_prompt(session, respondent, [session.topic.first_message]).text
    said = texts_before(experiment.only(session), study.results_dir)[session.key]
    if message is not None:
        return next_prompt(session, respondent, said[:message]).text
    numbers = [asked.item for asked in experiment.questionnaire.items]
    check_known("item", str(item), map(str, numbers))
    return item_prompts(replace(experiment, way="letters"), session, respondent, said)[numbers.index(item)].text


def render_formats(study: Study, item: int) -> tuple[str, pd.DataFrame]:
    """One item of the studied model in each of its formats, as Kovač et al. 2024 show them in figure 11.

    Text with the prompts of each format's first session, and a table of their lengths in characters.
    """
    shown: dict[tuple, tuple[Session, str]] = {}
    for e in study.of(study.experiments[0].name):
        if e.model == study.tested_model and (e.format,) not in shown:
            shown[e.format,] = e.sessions[0], render(study, e, e.sessions[0], item=item)
    return _one_below_the_other(shown, ["format"])


def render_conditions(study: Study, *names: str) -> tuple[str, pd.DataFrame]:
    """What the studied model is sent first in each condition of some experiments, in each way of asking.

    Text with the prompts of each first session's first item, or of all items where they are asked together, and a table
    of their lengths in characters. What a prompt shows of the model's own words must be in the results.
    """
    shown: dict[tuple, tuple[Session, str]] = {}
    for e in study.experiments:
        place = (e.population, e.questionnaire.name, e.way)
        if e.name not in names or e.model != study.tested_model or place in shown:
            continue
        session, respondent = e.sessions[0], study.respondent(e)
        said = texts_before(e.only(session), study.results_dir)[session.key]
        if e.way == "batch":
            prompt = batch_prompt(e, session, respondent, said)
        elif e.way == "serial":
            prompt = serial_prompt(e, session, respondent, said, [4])
        else:
            prompt = item_prompts(e, session, respondent, said)[0]
        shown[place] = session, prompt.text
    return _one_below_the_other(shown, ["condition", "instrument", "administration"])


def _one_below_the_other(shown: dict[tuple, tuple[Session, str]], columns: list[str]) -> tuple[str, pd.DataFrame]:
    text = "\n\n".join(f"==== {', '.join(place)} ====\n{prompt}" for place, (_, prompt) in shown.items())
    rows = [(*place, str(session), len(prompt)) for place, (session, prompt) in shown.items()]
    return text, pd.DataFrame(rows, columns=[*columns, "session", "characters"])
