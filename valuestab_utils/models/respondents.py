"""Who answers: what is known of a model by its name, and the interface that models and controls have in common."""

import functools
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import yaml
from pydantic import ConfigDict, StrictBool, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass

from valuestab_utils.errors import ValuestabError, check_known
from valuestab_utils.paths import DATA
from valuestab_utils.prompts import FORMATS, ChatTemplate, Session, slug

BYTES_PER_TOKEN = 4  # of English


@dataclass(frozen=True)
class Prompt:
    """A prompt of one session.

    session : for error messages and nothing else: a respondent knows only what the text says
    noise : of the message to be sampled
    cut : cuts a base model's text at the first turn label
    done : called once when the message is written, before the rest of its batch is: for progress bars
    temperature : samples plainly at it, the same for all prompts of one call; None for the respondent's own sampling
    """

    session: Session
    text: str
    noise: np.random.Generator | None = None
    cut: Callable[[str], str] | None = None
    done: Callable[[], object] | None = None
    temperature: float | None = None


@dataclass(frozen=True)
class Text:
    """A message that a respondent wrote.

    n_tokens : tokens drawn, the ending one included
    finish : "eos", "label" (a turn label in the base format) or "length"; a service may have words of its own
    close_calls : steps in which the two largest candidates were within rounding error
    """

    content: str
    n_tokens: int
    finish: str
    close_calls: int


@dataclass(frozen=True)
class Answers:
    """Letter scores of N prompts.

    logprobs : (N, n_letters), nats
    stray_tokens, stray_logprobs : the most likely token that is no letter
    chosen : (N,), index of the chosen letter, -1 for a missing answer, of respondents that do not give every letter a
        log-probability; None for all others, where the likeliest letter is chosen and no answer is missing
    """

    logprobs: np.ndarray
    stray_tokens: list[str]
    stray_logprobs: np.ndarray
    chosen: np.ndarray | None = None


class Respondent(ABC):
    """Something that takes part in conversations and answers items, given the text of a prompt.

    format, formats : in which it is asked unless another is named; in which it can be asked
    settings : all that decides its results beside the sessions
    batch_sessions : conversations that are simulated together
    batch_questionnaires : the same of questionnaires, prompts of thousands of tokens, each with a cache of its own
    all_letters : whether every letter gets a log-probability, as balanced option orders need
    """

    batch_sessions = 48
    batch_questionnaires = 12
    formats = FORMATS
    all_letters = True

    name: str
    family: str
    format: str
    template: ChatTemplate | None
    settings: dict

    def count_tokens(self, text: str) -> int:
        """Tokens of a text: an estimate for English, where there is no tokenizer to count with."""
        return -(-len(text.encode()) // BYTES_PER_TOKEN)

    def keep_journal(self, results_dir: Path) -> None:  # noqa: B027 - most keep none
        """Told where results go, by who asks; a respondent that is paid for keeps there what it was given."""

    @abstractmethod
    def speak(self, prompts: Sequence[Prompt], max_new_tokens: int) -> list[Text]:
        """Write the next message after each prompt."""

    @abstractmethod
    def answer(self, prompts: Sequence[Prompt], letters: str) -> Answers:
        """Score the letters after each prompt; all prompts belong to one session."""

    def answer_next(self, prompt: Prompt, letters: str, begins: bool) -> Answers:
        """Score the letters after one prompt of a conversation that grows from question to question.

        With ``begins``, it is the conversation's first, and what is kept of another one is let go.
        """
        return self.answer([prompt], letters)


API = "api:"  # before the name of a model that is asked through an API
SUFFIXES = {"4bit": "-4b", "8bit": "-8b"}  # of the names of a quantized model's results, by dtype
_STRICT = ConfigDict(extra="forbid")


@checked_dataclass(frozen=True, config=_STRICT)
class Sampling:
    """Settings of sampling, as model cards give them; temperature 0 takes the most likely token.

    Off are the nucleus with top_p 1, top_k with 0, and the repetition penalty with 1.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    repetition_penalty: float = 1.0


@checked_dataclass(frozen=True, config=_STRICT)
class ModelCard:
    """What is known of a model before it is loaded.

    name : under which its results are kept
    source : folder or hub id, or "embedded"
    format : its own (Kovač et al. 2024, B.2); None is found out from its chat template
    sampling : None takes what the model's generation_config.json says
    template : variables for its chat template
    paper : how Kovač et al. ran it; empty if it is not among the paper's models
    api : whether it is asked through its maker's API
    """

    name: str
    source: str
    format: Literal[FORMATS] | None
    family: str
    sampling: Sampling | None
    template: dict[str, object] = field(default_factory=dict)
    paper: list[Literal["16bit", "4bit", "api"]] = field(default_factory=list)
    api: StrictBool = False


@functools.cache
def known_models(path: Path = DATA / "models.yaml") -> dict[str, ModelCard]:
    """The models of data/models.yaml by name; ValuestabError if an entry is not as the file's head describes."""
    name = ""
    try:
        cards = {}
        for name, entry in yaml.safe_load(path.read_text(encoding="utf-8")).items():
            given = {"name": slug(name), "source": entry.get("id", name), "format": None, "sampling": None} | entry
            given.pop("id", None)
            if given["sampling"] == "plain":
                given["sampling"] = Sampling()
            cards[name] = TypeAdapter(ModelCard).validate_python(given)
        return cards
    except ValidationError as error:
        first = error.errors()[0]
        reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    except (OSError, yaml.YAMLError, AttributeError) as error:
        reason = " ".join(str(error).split())
    raise ValuestabError(f"{path} cannot be read (at {name!r}: {reason}): write it as its first lines say.")


def model_card(model: str) -> ModelCard:
    """Find what ``model`` means: a name in data/models.yaml, a folder, a hub id (``owner/name``), or ``api:NAME``.

    ValuestabError for anything else, also for the name of an API's model without api:.
    """
    known = known_models()
    if model.startswith(API):
        name = model.removeprefix(API)
        card = known.get(name)
        of_card = (card.format, card.family, card.sampling) if card and card.api else (None, "API", None)
        return ModelCard(slug("api-" + name), model, *of_card)
    if model in known and known[model].api:
        raise ValuestabError(
            f"{model!r} is no checkpoint that could be loaded, but a model behind an API: ask for 'api:{model}'."
        )
    if model in known:
        return known[model]
    folder = Path(model).expanduser().resolve()
    if folder.is_dir():
        return ModelCard(slug(folder.name), str(folder), None, folder.name, None)
    if not re.fullmatch(r"\w[\w.-]*/[\w.-]+", model):
        check_known("model (neither a folder nor a hub id like owner/name)", model, known)
    return ModelCard(slug(model), model, None, model.split("/")[0], None)
