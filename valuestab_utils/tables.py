"""Tidy tables of stability: what the bars, matrices and tests of paper 001 are drawn from."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from valuestab_utils.comparison import compare_pairs
from valuestab_utils.errors import check_known
from valuestab_utils.estimates import mean_of_defined
from valuestab_utils.labels import respondent_label
from valuestab_utils.letter_tables import letter_use
from valuestab_utils.paths import DATA
from valuestab_utils.rank_order import over_seeds
from valuestab_utils.scored_answers import ScoredAnswers, score_answers
from valuestab_utils.uncertainty import bootstrap_interval, chance_stability

if TYPE_CHECKING:
    from valuestab_utils.study import Study

EXPERIMENT = ["model", "format", "population"]
MEASURES = {"rank_order": "seeds", "ipsative": "personas"}  # and what their standard errors are over


def stability_table(answers: pd.DataFrame, intervals: bool = False) -> pd.DataFrame:
    """Rank-order and ipsative stability of each experiment, with what a reader needs to judge them.

    Rank-order stability compares personas, so the condition without persona has ipsative stability alone; ipsative
    stability compares values, so a task with one scale has rank-order stability alone.

    Parameters
    ----------
    answers : DataFrame
        As `valuestab_utils.study.Study.answers` gives it, of one or several instruments.
    intervals : bool
        Add the statistics beyond the paper's: ``ci_low`` and ``ci_high`` (bootstrap over personas, 95%), ``chance``
        with ``chance_low`` and ``chance_high`` (95% of what is left when personas' identities are permuted within
        contexts), ``chance_p`` and ``ci_undefined`` (resamples left out).

    Returns
    -------
    DataFrame
        One row an experiment, instrument and measure: ``stability`` (-1 to 1) and ``standard_error`` over ``n_units``
        ``unit`` (seeds, or personas; those of them whose stability is defined), the design's size, ``undefined`` of
        ``correlations`` left out (``constant`` because a vector was constant, ``too_few`` for want of three
        observations), and the columns of `letter_use`.

    References
    ----------
    Paper 001, section 3.2.
    """
    rows = []
    for instrument, of_instrument in _instruments(answers):
        use = letter_use(of_instrument).set_index(EXPERIMENT)
        for names, part in experiments(of_instrument):
            scored = score_answers(part)
            for measure in scored.measures:
                rows.append(
                    dict(zip(EXPERIMENT, names))
                    | {"instrument": instrument, "family": part["family"].iloc[0], "measure": measure}
                    | _stability(scored, measure)
                    | (_beyond_the_paper(scored, measure) if intervals else {})
                    | {"missing_answers": scored.missing, "wording": part["wording"].iloc[0]}
                    | dict(use.loc[names])
                )
    return pd.DataFrame(rows)


def rows_of(
    table: pd.DataFrame,
    population: str | None = None,
    measure: str | None = None,
    instrument: str | None = None,
) -> pd.DataFrame:
    """Rows of a table with this population, measure and instrument; None takes all.

    Examples
    --------
    >>> table = pd.DataFrame({"measure": ["ipsative", "rank_order"], "stability": [0.5, 0.2]})
    >>> rows_of(table, measure="rank_order")["stability"].item()
    0.2
    """
    wanted = {"population": population, "measure": measure, "instrument": instrument}
    for column, value in wanted.items():
        if value is not None and len(table):
            table = table[table[column] == value]
    return table


def per_seed_table(answers: pd.DataFrame) -> pd.DataFrame:
    """Rank-order stability of each seed: the points that a bar is the mean of.

    One row an experiment, instrument and seed.
    """
    return pd.DataFrame(
        dict(zip(EXPERIMENT, names)) | {"instrument": name, "seed": seed, "stability": of_seed.overall}
        for name, of_instrument in _instruments(answers)
        for names, scored in _comparing_personas(of_instrument)
        for seed, of_seed in zip(scored.seeds, scored.rank_order(), strict=True)
    )


def per_value_table(answers: pd.DataFrame) -> pd.DataFrame:
    """Rank-order stability of each value, mean over seeds. One row an experiment and value."""
    rows = []
    for names, scored in _comparing_personas(answers):
        per_value = mean_of_defined([of_seed.per_value for of_seed in scored.rank_order()], axis=0)
        rows += [
            dict(zip(EXPERIMENT, names)) | {"value": value, "stability": stability}
            for value, stability in zip(scored.values, per_value, strict=True)
        ]
    return pd.DataFrame(rows)


def context_pair_table(answers: pd.DataFrame) -> pd.DataFrame:
    """Stability between each two contexts (rank-order, ipsative without persona). One row an experiment and pair."""
    rows = []
    for names, part in experiments(answers):
        scored = score_answers(part)
        measure = scored.measures[0]
        pairwise = pairwise_stability(scored, measure)
        rows += [
            dict(zip(EXPERIMENT, names))
            | {"measure": measure, "context": one, "other_context": other, "stability": pairwise[i, j]}
            for i, one in enumerate(scored.contexts)
            for j, other in enumerate(scored.contexts)
            if i != j
        ]
    return pd.DataFrame(rows)


def pairwise_stability(scored: ScoredAnswers, measure: str) -> np.ndarray:
    """Stability between each two contexts, shape (contexts, contexts): mean over seeds, NaN on the diagonal."""
    if measure == "ipsative":
        return scored.ipsative().pairwise
    return mean_of_defined(np.stack([of_seed.pairwise for of_seed in scored.rank_order()]), axis=0)


def comparison_table(answers: pd.DataFrame, population: str, measure: str, alpha: float = 0.05) -> pd.DataFrame:
    """Each two respondents of a population compared by Student's t-test, adjusted by Benjamini and Hochberg.

    The units are seeds (rank-order) or option-order permutations (ipsative without persona).

    Parameters
    ----------
    answers : DataFrame
        Of one instrument.
    population : str
    measure : {"rank_order", "ipsative"}
    alpha : float

    Returns
    -------
    DataFrame
        As `valuestab_utils.comparison.compare_pairs` gives it, respondents by their labels in figures; empty with
        fewer than two of them.

    References
    ----------
    Paper 001, appendix E.
    """
    check_known("measure", measure, MEASURES)
    if answers.empty:
        return pd.DataFrame()
    units = {}
    for names, part in experiments(answers[answers["population"] == population]):
        scored = score_answers(part)
        if measure in scored.measures:
            rank_order = measure == "rank_order"
            of_units = [seed.overall for seed in scored.rank_order()] if rank_order else scored.ipsative().per_persona
            units[respondent_label(*names[:2])] = list(of_units)
    return compare_pairs(units, alpha) if len(units) > 1 else pd.DataFrame()


def expected_table(study: "Study", part: str = "pvq") -> pd.DataFrame:
    """Stability that the synthetic control's own settings imply for the study's design (mean, standard deviation)."""
    rows = []
    for m in study.measurements:
        respondent = study.respondent(m.experiment)
        if m.part != part or not hasattr(respondent, "expected_stability"):
            continue
        e = m.experiment
        implied = respondent.expected_stability(e.personas, len(e.topics), len(e.seeds), asked=m.instrument)
        rows += [
            {"model": e.model, "format": e.format, "population": e.population, "instrument": m.instrument.name}
            | {"measure": measure, "expected": mean, "expected_sd": deviation}
            for measure, (mean, deviation) in implied.items()
        ]
    columns = [*EXPERIMENT, "instrument", "measure", "expected", "expected_sd"]
    return pd.DataFrame(rows, columns=columns)


def human_stability() -> pd.DataFrame:
    """Stability in two longitudinal studies of humans, as paper 001 draws it (section 4.3)."""
    return pd.read_csv(DATA / "reference" / "human_stability.csv")


def published_values(
    population: str, measure: str, instrument: str = "PVQ-40", part: str = "pvq"
) -> pd.DataFrame:
    """Values that paper 001 prints for its models: columns model, family, r, n_messages, source.

    Where its two versions print different values, those of the journal version.

    Examples
    --------
    >>> list(published_values("real_world_personas", "rank_order")["r"])
    [0.46, 0.5]
    """
    table = pd.read_csv(DATA / "reference" / "kovac2024_in_text.csv")
    wanted = {"part": part, "instrument": instrument, "measure": measure, "population": population}
    for column, value in wanted.items():
        table = table[table[column] == value]
    return table.drop(columns=list(wanted)).drop_duplicates(["model", "n_messages"])


def experiments(answers: pd.DataFrame) -> Iterator[tuple[tuple, pd.DataFrame]]:
    """Model, format and population of each experiment, with its answers, in their order."""
    return iter(answers.groupby(EXPERIMENT, sort=False) if len(answers) else ())


def _instruments(answers: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    return iter(answers.groupby("instrument", sort=False) if len(answers) else ())


def _comparing_personas(answers: pd.DataFrame) -> Iterator[tuple[tuple, ScoredAnswers]]:
    for names, part in experiments(answers):
        scored = score_answers(part)
        if "rank_order" in scored.measures:
            yield names, scored


def _stability(scored: ScoredAnswers, measure: str) -> dict:
    if measure == "rank_order":
        per_seed = scored.rank_order()
        found = over_seeds(per_seed)
        stability, counts = found.mean, [of_seed.undefined for of_seed in per_seed]
    else:
        found = scored.ipsative()
        stability, counts = found.overall, [found.undefined]
    return {
        "stability": stability,
        "standard_error": found.standard_error,
        "unit": MEASURES[measure],
        "n_units": found.n,
        "personas": len(scored.personas),
        "contexts": len(scored.contexts),
        "seeds": len(scored.seeds),
        "undefined": sum(count.n for count in counts),
        "correlations": sum(count.of for count in counts),
        "constant": sum(count.constant for count in counts),
        "too_few": sum(count.too_few for count in counts),
    }


def _beyond_the_paper(scored: ScoredAnswers, measure: str) -> dict:
    interval = bootstrap_interval(scored.scores, measure)
    chance = chance_stability(scored.scores, measure)
    return {
        "ci_low": interval.low,
        "ci_high": interval.high,
        "ci_undefined": interval.n_undefined,
        "chance": chance.mean,
        "chance_low": chance.low,
        "chance_high": chance.high,
        "chance_p": chance.p_value,
    }
