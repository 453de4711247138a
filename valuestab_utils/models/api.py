"""Models behind an OpenAI-compatible API as respondents: ``api:NAME`` (see `valuestab_utils.models.api_client`).

Their texts and answers are the service's: they cannot be reproduced exactly, and a service may change its model.
"""

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from pydantic import BaseModel, Field

from valuestab_utils.errors import ValuestabError
from valuestab_utils.models.api_client import Client, Journal, Refused, Request, Settings
from valuestab_utils.models.respondents import API, Answers, ModelCard, Prompt, Respondent, Sampling, Text
from valuestab_utils.prompts import Message

BEGUN_TURN = {"vllm", "llamacpp", "ollama"}  # kinds of servers that go on with an assistant's last message
MOST_TOP_LOGPROBS = (20, 5)  # services cap them at one or the other
ANSWER_TOKENS = 8  # where an answer cannot be begun, the letter may follow a bracket, or "Answer: (" once more
TEXT_TOKENS = 16

# These servers have sampling settings of their own, which hold unless a request says otherwise: llama.cpp top_k 40 and
# min_p 0.05, vLLM what the checkpoint's generation_config.json has. Off, but for what the card asks.
_ALL_OFF = {
    "llamacpp": {"top_k": 0, "min_p": 0.0, "typical_p": 1.0, "repeat_penalty": 1.0},
    "vllm": {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0},
}
_PENALTY = {"llamacpp": "repeat_penalty", "vllm": "repetition_penalty"}


