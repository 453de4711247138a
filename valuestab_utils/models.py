"""Language models: how one is loaded, speaks and answers."""

import contextlib
import difflib
import functools
import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from valuestab_utils import quantization, shared_prefix
from valuestab_utils.chat_template import ChatTemplate, encode
from valuestab_utils.embedded import EMBEDDED_NAME, ensure_embedded_model
from valuestab_utils.errors import ValuestabError, check_known
from valuestab_utils.instruments import PVQ_OPTIONS
from valuestab_utils.letters import letter_tokens
from valuestab_utils.model_cards import ModelCard, known_models, model_card
from valuestab_utils.prompts import LETTERS
from valuestab_utils.respondents import Answers, Prompt, Respondent, Text
from valuestab_utils.sampling import Sampling, sample_messages
from valuestab_utils.scoring import score_on_shared_prefix, score_one_by_one

# Largest difference that scoring on a shared prefix may make to a letter's log-probability, in nats.
TOLERANCE = {torch.float32: 1e-3, torch.float16: 0.1, torch.bfloat16: 0.5}
_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}

# What a model folder must have, by patterns of file names; all of it goes into the folder's checksum.
_PARTS = {
    "config.json": ["config.json"],
    "weights (*.safetensors or *.bin)": ["*.safetensors", "*.bin"],
    "tokenizer (tokenizer.json and the like)": ["tokenizer*", "vocab*", "merges*", "*tokens*.json"],
}
# Sampling settings that a generation_config.json may have and `Sampling` has not, with the value that is off.
_NOT_SAMPLED = {"min_p": 0, "typical_p": 1, "epsilon_cutoff": 0, "eta_cutoff": 0, "no_repeat_ngram_size": 0}


