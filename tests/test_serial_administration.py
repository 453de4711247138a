"""Item by item in one conversation: what is shown, which code is answered, and that nothing is computed twice."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from fakes import NO_TALK, FakeRespondent, experiment, language_model, small_instrument

from valuestab_utils.answer_draws import at_temperature
from valuestab_utils.chat_template import encode
from valuestab_utils.controls import RandomRespondent
from valuestab_utils.errors import ValuestabError
from valuestab_utils.populations import Persona
from valuestab_utils.scoring import score_one_by_one
from valuestab_utils.serial_administration import ask_serial, load_serial, serial_folder, serial_prompt

SMALL = replace(small_instrument(4), instruction="")
HE = Persona("Power 01", "CHATBOT", "", "M", "Answer from 1 to 6 as a person that is rich.", "Power")
SHE = Persona("Face 01", "CHATBOT", "", "F", "Answer from 1 to 6 as a person that is proud.", "Face")
SOME = experiment((HE, SHE), (NO_TALK,), n_messages=1)


@pytest.fixture(scope="module")
def tiny():
    return language_model()


def counting(text, letters):
    """Prefers the code that is one more than the last one answered."""
    last = text.rpartition("Answer: (")[0].rpartition("Answer: (")[2][:1]
    return 5.0 * (np.arange(1, 7) == (int(last) if last.isdigit() else 2) + 1)


def test_each_item_follows_the_answers_to_those_before(tmp_path):
    respondent = FakeRespondent(counting)
    frame = ask_serial(SOME, respondent, SMALL, tmp_path, 0.0)
    first = f"<user> {HE.prefix}\n\nHe likes item 1.\n<assistant> Answer: ("
    second = f"{first}3)\n<user> He likes item 2.\n<assistant> Answer: ("
    asked = [text for key, text in respondent.answered if key[0] == "Power 01"]
    assert asked[:2] == [first, second] and asked[2] == f"{second}4)\n<user> He likes item 3.\n<assistant> Answer: ("
    assert list(frame["answer"]) == [3, 4, 5, 6] * 2 and frame["answer"].dtype == float
    assert list(frame["item"]) == [1, 2, 3, 4] * 2 and list(frame["group"][::4]) == ["Power", "Face"]
    found = frame[[f"logprob_{code}" for code in range(1, 7)]].to_numpy()
    assert (found.argmax(1) + 1 == frame["answer"]).all() and np.allclose(frame["letter_mass"], 0.5)
    assert set(frame["administration"]) == {"serial"} and set(frame["temperature"]) == {0.0}


def test_above_zero_codes_are_drawn_by_the_sessions_own_noise(tmp_path):
    whole = replace(SOME, seeds=tuple(range(1, 41)))
    always = FakeRespondent(lambda text, letters: np.log([0.4, 0.2, 0.1, 0.1, 0.1, 0.1]))
    frame = ask_serial(whole, always, SMALL, tmp_path / "a", 0.7)
    expected = at_temperature(np.log([0.4, 0.2, 0.1, 0.1, 0.1, 0.1]), 0.7)
    assert expected[0] == pytest.approx(0.4 ** (1 / 0.7) / (0.4 ** (1 / 0.7) + 0.2 ** (1 / 0.7) + 4 * 0.1 ** (1 / 0.7)))
    shares = frame["answer"].value_counts(normalize=True).reindex(range(1, 7), fill_value=0)
    error = np.sqrt(expected * (1 - expected) / len(frame))
    assert (np.abs(shares.to_numpy() - expected) < 4 * error).all()
    one = ask_serial(replace(whole, seeds=(7,)), always, SMALL, tmp_path / "b", 0.7)
    pd.testing.assert_frame_equal(one, frame[frame["seed"] == 7].reset_index(drop=True))
    assert frame.groupby(["persona", "seed"])["answer"].agg(tuple).nunique() > 40


def test_interrupted_it_goes_on_and_changed_prefixes_are_refused(tmp_path):
    respondent = FakeRespondent(counting)
    respondent.interrupt_at = 7  # in the second session
    with pytest.raises(KeyboardInterrupt):
        ask_serial(SOME, respondent, SMALL, tmp_path, 0.7)
    again = FakeRespondent(counting)
    frame = ask_serial(SOME, again, SMALL, tmp_path, 0.7)
    assert {key[0] for key, _ in again.answered} == {"Face 01"}
    pd.testing.assert_frame_equal(load_serial(SOME, SMALL, tmp_path, 0.7), frame)
    assert serial_folder(SOME, SMALL, tmp_path, 0).path.name == "n1-serial-t0.0"
    with pytest.raises(ValuestabError, match="with the prefix"):
        load_serial(replace(SOME, personas=(HE, replace(SHE, prefix="x"))), SMALL, tmp_path, 0.7)


def test_who_tells_no_probabilities_cannot_be_asked_so(tmp_path):
    respondent = FakeRespondent()
    respondent.all_letters = False
    with pytest.raises(ValuestabError, match="does not tell the probability of every code .*batch"):
        ask_serial(SOME, respondent, SMALL, tmp_path, 0.0)
    assert not respondent.answered and not list(tmp_path.iterdir())


def test_the_random_control_answers_in_a_conversation(tmp_path):
    frame = ask_serial(replace(SOME, seeds=tuple(range(1, 21))), RandomRespondent(), SMALL, tmp_path, 0.7)
    assert set(frame["answer"]) == {1, 2, 3, 4, 5, 6}


def test_a_language_models_answers_are_those_of_the_whole_prompt_alone(tmp_path, tiny):
    before = tiny.tokens_computed
    frame = ask_serial(SOME, tiny, SMALL, tmp_path, 0.7)
    computed, tokens = tiny.tokens_computed - before, tiny._letter_tokens("123456")
    lengths = []
    for _, rows in frame.groupby("persona", sort=False):
        persona = {p.persona: p for p in (HE, SHE)}[rows["persona"].iloc[0]]
        (s,) = [s for s in SOME.sessions if s.persona == persona]
        codes = rows["answer"].astype(int).tolist()
        for i, row in enumerate(rows.to_dict("records")):
            ids = encode(tiny.tokenizer, serial_prompt(s, tiny, SMALL, [], codes[:i]).text)
            alone = score_one_by_one(tiny.model, [ids], tokens).logprobs[0].numpy()
            assert [row[f"logprob_{code}"] for code in range(1, 7)] == pytest.approx(alone, abs=1e-4)
        lengths.append(len(ids))
    assert computed == sum(lengths)  # every token once


def test_a_conversation_longer_than_the_context_names_the_session(tmp_path):
    short = language_model(max_position_embeddings=200)
    with pytest.raises(ValuestabError, match="fake/tuned_sys/p/Power 01/no_conversation/1.* takes 200"):
        ask_serial(SOME, short, SMALL, tmp_path, 0.0)
