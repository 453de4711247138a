"""A tokenizer's own chat template, made to say what the experiment says and nothing else.

Templates differ in what they do unasked: some insert a default system message, some refuse a system role, some
demand that user and assistant alternate, beginning with the user. Each is found out once, by rendering probes.
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
    """One message of a chat: ``role`` is system, user or assistant."""

    role: str
    content: str


class ChatTemplate:
    """Chat template of a tokenizer.

    Parameters
    ----------
    tokenizer : transformers.PreTrainedTokenizerBase
        With a ``chat_template``.
    variables : mapping, optional
        What the template is given beside the messages, such as ``{"enable_thinking": False}``.

    Raises
    ------
    ValuestabError
        If the tokenizer has no chat template, or its template has no such variable.
    """

    def __init__(self, tokenizer, variables: Mapping[str, object] | None = None):
        if not tokenizer.chat_template:
            raise ValuestabError(
                f"The tokenizer of {tokenizer.name_or_path!r} has no chat template, which the tuned formats need: "
                "run this model in the format 'base'."
            )
        self.tokenizer = tokenizer
        self._source = tokenizer.get_chat_template()
        self._variables = dict(variables or {})
        for name in self._variables:
            if name not in self._source:
                raise ValuestabError(
                    f"The chat template of {tokenizer.name_or_path!r} has no variable {name!r}, which the entry of "
                    "the model in data/models.yaml sets: take it out there."
                )

    @property
    def digest(self) -> str:
        """First 12 hexadecimal digits of the SHA-256 of the template's source, and of its variables if any are set."""
        variables = json.dumps(self._variables, sort_keys=True) if self._variables else ""
        return hashlib.sha256((self._source + variables).encode()).hexdigest()[:12]

    @functools.cached_property
    def accepts_system(self) -> bool:
        """Whether a system message reaches the prompt (it is neither refused nor dropped)."""
        try:
            return "SYSTEM PROBE" in self._raw(
                [_message("system", "SYSTEM PROBE"), _message("user", "USER PROBE")]
            )
        except jinja2.TemplateError:
            return False

    @functools.cached_property
    def default_system(self) -> str:
        """Text that the template puts before the first user turn when there is no system message; often empty.

        Any beginning-of-sequence token before it belongs to the prompt and is not counted.
        """
        first = self._raw([_message("user", "USER PROBE")]).split("USER PROBE")[0]
        first = first.removeprefix(self._bos_before(first))
        chat = [_message("user", "USER ONE"), _message("assistant", "REPLY"), _message("user", "USER TWO")]
        between = self._raw(chat).split("REPLY")[-1].split("USER TWO")[0]
        if between.endswith(first):
            return ""  # the first turn begins like any later one: nothing was inserted
        closing = self._raw(chat[:2]).split("REPLY")[-1]
        header = between.removeprefix(closing)  # what opens a user turn
        if not header or header == between or not first.endswith(header):
            raise ValuestabError(
                f"The chat template of {self.tokenizer.name_or_path!r} puts {first!r} before the first user turn, "
                "and it cannot be told whether that is a system message of its own: use another template."
            )
        return first.removesuffix(header)

    def render(self, messages: Sequence[Message], begun: str | None = None) -> str:
        """Exact text of a chat, ready to be continued by the assistant.

        A default system message is taken out: nothing is said to the model that the experiment did not write.
        Where the template demands that turns alternate, an empty user turn is put where two turns of the assistant
        meet or where it would begin.

        Parameters
        ----------
        messages : sequence of Message
        begun : str, optional
            Text with which the assistant's turn begins; without it, the prompt ends where the turn begins.

        Raises
        ------
        ValuestabError
            If the template refuses the messages, or drops or changes the text of one of them.
        """
        has_system = bool(messages) and messages[0]["role"] == "system"
        if has_system and not self.accepts_system:
            raise ValuestabError(
                f"The chat template of {self.tokenizer.name_or_path!r} takes no system message: "
                "run this model in the format 'tuned_no_sys'."
            )
        turns = list(messages) + ([_message("assistant", begun)] if begun is not None else [])
        try:
            text = self._raw(turns, begun=begun)
        except jinja2.TemplateError:
            try:
                turns = _alternating(turns)
                text = self._raw(turns, begun=begun)
            except jinja2.TemplateError as error:
                raise ValuestabError(
                    f"The chat template of {self.tokenizer.name_or_path!r} refuses this conversation ({error}): "
                    "use another format or template."
                ) from error
        if not has_system and self.default_system:
            text = self._without_default_system(text)
        _check_complete(text, turns, self.tokenizer.name_or_path)
        return text

    def _raw(self, messages: Sequence[Message], begun: str | None = None) -> str:
        going_on = messages[-1]["role"] != "assistant"
        return self.tokenizer.apply_chat_template(
            [dict(message) for message in messages],  # a copy: the library marks the message that goes on
            chat_template=(_STRFTIME_NOW if "strftime_now" in self._source else "") + self._source,
            tokenize=False,
            add_generation_prompt=going_on,
            continue_final_message=begun is not None,
            date_string=_DATE,
            **self._variables,
        )

    def _bos_before(self, text: str) -> str:
        bos = self.tokenizer.bos_token
        # ChatML models may use the token that opens every turn as their BOS: then it is part of the turn.
        opens_turns = (
            bos is not None
            and self._raw([_message("user", "U"), _message("assistant", "A"), _message("user", "U")]).count(
                bos
            )
            > 1
        )
        return bos if bos and text.startswith(bos) and not opens_turns else ""

    def _without_default_system(self, text: str) -> str:
        bos = self._bos_before(text)
        body = text.removeprefix(bos)
        if not body.startswith(self.default_system):
            raise ValuestabError(
                f"The chat template of {self.tokenizer.name_or_path!r} inserts a system message that changes with the "
                "conversation, which cannot be taken out: give a tokenizer with another template."
            )
        return bos + body.removeprefix(self.default_system)


def encode(tokenizer, text: str) -> list[int]:
    """Token ids of a rendered prompt, with exactly the one beginning-of-sequence token that the model expects.

    Chat templates write their own BOS, plain text has none; a tokenizer that adds one to everything would double the
    first and a tokenizer told to add none would lose the second.
    """
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    bos = tokenizer.bos_token_id
    adds_bos = bos is not None and tokenizer("a")["input_ids"][:1] == [bos]
    return [bos, *ids] if adds_bos and ids[:1] != [bos] else ids


def _message(role: str, content: str) -> Message:
    return {"role": role, "content": content}


def _alternating(messages: Sequence[Message]) -> list[Message]:
    out: list[Message] = []
    for message in messages:
        before = out[-1]["role"] if out else "system"
        if message["role"] == "assistant" and before in ("system", "assistant"):
            out.append(_message("user", ""))
        out.append(message)
    return out


def _check_complete(text: str, messages: Sequence[Message], name: str) -> None:
    place = 0
    for message in messages:
        content = message["content"].strip()
        if message["role"] == "system":  # some templates move it into a user turn, even the last
            found = text.find(content)
        else:
            found = place = text.find(content, place)
        if found < 0:
            raise ValuestabError(
                f"The chat template of {name!r} loses or changes the {message['role']} message {content[:60]!r}: "
                "use another format or template."
            )
        place += len(content) if message["role"] != "system" else 0