class LanguageModel(Respondent):
    """A causal language model of transformers that speaks in conversations and answers items.

    Parameters
    ----------
    card : ModelCard
    model : transformers.PreTrainedModel
    tokenizer : transformers.PreTrainedTokenizerBase
    revision : str
        What identifies the weights: a hub commit, or a checksum of local ones.
    variant : str, optional
        "4bit" or "8bit" if the model was quantized so; its name then ends in -4b or -8b.
    """

    def __init__(self, card: ModelCard, model, tokenizer, revision: str, variant: str | None = None):
        self.card, self.model, self.tokenizer, self.revision = card, model, tokenizer, revision
        self.variant = variant
        self.name, self.family = quantization.variant_name(card.name, variant), card.family
        self.template = ChatTemplate(tokenizer) if tokenizer.chat_template else None
        self.sampling = card.sampling or _own_sampling(card.name, model.generation_config)
        self.context_length = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        self.tokens_computed = 0
        self._trusts_shared_prefix = False
        self._letter_tokens = functools.cache(lambda letters: letter_tokens(tokenizer, letters))
        self._letter_tokens(LETTERS[: len(PVQ_OPTIONS)])  # who cannot answer shall not talk for hours first

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

        ``quantization`` is there for quantized models only.
        """
        own = quantization.own_quantization(self.model.config)
        quantized = quantization.describe(self.variant, self.model.dtype) if self.variant else own
        return {
            "model_source": self.card.name if Path(self.card.source).is_absolute() else self.card.source,
            "model_revision": self.revision,
            "dtype": self.variant or str(self.model.dtype).removeprefix("torch."),
            "chat_template": self.template.digest if self.template else "none",
            "sampling": asdict(self.sampling),
        } | ({"quantization": quantized} if quantized else {})

    def speak(self, prompts: Sequence[Prompt], max_new_tokens: int) -> list[Text]:
        """Sample a message for each prompt, in one batch."""
        ids = [self._encode(prompt, max_new_tokens) for prompt in prompts]
        noises = [prompt.noise for prompt in prompts]
        cuts = [prompt.cut for prompt in prompts] if prompts[0].cut else None
        model, tokenizer = self.model, self.tokenizer
        done = [prompt.done for prompt in prompts]
        sampled = sample_messages(model, tokenizer, ids, noises, self.sampling, max_new_tokens, cuts, done)
        return [Text(s.text, s.n_tokens, s.finish, s.close_calls) for s in sampled]

    def answer(self, prompts: Sequence[Prompt], letters: str) -> Answers:
        """Score the letters after each prompt of one session."""
        ids = [self._encode(prompt, 0) for prompt in prompts]
        tokens = self._letter_tokens(letters)
        why_not = shared_prefix.obstacle(self.model, max(map(len, ids)))
        if why_not:
            warnings.warn(f"{self.name} is scored one full prompt at a time: {why_not}.", stacklevel=2)
            scores = score_one_by_one(self.model, ids, tokens)
        else:
            scores = score_on_shared_prefix(self.model, ids, tokens)
            self._check_shared_prefix(ids[0], scores.logprobs[0], tokens)
        self.tokens_computed += scores.tokens_computed
        strays = [self.tokenizer.decode([token]) for token in scores.stray.tolist()]
        return Answers(scores.logprobs.double().numpy(), strays, scores.stray_logprobs.double().numpy())

    def _encode(self, prompt: Prompt, room: int) -> list[int]:
        ids = encode(self.tokenizer, prompt.text)
        if self.context_length is not None and len(ids) + room > self.context_length:
            raise ValuestabError(
                f"Session {prompt.session}: its prompt has {len(ids)} tokens, and {room} more may follow, "
                f"but {self.name} takes {self.context_length}: ask after fewer messages (n_messages)."
            )
        return ids

    def _check_shared_prefix(self, prompt: Sequence[int], found: torch.Tensor, tokens) -> None:
        # Once for each loaded model: an architecture with a feature that we do not know of must not pass.
        if self._trusts_shared_prefix:
            return
        alone = score_one_by_one(self.model, [prompt], tokens).logprobs[0]
        # In half precision, the log-probability of a letter that is no candidate means little.
        off = (alone - found)[alone > alone.max() - 10].abs().max().item()
        if off > TOLERANCE[self.model.dtype]:
            raise ValuestabError(
                f"{self.name} scores letters {off:.2g} nats differently on a shared prefix than alone, where "
                f"{TOLERANCE[self.model.dtype]:g} are allowed; its architecture or quantization is not supported: "
                "report it."
            )
        self._trusts_shared_prefix = True


def load_model(model: str, dtype: str = "auto", device: str = "auto") -> LanguageModel:
    """Load a language model by name, folder or hub id.

    Parameters
    ----------
    model : str
        See `model_card`.
    dtype : {"auto", "float32", "float16", "bfloat16", "8bit", "4bit"}
        "auto" is float32 on a CPU and the checkpoint's own type on a GPU. "4bit" (NF4) and "8bit" (the weights of
        LLM.int8()) quantize by bitsandbytes what is multiplied in every layer, experts included; embeddings, the
        output layer, norms and the routers of experts stay as they are. All is computed in the dtype that "auto"
        stands for, activations included (see `valuestab_utils.quantization`), and the results go by a name of
        their own, which ends in -4b or -8b. A mixture of experts needs the main memory of its whole checkpoint
        (in the compute dtype) until it is quantized.
    device : str
        "auto" is a GPU where there is one.

    Raises
    ------
    ValuestabError
        Unknown model or dtype, or one that cannot be loaded.
    """
    card = model_card(model)
    check_known("dtype", dtype, ["auto", *_DTYPES, *quantization.SUFFIXES])
    variant = dtype if dtype in quantization.SUFFIXES else None
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    elif device.startswith("cuda") and not torch.cuda.is_available():
        raise ValuestabError(f"Device {device!r} was asked for, but PyTorch finds no GPU here: take 'cpu' or 'auto'.")
    if variant:
        quantization.check_bitsandbytes(variant, device)
    source = str(ensure_embedded_model()) if card.source == "embedded" else card.source
    checksum = folder_checksum(Path(source)) if Path(source).is_dir() else None
    with _one_sentence(model):
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
        config = AutoConfig.from_pretrained(source, trust_remote_code=False)
        loaded, report = _load_weights(model, source, config, dtype, device)
    if report["missing_keys"]:  # the library would go on with random numbers
        raise ValuestabError(
            f"The checkpoint of {model!r} lacks {len(report['missing_keys'])} weights of its model, such as "
            f"{min(report['missing_keys'])}: give a complete one, saved as a causal language model."
        )
    return LanguageModel(card, loaded, tokenizer, checksum or loaded.config._commit_hash, variant)


def _load_weights(model: str, source: str, config, dtype: str, device: str):
    own = quantization.own_quantization(config)
    if own and dtype != "auto":
        raise ValuestabError(
            f"Model {model!r} is saved quantized already ({own.get('quant_method', 'by a method unnamed')}), and that "
            f"is kept: load it with dtype='auto' instead of {dtype!r}."
        )
    if dtype in quantization.SUFFIXES:
        settings = quantization.loading_settings(config, dtype, device)
    else:
        settings = {"dtype": _DTYPES.get(dtype) or (torch.float32 if device == "cpu" else "auto")}
        if own:  # its layers must be on their device as they are read
            settings["device_map"] = {"": device}
    loaded, report = AutoModelForCausalLM.from_pretrained(
        source, trust_remote_code=False, output_loading_info=True, **settings
    )
    if dtype in quantization.SUFFIXES and not report["missing_keys"]:
        loaded = quantization.finish(loaded, dtype, device)
    elif own:
        loaded = quantization.keep_compute_dtype(loaded)
    else:
        loaded = loaded.to(device)
    return loaded.eval(), report


@contextlib.contextmanager
def _one_sentence(model: str):
    """Without progress bars, and with one sentence for whatever the libraries below raise."""
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    except ValuestabError:
        raise
    except Exception as error:  # the libraries below have no common error for what they cannot load
        reason = (str(error).strip().splitlines() or [""])[0].rstrip(".: ")
        near = difflib.get_close_matches(model, known_models(), n=1, cutoff=0.8)
        raise ValuestabError(
            f"Model {model!r} could not be loaded ({type(error).__name__}: {reason}): give a folder with "
            "config, weights and tokenizer, a hub id that this machine can reach, or a name in "
            f"data/models.yaml such as {(near or [EMBEDDED_NAME])[0]!r}."
        ) from error
    finally:
        if bars:
            transformers_logging.enable_progress_bar()


@functools.cache
def folder_checksum(folder: Path) -> str:
    """First 16 hexadecimal digits of the SHA-256 over a model folder's config, weights and tokenizer files.

    Raises
    ------
    ValuestabError
        If one of these is missing.
    """
    digest = hashlib.sha256()
    for part, patterns in _PARTS.items():
        files = sorted({file for pattern in patterns for file in folder.glob(pattern)})
        if not files:
            raise ValuestabError(
                f"The model folder {folder} has no {part}: give one with config, weights and tokenizer."
            )
        for file in files:
            with file.open("rb") as stream:
                digest.update(file.name.encode() + hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]


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
