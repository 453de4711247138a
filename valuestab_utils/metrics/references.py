"""What is known to compare with: of people, of the theory, and what papers 002 and 004 print of their models.

Tables come from data/reference; a user's own, which no version of this compendium holds, from data/reference/user.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from valuestab_utils.errors import ValuestabError, check_known
from valuestab_utils.metrics.agreement import average_ranks
from valuestab_utils.metrics.structure import value_map
from valuestab_utils.paths import DATA
from valuestab_utils.prompts import (
    NO_VALUE,
    QUESTIONNAIRES,
    REFINED_VALUES,
    VALUES,
    Questionnaire,
    angles_on_circle,
    read_rows,
    spelled,
)

REFERENCE = DATA / "reference"
HUMAN_19_FILE = REFERENCE / "user" / "human_correlations_19.csv"
HUMAN_10_FILE = REFERENCE / "user" / "human_correlations_10.csv"
HUMAN_FILE = REFERENCE / "user" / "human_value_behaviour.csv"
SHARES_FILE = REFERENCE / "user" / "dominant_value_shares.csv"
NO_HUMAN_19 = (
    "There is no human structure of the 19 values here: Rozen et al. print none. To compare with one, put the "
    "correlations of the centred scores (Schwartz and Cieciuch 2022 publish their data) into "
    "data/reference/user/human_correlations_19.csv, columns value_a, value_b, r, values named as in "
    "valuestab_utils.prompts.values.REFINED_VALUES, each of the 171 pairs once."
)
DERIVED_SHARES = (
    "shares of the values among those with a single highest one: derived from ESS round 9 (29 countries, weighted), "
    "not by the rule of Witte et al. 2020; share without a dominant value: 53%, Witte et al. as cited by Yehudai et al."
)
GROUPS = (*VALUES, NO_VALUE)
BIG_FIVE = "BFI-2"
_TRAITS = {  # and the domains that they are matched to
    "extraversion": "Extraversion", "agreeableness": "Agreeableness", "conscientiousness": "Conscientiousness",
    "neuroticism": "Negative Emotionality", "openness": "Open-Mindedness",
}
_CHARITY = ("Charity-game", "Charity-choice")  # of a single scale each


@dataclass(frozen=True, eq=False)
class Reference:
    """A configuration of values in the plane; ``kind`` is "theory" or "human", ``label`` what figures and tables say.

    coordinates : (values, 2)
    correlations : (values, values), that the coordinates were made of, or None
    """

    kind: str
    label: str
    values: tuple[str, ...]
    coordinates: np.ndarray
    correlations: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class HumanBehaviour:
    """Correlations of values with the scales of one instrument in humans.

    correlations : (ten values, scales), NaN where nothing is known
    label : where they come from
    """

    instrument: str
    correlations: pd.DataFrame
    label: str

    @property
    def n_cells(self) -> int:
        """Correlations that are known."""
        return int(self.correlations.notna().to_numpy().sum())


def references_19(path: Path = HUMAN_19_FILE) -> tuple[Reference, ...]:
    """The theory's circle, and the human structure if there is one."""
    return (theory_19(), _of_user(path, REFINED_VALUES)) if path.is_file() else (theory_19(),)


def references_10() -> tuple[Reference, ...]:
    """The human structure of the ten values (derived), and the theory's."""
    return human_10(), theory_10()


def theory_19() -> Reference:
    """The 19 refined values evenly on a circle, in the theory's order (Rozen et al. 2025, Figure 1)."""
    angles = angles_on_circle(REFINED_VALUES)
    points = np.column_stack([np.cos(angles), np.sin(angles)])
    return Reference("theory", "theory: 19 values evenly on a circle", REFINED_VALUES, points)


def theory_10() -> Reference:
    """The ten basic values where the theory has them, conformity inside tradition."""
    table = _published("theory_coords_10_values.csv").set_index("value").loc[list(VALUES)]
    return Reference("theory", "theory: circle of ten values", VALUES, table[["x", "y"]].to_numpy(dtype=float))


def human_10(path: Path = HUMAN_10_FILE) -> Reference:
    """The human structure of the ten basic values: the user's, if there is a file; else one derived from survey data.

    The latter are centred scores of the PVQ-21 in Europe, mean of 29 countries: not a published matrix, and not that of
    paper 004, but worked out from the microdata of round 9 of the European Social Survey.
    """
    if path.is_file():
        return _of_user(path, VALUES)
    table = _published("human_corr_10_values_ess9_wide.csv").set_index("value")
    table = table.drop(columns="source").rename(columns=spelled)
    correlations = table.loc[list(VALUES), list(VALUES)].to_numpy(dtype=float)
    label = "human: derived from ESS round 9 (PVQ-21, centred, mean of 29 countries)"
    return Reference("human", label, VALUES, value_map(correlations), correlations)


