"""Topics of conversation: data, and the condition without a conversation."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from valuestab_utils.errors import ValuestabError, check_known
from valuestab_utils.files import read_rows
from valuestab_utils.paths import DATA

TOPICS_FILE = DATA / "topics.csv"
NO_CONVERSATION = "no_conversation"


@dataclass(frozen=True)
class Topic:
    """A context, by what the interlocutor says first: None in the condition without conversation.

    A ``temperature`` is that of plain sampling of messages; None leaves the model its own sampling.
    """

    topic: str
    first_message: str | None
    temperature: float | None = field(default=None, repr=False)


def load_topics(names: Sequence[str] | None = None) -> tuple[Topic, ...]:
    """Topics of data/topics.csv, all or some, in the order of ``names``.

    "no_conversation" may be among them, though it has no row: items then follow the persona directly. The first five
    are of Kovač et al. 2024, appendix B.3 and Figure 11 (whose wording of grammar is taken); the other nine have the
    names of Figure 10's contexts, with messages of our own. ValuestabError for an unknown or repeated topic, or a bad
    row (the header is row 1).

    >>> load_topics(["chess", "no_conversation"])
    (Topic(topic='chess', first_message='1. e4'), Topic(topic='no_conversation', first_message=None))
    """
    there: dict[str, Topic] = {}
    for row, cells in read_rows(TOPICS_FILE, ("topic", "first_message")):
        name, first_message = cells["topic"].strip(), cells["first_message"]
        if not re.fullmatch(r"[\w-]+", name) or name in (*there, NO_CONVERSATION) or not first_message.strip():
            raise ValuestabError(
                f"{TOPICS_FILE}, row {row}: a topic needs a name of its own, of letters, digits, _ and - (it becomes "
                f"part of file names), and a first message, but here are {name!r} and {first_message[:60]!r}."
            )
        there[name] = Topic(name, first_message)
    if names is None:
        return tuple(there.values())
    there[NO_CONVERSATION] = Topic(NO_CONVERSATION, None)
    chosen = tuple(there[check_known("topic", name, there)] for name in names)
    if len(set(chosen)) != len(chosen):
        raise ValuestabError(f"A topic is named twice in {list(names)}.")
    return chosen


def by_length(topics: Iterable[Topic]) -> tuple[Topic, ...]:
    """Topics from the shortest first message (in characters) to the longest, as Kovač et al. 2024 order Figure 10.

    "no_conversation" counts as 0; topics of one length keep their order.
    """
    return tuple(sorted(topics, key=lambda topic: len(topic.first_message or "")))
