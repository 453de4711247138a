import pytest

from valuestab_utils.errors import ValuestabError
from valuestab_utils.topics import NO_CONVERSATION, Topic, load_topics


@pytest.fixture
def topics(tmp_path):
    def write(text):
        path = tmp_path / "mine.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_the_papers_topics_letter_for_letter():
    assert {topic.topic: topic.first_message for topic in load_topics()} == {
        "poem": (
            "Hello, let's write a poem together. "
            "You start by the first verse I'll add the second one, and so on."
        ),
        "joke": "Tell me a joke.",
        "history": "What is the significance of the battle of Hastings. Answer in two sentences.",
        "chess": "1. e4",
        "grammar": (
            "Can you check this sentence for grammar?\n"
            "Whilst Jane was waiting to meet hers friend their nose started bleeding."
        ),
    }


def test_chosen_topics_come_in_the_order_asked_with_no_conversation_anywhere():
    names = ["joke", NO_CONVERSATION, "chess"]
    assert [topic.topic for topic in load_topics(names)] == names
    assert load_topics([NO_CONVERSATION]) == (Topic("no_conversation", None),)


def test_no_conversation_must_be_asked_for():
    assert NO_CONVERSATION not in [topic.topic for topic in load_topics()]


def test_a_users_file_keeps_its_messages_as_they_are(topics):
    path = topics('topic,first_message,note\ntea,"A  cup,\nplease? ",x\n')
    assert load_topics(path=path) == (Topic("tea", "A  cup,\nplease? "),)
    assert load_topics(["no_conversation", "tea"], path)[0].first_message is None
    assert load_topics("tea", str(path))[0].topic == "tea"


def test_unknown_and_repeated_topics():
    with pytest.raises(ValuestabError, match="Unknown topic 'gramar'.*'grammar'.*no_conversation"):
        load_topics(["gramar"])
    with pytest.raises(ValuestabError, match="named twice"):
        load_topics(["joke", "joke"])


@pytest.mark.parametrize(
    "text, message",
    [
        ("topic,message\ntea,x\n", "lacks the column 'first_message'"),
        ("topic,first_message\ntea,x\ntea,y\n", "row 3: the topic 'tea' is there twice"),
        ("topic,first_message\ntea,x\ncup,  \n", "row 3: the first message of 'cup' is empty"),
        ("topic,first_message\na/b,x\n", "row 2: the topic 'a/b'.*file names"),
        ("topic,first_message\n,x\n", "row 2: the topic ''"),
        ("topic,first_message\nno_conversation,x\n", "row 2: 'no_conversation' is the condition"),
        ("topic,first_message\ntea,x, y\n", "row 2: 3 cells"),
    ],
)
def test_malformed_files_are_told_by_name_and_row(topics, text, message):
    with pytest.raises(ValuestabError, match=message) as error:
        load_topics(path=topics(text))
    assert "mine.csv" in str(error.value)
