"""Populations put together from runs with different value prompts: who is in them, and in which proportion."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from valuestab_utils.errors import ValuestabError, check_known
from valuestab_utils.instruments import VALUES
from valuestab_utils.paths import DATA
from valuestab_utils.run_scores import RunScores
from valuestab_utils.value_circle import spelled
from valuestab_utils.value_references import USER_REFERENCE, read_table
from valuestab_utils.value_structure import value_correlations

NO_VALUE = "none"  # of people: no dominant value; of runs: no value prompt
GROUPS = (*VALUES, NO_VALUE)
WEIGHTINGS = ("Uniform", "H-Norm", "H-Even", "H-NP", "Model-Specific")
SHARES_FILE = USER_REFERENCE / "dominant_value_shares.csv"
DERIVED_SHARES = (
    "shares of the values among those with a single highest one: derived from ESS round 9 (29 countries, weighted), "
    "not by the rule of Witte et al. 2020; share without a dominant value: 53%, Witte et al. as cited by Yehudai et al."
)
_SUM_TOLERANCE = 1e-6


def dominant_value_shares(path: Path = SHARES_FILE) -> tuple[pd.Series, str]:
    """Shares of people in whom each value is the dominant one, or none is.

    The shares of Witte et al. 2020 that the paper takes are not available here, but for the 53% without a dominant
    value. The remaining 47% are divided as the survey respondents with a single highest value are. A user's own file
    takes the place of all that.

    Parameters
    ----------
    path : Path
        CSV with the columns value (the ten, and "none") and share (summing to 1).

    Returns
    -------
    shares : Series
        By `GROUPS`, summing to 1.
    label : str
        Where they come from, for figures and tables.

    Raises
    ------
    ValuestabError
        If the user's file lacks a value, has one twice or an unknown one, a negative share, or another sum.

    Examples
    --------
    >>> shares, label = dominant_value_shares()
    >>> shares[["none", "Benevolence", "Power"]].round(3).tolist(), round(float(shares.sum()), 12)
    ([0.53, 0.125, 0.004], 1.0)
    """
    if path.is_file():
        return _users_shares(path), f"the user's shares ({path.name})"
    table = pd.read_csv(DATA / "reference" / "dominant_value_shares.csv").set_index("value")["percent"] / 100
    nobody = table.pop(NO_VALUE)
    shares = table.rename(spelled)[list(VALUES)]
    shares = shares / shares.sum() * (1 - nobody)
    shares[NO_VALUE] = nobody
    return shares.rename("share"), DERIVED_SHARES


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
    diagonal. The paper's ground truth is a human correlation matrix that it does not print.

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


def _users_shares(path: Path) -> pd.Series:
    table = read_table(path, ("value", "share"), ("share",))
    for row in table.itertuples():
        check_known(f"value in {path}, row {row.Index},", row.value, GROUPS)
        if row.share < 0:
            raise ValuestabError(f"{path}, row {row.Index}: the share {row.share} must not be negative.")
    if sorted(table["value"]) != sorted(GROUPS):
        raise ValuestabError(
            f"{path} must have each of the ten values and {NO_VALUE} once, but has {', '.join(table['value'])}."
        )
    shares = table.set_index("value")["share"][list(GROUPS)]
    if abs(shares.sum() - 1) > _SUM_TOLERANCE:
        raise ValuestabError(f"The shares in {path} sum to {shares.sum():g}, but must sum to 1: correct them.")
    return shares / shares.sum()
