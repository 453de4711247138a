"""Notebook parameters from the command line: ``name=value`` words, held to what the notebooks declare."""

import argparse
import ast
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from valuestab_utils.errors import ValuestabError, check_known
from valuestab_utils.paths import ROOT
from valuestab_utils.redaction import is_secret_name, secret_in

_ANYTHING = object()  # default of a parameter whose value is no literal
_NAMES = ("profile", "model")  # text, whatever they look like
_NULL = r"null|None|~|"


class _Literals(yaml.SafeLoader):
    """YAML in which only what is plainly a number is one.

    YAML 1.1 and Python read ``0_1`` as 1 and ``2_4`` as 24, YAML also ``010`` as 8, ``1:30`` as 90 and ``no``
    as False. Here all of these stay text.
    """

    yaml_implicit_resolvers = {}


for _tag, _pattern, _first in (
    ("int", r"-?(0|[1-9]\d*)", "-0123456789"),
    ("float", r"-?(\d+\.\d*|\.\d+|\d+(?=[eE]))([eE][-+]?\d+)?", "-.0123456789"),
    ("bool", r"true|True|false|False", "tTfF"),
    ("null", _NULL, ["n", "N", "~", ""]),
):
    _Literals.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), list(_first)
    )


def parse_value(text: str) -> object:
    """Read a value as it stands on a command line: a YAML literal, in which ``0_1`` is text.

    Raises
    ------
    ValuestabError
        If it is no YAML.

    Examples
    --------
    >>> [parse_value(text) for text in ("8", "0_1", "[1, 2]", "None", "0.5", "joke", "true")]
    [8, '0_1', [1, 2], None, 0.5, 'joke', True]
    """
    try:
        return yaml.load(text, Loader=_Literals)  # a SafeLoader: it builds plain data only
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or error
        raise ValuestabError(
            f"The value {text!r} cannot be read ({problem}): write it as in YAML, such as 8, joke or '[1, "
            "2]'."
        ) from error


def declared_parameters(notebook: Path) -> dict[str, object]:
    """Parameters of a notebook, those assigned in its cell tagged ``parameters``, with their defaults.

    Raises
    ------
    ValuestabError
        If it is no notebook or has no such cell.
    """
    import nbformat  # takes two seconds, which every kernel would wait for

    try:
        cells = nbformat.read(notebook, as_version=4).cells
        source = next(cell.source for cell in cells if "parameters" in cell.metadata.get("tags", []))
        statements = ast.parse(source).body
    except (OSError, ValueError, SyntaxError, AttributeError, nbformat.ValidationError) as error:
        raise ValuestabError(
            f"Notebook {notebook} cannot be read ({error}): restore it (git checkout)."
        ) from error
    except StopIteration:
        raise ValuestabError(
            f"Notebook {notebook} has no cell tagged 'parameters': restore it (git checkout)."
        ) from None
    found = {}
    for statement in statements:
        if isinstance(statement, ast.AnnAssign) and statement.value is not None:
            targets = [statement.target]
        elif isinstance(statement, ast.Assign):
            targets = statement.targets
        else:
            continue
        for target in targets:
            found[target.id] = _literal(statement.value)
    return found


def for_notebooks(given: Mapping[str, str], declared: Mapping[str, Mapping[str, object]]) -> dict[str, dict]:
    """Share out what was given on the command line: each notebook gets the parameters that it has.

    Relative paths become absolute, since a notebook runs in its own folder. A value is a path if the
    parameter's name ends in ``_dir``, or if it names an existing file or folder and looks like a path (it has
    a slash, or ends in .csv or .yaml). A model is one if there is a folder of that name and no model in
    data/models.yaml, as `valuestab_utils.model_cards.model_card` has it.

    Parameters
    ----------
    given : mapping of str to str
        Values as text.
    declared : mapping of str to mapping
        For each notebook the defaults of its parameters.

    Returns
    -------
    dict of str to dict
        For each notebook its parameters and their values.

    Raises
    ------
    ValuestabError
        If no notebook has a parameter of that name (the nearest is suggested), or the value is not of the
        type of its default, or holds a secret of the environment.

    Examples
    --------
    >>> for_notebooks({"n": "8"}, {"first": {"n": 60, "topic": "joke"}, "second": {"topic": "joke"}})
    {'first': {'n': 8}, 'second': {}}
    """
    names = sorted(set().union(*declared.values()))
    for name, text in given.items():
        _check_no_secret(name, text)
        check_known("parameter", name, names)
    return {
        notebook: {
            name: _absolute(name, _fitting(name, text, defaults[name]))
            for name, text in given.items()
            if name in defaults
        }
        for notebook, defaults in declared.items()
    }


