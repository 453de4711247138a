"""First-generation Qwen in transformers' layers: the same logits and tokens as by its own definition."""

import base64
import json
import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from valuestab_utils.errors import ValuestabError
from valuestab_utils.models import Sampling
from valuestab_utils.models.loading import load_model

HEADS, WIDTH, LAYERS, INNER, VOCABULARY = 4, 32, 2, 24, 512
MERGED = [b"An", b"sw", b"er", b"Answ", b"Answer", b" (", b" A", b"ab", b"abc"]
CONFIG = {
    "architectures": ["QWenLMHeadModel"], "model_type": "qwen",
    "auto_map": {"AutoConfig": "configuration_qwen.QWenConfig", "AutoModelForCausalLM": "modeling_qwen.QWenModel"},
    "vocab_size": VOCABULARY, "hidden_size": WIDTH, "intermediate_size": 2 * INNER, "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS, "kv_channels": WIDTH // HEADS, "layer_norm_epsilon": 1e-6, "rotary_pct": 1.0,
    "rotary_emb_base": 10000, "seq_length": 2048, "max_position_embeddings": 8192, "scale_attn_weights": True,
    "no_bias": True, "tie_word_embeddings": False, "use_dynamic_ntk": True, "use_logn_attn": True, "bf16": True,
}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "Qwen-tiny"
    path.mkdir()
    auto_map = {"AutoTokenizer": ["tokenization_qwen.QWenTokenizer", None]}
    tokenizer = {"tokenizer_class": "QWenTokenizer", "auto_map": auto_map, "model_max_length": 8192}
    generation = {"eos_token_id": 256 + len(MERGED), "top_p": 0.8}
    for name, content in (("config", CONFIG), ("generation_config", generation), ("tokenizer_config", tokenizer)):
        (path / f"{name}.json").write_text(json.dumps(content))
    tokens = [bytes([i]) for i in range(256)] + MERGED
    lines = [base64.b64encode(token) + f" {rank}".encode() for rank, token in enumerate(tokens)]
    (path / "qwen.tiktoken").write_bytes(b"\n".join(lines) + b"\n")
    save_file(weights(), path / "model.safetensors", metadata={"format": "pt"})
    return path


def weights():
    generator = torch.Generator().manual_seed(1)
    shapes = {"transformer.wte.weight": (VOCABULARY, WIDTH), "lm_head.weight": (VOCABULARY, WIDTH)}
    shapes["transformer.ln_f.weight"] = (WIDTH,)
    for i in range(LAYERS):
        layer = f"transformer.h.{i}"
        shapes |= {f"{layer}.ln_1.weight": (WIDTH,), f"{layer}.ln_2.weight": (WIDTH,)}
        shapes |= {f"{layer}.attn.c_attn.weight": (3 * WIDTH, WIDTH), f"{layer}.attn.c_attn.bias": (3 * WIDTH,)}
        shapes |= {f"{layer}.attn.c_proj.weight": (WIDTH, WIDTH), f"{layer}.mlp.c_proj.weight": (WIDTH, INNER)}
        shapes |= {f"{layer}.mlp.{w}.weight": (INNER, WIDTH) for w in ("w1", "w2")}
    return {name: torch.randn(shape, generator=generator) * 0.3 for name, shape in shapes.items()}


def own_logits(stored, ids):
    """The architecture by its definition, in float64."""
    w = {name: tensor.double().numpy() for name, tensor in stored.items()}
    n, size = len(ids), WIDTH // HEADS
    angles = np.outer(np.arange(n), 10000.0 ** (-np.arange(0, size, 2) / size))
    cos, sin = (np.tile(part, 2)[:, None] for part in (np.cos(angles), np.sin(angles)))

    def norm(x, name):
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * w[name]

    def turned(x):
        halves = np.concatenate([-x[..., size // 2 :], x[..., : size // 2]], -1)
        return x * cos + halves * sin

    x = w["transformer.wte.weight"][ids]
    for i in range(LAYERS):
        layer = f"transformer.h.{i}"
        both = norm(x, f"{layer}.ln_1.weight") @ w[f"{layer}.attn.c_attn.weight"].T + w[f"{layer}.attn.c_attn.bias"]
        q, k, v = (part.reshape(n, HEADS, size) for part in np.split(both, 3, -1))
        scores = np.einsum("qhd,khd->hqk", turned(q), turned(k)) / math.sqrt(size)
        scores = np.where(np.tri(n, dtype=bool), scores, -np.inf)
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        shares /= shares.sum(-1, keepdims=True)
        x = x + np.einsum("hqk,khd->qhd", shares, v).reshape(n, WIDTH) @ w[f"{layer}.attn.c_proj.weight"].T
        inner = norm(x, f"{layer}.ln_2.weight")
        one, two = (inner @ w[f"{layer}.mlp.{part}.weight"].T for part in ("w1", "w2"))
        x = x + (one * two / (1 + np.exp(-two))) @ w[f"{layer}.mlp.c_proj.weight"].T
    return norm(x, "transformer.ln_f.weight")[-1] @ w["lm_head.weight"].T


def test_logits_are_those_of_the_architectures_definition(folder):
    model = load_model(str(folder))
    ids = [7, 300, 42, 42, 500, 0, 65, 311]
    with torch.inference_mode():
        found = model.model(input_ids=torch.tensor([ids])).logits[0, -1]
    expected = own_logits(load_file(folder / "model.safetensors"), ids)
    np.testing.assert_allclose(found.double().numpy(), expected, atol=2e-5)


def test_it_is_a_base_model_of_bfloat16_whose_context_ends_where_its_own_code_would_stretch_it(folder):
    model = load_model(str(folder))
    assert model.format == "base" and model.context_length == 2048 and model.sampling == Sampling(top_p=0.8)
    assert model._model.config.dtype == torch.bfloat16
    assert "remote_code" not in model.settings


def test_tokens_are_merged_in_the_order_of_ranks_and_special_ones_follow(folder):
    tokenizer = load_model(str(folder)).tokenizer
    rank = {token: 256 + i for i, token in enumerate(MERGED)}
    assert tokenizer("Answer: (A")["input_ids"] == [rank[b"Answer"], ord(":"), rank[b" ("], ord("A")]
    assert tokenizer("abc abb")["input_ids"] == [rank[b"abc"], ord(" "), rank[b"ab"], ord("b")]
    for text in ("abcab ÄÖ漢字 1234\n\n  end", "A\u0308 don't"):
        found = tokenizer.decode(tokenizer(text)["input_ids"])
        assert found == text.replace("A\u0308", "Ä")  # composed, as its own tokenizer does
    n = 256 + len(MERGED)
    assert tokenizer("<|endoftext|><|im_end|><|extra_204|>")["input_ids"] == [n, n + 2, n + 207]
    assert len(tokenizer) == n + 208 and tokenizer.bos_token is None


def test_a_qwen_that_differs_in_more_than_names_is_refused(folder):
    (folder / "config.json").write_text(json.dumps(CONFIG | {"no_bias": False}))
    with pytest.raises(ValuestabError, match="config.json of this Qwen model says .*no_bias"):
        load_model(str(folder))
