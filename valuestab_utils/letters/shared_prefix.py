"""Attention of many short continuations to one prefix that all of them share, computed and held once.

Every continuation attends to the prefix, to the stem that some of them share, if any, and causally to itself. Any model
of transformers that takes its attention from the library's registry can be run this way.
"""

from dataclasses import dataclass

import torch
from transformers import AttentionInterface

NAME = "valuestab_shared_prefix"

# Attention features that a model may ask for by keyword and that the two-part attention below does not know.
_UNKNOWN_FEATURES = ("softcap", "s_aux", "position_bias")


@dataclass(frozen=True)
class Kept:
    """Keys and values of M texts: of the prefix alone, or of stems, each shared by several longer continuations.

    For each layer both of shape (M, n_kv_heads, S, head_dim), padded at the end; n_tokens has M lengths.
    """

    layers: tuple[tuple[torch.Tensor, torch.Tensor], ...]
    n_tokens: list[int]

    def n_tokens_of(self, rows: torch.Tensor) -> torch.Tensor:
        """Lengths of the texts that these rows (B,) go on from, (B, 1)."""
        return torch.tensor(self.n_tokens, device=rows.device)[rows][:, None]


@dataclass(frozen=True)
class _Before:
    """What the tokens of a batch see: the prefix, and the stem that each row continues, if any."""

    prefix: Kept
    stems: Kept | None = None
    stem_of: torch.Tensor | None = None  # (B,)
    mask: torch.Tensor | None = None  # (B, 1, T, S+T), see _mask


def compute_prefix(model, ids: list[int]) -> Kept:
    """Run a model over a prefix of at least one token and keep its attention cache."""
    return _kept(model(input_ids=padded([ids], model.device), use_cache=True, logits_to_keep=1), [ids])


def compute_stems(model, prefix: Kept, stems: list[list[int]]) -> Kept:
    """Run a model over stems of at least one token that continue a prefix and keep their attention cache."""
    ids = padded(stems, model.device)
    return _kept(_run(model, _Before(prefix), ids, use_cache=True, logits_to_keep=1), stems)


def _kept(output, texts: list[list[int]]) -> Kept:
    layers = tuple((layer.keys, layer.values) for layer in output.past_key_values.layers)
    return Kept(layers, [len(text) for text in texts])


def continuation_logits(
    model,
    prefix: Kept,
    ids: torch.Tensor,
    positions: torch.Tensor,
    stems: Kept | None = None,
    stem_of: torch.Tensor | None = None,
) -> torch.Tensor:
    """Logits (B, K, V) of a batch of continuations of one prefix, or of stems that continue it.

    ids (B, T) are padded at the end with anything; positions (K,) in 0..T-1 are those wanted; stem_of (B,) is the stem
    that each continuation continues.
    """
    before = _Before(prefix, stems, stem_of, _mask(stems, stem_of, ids.shape[1]) if stems else None)
    return _run(model, before, ids, use_cache=False, logits_to_keep=positions).logits


def padded(rows: list[list[int]], device: torch.device) -> torch.Tensor:
    """Token ids of rows of unequal length, padded at the end; shape (B, T)."""
    longest = max(map(len, rows))
    # Any token will do: causal attention never looks at the end.
    return torch.tensor([row + [0] * (longest - len(row)) for row in rows], device=device)


def _run(model, before: _Before, ids: torch.Tensor, **options):
    usual = model.config._attn_implementation
    model.set_attn_implementation(NAME)
    try:
        (n,) = before.prefix.n_tokens
        at = torch.arange(n, n + ids.shape[1], device=ids.device)[None]  # (1, T)
        if before.stems is not None:
            at = at + before.stems.n_tokens_of(before.stem_of)  # (B, T)
        return model(input_ids=ids, position_ids=at, shared_prefix=before, **options)
    finally:
        model.set_attn_implementation(usual)


def _mask(stems: Kept, stem_of: torch.Tensor, T: int) -> torch.Tensor:
    """What hides the padding of stems and the future of continuations: 0 or -inf, of shape (B, 1, T, S+T)."""
    at = torch.arange(stems.layers[0][0].shape[2], device=stem_of.device)  # (S,)
    padding = (at >= stems.n_tokens_of(stem_of))[:, None].expand(-1, T, -1)  # (B, T, S)
    future = torch.ones(T, T, dtype=torch.bool, device=stem_of.device).triu(1).expand(len(stem_of), T, T)
    hidden = torch.cat([padding, future], -1)[:, None]
    return torch.zeros(hidden.shape, device=hidden.device).masked_fill_(hidden, -torch.inf)


def rope_set(config, n_tokens: int) -> int:
    """Which of a model's sets of rotary frequencies a text of ``n_tokens`` tokens is computed with."""
    given = getattr(config.get_text_config(), "rope_parameters", None) or {}
    kinds = [given] if "rope_type" in given else [one for one in given.values() if isinstance(one, dict)]
    # With long RoPE (the family of Phi-3), the longest position of a call chooses between two sets. What was kept of a
    # text computed with one, or stands in one batch with it, is wrong for a text of the other.
    long = [one for one in kinds if one.get("rope_type") == "longrope"]
    return sum(n_tokens > one["original_max_position_embeddings"] for one in long)


