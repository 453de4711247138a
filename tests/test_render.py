"""The exact text of a prompt, and conversations as chat, for a person to read."""

import pandas as pd
import pytest

from valuestab_utils.chat import show_chat
from valuestab_utils.controls import RandomRespondent
from valuestab_utils.errors import ValuestabError
from valuestab_utils.instruments import load_pvq40
from valuestab_utils.measurements import Measurement
from valuestab_utils.populations import load_population
from valuestab_utils.render import find_session, main, render, render_formats
from valuestab_utils.sessions import Experiment
from valuestab_utils.study import Study
from valuestab_utils.topics import load_topics


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    respondent = RandomRespondent()
    personas, topics = load_population("fictional_characters", 2), load_topics(["joke", "no_conversation"])
    experiment = Experiment(respondent.name, "tuned_sys", "fictional_characters", personas, topics, (1,), 3)
    folder = tmp_path_factory.mktemp("results")
    measurement = Measurement("pvq", experiment, load_pvq40("project"))
    study = Study("quick", (measurement,), folder, {respondent.name: respondent})
    study.conversations()
    return study


def test_item_after_the_sessions_own_conversation(study):
    experiment = study.experiments[0]
    session = find_session(experiment, "Gollum", "joke", 1)
    talk = study.conversations().query("persona == 'Gollum'").sort_values("message")["content"].tolist()
    text = render(study, experiment, session, item=7)
    assert text.startswith(
        "<system> You are Gollum from J. R. R. Tolkien's Middle-earth legendarium.\n<user> Tell me a joke.\n"
    )
    assert f"<assistant> {talk[1]}\n<user> {talk[2]}\n<assistant> {talk[3]}\n<user> Here we briefly" in text
    assert study.instrument.items[6].male in text and text.endswith("<assistant> Answer: (")


def test_messages_are_seen_by_who_writes_them(study):
    experiment = study.experiments[0]
    session = find_session(experiment, "Gollum", "joke", 1)
    assert render(study, experiment, session, message=1).endswith("<user> Tell me a joke.\n<assistant>")
    assert "You are simulating a human" in render(study, experiment, session, message=2)


def test_no_conversation_asks_directly_after_the_persona(study):
    experiment = study.experiments[0]
    text = render(study, experiment, find_session(experiment, "Gandalf", "no_conversation", 1), item=1)
    assert text.count("<user>") == 1 and "legendarium.\n<user> Here we briefly" in text


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "Say which prompt"),
        ({"item": 41}, "items 1 to 40"),
        ({"message": 4}, "messages 1 to 3"),
        ({"message": 0}, "1 to 3"),
    ],
)
def test_what_there_is_no_prompt_of(study, asked, said):
    session = find_session(study.experiments[0], "Gandalf", "joke", 1)
    with pytest.raises(ValuestabError, match=said):
        render(study, study.experiments[0], session, **asked)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("Gandlf", "joke", 1), "'Gandalf'"),
        (("Gandalf", "jokes", 1), "'joke'"),
        (("Gandalf", "joke", 9), "Seed 9"),
    ],
)
def test_unknown_sessions(study, names, said):
    with pytest.raises(ValuestabError, match=said):
        find_session(study.experiments[0], *names)


def test_command_answers_bad_input_in_one_sentence(capsys):
    assert main(["--profile", "quik", "--persona", "Gandalf", "--topic", "joke", "--item", "1"]) == 2
    error = capsys.readouterr().err
    assert "Did you mean 'quick'?" in error and "Traceback" not in error


def test_chat_shows_messages_as_text_and_never_as_html():
    rows = [
        ("interlocutor", 0, "Hi <b>you</b>", "given"),
        ("tested", 1, "<script>x</script>", "length"),
        ("interlocutor", 2, "", "eos"),
    ]
    frame = pd.DataFrame(rows, columns=["role", "message", "content", "finish"])
    frame[["model", "format", "population", "persona", "topic"]] = ["m", "base", "p", "Éowyn", "joke"]
    page = show_chat(frame.assign(seed=1)).data
    assert "&lt;script&gt;" in page and "<script>" not in page and "&lt;b&gt;you" in page
    assert "stopped at the length limit" in page and "(nothing)" in page and "Éowyn" in page


def test_an_item_is_shown_in_every_format_of_the_studied_model(study):
    text, table = render_formats(study, item=7)
    assert list(table["format"]) == ["tuned_sys"]
    experiment = study.experiments[0]
    prompt = render(study, experiment, experiment.sessions[0], item=7)
    assert text == f"==== tuned_sys ====\n{prompt}" and table["characters"].item() == len(prompt)
