"""What was found, in sentences made from the tables behind the figures and from nothing else."""

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd

from valuestab_utils.metrics import NO_HUMAN_19, PersonaMap, class_separation, references_19, value_ranks
from valuestab_utils.papers.tables import EXPERIMENT, NOTHING, is_control, respondent, rows_of, told
from valuestab_utils.plots import MEASURES as MEASURE_LABELS
from valuestab_utils.plots import respondent_label
from valuestab_utils.prompts import population_label

NO_STABILITY = "No model has a defined stability here."
NO_MAP = "No map is defined: the values do not vary, or there are too few runs."
MEASURES = {name: label[0].lower() + label[1:] for name, label in MEASURE_LABELS.items()}


# Kovač et al. 2024


@told(nothing=NO_STABILITY)
def of_bars(rows: pd.DataFrame) -> str:
    """The most and the least stable model of a figure, whether they beat chance, and what the controls did."""
    models = rows[~is_control(rows) & rows["stability"].notna()].sort_values("stability", ascending=False)
    if models.empty:
        return NO_STABILITY
    bars, controls = [_bar(row) for row in models.itertuples()], rows[is_control(rows)]
    above = (models["chance_p"] < 0.05).sum()
    sentence = f"Most stable: {bars[0]}" + (f"; least: {bars[-1]}" if len(bars) > 1 else "")
    sentence += f". {above} of {len(models)} lie above what chance gives (p < 0.05, one-sided)."
    if len(controls):
        sentence += f" Controls: {', '.join(_bar(row) for row in controls.itertuples())}."
    return sentence


@told("stability")
def of_values(table: pd.DataFrame) -> str:
    """The most and least stable value of each respondent."""
    parts = []
    for who, rows in _by_experiment(table):
        least, most = rows.sort_values("stability").iloc[[0, -1]].itertuples()
        parts.append(f"{who} from {least.value} {least.stability:.2f} to {most.value} {most.stability:.2f}")
    return joined(parts)


@told(nothing="Fewer than two respondents can be compared.")
def of_comparison(pairs: pd.DataFrame) -> str:
    tested = pairs["significant"].notna().sum()
    significant = pairs[pairs["significant"].fillna(False).astype(bool)]
    names = [f"{row.one} and {row.other}" for row in significant.head(3).itertuples()]
    which = f": {', '.join(names)}{' and others' * (len(significant) > 3)}" if names else ""
    untested = f" {len(pairs) - tested} could not be tested." if tested < len(pairs) else ""
    return f"{len(significant)} of {tested} tested pairs differ (p < 0.05 after correction){which}.{untested}"


@told()
def of_induction(table: pd.DataFrame) -> str:
    """The same model by system and by user message."""
    rows = rows_of(table[~is_control(table)], measure="rank_order", population="fictional_characters")
    return joined(_bar(row) for row in rows[rows["format"] != "base"].itertuples())


@told()
def of_lengths(table: pd.DataFrame) -> str:
    """How each line of a length figure goes from the shortest to the longest conversation."""
    several = table["measure"].nunique() > 1
    parts = []
    for who, rows in _by_experiment(table, "measure"):
        first, last = rows.sort_values("n_messages").iloc[[0, -1]].itertuples()
        what = f" {MEASURES[first.measure]}" if several else ""
        part = f"{who}{what} {number(first.stability, first.standard_error)} after {first.n_messages}"
        if len(rows) > 1:
            part += f" and {number(last.stability, last.standard_error)} after {last.n_messages}"
        parts.append(f"{part} message{'s' if last.n_messages > 1 else ''}")
    return joined(parts)


@told()
def of_contexts(effects: pd.DataFrame) -> str:
    """How stability goes with the contexts' length."""
    parts = []
    for row in effects.itertuples():
        how = "; their lengths have no rank correlation with it"
        if np.isfinite(row.rho):
            how = f", and a rank correlation of {row.rho:.2f} between the length of two contexts and their stability"
            how += f" (p = {row.p_value:.2f})"
        stability = number(row.stability)
        parts.append(f"{respondent(row)} has a mean stability of {stability} over {row.contexts} contexts{how}")
    return joined(parts)


