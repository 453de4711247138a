"""Tables of notebook 06: hierarchy and structure of the values that each experiment expressed, beside the paper's."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from valuestab_utils import metrics
from valuestab_utils.errors import ValuestabError
from valuestab_utils.metrics import Reference, RunScores
from valuestab_utils.papers.sentences import REFERENCES, distance, joined, number
from valuestab_utils.papers.tables import EXPERIMENT, beside_printed, is_control, map_points, rows_of, table_of, tidy
from valuestab_utils.prompts import REFINED_VALUES, Questionnaire, circular_order_correlation, population_label

TEMPERATURES = (0.0, 0.7)
ANCHORED = "value_anchor"
_NAMES = [*EXPERIMENT, "administration", "temperature"]
_RUN = [*EXPERIMENT, "persona", "topic", "seed"]
_WAYS_COMPARED = (("batch", "serial"), ("letters", "serial"), ("letters", "batch"))
_SINUSOID = ("offset", "amplitude", "phase", "peak", "r_squared", "n_anchors")


@dataclass(frozen=True, eq=False)
class Scored:
    """Runs of some experiments, asked in one way, and the temperature at which their answers are read."""

    runs: RunScores
    temperature: float

    @property
    def likeliest(self) -> bool:
        """Whether these are the likeliest letters."""
        return self.runs.administration == "letters" and self.temperature == 0

    def experiments(self) -> Iterator[tuple[dict, RunScores]]:
        """Names and runs of each."""
        for names, runs in self.runs.experiments():
            yield dict(zip(_NAMES, (*names, runs.administration, self.temperature), strict=True)), runs


def scored(answers: pd.DataFrame, questionnaire: Questionnaire) -> list[Scored]:
    """PVQ-RR answers by administration, and at both temperatures of the paper where they allow it.

    By letters they are read at 0 (the likeliest option) and at 0.7 (drawn from the probabilities), at 0 only if a model
    tells no probabilities. Text was written at one temperature.
    """
    found: list[Scored] = []
    versions = answers["instrument_version"].unique()
    if len(versions) > 1:
        raise ValuestabError(f"The answers are to {len(versions)} texts of the questionnaire: compare those of one.")
    for (way, temperature), rows in answers.groupby(["administration", "temperature"], dropna=False, sort=False):
        if way != "letters":
            found.append(Scored(metrics.run_scores(rows, questionnaire), float(temperature)))
            continue
        of_models = rows.groupby(["model", "format"], sort=False)
        told = [name for name, of_one in of_models if metrics.tells_probabilities(of_one, questionnaire)]
        whole = pd.MultiIndex.from_frame(rows[["model", "format"]]).isin(told)
        for part, temperatures in ((rows[whole], TEMPERATURES), (metrics.without_probabilities(rows[~whole]), (0.0,))):
            if len(part):
                runs = metrics.run_scores(part, questionnaire)
                found += [Scored(runs, t) for t in temperatures]
    return found


def hierarchies(all_scored: Sequence[Scored]) -> pd.DataFrame:
    """Mean and rank of each value in each experiment (see `metrics.hierarchy_table`)."""
    numbers = ["mean", "standard_error", "n_runs", "n_missing", "rank", "human_mean", "human_rank"]
    tables = (metrics.hierarchy_table(one.runs, one.temperature) for one in all_scored)
    return table_of(tables, [*_NAMES, "value", "acronym", *numbers])


def agreement(hierarchy: pd.DataFrame) -> pd.DataFrame:
    """Rank correlation with the human hierarchy, of this run and of the paper's models."""
    printed = metrics.published_agreement()
    return _labelled(metrics.rank_agreement(hierarchy), printed[printed["population"].isin(hierarchy["population"])])


