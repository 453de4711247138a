"""Loading language models: by name, folder or hub id, in any dtype, with one sentence for whatever goes wrong."""

import base64
import contextlib
import functools
import hashlib
import re
from pathlib import Path

import torch
from tokenizers import AddedToken, normalizers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    Qwen2Config,
    Qwen2ForCausalLM,
)
from transformers.conversion_mapping import register_checkpoint_conversion_mapping
from transformers.convert_slow_tokenizer import TikTokenConverter
from transformers.core_model_loading import Chunk, WeightConverter, WeightRenaming
from transformers.tokenization_utils_tokenizers import TokenizersBackend
from transformers.utils import cached_file
from transformers.utils import logging as transformers_logging
from transformers.utils.hub import resolve_revision

from valuestab_utils.errors import ValuestabError, check_known, told_by
from valuestab_utils.models import quantization
from valuestab_utils.models.embedded import EMBEDDED_NAME, ensure_embedded_model
from valuestab_utils.models.local import LanguageModel, Unloaded
from valuestab_utils.models.precision import fits_on_one_gpu
from valuestab_utils.models.respondents import SUFFIXES, model_card

_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}

# What a model folder must have, by patterns of file names; all of it goes into the folder's checksum.
_PARTS = {
    "config.json": ["config.json"],
    "weights (*.safetensors or *.bin)": ["*.safetensors", "*.bin"],
    "tokenizer (tokenizer.json and the like)": ["tokenizer*", "vocab*", "merges*", "*tokens*.json", "*.tiktoken"],
}


def load_model(model: str, dtype: str = "auto", device: str = "auto") -> LanguageModel:
    """Load a language model by name, folder or hub id (see `model_card`), and its weights when they are first needed.

    dtype "auto" is float32 on a CPU and the checkpoint's own type on a GPU. "4bit" (NF4) and "8bit" (the weights of
    LLM.int8()) quantize what is multiplied in every layer, experts included, but not embeddings, the output layer,
    norms and the routers of experts. Either computes in the dtype of "auto", activations included (see `quantization`),
    and the name of its results ends in -4b or -8b. A mixture of experts needs main memory for its whole checkpoint, in
    the compute dtype, until it is quantized.

    Device "auto" is a GPU where there is one, and several where the weights do not fit on it. Code from the model's
    repository is never run.
    """
    card = model_card(model)
    check_known("dtype", dtype, ["auto", *_DTYPES, *SUFFIXES])
    variant = dtype if dtype in SUFFIXES else None
    spread = device == "auto" and torch.cuda.device_count() > 1
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    elif device.startswith("cuda") and not torch.cuda.is_available():
        raise ValuestabError(f"Device {device!r} was asked for, but PyTorch finds no GPU here: take 'cpu' or 'auto'.")
    source = str(ensure_embedded_model()) if card.source == "embedded" else card.source
    checksum = folder_checksum(Path(source)) if Path(source).is_dir() else None
    with _one_sentence(model):
        # One commit for all files: the hub may move on between two of them.
        commit = None if checksum else getattr(resolve_revision(source), "resolved", None)
        place = ({"revision": commit} if commit else {}) | {"trust_remote_code": False}
        tokenizer = AutoTokenizer.from_pretrained(source, **place)
        config = AutoConfig.from_pretrained(source, **place)
        generation_config = _generation_config(source, commit, config)
        settings = _loading_settings(model, config, dtype, device) | place
        if spread and not fits_on_one_gpu(config, variant or settings["dtype"]):
            settings["device_map"] = "auto"
    if not (checksum or commit):
        raise ValuestabError(
            f"It cannot be told which commit of {source!r} was loaded, which results must say: connect this machine "
            "to the Hugging Face hub, or give a model folder."
        )

    def load():
        with _one_sentence(model):
            return _load_weights(model, source, config, dtype, device, settings)

    # Where the config names no dtype, the weights must be read to know it.
    unloaded = Unloaded(config, generation_config, settings["dtype"], load)
    return LanguageModel(card, unloaded if settings["dtype"] else load(), tokenizer, checksum or commit, variant)


