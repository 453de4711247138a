"""Tables of notebooks 03 to 05: stability, and what the experiments of Kovač et al. 2024 beside it show.

All take answers to any questionnaires, and these by name (`Study.questionnaires`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace

import numpy as np
import pandas as pd

from valuestab_utils import metrics
from valuestab_utils.errors import ValuestabError
from valuestab_utils.metrics import Agreement, PersonaMap, ScoredAnswers
from valuestab_utils.papers.letters import LETTER_USE, use_of
from valuestab_utils.papers.sentences import joined, number
from valuestab_utils.papers.tables import EXPERIMENT, experiments, is_control, rows_of, tidy
from valuestab_utils.paths import DATA
from valuestab_utils.plots import FORMATS, respondent_label
from valuestab_utils.prompts import LETTERS, Questionnaire, Topic, by_length, population_label
from valuestab_utils.study import Study

DONATION_SIGNS = {"Universalism": 1, "Benevolence": 1, "Power": -1, "Achievement": -1}
Questionnaires = Mapping[str, Questionnaire]
_SIZES = ("personas", "contexts", "seeds")
_NUMBERS = ("stability", "standard_error", "n_units", "unit", "undefined", "correlations")


@tidy(
    *(*EXPERIMENT, "instrument", "family", "measure", *_NUMBERS, *_SIZES, "constant", "too_few", "ci_low", "ci_high"),
    *("ci_undefined", "chance", "chance_low", "chance_high", "chance_p", "missing_answers", "wording", *LETTER_USE),
)
def stability_table(answers: pd.DataFrame, questionnaires: Questionnaires) -> Iterator[dict]:
    """Rank-order and ipsative stability of each experiment and instrument (paper 001, section 3.2), one row a measure.

    Rank-order stability compares personas, so the condition without persona has ipsative stability alone; ipsative
    stability compares values, so a task with one scale has rank-order stability alone. stability is -1 to 1, with its
    standard_error over n_units units; undefined of the correlations are left out (constant: a vector was; too_few:
    fewer than three observations). Beyond the paper: ci_low and ci_high (95%, bootstrap over personas; ci_undefined
    resamples left out), chance with chance_low and chance_high (95%, personas permuted within contexts), chance_p, and
    how the answers were given (`letters.use_of`).
    """
    for about, part, scored in scored_experiments(answers, questionnaires):
        use = use_of(part)
        for measure in scored.measures:
            found = scored.stability(measure)
            interval = metrics.bootstrap_interval(scored.scores, measure)
            chance = metrics.chance_stability(scored.scores, measure)
            yield about | use | _numbers(measure, found) | {
                "constant": found.undefined.constant, "too_few": found.undefined.too_few,
                "ci_low": interval.low, "ci_high": interval.high, "ci_undefined": interval.n_undefined,
                "chance": chance.mean, "chance_low": chance.low, "chance_high": chance.high,
                "chance_p": chance.p_value, "missing_answers": scored.missing,
            }  # fmt: skip


@tidy(*EXPERIMENT, "instrument", "seed", "stability")
def per_seed_table(answers: pd.DataFrame, questionnaires: Questionnaires) -> Iterator[dict]:
    """Rank-order stability of each experiment, instrument and seed: the points that a bar is the mean of."""
    for about, _, scored in scored_experiments(answers, questionnaires, "rank_order"):
        for seed, stability in zip(scored.seeds, scored.stability("rank_order").per_seed, strict=True):
            yield about | {"seed": seed, "stability": stability}


@tidy(*EXPERIMENT, "instrument", "value", "stability")
def per_value_table(answers: pd.DataFrame, questionnaires: Questionnaires) -> Iterator[dict]:
    """Rank-order stability of each experiment and value (a scale of its questionnaire), mean over seeds."""
    for about, _, scored in scored_experiments(answers, questionnaires, "rank_order"):
        for value, stability in zip(scored.values, scored.stability("rank_order").each, strict=True):
            yield about | {"value": value, "stability": stability}


@tidy(*EXPERIMENT, "measure", "context", "other_context", "stability")
def context_pair_table(answers: pd.DataFrame, questionnaires: Questionnaires) -> Iterator[dict]:
    """Stability between each two contexts (rank-order, ipsative without persona). One row an experiment and pair."""
    for about, _, scored in scored_experiments(answers, questionnaires):
        for measure in scored.measures[:1]:
            pairwise = scored.stability(measure).pairwise
            for i, j in zip(*np.nonzero(~np.eye(len(pairwise), dtype=bool)), strict=True):
                pair = {"context": scored.contexts[i], "other_context": scored.contexts[j]}
                yield about | {"measure": measure, "stability": pairwise[i, j]} | pair


@tidy(*EXPERIMENT, "measure", "stability", "rho", "p_value", "n_pairs", "slope", "contexts", "personas")
def context_effects(
    answers: pd.DataFrame, questionnaires: Questionnaires, lengths: Mapping[str, int]
) -> Iterator[dict]:
    """How the stability of two contexts goes with their length, of each experiment (paper 001, figure 10).

    stability (mean over pairs); rho between the ``lengths`` (see `context_lengths`) of a pair and its stability, with
    p_value; n_pairs; slope per 100 characters (see `metrics.length_effect`).
    """
    for about, _, scored in scored_experiments(answers, questionnaires):
        for measure in scored.measures[:1]:
            found = scored.stability(measure)
            effect = metrics.length_effect(found.pairwise, [lengths[context] for context in scored.contexts])
            yield about | asdict(effect) | {"measure": measure, "stability": found.overall}


def context_lengths(topics: Sequence[Topic]) -> dict[str, int]:
    """Characters of the first message of each topic, the shortest first."""
    return {topic.topic: len(topic.first_message or "") for topic in by_length(topics)}


@tidy(
    *("one", "other", "n_one", "n_other", "mean_one", "mean_other", "difference", "t", "degrees_of_freedom", "p"),
    *("p_adjusted", "significant", "undefined"),
)
def comparison_table(
    answers: pd.DataFrame, questionnaires: Questionnaires, population: str, measure: str, instrument: str
) -> Iterator[pd.DataFrame]:
    """Each two respondents compared by Student's t-test, adjusted by Benjamini and Hochberg (paper 001, appendix E).

    The units are seeds (rank-order) or option-order permutations (ipsative without persona). See
    `metrics.compare_pairs`; no rows with fewer than two respondents.
    """
    units = {}
    chosen = rows_of(answers, population=population, instrument=instrument)
    for about, _, scored in scored_experiments(chosen, questionnaires, measure):
        found = scored.stability(measure)
        of_units = found.per_seed if found.unit == "seeds" else found.each
        units[respondent_label(about["model"], about["format"])] = list(of_units)
    if len(units) > 1:
        yield metrics.compare_pairs(units)


@tidy(*EXPERIMENT, "instrument", "measure", "expected", "expected_sd")
def expected_table(study: Study, name: str = "pvq") -> Iterator[dict]:
    """Stability that the synthetic control's own settings imply for the study's design (mean, standard deviation)."""
    for e in study.of(name):
        respondent = study.respondent(e)
        if not hasattr(respondent, "expected_stability"):
            continue
        names = {"model": e.model, "format": e.format, "population": e.population, "instrument": e.questionnaire.name}
        implied = respondent.expected_stability(e.personas, len(e.topics), len(e.seeds), asked=e.questionnaire)
        for measure, (mean, deviation) in implied.items():
            yield names | {"measure": measure, "expected": mean, "expected_sd": deviation}


@tidy(*EXPERIMENT, "family", "n_messages", "measure", *_NUMBERS, *_SIZES, "left_out", "wording")
def length_table(answers: pd.DataFrame, neutral: pd.DataFrame, questionnaires: Questionnaires) -> Iterator[dict]:
    """Stability after conversations of different length, and what becomes of it beside the neutral profile and order.

    `neutral` has the same models without conversation, with personas (the neutral order) and without (the neutral
    profile). A row an experiment, ``n_messages`` and ``measure``: "rank_order" and "ipsative" between contexts always,
    "neutral_similarity" and "rank_order_neutral" of experiments with personas where `neutral` has what they need;
    ``left_out`` are permutations with missing scores, not in the neutral profile. Paper 001, section 4.4 and D.2, D.3
    (figures 6, 7, 13, 14).
    """
    for about, _, scored in scored_experiments(answers, questionnaires):
        about = about | {"n_messages": about["asked_after"], "left_out": 0}
        for measure in scored.measures:
            yield about | _numbers(measure, scored.stability(measure))
        if not scored.induced:
            continue
        same = rows_of(neutral, model=about["model"], format=about["format"], instrument=about["instrument"])
        for names, _, before in scored_experiments(same, questionnaires):
            if not before.induced:
                permutations = before.scores.reshape(-1, len(before.values))
                found = metrics.neutral_similarity(scored.scores, metrics.neutral_profile(permutations))
                left_out = {"left_out": int((~metrics.complete_runs(permutations)).sum())}
                yield about | _numbers("neutral_similarity", found) | left_out
            elif names["population"] == about["population"] and "rank_order" in scored.measures:
                _check_same(scored, before, ("seeds", "personas"), "without a conversation")
                found = metrics.rank_order_to_neutral(scored.scores, before.scores)
                yield about | _numbers("rank_order_neutral", found)


def beside_rank_order(table: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Rows of a `length_table` with ``measure``, and with rank-order stability of the same experiments."""
    names = table.loc[table["measure"] == measure, EXPERIMENT].drop_duplicates()
    return table[table["measure"].isin(["rank_order", measure])].merge(names, on=EXPERIMENT)


