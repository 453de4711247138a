"""Models behind an OpenAI-compatible API as respondents: ``api:NAME`` (see `valuestab_utils.api_client`).

Their texts and answers are the service's: they cannot be reproduced exactly, and a service may change its model.
"""

import hashlib
import json
import math
import re
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import openai

from valuestab_utils.api_client import Client, Journal, Request, Settings
from valuestab_utils.chat_template import Message
from valuestab_utils.errors import ValuestabError
from valuestab_utils.model_cards import ModelCard
from valuestab_utils.respondents import Answers, Prompt, Respondent, Text
from valuestab_utils.sampling import Sampling

BEGUN_TURN = {"vllm", "llamacpp", "ollama"}  # kinds of servers that go on with an assistant's last message
MOST_TOP_LOGPROBS = (20, 5)  # services cap them at one or the other
ANSWER_TOKENS = 4  # the letter may follow a bracket or a blank that is a token of its own
TEXT_TOKENS = 16

# An answer in words that names one letter and nothing that could be read otherwise: "A little like me" does not.
_WRITTEN = re.compile(
    r"\s*(?:Answer:\s*)?\(?(?:(?P<bracket>[A-Z])\)(?:[\s.,:].*)?|(?P<alone>[A-Z])[.:]?)\s*", flags=re.DOTALL
)


class ApiTemplate:
    """Chats as canonical JSON, so that a prompt is an exact text here as for any respondent.

    Parameters
    ----------
    begun_turn : bool
        Whether a begun answer is the assistant's last message; else it ends the user's, on a line of its own.
    """

    accepts_system = True

    def __init__(self, begun_turn: bool):
        self.begun_turn = begun_turn
        self.digest = "api-begun-turn" if begun_turn else "api-in-question"

    def render(self, messages: Sequence[Message], begun: str | None = None) -> str:
        """Exact text of a chat; see `valuestab_utils.chat_template.ChatTemplate.render`."""
        chat = [dict(message) for message in messages]
        if begun is not None and self.begun_turn:
            chat.append({"role": "assistant", "content": begun})
        elif begun is not None:
            chat[-1]["content"] += f"\n{begun}"
        return json.dumps(chat, ensure_ascii=False)


class ApiRespondent(Respondent):
    """A model behind an API.

    Its letters come from the most likely tokens that the service tells, or, if it tells none, from its written answer;
    an answer that names no letter is missing.

    Parameters
    ----------
    card : ModelCard
        With the source ``api:NAME``.
    """

    formats = ("tuned_sys", "tuned_no_sys")
    all_letters = False

    def __init__(self, card: ModelCard):
        self.card, self.name, self.family = card, card.name, card.family
        self.sampling = card.sampling or Sampling()
        if self.sampling.top_k or self.sampling.repetition_penalty != 1:
            raise ValuestabError(f"{self.name} asks for top_k or a repetition penalty, which chat APIs do not have.")
        self.client = Client(card.source.removeprefix("api:"), Settings.from_environment())
        self.kind = self.client.server_kind()
        self.template = ApiTemplate(self.kind in BEGUN_TURN)
        self.batch_sessions = 2 * self.client.settings.concurrency
        self._found: dict | None = None
        self._told = 0

    @property
    def format(self) -> str:
        """The card's format, else personas by system message."""
        return self.card.format or "tuned_sys"

    @property
    def settings(self) -> dict:
        """All that decides its results beside the sessions; ``letters`` says where they are read from."""
        found = self._probe()
        return {
            "model_source": f"{self.card.source} at {self.client.host}",
            "model_revision": found["model"],
            "dtype": "",
            "chat_template": self.template.digest,
            "sampling": asdict(self.sampling),
            "letters": f"top {found['top_logprobs']} log-probabilities" if found["top_logprobs"] else "written answers",
        }

    def keep_journal(self, results_dir: Path) -> None:
        """Keep what was answered in ``results_dir``, beside the results: deleting both asks anew."""
        self.client.journal, self._found = Journal(Path(results_dir) / "_paid" / f"{self.name}.jsonl"), None

    def speak(self, prompts: Sequence[Prompt], max_new_tokens: int) -> list[Text]:
        """Have the next message after each prompt written."""
        requests = [
            self._request(
                "message",
                prompt,
                {
                    "temperature": self.sampling.temperature,
                    "top_p": self.sampling.top_p,
                    "seed": int(prompt.noise.integers(2**31)),
                    self._limit: max_new_tokens,
                },
                _kept_text,
            )
            for prompt in prompts
        ]
        found = self.client.ask_all(requests, [prompt.done for prompt in prompts])
        self._tell_retries()
        finish = {"stop": "eos"}
        return [
            Text(f["text"].strip(), f["tokens"], finish.get(f["finish"], str(f["finish"])), 0) for f in found
        ]

    def answer(self, prompts: Sequence[Prompt], letters: str) -> Answers:
        """Read the letters after each prompt."""
        top = self._probe()["top_logprobs"]
        if top:
            asked, keep = {"logprobs": True, "top_logprobs": top, self._limit: ANSWER_TOKENS}, _kept_top
        else:
            asked, keep = {self._limit: TEXT_TOKENS}, _kept_text
        requests = [self._request("answer", prompt, asked | {"temperature": 0}, keep) for prompt in prompts]
        found = self.client.ask_all(requests)
        self._tell_retries()
        if not top:
            return _written(found, letters)
        return _most_likely([f["top"] for f in found], letters)

    def price(self, tokens_in: int, tokens_out: int) -> list[str]:
        """What so many tokens cost, in sentences; and what was spent already in this results folder."""
        usd = self.client.settings.usd(tokens_in, tokens_out)
        spent_in, spent_out = self.client.journal.spent
        price = "unknown (VALUESTAB_USD_PER_MTOK_IN and _OUT)" if math.isnan(usd) else f"{usd:.2f} USD"
        return [
            f"  At {self.client.host}: at most about {tokens_in:,} tokens in and {tokens_out:,} out (4 bytes a token). "
            f"Price: {price}. Paid for already: {spent_in:,} in, {spent_out:,} out."
        ]

    @property
    def _limit(self) -> str:
        return "max_completion_tokens" if self.kind in ("openai", "azure") else "max_tokens"

    def _request(self, purpose: str, prompt: Prompt, settings: dict, keep) -> Request:
        chat = json.loads(prompt.text)
        payload = {"messages": chat} | settings
        if self.kind == "vllm" and chat[-1]["role"] == "assistant":
            payload["extra_body"] = {"continue_final_message": True, "add_generation_prompt": False}
        text = json.dumps([purpose, str(prompt.session), payload], ensure_ascii=False, sort_keys=True)
        key = hashlib.sha256(text.encode()).hexdigest()[:32]
        model = self._probe()["model"]
        return Request(key, payload, lambda response: keep(_same_model(response, model)), f"session {prompt.session}")

    def _probe(self) -> dict:
        """Which model answers, and how many of its likeliest tokens the service tells; found out once a folder."""
        if self._found is None:
            self._found = self.client.journal.find("probe")
        if self._found is None:
            chat = [{"role": "user", "content": "Choose one.\n(A) tea\n(B) coffee"}]
            for top in (*MOST_TOP_LOGPROBS, 0):
                asked = {"logprobs": True, "top_logprobs": top} if top else {}
                payload = {"messages": chat, "temperature": 0, self._limit: ANSWER_TOKENS} | asked
                try:
                    response = self.client.send_once(payload, "a first question")
                except openai.APIStatusError as error:
                    if not top:
                        raise ValuestabError(f"{self.client.host} refuses a chat request: {error.message}") from error
                    continue
                if not top or _content(response):
                    break
            self._found = {"model": _model_name(response), "top_logprobs": top}
            self.client.journal.add("probe", self._found, 0, 0)
        return self._found

    def _tell_retries(self) -> None:
        if self.client.retries >= self._told + 10:
            self._told = self.client.retries
            warnings.warn(f"{self.client.host} had to be asked again {self._told} times so far.", stacklevel=3)


