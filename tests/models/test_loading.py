"""Which model is meant, how it is loaded, and that it is asked as it must be or not at all."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fakes import CHATML, GALADRIEL, GANDALF, NO_SYSTEM, asked_prompts, language_model, session
from safetensors.torch import load_file, save_file
from tiny import byte_tokenizer, llama

from valuestab_utils.errors import ValuestabError
from valuestab_utils.letters import scoring
from valuestab_utils.models import Sampling, known_models, loading, model_card
from valuestab_utils.models import local as models
from valuestab_utils.models.loading import folder_checksum, load_model
from valuestab_utils.prompts import load_questionnaire
from valuestab_utils.study.conversations import next_prompt


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


def prompts_of(model, persona=GANDALF):
    return asked_prompts(session(persona), model, load_questionnaire("PVQ-40", "project"), ["Tell me a joke.", "No."])


def test_no_two_models_share_a_results_folder():
    names = [card.name for card in known_models().values()]
    assert len(set(names)) == len(names) and not any("/" in name for name in names)


def test_an_unknown_name_is_refused():
    with pytest.raises(ValuestabError, match="Unknown model .*'phi-2'. Did you mean 'microsoft/phi-2'. Known: "):
        model_card("phi-2")


def test_folders_and_hub_ids(folder):
    card, hub = model_card(str(folder)), model_card("owner/Some-model.v1")
    assert (card.name, card.source, card.format, card.sampling) == ("My-model", str(folder), None, None)
    assert (hub.name, hub.source, hub.family) == ("owner--Some-model.v1", "owner/Some-model.v1", "owner")


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
    whole.model  # noqa: B018
    loads, from_pretrained = [], loading.AutoModelForCausalLM.from_pretrained

    def spy(*args, **settings):
        loads.append(settings["dtype"])
        return from_pretrained(*args, **settings)

    monkeypatch.setattr(loading.AutoModelForCausalLM, "from_pretrained", spy)
    lazy = load_model(str(folder))
    assert (lazy.settings, lazy.sampling, lazy.format) == (whole.settings, whole.sampling, whole.format)
    assert lazy.context_length == whole.context_length and not loads
    prompts = prompts_of(whole)[:3]
    np.testing.assert_array_equal(lazy.answer(prompts, "ABC").logprobs, whole.answer(prompts, "ABC").logprobs)
    assert loads == [torch.float32] and lazy.model is lazy.model


@pytest.mark.parametrize("template, format", [(None, "base"), (CHATML, "tuned_sys"), (NO_SYSTEM, "tuned_no_sys")])
def test_a_models_own_format_follows_from_its_template_unless_its_card_says(template, format):
    assert language_model(template).format == format
    assert language_model(template, format="base").format == "base"


def test_plain_sampling_is_what_a_model_gets_that_asks_for_nothing(folder):
    set_entry(folder / "generation_config.json", top_k=None, temperature=None)
    assert load_model(str(folder)).sampling == Sampling(1.0, 1.0, 0, 1.0)
    (folder / "generation_config.json").unlink()  # transformers makes one up
    assert load_model(str(folder)).sampling == Sampling(1.0, 1.0, 0, 1.0)
    settings = {"do_sample": True, "temperature": 0.6, "top_p": 0.9, "top_k": 20, "repetition_penalty": 1.1}
    set_entry(folder / "generation_config.json", **settings, typical_p=1.0, min_p=0.0)
    assert load_model(str(folder)).sampling == Sampling(0.6, 0.9, 20, 1.1)


def drop_a_weight(folder):
    weights = load_file(folder / "model.safetensors")
    del weights["lm_head.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda folder: (folder / "model.safetensors").unlink(), "The model folder .*My model has no weights"),
        (lambda folder: set_entry(folder / "config.json", intermediate_size=128), "My model' could not be loaded"),
        (drop_a_weight, "lacks 1 weights of its model, such as lm_head.weight"),
        (lambda folder: (folder / "generation_config.json").write_text("{"), "generation_config.json"),
        (lambda folder: set_entry(folder / "generation_config.json", do_sample=True, min_p=0.1), "asks for min_p=0.1"),
    ],
)
def test_a_damaged_folder_is_refused_and_nothing_made_up(folder, damage, message):
    damage(folder)
    with pytest.raises(ValuestabError, match=message):
        load_model(str(folder)).model  # noqa: B018


def test_code_from_a_checkpoint_is_never_run(folder):
    code = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnForCausalLM"}
    (folder / "own.py").write_text("raise SystemExit('it was run')")
    set_entry(folder / "config.json", auto_map=code)  # its architecture is the library's own
    assert type(load_model(str(folder)).model).__name__ == "LlamaForCausalLM"
    set_entry(folder / "config.json", model_type="own")
    with pytest.raises(ValuestabError, match="My model' can only be loaded by running code .* never .* take another"):
        load_model(str(folder))


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"])
def test_the_checksum_changes_with_all_that_decides_what_a_model_says(folder, file):
    before = folder_checksum(folder)
    content = bytearray((folder / file).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / file).write_bytes(content)
    folder_checksum.cache_clear()
    assert folder_checksum(folder) != before


def test_a_prompt_may_fill_the_context_and_not_one_token_more():
    prompts = prompts_of(language_model())
    longest = max(len(language_model()._encode(prompt, 0)) for prompt in prompts)
    assert language_model(max_position_embeddings=longest).answer(prompts, "ABCDEF").logprobs.shape == (40, 6)
    with pytest.raises(ValuestabError, match=f"Session .*its prompt has {longest} tokens, and 0 more"):
        language_model(max_position_embeddings=longest - 1).answer(prompts, "ABCDEF")


def test_answers_are_those_of_each_prompt_alone():
    model, alone = language_model(), language_model()
    prompts = prompts_of(model)
    together = model.answer(prompts, "ABCDEF")
    apart = np.concatenate([alone.answer([prompt], "ABCDEF").logprobs for prompt in prompts])
    assert abs(together.logprobs - apart).max() < 1e-3
    assert together.logprobs.dtype == np.float64 and (np.exp(together.logprobs).sum(1) < 1).all()
    assert len(together.stray_tokens) == 40 and (together.stray_logprobs < 0).all()
    assert model.tokens_computed < alone.tokens_computed / 2


@pytest.mark.parametrize("less, way", [(0, "on copies"), (40, "one full prompt at a time")])
def test_what_the_shared_prefix_gets_wrong_is_found_out_however_unlikely_all_letters_are(monkeypatch, less, way):
    model, other, wrong = language_model(), language_model(), {"by": 1.0}
    right, alone = scoring.continuation_logits, models.score_one_by_one
    letters = [t for ids in model._letter_tokens("ABCDEF").alone for t in ids]

    def unlikely(logits):
        logits = logits.clone()
        logits[..., letters] -= less
        return logits

    def score_unlikely(model, ids, tokens):
        def forward(**inputs):
            return SimpleNamespace(logits=unlikely(model(**inputs).logits))

        forward.device = model.device
        return alone(forward, ids, tokens)

    monkeypatch.setattr(scoring, "continuation_logits", lambda *args: unlikely(right(*args)) * wrong["by"])
    monkeypatch.setattr(models, "score_one_by_one", score_unlikely)
    expected = model.answer(prompts_of(model), "ABCDEF").logprobs
    wrong["by"] = 1.01
    with pytest.warns(UserWarning, match=f"tiny is scored {way}.*: on a shared prefix, .* nats off"):
        assert abs(other.answer(prompts_of(other), "ABCDEF").logprobs - expected).max() < 1e-3


def test_messages_are_sampled_again_of_the_same_noise_where_memory_ran_out(monkeypatch):
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
