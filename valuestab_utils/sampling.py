"""Sampling of messages in batches, such that a text does not depend on the batch it was sampled in.

Each message has its own stream of noise. A token is drawn by adding Gumbel noise from that stream to the model's
log-probabilities and taking the largest (the Gumbel-max form of sampling). Batching changes logits by rounding
error, which matters only where the two largest are closer than that error; there, in fp32, the step is decided by the
message's own prompt run alone, which no batch can change.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import DynamicCache, RepetitionPenaltyLogitsProcessor
from transformers.cache_utils import DynamicLayer

from valuestab_utils.errors import ValuestabError

# Largest distance, in logits, that batching can open between two logits in fp32 (seen: below 1e-4), doubled.
_ROUNDING = 2e-4
_NUCLEUS_ROUNDING = 1e-4  # the same for the cumulative probability at the nucleus' edge


@dataclass(frozen=True)
class Sampling:
    """Settings of sampling, as model cards give them.

    Attributes
    ----------
    temperature : float
        0 takes the most likely token.
    top_p : float
        Nucleus; 1 is off.
    top_k : int
        Tokens kept; 0 is off.
    repetition_penalty : float
        1 is off.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    repetition_penalty: float = 1.0


@dataclass(frozen=True)
class Sampled:
    """One sampled message.

    Attributes
    ----------
    text : str
    n_tokens : int
        Tokens drawn, the ending one included.
    finish : str
        Why it ended: "eos", "label" (a turn label in the base format) or "length".
    close_calls : int
        Steps in which the two largest candidates were within rounding error.
    """

    text: str
    n_tokens: int
    finish: str
    close_calls: int


def sample_messages(
    model,
    tokenizer,
    prompts: Sequence[Sequence[int]],
    noises: Sequence[np.random.Generator],
    sampling: Sampling,
    max_new_tokens: int,
    cuts: Sequence[Callable[[str], str]] | None = None,
    told: Sequence[Callable[[], object] | None] | None = None,
) -> list[Sampled]:
    """Sample one message for each prompt.

    Parameters
    ----------
    model : transformers.PreTrainedModel
    tokenizer : transformers.PreTrainedTokenizerBase
    prompts : sequence of sequence of int
        Token ids.
    noises : sequence of numpy.random.Generator
        The noise of each message, not shared with any other.
    sampling : Sampling
    max_new_tokens : int
    cuts : sequence of callable, optional
        For each prompt, what cuts a text where the message ends (see `valuestab_utils.prompts.cut_at_label`);
        sampling stops where it cuts something off.
    told : sequence of callable, optional
        For each prompt, what is called when its message is written (or None).

    Returns
    -------
    list of Sampled, in the order of the prompts
    """
    eos = _eos_ids(model, tokenizer)
    drawn: list[list[int]] = [[] for _ in prompts]
    close = [0] * len(prompts)
    done: dict[int, Sampled] = {}
    alive = list(range(len(prompts)))
    with torch.inference_mode():
        step = _Decoder(model, prompts)
        logits = step.logits
        while alive:
            chosen = []
            for row, i in enumerate(alive):
                seen = [*prompts[i], *drawn[i]]
                token, is_close = draw(
                    logits[row], noises[i], sampling, seen, alone=lambda: _alone(model, seen)
                )
                close[i] += is_close
                drawn[i].append(token)
                chosen.append(token)
                text = cut = _text(tokenizer, drawn[i], eos) if cuts else ""
                if cuts:
                    cut = cuts[i](text)
                if token in eos or cut != text or len(drawn[i]) == max_new_tokens:
                    finish = "eos" if token in eos else "label" if cut != text else "length"
                    text = cut if cuts else _text(tokenizer, drawn[i], eos)
                    done[i] = Sampled(text.strip(), len(drawn[i]), finish, close[i])
                    if told and told[i]:
                        told[i]()
            keep = [row for row, i in enumerate(alive) if i not in done]
            alive = [alive[row] for row in keep]
            if alive:
                logits = step.advance([chosen[row] for row in keep], keep)
    return [done[i] for i in range(len(prompts))]


def draw(
    logits: torch.Tensor,
    noise: np.random.Generator,
    sampling: Sampling,
    seen: Sequence[int],
    alone: Callable[[], torch.Tensor] | None = None,
) -> tuple[int, bool]:
    """Draw a token: the largest of log-probability / temperature + Gumbel noise, inside top-k and nucleus.

    Parameters
    ----------
    logits : Tensor, shape (V,)
        Raw logits of the step.
    noise : numpy.random.Generator
        One draw for each token of the vocabulary is taken from it, whatever is kept.
    sampling : Sampling
    seen : sequence of int
        Tokens so far, for the repetition penalty.
    alone : callable, optional
        Gives the step's logits computed without a batch, for the case that the draw is too close to call.

    Returns
    -------
    token : int
    is_close : bool
        Whether the draw was too close to call.
    """
    exponential = torch.from_numpy(noise.standard_exponential(logits.shape[-1], dtype=np.float32))
    gumbel = -torch.log(exponential).to(logits.device)
    token, is_close = _largest(logits, gumbel, sampling, seen)
    if is_close and alone is not None and logits.dtype == torch.float32:
        token, _ = _largest(alone(), gumbel, sampling, seen)
    return token, is_close


