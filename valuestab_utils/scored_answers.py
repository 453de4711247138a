"""From tidy answers of one experiment to its value scores as an array, with what stands along each axis."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from valuestab_utils.answers_csv import answers_array
from valuestab_utils.errors import ValuestabError
from valuestab_utils.ipsative import IpsativeStability, ipsative_over_seeds, ipsative_stability
from valuestab_utils.rank_correlation import FEWEST_OBSERVATIONS
from valuestab_utils.rank_order import RankOrderStability, rank_order_stability
from valuestab_utils.tasks import load_task
from valuestab_utils.value_scores import read_key, value_scores

QUESTIONNAIRE = "PVQ-40"


@dataclass(frozen=True, eq=False)
class ScoredAnswers:
    """Scores of one experiment on one instrument.

    Attributes
    ----------
    scores : ndarray, shape (seeds, contexts, personas, values)
        Centred Likert scores of the questionnaire; of a task, its own unit (coins, or codes of the options).
    seeds, contexts, personas, values : tuple
        What stands along each axis.
    induced : bool
        Whether the model was told to be somebody: only then is there an order of personas.
    missing : int
        Answers that are missing.
    """

    scores: np.ndarray
    seeds: tuple[int, ...]
    contexts: tuple[str, ...]
    personas: tuple[str, ...]
    values: tuple[str, ...]
    induced: bool
    missing: int

    @property
    def measures(self) -> tuple[str, ...]:
        """The stabilities that exist: rank-order with three personas or more, ipsative with three values or more."""
        rank_order = self.induced and len(self.personas) >= FEWEST_OBSERVATIONS
        ipsative = len(self.values) >= FEWEST_OBSERVATIONS
        return ("rank_order",) * rank_order + ("ipsative",) * ipsative

    def rank_order(self) -> list[RankOrderStability]:
        """Rank-order stability of each seed."""
        return [rank_order_stability(of_seed) for of_seed in self.scores]

    def ipsative(self) -> IpsativeStability:
        """Ipsative stability over all seeds."""
        return ipsative_over_seeds([ipsative_stability(of_seed) for of_seed in self.scores])


def score_answers(answers: pd.DataFrame, column: str = "answer") -> ScoredAnswers:
    """Score the answers of one experiment.

    Parameters
    ----------
    answers : DataFrame
        Of one model, format, population and instrument, each item asked once a session (see
        `valuestab_utils.questionnaire.ask_questionnaire`). Rows in any order.
    column : str
        "answer", or "expected" of balanced orders.

    Returns
    -------
    ScoredAnswers
        Contexts and personas sorted by name.

    Raises
    ------
    ValuestabError
        If there are several experiments or instruments in it, or sessions lack items or are there twice.

    References
    ----------
    Kovač et al. 2024, appendices B.5 and C.
    """
    for name in ("model", "format", "population", "instrument"):
        if answers[name].nunique() != 1:
            raise ValuestabError(
                f"Scores are made of one {name} at a time, but there are {sorted(answers[name].unique())}."
            )
    instrument = answers["instrument"].iloc[0]
    key, centred, worth = _rules(instrument, set(answers["item"]))
    frame = answers[["topic", "persona", "item", column, "seed"]]
    frame = frame.rename(columns={"topic": "context", column: "answer"})
    array = answers_array(frame, [item for items in key.values() for item in items], only_scored=True)
    coded = array.coded if worth is None else _worth(array.coded, worth)
    scores = np.stack([value_scores(of_seed, key, array.items, centre=centred) for of_seed in coded])
    induced = bool((answers["persona_description"] != "").all())
    missing = int(np.isnan(array.coded).sum())
    return ScoredAnswers(scores, array.seeds, array.contexts, array.personas, tuple(key), induced, missing)


def _rules(instrument: str, asked: set[int]) -> tuple[dict[str, list[int]], bool, tuple[float, ...] | None]:
    """Key, whether scores are centred, and what the options count if not their codes."""
    if instrument == QUESTIONNAIRE:
        return read_key(), True, None
    task = load_task(instrument.lower())
    key = {scale: [item for item in items if item in asked] for scale, items in task.key.items()}
    return key, task.centred, task.scores


def _worth(coded: np.ndarray, worth: tuple[float, ...]) -> np.ndarray:
    # Between two options, as an expected score may lie, what they count is interpolated.
    return np.interp(coded, np.arange(1, len(worth) + 1), worth)
