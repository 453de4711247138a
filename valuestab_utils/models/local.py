"""Language models: how one speaks and answers."""

import functools
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from valuestab_utils.errors import ValuestabError, told_by
from valuestab_utils.letters import (
    BATCH_TOKENS,
    GrowingPrefix,
    LetterTokens,
    Scores,
    can_be_kept,
    letter_tokens,
    n_shared_tokens,
    obstacle_to_sharing,
    rope_set,
    score_on_copied_prefix,
    score_on_shared_prefix,
    score_one_by_one,
)
from valuestab_utils.models import quantization
from valuestab_utils.models.precision import (
    MOST_MESSAGES,
    Trials,
    fewer_at_a_time,
    float32_logits,
    in_parts,
    messages_at_once,
)
from valuestab_utils.models.respondents import SUFFIXES, Answers, ModelCard, Prompt, Respondent, Sampling, Text
from valuestab_utils.models.sampling import SAMPLER, next_logprobs, sample_messages
from valuestab_utils.prompts import LETTERS, QUERY, ChatTemplate, encode

SMALLEST_BATCH_TOKENS = 64  # of items scored together; less is not tried
# Ways of scoring a session that are faster than one full prompt at a time, the fastest first.
_SHARED = "on a shared prefix"
_WAYS = {_SHARED: score_on_shared_prefix, "on copies of a shared prefix": score_on_copied_prefix}
_IN_BATCHES = "in batches"  # how messages are sampled
# Sampling settings that a generation_config.json may have and `Sampling` has not, with the value that is off.
_NOT_SAMPLED = {"min_p": 0, "typical_p": 1, "epsilon_cutoff": 0, "eta_cutoff": 0, "no_repeat_ngram_size": 0}


@dataclass
class Unloaded:
    """A model whose weights are not in memory yet: ``load`` gives it, and ``dtype`` is what it will compute in."""

    config: object
    generation_config: object
    dtype: torch.dtype
    load: Callable[[], object]


