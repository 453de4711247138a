"""What notebook 07 found, in sentences made from its tables and from nothing else."""

import pandas as pd

from valuestab_utils.structure_findings import of_maps

__all__ = [
    "of_agreement", "of_correlations", "of_maps", "of_opposites", "of_politics", "of_signs", "of_similarities",
    "summary",
]
NOTHING = "Nothing of this was run."
NO_HUMANS = "There are no human data to compare with."


def of_similarities(table: pd.DataFrame) -> str:
    """Best and worst similarity of each respondent of this run, with what it is of.

    Parameters
    ----------
    table : DataFrame
        With the columns label, row, mean, published; low and high where there are intervals.
    """
    own = table[~table["published"]] if len(table) else table
    if own.empty:
        return NOTHING
    sentences = []
    for label, rows in own.groupby("label", sort=False):
        known = rows.dropna(subset="mean").sort_values("mean", ascending=False)
        if known.empty:
            sentences.append(f"{label}: undefined. {_reason(rows)}")
            continue
        told = f"{label}: {_similarity(known.iloc[0])}"
        if len(known) > 1:
            told += f" to {_similarity(known.iloc[-1])}"
        lacking = len(rows) - len(known)
        sentences.append(told + (f"; {lacking} of {len(rows)} undefined." if lacking else "."))
    return " ".join([*sentences, *_compared_with(own)])


def of_signs(table: pd.DataFrame) -> str:
    """How many of the published signs are reproduced."""
    if table.empty:
        return NOTHING
    known = table.dropna(subset="reproduced")
    if known.empty:
        return f"All {len(table)} correlations whose sign is published are undefined."
    return f"{int(known['reproduced'].astype(bool).sum())} of {len(known)} published signs are reproduced." + (
        f" {len(table) - len(known)} correlations are undefined." if len(known) < len(table) else ""
    )


def of_correlations(table: pd.DataFrame) -> str:
    """The strongest correlation of a value with a behaviour."""
    known = table.dropna(subset="r") if len(table) else table
    if known.empty:
        return NOTHING if table.empty else " ".join(["No correlation is defined.", *_told(table, "reason")[:1]])
    strongest = known.loc[known["r"].abs().idxmax()]
    undefined = len(table) - len(known)
    return f"Strongest: {strongest.value} with {strongest.behaviour} (r = {strongest.r:.2f})." + (
        f" {undefined} of {len(table)} correlations are undefined." if undefined else ""
    )


def of_agreement(table: pd.DataFrame) -> str:
    """The behaviour on which the higher-order values differ most."""
    known = table.dropna(subset="agreement") if len(table) else table
    if known.empty:
        return NOTHING
    spread = known.groupby("behaviour", sort=False)["agreement"].agg(lambda shares: shares.max() - shares.min())
    return (
        f"On average, agreement differs by {spread.mean():.0%} between higher-order values; most on "
        f"{spread.idxmax().lower()} ({spread.max():.0%})."
    )


def of_opposites(table: pd.DataFrame) -> str:
    """Correlations of the two pairs of opposite higher-order values, which the theory expects to be negative."""
    if table.empty:
        return NOTHING
    pairs = (("Openness to change", "Conservation"), ("Self-enhancement", "Self-transcendence"))
    told = []
    for one, other in pairs:
        r = table[(table["value_a"] == one) & (table["value_b"] == other)]["r"]
        told.append(f"{one} and {other.lower()}: {'undefined' if r.isna().all() else f'{r.iloc[0]:.2f}'}")
    return f"{'; '.join(told)} (the theory expects both to be negative)."


def of_politics(table: pd.DataFrame) -> str:
    """Which higher-order value agrees most with conservative politics, by respondent."""
    known = table.dropna(subset="agreement") if len(table) else table
    if known.empty:
        return NOTHING
    told = []
    for label, rows in known.groupby("label", sort=False):
        most = rows.loc[rows["agreement"].idxmax()]
        told.append(f"{label}: most with {most.higher_order.lower()} ({most.agreement:.0%})")
    return "; ".join(told) + "."


def summary(values: pd.DataFrame, behaviours: pd.DataFrame, tested: str) -> list[str]:
    """What the run found, in one sentence for the model and one for the controls.

    Parameters
    ----------
    values, behaviours : DataFrame
        Values similarity with people, and behaviour similarity of H-NP.
    tested : str
        Name of the studied model.
    """
    sentences: list[str] = []
    own = values[~values["published"]] if len(values) else values
    if own.empty:
        return sentences
    for chosen in (own[own["model"] == tested], own[own["model"].str.startswith("control-")]):
        parts = []
        for label, rows in chosen.groupby("label", sort=False):
            of_np = rows[rows["row"] == "H-NP"]["mean"]
            value = "undefined" if of_np.isna().all() else f"{of_np.iloc[0]:.2f}"
            own = behaviours[(behaviours["label"] == label) & ~behaviours["published"]].dropna(subset="mean")
            told = ", ".join(f"{row.row} {row.mean:.2f}" for row in own[["row", "mean"]].itertuples(index=False))
            parts.append(f"{label}: values similarity {value}, behaviour similarity {told or 'undefined'}")
        if parts:
            sentences.append(f"H-NP: {'; '.join(parts)}.")
    return sentences


def _reason(rows: pd.DataFrame) -> str:
    """Why a similarity is undefined: what the runs lack, before what is not known of people."""
    compared = rows[rows["n_cells"] > 0] if "n_cells" in rows else rows
    return next(iter([*_told(compared, "reason"), *_told(rows, "reason")]), NO_HUMANS)


def _compared_with(own: pd.DataFrame) -> list[str]:
    """What this run's similarities are with, and over which instruments they are averaged."""
    known = own.dropna(subset="mean")
    sentences = [f"Compared with: {text}." for text in (*_told(known, "reference_label"), *_told(known, "human_label"))]
    sentences += [f"Averaged over: {text}." for text in _told(known, "instruments")]
    return sentences


def _told(table: pd.DataFrame, column: str) -> list[str]:
    """The different texts of a column, if it is there."""
    return [text for text in table[column].dropna().unique() if text] if column in table else []


def _similarity(row: pd.Series) -> str:
    interval = f" [{row.low:.2f}, {row.high:.2f}]" if "low" in row and pd.notna(row.low) else ""
    return f"{row['mean']:.2f}{interval} ({row['row']})"
