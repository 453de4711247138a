"""Requests to an OpenAI-compatible server: endpoint, retries, a budget, and a journal of what was paid for.

Endpoint and key come from the environment alone: ``OPENAI_API_KEY`` and, for other servers than OpenAI's,
``OPENAI_BASE_URL``; for Azure ``AZURE_OPENAI_ENDPOINT``, ``AZURE_OPENAI_API_KEY`` and ``OPENAI_API_VERSION``. What else
can be set there is listed in `Settings`.
"""

import json
import os
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import openai

from valuestab_utils.errors import ValuestabError, check_known

# How a server is told that an answer is begun; it names itself in its list of models (owned_by).
KINDS = {"openai": "openai", "system": "openai", "llamacpp": "llamacpp", "vllm": "vllm", "library": "ollama"}
TRANSIENT = (408, 409, 425, 429)  # status codes that another attempt may turn, beside those of the server's own faults


@dataclass(frozen=True)
class Settings:
    """What the environment says of an API.

    Attributes
    ----------
    kind : str or None
        ``VALUESTAB_API_KIND``: openai, azure, vllm, llamacpp or ollama; None asks the server.
    concurrency : int
        ``VALUESTAB_API_CONCURRENCY``: requests at a time (8).
    attempts : int
        ``VALUESTAB_API_ATTEMPTS``: of each request before it is given up (6).
    timeout : float
        ``VALUESTAB_API_TIMEOUT``: seconds that an attempt may take (60).
    max_tokens, max_usd : float
        ``VALUESTAB_MAX_TOKENS``, ``VALUESTAB_MAX_USD``: all that a model may cost in a results folder (no limit).
    usd_in, usd_out : float or None
        ``VALUESTAB_USD_PER_MTOK_IN``, ``VALUESTAB_USD_PER_MTOK_OUT``: price of a million tokens.
    """

    kind: str | None
    concurrency: int
    attempts: int
    timeout: float
    max_tokens: float
    max_usd: float
    usd_in: float | None
    usd_out: float | None

    @classmethod
    def from_environment(cls) -> "Settings":
        """Read them, and refuse what makes no sense.

        Raises
        ------
        ValuestabError
        """
        kind = os.environ.get("VALUESTAB_API_KIND")
        if kind:
            check_known("kind of API (VALUESTAB_API_KIND)", kind, ["openai", "azure", "vllm", "llamacpp", "ollama"])
        found = cls(
            kind or None,
            int(_number("VALUESTAB_API_CONCURRENCY", 8)),
            int(_number("VALUESTAB_API_ATTEMPTS", 6)),
            _number("VALUESTAB_API_TIMEOUT", 60.0),
            _number("VALUESTAB_MAX_TOKENS", float("inf")),
            _number("VALUESTAB_MAX_USD", float("inf")),
            _number("VALUESTAB_USD_PER_MTOK_IN", None),
            _number("VALUESTAB_USD_PER_MTOK_OUT", None),
        )
        if found.max_usd != float("inf") and None in (found.usd_in, found.usd_out):
            raise ValuestabError(
                "VALUESTAB_MAX_USD limits the price, which needs VALUESTAB_USD_PER_MTOK_IN and "
                "VALUESTAB_USD_PER_MTOK_OUT: give both, or limit VALUESTAB_MAX_TOKENS."
            )
        return found

    def usd(self, tokens_in: int, tokens_out: int) -> float:
        """Price of so many tokens; NaN if none is given."""
        if self.usd_in is None or self.usd_out is None:
            return float("nan")
        return (tokens_in * self.usd_in + tokens_out * self.usd_out) / 1e6


