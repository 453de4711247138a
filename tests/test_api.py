"""Models behind an API: what is asked, read and paid for, and what happens when the service fails."""

import json
import time
import traceback
from dataclasses import replace
from email.utils import formatdate

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from fakes import GALADRIEL, GANDALF, JOKE, experiment, session, small_instrument
from faulty_server import KEY, FaultyServer

from valuestab_utils import api, api_client, findings, plots, study
from valuestab_utils.conversations import next_prompt, simulate_conversations
from valuestab_utils.errors import ValuestabError
from valuestab_utils.letter_tables import letter_probabilities, letter_use
from valuestab_utils.model_cards import model_card
from valuestab_utils.questionnaire import ask_questionnaire, item_prompts
from valuestab_utils.sampling import Sampling
from valuestab_utils.scored_answers import score_answers
from valuestab_utils.tables import stability_table

SMALL = small_instrument(4)
SOME = experiment(model="api-served", n_messages=1)
SAID = ["Tell me a joke.", "No."]
NO_HUMANS = pd.DataFrame(columns=["measure", "ages", "value"])
NO_CONTROL = pd.DataFrame(columns=["model", "format", "population", "instrument", "measure"])


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


def prompts_of(tested, persona=GANDALF, seed=1):
    return item_prompts(session(persona, JOKE, seed, model=tested.name), tested, SMALL, SAID)


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


def test_the_kind_is_that_of_the_model_which_is_asked_for(server):
    server.owned_by = {"served": "llamacpp", "another": "vllm"}
    assert respondent().kind == "llamacpp"


def test_a_model_that_thinks_first_is_refused_before_it_is_paid_for(server):
    server.faults = ["refused"] * 3
    with pytest.raises(ValuestabError, match="wrote nothing within 8 tokens: a model that thinks"):
        respondent().settings  # noqa: B018


def test_messages_are_sampled_with_the_cards_settings_and_the_sessions_seed(server):
    tested = respondent()
    prompt = next_prompt(session(model=tested.name), tested, ["Tell me a joke."])
    (text,) = tested.speak([prompt], 100)
    assert (text.content, text.finish, text.n_tokens) == ("The road goes on.", "eos", 3)
    asked = server.requests[-1]
    assert (asked["temperature"], asked["top_p"], asked["max_tokens"]) == (1.0, 1.0, 100)
    assert asked["seed"] == int(session(model=tested.name).noise(1).integers(2**31))


@pytest.mark.parametrize(
    ("kind", "off"),
    [
        ("llamacpp", {"top_k": 0, "min_p": 0, "typical_p": 1, "repeat_penalty": 1}),
        ("vllm", {"top_k": -1, "min_p": 0, "repetition_penalty": 1}),
        ("openai", {}),
    ],
)
def test_a_servers_own_sampling_settings_are_switched_off(server, monkeypatch, kind, off):
    monkeypatch.setenv("VALUESTAB_API_KIND", kind)
    tested = respondent()
    tested.speak([next_prompt(session(model=tested.name), tested, ["Tell me a joke."])], 100)
    asked = server.requests[-1]
    names = ("top_k", "min_p", "typical_p", "repeat_penalty", "repetition_penalty")
    assert {name: asked[name] for name in names if name in asked} == off


def test_the_cards_own_sampling_is_asked_for_where_a_server_has_it(server, monkeypatch):
    card = replace(model_card("api:served"), sampling=Sampling(temperature=0.6, top_k=50, repetition_penalty=1.2))
    tested = api.ApiRespondent(card)
    tested.speak([next_prompt(session(model=tested.name), tested, ["Tell me a joke."])], 100)
    message = server.requests[-1]
    tested.answer(prompts_of(tested)[:1], "ABCDEF")
    answer = server.requests[-1]
    assert (message["top_k"], message["repetition_penalty"], message["temperature"]) == (50, 1.2, 0.6)
    assert (answer["top_k"], answer["repetition_penalty"], answer["temperature"]) == (-1, 1.0, 0)
    monkeypatch.setenv("VALUESTAB_API_KIND", "openai")
    with pytest.raises(ValuestabError, match="kind openai does not have"):
        api.ApiRespondent(card)


# What is read


