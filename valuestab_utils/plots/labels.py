"""What names in tables are called in figures and sentences, and how what they name is drawn."""

import functools
import re
from collections.abc import Iterable
from itertools import cycle

import pandas as pd
import yaml

from valuestab_utils.paths import DATA
from valuestab_utils.prompts import population_label

FORMATS = {"base": "base", "tuned_sys": "system", "tuned_no_sys": "no system"}
MEASURES = {
    "rank_order": "Rank-order stability",
    "ipsative": "Ipsative stability",
    "neutral_similarity": "Similarity to the neutral profile",
    "rank_order_neutral": "Rank-order stability to the neutral order",
}
QUESTIONNAIRE = "PVQ-40"
EXPERIMENT = ["model", "format", "population"]
TASKS = {
    "Donation": "donations",
    "Stealing": "what is done with found gold",
    "Religion": "time given to religion",
}
WORDINGS = {
    "project": "PVQ-40 in this project's own wording, NOT the published one",
    "published": "PVQ-40 in the published wording",
}
REFERENCES = {"human": "people", "theory": "the theory's circle"}
CONDITIONS = ("basic", "value_anchor", "demographic", "generated_persona", "names")  # table 1 of paper 002

# In the order of the circle, as matplotlib takes them.
HIGHER_ORDER = {
    "Openness to change": {"label": "openness to change", "color": "#E69F00", "marker": "o"},
    "Self-enhancement": {"label": "self-enhancement", "color": "#0072B2", "marker": "s"},
    "Conservation": {"label": "conservation", "color": "#CC79A7", "marker": "^"},
    "Self-transcendence": {"label": "self-transcendence", "color": "#009E73", "marker": "D"},
    "hedonism": {"label": "hedonism", "color": "#D55E00", "marker": "v"},
    "between": {"label": "between two of them", "color": "#666666", "marker": "p"},
}
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#000000")  # Okabe and Ito, without its red
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_VARIANT = re.compile(r"-[48]b$")


def number(value: float, undefined: str = "undefined") -> str:
    """Two decimals, or the word for NaN."""
    return undefined if pd.isna(value) else f"{value:.2f}"


def respondent_label(model: str, format: str) -> str:
    """Name of a model in a prompt format; the paper's name of the model if it has one.

    `model` is as tables have it: the hub id with ``--`` for its slash, with a suffix for a quantized variant, or a
    control. A control has one format, which is not shown.

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
    """Name of a model without its format."""
    name = model.split("--")[-1]
    variant = _VARIANT.search(name)
    suffix = variant.group() if variant else ""
    plain = name.removesuffix(suffix)
    return _drawing()["paper_names"].get(plain, plain) + suffix


def respondent_labels(table: pd.DataFrame) -> list[str]:
    """`respondent_label` of each row of a table with the columns model and format."""
    return [respondent_label(model, format) for model, format in zip(table["model"], table["format"])]


def experiment_labels(table: pd.DataFrame, between: str = ", ") -> list[str]:
    """Respondent and population of each row of a table with the columns model, format and population."""
    where = [population_label(name) for name in table["population"]]
    return [f"{who}{between}{population}" for who, population in zip(respondent_labels(table), where)]


def row_labels(table: pd.DataFrame) -> list[str]:
    """Respondent of each row, with its population and its measure where the table has several.

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
    """Names of a table's populations, each once."""
    return ", ".join(population_label(name) for name in dict.fromkeys(table["population"]))


def measure_label(measure: str, instrument: str = QUESTIONNAIRE) -> str:
    """Name of a measure of an instrument."""
    of = "" if instrument == QUESTIONNAIRE else f" of {TASKS.get(instrument, instrument)}"
    return MEASURES[measure] + of


def measures_of(measures: Iterable[str]) -> str:
    """Names of measures, each once, as a sentence has them.

    >>> measures_of(["rank_order", "ipsative", "ipsative"])
    'Rank-order stability and ipsative stability'
    """
    first, *others = [measure_label(measure) for measure in dict.fromkeys(measures)]
    return " and ".join([first, *(name[0].lower() + name[1:] for name in others)])


def instrument_label(instrument: str, wording: str) -> str:
    """Which questions were asked, and in which wording."""
    if instrument == QUESTIONNAIRE and wording in WORDINGS:
        return WORDINGS[wording]
    return f"{instrument}, {wording}"


def units_of(rows: pd.DataFrame) -> str:
    """What standard errors are over: without persona, what stands for personas are orders of the options."""
    units = rows["unit"].mask(rows["unit"].eq("personas") & rows["population"].eq("none"), "option-order permutations")
    return " or ".join(dict.fromkeys(units))


def family_styles(families: Iterable[str]) -> dict[str, dict[str, str]]:
    """Colour and marker of families, in the order of paper 001's figures, others by name, controls last.

    >>> list(family_styles(["control", "SmolLM2", "Qwen", "Gemma", "LLaMa-2", "Qwen"]))
    ['LLaMa-2', 'Qwen', 'Gemma', 'SmolLM2', 'control']
    """
    drawing, there = _drawing(), set(families)
    others = sorted(there - set(drawing["families"]) - {"control"})
    styles = drawing["families"] | dict(zip(others, cycle(drawing["others"]))) | {"control": drawing["control"]}
    return {family: style for family, style in styles.items() if family in there}


def in_family_order(table: pd.DataFrame) -> pd.DataFrame:
    """Rows by family, as `family_styles` orders them; within a family they keep their order."""
    places = list(family_styles(table["family"]))
    return table.sort_values("family", key=lambda families: families.map(places.index), kind="stable")


@functools.cache
def _drawing() -> dict:
    return yaml.safe_load((DATA / "families.yaml").read_text(encoding="utf-8"))


def higher_order_styles(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Label, colour and marker of higher-order values, in the order of the circle."""
    there = set(names)
    return {name: style for name, style in HIGHER_ORDER.items() if name in there}


def run_styles(labels: Iterable[str]) -> dict[str, dict[str, str]]:
    """Colour and marker of each label, in order; both only repeat together after 42 of them."""
    pairs = zip(cycle(_COLOURS), cycle(_MARKERS))
    return {label: {"color": c, "marker": m} for label, (c, m) in zip(dict.fromkeys(labels), pairs)}


def in_condition_order(conditions: Iterable[str]) -> list[str]:
    """Conditions in the order of paper 002's table 1, others after them as they come.

    >>> in_condition_order(["names", "my_prompt", "basic", "names"])
    ['basic', 'names', 'my_prompt']
    """
    there = list(dict.fromkeys(conditions))
    return [name for name in CONDITIONS if name in there] + [name for name in there if name not in CONDITIONS]


def condition_label(condition: str) -> str:
    """Name of a condition on two lines, for narrow columns."""
    return population_label(condition).replace(" ", "\n", 1)