def split_words(words: Sequence[str]) -> dict[str, str]:
    """Take ``name=value`` words apart.

    Raises
    ------
    ValuestabError
        If a word is not of that form, or a name is given twice.

    Examples
    --------
    >>> split_words(["seeds=[1, 2]", "text=a=b"])
    {'seeds': '[1, 2]', 'text': 'a=b'}
    """
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.isidentifier():
            raise ValuestabError(f"{word!r} is no parameter: write name=value, such as n_personas=8.")
        if name in found:
            raise ValuestabError(f"The parameter {name!r} is given twice: give it once.")
        found[name] = value
    return found


def given_parameters(options: argparse.Namespace) -> dict[str, str]:
    """What a command line has in --profile, --model and ``name=value`` words, as text; the words win."""
    given = {"profile": options.profile} | ({"model": options.model} if options.model else {})
    return given | split_words(options.parameters)


def for_study(given: Mapping[str, str]) -> dict[str, object]:
    """The same as `valuestab_utils.study.plan_study` takes it, all of whose parameters every notebook declares.

    Raises
    ------
    ValuestabError
        See `for_notebooks`.
    """
    declared = declared_parameters(ROOT / "notebooks" / "01_conversations.ipynb")
    return for_notebooks(given, {"study": declared})["study"]


def _check_no_secret(name: str, text: str) -> None:
    """Parameters are written into the executed notebooks."""
    variable = name if is_secret_name(name) else secret_in(text)
    if variable:
        raise ValuestabError(
            f"The parameter {name!r} holds the secret {variable}, and parameters are written into notebooks: leave it "
            "to the environment or `hf auth login`."
        )


def _literal(node: ast.expr) -> object:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return _ANYTHING


def _fitting(name: str, text: str, default: object) -> object:
    is_path = name.endswith("_dir") and not re.fullmatch(_NULL, text)
    if isinstance(default, str) or name in _NAMES or is_path:
        return text
    value = parse_value(text)
    if default is None or default is _ANYTHING:
        return value
    if isinstance(default, float) and type(value) is int:
        return float(value)
    if type(value) is not type(default):
        raise ValuestabError(
            f"The parameter {name!r} takes {_kind(default)} such as {default!r}; {text!r} is {_kind(value)}."
        )
    kinds = {type(member) for member in default} if isinstance(default, list) else set()
    if len(kinds) == 1 and not all(type(member) in kinds for member in value):
        wrong = next(member for member in value if type(member) not in kinds)
        raise ValuestabError(
            f"The parameter {name!r} takes a list of values such as {default[0]!r}; {wrong!r} in it is "
            f"{_kind(wrong)}."
        )
    return value


def _kind(value: object) -> str:
    kinds = {bool: "true or false", int: "a whole number", float: "a number", str: "text", list: "a list"}
    return kinds.get(type(value), "empty" if value is None else f"a {type(value).__name__}")


def _absolute(name: str, value: object) -> object:
    if isinstance(value, list):
        return [_absolute(name, member) for member in value]
    if not isinstance(value, str):
        return value
    path = Path(value).expanduser()
    if name == "model":
        is_path = path.is_dir() and not _is_known_model(value)
    else:
        is_path = ("/" in value or value.endswith((".csv", ".yaml"))) and path.exists()
    return str(path.resolve()) if is_path or name.endswith("_dir") else value


def _is_known_model(name: str) -> bool:
    from valuestab_utils.model_cards import known_models  # loads PyTorch, for which nothing else here waits

    return name in known_models()
