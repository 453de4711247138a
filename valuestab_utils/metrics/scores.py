"""What answers score: value scores by seed, context and persona, or run by run at any temperature."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from valuestab_utils.errors import ValuestabError, listed
from valuestab_utils.letters import at_temperature, codes_at, option_logprobs
from valuestab_utils.metrics.agreement import FEWEST_OBSERVATIONS, Agreement, mean_of_defined, stability
from valuestab_utils.metrics.answers import Key, answers_array
from valuestab_utils.prompts import LETTERS, Questionnaire, answer_noise

EXPERIMENT = ["model", "format", "population"]
IDENTITY = [*EXPERIMENT, "persona", "topic", "seed"]


def value_scores(answers: np.ndarray, key: Key, items: Sequence[int], centre: bool = True) -> np.ndarray:
    """Score of each value for each participant, relative to its own mean answer (Kovač et al. 2024, appendix B.5).

    With a(i) the answer to item i, m the mean over *all* items that the participant answered (scored by the key or not)
    and I(v) the answered items of value v::

        score(v) = mean over i in I(v) of (a(i) - m)

    answers (..., items), coded (PVQ: Likert 1-6), NaN where missing, have the numbers ``items`` along the last axis;
    scores (..., values) the order of ``key``. A value without an answered item is NaN. ``centre=False`` leaves m out.

    >>> answers = np.array([[6.0, 4.0, 1.0, 1.0], [2.0, np.nan, 1.0, 3.0]])  # means 3 and 2
    >>> value_scores(answers, {"Power": [1, 2], "Security": [3, 4]}, items=[1, 2, 3, 4])
    array([[ 2., -2.],
           [ 0.,  0.]])
    """
    answers, items = np.asarray(answers, dtype=float), list(items)
    if answers.shape[-1:] != (len(set(items)),) or len(set(items)) != len(items):
        raise ValuestabError(f"answers of shape {answers.shape} for the items {listed(items)}: give every item once.")
    absent = sorted(set().union(*key.values()) - set(items))
    if absent:
        raise ValuestabError(f"The answers lack items of the key ({listed(absent)}): add them, or shorten the key.")
    columns = [[items.index(item) for item in of_value] for of_value in key.values()]
    scores = np.stack([mean_of_defined(answers[..., of_value], axis=-1) for of_value in columns], axis=-1)
    return scores - mean_of_defined(answers, axis=-1)[..., None] if centre else scores


def scale_scores(codes: np.ndarray, questionnaire: Questionnaire) -> np.ndarray:
    """Score of each scale: the mean over its items of what the answers count, centred if the questionnaire is.

    From codes (..., items) in the questionnaire's order, 1 = first option, NaN = missing, to (..., scales). A code
    counts what `scores` says of its option (between two options, as an expected answer may lie, in proportion); at a
    reversed item, what the opposite option does. Rozen et al. 2025, section 3.2.1; Yehudai et al., appendix D.
    """
    codes = np.asarray(codes, dtype=float)
    counts, n_options = np.array(questionnaire.scores), len(questionnaire.options)
    strange = codes[(codes < 1) | (codes > n_options)]
    if strange.size:
        raise ValuestabError(
            f"{strange[0]:g} is no code of {questionnaire.name}: give 1 to {n_options}, NaN where missing."
        )
    items = [item.item for item in questionnaire.items]
    scores = np.interp(codes, questionnaire.codes, counts)
    is_reversed = np.isin(items, questionnaire.reversed_items)
    scores = np.where(is_reversed, counts.min() + counts.max() - scores, scores)
    return value_scores(scores, questionnaire.key, items, questionnaire.centred)


@dataclass(frozen=True, eq=False)
class ScoredAnswers:
    """Scores of one experiment on one questionnaire; seeds, contexts, personas and values stand along the axes.

    scores : (seeds, contexts, personas, values), centred Likert, or a task's unit (coins, or codes of the options)
    induced : whether the model was told to be somebody: only then is there an order of personas
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

    def stability(self, measure: str) -> Agreement:
        return stability(self.scores, measure)


