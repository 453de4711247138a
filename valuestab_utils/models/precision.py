"""As much at once as a GPU's memory holds: sizes from what is free, and smaller ones where it runs out all the same."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
from transformers import AutoModelForCausalLM

from valuestab_utils.errors import ValuestabError, told_by

HALF = (torch.float16, torch.bfloat16)
LIKELY = 10  # nats below the likeliest; a less likely token is no candidate, and means little in half precision

# Largest difference, in nats, between a fast way and the definition: in float32, many times what rounding makes (`make
# bench` prints it). In half precision, rounding alone makes these, and more where it sends tokens to other experts of a
# mixture.
TOLERANCE = 1e-3
ROUNDING = {torch.float16: 0.1, torch.bfloat16: 0.5}
MORE_THAN_THE_DEFINITION = 4  # times its own distance from float32, that a fast way's may be in half precision
MUCH_LONGER = 2  # times as long as the longest prompt that a way was tried on: it is tried again


class Trials:
    """Which ways of computing give the numbers of one model; ``failed`` says, by a way's name, why it is not used."""

    def __init__(self):
        self.failed: dict[str, str] = {}
        self._longest: dict[str, int] = {}

    def passes(
        self, model, way: str, n_tokens: int, fast: Callable[[], torch.Tensor], definition: Callable[[], torch.Tensor]
    ) -> bool:
        """Whether a way may be used for prompts up to so many tokens; tried unless it was for prompts about as long.

        Both functions give log-probabilities, shape (..., N), of the same prompts. Whatever the fast one raises, but
        for a lack of memory, is a reason not to use it.
        """
        if way in self.failed or n_tokens <= MUCH_LONGER * self._longest.get(way, 0):
            return way not in self.failed
        try:
            off, allowed = _compared(model, fast, definition)
        except torch.OutOfMemoryError:  # the caller takes fewer at a time
            raise
        except Exception as error:  # what an architecture does with a cache it was not made for has no common error
            self.failed[way] = told_by(error)
            return False
        if off > allowed:
            self.failed[way] = f"log-probabilities would be {off:.2g} nats off, where {allowed:.2g} are allowed"
            return False
        self._longest[way] = n_tokens
        return True


def _compared(model, fast: Callable, definition: Callable) -> tuple[float, float]:
    """How far the fast way is from the definition, and how far it may be, in nats."""
    if model.dtype not in HALF:
        return largest_difference(fast(), definition()), TOLERANCE
    dtype = model.dtype
    try:
        with in_float32(model):
            exact = definition()
            off = largest_difference(fast(), exact)
    except RuntimeError:  # no memory for it, or layers that compute in half precision alone
        return largest_difference(fast(), definition()), ROUNDING[dtype]
    if off > TOLERANCE:
        return off, TOLERANCE
    rounding = largest_difference(definition(), exact)
    return largest_difference(fast(), exact), max(MORE_THAN_THE_DEFINITION * rounding, ROUNDING[dtype])


def float32_logits(model):
    """Have the output layer of a model in half precision give float32, by a hook; not if it is quantized."""
    head = model.get_output_embeddings()
    # Rounded to half precision, the logits of the two likeliest letters are often equal, and the earlier letter would
    # be chosen. Their product is computed in float32 anyway: here it is not rounded.
    if type(head) is torch.nn.Linear and head.weight.dtype in HALF:
        head.register_forward_hook(_Product(head))
    return model


class _Product:
    """The output of a linear layer, computed again without rounding it."""

    def __init__(self, layer: torch.nn.Linear):
        # A CPU multiplies float32 by float32 alone; a copy costs memory, and making one each time would cost more.
        self.weight = None if layer.weight.device.type == "cuda" else layer.weight.detach().float()

    def __call__(self, layer, args, rounded: torch.Tensor) -> torch.Tensor:
        if rounded.dtype not in HALF:  # the layer itself is in float32 for now (see in_float32)
            return rounded
        # With several GPUs, accelerate moves the input to the layer's own inside of its forward.
        hidden = args[0].to(layer.weight.device)
        if self.weight is None:
            flat = hidden.flatten(0, -2)  # (N, D)
            logits = torch.mm(flat, layer.weight.t(), out_dtype=torch.float32).view(rounded.shape)
        else:
            logits = hidden.float() @ self.weight.t()
        return logits if layer.bias is None else logits + layer.bias.float()


