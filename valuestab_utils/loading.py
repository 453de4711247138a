"""Loading language models: by name, folder or hub id, in any dtype, with one sentence for whatever goes wrong."""

import contextlib
import difflib
import functools
import hashlib
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig
from transformers.utils import cached_file
from transformers.utils import logging as transformers_logging
from transformers.utils.hub import resolve_revision

from valuestab_utils import quantization, qwen1, remote_code
from valuestab_utils.device_memory import fits_on_one_gpu
from valuestab_utils.embedded import EMBEDDED_NAME, ensure_embedded_model
from valuestab_utils.errors import ValuestabError, check_known, told_by
from valuestab_utils.model_cards import known_models, model_card
from valuestab_utils.models import LanguageModel, Unloaded

qwen1.register()

_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}

# What a model folder must have, by patterns of file names; all of it goes into the folder's checksum.
_PARTS = {
    "config.json": ["config.json"],
    "weights (*.safetensors or *.bin)": ["*.safetensors", "*.bin"],
    "tokenizer (tokenizer.json and the like)": ["tokenizer*", "vocab*", "merges*", "*tokens*.json", "*.tiktoken"],
}


def load_model(model: str, dtype: str = "auto", device: str = "auto", lazily: bool = False) -> LanguageModel:
    """Load a language model by name, folder or hub id.

    Parameters
    ----------
    model : str
        See `model_card`. Code from its repository is run only if the user allows it for this model by name (see
        `valuestab_utils.remote_code`).
    dtype : {"auto", "float32", "float16", "bfloat16", "8bit", "4bit"}
        "auto" is float32 on a CPU and the checkpoint's own type on a GPU. "4bit" (NF4) and "8bit" (the weights of
        LLM.int8()) quantize by bitsandbytes what is multiplied in every layer, experts included; embeddings, the
        output layer, norms and the routers of experts stay as they are. All is computed in the dtype that "auto"
        stands for, activations included (see `valuestab_utils.quantization`), and the results go by a name of
        their own, which ends in -4b or -8b. A mixture of experts needs the main memory of its whole checkpoint
        (in the compute dtype) until it is quantized.
    device : str
        "auto" is a GPU where there is one, and several where the weights do not fit on it.
    lazily : bool
        Load the weights when they are first needed: never, if all results are there.

    Raises
    ------
    ValuestabError
        Unknown model or dtype, or one that cannot be loaded.
    """
    card = model_card(model)
    may_run_code = remote_code.is_allowed(model, card)
    check_known("dtype", dtype, ["auto", *_DTYPES, *quantization.SUFFIXES])
    variant = dtype if dtype in quantization.SUFFIXES else None
    spread = device == "auto" and torch.cuda.device_count() > 1
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    elif device.startswith("cuda") and not torch.cuda.is_available():
        raise ValuestabError(f"Device {device!r} was asked for, but PyTorch finds no GPU here: take 'cpu' or 'auto'.")
    source = str(ensure_embedded_model()) if card.source == "embedded" else card.source
    checksum = folder_checksum(Path(source)) if Path(source).is_dir() else None
    with _one_sentence(model):
        commit = None if checksum else _hub_commit(source)
        code = remote_code.find_code(model, source, commit) if may_run_code else None
        if code and variant:
            raise ValuestabError(
                f"Model {model!r} runs code of its own, whose layers are not quantized here: take dtype='auto'."
            )
        place = ({"revision": commit} if commit else {}) | {"trust_remote_code": code is not None}
        tokenizer = AutoTokenizer.from_pretrained(source, **place)
        config = AutoConfig.from_pretrained(source, **place)
        if code:
            remote_code.check_class(model, source, commit, config)
        generation_config = _generation_config(source, commit, config)
        settings = _loading_settings(model, config, dtype, device) | place
        if spread and (code or not fits_on_one_gpu(config, variant or settings["dtype"])):
            settings["device_map"] = "auto"
    if not (checksum or commit):
        raise ValuestabError(
            f"It cannot be told which commit of {source!r} was loaded, which results must say: connect this machine "
            "to the Hugging Face hub, or give a model folder."
        )

    def load():
        return _load_weights(model, source, config, dtype, device, settings)

    if lazily and settings["dtype"]:  # else, the weights must be read to know it
        weights = Unloaded(config, generation_config, settings["dtype"], load)
    else:
        weights = load()
    return LanguageModel(card, weights, tokenizer, checksum or commit, variant, code)


def _hub_commit(source: str) -> str | None:
    """The commit that a hub id stands for now, so that all files come from it; None if the hub does not say."""
    revision = resolve_revision(source)  # a str with the commit beside it, or what it was given
    return getattr(revision, "resolved", None)


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
    if dtype in quantization.SUFFIXES:
        quantization.check_bitsandbytes(dtype, device, config)
        return quantization.loading_settings(config, dtype, device)
    settings = {"dtype": _DTYPES.get(dtype) or (torch.float32 if device == "cpu" else config.dtype)}
    if own:  # its layers must be on their device as they are read
        settings["device_map"] = {"": device}
    return settings


def _load_weights(model: str, source: str, config, dtype: str, device: str, settings: dict):
    settings = settings | {"dtype": settings["dtype"] or "auto"}
    with _one_sentence(model):
        loaded, report = AutoModelForCausalLM.from_pretrained(
            source, config=config, output_loading_info=True, **settings
        )
        if settings["trust_remote_code"]:
            remote_code.restore_buffers(loaded)
        return _finished(model, loaded, report, dtype, device)


def _finished(model: str, loaded, report: dict, dtype: str, device: str):
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
    if dtype in quantization.SUFFIXES:
        loaded = quantization.finish(loaded, dtype, None if len(places) > 1 else device)
    elif quantization.own_quantization(loaded.config):
        loaded = quantization.replace_4bit_on_cpu(loaded)
    elif len(places) < 2:
        loaded = loaded.to(device)
    return loaded.eval()


@contextlib.contextmanager
def _one_sentence(model: str):
    """Without progress bars, and with one sentence for whatever the libraries below raise."""
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    except ValuestabError:
        raise
    except Exception as error:  # the libraries below have no common error for what they cannot load
        others = [name for name, card in known_models().items() if name != model and not card.api]
        near = difflib.get_close_matches(model, others, n=1, cutoff=0.8)
        raise ValuestabError(
            f"Model {model!r} could not be loaded ({told_by(error)}): give a folder with "
            "config, weights and tokenizer, a hub id that this machine can reach, or a name in "
            f"data/models.yaml such as {(near or [EMBEDDED_NAME])[0]!r}."
        ) from error
    finally:
        if bars:
            transformers_logging.enable_progress_bar()


@functools.cache
def folder_checksum(folder: Path) -> str:
    """First 16 hexadecimal digits of the SHA-256 over a model folder's config, weights and tokenizer files.

    Raises
    ------
    ValuestabError
        If one of these is missing.
    """
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