def human_means_19() -> pd.DataFrame:
    """Importance (centred) and rank of the 19 values in 49 cultural groups (Rozen et al. 2025, Tables 2-4)."""
    table = _published("human_means_19_values.csv").set_index("value").loc[list(REFINED_VALUES)].reset_index()
    return table[["value", "acronym", "mean", "rank", "source"]]


def dominant_value_shares(path: Path = SHARES_FILE) -> tuple[pd.Series, str]:
    """Shares of people in whom each value is the dominant one, or none is, summing to 1; and where they come from.

    The user's, if there is a file. The shares of Witte et al. 2020 that the paper takes are not available here, but
    for the 53% without a dominant value; the remaining 47% are divided as those respondents of a survey are who have
    a single highest value.
    """
    if path.is_file():
        return _users_shares(path), f"the user's shares ({path.name})"
    table = _published("dominant_value_shares.csv").set_index("value")["percent"] / 100
    nobody, shares = table[NO_VALUE], table[list(VALUES)]
    shares = shares / shares.sum() * (1 - nobody)
    shares[NO_VALUE] = nobody
    return shares.rename("share"), DERIVED_SHARES


def human_value_behaviour(instrument: Questionnaire, path: Path = HUMAN_FILE) -> HumanBehaviour | None:
    """What is known of an instrument; None where nothing is (`no_human_data` says what would change that).

    From the user's file if it has rows of it. Else, for the BFI-2, 19 of 50 mean correlations of a meta-analysis
    (Parks-Leduc, Feldman and Bardi 2015) as others' code cites them: secondary, and not the paper's student sample.
    """
    if path.is_file():
        table = _users_table(path, ("instrument", "behaviour", "value", "r", "n", "source"), "r")
        for row in table.itertuples():
            check_known(f"instrument in {path}, row {row.Index},", row.instrument, QUESTIONNAIRES)
            if not row.source.strip():
                raise ValuestabError(f"{path}, row {row.Index}: the source is empty, but figures and tables name it.")
        own = table[table["instrument"] == instrument.name]
        if len(own):
            sources = "; ".join(own["source"].unique())
            return HumanBehaviour(instrument.name, _matrix(own, instrument, path), f"the user's: {sources}")
    if instrument.name != BIG_FIVE:
        return None
    table = _published("human_big5_values_metaanalysis_secondary.csv").rename(columns={"rho": "r"})
    matrix = _matrix(table.assign(behaviour=table["big5_trait"].map(_TRAITS)), instrument, path)
    label = f"meta-analysis (Parks-Leduc et al. 2015), {len(table)} of {matrix.size} cells, from a secondary source"
    return HumanBehaviour(BIG_FIVE, matrix, label)


def no_human_data(instrument: str) -> str:
    """Why an instrument is not compared with humans, and what to do."""
    return (
        f"There are no human correlations of values with {instrument} here: put them into "
        "data/reference/user/human_value_behaviour.csv, columns instrument, behaviour (a scale of the instrument), "
        f"value, r, n, source, with {instrument} as the instrument."
    )


def human_signs(instrument: Questionnaire) -> pd.DataFrame:
    """Signs (1 or -1) of correlations with an instrument's scales that abstracts of human studies state; often none."""
    scales = _TRAITS if instrument.name == BIG_FIVE else {}
    if instrument.name in _CHARITY:
        scales = {"paired_charity_game_contribution": instrument.scales[0]}
    table = pd.read_csv(REFERENCE / "human_value_behaviour_signs.csv")
    table = table[table["behaviour_or_trait"].isin(scales)].reset_index(drop=True)
    return table.assign(
        instrument=instrument.name, behaviour=table["behaviour_or_trait"].map(scales),
        value=table["value"].map(spelled), sign=table["sign"].map({"+": 1, "-": -1}),
    )[["instrument", "behaviour", "value", "sign", "n", "source"]]


def published_means_19() -> pd.DataFrame:
    """Importance (centred) of the 19 values to the models of paper 002, two conditions (Rozen et al., Tables 2-4)."""
    table = _published("rozen2025_llm_means_19_values.csv")
    table[["population", "temperature"]] = table["condition"].str.extract(r"^(.+)_t([\d.]+)$")
    table["temperature"] = table["temperature"].astype(float)
    # The printed ranks have slips, so ranks are taken from the printed means.
    table["rank"] = table.groupby(["model", "condition"])["mean"].transform(lambda means: average_ranks(-means))
    return table[
        ["model", "population", "temperature", "value", "acronym", "mean", "rank", "rank_as_printed", "source"]
    ]


