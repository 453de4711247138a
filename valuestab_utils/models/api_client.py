"""Requests to an OpenAI-compatible server: several at a time, tried again where that helps, within a budget."""

import json
import os
import random
import sqlite3
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf, nan
from pathlib import Path
from typing import Literal, get_args
from urllib.parse import urlsplit

import openai
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError

from valuestab_utils.errors import ValuestabError, told_by

Kind = Literal["openai", "azure", "vllm", "llamacpp", "ollama"]
Tokens = tuple[int, int]  # in, out


class Settings(BaseModel):
    """Limits and prices, by the variable that sets each.

    kind : of server; None asks it
    concurrency : requests at a time
    attempts : of a request before it is given up
    timeout : seconds of an attempt
    max_tokens, max_usd : of a model in a results folder
    usd_in, usd_out : for a million tokens
    """

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    kind: Kind | None = Field(None, alias="VALUESTAB_API_KIND")
    concurrency: PositiveInt = Field(8, alias="VALUESTAB_API_CONCURRENCY")
    attempts: PositiveInt = Field(8, alias="VALUESTAB_API_ATTEMPTS")
    timeout: PositiveFloat = Field(60.0, alias="VALUESTAB_API_TIMEOUT")
    max_tokens: PositiveFloat = Field(inf, alias="VALUESTAB_MAX_TOKENS")
    max_usd: PositiveFloat = Field(inf, alias="VALUESTAB_MAX_USD")
    usd_in: PositiveFloat | None = Field(None, alias="VALUESTAB_USD_PER_MTOK_IN")
    usd_out: PositiveFloat | None = Field(None, alias="VALUESTAB_USD_PER_MTOK_OUT")

    @classmethod
    def from_environment(cls) -> "Settings":
        """Read them; ValuestabError for a value that makes no sense."""
        try:
            found = cls.model_validate({name: value for name, value in os.environ.items() if value})
        except ValidationError as error:
            wrong = error.errors()[0]
            raise ValuestabError(f"{wrong['loc'][0]} is {wrong['input']!r}: {wrong['msg']}.") from None
        if found.max_usd != inf and None in (found.usd_in, found.usd_out):
            raise ValuestabError(
                "VALUESTAB_MAX_USD limits the price, which needs VALUESTAB_USD_PER_MTOK_IN and "
                "VALUESTAB_USD_PER_MTOK_OUT: give both, or limit VALUESTAB_MAX_TOKENS."
            )
        return found

    def usd(self, tokens_in: int, tokens_out: int) -> float:
        """Price of so many tokens; NaN if none is given."""
        return (tokens_in * (self.usd_in or nan) + tokens_out * (self.usd_out or nan)) / 1e6

    def allow(self, tokens_in: int, tokens_out: int) -> bool:
        """Whether so many tokens are within the limits."""
        # Without prices the amount is NaN, and there is no limit to it.
        return tokens_in + tokens_out <= self.max_tokens and not self.usd(tokens_in, tokens_out) > self.max_usd


_TABLES = (
    "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, kept TEXT NOT NULL)",
    # A row for each request without an answer, and row 0 for all that have ended: a sum over few rows is quick.
    "CREATE TABLE IF NOT EXISTS tokens (id INTEGER PRIMARY KEY, key TEXT, since REAL, tokens_in INTEGER, "
    "tokens_out INTEGER)",
    "INSERT OR IGNORE INTO tokens VALUES (0, '', 0, 0, 0)",
)