@contextmanager
def in_float32(model) -> Iterator[None]:
    """While inside, a model in half precision computes in float32, with the weights that it has.

    A batch and a prompt alone then differ by float32's rounding only; more is an error. It takes time and the memory of
    one layer. RuntimeError, from inside, if a layer cannot compute in float32 or there is no memory for it.
    """
    given = {block: _halves(block) for stack in _outermost_stacks(model) for block in stack}
    inside = {id(tensor) for halves in given.values() for tensor, _ in halves}
    own = [(tensor, data) for tensor, data in _halves(model) if id(tensor) not in inside]
    # Layers of bitsandbytes, and stacks of quantized experts, turn their weights into this dtype.
    quantized = [(m, m.compute_dtype) for m in model.modules() if getattr(m, "compute_dtype", None) in HALF]
    # A block is converted when it is called and given back after: never more than one is there twice.
    hooks = [block.register_forward_pre_hook(lambda block, _: _to_float32(given[block])) for block in given]
    hooks += [b.register_forward_hook(lambda b, *_: _give_back(given[b]), always_call=True) for b in given]
    try:
        _to_float32(own)
        for module, _ in quantized:
            module.compute_dtype = torch.float32
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for module, dtype in quantized:
            module.compute_dtype = dtype
        for halves in (own, *given.values()):
            _give_back(halves)


def _outermost_stacks(module: torch.nn.Module) -> Iterator[torch.nn.ModuleList]:
    for child in module.children():
        if isinstance(child, torch.nn.ModuleList):
            yield child
        else:
            yield from _outermost_stacks(child)


def _halves(module: torch.nn.Module) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Parameters and buffers in half precision, each with its data."""
    return [(tensor, tensor.data) for tensor in [*module.parameters(), *module.buffers()] if tensor.dtype in HALF]


def _to_float32(halves: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
    for tensor, data in halves:
        tensor.data = data.float()


def _give_back(halves: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
    for tensor, data in halves:
        tensor.data = data


def largest_difference(found: torch.Tensor, exact: torch.Tensor) -> float:
    """Largest difference of log-probabilities (..., N), in nats, over the exactly likely ones; infinite if NaN."""
    likely = exact > exact.max(-1, keepdim=True).values - LIKELY
    off = (found - exact).abs()[likely].max()
    return float(off) if off == off else float("inf")  # NaN is not equal to itself


Item, Result = TypeVar("Item"), TypeVar("Result")

MOST_MESSAGES = 512  # sampled together: more gain nothing, and each holds a row of the vocabulary's noise
SHARE = 0.7  # of the free memory that is planned with; the rest is for what is not counted


def bytes_per_token(config, itemsize: int) -> int:
    """Bytes that a token takes while a message is sampled: its keys and values, and its activations in one layer."""
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


def skeleton(config):
    """The model of a config without its weights."""
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config, trust_remote_code=False)


def weight_bytes(config, dtype: torch.dtype | str) -> int:
    """Bytes of a model's weights; of quantized ones ("4bit", "8bit") with their scales, some of it in 16 bit."""
    model = skeleton(config)
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
    """Messages of at most ``longest`` tokens, prompts included, that a GPU's free memory has room for; 1 or more."""
    free, _ = torch.cuda.mem_get_info(model.device)
    free += torch.cuda.memory_reserved(model.device) - torch.cuda.memory_allocated(model.device)
    config = model.config.get_text_config()
    # Of the vocabulary: logits, noise and what is computed from both.
    one = longest * bytes_per_token(config, model.dtype.itemsize) + 32 * config.vocab_size
    return max(1, min(MOST_MESSAGES, int(SHARE * free / one)))


def in_parts(
    work: Callable[[Sequence[Item]], list[Result]], items: Sequence[Item], size: int, what: str
) -> list[Result]:
    """Results of ``work`` over all items, ``size`` at a time; where a GPU's memory runs out, fewer at a time.

    >>> in_parts(lambda numbers: [2 * n for n in numbers], [1, 2, 3], 2, "number")
    [2, 4, 6]
    """
    results: list[Result] = []
    while len(results) < len(items):
        rest = items[len(results) :]
        part, size = fewer_at_a_time(lambda n, rest=rest: work(rest[:n]), min(size, len(rest)), 1, f"a single {what}")
        results += part
    return results


def fewer_at_a_time(work: Callable[[int], Result], size: int, smallest: int, what: str) -> tuple[Result, int]:
    """Result of ``work`` at a size, and the size: halved where a GPU's memory runs out, as long as it is no smaller.

    ``work`` must bear being called again. ValuestabError if there is no memory at the smallest size.
    """
    while True:
        try:
            return work(size), size
        except torch.OutOfMemoryError as error:
            reason = str(error).splitlines()[0]
        # Outside of the handler: the error holds on to the tensors of the calls it came through.
        if size <= smallest:
            raise ValuestabError(
                f"The GPU has no memory for {what} ({reason}): take a smaller model, dtype='4bit', or a GPU with more "
                "memory; what was computed is kept."
            )
        size //= 2
        torch.cuda.empty_cache()