def published_disparities() -> pd.DataFrame:
    """Sums of squared differences to the human map that paper 002 prints (Tables 1 and 5); NaN where it has none."""
    table = _published("rozen2025_mds_ssd.csv")
    table = table.rename(columns={"prompt": "population", "procrustes_ssd_vs_human": "disparity"})
    columns = ["model", "population", "administration", "temperature", "disparity"]
    return table[[*columns, "source"]].assign(published=True)


def published_similarities() -> pd.DataFrame:
    """Similarities that paper 004 prints, as far as its text has them (Yehudai et al., Tables 1-5); -1 to 1.

    For one condition, Table 3 prints other numbers than the average column of Table 2 (so do Tables 5 and 4): 56.4 and
    68.0 for Qwen3, say. Both stand here as printed.
    """
    table = _published("yehudai_printed_similarities.csv")
    return table.assign(mean=table["percent"] / 100, published=True).drop(columns="percent")


def _published(name: str) -> pd.DataFrame:
    """A table of data/reference, its values spelled as this package does."""
    table = pd.read_csv(REFERENCE / name).rename(columns={"abbr": "acronym", "mean_centered": "mean"})
    if "value" in table:
        table["value"] = [name if name == NO_VALUE else spelled(name) for name in table["value"]]
    return table


def _users_table(path: Path, columns: tuple[str, ...], number: str) -> pd.DataFrame:
    """A user's CSV with these columns, one of them numbers; the index is the row's number."""
    rows = dict(read_rows(path, columns))
    table = pd.DataFrame(list(rows.values()), columns=columns, index=list(rows))
    parsed = pd.to_numeric(table[number], errors="coerce")
    wrong = ~np.isfinite(parsed)
    if wrong.any():
        row = wrong.idxmax()
        raise ValuestabError(f"{path}, row {row}, column {number}: {table.loc[row, number]!r} is no number.")
    return table.assign(**{number: parsed})


def _of_user(path: Path, values: tuple[str, ...]) -> Reference:
    """From correlations of each two values, columns value_a, value_b, r."""
    correlations = np.full((len(values),) * 2, np.nan)
    np.fill_diagonal(correlations, 1.0)
    for row in _users_table(path, ("value_a", "value_b", "r"), "r").itertuples():
        where = f"value in {path}, row {row.Index},"
        places = tuple(values.index(check_known(where, name, values)) for name in (row.value_a, row.value_b))
        there = correlations[places]
        if abs(row.r) > 1 or (not np.isnan(there) and there != row.r):
            raise ValuestabError(
                f"{path}, row {row.Index}: r = {row.r} between {row.value_a} and {row.value_b}, but it must lie "
                "between -1 and 1, be 1 of a value with itself, and be the same wherever the pair stands."
            )
        correlations[places] = correlations[places[::-1]] = row.r
    lacking = np.argwhere(np.isnan(correlations))
    if len(lacking):
        a, b = (values[i] for i in lacking[0])
        raise ValuestabError(f"{path} lacks {len(lacking) // 2} pairs, the first {a} and {b}: give every pair.")
    label = f"human: the user's correlations ({path.name})"
    return Reference("human", label, values, value_map(correlations), correlations)


def _users_shares(path: Path) -> pd.Series:
    table = _users_table(path, ("value", "share"), "share")
    shares = table.set_index("value")["share"]
    if sorted(shares.index) != sorted(GROUPS) or shares.min() < 0 or abs(shares.sum() - 1) > 1e-6:
        raise ValuestabError(
            f"{path} must have each of {', '.join(GROUPS)} once, with shares of 0 or more that sum to 1, but has "
            f"{', '.join(f'{value} {share:g}' for value, share in shares.items())}."
        )
    return shares[list(GROUPS)] / shares.sum()


def _matrix(table: pd.DataFrame, instrument: Questionnaire, path: Path) -> pd.DataFrame:
    matrix = pd.DataFrame(np.nan, index=list(VALUES), columns=list(instrument.scales))
    for row in table.itertuples():
        check_known(f"behaviour in {path}, row {row.Index},", row.behaviour, instrument.scales)
        check_known(f"value in {path}, row {row.Index},", row.value, VALUES)
        if abs(row.r) > 1 or not np.isnan(matrix.loc[row.value, row.behaviour]):
            raise ValuestabError(
                f"{path}, row {row.Index}: r = {row.r} of {row.value} with {row.behaviour}, but it must lie between -1 "
                "and 1, and each pair must stand once."
            )
        matrix.loc[row.value, row.behaviour] = row.r
    return matrix
