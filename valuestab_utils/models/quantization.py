"""Models in 4 and 8 bit: bitsandbytes' quantized weights, computed such that no answer depends on its batch.

Weights are NF4 or those of LLM.int8(), experts of a mixture included; embeddings, output layer, norms and routers stay
as they are. Each layer turns its weights back into the compute dtype and multiplies in it; activations are not rounded.
"""

import copy
import math

import torch
from torch.nn.utils import parametrize
from transformers import BitsAndBytesConfig

from valuestab_utils.errors import ValuestabError, told_by
from valuestab_utils.models.precision import skeleton

_METHODS = {"4bit": "NF4 weights", "8bit": "LLM.int8() weights"}
_BLOCK = 64  # weights of NF4 that have a scale in common
# Largest error, relative to the size of normal weights, of a working installation (seen: 0.10 and 0.011; where
# scales were those of other blocks: 0.21).
_LARGEST_ERROR = {"4bit": 0.15, "8bit": 0.02}


def describe(dtype: str, compute_dtype: torch.dtype) -> dict[str, str]:
    """What decides the results of a quantized model, for its settings."""
    name = str(compute_dtype).removeprefix("torch.")
    return {"method": _METHODS[dtype], "compute_dtype": name, "bitsandbytes": _bitsandbytes().__version__}


def check_bitsandbytes(dtype: str, device: str, config) -> None:
    """Quantize a few rows of each length that a model's weights have, before the weights themselves are read.

    ValuestabError if bitsandbytes is missing, does not work on the device, or gives wrong numbers.
    """
    bnb, allowed = _bitsandbytes(), _LARGEST_ERROR[dtype]
    matrices = [weights for weights in skeleton(config).parameters() if weights.dim() > 1]
    # Both axes, since some architectures (GPT-2) keep their weights transposed.
    for length in sorted({size for weights in matrices for size in weights.shape[-2:]}):
        weights = torch.randn(8, length, generator=torch.Generator().manual_seed(0))
        try:
            packed, scales = _QUANTIZE[dtype](weights.to(device))
            restored = _RESTORE[dtype](packed, scales, weights.shape, torch.float32).cpu()
            error = float((restored - weights).norm() / weights.norm())
            wrong = f"a relative error of {error:.2g} in rows of {length} weights, where {allowed:g} is allowed"
        except Exception as failure:  # what its compiled libraries raise has no common error
            error, wrong = math.nan, told_by(failure)
        if not error < allowed:
            raise ValuestabError(
                f"bitsandbytes {bnb.__version__} does not work in {dtype} on {device} here ({wrong}): install another "
                "version for this machine, or take dtype='auto'."
            )


def own_quantization(config) -> dict | None:
    """The quantization in which a checkpoint's config says it was saved; None if it is not quantized."""
    for part in (config, config.get_text_config()):
        own = getattr(part, "quantization_config", None)
        if own is not None:
            own = own if isinstance(own, dict) else own.to_dict()
            return {key: own[key] for key in sorted(own)}
    return None


def loading_settings(config, dtype: str, device: str) -> dict:
    """What ``from_pretrained`` must be given for a model to be quantized as it is read.

    The dtype in it is the compute dtype: float32 on a CPU, else the checkpoint's own (bfloat16 if it does not say).
    """
    compute = torch.float32 if torch.device(device).type == "cpu" else config.dtype or torch.bfloat16
    if dtype == "4bit":
        # Plain NF4: the library's own default would be FP4. Scales are not quantized a second time.
        quantized = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": compute}
    else:
        quantized = {"load_in_8bit": True}
    return {
        "dtype": compute,
        "device_map": {"": "cpu" if any(_experts(skeleton(config))) else device},
        "quantization_config": BitsAndBytesConfig(**quantized),
    }


def finish(model, dtype: str, device: str | None):
    """Complete a model loaded with `loading_settings`, in place; without a device, layers stay where they were placed.

    ValuestabError if no layer of it is quantized, or one has another shape than its config says.
    """
    layers = _bitsandbytes().nn
    n_quantized = 0
    for name, module in list(model.named_modules()):
        if isinstance(module, (layers.Linear8bitLt, layers.Linear4bit)):
            _check_shape(name, module)
            n_quantized += 1
        if isinstance(module, layers.Linear8bitLt):
            model.set_submodule(name, Int8Linear(module))
    # transformers leaves stacks of experts in 16 bit without a word; until here they stand in the compute dtype.
    for module, name in list(_experts(model)):
        _quantize_experts(module, name, dtype, device)
        n_quantized += 1
    if not n_quantized:
        raise ValuestabError(f"{type(model).__name__} has no linear layer that can be quantized: take dtype='auto'.")
    return replace_4bit_on_cpu(model if device is None else model.to(device))


def replace_4bit_on_cpu(model):
    """Have the 4-bit layers of a model that are on a CPU give the same, right numbers on every CPU, in place."""
    # bitsandbytes' own layers do not: where a CPU has AVX-512, they restore weights with wrong scales unless rows are
    # whole numbers of blocks, and where it has AVX512-BF16, they compute in bfloat16 whatever was asked for.
    for name, module in list(model.named_modules()):
        # Known by its weights, not by its class: the library need not be there for checkpoints of other methods.
        if hasattr(getattr(module, "weight", None), "quant_state") and module.weight.device.type == "cpu":
            model.set_submodule(name, FourBitLinear(module))
    return model


