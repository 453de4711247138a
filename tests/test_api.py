"""Models behind an API: what is asked, read and paid for, and what happens when the service fails."""

import json

import numpy as np
import pandas as pd
import pytest
from fakes import GANDALF, JOKE, experiment, session, small_instrument
from faulty_server import KEY, FaultyServer

from valuestab_utils import api, api_client, study
from valuestab_utils.conversations import next_prompt, simulate_conversations
from valuestab_utils.errors import ValuestabError
from valuestab_utils.letter_tables import letter_use
from valuestab_utils.model_cards import model_card
from valuestab_utils.questionnaire import ask_questionnaire, item_prompts
from valuestab_utils.scored_answers import score_answers
from valuestab_utils.tables import stability_table

SMALL = small_instrument(4)
SOME = experiment(model="api-served", n_messages=1)
SAID = ["Tell me a joke.", "No."]


@pytest.fixture
def server(monkeypatch):
    for name in ("AZURE_OPENAI_ENDPOINT", "VALUESTAB_API_KIND", "VALUESTAB_MAX_TOKENS", "VALUESTAB_MAX_USD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(api_client.random, "uniform", lambda low, high: 0.01)  # of the usual waiting times
    with FaultyServer() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("VALUESTAB_API_TIMEOUT", "0.5")
        monkeypatch.setenv("VALUESTAB_API_ATTEMPTS", "3")
        monkeypatch.setenv("VALUESTAB_API_CONCURRENCY", "2")
        yield server


def respondent(journal=None):
    found = api.ApiRespondent(model_card("api:served"))
    if journal:
        found.keep_journal(journal)
    return found


def prompts_of(tested, persona=GANDALF):
    return item_prompts(session(persona, JOKE, model=tested.name), tested, SMALL, SAID)


def run(tested, folder):
    tested.keep_journal(folder)
    simulate_conversations(SOME, tested, folder)
    return ask_questionnaire(SOME, tested, SMALL, folder)


# What is asked


@pytest.mark.parametrize(("kind", "begun"), [("vllm", True), ("llamacpp", True), ("ollama", True), ("openai", False)])
def test_a_begun_answer_is_the_assistants_where_the_server_goes_on_with_it(server, monkeypatch, kind, begun):
    monkeypatch.setenv("VALUESTAB_API_KIND", kind)
    tested = respondent()
    tested.answer(prompts_of(tested)[:1], "ABCDEF")
    asked = server.requests[-1]
    assert [m["role"] for m in asked["messages"]] == ["system", "user", "assistant", "user"] + ["assistant"] * begun
    assert asked["messages"][-1]["content"].endswith("Answer: (")
    assert begun or asked["messages"][-1]["content"].split("\n")[-1] == "Answer: ("
    assert asked.get("continue_final_message", False) == (kind == "vllm")
    assert ("max_completion_tokens" in asked) == (kind == "openai")


def test_a_server_that_does_not_say_its_kind_is_refused(server):
    server.owned_by = "somebody"
    with pytest.raises(ValuestabError, match="owned_by is 'somebody'.*set VALUESTAB_API_KIND"):
        respondent()


def test_messages_are_sampled_with_the_cards_settings_and_the_sessions_seed(server):
    tested = respondent()
    prompt = next_prompt(session(model=tested.name), tested, ["Tell me a joke."])
    (text,) = tested.speak([prompt], 100)
    assert (text.content, text.finish, text.n_tokens) == ("The road goes on.", "eos", 3)
    asked = server.requests[-1]
    assert (asked["temperature"], asked["top_p"], asked["max_tokens"]) == (1.0, 1.0, 100)
    assert asked["seed"] == int(session(model=tested.name).noise(1).integers(2**31))


# What is read


def test_letters_are_summed_over_their_tokens_behind_a_bracket(server):
    tested = respondent()
    (prompt,) = prompts_of(tested)[:1]
    found = tested.answer([prompt], "ABCDEF")
    top = server.response(server.requests[-1])["choices"][0]["logprobs"]["content"][1]["top_logprobs"]
    letter = top[0]["token"]
    expected = sum(np.exp(t["logprob"]) for t in top if t["token"].strip() == letter)
    assert "ABCDEF"[found.chosen[0]] == letter and found.stray_tokens == ["The"]
    assert np.exp(found.logprobs[0, found.chosen[0]]) == pytest.approx(expected)
    assert np.isneginf(found.logprobs).sum() >= 4


@pytest.mark.parametrize(
    ("text", "letter"),
    [("A", "A"), (" (B)", "B"), ("C) Like me", "C"), ("(D) Like me\nBecause", "D"), ("Answer: (E)", "E"), ("F.", "F")]
    + [("A little like me", ""), ("I am B", ""), ("(G)", ""), ("", ""), ("AB", ""), ("a", ""), ("A or B", "")],
)
def test_written_answers_are_read_strictly(text, letter):
    assert api._letter(text, "ABCDEF") == ("ABCDEF".index(letter) if letter else -1)


@pytest.mark.parametrize(
    ("top", "logprobs", "source"), [(20, True, "top 20"), (5, True, "top 5"), (0, False, "written")]
)
def test_where_letters_are_read_from_is_found_out_and_told(server, top, logprobs, source):
    server.top, server.logprobs = top, logprobs
    assert respondent().settings["letters"].startswith(source)


def test_a_missing_answer_stays_missing_and_is_counted(server, tmp_path):
    tested = respondent(tmp_path)
    simulate_conversations(SOME, tested, tmp_path)
    server.faults = ["silent"]
    answers = ask_questionnaire(SOME, tested, SMALL, tmp_path)
    missing = answers["answer"].isna()
    assert missing.sum() == 1 and (answers.loc[missing, "letter"] == "").all()
    assert not answers.loc[missing, "near_tie"].any()
    assert letter_use(answers)["missing"].item() == pytest.approx(1 / len(answers))


def test_missing_answers_reach_the_tables(server, tmp_path, monkeypatch):
    server.logprobs = False
    planned = planned_study(monkeypatch, tmp_path)
    server.faults = [None] * 30 + ["silent"]
    answers = planned.answers()
    of_model = answers[answers["model"] == "api-served"]
    assert of_model["answer"].isna().sum() == 1 == score_answers(of_model).missing
    assert stability_table(of_model)["missing_answers"].tolist() == [1, 1]


def planned_study(monkeypatch, folder, **asked):
    study._load.cache_clear()
    sizes = {"topics": ["joke", "chess"], "n_personas": 3, "seeds": [1], "controls": [], "parts": ["pvq"]}
    sizes |= {"populations": ["fictional_characters"], "results_dir": folder}
    return study.plan_study("smoke", "api:served", **sizes | asked)


def test_what_an_api_cannot_do_is_left_out_openly(server, monkeypatch, tmp_path):
    asked = {"parts": None, "populations": None}
    planned = planned_study(monkeypatch, tmp_path, **asked)
    assert any("balanced orders average" in reason for reason in planned.left_out)
    study._load.cache_clear()
    quick = study.plan_study("quick", "api:served", results_dir=tmp_path, controls=[])
    told = " ".join(quick.left_out)
    assert "4-bit and 8-bit variants are left out" in told and "cannot be asked in the format 'base'" in told
    with pytest.raises(ValuestabError, match="as its service runs it"):
        planned_study(monkeypatch, tmp_path, dtype="4bit")


# What goes wrong


@pytest.mark.parametrize("fault", [429, 500, 503, "hang", "cut", "malformed", "no choices", "bare"])
def test_what_passes_is_tried_again(server, tmp_path, fault):
    tested = respondent(tmp_path)
    expected = tested.answer(prompts_of(tested), "ABCDEF")
    again = respondent(tmp_path / "again")
    again.settings  # noqa: B018 - the first question is not the one that fails
    server.faults = [fault, None, fault] if fault != "bare" else []
    found = again.answer(prompts_of(again), "ABCDEF")
    np.testing.assert_array_equal(found.logprobs, expected.logprobs)
    assert again.client.retries == (2 if fault != "bare" else 0)


def test_log_probabilities_that_stop_coming_are_an_error(server, tmp_path):
    tested = respondent(tmp_path)
    tested.settings  # noqa: B018
    server.faults = ["bare"]
    with pytest.raises(ValuestabError, match="log-probabilities are missing, which this service gave before"):
        tested.answer(prompts_of(tested), "ABCDEF")


def test_a_service_asks_to_wait(server, monkeypatch):
    waits = []
    tested = respondent()
    monkeypatch.setattr(tested.client._stop, "wait", lambda seconds: waits.append(seconds))
    server.faults, server.retry_after = [429], "7"
    tested.settings  # noqa: B018
    assert waits == [7.0]


@pytest.mark.parametrize(("fault", "reason"), [(500, "status 500"), ("hang", "Timeout"), ("cut", "failed 3 times")])
def test_what_does_not_pass_is_given_up_and_nothing_is_lost(server, tmp_path, fault, reason):
    tested = respondent(tmp_path)
    tested.settings  # noqa: B018
    server.faults = [None] + [fault] * 20
    with pytest.raises(ValuestabError, match=f"{reason}.*the same command goes on"):
        tested.answer(prompts_of(tested), "ABCDEF")
    server.faults, before = [], server.answered
    again = respondent(tmp_path)
    assert len(again.answer(prompts_of(again), "ABCDEF").logprobs) == 4
    assert server.answered - before <= 3  # one was answered before, and is not asked again


@pytest.mark.parametrize(
    ("status", "advice"), [(401, "Check the key"), (403, "may do"), (404, "model's name"), (400, "report")]
)
def test_what_is_refused_is_not_tried_again_and_tells_no_secret(server, status, advice):
    tested = respondent()
    tested.settings  # noqa: B018
    server.faults, before = [status] * 9, len(server.requests)
    with pytest.raises(ValuestabError, match=advice) as error:
        tested.answer(prompts_of(tested)[:1], "ABCDEF")
    assert len(server.requests) == before + 1
    assert KEY not in str(error.value) and "***" in str(error.value)


def test_another_model_under_the_same_name_is_refused(server):
    tested = respondent()
    tested.settings  # noqa: B018
    server.faults = ["other model"]
    with pytest.raises(ValuestabError, match="answered as 'another-2', where it was 'served-1'"):
        tested.answer(prompts_of(tested)[:1], "ABCDEF")


def test_without_key_or_address_it_is_said(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "AZURE_OPENAI_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ValuestabError, match="OPENAI_API_KEY is not set"):
        respondent()
    monkeypatch.setenv("VALUESTAB_API_KIND", "azure")
    with pytest.raises(ValuestabError, match="Azure needs AZURE_OPENAI_ENDPOINT"):
        respondent()


@pytest.mark.parametrize("value", ["0", "many", "-1"])
def test_settings_that_make_no_sense_are_refused(server, monkeypatch, value):
    monkeypatch.setenv("VALUESTAB_API_CONCURRENCY", value)
    with pytest.raises(ValuestabError, match=f"VALUESTAB_API_CONCURRENCY is '{value}'"):
        respondent()


# What is paid for


def test_a_budget_stops_cleanly_and_nothing_is_paid_for_twice(server, tmp_path, monkeypatch):
    whole = run(respondent(), tmp_path / "whole")
    paid = server.answered
    monkeypatch.setenv("VALUESTAB_MAX_TOKENS", "1200")  # each request takes 103
    with pytest.raises(ValuestabError, match="budget for served is spent.*VALUESTAB_MAX_TOKENS=1200"):
        run(respondent(), tmp_path / "parts")
    assert server.answered - paid < 16
    monkeypatch.delenv("VALUESTAB_MAX_TOKENS")
    resumed = run(respondent(), tmp_path / "parts")
    assert server.answered == 2 * paid
    same = ["persona", "topic", "item", "answer"]
    pd.testing.assert_frame_equal(resumed[same], whole[same])


def test_a_budget_in_money_needs_prices(server, monkeypatch):
    monkeypatch.setenv("VALUESTAB_MAX_USD", "1")
    with pytest.raises(ValuestabError, match="needs VALUESTAB_USD_PER_MTOK_IN"):
        respondent()
    monkeypatch.setenv("VALUESTAB_USD_PER_MTOK_IN", "1000")
    monkeypatch.setenv("VALUESTAB_USD_PER_MTOK_OUT", "2000")
    tested = respondent()
    assert tested.client.settings.usd(100, 3) == pytest.approx(0.106)
    with pytest.raises(ValuestabError, match=r"budget for served is spent.*1\.\d\d USD"):
        for _ in range(20):
            tested.answer(prompts_of(tested), "ABCDEF")
            tested.client.journal._kept.pop(next(k for k in tested.client.journal._kept if k != "probe"))


def test_a_journal_that_was_cut_is_read_up_to_there(tmp_path):
    path = tmp_path / "_paid" / "m.jsonl"
    journal = api_client.Journal(path)
    journal.add("one", {"text": "x"}, 5, 1)
    path.write_text(path.read_text() + '\n{"key": "two", "ke')
    journal = api_client.Journal(path)
    assert journal.find("one") == {"text": "x"} and journal.find("two") is None and journal.spent == (5, 1)
    journal.add("three", {"text": "y"}, 1, 1)
    assert api_client.Journal(path).find("three") == {"text": "y"}


def test_no_secret_is_written(server, tmp_path):
    tested = respondent()
    run(tested, tmp_path)
    assert server.keys == {f"Bearer {KEY}"}
    assert KEY not in repr(tested.__dict__) + json.dumps(tested.settings)
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert files and not [file for file in files if KEY.encode() in file.read_bytes()]
