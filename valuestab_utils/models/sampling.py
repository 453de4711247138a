"""Sampling of messages in batches, such that a text does not depend on the batch it was sampled in.

Each message has its own stream of noise. What its tokens are drawn from (see `valuestab_utils.models.sampling`) is, by
definition, what the model says after the message's own prompt and text alone.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np
import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from valuestab_utils.errors import ValuestabError
from valuestab_utils.models.respondents import Sampling, Text

# Of the distribution that is drawn from, in the settings of results: those of another version are refused. Version 1
# took its noise from float32 numbers, which are exactly 0 once in 2^23, and then drew that token whatever its logit.
SAMPLER = 2

# Batching changes logits by rounding error, which matters only where the two largest are closer than that error.
# Largest distance, in logits, that batching can open between two logits in fp32 (seen: below 1e-4), doubled.
_ROUNDING = 2e-4
_NUCLEUS_ROUNDING = 1e-4  # the same for the cumulative probability at the nucleus' edge


def draw(
    logits: torch.Tensor, gumbel: torch.Tensor, sampling: Sampling, seen: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw a token for each row: the largest of logit / temperature + Gumbel noise, inside top-k and nucleus.

    Raw logits, standard Gumbel noise (each row from the message's own stream) and `seen` (tokens that a row has in its
    prompt or text, for the repetition penalty) have shape (B, V). Gives tokens (B,) and whether each was too close to
    call.
    """
    logits = logits.float()
    if sampling.repetition_penalty != 1:
        penalty = sampling.repetition_penalty
        logits = torch.where(seen, torch.where(logits < 0, logits * penalty, logits / penalty), logits)
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
    """Standard Gumbel noise of a batch of messages, one row a message and step, from their own generators."""

    def __init__(self, generators: Sequence[np.random.Generator], n_tokens: int, device: torch.device):
        self.generators, self.n_tokens, self.device = generators, n_tokens, device
        # On a GPU, the next step's noise is drawn by threads while the model computes.
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
        if self._threads:
            self._threads.shutdown()

    def _draw(self, i: int) -> np.ndarray:
        # As many numbers at each step whatever is drawn, so that the stream keeps its place.
        # In float64, whose smallest steps are at 2^-53, and never 0, whose logarithm would win against any logit.
        exponential = self.generators[i].standard_exponential(self.n_tokens)
        return -np.log(np.maximum(exponential, 2.0**-53)).astype(np.float32)


def sample_messages(
    model,
    tokenizer,
    prompts: Sequence[Sequence[int]],
    noises: Sequence[np.random.Generator],
    sampling: Sampling,
    max_new_tokens: int,
    cuts: Sequence[Callable[[str], str]] | None = None,
    told: Sequence[Callable[[], object] | None] | None = None,
    whole: bool = False,
) -> list[Text]:
    """Sample one message for each prompt (token ids), with a noise that it shares with no other.

    ``cuts`` cut a text where the message ends, and sampling stops where one cuts something off; ``told`` are called
    when their message is written. ``whole`` computes each step from the message's whole text, alone: for models that
    cannot go on with a batch.
    """
    eos = _eos_ids(model, tokenizer)
    cuts, told = cuts or [None] * len(prompts), told or [None] * len(prompts)
    messages = [_Message(list(prompt), cut) for prompt, cut in zip(prompts, cuts, strict=True)]
    alive = list(range(len(messages)))
    with torch.inference_mode():
        step = (_WholeTexts if whole else _Decoder)(model, prompts)
        logits = step.logits
        seen = _seen(prompts, logits) if sampling.repetition_penalty != 1 else None
        with closing(Noise(noises, logits.shape[1], logits.device)) as noise:
            while True:
                speaking = [messages[i] for i in alive]
                _draw_all(model, logits, noise.next(alive), sampling, seen, speaking)
                for i in alive:
                    messages[i].sampled = _ended(messages[i], tokenizer, eos, max_new_tokens)
                    if messages[i].sampled and told[i]:
                        told[i]()
                keep = [row for row, message in enumerate(speaking) if not message.sampled]
                alive = [alive[row] for row in keep]
                if not alive:
                    return [message.sampled for message in messages]
                noise.prepare(alive)
                tokens = [messages[i].drawn[-1] for i in alive]
                if seen is not None:
                    rows, added = torch.tensor([keep, tokens], device=logits.device)
                    seen = seen[rows].scatter_(1, added[:, None], True)
                logits = step.advance(tokens, keep)


def _seen(prompts: Sequence[Sequence[int]], logits: torch.Tensor) -> torch.Tensor:
    """Which tokens each prompt has, (B, V), for the repetition penalty."""
    seen = torch.zeros(logits.shape, dtype=torch.bool)
    for row, prompt in zip(seen, prompts, strict=True):
        row[torch.tensor(list(prompt), dtype=torch.long)] = True
    return seen.to(logits.device)


@dataclass
class _Message:
    prompt: list[int]
    cut: Callable[[str], str] | None
    drawn: list[int] = field(default_factory=list)
    close_calls: int = 0
    sampled: Text | None = None


def _ended(message: _Message, tokenizer, eos: set[int], max_new_tokens: int) -> Text | None:
    """The whole text, if the last token drawn has ended the message."""
    n_tokens = len(message.drawn)
    finish = "eos" if message.drawn[-1] in eos else "length" if n_tokens == max_new_tokens else None
    if not (finish or message.cut):
        return None  # most steps end here: decoding takes time
    whole = tokenizer.decode([token for token in message.drawn if token not in eos], skip_special_tokens=True)
    text = message.cut(whole) if message.cut else whole
    if text != whole and finish != "eos":
        finish = "label"
    return Text(text.strip(), n_tokens, finish, message.close_calls) if finish else None


