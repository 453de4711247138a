"""Qwen of the first generation (Qwen-7B, -14B, -72B) in transformers' own layers.

Its repositories bring Python code for an old version of transformers, which later versions cannot use. That code is
not needed: the architecture is that of Qwen2 under other names, and the vocabulary is a table of ranks. Once both are
made known to transformers (`register`), such a checkpoint is loaded like any other.

Prompts longer than ``seq_length`` of the checkpoint, where its own code would begin to stretch rotary embeddings and
scale queries, are refused as longer than the model's context.
"""

import base64
import re
from pathlib import Path

from tokenizers import AddedToken, normalizers
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, Qwen2Config, Qwen2ForCausalLM
from transformers.conversion_mapping import register_checkpoint_conversion_mapping
from transformers.convert_slow_tokenizer import TikTokenConverter
from transformers.core_model_loading import Chunk, WeightConverter, WeightRenaming
from transformers.tokenization_utils_tokenizers import TokenizersBackend

from valuestab_utils.errors import ValuestabError

# How text is cut into words before bytes are merged; the repository's tokenizer has the same expression.
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_END, _SPECIAL = "<|endoftext|>", ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
_N_EXTRA = 205
# What the checkpoint's config must say for the layers of Qwen2 to be its own.
_EXPECTED = {"no_bias": True, "rotary_pct": 1.0, "scale_attn_weights": True, "tie_word_embeddings": False}


class QWenConfig(Qwen2Config):
    """Configuration of a first-generation Qwen, read from the names that its checkpoints use."""

    model_type = "qwen"

    @classmethod
    def from_dict(cls, config_dict: dict, **kwargs):
        """Configuration from the content of config.json.

        Raises
        ------
        ValuestabError
            If the model differs from Qwen2 in more than names.
        """
        if "layer_norm_epsilon" in config_dict:
            config_dict = _renamed(config_dict)
        return super().from_dict(config_dict, **kwargs)


class QWenLMHeadModel(Qwen2ForCausalLM):
    """First-generation Qwen; its weights are renamed as they are read."""

    config_class = QWenConfig


class QWenTokenizer(TokenizersBackend):
    """Tokenizer of first-generation Qwen, made from its table of ranks, ``qwen.tiktoken``."""

    vocab_files_names = {"vocab_file": "qwen.tiktoken"}
    model_input_names = ["input_ids", "attention_mask"]

    def __init__(self, vocab_file: str, vocab=None, **kwargs):
        special = [*_SPECIAL, *(f"<|extra_{i}|>" for i in range(_N_EXTRA))]
        self._tokenizer = _Ranks(vocab_file, pattern=_WORDS).converted()
        self._tokenizer.normalizer = normalizers.NFC()
        self._tokenizer.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in special])
        super().__init__(**{"eos_token": _END, "pad_token": _END} | kwargs)


class _Ranks(TikTokenConverter):
    @staticmethod
    def load_tiktoken_bpe(path: str) -> dict[bytes, int]:
        """Tokens and ranks: a line each, the token in base 64."""
        lines = Path(path).read_bytes().split(b"\n")
        return {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in lines if line)}


def _renamed(own: dict) -> dict:
    different = {name: own[name] for name, value in _EXPECTED.items() if own.get(name, value) != value}
    if own["kv_channels"] * own["num_attention_heads"] != own["hidden_size"]:
        different["kv_channels"] = own["kv_channels"]
    if different:
        raise ValuestabError(
            f"The config.json of this Qwen model says {different}, where {_EXPECTED} and heads as wide as the hidden "
            "states are expected: take Qwen-7B, -14B or -72B, or a later Qwen."
        )
    return {
        "architectures": ["QWenLMHeadModel"],
        "model_type": "qwen",
        "vocab_size": own["vocab_size"],
        "hidden_size": own["hidden_size"],
        "intermediate_size": own["intermediate_size"] // 2,  # it counts both halves of the gated layer
        "num_hidden_layers": own["num_hidden_layers"],
        "num_attention_heads": own["num_attention_heads"],
        "num_key_value_heads": own["num_attention_heads"],
        "max_position_embeddings": own["seq_length"],
        "rms_norm_eps": own["layer_norm_epsilon"],
        "rope_parameters": {"rope_type": "default", "rope_theta": float(own["rotary_emb_base"])},
        "tie_word_embeddings": False,
        "dtype": "float16" if own.get("fp16") else "bfloat16",  # the published weights are in bfloat16
        "initializer_range": own.get("initializer_range", 0.02),
    }


def _conversions() -> list:
    names = {
        "transformer.wte.": "model.embed_tokens.",
        "transformer.ln_f.": "model.norm.",
        "transformer.h.": "model.layers.",
        ".ln_1.": ".input_layernorm.",
        ".ln_2.": ".post_attention_layernorm.",
        ".attn.c_proj.": ".self_attn.o_proj.",
        ".mlp.w1.": ".mlp.up_proj.",
        ".mlp.w2.": ".mlp.gate_proj.",
        ".mlp.c_proj.": ".mlp.down_proj.",
    }
    split = {
        f".attn.c_attn.{kind}": [f".self_attn.{x}_proj.{kind}" for x in "qkv"] for kind in ("weight", "bias")
    }
    renamed = [WeightRenaming(re.escape(old), re.escape(new)) for old, new in names.items()]
    return renamed + [
        WeightConverter(re.escape(old), [re.escape(part) for part in new], [Chunk(dim=0)]) for old, new in split.items()
    ]


def register() -> None:
    """Make config, model, tokenizer and names of weights known to transformers' automatic classes."""
    AutoConfig.register(QWenConfig.model_type, QWenConfig, exist_ok=True)
    AutoModelForCausalLM.register(QWenConfig, QWenLMHeadModel, exist_ok=True)
    AutoTokenizer.register(QWenConfig, QWenTokenizer, exist_ok=True)
    register_checkpoint_conversion_mapping(QWenConfig.model_type, _conversions(), overwrite=True)
