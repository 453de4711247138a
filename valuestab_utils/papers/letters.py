"""How a model answered and spoke: tables and sentences on letters, letter mass, position, and length of messages."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from valuestab_utils.errors import ValuestabError
from valuestab_utils.papers.tables import EXPERIMENT, SESSION, experiments, is_control, respondent, tidy, told
from valuestab_utils.prompts import LETTERS, Questionnaire, population_label

NO_PROBABILITIES = "The service tells no probabilities of letters."
LETTER_USE = ("letter_mass", "near_ties", "top_letter", "top_letter_share", "missing", "stray_token")


@tidy(*EXPERIMENT, "n_letters", *LETTER_USE)
def letter_use(answers: pd.DataFrame) -> Iterator[dict]:
    """How each experiment's answers were given (see `use_of`); n_letters is how many there were to choose from."""
    for names, part in experiments(answers):
        yield names | {"n_letters": len(part["option_order"].iloc[0])} | use_of(part)


def use_of(answers: pd.DataFrame) -> dict[str, object]:
    """How the answers of one experiment were given: letter mass, near-ties, and how much one letter was preferred.

    letter_mass : mean probability on the letters; near_ties : share of answers whose two likeliest letters lie within
        0.1 nats; both NaN where no probabilities are known
    top_letter, with top_letter_share of the answers that are there; missing : share of answers that named no letter
    stray_token : the most frequent likeliest token that is no letter
    """
    there = answers.loc[answers["letter"] != "", "letter"]
    if there.empty:
        names = " / ".join(answers[EXPERIMENT].iloc[0])
        raise ValuestabError(f"{names} answered no item with a letter, so there is nothing to show.")
    shares = there.value_counts(normalize=True)
    told = answers["letter_mass"].notna().any()
    return {
        "letter_mass": answers["letter_mass"].mean(),
        "near_ties": answers["near_tie"].mean() if told else np.nan,
        "top_letter": shares.index[0],
        "top_letter_share": shares.iloc[0],
        "missing": 1 - len(there) / len(answers),
        "stray_token": answers["stray_token"].mode().iloc[0],
    }


@tidy(*EXPERIMENT, "letter", "share")
def letter_shares(answers: pd.DataFrame) -> Iterator[dict]:
    """Share of answers at each letter (all equal if position had no influence); those that named none are at none."""
    for names, part in experiments(answers):
        for letter in LETTERS[: len(part["option_order"].iloc[0])]:
            yield names | {"letter": letter, "share": (part["letter"] == letter).mean()}


@tidy(*EXPERIMENT, "persona", "topic", "item", "letter", "probability", "code")
def letter_probabilities(answers: pd.DataFrame, items: Sequence[int]) -> Iterator[dict]:
    """Probability of each letter for some items of each experiment's first session, and the code that it stood for."""
    for names, part in experiments(answers):
        first_session = part.merge(part[SESSION].head(1)).drop_duplicates("item")
        for answer in first_session[first_session["item"].isin(items)].to_dict("records"):
            asked = names | {name: answer[name] for name in ("persona", "topic", "item")}
            for letter, code in zip(LETTERS, answer["option_order"]):
                yield asked | {"letter": letter, "probability": np.exp(answer[f"logprob_{letter}"]), "code": code}


def shown_items(questionnaire: Questionnaire) -> list[int]:
    """Numbers of four items to show: of the PVQ-40 1, 7 (that of paper 001's figure 11), 12 and 17."""
    numbers = [item.item for item in questionnaire.items]
    return [numbers[place % len(numbers)] for place in (0, 6, 11, 16)]


def message_lengths(conversations: pd.DataFrame) -> pd.DataFrame:
    """Length of the messages that models (not controls) wrote, by experiment and role.

    ``tokens`` is a mean, ``at_limit`` and ``empty`` are the shares stopped at the length limit, or without text.
    """
    written = conversations[(conversations["message"] > 0) & ~is_control(conversations)]
    described = written.assign(at_limit=written["finish"] == "length", empty=written["content"] == "")
    by_role = described.groupby([*EXPERIMENT, "role"], sort=False, as_index=False)
    return by_role.agg(
        messages=("content", "size"),
        tokens=("n_tokens", "mean"),
        at_limit=("at_limit", "mean"),
        empty=("empty", "mean"),
    )


# In sentences


@told("tokens")
def of_messages(lengths: pd.DataFrame) -> str:
    at_limit = (lengths["at_limit"] * lengths["messages"]).sum() / lengths["messages"].sum()
    return f"{at_limit:.0%} of the messages were stopped at the limit of 100 tokens."


@told("probability", NO_PROBABILITIES)
def of_probabilities(probabilities: pd.DataFrame) -> str:
    """Which letter has most of the probability, over the items of a figure."""
    by_letter = probabilities.groupby("letter")["probability"].mean()
    return (
        f"Over these {probabilities['item'].nunique()} items the letter {by_letter.idxmax()} has "
        f"{by_letter.max():.0%} of the probability on average, whatever it stands for."
    )


@told("letter_mass", NO_PROBABILITIES)
def of_letter_mass(use: pd.DataFrame) -> str:
    ends = use.sort_values("letter_mass").iloc[[0, -1]].itertuples()
    least, most = (f"{respondent(row)} {row.letter_mass:.3f}" for row in ends)
    return f"Mean letter mass from {least} to {most}."


@told()
def of_letters(use: pd.DataFrame) -> str:
    """One sentence an experiment on how much its answers follow the letters' positions, from `letter_use`."""
    return " ".join(
        f"{respondent(row)}, {population_label(row.population)}, chose the letter {row.top_letter} for "
        f"{row.top_letter_share:.0%} of its answers ({1 / row.n_letters:.0%} if position had no influence); "
        f"{_certainty(row)}." + (f" {row.missing:.1%} of its answers are missing." if row.missing else "")
        for row in use.itertuples()
    )


def _certainty(row) -> str:
    if np.isnan(row.letter_mass):
        return "letters were read from what it wrote, without probabilities"
    return (
        f"{row.near_ties:.0%} of its answers were near-ties, and {row.letter_mass:.1%} of the probability was on the "
        "letters"
    )
