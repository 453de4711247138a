"""Letter log-probabilities of many prompts: one by one, on what they share, and from question to question."""

import copy
import functools
import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from valuestab_utils.letters.shared_prefix import compute_prefix, compute_stems, continuation_logits, padded, rope_set
from valuestab_utils.letters.tokens import LetterTokens, letter_logprobs, stray_token

# Tokens in one forward pass: enough for full-speed matrix products, few enough for activations to stay in cache.
BATCH_TOKENS = {"cpu": 800, "cuda": 16384}

# Stems cost one more forward pass: each must be this long (tokens), and together they must save this share
# of the tokens that follow the prefix.
SHORTEST_STEM = 8
LEAST_SAVED = 0.1


@dataclass(frozen=True)
class Scores:
    """Letter scores of N prompts.

    logprobs : (N, n_letters), nats
    stray, stray_logprobs : (N,), the most likely token that is no letter
    tokens_computed : that went through the model, padding included
    n_shared : tokens that were computed once for all prompts
    """

    logprobs: torch.Tensor
    stray: torch.Tensor
    stray_logprobs: torch.Tensor
    tokens_computed: int
    n_shared: int = 0


def score_one_by_one(model, prompts: Sequence[Sequence[int]], tokens: LetterTokens) -> Scores:
    """Score each full prompt (its token ids) alone: the definition that the other ways must agree with."""
    rows = []
    for prompt in prompts:
        ids = torch.tensor([list(prompt)], device=model.device)  # (1, T)
        with torch.inference_mode():
            logits = model(input_ids=ids, use_cache=False, logits_to_keep=tokens.positions).logits
            rows.append(logits[:, -tokens.positions :])  # a few models keep all
    return _scores(torch.cat(rows), tokens, sum(len(prompt) for prompt in prompts))


def score_on_shared_prefix(
    model, prompts: Sequence[Sequence[int]], tokens: LetterTokens, batch_tokens: int | None = None
) -> Scores:
    """Score prompts in batches on the attention cache of the tokens that all of them begin with.

    Stems that only some prompts share (an item in several orders of its options) are computed once too, where that
    saves enough. A forward pass takes about ``batch_tokens``, by default `BATCH_TOKENS`.
    """
    # What is shared is found in the tokens themselves: a prompt that is tokenized in pieces may get other tokens.
    n_shared = n_shared_tokens(prompts, tokens)
    rests = [list(prompt[n_shared:]) for prompt in prompts]
    alone, groups = _grouped(rests, tokens.positions)
    budget = batch_tokens or BATCH_TOKENS[model.device.type]
    with torch.inference_mode():
        prefix = compute_prefix(model, list(prompts[0][:n_shared]))

        def go_on(batch, ids, wanted, stems=None, stem_of=None):
            rows = torch.tensor([stem_of[i] for i in batch], device=model.device) if stems else None
            return continuation_logits(model, prefix, ids, wanted, stems, rows)

        logits, computed = _end_logits(go_on, {i: rests[i] for i in alone}, tokens.positions, budget, model.device)
        for batch in _batches([n_stem for _, n_stem in groups], budget):
            some = [groups[k] for k in batch]
            stems = compute_stems(model, prefix, [rests[members[0]][:n_stem] for members, n_stem in some])
            ends = {i: rests[i][n_stem:] for members, n_stem in some for i in members}
            stem_of = {i: k for k, (members, _) in enumerate(some) for i in members}
            from_stems = functools.partial(go_on, stems=stems, stem_of=stem_of)
            more, n_computed = _end_logits(from_stems, ends, tokens.positions, budget, model.device)
            logits |= more
            computed += n_computed + len(some) * max(n_stem for _, n_stem in some)
    return _scores(torch.stack([logits[i] for i in range(len(prompts))]), tokens, n_shared + computed, n_shared)


def score_on_copied_prefix(
    model, prompts: Sequence[Sequence[int]], tokens: LetterTokens, batch_tokens: int | None = None
) -> Scores:
    """Score prompts in batches by the model's own attention, on copies of the cache of what all of them begin with.

    What an architecture has of its own (soft caps, attention sinks, latent attention, layers with a state) is all
    there.
    """
    n_shared = n_shared_tokens(prompts, tokens)
    rests = {i: list(prompt[n_shared:]) for i, prompt in enumerate(prompts)}
    budget = batch_tokens or BATCH_TOKENS[model.device.type]
    with torch.inference_mode():
        beginning = torch.tensor([list(prompts[0][:n_shared])], device=model.device)  # (1, T)
        cache = model(input_ids=beginning, use_cache=True, logits_to_keep=1).past_key_values

        def go_on(batch, ids, wanted):
            own = copy.deepcopy(cache)  # it is changed in place
            own.reorder_cache(torch.zeros(len(batch), dtype=torch.long))  # on the CPU: layers may be on several GPUs
            # Padding stands at the prompts' ends, where causal layers never look.
            return model(input_ids=ids, past_key_values=own, use_cache=True, logits_to_keep=wanted).logits

        logits, computed = _end_logits(go_on, rests, tokens.positions, budget, model.device)
    return _scores(torch.stack([logits[i] for i in rests]), tokens, n_shared + computed, n_shared)


def n_shared_tokens(prompts: Sequence[Sequence[int]], tokens: LetterTokens) -> int:
    """Tokens that all prompts begin with; what is left of each holds the positions that are scored."""
    return min(_common_length(prompts), min(map(len, prompts)) - tokens.positions)


