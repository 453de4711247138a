"""Every way of asking: what is shown, which code is the answer, what is kept, and that nothing is asked twice."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from fakes import GANDALF, JOKE, NO_TALK, FakeRespondent, experiment, language_model, session, small_instrument
from paper_studies import FewLetters, plan

from valuestab_utils.errors import ValuestabError
from valuestab_utils.letters.draws import drawn_codes
from valuestab_utils.letters.scoring import score_one_by_one
from valuestab_utils.models import Text
from valuestab_utils.prompts import Item, Persona, encode, load_questionnaire, load_runs, question, topic_of
from valuestab_utils.prompts import tested_prompt as prompt_of_tested
from valuestab_utils.prompts.inductions import CREATE_PERSONA
from valuestab_utils.study import ask, asking, filled_questionnaire, load, simulate_conversations, texts_before, ways
from valuestab_utils.study.asking import answer_folder
from valuestab_utils.study.conversations import texts_by_session, texts_digest
from valuestab_utils.study.ways import batch_prompt, parse_batch, serial_prompt

SMALL = small_instrument()
SOME = experiment()
DIRECT = experiment(topics=(NO_TALK,))
PVQ = load_questionnaire("PVQ-40", "project")
SHORT = replace(PVQ, items=tuple(Item(i, "Power", f"He {i}.", f"She {i}.") for i in (1, 2, 3)), version="short")

HE = Persona("Power 01", "CHATBOT", "", "M", "Answer from 1 to 6 as a person that is rich.", "Power")
SHE = Persona("Face 01", "CHATBOT", "", "F", "Answer from 1 to 6 as a person that is proud.", "Face")


def coded(way, temperature, n_items=3, **changes):
    asked = replace(small_instrument(n_items), instruction="")
    of_two = experiment((HE, SHE), (NO_TALK,), n_messages=1, questionnaire=asked, way=way, temperature=temperature)
    return replace(of_two, **changes)


@pytest.fixture
def answers_to(tmp_path):
    def answers_to(whole=SOME, respondent=None, place=tmp_path, **changes):
        respondent, whole = respondent or FakeRespondent(), replace(whole, **changes)
        simulate_conversations(whole, respondent, place)
        return ask(whole, respondent, place)

    return answers_to


# By letters


def shown(prompt):
    """The options of a prompt's last question, by letter."""
    lines = [line for line in prompt.split("\n") if line[:1] == "(" and line[2:4] == ") "][-6:]
    return {line[1]: line[4:] for line in lines}


def test_an_answer_is_the_code_of_the_option_that_stood_at_the_chosen_letter(answers_to):
    respondent = FakeRespondent()
    frame = answers_to(respondent=respondent)
    prompts = [text for _, text in respondent.answered]
    assert len(frame) == len(prompts) == 4 * 3
    for row, prompt in zip(frame.to_dict("records"), prompts):
        options = shown(prompt)
        assert row["answer"] == 1 + SMALL.options.index(options[row["letter"]])
        assert [1 + SMALL.options.index(options[x]) for x in "ABCDEF"] == list(row["option_order"])
        logprobs = [row[f"logprob_{x}"] for x in "ABCDEF"]
        assert "ABCDEF"[int(np.argmax(logprobs))] == row["letter"]
        assert row["letter_mass"] == pytest.approx(sum(np.exp(logprobs))) == pytest.approx(0.5)


def test_a_letter_that_is_not_told_is_a_missing_answer(tmp_path):
    frame = ask(DIRECT, FewLetters(), tmp_path)
    missing = frame["answer"].isna()
    assert missing.groupby(frame["persona"]).sum().tolist() == [1, 1]  # the first of each session
    assert (frame["letter"] == "").tolist() == missing.tolist()
    for row in frame[~missing].to_dict("records"):
        assert row["answer"] == row["option_order"]["ABCDEF".index(row["letter"])]


