"""Every prompt of the experiment, byte for byte, in the three formats and for several families of chat templates."""

import pytest
from fakes import CHATML, GANDALF, NOBODY
from tiny import byte_tokenizer

from valuestab_utils.errors import ValuestabError
from valuestab_utils.prompts import formats as prompts
from valuestab_utils.prompts.chat_templates import ChatTemplate, encode
from valuestab_utils.prompts.formats import cut_at_label, interlocutor_prompt, question, turn_labels

the_tested_prompt = prompts.tested_prompt  # pytest would take the name itself for a test

FIRST = "Can you check this sentence for grammar?\n"
FIRST += "Whilst Jane was waiting to meet hers friend their nose started bleeding."
TALK = [FIRST, "It is fine.", "Thank you.", "You are welcome."]
ITEM = question("Read.", "He likes tea.", ["Like me", "Not like me"])
ASKED = "Read.\n\nHe likes tea.\n(A) Like me\n(B) Not like me"

# Written for these tests; each behaves as one family of templates does.
CHATML_DEFAULT = (  # inserts a system message unless there is one
    "{% if messages[0].role != 'system' %}{{ '<|im_start|>system\nBe helpful.<|im_end|>\n' }}{% endif %}" + CHATML
)
INST = (  # refuses a system role, demands alternation, space before an answer
    "{{ bos_token }}{% for m in messages %}"
    "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}"
    "{% if m.role == 'user' %}{{ '[INST] ' + m.content + ' [/INST]' }}"
    "{% else %}{{ ' ' + m.content + eos_token }}{% endif %}{% endfor %}"
)
MERGED = (  # puts the system text into the first user turn, demands alternation
    "{{ bos_token }}{% if messages[0].role == 'system' %}{% set s = messages[0].content + '\n\n' %}"
    "{% set turns = messages[1:] %}{% else %}{% set s = '' %}{% set turns = messages %}{% endif %}"
    "{% for m in turns %}"
    "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}"
    "{% if m.role == 'user' %}{{ '[U]' + (s if loop.first else '') + m.content + '[/U]' }}"
    "{% else %}{{ m.content + eos_token }}{% endif %}{% endfor %}"
)
HEADERS = (  # always writes a system block, with the day
    "{{ bos_token }}{% if messages[0].role == 'system' %}{% set s = messages[0].content %}"
    "{% set turns = messages[1:] %}{% else %}{% set s = '' %}{% set turns = messages %}{% endif %}"
    "{{ '<|h|>system<|/h|>\n\nToday: ' + strftime_now('%d %b %Y') + '\n\n' + s + '<|e|>' }}"
    "{% for m in turns %}{{ '<|h|>' + m.role + '<|/h|>\n\n' + m.content | trim + '<|e|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|h|>assistant<|/h|>\n\n' }}{% endif %}"
)
DROPS_SYSTEM = (
    "{% for m in messages if m.role != 'system' %}{{ '<' + m.role + '>' + m.content }}{% endfor %}<assistant>"
)
DROPS_EMPTY_END = CHATML.replace("m['content']", "(m.content if loop.index0 != 2 else '')")


def template(source):
    return ChatTemplate(byte_tokenizer(template=source))


def chatml(source=CHATML):
    return ChatTemplate(byte_tokenizer(template=source, bos="<|im_start|>", eos="<|im_end|>"))


def test_base_format_is_that_of_figure_11a():
    assert the_tested_prompt("base", None, GANDALF, TALK, ITEM) == (
        "CONTEXT: The following is a conversation with Gandalf from J. R. R. Tolkien's Middle-earth legendarium.\n"
        f"USER: {FIRST}\nGANDALF: It is fine.\nUSER: Thank you.\nGANDALF: You are welcome.\n"
        f"USER: {ASKED}\nGANDALF: Answer: ("
    )
    assert the_tested_prompt("base", None, GANDALF, TALK[:1]).endswith("started bleeding.\nGANDALF:")
    assert the_tested_prompt("base", None, NOBODY, [], ITEM) == f"USER: {ASKED}\nCHATBOT: Answer: ("
    assert "GANDALF:\nUSER: Well?" in the_tested_prompt("base", None, GANDALF, ["Hello", "", "Well?"])  # no space


def test_base_interlocutor():
    assert interlocutor_prompt("base", None, GANDALF, TALK[:2]) == (
        "CONTEXT: The following is a conversation between a human and a chatbot. The chatbot is pretending to be "
        f"Gandalf. The human's every reply must be in one sentence only.\nHUMAN: {FIRST}\n"
        "GANDALF (CHATBOT): It is fine.\nHUMAN:"
    )
    assert interlocutor_prompt("base", None, NOBODY, TALK[:2]) == (
        "CONTEXT: The following is a conversation between a human and a chatbot. "
        f"The human's every reply must be in one sentence only.\nHUMAN: {FIRST}\nCHATBOT: It is fine.\nHUMAN:"
    )


def test_system_format_is_that_of_figure_11b():
    assert the_tested_prompt("tuned_sys", chatml(), GANDALF, TALK, ITEM) == (
        "<|im_start|>system\nYou are Gandalf from J. R. R. Tolkien's Middle-earth legendarium.<|im_end|>\n"
        f"<|im_start|>user\n{FIRST}<|im_end|>\n<|im_start|>assistant\nIt is fine.<|im_end|>\n"
        "<|im_start|>user\nThank you.<|im_end|>\n<|im_start|>assistant\nYou are welcome.<|im_end|>\n"
        f"<|im_start|>user\n{ASKED}<|im_end|>\n<|im_start|>assistant\nAnswer: ("
    )