@told()
def of_orders(table: pd.DataFrame) -> str:
    """What the single order hides or invents, and the letter bias."""
    parts = []
    for row in table.itertuples():
        measure = MEASURES[row.measure]
        what = f"{measure} undefined in one of the orders"
        if np.isfinite(row.difference):
            what = (
                f"the single order {'hides' if row.difference > 0 else 'invents'} {abs(row.difference):.2f} of "
                f"{measure} ({row.single:.2f} alone, {row.balanced:.2f} balanced, {number(row.expected)} from "
                "expected scores)"
            )
        parts.append(f"{respondent(row)}: {what}, letter bias {row.letter_bias:.2f} nats, most to {row.favourite}")
    return joined(parts)


@told()
def of_retest(table: pd.DataFrame) -> str:
    """Stability, retest reliability and their ratio."""
    return joined(
        f"{respondent(row)} ({MEASURES[row.measure]}): {number(row.stability)} between contexts, "
        f"{number(row.reliability)} between two draws of orders in one context, "
        + (row.reason or f"corrected {row.corrected:.2f}")
        for row in table.itertuples()
    )


@told()
def of_donations(table: pd.DataFrame) -> str:
    """How many correlations have the expected sign, for each respondent."""
    parts = []
    for (model, format), rows in table.groupby(["model", "format"], sort=False):
        fits = (np.sign(rows["correlation"]) == rows["expected_sign"]).sum()
        values = ", ".join(f"{row.value} {row.correlation:.2f}" for row in rows.itertuples())
        parts.append(f"{respondent_label(model, format)}: {values} ({fits} of {len(rows)} with the expected sign)")
    return joined(parts)


def of_map(points: pd.DataFrame, found: PersonaMap) -> str:
    """How much variance the map shows, how far the classes lie apart on it, and who is not on it."""
    if points.empty:
        return next(iter(found.left_out.values()), NOTHING)
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


# Rozen et al. 2025


def of_personas(conversations: pd.DataFrame) -> str:
    """How many personas that a model wrote are empty or were cut off: such runs are of nobody, or of half a persona."""
    written = rows_of(conversations, population="generated_persona", message=1)
    sentences = [
        f"{respondent_label(*names)}: of {len(of)} personas, {(of['content'].str.strip() == '').sum()} are empty "
        f"and {(of['finish'] == 'length').sum()} were cut off at the length limit."
        for names, of in written.groupby(["model", "format"], sort=False)
    ]
    return " ".join(sentences) or NOTHING


@told()
def of_hierarchies(agreement: pd.DataFrame) -> str:
    """Range of the rank correlations with the human hierarchy, by respondent."""
    sentences = []
    for label, rows in agreement.groupby("label", sort=False):
        known = rows.dropna(subset="rho").sort_values("rho")
        ends = [f"{row.rho:.2f} ({_where(row)})" for row in known.itertuples()][:: max(len(known) - 1, 1)]
        significant = (known["p_value"] < 0.05).sum()
        span = f"rho {' to '.join(ends)}; p < 0.05 in {significant} of {len(known)}" if ends else "undefined"
        sentences.append(f"{label}: {span}.")
    return " ".join(sentences)


@told()
def of_lines(lines: pd.DataFrame) -> str:
    """The values that each respondent puts first and last."""
    sentences = []
    for label, rows in rows_of(lines, kind="run").dropna(subset="mean").groupby("label", sort=False):
        ranks = value_ranks(rows["mean"].to_numpy())
        most, least = (", ".join(rows["acronym"][ranks == end]) for end in (ranks.min(), ranks.max()))
        alike = ranks.min() == ranks.max()
        sentences.append(f"{label} puts {'all values alike' if alike else f'{most} first and {least} last'}.")
    people = rows_of(lines, kind="human").sort_values("human_rank")["acronym"]
    return " ".join([*sentences, f"People put {people.iloc[0]} first and {people.iloc[-1]} last."])


