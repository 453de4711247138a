"""A session's text follows from the session alone, whatever was interrupted, batched or shared."""

from dataclasses import replace

import pandas as pd
import pytest
import torch
from fakes import (
    CHESS,
    GALADRIEL,
    GANDALF,
    JOKE,
    NO_TALK,
    NOBODY,
    Bar,
    FakeRespondent,
    experiment,
    language_model,
    session,
)

from valuestab_utils import conversations as module
from valuestab_utils.conversations import (
    load_conversations,
    next_prompt,
    simulate_conversations,
    simulate_together,
    texts_by_session,
)
from valuestab_utils.errors import ValuestabError
from valuestab_utils.prompts import interlocutor_prompt, turn_labels
from valuestab_utils.prompts import tested_prompt as prompt_of_tested
from valuestab_utils.provenance import provenance
from valuestab_utils.respondents import Prompt, Text
from valuestab_utils.sampling import Sampling
from valuestab_utils.topics import Topic

SOME = experiment()


@pytest.fixture(scope="module")
def tiny():
    """A real model of transformers, with random weights: its texts depend on every token of the prompt."""
    return language_model()


def texts(frame):
    return texts_by_session(frame)


def test_a_conversation_alternates_from_the_topics_first_message_to_the_tested_model(tmp_path):
    respondent = FakeRespondent()
    frame = simulate_conversations(SOME, respondent, tmp_path)
    assert len(frame) == 4 * 4 and len(respondent.spoken) == 4 * 3
    one = frame[(frame["persona"] == "Galadriel") & (frame["topic"] == "chess")]
    assert list(one["message"]) == [0, 1, 2, 3]
    assert list(one["role"]) == ["interlocutor", "tested", "interlocutor", "tested"]
    assert one["content"].iloc[0] == "1. e4" and list(one["finish"]) == ["given", "eos", "eos", "eos"]
    assert list(zip(frame["persona"], frame["topic"])) == [s.key[:2] for s in SOME.sessions for _ in range(4)]


def test_each_message_answers_the_prompt_of_what_was_said_before_it(tmp_path):
    respondent = FakeRespondent()
    said = texts(simulate_conversations(SOME, respondent, tmp_path))
    for s in SOME.sessions:
        asked = [text for key, text in respondent.spoken if key == s.key]
        template = respondent.template
        assert asked == [
            prompt_of_tested("tuned_sys", template, s.persona, said[s.key][:1]),
            interlocutor_prompt("tuned_sys", template, s.persona, said[s.key][:2]),
            prompt_of_tested("tuned_sys", template, s.persona, said[s.key][:3]),
        ]
        for number, text in enumerate(asked, start=1):  # the fake says its prompt and its noise
            assert said[s.key][number].endswith(f" {s.noise(number).integers(10**9)}")


def test_columns_are_those_that_are_documented(tmp_path):
    frame = simulate_conversations(experiment(), FakeRespondent(), tmp_path)
    documented = simulate_conversations.__doc__.split("Returns")[1]
    own = [
        "persona_name",
        "persona_description",
        "message",
        "role",
        "content",
        "n_tokens",
        "finish",
        "close_calls",
    ]
    assert all(f"``{column}``" in documented for column in own)
    identity = ["model", "format", "population", "persona", "topic", "seed"]
    origin = ["family", "model_source", "model_revision", "dtype", "chat_template", "prompts"]
    assert list(frame) == [*identity, *own, *origin, "package_version", "git_commit"]
    assert (frame["model_revision"] == "r1").all() and (frame["package_version"] != "").all()
    nothing = simulate_conversations(experiment(topics=[NO_TALK]), FakeRespondent(), tmp_path)
    assert nothing.empty and list(nothing) == [*identity, *own]


@pytest.mark.parametrize("call", [1, 2, 5, 6])
def test_interrupted_at_any_message_it_goes_on_with_the_same_texts_and_nothing_twice(tmp_path, call):
    expected = simulate_conversations(SOME, FakeRespondent(), tmp_path / "whole")
    interrupted, again = FakeRespondent(), FakeRespondent()
    interrupted.interrupt_at = call
    with pytest.raises(KeyboardInterrupt):
        simulate_conversations(SOME, interrupted, tmp_path / "parts", batch_sessions=2)
    frame = simulate_conversations(SOME, again, tmp_path / "parts", batch_sessions=2)
    pd.testing.assert_frame_equal(frame, expected)
    spoken = interrupted.spoken + again.spoken
    assert len(spoken) == len(set(spoken)) == 12
    assert len(interrupted.spoken) == 2 * (call - 1)