def _generation_config(source: str, commit: str | None, config) -> GenerationConfig:
    """The checkpoint's own file, which must be readable if it is there; else what the config has of it."""
    place = {"revision": commit} if commit else {}
    if cached_file(source, "generation_config.json", _raise_exceptions_for_missing_entries=False, **place) is None:
        return GenerationConfig.from_model_config(config)
    return GenerationConfig.from_pretrained(source, **place)


def _loading_settings(model: str, config, dtype: str, device: str) -> dict:
    """What ``from_pretrained`` is given; the dtype is None if the checkpoint does not name the one it is in."""
    own = quantization.own_quantization(config)
    if own and dtype != "auto":
        raise ValuestabError(
            f"Model {model!r} is saved quantized already ({own.get('quant_method', 'by a method unnamed')}), and that "
            f"is kept: load it with dtype='auto' instead of {dtype!r}."
        )
    if dtype in SUFFIXES:
        quantization.check_bitsandbytes(dtype, device, config)
        return quantization.loading_settings(config, dtype, device)
    settings = {"dtype": _DTYPES.get(dtype) or (torch.float32 if device == "cpu" else config.dtype)}
    if own:  # its layers must be on their device as they are read
        settings["device_map"] = {"": device}
    return settings


def _load_weights(model: str, source: str, config, dtype: str, device: str, settings: dict):
    settings = settings | {"dtype": settings["dtype"] or "auto"}
    loaded, report = AutoModelForCausalLM.from_pretrained(source, config=config, output_loading_info=True, **settings)
    if report["missing_keys"]:  # the library would go on with random numbers
        raise ValuestabError(
            f"The checkpoint of {model!r} lacks {len(report['missing_keys'])} weights of its model, such as "
            f"{min(report['missing_keys'])}: give a complete one, saved as a causal language model."
        )
    places = set(getattr(loaded, "hf_device_map", {}).values())
    elsewhere = places & {"cpu", "disk"} if device != "cpu" else set()
    if elsewhere and len(places) > 1:  # it would run from there, a hundred times slower, without a word
        raise ValuestabError(
            f"The GPUs here have no room for all of {model!r}: parts of it would be left to the {min(elsewhere)}. "
            "Take dtype='4bit', or more GPUs."
        )
    if dtype in SUFFIXES:
        loaded = quantization.finish(loaded, dtype, None if len(places) > 1 else device)
    elif quantization.own_quantization(loaded.config):
        loaded = quantization.replace_4bit_on_cpu(loaded)
    elif len(places) < 2:
        loaded = loaded.to(device)
    return loaded.eval()


@contextlib.contextmanager
def _one_sentence(model: str):
    """Without progress bars, and with one sentence for whatever the libraries below raise."""
    transformers_logging.disable_progress_bar()
    try:
        yield
    except ValuestabError:
        raise
    except Exception as error:  # the libraries below have no common error for what they cannot load
        if "trust_remote_code" in str(error):
            raise ValuestabError(
                f"Model {model!r} can only be loaded by running code from its repository, which is never done here: "
                "take another model, or one converted to an architecture of transformers."
            ) from error
        raise ValuestabError(
            f"Model {model!r} could not be loaded ({told_by(error)}): give a folder with config, weights and "
            f"tokenizer, a hub id that this machine can reach, or a name in data/models.yaml such as {EMBEDDED_NAME!r}."
        ) from error


@functools.cache
def folder_checksum(folder: Path) -> str:
    """First 16 hexadecimal digits of the SHA-256 over a folder's config, weights and tokenizer, which must be there."""
    digest = hashlib.sha256()
    for part, patterns in _PARTS.items():
        files = sorted({file for pattern in patterns for file in folder.glob(pattern)})
        if not files:
            raise ValuestabError(
                f"The model folder {folder} has no {part}: give one with config, weights and tokenizer."
            )
        for file in files:
            with file.open("rb") as stream:
                digest.update(file.name.encode() + hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]