@pytest.mark.parametrize("whole", [SOME, DIRECT], ids=["conversation", "none"])
def test_every_item_is_asked_of_the_conversation_alone_in_the_wording_of_the_persona(answers_to, tmp_path, whole):
    respondent = FakeRespondent()
    frame = answers_to(whole, respondent)
    said = texts_by_session(simulate_conversations(whole, respondent, tmp_path)) if whole is SOME else {}
    expected = []
    for s in whole.sessions:
        for item in SMALL.items:
            order = s.option_order(item.item, 6, SMALL.name)
            portrait = f"{'He' if s.persona == GANDALF else 'She'} likes item {item.item}."
            text = question(SMALL.instruction, portrait, [SMALL.options[code - 1] for code in order])
            prompt = prompt_of_tested("tuned_sys", respondent.template, s.persona, said.get(s.key, []), text)
            expected.append((s.key, prompt))
    assert respondent.answered == expected
    assert all(prompt.endswith("Answer: (") for _, prompt in expected)
    digests = [texts_digest(said[s.key]) if said else "" for s in whole.sessions for _ in SMALL.items]
    assert list(frame["conversation"]) == digests and (frame["n_messages"] == (3 if said else 0)).all()


@pytest.mark.parametrize(("second", "tie"), [(0.895, False), (0.905, True), (1, True)])
def test_near_ties_are_those_within_a_tenth_of_a_nat(answers_to, second, tie):
    frame = answers_to(respondent=FakeRespondent(lambda text, letters: np.array([0, 1, second, 0, 0, 0])))
    assert (frame["near_tie"] == tie).all()


def test_columns_are_those_that_users_know_and_say_who_answered_what(answers_to, tmp_path):
    columns = """model format population persona topic seed persona_name persona_description gender instrument_version
        conversation n_messages instrument wording item value rotation option_order logprob_A logprob_B logprob_C
        logprob_D logprob_E logprob_F letter_mass letter answer near_tie stray_token stray_logprob family model_source
        model_revision dtype chat_template prompts package_version git_commit"""
    model = language_model()
    frame = answers_to(experiment((GANDALF,), (NO_TALK,), model="tiny"), model)
    assert list(frame) == [*columns.split(), "administration", "temperature", "asked_after"]
    assert list(pd.read_parquet(next(tmp_path.rglob("n3/*.parquet")))) == columns.split()
    row = frame.iloc[0]
    assert (row["model_source"], row["model_revision"], row["dtype"]) == ("tiny", "r1", "float32")
    assert row["chat_template"] == model.template.digest and len(row["prompts"]) == 12
    assert (row["instrument"], row["wording"], row["instrument_version"]) == ("Small", "project", SMALL.version)
    assert row["package_version"]


@pytest.mark.parametrize("call", range(1, 5))
def test_interrupted_at_any_session_it_goes_on_and_asks_nothing_twice(answers_to, tmp_path, call):
    expected = answers_to(place=tmp_path / "whole")
    simulate_conversations(SOME, FakeRespondent(), tmp_path)
    interrupted, again, third = FakeRespondent(), FakeRespondent(), FakeRespondent()
    interrupted.interrupt_at = call
    with pytest.raises(KeyboardInterrupt):
        ask(SOME, interrupted, tmp_path)
    assert len(interrupted.answered) == 3 * (call - 1)
    pd.testing.assert_frame_equal(ask(SOME, again, tmp_path), expected)
    asked = interrupted.answered + again.answered
    assert len(asked) == len(set(asked)) == 12
    pd.testing.assert_frame_equal(ask(SOME, third, tmp_path), expected)
    assert not third.answered


def test_answers_to_other_questions_are_kept_apart_or_refused(answers_to, tmp_path, monkeypatch):
    three, one = answers_to(), answers_to(n_messages=1)
    assert set(one["n_messages"]) == {1} and not one["conversation"].isin(three["conversation"]).any()
    published = answers_to(questionnaire=replace(SMALL, wording="published", version="other"))
    assert set(published["wording"]) == {"published"}
    pd.testing.assert_frame_equal(answers_to(), three)
    changed, respondent = small_instrument(portrait="{} loves item {}."), FakeRespondent()
    with pytest.raises(ValuestabError, match=f"is '{SMALL.version}' there and '{changed.version}' now"):
        answers_to(respondent=respondent, questionnaire=changed)
    assert not respondent.answered
    monkeypatch.setattr(asking, "PROMPTS_DIGEST", "another")
    with pytest.raises(ValuestabError, match="was made with the prompts"):
        load(SOME, tmp_path)


