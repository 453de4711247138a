"""Requests to an OpenAI-compatible server: several at a time, tried again where that helps, within a budget."""

import email.utils
import json
import random
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

import openai

from valuestab_utils.api_journal import Journal, Tokens
from valuestab_utils.api_settings import API_KINDS, Settings, connect
from valuestab_utils.errors import ValuestabError

# How a server is told that an answer is begun; it names itself in its list of models (owned_by).
KINDS = {"openai": "openai", "system": "openai", "llamacpp": "llamacpp", "vllm": "vllm", "library": "ollama"}
TRANSIENT = (408, 409, 425, 429)  # status codes that another attempt may turn, beside those of the server's own faults
LONGEST_WAIT = 300.0  # seconds that a service may ask to wait; longer, it is the user who waits
# A prompt has fewer tokens than bytes; a template puts some around each message.
TEMPLATE_TOKENS = 32


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
        Takes of a response (dict) what is needed, as a dict of JSON; a ValueError if it is not in it.
    what : str
        Names it in errors.
    limit : int
        The most tokens that it may be answered with.
    done : callable or None
        Called once when the response is there.
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

    Parameters
    ----------
    model : str
        As the server knows it.
    settings : Settings

    Attributes
    ----------
    journal : Journal
        What was answered; in memory, unless another is put in its place.
    host : str
    kind : str or None
        Of server, where it is known beforehand.
    retries : int
        Attempts that failed and were made again.
    """

    def __init__(self, model: str, settings: Settings):
        self.model, self.settings = model, settings
        self.journal = Journal(None)
        self.retries, self._told = 0, 0
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._openai, self.host, self.kind = connect(settings)

    def server_kind(self) -> str:
        """Which kind of server it is, as it says itself of this model unless the environment does.

        Raises
        ------
        ValuestabError
            If it does not say, or says something unknown.
        """
        if self.kind is None:
            owners = self._attempts(self._owners, "the list of its models")
            owner = owners.get(self.model, next(iter(owners.values()), None))
            if owner not in KINDS:
                raise ValuestabError(
                    f"The server at {self.host} does not say of which kind it is (owned_by is {owner!r} in its list of "
                    f"models): set VALUESTAB_API_KIND to {', '.join(API_KINDS[:-1])} or {API_KINDS[-1]}."
                )
            self.kind = KINDS[owner]
        return self.kind

    def ask(self, request: Request, refusable: bool = False) -> dict:
        """What was kept of the response to a request, which is sent unless the journal has it.

        Raises
        ------
        Refused
            Only if ``refusable``: the server will not take it in this form.
        ValuestabError
            See `ask_all`.
        """
        found = self.journal.find(request.key)
        return self._attempts(lambda: self._paid(request), request.what, refusable) if found is None else found

    def ask_all(self, requests: Sequence[Request]) -> list[dict]:
        """What was kept of the responses to these requests, in their order.

        After a failure nothing more is sent, but responses on their way are awaited and kept.

        Raises
        ------
        ValuestabError
            A request that was refused, or has failed too often; or a budget that has no room for it.
        """
        self._stop.clear()
        with ThreadPoolExecutor(self.settings.concurrency) as threads:
            futures = {threads.submit(self.ask, request): request for request in requests}
            try:
                for future in as_completed(futures):
                    future.result()
                    if futures[future].done:
                        futures[future].done()
                    self._tell_retries()
            except BaseException:  # an interruption too: what has begun is paid for, and nothing more is begun
                self._stop.set()
                for future in futures:
                    future.cancel()
                raise
        return [future.result() for future in futures]

    def _paid(self, request: Request) -> dict:
        """Send a request once and keep its response. What may have been paid for in vain is counted too."""
        row = self.journal.begin(request.key, request.most, self.settings, self._stop)
        found, tokens = None, request.most
        try:
            body = self._body(self._openai.chat.completions, "create", model=self.model, **request.payload)
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

    def _owners(self) -> dict[str, str]:
        listed = self._body(self._openai.models, "list").get("data")
        try:
            return {entry["id"]: entry.get("owned_by") for entry in listed}
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"no list of models in it ({error!r})") from error

    def _body(self, endpoint, method: str, **payload) -> dict:
        # Raw: the library fills in what a response lacks, and we want to know.
        body = json.loads(getattr(endpoint.with_raw_response, method)(**payload).text)
        if not isinstance(body, dict):
            raise ValueError("it is no JSON object")
        return body

    def _attempts(self, send: Callable[[], dict], what: str, refusable: bool = False) -> dict:
        # Errors are raised from None: what the library quotes of a request or response may hold the key.
        for attempt in range(1, self.settings.attempts + 1):
            wait_s = min(60.0, 0.5 * 2 ** (attempt - 1)) * random.uniform(0.5, 1)
            try:
                return send()
            except openai.APIStatusError as error:
                reason = f"status {error.status_code}: {_message(error)}"
                if refusable and error.status_code in (400, 422):
                    raise Refused(reason) from None
                spent = getattr(error, "code", None) == "insufficient_quota"
                if spent or (error.status_code not in TRANSIENT and error.status_code < 500):
                    raise ValuestabError(f"{self.host} refuses {what} ({reason}). {_advice(error)}") from None
                asked = _retry_after(error)
                if asked is not None and asked > LONGEST_WAIT:
                    raise ValuestabError(
                        f"{self.host} asks to wait {asked:.0f} s before {what} ({reason}): what was answered is kept, "
                        "and the same command goes on then."
                    ) from None
                wait_s = wait_s if asked is None else asked + wait_s / 10  # not all of us at the same moment
            except openai.APIConnectionError as error:  # timeouts too
                reason = f"{type(error).__name__}: {error.__cause__ or error}"
            except ValueError as error:  # cut or malformed JSON, or something missing in it
                reason = f"no readable response: {error}"
            if attempt == self.settings.attempts:
                break
            with self._lock:
                self.retries += 1
            if self._stop.wait(wait_s):
                raise ValuestabError(f"{what} was given up, since another request failed; it had {reason}.")
        raise ValuestabError(
            f"{self.host} failed {self.settings.attempts} times on {what}, last with {reason}: see whether it runs, "
            "is an OpenAI-compatible chat server and is not overloaded (VALUESTAB_API_CONCURRENCY, "
            "VALUESTAB_API_TIMEOUT); what was answered is kept, and the same command goes on."
        )

    def _tell_retries(self) -> None:
        if self.retries >= self._told + 10:
            self._told = self.retries
            warnings.warn(f"{self.host} had to be asked again {self._told} times so far.", stacklevel=4)


def _usage(body: Mapping, most: Tokens) -> Tokens:
    """Tokens in and out as the service counts them; where it does not, the most that they can be."""
    usage = body.get("usage")
    counted = [usage.get(name) if isinstance(usage, dict) else None for name in ("prompt_tokens", "completion_tokens")]
    tokens_in, tokens_out = (m if type(c) is not int else c for c, m in zip(counted, most, strict=True))
    return tokens_in, tokens_out


def _retry_after(error: openai.APIStatusError) -> float | None:
    """Seconds that the service asks to wait; it says them, or a date."""
    text = error.response.headers.get("retry-after", "")
    try:
        return max(float(text), 0.0)
    except ValueError:
        pass
    try:
        return max(email.utils.parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    except (TypeError, ValueError):
        return None


def _message(error: openai.APIStatusError) -> str:
    body = error.body if isinstance(error.body, dict) else {}
    return " ".join(str(body.get("message") or error.message).split())[:300]


def _advice(error: openai.APIStatusError) -> str:
    return {
        400: "If roles must alternate, or there is no system role, take formats=['tuned_no_sys']; else report it.",
        401: "Check the key in OPENAI_API_KEY (Azure: AZURE_OPENAI_API_KEY).",
        403: "Check what the key may do.",
        404: "Check the model's name and OPENAI_BASE_URL.",
        429: "The account has no quota left.",
    }.get(error.status_code, "It will not take it another time either: report it, with this message.")
