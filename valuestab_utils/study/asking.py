"""Asking a questionnaire: the one loop that claims, asks, stores and checks for all ways of asking."""

from pathlib import Path

import numpy as np
import pandas as pd

from valuestab_utils.errors import ValuestabError
from valuestab_utils.letters import drawn_codes
from valuestab_utils.models import Respondent
from valuestab_utils.prompts import PROMPTS_DIGEST, Questionnaire, slug
from valuestab_utils.study.conversations import load_conversations, texts_by_session
from valuestab_utils.study.experiments import CODED, Experiment
from valuestab_utils.study.progress import progress
from valuestab_utils.study.store import Folder, check_unchanged, claimed, experiment_folder
from valuestab_utils.study.ways import WAYS, Texts, asked_with

COLUMNS = (  # of answers in any way of asking, without the log-probabilities and provenance
    *("model", "family", "format", "population", "persona", "topic", "seed", "group", "persona_description"),
    *("instrument", "wording", "instrument_version", "item", "value", "rotation", "option_order", "letter", "answer"),
    *("letter_mass", "near_tie", "stray_token", "parsed", "text", "administration", "temperature", "asked_after"),
)
FILLED_AT = 0.7  # temperature at which a filled questionnaire's answers are drawn: paper 002's; 004's is not at hand


def ask(experiment: Experiment, respondent: Respondent, results_dir: Path) -> pd.DataFrame:
    """Ask what is missing of an experiment, save each session when it is answered, and give all answers.

    What is said before a session must be there (see `texts_before`). A row an item, or an item's rotation: names of the
    session, the texts it was asked with, ``item``, ``value`` (its scale), ``answer`` (code, 1 = the first option; NaN
    where there is none), what the way adds, and `provenance`.

    By letters: ``option_order`` (the code at each letter), ``logprob_A`` and so on (nats), ``letter_mass`` (probability
    of all letters together), ``letter``, ``near_tie`` (the two likeliest letters are within 0.1 nats), and
    ``stray_token``, the likeliest token that is no letter, with ``stray_logprob``. Serial: the same of the codes,
    ``logprob_1`` and so on. Batch: ``parsed``, and the ``text`` that was written, with ``n_tokens``, ``finish``,
    ``close_calls``.
    """
    why_not = cannot_ask(experiment, respondent)
    if why_not:
        raise ValuestabError(why_not)
    source = experiment.who_fills_in()
    if source is not None:
        ask(source, respondent, results_dir)
    folder = answer_folder(experiment, results_dir, respondent)
    todo = folder.missing(experiment.sessions)
    if todo:
        way, texts = WAYS[experiment.way], texts_before(experiment, results_dir)
        at_once = respondent.batch_questionnaires if experiment.way == "batch" else 1
        with progress(total=len(todo), desc=_label(experiment), unit="session") as bar:
            for mine in claimed([(folder, session) for session in todo], at_once):
                lacking = folder.missing([session for _, session in mine])  # by now, another run may have answered some
                for session, frame in zip(lacking, way.ask(experiment, lacking, respondent, texts), strict=True):
                    folder.write(session, frame)
                bar.update(len(mine))
    return load(experiment, results_dir)


def load(experiment: Experiment, results_dir: Path) -> pd.DataFrame:
    """Answers as `ask` gives them, without asking.

    ValuestabError if a session has none, or was asked with other texts than those of the same names now.
    """
    folder = answer_folder(experiment, results_dir)
    frame = folder.read_all(experiment.sessions)
    texts = texts_before(experiment, results_dir)
    first_rows = frame.drop_duplicates(["persona", "topic", "seed"]).to_dict("records")
    asked = {(row["persona"], row["topic"], row["seed"]): row for row in first_rows}
    for session in experiment.sessions:
        now = asked_with(session, experiment.questionnaire, texts[session.key]) | {"prompts": PROMPTS_DIGEST}
        check_unchanged(session, asked[session.key], now, folder.path)
    temperature = np.nan if experiment.temperature is None else experiment.temperature
    administration = experiment.way if experiment.way in CODED else "letters"
    return frame.assign(administration=administration, temperature=temperature, asked_after=experiment.n_messages)


def answer_folder(experiment: Experiment, results_dir: Path, respondent: Respondent | None = None) -> Folder:
    """Where an experiment's answers are kept; to be written to, it needs who answers."""
    e = experiment
    asked = [f"n{e.n_messages}", *([] if e.way == "letters" else [e.way])]
    own: dict[str, object] = {"instrument": e.questionnaire.version}
    if e.temperature is not None:
        asked.append(f"t{float(e.temperature)}")
        own |= {"administration": e.way, "temperature": float(e.temperature), **WAYS[e.way].settings}
    place = f"{slug(f'{e.questionnaire.name}-{e.questionnaire.wording}')}/{'-'.join(asked)}"
    return experiment_folder(e, results_dir, place, respondent, **own)


def cannot_ask(experiment: Experiment, respondent: Respondent) -> str | None:
    """Why a respondent that does not tell every letter's probability cannot be asked so; None if it can."""
    why = WAYS[experiment.way].needs_all_letters
    if experiment.who_fills_in():
        why = why or "from which filled questionnaires are drawn"
    if respondent.all_letters or not why:
        return None
    return f"{respondent.name} does not give every letter a log-probability, {why}, so that these cannot be asked."


def texts_before(experiment: Experiment, results_dir: Path) -> Texts:
    """What was said before each session: its conversation's texts, or the questionnaire that it is shown filled in."""
    source = experiment.who_fills_in()
    if source is None:
        conversations = texts_by_session(load_conversations(experiment, results_dir))
        return {s.key: conversations[s.key] if experiment.messages_of(s) else [] for s in experiment.sessions}
    answers = dict(tuple(load(source, results_dir).groupby(["persona", "topic", "seed"], sort=False)))
    filled = {}
    for session in source.sessions:
        rows = answers[session.key]
        codes = dict(zip(rows["item"], drawn_codes(rows, FILLED_AT), strict=True))
        filled[session.key] = [filled_questionnaire(source.questionnaire, session.persona.gender, codes)]
    return filled


def filled_questionnaire(
    questionnaire: Questionnaire, gender: str | None, codes: dict[int, float] | None = None
) -> str:
    """Text of a questionnaire with its answers, one item a line, by codes of item numbers (NaN: no answer).

    Without codes, each item's longest option stands for an answer that is not known yet.
    """
    lines: list[str] = []
    for number, item in enumerate(questionnaire.items, start=1):
        options = questionnaire.options_of(item)
        if codes is None:
            answer = max(options, key=len)
        else:
            answer = "(no answer)" if np.isnan(codes[item.item]) else options[int(codes[item.item]) - 1]
        lines.append(f"{number}. {item.portrait(gender)} Answer: {answer}")
    return "\n".join([questionnaire.instruction, "", *lines])


def _label(experiment: Experiment) -> str:
    way = "" if experiment.way == "letters" else f" ({experiment.way})"
    at = "" if experiment.temperature is None else f" at temperature {experiment.temperature:g}"
    return f"{experiment.questionnaire.name}{way}{at} of {experiment}"