@tidy(
    *(*EXPERIMENT, "family", "value", "expected_sign", "correlation", "standard_error", "n_units", "personas"),
    *("contexts", "undefined", "correlations", "wording"),
)
def value_donation_table(
    answers: pd.DataFrame, donations: pd.DataFrame, questionnaires: Questionnaires
) -> Iterator[dict]:
    """Correlation of four values with the coins that are given in the same contexts (paper 001, section 4.6, figure 9).

    A row an experiment that has both and a value: ``correlation`` (mean over races, contexts and seeds),
    ``standard_error`` over ``n_units`` seeds, ``expected_sign`` (1 or -1), ``undefined`` of ``correlations``. None of
    a questionnaire without these values.
    """
    for about, _, coins in scored_experiments(donations, questionnaires, "rank_order"):
        same = rows_of(answers, **{name: about[name] for name in EXPERIMENT})
        for _, _, scored in scored_experiments(same, questionnaires):
            if not set(DONATION_SIGNS) <= set(scored.values):
                continue
            _check_same(scored, coins, ("seeds", "contexts", "personas"), "in the task Donation")
            found = metrics.value_donation_correlations(scored.scores, coins.scores)
            for value, sign in DONATION_SIGNS.items():
                at = scored.values.index(value)
                mean, error, n = metrics.mean_and_standard_error(found.by_seed[:, at])
                yield about | {
                    "value": value, "expected_sign": sign, "correlation": mean, "standard_error": error, "n_units": n,
                    "undefined": int(found.undefined.each[at]),
                    "correlations": found.undefined.of // len(scored.values),
                }  # fmt: skip


