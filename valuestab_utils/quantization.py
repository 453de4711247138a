"""Models in 4 and 8 bit: bitsandbytes' quantized weights, computed such that no answer depends on its batch.

Weights are quantized as ``load_in_4bit`` (NF4) and ``load_in_8bit`` (the weights of LLM.int8()) of transformers do,
experts of a mixture included, which transformers leaves in 16 bit without a word. Embeddings, the output layer, norms
and the routers of experts stay as they are. Every layer turns its weights back into the compute dtype and multiplies
in it: on a CPU, answers and texts are then as independent of their batch as those of the unquantized model.

LLM.int8() would also round the activations to 8 bit, by rules that look at the whole batch. Rounding steps turn a
batch's rounding error into other answers: with SmolLM2-135M-Instruct, items scored in a batch and alone differed by
up to 0.7 nats, and 13 of 40 letters by that. Here activations are not rounded, and they differ by 3e-5 nats.
"""

import copy
import math

import torch
from torch.nn.utils import parametrize
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from valuestab_utils.errors import ValuestabError, check_known, told_by

SUFFIXES = {"4bit": "-4b", "8bit": "-8b"}
_METHODS = {"4bit": "NF4 weights", "8bit": "LLM.int8() weights"}
_BLOCK = 64  # weights of NF4 that have a scale in common
# Largest error, relative to the size of normal weights, of a working installation (seen: 0.10 and 0.011; where
# scales were those of other blocks: 0.21).
_LARGEST_ERROR = {"4bit": 0.15, "8bit": 0.02}


def variant_name(name: str, dtype: str | None) -> str:
    """Name of a model's results in a dtype: 4 and 8 bit are variants of their own.

    Parameters
    ----------
    name : str
    dtype : str
        As in `valuestab_utils.loading.load_model`.

    Examples
    --------
    >>> variant_name("Mixtral-8x7B-Instruct-v0.1", "4bit"), variant_name("phi-2", "8bit"), variant_name("phi-2", "auto")
    ('Mixtral-8x7B-Instruct-v0.1-4b', 'phi-2-8b', 'phi-2')
    """
    return name + SUFFIXES.get(dtype, "")


def describe(dtype: str, compute_dtype: torch.dtype) -> dict[str, str]:
    """What decides the results of a quantized model, for its settings.

    Parameters
    ----------
    dtype : {"4bit", "8bit"}
    compute_dtype : torch.dtype

    Returns
    -------
    dict
        ``method``, ``compute_dtype`` and ``bitsandbytes``, its version.

    Examples
    --------
    >>> described = describe("4bit", torch.float32)
    >>> described["method"], described["compute_dtype"]
    ('NF4 weights', 'float32')
    """
    check_known("quantized dtype", dtype, SUFFIXES)
    name = str(compute_dtype).removeprefix("torch.")
    return {"method": _METHODS[dtype], "compute_dtype": name, "bitsandbytes": _bitsandbytes().__version__}


def check_bitsandbytes(dtype: str, device: str, config) -> None:
    """Quantize a few rows of each length that a model's weights have, before the weights themselves are read.

    Parameters
    ----------
    dtype : {"4bit", "8bit"}
    device : str
    config : transformers.PreTrainedConfig

    Raises
    ------
    ValuestabError
        If bitsandbytes is missing, does not work on the device, or gives wrong numbers.

    Examples
    --------
    >>> from transformers import LlamaConfig
    >>> check_bitsandbytes("4bit", "cpu", LlamaConfig(hidden_size=64, intermediate_size=96, num_hidden_layers=1))
    """
    check_known("quantized dtype", dtype, SUFFIXES)
    bnb = _bitsandbytes()
    matrices = [weights for weights in _skeleton(config).parameters() if weights.dim() > 1]
    # Both axes, since some architectures (GPT-2) keep their weights transposed.
    for length in sorted({size for weights in matrices for size in weights.shape[-2:]}):
        weights = torch.randn(8, length, generator=torch.Generator().manual_seed(0))
        try:
            packed, scales = _QUANTIZE[dtype](weights.to(device))
            restored = _RESTORE[dtype](packed, scales, weights.shape, torch.float32).cpu()
        except Exception as failure:  # what its compiled libraries raise has no common error
            raise ValuestabError(
                f"bitsandbytes {bnb.__version__} cannot work in {dtype} on {device} here ({told_by(failure)}): install "
                "it anew for this machine, or take dtype='auto'."
            ) from failure
        error = float((restored - weights).norm() / weights.norm())
        if not error < _LARGEST_ERROR[dtype]:
            raise ValuestabError(
                f"bitsandbytes {bnb.__version__} gives wrong numbers in {dtype} on {device} here (relative error "
                f"{error:.2g} in rows of {length} weights, where {_LARGEST_ERROR[dtype]:g} is allowed): install "
                "another version, or take dtype='auto'."
            )


