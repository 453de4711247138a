"""Stability of values over contexts: all its functions in one place, and the report on a table of answers.

``python -m valuestab_utils.stability ANSWERS.csv [--key KEY.json]`` prints the report as one JSON object. The
functions stand in `value_scores`, `rank_correlation`, `rank_order` and `ipsative`; import them from here.
"""

import argparse
import json
import math
import sys
from collections.abc import Sequence

import numpy as np
import pandas as pd

from valuestab_utils.answers_csv import answers_array, read_answers
from valuestab_utils.context_pairs import UndefinedCounts
from valuestab_utils.errors import ValuestabError
from valuestab_utils.estimates import Estimate, mean_and_standard_error, mean_of_defined
from valuestab_utils.ipsative import (
    IpsativeStability,
    ipsative_correlations,
    ipsative_over_seeds,
    ipsative_stability,
)
from valuestab_utils.rank_correlation import spearman
from valuestab_utils.rank_order import (
    RankOrderStability,
    over_seeds,
    rank_order_correlations,
    rank_order_stability,
)
from valuestab_utils.value_scores import Key, check_key, read_key, value_scores

__all__ = [
    "Estimate",
    "IpsativeStability",
    "RankOrderStability",
    "UndefinedCounts",
    "ipsative_correlations",
    "ipsative_over_seeds",
    "ipsative_stability",
    "main",
    "mean_and_standard_error",
    "over_seeds",
    "rank_order_correlations",
    "rank_order_stability",
    "spearman",
    "stability_report",
    "value_scores",
]

PVQ_SCALE = (1, 6)


def stability_report(frame: pd.DataFrame, key: Key | None = None) -> dict:
    """Rank-order and ipsative stability of a table of answers, as plain data for JSON.

    Answers are centred on each participant's mean over all its answered items, scored or not.

    Parameters
    ----------
    frame : DataFrame
        Columns context, persona, item, answer and perhaps seed, a row for each answer, in any order. Missing
        answers are cells that are empty, NA or NaN, or absent rows.
    key : mapping of str to sequence of int, optional
        The items of each value. Without it, or if it is the same, the PVQ-40's: its 40 items and no others,
        answers 1 to 6. With another key answers may be any numbers, and items outside it count for centring.

    Returns
    -------
    dict
        Numbers are float, or None where undefined.

        rank_order, rank_order_se
            Mean over seeds of each seed's rank-order stability, and standard error over them (None with one).
        per_value
            {value: rank-order stability, mean over pairs of contexts and seeds}.
        per_seed
            {seed: rank-order stability}; a table without seeds has one, called "0".
        pairwise
            {context: {other context: rank-order stability, mean over values and seeds}}.
        ipsative, ipsative_se
            Mean over personas, each the mean over its seeds, and standard error over personas.
        per_persona, pairwise_ipsative
            {persona: ipsative stability}, and {context: {other context: mean over personas and seeds}}.
        undefined
            Correlations that do not exist and are left out of all means: how many, out of how many, how many
            for each value, and the reasons (a constant vector, or fewer than three complete observations).
        missing_answers, unscored_items
            Number of missing answers; items that are in no value.
        n_contexts, n_personas, n_items, n_seeds, centred, units
            What the numbers are made of; `units` says what each standard error is over.

    Raises
    ------
    ValuestabError
        If the table or the key is not as above, or there are fewer than two contexts, three personas or three
        values.

    References
    ----------
    Kovač et al. 2024, sections 3.1 and 3.2, appendix B.5.

    Examples
    --------
    Three personas answer three items alike in both contexts:

    >>> answers = {"Sam": (6, 2, 1), "Frodo": (5, 3, 1), "Gollum": (1, 6, 3)}
    >>> rows = [(context, persona, item, answer) for context in ("joke", "chess") for persona in answers
    ...         for item, answer in enumerate(answers[persona], start=1)]
    >>> frame = pd.DataFrame(rows, columns=["context", "persona", "item", "answer"])
    >>> report = stability_report(frame, key={"Benevolence": [1], "Power": [2], "Security": [3]})
    >>> report["rank_order"], report["rank_order_se"], report["ipsative"], report["ipsative_se"]
    (1.0, None, 1.0, 0.0)
    """
    pvq40 = read_key()
    key = pvq40 if key is None else check_key(key)
    is_pvq40 = {v: set(items) for v, items in key.items()} == {v: set(items) for v, items in pvq40.items()}
    scored = [item for items in key.values() for item in items]
    answers = answers_array(frame, scored, scale=PVQ_SCALE if is_pvq40 else None, only_scored=is_pvq40)
    scores = [value_scores(of_seed, key, answers.items) for of_seed in answers.coded]
    rank_order = [rank_order_stability(of_seed) for of_seed in scores]
    estimate = over_seeds(rank_order)
    ipsative = ipsative_over_seeds([ipsative_stability(of_seed) for of_seed in scores])

    contexts, personas, n_seeds = answers.contexts, answers.personas, len(answers.seeds)
    return {
        "rank_order": _plain(estimate.mean),
        "rank_order_se": _plain(estimate.standard_error),
        "per_value": _named(key, mean_of_defined([seed.per_value for seed in rank_order], axis=0)),
        "per_seed": _named(answers.seeds, [seed.overall for seed in rank_order]),
        "pairwise": _pairs(contexts, mean_of_defined([seed.pairwise for seed in rank_order], axis=0)),
        "pairwise_ipsative": _pairs(contexts, ipsative.pairwise),
        "ipsative": _plain(ipsative.overall),
        "ipsative_se": _plain(ipsative.standard_error),
        "per_persona": _named(personas, ipsative.per_persona),
        "undefined": _undefined(key, [seed.undefined for seed in rank_order], ipsative.undefined),
        "missing_answers": int(np.isnan(answers.coded).sum()),
        "unscored_items": [item for item in answers.items if item not in scored],
        "n_contexts": len(contexts),
        "n_personas": len(personas),
        "n_items": len(answers.items),
        "n_seeds": n_seeds,
        "centred": True,
        "units": _units(estimate.n, n_seeds, ipsative.n, len(personas)),
    }