def _draw_all(model, logits, gumbel, sampling: Sampling, seen: torch.Tensor | None, messages: list[_Message]) -> None:
    """Draw the next token of each message; in fp32, close draws are decided by the message's own prompt alone."""
    tokens, close = (found.tolist() for found in draw(logits, gumbel, sampling, seen))
    for row, message in enumerate(messages):
        if close[row] and model.dtype == torch.float32:
            alone = _alone(model, message.prompt + message.drawn)[None]
            own = None if seen is None else seen[row : row + 1]
            tokens[row] = draw(alone, gumbel[row : row + 1], sampling, own)[0].item()
        message.drawn.append(tokens[row])
        message.close_calls += close[row]


def _alone(model, ids: Sequence[int]) -> torch.Tensor:
    inputs = torch.tensor([list(ids)], device=model.device)
    return _checked(model(input_ids=inputs, use_cache=False, logits_to_keep=1).logits[0, -1])


def next_logprobs(model, prompts: Sequence[Sequence[int]], whole: bool) -> torch.Tensor:
    """Log-probabilities (3, V) in nats of next tokens as `sample_messages` computes them, for precision trials.

    Of the shortest and the longest prompt (three tokens or more) together: after the beginning of the former, after the
    latter when both have had a token, and after the former when the latter has ended.
    """
    short, long = list(min(prompts, key=len)), list(max(prompts, key=len))
    with torch.inference_mode():
        step = (_WholeTexts if whole else _Decoder)(model, [short[:-2], long[:-1]])
        found = [step.logits[0]]
        found.append(step.advance([short[-2], long[-1]], [0, 1])[1])
        found.append(step.advance([short[-1]], [0])[0])
        return torch.log_softmax(torch.stack(found).float(), -1)


def _eos_ids(model, tokenizer) -> set[int]:
    configured = model.generation_config.eos_token_id
    ids = configured if isinstance(configured, list) else [configured]
    return {i for i in [*ids, tokenizer.eos_token_id] if i is not None}


class _WholeTexts:
    """What `_Decoder` gives, by definition: each row's whole text alone, and nothing kept."""

    def __init__(self, model, prompts):
        self.model, self.texts = model, [list(prompt) for prompt in prompts]
        self.logits = torch.stack([_alone(model, text) for text in self.texts])

    def advance(self, tokens: list[int], rows: list[int]) -> torch.Tensor:
        self.texts = [[*self.texts[row], token] for row, token in zip(rows, tokens, strict=True)]
        self.logits = torch.stack([_alone(self.model, text) for text in self.texts])
        return self.logits


class _Decoder:
    """Left-padded batch in decoding; rows can be dropped as they end. Logits are those of the next token, (B, V)."""

    def __init__(self, model, prompts):
        longest = max(map(len, prompts))
        self.model = model
        ids = torch.tensor([[0] * (longest - len(p)) + list(p) for p in prompts], device=model.device)
        lengths = torch.tensor([len(p) for p in prompts], device=model.device)
        self.mask = (torch.arange(longest, device=model.device) >= longest - lengths[:, None]).long()  # (B, T)
        self.cache = None
        # A CPU gains nothing from a batch of whole prompts, and would compute its padding too. Caches of other kinds
        # than the plain one (sliding windows) cannot be put together from several prompts.
        plain = all(type(layer) is DynamicLayer for layer in DynamicCache(config=model.config).layers)
        self.logits = self._one_by_one(prompts) if model.device.type == "cpu" and plain else self._forward(ids)

    def _one_by_one(self, prompts) -> torch.Tensor:
        every = [torch.tensor([list(prompt)]) for prompt in prompts]
        outputs = [self.model(input_ids=ids, use_cache=True, logits_to_keep=1) for ids in every]
        caches = [output.past_key_values for output in outputs]
        self.cache = DynamicCache()
        for i in range(len(caches[0].layers)):
            both = [(cache.layers[i].keys, cache.layers[i].values) for cache in caches]
            keys, values = (self._left_padded(part) for part in zip(*both, strict=True))
            self.cache.update(keys, values, i)
            for cache in caches:  # free what has been copied: a batch of caches is large
                cache.layers[i].keys = cache.layers[i].values = None
        return _checked(torch.cat([output.logits[:, -1] for output in outputs]))

    def _left_padded(self, rows: Sequence[torch.Tensor]) -> torch.Tensor:
        length = self.mask.shape[1]  # each row is (1, KV, T, D)
        return torch.cat([torch.nn.functional.pad(row, (0, 0, length - row.shape[2], 0)) for row in rows])

    def advance(self, tokens: list[int], rows: list[int]) -> torch.Tensor:
        if len(rows) < len(self.mask):
            index = torch.tensor(rows)  # on the CPU: layers on several GPUs each move it to their own
            self.mask = self.mask[index.to(self.mask.device)]
            self.cache.reorder_cache(index)  # which layers with a state know too, unlike batch_select_indices
        ids = torch.tensor(tokens, device=self.model.device)[:, None]
        self.mask = torch.cat([self.mask, torch.ones_like(ids)], 1)
        self.logits = self._forward(ids)
        return self.logits

    def _forward(self, ids: torch.Tensor) -> torch.Tensor:
        # Positions count a row's own tokens, not its padding: they are those that it has alone.
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
        return _checked(out.logits[:, -1])


def _checked(logits: torch.Tensor) -> torch.Tensor:
    if torch.isnan(logits).any():
        raise ValuestabError(
            "The model gives NaN logits, so no text can be sampled: load it in another dtype (float32 is safest)."
        )
    return logits