def test_no_system_format_is_that_of_figure_11c():
    assert the_tested_prompt("tuned_no_sys", template(INST), GANDALF, TALK, ITEM) == (
        "<s>[INST] You are Gandalf from J. R. R. Tolkien's Middle-earth legendarium. [/INST] OK</s>"
        f"[INST] {FIRST} [/INST] It is fine.</s>[INST] Thank you. [/INST] You are welcome.</s>"
        f"[INST] {ASKED} [/INST] Answer: ("
    )


@pytest.mark.parametrize("format", ["tuned_sys", "tuned_no_sys"])
@pytest.mark.parametrize("persona", [GANDALF, NOBODY])
def test_default_system_message_is_taken_out(format, persona):
    plain, inserting = chatml(), chatml(CHATML_DEFAULT)
    for talk, item in ((TALK[:3], None), (TALK, ITEM)):
        prompt = the_tested_prompt(format, inserting, persona, talk, item)
        assert prompt == the_tested_prompt(format, plain, persona, talk, item) and "helpful" not in prompt
    others = [interlocutor_prompt(format, template, persona, TALK[:2]) for template in (inserting, plain)]
    assert others[0] == others[1]


def test_a_system_block_that_is_always_there_is_taken_out_and_the_day_never_shows():
    headers = template(HEADERS)
    prompt = the_tested_prompt("tuned_no_sys", headers, NOBODY, TALK[:1])
    assert prompt == f"<s><|h|>user<|/h|>\n\n{FIRST}<|e|><|h|>assistant<|/h|>\n\n"
    assert "Today: 26 Jul 2024" in the_tested_prompt("tuned_sys", headers, GANDALF, TALK[:1])


@pytest.mark.parametrize(
    "format, source, message",
    [
        ("tuned_sys", INST, "tuned_no_sys"),
        ("tuned_sys", DROPS_SYSTEM, "tuned_no_sys"),
        ("tuned_sys", DROPS_EMPTY_END, "loses or changes"),
        ("tuned_sys", None, "Known: base"),
        ("tuned_syss", None, "tuned_sys"),
    ],
)
def test_a_format_that_a_template_cannot_have_is_refused(format, source, message):
    with pytest.raises(ValuestabError, match=message):
        the_tested_prompt(format, source and template(source), GANDALF, TALK, ITEM)


def test_interlocutor_begins_with_an_empty_user_turn_only_where_the_template_demands_it():
    said = "You are simulating a human using a chatbot. The chatbot is pretending to be Gandalf. "
    said += "Your every reply must be in one sentence only."
    assert interlocutor_prompt("tuned_sys", template(MERGED), GANDALF, TALK[:2]) == (
        f"<s>[U]{said}\n\n[/U]{FIRST}</s>[U]It is fine.[/U]"
    )
    assert interlocutor_prompt("tuned_sys", chatml(), GANDALF, TALK[:2]) == (
        f"<|im_start|>system\n{said}<|im_end|>\n<|im_start|>assistant\n{FIRST}<|im_end|>\n"
        "<|im_start|>user\nIt is fine.<|im_end|>\n<|im_start|>assistant\n"
    )
    assert interlocutor_prompt("tuned_no_sys", template(INST), GANDALF, TALK[:2]) == (
        f"<s>[INST] {said} [/INST] {FIRST}</s>[INST] It is fine. [/INST]"
    )
    assert "pretending" not in interlocutor_prompt("tuned_sys", chatml(), NOBODY, TALK[:2])


@pytest.mark.parametrize("source", [CHATML_DEFAULT, INST, MERGED, HEADERS])
@pytest.mark.parametrize("adds_bos", [True, False])
def test_exactly_one_beginning_of_sequence(source, adds_bos):
    tokenizer = byte_tokenizer(template=source, adds_bos=adds_bos)
    text = the_tested_prompt("tuned_no_sys", ChatTemplate(tokenizer), GANDALF, TALK, ITEM)
    ids = encode(tokenizer, text)
    expected = 1 if adds_bos or "bos_token" in source else 0
    assert ids.count(tokenizer.bos_token_id) == expected and (not expected or ids[0] == tokenizer.bos_token_id)
    base = encode(tokenizer, the_tested_prompt("base", None, GANDALF, TALK, ITEM))
    assert base.count(tokenizer.bos_token_id) == int(adds_bos)
    assert tokenizer.eos_token_id != ids[-1]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Yes.\nUSER: And?", "Yes.\n"),
        ("Yes. user: And?", "Yes. "),
        ("Yes.\nGandalf (chatbot): No", "Yes.\n"),
        ("Yes.\nGANDALF: No\nUSER: x", "Yes.\n"),
        ("A superuser: me", "A superuser: me"),
        ("the user said so", "the user said so"),
        ("HUMAN:", ""),
    ],
)
def test_base_text_is_cut_at_the_first_turn_label(text, kept):
    assert cut_at_label(text, turn_labels(GANDALF)) == kept
