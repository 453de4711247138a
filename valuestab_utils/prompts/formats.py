"""What is said to a model: every prompt of the experiment, in the three formats of paper 001 (B.2, Figure 11).

A conversation is a list of texts. Number 0 is the topic's fixed first message, by the interlocutor; odd numbers are the
tested model's.
"""

import hashlib
import re
from collections.abc import Sequence

from valuestab_utils.errors import check_known
from valuestab_utils.prompts.chat_templates import ChatTemplate, Message
from valuestab_utils.prompts.personas import Persona

FORMATS = ("base", "tuned_sys", "tuned_no_sys")
LETTERS = "ABCDEFGHIJ"
QUERY = "Answer: ("  # the begun answer, which turns the next token's distribution towards the letters

_PERSONA = "You are {description}"
_PERSONA_ACKNOWLEDGED = "OK"
_INTERLOCUTOR = "You are simulating a human using a chatbot. {pretence}Your every reply must be in one sentence only."
_BASE_PERSONA = "CONTEXT: The following is a conversation with {description}"
_BASE_INTERLOCUTOR = (
    "CONTEXT: The following is a conversation between a human and a chatbot. "
    "{pretence}The human's every reply must be in one sentence only."
)
_PRETENCE = "The chatbot is pretending to be {name}. "

# Identifies all of the above in results: other prompts, other results.
_TEXTS = (QUERY, _PERSONA, _PERSONA_ACKNOWLEDGED, _INTERLOCUTOR, _BASE_PERSONA, _BASE_INTERLOCUTOR, _PRETENCE)
PROMPTS_DIGEST = hashlib.sha256("\0".join(_TEXTS).encode()).hexdigest()[:12]


def question(instruction: str, portrait: str, options: Sequence[str]) -> str:
    """Text of a questionnaire item with its options as shown, lettered from A (B.4); no instruction if empty.

    >>> print(question("Choose.", "She likes tea.", ["Like me", "Not like me"]))
    Choose.
    <BLANKLINE>
    She likes tea.
    (A) Like me
    (B) Not like me
    """
    head = f"{instruction}\n\n{portrait}" if instruction else portrait
    return "\n".join([head, *(f"({letter}) {option}" for letter, option in zip(LETTERS, options))])


def tested_prompt(
    format: str,
    template: ChatTemplate | None,
    persona: Persona,
    conversation: Sequence[str],
    item: str | None = None,
) -> str:
    """Prompt of the tested model, up to where it goes on: its next message, or the letter of its answer to ``item``.

    The conversation may be empty: the item then follows the persona. The base format needs no template. ValuestabError
    if the template cannot express the conversation.
    """
    texts = [*conversation, item] if item is not None else list(conversation)
    if _check_format(format, template) == "base":
        context = _BASE_PERSONA.format(description=persona.description) if persona.induced else None
        label = f"{persona.name.upper()}:"
        return _script(context, texts, ("USER:", label), f"{label} {QUERY}" if item is not None else label)
    induction: list[Message] = []
    if persona.induced:
        text = _PERSONA.format(description=persona.description)
        induction = [{"role": "system" if format == "tuned_sys" else "user", "content": text}]
        if format == "tuned_no_sys":
            induction.append({"role": "assistant", "content": _PERSONA_ACKNOWLEDGED})
    turns = _turns(texts, ("user", "assistant"))
    return template.render(induction + turns, begun=QUERY if item is not None else None)


def interlocutor_prompt(
    format: str, template: ChatTemplate | None, persona: Persona, conversation: Sequence[str]
) -> str:
    """Prompt of the interlocutor: the same model with the roles swapped, told to act as a human (B.2)."""
    pretence = _PRETENCE.format(name=persona.name) if persona.induced else ""
    if _check_format(format, template) == "base":
        context = _BASE_INTERLOCUTOR.format(pretence=pretence)
        return _script(context, conversation, ("HUMAN:", _chatbot_label(persona)), "HUMAN:")
    role = "system" if format == "tuned_sys" else "user"
    instruction: Message = {"role": role, "content": _INTERLOCUTOR.format(pretence=pretence)}
    # Its own first message follows, as an assistant's: after a system message, an empty user turn comes first where the
    # template demands that a user begins.
    return template.render([instruction, *_turns(conversation, ("assistant", "user"))])


def turn_labels(persona: Persona) -> tuple[str, ...]:
    """Labels that begin a turn in the base format; a base model's text is cut at the first of them."""
    return tuple(dict.fromkeys(("USER:", "HUMAN:", f"{persona.name.upper()}:", _chatbot_label(persona))))


def cut_at_label(text: str, labels: Sequence[str]) -> str:
    """Text before the first turn label, in any case of letters.

    >>> cut_at_label("I see. User: And then? GANDALF: Yes.", ["USER:", "GANDALF:"])
    'I see. '
    """
    pattern = "|".join(re.escape(label) for label in sorted(labels, key=len, reverse=True))
    # Wherever it begins a word: base models often go on in the same line.
    found = re.search(rf"(?<!\w)(?:{pattern})", text, flags=re.IGNORECASE)
    return text[: found.start()] if found else text


def _check_format(format: str, template: ChatTemplate | None) -> str:
    return check_known("format", format, FORMATS if template else FORMATS[:1])  # others need a chat template


def _chatbot_label(persona: Persona) -> str:
    return f"{persona.name.upper()} (CHATBOT):" if persona.induced else "CHATBOT:"


def _script(context: str | None, texts: Sequence[str], labels: tuple[str, str], begun: str) -> str:
    # An empty message leaves the bare label: no space must stand at a line's end that no model has seen there.
    turns = [f"{labels[i % 2]} {text}".rstrip(" ") for i, text in enumerate(texts)]
    return "\n".join([*([context] if context else []), *turns, begun])


def _turns(texts: Sequence[str], roles: tuple[str, str]) -> list[Message]:
    return [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)]
