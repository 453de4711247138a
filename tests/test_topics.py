import itertools
import re
import subprocess
import sys

import pytest

from valuestab_utils.errors import ValuestabError
from valuestab_utils.topics import NO_CONVERSATION, Topic, by_length, load_topics

OF_THE_PAPER = ["poem", "joke", "history", "chess", "grammar"]
ADDITIONAL = ["year", "santa", "bicycle", "chord", "cooking", "weather", "code", "britney", "bjj"]


def message(topic):
    return load_topics([topic])[0].first_message


@pytest.fixture
def topics(tmp_path):
    def write(text):
        path = tmp_path / "mine.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_the_papers_topics_letter_for_letter():
    assert {topic.topic: topic.first_message for topic in load_topics(OF_THE_PAPER)} == {
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


def test_fourteen_topics_all_different():
    topics = load_topics()
    assert [topic.topic for topic in topics] == OF_THE_PAPER + ADDITIONAL
    assert len({topic.first_message for topic in topics}) == 14


def test_additional_topics_grow_from_a_few_words_to_a_thousand():
    messages = [topic.first_message for topic in load_topics(ADDITIONAL)]
    characters, words = [len(m) for m in messages], [len(m.split()) for m in messages]
    for lengths in (characters, words):
        assert all(shorter < longer for shorter, longer in itertools.pairwise(lengths))
    assert words[0] < 10 and 950 <= words[-1] <= 1050


@pytest.mark.parametrize("topic", ADDITIONAL)
def test_additional_topics_are_plain_text_about_something_else(topic):
    text = message(topic)
    assert text == text.strip()
    # One token more for a curly quote or a dash in one tokenizer than in another: keep to ASCII.
    assert text.isascii() and "\t" not in text and "\r" not in text
    about_values = r"values?|valueerror|moral|ethic|virtue|personalit|respect|tradition|honest|freedom"
    assert not re.search(about_values, text, re.IGNORECASE)
    # What a template or the base format would take for the start of another turn.
    assert not re.search(r"<\||\[/?INST|</?s>|<<SYS", text)
    assert not re.search(r"^(human|user|assistant|system|context)\b.*:", text, re.IGNORECASE | re.MULTILINE)


def test_the_code_listing_prints_what_its_message_says():
    _, listing, after = re.split(r"```(?:python)?\n", message("code"))
    printed = subprocess.run(
        [sys.executable, "-c", listing], capture_output=True, text=True, check=True
    ).stdout
    assert after.split("The output is:\n\n")[1] == printed.rstrip("\n")


@pytest.mark.slow
def test_the_longest_message_leaves_room_for_a_conversation(embedded_folder):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(embedded_folder, local_files_only=True)
    n_tokens = {topic.topic: len(tokenizer(topic.first_message)["input_ids"]) for topic in load_topics()}
    assert max(n_tokens, key=n_tokens.get) == "bjj"
    assert n_tokens["bjj"] < 2000


def test_by_length_counts_characters():
    assert [topic.topic for topic in by_length(load_topics())] == [
        "chess", "joke", "year", "history", "poem", "grammar",
        "santa", "bicycle", "chord", "cooking", "weather", "code", "britney", "bjj",
    ]  # fmt: skip
    # More words, but fewer characters.
    words, characters = Topic("words", "a b c"), Topic("characters", "abcdef")
    assert by_length([characters, words]) == (words, characters)


def test_by_length_of_no_conversation_equals_and_nothing():
    nothing = Topic(NO_CONVERSATION, None)
    b, a = Topic("b", "xx"), Topic("a", "yy")
    assert by_length(iter([b, a, nothing])) == (nothing, b, a)
    assert by_length([nothing, a, b]) == (nothing, a, b)
    assert by_length([]) == ()


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
