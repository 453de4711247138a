"""Letter log-probabilities of many prompts of one session, computed on what the prompts share."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from valuestab_utils import shared_prefix
from valuestab_utils.letters import LetterTokens, letter_logprobs, stray_token

# Tokens in one forward pass: enough for full-speed matrix products, few enough for activations to stay in cache.
BATCH_TOKENS = {"cpu": 800, "cuda": 16384}


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
    """Score each full prompt alone: the definition that `score_on_shared_prefix` must agree with.

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
            rows.append(model(input_ids=ids, use_cache=False, logits_to_keep=tokens.positions).logits)
    return _scores(torch.cat(rows), tokens, sum(len(prompt) for prompt in prompts))


def score_on_shared_prefix(model, prompts: Sequence[Sequence[int]], tokens: LetterTokens) -> Scores:
    """Score prompts in batches on the attention cache of the tokens that all of them begin with.

    Parameters and result as in `score_one_by_one`. The shared beginning (conversation, and the instruction that every
    item begins with) is found in the tokens themselves, so that no prompt is tokenized in pieces.
    """
    # What is left of each prompt must hold the positions that are scored.
    n_shared = min(_common_length(prompts), min(map(len, prompts)) - tokens.positions)
    rests = [list(prompt[n_shared:]) for prompt in prompts]
    by_length = sorted(range(len(prompts)), key=lambda i: len(rests[i]))
    logits: dict[int, torch.Tensor] = {}
    computed = n_shared
    with torch.inference_mode():
        prefix = shared_prefix.compute_prefix(model, list(prompts[0][:n_shared]))
        for batch in _batches(by_length, [len(rest) for rest in rests], BATCH_TOKENS[model.device.type]):
            longest = len(rests[batch[-1]])
            ids = torch.tensor(
                [rests[i] + [0] * (longest - len(rests[i])) for i in batch], device=model.device
            )
            wanted = sorted({len(rests[i]) - back for i in batch for back in range(1, tokens.positions + 1)})
            at = {position: k for k, position in enumerate(wanted)}
            out = shared_prefix.continuation_logits(
                model, prefix, ids, torch.tensor(wanted, device=model.device)
            )
            for row, i in enumerate(batch):
                last = at[len(rests[i]) - 1]
                logits[i] = out[row, last + 1 - tokens.positions : last + 1]  # (positions, V)
            computed += ids.numel()
        stacked = torch.stack([logits[i] for i in range(len(prompts))])
    return _scores(stacked, tokens, computed, n_shared)


def _scores(logits: torch.Tensor, tokens: LetterTokens, computed: int, n_shared: int = 0) -> Scores:
    stray, stray_logprobs = stray_token(logits, tokens)
    return Scores(
        letter_logprobs(logits, tokens).cpu(), stray.cpu(), stray_logprobs.cpu(), computed, n_shared
    )


def _common_length(prompts: Sequence[Sequence[int]]) -> int:
    return len(os.path.commonprefix([list(prompt) for prompt in prompts]))


def _batches(order: Sequence[int], lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Cut an order of ascending length into even runs of at most about ``budget`` padded tokens."""
    total = sum(lengths)
    n_batches = max(1, round(total / budget))
    cuts, batch, done = [], [], 0
    for i in order:
        batch.append(i)
        done += lengths[i]
        if done >= total * (len(cuts) + 1) / n_batches - 1e-9:
            cuts.append(batch)
            batch = []
    return cuts + ([batch] if batch else [])
