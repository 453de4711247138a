"""Tidy tables behind the figures: stability of each experiment, and how its answers were given."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from valuestab_utils.answers_csv import answers_array
from valuestab_utils.paths import DATA
from valuestab_utils.prompts import LETTERS
from valuestab_utils.stability import ipsative_over_seeds, ipsative_stability, stability_report, value_scores
from valuestab_utils.value_scores import read_key

if TYPE_CHECKING:  # a study concludes with a table of its own: importing it here would go round in a circle
    from valuestab_utils.study import Study

EXPERIMENT = ["model", "format", "population"]


def stability_table(answers: pd.DataFrame) -> pd.DataFrame:
    """Rank-order and ipsative stability of each experiment, with what a reader needs to judge them.

    Rank-order stability compares personas, so the condition without persona has ipsative stability alone.

    Parameters
    ----------
    answers : DataFrame
        As `valuestab_utils.study.Study.answers` gives it.

    Returns
    -------
    DataFrame
        One row an experiment and measure: ``stability`` (-1 to 1), ``standard_error`` over ``n_units`` ``unit``
        (seeds, or personas), the design's size, ``undefined`` of ``correlations`` left out (``constant``
        because a vector was constant, ``too_few`` for want of three observations), and the columns of `letter_use`.

    References
    ----------
    Paper 001, section 3.2.
    """
    use = letter_use(answers).set_index(EXPERIMENT)
    rows = []
    for names, part in _experiments(answers):
        report = _report(part)
        for measure, unit in (("rank_order", "seeds"), ("ipsative", "personas")):
            if measure not in report:
                continue
            undefined = report["undefined"]
            rows.append(
                dict(zip(EXPERIMENT, names))
                | {
                    "family": part["family"].iloc[0],
                    "measure": measure,
                    "stability": _number(report[measure]),
                    "standard_error": _number(report[f"{measure}_se"]),
                    "unit": unit,
                    "n_units": report[f"n_{unit}"],
                    "personas": report["n_personas"],
                    "contexts": report["n_contexts"],
                    "seeds": report["n_seeds"],
                    "undefined": undefined[measure],
                    "correlations": undefined[f"{measure}_of"],
                    "constant": undefined["reasons"][measure]["constant_vector"],
                    "too_few": undefined["reasons"][measure]["fewer_than_3_observations"],
                    "missing_answers": report["missing_answers"],
                    "wording": part["wording"].iloc[0],
                }
                | dict(use.loc[names])
            )
    return pd.DataFrame(rows)


def per_seed_table(answers: pd.DataFrame) -> pd.DataFrame:
    """Rank-order stability of each seed: the points that a bar is the mean of. One row an experiment and seed."""
    return pd.DataFrame(
        dict(zip(EXPERIMENT, names)) | {"seed": int(seed), "stability": _number(stability)}
        for names, part in _experiments(answers)
        for seed, stability in _report(part).get("per_seed", {}).items()
    )


def per_value_table(answers: pd.DataFrame) -> pd.DataFrame:
    """Rank-order stability of each value, mean over seeds. One row an experiment and value."""
    return pd.DataFrame(
        dict(zip(EXPERIMENT, names)) | {"value": value, "stability": _number(stability)}
        for names, part in _experiments(answers)
        for value, stability in _report(part).get("per_value", {}).items()
    )


def context_pair_table(answers: pd.DataFrame) -> pd.DataFrame:
    """Stability between each two contexts (rank-order, ipsative without persona). One row an experiment and pair."""
    rows = []
    for names, part in _experiments(answers):
        report = _report(part)
        measure = "rank_order" if "rank_order" in report else "ipsative"
        pairs = report["pairwise" if measure == "rank_order" else "pairwise_ipsative"]
        rows += [
            dict(zip(EXPERIMENT, names))
            | {"measure": measure, "context": one, "other_context": other, "stability": _number(stability)}
            for one, others in pairs.items()
            for other, stability in others.items()
        ]
    return pd.DataFrame(rows)


def letter_use(answers: pd.DataFrame) -> pd.DataFrame:
    """How an experiment's answers were given: letter mass, near-ties, and how much one letter was preferred.

    Returns
    -------
    DataFrame
        One row an experiment: ``letter_mass`` (mean probability on the letters), ``near_ties`` (share of answers
        whose two likeliest letters lie within 0.1 nats), ``top_letter`` with ``top_letter_share``, and
        ``stray_token``, the most frequent likeliest token that is no letter.
    """
    rows = []
    for names, part in _experiments(answers):
        shares = part["letter"].value_counts(normalize=True)
        rows.append(
            dict(zip(EXPERIMENT, names))
            | {
                "letter_mass": part["letter_mass"].mean(),
                "near_ties": part["near_tie"].mean(),
                "top_letter": shares.index[0],
                "top_letter_share": shares.iloc[0],
                "stray_token": part["stray_token"].mode().iloc[0],
            }
        )
    return pd.DataFrame(rows)


def letter_shares(answers: pd.DataFrame) -> pd.DataFrame:
    """Share of answers at each letter (all equal if position had no influence). One row an experiment and letter."""
    letters = [letter for letter in LETTERS if f"logprob_{letter}" in answers]
    return pd.DataFrame(
        dict(zip(EXPERIMENT, names)) | {"letter": letter, "share": (part["letter"] == letter).mean()}
        for names, part in _experiments(answers)
        for letter in letters
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
    for names, part in _experiments(answers):
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


def expected_table(study: "Study") -> pd.DataFrame:
    """Stability that the synthetic control's own settings imply for the study's design (mean, standard deviation)."""
    rows = []
    for experiment in study.experiments:
        respondent = study.respondent(experiment)
        if not hasattr(respondent, "expected_stability"):
            continue
        implied = respondent.expected_stability(
            experiment.personas, len(experiment.topics), len(experiment.seeds)
        )
        rows += [
            {"model": experiment.model, "format": experiment.format, "population": experiment.population}
            | {"measure": measure, "expected": mean, "expected_sd": deviation}
            for measure, (mean, deviation) in implied.items()
        ]
    return pd.DataFrame(rows, columns=[*EXPERIMENT, "measure", "expected", "expected_sd"])


def human_stability() -> pd.DataFrame:
    """Stability in two longitudinal studies of humans, as paper 001 draws it (section 4.3)."""
    return pd.read_csv(DATA / "reference" / "human_stability.csv")


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


def position_sentences(use: pd.DataFrame, n_letters: int = 6) -> list[str]:
    """One sentence an experiment on how much its answers follow the letters' positions, from `letter_use`."""
    return [
        f"{row.model} ({row.format}, {row.population.replace('_', ' ')}) chose the letter {row.top_letter} for "
        f"{row.top_letter_share:.0%} of its answers ({1 / n_letters:.0%} if position had no influence); {row.near_ties:.0%} "
        f"of its answers were near-ties, and {row.letter_mass:.1%} of the probability was on the letters."
        for row in use.itertuples()
    ]


