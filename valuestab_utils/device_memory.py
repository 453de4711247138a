"""As much at once as a GPU's memory holds: sizes from what is free, and smaller ones where it runs out all the same."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from transformers import AutoModelForCausalLM

from valuestab_utils.errors import ValuestabError

Item, Result = TypeVar("Item"), TypeVar("Result")

MOST_MESSAGES = 512  # sampled together: more gain nothing, and each holds a row of the vocabulary's noise
SHARE = 0.7  # of the free memory that is planned with; the rest is for what is not counted


def bytes_per_token(config, itemsize: int) -> int:
    """Bytes that a token takes while a message is sampled: its keys and values, and its activations in one layer.

    Parameters
    ----------
    config : transformers.PreTrainedConfig
    itemsize : int
        Bytes of a number.

    Examples
    --------
    >>> from transformers import LlamaConfig
    >>> bytes_per_token(LlamaConfig(hidden_size=8, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2), 2)
    288
    """
    config = config.get_text_config()
    cache = sum(2 * heads * width for heads, width in map(_keys, config.per_layer_config))
    inside = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
    widest = max(inside) if isinstance(inside, list) else inside
    return itemsize * (cache + 2 * config.hidden_size + 3 * widest)


def _keys(layer) -> tuple[int, int]:
    """Heads that keep keys and values in a layer, and their width; layers may differ, and some models have none."""
    heads = getattr(layer, "num_attention_heads", None) or 0
    width = getattr(layer, "head_dim", None) or (layer.hidden_size // heads if heads else 0)
    return getattr(layer, "num_key_value_heads", None) or heads, width


def weight_bytes(config, dtype: torch.dtype | str) -> int:
    """Bytes of a model's weights.

    Parameters
    ----------
    config : transformers.PreTrainedConfig
    dtype : torch.dtype, "4bit" or "8bit"
        Of quantized weights, with their scales; what stays in 16 bit is counted as such.
    """
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    total = sum(weight.numel() for weight in model.parameters())
    if isinstance(dtype, torch.dtype):
        return total * dtype.itemsize
    kept = sum(e.weight.numel() for e in (model.get_input_embeddings(), model.get_output_embeddings()) if e is not None)
    kept = min(kept, total)
    return int((total - kept) * {"4bit": 0.5 + 4 / 64, "8bit": 1.0}[dtype] + 2 * kept)


def fits_on_one_gpu(config, dtype: torch.dtype | str | None) -> bool:
    """Whether the weights leave a fifth of a GPU's free memory to what is computed (dtype None: 16 bit)."""
    free, _ = torch.cuda.mem_get_info()
    return weight_bytes(config, dtype or torch.bfloat16) < 0.8 * free


def messages_at_once(model, longest: int) -> int:
    """Messages of at most ``longest`` tokens, prompts included, that a GPU's free memory has room for; 1 or more.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        On a GPU.
    longest : int
    """
    free, _ = torch.cuda.mem_get_info(model.device)
    free += torch.cuda.memory_reserved(model.device) - torch.cuda.memory_allocated(model.device)
    config = model.config.get_text_config()
    # Of the vocabulary: logits, noise and what is computed from both.
    one = longest * bytes_per_token(config, model.dtype.itemsize) + 32 * config.vocab_size
    return max(1, min(MOST_MESSAGES, int(SHARE * free / one)))


def in_parts(
    work: Callable[[Sequence[Item]], list[Result]], items: Sequence[Item], size: int, what: str
) -> tuple[list[Result], int]:
    """Results of ``work`` over all items, some at a time; where a GPU's memory runs out, fewer at a time.

    Parameters
    ----------
    work : callable
        Gives a result for each of the items it is given, and can be called again for those it failed with.
    items : sequence
    size : int
        Most items at a time.
    what : str
        What an item is, for the error.

    Returns
    -------
    results : list
    size : int
        Items at a time that the memory had room for.

    Raises
    ------
    ValuestabError
        If the memory has no room for a single one.

    Examples
    --------
    >>> in_parts(lambda numbers: [2 * n for n in numbers], [1, 2, 3], 2, "number")
    ([2, 4, 6], 2)
    """
    results: list[Result] = []
    while len(results) < len(items):
        part = items[len(results) : len(results) + size]
        try:
            results += work(part)
            continue
        except torch.OutOfMemoryError as error:
            reason = str(error).splitlines()[0]
        # Outside of the handler: the error holds on to the tensors of the calls it came through.
        if len(part) == 1:
            raise ValuestabError(
                f"The GPU has no memory for a single {what} ({reason}): take a smaller model, dtype='4bit', or a GPU "
                "with more memory; what was computed is kept."
            )
        size = len(part) // 2
        torch.cuda.empty_cache()
    return results, size
