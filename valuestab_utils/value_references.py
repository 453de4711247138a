"""What the values' structure is compared with: the theory's circle, and human data where there are any."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from valuestab_utils.errors import ValuestabError, check_known
from valuestab_utils.instruments import VALUES
from valuestab_utils.paths import DATA
from valuestab_utils.populations import read_rows
from valuestab_utils.value_circle import REFINED_VALUES, angles_on_circle, spelled
from valuestab_utils.value_structure import value_map

USER_REFERENCE = DATA / "reference" / "user"  # a user's own numbers, which no version of this compendium holds
HUMAN_19_FILE = USER_REFERENCE / "human_correlations_19.csv"
HUMAN_10_FILE = USER_REFERENCE / "human_correlations_10.csv"
NO_HUMAN_19 = (
    "There is no human structure of the 19 values here: Rozen et al. print none. To compare with one, put the "
    "correlations of the centred scores (Schwartz and Cieciuch 2022 publish their data) into "
    "data/reference/user/human_correlations_19.csv, columns value_a, value_b, r, values named as in "
    "valuestab_utils.value_circle.REFINED_VALUES, each of the 171 pairs once."
)


@dataclass(frozen=True, eq=False)
class Reference:
    """A configuration of values in the plane.

    Attributes
    ----------
    kind : str
        "theory" or "human".
    label : str
        What figures and tables say of it.
    values : tuple of str
    coordinates : ndarray, shape (values, 2)
    correlations : ndarray, shape (values, values), or None
        That the coordinates were made of.
    """

    kind: str
    label: str
    values: tuple[str, ...]
    coordinates: np.ndarray
    correlations: np.ndarray | None = None


def theory_19() -> Reference:
    """The 19 refined values evenly on a circle, in the theory's order.

    References
    ----------
    Rozen et al. 2025, Figure 1 (order).

    Examples
    --------
    >>> theory_19().coordinates.shape
    (19, 2)
    """
    angles = angles_on_circle(REFINED_VALUES)
    points = np.column_stack([np.cos(angles), np.sin(angles)])
    return Reference("theory", "theory: 19 values evenly on a circle", REFINED_VALUES, points)


def theory_10() -> Reference:
    """The ten basic values where the theory has them, conformity inside tradition.

    Examples
    --------
    >>> theory_10().values[:2], theory_10().coordinates[4].tolist()
    (('Self-Direction', 'Stimulation'), [0.0, -1.0])
    """
    table = pd.read_csv(DATA / "reference" / "theory_coords_10_values.csv")
    table = table.set_index(table["value"].map(spelled)).loc[list(VALUES)]
    return Reference("theory", "theory: circle of ten values", VALUES, table[["x", "y"]].to_numpy(dtype=float))


def human_10(path: Path = HUMAN_10_FILE) -> Reference:
    """The human structure of the ten basic values: the user's, if there is a file; else one derived from survey data.

    The latter are centred scores of the PVQ-21 in Europe, mean of 29 countries: not a published matrix, and not that of
    paper 004, but worked out from the microdata of round 9 of the European Social Survey.

    Parameters
    ----------
    path : Path
        CSV with the columns value_a, value_b, r: each of the 45 pairs once, or twice with the same r; values named as
        in `valuestab_utils.instruments.VALUES`.

    Raises
    ------
    ValuestabError
        See `human_structure_19`.

    Examples
    --------
    >>> round(float(human_10(Path("nowhere")).correlations[0, 1]), 4)
    0.1439
    """
    if path.is_file():
        return _of_user(path, VALUES)
    table = pd.read_csv(DATA / "reference" / "human_corr_10_values_ess9_wide.csv")
    table = table.set_index(table["value"].map(spelled))[[name for name in table["value"]]].rename(columns=spelled)
    correlations = table.loc[list(VALUES), list(VALUES)].to_numpy(dtype=float)
    label = "human: derived from ESS round 9 (PVQ-21, centred, mean of 29 countries)"
    return Reference("human", label, VALUES, value_map(correlations), correlations)


def human_structure_19(path: Path = HUMAN_19_FILE) -> Reference | None:
    """Human structure of the 19 values from the user's file; None if there is none (`NO_HUMAN_19` says what it takes).

    Parameters
    ----------
    path : Path
        CSV with the columns value_a, value_b, r: each pair of different values once, or twice with the same r.

    Raises
    ------
    ValuestabError
        If columns or pairs are missing, a value is unknown, an r is no correlation, or a pair has two.
    """
    if not path.is_file():
        return None
    return _of_user(path, REFINED_VALUES)


def references_19(path: Path = HUMAN_19_FILE) -> tuple[Reference, ...]:
    """The theory's circle, and the human structure if there is one."""
    human = human_structure_19(path)
    return (theory_19(),) if human is None else (theory_19(), human)


def references_10() -> tuple[Reference, ...]:
    """The human structure of the ten values (derived), and the theory's."""
    return human_10(), theory_10()


def read_table(path: Path, columns: tuple[str, ...], numbers: tuple[str, ...] = ()) -> pd.DataFrame:
    """A user's CSV, with these columns and, in some of them, numbers in every row; the index is the row's number.

    Raises
    ------
    ValuestabError
        If it is no such file, or a number is none (the message names file and row).
    """
    numbered = read_rows(path, columns)
    table = pd.DataFrame([row for _, row in numbered], columns=columns, index=[number for number, _ in numbered])
    for column in numbers:
        parsed = pd.to_numeric(table[column], errors="coerce")
        wrong = ~np.isfinite(parsed)
        if wrong.any():
            row = wrong.idxmax()
            raise ValuestabError(f"{path}, row {row}, column {column}: {table.loc[row, column]!r} is no number.")
        table[column] = parsed
    return table


def _of_user(path: Path, values: tuple[str, ...]) -> Reference:
    correlations = _read_correlations(path, values)
    label = f"human: the user's correlations ({path.name})"
    return Reference("human", label, values, value_map(correlations), correlations)


def _read_correlations(path: Path, values: tuple[str, ...]) -> np.ndarray:
    table = read_table(path, ("value_a", "value_b", "r"), ("r",))
    correlations = np.full((len(values),) * 2, np.nan)
    np.fill_diagonal(correlations, 1.0)
    for row in table.itertuples():
        number = row.Index
        places = tuple(
            values.index(check_known(f"value in {path}, row {number},", name, values))
            for name in (row.value_a, row.value_b)
        )
        there = correlations[places]
        if abs(row.r) > 1 or (not np.isnan(there) and there != row.r):
            raise ValuestabError(
                f"{path}, row {number}: r = {row.r} between {row.value_a} and {row.value_b}, but it must lie between "
                "-1 and 1, be 1 of a value with itself, and be the same wherever the pair stands."
            )
        correlations[places] = correlations[places[::-1]] = row.r
    lacking = np.argwhere(np.isnan(correlations))
    if len(lacking):
        a, b = (values[i] for i in lacking[0])
        n_pairs = len(values) * (len(values) - 1) // 2
        raise ValuestabError(
            f"{path} lacks {len(lacking) // 2} of {n_pairs} pairs, the first {a} and {b}: give every pair."
        )
    return correlations
