"""Tables of notebook 06: hierarchy and structure of the values that each experiment expressed, beside the paper's."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from valuestab_utils.anchor_curve import anchor_tables
from valuestab_utils.errors import ValuestabError
from valuestab_utils.instruments import Instrument
from valuestab_utils.labels import population_label, respondent_label
from valuestab_utils.published_values import published_agreement, published_disparities, published_means_19
from valuestab_utils.run_answers import tells_probabilities, without_probabilities
from valuestab_utils.run_scores import RunScores, run_scores, same_runs
from valuestab_utils.structure_tables import map_points, structure_table
from valuestab_utils.value_hierarchy import (
    administration_differences,
    hierarchy_table,
    human_means_19,
    rank_agreement,
)
from valuestab_utils.value_references import Reference, references_19
from valuestab_utils.value_structure import complete_runs

TEMPERATURES = (0.0, 0.7)
_WAYS_COMPARED = (("batch", "serial"), ("letters", "serial"), ("letters", "batch"))
_KEYS = ["model", "format", "population", "administration", "temperature"]


@dataclass(frozen=True, eq=False)
class Scored:
    """Runs of one way of asking, read at one temperature."""

    runs: RunScores
    temperature: float


def scored(answers: pd.DataFrame, instrument: Instrument) -> list[Scored]:
    """The answers by administration, and at both temperatures of the paper where they allow it.

    Answers by letters are read at 0 (the likeliest option) and at 0.7 (drawn from the probabilities); a model that
    tells no probabilities is read at 0 only. Text was written at one temperature.

    Parameters
    ----------
    answers : DataFrame
        Of the parts structure and administrations.
    instrument : Instrument
        The PVQ-RR.

    Returns
    -------
    list of Scored
    """
    found: list[Scored] = []
    if answers.empty:
        return found
    _check_one_wording(answers)
    ways = answers.groupby(["administration", "temperature"], dropna=False, sort=False)
    for (administration, temperature), rows in ways:
        if administration != "letters":
            found.append(Scored(run_scores(rows, instrument), float(temperature)))
            continue
        told = rows.groupby(["model", "format"], sort=False)
        with_probabilities = [name for name, of in told if tells_probabilities(of, instrument)]
        whole = rows.set_index(["model", "format"]).index.isin(with_probabilities)
        for part, temperatures in ((rows[whole], TEMPERATURES), (rows[~whole], TEMPERATURES[:1])):
            if part.empty:
                continue
            if temperatures != TEMPERATURES:
                part = without_probabilities(part)
            runs = run_scores(part, instrument)
            found += [Scored(runs, t) for t in temperatures]
    return found


def hierarchies(all_scored: Sequence[Scored]) -> pd.DataFrame:
    """Mean and rank of each value in each experiment (see `valuestab_utils.value_hierarchy.hierarchy_table`).

    Without means where a condition has no answer at all, as where no text could be parsed; empty without runs.
    """
    tables = [hierarchy_table(one.runs, one.temperature) for one in all_scored]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def agreement(hierarchy: pd.DataFrame, administrations: Sequence[str] = ("letters",)) -> pd.DataFrame:
    """Rank correlation with the human hierarchy, this run's and the paper's models'.

    Parameters
    ----------
    hierarchy : DataFrame
        From `hierarchies`.
    administrations : sequence of str
        Of this run's rows.

    Returns
    -------
    DataFrame
        The columns of `valuestab_utils.value_hierarchy.rank_agreement`, with ``label`` and ``condition``.
    """
    if hierarchy.empty:
        return hierarchy
    chosen = hierarchy[hierarchy["administration"].isin(administrations)]
    printed = published_agreement()
    printed = printed[printed["population"].isin(chosen["population"])]
    return _labelled(pd.concat([rank_agreement(chosen), printed], ignore_index=True))


def hierarchy_lines(
    hierarchy: pd.DataFrame, population: str = "value_anchor", temperature: float = 0.0
) -> pd.DataFrame:
    """Means of one condition by letters, with the human ones and those that the paper prints (figure 2b).

    Returns
    -------
    DataFrame
        label, value, acronym, human_rank, mean, se, kind ("human", "run" or "published").
    """
    if hierarchy.empty:
        return hierarchy
    own = hierarchy.query("population == @population and temperature == @temperature and administration == 'letters'")
    if own.empty:
        return own
    human = human_means_19()
    rank = human.set_index("value")["rank"]
    printed = published_means_19().query("population == @population and temperature == @temperature")
    tables = [
        human.assign(label="humans (49 cultural groups)", kind="human"),
        _labelled(own).rename(columns={"standard_error": "se"}).assign(kind="run"),
        _labelled(printed.assign(format="", published=True)).assign(kind="published"),
    ]
    together = pd.concat([table for table in tables if len(table)], ignore_index=True)
    together["human_rank"] = together["value"].map(rank)
    together["se"] = together["se"].astype(float) if "se" in together else np.nan
    return together[["label", "value", "acronym", "human_rank", "mean", "se", "kind"]]


def structures(
    all_scored: Sequence[Scored],
    administrations: Sequence[str] = ("letters",),
    references: Sequence[Reference] | None = None,
    n_resamples: int = 100,
) -> pd.DataFrame:
    """Distance of each experiment's map of values from the references, with the distances that the paper prints.

    Parameters
    ----------
    all_scored : sequence of Scored
    administrations : sequence of str
        Of this run's rows.
    references : sequence of Reference, optional
        By default the theory's circle, and the user's human data if there are any.
    n_resamples : int
        Behind the intervals.

    Returns
    -------
    DataFrame
        As `valuestab_utils.structure_tables.structure_table`, with ``label``, ``condition`` and ``published``. Printed
        rows have the reference "human": they cannot be compared with distances from the theory's circle.
    """
    references = references_19() if references is None else references
    own = [
        structure_table(one.runs, references, one.temperature, n_resamples)
        for one in all_scored
        if one.runs.administration in administrations
    ]
    if not own:
        return pd.DataFrame()
    printed = published_disparities().assign(format="", reference="human", reference_label="human: the paper's")
    printed = printed[printed["population"].isin(pd.concat(own)["population"])]
    if set(administrations) == {"letters"}:
        printed = printed[printed["administration"] == "batch"]  # the rest of it is table 5
    return _labelled(pd.concat([*own, printed], ignore_index=True), with_way=False)


def maps(all_scored: Sequence[Scored], table: pd.DataFrame, model: str, temperature: float = 0.0) -> pd.DataFrame:
    """Points of one model's maps by letters, a panel a condition, laid over the human map, or the theory's circle.

    Parameters
    ----------
    all_scored : sequence of Scored
    table : DataFrame
        From `structures`, for the intervals.
    model : str
    temperature : float

    Returns
    -------
    DataFrame
        What `valuestab_utils.plots.value_maps` draws; no rows for conditions without a map.
    """
    reference = references_19()[-1]
    fits = table[(table["reference"] == reference.kind) & ~table["published"]] if len(table) else table
    points = [
        map_points(one.runs.take((one.runs.runs["model"] == model).to_numpy()), reference, fits, temperature)
        for one in all_scored
        if one.temperature == temperature
        and one.runs.administration == "letters"
        and (one.runs.runs["model"] == model).any()
    ]
    together = pd.concat(points, ignore_index=True) if points else pd.DataFrame()
    return together.assign(panel=_panels(together)) if len(together) else together


def anchors(all_scored: Sequence[Scored], temperature: float = 0.0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Curves of figure 4 and their sinusoids, by letters; empty where no run has an anchor.

    Returns
    -------
    curves, fits : DataFrame
        As `valuestab_utils.anchor_curve.anchor_tables` gives them, with ``label``.
    """
    tables = [
        anchor_tables(one.runs, temperature)
        for one in all_scored
        if one.temperature == temperature
        and one.runs.administration == "letters"
        and one.runs.runs["population"].eq("value_anchor").any()
    ]
    if not tables:
        return pd.DataFrame(), pd.DataFrame()
    curves, fits = (pd.concat(of_kind, ignore_index=True) for of_kind in zip(*tables, strict=True))
    curves = curves.rename(columns={"standard_error": "se"})
    return _labelled(curves.assign(population="value_anchor")), _labelled(fits.assign(population="value_anchor"))


