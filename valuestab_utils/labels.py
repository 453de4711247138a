"""What names in tables are called in figures and sentences, and the order and colours of families."""

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd
import yaml

from valuestab_utils.errors import ValuestabError
from valuestab_utils.paths import DATA

FORMATS = {"base": "base", "tuned_sys": "system", "tuned_no_sys": "no system"}
POPULATIONS = {
    "fictional_characters": "fictional characters",
    "real_world_personas": "real-world personas",
    "none": "no persona",
    "basic": "basic prompt",
    "value_anchor": "value anchors",
    "demographic": "demographic prompts",
    "generated_persona": "generated personas",
    "names": "names",
    "value_prompts": "value prompts",
    "value_names": "value names",
    "filled_questionnaire": "filled questionnaires",
    "value_prompts_filled": "value prompts and filled questionnaires",
}
MEASURES = {
    "rank_order": "Rank-order stability",
    "ipsative": "Ipsative stability",
    "neutral_similarity": "Similarity to the neutral profile",
    "rank_order_neutral": "Rank-order stability to the neutral order",
}
QUESTIONNAIRE = "PVQ-40"
TASKS = {
    "Donation": "donations",
    "Stealing": "what is done with found gold",
    "Religion": "time given to religion",
}
WORDINGS = {
    "project": "PVQ-40 in this project's own wording, NOT the published one",
    "published": "PVQ-40 in the published wording",
}
CONTROL = "control"

_VARIANT = re.compile(r"-[48]b$")


@dataclass(frozen=True)
class FamilyStyle:
    """How a family of models is drawn: a colour (as matplotlib takes it) and a marker."""

    colour: str
    marker: str


def respondent_label(model: str, format: str) -> str:
    """Name of a model in a prompt format; the paper's name of the model if it has one.

    Parameters
    ----------
    model : str
        As tables have it: the hub id with ``--`` for its slash, with a suffix for a quantized variant, or a
        control.
    format : str
        A key of `FORMATS`; another is shown as it is. A control has one format, which is not shown.

    Examples
    --------
    >>> respondent_label("mistralai--Mistral-7B-Instruct-v0.2", "tuned_no_sys")
    'Mistral-7B-Instruct-v0.2 (no system)'
    >>> respondent_label("meta-llama--Llama-2-70b-chat-hf-4b", "tuned_sys")
    'llama_2_70b_chat-4b (system)'
    >>> respondent_label("control-random", "base")
    'random control'
    """
    if model.startswith("control-"):
        return model.removeprefix("control-") + " control"
    return f"{model_label(model)} ({FORMATS.get(format, format)})"


def model_label(model: str) -> str:
    """Name of a model without its format.

    Examples
    --------
    >>> model_label("meta-llama--Llama-2-7b-hf"), model_label("SmolLM2-135M-Instruct-4b")
    ('llama_2_7b', 'SmolLM2-135M-Instruct-4b')
    """
    name = model.split("--")[-1]
    variant = _VARIANT.search(name)
    suffix = variant.group() if variant else ""
    plain = name.removesuffix(suffix)
    return _drawing()["paper_names"].get(plain, plain) + suffix


def respondent_labels(table: pd.DataFrame) -> list[str]:
    """`respondent_label` of each row of a table with the columns model and format."""
    return [respondent_label(model, format) for model, format in zip(table["model"], table["format"])]


def experiment_labels(table: pd.DataFrame, between: str = ", ") -> list[str]:
    """Respondent and population of each row of a table with the columns model, format and population.

    Examples
    --------
    >>> table = pd.DataFrame({"model": ["m"], "format": ["base"], "population": ["none"]})
    >>> experiment_labels(table)
    ['m (base), no persona']
    """
    where = [population_label(name) for name in table["population"]]
    return [f"{who}{between}{population}" for who, population in zip(respondent_labels(table), where)]