class FourBitLinear(torch.nn.Module):
    """Linear layer on a CPU that computes in the compute dtype of the 4-bit layer it is made of (not yet used).

    NF4 or FP4, scales quantized too or not.
    """

    def __init__(self, layer):
        super().__init__()
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.weight, self.bias, self.compute_dtype = layer.weight, layer.bias, layer.compute_dtype

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (..., in_features) to (..., out_features)."""
        weight = _from_4bit(self.weight, self.weight.quant_state, self.compute_dtype)
        bias = None if self.bias is None else self.bias.to(self.compute_dtype)
        return torch.nn.functional.linear(x.to(self.compute_dtype), weight, bias).to(x.dtype)


class Int8Linear(torch.nn.Module):
    """Linear layer of int8 weights with one scale for each output, which computes in its input's dtype."""

    def __init__(self, layer):
        super().__init__()
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.register_buffer("weight", layer.weight.CB)  # (out_features, in_features), int8
        self.register_buffer("scale", layer.weight.SCB)  # (out_features,), the largest weight of each row
        self.bias = layer.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (..., in_features) to (..., out_features)."""
        # LLM.int8() would round x to 8 bit too, by rules that look at the whole batch: with SmolLM2-135M-Instruct,
        # items scored in a batch and alone then differ by up to 0.7 nats (13 of 40 letters); so, by 3e-5.
        weight = _from_int8(self.weight, self.scale, self.weight.shape, x.dtype)
        return torch.nn.functional.linear(x, weight, self.bias)


class _Stack(torch.nn.Module):
    """Turns a stack of quantized matrices back into the weights of shape (E, rows, columns)."""

    def __init__(self, dtype: str, scales: torch.Tensor, shape: torch.Size, compute_dtype: torch.dtype):
        super().__init__()
        self.restore, self.shape, self.compute_dtype = _RESTORE[dtype], shape, compute_dtype
        self.register_buffer("scales", scales)

    def forward(self, packed: torch.Tensor) -> torch.Tensor:
        whole = torch.empty(self.shape, dtype=self.compute_dtype, device=packed.device)
        for i in range(self.shape[0]):  # one at a time: the steps between take several times its memory
            whole[i] = self.restore(packed[i], self.scales[i], self.shape[1:], self.compute_dtype)
        return whole


def _experts(model):
    """Modules with weights in stacks of matrices, one for each expert, and the names of these weights."""
    for module in model.modules():
        if isinstance(module, torch.nn.modules.conv._ConvNd):  # three axes too, but few weights
            continue
        for name, weights in module.named_parameters(recurse=False):
            if weights.dim() == 3 and min(weights.shape[1:]) > 1:
                yield module, name


def _quantize_experts(module, name: str, dtype: str, device: str) -> None:
    whole = getattr(module, name).data
    parts = [_QUANTIZE[dtype](matrix if device is None else matrix.to(device)) for matrix in whole]
    packed, scales = (torch.stack(part) for part in zip(*parts, strict=True))
    setattr(module, name, torch.nn.Parameter(packed, requires_grad=False))
    restored = _Stack(dtype, scales, whole.shape, whole.dtype)
    parametrize.register_parametrization(module, name, restored, unsafe=True)


def _check_shape(name: str, layer) -> None:
    # Where weights are quantized as they are read, transformers does not notice that they have another shape.
    state = layer.weight.quant_state if hasattr(layer.weight, "quant_state") else layer.weight.CB
    found, wanted = None if state is None else tuple(state.shape), (layer.out_features, layer.in_features)
    if found != wanted:
        raise ValuestabError(
            f"The weights of {name} were read with the shape {found}, and the model's config asks for {wanted}: give "
            "a checkpoint that fits its config, or take dtype='auto'."
        )


def _to_nf4(matrix: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    packed, state = _bitsandbytes().functional.quantize_4bit(matrix, blocksize=_BLOCK, quant_type="nf4")
    return packed, state.absmax


def _from_nf4(packed, scales, shape, compute_dtype) -> torch.Tensor:
    state = _bitsandbytes().functional.QuantState(scales, shape, None, _BLOCK, "nf4", compute_dtype)
    return _from_4bit(packed, state, compute_dtype)


def _from_4bit(packed, state, compute_dtype) -> torch.Tensor:
    # One block a row, else all in one row: with AVX-512, bitsandbytes 0.50 counts the scales anew from each row's
    # start, rounded down, though blocks run on over the ends of rows. One row alone would be left to one core.
    n, block = math.prod(state.shape), state.blocksize
    flat = copy.copy(state)
    flat.shape, flat.dtype = (n // block, block) if n % block == 0 else (n,), compute_dtype
    return _bitsandbytes().functional.dequantize_4bit(packed, flat).reshape(state.shape)


def _to_int8(matrix: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return _bitsandbytes().functional.int8_vectorwise_quant(matrix.to(torch.float16))[:2]


def _from_int8(values, scales, shape, compute_dtype) -> torch.Tensor:
    # In fp32 up to the end: a scale rounded to half precision would be wrong for its whole row.
    return values.float().mul_(scales[:, None] / 127).to(compute_dtype).reshape(shape)


_QUANTIZE = {"4bit": _to_nf4, "8bit": _to_int8}
_RESTORE = {"4bit": _from_nf4, "8bit": _from_int8}


def _bitsandbytes():
    try:
        # Not at the top: it takes a second, and checkpoints of other methods do without it.
        import bitsandbytes
    except (ImportError, OSError, RuntimeError) as error:
        raise ValuestabError(
            f"A model in 4 or 8 bit needs the package bitsandbytes, which cannot be imported ({told_by(error)}): "
            "install it (it is in requirements.lock), or take dtype='auto'."
        ) from error
    return bitsandbytes
