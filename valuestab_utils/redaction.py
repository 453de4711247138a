"""Secrets: they come from the environment or `hf auth login`, and are kept out of all that is shown or written."""

import configparser
import html
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

_ENDINGS = ("_TOKEN", "_KEY", "_SECRET")  # of variables: HF_TOKEN, OPENAI_API_KEY, ...
_SHORTEST = 8  # characters; shorter values would take ordinary words out of texts
_MASK = "***"


def secrets(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Values that must not be shown, by the names of their variables.

    Parameters
    ----------
    environment : mapping of str to str
        By default that of this process, and what `hf auth login` has stored.

    Returns
    -------
    dict of str to str
        Each variable whose name ends in _TOKEN, _KEY or _SECRET and whose value has 8 characters or more.

    Examples
    --------
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
    """Whether a variable of this name holds a secret.

    Examples
    --------
    >>> is_secret_name("HF_TOKEN"), is_secret_name("HF_HOME")
    (True, False)
    """
    return name.upper().endswith(_ENDINGS)


def secret_in(text: str) -> str | None:
    """Name of the secret that stands in a text; None if there is none.

    Examples
    --------
    >>> secret_in("nothing to hide") is None
    True
    """
    return next((name for name, value in secrets().items() if value in text), None)


def redact(text: str) -> str:
    """The text with ``***`` in place of each secret, also where it is escaped as in Python, JSON, HTML or a URL.

    Examples
    --------
    >>> redact("nothing to hide")
    'nothing to hide'
    """
    return _without(text, _forms())


def redact_json(text: str) -> str:
    """A JSON document, such as a notebook, with `redact` applied to all texts in it.

    Numbers stay as they are, so that it remains a document. Without any secret, it is returned unchanged.
    """
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
