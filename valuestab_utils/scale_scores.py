"""Scores of an instrument's scales from coded answers: what options count, reversed items, centring."""

import numpy as np

from valuestab_utils.errors import ValuestabError
from valuestab_utils.instruments import Instrument
from valuestab_utils.value_scores import value_scores


def item_scores(codes: np.ndarray, instrument: Instrument) -> np.ndarray:
    """What each answer counts for its scale, shape and missing answers as in `codes`.

    With s(k) what option k counts, an answer k counts s(k), and at a reversed item the least plus the most that an
    option counts minus s(k).

    Parameters
    ----------
    codes : ndarray, shape (..., items)
        Codes of the chosen options, 1, 2, ..., in the order of `instrument.items`; NaN where missing.
    instrument : Instrument

    Raises
    ------
    ValuestabError
        If there are not as many columns as items, a code is none of the instrument's, or `reversed_items` names an
        item that it does not have.

    Examples
    --------
    >>> from valuestab_utils.behaviour_instruments import load_behaviour_instrument
    >>> item_scores(np.array([[1.0], [2.0], [np.nan]]), load_behaviour_instrument("Charity-choice")).ravel()
    array([ 0.,  1., nan])
    """
    codes = np.asarray(codes, dtype=float)
    numbers = [item.item for item in instrument.items]
    if codes.ndim == 0 or codes.shape[-1] != len(numbers):
        raise ValuestabError(
            f"codes have the shape {codes.shape}, but {instrument.name} has {len(numbers)} items: give (..., items)."
        )
    if len(instrument.scores) != len(instrument.options):
        raise ValuestabError(
            f"{instrument.name} has {len(instrument.options)} options, but option_scores for {len(instrument.scores)}: "
            "give one for each."
        )
    absent = sorted(set(instrument.reversed_items) - set(numbers))
    if absent:
        raise ValuestabError(f"{instrument.name} has no item {absent[0]}, which its reversed_items name: correct them.")
    there = ~np.isnan(codes)
    strange = codes[there & ~np.isin(codes, instrument.codes)]
    if strange.size:
        raise ValuestabError(
            f"{strange[0]:g} is no code of {instrument.name}: codes are 1 to {len(instrument.options)}, NaN if missing."
        )
    counts = np.array(instrument.scores, dtype=float)
    scores = np.where(there, counts[np.where(there, codes, 1).astype(int) - 1], np.nan)
    is_reversed = np.isin(numbers, instrument.reversed_items)
    return np.where(is_reversed, counts.min() + counts.max() - scores, scores)


def scale_scores(codes: np.ndarray, instrument: Instrument) -> np.ndarray:
    """Score of each scale for each run: the mean over its items of what the answers count.

    With x(i) what the answer to item i counts (see `item_scores`) and I(s) the answered items of scale s::

        score(s) = mean over i in I(s) of x(i)

    and, of a centred instrument, minus the mean of x(i) over all items that the run answered. As in `value_scores`,
    a missing answer is left out of the means; a scale without any answered item has the score NaN, and a run
    without any answer has NaN throughout.

    Parameters
    ----------
    codes : ndarray, shape (..., items)
        Codes of the chosen options, 1, 2, ..., in the order of `instrument.items`; NaN where missing. One run a row.
    instrument : Instrument

    Returns
    -------
    ndarray, shape (..., scales)
        In the order of `instrument.scales` and the unit of its `scores`: an instrument with codes 1 to 6 gives 1 to
        6, or -5 to 5 if it is centred.

    Raises
    ------
    ValuestabError
        As `item_scores`.

    References
    ----------
    Kovač et al. 2024, appendix B.5; Rozen et al. 2025, section 3.2.1; Yehudai et al., appendix D.

    Examples
    --------
    Four options, the second item reversed (a 4 counts 1); the run's mean is 2:

    >>> from valuestab_utils.instruments import Item
    >>> items = tuple(Item(n, scale, "", "") for n, scale in enumerate(["Tea", "Tea", "Jam"], start=1))
    >>> tea_and_jam = Instrument("Tea", "", "", "", ("a", "b", "c", "d"), items, ("Tea", "Jam"), reversed_items=(2,))
    >>> scale_scores(np.array([4.0, 4.0, 1.0]), tea_and_jam)
    array([ 0.5, -1. ])
    """
    scores = item_scores(codes, instrument)
    numbers = [item.item for item in instrument.items]
    runs = scores.reshape(1, -1, len(numbers))
    scaled = value_scores(runs, instrument.key, numbers, centre=instrument.centred)
    return scaled.reshape(*scores.shape[:-1], len(instrument.scales))
