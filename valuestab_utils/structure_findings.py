"""What notebook 06 found, in sentences made from its tables and from nothing else."""

import pandas as pd

from valuestab_utils.labels import population_label, respondent_label
from valuestab_utils.value_hierarchy import value_ranks
from valuestab_utils.value_references import NO_HUMAN_19, human_structure_19

NOTHING = "Nothing of this was run."


def of_personas(conversations: pd.DataFrame) -> str:
    """How many personas that a model wrote are empty or were cut off: such runs are of nobody, or of half a persona.

    Parameters
    ----------
    conversations : DataFrame
        From `valuestab_utils.study.Study.conversations`.
    """
    if conversations.empty:
        return NOTHING
    written = conversations.query("population == 'generated_persona' and message == 1")
    sentences = [
        f"{respondent_label(*names)}: of {len(of)} personas, {int((of['content'].str.strip() == '').sum())} are empty "
        f"and {int((of['finish'] == 'length').sum())} were cut off at the length limit."
        for names, of in written.groupby(["model", "format"], sort=False)
    ]
    return " ".join(sentences) or NOTHING


def of_agreement(table: pd.DataFrame) -> str:
    """Range of the rank correlations with the human hierarchy, by respondent.

    Parameters
    ----------
    table : DataFrame
        From `valuestab_utils.structure_results.agreement`.
    """
    own = table[~table["published"]] if len(table) else table
    if own.empty:
        return NOTHING
    sentences = []
    for label, rows in own.groupby("label", sort=False):
        known = rows.dropna(subset="rho").sort_values("rho")
        if known.empty:
            sentences.append(f"{label}: undefined.")
            continue
        least, most = known.iloc[0], known.iloc[-1]
        significant = int((known["p_value"] < 0.05).sum())
        span = f"rho {least.rho:.2f} ({_where(least)})"
        if len(known) > 1:
            span += f" to {most.rho:.2f} ({_where(most)})"
        sentences.append(f"{label}: {span}; p < 0.05 in {significant} of {len(known)}.")
    return " ".join(sentences)


def of_lines(lines: pd.DataFrame) -> str:
    """The values that each respondent puts first and last."""
    own = lines[lines["kind"] == "run"].dropna(subset="mean") if len(lines) else lines
    if own.empty:
        return NOTHING
    sentences = []
    for label, rows in own.groupby("label", sort=False):
        ranks = value_ranks(rows["mean"].to_numpy())
        most, least = rows["acronym"][ranks == ranks.min()], rows["acronym"][ranks == ranks.max()]
        if ranks.min() == ranks.max():
            sentences.append(f"{label} puts all values alike.")
            continue
        sentences.append(f"{label} puts {', '.join(most)} first and {', '.join(least)} last.")
    human = lines[lines["kind"] == "human"].sort_values("human_rank")["acronym"]
    return " ".join(sentences) + f" People put {human.iloc[0]} first and {human.iloc[-1]} last."


def of_structures(table: pd.DataFrame) -> str:
    """Distance of each respondent's structures from the reference, and why some are undefined."""
    own = table[~table["published"]] if len(table) else table
    if own.empty:
        return NOTHING
    sentences = []
    for (label, reference), rows in own.groupby(["label", "reference"], sort=False):
        known = rows.dropna(subset="disparity").sort_values("disparity")
        told = f"{label}, to {_reference(reference)}: "
        told += f"{_distance(known.iloc[0])} at best" if len(known) else "no structure defined"
        told += f", {_distance(known.iloc[-1])} at worst" if len(known) > 1 else ""
        undefined = rows[rows["disparity"].isna()]
        if len(undefined):
            told += f"; undefined in {len(undefined)} of {len(rows)}: {undefined['reason'].iloc[0].rstrip('.')}"
        sentences.append(told + ".")
    if "human" not in set(own["reference"]):
        sentences.append("What the paper prints is to people, and cannot be compared with distances from the circle.")
    return " ".join(sentences)


