"""What was said or written in each session before it is asked: a conversation, a persona, a filled questionnaire."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from valuestab_utils.answer_draws import drawn_codes
from valuestab_utils.conversations import load_conversations, texts_by_session
from valuestab_utils.errors import ValuestabError
from valuestab_utils.inductions import CONDITIONS, load_runs, needs_questionnaire
from valuestab_utils.instruments import Instrument, load_pvq40
from valuestab_utils.sessions import Experiment

FILLED_AT = 0.7  # temperature at which a filled questionnaire's answers are drawn: paper 002's; 004's is not at hand


def texts_before(
    experiment: Experiment, results_dir: Path, filled: Instrument | None = None
) -> dict[tuple[str, str, int], list[str]]:
    """Texts of each session, by its key: those of its conversation, or the questionnaire that it is shown filled in.

    Parameters
    ----------
    experiment : Experiment
    results_dir : Path
    filled : Instrument, optional
        The questionnaire that is shown filled in: by default the PVQ-40.

    Returns
    -------
    dict
        Of lists of str; empty ones for sessions before which nothing was said.

    Raises
    ------
    ValuestabError
        If a conversation, or the answers that fill the questionnaire, are not there.
    """
    if experiment.population in CONDITIONS and needs_questionnaire(experiment.population):
        return _filled_questionnaires(experiment, results_dir, filled or load_pvq40())
    conversations = texts_by_session(load_conversations(experiment, results_dir))
    return {s.key: conversations[s.key] if experiment.messages_of(s) else [] for s in experiment.sessions}


def who_fills_in(experiment: Experiment) -> Experiment:
    """The experiment whose answers to the questionnaire are shown in this one: the same runs, under value prompts only.

    Raises
    ------
    ValuestabError
        If no questionnaire is shown in it.
    """
    condition = needs_questionnaire(experiment.population)
    if condition is None:
        raise ValuestabError(f"No filled questionnaire is shown in the condition {experiment.population!r}.")
    named = {persona.persona: persona for persona in load_runs(condition)}
    return replace(experiment, population=condition, personas=tuple(named[p.persona] for p in experiment.personas))


def _filled_questionnaires(
    experiment: Experiment, results_dir: Path, instrument: Instrument
) -> dict[tuple[str, str, int], list[str]]:
    from valuestab_utils.questionnaire import load_answers  # which asks what is here

    source = who_fills_in(experiment)
    answers = load_answers(source, instrument, results_dir)
    of_session = dict(tuple(answers.groupby(["persona", "topic", "seed"], sort=False)))
    return {s.key: [_filled(instrument, s.persona.gender, of_session[s.key])] for s in source.sessions}


def filled_questionnaire(
    instrument: Instrument, gender: str | None, codes: Mapping[int, float] | None = None
) -> str:
    """Text of a questionnaire with its answers, one item a line.

    Parameters
    ----------
    instrument : Instrument
    gender : str
        The form of the items.
    codes : mapping of int to float, optional
        Code of the answer by item number, NaN where it is missing. By default, the longest option of each item: what
        stands for answers that are not known yet.
    """
    lines: list[str] = []
    for number, item in enumerate(instrument.items, start=1):
        options = instrument.options_of(item)
        answer = max(options, key=len) if codes is None else _words(options, codes[item.item])
        lines.append(f"{number}. {item.portrait(gender)} Answer: {answer}")
    return "\n".join([instrument.instruction, "", *lines])


def _filled(instrument: Instrument, gender: str | None, answers: pd.DataFrame) -> str:
    return filled_questionnaire(
        instrument, gender, dict(zip(answers["item"], drawn_codes(answers, FILLED_AT), strict=True))
    )


def _words(options: Sequence[str], code: float) -> str:
    return options[int(code) - 1] if code == code else "(no answer)"
