"""What was found, in sentences made from the tables behind the figures and from nothing else."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from valuestab_utils.labels import FORMATS, population_label, respondent_label
from valuestab_utils.labels import MEASURES as MEASURE_LABELS
from valuestab_utils.pca import PersonaMap, class_separation

NOTHING = "Nothing of this was run."
MEASURES = {name: label[0].lower() + label[1:] for name, label in MEASURE_LABELS.items()}


def summary(table: pd.DataFrame, tested: str) -> list[str]:
    """What a run found, in two sentences from `tables.stability_table`: the model's stability, the controls'.

    Parameters
    ----------
    table : DataFrame
    tested : str
        Name of the studied model.
    """
    if table.empty:
        return []
    main = table[(table["measure"] == "rank_order") | (table["population"] == "none")]
    sentences = []
    for who, rows in ((tested, main[main["model"] == tested]), ("Controls", main[_is_control(main)])):
        parts = []
        for (model, format, measure), group in rows.groupby(["model", "format", "measure"], sort=False):
            name = model.removeprefix("control-") if who == "Controls" else FORMATS.get(format, format)
            values = ", ".join(
                f"{_number(row.stability, row.standard_error)} {population_label(row.population)}"
                for row in group.itertuples()
            )
            parts.append(f"{name}, {measure.replace('_', '-')} {values}")
        if parts:
            sentences.append(f"{who}: {'; '.join(parts)}.")
    return sentences


def of_bars(rows: pd.DataFrame) -> str:
    """The most and the least stable model of a figure, whether they beat chance, and what the controls did."""
    models = rows[~_is_control(rows) & rows["stability"].notna()] if len(rows) else rows
    if models.empty:
        return "No model has a defined stability here."
    models = models.sort_values("stability", ascending=False)
    told = [f"Most stable: {_bar(models.iloc[0])}"]
    if len(models) > 1:
        told.append(f"least: {_bar(models.iloc[-1])}")
    sentence = "; ".join(told) + "."
    if "chance_p" in rows:
        above = models[models["chance_p"] < 0.05]
        sentence += f" {len(above)} of {len(models)} lie above what chance gives (p < 0.05, one-sided)."
    controls = rows[_is_control(rows)]
    if not controls.empty:
        sentence += " Controls: " + ", ".join(_bar(row) for _, row in controls.iterrows()) + "."
    return sentence


def of_lengths(table: pd.DataFrame) -> str:
    """How each line of a length figure goes from the shortest to the longest conversation."""
    if table.empty:
        return NOTHING
    several = table["measure"].nunique() > 1
    told = []
    for names, rows in _lines(table):
        rows = rows.sort_values("n_messages")
        first, last = rows.iloc[0], rows.iloc[-1]
        what = f" {MEASURES[first['measure']]}" if several else ""
        sentence = f"{names}{what} {_number(first['stability'], first['standard_error'])} after {first['n_messages']}"
        if len(rows) > 1:
            sentence += f" and {_number(last['stability'], last['standard_error'])} after {last['n_messages']}"
        told.append(f"{sentence} message{'s' if last['n_messages'] > 1 else ''}")
    return _sentence(told)


def of_contexts(effects: pd.DataFrame) -> str:
    """How stability goes with the contexts' length."""
    if effects.empty:
        return NOTHING
    told = []
    for row in effects.itertuples():
        stability = _number(row.stability, np.nan)
        sentence = f"{respondent_label(row.model, row.format)} has a mean stability of {stability} over {row.contexts} "
        if np.isfinite(row.rho):
            sentence += (
                f"contexts, and a rank correlation of {row.rho:.2f} between the length of two contexts and their "
                f"stability (p = {row.p_value:.2f})"
            )
        else:
            sentence += "contexts; their lengths have no rank correlation with it"
        told.append(sentence)
    return _sentence(told)


def of_comparison(pairs: pd.DataFrame) -> str:
    """How many pairs of respondents differ."""
    if pairs.empty:
        return "Fewer than two respondents can be compared."
    tested = pairs["significant"].notna().sum()
    significant = pairs["significant"].fillna(False).astype(bool)
    names = [f"{row.one} and {row.other}" for row in pairs[significant].head(3).itertuples()]
    which = f": {', '.join(names)}{' and others' if significant.sum() > 3 else ''}" if names else ""
    untested = f" {len(pairs) - tested} could not be tested." if tested < len(pairs) else ""
    return f"{significant.sum()} of {tested} tested pairs differ (p < 0.05 after correction){which}.{untested}"


def of_donations(table: pd.DataFrame) -> str:
    """How many correlations have the expected sign, for each respondent."""
    if table.empty:
        return NOTHING
    told = []
    for (model, format), rows in table.groupby(["model", "format"], sort=False):
        fits = (np.sign(rows["correlation"]) == rows["expected_sign"]).sum()
        values = ", ".join(f"{row.value} {row.correlation:.2f}" for row in rows.itertuples())
        told.append(f"{respondent_label(model, format)}: {values} ({fits} of {len(rows)} with the expected sign)")
    return _sentence(told)


def of_induction(table: pd.DataFrame) -> str:
    """The same model by system and by user message."""
    if table.empty:
        return NOTHING
    rows = table[(table["measure"] == "rank_order") & table["format"].isin(["tuned_sys", "tuned_no_sys"])]
    rows = rows[~_is_control(rows) & (rows["population"] == "fictional_characters")]
    return _sentence(_bar(row) for _, row in rows.iterrows())


