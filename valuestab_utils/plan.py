"""What a run would take, before it is paid for: ``python -m valuestab_utils.plan`` (``make plan``).

Sessions, queries and tokens are counted on the prompts themselves, with messages at their longest; time comes from a
short calibration on this machine with the model itself, price from the prices per token that the user gives.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from valuestab_utils import administration
from valuestab_utils.api import ANSWER_TOKENS, ApiRespondent
from valuestab_utils.conversations import MAX_NEW_TOKENS, missing_messages, next_prompt
from valuestab_utils.device_memory import bytes_per_token, weight_bytes
from valuestab_utils.errors import ValuestabError
from valuestab_utils.measurements import Measurement
from valuestab_utils.models import LanguageModel
from valuestab_utils.papers import FIRST, PAPERS
from valuestab_utils.parameters import for_study, given_parameters
from valuestab_utils.prompts import LETTERS
from valuestab_utils.questionnaire import item_prompts
from valuestab_utils.respondents import Prompt, Respondent
from valuestab_utils.sessions import Experiment, Session
from valuestab_utils.study import EVERY_CONTROL, Study, plan_study
from valuestab_utils.texts_before import filled_questionnaire

FILLER = " and then"  # stands for what will be said; repeated, it takes two tokens a time in common vocabularies
CALIBRATION_STEPS = 8


@dataclass(frozen=True)
class Rates:
    """Speed of a model on this machine.

    Attributes
    ----------
    scored : float
        Tokens a second that are scored, those counted that are computed once.
    prompt_s, step_s : float
        Seconds that a batch of messages takes for its prompts, and for each token more.
    batch : int
        Messages in it.
    written_s : float
        Seconds that each token takes of what is written when a questionnaire is asked in one prompt.
    """

    scored: float
    prompt_s: float
    step_s: float
    batch: int
    written_s: float


def plan_table(study: Study) -> pd.DataFrame:
    """What each measurement of the tested models takes.

    Parameters
    ----------
    study : Study

    Returns
    -------
    DataFrame
        One row a measurement: ``part``, ``instrument``, ``model``, ``format``, ``population``, ``orders``, ``asked``
        (by letters, or another administration with its temperature), ``messages``; ``sessions`` and how many are
        ``missing`` in the results folder (what an earlier row has too is counted there); of the missing ones
        ``queries`` (items times orders), ``unique_tokens`` (each token that all prompts of a session share counted
        once) and ``naive_tokens`` (each prompt whole), both with messages of
        `valuestab_utils.conversations.MAX_NEW_TOKENS`, and ``written_tokens`` of the answers: those of a whole
        questionnaire, or of an API, which has no other way to tell a letter.
    """
    rows: list[dict] = []
    counted: set[tuple[Path, Session]] = set()
    for m in study.measurements:
        if m.experiment.model in EVERY_CONTROL:
            continue
        respondent = study.respondent(m.experiment)
        sessions = m.experiment.sessions
        folder = administration.folder(m, study.results_dir)
        lacking = {(folder.path, s) for s in folder.missing(sessions)} - counted
        counted |= lacking
        missing = len(lacking)
        n, unique, naive, written = _tokens_of_a_session(m, respondent)
        rows.append(
            {"part": m.part, "instrument": m.instrument.name, "model": m.experiment.model}
            | {"format": m.experiment.format, "population": m.experiment.population, "orders": m.orders}
            | {"asked": m.administration if m.temperature is None else f"{m.administration} {m.temperature:g}"}
            | {"messages": m.experiment.n_messages, "sessions": len(sessions), "missing": missing}
            | {"queries": n * missing, "unique_tokens": unique * missing, "naive_tokens": naive * missing}
            | {"written_tokens": written * missing}
        )
    return pd.DataFrame(rows)


def messages_to_write(study: Study) -> dict[str, int]:
    """Messages that each tested model has still to write; a conversation that several experiments have counts once."""
    of_model: dict[str, list[Experiment]] = {}
    for experiment in _tested(study):
        of_model.setdefault(experiment.model, []).append(experiment)
    return {name: missing_messages(experiments, study.results_dir) for name, experiments in of_model.items()}


def calibrate(study: Study, model: str) -> Rates:
    """Score one session and sample a few tokens with ``model``, in batches as the run would; nothing is kept."""
    of_model = [m for m in study.measurements if m.experiment.model == model]
    m = max(of_model, key=lambda m: m.part == "pvq")  # by letters here, however the run asks it
    respondent, session = study.respondent(m.experiment), m.experiment.sessions[0]
    prompts = item_prompts(session, respondent, m.instrument, _stand_in(m, respondent))
    letters = LETTERS[: len(m.instrument.options)]
    respondent.answer(prompts[:2], letters)  # loads the model, and checks it once
    begun = time.perf_counter()
    respondent.answer(prompts, letters)
    scored = _unique([respondent.count_tokens(p.text) for p in prompts], _shared(respondent, prompts))
    rate = scored / (time.perf_counter() - begun)
    prompt_s, step_s, batch, written_s = 0.0, 0.0, 1, 0.0
    talking = [m.experiment for m in of_model if any(map(m.experiment.messages_of, m.experiment.sessions))]
    if talking:
        together = talking[0].sessions[: respondent.batch_sessions]
        asked = [next_prompt(s, respondent, [s.topic.first_message]) for s in together]
        prompt_s, step_s = _seconds_to_speak(respondent, asked)
        batch = len(asked)
    whole = [m.experiment for m in of_model if m.administration == "batch"]
    if whole:
        together = whole[0].sessions[: respondent.batch_questionnaires]
        asked = [replace(prompt, noise=s.noise(1)) for prompt, s in zip(prompts, together)]
        written_s = _seconds_to_speak(respondent, asked)[1] / len(asked)
    return Rates(rate, prompt_s, step_s, batch, written_s)


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


def seconds_needed(table: pd.DataFrame, messages: int, rates: Rates) -> tuple[float, float]:
    """Seconds for conversations and for answers of one model, messages and written answers at their longest."""
    batches = messages / rates.batch
    talk = batches * (rates.prompt_s + MAX_NEW_TOKENS * rates.step_s)
    return talk, table["unique_tokens"].sum() / rates.scored + table["written_tokens"].sum() * rates.written_s


def _tested(study: Study) -> list[Experiment]:
    """Experiments of language models, each once."""
    return [e for e in dict.fromkeys(m.experiment for m in study.measurements) if e.model not in EVERY_CONTROL]


def _tokens_of_a_session(m: Measurement, respondent: Respondent) -> tuple[int, int, int, int]:
    session = max(m.experiment.sessions, key=lambda s: len(s.persona.description) + len(s.persona.prefix))
    if m.administration != "letters":
        return administration.tokens_of_a_session(m, session, respondent, _stand_in(m, respondent))
    prompts = item_prompts(session, respondent, m.instrument, _stand_in(m, respondent), m.orders)
    lengths = [respondent.count_tokens(prompt.text) for prompt in prompts]
    written = ANSWER_TOKENS * len(prompts) if isinstance(respondent, ApiRespondent) else 0
    return len(prompts), _unique(lengths, _shared(respondent, prompts)), sum(lengths), written


def _shared(respondent: Respondent, prompts) -> int:
    return respondent.count_tokens(os.path.commonprefix([prompt.text for prompt in prompts]))


def _unique(lengths: Sequence[int], n_shared: int) -> int:
    return n_shared + sum(length - n_shared for length in lengths)


def _stand_in(m: Measurement, respondent: Respondent) -> list[str]:
    """A conversation with messages at their longest, about a topic's first message; or a filled questionnaire."""
    if administration.sources(m):
        return [filled_questionnaire(m.filled, "M")]
    topic = max(m.experiment.topics, key=lambda topic: len(topic.first_message or ""))
    if topic.first_message is None:
        return []
    text = FILLER.strip()
    while respondent.count_tokens(text) < MAX_NEW_TOKENS:
        text += FILLER
    return [topic.first_message, *[text] * m.experiment.n_messages]


