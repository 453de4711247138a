"""Files that users write, as they are read: what does not fit is told by file and row."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from valuestab_utils.errors import ValuestabError, check_known

Model = TypeVar("Model", bound=BaseModel)


def read_rows(path: Path, columns: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """Rows of a CSV file as text, each with its number as a spreadsheet counts: the header is row 1.

    Empty rows are left out. ValuestabError for a missing column or a row of another length.
    """
    try:
        header, *rows = [*csv.reader(io.StringIO(read_utf8(path), newline=""), strict=True)] or [[]]
    except csv.Error as error:
        raise ValuestabError(f"{path} is not a proper CSV file: {error}.") from error
    missing = [column for column in columns if column not in header]
    if missing:
        raise ValuestabError(
            f"{path} lacks the column {missing[0]!r}: its first row must name {', '.join(columns)}, "
            f"separated by commas, but reads {', '.join(header)!r}."
        )
    for number, cells in enumerate(rows, start=2):
        if cells and len(cells) != len(header):
            raise ValuestabError(
                f"{path}, row {number}: {len(cells)} cells, but the header has {len(header)}; "
                "a cell with a comma needs double quotes around it."
            )
    return [(number, dict(zip(header, cells))) for number, cells in enumerate(rows, start=2) if any(cells)]


def read_utf8(path: Path) -> str:
    """Text of a UTF-8 file, with line ends as newlines and without a byte order mark."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValuestabError(f"{path} is not UTF-8 text ({error.reason}): save it as UTF-8.") from error
    except OSError as error:
        raise ValuestabError(f"{path} cannot be read: {error.strerror}.") from error


def checked(model: type[Model], content: object, place: str, renamed: Mapping[str, str] | None = None) -> Model:
    """What was read from a file or given, as the model has it.

    ValuestabError for the first thing that does not fit: what it is, what came, what fits; ``renamed`` are names of
    before, with those of now.
    """
    renamed = renamed or {}
    try:
        return model.model_validate(content)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        first = next((e for e in errors if e["type"] == "extra_forbidden" and e["loc"][-1] in renamed), errors[0])
        kind, path = model, list(first["loc"])
        while inner := _model_in(kind.model_fields.get(path[0]) if len(path) > 1 else None):
            kind, field, path = inner, path[0], path[1:]
            if path and isinstance(path[0], int):
                place, path = f"{place}, {field.removesuffix('s')} {path[0] + 1}", path[1:]
        name = next((step for step in reversed(path) if isinstance(step, str)), "")
        if first["type"] == "extra_forbidden":
            if renamed.get(name) in kind.model_fields:
                raise ValuestabError(f"{place}: {name!r} is called {renamed[name]!r} now: rename it.") from error
            check_known(f"entry of {place}:", name, kind.model_fields)
        if first["type"] == "literal_error" and isinstance(first["input"], str):
            check_known(f"{name} in {place}:", first["input"], re.findall(r"'([^']+)'", first["ctx"]["expected"]))
        if first["type"] == "missing":
            raise ValuestabError(f"{place} lacks {name}: add it.") from error
        examples = kind.model_fields[name].examples if name in kind.model_fields else None
        such_as = f", such as {examples[0]!r}" if examples else ""
        said = first["msg"].replace("valid tuple", "list").removeprefix("Value error, ")
        field = ".".join(map(str, path))
        came = f"{field} is {first['input']!r} ({said}{such_as})" if field else said
        raise ValuestabError(f"{place}: {came}.") from error


def _model_in(field: FieldInfo | None) -> type[BaseModel] | None:
    """The model that a field is made of, if it is made of one."""
    return next((kind for kind in get_args(field and field.annotation) if hasattr(kind, "model_fields")), None)
