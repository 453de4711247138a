"""Tidy tables of what the order of the options does: balanced orders, letter bias, and retest reliability."""

import numpy as np
import pandas as pd

from valuestab_utils.balanced_orders import balanced_frame, letter_bias
from valuestab_utils.errors import ValuestabError
from valuestab_utils.prompts import LETTERS
from valuestab_utils.rank_order import over_seeds
from valuestab_utils.reliability import corrected_over_seeds, corrected_stability
from valuestab_utils.scored_answers import ScoredAnswers, score_answers
from valuestab_utils.tables import EXPERIMENT, experiments

_SESSION = ["persona", "topic", "seed"]


def balanced_table(answers: pd.DataFrame) -> pd.DataFrame:
    """Stability from the paper's single random order beside that from all orders of a Latin square.

    Parameters
    ----------
    answers : DataFrame
        Asked in balanced orders.

    Returns
    -------
    DataFrame
        One row an experiment and measure: ``single`` (the answer in the first order alone), ``balanced`` (the option
        with the highest mean log-probability) and ``expected`` (the expected score) are stabilities; ``difference`` is
        balanced less single: above 0 is stability that the single order hides, below 0 what it invents;
        ``letter_bias`` (standard deviation of the letters' effects, nats), ``bias_share`` of the variance that is the
        letters', ``favourite`` letter with its effect ``favourite_effect`` (nats above the mean); design sizes.
    """
    rows = []
    for names, part in experiments(answers):
        frame = balanced_frame(part)
        scored = {column: score_answers(frame, column) for column in ("single_answer", "answer", "expected")}
        bias = letter_bias(*_letter_arrays(part))
        first = scored["answer"]
        for measure in first.measures:
            single, balanced, expected = (_overall(s, measure) for s in scored.values())
            favourite = int(np.argmax(bias.per_letter))
            rows.append(
                dict(zip(EXPERIMENT, names))
                | {"family": part["family"].iloc[0], "measure": measure}
                | {"single": single, "balanced": balanced, "expected": expected, "difference": balanced - single}
                | {"letter_bias": bias.size, "bias_share": bias.share}
                | {"favourite": LETTERS[favourite], "favourite_effect": bias.per_letter[favourite]}
                | {"personas": len(first.personas), "contexts": len(first.contexts), "seeds": len(first.seeds)}
                | {"wording": part["wording"].iloc[0]}
            )
    return pd.DataFrame(rows)


def retest_table(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Stability beside retest reliability: the same conversations, two independent draws of option orders.

    Parameters
    ----------
    first : DataFrame
        Answers in the single order; sessions that ``second`` lacks are left out.
    second : DataFrame
        Answers of the same sessions in second orders.

    Returns
    -------
    DataFrame
        One row an experiment and measure: ``stability`` between contexts and draws, ``reliability`` between draws in
        the same context, ``corrected`` = stability / reliability (NaN with ``reason``), design sizes.
    """
    asked = dict(experiments(first))
    rows = []
    for names, part in experiments(second):
        if names not in asked:
            raise ValuestabError(f"{' / '.join(names)} has second orders, but no first ones: ask both.")
        again = score_answers(part)
        same = asked[names].merge(part[_SESSION].drop_duplicates(), on=_SESSION)
        once = score_answers(same)
        if once.scores.shape != again.scores.shape:
            raise ValuestabError(f"{' / '.join(names)} has not the same sessions in both orders: ask both.")
        for measure in again.measures:
            found = corrected_over_seeds(
                [corrected_stability(a, b, measure) for a, b in zip(once.scores, again.scores, strict=True)]
            )
            rows.append(
                dict(zip(EXPERIMENT, names))
                | {"family": part["family"].iloc[0], "measure": measure}
                | {"stability": found.stability, "reliability": found.reliability}
                | {"corrected": found.corrected, "reason": found.reason}
                | {"personas": len(again.personas), "contexts": len(again.contexts), "seeds": len(again.seeds)}
                | {"wording": part["wording"].iloc[0]}
            )
    return pd.DataFrame(rows)


def _overall(scored: ScoredAnswers, measure: str) -> float:
    if measure == "ipsative":
        return scored.ipsative().overall
    return over_seeds(scored.rank_order()).mean


def _letter_arrays(answers: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities and orders, shape (sessions x items, rotations, letters), of one experiment."""
    n_letters = len(answers["option_order"].iloc[0])
    ordered = answers.sort_values([*_SESSION, "item", "rotation"])
    logprobs = ordered[[f"logprob_{letter}" for letter in LETTERS[:n_letters]]].to_numpy()
    orders = np.stack(ordered["option_order"].to_list())
    shape = (-1, n_letters, n_letters)
    return logprobs.reshape(shape), orders.reshape(shape)
