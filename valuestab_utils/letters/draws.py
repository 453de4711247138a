"""Answers drawn from letter probabilities: what a run would answer at a temperature."""

import numpy as np
import pandas as pd

from valuestab_utils.errors import ValuestabError
from valuestab_utils.prompts import LETTERS, answer_noise


def option_logprobs(answers: pd.DataFrame) -> np.ndarray:
    """Log-probabilities of the options in nats, (answers, options), by option code, whichever letter they stood at.

    NaN in rows of answers that were not read from probabilities.

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
    """Probabilities p^(1/t), normalised over the options alone, from log-probabilities in nats of shape (..., options).

    Temperature 0 puts all on the likeliest. ValuestabError if a row has no probabilities (NaN, or none above 0).

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
    if temperature == 0:  # argmax takes the first of equals, as answers are chosen
        return (np.arange(logprobs.shape[-1]) == logprobs.argmax(-1)[..., None]).astype(float)
    weights = np.exp((logprobs - logprobs.max(-1, keepdims=True)) / temperature)
    return weights / weights.sum(-1, keepdims=True)


def drawn_codes(answers: pd.DataFrame, temperature: float, draw: int = 0) -> np.ndarray:
    """Codes from 1, shape (items,), that one run of one instrument answers at a temperature, by its own noise.

    At 0 they are the stored answers, NaN where missing. Rozen et al. 2025 sample texts at 0.7; here the answer is drawn
    from the probabilities of the letters, and another ``draw`` gives other answers.
    """
    if temperature == 0:
        return answers["answer"].to_numpy(dtype=float)
    probabilities = at_temperature(option_logprobs(answers), temperature)
    row = answers.iloc[0]
    return codes_at(probabilities.cumsum(-1), answer_noise(row, str(row["instrument"]), draw).random(len(answers)))


def codes_at(cumulative: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Codes from 1 at which the cumulated probabilities (..., options) pass a noise (...) in 0-1; NaN without any."""
    codes = 1.0 + (noise[..., None] >= cumulative[..., :-1]).sum(axis=-1)  # the last takes what rounding leaves
    return np.where(np.isnan(cumulative[..., -1]), np.nan, codes)