@pytest.mark.parametrize("change", [{"description": "Gandalf the White."}, {"name": "Mithrandir"}, {"gender": "F"}])
@pytest.mark.parametrize("seeds", [(1, 2), (2, 1)])
def test_answers_of_a_changed_persona_are_refused_wherever_they_stand(answers_to, tmp_path, change, seeds):
    # Half of the sessions were answered before the change, half after it.
    now = replace(GANDALF, **change)
    answers_to(experiment((GANDALF,), (NO_TALK,), (1,)))
    answers_to(experiment((now,), (NO_TALK,), (2,)))
    with pytest.raises(ValuestabError, match=f"the (persona )?{next(iter(change))}"):
        load(experiment((now,), (NO_TALK,), seeds), tmp_path)


def test_answers_after_another_conversation_are_refused(answers_to, tmp_path):
    one = experiment((GANDALF,), (JOKE,))
    answers_to(one)
    for file in tmp_path.glob("fake/tuned_sys/p/conversations/*.parquet"):
        file.unlink()

    class Changed(FakeRespondent):
        def speak(self, prompts, max_new_tokens):
            return [replace(text, content="Other.") for text in super().speak(prompts, max_new_tokens)]

    with pytest.raises(ValuestabError, match="fake/tuned_sys/p/Gandalf/joke/1 .* with the conversation"):
        answers_to(one, Changed())


@pytest.mark.parametrize("utilities", [[np.nan] + [0.0] * 5, [np.nan] * 6, [-np.inf] * 6])
def test_no_probability_for_any_letter_is_no_answer(answers_to, tmp_path, utilities):
    class Broken(FakeRespondent):
        def answer(self, prompts, letters):
            scored = super().answer(prompts, letters)
            scored.logprobs[-1] = utilities
            return scored

    with pytest.raises(ValuestabError, match="Session fake/tuned_sys/p/Gandalf/joke/1: fake gives no letter"):
        answers_to(respondent=Broken())
    assert not list(tmp_path.glob("fake/tuned_sys/p/Small-project/n3/*.parquet"))


def test_other_orders_are_of_the_same_conversations_and_kept_apart(answers_to):
    single, respondent = answers_to(), FakeRespondent()
    balanced = answers_to(respondent=respondent, way="balanced")
    assert len(balanced) == 6 * len(single) == len(respondent.answered)
    for _, rows in balanced.groupby(["persona", "topic", "seed", "item"]):
        assert list(rows["rotation"]) == [0, 1, 2, 3, 4, 5]
        square = np.stack(rows["option_order"].to_list())  # every option once at every letter
        assert all(sorted(line) == [1, 2, 3, 4, 5, 6] for line in (*square, *square.T))
    first = balanced[balanced["rotation"] == 0].reset_index(drop=True)
    pd.testing.assert_frame_equal(first, single)
    second = answers_to(way="second")
    for column in ("conversation", "item", "rotation"):
        assert list(second[column]) == list(single[column])
    assert not all(list(a) == list(b) for a, b in zip(single["option_order"], second["option_order"]))
    pd.testing.assert_frame_equal(answers_to(), single)


def test_a_task_is_asked_with_its_own_options_and_nothing_before_the_question(answers_to):
    respondent = FakeRespondent()
    frame = answers_to(respondent=respondent, questionnaire=load_questionnaire("Stealing", n_names=1))
    prompt = next(text for key, text in respondent.answered)
    assert "\n<user> You have been on journey" in prompt and "Select an option" not in prompt
    assert "(A) " in prompt and "the the elf's address" in prompt
    assert set(frame["value"]) == {"elf", "dwarf", "orc", "human", "hobbit"}
    assert set(frame["wording"]) == {"5 of 100 questions"} and set(frame["instrument"]) == {"Stealing"}


