"""Quantized weights are the ones they must be, and an answer or text does not depend on what else is in its batch."""

import json
import sys

import bitsandbytes
import numpy as np
import pytest
import torch
from fakes import CHATML, GALADRIEL, GANDALF, JOKE, session
from safetensors.torch import load_file, save_file
from test_models import refused, set_entry
from tiny import byte_tokenizer, llama
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, MixtralConfig, MixtralForCausalLM

from valuestab_utils import loading, quantization
from valuestab_utils.bench import operations
from valuestab_utils.conversations import next_prompt
from valuestab_utils.embedded import EMBEDDED_NAME
from valuestab_utils.errors import ValuestabError
from valuestab_utils.instruments import load_pvq40
from valuestab_utils.loading import load_model
from valuestab_utils.questionnaire import item_prompts
from valuestab_utils.respondents import Prompt
from valuestab_utils.sampling import Sampling
from valuestab_utils.scoring import score_on_shared_prefix, score_one_by_one

# The sixteen values of NF4, as the paper on QLoRA (arXiv 2305.14314, appendix E) prints them.
NF4 = [-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635]
NF4 += [-0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725]
NF4 += [0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0]

both = pytest.mark.parametrize("dtype", ["4bit", "8bit"])


def saved(path, model, template=CHATML):
    tokenizer = byte_tokenizer(template=template, eos="<|im_end|>")
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@pytest.fixture
def folder(tmp_path):
    """A whole model folder; large weights, so that texts depend on the whole prompt."""
    tokenizer = byte_tokenizer(eos="<|im_end|>")
    # 176 weights are no whole number of blocks: with AVX-512, bitsandbytes restores rows of them wrongly.
    sizes = {"hidden_size": 64, "intermediate_size": 176, "num_attention_heads": 4, "num_key_value_heads": 2}
    return saved(tmp_path / "My model", llama(tokenizer, num_hidden_layers=2, initializer_range=0.4, **sizes))