@told()
def of_structures(table: pd.DataFrame) -> str:
    """Distance of each respondent's structures from the reference, and why some are undefined."""
    sentences = []
    for (label, reference), rows in table.groupby(["label", "reference"], sort=False):
        known, undefined = rows.dropna(subset="disparity").sort_values("disparity"), rows[rows["disparity"].isna()]
        parts = [distance(row) for row in known.itertuples()][:: max(len(known) - 1, 1)]
        parts = [f"{part} at {end}" for part, end in zip(parts, ("best", "worst"))] or ["no structure defined"]
        why = f"; undefined in {len(undefined)} of {len(rows)}: " + "".join(undefined["reason"][:1]).rstrip(".")
        sentences.append(f"{label}, to {REFERENCES[reference]}: {', '.join(parts)}{why if len(undefined) else ''}.")
    if "human" not in set(table["reference"]):
        sentences.append("What the paper prints is to people, and cannot be compared with distances from the circle.")
    return " ".join(sentences)


def without_humans() -> str:
    """That the human structure is not at hand, and what would bring it, if it is not."""
    return NO_HUMAN_19 if len(references_19()) == 1 else ""


@told("disparity", NO_MAP)
def of_maps(points: pd.DataFrame) -> str:
    """The condition whose map is nearest to the reference."""
    known = points.drop_duplicates("panel")
    best = known.loc[known["disparity"].idxmin()]
    return f"Nearest to {REFERENCES[best.reference]}: {best.panel} (SSD {best.disparity:.2f}), of {len(known)} maps."


@told()
def of_anchors(fits: pd.DataFrame) -> str:
    """Amplitude and fit of the sinusoid around the anchored value."""
    sentences = []
    for row in fits.itertuples():
        anchors = "" if row.n_anchors == 19 else f", {row.n_anchors} of 19 values anchored"
        curve = f"amplitude {row.amplitude:.2f} points, highest {row.peak:+.1f} places from the anchor"
        curve += f", R² {row.r_squared:.2f}{anchors}"
        sentences.append(f"{row.label}: {'no curve could be fitted' if pd.isna(row.r_squared) else curve}.")
    return " ".join(sentences)


def of_administrations(differences: pd.DataFrame, parsed: pd.DataFrame) -> str:
    """Runs that could be parsed, and whether ways of asking agree differently with people."""
    sentences = [
        f"{row.label}, in one prompt at {row.temperature:g}: {row.n_parsed} of {row.n_runs} runs could be parsed."
        for row in parsed[~is_control(parsed)].itertuples()
    ]
    tested = differences.dropna(subset="z")
    sentences += [
        f"{row.label}, {_where(row)}: {row.first} {row.rho_first:.2f}, {row.second} {row.rho_second:.2f} "
        f"({row.n_runs} runs, z = {row.z:.2f}, p = {row.p_value:.2f})."
        for row in tested.itertuples()
    ]
    if len(tested) < len(differences):
        untested = len(differences) - len(tested)
        sentences.append(f"{untested} comparisons are undefined, for want of a hierarchy on one side.")
    return " ".join(sentences) or NOTHING


# Yehudai et al.


@told()
def of_similarities(table: pd.DataFrame) -> str:
    """Best and worst similarity of each respondent, with what it is of, what it is compared with, and averaged over."""
    sentences = []
    for label, rows in table.groupby("label", sort=False):
        known = rows.dropna(subset="mean").sort_values("mean", ascending=False)
        ends = [_similarity(row) for row in known.to_dict("records")][:: max(len(known) - 1, 1)]
        lacking = f"; {len(rows) - len(known)} of {len(rows)} undefined" if len(known) < len(rows) else ""
        sentences.append(f"{label}: {' to '.join(ends)}{lacking}." if ends else f"{label}: undefined. {_reason(rows)}")
    known = table.dropna(subset="mean")
    for column in ("reference_label", "human_label"):
        sentences += [f"Compared with: {text}." for text in _texts(known, column)]
    return " ".join([*sentences, *(f"Averaged over: {text}." for text in _texts(known, "instruments"))])