def test_letters_are_read_behind_a_bracket_that_the_service_writes(server, monkeypatch):
    monkeypatch.setenv("VALUESTAB_API_KIND", "openai")
    tested = respondent()
    found = tested.answer(prompts_of(tested)[:1], "ABCDEF")
    at_once, after = server.response(server.requests[-1])["choices"][0]["logprobs"]["content"][:2]
    letter = after["token"]
    expected = np.exp(-3.0) + np.exp(-0.1) * sum(
        np.exp(t["logprob"]) for t in after["top_logprobs"] if t["token"].strip() == letter
    )
    assert "ABCDEF"[found.chosen[0]] == letter and found.stray_tokens == ["The"]
    assert np.exp(found.logprobs[0, found.chosen[0]]) == pytest.approx(expected)
    assert np.isneginf(found.logprobs).sum() >= 4


@pytest.mark.parametrize(
    ("top", "logprobs", "source"), [(20, True, "top 20"), (5, True, "top 5"), (0, False, "written")]
)
def test_where_letters_are_read_from_is_found_out_and_told(server, top, logprobs, source):
    server.top, server.logprobs = top, logprobs
    assert respondent().settings["letters"].startswith(source)


@pytest.mark.parametrize("fault", ["silent", "refused", "words"])
def test_a_missing_answer_stays_missing_and_is_counted(server, monkeypatch, tmp_path, fault):
    monkeypatch.setenv("VALUESTAB_API_KIND", "openai")
    tested = respondent(tmp_path)
    simulate_conversations(SOME, tested, tmp_path)
    server.faults = [fault]
    answers = ask_questionnaire(SOME, tested, SMALL, tmp_path)
    missing = answers["answer"].isna()
    assert missing.sum() == 1 and (answers.loc[missing, "letter"] == "").all()
    assert not answers.loc[missing, "near_tie"].any()
    assert letter_use(answers)["missing"].item() == pytest.approx(1 / len(answers))


def test_what_is_shown_of_letters_without_probabilities(server, tmp_path):
    server.logprobs = False
    answers = run(respondent(), tmp_path)
    use, probabilities = letter_use(answers), letter_probabilities(answers, [1, 2])
    assert use["near_ties"].isna().all() and not answers["near_tie"].any()
    assert "without probabilities" in findings.of_letters(use)[0] and "nan" not in findings.of_letters(use)[0]
    assert findings.of_letter_mass(use) == findings.of_probabilities(probabilities)
    bars = plots.letter_probability_bars(probabilities, {1: "", 2: ""}, "abcdef")
    for figure in (plots.letter_mass_boxes(answers), bars):
        figure.canvas.draw()
        plt.close(figure)


def test_missing_answers_reach_the_tables(server, tmp_path):
    server.logprobs = False
    planned = planned_study(tmp_path)
    server.faults = [None] * 30 + ["silent"]
    answers = planned.answers()
    of_model = answers[answers["model"] == "api-served"]
    assert of_model["answer"].isna().sum() == 1 == score_answers(of_model).missing
    table = stability_table(of_model)
    assert table["missing_answers"].tolist() == [1, 1]
    assert "% of its answers are missing." in findings.of_letters(letter_use(of_model))[0]
    shown = plots.stability_bars(table, "fictional_characters", "rank_order", NO_HUMANS, NO_CONTROL)
    assert not any("nan" in text.get_text() for text in shown.axes[0].texts)
    plt.close(shown)


def planned_study(folder, **asked):
    sizes = {"topics": ["joke", "chess"], "n_personas": 3, "seeds": [1], "controls": [], "parts": ["pvq"]}
    sizes |= {"populations": ["fictional_characters"], "results_dir": folder}
    return study.plan_study("smoke", "api:served", **sizes | asked)


def test_what_an_api_cannot_do_is_left_out_openly(server, tmp_path):
    asked = {"parts": None, "populations": None}
    planned = planned_study(tmp_path, **asked)
    assert any("balanced orders average" in reason for reason in planned.left_out)
    quick = study.plan_study("quick", "api:served", results_dir=tmp_path, controls=[])
    told = " ".join(quick.left_out)
    assert "4-bit and 8-bit variants are left out" in told and "cannot be asked in the format 'base'" in told
    with pytest.raises(ValuestabError, match="as its service runs it"):
        planned_study(tmp_path, dtype="4bit")


# What goes wrong


