"""Sampling of messages in batches, such that a text does not depend on the batch it was sampled in.

Each message has its own stream of noise, and its tokens are drawn as `valuestab_utils.draws` says. What they are drawn
from is, by definition, what the model says after the message's own prompt and text alone.
"""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np
import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from valuestab_utils.draws import Noise, Sampling, Seen, draw
from valuestab_utils.errors import ValuestabError

__all__ = ["Sampled", "Sampling", "next_logprobs", "sample_messages"]


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
    whole: bool = False,
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
    whole : bool
        Compute each step of each message from its whole text, alone: for models that cannot go on with a batch.

    Returns
    -------
    list of Sampled, in the order of the prompts
    """
    ends = _Ends(tokenizer, _eos_ids(model, tokenizer), max_new_tokens)
    cuts, told = cuts or [None] * len(prompts), told or [None] * len(prompts)
    messages = [_Message(list(prompt), cut) for prompt, cut in zip(prompts, cuts, strict=True)]
    alive = list(range(len(messages)))
    with torch.inference_mode():
        step = (_WholeTexts if whole else _Decoder)(model, prompts)
        logits = step.logits
        seen = Seen(prompts, logits.shape[1], logits.device) if sampling.repetition_penalty != 1 else None
        with closing(Noise(noises, logits.shape[1], logits.device)) as noise:
            while True:
                speaking = [messages[i] for i in alive]
                _draw_all(model, logits, noise.next(alive), sampling, seen, speaking)
                for i in alive:
                    messages[i].sampled = ends.sampled(messages[i])
                    if messages[i].sampled and told[i]:
                        told[i]()
                keep = [row for row, message in enumerate(speaking) if not message.sampled]
                alive = [alive[row] for row in keep]
                if not alive:
                    return [message.sampled for message in messages]
                noise.prepare(alive)
                tokens = [messages[i].drawn[-1] for i in alive]
                if seen:
                    seen.keep(keep)
                    seen.add(torch.tensor(tokens, device=logits.device))
                logits = step.advance(tokens, keep)


@dataclass
class _Message:
    """A message on its way: its prompt, what cuts its text, and the tokens that are drawn."""

    prompt: list[int]
    cut: Callable[[str], str] | None
    drawn: list[int] = field(default_factory=list)
    close_calls: int = 0
    sampled: Sampled | None = None


@dataclass(frozen=True)
class _Ends:
    """When a message ends."""

    tokenizer: object
    eos: set[int]
    max_new_tokens: int

    def sampled(self, message: _Message) -> Sampled | None:
        """The message, if its last token ended it."""
        text, finish = None, None
        if message.drawn[-1] in self.eos:
            finish = "eos"
        if message.cut:
            whole = self._text(message)
            text = message.cut(whole)
            finish = finish or ("label" if text != whole else None)
        if not finish and len(message.drawn) == self.max_new_tokens:
            finish = "length"
        if not finish:
            return None
        text = self._text(message) if text is None else text
        return Sampled(text.strip(), len(message.drawn), finish, message.close_calls)

    def _text(self, message: _Message) -> str:
        ids = [token for token in message.drawn if token not in self.eos]
        return self.tokenizer.decode(ids, skip_special_tokens=True)


def _draw_all(model, logits, gumbel, sampling: Sampling, seen: Seen | None, messages: Sequence[_Message]) -> None:
    """Draw the next token of each message; in fp32, close draws are decided by the message's own prompt alone."""
    there = seen.there if seen else None
    tokens, close = (found.tolist() for found in draw(logits, gumbel, sampling, there))
    for row, message in enumerate(messages):
        if close[row] and model.dtype == torch.float32:
            alone = _alone(model, message.prompt + message.drawn)[None]
            own = None if there is None else there[row : row + 1]
            tokens[row] = draw(alone, gumbel[row : row + 1], sampling, own)[0].item()
        message.drawn.append(tokens[row])
        message.close_calls += close[row]


def _alone(model, ids: Sequence[int]) -> torch.Tensor:
    inputs = torch.tensor([list(ids)], device=model.device)
    return _checked(model(input_ids=inputs, use_cache=False, logits_to_keep=1).logits[0, -1])


def next_logprobs(model, prompts: Sequence[Sequence[int]], whole: bool) -> torch.Tensor:
    """Log-probabilities of next tokens as `sample_messages` computes them, for `valuestab_utils.precision.Trials`.

    Of the shortest and the longest prompt together: after the beginning of the former, after the latter when both have
    had a token, and after the former when the latter has ended.

    Parameters
    ----------
    model : transformers.PreTrainedModel
    prompts : sequence of sequence of int
        Token ids, three or more each.
    whole : bool
        By definition, each text whole and alone.

    Returns
    -------
    Tensor, shape (3, V), in nats
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
        return _checked(torch.cat([output.logits[:, -1] for output in outputs]))

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


def _left_padded(x: torch.Tensor, length: int) -> torch.Tensor:
    return torch.nn.functional.pad(x, (0, 0, length - x.shape[2], 0))  # (1, KV, T, D): T comes last but one
