"""Names and colours of respondents in figures and sentences."""

import pandas as pd
import pytest

from valuestab_utils.plots.labels import family_styles, in_family_order, respondent_label

PAPER = ["LLaMa-2", "Mistral", "Mixtral", "Phi", "Qwen", "GPT-3.5"]


@pytest.mark.parametrize(
    ("model", "format", "label"),
    [
        ("mistralai--Mistral-7B-Instruct-v0.2", "tuned_no_sys", "Mistral-7B-Instruct-v0.2 (no system)"),
        ("SmolLM2-135M-Instruct-4b", "tuned_sys", "SmolLM2-135M-Instruct-4b (system)"),
        ("meta-llama--Llama-2-13b-chat-hf-8b", "base", "llama_2_13b_chat-8b (base)"),
        ("someone--Llama-2-hf", "another", "Llama-2-hf (another)"),  # a name of the hub that is not the paper's
    ],
)
def test_every_model_of_the_paper_has_its_name_there_and_formats_are_told_apart(model, format, label):
    assert respondent_label(model, format) == label


def test_families_are_told_apart_in_the_papers_order_whatever_order_they_come_in():
    styles = family_styles(["control", "Zebra", *reversed(PAPER), "Apple"])
    assert list(styles) == [*PAPER, "Apple", "Zebra", "control"]
    assert all(len({style[how] for style in styles.values()}) == 9 for how in ("color", "marker"))


def test_rows_are_sorted_by_family_and_keep_their_order_within_one():
    table = pd.DataFrame({"model": list("abcd"), "family": ["control", "Qwen", "LLaMa-2", "Qwen"]})
    assert list(in_family_order(table)["model"]) == ["c", "b", "d", "a"]