@pytest.mark.parametrize("fault", [429, 500, 503, "hang", "cut", "malformed", "no choices", "no finish", "bare"])
def test_what_passes_is_tried_again(server, tmp_path, fault):
    tested = respondent(tmp_path)
    expected = tested.answer(prompts_of(tested), "ABCDEF")
    again = respondent(tmp_path / "again")
    again.settings  # noqa: B018 - the first question is not the one that fails
    server.faults = [fault, None, fault]
    found = again.answer(prompts_of(again), "ABCDEF")
    np.testing.assert_array_equal(found.logprobs, expected.logprobs)
    assert again.client.retries == 2


def test_log_probabilities_that_stop_coming_are_an_error(server, tmp_path):
    tested = respondent(tmp_path)
    tested.settings  # noqa: B018
    server.faults = ["bare"] * 9
    with pytest.raises(ValuestabError, match="log-probabilities are missing, which this service gave before"):
        tested.answer(prompts_of(tested), "ABCDEF")


@pytest.mark.parametrize("asked", ["7", "a date"])
def test_a_service_asks_to_wait(server, monkeypatch, asked):
    waits = []
    tested = respondent()
    monkeypatch.setattr(tested.client._stop, "wait", lambda seconds: waits.append(seconds))
    server.faults, server.retry_after = [429], asked if asked == "7" else formatdate(time.time() + 7, usegmt=True)
    tested.settings  # noqa: B018
    assert waits == [pytest.approx(7, abs=0.01 if asked == "7" else 1.5)]


def test_a_service_that_asks_to_wait_for_long_is_told_to_the_user(server):
    tested = respondent()
    server.faults, server.retry_after = [429], "3600"
    with pytest.raises(ValuestabError, match="asks to wait 3600 s.*the same command goes on"):
        tested.settings  # noqa: B018


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
    ("status", "advice"), [(401, "Check the key"), (403, "may do"), (404, "model's name"), (400, "tuned_no_sys")]
)
def test_what_is_refused_is_not_tried_again_and_tells_no_secret(server, status, advice):
    tested = respondent()
    tested.settings  # noqa: B018
    server.faults, before = [status] * 9, len(server.requests)
    with pytest.raises(ValuestabError, match=advice) as error:
        tested.answer(prompts_of(tested)[:1], "ABCDEF")
    assert len(server.requests) == before + 1
    assert KEY not in "".join(traceback.format_exception(error.value)) and "***" in str(error.value)


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


@pytest.mark.parametrize("value", ["0", "many", "-1", "0.5"])
def test_settings_that_make_no_sense_are_refused(server, monkeypatch, value):
    monkeypatch.setenv("VALUESTAB_API_CONCURRENCY", value)
    with pytest.raises(ValuestabError, match=f"VALUESTAB_API_CONCURRENCY is '{value}'"):
        respondent()


# What is paid for


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


def test_a_second_study_leaves_the_first_ones_journal_in_its_place(server, tmp_path):
    first, second = planned_study(tmp_path / "one"), planned_study(tmp_path / "two")
    first.answers()
    kept = [file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("_paid/*")]
    assert kept == ["one/_paid/api-served.sqlite"] and second.results_dir == tmp_path / "two"


def test_a_budget_in_money_needs_prices(server, monkeypatch):
    monkeypatch.setenv("VALUESTAB_MAX_USD", "1")
    with pytest.raises(ValuestabError, match="needs VALUESTAB_USD_PER_MTOK_IN"):
        respondent()
    monkeypatch.setenv("VALUESTAB_USD_PER_MTOK_IN", "1000")
    monkeypatch.setenv("VALUESTAB_USD_PER_MTOK_OUT", "2000")
    tested = respondent()
    assert tested.client.settings.usd(100, 3) == pytest.approx(0.106)
    with pytest.raises(ValuestabError, match=r"budget of VALUESTAB_MAX_USD=1 is spent.*0\.\d+ USD"):
        tested.answer(prompts_of(tested) + prompts_of(tested, GALADRIEL), "ABCDEF")


@pytest.mark.parametrize("faults", [[], ["no usage"] * 99, ["hang", "cut"] * 9])
def test_a_budget_is_never_exceeded(server, monkeypatch, faults):
    monkeypatch.setenv("VALUESTAB_API_CONCURRENCY", "8")
    monkeypatch.setenv("VALUESTAB_API_ATTEMPTS", "20")
    monkeypatch.setenv("VALUESTAB_MAX_TOKENS", "2500")
    tested = respondent()
    tested.settings  # noqa: B018
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
