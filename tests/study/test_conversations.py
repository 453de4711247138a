"""A session's text follows from the session alone, whatever was interrupted, batched or shared."""

from dataclasses import replace

import pandas as pd
import pytest
from fakes import CHESS, GALADRIEL, GANDALF, JOKE, NOBODY, FakeRespondent, experiment, language_model, session

from valuestab_utils.errors import ValuestabError
from valuestab_utils.models import Sampling
from valuestab_utils.prompts import Topic, turn_labels
from valuestab_utils.prompts import tested_prompt as prompt_of_tested
from valuestab_utils.prompts.formats import interlocutor_prompt
from valuestab_utils.study import conversations as module
from valuestab_utils.study import next_prompt, simulate_conversations
from valuestab_utils.study.conversations import load_conversations, texts_by_session
from valuestab_utils.study.store import provenance

SOME = experiment()


def test_each_message_answers_the_prompt_of_what_was_said_before_it(tmp_path):
    respondent = FakeRespondent()
    said = texts_by_session(simulate_conversations(SOME, respondent, tmp_path))
    assert len(respondent.spoken) == 4 * 3
    for s in SOME.sessions:
        asked = [text for key, text in respondent.spoken if key == s.key]
        template = respondent.template
        assert said[s.key][0] == s.topic.first_message
        assert asked == [
            prompt_of_tested("tuned_sys", template, s.persona, said[s.key][:1]),
            interlocutor_prompt("tuned_sys", template, s.persona, said[s.key][:2]),
            prompt_of_tested("tuned_sys", template, s.persona, said[s.key][:3]),
        ]
        for number in range(1, len(asked) + 1):  # the fake says its prompt and its noise
            assert said[s.key][number].endswith(f" {s.noise(number).integers(10**9)}")


def test_rows_are_the_messages_in_order_with_all_that_made_them(tmp_path):
    frame = simulate_conversations(SOME, FakeRespondent(), tmp_path)
    identity = ["model", "format", "population", "persona", "topic", "seed"]
    own = ["persona_name", "persona_description", "message", "role", "content", "n_tokens", "finish", "close_calls"]
    origin = ["family", "model_source", "model_revision", "dtype", "chat_template", "prompts"]
    assert list(frame) == [*identity, *own, *origin, "package_version", "git_commit"]
    assert (frame["model_revision"] == "r1").all() and (frame["package_version"] != "").all()
    assert list(zip(frame["persona"], frame["topic"])) == [s.key[:2] for s in SOME.sessions for _ in range(4)]
    assert list(frame["message"]) == [0, 1, 2, 3] * 4
    assert list(frame["role"]) == ["interlocutor", "tested"] * 8
    assert list(frame["finish"]) == ["given", "eos", "eos", "eos"] * 4


@pytest.mark.parametrize("call", [1, 2, 5, 6])
def test_interrupted_at_any_message_it_goes_on_with_the_same_texts_and_nothing_twice(tmp_path, call):
    expected = simulate_conversations(SOME, FakeRespondent(), tmp_path / "whole")
    interrupted, again = FakeRespondent(), FakeRespondent()
    interrupted.interrupt_at = call
    interrupted.batch_sessions = again.batch_sessions = 2
    with pytest.raises(KeyboardInterrupt):
        simulate_conversations(SOME, interrupted, tmp_path / "parts")
    frame = simulate_conversations(SOME, again, tmp_path / "parts")
    pd.testing.assert_frame_equal(frame, expected)
    spoken = interrupted.spoken + again.spoken
    assert len(spoken) == len(set(spoken)) == 12
    assert len(interrupted.spoken) == 2 * (call - 1)


def test_a_longer_conversation_begins_with_the_shorter_and_computes_the_new_messages_only(tmp_path):
    longer = replace(SOME, n_messages=7)
    short = simulate_conversations(SOME, FakeRespondent(), tmp_path)
    respondent = FakeRespondent()
    long = simulate_conversations(longer, respondent, tmp_path)
    assert len(respondent.spoken) == 4 * 4
    pd.testing.assert_frame_equal(long[long["message"] <= 3].reset_index(drop=True), short)
    at_once = simulate_conversations(longer, FakeRespondent(), tmp_path / "other")
    assert texts_by_session(long) == texts_by_session(at_once)
    # The shorter one is still there as it was, and computes nothing.
    pd.testing.assert_frame_equal(simulate_conversations(SOME, respondent, tmp_path), short)
    assert len(respondent.spoken) == 4 * 4 and load_conversations(SOME, tmp_path).equals(short)