# By codes, in one prompt


class Writer(FakeRespondent):
    """Writes given texts, one after the other; a text that ends in "..." was cut off by the limit."""

    def __init__(self, *texts, at_once=12):
        super().__init__()
        self.texts, self.batch_questionnaires = list(texts), at_once

    def speak(self, prompts, max_new_tokens):
        self.max_new_tokens, self.asked = max_new_tokens, list(prompts)
        super().speak(prompts, max_new_tokens)
        written = [self.texts.pop(0) for _ in prompts]
        return [Text(t.removesuffix("..."), 9, "length" if t.endswith("...") else "eos", 0) for t in written]


@pytest.mark.parametrize(
    "text",
    ["1. 4\n2. 1\n3. 6", "1: 4\n2: 1\n3: 6", "1) 4\n2)1\n3=6", "1 - 4\n2 = 1\n3.  6", "4, 1, 6", "4,1,6", "4 1 6"]
    + ["4\n1\n6", "\n 4\t1\r\n6 \n", "  1. 4 \n\n\n2. 1\n3. 6\r\n"],
)
def test_texts_that_are_codes_and_nothing_else(text):
    assert parse_batch(text, 3, 6) == [4, 1, 6]


@pytest.mark.parametrize(
    "text",
    [
        "", "no", "1. 4 (somewhat)\n2. 1\n3. 6", "Answers:\n1. 4\n2. 1\n3. 6", "1. 4\n2. 1\n3. 6\nDone.", "4, 7, 6",
        "1. 0\n2. 1\n3. 6", "1. 4\n3. 6\n2. 1", "1. 4\n2. 1\n2. 6", "1. 4\n2. 1", "1. 4\n2. 1\n3. 6\n4. 2", "4, 1",
        "4, 1, 6, 2", "4,, 1, 6", "1.4\n2.1\n3.6", "4.5, 1, 6", "1. 3-4\n2. 1\n3. 6", "1. 44\n2. 1\n3. 6", "416",
        "1. **4**\n2. 1\n3. 6", "-4, 1, 6", "٤, 1, 6", "1. 4, 2. 1, 3. 6", "1. Like me\n2. Like me\n3. Like me",
    ],
)  # fmt: skip
def test_texts_that_are_anything_else(text):
    assert parse_batch(text, 3, 6) is None


def test_the_prompt_is_the_prefix_a_blank_line_and_numbered_portraits_of_the_gender(tmp_path):
    writer = Writer("1. 1\n2. 2\n3. 3", "1. 4\n2. 5\n3. 6")
    ask(coded("batch", 0.7), writer, tmp_path)
    assert [text for _, text in writer.spoken] == [
        f"<user> {p.prefix}\n\n1. {he} likes item 1.\n2. {he} likes item 2.\n3. {he} likes item 3.\n<assistant>"
        for p, he in ((HE, "He"), (SHE, "She"))
    ]
    assert writer.max_new_tokens == 36 and {prompt.temperature for prompt in writer.asked} == {0.7}
    base = batch_prompt(coded("batch", 0.0), session(HE, NO_TALK, format="base"), writer, [])
    assert base.text.startswith(f"USER: {HE.prefix}\n\n1. He") and base.text.endswith("item 3.\nCHATBOT:")
    assert base.cut(" 1. 4\nUSER: so") == " 1. 4\n"
    assert base.cut(" 1. 4\n2. maybe 1\n3. 6") == " 1. 4\n2. maybe 1\n"  # nothing can become of it any more


