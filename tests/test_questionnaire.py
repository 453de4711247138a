"""Each answer is the option at the likeliest letter, kept with all that made it."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from fakes import (
    CHESS,
    GALADRIEL,
    GANDALF,
    JOKE,
    NO_TALK,
    Bar,
    FakeRespondent,
    experiment,
    language_model,
    session,
    small_instrument,
)

from valuestab_utils import questionnaire as module
from valuestab_utils.conversations import simulate_conversations, texts_by_session, texts_digest
from valuestab_utils.errors import ValuestabError
from valuestab_utils.instruments import load_pvq40
from valuestab_utils.prompts import LETTERS, question
from valuestab_utils.prompts import tested_prompt as prompt_of_tested
from valuestab_utils.questionnaire import answer_folder, ask_questionnaire, item_prompts, load_answers
from valuestab_utils.store import Folder
from valuestab_utils.tasks import load_task
from valuestab_utils.topics import Topic

SMALL = small_instrument()
SOME = experiment()


@pytest.fixture
def ask(tmp_path):
    def ask(respondent=None, instrument=SMALL, whole=SOME, place=tmp_path):
        respondent = respondent or FakeRespondent()
        simulate_conversations(whole, respondent, place)
        return ask_questionnaire(whole, respondent, instrument, place)

    return ask


def prefers(*utilities):
    """Letters with these log-probabilities up to a constant, whatever is asked."""
    return FakeRespondent(lambda text, letters: np.array(utilities, dtype=float))


def shown(prompt):
    """The options of a prompt's last question, by letter."""
    lines = [line for line in prompt.split("\n") if line[:1] == "(" and line[2:4] == ") "][-6:]
    return {line[1]: line[4:] for line in lines}


def test_an_answer_is_the_code_of_the_option_that_stood_at_the_chosen_letter(ask):
    respondent = FakeRespondent()
    frame = ask(respondent)
    prompts = [text for _, text in respondent.answered]
    assert len(frame) == len(prompts) == 4 * 3
    for row, prompt in zip(frame.to_dict("records"), prompts):
        options = shown(prompt)
        assert row["answer"] == 1 + SMALL.options.index(options[row["letter"]])
        assert [1 + SMALL.options.index(options[x]) for x in "ABCDEF"] == list(row["option_order"])
        logprobs = [row[f"logprob_{x}"] for x in "ABCDEF"]
        assert "ABCDEF"[int(np.argmax(logprobs))] == row["letter"]
        assert row["letter_mass"] == pytest.approx(sum(np.exp(logprobs))) == pytest.approx(0.5)


def test_somebody_who_reads_the_options_gives_the_same_answer_in_every_order(ask):
    def likes_it_somewhat(text, letters):
        return np.array([5.0 * (shown(text)[x] == "Somewhat like me") for x in letters])

    frame = ask(FakeRespondent(likes_it_somewhat))
    assert (frame["answer"] == 4).all() and frame["letter"].nunique() > 2
    always_b = ask(prefers(0, 5, 0, 0, 0, 0), whole=replace(SOME, population="q"))
    assert (always_b["letter"] == "B").all() and always_b["answer"].nunique() > 2


def test_every_item_is_asked_of_the_conversation_alone_in_the_wording_of_the_persona(ask, tmp_path):
    respondent = FakeRespondent()
    frame = ask(respondent)
    said = texts_by_session(simulate_conversations(SOME, respondent, tmp_path))
    expected = []
    for s in SOME.sessions:
        for item in SMALL.items:
            order = s.option_order(item.item, 6, SMALL.name)
            portrait = f"{'He' if s.persona == GANDALF else 'She'} likes item {item.item}."
            text = question(SMALL.instruction, portrait, [SMALL.options[code - 1] for code in order])
            prompt = prompt_of_tested("tuned_sys", respondent.template, s.persona, said[s.key], text)
            expected.append((s.key, prompt))
    assert respondent.answered == expected
    assert all(prompt.endswith("Answer: (") for _, prompt in expected)
    of_session = [texts_digest(said[s.key]) for s in SOME.sessions for _ in SMALL.items]
    assert list(frame["conversation"]) == of_session and (frame["n_messages"] == 3).all()


def test_without_conversation_an_item_follows_the_persona(ask):
    respondent = FakeRespondent()
    frame = ask(respondent, whole=experiment(topics=(NO_TALK,)))
    assert respondent.answered[0][1].startswith(
        f"<system> You are {GANDALF.description}\n<user> Here we briefly"
    )
    assert (frame["conversation"] == "").all() and (frame["n_messages"] == 0).all()