class ApiTemplate:
    """Chats as canonical JSON, so that a prompt is an exact text here as for any respondent."""

    accepts_system = True

    def __init__(self, begun_turn: bool):
        # Whether a begun answer is the assistant's last message; else it ends the user's, on a line of its own.
        self.begun_turn = begun_turn
        self.digest = "api-begun-turn" if begun_turn else "api-in-question"

    def render(self, messages: Sequence[Message], begun: str | None = None) -> str:
        """Exact text of a chat; see `valuestab_utils.prompts.chat_templates.ChatTemplate.render`."""
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
    """

    formats = ("tuned_sys", "tuned_no_sys")
    all_letters = False

    def __init__(self, card: ModelCard):
        self.card, self.name, self.family = card, card.name, card.family
        self.format = card.format or "tuned_sys"
        self.sampling = card.sampling or Sampling()
        self.client = Client(card.source.removeprefix(API), Settings.from_environment())
        self.kind = self.client.kind
        if self.kind not in _ALL_OFF and (self.sampling.top_k or self.sampling.repetition_penalty != 1):
            raise ValuestabError(
                f"{self.name} asks for top_k or a repetition penalty, which an API of the kind {self.kind} does not "
                "have: take another server, or give its entry in data/models.yaml the sampling 'plain'."
            )
        self.template = ApiTemplate(self.kind in BEGUN_TURN)
        self.batch_sessions = 2 * self.client.settings.concurrency
        self._found: dict | None = None

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
            "api_kind": self.kind,
            "letters": f"top {found['top_logprobs']} log-probabilities" if found["top_logprobs"] else "written answers",
        }

    def keep_journal(self, results_dir: Path) -> None:
        """Keep what was answered in ``results_dir``, beside the results: deleting both asks anew."""
        self.client.journal, self._found = Journal(Path(results_dir) / "_paid" / f"{self.name}.sqlite"), None

    def speak(self, prompts: Sequence[Prompt], max_new_tokens: int) -> list[Text]:
        requests = []
        for prompt in prompts:
            sampling = self.sampling if prompt.temperature is None else Sampling(prompt.temperature)
            asked = {"temperature": sampling.temperature, "top_p": sampling.top_p}
            asked["seed"] = int(prompt.noise.integers(2**31))
            own = {}
            if self.kind in _ALL_OFF and sampling.temperature:
                own = {_PENALTY[self.kind]: sampling.repetition_penalty}
                own |= {"top_k": sampling.top_k} if sampling.top_k else {}
            requests.append(self._request("message", prompt, asked, max_new_tokens, kept_text, own))
        finish = {"stop": "eos"}
        found = self.client.ask_all(requests)
        return [Text(f["text"].strip(), f["tokens"], finish.get(f["finish"], f["finish"]), 0) for f in found]

    def answer(self, prompts: Sequence[Prompt], letters: str) -> Answers:
        top = self._probe()["top_logprobs"]
        if top:
            limit, keep, read = 1 if self.template.begun_turn else ANSWER_TOKENS, kept_tops, likeliest_letters
        else:
            limit, keep, read = TEXT_TOKENS, kept_text, written_letters
        requests = [self._request("answer", prompt, _asking_for(top), limit, keep) for prompt in prompts]
        return read(self.client.ask_all(requests), letters)

    def price(self, tokens_in: int, tokens_out: int) -> list[str]:
        """What so many tokens cost, in sentences; and what was spent already in this results folder."""
        usd = self.client.settings.usd(tokens_in, tokens_out)
        spent_in, spent_out = self.client.journal.spent
        price = "unknown (VALUESTAB_USD_PER_MTOK_IN and _OUT)" if math.isnan(usd) else f"{usd:.2f} USD"
        return [
            f"  At {self.client.host}: at most about {tokens_in:,} tokens in and {tokens_out:,} out (4 bytes a token). "
            f"Price: {price}. Paid for already: {spent_in:,} in, {spent_out:,} out."
        ]

    def _payload(self, chat: list[Message], asked: dict, limit: int, own: Mapping | None = None) -> dict:
        own = _ALL_OFF.get(self.kind, {}) | (own or {})
        name = "max_completion_tokens" if self.kind in ("openai", "azure") else "max_tokens"
        if self.kind == "vllm" and chat[-1]["role"] == "assistant":
            own |= {"continue_final_message": True, "add_generation_prompt": False}
        return {"messages": chat, name: limit} | asked | ({"extra_body": own} if own else {})

    def _request(
        self, purpose: str, prompt: Prompt, asked: dict, limit: int, keep: Callable, own: Mapping | None = None
    ) -> Request:
        payload = self._payload(json.loads(prompt.text), asked, limit, own)
        model = self._probe()["model"]
        key = _hash([self.client.host, model, purpose, str(prompt.session), payload])

        def kept(response: dict) -> dict:
            if (answered := Completion.model_validate(response).answered_by) != model:
                raise ValuestabError(
                    f"The service answered as {answered!r}, where it was {model!r} before, and the two must not mix: "
                    "ask for a model by its dated name, or give another results_dir."
                )
            return keep(response)

        return Request(key, payload, kept, f"session {prompt.session}", limit, prompt.done)

    def _probe(self) -> dict:
        """Which model answers, and how many of its likeliest tokens the service tells; found out once a folder."""
        if self._found is None:
            chat = [{"role": "user", "content": "Choose one.\n(A) tea\n(B) coffee"}]
            for top in (*MOST_TOP_LOGPROBS, 0):
                payload = self._payload(chat, _asking_for(top), ANSWER_TOKENS)
                key = _hash(["probe", self.client.host, payload])
                request = Request(key, payload, _kept_probe, "a first question", ANSWER_TOKENS)
                try:
                    found = self.client.ask(request, refusable=top > 0)
                except Refused:
                    continue
                if found["logprobs"] or not top:
                    break
            if not found["text"]:
                raise ValuestabError(
                    f"{self.card.source} wrote nothing within {ANSWER_TOKENS} tokens: a model that thinks before it "
                    "answers cannot be asked for letters; take one that does not, or switch it off at the server."
                )
            self._found = {"model": found["model"], "top_logprobs": top}
        return self._found


def _asking_for(top: int) -> dict:
    return {"temperature": 0} | ({"logprobs": True, "top_logprobs": top} if top else {})


def _hash(parts: list) -> str:
    text = json.dumps(parts, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


# What is needed of a response; where something is missing, a pydantic.ValidationError, which is a ValueError.


class _Token(BaseModel):
    token: str
    logprob: float
    top_logprobs: list["_Token"] = []


class _Logprobs(BaseModel):
    content: list[_Token] | None = None


class _Said(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Said
    finish_reason: str
    logprobs: _Logprobs | None = None

    @property
    def steps(self) -> list[_Token]:
        return (self.logprobs and self.logprobs.content) or []


class Completion(BaseModel):
    """A chat completion as services answer it."""

    model: str = Field(min_length=1)
    choices: list[_Choice] = Field(min_length=1)
    usage: dict | None = None

    @property
    def answered_by(self) -> str:
        """The model's name; llama.cpp names a file, where it lies."""
        return Path(self.model).name if self.model.endswith(".gguf") else self.model


def _kept_probe(response: Mapping) -> dict:
    completion = Completion.model_validate(response)
    choice = completion.choices[0]
    return {"model": completion.answered_by, "logprobs": bool(choice.steps), "text": choice.message.content or ""}


def kept_text(response: Mapping) -> dict:
    """``text``, ``finish`` (in the service's words) and ``tokens`` (0 if it does not say) of a chat completion."""
    completion = Completion.model_validate(response)
    choice, usage = completion.choices[0], completion.usage or {}
    tokens = usage.get("completion_tokens") or 0
    return {"text": choice.message.content or "", "finish": choice.finish_reason, "tokens": tokens}