class Client:
    """Sends chat requests of one model, as many at a time as allowed, and never the same one twice.

    Parameters
    ----------
    model : str
        As the server knows it.
    settings : Settings
    """

    def __init__(self, model: str, settings: Settings):
        self.model, self.settings = model, settings
        self.journal = Journal(None)
        self.retries = 0
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._openai, self.host, self.kind = _connect(settings)

    def server_kind(self) -> str:
        """Which kind of server it is, as it says itself unless the environment does."""
        if self.kind is None:
            listed = self._attempts(lambda: json.loads(self._openai.models.with_raw_response.list().text))
            owner = next(iter([entry.get("owned_by") for entry in listed.get("data") or []]), None)
            if owner not in KINDS:
                raise ValuestabError(
                    f"The server at {self.host} does not say of which kind it is (owned_by is {owner!r} in its list of "
                    "models): set VALUESTAB_API_KIND to openai, azure, vllm, llamacpp or ollama."
                )
            self.kind = KINDS[owner]
        return self.kind

    def ask_all(self, requests: Sequence["Request"], done: Sequence[Callable | None] | None = None) -> list[dict]:
        """What was kept of the responses to these requests, in their order.

        A request whose response is in the journal is not sent. After a failure nothing more is sent, but responses
        on their way are awaited and kept.

        Raises
        ------
        ValuestabError
            A request that was refused, or has failed too often; or a budget that is spent.
        """
        self._stop.clear()
        with ThreadPoolExecutor(self.settings.concurrency) as threads:
            futures = [threads.submit(self._ask, request) for request in requests]
            for future, tell in zip(futures, done or [None] * len(futures), strict=True):
                if tell:
                    future.add_done_callback(lambda f, tell=tell: tell() if _succeeded(f) else None)
            try:
                wait(futures, return_when=FIRST_EXCEPTION)
            finally:  # an interruption too: what has begun is paid for, and nothing more is begun
                if not all(future.done() for future in futures):
                    self._stop.set()
                for future in futures:
                    future.cancel()
        for future in futures:  # the failure itself, before those that were not sent because of it
            if not future.cancelled() and future.exception():
                raise future.exception()
        return [future.result() for future in futures]

    def _ask(self, request: "Request") -> dict:
        found = self.journal.find(request.key)
        if found is None:
            self._check_budget()
            response = self._attempts(lambda: self._send(request.payload), request.what)
            try:
                found = request.keep(response)
            except (KeyError, IndexError, TypeError, ValueError) as error:
                raise ValuestabError(
                    f"{self.host} answered {request.what} in a form that cannot be read ({type(error).__name__}: "
                    f"{error}): check that it is an OpenAI-compatible chat server."
                ) from error
            self.journal.add(request.key, found, *_usage(response))
        return found

    def send_once(self, payload: Mapping, what: str) -> dict:
        """A response without journal, retried like any other; for finding out what a server can do."""
        return self._attempts(lambda: self._send(payload), what, refusals=True)

    def _send(self, payload: Mapping) -> dict:
        response = self._openai.chat.completions.with_raw_response.create(model=self.model, **payload)
        body = json.loads(response.text)
        if not isinstance(body, dict) or not body.get("choices"):
            raise ValueError("no choices in it")
        return body

    def _attempts(self, send: Callable[[], dict], what: str = "", refusals: bool = False) -> dict:
        for attempt in range(1, self.settings.attempts + 1):
            wait_s = min(60.0, 0.5 * 2 ** (attempt - 1)) * random.uniform(0.5, 1)
            try:
                return send()
            except openai.APIStatusError as error:
                if refusals and error.status_code in (400, 422):
                    raise
                reason = f"status {error.status_code}: {_message(error)}"
                spent = getattr(error, "code", None) == "insufficient_quota"
                if spent or (error.status_code not in TRANSIENT and error.status_code < 500):
                    raise ValuestabError(
                        f"{self.host} refuses {what or 'a request'} ({reason}). {_advice(error)}"
                    ) from error
                wait_s = _retry_after(error) or wait_s
            except openai.APIConnectionError as error:  # timeouts too
                reason = f"{type(error).__name__}: {error.__cause__ or error}"
            except ValueError as error:  # cut or malformed JSON
                reason = f"no readable response: {error}"
            with self._lock:
                self.retries += 1
            if attempt < self.settings.attempts and self._stop.wait(wait_s):
                raise ValuestabError(f"{what or 'A request'} was given up, since another failed; it had {reason}.")
        raise ValuestabError(
            f"{self.host} failed {self.settings.attempts} times on {what or 'a request'}, last with {reason}: see "
            "whether it runs and is not overloaded (VALUESTAB_API_CONCURRENCY, VALUESTAB_API_TIMEOUT); what was "
            "answered is kept, and the same command goes on."
        )

    def _check_budget(self) -> None:
        tokens_in, tokens_out = self.journal.spent
        usd = self.settings.usd(tokens_in, tokens_out)
        if tokens_in + tokens_out >= self.settings.max_tokens or usd >= self.settings.max_usd:
            price = f", {usd:.2f} USD" if usd == usd else ""
            raise ValuestabError(
                f"The budget for {self.model} is spent: {tokens_in:,} tokens in and {tokens_out:,} out{price}, with "
                f"VALUESTAB_MAX_TOKENS={self.settings.max_tokens:g} and "
                f"VALUESTAB_MAX_USD={self.settings.max_usd:g}. What was answered is kept; with a larger budget, the "
                "same command goes on."
            )


