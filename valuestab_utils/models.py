"""Language models: how one speaks and answers."""

import functools
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from valuestab_utils import quantization, shared_prefix
from valuestab_utils.chat_template import ChatTemplate, encode
from valuestab_utils.device_memory import MOST_MESSAGES, in_parts, messages_at_once
from valuestab_utils.draws import SAMPLER
from valuestab_utils.errors import ValuestabError, told_by
from valuestab_utils.growing_prefix import GrowingPrefix, can_be_kept
from valuestab_utils.instruments import PVQ_OPTIONS
from valuestab_utils.letters import LetterTokens, letter_tokens
from valuestab_utils.model_cards import ModelCard
from valuestab_utils.precision import Trials, float32_logits
from valuestab_utils.prompts import LETTERS, QUERY
from valuestab_utils.respondents import Answers, Prompt, Respondent, Text, common_temperature
from valuestab_utils.sampling import Sampling, next_logprobs, sample_messages
from valuestab_utils.scoring import (
    BATCH_TOKENS,
    Scores,
    n_shared_tokens,
    score_on_copied_prefix,
    score_on_shared_prefix,
    score_one_by_one,
)

SMALLEST_BATCH_TOKENS = 64  # of items scored together; less is not tried
# Ways of scoring a session that are faster than one full prompt at a time, the fastest first.
_SHARED = "on a shared prefix"
_WAYS = {_SHARED: score_on_shared_prefix, "on copies of a shared prefix": score_on_copied_prefix}
_IN_BATCHES = "in batches"  # how messages are sampled
# Sampling settings that a generation_config.json may have and `Sampling` has not, with the value that is off.
_NOT_SAMPLED = {"min_p": 0, "typical_p": 1, "epsilon_cutoff": 0, "eta_cutoff": 0, "no_repeat_ngram_size": 0}


@dataclass
class Unloaded:
    """A model whose weights are not in memory yet.

    Attributes
    ----------
    config : transformers.PreTrainedConfig
    generation_config : transformers.GenerationConfig
    dtype : torch.dtype
        What it will compute in.
    load : callable
        Gives the transformers.PreTrainedModel.
    """

    config: object
    generation_config: object
    dtype: torch.dtype
    load: Callable[[], object]


