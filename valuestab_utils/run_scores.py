"""Scores of runs: each administration of a whole instrument, at any temperature, as one row of numbers."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from valuestab_utils.answer_draws import at_temperature
from valuestab_utils.errors import ValuestabError
from valuestab_utils.instruments import Instrument
from valuestab_utils.run_answers import IDENTITY, only, probabilities_by_code, run_and_item
from valuestab_utils.scale_scores import scale_scores
from valuestab_utils.sessions import answer_noise


@dataclass(frozen=True, eq=False)
class RunScores:
    """What the runs of one instrument answered, and what that scores.

    Attributes
    ----------
    runs : DataFrame
        A row a run: model, format, population, persona, topic, seed, group, administration.
    instrument : Instrument
    codes : ndarray, shape (runs, items)
        The answers: 1 = first option, NaN = missing. From letter probabilities, the likeliest.
    probabilities : ndarray, shape (runs, items, options), or None
        Of each option by its code, summing to 1; NaN at a missing answer. None for text that was parsed, and where
        some answer came without the probabilities of all letters.
    administration : str
        "letters", "batch" or "serial".
    temperature : float
        At which text was written; NaN for letters, which can be read at any.
    """

    runs: pd.DataFrame
    instrument: Instrument
    codes: np.ndarray
    probabilities: np.ndarray | None
    administration: str = "letters"
    temperature: float = np.nan
    _cumulative: dict = field(default_factory=dict, repr=False)

    @property
    def scales(self) -> tuple[str, ...]:
        """Names along the last axis of `scores`."""
        return self.instrument.scales

    def scores(self, temperature: float = 0.0, draw: int = 0) -> np.ndarray:
        """Score of each run on each scale.

        At temperature 0 the likeliest option counts; at t > 0 an option drawn with probabilities in proportion to
        p^(1/t), by a generator that follows from the run's identity. Text that was written counts as it is.

        Parameters
        ----------
        temperature : float
        draw : int
            Which of several independent draws; without meaning at temperature 0.

        Returns
        -------
        ndarray, shape (runs, scales)
            In the unit of the options' scores, minus the run's own mean if the instrument is centred; NaN for a
            scale without any answer.

        Raises
        ------
        ValuestabError
            For a negative temperature, or another than that at which text was written.

        References
        ----------
        Rozen et al. 2025, section 3.2.1.
        """
        return scale_scores(self.answers(temperature, draw), self.instrument)

    def answers(self, temperature: float = 0.0, draw: int = 0) -> np.ndarray:
        """Codes behind `scores`, shape (runs, items), NaN where missing."""
        if not self._drawn(temperature):
            return self.codes
        n_items = len(self.instrument.items)
        names = self.runs[list(IDENTITY)].to_dict("records")
        noise = [answer_noise(identity, self.instrument.name, draw).random(n_items) for identity in names]
        return _codes(self._cumulated(temperature), np.reshape(noise, (len(names), n_items)))

    def sample_scores(self, rng: np.random.Generator, run_indices: np.ndarray, temperature: float) -> np.ndarray:
        """Scores of a sample of runs that may hold a run several times, each time with answers drawn anew.

        Parameters
        ----------
        rng : Generator
        run_indices : ndarray of int, shape (sample,)
            Rows of `runs`.
        temperature : float
            At 0, and for text, a run's answers are the same each time.

        Returns
        -------
        ndarray, shape (sample, scales)
            As `scores`.
        """
        run_indices = np.asarray(run_indices)
        if not self._drawn(temperature):
            return scale_scores(self.codes[run_indices], self.instrument)
        noise = rng.random((len(run_indices), len(self.instrument.items)))
        return scale_scores(_codes(self._cumulated(temperature)[run_indices], noise), self.instrument)

    def take(self, rows: np.ndarray) -> "RunScores":
        """The runs of these rows (indices, or a mask), in their order."""
        rows = np.asarray(rows)
        probabilities = None if self.probabilities is None else self.probabilities[rows]
        runs = self.runs[rows] if rows.dtype == bool else self.runs.iloc[rows]
        return RunScores(
            runs.reset_index(drop=True), self.instrument, self.codes[rows], probabilities,
            self.administration, self.temperature,
        )

    def experiments(self) -> Iterator[tuple[tuple[str, str, str], "RunScores"]]:
        """Model, format and population, with the runs of each, in the order of their first runs."""
        for names, rows in self.runs.groupby(["model", "format", "population"], sort=False):
            yield names, self.take(rows.index.to_numpy())

    def _drawn(self, temperature: float) -> bool:
        """Whether answers at this temperature are drawn from probabilities."""
        if not (np.isfinite(temperature) and temperature >= 0):
            raise ValuestabError(f"The temperature is {temperature}, but must be 0 (the likeliest) or more.")
        if self.probabilities is None:
            own = 0.0 if np.isnan(self.temperature) else self.temperature
            if temperature != own:
                raise ValuestabError(
                    f"These {self.administration} answers to {self.instrument.name} were made at the temperature "
                    f"{own:g} and have no probabilities of all letters: ask for that temperature, not {temperature:g}."
                )
            return False
        return temperature > 0

    def _cumulated(self, temperature: float) -> np.ndarray:
        if temperature not in self._cumulative:
            cumulative = np.full(self.probabilities.shape, np.nan)
            known = ~np.isnan(self.probabilities).any(axis=2)
            with np.errstate(divide="ignore"):  # the log of an impossible option is -inf, and it stays impossible
                logprobs = np.log(self.probabilities[known])
            cumulative[known] = at_temperature(logprobs, temperature).cumsum(axis=1)
            self._cumulative[temperature] = cumulative
        return self._cumulative[temperature]


def run_scores(answers: pd.DataFrame, instrument: Instrument) -> RunScores:
    """Arrange answers by run.

    Parameters
    ----------
    answers : DataFrame
        A row an answer (see `valuestab_utils.questionnaire.ask_questionnaire`): model, format, population, persona,
        topic, seed, instrument, item, answer; group, administration and temperature where there are any (letters,
        if not); with probabilities, option_order and logprob_A, logprob_B, ... (nats).
    instrument : Instrument
        That was asked; other instruments' rows are left alone.

    Returns
    -------
    RunScores
        Runs in the order of their first rows.

    Raises
    ------
    ValuestabError
        If there are no answers, several administrations or temperatures, an item missing in a run or there twice,
        or an answer that is no option.
    """
    rows = answers[answers["instrument"] == instrument.name]
    if rows.empty:
        raise ValuestabError(f"There are no answers to {instrument.name}: ask it first.")
    administration = only(rows, "administration", "letters", instrument)
    temperature = only(rows, "temperature", np.nan, instrument)
    run, positions = run_and_item(rows, instrument)
    shape = (run.max() + 1, len(instrument.items))

    codes = np.full(shape, np.nan)
    codes[run, positions] = rows["answer"].astype(float)
    odd = sorted(set(codes[~np.isnan(codes)]) - set(instrument.codes))
    if odd:
        raise ValuestabError(f"{instrument.name} has the options 1 to {len(instrument.options)}, but {odd[0]:g} is an "
                             "answer: give the codes of the options, NaN where missing.")
    names = list(IDENTITY) + (["group"] if "group" in rows else [])
    runs = rows[names].iloc[np.unique(run, return_index=True)[1]].reset_index(drop=True)
    runs["group"] = runs["group"].fillna("") if "group" in runs else ""
    runs["administration"] = administration
    probabilities = None
    by_code = probabilities_by_code(rows, instrument) if administration == "letters" else None
    if by_code is not None:
        probabilities = np.full((*shape, len(instrument.options)), np.nan)
        probabilities[run, positions] = by_code
    return RunScores(runs, instrument, codes, probabilities, administration, float(temperature))


def same_runs(first: RunScores, second: RunScores) -> tuple[RunScores, RunScores]:
    """The runs that were asked both instruments, in the same order.

    Raises
    ------
    ValuestabError
        If there are none.
    """
    names = list(IDENTITY)
    place = {key: i for i, key in enumerate(second.runs[names].itertuples(index=False, name=None))}
    keys = list(first.runs[names].itertuples(index=False, name=None))
    both = [(i, place[key]) for i, key in enumerate(keys) if key in place]
    if not both:
        raise ValuestabError(
            f"No run was asked both {first.instrument.name} and {second.instrument.name}: ask both of the same runs."
        )
    one, other = map(np.array, zip(*both, strict=True))
    return first.take(one), second.take(other)


def _codes(cumulative: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Option at which the cumulated probability passes the noise; NaN without probabilities."""
    codes = 1.0 + (noise[..., None] >= cumulative[..., :-1]).sum(axis=-1)
    return np.where(np.isnan(cumulative[..., -1]), np.nan, codes)