def own_quantization(config) -> dict | None:
    """The quantization that a checkpoint's config says it was saved in; None if it is not quantized.

    Parameters
    ----------
    config : transformers.PreTrainedConfig

    Examples
    --------
    >>> from transformers import LlamaConfig
    >>> own_quantization(LlamaConfig()) is None
    True
    """
    for part in (config, config.get_text_config()):
        own = getattr(part, "quantization_config", None)
        if own is not None:
            own = own if isinstance(own, dict) else own.to_dict()
            return {key: own[key] for key in sorted(own)}
    return None


def loading_settings(config, dtype: str, device: str) -> dict:
    """What ``from_pretrained`` must be given for a model to be quantized as it is read.

    Parameters
    ----------
    config : transformers.PreTrainedConfig
    dtype : {"4bit", "8bit"}
    device : str

    Returns
    -------
    dict
        ``dtype``, which is the compute dtype: float32 on a CPU, else the checkpoint's own (bfloat16 if it does not
        say); ``device_map``, the device, or the CPU for a model whose experts are quantized afterwards; and
        ``quantization_config``.
    """
    compute = torch.float32 if torch.device(device).type == "cpu" else config.dtype or torch.bfloat16
    if dtype == "4bit":
        # Plain NF4: the library's own default would be FP4. Scales are not quantized a second time.
        quantized = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": compute}
    else:
        quantized = {"load_in_8bit": True}
    return {
        "dtype": compute,
        "device_map": {"": "cpu" if any(_experts(_skeleton(config))) else device},
        "quantization_config": BitsAndBytesConfig(**quantized),
    }


def finish(model, dtype: str, device: str | None):
    """Complete a model that was loaded with `loading_settings`, in place.

    Weights of linear layers that were read in 8 bit get a layer that does not round its input; experts are
    quantized, which until here stand in the compute dtype in memory; the model goes to its device; 4-bit layers on
    a CPU are replaced as by `replace_4bit_on_cpu`.

    Parameters
    ----------
    model : transformers.PreTrainedModel
    dtype : {"4bit", "8bit"}
    device : str or None
        None leaves each layer where it was placed.

    Returns
    -------
    transformers.PreTrainedModel

    Raises
    ------
    ValuestabError
        If the model has no layer that is quantized, or one that is not as its config says.
    """
    layers = _bitsandbytes().nn
    n_quantized = 0
    for name, module in list(model.named_modules()):
        if isinstance(module, (layers.Linear8bitLt, layers.Linear4bit)):
            _check_shape(name, module)
            n_quantized += 1
        if isinstance(module, layers.Linear8bitLt):
            model.set_submodule(name, Int8Linear(module))
    for module, name in list(_experts(model)):
        _quantize_experts(module, name, dtype, device)
        n_quantized += 1
    if not n_quantized:
        raise ValuestabError(
            f"{type(model).__name__} has no linear layer that can be quantized: take dtype='auto'."
        )
    return replace_4bit_on_cpu(model if device is None else model.to(device))


def replace_4bit_on_cpu(model):
    """Have the 4-bit layers of a model that are on a CPU give the same, right numbers on every CPU, in place.

    bitsandbytes' own layers do not: where a CPU has AVX-512, they restore weights with wrong scales unless rows are
    whole numbers of blocks, and where it has AVX512-BF16, they compute in bfloat16 whatever was asked for.

    Parameters
    ----------
    model : torch.nn.Module

    Returns
    -------
    torch.nn.Module
    """
    for name, module in list(model.named_modules()):
        # Known by its weights, not by its class: the library need not be there for checkpoints of other methods.
        if hasattr(getattr(module, "weight", None), "quant_state") and module.weight.device.type == "cpu":
            model.set_submodule(name, FourBitLinear(module))
    return model


class FourBitLinear(torch.nn.Module):
    """Linear layer of 4-bit weights on a CPU, which computes in the compute dtype of the layer it is made of.

    Parameters
    ----------
    layer : bitsandbytes.nn.Linear4bit
        Quantized, NF4 or FP4, its scales quantized too or not; not yet used.
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
    """Linear layer of int8 weights with one scale for each output, which computes in its input's dtype.

    Parameters
    ----------
    layer : bitsandbytes.nn.Linear8bitLt
        Quantized, not yet used.
    """

    def __init__(self, layer):
        super().__init__()
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.register_buffer("weight", layer.weight.CB)  # (out_features, in_features), int8
        self.register_buffer("scale", layer.weight.SCB)  # (out_features,), the largest weight of each row
        self.bias = layer.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (..., in_features) to (..., out_features)."""
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


def _skeleton(config):
    """The model of a config without its weights."""
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config, trust_remote_code=False)


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
    """The library, imported where it is needed only: it takes a second, and looks for compiled parts."""
    try:
        import bitsandbytes
    except (ImportError, OSError, RuntimeError) as error:
        raise ValuestabError(
            f"A model in 4 or 8 bit needs the package bitsandbytes, which cannot be imported ({told_by(error)}): "
            "install it (it is in requirements.lock), or take dtype='auto'."
        ) from error
    return bitsandbytes