def differences(all_scored: Sequence[Scored]) -> pd.DataFrame:
    """Fisher's z between each two ways of asking at the same temperature (appendix I).

    Two ways are compared on the runs that gave all their answers in both: text that could be parsed in one way must not
    stand against all runs of another.

    Parameters
    ----------
    all_scored : sequence of Scored
        From `scored`, of all ways.

    Returns
    -------
    DataFrame
        The columns of `valuestab_utils.value_hierarchy.administration_differences`, ``first`` and ``second`` (the
        ways), ``n_runs`` that are compared (with 0, nothing is), ``label``, ``condition`` and ``published``.
    """
    tables = []
    for ways in _WAYS_COMPARED:
        for one, other in itertools.product(all_scored, all_scored):
            if (one.runs.administration, other.runs.administration) != ways or one.temperature != other.temperature:
                continue
            asked = [[*names] for names, _ in one.runs.experiments()]
            if any(names in asked for names in ([*names] for names, _ in other.runs.experiments())):
                tables.append(_difference(one, other).assign(first=ways[0], second=ways[1]))
    return _labelled(pd.concat(tables, ignore_index=True)) if tables else pd.DataFrame()


def _difference(one: Scored, other: Scored) -> pd.DataFrame:
    names = ["model", "format", "population"]
    first, second = same_runs(one.runs, other.runs)
    both = complete_runs(first.codes) & complete_runs(second.codes)
    asked = first.runs.assign(n_runs=both).groupby(names, sort=False, as_index=False)["n_runs"].sum()
    if not both.any():
        return asked.assign(temperature=one.temperature, rho_first=np.nan, rho_second=np.nan, z=np.nan, p_value=np.nan)
    means = [hierarchy_table(runs.take(both), one.temperature) for runs in (first, second)]
    agreed = rank_agreement(pd.concat(means, ignore_index=True))
    found = administration_differences(agreed, first.administration, second.administration)
    return asked.merge(found, on=names, how="left").assign(temperature=one.temperature)