def row_labels(table: pd.DataFrame) -> list[str]:
    """Respondent of each row, with its population and its measure where the table has several.

    Examples
    --------
    >>> table = pd.DataFrame({"model": ["m", "m"], "format": "base", "population": "none"})
    >>> row_labels(table.assign(measure=["rank_order", "ipsative"]))
    ['m (base)\\nrank-order', 'm (base)\\nipsative']
    """
    several = [name for name in ("population", "measure") if name in table and table[name].nunique() > 1]
    named = experiment_labels(table) if "population" in several else respondent_labels(table)
    if "measure" in several:
        named = [f"{name}\n{measure.replace('_', '-')}" for name, measure in zip(named, table["measure"])]
    return named


def populations_of(table: pd.DataFrame) -> str:
    """Names of a table's populations.

    Examples
    --------
    >>> populations_of(pd.DataFrame({"population": ["none", "real_world_personas", "none"]}))
    'no persona, real-world personas'
    """
    return ", ".join(population_label(name) for name in dict.fromkeys(table["population"]))


def population_label(population: str) -> str:
    """Name of a population; that of a user's own file is the file's.

    Examples
    --------
    >>> population_label("none"), population_label("my_people")
    ('no persona', 'my people')
    """
    return POPULATIONS.get(population, population.replace("_", " "))


def measure_label(measure: str, instrument: str = QUESTIONNAIRE) -> str:
    """Name of a measure of an instrument.

    Examples
    --------
    >>> measure_label("rank_order"), measure_label("rank_order", "Donation")
    ('Rank-order stability', 'Rank-order stability of donations')
    """
    of = "" if instrument == QUESTIONNAIRE else f" of {TASKS.get(instrument, instrument)}"
    return MEASURES[measure] + of


def instrument_label(instrument: str, wording: str) -> str:
    """Which questions were asked, and in which wording.

    Examples
    --------
    >>> instrument_label("PVQ-40", "published"), instrument_label("Donation", "5 of 100 questions")
    ('PVQ-40 in the published wording', 'Donation, 5 of 100 questions')
    """
    if instrument == QUESTIONNAIRE and wording in WORDINGS:
        return WORDINGS[wording]
    return f"{instrument}, {wording}"


def unit_label(unit: str, population: str) -> str:
    """What a standard error is over: without persona, what stands for personas are orders of the options.

    Examples
    --------
    >>> unit_label("personas", "none"), unit_label("seeds", "fictional_characters")
    ('option-order permutations', 'seeds')
    """
    return "option-order permutations" if (unit, population) == ("personas", "none") else unit


def family_styles(families: Iterable[str]) -> dict[str, FamilyStyle]:
    """Families in the order of paper 001's figures, others by name, controls last, and their styles.

    Parameters
    ----------
    families : iterable of str
        In any order and number.

    Returns
    -------
    dict of str to FamilyStyle
        One entry a family, in the order to draw them in.

    Examples
    --------
    >>> list(family_styles(["control", "SmolLM2", "Qwen", "Gemma", "LLaMa-2", "Qwen"]))
    ['LLaMa-2', 'Qwen', 'Gemma', 'SmolLM2', 'control']
    """
    drawing, there = _drawing(), set(families)
    styles = {family: style for family, style in drawing["families"].items() if family in there}
    others = sorted(there - set(styles) - {CONTROL})
    spare = drawing["others"]
    styles |= {family: spare[i % len(spare)] for i, family in enumerate(others)}
    if CONTROL in there:
        styles[CONTROL] = drawing[CONTROL]
    return {family: FamilyStyle(**style) for family, style in styles.items()}


def in_family_order(table: pd.DataFrame) -> pd.DataFrame:
    """Rows by family, as `family_styles` orders them; within a family they keep their order.

    Examples
    --------
    >>> table = pd.DataFrame({"model": ["r", "b", "a"], "family": ["control", "Qwen", "Qwen"]})
    >>> list(in_family_order(table)["model"])
    ['b', 'a', 'r']
    """
    if table["family"].isna().any():
        nameless = table["model"][table["family"].isna()].iloc[0]
        raise ValuestabError(f"{nameless} has no family: give it one in data/models.yaml.")
    places = {family: i for i, family in enumerate(family_styles(table["family"]))}
    return table.iloc[table["family"].map(places).argsort(kind="stable")]


@functools.cache
def _drawing() -> dict:
    return yaml.safe_load((DATA / "families.yaml").read_text(encoding="utf-8"))