def test_provenance_of_a_message_is_that_of_the_run_that_wrote_it(tmp_path, monkeypatch):
    for commit, n_messages in (("old", 3), ("new", 5)):
        made_by = {"git_commit": commit}
        monkeypatch.setattr(module, "provenance", lambda respondent, made_by=made_by: provenance(respondent) | made_by)
        frame = simulate_conversations(replace(SOME, n_messages=n_messages), FakeRespondent(), tmp_path)
    assert (frame["git_commit"] == "old").equals(frame["message"] <= 3)


@pytest.mark.parametrize("sampling", [Sampling(temperature=0.7), Sampling(0.6, 0.9, 50, 1.2)])
def test_texts_of_a_real_model_depend_on_the_session_alone(tmp_path, monkeypatch, sampling):
    monkeypatch.setattr(module, "MAX_NEW_TOKENS", 8)
    tiny = language_model(sampling=sampling)

    def texts(whole, folder, at_once=48):
        monkeypatch.setattr(type(tiny), "batch_sessions", at_once)
        return texts_by_session(simulate_conversations(whole, tiny, tmp_path / folder))

    whole = experiment(seeds=(1, 2))
    expected = texts(whole, "batch")
    assert len({tuple(said[1:]) for said in expected.values()}) == 8  # not all the same, so that it can fail
    assert texts(whole, "one", 1) == expected
    assert texts(experiment((GALADRIEL, GANDALF), (CHESS, JOKE), (2, 1)), "order", 3) == expected
    for seed in (2, 1):  # shards into one place, each of them in two steps
        for n_messages in (1, 3):
            texts(experiment(seeds=(seed,), n_messages=n_messages), "shards")
    assert texts_by_session(load_conversations(whole, tmp_path / "shards")) == expected


@pytest.mark.parametrize("persona", [GANDALF, NOBODY])
def test_only_the_base_format_is_cut_and_at_every_label_of_the_persona(persona):
    def cut(format):
        return next_prompt(session(persona, format=format), FakeRespondent(), ["Tell me a joke."]).cut

    assert all(cut("base")(f"No. {label.title()} Why?") == "No. " for label in turn_labels(persona))
    assert cut("tuned_sys") is cut("tuned_no_sys") is None


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"persona": replace(GANDALF, description="Gandalf the White.")}, "description .* is now 'Gandalf the White"),
        ({"persona": replace(GANDALF, name="Mithrandir")}, "the persona name 'Gandalf', which is now 'Mithrandir'"),
        ({"topic": Topic("joke", "Tell me a story.")}, "the first message 'Tell me a joke.', which is now"),
    ],
)
def test_a_changed_text_under_the_same_name_is_refused(tmp_path, changed, message):
    simulate_conversations(experiment((GANDALF,), (JOKE,), n_messages=1), FakeRespondent(), tmp_path)
    now, respondent = {"persona": GANDALF, "topic": JOKE} | changed, FakeRespondent()
    for n_messages in (1, 3):  # when it is read, and when it is continued
        with pytest.raises(ValuestabError, match=f"fake/tuned_sys/p/Gandalf/joke/1.*{message}"):
            asked = experiment((now["persona"],), (now["topic"],), n_messages=n_messages)
            simulate_conversations(asked, respondent, tmp_path)
    assert not respondent.spoken


def test_other_settings_are_refused_before_anything_is_computed(tmp_path, monkeypatch):
    umlaut = replace(SOME, population="müde")  # and "mude" are one name to a file system of plain letters
    for whole in (SOME, umlaut):
        simulate_conversations(whole, FakeRespondent(), tmp_path)
    other = FakeRespondent(revision="r2")
    with pytest.raises(ValuestabError, match="model_revision is 'r1' there and 'r2' now"):
        simulate_conversations(replace(SOME, seeds=(2,)), other, tmp_path)
    with pytest.raises(ValuestabError, match="population is 'müde' there and 'mude' now"):
        simulate_conversations(replace(SOME, population="mude"), other, tmp_path)
    monkeypatch.setattr(module, "MAX_NEW_TOKENS", 50)
    with pytest.raises(ValuestabError, match="max_new_tokens is 100 there and 50 now"):
        simulate_conversations(SOME, other, tmp_path)
    assert not other.spoken


def test_experiments_simulated_together_have_the_texts_that_they_have_alone(tmp_path):
    short, long = experiment(topics=(JOKE,), n_messages=1), experiment(topics=(JOKE,), n_messages=5)
    other = experiment(format="tuned_no_sys", n_messages=3)
    together = FakeRespondent()
    together.batch_sessions = 3
    for _ in range(2):
        module.simulate_together([short, other, long], together, tmp_path / "together")
        assert len(together.spoken) == len(set(together.spoken)) == 2 * 5 + 4 * 3  # each once, as far as it is needed
    for whole in (short, long, other):
        alone = simulate_conversations(whole, FakeRespondent(), tmp_path / "alone")
        pd.testing.assert_frame_equal(load_conversations(whole, tmp_path / "together"), alone)
