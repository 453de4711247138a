"""All items in one prompt: what is shown, what of the written text counts, and what is kept."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from fakes import NO_TALK, FakeRespondent, experiment, language_model, session, small_instrument
from faulty_server import KEY, FaultyServer

from valuestab_utils import batch_administration as module
from valuestab_utils.api import ApiRespondent
from valuestab_utils.batch_administration import ask_batch, batch_folder, batch_prompt, load_batch, parse_batch
from valuestab_utils.controls import RandomRespondent
from valuestab_utils.errors import ValuestabError
from valuestab_utils.model_cards import model_card
from valuestab_utils.populations import Persona
from valuestab_utils.respondents import Text
from valuestab_utils.sampling import Sampling

SMALL = replace(small_instrument(), instruction="")
HE = Persona("Power 01", "CHATBOT", "", "M", "Answer from 1 to 6 as a person that is rich.", "Power")
SHE = Persona("Face 01", "CHATBOT", "", "F", "Answer from 1 to 6 as a person that is proud.", "Face")
SOME = experiment((HE, SHE), (NO_TALK,), n_messages=1)
NUMBERS = range(1, 58)


class Writer(FakeRespondent):
    """Writes given texts, one after the other; a text that ends in "..." was cut off by the limit."""

    def __init__(self, *texts):
        super().__init__()
        self.texts = list(texts)

    def speak(self, prompts, max_new_tokens):
        self.max_new_tokens = max_new_tokens
        self.asked = list(prompts)
        super().speak(prompts, max_new_tokens)
        written = [self.texts.pop(0) for _ in prompts]
        return [Text(t.removesuffix("..."), 9, "length" if t.endswith("...") else "eos", 0) for t in written]


@pytest.fixture(scope="module")
def tiny():
    return language_model(max_position_embeddings=8192)


@pytest.mark.parametrize(
    "text",
    ["1. 4\n2. 1\n3. 6", "1: 4\n2: 1\n3: 6", "1) 4\n2)1\n3=6", "1 - 4\n2 = 1\n3.  6", "4, 1, 6", "4,1,6", "4 1 6"]
    + ["4\n1\n6", "\n 4\t1\r\n6 \n", "  1. 4 \n\n\n2. 1\n3. 6\r\n"],
)
def test_texts_that_are_codes_and_nothing_else(text):
    assert parse_batch(text, 3, 6) == [4, 1, 6]


@pytest.mark.parametrize(
    "text",
    ["1. 4\n2. 1\n3. 6\n", "1: 4\n\n2) 1\n", "4, 1,\n6\n", "4\n,1\n6\n", "4 1\n6\n", "1. 4 (some", "He likes"],
)
def test_what_may_become_codes_is_written_on(text):
    assert module._cut(text, (), 6) == text


@pytest.mark.parametrize("text", ["1. He likes tea.\n2. He", "4\n7\n6", "1. 4\n2. maybe 1\n3. 6\n", "Sure:\n1. 4"])
def test_what_cannot_be_parsed_any_more_ends_with_its_first_wrong_line(text):
    cut = module._cut(text, (), 6)
    assert cut != text and text.startswith(cut) and cut.endswith("\n")
    assert parse_batch(cut, 3, 6) is None and parse_batch(text, 3, 6) is None


@pytest.mark.parametrize(
    "text",
    [
        "", " \n ", "no", "1. 4 (somewhat)\n2. 1\n3. 6", "Answers:\n1. 4\n2. 1\n3. 6", "1. 4\n2. 1\n3. 6\nDone.",
        "1. 4\n2. 7\n3. 6", "4, 7, 6", "4, 0, 6", "1. 0\n2. 1\n3. 6", "1. 4\n3. 6\n2. 1", "1. 4\n2. 1\n2. 6",
        "1. 4\n2. 1", "1. 4\n2. 1\n3. 6\n4. 2", "4, 1", "4, 1, 6, 2", "4,, 1, 6", "4, 1, 6,", "4; 1; 6", "4. 1. 6.",
        "1.4\n2.1\n3.6", "1-4\n2-1\n3-6", "4.5, 1, 6", "1. 4.5\n2. 1\n3. 6", "1. 3-4\n2. 1\n3. 6", "1. 44\n2. 1\n3. 6",
        "- 4\n- 1\n- 6", "* 1. 4\n* 2. 1\n* 3. 6", "**1.** 4\n**2.** 1\n**3.** 6", "1. **4**\n2. 1\n3. 6",
        "1 4\n2 1\n3 6", "01. 4\n02. 1\n03. 6", "04, 1, 6", "-4, 1, 6", "416", "1. 4 2. 1 3. 6", "٤, 1, 6", "1-3: 4",
        "1. 4, 2. 1, 3. 6", "1. Like me\n2. Like me\n3. Like me", "1. \n2. 1\n3. 6", "1. 4\n1\n3. 6", "[4, 1, 6]",
    ],
)  # fmt: skip
def test_texts_that_are_anything_else(text):
    assert parse_batch(text, 3, 6) is None


def test_a_whole_questionnaire_needs_each_of_its_items():
    lines = [f"{n}. {n % 6 + 1}" for n in NUMBERS]
    assert parse_batch("\n".join(lines), 57, 6) == [n % 6 + 1 for n in NUMBERS]
    for missing in (0, 30, 56):
        assert parse_batch("\n".join(lines[:missing] + lines[missing + 1 :]), 57, 6) is None
    assert parse_batch(", ".join(str(n) for n in NUMBERS), 57, 6) is None  # the numbers alone are no answers
    assert parse_batch("1. 1", 1, 6) == parse_batch("1", 1, 6) == [1]


def test_the_prompt_is_the_prefix_a_blank_line_and_numbered_portraits_of_the_gender(tmp_path):
    writer = Writer("1. 1\n2. 2\n3. 3", "1. 4\n2. 5\n3. 6")
    ask_batch(SOME, writer, SMALL, tmp_path, 0.7)
    assert [text for _, text in writer.spoken] == [
        f"<user> {p.prefix}\n\n1. {he} likes item 1.\n2. {he} likes item 2.\n3. {he} likes item 3.\n<assistant>"
        for p, he in ((HE, "He"), (SHE, "She"))
    ]
    assert writer.max_new_tokens == 36 and {prompt.temperature for prompt in writer.asked} == {0.7}
    base = batch_prompt(session(HE, NO_TALK, format="base"), writer, SMALL, [], 0.0)
    assert base.text.startswith(f"USER: {HE.prefix}\n\n1. He") and base.text.endswith("item 3.\nCHATBOT:")
    assert base.cut(" 1. 4\nUSER: so") == " 1. 4\n"


def test_answers_stand_in_the_order_of_the_items_and_an_unparsable_run_has_none(tmp_path):
    frame = ask_batch(SOME, Writer("4 5 6", "I like\nall of them"), SMALL, tmp_path, 0.0)
    assert list(frame["item"]) == [1, 2, 3, 1, 2, 3] and list(frame["persona"]) == ["Power 01"] * 3 + ["Face 01"] * 3
    assert list(frame["answer"][:3]) == [4, 5, 6] and frame["answer"][3:].isna().all()
    assert list(frame["parsed"]) == [True] * 3 + [False] * 3
    assert list(frame["text"]) == ["4 5 6"] * 3 + ["I like\nall of them"] * 3
    assert set(frame["administration"]) == {"batch"} and set(frame["temperature"]) == {0.0}
    assert list(frame["group"][::3]) == ["Power", "Face"] and list(frame["prefix"][::3]) == [HE.prefix, SHE.prefix]
    assert list(frame["gender"][::3]) == ["M", "F"] and set(frame["value"]) == {"Power"}
    assert set(frame["answer"].astype(float).dtype.kind) == {"f"} and set(frame["n_messages"]) == {0}
    documented = ask_batch.__doc__.split("Returns")[1]
    others = [*session().identity, "family", "model_source", "model_revision", "dtype", "chat_template", "prompts"]
    assert all(f"``{name}``" in documented for name in set(frame) - {*others, "package_version", "git_commit"})


def test_a_text_that_was_cut_off_is_not_parsed(tmp_path):
    frame = ask_batch(SOME, Writer("4 5 6...", "4 5 6"), SMALL, tmp_path, 0.0)
    assert list(frame["parsed"]) == [False] * 3 + [True] * 3 and frame["answer"][:3].isna().all()


def test_interrupted_it_goes_on_and_temperatures_are_kept_apart(tmp_path):
    first = Writer("1 2 3")
    with pytest.raises(IndexError):
        ask_batch(SOME, first, SMALL, tmp_path, 0.7, batch_sessions=1)
    again = Writer("4 5 6")
    frame = ask_batch(SOME, again, SMALL, tmp_path, 0.7)
    assert list(frame["answer"]) == [1, 2, 3, 4, 5, 6] and [key[0] for key, _ in again.spoken] == ["Face 01"]
    pd.testing.assert_frame_equal(ask_batch(SOME, Writer(), SMALL, tmp_path, 0.7), frame)
    pd.testing.assert_frame_equal(load_batch(SOME, SMALL, tmp_path, 0.7), frame)
    assert [batch_folder(SOME, SMALL, tmp_path, t).path.name for t in (0, 0.7)] == ["n1-batch-t0.0", "n1-batch-t0.7"]
    with pytest.raises(ValuestabError, match="no result"):
        load_batch(SOME, SMALL, tmp_path, 0.0)


def test_changed_prefixes_and_prompts_are_refused(tmp_path, monkeypatch):
    ask_batch(SOME, Writer("1 2 3", "1 2 3"), SMALL, tmp_path, 0.0)
    other = replace(SOME, personas=(replace(HE, prefix="Be poor."), SHE))
    with pytest.raises(ValuestabError, match="with the prefix .*rich.* now 'Be poor.'"):
        load_batch(other, SMALL, tmp_path, 0.0)
    monkeypatch.setattr(module, "_LINE", "{number}) {portrait}")
    with pytest.raises(ValuestabError, match="other settings .*line is"):
        ask_batch(SOME, Writer(), SMALL, tmp_path, 0.0)


@pytest.mark.parametrize(
    ("whole", "instrument", "temperature", "told"),
    [
        (SOME, replace(SMALL, options=("yes", "no")), 0.0, "Small has other options than the PVQ"),
        (replace(SOME, personas=(replace(HE, prefix=""),)), SMALL, 0.0, "Power 01.*has no prefix"),
        (SOME, SMALL, -1, "temperature is -1"),
        (SOME, SMALL, float("nan"), "temperature is nan"),
    ],
)
def test_what_would_be_answered_without_its_codes_being_explained_is_refused(
    tmp_path, whole, instrument, temperature, told
):
    with pytest.raises(ValuestabError, match=told):
        ask_batch(whole, Writer(), instrument, tmp_path, temperature)
    assert not list(tmp_path.iterdir())


def test_words_are_no_answers(tmp_path):
    assert not ask_batch(SOME, RandomRespondent(), SMALL, tmp_path, 0.7)["parsed"].any()


def test_a_language_model_samples_plainly_at_the_temperature_asked_whatever_the_batch(tmp_path, tiny):
    whole = replace(SOME, seeds=(1, 2))
    together = ask_batch(whole, tiny, SMALL, tmp_path / "a", 0.7)
    alone = ask_batch(whole, tiny, SMALL, tmp_path / "b", 0.7, batch_sessions=1)
    pd.testing.assert_frame_equal(together, alone)
    assert together["text"].nunique() == 4
    greedy = ask_batch(whole, tiny, SMALL, tmp_path / "a", 0)
    assert greedy.groupby("persona")["text"].nunique().tolist() == [1, 1]
    prompt = batch_prompt(whole.sessions[0], tiny, SMALL, [], 0.0)
    ids = tiny.tokenizer(prompt.text, add_special_tokens=False, return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        written = tiny.model.generate(ids, do_sample=False, max_new_tokens=36)[0, ids.shape[1] :]
    expected = tiny.tokenizer.decode(written, skip_special_tokens=True).strip()
    assert greedy["text"].iloc[0] == expected


def test_prompts_of_several_temperatures_are_refused(tiny):
    prompts = [batch_prompt(SOME.sessions[0], tiny, SMALL, [], t) for t in (0.0, 0.7)]
    with pytest.raises(ValuestabError, match="temperatures \\['0.0', '0.7'\\]"):
        tiny.speak(prompts, 3)


def test_a_service_is_asked_for_plain_sampling_at_the_temperature(monkeypatch):
    for name in ("AZURE_OPENAI_ENDPOINT", "VALUESTAB_MAX_TOKENS", "VALUESTAB_MAX_USD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("VALUESTAB_API_KIND", "vllm")
    with FaultyServer() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        own = Sampling(temperature=0.6, top_p=0.9, top_k=50, repetition_penalty=1.2)
        respondent = ApiRespondent(replace(model_card("api:served"), sampling=own))
        for temperature in (0.7, 0.0):
            respondent.speak([batch_prompt(SOME.sessions[0], respondent, SMALL, [], temperature)], 60)
            asked = server.requests[-1]
            assert (asked["temperature"], asked["top_p"]) == (temperature, 1.0)
            assert (asked["top_k"], asked["repetition_penalty"]) == (-1, 1.0)


def test_sampling_of_the_models_own_has_no_part(tmp_path, tiny):
    prompts = lambda: [batch_prompt(s, tiny, SMALL, [], 0.7) for s in SOME.sessions]  # noqa: E731
    plain = tiny.speak(prompts(), 12)
    own, tiny.sampling = tiny.sampling, replace(tiny.sampling, top_k=1, repetition_penalty=5.0)
    assert tiny.speak(prompts(), 12) == plain
    tiny.sampling = own
    assert not np.array_equal([t.content for t in plain], [""] * 2)
