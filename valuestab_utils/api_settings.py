"""What the environment says of an API: endpoint, key, limits and prices.

Endpoint and key come from there alone: ``OPENAI_API_KEY`` and, for other servers than OpenAI's, ``OPENAI_BASE_URL``;
for Azure ``AZURE_OPENAI_ENDPOINT``, ``AZURE_OPENAI_API_KEY`` and ``OPENAI_API_VERSION``. What else can be set there is
listed in `Settings`.
"""

import os
from dataclasses import dataclass
from urllib.parse import urlsplit

import openai

from valuestab_utils.errors import ValuestabError, check_known

API_KINDS = ("openai", "azure", "vllm", "llamacpp", "ollama")


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
        ``VALUESTAB_API_ATTEMPTS``: of each request before it is given up (8).
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
            check_known("kind of API (VALUESTAB_API_KIND)", kind, API_KINDS)
        found = cls(
            kind or None,
            _whole_number("VALUESTAB_API_CONCURRENCY", 8),
            _whole_number("VALUESTAB_API_ATTEMPTS", 8),
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

    def allow(self, tokens_in: int, tokens_out: int) -> bool:
        """Whether so many tokens are within the limits."""
        # Without prices the amount is NaN, and there is no limit to it.
        return tokens_in + tokens_out <= self.max_tokens and not self.usd(tokens_in, tokens_out) > self.max_usd


def connect(settings: Settings) -> tuple[openai.OpenAI, str, str | None]:
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


def _whole_number(name: str, default: int) -> int:
    value = _number(name, default)
    if value != value // 1 or value == float("inf"):
        raise ValuestabError(f"{name} is {os.environ[name]!r}, but must be a whole number above 0.")
    return int(value)
