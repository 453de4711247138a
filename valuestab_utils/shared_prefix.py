"""Attention of many short continuations to one prefix that all of them share.

The keys and values of the prefix are computed and held once; every continuation attends to them and, causally, to
itself. Nothing is copied for a batch, and continuations are padded at their ends, where causal attention never
looks. Any model of transformers that takes its attention from the library's registry can be run this way.
"""

from dataclasses import dataclass

import torch
from transformers import AttentionInterface

NAME = "valuestab_shared_prefix"

# Attention features that a model may ask for by keyword and that the two-part attention below does not know.
_UNKNOWN_FEATURES = ("softcap", "s_aux", "position_bias")


@dataclass(frozen=True)
class Prefix:
    """Keys and values of a prefix.

    Attributes
    ----------
    layers : tuple of (Tensor, Tensor)
        For each layer, keys and values of shape (1, n_kv_heads, n_tokens, head_dim).
    n_tokens : int
    """

    layers: tuple[tuple[torch.Tensor, torch.Tensor], ...]
    n_tokens: int


def compute_prefix(model, ids: list[int]) -> Prefix:
    """Run a model over the prefix once and keep its attention cache.

    Parameters
    ----------
    model : transformers.PreTrainedModel
    ids : list of int
        Token ids of the prefix, at least one.
    """
    inputs = torch.tensor([ids], device=model.device)  # (1, T)
    cache = model(input_ids=inputs, use_cache=True, logits_to_keep=1).past_key_values
    return Prefix(tuple((layer.keys, layer.values) for layer in cache.layers), len(ids))


def continuation_logits(model, prefix: Prefix, ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Logits of a batch of continuations of one prefix.

    Parameters
    ----------
    model : transformers.PreTrainedModel
    prefix : Prefix
    ids : Tensor, shape (B, T)
        Token ids, padded at the end with anything.
    positions : Tensor, shape (K,)
        Positions in 0..T-1 whose logits are wanted.

    Returns
    -------
    Tensor, shape (B, K, V)
    """
    usual = model.config._attn_implementation
    model.set_attn_implementation(NAME)
    try:
        at = torch.arange(prefix.n_tokens, prefix.n_tokens + ids.shape[1], device=ids.device)[None]  # (1, T)
        return model(
            input_ids=ids, position_ids=at, use_cache=False, logits_to_keep=positions, shared_prefix=prefix
        ).logits
    finally:
        model.set_attn_implementation(usual)


def obstacle(model, n_tokens: int) -> str | None:
    """Why prompts of ``n_tokens`` tokens cannot be scored on a shared prefix with this model; None if they can.

    Such a model is scored one full prompt at a time: slower, with the same result.
    """
    config = model.config.get_text_config()
    for name in ("sliding_window", "attention_chunk_size"):
        window = getattr(config, name, None)
        if window is not None and getattr(config, "use_sliding_window", True) and n_tokens > window:
            return f"its attention window ({window} tokens) is shorter than the prompt ({n_tokens} tokens)"
    if getattr(config, "attn_logit_softcapping", None):
        return "its attention logits are soft-capped"
    if getattr(model, "_is_stateful", False) or not getattr(model, "_supports_attention_backend", False):
        return "its layers do not take their attention from the library's registry"
    return None


def _attention(
    module, query, key, value, attention_mask, scaling=None, dropout=0.0, shared_prefix=None, **features
):
    """Attention of (B, H, T, D) queries to prefix and own keys, in the registry's form: gives (B, T, H, D)."""
    asked = [name for name in _UNKNOWN_FEATURES if features.get(name) is not None]
    if asked or shared_prefix is None:
        raise NotImplementedError(
            f"shared-prefix attention does not know {asked or 'calls without a prefix'}"
        )
    keys, values = shared_prefix.layers[module.layer_idx]
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    attend = _attend_flash if query.device.type == "cpu" and query.dtype == torch.float32 else _attend
    return attend(query, key, value, keys, values, scaling).contiguous(), None


def _attend(q, k, v, prefix_k, prefix_v, scale):
    """One softmax over prefix and own keys, by plain matrix products."""
    B, H, T, D = q.shape
    KV = k.shape[1]  # key-value heads, each serving H / KV query heads
    q = (q * scale).reshape(B, KV, H // KV * T, D)
    rows = q.transpose(0, 1).reshape(KV, -1, D)  # (KV, B*G*T, D): all queries of all continuations
    to_prefix = (rows @ prefix_k[0].transpose(1, 2)).view(KV, B, H // KV * T, -1)
    to_own = (q @ k.transpose(2, 3)).transpose(0, 1)  # (KV, B, G*T, T)
    future = torch.ones(T, T, dtype=torch.bool, device=q.device).triu(1).repeat(H // KV, 1)
    to_own = to_own.masked_fill(future, -torch.inf)
    weights = torch.softmax(torch.cat([to_prefix, to_own], -1).float(), -1).to(q.dtype)
    on_prefix, on_own = weights.split([prefix_k.shape[2], T], -1)
    out = (on_prefix.reshape(KV, B * (H // KV) * T, -1) @ prefix_v[0]).view(KV, B, H // KV * T, D)
    out = out + on_own @ v.transpose(0, 1)
    return out.view(KV, B, H // KV, T, D).permute(1, 3, 0, 2, 4).reshape(B, T, H, D)


def _attend_flash(q, k, v, prefix_k, prefix_v, scale):
    """The same by PyTorch's blockwise CPU kernel: the two parts apart, then joined by their log-sum-exps.

    The kernel never holds the attention weights, which makes it faster.
    """
    flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    B, H, T, D = q.shape
    KV, G = k.shape[1], H // k.shape[1]
    rows = q.reshape(B, KV, G, T, D).permute(1, 2, 0, 3, 4).reshape(1, KV, G * B * T, D)
    on_prefix, lse_prefix = flash(rows, prefix_k, prefix_v, 0.0, False, scale=scale)
    on_prefix = on_prefix.view(KV, G, B, T, D).permute(2, 3, 0, 1, 4).reshape(B, T, H, D)
    lse_prefix = lse_prefix.reshape(KV, G, B, T).permute(2, 3, 0, 1).reshape(B, T, H)
    on_own, lse_own = flash(q, k.repeat_interleave(G, 1), v.repeat_interleave(G, 1), 0.0, True, scale=scale)
    lse_own = lse_own.reshape(B, H, T).transpose(1, 2)
    share = torch.sigmoid(lse_prefix - lse_own)[..., None]  # of the attention that falls on the prefix
    return torch.lerp(on_own.transpose(1, 2), on_prefix, share)


AttentionInterface.register(NAME, _attention)
