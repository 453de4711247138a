"""Tidy tables of the experiments beside the main one: length, contexts, donations, neutral order, characters."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from valuestab_utils.context_length import FEWEST_CONTEXTS, LengthEffect, length_effect
from valuestab_utils.errors import ValuestabError
from valuestab_utils.estimates import mean_and_standard_error
from valuestab_utils.neutral import (
    n_incomplete_permutations,
    neutral_profile,
    neutral_similarity,
    rank_order_to_neutral,
    similarity_over_seeds,
)
from valuestab_utils.pca import PersonaMap, load_character_classes, persona_map
from valuestab_utils.rank_order import over_seeds
from valuestab_utils.scored_answers import ScoredAnswers, score_answers
from valuestab_utils.tables import EXPERIMENT, MEASURES, context_pair_table, experiments, pairwise_stability
from valuestab_utils.tables import stability_table as stability_of
from valuestab_utils.topics import Topic, by_length
from valuestab_utils.value_donation import value_donation_correlations

DONATION_SIGNS = {"Universalism": 1, "Benevolence": 1, "Power": -1, "Achievement": -1}


def length_table(answers: pd.DataFrame, neutral: pd.DataFrame | None = None) -> pd.DataFrame:
    """Stability after conversations of different length, and what becomes of it beside the neutral profile and order.

    Parameters
    ----------
    answers : DataFrame
        Of the part lengths.
    neutral : DataFrame, optional
        Of the part neutral: the same model without conversation, with personas (the neutral order) and without (the
        neutral profile).

    Returns
    -------
    DataFrame
        One row an experiment, ``n_messages`` and ``measure``: "rank_order" between contexts and "ipsative" always,
        "neutral_similarity" and "rank_order_neutral" of experiments with personas where ``neutral`` has what they
        need; ``stability``, ``standard_error``, ``n_units``, ``unit``, ``personas``, ``contexts``, ``seeds``,
        ``undefined`` of ``correlations``; ``left_out``, the permutations with missing scores that are not in the
        neutral profile.

    References
    ----------
    Paper 001, section 4.4 and D.2, D.3 (figures 6, 7, 13, 14).
    """
    if answers.empty:
        return pd.DataFrame()
    tables = []
    for n_messages, of_length in answers.groupby("asked_after"):
        table = stability_of(of_length)
        rows = [*_to_neutral(of_length, neutral)] if neutral is not None and not neutral.empty else []
        tables.append(pd.concat([table, pd.DataFrame(rows)]).assign(n_messages=n_messages))
    kept = [*EXPERIMENT, "family", "n_messages", "measure", "stability", "standard_error", "n_units", "unit"]
    kept += ["personas", "contexts", "seeds", "undefined", "correlations", "left_out", "wording"]
    whole = pd.concat(tables, ignore_index=True).reindex(columns=kept)
    return whole.fillna({"left_out": 0})


def _to_neutral(answers: pd.DataFrame, neutral: pd.DataFrame):
    for (model, format, population), part in experiments(answers):
        scored = score_answers(part)
        same = neutral[(neutral["model"] == model) & (neutral["format"] == format)]
        if not scored.induced:
            continue
        base = {"model": model, "format": format, "population": population, "family": part["family"].iloc[0]}
        base |= {"personas": len(scored.personas), "contexts": len(scored.contexts), "seeds": len(scored.seeds)}
        base |= {"wording": part["wording"].iloc[0]}
        without = same[same["persona_description"] == ""]
        if not without.empty:
            permutations = score_answers(without).scores.reshape(-1, len(scored.values))
            profile = neutral_profile(permutations)
            found = similarity_over_seeds([neutral_similarity(of_seed, profile) for of_seed in scored.scores])
            yield base | {
                "measure": "neutral_similarity",
                "stability": found.overall,
                "standard_error": found.standard_error,
                "n_units": found.n,
                "unit": "personas",
                "left_out": n_incomplete_permutations(permutations),
                "undefined": found.undefined.n,
                "correlations": found.undefined.of,
            }
        order = same[same["population"] == population]
        if not order.empty and "rank_order" in scored.measures:
            before = score_answers(order)
            _check_same(scored, before, ("seeds", "personas"), "without a conversation")
            of_seeds = [rank_order_to_neutral(s, n[0]) for s, n in zip(scored.scores, before.scores, strict=True)]
            estimate = over_seeds([of_seed.overall for of_seed in of_seeds])
            yield base | {
                "measure": "rank_order_neutral",
                "stability": estimate.mean,
                "standard_error": estimate.standard_error,
                "n_units": estimate.n,
                "unit": "seeds",
                "undefined": sum(of_seed.undefined.n for of_seed in of_seeds),
                "correlations": sum(of_seed.undefined.of for of_seed in of_seeds),
            }


def beside_rank_order(table: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Rows of a `length_table` with ``measure``, and with rank-order stability of the same experiments."""
    if table.empty:
        return table
    names = table.loc[table["measure"] == measure, EXPERIMENT].drop_duplicates()
    return table[table["measure"].isin(["rank_order", measure])].merge(names, on=EXPERIMENT)


