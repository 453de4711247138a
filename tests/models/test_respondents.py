"""The list of models: the paper's 21 as the paper ran them, and entries that mean what they say."""

import pytest
from fakes import CHATML, language_model
from tiny import byte_tokenizer

from valuestab_utils.errors import ValuestabError
from valuestab_utils.models import ModelCard, Sampling, known_models
from valuestab_utils.models.local import LanguageModel
from valuestab_utils.prompts.chat_templates import ChatTemplate

PLAIN, LLAMA2 = Sampling(1.0, 1.0, 0, 1.0), Sampling(0.6, 0.9, 50, 1.2)
LLAMA2_SIZES = [f"meta-llama/Llama-2-{size}b" for size in (7, 13, 70)]
# Protocol, section 11.
BASE = ["mistralai/Mistral-7B-v0.1", "mistralai/Mixtral-8x7B-v0.1", "microsoft/phi-1", "microsoft/phi-2"]
BASE += [f"{name}-hf" for name in LLAMA2_SIZES] + [f"Qwen/Qwen-{size}B" for size in (7, 14, 72)]
SYSTEM = [f"{name}-chat-hf" for name in LLAMA2_SIZES] + ["HuggingFaceH4/zephyr-7b-beta"]
NO_SYSTEM = [f"mistralai/Mistral-7B-Instruct-v0.{n}" for n in (1, 2)] + ["mistralai/Mixtral-8x7B-Instruct-v0.1"]
API = ["gpt-3.5-turbo-1106", "gpt-3.5-turbo-0125"]
THINKS = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% if not enable_thinking | default(true) %}<think></think>{% endif %}"
    "{% endif %}"
)


def test_the_papers_21_models_are_there_in_their_formats_precisions_and_sampling():
    cards = known_models()
    runs = {(name, how) for name, card in cards.items() for how in card.paper}
    of_16_bit = {*BASE, *SYSTEM, *NO_SYSTEM}
    in_4_bit = {(name, "4bit") for name in of_16_bit if "Mixtral" in name}
    assert runs == {(name, "16bit") for name in of_16_bit} | in_4_bit | {(name, "api") for name in API}
    assert len(runs) == 21
    for format, names in (("base", BASE), ("tuned_sys", SYSTEM), ("tuned_no_sys", NO_SYSTEM), (None, API)):
        for name in names:
            assert cards[name].format == format
            assert cards[name].sampling == (LLAMA2 if "Llama-2" in name else PLAIN)


@pytest.mark.parametrize(
    ("entry", "message"),
    [("{family: F, sampel: plain}", "sampel"), ("{family: F, api: 'yes'}", "api"), ("{id: x}", "'mine': family")],
)
def test_an_entry_that_is_not_of_its_form_is_refused(tmp_path, entry, message):
    (tmp_path / "models.yaml").write_text(f"mine: {entry}\n")
    with pytest.raises(ValuestabError, match=message):
        known_models(tmp_path / "models.yaml")


@pytest.mark.parametrize(("given", "expected"), [(None, Sampling(0.6, 0.9)), (PLAIN, PLAIN)])
def test_sampling_that_is_left_out_is_the_checkpoints_own_and_plain_is_plain(given, expected):
    tiny = language_model()
    tiny.model.generation_config.update(temperature=0.6, top_p=0.9)
    card = ModelCard("tiny", "tiny", None, "Tiny", given)
    assert LanguageModel(card, tiny.model, tiny.tokenizer, "r1").sampling == expected


def test_variables_reach_the_template_and_its_digest():
    tokenizer = byte_tokenizer(template=THINKS)
    usual, silent = ChatTemplate(tokenizer), ChatTemplate(tokenizer, {"enable_thinking": False})
    chat = [{"role": "user", "content": "Hello"}]
    assert usual.render(chat) == "<user>Hello<assistant>"
    assert silent.render(chat) == "<user>Hello<assistant><think></think>"
    assert usual.digest != silent.digest and usual.digest == ChatTemplate(tokenizer, {}).digest
    with pytest.raises(ValuestabError, match="no variable 'enable_thinking'"):
        ChatTemplate(byte_tokenizer(template=CHATML), {"enable_thinking": False})
