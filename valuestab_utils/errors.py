"""The one kind of error that a user of this package is meant to read."""

import difflib
from collections.abc import Iterable

from valuestab_utils.redaction import redact


class ValuestabError(Exception):
    """Bad input, or a result that cannot be trusted, told in one sentence.

    The message names the thing, says what was expected and what to do. Command lines print it without a
    traceback; notebooks show it as the last line of the failed cell. A secret in it (a token that a library put into
    its own message) is replaced by ``***``.
    """

    def __init__(self, message: str):
        super().__init__(redact(message))


def told_by(error: Exception) -> str:
    """What a library's error says, in a few words: its kind and its first line.

    Examples
    --------
    >>> told_by(ValueError("No such thing.\\nMore lines."))
    'ValueError: No such thing'
    """
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0].rstrip('.: ')}"


def check_text(what: str, value: object) -> str:
    """Return ``value`` if it is text; else raise an error that names it as ``what``.

    Examples
    --------
    >>> check_text("model", "2024")
    '2024'
    """
    if isinstance(value, str):
        return value
    raise ValuestabError(f"{what} is {value!r}, but must be text: give one name, in quotes if it looks like a number.")


def check_known(kind: str, name: str, known: Iterable[str]) -> str:
    """Return ``name`` if it is one of ``known``; else raise an error that lists them and suggests the nearest.

    Parameters
    ----------
    kind : str
        What ``name`` is the name of, for the message ("topic", "persona", ...).
    name : str
        The name that was asked for.
    known : iterable of str
        The names that exist.

    Raises
    ------
    ValuestabError
        If ``name`` is not among ``known``.

    Examples
    --------
    >>> check_known("topic", "joke", ["chess", "joke"])
    'joke'
    """
    known = list(known)
    if name in known:
        return name
    by_lower = {k.lower(): k for k in known}
    near = difflib.get_close_matches(str(name).lower(), list(by_lower), n=1, cutoff=0.5)
    hint = f" Did you mean {by_lower[near[0]]!r}?" if near else ""
    shown = ", ".join(known[:20]) + (f", and {len(known) - 20} more" if len(known) > 20 else "")
    raise ValuestabError(f"Unknown {kind} {name!r}.{hint} Known: {shown}.")
