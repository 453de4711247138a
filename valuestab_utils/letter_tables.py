"""Tidy tables on how a model answered and spoke: letters, letter mass, position, length of messages."""

import numpy as np
import pandas as pd

from valuestab_utils.errors import ValuestabError
from valuestab_utils.prompts import LETTERS

EXPERIMENT = ["model", "format", "population"]


def letter_use(answers: pd.DataFrame) -> pd.DataFrame:
    """How an experiment's answers were given: letter mass, near-ties, and how much one letter was preferred.

    Returns
    -------
    DataFrame
        One row an experiment: ``letter_mass`` (mean probability on the letters) and ``near_ties`` (share of answers
        whose two likeliest letters lie within 0.1 nats), both NaN where no probabilities are known; ``top_letter`` with
        ``top_letter_share`` of the answers that are there; ``missing`` (share of answers that named no letter); and
        ``stray_token``, the most frequent likeliest token that is no letter. No rows without answers.
    """
    rows: list[dict] = []
    if answers.empty:
        return pd.DataFrame(columns=EXPERIMENT)
    for names, part in answers.groupby(EXPERIMENT, sort=False):
        there = part.loc[part["letter"] != "", "letter"]
        if there.empty:
            raise ValuestabError(f"{' / '.join(names)} answered no item with a letter, so there is nothing to show.")
        shares = there.value_counts(normalize=True)
        rows.append(
            dict(zip(EXPERIMENT, names))
            | {
                "letter_mass": part["letter_mass"].mean(),
                "near_ties": part["near_tie"].mean() if part["letter_mass"].notna().any() else np.nan,
                "top_letter": shares.index[0],
                "top_letter_share": shares.iloc[0],
                "missing": 1 - len(there) / len(part),
                "stray_token": part["stray_token"].mode().iloc[0],
            }
        )
    return pd.DataFrame(rows)


def letter_shares(answers: pd.DataFrame) -> pd.DataFrame:
    """Share of answers at each letter (all equal if position had no influence). One row an experiment and letter.

    Answers that named no letter are at none of them. An experiment has as many letters as its items have options, those
    of one instrument; no rows without answers.
    """
    if answers.empty:
        return pd.DataFrame()
    return pd.DataFrame(
        dict(zip(EXPERIMENT, names)) | {"letter": letter, "share": (part["letter"] == letter).mean()}
        for names, part in answers.groupby(EXPERIMENT, sort=False)
        for letter in LETTERS[: part["option_order"].map(len).max()]
    )


def letter_probabilities(answers: pd.DataFrame, items: list[int]) -> pd.DataFrame:
    """Probability of each letter for some items of the first session of each experiment, with the option it stood for.

    Returns
    -------
    DataFrame
        One row an experiment, item and letter: ``probability``, ``code`` (answer 1-6 that the letter stood for).
    """
    letters = [letter for letter in LETTERS if f"logprob_{letter}" in answers]
    rows = []
    for names, part in answers.groupby(EXPERIMENT, sort=False):
        first = part.iloc[0]
        session = part[
            (part[["persona", "topic", "seed"]] == first[["persona", "topic", "seed"]]).all(axis=1)
        ]
        for _, answer in session[session["item"].isin(items)].iterrows():
            rows += [
                dict(zip(EXPERIMENT, names))
                | {"persona": answer["persona"], "topic": answer["topic"], "item": answer["item"]}
                | {"letter": letter, "probability": np.exp(answer[f"logprob_{letter}"]), "code": code}
                for letter, code in zip(letters, answer["option_order"])
            ]
    return pd.DataFrame(rows)


def message_lengths(conversations: pd.DataFrame) -> pd.DataFrame:
    """Length of the written messages by model, format, population and role.

    Returns
    -------
    DataFrame
        One row an experiment and role: ``messages``, ``tokens`` (mean), ``at_limit`` and ``empty`` (shares of the
        messages that were stopped at the length limit, or have no text).
    """
    written = conversations[conversations["message"] > 0]
    described = written.assign(at_limit=written["finish"] == "length", empty=written["content"] == "")
    return (
        described.groupby([*EXPERIMENT, "role"], sort=False)
        .agg(
            messages=("content", "size"),
            tokens=("n_tokens", "mean"),
            at_limit=("at_limit", "mean"),
            empty=("empty", "mean"),
        )
        .reset_index()
    )
