"""How values go with behaviour in humans: correlations where there are any, and published signs."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from valuestab_utils.errors import ValuestabError, check_known
from valuestab_utils.instrument_names import INSTRUMENTS
from valuestab_utils.instruments import VALUES, Instrument
from valuestab_utils.paths import DATA
from valuestab_utils.value_circle import spelled
from valuestab_utils.value_references import USER_REFERENCE, read_table

HUMAN_FILE = USER_REFERENCE / "human_value_behaviour.csv"
BIG_FIVE = "BFI-2"
_TRAITS = {  # in the letters of the scales' names, whatever their case, blanks and hyphens
    "extraversion": "extraversion", "agreeableness": "agreeableness", "conscientiousness": "conscientiousness",
    "neuroticism": "negativeemotionality", "openness": "openmindedness",
}
_SIGNED = {"paired_charity_game_contribution": ("Charity-game", "Charity-choice")}  # single scale each


@dataclass(frozen=True, eq=False)
class HumanBehaviour:
    """Correlations of values with the scales of one instrument in humans.

    Attributes
    ----------
    instrument : str
    correlations : DataFrame
        Rows the ten values, columns the instrument's scales; NaN where nothing is known.
    label : str
        Where they come from.
    """

    instrument: str
    correlations: pd.DataFrame
    label: str

    @property
    def n_cells(self) -> int:
        """Correlations that are known."""
        return int(self.correlations.notna().to_numpy().sum())


def human_value_behaviour(instrument: Instrument, path: Path = HUMAN_FILE) -> HumanBehaviour | None:
    """What is known of an instrument; None where nothing is (`no_human_data` says what would change that).

    From the user's file if it has rows of the instrument. Else, for the BFI-2, 19 of 50 mean correlations of a
    meta-analysis (Parks-Leduc, Feldman and Bardi 2015) as others' code cites them: secondary, and not the student
    sample that the paper compares with. The traits are matched to the domains of the BFI-2, openness to open-mindedness
    and neuroticism to negative emotionality.

    Parameters
    ----------
    instrument : Instrument
    path : Path
        CSV with the columns instrument, behaviour (a scale of it), value, r, n, source.

    Raises
    ------
    ValuestabError
        If the user's file names an unknown instrument, scale or value, has an r that is no correlation, no source, or a
        pair twice.
    """
    if path.is_file():
        table = read_table(path, ("instrument", "behaviour", "value", "r", "n", "source"), ("r",))
        for row in table.itertuples():
            check_known(f"instrument in {path}, row {row.Index},", row.instrument, INSTRUMENTS)
            if not row.source.strip():
                raise ValuestabError(f"{path}, row {row.Index}: the source is empty, but figures and tables name it.")
        own = table[table["instrument"] == instrument.name]
        if len(own):
            sources = "; ".join(own["source"].unique())
            return HumanBehaviour(instrument.name, _matrix(own, instrument, path), f"the user's: {sources}")
    if instrument.name != BIG_FIVE:
        return None
    table = pd.read_csv(DATA / "reference" / "human_big5_values_metaanalysis_secondary.csv")
    table["behaviour"] = [_scale(_TRAITS[trait], instrument) for trait in table["big5_trait"]]
    table["value"] = table["value"].map(spelled)
    matrix = _matrix(table.rename(columns={"rho": "r"}), instrument, path)
    label = f"meta-analysis (Parks-Leduc et al. 2015), {len(table)} of {matrix.size} cells, from a secondary source"
    return HumanBehaviour(BIG_FIVE, matrix, label)


def no_human_data(instrument: str) -> str:
    """Why an instrument is not compared with humans, and what to do.

    Examples
    --------
    >>> print(no_human_data("Prosocialness")[:68])
    There are no human correlations of values with Prosocialness here: p
    """
    return (
        f"There are no human correlations of values with {instrument} here: put them into "
        "data/reference/user/human_value_behaviour.csv, columns instrument, behaviour (a scale of the instrument), "
        f"value, r, n, source, with {instrument} as the instrument."
    )


def human_signs(instrument: Instrument) -> pd.DataFrame:
    """Signs of correlations that abstracts of human studies state, for the scales of an instrument.

    Returns
    -------
    DataFrame
        instrument, behaviour, value, sign (1 or -1), n, source; no rows where nothing is stated.

    References
    ----------
    Sagiv, Sverdlik and Schwarz 2011 (charity game); Roccas et al. 2002 (traits).
    """
    table = pd.read_csv(DATA / "reference" / "human_value_behaviour_signs.csv")
    if instrument.name == BIG_FIVE:
        table = table[table["behaviour_or_trait"].isin(_TRAITS)]
        table = table.assign(behaviour=[_scale(_TRAITS[trait], instrument) for trait in table["behaviour_or_trait"]])
    else:
        named = [name for name, instruments in _SIGNED.items() if instrument.name in instruments]
        table = table[table["behaviour_or_trait"].isin(named)].assign(behaviour=instrument.scales[0])
    return pd.DataFrame({
        "instrument": instrument.name, "behaviour": table["behaviour"], "value": table["value"].map(spelled),
        "sign": table["sign"].map({"+": 1, "-": -1}), "n": table["n"], "source": table["source"],
    }).reset_index(drop=True)


def _matrix(table: pd.DataFrame, instrument: Instrument, path: Path) -> pd.DataFrame:
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


def _scale(letters: str, instrument: Instrument) -> str:
    """Scale of the instrument whose name has these letters."""
    for scale in instrument.scales:
        if "".join(character for character in scale.lower() if character.isalpha()) == letters:
            return scale
    raise ValuestabError(
        f"{instrument.name} has no scale for {letters}: its scales are {', '.join(instrument.scales)}, but must be the "
        "five domains of the BFI-2."
    )