@tidy("label", "value", "acronym", "human_rank", "mean", "se", "kind")
def hierarchy_lines(hierarchy: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Means of runs with value anchors by letters, with the human ones and those that the paper prints (figure 2b).

    kind is "human", "run" or "published".
    """
    condition = {"population": ANCHORED, "temperature": 0}
    own = rows_of(hierarchy, administration="letters", **condition)
    if own.empty:
        return
    human = metrics.human_means_19()
    rank = human.set_index("value")["rank"]
    table = beside_printed(own, rows_of(metrics.published_means_19(), **condition))
    table["kind"] = np.where(table["published"], "published", "run")
    for part in (human.assign(label="humans (49 cultural groups)", kind="human"), table):
        yield part.assign(human_rank=part["value"].map(rank)).rename(columns={"standard_error": "se"})


def structures(all_scored: Sequence[Scored], n_resamples: int = 100) -> pd.DataFrame:
    """How far each experiment's map of values is from each reference, with the distances that the paper prints.

    References are the theory's circle, and the user's human data if there are any. Printed rows have the reference
    "human": they cannot be compared with distances from the circle. disparity is 0 (same shape) to 1, low and high its
    interval over runs, order_correlation 1 for the same circular order; n_runs counts the complete ones, n_left_out the
    others. Where there is no map, disparity is NaN and reason says why ("" elsewhere). Tables 1 and 5.
    """
    own = _own_structures(all_scored, n_resamples)
    printed = metrics.published_disparities().assign(reference="human", reference_label="human: the paper's")
    printed = printed[printed["population"].isin(own["population"])]
    if set(own["administration"]) == {"letters"}:
        printed = rows_of(printed, administration="batch")  # the rest of it is table 5
    return _labelled(own, printed, with_way=False)


@tidy(
    *(*_NAMES, "reference", "reference_label", "disparity", "low", "high", "level", "n_resamples", "n_undefined"),
    *("order_correlation", "n_runs", "n_left_out", "reason"),
)
def _own_structures(all_scored: Sequence[Scored], n_resamples: int) -> Iterator[dict]:
    for one in all_scored:
        for names, scores, n_left_out in _complete(one):
            for reference in metrics.references_19():
                about = {"reference": reference.kind, "reference_label": reference.label}
                about |= {"n_runs": len(scores), "n_left_out": n_left_out}
                yield names | about | _fit(scores, reference, one.runs.scales, n_resamples)


def _complete(one: Scored) -> Iterator[tuple[dict, np.ndarray, int]]:
    """Names, complete scores and the number of runs left out, of each experiment."""
    for names, runs in one.experiments():
        scores = runs.scores(one.temperature)
        complete = metrics.complete_runs(scores)
        yield names, scores[complete], int((~complete).sum())


def _fit(scores: np.ndarray, reference: Reference, values: Sequence[str], n_resamples: int) -> dict:
    coordinates = _in_order(reference, values)
    try:
        fit = metrics.align(coordinates, metrics.value_map(metrics.value_correlations(scores, values)))
    except ValuestabError as error:
        return {"reason": str(error)}
    interval = metrics.disparity_interval(scores, values, coordinates, n_resamples)
    angles = [np.arctan2(points[:, 1], points[:, 0]) for points in (fit.aligned, fit.reference)]
    return {
        "disparity": fit.disparity, "low": interval.low, "high": interval.high, "level": metrics.LEVEL,
        "n_resamples": n_resamples, "n_undefined": interval.n_undefined,
        "order_correlation": circular_order_correlation(*angles), "reason": "",
    }  # fmt: skip


def _in_order(reference: Reference, values: Sequence[str]) -> np.ndarray:
    return reference.coordinates[[reference.values.index(value) for value in values]]


@tidy(
    *(*_NAMES, "value", "acronym", "higher_order", "x", "y", "reference_x", "reference_y", "disparity", "low", "high"),
    *("reference", "panel"),
)
def maps(all_scored: Sequence[Scored], structures: pd.DataFrame, model: str) -> Iterator[pd.DataFrame]:
    """Points of one model's maps by letters, a panel a condition, laid over the human map, or the theory's circle.

    x, y (NaN without a map) and reference_x, reference_y are standardised; intervals come from the table of
    `structures`. Figures 3 and 7-12.
    """
    reference = metrics.references_19()[-1]  # people's where there are human data, else the theory's
    fits = rows_of(structures, reference=reference.kind, published=False, model=model)
    several = fits["format"].nunique() > 1
    for one in all_scored:
        values, coordinates = one.runs.scales, _in_order(reference, one.runs.scales)
        alone = metrics.align(coordinates, coordinates).reference  # standardised
        for names, scores, _ in _complete(one):
            if names["model"] != model or not one.likeliest:
                continue
            fit = rows_of(fits, **names).iloc[0]
            aligned = np.full_like(alone, np.nan)
            if pd.notna(fit["disparity"]):
                drawn = metrics.value_map(metrics.value_correlations(scores, values))
                aligned = metrics.align(coordinates, drawn).aligned
            panel = population_label(names["population"]) + (f" ({names['format']})" if several else "")
            yield map_points(values, aligned, alone).assign(
                **names, **fit[["disparity", "low", "high"]], reference=reference.kind, panel=panel
            )


def anchors(all_scored: Sequence[Scored]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Curves of figure 4 and their sinusoids (n_anchors: the fewest anywhere), by letters; empty without anchors."""
    curves, fits = [], []
    for one in all_scored:
        order = [one.runs.scales.index(value) for value in REFINED_VALUES]
        for about, runs in one.experiments():
            if about["population"] == ANCHORED and one.likeliest:
                curve = metrics.anchor_curve(runs.scores()[:, order], runs.runs["group"]).assign(**about)
                curves.append(curve.rename(columns={"standard_error": "se"}))
                fitted = metrics.sinusoid(curve["mean"].to_numpy())
                fits.append(about | fitted | {"n_anchors": curve["n_anchors"].min()})
    names = ["model", "format", "administration", "temperature"]
    curve_columns = [*names, "distance", "mean", "se", "n_anchors", "population"]
    return _labelled(table_of(curves, curve_columns)), _labelled(table_of(fits, [*names, *_SINUSOID, "population"]))


def differences(all_scored: Sequence[Scored]) -> pd.DataFrame:
    """Fisher's z between each two ways of asking (``first``, ``second``) at the same temperature (appendix I).

    Ways are compared on the ``n_runs`` that gave all their answers in both: text that could be parsed in one way must
    not stand against all runs of another. With 0 runs, nothing is.
    """
    found = []
    for ways, one, other in itertools.product(_WAYS_COMPARED, all_scored, all_scored):
        if (one.runs.administration, other.runs.administration) != ways or one.temperature != other.temperature:
            continue
        if {names for names, _ in one.runs.experiments()} & {names for names, _ in other.runs.experiments()}:
            found.append(_difference(one, other).assign(first=ways[0], second=ways[1]))
    numbers = ["n_runs", "temperature", "rho_first", "rho_second", "z", "p_value", "n_values"]
    return _labelled(table_of(found, [*EXPERIMENT, *numbers, "first", "second"]))


def _difference(one: Scored, other: Scored) -> pd.DataFrame:
    first, second = metrics.same_runs(one.runs, other.runs)
    both = metrics.complete_runs(first.codes) & metrics.complete_runs(second.codes)
    asked = first.runs.assign(n_runs=both).groupby(EXPERIMENT, sort=False, as_index=False)["n_runs"].sum()
    if not both.any():
        return asked.assign(temperature=one.temperature)
    means = [metrics.hierarchy_table(runs.take(both), one.temperature) for runs in (first, second)]
    agreed = metrics.rank_agreement(pd.concat(means, ignore_index=True))
    found = metrics.administration_differences(agreed, first.administration, second.administration)
    return asked.merge(found, on=EXPERIMENT, how="left").assign(temperature=one.temperature)


def parsed_runs(answers: pd.DataFrame) -> pd.DataFrame:
    """How many runs in one prompt gave one code an item and nothing else: all others count as unparsable.

    ``example`` is the beginning of the first text.
    """
    batch = rows_of(answers, administration="batch").drop_duplicates([*_NAMES, "persona", "seed"])
    found = [
        dict(zip(_NAMES, names, strict=True)) | {
            "n_runs": len(runs), "n_parsed": int(runs["parsed"].sum()), "share_parsed": runs["parsed"].mean(),
            "example": " ".join(str(runs["text"].iloc[0]).split())[:120],
        }
        for names, runs in batch.groupby(_NAMES, sort=False)
    ]  # fmt: skip
    return _labelled(table_of(found, [*_NAMES, "n_runs", "n_parsed", "share_parsed", "example"]))


def counting(answers: pd.DataFrame) -> pd.DataFrame:
    """How often (0 to 1) an answer is one more than the answer before it (1 after 6), in each way of asking.

    Somebody who reads the items does so in about a sixth of them; a small model may count 1, 2, 3, ... whatever is
    asked. Items must be in the order in which they were asked; NaN without two answers in a row.
    """
    codes = answers["answer"].astype(float)
    before = codes.groupby([answers[name] for name in (*_NAMES, "persona", "seed")]).shift()
    counted = (codes == before % 6 + 1).where(codes.notna() & before.notna())
    table = answers[_NAMES].assign(share_counted=counted.astype(float))
    return _labelled(table.groupby(_NAMES, sort=False, as_index=False)["share_counted"].mean(), with_way=False)


def on_common_runs(answers: pd.DataFrame, others: pd.DataFrame) -> pd.DataFrame:
    """Answers of all ways of asking, cut to the runs that were asked in each of them: only these can be compared.

    ``answers`` are by letters, ``others`` of the experiment administrations, whose models and conditions are kept.
    """
    if others.empty:
        return others
    asked = others[EXPERIMENT].drop_duplicates()
    both = pd.concat([*([answers.merge(asked, on=EXPERIMENT)] if len(answers) else []), others], ignore_index=True)
    both = both.drop_duplicates([*_RUN, "item", "administration", "temperature"], ignore_index=True)  # letters in both
    way = both["administration"] + " " + both["temperature"].astype(str)
    ways = way.groupby([both[name] for name in EXPERIMENT]).transform("nunique")
    of_run = way.groupby([both[name] for name in _RUN]).transform("nunique")
    return both[ways == of_run].reset_index(drop=True)


def summary(agreement: pd.DataFrame, structures: pd.DataFrame, tested: str) -> list[str]:
    """What the run found by letters, in one sentence for the model and one for the controls."""
    anchored = {"population": ANCHORED, "temperature": 0, "published": False}
    own, sentences = rows_of(agreement, **anchored), []
    for chosen in (rows_of(own, model=tested), own[is_control(own)]):
        parts = []
        for row in chosen.drop_duplicates("label").itertuples():
            fits = rows_of(structures, label=row.label, **anchored).dropna(subset="disparity")
            distances = [f"SSD to {REFERENCES[fit.reference]} {distance(fit)}" for fit in fits.itertuples()]
            parts.append(f"{row.label}: rho {number(row.rho)} with people, {', '.join(distances) or 'SSD undefined'}")
        sentences += [f"Value anchors: {joined(parts)}"] if parts else []
    return sentences


def _labelled(own: pd.DataFrame, printed: pd.DataFrame | None = None, with_way: bool = True) -> pd.DataFrame:
    """With the columns label (the way of asking in it, if there are several), condition and published."""
    table = beside_printed(own, own[:0] if printed is None else printed)
    table["condition"] = table["population"]
    if with_way and "administration" in own and own["administration"].nunique() > 1:
        labels = table["label"] + ", " + table["administration"]
        table["label"] = table["label"].where(table["published"].astype(bool), labels)
    return table
