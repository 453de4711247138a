"""Language models: which ones are known, and how one is loaded and asked."""

import functools
import hashlib
import re
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import yaml
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from valuestab_utils import shared_prefix
from valuestab_utils.chat_template import ChatTemplate, encode
from valuestab_utils.embedded import ensure_embedded_model
from valuestab_utils.errors import ValuestabError, check_known
from valuestab_utils.letters import letter_tokens
from valuestab_utils.paths import DATA
from valuestab_utils.respondents import Answers, Prompt, Respondent, Text
from valuestab_utils.sampling import Sampling, sample_messages
from valuestab_utils.scoring import score_on_shared_prefix, score_one_by_one
from valuestab_utils.sessions import slug

# Largest difference that scoring on a shared prefix may make to a letter's log-probability, in nats.
TOLERANCE = {torch.float32: 1e-3, torch.float16: 0.1, torch.bfloat16: 0.5}
_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class ModelCard:
    """What is known of a model before it is loaded.

    Attributes
    ----------
    name : str
        Name under which its results are kept.
    source : str
        Folder or hub id that it is loaded from, or "embedded".
    format : str or None
        Its own format (paper 001, B.2); None is found out from its chat template.
    family : str
    sampling : Sampling or None
        None takes what the model's own generation_config.json says.
    """

    name: str
    source: str
    format: str | None
    family: str
    sampling: Sampling | None


@functools.cache
def known_models() -> dict[str, ModelCard]:
    """The models of data/models.yaml by name."""
    entries = yaml.safe_load((DATA / "models.yaml").read_text(encoding="utf-8"))
    return {
        name: ModelCard(
            name=slug(name),
            source=entry.get("id", name),
            format=entry["format"],
            family=entry["family"],
            sampling=Sampling(**entry.get("sampling", {})),
        )
        for name, entry in entries.items()
    }


def model_card(model: str) -> ModelCard:
    """Find what ``model`` means: a name in data/models.yaml, a folder, or a hub id (``owner/name``).

    Raises
    ------
    ValuestabError
        If it is none of these; the nearest known name is suggested.
    """
    if model in known_models():
        return known_models()[model]
    if Path(model).expanduser().is_dir():
        folder = Path(model).expanduser().resolve()
        return ModelCard(slug(folder.name), str(folder), None, folder.name, None)
    if re.fullmatch(r"[\w.-]+/[\w.-]+", model) and not model.startswith("."):
        return ModelCard(slug(model), model, None, model.split("/")[0], None)
    check_known("model (neither a folder nor a hub id like owner/name)", model, known_models())
    raise AssertionError("unreachable")