def parsed_runs(answers: pd.DataFrame) -> pd.DataFrame:
    """How many runs in one prompt gave one code an item and nothing else: all others count as unparsable.

    Returns
    -------
    DataFrame
        label, condition, temperature, n_runs, n_parsed, share_parsed, example (the beginning of the first text).
    """
    batch = answers[answers["administration"] == "batch"] if len(answers) else answers
    if batch.empty:
        return pd.DataFrame()
    runs = batch.drop_duplicates([*_KEYS, "persona", "seed"])
    rows = [
        dict(zip(_KEYS, names, strict=True))
        | {"n_runs": len(of), "n_parsed": int(of["parsed"].sum()), "share_parsed": of["parsed"].mean()}
        | {"example": " ".join(str(of["text"].iloc[0]).split())[:120]}
        for names, of in runs.groupby(_KEYS, sort=False)
    ]
    return _labelled(pd.DataFrame(rows))


def counting(answers: pd.DataFrame) -> pd.DataFrame:
    """How often an answer is one more than the answer before it (1 after 6), in each way of asking.

    Somebody who reads the items does so in about a sixth of them; a small model may count 1, 2, 3, ... whatever is
    asked.

    Parameters
    ----------
    answers : DataFrame
        Of the part administrations, items in the order in which they were asked.

    Returns
    -------
    DataFrame
        label, condition, administration, temperature, share_counted (0 to 1; NaN without two answers in a row).
    """
    if answers.empty:
        return answers
    codes = answers["answer"].astype(float)
    before = codes.groupby([answers[name] for name in (*_KEYS, "persona", "seed")]).shift()
    counted = (codes == before % 6 + 1).where(codes.notna() & before.notna())
    table = answers[_KEYS].assign(share_counted=counted.astype(float))
    return _labelled(table.groupby(_KEYS, sort=False, as_index=False)["share_counted"].mean(), with_way=False)


def on_common_runs(answers: pd.DataFrame, others: pd.DataFrame) -> pd.DataFrame:
    """Answers of all ways of asking, cut to the runs that were asked in each of them: only these can be compared.

    Parameters
    ----------
    answers : DataFrame
        Of the part structure, by letters.
    others : DataFrame
        Of the part administrations.

    Returns
    -------
    DataFrame
        Of the models and conditions in ``others``, runs that all ways and temperatures of the same model and condition
        have.
    """
    if others.empty:
        return others
    experiment = ["model", "format", "population"]
    asked = others[experiment].drop_duplicates()
    by_letters = [] if answers.empty else [answers.merge(asked, on=experiment)]
    both = pd.concat([*by_letters, others], ignore_index=True)
    run = [*experiment, "persona", "topic", "seed"]
    both = both.drop_duplicates([*run, "item", "administration", "temperature"], ignore_index=True)  # letters in both
    way = both["administration"] + " " + both["temperature"].astype(str)
    ways = way.groupby([both[name] for name in experiment]).transform("nunique")
    of_run = way.groupby([both[name] for name in run]).transform("nunique")
    return both[ways == of_run].reset_index(drop=True)


def _check_one_wording(answers: pd.DataFrame) -> None:
    """Refuse answers to different texts of the questionnaire in one table."""
    versions = answers["instrument_version"].unique()
    if len(versions) > 1:
        raise ValuestabError(f"The answers are to {len(versions)} texts of the questionnaire: compare those of one.")


def _labelled(table: pd.DataFrame, with_way: bool = True) -> pd.DataFrame:
    """With the columns label (the way of asking in it, if there are several), condition and published."""
    published = table["published"].eq(True) if "published" in table else pd.Series(False, index=table.index)
    ways = table["administration"] if "administration" in table else pd.Series("letters", index=table.index)
    several = with_way and ways[~published].nunique() > 1
    labels = [
        _published_label(row.model) if is_published else respondent_label(row.model, row.format)
        for row, is_published in zip(table.itertuples(), published, strict=True)
    ]
    if several:
        labels = [f"{label}, {way}" if not p else label for label, way, p in zip(labels, ways, published, strict=True)]
    return table.assign(label=labels, condition=table["population"], published=published)


def _published_label(model: str) -> str:
    return _PRINTED[model]


_PRINTED = {
    "gpt_4_0314": "GPT-4-0314",
    "gemini_1.0_pro": "Gemini 1.0 Pro",
    "llama_3.1_8b": "Llama 3.1 8B",
    "llama_3.1_70b": "Llama 3.1 70B",
    "gemma_2_9b": "Gemma 2 9B",
    "gemma_2_27b": "Gemma 2 27B",
}


def _panels(points: pd.DataFrame) -> pd.Series:
    several = points["format"].nunique() > 1
    names = [
        population_label(row.population) + (f" ({row.format})" if several else "") for row in points.itertuples()
    ]
    return pd.Series(names, index=points.index)