def test_answers_stand_in_the_order_of_the_items_and_an_unparsable_run_has_none(tmp_path):
    frame = ask(coded("batch", 0.0), Writer("4 5 6", "I like\nall of them"), tmp_path)
    assert list(frame["item"]) == [1, 2, 3, 1, 2, 3] and list(frame["persona"]) == ["Power 01"] * 3 + ["Face 01"] * 3
    assert list(frame["answer"][:3]) == [4, 5, 6] and frame["answer"][3:].isna().all()
    assert list(frame["parsed"]) == [True] * 3 + [False] * 3
    assert list(frame["text"]) == ["4 5 6"] * 3 + ["I like\nall of them"] * 3
    assert list(frame["group"][::3]) == ["Power", "Face"] and list(frame["prefix"][::3]) == [HE.prefix, SHE.prefix]
    cut_off = ask(coded("batch", 0.0), Writer("4 5 6...", "4 5 6"), tmp_path / "cut off")
    assert list(cut_off["parsed"]) == [False] * 3 + [True] * 3 and cut_off["answer"][:3].isna().all()


def test_batches_go_on_where_they_were_interrupted_and_changed_prefixes_and_prompts_are_refused(tmp_path, monkeypatch):
    some, again = coded("batch", 0.7), Writer("4 5 6")
    with pytest.raises(IndexError):
        ask(some, Writer("1 2 3", at_once=1), tmp_path)
    frame = ask(some, again, tmp_path)
    assert list(frame["answer"]) == [1, 2, 3, 4, 5, 6] and [key[0] for key, _ in again.spoken] == ["Face 01"]
    pd.testing.assert_frame_equal(ask(some, Writer(), tmp_path), frame)
    pd.testing.assert_frame_equal(load(some, tmp_path), frame)
    with pytest.raises(ValuestabError, match="with the prefix .*rich.* now 'Be poor.'"):
        load(replace(some, personas=(replace(HE, prefix="Be poor."), SHE)), tmp_path)
    batch = replace(ways.WAYS["batch"], settings={"line": "{number}) {portrait}", "tokens_per_item": 12})
    monkeypatch.setitem(ways.WAYS, "batch", batch)
    with pytest.raises(ValuestabError, match="other settings .*line is"):
        ask(some, Writer(), tmp_path)


