"""How many people have which dominant value: what the weights of simulated populations come from."""

from pathlib import Path

import pandas as pd

from valuestab_utils.errors import ValuestabError, check_known
from valuestab_utils.inductions import NO_VALUE
from valuestab_utils.instruments import VALUES
from valuestab_utils.paths import DATA
from valuestab_utils.value_circle import spelled
from valuestab_utils.value_references import USER_REFERENCE, read_table

GROUPS = (*VALUES, NO_VALUE)
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
