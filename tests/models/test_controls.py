"""The controls' results are known beforehand, come out of the pipeline, and do not where it is broken."""

from dataclasses import replace

import numpy as np
import pytest
from fakes import GALADRIEL, GANDALF, JOKE, NO_TALK, NOBODY, asked_prompts, experiment, session, small_instrument

from valuestab_utils.errors import ValuestabError
from valuestab_utils.metrics import ipsative_stability, rank_order_stability, scale_scores
from valuestab_utils.models import CircumplexRespondent, Prompt, RandomRespondent, SyntheticRespondent
from valuestab_utils.models.controls import SyntheticSettings
from valuestab_utils.prompts import (
    QUESTIONNAIRES,
    REFINED_VALUES,
    VALUES,
    Item,
    Persona,
    load_population,
    load_questionnaire,
    load_runs,
    load_topics,
)
from valuestab_utils.study import ask, simulate_conversations, ways

PVQ, RR = (load_questionnaire(name, "project") for name in ("PVQ-40", "PVQ-RR"))
TASKS = [load_questionnaire(name) for name in ("Donation", "Stealing", "Religion")]
EXACT = SyntheticSettings(profile=1.2, context=0, answer=0, letter_bias=0)
CHARACTERS = load_population("fictional_characters", 15)
TOPICS = load_topics(["joke", "chess", "grammar"])
FOUR = ("never", "rarely", "often", "always")
OWN = replace(  # of a user: four options, an item reversed, scales of its own
    PVQ,
    name="Own",
    options=FOUR,
    items=tuple(Item(i, "ABC"[i % 3], f"Do you like {i}?", f"Do you like {i}?") for i in range(1, 16)),
    scales=("A", "B", "C"),
    reversed_items=(2, 7),
)


def run(respondent, place, personas=CHARACTERS, topics=TOPICS, questionnaire=PVQ, n_messages=1, **how):
    """Answers of a control after short conversations, through prompts, letters and store."""
    how |= {"model": respondent.name, "questionnaire": questionnaire, "n_messages": n_messages}
    whole = experiment(personas, topics, **how)
    simulate_conversations(whole, respondent, place)
    return ask(whole, respondent, place)


def stability(answers, questionnaire=PVQ):
    codes = answers.pivot_table(index=["topic", "persona"], columns="item", values="answer", sort=False)
    scores = scale_scores(codes.to_numpy().reshape(answers["topic"].nunique(), -1, codes.shape[1]), questionnaire)
    measures = {"rank_order": rank_order_stability} | ({"ipsative": ipsative_stability} if scores.shape[2] > 2 else {})
    return {name: measure(scores).overall for name, measure in measures.items()}


def deviations(found, expected):
    """How many standard deviations each measure lies from what is expected of it."""
    return [(found[name] - mean) / deviation for name, (mean, deviation) in expected.items()]


def profile_answers(respondent, answers):
    """The answers that the personas' profiles imply."""
    asked = zip(answers["persona_description"], answers["value"])
    latent = [respondent.profile(text, PVQ)[VALUES.index(value)] for text, value in asked]
    return np.clip(np.round(latent), 1, 6)


@pytest.mark.parametrize("format", ["base", "tuned_sys", "tuned_no_sys"])
def test_without_noise_the_answers_are_the_personas_profiles(tmp_path, format):
    respondent = SyntheticRespondent([PVQ], EXACT)
    personas = [*CHARACTERS[:2], GALADRIEL]
    assert {persona.gender for persona in personas} == {"M", "F"}
    answers = run(respondent, tmp_path, personas, [*TOPICS[:2], NO_TALK], format=format)
    assert list(answers["answer"]) == list(profile_answers(respondent, answers))
    assert answers["answer"].nunique() == 6 and answers["letter"].nunique() == 6
    assert answers["letter_mass"].to_numpy() == pytest.approx(1)


