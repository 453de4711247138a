"""Topics of conversation: data, and the condition without a conversation."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from valuestab_utils.errors import ValuestabError, check_known
from valuestab_utils.paths import DATA
from valuestab_utils.populations import read_rows

TOPICS_FILE = DATA / "topics.csv"
NO_CONVERSATION = "no_conversation"


@dataclass(frozen=True)
class Topic:
    """A context: what the interlocutor says first.

    Attributes
    ----------
    topic : str
        Names the topic in results.
    first_message : str or None
        The interlocutor's fixed first message; None in the condition without conversation.
    temperature : float or None
        At which messages are sampled, plainly; None for the model's own sampling.
    """

    topic: str
    first_message: str | None
    temperature: float | None = field(default=None, repr=False)


def load_topics(names: Sequence[str] | None = None, path: str | Path | None = None) -> tuple[Topic, ...]:
    """Topics of a file, all of them or some.

    Parameters
    ----------
    names : sequence of str, optional
        Topics to take, in this order. "no_conversation" may be among them, though no file has it: items then
        follow the persona directly. Without `names`, all topics of the file.
    path : str or Path, optional
        A CSV file in UTF-8 with the columns topic and first_message; data/topics.csv unless given.

    Returns
    -------
    tuple of Topic

    Raises
    ------
    ValuestabError
        Unknown topic, or one that is named twice; a file that cannot be read, lacks a column, or has a row
        with a topic that is there twice or is no plain word, or an empty first message (the header is row 1).

    References
    ----------
    Kovač et al. 2024, appendix B.3 and Figure 11 (whose wording of the topic grammar is taken): the first five of
    data/topics.csv. The other nine have the names of the additional contexts of Figure 10; their messages are
    our own, of the same kinds.

    Examples
    --------
    >>> names = [topic.topic for topic in load_topics()]
    >>> names[:5]
    ['poem', 'joke', 'history', 'chess', 'grammar']
    >>> names[5:]
    ['year', 'santa', 'bicycle', 'chord', 'cooking', 'weather', 'code', 'britney', 'bjj']
    >>> load_topics(["chess", "no_conversation"])
    (Topic(topic='chess', first_message='1. e4'), Topic(topic='no_conversation', first_message=None))
    """
    path = TOPICS_FILE if path is None else Path(path)
    there: dict[str, Topic] = {}
    for row, cells in read_rows(path, ("topic", "first_message")):
        topic = _topic(path, row, cells["topic"].strip(), cells["first_message"])
        if topic.topic in there:
            raise ValuestabError(f"{path}, row {row}: the topic {topic.topic!r} is there twice.")
        there[topic.topic] = topic
    if names is None:
        return tuple(there.values())
    there[NO_CONVERSATION] = Topic(NO_CONVERSATION, None)
    wanted = [names] if isinstance(names, str) else list(names)
    chosen = tuple(there[check_known("topic", name, there)] for name in wanted)
    if len(set(wanted)) != len(wanted):
        raise ValuestabError(f"A topic is named twice in {wanted}.")
    return chosen


def by_length(topics: Iterable[Topic]) -> tuple[Topic, ...]:
    """Topics from the shortest first message to the longest, as Figure 10 orders contexts.

    Parameters
    ----------
    topics : iterable of Topic
        In any order.

    Returns
    -------
    tuple of Topic
        By the number of characters of the first message. "no_conversation" counts as 0 and stands first;
        topics of the same length keep the order given.

    References
    ----------
    Kovač et al. 2024, Figure 10.

    Examples
    --------
    >>> [topic.topic for topic in by_length(load_topics(["bjj", "poem", "no_conversation", "chess"]))]
    ['no_conversation', 'chess', 'poem', 'bjj']
    """
    return tuple(sorted(topics, key=lambda topic: len(topic.first_message or "")))


def _topic(path: Path, row: int, name: str, first_message: str) -> Topic:
    if not re.fullmatch(r"[\w-]+", name):
        raise ValuestabError(
            f"{path}, row {row}: the topic {name!r} becomes part of file names: "
            "use letters, digits, _ and - only."
        )
    if name == NO_CONVERSATION:
        raise ValuestabError(
            f"{path}, row {row}: {name!r} is the condition without a conversation, which needs no row: "
            "leave it out."
        )
    if not first_message.strip():
        raise ValuestabError(f"{path}, row {row}: the first message of {name!r} is empty.")
    return Topic(name, first_message)
