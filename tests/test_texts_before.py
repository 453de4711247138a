"""What precedes the questions: written personas and filled questionnaires, in the prompts and in the results."""

from dataclasses import replace

import pytest
from fakes import FakeRespondent

from valuestab_utils.answer_draws import drawn_codes
from valuestab_utils.conversations import simulate_conversations
from valuestab_utils.errors import ValuestabError
from valuestab_utils.inductions import CREATE_PERSONA, load_runs, topic_of
from valuestab_utils.instruments import Item, load_pvq40
from valuestab_utils.questionnaire import ask_questionnaire, load_answers
from valuestab_utils.sessions import Experiment
from valuestab_utils.texts_before import filled_questionnaire, texts_before, who_fills_in

PVQ = load_pvq40("project")


def short():
    items = tuple(Item(i, "Power", f"He {i}.", f"She {i}.") for i in (1, 2, 3))
    return replace(PVQ, items=items, version="short")


def experiment(condition, n=3):
    return Experiment("fake", "tuned_sys", condition, load_runs(condition, n), (topic_of(condition),), (1,), 1)


def test_a_persona_is_written_at_its_own_temperature_and_answers_depend_on_it(tmp_path):
    written, fake = experiment("generated_persona"), FakeRespondent()
    simulate_conversations(written, fake, tmp_path)
    asked = [text for _, text in fake.spoken]
    assert len(asked) == 3 and all(CREATE_PERSONA.first_message in text for text in asked)
    answers = ask_questionnaire(written, fake, short(), tmp_path)
    texts = texts_before(written, tmp_path)
    for session in written.sessions:
        prompts = [text for key, text in fake.answered if key == session.key]
        said = texts[session.key][1].removesuffix(".")
        assert len(prompts) == 3 and all(f"Answer as: {said}." in text for text in prompts)
        assert not any(CREATE_PERSONA.first_message in text for text in prompts)
    assert set(answers["prefix"]) == {load_runs("generated_persona", 1)[0].prefix}
    assert answers["conversation"].nunique() == 3 and set(answers["n_messages"]) == {1}


def test_the_questionnaire_shown_is_the_one_that_the_same_run_filled_in(tmp_path):
    shown, fake = experiment("value_prompts_filled"), FakeRespondent()
    with pytest.raises(ValuestabError, match="value_prompts"):
        texts_before(shown, tmp_path, short())
    source = who_fills_in(shown)
    answers = ask_questionnaire(source, fake, short(), tmp_path)
    texts = texts_before(shown, tmp_path, short())
    for session in shown.sessions:
        own = answers[answers["persona"] == session.persona.persona]
        lines = texts[session.key][0].split("\n")[2:]
        form = "He" if session.persona.gender == "M" else "She"
        options = [PVQ.options[int(code) - 1] for code in drawn_codes(own, 0.7)]
        assert lines == [f"{i}. {form} {i}. Answer: {option}" for i, option in enumerate(options, start=1)]
    fake.answered.clear()
    ask_questionnaire(shown, fake, short(), tmp_path, filled=short())
    first = next(text for key, text in fake.answered if key == shown.sessions[0].key)
    value_prompt = source.sessions[0].persona.prefix
    assert first.index(value_prompt) < first.index(texts[shown.sessions[0].key][0]) < first.index("(A) ")


def test_answers_after_another_filled_questionnaire_are_refused(tmp_path):
    shown, fake = experiment("filled_questionnaire"), FakeRespondent()
    ask_questionnaire(who_fills_in(shown), fake, short(), tmp_path)
    ask_questionnaire(shown, fake, short(), tmp_path, filled=short())
    for file in tmp_path.glob("fake/*/value_prompts/*/*/*.parquet"):
        file.unlink()
    other = FakeRespondent(utilities=lambda text, letters: [0.0] * (len(letters) - 1) + [9.0])
    ask_questionnaire(who_fills_in(shown), other, short(), tmp_path)
    with pytest.raises(ValuestabError, match="conversation"):
        load_answers(shown, short(), tmp_path, filled=short())


def test_a_stand_in_is_the_longest_that_a_filled_questionnaire_can_be():
    assert filled_questionnaire(short(), "M").count("Answer: Not like me at all") == 3
    gap = filled_questionnaire(short(), "F", {1: 1.0, 2: float("nan"), 3: 6.0}).split("\n")[2:]
    assert [line.partition("Answer: ")[2] for line in gap] == ["Not like me at all", "(no answer)", "Very much like me"]


def test_no_questionnaire_is_filled_in_for_other_conditions():
    with pytest.raises(ValuestabError, match="names"):
        who_fills_in(experiment("names"))