def score_answers(answers: pd.DataFrame, questionnaire: Questionnaire, column: str = "answer") -> ScoredAnswers:
    """Score the answers of one experiment (Kovač et al. 2024, appendices B.5 and C), each item answered once a session.

    ``column`` may be "expected" for balanced orders. Contexts and personas are sorted by name.
    """
    for name in (*EXPERIMENT, "instrument"):
        if answers[name].nunique() != 1:
            raise ValuestabError(f"Scores are made of one {name} at a time, not of {sorted(answers[name].unique())}.")
    frame = answers[["topic", "persona", "item", column, "seed"]]
    frame = frame.rename(columns={"topic": "context", column: "answer"})
    array = answers_array(frame, [item.item for item in questionnaire.items], only_scored=True)
    order = [array.items.index(item.item) for item in questionnaire.items]
    scores = scale_scores(array.coded[..., order], questionnaire)
    induced = bool((answers["persona_description"] != "").all())
    missing = int(np.isnan(array.coded).sum())
    return ScoredAnswers(scores, array.seeds, array.contexts, array.personas, questionnaire.scales, induced, missing)


@dataclass(frozen=True, eq=False)
class RunScores:
    """What the runs of one instrument answered, and what that scores.

    runs : a row a run: model, format, population, persona, topic, seed, group, administration
    codes : (runs, items), 1 = first option, NaN = missing; from letter probabilities, the likeliest
    logprobs : (runs, items, options by code), in nats, NaN at a missing answer; None for text that was parsed, and
        where some answer came without the probabilities of all letters
    administration, temperature : "letters" (NaN: read at any), or "batch" or "serial" and at which text was written
    """

    runs: pd.DataFrame
    instrument: Questionnaire
    codes: np.ndarray
    logprobs: np.ndarray | None
    administration: str = "letters"
    temperature: float = np.nan
    _cumulative: dict = field(default_factory=dict, repr=False)  # probabilities of the options, by temperature

    @property
    def scales(self) -> tuple[str, ...]:
        """Names along the last axis of `scores`."""
        return self.instrument.scales

    def scores(self, temperature: float = 0.0, draw: int = 0) -> np.ndarray:
        """Score of each run on each scale, shape (runs, scales); Rozen et al. 2025, section 3.2.1.

        At temperature 0 the likeliest option counts; at t > 0 an option drawn with probabilities in proportion to
        p^(1/t), by a generator that follows from the run's identity and `draw`. Text that was written counts as it is,
        at its own temperature only.
        """
        return scale_scores(self.answers(temperature, draw), self.instrument)

    def answers(self, temperature: float = 0.0, draw: int = 0) -> np.ndarray:
        """Codes behind `scores`, shape (runs, items), NaN where missing."""
        if not self._drawn(temperature):
            return self.codes
        name, n_items = self.instrument.name, len(self.instrument.items)
        identities = self.runs[IDENTITY].to_dict("records")
        noise = [answer_noise(identity, name, draw).random(n_items) for identity in identities]
        return codes_at(self._cumulated(temperature), np.reshape(noise, self.codes.shape))

    def sample_scores(self, rng: np.random.Generator, run_indices: np.ndarray, temperature: float) -> np.ndarray:
        """Scores (sample, scales) of rows of `runs`, which may be there several times, with answers drawn anew."""
        codes = self.codes[run_indices]
        if self._drawn(temperature):
            codes = codes_at(self._cumulated(temperature)[run_indices], rng.random(codes.shape))
        return scale_scores(codes, self.instrument)

    def take(self, rows: np.ndarray) -> "RunScores":
        """The runs of these rows (indices, or a mask), in their order."""
        rows = np.asarray(rows)
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        runs = self.runs.iloc[rows].reset_index(drop=True)
        logprobs = None if self.logprobs is None else self.logprobs[rows]
        return RunScores(runs, self.instrument, self.codes[rows], logprobs, self.administration, self.temperature)

    def experiments(self) -> Iterator[tuple[tuple[str, str, str], "RunScores"]]:
        """Model, format and population, with the runs of each, in the order of their first runs."""
        for names, rows in self.runs.groupby(EXPERIMENT, sort=False):
            yield names, self.take(rows.index.to_numpy())

    def _drawn(self, temperature: float) -> bool:
        """Whether answers at this temperature are drawn from probabilities."""
        if self.logprobs is not None:
            return temperature != 0
        own = 0.0 if np.isnan(self.temperature) else self.temperature
        if temperature != own:
            raise ValuestabError(
                f"These {self.administration} answers to {self.instrument.name} were made at the temperature {own:g} "
                f"and have no probabilities of all letters: ask for that temperature, not {temperature:g}."
            )
        return False

    def _cumulated(self, temperature: float) -> np.ndarray:
        if temperature not in self._cumulative:
            known = ~np.isnan(self.logprobs).any(axis=2)
            cumulative = np.full(self.logprobs.shape, np.nan)
            cumulative[known] = at_temperature(self.logprobs[known], temperature).cumsum(axis=-1)
            self._cumulative[temperature] = cumulative
        return self._cumulative[temperature]