def _largest(logits, gumbel, sampling: Sampling, seen) -> tuple[int, bool]:
    logits = logits.float()
    if sampling.repetition_penalty != 1:
        penalize = RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty)
        logits = penalize(torch.tensor([list(seen)], device=logits.device), logits[None])[0]
    if sampling.temperature == 0:
        best = logits.topk(2)
        return int(best.indices[0]), bool(best.values[0] - best.values[1] < _ROUNDING)
    logits = logits / sampling.temperature
    margin = _ROUNDING / sampling.temperature
    candidates = None
    if sampling.top_k:
        candidates = logits.topk(min(sampling.top_k, len(logits))).indices
    if sampling.top_p < 1:
        return _largest_in_nucleus(logits, gumbel, sampling.top_p, margin, candidates)
    if candidates is not None:
        logits, gumbel = logits[candidates], gumbel[candidates]
    best = (logits + gumbel).topk(min(2, len(logits)))
    token = int(best.indices[0] if candidates is None else candidates[best.indices[0]])
    return token, len(best.values) > 1 and bool(best.values[0] - best.values[1] < margin)


def _largest_in_nucleus(logits, gumbel, top_p: float, margin: float, candidates) -> tuple[int, bool]:
    """Largest inside the smallest set of most likely tokens with probability ``top_p`` or more."""
    logprobs = torch.log_softmax(logits if candidates is None else logits[candidates], -1)
    # A nucleus seldom holds more than a few tokens: sort those at the top first, all only if they are not enough.
    size = len(logprobs)
    for n in (min(256, size), size):
        top = logprobs.topk(n)
        before = top.values.exp().cumsum(-1) - top.values.exp()  # probability of what is more likely
        if before[-1] > top_p + _NUCLEUS_ROUNDING or n == size:
            break
    ids = top.indices if candidates is None else candidates[top.indices]
    perturbed = top.values + gumbel[ids]
    winners = []
    for edge in (top_p, top_p - _NUCLEUS_ROUNDING, top_p + _NUCLEUS_ROUNDING):
        inside = (before < edge) | (torch.arange(n, device=before.device) == 0)
        winners.append(torch.where(inside, perturbed, -torch.inf).topk(min(2, n)))
    tokens = {int(winner.indices[0]) for winner in winners}
    first = winners[0].values
    is_close = len(tokens) > 1 or (n > 1 and bool(first[0] - first[1] < margin))
    return int(ids[winners[0].indices[0]]), is_close


def _text(tokenizer, ids: Sequence[int], eos: set[int]) -> str:
    return tokenizer.decode([i for i in ids if i not in eos], skip_special_tokens=True)


def _alone(model, ids: Sequence[int]) -> torch.Tensor:
    inputs = torch.tensor([list(ids)], device=model.device)
    return model(input_ids=inputs, use_cache=False, logits_to_keep=1).logits[0, -1]


def _eos_ids(model, tokenizer) -> set[int]:
    configured = model.generation_config.eos_token_id
    ids = configured if isinstance(configured, list) else [configured]
    return {i for i in [*ids, tokenizer.eos_token_id] if i is not None}


class _Decoder:
    """Left-padded batch in decoding; rows can be dropped as they end. Logits are those of the next token, (B, V)."""

    def __init__(self, model, prompts):
        longest = max(map(len, prompts))
        self.model = model
        ids = torch.tensor([[0] * (longest - len(p)) + list(p) for p in prompts], device=model.device)
        lengths = torch.tensor([len(p) for p in prompts], device=model.device)
        self.mask = (
            torch.arange(longest, device=model.device) >= longest - lengths[:, None]
        ).long()  # (B, T)
        self.cache = None
        # A CPU gains nothing from a batch of whole prompts, and would compute its padding too. Caches of other kinds
        # than the plain one (sliding windows) cannot be put together from several prompts.
        plain = all(type(layer) is DynamicLayer for layer in DynamicCache(config=model.config).layers)
        self.logits = (
            self._one_by_one(prompts) if model.device.type == "cpu" and plain else self._forward(ids)
        )

    def _one_by_one(self, prompts) -> torch.Tensor:
        outputs = [
            self.model(input_ids=torch.tensor([list(prompt)]), use_cache=True, logits_to_keep=1)
            for prompt in prompts
        ]
        caches = [output.past_key_values for output in outputs]
        self.cache = DynamicCache()
        for i in range(len(caches[0].layers)):
            both = [(cache.layers[i].keys, cache.layers[i].values) for cache in caches]
            keys, values = (
                [_left_padded(x, self.mask.shape[1]) for x in part] for part in zip(*both, strict=True)
            )
            self.cache.update(torch.cat(keys), torch.cat(values), i)
            for cache in caches:  # free what has been copied: a batch of caches is large
                cache.layers[i].keys = cache.layers[i].values = None
        return self._checked(torch.cat([output.logits[:, -1] for output in outputs]))

    def advance(self, tokens: list[int], rows: list[int]) -> torch.Tensor:
        if len(rows) < len(self.mask):
            index = torch.tensor(rows, device=self.model.device)
            self.mask = self.mask[index]
            self.cache.batch_select_indices(index)
        ids = torch.tensor(tokens, device=self.model.device)[:, None]
        self.mask = torch.cat([self.mask, torch.ones_like(ids)], 1)
        self.logits = self._forward(ids)
        return self.logits

    def _forward(self, ids: torch.Tensor) -> torch.Tensor:
        at = (self.mask.cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]  # (B, T_new)
        out = self.model(
            input_ids=ids,
            attention_mask=self.mask,
            position_ids=at,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self.cache = out.past_key_values
        return self._checked(out.logits[:, -1])

    @staticmethod
    def _checked(logits: torch.Tensor) -> torch.Tensor:
        if torch.isnan(logits).any():
            raise ValuestabError(
                "The model gives NaN logits, so no text can be sampled: load it in another dtype (float32 is safest)."
            )
        return logits


def _left_padded(x: torch.Tensor, length: int) -> torch.Tensor:
    return torch.nn.functional.pad(x, (0, 0, length - x.shape[2], 0))  # (1, KV, T, D): T comes last but one