class Journal:
    """Requests of one model and what was kept of their responses; threads, processes and machines may share it.

    Without a path it is in memory.
    """

    def __init__(self, path: Path | None):
        self.path, self._db, self._lock = path, None, threading.Lock()

    @property
    def spent(self) -> Tokens:
        """Tokens in and out of all requests; one without an answer counts as the most that it can take."""
        if self.path and not self.path.exists():
            return 0, 0  # who only looks leaves no file behind
        with self._transaction("DEFERRED") as db:
            return _spent(db)

    def find(self, key: str) -> dict | None:
        """What was kept of a request's response."""
        with self._transaction("DEFERRED") as db:
            row = db.execute("SELECT kept FROM answers WHERE key = ?", (key,)).fetchone()
        return json.loads(row[0]) if row else None

    def begin(self, key: str, most: Tokens, settings: Settings, stop: threading.Event) -> int:
        """Enter a request once the limits leave room for the ``most`` that it can take; gives the row that `end` needs.

        Waits, until ``stop`` is set, for requests on their way, which may take less than their most. ValuestabError if
        there is no room.
        """
        while True:
            with self._transaction("IMMEDIATE") as db:  # the look at the limits and the entry are one
                # Entered before it is sent: if this process is killed, it stays, since the service may have been paid.
                spent, now = _spent(db), time.time()
                if settings.allow(spent[0] + most[0], spent[1] + most[1]):
                    (unanswered,) = db.execute("SELECT count(*) FROM tokens WHERE key = ?", (key,)).fetchone()
                    row = db.execute("INSERT INTO tokens VALUES (NULL, ?, ?, ?, ?)", (key, now, *most)).lastrowid
                    break
                oldest = now - 2 * settings.timeout  # what began before it was another process's, killed since
                (awaited,) = db.execute("SELECT count(*) FROM tokens WHERE since > ?", (oldest,)).fetchone()
            if not awaited or stop.wait(0.2):
                raise ValuestabError(_no_room(spent, most, settings))
        if unanswered:
            again = "A request without an answer is sent again: both may be paid for, and both count."
            warnings.warn(again, stacklevel=2)
        return row

    def end(self, row: int, key: str, kept: dict | None, tokens: Tokens) -> None:
        """Enter what a request took and what is kept of its response, if there is one."""
        with self._transaction("IMMEDIATE") as db:
            db.execute("DELETE FROM tokens WHERE id = ?", (row,))
            db.execute("UPDATE tokens SET tokens_in = tokens_in + ?, tokens_out = tokens_out + ? WHERE id = 0", tokens)
            if kept is not None:
                text = json.dumps(kept, ensure_ascii=False)
                db.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", (key, text))

    @contextmanager
    def _transaction(self, kind: str) -> Iterator[sqlite3.Connection]:
        try:
            with self._lock:
                self._db = self._db or self._opened()
                with self._db:
                    self._db.execute(f"BEGIN {kind}")
                    yield self._db
        except (sqlite3.Error, OSError) as error:
            raise ValuestabError(
                f"What was paid for could not be kept in {self.path} ({error}): make room or give another results_dir; "
                "what is there is kept, and the same command goes on."
            ) from error

    def _opened(self) -> sqlite3.Connection:
        if self.path:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        # Its journal mode is SQLite's own: WAL, the faster one, does not work on network file systems.
        db = sqlite3.connect(self.path or ":memory:", timeout=60, isolation_level=None, check_same_thread=False)
        with db:
            db.execute("BEGIN IMMEDIATE")  # one of several processes makes the tables
            for statement in _TABLES:
                db.execute(statement)
        return db


def _spent(db: sqlite3.Connection) -> Tokens:
    return db.execute("SELECT sum(tokens_in), sum(tokens_out) FROM tokens").fetchone()


def _no_room(spent: Tokens, most: Tokens, settings: Settings) -> str:
    usd = settings.usd(*spent)
    price = "" if usd != usd else f", {usd:.4g} USD"
    limits = {"VALUESTAB_MAX_TOKENS": settings.max_tokens, "VALUESTAB_MAX_USD": settings.max_usd}
    told = " and ".join(f"{name}={value:.15g}" for name, value in limits.items() if value != inf)
    return (
        f"The budget of {told} is spent: the model took {spent[0]:,} tokens in and {spent[1]:,} out{price} in this "
        f"results folder, and the next request may take up to {sum(most):,} more. What was answered is kept; with a "
        "larger budget, the same command goes on."
    )