def persona_points(answers: pd.DataFrame, questionnaires: Questionnaires) -> tuple[pd.DataFrame, PersonaMap]:
    """Characters as points: the first two principal components of all their value scores (paper 001, D.1, figure 12).

    Columns are persona, x, y and class (missing for a persona that data/characters.csv does not have). No points where
    there are too few personas for a map: then the map says why of each.
    """
    found = PersonaMap((), np.empty((0, 2)), np.full(2, np.nan), 0, {})
    for _, _, scored in scored_experiments(answers, questionnaires):
        try:
            found = metrics.persona_map(scored.scores, scored.personas)
        except ValuestabError as error:
            found = replace(found, left_out=dict.fromkeys(scored.personas, str(error)))
    classes = metrics.load_character_classes()
    points = pd.DataFrame({"persona": found.personas, "x": found.coordinates[:, 0], "y": found.coordinates[:, 1]})
    return points.assign(**{"class": [classes.get(persona) for persona in found.personas]}), found


@tidy(
    *(*EXPERIMENT, "family", "measure", "single", "balanced", "expected", "difference", "letter_bias", "bias_share"),
    *("favourite", "favourite_effect", *_SIZES, "wording"),
)
def balanced_table(answers: pd.DataFrame, questionnaires: Questionnaires) -> Iterator[dict]:
    """Stability from the paper's single random order beside that from all orders of a Latin square.

    One row an experiment and measure of answers in balanced orders. Stabilities: ``single`` (of the answer in the first
    order alone), ``balanced`` (of the option with the highest mean log-probability), ``expected`` (of the expected
    score); ``difference`` is balanced less single: above 0 is what the single order hides, below 0 what it invents.
    ``letter_bias`` is the standard deviation of the letters' effects (nats), ``bias_share`` their share of the
    variance, ``favourite_effect`` (nats above the mean) that of the ``favourite`` letter.
    """
    for names, part in experiments(answers):
        frame, bias = metrics.balanced_frame(part)
        asked, favourite = questionnaires[names["instrument"]], int(np.argmax(bias.per_letter))
        kinds = {"single": "single_answer", "balanced": "answer", "expected": "expected"}
        scored = {kind: metrics.score_answers(frame, asked, column) for kind, column in kinds.items()}
        about = _about(names, part, scored["balanced"])
        for measure in scored["balanced"].measures:
            found = {kind: of_kind.stability(measure).overall for kind, of_kind in scored.items()}
            yield about | found | {
                "measure": measure, "difference": found["balanced"] - found["single"],
                "letter_bias": bias.size, "bias_share": bias.share,
                "favourite": LETTERS[favourite], "favourite_effect": bias.per_letter[favourite],
            }  # fmt: skip


