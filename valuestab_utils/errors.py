"""The one kind of error that a user of this package is meant to read."""

import configparser
import difflib
import html
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

_ENDINGS = ("_TOKEN", "_KEY", "_SECRET")  # of variables: HF_TOKEN, OPENAI_API_KEY, ...
_SHORTEST = 8  # characters; shorter values would take ordinary words out of texts
_MASK = "***"


def secrets(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Values that must not be shown: of 8 characters or more, in variables that end in _TOKEN, _KEY or _SECRET.

    By default those of this process, and what `hf auth login` has stored.

    >>> secrets({"HF_TOKEN": "hf_example", "OPENAI_API_KEY": "short", "HOME": "/home/me-myself"})
    {'HF_TOKEN': 'hf_example'}
    """
    environment = dict(os.environ) | _stored_tokens() if environment is None else environment
    return {
        name: value.strip()
        for name, value in environment.items()
        if is_secret_name(name) and len(value.strip()) >= _SHORTEST
    }


def _stored_tokens() -> dict[str, str]:
    # From the files themselves: huggingface_hub.get_token may renew a token over the network, in the midst of an error.
    try:
        from huggingface_hub import constants
    except ImportError:  # the Python that the environment is built with
        return {}
    found, stored = {}, configparser.ConfigParser(interpolation=None)
    with suppress(OSError, UnicodeDecodeError):
        found["hf auth login/hf_token"] = Path(constants.HF_TOKEN_PATH).read_text(encoding="utf-8")
    with suppress(configparser.Error, UnicodeDecodeError):
        stored.read(constants.HF_STORED_TOKENS_PATH, encoding="utf-8")
    for section in stored.values():
        found |= {f"hf auth login/{section.name}/{name}": value for name, value in section.items()}
    return found


def is_secret_name(name: str) -> bool:
    """Whether a variable of this name holds a secret."""
    return name.upper().endswith(_ENDINGS)


def secret_in(text: str) -> str | None:
    """Name of the secret that stands in a text; None if there is none."""
    return next((name for name, value in secrets().items() if value in text), None)


def redact(text: str) -> str:
    """The text with ``***`` for each secret, also where it is escaped as in Python, JSON, HTML or a URL."""
    return _without(text, _forms())


def redact_json(text: str) -> str:
    """A JSON document with `redact` applied to its texts alone, so that it stays one; unchanged without any secret."""
    forms = _forms()
    if not any(form in text for form in forms):
        return text
    return json.dumps(_walk(json.loads(text), forms), indent=1, ensure_ascii=False) + "\n"


def _forms() -> list[str]:
    forms = set()
    for value in secrets().values():
        forms |= {value, html.escape(value), html.escape(value, quote=False), quote(value, safe="")}
        forms |= {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], repr(value)[1:-1]}
    return sorted(forms, key=len, reverse=True)  # a secret may be part of a longer one


def _without(text: str, forms: list[str]) -> str:
    for form in forms:
        text = text.replace(form, _MASK)
    return text


def _walk(node: object, forms: list[str]) -> object:
    if isinstance(node, str):
        return _without(node, forms)
    if isinstance(node, list):
        return [_walk(member, forms) for member in node]
    if isinstance(node, dict):
        return {_without(key, forms): _walk(value, forms) for key, value in node.items()}
    return node


def listed(items: Sequence[object], most: int = 40) -> str:
    """Name the items in a message, up to `most` of them."""
    return ", ".join(map(str, items[:most])) + (f" and {len(items) - most} more" if len(items) > most else "")


class ValuestabError(Exception):
    """Bad input, or a result that cannot be trusted, told in one sentence.

    The message names the thing, says what was expected and what to do. Command lines print it without a traceback. A
    secret in it (a token that a library put into its own message) is replaced by ``***``.
    """

    def __init__(self, message: str):
        super().__init__(redact(message))


def told_by(error: Exception) -> str:
    """What a library's error says, in a few words: its kind and its first line."""
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0].rstrip('.: ')}"


def check_text(what: str, value: object) -> str:
    """Return ``value`` if it is text; else raise an error that names it as ``what``."""
    if isinstance(value, str):
        return value
    raise ValuestabError(f"{what} is {value!r}, but must be text: give one name, in quotes if it looks like a number.")


def check_count(what: str, n: int | None, most: int) -> None:
    """Refuse another number of things to take than 1 to ``most``; None takes all."""
    if n is not None and (type(n) is not int or not 1 <= n <= most):
        raise ValuestabError(f"{what} is {n!r}, but must be a whole number from 1 to {most}, as many as there are.")


def check_known(kind: str, name: str, known: Iterable[str]) -> str:
    """Return ``name`` if it is one of ``known``; else raise an error that lists them and suggests the nearest."""
    known = list(known)
    if name in known:
        return name
    by_lower = {k.lower(): k for k in known}
    near = difflib.get_close_matches(str(name).lower(), list(by_lower), n=1, cutoff=0.5)
    hint = f" Did you mean {by_lower[near[0]]!r}?" if near else ""
    shown = ", ".join(known[:20]) + (f", and {len(known) - 20} more" if len(known) > 20 else "")
    raise ValuestabError(f"Unknown {kind} {name!r}.{hint} Known: {shown}.")
