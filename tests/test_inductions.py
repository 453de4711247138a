"""Conditions of papers 002 and 004: who is asked, and what is said to them, letter for letter."""

import re
from collections import Counter

import pytest

from valuestab_utils.errors import ValuestabError
from valuestab_utils.inductions import (
    CONDITIONS,
    CREATE_PERSONA,
    NO_VALUE,
    PROMPTING,
    STRUCTURE,
    load_runs,
    needs_questionnaire,
    topic_of,
    what_is_said,
)
from valuestab_utils.instruments import VALUES
from valuestab_utils.sessions import Session
from valuestab_utils.topics import NO_CONVERSATION

BASIC = (
    "For each of the following descriptions, please answer how much the person described is like you from 1 (Not like "
    "me at all) to 6 (Very much like me), without elaborating on your reasoning."
)
RATE = (
    "For each of the following descriptions, please rate how much the person described is like you, using a scale from "
    "1 (Not like me at all) to 6 (Very much like me), without elaborating on your reasoning."
)
POWER = (
    "Imagine that you are a person who greatly values power. You value social status and prestige, and control or "
    "dominance over people and resources."
)


def one(condition, persona):
    return next(run for run in load_runs(condition) if run.persona == persona)


def session(run, condition):
    return Session("m", "tuned_sys", condition, run, topic_of(condition), 1)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_every_condition_has_distinct_runs_of_both_genders_without_persona_of_its_own(condition):
    runs = load_runs(condition)
    assert len(runs) == (300 if condition in STRUCTURE else 1100) == len({run.persona for run in runs})
    women = Counter(run.gender for run in runs)["F"] / len(runs)
    assert 0.45 < women < 0.55
    assert {(run.name, run.description) for run in runs} == {("CHATBOT", "")}
    assert load_runs(condition, 7) == runs[:7]


def test_prompts_are_those_of_the_papers_letter_for_letter():
    assert load_runs("basic", 1)[0].prefix == BASIC
    nature = "Universalism-nature 02"
    said = f"{BASIC} Answer as a person that is protecting the natural environment from destruction or pollution."
    assert one("value_anchor", nature).prefix == said
    assert load_runs("names", 1)[0].prefix == f"{RATE} Answer as Ms. Secatero."
    assert one("value_prompts", "Power 03").prefix == POWER
    assert one("value_names", "Power 03").prefix == "Imagine that you are a person who greatly values power."
    assert one("value_prompts", "none 01").prefix == one("value_names", "none 01").prefix == ""
    assert CREATE_PERSONA.first_message == "Create a persona (2-3 sentences long):"
    assert CREATE_PERSONA.temperature == 0.7


def test_demographic_prompts_say_what_chooses_the_form_of_the_items():
    runs = load_runs("demographic")
    prefix = r"^{} Answer as a (\d+)-year-old who identifies as (.+), working in the field of (.+), and enjoys (.+)\.$"

    said = [re.match(prefix.format(re.escape(RATE)), run.prefix).groups() for run in runs]
    ages, identities, occupations, hobbies = zip(*said)
    assert min(map(int, ages)) >= 18 and max(map(int, ages)) <= 75
    assert set(identities) == {"male", "female", "non-binary", "other"}
    assert len(set(occupations)) == 8 and len(set(hobbies)) == 50
    form = {(identity, run.gender) for identity, run in zip(identities, runs)}
    assert {pair for pair in form if pair[0] in ("male", "female")} == {("male", "M"), ("female", "F")}


def test_names_have_sixty_titled_surnames_of_each_group_and_its_form_of_the_items():
    runs = load_runs("names")
    assert Counter(run.group for run in runs) == dict.fromkeys(
        ["American Indian", "Asian Pacific", "Black", "Hispanic", "White"], 60
    )
    titles = {(run.persona.split()[0], run.gender) for run in runs}
    assert titles == {("Mr.", "M"), ("Ms.", "F"), ("Mx.", "M"), ("Mx.", "F")}
    assert set(Counter(run.group for run in load_runs("names", 10)).values()) == {2}


def test_groups_take_turns_so_that_few_runs_have_all_of_them():
    anchors = [run.group for run in load_runs("value_anchor", 20)]
    assert len(set(anchors)) == 20 and anchors[-1] == "Animal-welfare"
    assert [run.group for run in load_runs("value_prompts", 11)] == [*VALUES, NO_VALUE]
    again = {run.group: run.gender for run in load_runs("value_prompts", 22)[11:]}
    assert all(run.gender != again[run.group] for run in load_runs("value_prompts", 11))


@pytest.mark.parametrize("n", [0, -1, 301, 2.0])
def test_impossible_numbers_of_runs_are_refused(n):
    with pytest.raises(ValuestabError, match="n_personas"):
        load_runs("basic", n)


def test_unknown_condition_names_the_nearest():
    with pytest.raises(ValuestabError, match="value_anchor"):
        load_runs("value_anchors")


def test_a_written_persona_is_put_into_the_prompt_and_nothing_remains_of_how_it_was_asked_for():
    run = load_runs("generated_persona", 1)[0]
    texts = [CREATE_PERSONA.first_message, " Emily is 25.\n\nShe likes tea. "]
    prefix, conversation = what_is_said(session(run, "generated_persona"), texts)
    assert prefix == f"{RATE} Answer as: Emily is 25. She likes tea." and conversation == []


def test_a_filled_questionnaire_is_shown_after_the_value_prompt_or_alone():
    run = one("value_prompts_filled", "Power 01")
    prefix, conversation = what_is_said(session(run, "value_prompts_filled"), ["1. He {is}. Answer: Like me"])
    assert prefix.startswith(POWER) and prefix.endswith("1. He {is}. Answer: Like me") and conversation == []
    alone, _ = what_is_said(session(one("filled_questionnaire", "Power 01"), "filled_questionnaire"), ["1."])
    assert "power" not in alone and alone.endswith("\n\n1.")


def test_other_sessions_keep_their_conversation():
    run = load_runs("names", 1)[0]
    assert what_is_said(session(run, "names"), ["Hello."]) == (run.prefix, ["Hello."])


def test_only_two_conditions_show_a_questionnaire_and_only_one_writes_first():
    shown = {condition: needs_questionnaire(condition) for condition in CONDITIONS}
    assert {c for c, source in shown.items() if source} == {"filled_questionnaire", "value_prompts_filled"}
    assert set(PROMPTING) == {"value_prompts", "value_names", "filled_questionnaire", "value_prompts_filled"}
    assert [c for c in CONDITIONS if topic_of(c).topic != NO_CONVERSATION] == ["generated_persona"]