@pytest.fixture
def mixture(tmp_path):
    """The same of a model with experts, whose routers stand beside them."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
    experts = {"num_key_value_heads": 2, "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": None}
    vocabulary = len(byte_tokenizer())
    config = MixtralConfig(vocab_size=vocabulary, initializer_range=0.2, **sizes, **experts)
    return saved(tmp_path / "Mixture", MixtralForCausalLM(config))


# By hand


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


@pytest.mark.parametrize("shape", [(1, 64), (4, 64), (6, 48), (3, 192), (5, 20)])
def test_4_bit_weights_are_nf4(shape):
    weights = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    weights[0] = 0
    restored = quantization._from_nf4(*quantization._to_nf4(weights), shape, torch.float32)
    assert restored.shape == shape and restored[0].abs().max() == 0
    assert abs(restored.numpy() - nf4(weights.numpy())).max() < 1e-6


def test_8_bit_weights_are_in_127_steps_of_their_rows_largest():
    weights = torch.tensor([[1.0, -2.0, 0.5, 0.0], [0.0, 0.0, 0.0, 0.0], [0.01, 0.02, 0.03, -0.127]])
    values, scales = quantization._to_int8(weights)
    assert values[[0, 2]].tolist() == [[64, -127, 32, 0], [10, 20, 30, -127]]
    assert scales.tolist() == pytest.approx([2, 0, 0.127], rel=1e-3)
    restored = quantization._from_int8(values, scales, weights.shape, torch.float32)
    assert restored[0].tolist() == pytest.approx([2 * 64 / 127, -2, 2 * 32 / 127, 0])
    assert restored[1].tolist() == [0, 0, 0, 0]


def check_weights(restored, original, dtype):
    """As by hand; in 8 bit, a weight midway between two steps may go to either."""
    expected = {"4bit": nf4, "8bit": int8}[dtype](original.detach().numpy())
    off = abs(restored.numpy() - expected)
    step = {"4bit": 0, "8bit": 1}[dtype] * abs(expected).max(1, keepdims=True) / 127
    assert (off < step + 1e-5).all() and (off < 1e-5).mean() > 0.999


@both
def test_a_model_computes_with_these_weights_and_rounds_nothing_else(folder, dtype):
    """The float model with the rounded weights is the quantized model: activations are not rounded."""
    expected, quantized = load_model(str(folder)).model, load_model(str(folder), dtype).model
    for name, module in expected.model.named_modules():
        if isinstance(module, torch.nn.Linear):
            if dtype == "4bit":
                restored = torch.from_numpy(nf4(module.weight.detach().numpy())).float()
            else:
                layer = quantized.model.get_submodule(name)
                restored = quantization._from_int8(layer.weight, layer.scale, layer.weight.shape, torch.float32)
                check_weights(restored, module.weight, dtype)
            module.weight.data = restored
    ids = torch.arange(5, 60)[None]
    with torch.inference_mode():
        assert (expected(ids).logits - quantized(ids).logits).abs().max() < 1e-4
    for part in ("model.embed_tokens", "model.norm", "model.layers.1.input_layernorm", "lm_head"):
        assert torch.equal(expected.get_submodule(part).weight, quantized.get_submodule(part).weight)


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
    ids = torch.arange(5, 60)[None]
    with torch.inference_mode():
        assert (plain.model(ids).logits - quantized.model(ids).logits).abs().max() < 1e-4
    floats = {n for n, p in quantized.model.named_parameters() if p.is_floating_point() and p.dim() > 1}
    gates = {f"model.layers.{i}.mlp.gate.weight" for i in (0, 1)}
    assert floats == gates | {"model.embed_tokens.weight", "lm_head.weight"}


# What its results are called and where they come from


@both
def test_a_variant_has_a_name_and_settings_of_its_own(folder, dtype):
    plain, quantized = load_model(str(folder)), load_model(str(folder), dtype)
    assert quantized.name == {"4bit": "My-model-4b", "8bit": "My-model-8b"}[dtype]
    assert (quantized.family, quantized.format, quantized.sampling) == (plain.family, plain.format, plain.sampling)
    assert quantized.settings == plain.settings | {
        "dtype": dtype,
        "quantization": {
            "method": {"4bit": "NF4 weights", "8bit": "LLM.int8() weights"}[dtype],
            "compute_dtype": "float32",
            "bitsandbytes": bitsandbytes.__version__,
        },
    }
    assert json.loads(json.dumps(quantized.settings)) == quantized.settings
    assert quantized.model.dtype == torch.float32 and not quantized.model.training
    assert quantized.model.get_memory_footprint() < 0.5 * plain.model.get_memory_footprint()
    assert operations(quantized.model, 2, [3], 1) == operations(plain.model, 2, [3], 1)


def test_on_a_gpu_the_checkpoints_own_dtype_is_computed_in():
    config = llama(byte_tokenizer()).config
    for own, compute in ((torch.float16, torch.float16), (torch.bfloat16, torch.bfloat16), (None, torch.bfloat16)):
        config.dtype = own
        for dtype in ("4bit", "8bit"):
            settings = quantization.loading_settings(config, dtype, "cuda")
            assert settings["dtype"] == compute and settings["device_map"] == {"": "cuda"}
        assert quantization.loading_settings(config, "4bit", "cuda")[
            "quantization_config"
        ].bnb_4bit_compute_dtype == (compute)
        assert quantization.loading_settings(config, "4bit", "cpu")["dtype"] == torch.float32


def test_4_bit_layers_compute_in_float32_on_every_cpu(folder, monkeypatch):
    """On some CPUs bitsandbytes' own layers take bfloat16."""
    monkeypatch.setattr(bitsandbytes.nn.modules, "has_avx512bf16", lambda: True)
    assert bitsandbytes.nn.Linear4bit(64, 64).support_avx512bf16_for_cpu
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
    own, expected = load_model(str(saved(tmp_path / "Own", loaded))).model, load_model(str(folder)).model
    for name, module in expected.model.named_modules():
        if isinstance(module, torch.nn.Linear):
            module.weight.data = by_table(own.model.get_submodule(name))
    ids = torch.arange(5, 60)[None]
    with torch.inference_mode():
        assert (expected(ids).logits - own(ids).logits).abs().max() < 1e-4


def test_a_checkpoint_that_is_saved_quantized_is_taken_as_it_is(folder, tmp_path):
    config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="fp4", bnb_4bit_compute_dtype=torch.float32)
    loaded = AutoModelForCausalLM.from_pretrained(folder, quantization_config=config, dtype=torch.float32)
    own = load_model(str(saved(tmp_path / "Own", loaded)))
    assert (own.name, own.settings["dtype"]) == ("Own", "float32")
    assert own.settings["quantization"]["quant_method"] == "bitsandbytes"
    assert own.settings["quantization"]["bnb_4bit_quant_type"] == "fp4"
    assert json.loads(json.dumps(own.settings)) == own.settings
    assert own.answer(questions(own)[:3], "ABCDEF").logprobs.shape == (3, 6)
    for dtype in ("4bit", "8bit", "float32", "bfloat16"):
        refused(
            tmp_path / "Own",
            f"is saved quantized already .bitsandbytes., .* dtype='auto' instead of {dtype!r}",
            dtype=dtype,
        )


# What must not depend on the batch


def questions(model):
    asked = session(GANDALF, format="tuned_sys")
    return item_prompts(asked, model, load_pvq40("project"), ["Tell me a joke.", "No."])


def largest_difference(model, n_items):
    """Largest difference of a letter's log-probability between a batch on a shared prefix and each prompt alone."""
    ids = [model._encode(prompt, 0) for prompt in questions(model)[:n_items]]
    letters = model._letter_tokens("ABCDEF")
    together = score_on_shared_prefix(model.model, ids, letters).logprobs
    return float((together - score_one_by_one(model.model, ids, letters).logprobs).abs().max())


