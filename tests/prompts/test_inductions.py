"""Conditions of papers 002 and 004: who is asked, and what is said to them, letter for letter."""

import re
from collections import Counter

import pytest

from valuestab_utils.prompts.inductions import CONDITIONS, CREATE_PERSONA, STRUCTURE, load_runs, topic_of, what_is_said
from valuestab_utils.prompts.sessions import Session

BASIC = (
    "For each of the following descriptions, please answer how much the person described is like you from 1 (Not like "
    "me at all) to 6 (Very much like me), without elaborating on your reasoning."
)
RATE = (
    "For each of the following descriptions, please rate how much the person described is like you, using a scale from "
    "1 (Not like me at all) to 6 (Very much like me), without elaborating on your reasoning."
)
NATURE = "protecting the natural environment from destruction or pollution"
POWER = (
    "Imagine that you are a person who greatly values power. You value social status and prestige, and control or "
    "dominance over people and resources."
)


def said(condition, persona, texts):
    """The prefix and the conversation of a run's session, of which these messages are the conversation so far."""
    run = next(run for run in load_runs(condition) if run.persona == persona)
    return what_is_said(Session("m", "tuned_sys", condition, run, topic_of(condition), 1), texts)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_every_condition_has_distinct_runs_of_both_genders_without_persona_of_its_own(condition):
    runs = load_runs(condition)
    assert len(runs) == (300 if condition in STRUCTURE else 1100) == len({run.persona for run in runs})
    assert 0.45 < Counter(run.gender for run in runs)["F"] / len(runs) < 0.55
    assert {(run.name, run.description) for run in runs} == {("CHATBOT", "")}
    assert load_runs(condition, 7) == runs[:7]
    if condition == "names":
        groups = ["American Indian", "Asian Pacific", "Black", "Hispanic", "White"]
        assert Counter(run.group for run in runs) == dict.fromkeys(groups, 60)
        titles = {(run.persona.split()[0], run.gender) for run in runs}
        assert titles == {("Mr.", "M"), ("Ms.", "F"), ("Mx.", "M"), ("Mx.", "F")}


@pytest.mark.parametrize(
    ("condition", "persona", "prefix"),
    [
        ("basic", load_runs("basic", 1)[0].persona, BASIC),
        ("value_anchor", "Universalism-nature 02", f"{BASIC} Answer as a person that is {NATURE}."),
        ("names", load_runs("names", 1)[0].persona, f"{RATE} Answer as Ms. Secatero."),
        ("value_prompts", "Power 03", POWER),
        ("value_names", "Power 03", "Imagine that you are a person who greatly values power."),
        ("value_prompts", "none 01", ""),
        ("value_names", "none 01", ""),
    ],
)
def test_prompts_are_those_of_the_papers_letter_for_letter(condition, persona, prefix):
    assert said(condition, persona, ["Hello."]) == (prefix, ["Hello."])


def test_demographic_prompts_say_what_chooses_the_form_of_the_items():
    runs = load_runs("demographic")
    prefix = r"^{} Answer as a (\d+)-year-old who identifies as (.+), working in the field of (.+), and enjoys (.+)\.$"
    parts = [re.match(prefix.format(re.escape(RATE)), run.prefix).groups() for run in runs]
    ages, identities, occupations, hobbies = zip(*parts)
    assert min(map(int, ages)) >= 18 and max(map(int, ages)) <= 75
    assert len(set(identities)) == 4 and len(set(occupations)) == 8 and len(set(hobbies)) == 50
    form = {(identity, run.gender) for identity, run in zip(identities, runs)}
    assert {pair for pair in form if pair[0] in ("male", "female")} == {("male", "M"), ("female", "F")}


def test_a_written_persona_is_put_into_the_prompt_and_nothing_remains_of_how_it_was_asked_for():
    assert CREATE_PERSONA.first_message == "Create a persona (2-3 sentences long):"
    assert CREATE_PERSONA.temperature == 0.7
    persona = load_runs("generated_persona", 1)[0].persona
    texts = [CREATE_PERSONA.first_message, " Emily is 25.\n\nShe likes tea. "]
    assert said("generated_persona", persona, texts) == (f"{RATE} Answer as: Emily is 25. She likes tea.", [])


def test_a_filled_questionnaire_is_shown_after_the_value_prompt_or_alone():
    prefix, conversation = said("value_prompts_filled", "Power 01", ["1. He {is}."])
    assert prefix.startswith(POWER) and prefix.endswith("1. He {is}.") and conversation == []
    alone, _ = said("filled_questionnaire", "Power 01", ["1."])
    assert "power" not in alone and alone.endswith("\n\n1.")