def of_maps(points: pd.DataFrame) -> str:
    """The condition whose map is nearest to the reference."""
    known = points.dropna(subset="disparity").drop_duplicates("panel") if len(points) else points
    if known.empty:
        return "No map is defined: the values do not vary, or there are too few runs."
    best = known.sort_values("disparity").iloc[0]
    return f"Nearest to {_reference(best.reference)}: {best.panel} (SSD {best.disparity:.2f}), of {len(known)} maps."


def of_anchors(fits: pd.DataFrame) -> str:
    """Amplitude and fit of the sinusoid around the anchored value."""
    if fits.empty:
        return NOTHING
    sentences = []
    for row in fits.itertuples():
        if pd.isna(row.r_squared):
            sentences.append(f"{row.label}: no curve could be fitted.")
            continue
        anchors = "" if row.n_anchors == 19 else f", {row.n_anchors} of 19 values anchored"
        sentences.append(
            f"{row.label}: amplitude {row.amplitude:.2f} points, highest {row.peak:+.1f} places from the anchor, "
            f"R² {row.r_squared:.2f}{anchors}."
        )
    return " ".join(sentences)


def of_administrations(differences: pd.DataFrame, parsed: pd.DataFrame) -> str:
    """Runs that could be parsed, and whether ways of asking agree differently with people."""
    sentences = [
        f"{row.label}, in one prompt at {row.temperature:g}: {row.n_parsed} of {row.n_runs} runs could be parsed."
        for row in parsed.itertuples()
        if not row.model.startswith("control-")
    ]
    tested = differences.dropna(subset="z") if len(differences) else differences
    for row in tested.itertuples():
        sentences.append(
            f"{row.label}, {population_label(row.population)} at {row.temperature:g}: {row.first} {row.rho_first:.2f}, "
            f"{row.second} {row.rho_second:.2f} ({row.n_runs} runs, z = {row.z:.2f}, p = {row.p_value:.2f})."
        )
    untested = len(differences) - len(tested)
    if untested:
        sentences.append(f"{untested} comparisons are undefined, for want of a hierarchy on one side.")
    return " ".join(sentences) or NOTHING


def without_humans() -> list[str]:
    """The sentence on the human structure that is not at hand, if it is not."""
    return [NO_HUMAN_19] if human_structure_19() is None else []


def summary(agreement: pd.DataFrame, structures: pd.DataFrame, tested: str) -> list[str]:
    """What the run found, in one sentence for the model and one for the controls.

    Parameters
    ----------
    agreement, structures : DataFrame
        From `valuestab_utils.structure_results`, by letters.
    tested : str
        Name of the studied model.
    """
    sentences: list[str] = []
    if agreement.empty:
        return sentences
    own = agreement[~agreement["published"]]
    is_control = own["model"].str.startswith("control-")
    for chosen in (own[own["model"] == tested], own[is_control]):
        parts = []
        for label, rows in chosen.query("temperature == 0").groupby("label", sort=False):
            anchored = rows[rows["population"] == "value_anchor"]
            if anchored.empty:
                continue
            fit = structures[(structures["label"] == label) & (structures["population"] == "value_anchor")]
            fit = fit[(fit["temperature"] == 0) & ~fit["published"]].dropna(subset="disparity")
            distances = [f"SSD to {_reference(row.reference)} {_distance(row)}" for row in fit.itertuples()]
            told = ", ".join(distances) or "SSD undefined"
            parts.append(f"{label}: rho {_number(anchored['rho'].iloc[0])} with people, {told}")
        if parts:
            sentences.append(f"Value anchors: {'; '.join(parts)}.")
    return sentences


def _where(row: pd.Series) -> str:
    return f"{population_label(row.population)} at {row.temperature:g}"


def _reference(kind: str) -> str:
    return "the theory's circle" if kind == "theory" else "people"


def _distance(row: pd.Series) -> str:
    interval = f" [{row.low:.2f}, {row.high:.2f}]" if pd.notna(row.low) else ", without an interval"
    return f"{row.disparity:.2f}{interval} ({_where(row)}, {int(row.n_runs)} runs)"


def _number(value: float) -> str:
    return "undefined" if pd.isna(value) else f"{value:.2f}"
