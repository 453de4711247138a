"""The list of models: the paper's 21 as the paper ran them, and entries that mean what they say."""

import pytest
from fakes import CHATML, language_model
from tiny import byte_tokenizer

from valuestab_utils.chat_template import ChatTemplate
from valuestab_utils.errors import ValuestabError
from valuestab_utils.model_cards import ModelCard, known_models, model_card, paper_runs
from valuestab_utils.models import LanguageModel
from valuestab_utils.sampling import Sampling

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


def entry(tmp_path, text, file="models.yaml"):
    (tmp_path / file).write_text(f"mine: {text}")
    return known_models(tmp_path / file)["mine"]


def test_the_papers_21_models_are_there_in_their_formats_and_precisions():
    runs = paper_runs()
    assert len(set(runs)) == len(runs) == 21
    in_16_bit = {name for name, dtype in runs if dtype == "auto"}
    assert in_16_bit == {*BASE, *SYSTEM, *NO_SYSTEM, *(f"api:{name}" for name in API)}
    assert {name for name, dtype in runs if dtype == "4bit"} == {name for name in in_16_bit if "Mixtral" in name}
    cards = known_models()
    for format, names in (("base", BASE), ("tuned_sys", SYSTEM), ("tuned_no_sys", NO_SYSTEM), (None, API)):
        assert {cards[name].format for name in names} == {format}
    assert {card.family for card in cards.values() if card.paper} == {
        *("LLaMa-2", "Mistral", "Mixtral", "Phi", "Qwen", "GPT-3.5")
    }


@pytest.mark.parametrize("name", [*BASE, *SYSTEM, *NO_SYSTEM, *API])
def test_the_papers_models_are_sampled_as_its_authors_did(name):
    assert known_models()[name].sampling == (LLAMA2 if "Llama-2" in name else PLAIN)


def test_nothing_in_the_list_needs_code_from_its_repository():
    assert not any(card.remote_code for card in known_models().values())


@pytest.mark.parametrize("name", API)
def test_a_model_behind_an_api_is_no_checkpoint(name):
    with pytest.raises(ValuestabError, match=f"ask for 'api:{name}'"):
        model_card(name)


def test_what_an_entry_leaves_out_is_found_out_from_the_model(tmp_path):
    card = entry(tmp_path, "{family: F}")
    assert (card.source, card.format, card.sampling, card.template) == ("mine", None, None, {})
    assert not (card.remote_code or card.api or card.paper)
    assert entry(tmp_path, "{family: F, sampling: plain}", "other.yaml").sampling == PLAIN


def test_sampling_that_is_left_out_is_the_checkpoints_own_and_plain_is_plain():
    asked = {"temperature": 0.6, "top_p": 0.9}
    for given, expected in ((None, Sampling(0.6, 0.9)), (PLAIN, PLAIN)):
        tiny = language_model()
        tiny.model.generation_config.update(**asked)
        card = ModelCard("tiny", "tiny", None, "Tiny", given)
        assert LanguageModel(card, tiny.model, tiny.tokenizer, "r1").sampling == expected


@pytest.mark.parametrize(
    "text, message",
    [
        ("{family: F, sampling: greedy}", "'mine'"),
        ("{family: F, remote_code: 'yes'}", "remote_code is 'yes', where true or false is expected"),
        ("{family: F, paper: [8bit]}", "Unknown way to run '8bit'"),
        ("{family: F, template: enable_thinking}", "'mine'"),
        ("{family: F, id: 2024}", "'mine' .* id is 2024, but must be text"),
        ("{family: 7}", "'mine' .* family is 7, but must be text"),
    ],
)
def test_an_entry_that_is_not_of_its_form_is_refused(tmp_path, text, message):
    with pytest.raises(ValuestabError, match=message) as error:
        entry(tmp_path, text)
    assert "\n" not in str(error.value)


def test_variables_reach_the_template_and_its_digest():
    tokenizer = byte_tokenizer(template=THINKS)
    usual, silent = ChatTemplate(tokenizer), ChatTemplate(tokenizer, {"enable_thinking": False})
    chat = [{"role": "user", "content": "Hello"}]
    assert usual.render(chat) == "<user>Hello<assistant>"
    assert silent.render(chat) == "<user>Hello<assistant><think></think>"
    assert usual.digest != silent.digest and usual.digest == ChatTemplate(tokenizer, {}).digest


def test_a_variable_that_the_template_does_not_have_is_refused():
    with pytest.raises(ValuestabError, match="no variable 'enable_thinking'.*data/models.yaml"):
        ChatTemplate(byte_tokenizer(template=CHATML), {"enable_thinking": False})
