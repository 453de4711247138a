"""Answers drawn from letter probabilities: what a run would answer at a temperature."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from valuestab_utils.errors import ValuestabError
from valuestab_utils.prompts import LETTERS
from valuestab_utils.sessions import answer_noise


def option_logprobs(answers: pd.DataFrame) -> np.ndarray:
    """Log-probabilities of the options, whichever letter they stood at.

    Parameters
    ----------
    answers : DataFrame
        Of one instrument, as `valuestab_utils.questionnaire.ask_questionnaire` gives them.

    Returns
    -------
    ndarray, shape (answers, options)
        In nats, by the code of the option. NaN in rows of answers that were not read from probabilities.

    Examples
    --------
    >>> row = {"option_order": [2, 1], "logprob_A": -1.0, "logprob_B": -2.0}
    >>> option_logprobs(pd.DataFrame([row]))
    array([[-2., -1.]])
    """
    orders = np.stack(answers["option_order"].to_numpy())  # (N, L)
    columns = [f"logprob_{letter}" for letter in LETTERS[: orders.shape[1]]]
    by_letter = answers[columns].to_numpy(dtype=float)
    by_code = np.empty_like(by_letter)
    np.put_along_axis(by_code, orders.astype(int) - 1, by_letter, axis=1)
    return by_code


def at_temperature(logprobs: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities of the options at a temperature, over the options alone: p^(1/t), normalised.

    Temperature 0 is all on the likeliest (the first of equals, as answers are chosen).

    Parameters
    ----------
    logprobs : ndarray, shape (..., options)
        In nats.
    temperature : float
        0 or more.

    Returns
    -------
    ndarray, shape (..., options)

    Raises
    ------
    ValuestabError
        If the temperature is negative, or a row has no probabilities (NaN, or none above 0).

    Examples
    --------
    >>> at_temperature(np.log([[0.2, 0.4]]), 1.0).round(3), at_temperature(np.log([[0.2, 0.4]]), 0)
    (array([[0.333, 0.667]]), array([[0., 1.]]))
    """
    if not temperature >= 0:
        raise ValuestabError(f"The temperature is {temperature!r}, but must be a number of 0 or more.")
    if np.isnan(logprobs).any() or not np.isfinite(logprobs).any(axis=-1).all():
        raise ValuestabError(
            "There are answers without the options' probabilities, from which no other answer can be drawn: take the "
            "answers as they were given (temperature 0), or a model that tells its probabilities."
        )
    if temperature == 0:
        return (np.arange(logprobs.shape[-1]) == logprobs.argmax(-1)[..., None]).astype(float)
    weights = np.exp((logprobs - logprobs.max(-1, keepdims=True)) / temperature)
    return weights / weights.sum(-1, keepdims=True)


def drawn_codes(answers: pd.DataFrame, temperature: float, draw: int = 0) -> np.ndarray:
    """Codes that one run answers at a temperature, by its own noise.

    Parameters
    ----------
    answers : DataFrame
        Of one run of one instrument.
    temperature : float
        At 0, the answers as they stand there: those are the likeliest options.
    draw : int
        Another draw, other answers.

    Returns
    -------
    ndarray, shape (items,)
        Codes from 1; NaN where an answer is missing, at temperature 0 only.

    Raises
    ------
    ValuestabError
        See `at_temperature`.

    References
    ----------
    Rozen et al. 2025 sample texts at 0.7; here, the answer is drawn from the probabilities of the letters.
    """
    if temperature == 0:
        return answers["answer"].to_numpy(dtype=float)
    probabilities = at_temperature(option_logprobs(answers), temperature)
    row: Mapping = answers.iloc[0]
    noise = answer_noise(row, str(row["instrument"]), draw)
    thresholds = noise.random(len(answers))[:, None]
    below = (probabilities.cumsum(-1)[:, :-1] <= thresholds).sum(-1)  # the last option takes what rounding leaves
    return below + 1.0