class LanguageModel(Respondent):
    """A causal language model of transformers that speaks in conversations and answers items.

    Parameters
    ----------
    card : ModelCard
    model : transformers.PreTrainedModel or Unloaded
        The weights of the latter are loaded when they are first needed.
    tokenizer : transformers.PreTrainedTokenizerBase
    revision : str
        What identifies the weights: a hub commit, or a checksum of local ones.
    variant : str, optional
        "4bit" or "8bit" if the model was quantized so; its name then ends in -4b or -8b.
    code : str, optional
        What identifies the code of the model's own that is run (see `valuestab_utils.remote_code.find_code`).
    """

    def __init__(
        self, card: ModelCard, model, tokenizer, revision: str, variant: str | None = None, code: str | None = None
    ):
        self.card, self.tokenizer, self.revision = card, tokenizer, revision
        self._model = model if isinstance(model, Unloaded) else float32_logits(model)
        self.variant, self.code = variant, code
        self.name, self.family = quantization.variant_name(card.name, variant), card.family
        self.template = ChatTemplate(tokenizer, card.template) if tokenizer.chat_template else None
        self.sampling = card.sampling or _own_sampling(card.name, model.generation_config)
        self.context_length = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        self.tokens_computed = 0
        self._growing: GrowingPrefix | None = None
        self._trials, self._told, self._has_scored = Trials(), set(), False
        self._batch_tokens: int | None = None
        self._letter_tokens = functools.cache(lambda letters: letter_tokens(tokenizer, letters))
        self._letter_tokens(LETTERS[: len(PVQ_OPTIONS)])  # who cannot answer shall not talk for hours first

    @property
    def model(self):
        """The transformers.PreTrainedModel, with its weights."""
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
        """Tokens of a text."""
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
        """All that decides this model's results beside the sessions themselves.

        ``quantization`` is there for quantized models only, ``remote_code`` for those that run code of their own.
        """
        own = quantization.own_quantization(self._model.config)
        quantized = quantization.describe(self.variant, self._model.dtype) if self.variant else own
        return {
            "model_source": self.card.name if Path(self.card.source).is_absolute() else self.card.source,
            "model_revision": self.revision,
            "dtype": self.variant or str(self._model.dtype).removeprefix("torch."),
            "chat_template": self.template.digest if self.template else "none",
            "sampling": asdict(self.sampling),
            "sampler": SAMPLER,
        } | {
            name: value
            for name, value in (("quantization", quantized), ("remote_code", self.code))
            if value
        }

    def speak(self, prompts: Sequence[Prompt], max_new_tokens: int) -> list[Text]:
        """Sample a message for each prompt, in one batch, or in as few as a GPU's memory has room for."""
        self._growing = None  # its memory is needed
        asked = [(prompt, self._encode(prompt, max_new_tokens)) for prompt in prompts]
        self._check_letters_can_be_read(asked[0][1])
        of_set: dict[int | None, list[int]] = {}
        for i, (_, ids) in enumerate(asked):
            first, last = (shared_prefix.rope_set(self.config, n) for n in (len(ids), len(ids) + max_new_tokens))
            of_set.setdefault(first if first == last else None, []).append(i)
        texts: dict[int, Text] = {}
        for rope, rows in of_set.items():
            some = [asked[i] for i in rows]
            texts |= dict(zip(rows, self._sampled_in_parts(some, max_new_tokens, changing=rope is None), strict=True))
        return [texts[i] for i in range(len(asked))]

    def _sampled_in_parts(self, asked, max_new_tokens: int, changing: bool) -> list[Text]:
        """Messages of prompts with one set of rotary frequencies, or all ``changing`` it on the way."""
        ids = [ids for _, ids in asked]
        longest = max(map(len, ids))
        whole = changing or not self._trials.passes(
            self.model,
            _IN_BATCHES,
            longest,
            lambda: next_logprobs(self.model, ids, whole=False),
            lambda: next_logprobs(self.model, ids, whole=True),
        )
        if whole:
            why = "its rotary embeddings change on the way" if changing else self._trials.failed[_IN_BATCHES]
            self._tell(f"{self.name} samples each token from its whole text, which is slow: {_IN_BATCHES}, {why}.")
        size = len(asked)
        if self.model.device.type == "cuda" and not whole:
            size = messages_at_once(self.model, longest + max_new_tokens)
        told: set[int] = set()

        def sample(part: Sequence[tuple[Prompt, list[int]]]) -> list[Text]:
            before = [prompt.noise.bit_generator.state for prompt, _ in part]
            try:
                return self._sampled(part, max_new_tokens, told, whole)
            except torch.OutOfMemoryError:  # the same messages are to be sampled again, of the same noise
                for (prompt, _), state in zip(part, before, strict=True):
                    prompt.noise.bit_generator.state = state
                raise

        return in_parts(sample, asked, size, "message")[0]

    def _sampled(self, part, max_new_tokens: int, told: set[int], whole: bool) -> list[Text]:
        def teller(prompt: Prompt):
            def tell() -> None:
                if prompt.done and id(prompt) not in told:
                    told.add(id(prompt))
                    prompt.done()

            return tell

        noises = [prompt.noise for prompt, _ in part]
        cuts = [prompt.cut for prompt, _ in part] if part[0][0].cut else None
        done = [teller(prompt) for prompt, _ in part]
        ids = [ids for _, ids in part]
        temperature = common_temperature([prompt for prompt, _ in part])
        sampling = self.sampling if temperature is None else Sampling(temperature)
        sampled = sample_messages(
            self.model, self.tokenizer, ids, noises, sampling, max_new_tokens, cuts, done, whole
        )
        return [Text(s.text, s.n_tokens, s.finish, s.close_calls) for s in sampled]

    def answer(self, prompts: Sequence[Prompt], letters: str) -> Answers:
        """Score the letters after each prompt of one session."""
        ids = [self._encode(prompt, 0) for prompt in prompts]
        return self._answers(self._score_what_fits(ids, self._letter_tokens(letters)))

    def answer_next(self, prompt: Prompt, letters: str, begins: bool) -> Answers:
        """Score the letters after one prompt of a growing conversation, of which only what is new is computed."""
        ids, tokens = self._encode(prompt, 0), self._letter_tokens(letters)
        if not self._can_grow(ids, tokens):
            return self.answer([prompt], letters)
        if begins or self._growing is None:
            self._growing = GrowingPrefix(self.model)
        growing = self._growing
        (scores,), _ = in_parts(lambda all_ids: [growing.score(each, tokens) for each in all_ids], [ids], 1, "question")
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
        while True:
            try:
                return self._score(ids, tokens)
            except torch.OutOfMemoryError as error:
                reason = str(error).splitlines()[0]
            if self._batch_tokens is None:
                self._batch_tokens = BATCH_TOKENS["cuda"]
            if self._batch_tokens < SMALLEST_BATCH_TOKENS:
                raise ValuestabError(
                    f"The GPU has no memory for a session's items ({reason}): take a smaller model, dtype='4bit', or a "
                    "GPU with more memory; what was computed is kept."
                )
            self._batch_tokens //= 2
            torch.cuda.empty_cache()

    def _score(self, ids: Sequence[list[int]], tokens: LetterTokens) -> Scores:
        """Score by the fastest way that gives the model's own numbers, and tell why it is not the very fastest."""
        self._has_scored = True
        longest = max(range(len(ids)), key=lambda i: len(ids[i]))
        n_tokens, why_not = len(ids[longest]), {}
        some = ids[max(longest - 1, 0) :][:2]  # neighbours: they may share more than the session's beginning
        sets = {shared_prefix.rope_set(self.config, n) for n in (n_shared_tokens(ids, tokens), n_tokens)}
        if len(sets) > 1:
            why_not["on what prompts share"] = "its rotary embeddings change on the way"
        for way, score in {} if why_not else _WAYS.items():
            obstacle = shared_prefix.obstacle(self.model, n_tokens) if way == _SHARED else None
            if obstacle is None and self._trials.passes(
                self.model,
                way,
                n_tokens,
                lambda score=score: score(self.model, some, tokens, self._batch_tokens).logprobs,
                lambda: score_one_by_one(self.model, some, tokens).logprobs,
            ):
                if why_not:
                    self._tell(f"{self.name} is scored {way}: {_listed(why_not)}.")
                return score(self.model, ids, tokens, self._batch_tokens)
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
        self._tell(f"{self.name} is scored one full prompt at a time, which is slow: {_listed(why_not)}.")
        return scores

    def _check_letters_can_be_read(self, ids: list[int]) -> None:
        """Find out how letters are scored before the first message is sampled: conversations take hours."""
        if not self._has_scored:
            query = encode(self.tokenizer, QUERY)
            begun = ids[2 * len(query) :]  # no longer than the context
            letters = self._letter_tokens(LETTERS[: len(PVQ_OPTIONS)])
            self._score_what_fits([begun + query, begun + query + query], letters)

    def _tell(self, sentence: str) -> None:
        """Warn, once for each loaded model."""
        if sentence not in self._told:
            self._told.add(sentence)
            warnings.warn(sentence, stacklevel=2)

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