def context_tables(
    answers: pd.DataFrame, topics: Sequence[Topic]
) -> tuple[pd.DataFrame, pd.DataFrame, list[str], dict[str, int]]:
    """Stability between each two of many contexts, and how it goes with their length.

    Parameters
    ----------
    answers : DataFrame
        Of the part contexts.
    topics : sequence of Topic
        The contexts.

    Returns
    -------
    pairs : DataFrame
        As `valuestab_utils.tables.context_pair_table` gives it.
    effects : DataFrame
        One row an experiment: ``stability`` (mean over pairs), ``rho`` between the length of a pair's first messages
        and its stability (NaN with fewer than three contexts), ``p_value``, ``n_pairs``, ``slope`` per 100
        characters, ``contexts``, ``personas``.
    order : list of str
        Contexts by the length of their first messages.
    lengths : dict
        Characters of each context's first message.

    References
    ----------
    Paper 001, "How additional contexts affect the stability estimates?" (figure 10).
    """
    if answers.empty:
        return pd.DataFrame(), pd.DataFrame(), [], {}
    there = set(answers["topic"])
    ordered = [topic for topic in by_length(topics) if topic.topic in there]
    lengths = {topic.topic: len(topic.first_message or "") for topic in ordered}
    rows = []
    for names, part in experiments(answers):
        scored = score_answers(part)
        measure = scored.measures[0]
        pairwise = pairwise_stability(scored, measure)
        if len(scored.contexts) < FEWEST_CONTEXTS:
            n_pairs = int(np.isfinite(pairwise).sum()) // 2  # each pair stands in the square twice
            effect = LengthEffect(np.nan, np.nan, n_pairs, np.nan, len(scored.contexts) - 1 - n_pairs)
        else:
            effect = length_effect(pairwise, np.array([lengths[context] for context in scored.contexts]))
        of_stability = stability_of(part).set_index("measure").loc[measure]
        rows.append(
            dict(zip(EXPERIMENT, names))
            | {"measure": measure, "stability": of_stability["stability"], "rho": effect.rho}
            | {"p_value": effect.p_value, "n_pairs": effect.n_pairs, "slope": effect.slope}
            | {"contexts": len(scored.contexts), "personas": len(scored.personas)}
        )
    return context_pair_table(answers), pd.DataFrame(rows), [topic.topic for topic in ordered], lengths


def value_donation_table(
    answers: pd.DataFrame, donations: pd.DataFrame, races: Sequence[str] | None = None
) -> pd.DataFrame:
    """Correlation of four values with the coins that are given, in the same contexts.

    Parameters
    ----------
    answers : DataFrame
        To the questionnaire.
    donations : DataFrame
        Of the task Donation, with the same personas, topics and seeds.
    races : sequence of str, optional
        Races of the beggars to take; all five unless given (the paper counts four, and its data has five).

    Returns
    -------
    DataFrame
        One row an experiment that has both and a value: ``correlation`` (mean over races, contexts and seeds),
        ``standard_error`` over ``n_units`` seeds, ``expected_sign`` (1 or -1), ``undefined`` of ``correlations``.

    References
    ----------
    Paper 001, section 4.6 (figure 9).
    """
    rows = []
    asked = dict(experiments(answers))
    for names, part in experiments(donations):
        if names not in asked:
            continue
        coins, values = score_answers(part), score_answers(asked[names])
        if not coins.induced:
            continue
        _check_same(values, coins, ("seeds", "contexts", "personas"), "in the task Donation")
        chosen = None if races is None else [coins.values.index(race) for race in races]
        seeds = [
            value_donation_correlations(v, d, chosen) for v, d in zip(values.scores, coins.scores, strict=True)
        ]
        for value, sign in DONATION_SIGNS.items():
            at = values.values.index(value)
            estimate = mean_and_standard_error([of_seed.per_value[at] for of_seed in seeds])
            rows.append(
                dict(zip(EXPERIMENT, names))
                | {"family": part["family"].iloc[0], "value": value, "expected_sign": sign}
                | {"correlation": estimate.mean, "standard_error": estimate.standard_error}
                | {"n_units": estimate.n, "personas": len(values.personas), "contexts": len(values.contexts)}
                | {"undefined": int(sum(of_seed.undefined.each[at] for of_seed in seeds))}
                | {"correlations": int(sum(of_seed.undefined.of // len(values.values) for of_seed in seeds))}
                | {"wording": part["wording"].iloc[0]}
            )
    return pd.DataFrame(rows)


def persona_points(answers: pd.DataFrame) -> tuple[pd.DataFrame, PersonaMap]:
    """Characters as points: the first two principal components of all their value scores.

    Parameters
    ----------
    answers : DataFrame
        Of one experiment; no points without answers.

    Returns
    -------
    points : DataFrame
        Columns persona, x, y, class (NaN for a persona that data/characters.csv does not have).
    map : PersonaMap
        Explained variance, and who is left out and why.

    References
    ----------
    Paper 001, D.1 (figure 12).
    """
    if answers.empty:
        return pd.DataFrame(), PersonaMap((), np.empty((0, 2)), np.full(2, np.nan), 0, {})
    scored = score_answers(answers)
    found = persona_map(scored.scores, scored.personas)
    classes = load_character_classes()
    points = pd.DataFrame(
        {
            "persona": list(found.personas),
            "x": found.coordinates[:, 0],
            "y": found.coordinates[:, 1],
            "class": [classes.get(persona) for persona in found.personas],
        }
    )
    return points, found


def _check_same(one: ScoredAnswers, other: ScoredAnswers, axes: Sequence[str], where: str) -> None:
    for axis in axes:
        if getattr(one, axis) != getattr(other, axis):
            raise ValuestabError(
                f"The {axis} are {list(getattr(one, axis))}, but {where} they are {list(getattr(other, axis))}: run "
                "both with the same sizes."
            )


__all__ = [
    "DONATION_SIGNS",
    "MEASURES",
    "beside_rank_order",
    "context_tables",
    "length_table",
    "persona_points",
    "value_donation_table",
]
