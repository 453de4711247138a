"""Models behind an API: what is asked, read and paid for, and what happens when the service fails."""

import json
import traceback
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from fakes import GALADRIEL, GANDALF, JOKE, asked_prompts, experiment, session, small_instrument
from faulty_server import KEY, FaultyServer

from valuestab_utils.errors import ValuestabError
from valuestab_utils.metrics import score_answers
from valuestab_utils.models import Sampling, api, api_client, model_card
from valuestab_utils.papers.kovac2024 import stability_table
from valuestab_utils.papers.letters import letter_use
from valuestab_utils.study import ask, next_prompt, simulate_conversations, study

SMALL = small_instrument(4)
SOME = experiment(model="api-served", n_messages=1, questionnaire=SMALL)
SAID = ["Tell me a joke.", "No."]


@pytest.fixture
def server(monkeypatch):
    for name in ("AZURE_OPENAI_ENDPOINT", "VALUESTAB_API_KIND", "VALUESTAB_MAX_TOKENS", "VALUESTAB_MAX_USD"):
        monkeypatch.delenv(name, raising=False)
    for name, value in (("TIMEOUT", "0.5"), ("ATTEMPTS", "3"), ("CONCURRENCY", "2")):
        monkeypatch.setenv(f"VALUESTAB_API_{name}", value)
    monkeypatch.setattr(api_client.random, "uniform", lambda low, high: 0.01)  # of the usual waiting times
    with FaultyServer() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        yield server


def respondent(journal=None):
    found = api.ApiRespondent(model_card("api:served"))
    if journal:
        found.keep_journal(journal)
    return found


def greeted(journal=None):
    """One that has asked its first question, which finds out where letters are read from."""
    tested = respondent(journal)
    tested.settings  # noqa: B018
    return tested


def prompts_of(tested, persona=GANDALF, seed=1):
    return asked_prompts(session(persona, JOKE, seed, model=tested.name), tested, SMALL, SAID)


def speak(tested):
    return tested.speak([next_prompt(session(model=tested.name), tested, ["Tell me a joke."])], 100)[0]


def run(tested, folder):
    tested.keep_journal(folder)
    simulate_conversations(SOME, tested, folder)
    return ask(SOME, tested, folder)


@pytest.mark.parametrize(("kind", "begun"), [("vllm", True), ("llamacpp", True), ("ollama", True), ("openai", False)])
def test_a_begun_answer_is_the_assistants_where_the_server_goes_on_with_it(server, monkeypatch, kind, begun):
    monkeypatch.setenv("VALUESTAB_API_KIND", kind)
    tested = respondent()
    tested.answer(prompts_of(tested)[:1], "ABCDEF")
    asked = server.requests[-1]
    assert [m["role"] for m in asked["messages"]] == ["system", "user", "assistant", "user"] + ["assistant"] * begun
    last = asked["messages"][-1]["content"]
    assert last.endswith("Answer: (") and (begun or last.split("\n")[-1] == "Answer: (")
    assert asked.get("continue_final_message", False) == (kind == "vllm")
    assert ("max_completion_tokens" in asked) == (kind == "openai")


@pytest.mark.parametrize(
    ("kind", "off"),
    [
        ("llamacpp", {"top_k": 0, "min_p": 0, "typical_p": 1, "repeat_penalty": 1}),
        ("vllm", {"top_k": -1, "min_p": 0, "repetition_penalty": 1}),
    ],
)
def test_messages_are_sampled_with_the_sessions_seed_and_a_servers_own_settings_off(server, monkeypatch, kind, off):
    monkeypatch.setenv("VALUESTAB_API_KIND", kind)
    tested = respondent()
    text = speak(tested)
    assert (text.content, text.finish, text.n_tokens) == ("The road goes on.", "eos", 3)
    asked = server.requests[-1]
    assert asked["seed"] == int(session(model=tested.name).noise(1).integers(2**31))
    settings = {name: value for name, value in asked.items() if name not in ("model", "messages", "seed")}
    assert settings == off | {"temperature": 1.0, "top_p": 1.0, "max_tokens": 100}


def test_the_cards_own_sampling_is_asked_for_messages_alone(server):
    card = replace(model_card("api:served"), sampling=Sampling(temperature=0.6, top_k=50, repetition_penalty=1.2))
    tested = api.ApiRespondent(card)
    speak(tested)
    message = server.requests[-1]
    tested.answer(prompts_of(tested)[:1], "ABCDEF")
    answer = server.requests[-1]
    assert (message["top_k"], message["repetition_penalty"], message["temperature"]) == (50, 1.2, 0.6)
    assert (answer["top_k"], answer["repetition_penalty"], answer["temperature"]) == (-1, 1.0, 0)


@pytest.mark.parametrize("fault", ["silent", "refused", "words"])
def test_a_missing_answer_stays_missing_and_is_counted(server, monkeypatch, tmp_path, fault):
    monkeypatch.setenv("VALUESTAB_API_KIND", "openai")
    tested = respondent(tmp_path)
    simulate_conversations(SOME, tested, tmp_path)
    server.faults = [fault]
    answers = ask(SOME, tested, tmp_path)
    missing = answers["answer"].isna()
    assert missing.sum() == 1 and (answers.loc[missing, "letter"] == "").all()
    assert not answers.loc[missing, "near_tie"].any()
    assert letter_use(answers)["missing"].item() == pytest.approx(1 / len(answers))