def _end_logits(
    go_on: Callable[[list[int], torch.Tensor, torch.Tensor], torch.Tensor],
    ends: Mapping[int, list[int]],
    n_scored: int,
    budget: int,
    device: torch.device,
) -> tuple[dict[int, torch.Tensor], int]:
    """Logits at the last ``n_scored`` positions of each prompt, by its index, and the tokens computed.

    ``ends`` has the tokens still to be computed; ``go_on`` takes indices, padded tokens and the positions wanted.
    """
    prompts, logits, computed = list(ends), {}, 0
    for batch in _batches([len(end) for end in ends.values()], budget):
        batch = [prompts[k] for k in batch]
        ids = padded([ends[i] for i in batch], device)
        wanted = sorted({len(ends[i]) - back for i in batch for back in range(1, n_scored + 1)})
        at = {position: k for k, position in enumerate(wanted)}
        out = go_on(batch, ids, torch.tensor(wanted, device=device))
        for row, i in enumerate(batch):
            last = at[len(ends[i]) - 1]
            logits[i] = out[row, last + 1 - n_scored : last + 1]  # (positions, V)
        computed += ids.numel()
    return logits, computed


def _grouped(rests: Sequence[list[int]], n_scored: int) -> tuple[list[int], list[tuple[list[int], int]]]:
    """Prompts left alone, and groups with a common stem and its length, so that most tokens are saved.

    No groups if too few tokens are saved.
    """
    order = sorted(range(len(rests)), key=rests.__getitem__)  # those that begin alike are neighbours
    common = [_common_length([rests[i], rests[j]]) for i, j in itertools.pairwise(order)]
    # For the first `end` prompts in that order: the most tokens saved, the last group's beginning, its stem.
    best = [(0, 0, 0)]
    for end in range(1, len(order) + 1):
        best.append((best[end - 1][0], end - 1, 0))
        n_stem = len(rests[order[end - 1]]) - n_scored  # what is scored stays with each prompt
        for begin in range(end - 2, -1, -1):
            n_stem = min(n_stem, common[begin], len(rests[order[begin]]) - n_scored)
            if n_stem < SHORTEST_STEM:
                break
            saved = best[begin][0] + (end - begin - 1) * n_stem
            best[end] = max(best[end], (saved, begin, n_stem))
    if best[-1][0] < LEAST_SAVED * sum(map(len, rests)):
        return list(range(len(rests))), []
    alone, groups, end = [], [], len(order)
    while end:
        _, begin, n_stem = best[end]
        if n_stem:
            groups.append((order[begin:end], n_stem))
        else:
            alone.append(order[begin])
        end = begin
    return alone, groups


def _scores(logits: torch.Tensor, tokens: LetterTokens, computed: int, n_shared: int = 0) -> Scores:
    stray, stray_logprobs = stray_token(logits, tokens)
    return Scores(letter_logprobs(logits, tokens).cpu(), stray.cpu(), stray_logprobs.cpu(), computed, n_shared)


def _common_length(prompts: Sequence[Sequence[int]]) -> int:
    return len(os.path.commonprefix([list(prompt) for prompt in prompts]))


def _batches(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Indices by ascending length, cut into even runs of at most about ``budget`` padded tokens."""
    total = sum(lengths)
    n_batches = max(1, round(total / budget))
    cuts, batch, done = [], [], 0
    for i in sorted(range(len(lengths)), key=lengths.__getitem__):
        batch.append(i)
        done += lengths[i]
        # The tolerance: rounding must not put a cut off to the next prompt.
        if done >= total * (len(cuts) + 1) / n_batches - 1e-9:
            cuts.append(batch)
            batch = []
    return cuts + ([batch] if batch else [])


def can_be_kept(model, n_tokens: int) -> bool:
    """Whether a prompt of so many tokens can be kept with this model, cut, and gone on with.

    Not where layers keep a state that cannot be cut, or a window shorter than the prompt.
    """
    if getattr(model, "_is_stateful", False) or not getattr(model, "_supports_attention_backend", False):
        return False
    return all(
        type(layer) is DynamicLayer or (type(layer) is DynamicSlidingWindowLayer and n_tokens < layer.sliding_window)
        for layer in DynamicCache(config=model.config).layers
    )


class GrowingPrefix:
    """Attention cache of the last prompt of one conversation; the next computes only what it does not share with it."""

    def __init__(self, model):
        self.model = model
        self._ids: list[int] = []
        self._cache = DynamicCache(config=model.config)

    def score(self, ids: Sequence[int], tokens: LetterTokens) -> Scores:
        """Score the letters after a whole prompt: as `score_one_by_one` does, but for rounding.

        Of the result, ``n_shared`` tokens were in the cache and ``tokens_computed`` were not.
        """
        ids = list(ids)
        # An interrupted call leaves the cache ahead of the ids; and with long RoPE, what was computed for one length is
        # wrong for another.
        interrupted = self._cache.get_seq_length() != len(self._ids)
        if interrupted or rope_set(self.model.config, len(self._ids)) != rope_set(self.model.config, len(ids)):
            self._ids, self._cache = [], DynamicCache(config=self.model.config)
        # What is fed must hold the positions that are scored.
        # A chat template may end a begun turn otherwise than it was begun: from there on, nothing can be kept.
        kept = min(len(os.path.commonprefix([self._ids, ids])), len(ids) - tokens.positions)
        with torch.inference_mode():
            if kept < len(self._ids):
                self._cache.crop(kept - len(self._ids))  # a negative number: how many to cut off
            self._ids = self._ids[:kept]
            logits = self.model(
                input_ids=torch.tensor([ids[kept:]], device=self.model.device),  # (1, T)
                past_key_values=self._cache,
                use_cache=True,
                logits_to_keep=tokens.positions,
            ).logits
        self._ids = ids
        return _scores(logits, tokens, len(ids) - kept, kept)
