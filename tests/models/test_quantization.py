"""Quantized weights are the ones they must be, and an answer or text does not depend on what else is in its batch."""

import bitsandbytes
import numpy as np
import pytest
import torch
from fakes import CHATML, GALADRIEL, GANDALF, JOKE, asked_prompts, session
from safetensors.torch import load_file, save_file
from tiny import byte_tokenizer, llama
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, MixtralConfig, MixtralForCausalLM

from valuestab_utils.errors import ValuestabError
from valuestab_utils.letters.scoring import score_on_shared_prefix, score_one_by_one
from valuestab_utils.models import Sampling, loading, quantization
from valuestab_utils.models.loading import load_model
from valuestab_utils.models.respondents import Prompt
from valuestab_utils.prompts import load_questionnaire
from valuestab_utils.study.conversations import next_prompt

PVQ = load_questionnaire("PVQ-40", "project")

# The sixteen values of NF4, as the paper on QLoRA (arXiv 2305.14314, appendix E) prints them.
NF4 = [-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635]
NF4 += [-0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725]
NF4 += [0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0]

both = pytest.mark.parametrize("dtype", ["4bit", "8bit"])


def saved(path, model):
    byte_tokenizer(template=CHATML, eos="<|im_end|>").save_pretrained(path)
    model.save_pretrained(path)
    return path


def same_logits(one, other):
    ids = torch.arange(5, 60)[None]
    with torch.inference_mode():
        return (one(ids).logits - other(ids).logits).abs().max() < 1e-4


def refused(folder, message, dtype):
    with pytest.raises(ValuestabError, match=message):
        load_model(str(folder), dtype).model  # noqa: B018


@pytest.fixture
def folder(tmp_path):
    """Large weights, so that texts depend on the whole prompt."""
    tokenizer = byte_tokenizer(eos="<|im_end|>")
    # 176 weights are no whole number of blocks: with AVX-512, bitsandbytes restores rows of them wrongly.
    sizes = {"hidden_size": 64, "intermediate_size": 176, "num_attention_heads": 4, "num_key_value_heads": 2}
    return saved(tmp_path / "My model", llama(tokenizer, num_hidden_layers=2, initializer_range=0.4, **sizes))


@pytest.fixture
def mixture(tmp_path):
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
    experts = {"num_key_value_heads": 2, "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": None}
    config = MixtralConfig(vocab_size=len(byte_tokenizer()), initializer_range=0.2, **sizes, **experts)
    return saved(tmp_path / "Mixture", MixtralForCausalLM(config))


def nf4(weights):
    """Each block of 64 divided by its largest, put to the nearest of the sixteen values, and multiplied again."""
    blocks = np.asarray(weights, dtype=np.float64).reshape(-1)
    blocks = np.pad(blocks, (0, -len(blocks) % 64)).reshape(-1, 64)
    largest = abs(blocks).max(1, keepdims=True)
    shares = blocks / np.where(largest, largest, 1)
    nearest = np.array(NF4)[abs(shares[..., None] - NF4).argmin(-1)]
    return (nearest * largest).reshape(-1)[: np.size(weights)].reshape(np.shape(weights))


def int8(weights):
    """Each row divided by its largest, put to the nearest of -127 ... 127 steps, and multiplied again."""
    weights = weights.astype(np.float16).astype(np.float32)  # the library begins with half precision
    largest = abs(weights).max(1, keepdims=True)
    return np.round(weights * (np.float32(127) / largest)) * largest / 127


def check_weights(restored, original, dtype):
    """As by hand; in 8 bit, a weight midway between two steps may go to either."""
    expected = {"4bit": nf4, "8bit": int8}[dtype](original.detach().numpy())
    off = abs(restored.numpy() - expected)
    step = {"4bit": 0, "8bit": 1}[dtype] * abs(expected).max(1, keepdims=True) / 127
    assert (off < step + 1e-5).all() and (off < 1e-5).mean() > 0.999


@both
def test_a_model_computes_with_these_weights_and_rounds_nothing_else(folder, dtype):
    plain, quantized = load_model(str(folder)).model, load_model(str(folder), dtype).model
    for name, module in plain.model.named_modules():
        if isinstance(module, torch.nn.Linear):
            if dtype == "4bit":
                restored = torch.from_numpy(nf4(module.weight.detach().numpy())).float()
            else:
                layer = quantized.model.get_submodule(name)
                restored = quantization._from_int8(layer.weight, layer.scale, layer.weight.shape, torch.float32)
                check_weights(restored, module.weight, dtype)
            module.weight.data = restored
    assert same_logits(plain, quantized)  # activations are not rounded
    for part in ("model.embed_tokens", "model.norm", "model.layers.1.input_layernorm", "lm_head"):
        assert torch.equal(plain.get_submodule(part).weight, quantized.get_submodule(part).weight)


@both
def test_experts_are_quantized_and_their_routers_are_not(mixture, dtype):
    plain, quantized = load_model(str(mixture)), load_model(str(mixture), dtype)
    assert quantized.name == f"Mixture-{dtype[0]}b"
    for before, after in zip(plain.model.model.layers, quantized.model.model.layers, strict=True):
        assert torch.equal(before.mlp.gate.weight, after.mlp.gate.weight)
        for stack in ("gate_up_proj", "down_proj"):
            restored = getattr(after.mlp.experts, stack)
            for expert, original in zip(restored, getattr(before.mlp.experts, stack), strict=True):
                check_weights(expert, original, dtype)
            getattr(before.mlp.experts, stack).data = restored
        before.self_attn = after.self_attn
    assert same_logits(plain.model, quantized.model)
    floats = {n for n, p in quantized.model.named_parameters() if p.is_floating_point() and p.dim() > 1}
    gates = {f"model.layers.{i}.mlp.gate.weight" for i in (0, 1)}
    assert floats == gates | {"model.embed_tokens.weight", "lm_head.weight"}


