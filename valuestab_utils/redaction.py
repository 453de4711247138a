"""Secrets: they come from the environment alone, and are kept out of all that is shown or written."""

import html
import json
import os
from collections.abc import Mapping
from urllib.parse import quote

_ENDINGS = ("_TOKEN", "_KEY", "_SECRET")  # of variables: HF_TOKEN, OPENAI_API_KEY, ...
_SHORTEST = 8  # characters; shorter values would take ordinary words out of texts
_MASK = "***"


def secrets(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Values of the environment that must not be shown, by the names of their variables.

    Parameters
    ----------
    environment : mapping of str to str
        That of this process by default.

    Returns
    -------
    dict of str to str
        Each variable whose name ends in _TOKEN, _KEY or _SECRET and whose value has 8 characters or more.

    Examples
    --------
    >>> secrets({"HF_TOKEN": "hf_example", "OPENAI_API_KEY": "short", "HOME": "/home/me-myself"})
    {'HF_TOKEN': 'hf_example'}
    """
    environment = os.environ if environment is None else environment
    return {
        name: value.strip()
        for name, value in environment.items()
        if is_secret_name(name) and len(value.strip()) >= _SHORTEST
    }


def is_secret_name(name: str) -> bool:
    """Whether a variable of this name holds a secret.

    Examples
    --------
    >>> is_secret_name("HF_TOKEN"), is_secret_name("HF_HOME")
    (True, False)
    """
    return name.upper().endswith(_ENDINGS)


def secret_in(text: str) -> str | None:
    """Name of the variable whose secret stands in a text; None if there is none.

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