def findings(table: pd.DataFrame, tested: str) -> list[str]:
    """What a run found, in two sentences made from `stability_table` alone: the model's stability, the controls'."""
    main = table[(table["measure"] == "rank_order") | (table["population"] == "none")]
    is_control = main["model"].str.startswith("control-")
    sentences = []
    for who, rows in ((tested, main[main["model"] == tested]), ("Controls", main[is_control])):
        parts = []
        for (model, format, measure), group in rows.groupby(["model", "format", "measure"], sort=False):
            name = f"{model.removeprefix('control-')}, " if who == "Controls" else f"{format}, "
            values = ", ".join(
                f"{_with_error(row)} {row.population.replace('_', ' ')}" for row in group.itertuples()
            )
            parts.append(f"{name}{measure.replace('_', '-')} {values.replace(' none', ' no persona')}")
        if parts:
            sentences.append(f"{who}: {'; '.join(parts)}.")
    return sentences


def _with_error(row) -> str:
    if not np.isfinite(row.stability):
        return "undefined for"
    error = f" ± {row.standard_error:.2f}" if np.isfinite(row.standard_error) else ""
    return f"{row.stability:.2f}{error}"


def _experiments(answers: pd.DataFrame) -> Iterator[tuple[tuple, pd.DataFrame]]:
    return iter(answers.groupby(EXPERIMENT, sort=False))


def _report(part: pd.DataFrame) -> dict:
    """Report of one experiment; without personas, its ipsative part alone."""
    frame = part.rename(columns={"topic": "context"})[["context", "persona", "item", "answer", "seed"]]
    if (part["persona_description"] != "").all():
        return stability_report(frame)
    key = read_key()
    array = answers_array(
        frame, [item for items in key.values() for item in items], scale=(1, 6), only_scored=True
    )
    ipsative = ipsative_over_seeds(
        [ipsative_stability(value_scores(coded, key, array.items)) for coded in array.coded]
    )
    pairs = zip(array.contexts, ipsative.pairwise)
    return {
        "ipsative": ipsative.overall,
        "ipsative_se": ipsative.standard_error,
        "pairwise_ipsative": {
            one: {other: r for other, r in zip(array.contexts, row) if other != one} for one, row in pairs
        },
        "n_personas": len(array.personas),
        "n_contexts": len(array.contexts),
        "n_seeds": len(array.seeds),
        "missing_answers": int(np.isnan(array.coded).sum()),
        "undefined": {
            "ipsative": ipsative.undefined.n,
            "ipsative_of": ipsative.undefined.of,
            "reasons": {
                "ipsative": {
                    "constant_vector": ipsative.undefined.constant,
                    "fewer_than_3_observations": ipsative.undefined.too_few,
                }
            },
        },
    }


def _number(value: float | None) -> float:
    return np.nan if value is None else float(value)