# How a server is told that an answer is begun; it names itself in its list of models (owned_by).
KINDS = {"openai": "openai", "system": "openai", "llamacpp": "llamacpp", "vllm": "vllm", "library": "ollama"}
TRANSIENT = (408, 409, 425, 429)  # status codes that another attempt may turn, beside those of the server's own faults
LONGEST_WAIT = 300.0  # seconds that a service may ask to wait; longer, it is the user who waits
# A prompt has fewer tokens than bytes; a template puts some around each message.
TEMPLATE_TOKENS = 32
_ADVICE = {
    400: "If roles must alternate, or there is no system role, take formats=['tuned_no_sys']; else report it.",
    401: "Check the key in OPENAI_API_KEY (Azure: AZURE_OPENAI_API_KEY).",
    403: "Check what the key may do.",
    404: "Check the model's name and OPENAI_BASE_URL.",
    429: "The account has no quota left, or has to wait for long: the same command goes on then.",
}


@dataclass(frozen=True)
class Request:
    """A chat request.

    key : tells it apart from every other of the same model and results folder
    payload : as the chat completions endpoint takes it, without the model
    keep : takes of a response what is needed, as a dict of JSON; a ValueError if it is not in it
    what : names it in errors
    limit : the most tokens that it may be answered with
    done : called once when the response is there
    """

    key: str
    payload: Mapping
    keep: Callable[[dict], dict]
    what: str
    limit: int
    done: Callable[[], object] | None = None

    @property
    def most(self) -> Tokens:
        """More tokens in and out than it can take."""
        texts = [len(message["content"].encode()) + TEMPLATE_TOKENS for message in self.payload["messages"]]
        return sum(texts) + TEMPLATE_TOKENS, self.limit


class Refused(Exception):
    """A request that the server will not take in this form, which another form may turn."""


