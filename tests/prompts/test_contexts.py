"""The papers' topics letter for letter, and ours beside them."""


import pytest

from valuestab_utils.errors import ValuestabError
from valuestab_utils.prompts import contexts
from valuestab_utils.prompts.contexts import NO_CONVERSATION, Topic, load_topics

OF_THE_PAPER = {
    "poem": "Hello, let's write a poem together. You start by the first verse I'll add the second one, and so on.",
    "joke": "Tell me a joke.",
    "history": "What is the significance of the battle of Hastings. Answer in two sentences.",
    "chess": "1. e4",
    "grammar": (
        "Can you check this sentence for grammar?\n"
        "Whilst Jane was waiting to meet hers friend their nose started bleeding."
    ),
}
ADDITIONAL = ["year", "santa", "bicycle", "chord", "cooking", "weather", "code", "britney", "bjj"]


def test_the_papers_topics_letter_for_letter_and_nine_more():
    topics = {topic.topic: topic.first_message for topic in load_topics()}
    assert list(topics) == [*OF_THE_PAPER, *ADDITIONAL] and len(set(topics.values())) == 14
    assert {topic: topics[topic] for topic in OF_THE_PAPER} == OF_THE_PAPER
    chosen = load_topics(["joke", NO_CONVERSATION, "chess"])
    assert chosen == (Topic("joke", topics["joke"]), Topic("no_conversation", None), Topic("chess", topics["chess"]))


def test_a_row_that_is_added_keeps_its_message_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(contexts, "TOPICS_FILE", tmp_path / "mine.csv")
    contexts.TOPICS_FILE.write_text('topic,first_message,note\ntea,"A  cup,\nplease? ",x\n')
    assert load_topics(["tea"]) == (Topic("tea", "A  cup,\nplease? "),)


@pytest.mark.parametrize("rows", ["tea,x\ntea,y", "cup,  ", "no_conversation,x", "tea,x, y"])
def test_malformed_files_are_told_by_name_and_row(tmp_path, monkeypatch, rows):
    monkeypatch.setattr(contexts, "TOPICS_FILE", tmp_path / "mine.csv")
    contexts.TOPICS_FILE.write_text(f"topic,first_message\n{rows}\n")
    with pytest.raises(ValuestabError, match="mine.csv, row"):
        load_topics()
