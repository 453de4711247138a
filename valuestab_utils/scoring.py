"""Letter log-probabilities of many prompts of one session, computed on what the prompts share.

`score_one_by_one` is the definition. `score_on_shared_prefix` is the fastest; `score_on_copied_prefix` takes the memory
of a cache a prompt, and leaves attention to the model.
"""

import copy
import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from valuestab_utils import shared_prefix
from valuestab_utils.letters import LetterTokens, letter_logprobs, stray_token

# Tokens in one forward pass: enough for full-speed matrix products, few enough for activations to stay in cache.
BATCH_TOKENS = {"cpu": 800, "cuda": 16384}

# Stems cost one more forward pass: each must be this long (tokens), and together they must save this share
# of the tokens that follow the prefix.
SHORTEST_STEM = 8
LEAST_SAVED = 0.1


@dataclass(frozen=True)
class _Group:
    """Prompts, by their indices, that share the next ``n_stem`` tokens after the prefix."""

    members: list[int]
    n_stem: int


@dataclass(frozen=True)
class Scores:
    """Letter scores of N prompts.

    Attributes
    ----------
    logprobs : Tensor, shape (N, n_letters)
        Log-probability of each letter, in nats.
    stray : Tensor, shape (N,)
        The most likely token that is no letter.
    stray_logprobs : Tensor, shape (N,)
    tokens_computed : int
        Tokens that went through the model, padding included.
    n_shared : int
        Tokens that were computed once for all prompts.
    """

    logprobs: torch.Tensor
    stray: torch.Tensor
    stray_logprobs: torch.Tensor
    tokens_computed: int
    n_shared: int = 0


def score_one_by_one(model, prompts: Sequence[Sequence[int]], tokens: LetterTokens) -> Scores:
    """Score each full prompt alone: the definition that the other ways must agree with.

    Parameters
    ----------
    model : transformers.PreTrainedModel
    prompts : sequence of sequence of int
        Token ids of each full prompt.
    tokens : LetterTokens
    """
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

    Parameters and result as in `score_one_by_one`; ``batch_tokens`` are about as many as one forward pass takes
    (`BATCH_TOKENS` if None). The shared beginning (conversation, and the instruction
    that every item begins with) is found in the tokens themselves, so that no prompt is tokenized in pieces.
    So are stems that only some prompts share (an item that is asked in several orders of its options): where
    that saves enough, each of them is computed once too.
    """
    n_shared = n_shared_tokens(prompts, tokens)
    rests = [list(prompt[n_shared:]) for prompt in prompts]
    alone, groups = _grouped(rests, tokens.positions)
    budget = batch_tokens or BATCH_TOKENS[model.device.type]
    with torch.inference_mode():
        prefix = shared_prefix.compute_prefix(model, list(prompts[0][:n_shared]))

        def go_on(batch, ids, wanted):
            return shared_prefix.continuation_logits(model, prefix, ids, wanted)

        logits, computed = _end_logits(go_on, {i: rests[i] for i in alone}, tokens.positions, budget, model.device)
        for batch in _batches([group.n_stem for group in groups], budget):
            some = [groups[k] for k in batch]
            shared = [rests[group.members[0]][: group.n_stem] for group in some]
            stems = shared_prefix.compute_stems(model, prefix, shared)
            ends = {i: rests[i][group.n_stem :] for group in some for i in group.members}
            stem_of = {i: k for k, group in enumerate(some) for i in group.members}

            def go_on_from_stems(batch, ids, wanted, stems=stems, stem_of=stem_of):
                rows = torch.tensor([stem_of[i] for i in batch], device=model.device)
                return shared_prefix.continuation_logits(model, prefix, ids, wanted, stems, rows)

            more, n_computed = _end_logits(go_on_from_stems, ends, tokens.positions, budget, model.device)
            logits |= more
            computed += n_computed + len(shared) * max(map(len, shared))
        stacked = torch.stack([logits[i] for i in range(len(prompts))])
    return _scores(stacked, tokens, n_shared + computed, n_shared)


def score_on_copied_prefix(
    model, prompts: Sequence[Sequence[int]], tokens: LetterTokens, batch_tokens: int | None = None
) -> Scores:
    """Score prompts in batches by the model's own attention, on copies of the cache of what all of them begin with.

    Parameters and result as in `score_on_shared_prefix`. What an architecture has of its own (soft caps, attention
    sinks, latent attention, layers with a state) is all there; prompts are padded at their ends, where causal layers
    never look.
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
            return model(input_ids=ids, past_key_values=own, use_cache=True, logits_to_keep=wanted).logits

        logits, computed = _end_logits(go_on, rests, tokens.positions, budget, model.device)
        stacked = torch.stack([logits[i] for i in rests])
    return _scores(stacked, tokens, n_shared + computed, n_shared)


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

    ``ends`` has the tokens of each prompt that are still to be computed; ``go_on`` gives the logits of some prompts, by
    their indices, padded tokens, and the positions wanted.
    """
    prompts, logits, computed = list(ends), {}, 0
    for batch in _batches([len(end) for end in ends.values()], budget):
        batch = [prompts[k] for k in batch]
        ids = shared_prefix.padded([ends[i] for i in batch], device)
        wanted = sorted({len(ends[i]) - back for i in batch for back in range(1, n_scored + 1)})
        at = {position: k for k, position in enumerate(wanted)}
        out = go_on(batch, ids, torch.tensor(wanted, device=device))
        for row, i in enumerate(batch):
            last = at[len(ends[i]) - 1]
            logits[i] = out[row, last + 1 - n_scored : last + 1]  # (positions, V)
        computed += ids.numel()
    return logits, computed


def _grouped(rests: Sequence[list[int]], n_scored: int) -> tuple[list[int], list[_Group]]:
    """The grouping of prompts by common stems that saves the most tokens: prompts left alone, and groups.

    A stem leaves at least ``n_scored`` tokens to each prompt. Nobody is grouped if that saves too little.
    """
    order = sorted(range(len(rests)), key=rests.__getitem__)  # those that begin alike are neighbours
    common = [_common_length([rests[i], rests[j]]) for i, j in itertools.pairwise(order)]
    # For the first `end` prompts in that order: the most tokens saved, the last group's beginning, its stem.
    best = [(0, 0, 0)]
    for end in range(1, len(order) + 1):
        best.append((best[end - 1][0], end - 1, 0))
        n_stem = len(rests[order[end - 1]]) - n_scored
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
            groups.append(_Group(order[begin:end], n_stem))
        else:
            alone.append(order[begin])
        end = begin
    return alone, groups


def _scores(logits: torch.Tensor, tokens: LetterTokens, computed: int, n_shared: int = 0) -> Scores:
    stray, stray_logprobs = stray_token(logits, tokens)
    return Scores(
        letter_logprobs(logits, tokens).cpu(), stray.cpu(), stray_logprobs.cpu(), computed, n_shared
    )


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
        if done >= total * (len(cuts) + 1) / n_batches - 1e-9:
            cuts.append(batch)
            batch = []
    return cuts + ([batch] if batch else [])