@pytest.mark.parametrize("settings", [SyntheticSettings(), SyntheticSettings(0.6, 0.3, 1.5, 3.0)])
@pytest.mark.parametrize(("induced", "measures"), [(True, {"rank_order", "ipsative"}), (False, {"ipsative"})])
def test_stability_through_the_pipeline_is_what_the_settings_imply(tmp_path, settings, induced, measures):
    personas = CHARACTERS if induced else load_population("none", 10)
    respondent = SyntheticRespondent([PVQ], settings)
    expected = respondent.expected_stability(personas, n_contexts=3, n_seeds=1, asked=PVQ)
    assert set(expected) == measures and all(0 < deviation < 0.1 for _, deviation in expected.values())
    # 3.5 deviations are exceeded by chance once in 2000; the noise is seeded, so that it is once and for all.
    assert max(map(abs, deviations(stability(run(respondent, tmp_path, personas)), expected))) < 3.5


@pytest.mark.parametrize("asked", [*TASKS, OWN], ids=lambda asked: asked.name)
def test_so_it_is_in_the_tasks_and_in_a_questionnaire_of_ones_own(tmp_path, asked):
    respondent = SyntheticRespondent([PVQ, *TASKS, OWN])
    some = replace(asked, items=asked.items[::5] if len(asked.items) > 20 else asked.items)
    expected = respondent.expected_stability(CHARACTERS, len(TOPICS), 1, some)
    assert set(expected) == ({"rank_order"} if asked.name == "Religion" else {"rank_order", "ipsative"})
    mean, deviation = expected["rank_order"]
    found = stability(run(respondent, tmp_path, questionnaire=some), some)["rank_order"]
    assert abs(found - mean) < 4 * deviation and found > 0.3


def test_random_answers_have_no_stability_and_no_favourite(tmp_path):
    answers = run(RandomRespondent(), tmp_path)
    # By chance, a correlation of n ranks deviates from 0 by 1/sqrt(n - 1). Rank-order: n = 15, mean over 3
    # pairs of contexts and 10 values; ipsative: n = 10, mean over 3 pairs and 15 personas. Both have SD 0.05.
    found = stability(answers)
    assert abs(found["rank_order"]) < 4 / np.sqrt(14 * 30)
    assert abs(found["ipsative"]) < 4 / np.sqrt(9 * 45)
    n = len(answers)
    for column in ("letter", "answer"):
        counts = answers[column].value_counts()
        assert len(counts) == 6 and (abs(counts - n / 6) < 5 * np.sqrt(n * 5 / 36)).all()


def test_options_turned_round_show_in_answers_and_stability(tmp_path, monkeypatch):
    question = ways.formats.question
    monkeypatch.setattr(ways.formats, "question", lambda a, b, options: question(a, b, options[::-1]))
    exact = SyntheticRespondent([PVQ], EXACT)
    answers = run(exact, tmp_path, CHARACTERS[:10], TOPICS[:2])
    assert (answers["answer"].to_numpy() != profile_answers(exact, answers)).mean() > 0.3
    assert stability(answers)["rank_order"] < 0.5


@pytest.mark.parametrize("format", ["base", "tuned_sys", "tuned_no_sys"])
def test_a_persona_is_known_by_its_induction_alone(format):
    respondent = SyntheticRespondent([PVQ], EXACT)
    told = ("You are in a lift.", "You are late.", "You are Sam, CONTEXT: The following is a conversation", "OK")
    for persona in (GANDALF, NOBODY, replace(GANDALF, description="Gandalf, a wizard.\nHe has a staff.")):
        order = np.array(session(persona).option_order(1, 6))
        latent = respondent.profile(persona.description, PVQ)[VALUES.index(PVQ.items[0].value)]
        for said in (told, told[:2], (), ("1. e4", "e5")):
            asked = asked_prompts(session(persona, JOKE, format=format), respondent, PVQ, list(said))
            logprobs = respondent.answer([Prompt(session(), asked[0].text)], "ABCDEF").logprobs
            assert logprobs.argmax() == np.argmin(abs(order - latent))


# The circle


def anchored(condition, n):
    return [run for run in load_runs(condition, n) if run.group != "none"]