class Client:
    """Sends chat requests of one model, as many at a time as allowed, and never the same one twice.

    journal : what was answered; in memory, unless another is put in its place
    kind : of server, as it says itself of this model unless the environment does
    """

    def __init__(self, model: str, settings: Settings):
        self.model, self.settings, self.journal, self._stop = model, settings, Journal(None), threading.Event()
        # Attempts are ours: the library's own would be paid for and not be entered in the journal.
        options = {"max_retries": 0, "timeout": settings.timeout}
        azure, url = os.environ.get("AZURE_OPENAI_ENDPOINT"), os.environ.get("OPENAI_BASE_URL")
        self.kind: str | None = settings.kind or ("azure" if azure and not url else None)
        try:
            if self.kind == "azure":
                self._openai = openai.AzureOpenAI(**options)
            else:  # servers of one's own ask for no key
                key = os.environ.get("OPENAI_API_KEY") or ("none" if url else None)
                self._openai = openai.OpenAI(api_key=key, **options)
        except (openai.OpenAIError, ValueError) as error:
            raise ValuestabError(
                f"The service of {model!r} cannot be asked ({told_by(error)}): set its key, and its address if it is "
                "not OpenAI's (OPENAI_BASE_URL), as docs/models.md says."
            ) from None
        self.host = urlsplit(str(self._openai.base_url)).hostname  # without anything secret
        self.kind = self.kind or (self._attempts(self._told_kind, "the list of its models") if url else "openai")

    def _told_kind(self) -> str:
        listed = _body(self._openai.models.with_raw_response.list()).get("data")
        try:
            owners = {entry["id"]: entry.get("owned_by") for entry in listed}
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"no list of models in it ({error!r})") from error
        owner = owners.get(self.model, next(iter(owners.values()), None))
        if owner not in KINDS:
            raise ValuestabError(
                f"The server at {self.host} does not say of which kind it is (owned_by is {owner!r} in its list of "
                f"models): set VALUESTAB_API_KIND to one of {', '.join(get_args(Kind))}."
            )
        return KINDS[owner]

    def ask(self, request: Request, refusable: bool = False) -> dict:
        """What was kept of the response to a request, sent unless the journal has it; Refused only if ``refusable``."""
        found = self.journal.find(request.key)
        return self._attempts(lambda: self._paid(request), request.what, refusable) if found is None else found

    def ask_all(self, requests: Sequence[Request]) -> list[dict]:
        """What was kept of the responses to these requests, in their order.

        After a failure nothing more is sent, but responses on their way are awaited and kept. ValuestabError if a
        request was refused or has failed too often, or the budget has no room for it.
        """
        self._stop.clear()
        with ThreadPoolExecutor(self.settings.concurrency) as threads:
            futures = {threads.submit(self.ask, request): request for request in requests}
            try:
                for future in as_completed(futures):
                    future.result()
                    if futures[future].done:
                        futures[future].done()
            except BaseException:  # an interruption too: what has begun is paid for, and nothing more is begun
                self._stop.set()
                threads.shutdown(wait=False, cancel_futures=True)
                raise
        return [future.result() for future in futures]

    def _paid(self, request: Request) -> dict:
        """Send a request once and keep its response. What may have been paid for in vain is counted too."""
        row = self.journal.begin(request.key, request.most, self.settings, self._stop)
        found, tokens = None, request.most
        try:
            # Raw: the library fills in what a response lacks, and we want to know.
            completions = self._openai.chat.completions.with_raw_response
            body = _body(completions.create(model=self.model, **request.payload))
            tokens = _usage(body, request.most)
            found = request.keep(body)
        except openai.APIError as error:
            never_seen = type(error.__cause__).__name__ in ("ConnectError", "ConnectTimeout")
            if never_seen or isinstance(error, openai.APIStatusError):
                tokens = (0, 0)
            raise
        finally:
            self.journal.end(row, request.key, found, tokens)
        return found

    def _attempts(self, send: Callable[[], object], what: str, refusable: bool = False):
        # Errors are raised from None: what the library quotes of a request or response may hold the key.
        for attempt in range(self.settings.attempts):
            wait_s = min(60.0, 0.5 * 2**attempt) * random.uniform(0.5, 1)  # not all of us at the same moment
            try:
                return send()
            except openai.APIStatusError as error:
                reason = f"status {error.status_code}: {_message(error)}"
                if refusable and error.status_code in (400, 422):
                    raise Refused(reason) from None
                asked_s = _asked_to_wait(error)
                wait_s += asked_s
                passes = error.status_code in TRANSIENT or error.status_code >= 500
                if not passes or error.code == "insufficient_quota" or asked_s > LONGEST_WAIT:
                    advice = _ADVICE.get(error.status_code, "It will not take it another time either: report it.")
                    raise ValuestabError(f"{self.host} refuses {what} ({reason}). {advice}") from None
            except openai.APIConnectionError as error:  # timeouts too
                reason = f"{type(error).__name__}: {error.__cause__ or error}"
            except ValueError as error:  # cut or malformed JSON, or something missing in it
                reason = f"no readable response: {error}"
            if attempt + 1 < self.settings.attempts and self._stop.wait(wait_s):
                raise ValuestabError(f"{what} was given up, since another request failed; it had {reason}.")
        raise ValuestabError(
            f"{self.host} failed {self.settings.attempts} times on {what}, last with {reason}: see whether it runs, "
            "is an OpenAI-compatible chat server and is not overloaded (VALUESTAB_API_CONCURRENCY, "
            "VALUESTAB_API_TIMEOUT); what was answered is kept, and the same command goes on."
        )


def _body(response) -> dict:
    body = json.loads(response.text)
    if not isinstance(body, dict):
        raise ValueError("it is no JSON object")
    return body


def _usage(body: Mapping, most: Tokens) -> Tokens:
    """Tokens in and out as the service counts them; where it does not, the most that they can be."""
    usage = body.get("usage")
    counted = [usage.get(name) if isinstance(usage, dict) else None for name in ("prompt_tokens", "completion_tokens")]
    tokens_in, tokens_out = (m if type(c) is not int else c for c, m in zip(counted, most, strict=True))
    return tokens_in, tokens_out


def _asked_to_wait(error: openai.APIStatusError) -> float:
    """Seconds that the service asks to wait; 0 if it does not say them."""
    try:
        return float(error.response.headers.get("retry-after", "0"))
    except ValueError:  # a date, which chat services do not send
        return 0.0


def _message(error: openai.APIStatusError) -> str:
    body = error.body if isinstance(error.body, dict) else {}
    return " ".join(str(body.get("message") or error.message).split())[:300]