# First-generation Qwen brings code of its own, which is not run: its layers are those of Qwen2 under other names.
# How text is cut into words before bytes are merged; the repository's tokenizer has the same expression.
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_END = "<|endoftext|>"
_SPECIAL = [_END, "<|im_start|>", "<|im_end|>", *(f"<|extra_{i}|>" for i in range(205))]
# What the checkpoint's config must say for the layers of Qwen2 to be its own.
_EXPECTED = {"no_bias": True, "rotary_pct": 1.0, "scale_attn_weights": True, "tie_word_embeddings": False}


class QWenConfig(Qwen2Config):
    """Configuration of a first-generation Qwen, read from the names that its checkpoints use."""

    model_type = "qwen"

    @classmethod
    def from_dict(cls, config_dict: dict, **kwargs):
        """Configuration from config.json; ValuestabError if the model differs from Qwen2 in more than names."""
        if "layer_norm_epsilon" in config_dict:
            config_dict = _qwen2_settings(config_dict)
        return super().from_dict(config_dict, **kwargs)


class QWenLMHeadModel(Qwen2ForCausalLM):
    """First-generation Qwen; its weights are renamed as they are read."""

    config_class = QWenConfig


class QWenTokenizer(TokenizersBackend):
    """Tokenizer of first-generation Qwen, made from its table of ranks, ``qwen.tiktoken``."""

    vocab_files_names = {"vocab_file": "qwen.tiktoken"}
    model_input_names = ["input_ids", "attention_mask"]

    def __init__(self, vocab_file: str, vocab=None, **kwargs):
        self._tokenizer = _Ranks(vocab_file, pattern=_WORDS).converted()
        self._tokenizer.normalizer = normalizers.NFC()
        self._tokenizer.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in _SPECIAL])
        super().__init__(**{"eos_token": _END, "pad_token": _END} | kwargs)


class _Ranks(TikTokenConverter):
    @staticmethod
    def load_tiktoken_bpe(path: str) -> dict[bytes, int]:
        """Tokens and ranks: a line each, the token in base 64."""
        lines = Path(path).read_bytes().split(b"\n")
        return {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in lines if line)}


def _qwen2_settings(own: dict) -> dict:
    different = {name: own[name] for name, value in _EXPECTED.items() if own.get(name, value) != value}
    if different:
        raise ValuestabError(
            f"The config.json of this Qwen model says {different}, where {_EXPECTED} is expected: take Qwen-7B, -14B "
            "or -72B, or a later Qwen."
        )
    return {
        "vocab_size": own["vocab_size"],
        "hidden_size": own["hidden_size"],
        "intermediate_size": own["intermediate_size"] // 2,  # it counts both halves of the gated layer
        "num_hidden_layers": own["num_hidden_layers"],
        "num_attention_heads": own["num_attention_heads"],
        "num_key_value_heads": own["num_attention_heads"],
        # Beyond it, its own code would stretch rotary embeddings and scale queries: such prompts are refused.
        "max_position_embeddings": own["seq_length"],
        "rms_norm_eps": own["layer_norm_epsilon"],
        "rope_parameters": {"rope_type": "default", "rope_theta": float(own["rotary_emb_base"])},
        "tie_word_embeddings": False,
        "dtype": "float16" if own.get("fp16") else "bfloat16",  # the published weights are in bfloat16
    }


_NAMES = {
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


def _conversions() -> list:
    conversions = [WeightRenaming(re.escape(old), re.escape(new)) for old, new in _NAMES.items()]
    for kind in ("weight", "bias"):  # queries, keys and values are in one matrix
        parts = [re.escape(f".self_attn.{part}_proj.{kind}") for part in "qkv"]
        conversions.append(WeightConverter(re.escape(f".attn.c_attn.{kind}"), parts, [Chunk(dim=0)]))
    return conversions


AutoConfig.register(QWenConfig.model_type, QWenConfig, exist_ok=True)
AutoModelForCausalLM.register(QWenConfig, QWenLMHeadModel, exist_ok=True)
AutoTokenizer.register(QWenConfig, QWenTokenizer, exist_ok=True)
register_checkpoint_conversion_mapping(QWenConfig.model_type, _conversions(), overwrite=True)