@both
def test_a_variant_has_a_name_and_settings_of_its_own(folder, dtype):
    plain, quantized = load_model(str(folder)), load_model(str(folder), dtype)
    assert quantized.name == {"4bit": "My-model-4b", "8bit": "My-model-8b"}[dtype]
    assert (quantized.family, quantized.format, quantized.sampling) == (plain.family, plain.format, plain.sampling)
    method = {"4bit": "NF4 weights", "8bit": "LLM.int8() weights"}[dtype]
    versions = {"compute_dtype": "float32", "bitsandbytes": bitsandbytes.__version__}
    expected = plain.settings | {"dtype": dtype, "quantization": {"method": method} | versions}
    assert quantized.settings == expected
    assert quantized.model.dtype == torch.float32 and not quantized.model.training
    assert quantized.model.get_memory_footprint() < 0.5 * plain.model.get_memory_footprint()


def test_4_bit_layers_compute_in_float32_on_every_cpu(folder, monkeypatch):
    monkeypatch.setattr(bitsandbytes.nn.modules, "has_avx512bf16", lambda: True)  # where its own layers take bfloat16
    modules = list(load_model(str(folder), "4bit").model.modules())
    layers = [module for module in modules if isinstance(module, quantization.FourBitLinear)]
    assert len(layers) == 14 and all(layer.compute_dtype == torch.float32 for layer in layers)
    assert not any(isinstance(module, bitsandbytes.nn.Linear4bit) for module in modules)


def by_table(layer):
    """A 4-bit layer's weights: two places in its table from each byte, times the scale of their block."""
    state, packed = layer.weight.quant_state, layer.weight.data.reshape(-1)
    scales = state.absmax
    if state.nested:
        scales = bitsandbytes.functional.dequantize_blockwise(scales, state.state2) + state.offset
    places = torch.stack([packed >> 4, packed & 15], dim=1).reshape(-1).long()
    return (state.code[places] * scales.repeat_interleave(state.blocksize)[: len(places)]).reshape(state.shape)


@pytest.mark.parametrize("kind, twice", [("fp4", False), ("fp4", True), ("nf4", True)])
def test_a_checkpoint_that_is_saved_in_4_bit_computes_with_its_weights(folder, tmp_path, kind, twice):
    config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type=kind, bnb_4bit_use_double_quant=twice)
    loaded = AutoModelForCausalLM.from_pretrained(folder, quantization_config=config, dtype=torch.float32)
    own, expected = load_model(str(saved(tmp_path / "Own", loaded))), load_model(str(folder)).model
    assert (own.name, own.settings["dtype"]) == ("Own", "float32")
    assert own.settings["quantization"]["bnb_4bit_quant_type"] == kind
    for name, module in expected.model.named_modules():
        if isinstance(module, torch.nn.Linear):
            module.weight.data = by_table(own.model.model.get_submodule(name))
    assert same_logits(expected, own.model)
    refused(tmp_path / "Own", "is saved quantized already .*instead of '4bit'", "4bit")


@both
@pytest.mark.parametrize("kind", ["folder", "mixture"])
def test_neither_letters_nor_texts_depend_on_the_batch(request, kind, dtype):
    model = load_model(str(request.getfixturevalue(kind)), dtype)
    prompts = asked_prompts(session(GANDALF), model, PVQ, ["Tell me a joke.", "No."])
    ids, letters = [model._encode(prompt, 0) for prompt in prompts[:12]], model._letter_tokens("ABCDEF")
    together, alone = (score(model.model, ids, letters) for score in (score_on_shared_prefix, score_one_by_one))
    assert (together.logprobs - alone.logprobs).abs().max() < 2e-4

    model.sampling = Sampling(temperature=0.7)
    asked = [session(p, topic=JOKE, seed=seed) for p in (GANDALF, GALADRIEL) for seed in (1, 2, 3)]
    texts = [next_prompt(s, model, ["Tell me a joke."]).text for s in asked]
    one_by_one = [model.speak([Prompt(s, t, s.noise(1))], 20)[0] for s, t in zip(asked, texts)]
    batch = model.speak([Prompt(s, t, s.noise(1)) for s, t in zip(asked, texts)], 20)
    said = [text.content for text in batch]
    assert said == [text.content for text in one_by_one] and len(set(said)) == 6


@both
def test_missing_weights_are_refused_and_not_made_up(folder, dtype):
    weights = load_file(folder / "model.safetensors")
    for gone in ("model.layers.1.mlp.up_proj.weight", "lm_head.weight"):
        rest = {name: tensor for name, tensor in weights.items() if name != gone}
        save_file(rest, folder / "model.safetensors", metadata={"format": "pt"})
        loading.folder_checksum.cache_clear()
        refused(folder, f"lacks 1 weights of its model, such as {gone}", dtype)


@both
def test_where_bitsandbytes_gives_wrong_numbers_in_one_of_the_models_shapes(folder, monkeypatch, dtype):
    right = quantization._RESTORE[dtype]

    def scales_of_others(packed, scales, shape, compute):
        return right(packed, scales.roll(1) if shape[-1] == 176 else scales, shape, compute)

    monkeypatch.setitem(quantization._RESTORE, dtype, scales_of_others)
    refused(folder, f"does not work in {dtype} on cpu here .a relative error .* in rows of 176 weights", dtype)