def report(study: Study, measure: bool = True) -> list[str]:
    """Sentences and tables on what the study takes.

    Parameters
    ----------
    study : Study
    measure : bool
        Calibrate on this machine, which loads the model and takes up to a minute on a CPU.
    """
    table = plan_table(study)
    lines = [f"The run {study.run}: pages in output/{study.run}, figures in figures/{study.run}.", *study.left_out]
    writing = len(table) and table["written_tokens"].any()
    shown = table.drop(columns=["model"] if writing else ["model", "written_tokens"], errors="ignore")
    lines += [shown.to_string(index=False) if len(table) else "Nothing but controls.", ""]
    for model, messages in messages_to_write(study).items():
        of_model = table[table["model"] == model]
        respondent = study.respondent(next(e for e in _tested(study) if e.model == model))
        lines.append(
            f"{model}: {messages} messages and the answers of {of_model['missing'].sum()} sessions are missing: "
            f"{of_model['queries'].sum():,} queries, at most "
            f"{of_model['unique_tokens'].sum():,} unique tokens ({of_model['naive_tokens'].sum():,} with each prompt "
            "whole)" + (f", and {of_model['written_tokens'].sum():,} written as answers." if writing else ".")
        )
        if not isinstance(respondent, LanguageModel):
            lines += _price(respondent, of_model, messages)
            continue
        lines.append(_memory(respondent, of_model))
        if measure and (messages or of_model["missing"].sum()):
            talk, answers = seconds_needed(of_model, messages, calibrate(study, model))
            lines.append(
                f"  At the speed of this machine, measured just now: about {_duration(talk)} for conversations and "
                f"{_duration(answers)} for answers, at most; figures and reading of results are not counted."
            )
    return lines