@pytest.mark.parametrize("format", ["base", "tuned_sys", "tuned_no_sys"])
@pytest.mark.parametrize("way", ["letters", "batch", "serial"])
def test_the_answer_follows_the_cosine_of_the_angle_whatever_the_way_of_asking(way, format, tmp_path):
    runs = [run for run in anchored("value_anchor", 20) if run.group in REFINED_VALUES][:6]
    control, how = CircumplexRespondent([RR], noise=0.0), {} if way == "letters" else {"temperature": 0.0}
    some = replace(RR, items=RR.items[:19])
    frame = run(control, tmp_path, runs, (NO_TALK,), some, way=way, format=format, **how)
    codes = frame["answer"].to_numpy(dtype=float).reshape(len(runs), 19)
    told = np.array([control.refined[run.group] for run in runs])[:, None]
    asked = np.array([control.refined[item.value] for item in some.items])
    means = np.array([control._means["PVQ-RR"][item.value] for item in some.items])
    assert np.array_equal(codes, np.clip(np.round(3.5 + means + 1.5 * np.cos(asked - told)), 1, 6))


def test_angles_are_even_for_refined_values_and_means_for_basic_ones():
    control, step = CircumplexRespondent([]), 2 * np.pi / 19
    assert np.diff(list(control.refined.values())) == pytest.approx([step] * 18)
    assert [control.basic[v] / step for v in ("Self-Direction", "Stimulation", "Power")] == pytest.approx([0.5, 2, 5.5])
    later = [control.basic[v] / step + 19 for v in ("Tradition", "Conformity", "Universalism")]
    assert later == pytest.approx([11.5, 11.5, 17])


def test_anything_else_said_has_a_direction_of_its_own_and_nothing_said_has_none():
    respondent = CircumplexRespondent([PVQ])
    assert respondent.direction("") == (0.0, 0.0)
    directions = [respondent.direction(f"Answer as person {i}.") for i in range(200)]
    angles, amplitudes = np.array(directions).T
    assert np.abs(np.exp(1j * angles).mean()) < 0.2 and 0 <= amplitudes.min() < 0.1 and 1.4 < amplitudes.max() <= 1.5
    first, second = (run.prefix for run in anchored("value_prompts", 2))
    with pytest.raises(ValuestabError, match="texts of several values"):
        respondent.direction(first + second)
    with pytest.raises(ValuestabError, match="knows 0 questions"):
        respondent.answer(asked_prompts(session(), respondent, small_instrument(), []), "ABCDEF")


def test_reversed_items_and_scales_that_are_no_values(tmp_path):
    runs = [Persona(f"run {i}", "CHATBOT", "", "F", f"Answer as person {i}.", "g") for i in range(12)]
    two = replace(OWN, items=(replace(OWN.items[0], value="A"), replace(OWN.items[1], value="A")), reversed_items=(2,))
    frame = run(CircumplexRespondent([two], noise=0.0), tmp_path, runs, (NO_TALK,), two)
    codes = frame["answer"].to_numpy(dtype=float).reshape(12, 2)
    assert np.array_equal(codes[:, 0], 5 - codes[:, 1]) and len(set(codes[:, 0])) > 1


def test_it_knows_every_value_text_and_every_scale():
    every = [load_questionnaire(name) for name in QUESTIONNAIRES if name not in ("Donation", "Stealing", "Religion")]
    own = CircumplexRespondent(every)
    for condition, angles in (("value_anchor", own.refined), ("value_prompts", own.basic), ("value_names", own.basic)):
        for told in load_runs(condition, 22):
            angle, amplitude = own.direction(told.prefix)
            if told.group in angles:
                assert (angle, amplitude) == (angles[told.group], 1.5)
            elif told.group == "none":
                assert amplitude == 0
    placed = {(q.name, s) for q in every for s in q.scales if not set(q.scales) <= {*own.refined, *own.basic}}
    assert set(own._directions) == {of for of in placed if of[0] != "example_de"}  # the example has none