def _plain(number: float) -> float | None:
    return None if math.isnan(number) else float(number)


def _named(names: Sequence[object], numbers: Sequence[float]) -> dict[str, float | None]:
    return {str(name): _plain(number) for name, number in zip(names, numbers, strict=True)}


def _pairs(contexts: Sequence[str], matrix: np.ndarray) -> dict[str, dict[str, float | None]]:
    return {
        one: {other: _plain(matrix[i, j]) for j, other in enumerate(contexts) if j != i}
        for i, one in enumerate(contexts)
    }


def _undefined(key: Key, rank_order: Sequence[UndefinedCounts], ipsative: UndefinedCounts) -> dict:
    each = np.sum([seed.each for seed in rank_order], axis=0)
    return {
        "rank_order": sum(seed.n for seed in rank_order),
        "rank_order_of": sum(seed.of for seed in rank_order),
        "rank_order_per_value": {value: int(n) for value, n in zip(key, each, strict=True)},
        "ipsative": ipsative.n,
        "ipsative_of": ipsative.of,
        "reasons": {
            "rank_order": {
                "constant_vector": sum(seed.constant for seed in rank_order),
                "fewer_than_3_observations": sum(seed.too_few for seed in rank_order),
            },
            "ipsative": {
                "constant_vector": ipsative.constant,
                "fewer_than_3_observations": ipsative.too_few,
            },
        },
    }


def _units(defined_seeds: int, n_seeds: int, defined_personas: int, n_personas: int) -> str:
    """What the standard errors are over, and how many seeds and personas have no stability."""
    seeds = f"over {defined_seeds} seeds" if defined_seeds > 1 else "none, it takes 2 seeds"
    personas = f"over {defined_personas} personas" if defined_personas > 1 else "none, it takes 2 personas"
    if defined_seeds < n_seeds:
        seeds += f" ({n_seeds - defined_seeds} of {n_seeds} left out as undefined)"
    if n_seeds > 1:
        personas += f", each averaged over its {n_seeds} seeds first"
    if defined_personas < n_personas:
        personas += f" ({n_personas - defined_personas} of {n_personas} left out as undefined)"
    return f"rank_order_se: {seeds}; ipsative_se: {personas}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0, or 2 after one sentence on stderr."""
    parser = argparse.ArgumentParser(
        prog="python -m valuestab_utils.stability",
        description="Print the rank-order and ipsative stability of a table of answers as one JSON object.",
    )
    parser.add_argument(
        "answers",
        metavar="ANSWERS.csv",
        help="columns context, persona, item, answer (empty, NA or NaN where missing), perhaps seed",
    )
    parser.add_argument(
        "--key", metavar="KEY.json", help="{value: [items]}; without it the PVQ-40, with answers 1 to 6"
    )
    given = parser.parse_args(argv)
    try:
        key = None if given.key is None else read_key(given.key)
        report = stability_report(read_answers(given.answers), key)
    except ValuestabError as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps(report, indent=2, allow_nan=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