def _price(respondent: ApiRespondent, table: pd.DataFrame, messages: int) -> list[str]:
    """A service has no cache to speak of: each prompt is paid for whole, and each message has one."""
    longest = (table["naive_tokens"] / table["queries"].clip(lower=1)).max()
    tokens_in = table["naive_tokens"].sum() + messages * longest
    tokens_out = table["written_tokens"].sum() + messages * MAX_NEW_TOKENS
    return respondent.price(int(tokens_in), int(tokens_out))


def _memory(respondent: LanguageModel, table: pd.DataFrame) -> str:
    config, dtype = respondent.config, respondent.variant or respondent.dtype
    whole = table["naive_tokens"] + table["written_tokens"]
    longest = int((whole / table["queries"].clip(lower=1)).max()) if len(table) else 0
    cache = longest * bytes_per_token(config, respondent.dtype.itemsize)
    return (
        f"  Memory: {weight_bytes(config, dtype) / 2**30:.1f} GiB of weights in {respondent.settings['dtype']}, and "
        f"{cache / 2**20:.0f} MiB for each message of a batch."
    )


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns 0, or 1 after one sentence on stderr."""
    parser = argparse.ArgumentParser(prog="python -m valuestab_utils.plan", description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="quick", help="a name in data/profiles, or a file of that form")
    parser.add_argument("--model", default="", help="a name in data/models.yaml, a folder, or a hub id")
    parser.add_argument("--paper", default=FIRST, help="whose study: " + ", ".join(PAPERS))
    parser.add_argument("--no-calibration", action="store_true", help="count only; do not load the model")
    parser.add_argument("parameters", nargs="*", metavar="name=value", help="parameters of the notebooks")
    asked = parser.parse_args(arguments)
    try:
        study = plan_study(**for_study(given_parameters(asked)), paper=asked.paper)
        print(*report(study, not asked.no_calibration), sep="\n")
    except ValuestabError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
