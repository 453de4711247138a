"""Which model is meant, how it is loaded, and that it is asked as it must be or not at all."""

import json
import os
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fakes import CHATML, GALADRIEL, GANDALF, JOKE, NO_SYSTEM, language_model, session
from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError
from safetensors.torch import load_file, save_file
from tiny import byte_tokenizer, llama

from valuestab_utils import loading, models, shared_prefix
from valuestab_utils.conversations import next_prompt
from valuestab_utils.embedded import EMBEDDED_NAME
from valuestab_utils.errors import ValuestabError
from valuestab_utils.instruments import load_pvq40
from valuestab_utils.loading import folder_checksum, load_model
from valuestab_utils.model_cards import known_models, model_card
from valuestab_utils.prompts import FORMATS
from valuestab_utils.questionnaire import item_prompts
from valuestab_utils.respondents import Prompt
from valuestab_utils.sampling import Sampling


@pytest.fixture
def folder(tmp_path):
    """A whole model folder, as transformers saves it."""
    tokenizer = byte_tokenizer(template=CHATML, eos="<|im_end|>")
    path = tmp_path / "My model"
    llama(tokenizer, num_hidden_layers=1).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def set_entry(file, **entries):
    content = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(content | entries))


def refused(model, message, **settings):
    """Check that loading ends in one sentence."""
    with pytest.raises(ValuestabError, match=message) as error:
        load_model(str(model), **settings)
    assert "\n" not in str(error.value)
    return str(error.value)


# Which model is meant


def test_known_models_are_the_papers_in_their_formats():
    cards = known_models()
    assert {card.format for card in cards.values()} == {*FORMATS, None}
    assert cards[EMBEDDED_NAME].source == "embedded"
    formats = {name: card.format for name, card in cards.items()}
    assert formats["mistralai/Mistral-7B-v0.1"] == formats["microsoft/phi-2"] == "base"
    assert formats["meta-llama/Llama-2-7b-chat-hf"] == formats["HuggingFaceH4/zephyr-7b-beta"] == "tuned_sys"
    assert formats["mistralai/Mixtral-8x7B-Instruct-v0.1"] == "tuned_no_sys"
    # Protocol, section 5: plain sampling but for LLaMa-2.
    assert cards["mistralai/Mistral-7B-v0.1"].sampling == Sampling(1.0, 1.0, 0, 1.0)
    assert cards["meta-llama/Llama-2-70b-chat-hf"].sampling == Sampling(0.6, 0.9, 50, 1.2)
    names = [card.name for card in cards.values()]
    assert len(set(names)) == len(names) and not any("/" in name for name in names)