@told()
def of_signs(table: pd.DataFrame) -> str:
    """How many of the published signs are reproduced."""
    known = table.dropna(subset="reproduced")
    if known.empty:
        return f"All {len(table)} correlations whose sign is published are undefined."
    undefined = f" {len(table) - len(known)} correlations are undefined." if len(known) < len(table) else ""
    return f"{known['reproduced'].astype(bool).sum()} of {len(known)} published signs are reproduced.{undefined}"


@told()
def of_correlations(table: pd.DataFrame) -> str:
    """The strongest correlation of a value with a behaviour."""
    known = table.dropna(subset="r")
    if known.empty:
        return " ".join(["No correlation is defined.", *_texts(table, "reason")[:1]])
    strongest, undefined = known.loc[known["r"].abs().idxmax()], len(table) - len(known)
    lacking = f" {undefined} of {len(table)} correlations are undefined." if undefined else ""
    return f"Strongest: {strongest.value} with {strongest.behaviour} (r = {strongest.r:.2f}).{lacking}"


@told("agreement")
def of_agreement(table: pd.DataFrame) -> str:
    """The behaviour on which the higher-order values differ most."""
    shares = table.groupby("behaviour", sort=False)["agreement"]
    spread = shares.max() - shares.min()
    return (
        f"On average, agreement differs by {spread.mean():.0%} between higher-order values; most on "
        f"{spread.idxmax().lower()} ({spread.max():.0%})."
    )


@told()
def of_opposites(table: pd.DataFrame) -> str:
    """Correlations of the two pairs of opposite higher-order values."""
    parts = []
    for one, other in (("Openness to change", "Conservation"), ("Self-enhancement", "Self-transcendence")):
        (r,) = rows_of(table, value_a=one, value_b=other)["r"].head(1)
        parts.append(f"{one} and {other.lower()}: {number(r)}")
    return f"{'; '.join(parts)} (the theory expects both to be negative)."


@told("agreement")
def of_politics(table: pd.DataFrame) -> str:
    """Which higher-order value agrees most with conservative politics, by respondent."""
    most = table.loc[table.groupby("label", sort=False)["agreement"].idxmax()].itertuples()
    return joined(f"{row.label}: most with {row.higher_order.lower()} ({row.agreement:.0%})" for row in most)


# Their grammar

REFERENCES = {"human": "people", "theory": "the theory's circle"}


def joined(parts: Iterable[str]) -> str:
    """One sentence of several parts."""
    told = "; ".join(parts)
    return f"{told}." if told else NOTHING


def _by_experiment(table: pd.DataFrame, *also: str) -> Iterator[tuple[str, pd.DataFrame]]:
    for (model, format, population, *_), rows in table.groupby([*EXPERIMENT, *also], sort=False):
        yield f"{respondent_label(model, format)}, {population_label(population)}:", rows


def _bar(row) -> str:
    return f"{respondent(row)} {number(row.stability, row.standard_error)}"


def number(number: float, error: float = np.nan) -> str:
    if not np.isfinite(number):
        return "undefined"
    return f"{number:.2f}" + (f" ± {error:.2f}" if np.isfinite(error) else "")


def _where(row) -> str:
    return f"{population_label(row.population)} at {row.temperature:g}"


def distance(row) -> str:
    interval = f" [{row.low:.2f}, {row.high:.2f}]" if pd.notna(row.low) else ", without an interval"
    return f"{row.disparity:.2f}{interval} ({_where(row)}, {row.n_runs:.0f} runs)"


def _similarity(row: dict) -> str:
    interval = f" [{row['low']:.2f}, {row['high']:.2f}]" if pd.notna(row.get("low")) else ""
    return f"{row['mean']:.2f}{interval} ({row['row']})"


def _reason(rows: pd.DataFrame) -> str:
    """Why a similarity is undefined: what the runs lack, before what is not known of people."""
    compared = rows[rows["n_cells"] > 0] if "n_cells" in rows else rows
    reasons = [*_texts(compared, "reason"), *_texts(rows, "reason"), "There are no human data to compare with."]
    return reasons[0]


def _texts(table: pd.DataFrame, column: str) -> list[str]:
    return [text for text in table[column].dropna().unique() if text] if column in table else []