class LanguageModel(Respondent):
    """A causal language model of transformers that speaks in conversations and answers items.

    ``revision`` identifies the weights (a hub commit, or a checksum of local ones). The name of a ``variant``, "4bit"
    or "8bit", ends in -4b or -8b.
    """

    def __init__(self, card: ModelCard, model, tokenizer, revision: str, variant: str | None = None):
        self.card, self.tokenizer, self.revision, self.variant = card, tokenizer, revision, variant
        self._model = model if isinstance(model, Unloaded) else float32_logits(model)
        self.name, self.family = card.name + SUFFIXES.get(variant, ""), card.family
        self.template = ChatTemplate(tokenizer, card.template) if tokenizer.chat_template else None
        self.sampling = card.sampling or _own_sampling(card.name, model.generation_config)
        self.context_length = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        self.tokens_computed = 0
        self._growing: GrowingPrefix | None = None
        self._trials, self._has_scored = Trials(), False
        self._batch_tokens: int | None = None
        self._letter_tokens = functools.cache(lambda letters: letter_tokens(tokenizer, letters))
        self._letter_tokens(LETTERS[:6])  # who cannot answer shall not talk for hours first

    @property
    def model(self):
        """The transformers.PreTrainedModel; its weights are loaded now, if they were not."""
        if isinstance(self._model, Unloaded):
            promised, self._model = self._model.dtype, float32_logits(self._model.load())
            if self._model.dtype != promised:
                raise ValuestabError(
                    f"{self.name} was loaded in {self._model.dtype}, where its config says {promised}: give the dtype."
                )
        return self._model

    @property
    def config(self):
        """The transformers.PreTrainedConfig; needs no weights."""
        return self._model.config

    @property
    def dtype(self) -> torch.dtype:
        """What is computed in; needs no weights."""
        return self._model.dtype

    def count_tokens(self, text: str) -> int:
        return len(encode(self.tokenizer, text))

    @property
    def batch_sessions(self) -> int:
        """Conversations simulated together; a GPU takes them in parts that fit (see `speak`)."""
        return MOST_MESSAGES if self.model.device.type == "cuda" else super().batch_sessions

    @property
    def batch_questionnaires(self) -> int:
        """Questionnaires filled in together; a GPU takes them in parts that fit."""
        return MOST_MESSAGES if self.model.device.type == "cuda" else super().batch_questionnaires

    @property
    def format(self) -> str:
        """The model's own format: the card's, else what its chat template allows."""
        if self.card.format:
            return self.card.format
        if self.template is None:
            return "base"
        return "tuned_sys" if self.template.accepts_system else "tuned_no_sys"

    @property
    def settings(self) -> dict:
        """All that decides this model's results beside the sessions; ``quantization`` is there for quantized ones."""
        own = quantization.own_quantization(self.config)
        quantized = quantization.describe(self.variant, self.dtype) if self.variant else own
        return {
            "model_source": self.card.name if Path(self.card.source).is_absolute() else self.card.source,
            "model_revision": self.revision,
            "dtype": self.variant or str(self.dtype).removeprefix("torch."),
            "chat_template": self.template.digest if self.template else "none",
            "sampling": asdict(self.sampling),
            "sampler": SAMPLER,
        } | ({"quantization": quantized} if quantized else {})

    def speak(self, prompts: Sequence[Prompt], max_new_tokens: int) -> list[Text]:
        """Sample a message for each prompt, in one batch, or in as few as a GPU's memory has room for."""
        self._growing = None  # its memory is needed
        asked = [(prompt, self._encode(prompt, max_new_tokens)) for prompt in prompts]
        self._check_letters_can_be_read(asked[0][1])
        together: dict[tuple, list[int]] = {}
        for i, (prompt, ids) in enumerate(asked):
            first, last = (rope_set(self.config, n) for n in (len(ids), len(ids) + max_new_tokens))
            together.setdefault((first if first == last else None, prompt.temperature), []).append(i)
        texts: dict[int, Text] = {}
        for (rope, temperature), rows in together.items():
            sampling = self.sampling if temperature is None else Sampling(temperature)
            sampled = self._sampled([asked[i] for i in rows], sampling, max_new_tokens, changing=rope is None)
            texts |= dict(zip(rows, sampled, strict=True))
        return [texts[i] for i in range(len(asked))]

    def _sampled(
        self, asked: list[tuple[Prompt, list[int]]], sampling: Sampling, max_new_tokens: int, changing: bool
    ) -> list[Text]:
        """Messages of prompts with one set of rotary frequencies, or all ``changing`` it on the way."""
        every = [ids for _, ids in asked]
        longest = max(map(len, every))
        whole = changing or not self._trials.passes(
            self.model,
            _IN_BATCHES,
            longest,
            lambda: next_logprobs(self.model, every, whole=False),
            lambda: next_logprobs(self.model, every, whole=True),
        )
        if whole:
            why = "its rotary embeddings change on the way" if changing else self._trials.failed[_IN_BATCHES]
            told = f"{self.name} samples each token from its whole text, which is slow: {_IN_BATCHES}, {why}."
            warnings.warn(told, stacklevel=2)
        size = len(asked)
        if self.model.device.type == "cuda" and not whole:
            size = messages_at_once(self.model, longest + max_new_tokens)

        once = {id(prompt): prompt.done and functools.cache(prompt.done) for prompt, _ in asked}

        def sample(part: Sequence[tuple[Prompt, list[int]]]) -> list[Text]:
            prompts, ids = zip(*part, strict=True)
            noises = [prompt.noise for prompt in prompts]
            states = [noise.bit_generator.state for noise in noises]
            cuts, done = [prompt.cut for prompt in prompts], [once[id(prompt)] for prompt in prompts]
            try:
                return sample_messages(
                    self.model, self.tokenizer, ids, noises, sampling, max_new_tokens, cuts, done, whole
                )
            except torch.OutOfMemoryError:  # the same messages are to be sampled again, of the same noise
                for noise, state in zip(noises, states, strict=True):
                    noise.bit_generator.state = state
                raise

        return in_parts(sample, asked, size, "message")

    def answer(self, prompts: Sequence[Prompt], letters: str) -> Answers:
        ids = [self._encode(prompt, 0) for prompt in prompts]
        return self._answers(self._score_what_fits(ids, self._letter_tokens(letters)))

    def answer_next(self, prompt: Prompt, letters: str, begins: bool) -> Answers:
        """Score the letters after one prompt of a growing conversation, of which only what is new is computed."""
        ids, tokens = self._encode(prompt, 0), self._letter_tokens(letters)
        if not self._can_grow(ids, tokens):
            return self.answer([prompt], letters)
        if begins or self._growing is None:
            self._growing = GrowingPrefix(self.model)
        scores, _ = fewer_at_a_time(lambda _: self._growing.score(ids, tokens), 1, 1, "a single question")
        return self._answers(scores)

    def _can_grow(self, ids: list[int], tokens: LetterTokens) -> bool:
        def grown() -> torch.Tensor:
            growing = GrowingPrefix(self.model)
            growing.score([*ids[: -tokens.positions - 1], ids[0]], tokens)  # ends otherwise than the next begins
            return growing.score(ids, tokens).logprobs

        def whole() -> torch.Tensor:
            return score_one_by_one(self.model, [ids], tokens).logprobs

        way = "on a growing prefix"
        return can_be_kept(self.model, len(ids)) and self._trials.passes(self.model, way, len(ids), grown, whole)

    def _answers(self, scores: Scores) -> Answers:
        self.tokens_computed += scores.tokens_computed
        strays = [self.tokenizer.decode([token]) for token in scores.stray.tolist()]
        return Answers(scores.logprobs.double().numpy(), strays, scores.stray_logprobs.double().numpy())

    def _score_what_fits(self, ids: Sequence[list[int]], tokens: LetterTokens) -> Scores:
        """Score in batches, in smaller ones from then on if a GPU's memory runs out."""
        size = self._batch_tokens or BATCH_TOKENS[self.model.device.type]
        scores, self._batch_tokens = fewer_at_a_time(
            lambda n: self._score(ids, tokens, n), size, SMALLEST_BATCH_TOKENS, "a session's items"
        )
        return scores

    def _score(self, ids: Sequence[list[int]], tokens: LetterTokens, batch_tokens: int) -> Scores:
        """Score by the fastest way that gives the model's own numbers, and tell why it is not the very fastest."""
        self._has_scored = True
        longest = max(range(len(ids)), key=lambda i: len(ids[i]))
        n_tokens, why_not = len(ids[longest]), {}
        some = ids[max(longest - 1, 0) :][:2]  # neighbours: they may share more than the session's beginning
        if len({rope_set(self.config, n) for n in (n_shared_tokens(ids, tokens), n_tokens)}) > 1:
            why_not["on what prompts share"] = "its rotary embeddings change on the way"
        for way, score in {} if why_not else _WAYS.items():
            obstacle = obstacle_to_sharing(self.model, n_tokens) if way == _SHARED else None
            if obstacle is None and self._trials.passes(
                self.model,
                way,
                n_tokens,
                lambda score=score: score(self.model, some, tokens, batch_tokens).logprobs,
                lambda: score_one_by_one(self.model, some, tokens).logprobs,
            ):
                if why_not:
                    warnings.warn(f"{self.name} is scored {way}: {_listed(why_not)}.", stacklevel=2)
                return score(self.model, ids, tokens, batch_tokens)
            why_not[way] = obstacle or self._trials.failed[way]
        try:
            scores = score_one_by_one(self.model, ids, tokens)
        except (ValuestabError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # as in Trials
            raise ValuestabError(
                f"{self.name} cannot be asked: not even one prompt can be computed ({told_by(error)}): take another "
                "model."
            ) from error
        told = f"{self.name} is scored one full prompt at a time, which is slow: {_listed(why_not)}."
        warnings.warn(told, stacklevel=2)
        return scores

    def _check_letters_can_be_read(self, ids: list[int]) -> None:
        """Find out how letters are scored before the first message is sampled: conversations take hours."""
        if not self._has_scored:
            query = encode(self.tokenizer, QUERY)
            begun = ids[2 * len(query) :]  # no longer than the context
            letters = self._letter_tokens(LETTERS[:6])
            self._score_what_fits([begun + query, begun + query + query], letters)

    def _encode(self, prompt: Prompt, room: int) -> list[int]:
        ids = encode(self.tokenizer, prompt.text)
        if self.context_length is not None and len(ids) + room > self.context_length:
            raise ValuestabError(
                f"Session {prompt.session}: its prompt has {len(ids)} tokens, and {room} more may follow, "
                f"but {self.name} takes {self.context_length}: ask after fewer messages (n_messages)."
            )
        return ids


def _listed(why_not: dict[str, str]) -> str:
    return "; ".join(f"{way}, {reason}" for way, reason in why_not.items())


def _own_sampling(name: str, config) -> Sampling:
    for setting, off in _NOT_SAMPLED.items():
        if getattr(config, setting, None) not in (None, off):
            raise ValuestabError(
                f"The generation_config.json of {name} asks for {setting}={getattr(config, setting)}, which "
                "is not known here: give the model an entry in data/models.yaml with the sampling to be used."
            )
    # None is "not given"; older versions of transformers put top_k = 50 there, which no card asked for.
    settings = ("temperature", "top_p", "top_k", "repetition_penalty")
    given = {setting: getattr(config, setting, None) for setting in settings}
    return Sampling(**{setting: value for setting, value in given.items() if value is not None})
