"""A tokenizer's own chat template, made to say what the experiment says and nothing else.

What a template does unasked (insert a system message, refuse one, demand turns in alternation) is found by probes.
"""

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TypedDict

import jinja2

from valuestab_utils.errors import ValuestabError

# Some templates print the day. A prompt must not depend on it: this is the day that Llama 3.1's template falls back to.
# It comes as the variable date_string or, in place of the library's own function, from this macro.
_DATE = "26 Jul 2024"
_STRFTIME_NOW = (
    "{%- macro strftime_now(form) -%}{{ form | replace('%d', '26') | replace('%b', 'Jul') | replace('%B', 'July')"
    " | replace('%m', '07') | replace('%Y', '2024') | replace('%y', '24') | replace('%A', 'Friday') }}{%- endmacro -%}"
)


class Message(TypedDict):
    """A message of a chat; its role is system, user or assistant."""

    role: str
    content: str


# What is said in order to find out what a template does.
_PROBES: list[Message] = [
    {"role": "system", "content": "SYSTEM PROBE"},
    {"role": "user", "content": "USER ONE"},
    {"role": "assistant", "content": "REPLY"},
    {"role": "user", "content": "USER TWO"},
]


class ChatTemplate:
    """Chat template of a tokenizer, and ``variables`` for it, such as ``{"enable_thinking": False}``.

    ValuestabError if the tokenizer has no template, or its template does not mention a variable.
    """

    def __init__(self, tokenizer, variables: Mapping[str, object] | None = None):
        self.tokenizer = tokenizer
        self._source = tokenizer.get_chat_template() if tokenizer.chat_template else ""
        self._variables = dict(variables or {})
        if not self._source:
            raise ValuestabError(
                f"The tokenizer of {tokenizer.name_or_path!r} has no chat template, which the tuned formats need: "
                "run this model in the format 'base'."
            )
        for name in self._variables:
            if name not in self._source:
                raise self._unfit(f"has no variable {name!r}", "take it out of the model's entry in data/models.yaml")

    @property
    def digest(self) -> str:
        """First 12 hexadecimal digits of the SHA-256 of the template's source, and of its variables if any are set."""
        variables = json.dumps(self._variables, sort_keys=True) if self._variables else ""
        return hashlib.sha256((self._source + variables).encode()).hexdigest()[:12]

    @functools.cached_property
    def accepts_system(self) -> bool:
        """Whether a system message reaches the prompt, neither refused nor dropped."""
        try:
            return "SYSTEM PROBE" in self._raw(_PROBES[:2])
        except jinja2.TemplateError:
            return False

    @functools.cached_property
    def default_system(self) -> str:
        """What the template puts before the first user turn if there is no system message; often empty, never a BOS."""
        first = self._raw(_PROBES[1:2]).split("USER ONE")[0]
        first = first.removeprefix(self._bos_before(first))
        between = self._raw(_PROBES[1:]).split("REPLY")[-1].split("USER TWO")[0]
        if between.endswith(first):
            return ""  # the first turn begins like any later one: nothing was inserted
        closing = self._raw(_PROBES[1:3]).split("REPLY")[-1]
        header = between.removeprefix(closing)  # what opens a user turn
        if not header or header == between or not first.endswith(header):
            raise self._unfit(f"puts {first!r} before the first user turn, which may be a system message or not")
        return first.removesuffix(header)

    def render(self, messages: Sequence[Message], begun: str | None = None) -> str:
        """Exact text of a chat, up to where the assistant goes on: its turn, or the text ``begun`` in it.

        A default system message is taken out. ValuestabError if the template refuses, loses or changes a message.
        """
        has_system = bool(messages) and messages[0]["role"] == "system"
        if has_system and not self.accepts_system:
            raise self._unfit("takes no system message", "run this model in the format 'tuned_no_sys'")
        turns = list(messages) + ([Message(role="assistant", content=begun)] if begun is not None else [])
        try:
            text = self._raw(turns, begun)
        except jinja2.TemplateError:
            turns = _alternating(turns)
            try:
                text = self._raw(turns, begun)
            except jinja2.TemplateError as error:
                raise self._unfit(f"refuses this conversation ({error})") from error
        # Nothing is said to the model that the experiment did not write.
        if not has_system and self.default_system:
            bos = self._bos_before(text)
            if not text.startswith(bos + self.default_system):
                raise self._unfit("inserts a system message that changes with the conversation and cannot be taken out")
            text = bos + text.removeprefix(bos + self.default_system)
        lost = _lost(text, turns)
        if lost is not None:
            raise self._unfit(f"loses or changes the {lost['role']} message {lost['content'].strip()[:60]!r}")
        return text

    def _raw(self, messages: Sequence[Message], begun: str | None = None) -> str:
        return self.tokenizer.apply_chat_template(
            [dict(message) for message in messages],  # a copy: the library marks the message that goes on
            chat_template=(_STRFTIME_NOW if "strftime_now" in self._source else "") + self._source,
            tokenize=False,
            add_generation_prompt=messages[-1]["role"] != "assistant",
            continue_final_message=begun is not None,
            date_string=_DATE,
            **self._variables,
        )

    def _bos_before(self, text: str) -> str:
        bos = self.tokenizer.bos_token
        # ChatML models may use the token that opens every turn as their BOS: then it is part of the turn.
        return bos if bos and text.startswith(bos) and self._raw(_PROBES[1:]).count(bos) < 2 else ""

    def _unfit(self, what: str, instead: str = "use another format or template") -> ValuestabError:
        return ValuestabError(f"The chat template of {self.tokenizer.name_or_path!r} {what}: {instead}.")


def encode(tokenizer, text: str) -> list[int]:
    """Token ids of a rendered prompt, with exactly the one beginning-of-sequence token that the model expects."""
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    bos = tokenizer.bos_token_id
    adds_bos = bos is not None and tokenizer("a")["input_ids"][:1] == [bos]
    # Templates write their own BOS, plain text has none: a tokenizer that adds one to everything would double the
    # first, and one that was told to add none would lose the second.
    return [bos, *ids] if adds_bos and ids[:1] != [bos] else ids


def _alternating(messages: Sequence[Message]) -> list[Message]:
    out: list[Message] = []
    for message in messages:
        before = out[-1]["role"] if out else "system"
        # Where turns must alternate, an empty one of the user stands where two of the assistant meet or one begins.
        if message["role"] == "assistant" and before in ("system", "assistant"):
            out.append(Message(role="user", content=""))
        out.append(message)
    return out


def _lost(text: str, messages: Sequence[Message]) -> Message | None:
    """The first message that does not stand in the text in its place."""
    place = 0
    for message in messages:
        content = message["content"].strip()
        moves = message["role"] == "system"  # some templates move it into a user turn, even the last
        found = text.find(content, 0 if moves else place)
        if found < 0:
            return message
        place = place if moves else found + len(content)
    return None