def test_interrupted_between_the_texts_of_a_batch_it_keeps_those_that_are_saved(tmp_path, monkeypatch):
    written = []

    def write_two(self, s, frame):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(s.key)
        write(self, s, frame)

    write = module.Folder.write
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module.Folder, "write", write_two)
        simulate_conversations(SOME, FakeRespondent(), tmp_path)
    respondent = FakeRespondent()
    frame = simulate_conversations(SOME, respondent, tmp_path)
    assert len(respondent.spoken) == 10 and written[0] not in [key for key, _ in respondent.spoken[:2]]
    pd.testing.assert_frame_equal(frame, simulate_conversations(SOME, FakeRespondent(), tmp_path / "whole"))


def test_a_longer_conversation_begins_with_the_shorter_and_computes_the_new_messages_only(tmp_path):
    longer = replace(SOME, n_messages=7)
    short = simulate_conversations(SOME, FakeRespondent(), tmp_path)
    respondent = FakeRespondent()
    long = simulate_conversations(longer, respondent, tmp_path)
    assert len(respondent.spoken) == 4 * 4
    pd.testing.assert_frame_equal(long[long["message"] <= 3].reset_index(drop=True), short)
    at_once = simulate_conversations(longer, FakeRespondent(), tmp_path / "other")
    assert texts(long) == texts(at_once)
    # The shorter one is still there as it was, and computes nothing.
    respondent = FakeRespondent()
    pd.testing.assert_frame_equal(simulate_conversations(SOME, respondent, tmp_path), short)
    assert not respondent.spoken
    assert load_conversations(SOME, tmp_path).equals(short)


def test_provenance_of_a_message_is_that_of_the_run_that_wrote_it(tmp_path, monkeypatch):
    def at_commit(commit):
        return lambda respondent: provenance(respondent) | {"git_commit": commit}

    monkeypatch.setattr(module, "provenance", at_commit("old"))
    simulate_conversations(SOME, FakeRespondent(), tmp_path)
    monkeypatch.setattr(module, "provenance", at_commit("new"))
    frame = simulate_conversations(replace(SOME, n_messages=5), FakeRespondent(), tmp_path)
    assert (frame["git_commit"] == "old").equals(frame["message"] <= 3)


def test_more_sessions_leave_those_that_are_there_alone(tmp_path):
    first = simulate_conversations(experiment(), FakeRespondent(), tmp_path)
    respondent = FakeRespondent()
    more = simulate_conversations(experiment(seeds=(2, 1)), respondent, tmp_path)
    assert {key[2] for key, _ in respondent.spoken} == {2}
    pd.testing.assert_frame_equal(more[more["seed"] == 1].reset_index(drop=True), first)


@pytest.mark.parametrize("sampling", [Sampling(temperature=0.7), Sampling(0.6, 0.9, 50, 1.2)])
def test_texts_of_a_real_model_depend_on_the_session_alone(tmp_path, tiny, monkeypatch, sampling):
    monkeypatch.setattr(module, "MAX_NEW_TOKENS", 8)
    monkeypatch.setattr(tiny, "sampling", sampling)
    whole = experiment(seeds=(1, 2))
    expected = texts(simulate_conversations(whole, tiny, tmp_path / "batch"))
    assert len({tuple(said[1:]) for said in expected.values()}) == 8  # not all the same, so that it can fail
    assert texts(simulate_conversations(whole, tiny, tmp_path / "one", batch_sessions=1)) == expected
    reversed_order = experiment((GALADRIEL, GANDALF), (CHESS, JOKE), (2, 1))
    assert (
        texts(simulate_conversations(reversed_order, tiny, tmp_path / "order", batch_sessions=3)) == expected
    )
    for seed in (2, 1):  # shards into one place, each of them in two steps
        for n_messages in (1, 3):
            simulate_conversations(
                experiment(seeds=(seed,), n_messages=n_messages), tiny, tmp_path / "shards"
            )
    assert texts(load_conversations(whole, tmp_path / "shards")) == expected