def test_missing_answers_reach_the_tables_and_a_second_study_leaves_the_first_ones_journal(server, tmp_path):
    server.logprobs = False
    changes = {"topics": ["joke", "chess"], "n_personas": 3, "seeds": [1], "controls": [], "experiments": ["pvq"]}
    changes |= {"populations": ["fictional_characters"], "questionnaire": "Donation-causes"}
    places = [str(tmp_path / "one"), str(tmp_path / "two")]
    first, _ = (study.plan_study("smoke", "api:served", changes | {"results_dir": place}) for place in places)
    server.faults = [None] * 30 + ["silent"]
    answers = first.answers()
    of_model = answers[answers["model"] == "api-served"]
    assert of_model["answer"].isna().sum() == 1 == score_answers(of_model, first.questionnaire).missing
    assert stability_table(of_model, first.questionnaires)["missing_answers"].tolist() == [1, 1]
    assert letter_use(of_model)["near_ties"].isna().all()  # as there are no probabilities
    kept = [file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("_paid/*")]
    assert kept == ["one/_paid/api-served.sqlite"]


@pytest.mark.parametrize("fault", [429, 500, 503, "hang", "cut", "malformed", "no choices", "no finish", "bare"])
def test_what_passes_is_tried_again(server, tmp_path, fault):
    tested = respondent(tmp_path)
    expected = tested.answer(prompts_of(tested), "ABCDEF")
    again = greeted(tmp_path / "again")
    server.faults, before = [fault, None, fault], len(server.requests)
    found = again.answer(prompts_of(again), "ABCDEF")
    np.testing.assert_array_equal(found.logprobs, expected.logprobs)
    assert len(server.requests) == before + 4 + 2
    server.faults = [fault] * 9
    with pytest.raises(ValuestabError):
        again.answer(prompts_of(again, GALADRIEL), "ABCDEF")


@pytest.mark.parametrize(
    ("fault", "told"), [(400, r"\*\*\*"), (401, r"\*\*\*"), (404, r"\*\*\*"), ("other model", "another-2")]
)
def test_what_is_refused_is_not_tried_again_and_tells_no_secret(server, fault, told):
    tested = greeted()
    server.faults, before = [fault] * 9, len(server.requests)
    with pytest.raises(ValuestabError, match=told) as error:
        tested.answer(prompts_of(tested)[:1], "ABCDEF")
    assert len(server.requests) == before + 1
    assert KEY not in "".join(traceback.format_exception(error.value))


@pytest.mark.parametrize(
    ("server_is", "told"),
    [
        ({"owned_by": "somebody"}, "set VALUESTAB_API_KIND"),
        ({"faults": ["refused"] * 3}, "a model that thinks"),
        ({"faults": [429], "retry_after": "3600"}, "has to wait for long"),
    ],
)
def test_a_service_that_cannot_be_asked_is_refused_at_the_first_question(server, server_is, told):
    vars(server).update(server_is)
    with pytest.raises(ValuestabError, match=told):
        greeted()


def test_a_budget_stops_cleanly_and_nothing_is_paid_for_twice(server, tmp_path, monkeypatch):
    whole = run(respondent(), tmp_path / "whole")
    paid = server.answered
    monkeypatch.setenv("VALUESTAB_MAX_TOKENS", "1200")  # each request takes 103
    with pytest.raises(ValuestabError, match="budget of VALUESTAB_MAX_TOKENS=1200 is spent"):
        run(respondent(), tmp_path / "parts")
    assert server.answered - paid < 16
    monkeypatch.delenv("VALUESTAB_MAX_TOKENS")
    resumed = run(respondent(), tmp_path / "parts")
    assert server.answered == 2 * paid
    same = ["persona", "topic", "item", "answer"]
    pd.testing.assert_frame_equal(resumed[same], whole[same])


@pytest.mark.parametrize("faults", [[], ["no usage"] * 99, ["hang", "cut"] * 9])
def test_a_budget_is_never_exceeded(server, monkeypatch, faults):
    prices = {"VALUESTAB_USD_PER_MTOK_IN": "1000", "VALUESTAB_USD_PER_MTOK_OUT": "2000"}
    limits = {"VALUESTAB_API_CONCURRENCY": "8", "VALUESTAB_API_ATTEMPTS": "20", "VALUESTAB_MAX_TOKENS": "2500"}
    for name, value in (limits | prices).items():
        monkeypatch.setenv(name, value)
    tested = greeted()
    assert tested.client.settings.usd(100, 3) == pytest.approx(0.106)
    server.faults = faults
    with pytest.raises(ValuestabError, match="budget of VALUESTAB_MAX_TOKENS=2500 is spent"):
        tested.answer([p for seed in range(1, 11) for p in prompts_of(tested, seed=seed)], "ABCDEF")
    assert 1000 < sum(tested.client.journal.spent) <= 2500
    assert 103 * len(server.requests) <= 2500  # what the service counts


def test_no_secret_is_written(server, tmp_path):
    tested = respondent()
    run(tested, tmp_path)
    assert server.keys == {f"Bearer {KEY}"}
    assert KEY not in repr(tested.__dict__) + json.dumps(tested.settings)
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert files and not [file for file in files if KEY.encode() in file.read_bytes()]
