"""Whether a model's numbers are its own: fast ways held to the definition, and what half precision may not do to them.

By definition, a letter's or next token's log-probability is what the model gives for the whole prompt alone. Faster
ways (what prompts share computed once, batches with a cache) are tried against that before they are used.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from valuestab_utils.errors import told_by

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
    """Which ways of computing give the numbers of one model.

    Attributes
    ----------
    failed : dict of str to str
        Why a way is not used, by its name.
    """

    def __init__(self):
        self.failed: dict[str, str] = {}
        self._longest: dict[str, int] = {}

    def passes(
        self, model, way: str, n_tokens: int, fast: Callable[[], torch.Tensor], definition: Callable[[], torch.Tensor]
    ) -> bool:
        """Whether a way may be used for prompts of so many tokens; tried unless it was for prompts about as long.

        Parameters
        ----------
        model : transformers.PreTrainedModel
        way : str
        n_tokens : int
            Of the longest prompt.
        fast, definition : callable
            Give log-probabilities, shape (..., N), of the same prompts. Whatever the first raises, but for a lack of
            memory, is a reason not to use it.
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
    """Have the output layer of a model in half precision give float32, in place.

    Rounded to half precision, the logits of the two likeliest letters are often equal, and the earlier letter would be
    chosen. The product of hidden states and weights is computed in float32 anyway: here it is not rounded.

    Parameters
    ----------
    model : transformers.PreTrainedModel

    Returns
    -------
    transformers.PreTrainedModel
        The same, with a hook on its output layer, unless that is in float32 or quantized.
    """
    head = model.get_output_embeddings()
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

    What the layers compute in a batch and alone then differs by float32's rounding only: a larger difference is an
    error. Each layer's weights are converted when it is called and given back after, which takes time and the memory of
    one layer.

    Raises
    ------
    RuntimeError
        From inside, if a layer is of a kind that cannot compute in float32, or there is no memory for it.
    """
    blocks = [block for stack in _outermost_stacks(model) for block in stack]
    inside = {id(tensor) for block in blocks for tensor in _tensors(block)}
    rest = [tensor for tensor in _tensors(model) if id(tensor) not in inside]
    # Layers of bitsandbytes, and stacks of quantized experts, turn their weights into this dtype.
    quantized = [(m, m.compute_dtype) for m in model.modules() if getattr(m, "compute_dtype", None) in HALF]
    given = {id(block): [(tensor, tensor.data) for tensor in _tensors(block)] for block in blocks}
    own = [(tensor, tensor.data) for tensor in rest]
    hooks = [b.register_forward_pre_hook(lambda block, _: _to_float32(given[id(block)])) for b in blocks]
    hooks += [
        b.register_forward_hook(lambda block, *_: _give_back(given[id(block)]), always_call=True) for b in blocks
    ]
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
        _give_back(own)
        for tensors in given.values():
            _give_back(tensors)


def _outermost_stacks(module: torch.nn.Module) -> Iterator[torch.nn.ModuleList]:
    for child in module.children():
        if isinstance(child, torch.nn.ModuleList):
            yield child
        else:
            yield from _outermost_stacks(child)


def _tensors(module: torch.nn.Module) -> list[torch.Tensor]:
    """Parameters and buffers in half precision."""
    return [tensor for tensor in [*module.parameters(), *module.buffers()] if tensor.dtype in HALF]


def _to_float32(given: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
    for tensor, data in given:
        tensor.data = data.float()


def _give_back(given: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
    for tensor, data in given:
        tensor.data = data


def largest_difference(found: torch.Tensor, exact: torch.Tensor) -> float:
    """Largest difference of log-probabilities, in nats, over what is likely; infinite where one is NaN.

    Parameters
    ----------
    found, exact : Tensor, shape (..., N)
        Log-probabilities; `LIKELY` is told by the second.
    """
    likely = exact > exact.max(-1, keepdim=True).values - LIKELY
    off = (found - exact).abs()[likely].max()
    return float(off) if off == off else float("inf")
