"""From the embedded model's GGUF file to an ordinary model folder."""

import errno
import os
from pathlib import Path

import torch
from safetensors import SafetensorError
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from valuestab_utils.errors import ValuestabError

_PROBE = "The capital of France is Paris, founded in 250 BC."
_NO_SPACE = f"os error {errno.ENOSPC}"


def convert_gguf(gguf: Path, folder: Path) -> None:
    """Turn SmolLM2's GGUF file into a model folder with fp32 weights, tokenizer and chat template.

    Parameters
    ----------
    gguf : path
    folder : path
        An empty folder.

    Raises
    ------
    ValuestabError
        If the folder, read back, is not the same model.
    OSError
        If the disk is full.
    """
    place = {"pretrained_model_name_or_path": gguf.parent, "gguf_file": gguf.name}
    tokenizer = AutoTokenizer.from_pretrained(**place)
    # The file names its pre-tokenizer "smollm", which takes digits one by one; transformers' reader leaves
    # that out.
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), tokenizer.backend_tokenizer.pre_tokenizer]
    )
    read = AutoModelForCausalLM.from_pretrained(**place, dtype=torch.float32).eval()
    tokenizer.model_max_length = read.config.max_position_embeddings

    # A model read from GGUF counts as quantized and refuses to be saved: its weights go into a fresh one.
    settings = read.config.to_dict()
    del settings["quantization_config"]
    settings.pop("_model_name_or_path", None)  # the name of a training run
    fresh = AutoModelForCausalLM.from_config(type(read.config)(**settings), dtype=torch.float32)
    fresh.load_state_dict(read.state_dict())
    fresh.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    try:
        fresh.save_pretrained(folder)
    except SafetensorError as error:  # it hides the system's error number in its text
        if _NO_SPACE in str(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        raise
    del fresh
    tokenizer.save_pretrained(folder)
    _check(folder, read)


def _check(folder: Path, read: torch.nn.Module) -> None:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = torch.tensor([tokenizer(_PROBE)["input_ids"]])
    with torch.inference_mode():
        same = torch.equal(model(ids).logits, read(ids).logits)
    properties = {
        "the logits of the GGUF file": same,
        "tied embeddings": model.get_input_embeddings().weight.data_ptr() == model.lm_head.weight.data_ptr(),
        "a chat template": bool(tokenizer.chat_template),
        "<|im_end|> as its end of a turn": tokenizer.eos_token == "<|im_end|>"
        and model.generation_config.eos_token_id == tokenizer.eos_token_id,
        "single digits": tokenizer.tokenize("250") == ["2", "5", "0"],
    }
    lacking = [name for name, holds in properties.items() if not holds]
    if lacking:
        raise ValuestabError(
            f"The converted embedded model lacks {', '.join(lacking)}: install the versions of "
            "requirements.lock (`make env`), with which it was tested, and run the same command again."
        )
