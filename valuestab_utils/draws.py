"""Drawing the next token of each message of a batch, such that a draw does not depend on the batch.

A token is drawn by adding Gumbel noise from the message's own stream to the model's log-probabilities and taking the
largest (the Gumbel-max form of sampling). Batching changes logits by rounding error, which matters only where the two
largest are closer than that error; there, in fp32, the step is decided by the message's own prompt run alone.
"""

import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

# Of the distribution that is drawn from, in the settings of results: those of another version are refused. Version 1
# took its noise from float32 numbers, which are exactly 0 once in 2^23, and then drew that token whatever its logit.
SAMPLER = 2

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


def draw(
    logits: torch.Tensor, gumbel: torch.Tensor, sampling: Sampling, seen: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw a token for each row: the largest of logit / temperature + Gumbel noise, inside top-k and nucleus.

    Parameters
    ----------
    logits : Tensor, shape (B, V)
        Raw logits of the step.
    gumbel : Tensor, shape (B, V)
        Standard Gumbel noise; each row from the message's own stream.
    sampling : Sampling
    seen : Tensor of bool, shape (B, V), optional
        Tokens that a row has in its prompt or text, for the repetition penalty.

    Returns
    -------
    tokens : Tensor of int, shape (B,)
    close : Tensor of bool, shape (B,)
        Whether the draw was too close to call.
    """
    logits = logits.float()
    if sampling.repetition_penalty != 1:
        logits = torch.where(seen, _penalized(logits, sampling.repetition_penalty), logits)
    if sampling.temperature == 0:
        best = logits.topk(2)
        return best.indices[:, 0], best.values[:, 0] - best.values[:, 1] < _ROUNDING
    logits, ids = logits / sampling.temperature, None
    if sampling.top_k:
        logits, ids = logits.topk(min(sampling.top_k, logits.shape[1]))
        gumbel = gumbel.gather(1, ids)
    margin = _ROUNDING / sampling.temperature
    if sampling.top_p < 1:
        place, close = _largest_in_nucleus(logits, gumbel, sampling.top_p, margin)
    else:
        best = (logits + gumbel).topk(min(2, logits.shape[1]))
        place, close = best.indices[:, 0], _nearer_than(margin, best.values)
    return place if ids is None else ids.gather(1, place[:, None])[:, 0], close


def _penalized(logits: torch.Tensor, penalty: float) -> torch.Tensor:
    return torch.where(logits < 0, logits * penalty, logits / penalty)


def _largest_in_nucleus(logits, gumbel, top_p: float, margin: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Largest inside the smallest set of most likely tokens with probability ``top_p`` or more."""
    logprobs = torch.log_softmax(logits, -1)
    # A nucleus seldom holds more than a few tokens: sort those at the top first, all only if they are not enough.
    size = logprobs.shape[1]
    for n in (min(256, size), size):
        top = logprobs.topk(n)
        before = top.values.exp().cumsum(-1) - top.values.exp()  # probability of what is more likely
        if n == size or bool((before[:, -1] > top_p + _NUCLEUS_ROUNDING).all()):
            break
    perturbed = top.values + gumbel.gather(1, top.indices)
    first_place = torch.arange(n, device=before.device) == 0
    winners = []
    for edge in (top_p, top_p - _NUCLEUS_ROUNDING, top_p + _NUCLEUS_ROUNDING):
        inside = (before < edge) | first_place
        winners.append(torch.where(inside, perturbed, -torch.inf).topk(min(2, n)))
    chosen = winners[0].indices[:, :1]
    moved = torch.stack([winner.indices[:, 0] != chosen[:, 0] for winner in winners]).any(0)
    return top.indices.gather(1, chosen)[:, 0], moved | _nearer_than(margin, winners[0].values)


def _nearer_than(margin: float, best: torch.Tensor) -> torch.Tensor:
    """Whether the two largest of each row are nearer than ``margin``; one alone has no rival."""
    if best.shape[1] == 1:
        return torch.zeros(len(best), dtype=torch.bool, device=best.device)
    return best[:, 0] - best[:, 1] < margin


class Noise:
    """Standard Gumbel noise of a batch of messages, one row a message and step, from their own generators.

    On a GPU, the next step's noise is drawn by threads while the model computes.

    Parameters
    ----------
    generators : sequence of numpy.random.Generator
        Of each message.
    n_tokens : int
        Size of the vocabulary: as many numbers are taken from a generator at each step, whatever is drawn.
    device : torch.device
    """

    def __init__(self, generators: Sequence[np.random.Generator], n_tokens: int, device: torch.device):
        self.generators, self.n_tokens, self.device = generators, n_tokens, device
        self._threads = ThreadPoolExecutor(min(16, os.cpu_count() or 1)) if device.type != "cpu" else None
        self._ahead: dict[int, Future] = {}

    def prepare(self, rows: Sequence[int]) -> None:
        """Begin to draw the next step's noise of these messages."""
        if self._threads:
            self._ahead = {i: self._threads.submit(self._draw, i) for i in rows}

    def next(self, rows: Sequence[int]) -> torch.Tensor:
        """Noise of the next step, shape (len(rows), n_tokens)."""
        ahead, self._ahead = self._ahead, {}
        drawn = [ahead[i].result() if i in ahead else self._draw(i) for i in rows]
        return torch.from_numpy(np.stack(drawn)).to(self.device)

    def close(self) -> None:
        """Let the threads go."""
        if self._threads:
            self._threads.shutdown()

    def _draw(self, i: int) -> np.ndarray:
        # In float64, whose smallest steps are at 2^-53, and never 0, whose logarithm would win against any logit.
        exponential = self.generators[i].standard_exponential(self.n_tokens)
        return -np.log(np.maximum(exponential, 2.0**-53)).astype(np.float32)


class Seen:
    """Which tokens each message has so far, prompt included, for the repetition penalty.

    Parameters
    ----------
    prompts : sequence of sequence of int
    n_tokens : int
        Size of the vocabulary.
    device : torch.device
    """

    def __init__(self, prompts: Sequence[Sequence[int]], n_tokens: int, device: torch.device):
        self.there = torch.zeros(len(prompts), n_tokens, dtype=torch.bool)
        for row, prompt in zip(self.there, prompts):
            row[torch.tensor(list(prompt), dtype=torch.long)] = True
        self.there = self.there.to(device)

    def add(self, tokens: torch.Tensor) -> None:
        """One more token of each message; shape (B,)."""
        self.there.scatter_(1, tokens[:, None], True)

    def keep(self, rows: Sequence[int]) -> None:
        """Only these rows go on."""
        self.there = self.there[torch.tensor(rows, device=self.there.device)]