@pytest.mark.parametrize(
    "model, nearest",
    [
        ("SmolLM2-135M-instruct", "SmolLM2-135M-Instruct"),
        ("smollm2-135m", "SmolLM2-135M-Instruct"),
        ("phi-2", "microsoft/phi-2"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_that_exists(model, nearest):
    with pytest.raises(ValuestabError, match=f"Unknown model .*{model!r}. Did you mean {nearest!r}. Known: "):
        model_card(model)


@pytest.mark.parametrize("model", ["nowhere", "./nowhere", "/no/where", "a/b/c", "a b/c", "-a/b"])
def test_what_is_neither_a_name_nor_a_folder_nor_a_hub_id(model):
    with pytest.raises(ValuestabError, match="Unknown model .neither a folder nor a hub id like owner/name"):
        model_card(model)


@pytest.mark.parametrize(
    "name, dtype", [("mistralai/Mixtral-8x7B-Instruct-v0.1-4b", "4bit"), (f"{EMBEDDED_NAME}-8b", "8bit")]
)
def test_the_name_of_a_variants_results_says_how_the_variant_is_asked_for(name, dtype):
    with pytest.raises(ValuestabError, match=f"ask for the model '{name[:-3]}' with dtype='{dtype}'"):
        model_card(name)


def test_folders_and_hub_ids(folder, monkeypatch):
    card = model_card(str(folder))
    assert (card.name, card.source, card.format, card.sampling) == ("My-model", str(folder), None, None)
    monkeypatch.chdir(folder.parent)
    assert model_card("My model") == card and model_card("./My model") == card
    monkeypatch.setenv("HOME", str(folder.parent))
    assert model_card("~/My model") == card
    hub = model_card("owner/Some-model.v1")
    assert (hub.name, hub.source, hub.family, hub.format) == (
        "owner--Some-model.v1",
        "owner/Some-model.v1",
        "owner",
        None,
    )


@pytest.mark.parametrize(
    "text, message",
    [
        ("mine: {format: base}", "'mine' .*KeyError: 'family'"),
        ("mine: {format: bass, family: F}", "'mine' .*Unknown format 'bass'. Did you mean 'base'"),
        (
            "mine: {format: base, family: F, samplings: {}}",
            "Unknown entry 'samplings'. Did you mean 'sampling'",
        ),
        ("mine: {format: base, family: F, sampling: {top_q: 1}}", "top_q"),
        ("mine: nothing", "'mine'"),
        ("mine", "cannot be read"),
        ("", "cannot be read"),
        ("mine: [", "cannot be read"),
    ],
)
def test_a_malformed_list_of_models_is_one_sentence(tmp_path, text, message):
    (tmp_path / "models.yaml").write_text(text)
    with pytest.raises(ValuestabError, match=message) as error:
        known_models(tmp_path / "models.yaml")
    assert "models.yaml" in str(error.value) and "\n" not in str(error.value)


# What is loaded


def test_a_folder_is_loaded_with_its_own_format_and_sampling(folder):
    model = load_model(str(folder))
    assert (model.name, model.format, model.family) == ("My-model", "tuned_sys", "My model")
    assert model.model.dtype == torch.float32 and not model.model.training
    assert model.settings == {
        "model_source": "My-model",  # not where it lies on this machine
        "model_revision": folder_checksum(folder),
        "dtype": "float32",
        "chat_template": model.template.digest,
        "sampling": {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "repetition_penalty": 1.0},
        "sampler": 2,
    }
    assert load_model(str(folder), dtype="bfloat16").settings["dtype"] == "bfloat16"


def test_weights_are_loaded_when_they_are_first_needed(monkeypatch, folder):
    whole = load_model(str(folder))
    loads, from_pretrained = [], loading.AutoModelForCausalLM.from_pretrained

    def spy(*args, **settings):
        loads.append(settings["dtype"])
        return from_pretrained(*args, **settings)

    monkeypatch.setattr(loading.AutoModelForCausalLM, "from_pretrained", spy)
    lazy = load_model(str(folder), lazily=True)
    assert (lazy.settings, lazy.sampling, lazy.format) == (whole.settings, whole.sampling, whole.format)
    assert lazy.context_length == whole.context_length and not loads
    prompts = prompts_of(whole)[:3]
    np.testing.assert_array_equal(lazy.answer(prompts, "ABC").logprobs, whole.answer(prompts, "ABC").logprobs)
    assert loads == [torch.float32] and lazy.model is lazy.model


def test_weights_in_another_dtype_than_was_promised_are_refused(monkeypatch, folder):
    lazy = load_model(str(folder), lazily=True)
    monkeypatch.setattr(lazy._model, "load", lambda: load_model(str(folder), dtype="bfloat16").model)
    with pytest.raises(ValuestabError, match="was loaded in torch.bfloat16, where its config says torch.float32"):
        lazy.model.eval()


def test_sampling_settings_that_cannot_be_read_are_no_default(folder):
    (folder / "generation_config.json").write_text("{")
    with pytest.raises(ValuestabError, match="generation_config.json"):
        load_model(str(folder))


@pytest.mark.parametrize(
    "template, format",
    [(None, "base"), (CHATML, "tuned_sys"), (NO_SYSTEM, "tuned_no_sys")],
    ids=["none", "any", "no"],
)
def test_a_models_own_format_follows_from_its_template_unless_its_card_says(template, format):
    assert language_model(template).format == format
    assert language_model(template, format="base").format == "base"


def test_plain_sampling_is_what_a_model_gets_that_asks_for_nothing(folder):
    set_entry(folder / "generation_config.json", top_k=None, temperature=None)
    assert load_model(str(folder)).sampling == Sampling(1.0, 1.0, 0, 1.0)
    (folder / "generation_config.json").unlink()  # transformers makes one up
    assert load_model(str(folder)).sampling == Sampling(1.0, 1.0, 0, 1.0)
    settings = {"do_sample": True, "temperature": 0.6, "top_p": 0.9, "top_k": 20, "repetition_penalty": 1.1}
    set_entry(folder / "generation_config.json", **settings)
    assert load_model(str(folder)).sampling == Sampling(0.6, 0.9, 20, 1.1)
    set_entry(folder / "generation_config.json", typical_p=1.0, min_p=0.0)
    assert load_model(str(folder)).sampling == Sampling(0.6, 0.9, 20, 1.1)


def test_sampling_that_cannot_be_done_is_refused_and_not_left_out(folder):
    set_entry(folder / "generation_config.json", do_sample=True, min_p=0.1)
    refused(folder, "generation_config.json of My-model asks for min_p=0.1.*data/models.yaml")


@pytest.mark.parametrize(
    "remove, message",
    [
        ("*", "no config.json"),
        ("config.json", "no config.json"),
        ("model.safetensors", "no weights"),
        ("tokenizer*", "no tokenizer"),
    ],
)
def test_a_folder_that_is_not_whole_says_what_is_missing(folder, remove, message):
    for file in folder.glob(remove):
        file.unlink()
    assert "with config, weights and tokenizer" in refused(
        folder, f"The model folder .*My model has {message}"
    )


def cut_in_half(folder):
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize(
    "damage",
    [
        cut_in_half,
        lambda folder: (folder / "config.json").write_text("{not json"),
        lambda folder: (folder / "tokenizer.json").write_text("{}"),
        lambda folder: (folder / "tokenizer.json").unlink(),
        lambda folder: set_entry(folder / "config.json", model_type="unheard-of"),
        lambda folder: set_entry(folder / "config.json", model_type="t5"),
        lambda folder: set_entry(folder / "config.json", intermediate_size=128),
    ],
)
def test_a_damaged_folder_is_one_sentence(folder, damage):
    damage(folder)
    refused(
        folder, "My model' could not be loaded .*give a folder with config, weights and tokenizer, a hub id"
    )


def test_missing_weights_are_refused_and_not_made_up(folder):
    weights = load_file(folder / "model.safetensors")
    del weights["lm_head.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    refused(folder, "lacks 1 weights of its model, such as lm_head.weight")


def test_weights_that_are_shared_are_not_missing(folder):
    tokenizer = byte_tokenizer(template=CHATML)
    llama(tokenizer, num_hidden_layers=1, tie_word_embeddings=True).save_pretrained(folder)
    assert "lm_head.weight" not in load_file(folder / "model.safetensors")
    assert load_model(str(folder)).name == "My-model"


def test_unknown_dtype(folder):
    refused(folder, "Unknown dtype 'float23'. Did you mean 'float32'.*bfloat16", dtype="float23")


@pytest.mark.parametrize("dtype", ["auto", "4bit"])
def test_a_gpu_that_is_not_there(folder, monkeypatch, dtype):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    refused(folder, "Device 'cuda:0' was asked for, but PyTorch finds no GPU here", dtype=dtype, device="cuda:0")


def test_a_hub_id_without_network_is_one_sentence():
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    said = refused(
        "owner/no-such-model", "'owner/no-such-model' could not be loaded .*that this machine can reach"
    )
    assert "data/models.yaml" in said
    refused("mistralai/Mistral-7B-Instruct-v0.3", "such as 'mistralai/Mistral-7B-Instruct-v0.")


@pytest.mark.parametrize(
    "kind", [GatedRepoError, RepositoryNotFoundError, LocalEntryNotFoundError, RuntimeError]
)
def test_whatever_the_libraries_raise_is_one_sentence(monkeypatch, kind):
    def fail(*_, **__):
        response = SimpleNamespace(headers={}, request=None, status_code=403)
        raise kind(
            "Access to it is restricted.\nMore lines.", **({"response": response} if kind in hub else {})
        )

    hub = (GatedRepoError, RepositoryNotFoundError)
    monkeypatch.setattr(loading.AutoTokenizer, "from_pretrained", fail)
    refused("owner/name", f"{kind.__name__}: Access to it is restricted")


def test_code_from_a_checkpoint_is_never_run_nor_asked_for(monkeypatch, folder):
    given = []

    def spy(load):
        return lambda *args, **settings: (
            given.append(settings["trust_remote_code"]) or load(*args, **settings)
        )

    for auto in (loading.AutoTokenizer, loading.AutoModelForCausalLM):
        monkeypatch.setattr(auto, "from_pretrained", spy(auto.from_pretrained))
    load_model(str(folder))
    assert given == [False, False]


def test_a_vocabulary_without_the_letters_is_refused_before_anything_is_computed():
    class Mute:
        all_special_ids, name_or_path, chat_template = [], "mute", None

        def get_vocab(self):
            return {"a": 0, "(": 1}

        def decode(self, ids):
            return "a("[ids[0]]

    with pytest.raises(ValuestabError, match="'mute' has no single token for the letter 'A'"):
        models.LanguageModel(model_card("owner/mute"), llama(byte_tokenizer()), Mute(), "r")


@pytest.mark.parametrize(
    "file", ["model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"]
)
def test_the_checksum_changes_with_all_that_decides_what_a_model_says(folder, file):
    before = folder_checksum(folder)
    (folder / "README.md").write_text("Notes change nothing.")
    folder_checksum.cache_clear()
    assert folder_checksum(folder) == before
    content = bytearray((folder / file).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / file).write_bytes(content)
    folder_checksum.cache_clear()
    assert folder_checksum(folder) != before


# How it speaks and answers


def prompts_of(model, persona=GANDALF):
    s = session(persona, format="tuned_sys")
    return item_prompts(s, model, load_pvq40("project"), ["Tell me a joke.", "No."])


def test_a_prompt_that_fills_the_context_is_answered_and_one_more_token_is_not():
    prompts = prompts_of(language_model())
    length = max(len(prompt.text) for prompt in prompts)  # more than there are tokens: special ones are long
    longest = max(len(language_model()._encode(prompt, 0)) for prompt in prompts)
    assert longest < length
    assert language_model(max_position_embeddings=longest).answer(prompts, "ABCDEF").logprobs.shape == (40, 6)
    with pytest.raises(ValuestabError, match=f"Session .*its prompt has {longest} tokens, and 0 more"):
        language_model(max_position_embeddings=longest - 1).answer(prompts, "ABCDEF")


def test_room_for_the_message_is_kept():
    model = language_model()
    prompt = next_prompt(session(), model, ["Tell me a joke."])
    length = len(model._encode(prompt, 0))
    assert language_model(max_position_embeddings=length + 7).speak([prompt], 7)[0].n_tokens <= 7
    with pytest.raises(
        ValuestabError, match=f"Session .* {length} tokens, and 8 more may follow, but tiny takes"
    ):
        language_model(max_position_embeddings=length + 7).speak([prompt], 8)


def test_answers_are_those_of_each_prompt_alone():
    model = language_model()
    prompts = prompts_of(model)
    together = model.answer(prompts, "ABCDEF")
    alone = language_model()
    apart = np.concatenate([alone.answer([prompt], "ABCDEF").logprobs for prompt in prompts])
    assert abs(together.logprobs - apart).max() < 1e-3
    assert together.logprobs.dtype == np.float64 and (np.exp(together.logprobs).sum(1) < 1).all()
    assert len(together.stray_tokens) == 40 and (together.stray_logprobs < 0).all()
    assert model.tokens_computed < alone.tokens_computed / 2


def test_what_the_shared_prefix_gets_wrong_is_scored_on_copies(monkeypatch):
    model, usual = language_model(), language_model()
    right = shared_prefix.continuation_logits
    expected = usual.answer(prompts_of(usual), "ABCDEF").logprobs
    monkeypatch.setattr(shared_prefix, "continuation_logits", lambda *args: right(*args) * 1.01)
    with pytest.warns(UserWarning, match="tiny is scored on copies .*: on a shared prefix, .* nats off"):
        assert abs(model.answer(prompts_of(model), "ABCDEF").logprobs - expected).max() < 1e-4


def test_it_is_found_out_too_where_all_letters_are_unlikely(monkeypatch):
    """Where next to no probability is on the letters, the trial must not pass for lack of them."""
    model = language_model()
    wrong = {"by": 1.0}
    right, alone = shared_prefix.continuation_logits, models.score_one_by_one
    letters = [t for ids in model._letter_tokens("ABCDEF").alone for t in ids]

    def unlikely(logits):
        logits = logits.clone()
        logits[..., letters] -= 40
        return logits

    def continuation(*args):
        return unlikely(right(*args)) * wrong["by"]

    monkeypatch.setattr(shared_prefix, "continuation_logits", continuation)
    monkeypatch.setattr(
        models, "score_one_by_one", lambda m, ids, tokens: alone(unlikely_model(m, unlikely), ids, tokens)
    )
    expected = model.answer(prompts_of(model), "ABCDEF").logprobs
    assert expected.max() < -20
    wrong["by"] = 1.01
    other = language_model()
    with pytest.warns(UserWarning, match="on a shared prefix, log-probabilities would be .* nats off"):
        assert abs(other.answer(prompts_of(other), "ABCDEF").logprobs - expected).max() < 1e-3


def unlikely_model(model, change):
    def forward(**inputs):
        return SimpleNamespace(logits=change(model(**inputs).logits))

    forward.device = model.device
    return forward


def no_way(*_):
    raise IndexError("Not this one.\nMore lines.")


def test_a_model_that_shares_nothing_is_scored_alone_and_says_so(monkeypatch):
    monkeypatch.setattr(shared_prefix, "obstacle", lambda model, n: "it is of clay")
    monkeypatch.setitem(models._WAYS, "on copies of a shared prefix", no_way)
    model, usual = language_model(), language_model()
    said = "one full prompt at a time.* it is of clay; on copies of a shared prefix, IndexError: Not this one"
    with pytest.warns(UserWarning, match=said):
        alone = model.answer(prompts_of(model), "ABCDEF")
    monkeypatch.undo()
    assert abs(alone.logprobs - usual.answer(prompts_of(usual), "ABCDEF").logprobs).max() < 1e-3


def test_speaking_is_greedy_at_temperature_zero_and_knows_no_other_session():
    model = language_model(sampling=Sampling(temperature=0))
    sessions = [
        session(persona, topic=JOKE, seed=seed) for persona in (GANDALF, GALADRIEL) for seed in (1, 2)
    ]
    prompts = [Prompt(s, next_prompt(s, model, ["Tell me a joke."]).text, s.noise(1)) for s in sessions]
    said = [text.content for text in model.speak(prompts, 6)]
    assert said[0] == said[1] and said[2] == said[3]


# Where a GPU's memory runs out


def test_messages_are_sampled_again_of_the_same_noise(monkeypatch):
    model, usual = language_model(), language_model()
    sessions = [session(GANDALF), session(GALADRIEL), session(GANDALF, seed=2)]

    def asked(told):
        prompts = [next_prompt(s, model, ["Tell me a joke."]) for s in sessions]
        return [replace(prompt, done=lambda i=i: told.append(i)) for i, prompt in enumerate(prompts)]

    sample, sizes, told = models.sample_messages, [], []

    def short_of_memory(*arguments):
        found = sample(*arguments)  # the noise is used up, and some are told of
        sizes.append(len(arguments[2]))
        if len(arguments[2]) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return found

    expected = usual.speak(asked([]), 6)
    monkeypatch.setattr(models, "sample_messages", short_of_memory)
    assert model.speak(asked(told), 6) == expected
    assert sizes == [3, 1, 1, 1] and sorted(told) == [0, 1, 2]


def test_items_are_scored_in_smaller_batches_from_then_on(monkeypatch):
    model, usual = language_model(), language_model()
    prompts, score, budgets = prompts_of(model), models.score_on_shared_prefix, []

    def short_of_memory(tested, ids, tokens, budget):
        budgets.append((len(ids), budget))
        if budget is None or budget > 5000:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return score(tested, ids, tokens, budget)

    expected = usual.answer(prompts, "ABCDEF").logprobs
    monkeypatch.setitem(models._WAYS, models._SHARED, short_of_memory)
    for _ in range(2):
        assert np.abs(model.answer(prompts, "ABCDEF").logprobs - expected).max() < 1e-4
    tried, asked = 2, 40
    assert budgets == [(tried, None), (tried, 8192), (tried, 4096), (asked, 4096), (asked, 4096)]


def test_no_memory_for_any_item_is_said(monkeypatch):
    model = language_model()

    def fail(*_):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setitem(models._WAYS, models._SHARED, fail)
    with pytest.raises(ValuestabError, match="no memory for a session's items"):
        model.answer(prompts_of(model), "ABCDEF")
