"""Names and colours of respondents in figures and sentences."""

import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from valuestab_utils.errors import ValuestabError
from valuestab_utils.labels import (
    family_styles,
    in_family_order,
    instrument_label,
    measure_label,
    model_label,
    respondent_label,
    row_labels,
)

PAPER = ["LLaMa-2", "Mistral", "Mixtral", "Phi", "Qwen", "GPT-3.5"]


def test_every_model_of_the_paper_has_its_name_there():
    assert respondent_label("mistralai--Mistral-7B-Instruct-v0.2", "tuned_no_sys") == (
        "Mistral-7B-Instruct-v0.2 (no system)"
    )
    assert respondent_label("SmolLM2-135M-Instruct-4b", "tuned_sys") == "SmolLM2-135M-Instruct-4b (system)"
    assert model_label("meta-llama--Llama-2-13b-chat-hf-8b") == "llama_2_13b_chat-8b"
    assert model_label("someone--Llama-2-hf") == "Llama-2-hf"  # a name of the hub that is not the paper's


def test_formats_keep_respondents_apart():
    names = {respondent_label("m", format) for format in ("base", "tuned_sys", "tuned_no_sys", "another")}
    assert len(names) == 4 and "m (another)" in names


def test_families_have_the_papers_order_whatever_order_they_come_in():
    there = ["control", "Zebra", *reversed(PAPER), "Apple"]
    assert list(family_styles(there)) == [*PAPER, "Apple", "Zebra", "control"]


def test_families_are_told_apart_by_colour_and_by_marker():
    styles = family_styles([*PAPER, "Apple", "Zebra", "control"]).values()
    assert len({style.colour for style in styles}) == len({style.marker for style in styles}) == 9
    assert all(to_rgb(style.colour) for style in styles)


def test_more_families_than_styles_share_them():
    assert len(family_styles([f"family {i}" for i in range(20)])) == 20


def test_rows_are_sorted_by_family_and_keep_their_order_within_one():
    table = pd.DataFrame({"model": list("abcd"), "family": ["control", "Qwen", "LLaMa-2", "Qwen"]})
    assert list(in_family_order(table)["model"]) == ["c", "b", "d", "a"]


def test_a_model_without_family_is_an_error():
    table = pd.DataFrame({"model": ["a", "b"], "family": ["Qwen", None]})
    with pytest.raises(ValuestabError, match="b has no family"):
        in_family_order(table)


def test_titles_name_the_task():
    assert measure_label("rank_order", "Religion") == "Rank-order stability of time given to religion"
    assert instrument_label("PVQ-40", "project").startswith("PVQ-40 in this project's own wording, NOT")
    assert instrument_label("Religion", "all 5 questions") == "Religion, all 5 questions"


def test_a_row_says_only_what_differs():
    table = pd.DataFrame({"model": "m", "format": "base", "population": ["none", "my_people"]})
    assert row_labels(table) == ["m (base), no persona", "m (base), my people"]
    assert row_labels(table[:1]) == ["m (base)"]
