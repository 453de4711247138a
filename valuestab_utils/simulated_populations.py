"""Populations put together from runs with different value prompts: who is in them, and in which proportion."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from valuestab_utils.dominant_values import GROUPS, NO_VALUE
from valuestab_utils.errors import ValuestabError, check_known
from valuestab_utils.instruments import VALUES
from valuestab_utils.run_scores import RunScores
from valuestab_utils.value_structure import value_correlations

WEIGHTINGS = ("Uniform", "H-Norm", "H-Even", "H-NP", "Model-Specific")



def population_weights(
    weighting: str, shares: Mapping[str, float], similarities: Mapping[str, float] | None = None
) -> pd.Series:
    """Weight of each value prompt, and of no prompt, in a population.

    With p(v) the share of people whose dominant value is v, p(none) that of those without, s(v) the similarity of
    the runs prompted with v to humans::

        Uniform         w(v) = 1/10
        H-Norm          w(v) = p(v) / sum of p(u) over the ten values
        H-Even          w(v) = p(v) + p(none) / 10
        H-NP            w(v) = p(v),  w(none) = p(none)
        Model-Specific  w(v) = max(s(v), 0) / sum of max(s(u), 0)

    w(none) is 0 but for H-NP. The paper does not say what becomes of a negative similarity; here it counts as 0, and
    `clipped` names the values.

    Parameters
    ----------
    weighting : str
        One of `WEIGHTINGS`.
    shares : mapping
        By `GROUPS`.
    similarities : mapping, optional
        By value; Model-Specific needs it.

    Returns
    -------
    Series
        By `GROUPS`, none negative, summing to 1.

    Raises
    ------
    ValuestabError
        For an unknown weighting, or similarities that are undefined or all negative or nil.

    References
    ----------
    Yehudai et al., section 5.2 and appendix E, eqs. 1-7.

    Examples
    --------
    >>> shares = dict.fromkeys(GROUPS, 0.05) | {"none": 0.5}
    >>> {name: float(population_weights(name, shares)["none"]) for name in WEIGHTINGS[:4]}
    {'Uniform': 0.0, 'H-Norm': 0.0, 'H-Even': 0.0, 'H-NP': 0.5}
    """
    check_known("weighting", weighting, WEIGHTINGS)
    people = pd.Series({group: float(shares[group]) for group in GROUPS})
    of_values = people[list(VALUES)]
    weights = pd.Series(0.0, index=list(GROUPS), name="weight")
    if weighting == "Uniform":
        weights[list(VALUES)] = 1 / len(VALUES)
    elif weighting == "H-Norm":
        weights[list(VALUES)] = of_values / of_values.sum()
    elif weighting == "H-Even":
        weights[list(VALUES)] = of_values + people[NO_VALUE] / len(VALUES)
    elif weighting == "H-NP":
        weights[:] = people
    else:
        weights[list(VALUES)] = _model_specific(similarities)
    return weights


def clipped(similarities: Mapping[str, float]) -> list[str]:
    """Values whose similarity is negative, so that Model-Specific gives them no weight.

    Examples
    --------
    >>> clipped({"Power": -0.1, "Security": 0.4})
    ['Power']
    """
    return [value for value, similarity in similarities.items() if similarity < 0]


def prompt_similarities(
    value_runs: RunScores, human: np.ndarray, temperature: float, n_samples: int = 500, seed: int = 0
) -> dict[str, float]:
    """How like that of humans the structure of values is among the runs of each value prompt.

    Pearson's correlation between the correlations of pairs of values in the runs and in humans, without the
    diagonal (the paper speaks of the matrices' elements and does not say which; the diagonal is alike in all). Its
    ground truth is a human correlation matrix that it does not print.

    Parameters
    ----------
    value_runs : RunScores
        Of the PVQ-40, of one model and condition; ``group`` is the prompted value.
    human : ndarray, shape (10, 10)
        In the order of `valuestab_utils.instruments.VALUES`.
    temperature : float
    n_samples : int
        Runs drawn, with replacement and answers drawn anew, from those of each prompt.
    seed : int

    Returns
    -------
    dict
        By value; -1 to 1.

    Raises
    ------
    ValuestabError
        If a prompt has no runs or some value does not vary in them: then there is no Model-Specific population.

    References
    ----------
    Yehudai et al., appendix E.2, eq. 6.
    """
    rng = np.random.default_rng(seed)
    order = [value_runs.scales.index(value) for value in VALUES]
    above = np.triu_indices(len(VALUES), 1)
    found = {}
    for value in VALUES:
        rows = np.flatnonzero(value_runs.runs["group"] == value)
        if not len(rows):
            raise ValuestabError(f"No run has the value prompt {value}: run it, or leave the weighting out.")
        scores = value_runs.sample_scores(rng, rng.choice(rows, n_samples), temperature)[:, order]
        try:
            correlations = value_correlations(scores, VALUES)
        except ValuestabError as error:
            raise ValuestabError(f"Runs prompted with {value}: {error}") from error
        found[value] = float(np.corrcoef(correlations[above], human[above])[0, 1])
    return found


def sample_runs(rng: np.random.Generator, groups: Sequence[str], weights: pd.Series, n_samples: int) -> np.ndarray:
    """Draw runs, with replacement: first the group of each by the weights, then any run of that group.

    Parameters
    ----------
    rng : Generator
    groups : sequence of str
        Of each run.
    weights : Series
        By group, summing to 1.
    n_samples : int

    Returns
    -------
    ndarray of int, shape (n_samples,)
        Places in `groups`.

    Raises
    ------
    ValuestabError
        If a group with a weight has no runs.
    """
    groups = np.asarray(groups, dtype=object)
    rows = {group: np.flatnonzero(groups == group) for group, weight in weights.items() if weight > 0}
    absent = [group for group, of_group in rows.items() if not len(of_group)]
    if absent:
        raise ValuestabError(
            f"The population needs runs of {', '.join(absent)}, but there are none (a run may have been left out for "
            "missing answers): run these, or leave the weighting out."
        )
    counts = rng.multinomial(n_samples, [weights[group] for group in rows])
    return np.concatenate([rng.choice(of_group, n) for of_group, n in zip(rows.values(), counts, strict=True)])


def _model_specific(similarities: Mapping[str, float] | None) -> pd.Series:
    if similarities is None:
        raise ValuestabError("Model-Specific weights need similarities: give those of prompt_similarities.")
    found = pd.Series({value: float(similarities[value]) for value in VALUES})
    undefined = list(found.index[found.isna()])
    positive = found.clip(lower=0)
    if undefined or positive.sum() == 0:
        what = f"those of {', '.join(undefined)} are undefined" if undefined else "none is positive"
        raise ValuestabError(f"Model-Specific weights need similarities, but {what}: leave the weighting out.")
    return positive / positive.sum()