def texts_together_and_alone(model, n_tokens, seeds=(1, 2, 3)):
    asked = [session(p, topic=JOKE, seed=seed) for p in (GANDALF, GALADRIEL) for seed in seeds]

    def prompts():
        return [Prompt(s, next_prompt(s, model, ["Tell me a joke."]).text, s.noise(1)) for s in asked]

    together = model.speak(prompts(), n_tokens)
    alone = [model.speak([prompt], n_tokens)[0] for prompt in prompts()]
    return [t.content for t in together], [t.content for t in alone]


@both
def test_neither_letters_nor_texts_depend_on_the_batch(folder, dtype):
    model = load_model(str(folder), dtype)
    assert largest_difference(model, 12) < 2e-4
    model.sampling = Sampling(temperature=0.7)
    together, alone = texts_together_and_alone(model, 20)
    assert together == alone and len(set(together)) == 6


@both
def test_nor_do_they_of_a_mixture_of_experts(mixture, dtype):
    model = load_model(str(mixture), dtype)
    assert largest_difference(model, 12) < 2e-4
    together, alone = texts_together_and_alone(model, 8)
    assert together == alone


@pytest.mark.slow
@both
def test_nor_do_they_of_the_embedded_model(embedded_folder, dtype):
    model = load_model(EMBEDDED_NAME, dtype)
    assert model.name == f"{EMBEDDED_NAME}-{dtype[0]}b"
    assert largest_difference(model, 3) < 2e-4
    together, alone = texts_together_and_alone(model, 8, seeds=(1, 2))
    assert together == alone and len(set(together)) > 1


# What is refused


@both
def test_missing_weights_are_refused_and_not_made_up(folder, dtype):
    weights = load_file(folder / "model.safetensors")
    for gone in ("model.layers.1.mlp.up_proj.weight", "lm_head.weight"):
        rest = {name: tensor for name, tensor in weights.items() if name != gone}
        save_file(rest, folder / "model.safetensors", metadata={"format": "pt"})
        loading.folder_checksum.cache_clear()
        refused(folder, f"lacks 1 weights of its model, such as {gone}", dtype=dtype)


@both
def test_weights_of_another_shape_than_the_configs_are_refused(folder, dtype):
    """transformers notices this for weights in float, but not for those that it quantizes."""
    set_entry(folder / "config.json", intermediate_size=128)
    message = r"weights of model.layers.0.mlp.* were read with the shape .*176.*, and the model's config asks for .*128"
    refused(folder, message, dtype=dtype)


@both
def test_a_damaged_folder_is_one_sentence(folder, dtype):
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])
    refused(folder, "My model' could not be loaded .*give a folder with config, weights and tokenizer", dtype=dtype)


def test_without_bitsandbytes(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    refused(folder, "in 4 or 8 bit needs the package bitsandbytes, .*install it .*take dtype='auto'", dtype="4bit")
    assert load_model(str(folder)).name == "My-model"


@both
def test_where_bitsandbytes_does_not_work(folder, monkeypatch, dtype):
    def fail(*_, **__):
        raise NotImplementedError("No kernel for this machine.\nMore lines.")

    for function in ("quantize_4bit", "int8_vectorwise_quant"):
        monkeypatch.setattr(bitsandbytes.functional, function, fail)
    refused(folder, f"cannot work in {dtype} on cpu here .NotImplementedError: No kernel for this mach", dtype=dtype)


@both
def test_where_bitsandbytes_gives_wrong_numbers(folder, monkeypatch, dtype):
    monkeypatch.setitem(quantization._RESTORE, dtype, lambda packed, scales, shape, compute: torch.zeros(shape))
    refused(folder, f"gives wrong numbers in {dtype} on cpu here .relative error 1 in rows of", dtype=dtype)


@both
def test_where_bitsandbytes_gives_wrong_numbers_in_one_of_the_models_shapes(folder, monkeypatch, dtype):
    right = quantization._RESTORE[dtype]

    def scales_of_others(packed, scales, shape, compute):
        return right(packed, scales.roll(1) if shape[-1] == 176 else scales, shape, compute)

    monkeypatch.setitem(quantization._RESTORE, dtype, scales_of_others)
    refused(folder, f"wrong numbers in {dtype} on cpu here .relative error .* in rows of 176 weights", dtype=dtype)


def test_a_model_without_linear_layers_is_no_quantized_one():
    with pytest.raises(ValuestabError, match="Embedding has no linear layer that can be quantized"):
        quantization.finish(torch.nn.Embedding(4, 4), "4bit", "cpu")


def test_a_layer_that_was_not_quantized_is_found_out(monkeypatch):
    model = torch.nn.Sequential(bitsandbytes.nn.Linear8bitLt(64, 32, has_fp16_weights=False))
    with pytest.raises(ValuestabError, match=r"weights of 0 were read with the shape None, .* asks for .32, 64."):
        quantization.finish(model, "8bit", "cpu")


def test_other_dtypes_are_no_quantized_ones():
    with pytest.raises(ValuestabError, match="Unknown quantized dtype 'auto'. .*Known: 4bit, 8bit"):
        quantization.describe("auto", torch.float32)