def test_near_ties_are_those_within_a_tenth_of_a_nat(ask):
    assert not ask(prefers(0, 1, 0.895, 0, 0, 0))["near_tie"].any()
    assert ask(prefers(0, 1, 0.905, 0, 0, 0), whole=replace(SOME, population="q"))["near_tie"].all()
    assert ask(prefers(1, 1, 0, 0, 0, 0), whole=replace(SOME, population="r"))["near_tie"].all()


def test_columns_are_those_that_are_documented_and_no_others(ask):
    frame = ask()
    identity = ["model", "format", "population", "persona", "topic", "seed"]
    text = ["persona_name", "persona_description", "gender", "instrument_version", "conversation"]
    answer = ["n_messages", "instrument", "wording", "item", "value", "rotation"]
    answer += ["option_order"]
    answer += [f"logprob_{letter}" for letter in "ABCDEF"]
    answer += ["letter_mass", "letter", "answer", "near_tie", "stray_token", "stray_logprob"]
    origin = ["family", "model_source", "model_revision", "dtype", "chat_template", "prompts"]
    origin += ["package_version", "git_commit"]
    assert list(frame) == identity + text + answer + origin
    documented = ask_questionnaire.__doc__.split("Returns")[1]
    assert all(f"``{column}``" in documented for column in text + answer if column[:8] != "logprob_")
    assert "``logprob_A`` ..." in documented
    from valuestab_utils.provenance import provenance

    assert all(f"``{column}``" in provenance.__doc__ for column in origin)


def test_provenance_says_who_answered_what(ask, tmp_path):
    model = language_model()
    frame = ask(model, whole=experiment((GANDALF,), (NO_TALK,), model="tiny"), place=tmp_path / "tiny")
    (row,) = frame.drop_duplicates(["model_revision", "dtype", "chat_template"]).to_dict("records")
    assert (row["model_source"], row["model_revision"], row["dtype"]) == ("tiny", "r1", "float32")
    assert row["chat_template"] == model.template.digest and len(row["prompts"]) == 12
    assert (row["instrument"], row["wording"]) == ("Small", "project")
    assert row["instrument_version"] == SMALL.version and row["package_version"]
    plain = ask()
    assert set(plain["dtype"]) == {""} and set(plain["chat_template"]) == {"plain"}


@pytest.mark.parametrize("call", range(1, 5))
def test_interrupted_at_any_session_it_goes_on_and_asks_nothing_twice(ask, tmp_path, call):
    expected = ask(place=tmp_path / "whole")
    simulate_conversations(SOME, FakeRespondent(), tmp_path)
    interrupted, again = FakeRespondent(), FakeRespondent()
    interrupted.interrupt_at = call
    with pytest.raises(KeyboardInterrupt):
        ask_questionnaire(SOME, interrupted, SMALL, tmp_path)
    assert len(interrupted.answered) == 3 * (call - 1)
    frame = ask_questionnaire(SOME, again, SMALL, tmp_path)
    pd.testing.assert_frame_equal(frame, expected)
    asked = interrupted.answered + again.answered
    assert len(asked) == len(set(asked)) == 12
    third = FakeRespondent()
    pd.testing.assert_frame_equal(ask_questionnaire(SOME, third, SMALL, tmp_path), expected)
    assert not third.answered


def test_answers_after_other_numbers_of_messages_are_kept_apart(ask):
    three = ask()
    one = ask(whole=replace(SOME, n_messages=1))
    assert set(one["n_messages"]) == {1} and not one["conversation"].isin(three["conversation"]).any()
    pd.testing.assert_frame_equal(ask(), three)


# What must not mix


def test_a_changed_questionnaire_is_refused(ask, tmp_path):
    ask()
    changed = small_instrument(portrait="{} loves item {}.")
    respondent = FakeRespondent()
    with pytest.raises(
        ValuestabError, match=f"instrument is '{SMALL.version}' there and '{changed.version}' now"
    ):
        ask(respondent, changed)
    assert not respondent.answered
    with pytest.raises(ValuestabError, match="with the instrument version .* now .*another results_dir"):
        load_answers(SOME, changed, tmp_path)