def _content(response: dict) -> list[dict]:
    return ((response["choices"][0].get("logprobs") or {}).get("content")) or []


def _model_name(response: dict) -> str:
    return Path(str(response.get("model") or "unnamed")).name  # llama.cpp names a file, where it lies


def _same_model(response: dict, model: str) -> dict:
    if _model_name(response) != model:
        raise ValuestabError(
            f"The service answered as {_model_name(response)!r}, where it was {model!r} before, and the two must not "
            "mix: ask for a model by its dated name, or give another results_dir."
        )
    return response


def _kept_text(response: dict) -> dict:
    choice = response["choices"][0]
    tokens = (response.get("usage") or {}).get("completion_tokens") or 0
    return {"text": choice["message"].get("content") or "", "finish": choice["finish_reason"], "tokens": tokens}


def _kept_top(response: dict) -> dict:
    content = _content(response)
    if not content:
        raise ValueError("log-probabilities are missing, which this service gave before")
    # A bracket or blank of its own may stand before the letter.
    position = next((c for c in content if c["token"].strip(" \n(")), content[-1])
    return {"top": [[t["token"], t["logprob"]] for t in position["top_logprobs"]]}


def _most_likely(tops: Sequence[Sequence], letters: str) -> Answers:
    """Letters from the likeliest tokens; a letter that is not among them is less likely than all of them."""
    logprobs = np.full((len(tops), len(letters)), -np.inf)
    strays, stray_logprobs = [], np.full(len(tops), -np.inf)
    for row, top in enumerate(tops):
        stray = ""
        for token, logprob in top:
            letter = token.strip().removeprefix("(").removesuffix(")")
            if len(letter) == 1 and letter in letters:
                at = letters.index(letter)
                logprobs[row, at] = np.logaddexp(logprobs[row, at], logprob)
            elif logprob > stray_logprobs[row]:
                stray, stray_logprobs[row] = token, logprob
        strays.append(stray)
    chosen = np.where(np.isfinite(logprobs.max(1)), logprobs.argmax(1), -1)
    return Answers(logprobs, strays, stray_logprobs, chosen)


def _written(found: Sequence[dict], letters: str) -> Answers:
    """Letters from written answers, which have no probabilities."""
    chosen = np.array([_letter(f["text"], letters) for f in found])
    unknown = np.full((len(found), len(letters)), math.nan)
    return Answers(unknown, [f["text"][:40] for f in found], np.full(len(found), math.nan), chosen)


def _letter(text: str, letters: str) -> int:
    match = _WRITTEN.fullmatch(text)
    letter = (match["bracket"] or match["alone"]) if match else ""
    return letters.index(letter) if letter and letter in letters else -1