def kept_tops(response: Mapping) -> dict:
    """``steps`` of an answer: each written token's ``token``, ``logprob`` (nats) and ``top``, the likeliest there.

    ``top`` is what could have stood in its place, each with its log-probability. No steps if the service wrote nothing
    or refused; ValueError if an answer is there without log-probabilities.
    """
    choice = Completion.model_validate(response).choices[0]
    refused = choice.message.refusal or choice.finish_reason == "content_filter"
    if not choice.steps and choice.message.content and not refused:
        raise ValueError("log-probabilities are missing, which this service gave before")
    return {
        "steps": [
            {"token": step.token, "logprob": step.logprob, "top": [[t.token, t.logprob] for t in step.top_logprobs]}
            for step in choice.steps
        ]
    }


IMPOSSIBLE = -9000.0  # services write -9999 for a token that cannot be; such a log-probability says nothing

# What may stand before the letter: nothing, or some of "Answer: (".
_LEAD = re.compile(r"\s*(?:Answer\s*:?)?\s*\(?\s*")
# What goes on in words: of "A little like me", the first token is no letter.
_IN_WORDS = re.compile(r"[ \t]*[\w'’]")
# An answer in words that names one letter and nothing that could be read otherwise.
_WRITTEN = re.compile(
    r"\s*(?:Answer:\s*)?\(?(?:(?P<bracket>[A-Z])\)(?:[\s.,:].*)?|(?P<alone>[A-Z])\.?)\s*", flags=re.DOTALL
)
_NAMED = re.compile(r"(?<!\w)([A-Z])\)")


def likeliest_letters(found: Sequence[Mapping], letters: str) -> Answers:
    """Letters from the likeliest tokens, of N answers as `kept_tops` gives them.

    A letter's probability is that of being written at once, or after the opening bracket (or more of ``Answer: (``)
    that the service wrote: the product along the way. -inf means unknown, less than that of any token which is there.
    An answer is missing where no letter is among the likeliest tokens, or where it goes on in words.
    """
    logprobs = np.full((len(found), len(letters)), -np.inf)
    strays, stray_logprobs = [""] * len(found), np.full(len(found), -np.inf)
    for row, answer in enumerate(found):
        before, written = 0.0, ""
        for at, step in enumerate(answer["steps"]):
            leads = bool(_LEAD.fullmatch(written + step["token"]))
            for token, logprob in step["top"]:
                if logprob < IMPOSSIBLE or (leads and token == step["token"]):
                    continue
                letter = _alone(token)
                if len(letter) == 1 and letter in letters:
                    place = letters.index(letter)
                    logprobs[row, place] = np.logaddexp(logprobs[row, place], before + logprob)
                elif before + logprob > stray_logprobs[row]:
                    strays[row], stray_logprobs[row] = token, before + logprob
            if not leads:
                rest = "".join(later["token"] for later in answer["steps"][at + 1 :])
                if _alone(step["token"]) in letters and ")" not in step["token"] and _IN_WORDS.match(rest):
                    logprobs[row] = -np.inf
                    strays[row], stray_logprobs[row] = step["token"] + rest, before + step["logprob"]
                break
            written, before = written + step["token"], before + step["logprob"]
    return Answers(logprobs, strays, stray_logprobs, np.where(np.isfinite(logprobs.max(1)), logprobs.argmax(1), -1))


def written_letters(found: Sequence[Mapping], letters: str) -> Answers:
    """Letters from written answers, as `kept_text` gives them; their probabilities are not known (NaN)."""
    chosen = np.array([letter_of(answer["text"], letters) for answer in found])
    unknown = np.full((len(found), len(letters)), math.nan)
    strays = ["" if c >= 0 else answer["text"][:40] for c, answer in zip(chosen, found, strict=True)]
    return Answers(unknown, strays, np.full(len(found), math.nan), chosen)


def letter_of(text: str, letters: str) -> int:
    """Place of the one letter that a written answer names, -1 if it names none or several.

    >>> [letter_of(text, "AB") for text in ("(B) Like me", "A", "A little like me", "(A) or (B)")]
    [1, 0, -1, -1]
    """
    match = _WRITTEN.fullmatch(text)
    letter = (match["bracket"] or match["alone"]) if match else ""
    if not letter or letter not in letters or set(_NAMED.findall(text)) - {letter}:
        return -1
    return letters.index(letter)


def _alone(token: str) -> str:
    return token.strip().removeprefix("(").removesuffix(")").strip()