def test_project_and_published_wording_have_folders_of_their_own(ask, tmp_path):
    ours = ask()
    theirs = replace(SMALL, wording="published", version="other")
    respondent = FakeRespondent()
    published = ask(respondent, theirs)
    assert len(respondent.answered) == 12
    assert set(ours["wording"]) == {"project"} and set(published["wording"]) == {"published"}
    assert (tmp_path / "fake/tuned_sys/p/Small-project/n3").is_dir()
    assert (tmp_path / "fake/tuned_sys/p/Small-published/n3").is_dir()
    assert set(load_answers(SOME, SMALL, tmp_path)["instrument_version"]) == {SMALL.version}


@pytest.mark.parametrize(
    "change, message",
    [
        ({"description": "Gandalf the White."}, "the persona description"),
        ({"name": "Mithrandir"}, "the persona name 'Gandalf', which is now 'Mithrandir'"),
        ({"gender": "F"}, "the gender 'M', which is now 'F'"),
    ],
)
@pytest.mark.parametrize("seeds", [(1, 2), (2, 1)])
def test_answers_of_a_changed_persona_are_refused_wherever_they_stand(ask, tmp_path, change, message, seeds):
    # Half of the sessions were answered before the change, half after it.
    ask(whole=experiment((GANDALF,), (NO_TALK,), (1,)))
    now = replace(GANDALF, **change)
    ask(whole=experiment((now,), (NO_TALK,), (2,)))
    with pytest.raises(ValuestabError, match=message):
        load_answers(experiment((now,), (NO_TALK,), seeds), SMALL, tmp_path)


def test_answers_after_another_conversation_are_refused(ask, tmp_path):
    one = experiment((GANDALF,), (JOKE,))
    ask(whole=one)
    for file in tmp_path.glob("fake/tuned_sys/p/conversations/*.parquet"):
        file.unlink()

    class Changed(FakeRespondent):
        def speak(self, prompts, max_new_tokens):
            return [replace(text, content="Other.") for text in super().speak(prompts, max_new_tokens)]

    with pytest.raises(ValuestabError, match="fake/tuned_sys/p/Gandalf/joke/1 .* with the conversation"):
        ask(Changed(), whole=one)
    changed_topic = experiment((GANDALF,), (Topic("joke", "Tell me a story."),))
    with pytest.raises(ValuestabError, match="the first message"):
        load_answers(changed_topic, SMALL, tmp_path)


def test_conversations_must_be_there(tmp_path):
    with pytest.raises(ValuestabError, match="4 of 4 sessions have no result .*conversations"):
        ask_questionnaire(SOME, FakeRespondent(), SMALL, tmp_path)
    with pytest.raises(ValuestabError, match="sessions have no result .*Small-project/n3"):
        load_answers(SOME, SMALL, tmp_path)


# What cannot be asked or answered


def test_a_persona_without_gender_is_named(ask):
    with pytest.raises(
        ValuestabError, match="Session fake/tuned_sys/p/Gandalf/joke/1: .*gender: fill in M or F"
    ):
        ask(whole=experiment((replace(GANDALF, gender=None),), (JOKE,)))


@pytest.mark.parametrize("utilities", [[np.nan] + [0.0] * 5, [np.nan] * 6, [-np.inf] * 6])
def test_no_probability_for_any_letter_is_no_answer(ask, tmp_path, utilities):
    class Broken(FakeRespondent):
        def answer(self, prompts, letters):
            scored = super().answer(prompts, letters)
            scored.logprobs[-1] = utilities
            return scored

    with pytest.raises(ValuestabError, match="Session fake/tuned_sys/p/Gandalf/joke/1: fake gives no letter"):
        ask(Broken())
    assert not list(tmp_path.glob("fake/tuned_sys/p/Small-project/n3/*.parquet"))


@pytest.mark.filterwarnings("ignore:tiny is scored one full prompt at a time")
def test_nan_logits_name_the_session(ask):
    model = language_model()
    with torch.no_grad():
        model.model.lm_head.weight[70] = torch.nan
    with pytest.raises(
        ValuestabError, match="^Session fake/tuned_sys/p/Gandalf/no_conversation/1: .*NaN logits"
    ):
        ask(model, whole=experiment(topics=(NO_TALK,)))


def test_a_prompt_too_long_for_the_context_names_the_session_once(ask):
    model = language_model(max_position_embeddings=300)
    with pytest.raises(ValuestabError, match="Session fake") as error:
        ask(model, whole=experiment(topics=(NO_TALK,)))
    assert str(error.value).count("fake/tuned_sys/p/Gandalf/no_conversation/1") == 1