def of_orders(table: pd.DataFrame) -> str:
    """What the single order hides or invents, and the letter bias."""
    if table.empty:
        return NOTHING
    told = []
    for row in table.itertuples():
        name, measure = respondent_label(row.model, row.format), MEASURES[row.measure]
        bias = f"letter bias {row.letter_bias:.2f} nats, most to {row.favourite}"
        if not np.isfinite(row.difference):
            told.append(f"{name}: {measure} undefined in one of the orders, {bias}")
            continue
        verb = "hides" if row.difference > 0 else "invents"
        told.append(
            f"{name}: the single order {verb} {abs(row.difference):.2f} of {measure} ({row.single:.2f} alone, "
            f"{row.balanced:.2f} balanced, {_number(row.expected, np.nan)} from expected scores), {bias}"
        )
    return _sentence(told)


def of_retest(table: pd.DataFrame) -> str:
    """Stability, retest reliability and their ratio."""
    if table.empty:
        return NOTHING
    told = []
    for row in table.itertuples():
        corrected = row.reason if np.isnan(row.corrected) else f"corrected {row.corrected:.2f}"
        told.append(
            f"{respondent_label(row.model, row.format)} ({MEASURES[row.measure]}): "
            f"{_number(row.stability, np.nan)} between contexts, {_number(row.reliability, np.nan)} between two "
            f"draws of orders in one context, {corrected}"
        )
    return _sentence(told)


def of_values(table: pd.DataFrame) -> str:
    """The most and least stable value of each respondent."""
    if table.empty:
        return NOTHING
    told = []
    for (model, format, population), rows in table.dropna().groupby(["model", "format", "population"], sort=False):
        rows = rows.sort_values("stability")
        least, most = rows.iloc[0], rows.iloc[-1]
        told.append(
            f"{respondent_label(model, format)}, {population_label(population)}: from {least['value']} "
            f"{least['stability']:.2f} to {most['value']} {most['stability']:.2f}"
        )
    return _sentence(told)


def of_map(points: pd.DataFrame, found: PersonaMap) -> str:
    """How much variance the map shows, how far the classes lie apart on it, and who is not on it."""
    if points.empty:
        return NOTHING
    share = found.explained_variance_ratio
    sentence = (
        f"Two components carry {share[0]:.0%} and {share[1]:.0%} of the variance of {len(points)} characters in "
        f"{found.n_dimensions} dimensions"
    )
    classes = points.set_index("persona")["class"].dropna().to_dict()
    if len(set(classes.values())) > 1:
        apart = class_separation(found, classes)
        sentence += (
            f"; {apart.share:.0%} of the first one's variance lies between the classes (p = {apart.p_value:.2f})"
        )
    left = f" Left out for missing scores: {', '.join(found.left_out)}." if found.left_out else ""
    return f"{sentence}.{left}"


def of_probabilities(probabilities: pd.DataFrame) -> str:
    """Which letter and which option have most of the probability, over the items of a figure."""
    if probabilities["probability"].isna().all():
        return "The service tells no probabilities of letters."
    by_letter = probabilities.groupby("letter")["probability"].mean()
    return (
        f"Over these {probabilities['item'].nunique()} items the letter {by_letter.idxmax()} has "
        f"{by_letter.max():.0%} of the probability on average, whatever it stands for."
    )


def of_letter_mass(use: pd.DataFrame) -> str:
    """The lowest and the highest mean letter mass."""
    rows = use.dropna(subset="letter_mass").sort_values("letter_mass")
    if rows.empty:
        return "The service tells no probabilities of letters."
    told = [f"{respondent_label(r.model, r.format)} {r.letter_mass:.3f}" for r in rows.iloc[[0, -1]].itertuples()]
    return f"Mean letter mass from {told[0]} to {told[1]}."


def of_letters(use: pd.DataFrame, n_letters: int = 6) -> list[str]:
    """One sentence an experiment on how much its answers follow the letters' positions, from `letter_use`."""
    return [
        f"{respondent_label(row.model, row.format)}, {population_label(row.population)}, chose the letter "
        f"{row.top_letter} for {row.top_letter_share:.0%} of its answers ({1 / n_letters:.0%} if position had no "
        f"influence); {_certainty(row)}." + (f" {row.missing:.1%} of its answers are missing." if row.missing else "")
        for row in use.itertuples()
    ]


def _certainty(row) -> str:
    if np.isnan(row.letter_mass):
        return "letters were read from what it wrote, without probabilities"
    ties, mass = f"{row.near_ties:.0%} of its answers were near-ties", f"{row.letter_mass:.1%} of the probability"
    return f"{ties}, and {mass} was on the letters"


def _bar(row: pd.Series) -> str:
    name = respondent_label(row["model"], row["format"])
    return f"{name} {_number(row['stability'], row['standard_error'])}"


def _number(stability: float, error: float) -> str:
    if not np.isfinite(stability):
        return "undefined"
    return f"{stability:.2f}" + (f" ± {error:.2f}" if np.isfinite(error) else "")


def _lines(table: pd.DataFrame):
    for (model, format, population, _), rows in table.groupby(
        ["model", "format", "population", "measure"], sort=False
    ):
        yield f"{respondent_label(model, format)}, {population_label(population)}:", rows


def _is_control(table: pd.DataFrame) -> pd.Series:
    return table["model"].str.startswith("control-")


def _sentence(told: Iterable[str]) -> str:
    told = list(told)
    return "; ".join(told) + "." if told else NOTHING
