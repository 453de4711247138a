"""Made-up instruments and answers for the tests of statistics over runs."""

import numpy as np
import pandas as pd

from valuestab_utils.prompts import Item, Questionnaire


def instrument(scales, items_per_scale=1, name="Test", options=("no", "so", "yes"), **settings) -> Questionnaire:
    """One whose items go through the scales in turn."""
    settings = {"centred": False} | settings
    values = [scale for _ in range(items_per_scale) for scale in scales]
    items = tuple(Item(i, value, "", "") for i, value in enumerate(values, start=1))
    return Questionnaire(name, "project", "v", "", tuple(options), items, tuple(scales), **settings)


def answers(of: Questionnaire, codes, population="p", groups=None, first_run=0, **columns) -> pd.DataFrame:
    """An answers frame from codes, shape (runs, items), without probabilities unless ``likely`` gives theirs."""
    codes = np.asarray(codes, dtype=float)
    rows = [
        {"model": "m", "format": "chat", "population": population, "persona": f"run {first_run + run:03}",
         "topic": "no_conversation", "seed": 1, "group": "" if groups is None else groups[run],
         "instrument": of.name, "item": item.item, "value": item.value, "answer": codes[run, place]} | columns
        for run in range(len(codes))
        for place, item in enumerate(of.items)
    ]
    return pd.DataFrame(rows)


def with_probabilities(frame: pd.DataFrame, probabilities, order) -> pd.DataFrame:
    """The frame with log-probabilities by letter: probabilities by code, shape (rows, options), in one order."""
    frame = frame.assign(option_order=[tuple(order)] * len(frame))
    by_letter = np.asarray(probabilities, dtype=float)[:, np.array(order) - 1]
    with np.errstate(divide="ignore"):
        for i, letter in enumerate("ABCDEFGHIJ"[: by_letter.shape[1]]):
            frame[f"logprob_{letter}"] = np.log(by_letter[:, i])
    return frame
