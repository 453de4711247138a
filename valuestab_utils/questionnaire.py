"""Asking a questionnaire after each conversation, item by item and independently (paper 001, B.4)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from valuestab_utils.balanced_orders import rotated_orders
from valuestab_utils.conversations import texts_digest
from valuestab_utils.errors import ValuestabError, check_known
from valuestab_utils.inductions import what_is_said
from valuestab_utils.instruments import Instrument, Item
from valuestab_utils.progress import progress
from valuestab_utils.prompts import LETTERS, PROMPTS_DIGEST, question, tested_prompt
from valuestab_utils.provenance import provenance
from valuestab_utils.respondents import Answers, Prompt, Respondent
from valuestab_utils.sessions import Experiment, Session, slug
from valuestab_utils.store import Folder, check_unchanged, experiment_folder
from valuestab_utils.texts_before import texts_before

NEAR_TIE = 0.1  # nats between the two likeliest letters

# Orders of the options in which each item is asked: the paper's one random order; another one, drawn independently;
# and all cyclic rotations of the first, so that every option stands once at every letter (a Latin square).
ORDERS = ("single", "second", "balanced")


def ask_questionnaire(
    experiment: Experiment,
    respondent: Respondent,
    instrument: Instrument,
    results_dir: Path,
    orders: str = "single",
    filled: Instrument | None = None,
) -> pd.DataFrame:
    """Ask every item of ``instrument`` after each of an experiment's conversations; gives all the answers.

    The conversations must be there (see `valuestab_utils.conversations.simulate_conversations`). Each session
    is saved when it is answered.

    Parameters
    ----------
    experiment : Experiment
    respondent : Respondent
    instrument : Instrument
    results_dir : Path
    orders : {"single", "second", "balanced"}
        See `ORDERS`.
    filled : Instrument, optional
        The questionnaire that is shown filled in, to those who are shown one (`valuestab_utils.texts_before`).

    Returns
    -------
    DataFrame
        One row an answer: the session's identity; ``persona_name``, ``persona_description`` and ``gender``, and
        ``prefix`` and ``group`` where the persona has them;
        ``n_messages`` before the item and ``conversation``, a hash of their texts; ``instrument``, its
        ``wording`` and ``instrument_version``; ``item`` and its ``value``; ``rotation`` of the balanced orders
        (else 0); ``option_order`` (the codes at the letters A, B, ...), ``logprob_A`` ... (nats),
        ``letter_mass``, ``letter``, ``answer`` (1 = the first option), ``near_tie``; ``stray_token``, the
        likeliest token that is no letter, and ``stray_logprob``; and the columns of
        `valuestab_utils.provenance.provenance`.
    """
    folder = answer_folder(experiment, instrument, results_dir, respondent, orders)
    todo = folder.missing(experiment.sessions)
    conversations = texts_before(experiment, results_dir, filled)
    asked = instrument.name if orders == "single" else f"{instrument.name} ({orders} orders)"
    with progress(total=len(todo), desc=f"{asked} of {experiment}", unit="session") as bar:
        while todo:
            with folder.claim(todo, at_most=1) as mine:
                for session in folder.missing(mine):  # by now, another run may have answered it
                    said = conversations[session.key]
                    folder.write(session, _answers(session, respondent, instrument, said, orders))
                bar.update(len(mine))
            if not mine:  # all in other hands: let one of them finish
                folder.wait_for(todo[0])
            todo = [session for session in todo if session not in mine]
    return load_answers(experiment, instrument, results_dir, orders, filled)


def load_answers(
    experiment: Experiment,
    instrument: Instrument,
    results_dir: Path,
    orders: str = "single",
    filled: Instrument | None = None,
) -> pd.DataFrame:
    """Answers of an experiment as `ask_questionnaire` gives them, without asking.

    Raises
    ------
    ValuestabError
        If a session has no answers, or was asked as another persona, with another text of the questionnaire or of
        the prompts, or after another conversation than those of the same name now.
    """
    folder = answer_folder(experiment, instrument, results_dir, orders=orders)
    frame = folder.read_all(experiment.sessions)
    conversations = texts_before(experiment, results_dir, filled)
    first_rows = frame.drop_duplicates(["persona", "topic", "seed"]).to_dict("records")
    asked = {(row["persona"], row["topic"], row["seed"]): row for row in first_rows}
    for session in experiment.sessions:
        said = conversations[session.key]
        now = _asked_with(session, instrument, said) | {"prompts": PROMPTS_DIGEST}
        check_unchanged(session, asked[session.key], now, folder.path)
    return frame


def item_prompts(
    session: Session,
    respondent: Respondent,
    instrument: Instrument,
    conversation: Sequence[str],
    orders: str = "single",
) -> list[Prompt]:
    """Prompts of all items of a session, each ending in the begun answer; an item's orders follow one another.

    ``conversation`` is what `valuestab_utils.texts_before.texts_before` gives for the session.
    """
    prompts = []
    prefix, conversation = what_is_said(session, conversation)
    for item in instrument.items:
        shown = instrument.options_of(item)
        for order in option_orders(session, instrument, item, orders):
            options = [shown[code - 1] for code in order]
            said_before = "\n\n".join(filter(None, [prefix, instrument.instruction]))
            text = question(said_before, item.portrait(session.persona.gender), options)
            prompt = tested_prompt(session.format, respondent.template, session.persona, conversation, text)
            prompts.append(Prompt(session, prompt))
    return prompts


def option_orders(
    session: Session, instrument: Instrument, item: Item, orders: str = "single"
) -> tuple[tuple[int, ...], ...]:
    """Orders of the options in which a session is asked an item (see `ORDERS`).

    Returns
    -------
    tuple of tuple of int
        For each order, the codes of the options at the letters A, B, ...

    Raises
    ------
    ValuestabError
        Unknown orders.
    """
    check_known("kind of option orders", orders, ORDERS)
    draw = 1 if orders == "second" else 0
    order = session.option_order(item.item, len(instrument.options), instrument.name, draw)
    return rotated_orders(order) if orders == "balanced" else (order,)


def answer_folder(
    experiment: Experiment,
    instrument: Instrument,
    results_dir: Path,
    respondent: Respondent | None = None,
    orders: str = "single",
) -> Folder:
    """Where the experiment's answers are kept: apart for each instrument, wording, number of messages and orders.

    To be written to, it needs the respondent that answers.
    """
    name = slug(f"{instrument.name}-{instrument.wording}")
    asked = f"n{experiment.n_messages}" + ("" if orders == "single" else f"-{orders}")
    path = experiment_folder(results_dir, experiment) / name / asked
    if respondent is None:
        return Folder(path)
    own = {"population": experiment.population, "instrument": instrument.version}
    return Folder(path, {**respondent.settings, "prompts": PROMPTS_DIGEST, **own})


def _answers(
    session: Session,
    respondent: Respondent,
    instrument: Instrument,
    conversation: Sequence[str],
    how: str,
) -> pd.DataFrame:
    letters = LETTERS[: len(instrument.options)]
    scored = _scored(session, respondent, instrument, conversation, how)
    asked = [
        (item, rotation, order)
        for item in instrument.items
        for rotation, order in enumerate(option_orders(session, instrument, item, how))
    ]
    orders = np.array([order for _, _, order in asked])  # (N, L), a row a prompt
    chosen = scored.logprobs.argmax(1) if scored.chosen is None else scored.chosen  # (N,)
    answers = orders[np.arange(len(orders)), chosen]
    if scored.chosen is not None:  # any of them may be missing: the column is one of numbers with gaps in every file
        answers = np.where(chosen < 0, np.nan, answers)
    return pd.DataFrame(
        {
            **session.identity,
            **_asked_with(session, instrument, conversation),
            "n_messages": max(len(conversation) - 1, 0),
            "instrument": instrument.name,
            "wording": instrument.wording,
            "item": [item.item for item, _, _ in asked],
            "value": [item.value for item, _, _ in asked],
            "rotation": [rotation for _, rotation, _ in asked],
            "option_order": list(orders),
            **{f"logprob_{letter}": scored.logprobs[:, i] for i, letter in enumerate(letters)},
            "letter_mass": np.exp(scored.logprobs).sum(1),
            "letter": [letters[i] if i >= 0 else "" for i in chosen],
            "answer": answers,
            "near_tie": _near_ties(scored.logprobs),
            "stray_token": scored.stray_tokens,
            "stray_logprob": scored.stray_logprobs,
            **provenance(respondent),
        }
    )


def _scored(
    session: Session, respondent: Respondent, instrument: Instrument, conversation: Sequence[str], orders: str
) -> Answers:
    try:
        prompts = item_prompts(session, respondent, instrument, conversation, orders)
        scored = respondent.answer(prompts, LETTERS[: len(instrument.options)])
        lacking = np.isnan(scored.logprobs).any() or not np.isfinite(scored.logprobs.max(1)).all()
        if lacking and scored.chosen is None:
            raise ValuestabError(
                f"{respondent.name} gives no letter a probability, so there is no answer to read: load it in "
                "another dtype (float32 is safest)."
            )
    except ValuestabError as error:
        if str(session) in str(error):
            raise
        raise ValuestabError(f"Session {session}: {error}") from error
    return scored


def _near_ties(logprobs: np.ndarray) -> np.ndarray:
    """Whether the two likeliest letters are within `NEAR_TIE`; where one has no log-probability, they are not."""
    best = np.sort(logprobs, 1)[:, :-3:-1]  # (N, 2)
    known = np.isfinite(best).all(1)
    near = np.zeros(len(best), dtype=bool)
    near[known] = best[known, 0] - best[known, 1] < NEAR_TIE
    return near


def _asked_with(session: Session, instrument: Instrument, conversation: Sequence[str]) -> dict[str, str]:
    """All texts that a session's prompts are made of, by name or hash: other texts, other answers."""
    persona = session.persona
    own = {"prefix": persona.prefix, "group": persona.group} if persona.prefix or persona.group else {}
    return own | {
        "persona_name": persona.name,
        "persona_description": persona.description,
        "gender": persona.gender,
        "instrument_version": instrument.version,
        "conversation": texts_digest(conversation),
    }