@dataclass(frozen=True)
class Request:
    """A chat request.

    Attributes
    ----------
    key : str
        Tells it apart from every other of the same model and results folder.
    payload : dict
        As the chat completions endpoint takes it, without the model.
    keep : callable
        Takes of a response (dict) what is needed, as a dict of JSON.
    what : str
        Names it in errors.
    """

    key: str
    payload: Mapping
    keep: Callable[[dict], dict]
    what: str


class Journal:
    """What was answered and paid for, a line a request, so that an interrupted session is not paid for twice.

    Parameters
    ----------
    path : Path or None
        None keeps it in memory.
    """

    def __init__(self, path: Path | None):
        self.path, self._kept, self._lock = path, {}, threading.Lock()
        self.spent = (0, 0)
        if path and path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                self._read(line)

    def _read(self, line: str) -> None:
        try:
            entry = json.loads(line)
        except ValueError:  # cut when the process was killed
            return
        self._remember(entry["key"], entry["kept"], *entry["tokens"])

    def find(self, key: str) -> dict | None:
        """What was kept of a request's response."""
        with self._lock:
            return self._kept.get(key)

    def add(self, key: str, kept: dict, tokens_in: int, tokens_out: int) -> None:
        """Keep what is needed of a response, and what it cost."""
        with self._lock:
            self._remember(key, kept, tokens_in, tokens_out)
            if self.path:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                line = json.dumps({"key": key, "kept": kept, "tokens": [tokens_in, tokens_out]}, ensure_ascii=False)
                with self.path.open("a", encoding="utf-8") as file:
                    file.write(f"\n{line}")  # a line of its own, also after one that was cut

    def _remember(self, key: str, kept: dict, tokens_in: int, tokens_out: int) -> None:
        self._kept[key] = kept
        self.spent = (self.spent[0] + tokens_in, self.spent[1] + tokens_out)


def _connect(settings: Settings) -> tuple[openai.OpenAI, str, str | None]:
    """The library's client, the server's host without anything secret, and the kind of server if it is known."""
    options = {"max_retries": 0, "timeout": settings.timeout}  # retries are ours: told, counted, and limited
    azure, url = os.environ.get("AZURE_OPENAI_ENDPOINT"), os.environ.get("OPENAI_BASE_URL")
    if settings.kind == "azure" or (azure and not url and not settings.kind):
        needed = ("AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_API_KEY", "OPENAI_API_VERSION")
        lacking = [name for name in needed if not os.environ.get(name)]
        if lacking:
            raise ValuestabError(f"Azure needs {lacking[0]} in the environment: set it.")
        return openai.AzureOpenAI(**options), urlsplit(azure).hostname, "azure"
    key = os.environ.get("OPENAI_API_KEY")
    if not key and not url:
        raise ValuestabError(
            "OPENAI_API_KEY is not set: put your key there, or the address of another server in OPENAI_BASE_URL."
        )
    client = openai.OpenAI(api_key=key or "none", **options)  # servers of one's own ask for no key
    return client, urlsplit(str(client.base_url)).hostname, settings.kind or (None if url else "openai")


def _number(name: str, default: float | None) -> float | None:
    text = os.environ.get(name)
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not value > 0:
        raise ValuestabError(f"{name} is {text!r}, but must be a number above 0.")
    return value


def _succeeded(future) -> bool:
    return not future.cancelled() and future.exception() is None


def _usage(response: Mapping) -> tuple[int, int]:
    usage = response.get("usage") or {}
    return int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0)


def _retry_after(error: openai.APIStatusError) -> float | None:
    text = error.response.headers.get("retry-after", "")
    return min(float(text), 120.0) if text.replace(".", "", 1).isdigit() else None


def _message(error: openai.APIStatusError) -> str:
    body = error.body if isinstance(error.body, dict) else {}
    return " ".join(str(body.get("message") or error.message).split())[:300]


def _advice(error: openai.APIStatusError) -> str:
    return {
        401: "Check the key in OPENAI_API_KEY.",
        403: "Check what the key in OPENAI_API_KEY may do.",
        404: "Check the model's name and OPENAI_BASE_URL.",
        429: "The account has no quota left.",
    }.get(error.status_code, "It will not take it another time either: report it, with this message.")
