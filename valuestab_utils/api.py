"""Models behind an OpenAI-compatible API as respondents: ``api:NAME`` (see `valuestab_utils.api_client`).

Their texts and answers are the service's: they cannot be reproduced exactly, and a service may change its model.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from valuestab_utils.api_client import Client, Refused, Request
from valuestab_utils.api_journal import Journal
from valuestab_utils.api_letters import content, kept_text, kept_tops, likeliest_letters, written_letters
from valuestab_utils.api_settings import Settings
from valuestab_utils.chat_template import Message
from valuestab_utils.errors import ValuestabError
from valuestab_utils.model_cards import API, ModelCard
from valuestab_utils.respondents import Answers, Prompt, Respondent, Text, common_temperature
from valuestab_utils.sampling import Sampling

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
_NAMES = {"llamacpp": ("top_k", "repeat_penalty"), "vllm": ("top_k", "repetition_penalty")}


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
        self.client = Client(card.source.removeprefix(API), Settings.from_environment())
        self.kind = self.client.server_kind()
        if self.kind not in _NAMES and (self.sampling.top_k or self.sampling.repetition_penalty != 1):
            raise ValuestabError(
                f"{self.name} asks for top_k or a repetition penalty, which an API of the kind {self.kind} does not "
                "have: take another server, or give its entry in data/models.yaml the sampling 'plain'."
            )
        self.template = ApiTemplate(self.kind in BEGUN_TURN)
        self.batch_sessions = 2 * self.client.settings.concurrency
        self._found: dict | None = None

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
            "api_kind": self.kind,
            "letters": f"top {found['top_logprobs']} log-probabilities" if found["top_logprobs"] else "written answers",
        }

    def keep_journal(self, results_dir: Path) -> None:
        """Keep what was answered in ``results_dir``, beside the results: deleting both asks anew."""
        self.client.journal, self._found = Journal(Path(results_dir) / "_paid" / f"{self.name}.sqlite"), None

    def speak(self, prompts: Sequence[Prompt], max_new_tokens: int) -> list[Text]:
        """Have the next message after each prompt written."""
        temperature = common_temperature(prompts)
        chosen = self.sampling if temperature is None else Sampling(temperature)
        sampling = {"temperature": chosen.temperature, "top_p": chosen.top_p}
        requests = [
            self._request(
                "message", p, sampling | {"seed": int(p.noise.integers(2**31))}, max_new_tokens, kept_text, chosen
            )
            for p in prompts
        ]
        finish = {"stop": "eos"}
        found = self.client.ask_all(requests)
        return [Text(f["text"].strip(), f["tokens"], finish.get(f["finish"], f["finish"]), 0) for f in found]

    def answer(self, prompts: Sequence[Prompt], letters: str) -> Answers:
        """Read the letters after each prompt."""
        top = self._probe()["top_logprobs"]
        asked = {"logprobs": True, "top_logprobs": top} if top else {}
        limit = self._answer_tokens if top else TEXT_TOKENS
        keep, read = (kept_tops, likeliest_letters) if top else (kept_text, written_letters)
        requests = [self._request("answer", p, {"temperature": 0} | asked, limit, keep) for p in prompts]
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

    @property
    def _answer_tokens(self) -> int:
        return 1 if self.template.begun_turn else ANSWER_TOKENS

    def _payload(self, chat: list[Message], asked: dict, limit: int, sampling: Sampling | None = None) -> dict:
        name = "max_completion_tokens" if self.kind in ("openai", "azure") else "max_tokens"
        own = dict(_ALL_OFF.get(self.kind, {}))
        if sampling and sampling.temperature and own:  # a message, not an answer
            top_k, penalty = _NAMES[self.kind]
            own |= {top_k: sampling.top_k or own[top_k], penalty: sampling.repetition_penalty}
        if self.kind == "vllm" and chat[-1]["role"] == "assistant":
            own |= {"continue_final_message": True, "add_generation_prompt": False}
        return {"messages": chat, name: limit} | asked | ({"extra_body": own} if own else {})

    def _request(
        self, purpose: str, prompt: Prompt, asked: dict, limit: int, keep, sampling: Sampling | None = None
    ) -> Request:
        payload = self._payload(json.loads(prompt.text), asked, limit, sampling)
        model = self._probe()["model"]
        key = _hash([self.client.host, model, purpose, str(prompt.session), payload])

        def kept(response: dict) -> dict:
            _check_model(response, model)
            return keep(response)

        return Request(key, payload, kept, f"session {prompt.session}", limit, prompt.done)

    def _probe(self) -> dict:
        """Which model answers, and how many of its likeliest tokens the service tells; found out once a folder."""
        if self._found is None:
            chat = [{"role": "user", "content": "Choose one.\n(A) tea\n(B) coffee"}]
            for top in (*MOST_TOP_LOGPROBS, 0):
                asked = {"temperature": 0} | ({"logprobs": True, "top_logprobs": top} if top else {})
                payload = self._payload(chat, asked, ANSWER_TOKENS)
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


def _hash(parts: list) -> str:
    text = json.dumps(parts, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _kept_probe(response: dict) -> dict:
    return {"model": _model_name(response), "logprobs": bool(content(response)), "text": kept_text(response)["text"]}


def _model_name(response: dict) -> str:
    name = response.get("model")
    if not isinstance(name, str) or not name:
        raise ValueError("it does not say which model answered")
    return Path(name).name if name.endswith(".gguf") else name  # llama.cpp names a file, where it lies


def _check_model(response: dict, model: str) -> None:
    if _model_name(response) != model:
        raise ValuestabError(
            f"The service answered as {_model_name(response)!r}, where it was {model!r} before, and the two must not "
            "mix: ask for a model by its dated name, or give another results_dir."
        )