def run_scores(answers: pd.DataFrame, instrument: Questionnaire) -> RunScores:
    """Arrange answers by run, in the order of their first rows; other instruments' rows are left alone.

    Rows may have group, administration and temperature; with probabilities, option_order and logprob_A, ... (nats).
    """
    rows = answers[answers["instrument"] == instrument.name]
    if rows.empty:
        raise ValuestabError(f"There are no answers to {instrument.name}: ask it first.")
    administration = _only(rows, "administration", "letters")
    run, item = _places(rows, instrument)
    first = rows.iloc[np.unique(run, return_index=True)[1]].reset_index(drop=True)
    group = first["group"].fillna("") if "group" in first else ""
    runs = first[IDENTITY].assign(group=group, administration=administration)
    codes = np.full((len(runs), len(instrument.items)), np.nan)
    codes[run, item] = rows["answer"].astype(float)
    logprobs = None
    if administration == "letters" and _logprob_columns(instrument) | {"option_order"} <= set(rows):
        of_rows = option_logprobs(rows)
        known = ~np.isnan(of_rows).any(axis=1)
        # An answer without the probabilities of all letters, as services give it, allows no draw for any.
        if known.any() and rows.loc[~known, "answer"].isna().all():
            logprobs = np.full((*codes.shape, len(instrument.options)), np.nan)
            logprobs[run, item] = np.where(known[:, None], of_rows, np.nan)
    return RunScores(runs, instrument, codes, logprobs, administration, float(_only(rows, "temperature", np.nan)))


def same_runs(first: RunScores, second: RunScores) -> tuple[RunScores, RunScores]:
    """The runs that were asked both instruments, in the same order."""
    one, other = (scores.runs[IDENTITY].reset_index() for scores in (first, second))
    both = one.merge(other, on=IDENTITY, suffixes=("_first", "_second"))
    if both.empty:
        raise ValuestabError(
            f"No run was asked both {first.instrument.name} and {second.instrument.name}: ask both of the same runs."
        )
    return first.take(both["index_first"].to_numpy()), second.take(both["index_second"].to_numpy())


def complete_runs(scores: np.ndarray) -> np.ndarray:
    """Which runs have all their scores (or codes), as a mask of shape (runs,)."""
    return ~np.isnan(scores).any(axis=1)


def complete_in_both(first: RunScores, second: RunScores) -> tuple[RunScores, RunScores, int]:
    """The runs that answered all of both instruments, and how many that were asked both did not."""
    first, second = same_runs(first, second)
    complete = complete_runs(first.codes) & complete_runs(second.codes)
    return first.take(complete), second.take(complete), int((~complete).sum())


def tells_probabilities(rows: pd.DataFrame, instrument: Questionnaire) -> bool:
    """Whether every answer has the probabilities of all letters, so that others can be drawn."""
    letters = _logprob_columns(instrument)
    return bool(letters <= set(rows) and rows[list(letters)].notna().all(axis=None))


def without_probabilities(rows: pd.DataFrame) -> pd.DataFrame:
    """Answers as they were given, and nothing else to read them by."""
    return rows.drop(columns=[name for name in rows if name.startswith("logprob_")])


def _logprob_columns(instrument: Questionnaire) -> set[str]:
    return {f"logprob_{letter}" for letter in LETTERS[: len(instrument.options)]}


def _only(rows: pd.DataFrame, column: str, default):
    """The one entry of a column; the default if there is no such column or nothing in it."""
    found = rows[column].unique() if column in rows else [default]
    if len(found) > 1:
        raise ValuestabError(f"The answers have several entries in the column {column} ({found}): give those of one.")
    return default if pd.isna(found[0]) else found[0]


def _places(rows: pd.DataFrame, instrument: Questionnaire) -> tuple[np.ndarray, np.ndarray]:
    """Number of the run, and of the item in the instrument, for each row."""
    run = rows.groupby(IDENTITY, sort=False, dropna=False).ngroup().to_numpy()
    item = pd.Index([item.item for item in instrument.items]).get_indexer(rows["item"])
    times = np.zeros((run.max() + 1, len(instrument.items)), dtype=int)
    np.add.at(times, (run[item >= 0], item[item >= 0]), 1)
    wrong = (item < 0) | (times[run] != 1).any(axis=1)
    if wrong.any():
        who = "/".join(map(str, rows[IDENTITY].iloc[int(np.argmax(wrong))]))
        raise ValuestabError(
            f"The run {who} of {instrument.name} must have each of its {len(instrument.items)} items once, and no "
            "others: give the answers to one version of it, in one order of the options."
        )
    return run, item