def test_the_bar_counts_what_another_run_answered(ask, tmp_path, monkeypatch):
    bars = []

    def progress(**settings):
        bars.append(Bar(n=0, **settings))
        return bars[-1]

    class Helped(FakeRespondent):
        def answer(self, prompts, letters):
            if not self.answered:
                ask_questionnaire(experiment(topics=(CHESS,)), FakeRespondent(), SMALL, tmp_path)
            return super().answer(prompts, letters)

    simulate_conversations(SOME, FakeRespondent(), tmp_path)
    monkeypatch.setattr(module, "progress", progress)
    respondent = Helped()
    ask_questionnaire(SOME, respondent, SMALL, tmp_path)
    assert len(respondent.answered) == 6 and (bars[0].total, bars[0].n) == (4, 4)


def test_prompts_of_the_whole_questionnaire():
    pvq = load_pvq40("project")
    prompts = item_prompts(session(GALADRIEL), FakeRespondent(), pvq, ["Tell me a joke.", "No."])
    assert len({prompt.text for prompt in prompts}) == 40
    for item, prompt in zip(pvq.items, prompts):
        assert prompt.text.count(item.female) == 1 and item.male not in prompt.text
        assert sorted(shown(prompt.text).values()) == sorted(pvq.options)
        assert list(shown(prompt.text)) == list(LETTERS[:6])


def test_a_session_is_saved_whole_when_it_is_answered(ask, tmp_path, monkeypatch):
    sizes = []
    write = Folder.write
    monkeypatch.setattr(
        Folder, "write", lambda self, s, frame: sizes.append(len(frame)) or write(self, s, frame)
    )
    simulate_conversations(SOME, FakeRespondent(), tmp_path)
    sizes.clear()
    ask_questionnaire(SOME, FakeRespondent(), SMALL, tmp_path)
    assert sizes == [3] * 4


# Orders of the options


def test_balanced_orders_show_every_option_once_at_every_letter_beginning_with_the_single_order(ask, tmp_path):
    single, respondent = ask(), FakeRespondent()
    balanced = ask_questionnaire(SOME, respondent, SMALL, tmp_path, "balanced")
    assert len(balanced) == 6 * len(single) == len(respondent.answered)
    for _, rows in balanced.groupby(["persona", "topic", "seed", "item"]):
        assert list(rows["rotation"]) == [0, 1, 2, 3, 4, 5]
        square = np.stack(rows["option_order"].to_list())
        assert all(sorted(line) == [1, 2, 3, 4, 5, 6] for line in (*square, *square.T))
    first = balanced[balanced["rotation"] == 0].reset_index(drop=True)
    pd.testing.assert_frame_equal(first, single)


def test_second_orders_are_others_of_the_same_conversations(ask, tmp_path):
    single = ask()
    second = ask_questionnaire(SOME, FakeRespondent(), SMALL, tmp_path, "second")
    assert list(second["conversation"]) == list(single["conversation"])
    assert list(second["item"]) == list(single["item"]) and (second["rotation"] == 0).all()
    same = [list(a) == list(b) for a, b in zip(single["option_order"], second["option_order"])]
    assert not all(same)


def test_orders_are_kept_apart_and_unknown_ones_refused(ask, tmp_path):
    ask()
    folders = [answer_folder(SOME, SMALL, tmp_path, orders=orders).path for orders in module.ORDERS]
    assert len(set(folders)) == 3 and folders[0].name == "n3"
    with pytest.raises(ValuestabError, match="balancd.*balanced"):
        ask_questionnaire(SOME, FakeRespondent(), SMALL, tmp_path, "balancd")


def test_a_task_is_asked_with_its_own_options_and_nothing_before_the_question(ask, tmp_path):
    simulate_conversations(SOME, FakeRespondent(), tmp_path)
    stealing, respondent = load_task("stealing", 1), FakeRespondent()
    frame = ask_questionnaire(SOME, respondent, stealing, tmp_path)
    prompt = next(text for key, text in respondent.answered)
    assert "\n<user> You have been on journey" in prompt and "Select an option" not in prompt
    assert "(A) " in prompt and "the the elf's address" in prompt
    assert set(frame["value"]) == {"elf", "dwarf", "orc", "human", "hobbit"}
    assert set(frame["wording"]) == {"5 of 100 questions"} and set(frame["instrument"]) == {"Stealing"}


def test_answers_of_other_prompt_texts_are_refused(ask, tmp_path, monkeypatch):
    ask()
    monkeypatch.setattr(module, "PROMPTS_DIGEST", "another")
    with pytest.raises(ValuestabError, match="was made with the prompts"):
        load_answers(SOME, SMALL, tmp_path)
