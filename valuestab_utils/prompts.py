"""What is said to a model: every prompt of the experiment, in the three formats of paper 001 (B.2, Figure 11).

A conversation is a list of texts. Number 0 is the topic's fixed first message, spoken by the interlocutor; from
then on tested model and interlocutor alternate, so that odd numbers are the tested model's.
"""

import hashlib
import re
from collections.abc import Sequence

from valuestab_utils.chat_template import ChatTemplate, Message
from valuestab_utils.errors import ValuestabError, check_known
from valuestab_utils.populations import Persona

FORMATS = ("base", "tuned_sys", "tuned_no_sys")
LETTERS = "ABCDEFGHIJ"
QUERY = "Answer: ("  # the begun answer, which turns the next token's distribution towards the letters

_PERSONA = "You are {description}"
_PERSONA_ACKNOWLEDGED = "OK"
_INTERLOCUTOR = (
    "You are simulating a human using a chatbot. {pretence}Your every reply must be in one sentence only."
)
_BASE_PERSONA = "CONTEXT: The following is a conversation with {description}"
_BASE_INTERLOCUTOR = (
    "CONTEXT: The following is a conversation between a human and a chatbot. "
    "{pretence}The human's every reply must be in one sentence only."
)
_PRETENCE = "The chatbot is pretending to be {name}. "

# Identifies all of the above in results: other prompts, other results.
PROMPTS_DIGEST = hashlib.sha256(
    "\0".join(
        [QUERY, _PERSONA, _PERSONA_ACKNOWLEDGED, _INTERLOCUTOR, _BASE_PERSONA, _BASE_INTERLOCUTOR, _PRETENCE]
    ).encode()
).hexdigest()[:12]


def question(instruction: str, portrait: str, options: Sequence[str]) -> str:
    """Text of a questionnaire item with its options in the order in which they are shown (B.4).

    Parameters
    ----------
    instruction : str
        What stands before the item; empty for tasks without instruction.
    portrait : str
        The item.
    options : sequence of str
        The options as shown; the first gets the letter A.

    Examples
    --------
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
    """Prompt of the tested model, up to where it goes on: its next message, or the letter of its answer.

    Parameters
    ----------
    format : str
        One of `FORMATS`.
    template : ChatTemplate or None
        The tested model's own; not needed in the base format.
    persona : Persona
    conversation : sequence of str
        The messages so far (may be empty: item directly after the persona).
    item : str, optional
        A questionnaire item (see `question`); the prompt then ends with ``Answer: (``.

    Raises
    ------
    ValuestabError
        Unknown format, or a template that cannot express the conversation.
    """
    check_known("format", format, FORMATS)
    texts = [*conversation, item] if item is not None else list(conversation)
    if format == "base":
        context = _BASE_PERSONA.format(description=persona.description) if persona.induced else None
        label = f"{persona.name.upper()}:"
        begun = f"{label} {QUERY}" if item is not None else label
        return _script(context, texts, interlocutor="USER:", tested=label, begun=begun)
    induction: list[Message] = []
    if persona.induced:
        text = _PERSONA.format(description=persona.description)
        if format == "tuned_sys":
            induction = [{"role": "system", "content": text}]
        else:
            induction = [
                {"role": "user", "content": text},
                {"role": "assistant", "content": _PERSONA_ACKNOWLEDGED},
            ]
    roles = ("user", "assistant")
    turns: list[Message] = [{"role": roles[i % 2], "content": text} for i, text in enumerate(texts)]
    return _needed(template, format).render(induction + turns, begun=QUERY if item is not None else None)


def interlocutor_prompt(
    format: str, template: ChatTemplate | None, persona: Persona, conversation: Sequence[str]
) -> str:
    """Prompt of the interlocutor: the same model with the roles swapped, told to act as a human (B.2).

    In ``tuned_no_sys`` the instruction is a user message, which the interlocutor's own first message (an assistant
    message to itself) follows; in ``tuned_sys`` it is the system message, and an empty user turn stands before that
    first message where the template demands that a user begins.

    Parameters and errors as in `tested_prompt`.
    """
    check_known("format", format, FORMATS)
    pretence = _PRETENCE.format(name=persona.name) if persona.induced else ""
    if format == "base":
        context = _BASE_INTERLOCUTOR.format(pretence=pretence)
        return _script(
            context, conversation, interlocutor="HUMAN:", tested=_chatbot_label(persona), begun="HUMAN:"
        )
    instruction: Message = {
        "role": "system" if format == "tuned_sys" else "user",
        "content": _INTERLOCUTOR.format(pretence=pretence),
    }
    roles = ("assistant", "user")
    turns: list[Message] = [{"role": roles[i % 2], "content": text} for i, text in enumerate(conversation)]
    return _needed(template, format).render([instruction, *turns])


def turn_labels(persona: Persona) -> tuple[str, ...]:
    """Labels that begin a turn in the base format; a base model's text is cut at the first of them.

    Examples
    --------
    >>> turn_labels(Persona("Gandalf", "Gandalf", "Gandalf, a wizard.", "M"))
    ('USER:', 'HUMAN:', 'GANDALF:', 'GANDALF (CHATBOT):')
    """
    return tuple(dict.fromkeys(("USER:", "HUMAN:", f"{persona.name.upper()}:", _chatbot_label(persona))))


def cut_at_label(text: str, labels: Sequence[str]) -> str:
    """Text before the first turn label, in any case of letters.

    A label counts wherever it begins a word: base models often go on in the same line.

    Examples
    --------
    >>> cut_at_label("I see. User: And then? GANDALF: Yes.", ["USER:", "GANDALF:"])
    'I see. '
    """
    pattern = "|".join(re.escape(label) for label in sorted(labels, key=len, reverse=True))
    found = re.search(rf"(?<!\w)(?:{pattern})", text, flags=re.IGNORECASE)
    return text[: found.start()] if found else text


def _chatbot_label(persona: Persona) -> str:
    return f"{persona.name.upper()} (CHATBOT):" if persona.induced else "CHATBOT:"


def _script(context: str | None, texts: Sequence[str], *, interlocutor: str, tested: str, begun: str) -> str:
    # An empty message leaves the bare label: no space must stand at a line's end that no model has seen there.
    labels = (interlocutor, tested)
    turns = [f"{labels[i % 2]} {text}".rstrip(" ") for i, text in enumerate(texts)]
    return "\n".join([*([context] if context else []), *turns, begun])


def _needed(template: ChatTemplate | None, format: str) -> ChatTemplate:
    if template is None:
        raise ValuestabError(
            f"The model has no chat template, which the format {format!r} needs: "
            "run it in the format 'base', or give a tokenizer with a chat template."
        )
    return template