class LanguageModel(Respondent):
    """A causal language model of transformers that speaks in conversations and answers items.

    Parameters
    ----------
    card : ModelCard
    model : transformers.PreTrainedModel
    tokenizer : transformers.PreTrainedTokenizerBase
    revision : str
        What identifies the weights: a hub commit, or a checksum of local ones.
    """

    def __init__(self, card: ModelCard, model, tokenizer, revision: str):
        self.card, self.model, self.tokenizer, self.revision = card, model, tokenizer, revision
        self.name, self.family = card.name, card.family
        self.template = ChatTemplate(tokenizer) if tokenizer.chat_template else None
        self.sampling = card.sampling or _own_sampling(model.generation_config)
        self.context_length = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        self.tokens_computed = 0
        self._trusts_shared_prefix = False
        self._letters = functools.cache(lambda letters: letter_tokens(tokenizer, letters))

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
        """All that decides this model's results beside the sessions themselves."""
        return {
            "model_source": self.card.name if Path(self.card.source).is_absolute() else self.card.source,
            "model_revision": self.revision,
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "chat_template": self.template.digest if self.template else "none",
            "sampling": asdict(self.sampling),
        }

    def speak(self, prompts: Sequence[Prompt], max_new_tokens: int) -> list[Text]:
        """Sample a message for each prompt, in one batch."""
        ids = [self._encode(prompt, max_new_tokens) for prompt in prompts]
        noises = [prompt.noise for prompt in prompts]
        cuts = [prompt.cut for prompt in prompts] if prompts[0].cut else None
        sampled = sample_messages(self.model, self.tokenizer, ids, noises, self.sampling, max_new_tokens, cuts)
        return [Text(s.text, s.n_tokens, s.finish, s.close_calls) for s in sampled]

    def answer(self, prompts: Sequence[Prompt], letters: str) -> Answers:
        """Score the letters after each prompt of one session."""
        ids = [self._encode(prompt, 0) for prompt in prompts]
        tokens = self._letters(letters)
        why_not = shared_prefix.obstacle(self.model, max(map(len, ids)))
        if why_not:
            warnings.warn(f"{self.name} is scored one full prompt at a time, because {why_not}.", stacklevel=2)
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
                f"Session {prompt.session}: its prompt has {len(ids)} tokens, and {room} more may follow, but "
                f"{self.name} takes {self.context_length}: ask after fewer messages (n_messages)."
            )
        return ids

    def _check_shared_prefix(self, prompt: Sequence[int], found: torch.Tensor, tokens) -> None:
        # Once for each loaded model: an architecture with a feature that we do not know of must not pass unseen.
        if self._trusts_shared_prefix:
            return
        alone = score_one_by_one(self.model, [prompt], tokens).logprobs[0]
        likely = alone > -10  # in half precision, the log-probability of what is all but impossible means little
        off = (alone - found)[likely].abs().max().item() if likely.any() else 0.0
        if off > TOLERANCE[self.model.dtype]:
            raise ValuestabError(
                f"{self.name} scores letters {off:.2g} nats differently on a shared prefix than alone (allowed: "
                f"{TOLERANCE[self.model.dtype]:g}), so its architecture is not supported: please report this model."
            )
        self._trusts_shared_prefix = True


def load_model(model: str, dtype: str = "auto", device: str = "auto") -> LanguageModel:
    """Load a language model by name, folder or hub id.

    Parameters
    ----------
    model : str
        See `model_card`.
    dtype : {"auto", "float32", "float16", "bfloat16"}
        "auto" is float32 on a CPU and the checkpoint's own type on a GPU.
    device : str
        "auto" is a GPU where there is one.

    Raises
    ------
    ValuestabError
        Unknown model or dtype, or one that cannot be loaded.
    """
    card = model_card(model)
    check_known("dtype", dtype, ["auto", *_DTYPES])
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    torch_dtype = _DTYPES.get(dtype) or (torch.float32 if device == "cpu" else "auto")
    source = str(ensure_embedded_model()) if card.source == "embedded" else card.source
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
        loaded = AutoModelForCausalLM.from_pretrained(source, dtype=torch_dtype).to(device).eval()
    except (OSError, ValueError, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValuestabError(
            f"Model {model!r} could not be loaded ({reason}): give a folder with config, weights and tokenizer, a hub "
            f"id that this machine can reach, or one of {', '.join(known_models())}."
        ) from error
    finally:
        if bars:
            transformers_logging.enable_progress_bar()
    revision = getattr(loaded.config, "_commit_hash", None) or weights_checksum(Path(source))
    return LanguageModel(card, loaded, tokenizer, revision)


@functools.cache
def weights_checksum(folder: Path) -> str:
    """First 16 hexadecimal digits of the SHA-256 over a folder's weight files, in order of their names."""
    files = sorted([*folder.glob("*.safetensors"), *folder.glob("*.bin")])
    if not files:
        raise ValuestabError(f"Model folder {folder} has no weights (*.safetensors or *.bin).")
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]


def _own_sampling(config) -> Sampling:
    # None is "not given"; transformers itself would put top_k = 50 there, which no card asked for.
    given = {name: getattr(config, name, None) for name in ("temperature", "top_p", "top_k", "repetition_penalty")}
    return Sampling(**{name: value for name, value in given.items() if value is not None})