def obstacle_to_sharing(model, n_tokens: int) -> str | None:
    """Why the attention here is not this model's own for prompts of so many tokens; None if nothing is known."""
    config = model.config.get_text_config()
    for layer in config.per_layer_config if config.is_heterogeneous else [config]:
        for name in ("sliding_window", "attention_chunk_size"):
            window = getattr(layer, name, None)
            if window is not None and getattr(layer, "use_sliding_window", True) and n_tokens > window:
                return f"its attention window ({window} tokens) is shorter than the prompt ({n_tokens} tokens)"
    if getattr(config, "attn_logit_softcapping", None):
        return "its attention logits are soft-capped"
    if getattr(model, "_is_stateful", False) or not getattr(model, "_supports_attention_backend", False):
        return "its layers do not take their attention from the library's registry"
    return None


def _attention(module, query, key, value, attention_mask, scaling=None, dropout=0.0, shared_prefix=None, **features):
    """Attention of (B, H, T, D) queries to prefix and own keys, in the registry's form: gives (B, T, H, D)."""
    asked = [name for name in _UNKNOWN_FEATURES if features.get(name) is not None]
    if asked or shared_prefix is None:
        raise NotImplementedError(f"shared-prefix attention does not know {asked or 'calls without a prefix'}")
    before, layer = shared_prefix, module.layer_idx
    mask = before.mask
    if before.stems is not None:
        stem_keys, stem_values = before.stems.layers[layer]  # on this layer's GPU, where a model has several
        stem_of, mask = before.stem_of.to(key.device), mask.to(key.device)
        key = torch.cat([stem_keys[stem_of], key], 2)  # (B, KV, S+T, D)
        value = torch.cat([stem_values[stem_of], value], 2)
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    attend = _attend_flash if query.device.type == "cpu" and query.dtype == torch.float32 else _attend
    return attend(query, key, value, *before.prefix.layers[layer], scaling, mask).contiguous(), None


def _attend(q, k, v, prefix_k, prefix_v, scale, mask=None):
    """One softmax over prefix and own keys, by plain matrix products; no mask: own keys are seen causally."""
    B, H, T, D = q.shape
    KV, S = k.shape[1:3]  # key-value heads, each serving H / KV query heads; own keys, a stem's included
    q = q.reshape(B, KV, H // KV * T, D)
    rows = q.transpose(0, 1).reshape(KV, -1, D)  # (KV, B*G*T, D): all queries of all continuations
    to_prefix = _float32_product(rows, prefix_k[0].transpose(1, 2)).view(KV, B, H // KV * T, -1) * scale
    to_own = _float32_product(q.flatten(0, 1), k.flatten(0, 1).transpose(1, 2)) * scale  # (B*KV, G*T, S)
    to_own = to_own.view(B, KV, -1, S).transpose(0, 1)  # (KV, B, G*T, S)
    if mask is None:
        future = torch.ones(T, T, dtype=torch.bool, device=q.device).triu(1).repeat(H // KV, 1)
        to_own = to_own.masked_fill(future, -torch.inf)
    else:
        to_own = to_own + mask[:, 0].repeat(1, H // KV, 1)
    weights = torch.softmax(torch.cat([to_prefix, to_own], -1), -1).to(q.dtype)
    on_prefix, on_own = weights.split([prefix_k.shape[2], S], -1)
    out = (on_prefix.reshape(KV, B * (H // KV) * T, -1) @ prefix_v[0]).view(KV, B, H // KV * T, D)
    out = out + on_own @ v.transpose(0, 1)
    return out.view(KV, B, H // KV, T, D).permute(1, 3, 0, 2, 4).reshape(B, T, H, D)


def _float32_product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Products of matrices, (N, R, D) with (N, D, C), that are not rounded to half precision."""
    if a.device.type == "cuda" and a.dtype != torch.float32:
        return torch.bmm(a, b, out_dtype=torch.float32)
    return a.float() @ b.float()


def _attend_flash(q, k, v, prefix_k, prefix_v, scale, mask=None):
    """The same by PyTorch's blockwise CPU kernel: the two parts apart, then joined by their log-sum-exps."""
    # It never holds the attention weights, which makes it faster.
    flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    B, H, T, D = q.shape
    KV, G = k.shape[1], H // k.shape[1]
    rows = q.reshape(B, KV, G, T, D).permute(1, 2, 0, 3, 4).reshape(1, KV, G * B * T, D)
    on_prefix, lse_prefix = flash(rows, prefix_k, prefix_v, 0.0, False, scale=scale)
    on_prefix = on_prefix.view(KV, G, B, T, D).permute(2, 3, 0, 1, 4).reshape(B, T, H, D)
    lse_prefix = lse_prefix.reshape(KV, G, B, T).permute(2, 3, 0, 1).reshape(B, T, H)
    k, v = k.repeat_interleave(G, 1), v.repeat_interleave(G, 1)
    on_own, lse_own = flash(q, k, v, 0.0, mask is None, attn_mask=mask, scale=scale)
    lse_own = lse_own.reshape(B, H, T).transpose(1, 2)
    share = torch.sigmoid(lse_prefix - lse_own)[..., None]  # of the attention that falls on the prefix
    return torch.lerp(on_own.transpose(1, 2), on_prefix, share)


AttentionInterface.register(NAME, _attention)
