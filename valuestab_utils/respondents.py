"""What answers the experiment: the interface that language models and controls have in common."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from valuestab_utils.chat_template import ChatTemplate
from valuestab_utils.errors import ValuestabError
from valuestab_utils.prompts import FORMATS
from valuestab_utils.sessions import Session

BYTES_PER_TOKEN = 4  # of English


@dataclass(frozen=True)
class Prompt:
    """A prompt of one session.

    Attributes
    ----------
    session : Session
        For error messages and nothing else: a respondent knows only what the text says.
    text : str
        The exact text.
    noise : numpy.random.Generator or None
        Noise of the message to be sampled.
    cut : callable or None
        Cuts a base model's text at the first turn label.
    done : callable or None
        May be called once when the message is written, before the rest of its batch is: for progress bars.
    temperature : float or None
        At which the message is sampled, plainly; None for the respondent's own sampling. All prompts of one call have
        the same.
    """

    session: Session
    text: str
    noise: np.random.Generator | None = None
    cut: Callable[[str], str] | None = None
    done: Callable[[], object] | None = None
    temperature: float | None = None


@dataclass(frozen=True)
class Text:
    """A message that a respondent wrote; for ``finish`` see `valuestab_utils.sampling.Sampled`."""

    content: str
    n_tokens: int
    finish: str
    close_calls: int


@dataclass(frozen=True)
class Answers:
    """Letter scores of N prompts.

    Attributes
    ----------
    logprobs : ndarray, shape (N, n_letters)
        Log-probability of each letter, in nats.
    stray_tokens : list of str
        The most likely token that is no letter.
    stray_logprobs : ndarray, shape (N,)
    chosen : ndarray of int, shape (N,), optional
        Index of the chosen letter, -1 for a missing answer: of respondents that do not give every letter a
        log-probability. For all others, the likeliest letter is chosen and no answer is missing.
    """

    logprobs: np.ndarray
    stray_tokens: list[str]
    stray_logprobs: np.ndarray
    chosen: np.ndarray | None = None


class Respondent(ABC):
    """Something that takes part in conversations and answers items, given the text of a prompt.

    Attributes
    ----------
    name, family : str
    format : str
        The format it is asked in unless another is named.
    template : ChatTemplate or None
    settings : dict
        All that decides its results beside the sessions.
    batch_sessions : int
        Conversations that are simulated together, unless the caller says otherwise.
    batch_questionnaires : int
        Whole questionnaires that are filled in together: prompts of thousands of tokens, each with a cache of its own.
    formats : tuple of str
        Formats in which it can be asked.
    all_letters : bool
        Whether every letter gets a log-probability, as balanced option orders need.
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

    def keep_journal(self, results_dir: Path) -> None:
        """Told where results go, by who asks; a respondent that is paid for keeps there what it was given."""

    @abstractmethod
    def speak(self, prompts: Sequence[Prompt], max_new_tokens: int) -> list[Text]:
        """Write the next message after each prompt."""

    @abstractmethod
    def answer(self, prompts: Sequence[Prompt], letters: str) -> Answers:
        """Score the letters after each prompt; all prompts belong to one session."""

    def answer_next(self, prompt: Prompt, letters: str, begins: bool) -> Answers:
        """Score the letters after one prompt of a conversation that grows from question to question.

        ``begins`` says that it is the conversation's first: what is kept of another one is then let go.
        """
        return self.answer([prompt], letters)


def common_temperature(prompts: Sequence[Prompt]) -> float | None:
    """The temperature that all prompts of one call have.

    Raises
    ------
    ValuestabError
        If they have several.
    """
    temperatures = {prompt.temperature for prompt in prompts}
    if len(temperatures) > 1:
        raise ValuestabError(
            f"Prompts of one call have the temperatures {sorted(map(str, temperatures))}: ask those of each "
            "temperature in a call of their own."
        )
    return next(iter(temperatures), None)