@tidy(*EXPERIMENT, "family", "measure", "stability", "reliability", "corrected", "reason", *_SIZES, "wording")
def retest_table(first: pd.DataFrame, second: pd.DataFrame, questionnaires: Questionnaires) -> Iterator[dict]:
    """Stability beside retest reliability: the same conversations, two independent draws of option orders.

    One row an experiment and measure: ``stability`` between contexts and draws, ``reliability`` between draws in the
    same context, ``corrected``, their quotient (NaN with ``reason``).
    """
    for about, _, again in scored_experiments(second, questionnaires):
        same = rows_of(first, **{name: about[name] for name in [*EXPERIMENT, "instrument"]})
        for _, _, once in scored_experiments(same, questionnaires):
            _check_same(again, once, ("seeds", "contexts", "personas"), "in the first orders")
            for measure in again.measures:
                found = metrics.corrected_stability(once.scores, again.scores, measure)
                yield about | asdict(found) | {"measure": measure}


def human_stability(instrument: str = "PVQ-40") -> pd.DataFrame:
    """Stability in two longitudinal studies of humans, as paper 001 draws it (section 4.3); of the PVQ alone."""
    table = pd.read_csv(DATA / "reference" / "human_stability.csv")
    return table if instrument == "PVQ-40" else table[:0]


def published_values(experiment: str, population: str, measure: str, instrument: str = "PVQ-40") -> pd.DataFrame:
    """Values that paper 001 prints for its models; those of the journal version where its two versions differ."""
    table = pd.read_csv(DATA / "reference" / "kovac2024_in_text.csv")
    wanted = {"part": experiment, "instrument": instrument, "measure": measure, "population": population}
    return rows_of(table, **wanted).drop(columns=list(wanted)).drop_duplicates(["model", "n_messages"])


def summary(table: pd.DataFrame, tested: str) -> list[str]:
    """What a run found, in two sentences from `stability_table`: the model's stability, the controls'."""
    main = table[(table["measure"] == "rank_order") | (table["population"] == "none")]
    sentences = []
    for who, rows in ((tested, rows_of(main, model=tested)), ("Controls", main[is_control(main)])):
        parts = []
        for (model, format, measure), group in rows.groupby(["model", "format", "measure"], sort=False):
            name = model.removeprefix("control-") if who == "Controls" else FORMATS.get(format, format)
            values = ", ".join(
                f"{number(row.stability, row.standard_error)} {population_label(row.population)}"
                for row in group.itertuples()
            )
            parts.append(f"{name}, {measure.replace('_', '-')} {values}")
        sentences += [f"{who}: {joined(parts)}"] if parts else []
    return sentences


def scored_experiments(
    answers: pd.DataFrame, questionnaires: Questionnaires, measure: str | None = None
) -> Iterator[tuple[dict, pd.DataFrame, ScoredAnswers]]:
    """Names and sizes, answers and scores of each experiment; with ``measure``, of those that it can be taken of."""
    for names, part in experiments(answers, "asked_after"):
        scored = metrics.score_answers(part, questionnaires[names["instrument"]])
        if measure is None or measure in scored.measures:
            yield _about(names, part, scored), part, scored


def _about(names: dict, answers: pd.DataFrame, scored: ScoredAnswers) -> dict:
    of_all = {name: answers[name].iloc[0] for name in ("family", "wording")}
    return names | of_all | {name: len(getattr(scored, name)) for name in _SIZES}


def _numbers(measure: str, found: Agreement) -> dict:
    return {
        "measure": measure, "stability": found.overall, "standard_error": found.standard_error,
        "n_units": found.n, "unit": found.unit,
        "undefined": found.undefined.n, "correlations": found.undefined.of,
    }  # fmt: skip


def _check_same(one: ScoredAnswers, other: ScoredAnswers, axes: Sequence[str], where: str) -> None:
    for axis in axes:
        if getattr(one, axis) != getattr(other, axis):
            raise ValuestabError(
                f"The {axis} are {list(getattr(one, axis))}, but {where} they are {list(getattr(other, axis))}: run "
                "both with the same sizes."
            )