def test_base_texts_of_a_real_model_are_cut_at_labels(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_NEW_TOKENS", 40)
    model = language_model(format="base")
    text = "Yes. USER: And then?"
    draws = iter(model.tokenizer(text)["input_ids"] * 100)
    never = torch.tensor([False])
    monkeypatch.setattr("valuestab_utils.sampling.draw", lambda *_: (torch.tensor([next(draws)]), never))
    one = experiment((GANDALF,), (JOKE,), format="base", n_messages=1)
    frame = simulate_conversations(one, model, tmp_path)
    assert frame["content"].iloc[1] == "Yes." and frame["finish"].iloc[1] == "label"
    assert frame["n_tokens"].iloc[1] == len("Yes. USER:")  # a token a byte: it stopped there


def test_only_the_base_format_is_cut_and_at_every_label_of_the_persona():
    respondent = FakeRespondent()
    cut = next_prompt(session(format="base"), respondent, ["Tell me a joke."]).cut
    for label in turn_labels(GANDALF):
        assert cut(f"No. {label.title()} Why?") == "No. "
    assert next_prompt(session(), respondent, ["Tell me a joke."]).cut is None
    assert next_prompt(session(format="tuned_no_sys"), respondent, ["Tell me a joke."]).cut is None
    cut = next_prompt(session(NOBODY, format="base"), respondent, ["Tell me a joke."]).cut
    assert cut("No. chatbot: Yes. gandalf: No") == "No. "


def test_an_empty_message_is_a_message(tmp_path):
    class Silent(FakeRespondent):
        def speak(self, prompts, max_new_tokens):
            return [Text("", 1, "eos", 0) for _ in prompts]

    frame = simulate_conversations(SOME, Silent(), tmp_path)
    assert (frame[frame["message"] > 0]["content"] == "").all()
    assert load_conversations(SOME, tmp_path).equals(frame)


def test_a_respondent_that_leaves_one_out_is_noticed(tmp_path):
    class Forgetful(FakeRespondent):
        def speak(self, prompts, max_new_tokens):
            return super().speak(prompts, max_new_tokens)[:-1]

    with pytest.raises(ValueError):
        simulate_conversations(SOME, Forgetful(), tmp_path)


@pytest.mark.parametrize(
    "changed, message",
    [
        (
            {"persona": replace(GANDALF, description="Gandalf the White.")},
            "description .* is now 'Gandalf the White",
        ),
        (
            {"persona": replace(GANDALF, name="Mithrandir")},
            "the persona name 'Gandalf', which is now 'Mithrandir'",
        ),
        ({"topic": Topic("joke", "Tell me a story.")}, "the first message 'Tell me a joke.', which is now"),
    ],
)
def test_a_changed_text_under_the_same_name_is_refused(tmp_path, changed, message):
    simulate_conversations(experiment((GANDALF,), (JOKE,), n_messages=1), FakeRespondent(), tmp_path)
    now = {"persona": GANDALF, "topic": JOKE} | changed
    respondent = FakeRespondent()
    for n_messages in (1, 3):  # when it is read, and when it is continued
        asked = experiment((now["persona"],), (now["topic"],), n_messages=n_messages)
        with pytest.raises(ValuestabError, match=message) as error:
            simulate_conversations(asked, respondent, tmp_path)
        assert "fake/tuned_sys/p/Gandalf/joke/1" in str(error.value) and "results_dir" in str(error.value)
    assert not respondent.spoken


def test_other_settings_are_refused_before_anything_is_computed(tmp_path, monkeypatch):
    simulate_conversations(SOME, FakeRespondent(), tmp_path)
    other = FakeRespondent(revision="r2")
    with pytest.raises(ValuestabError, match="model_revision is 'r1' there and 'r2' now"):
        simulate_conversations(replace(SOME, seeds=(2,)), other, tmp_path)
    monkeypatch.setattr(module, "MAX_NEW_TOKENS", 50)
    with pytest.raises(ValuestabError, match="max_new_tokens is 100 there and 50 now"):
        simulate_conversations(SOME, FakeRespondent(), tmp_path)
    assert not other.spoken


def test_two_populations_of_one_file_name_do_not_share_a_folder(tmp_path):
    # "müde" and "mude" are one name to a file system of plain letters
    simulate_conversations(replace(SOME, population="müde"), FakeRespondent(), tmp_path)
    with pytest.raises(ValuestabError, match="population is 'müde' there and 'mude' now"):
        simulate_conversations(replace(SOME, population="mude"), FakeRespondent(), tmp_path)


def test_without_conversation_nothing_is_said(tmp_path):
    respondent = FakeRespondent()
    frame = simulate_conversations(experiment(topics=(NO_TALK, JOKE)), respondent, tmp_path)
    assert set(frame["topic"]) == {"joke"} and len(respondent.spoken) == 6
    assert texts_by_session(simulate_conversations(experiment(topics=(NO_TALK,)), respondent, tmp_path)) == {}
    assert len(respondent.spoken) == 6


def test_what_is_not_there_or_too_short_cannot_be_loaded(tmp_path):
    simulate_conversations(experiment((GANDALF,)), FakeRespondent(), tmp_path)
    with pytest.raises(ValuestabError, match="2 of 4 sessions have no result .*Galadriel/joke/1"):
        load_conversations(SOME, tmp_path)
    with pytest.raises(ValuestabError, match="Gandalf/joke/1 has 3 of 5 messages"):
        load_conversations(experiment((GANDALF,), n_messages=5), tmp_path)


def test_a_conversation_too_long_for_the_context_names_the_session_and_keeps_what_fits(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_NEW_TOKENS", 30)
    model = language_model(max_position_embeddings=240)
    monkeypatch.setattr(model.model.generation_config, "eos_token_id", None)
    with pytest.raises(ValuestabError) as error:
        simulate_conversations(experiment((GANDALF,), (CHESS,), n_messages=9), model, tmp_path)
    said = str(error.value)
    assert said.startswith("Session fake/tuned_sys/p/Gandalf/chess/1: its prompt has ")
    assert "tiny takes 240" in said and "n_messages" in said
    assert len(load_conversations(experiment((GANDALF,), (CHESS,), n_messages=1), tmp_path)) == 2


def test_the_bar_ends_at_its_total_even_when_another_run_helped(tmp_path, monkeypatch):
    bars = []

    def progress(**settings):
        bars.append(Bar(n=0, **settings))
        return bars[-1]

    monkeypatch.setattr(module, "progress", progress)

    class Helped(FakeRespondent):
        def speak(self, prompts, max_new_tokens):
            if self.calls == 0:  # meanwhile, another run does all that is not claimed
                simulate_conversations(experiment(topics=(CHESS,)), FakeRespondent(), tmp_path)
            return super().speak(prompts, max_new_tokens)

    simulate_conversations(experiment(topics=(JOKE,), n_messages=1), FakeRespondent(), tmp_path)
    respondent = Helped()
    simulate_conversations(SOME, respondent, tmp_path, batch_sessions=2)
    assert len(respondent.spoken) == 2 * 2
    assert (bars[1].total, bars[1].n) == (10, 10)


def test_experiments_simulated_together_have_the_texts_that_they_have_alone(tmp_path):
    short, long = experiment(topics=(JOKE,), n_messages=1), experiment(topics=(JOKE,), n_messages=5)
    other = experiment(format="tuned_no_sys", n_messages=3)
    together = FakeRespondent()
    simulate_together([short, other, long], together, tmp_path / "together")
    assert len(together.spoken) == len(set(together.spoken)) == 2 * 5 + 4 * 3  # each once, as far as it is needed
    for whole in (short, long, other):
        alone = simulate_conversations(whole, FakeRespondent(), tmp_path / "alone")
        pd.testing.assert_frame_equal(load_conversations(whole, tmp_path / "together"), alone)
    simulate_together([short, other, long], together, tmp_path / "together")
    assert len(together.spoken) == 2 * 5 + 4 * 3


def test_a_common_batch_is_no_larger_than_allowed(tmp_path):
    sizes = []

    class Counting(FakeRespondent):
        def speak(self, prompts, max_new_tokens):
            sizes.append(len(prompts))
            return super().speak(prompts, max_new_tokens)

    one, two = experiment(n_messages=1), experiment(format="tuned_no_sys", n_messages=1)
    simulate_together([one, two], Counting(), tmp_path, batch_sessions=3)
    assert sizes == [3, 3, 2]


def test_the_bar_counts_a_message_when_it_is_written_and_each_once(tmp_path, monkeypatch):
    bars, seen = [], []
    monkeypatch.setattr(module, "progress", lambda **settings: bars.append(Bar(n=0, **settings)) or bars[-1])

    class Telling(FakeRespondent):
        def speak(self, prompts, max_new_tokens):
            for prompt in prompts[:3]:  # not all of them need to tell
                prompt.done()
            seen.append(bars[-1].n)
            return super().speak(prompts, max_new_tokens)

    simulate_conversations(experiment(n_messages=1), Telling(), tmp_path)
    assert seen == [3] and (bars[0].total, bars[0].n) == (4, 4)


def test_a_model_tells_of_each_message_once():
    told, s = [], session()
    prompts = [Prompt(s, text, s.noise(1), done=lambda text=text: told.append(text)) for text in ("One?", "Two?", "Three?")]
    language_model().speak(prompts, 4)
    assert sorted(told) == ["One?", "Three?", "Two?"]