def test_a_language_model_samples_plainly_at_the_temperature_asked_whatever_the_batch(tmp_path, monkeypatch):
    tiny = language_model(max_position_embeddings=8192)
    whole = coded("batch", 0.7, seeds=(1, 2))
    together = ask(whole, tiny, tmp_path / "a")
    monkeypatch.setattr(type(tiny), "batch_questionnaires", 1)
    pd.testing.assert_frame_equal(together, ask(whole, tiny, tmp_path / "b"))
    assert together["text"].nunique() == 4
    tiny.sampling = replace(tiny.sampling, top_k=1, repetition_penalty=5.0)  # the model's own has no part
    assert ask(whole, tiny, tmp_path / "c")["text"].tolist() == together["text"].tolist()
    greedy = ask(replace(whole, temperature=0), tiny, tmp_path / "a")
    assert greedy.groupby("persona")["text"].nunique().tolist() == [1, 1]
    prompt = batch_prompt(replace(whole, temperature=0), whole.sessions[0], tiny, [])
    ids = tiny.tokenizer(prompt.text, add_special_tokens=False, return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        written = tiny.model.generate(ids, do_sample=False, max_new_tokens=36)[0, ids.shape[1] :]
    expected = tiny.tokenizer.decode(written, skip_special_tokens=True).strip()
    assert greedy["text"].iloc[0] == expected


# By codes, item by item


def counting(text, letters):
    """Prefers the code that is one more than the last one answered."""
    last = text.rpartition("Answer: (")[0].rpartition("Answer: (")[2][:1]
    return 5.0 * (np.arange(1, 7) == (int(last) if last.isdigit() else 2) + 1)


def test_each_item_follows_the_answers_to_those_before(tmp_path):
    respondent = FakeRespondent(counting)
    frame = ask(coded("serial", 0, n_items=4), respondent, tmp_path)
    first = f"<user> {HE.prefix}\n\nHe likes item 1.\n<assistant> Answer: ("
    second = f"{first}3)\n<user> He likes item 2.\n<assistant> Answer: ("
    asked = [text for key, text in respondent.answered if key[0] == "Power 01"]
    assert asked[:3] == [first, second, f"{second}4)\n<user> He likes item 3.\n<assistant> Answer: ("]
    assert list(frame["answer"]) == [3, 4, 5, 6] * 2 and frame["answer"].dtype == float
    assert list(frame["item"]) == [1, 2, 3, 4] * 2 and list(frame["group"][::4]) == ["Power", "Face"]
    found = frame[[f"logprob_{code}" for code in range(1, 7)]].to_numpy()
    assert (found.argmax(1) + 1 == frame["answer"]).all() and np.allclose(frame["letter_mass"], 0.5)
    stored = pd.read_parquet(next(tmp_path.rglob("n1-serial-t0.0/*.parquet")))
    assert set(stored["administration"]) == {"serial"} and set(stored["temperature"]) == {0.0}


def test_above_zero_codes_are_drawn_by_the_sessions_own_noise(tmp_path):
    whole = coded("serial", 0.7, n_items=4, seeds=tuple(range(1, 41)))
    utilities = np.log([0.4, 0.2, 0.1, 0.1, 0.1, 0.1])
    always = FakeRespondent(lambda text, letters: utilities)
    frame = ask(whole, always, tmp_path / "a")
    sharpened = np.exp(utilities / 0.7)
    expected = sharpened / sharpened.sum()
    shares = np.bincount(frame["answer"].astype(int), minlength=7)[1:] / len(frame)
    assert (np.abs(shares - expected) < 4 * np.sqrt(expected * (1 - expected) / len(frame))).all()
    one = ask(replace(whole, seeds=(7,)), always, tmp_path / "b")
    pd.testing.assert_frame_equal(one, frame[frame["seed"] == 7].reset_index(drop=True))
    assert frame.groupby(["persona", "seed"])["answer"].agg(tuple).nunique() > 40


def test_a_language_models_answers_are_those_of_the_whole_prompt_alone(tmp_path):
    tiny, some = language_model(), coded("serial", 0.7, n_items=4)
    before = tiny.tokens_computed
    frame = ask(some, tiny, tmp_path)
    computed, tokens = tiny.tokens_computed - before, tiny._letter_tokens("123456")
    lengths = []
    for s, (_, rows) in zip(some.sessions, frame.groupby("persona", sort=False)):
        codes = rows["answer"].astype(int).tolist()
        for i, row in enumerate(rows.to_dict("records")):
            ids = encode(tiny.tokenizer, serial_prompt(some, s, tiny, [], codes[:i]).text)
            alone = score_one_by_one(tiny.model, [ids], tokens).logprobs[0].numpy()
            assert [row[f"logprob_{code}"] for code in range(1, 7)] == pytest.approx(alone, abs=1e-4)
        lengths.append(len(ids))
    assert computed == sum(lengths)  # every token once


# All ways


class Writing(FakeRespondent):
    """Writes codes when it is asked for codes: other ones at each temperature."""

    def speak(self, prompts, max_new_tokens):
        codes = ", ".join(["3"] * 56 + [str(6 if prompts[0].temperature else 1)])
        return [replace(text, content=codes) for text in super().speak(prompts, max_new_tokens)]


def test_each_way_of_asking_has_its_answers_and_its_folder(tmp_path):
    anchors = {"population": "value_anchor", "n_personas": 2, "questionnaire": "PVQ-RR"}
    in_ways = {"name": "administrations", "way": ["batch", "serial"], "temperature": [0.0, 0.7]} | anchors
    respondent = Writing()
    study = plan(tmp_path, {"name": "structure"} | anchors, in_ways, respondent=respondent)
    asked = {(e.way, e.temperature): e for e in study.experiments}
    assert list(asked) == [("letters", None), ("batch", 0.0), ("batch", 0.7), ("serial", 0.0), ("serial", 0.7)]
    folders = [answer_folder(e, study.results_dir).path.name for e in study.experiments]
    assert folders == ["n1", "n1-batch-t0.0", "n1-batch-t0.7", "n1-serial-t0.0", "n1-serial-t0.7"]
    for (way, temperature), e in asked.items():
        with pytest.raises(ValuestabError, match="2 of 2 sessions have no result"):
            load(e, study.results_dir)
        answers = ask(e, respondent, study.results_dir)
        assert set(answers["administration"]) == {way} and len(answers) == 2 * 57
        assert answers["temperature"].isna().all() if way == "letters" else set(answers["temperature"]) == {temperature}
        pd.testing.assert_frame_equal(answers, load(e, study.results_dir))
        if way == "batch":
            assert answers.groupby("persona")["answer"].last().tolist() == [6 if temperature else 1] * 2
    calls = respondent.calls
    ask(asked["serial", 0.7], respondent, study.results_dir)
    assert respondent.calls == calls  # what is there is not asked again


# After a written persona or a filled questionnaire


def of_condition(condition, **how):
    sessions = {"personas": load_runs(condition, 3), "topics": (topic_of(condition),), "population": condition}
    return replace(experiment(n_messages=1, questionnaire=SHORT, filled=SHORT), **sessions, **how)


def test_a_persona_is_written_first_and_answers_depend_on_it(tmp_path):
    written, fake = of_condition("generated_persona"), FakeRespondent()
    simulate_conversations(written, fake, tmp_path)
    asked = [text for _, text in fake.spoken]
    assert len(asked) == 3 and all(CREATE_PERSONA.first_message in text for text in asked)
    answers = ask(written, fake, tmp_path)
    texts = texts_before(written, tmp_path)
    for s in written.sessions:
        prompts = [text for key, text in fake.answered if key == s.key]
        said = texts[s.key][1].removesuffix(".")
        assert len(prompts) == 3 and all(f"Answer as: {said}." in text for text in prompts)
        assert not any(CREATE_PERSONA.first_message in text for text in prompts)
    assert answers["conversation"].nunique() == 3 and set(answers["n_messages"]) == {1}


def test_the_questionnaire_shown_is_the_one_that_the_same_run_filled_in_before(tmp_path):
    shown, fake = of_condition("value_prompts_filled", questionnaire=PVQ), FakeRespondent()
    source = shown.who_fills_in()
    assert (source.questionnaire, source.population, source.who_fills_in()) == (SHORT, "value_prompts", None)
    keys = [s.key for s in shown.sessions]
    assert [s.key for s in source.sessions] == keys
    assert [s.key for s in replace(shown, keys=frozenset(keys[:1])).who_fills_in().sessions] == keys[:1]
    ask(shown, fake, tmp_path)
    assert len(fake.answered) == 3 * 3 + 3 * 40
    answers, texts = load(source, tmp_path), texts_before(shown, tmp_path)
    for s, of_source in zip(shown.sessions, source.sessions):
        lines = texts[s.key][0].split("\n")[2:]
        form = "He" if s.persona.gender == "M" else "She"
        codes = drawn_codes(answers[answers["persona"] == s.persona.persona], 0.7)
        options = [PVQ.options[int(code) - 1] for code in codes]
        assert lines == [f"{i}. {form} {i}. Answer: {option}" for i, option in enumerate(options, start=1)]
        prompts = [text for key, text in fake.answered if key == s.key]
        assert not any(texts[s.key][0] in text for text in prompts[:3])
        for text in prompts[3:]:
            value_prompt = text.index(of_source.persona.prefix)
            assert value_prompt < text.index(texts[s.key][0]) < text.index("(A) ")


def test_a_missing_answer_is_shown_as_one_and_a_stand_in_is_as_long_as_can_be():
    assert filled_questionnaire(SHORT, "M").count("Answer: Not like me at all") == 3
    gap = filled_questionnaire(SHORT, "F", {1: 1.0, 2: float("nan"), 3: 6.0}).split("\n")[2:]
    assert [line.partition("Answer: ")[2] for line in gap] == ["Not like me at all", "(no answer)", "Very much like me"]
