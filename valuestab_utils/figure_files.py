"""Figures on disk: picture, data and what they show, under names that the registry knows."""

import datetime
import functools
import json
import math
import numbers
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import yaml
from matplotlib.figure import Figure

from valuestab_utils.errors import ValuestabError, check_known
from valuestab_utils.paths import DATA

REGISTRY = DATA / "figures.yaml"
ENDINGS = ("json", "png", "pdf", "csv", "txt")  # json first: without it nothing of a figure counts as made


@dataclass(frozen=True)
class FigureEntry:
    """One line of the registry, data/figures.yaml.

    Attributes
    ----------
    name : str
        Stem of its files.
    paper : str
        What it is in the paper ("Figure 4a"), or "" if it goes beyond the paper.
    title : str
    asked : str
        The question that it answers, in one sentence.
    notebook : str
        Which makes it, without .ipynb.
    section : str
        Heading that it stands under.
    """

    name: str
    paper: str
    title: str
    asked: str
    notebook: str
    section: str


@dataclass(frozen=True)
class FigureRecord:
    """What is kept of a figure beside its picture and data, as ``<name>.json`` holds it.

    Attributes
    ----------
    name : str
    found : str
        What it shows, in a sentence or two.
    about : dict
        Sample, wording, models, version and date, each a string or a number.
    skipped : str
        Why it is not part of the run, or "".
    files : tuple of str
        Names of the files that belong to it.
    written : str
        When, in ISO format (UTC).
    """

    name: str
    found: str = ""
    about: dict[str, str | int | float] = field(default_factory=dict)
    skipped: str = ""
    files: tuple[str, ...] = ()
    written: str = ""


def load_figures(path: str | Path = REGISTRY) -> dict[str, FigureEntry]:
    """The registry of figures and tables by name, in the order of the paper.

    Raises
    ------
    ValuestabError
        An entry that lacks something or has something unknown, a name that stands there twice, a notebook
        that is not called ``NN_name``.

    Examples
    --------
    >>> figures = load_figures()
    >>> figures["figure_4a"].paper, figures["figure_4a"].notebook
    ('Figure 4a', '03_stability')
    """
    return dict(_registry(Path(path)))


@functools.cache
def _registry(path: Path) -> dict[str, FigureEntry]:
    entries: dict[str, FigureEntry] = {}
    keys = {f.name for f in fields(FigureEntry)}
    for row in yaml.safe_load(path.read_text(encoding="utf-8")):
        if set(row) != keys or not all(isinstance(value, str) for value in row.values()):
            raise ValuestabError(
                f"The entry {row.get('name')!r} of {path.name} has the keys {sorted(row)}, but needs "
                f"{sorted(keys)}, each a text: correct it."
            )
        entry = FigureEntry(**row)
        if entry.name in entries or not re.fullmatch(r"\w+", entry.name):
            raise ValuestabError(
                f"{entry.name!r} in {path.name} is no name of letters, digits and _ that stands there once: "
                "rename it."
            )
        if not re.fullmatch(r"\d\d_\w+", entry.notebook):
            raise ValuestabError(
                f"The notebook {entry.notebook!r} of {entry.name!r} in {path.name} is not called like "
                "'03_stability': correct it."
            )
        entries[entry.name] = entry
    return entries


def save_figure(
    figure: Figure | None,
    table: pd.DataFrame,
    name: str,
    folder: str | Path,
    found: str = "",
    about: Mapping[str, object] | None = None,
    text: str | None = None,
) -> Figure | None:
    """Write a figure as PNG and PDF, its table as CSV, and last what it shows as JSON; gives the figure.

    Earlier files of that name go first. If anything fails, none is left.

    Parameters
    ----------
    figure : matplotlib Figure, optional
        Closed afterwards. None for what is a table or a text only.
    table : DataFrame
        The data behind it.
    name : str
        A name in data/figures.yaml.
    folder : path
        Made if it is not there.
    found : str
        What it shows, said from the data.
    about : mapping of str to str or number
        Sample, wording, models, package_version, git_commit, date, and whatever else a reader should know.
    text : str, optional
        Written as ``<name>.txt``.

    Raises
    ------
    ValuestabError
        A name that is not in the registry; ``about`` that holds something else than strings and finite
        numbers.

    Examples
    --------
    >>> import tempfile
    >>> table, about = pd.DataFrame({"r": [0.5]}), {"date": "2025-01-31"}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_figure(None, table, "values", folder, "All are at 0.5.", about)
    ...     record = read_record("values", folder)
    >>> record.found, record.about, record.files
    ('All are at 0.5.', {'date': '2025-01-31'}, ('values.csv',))
    """
    check_known("figure", name, load_figures())
    about = {str(key): _plain(name, key, value) for key, value in (about or {}).items()}
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _remove(name, folder)
    try:
        if figure is not None:
            figure.savefig(folder / f"{name}.png")
            figure.savefig(folder / f"{name}.pdf", metadata={"CreationDate": None})
            plt.close(figure)  # shown once, as the cell's result
        table.to_csv(folder / f"{name}.csv", index=False)
        if text is not None:
            (folder / f"{name}.txt").write_text(text, encoding="utf-8")
        files = tuple(path.name for path in _paths(name, folder) if path.exists())
        _write(FigureRecord(name, found, about, files=files, written=_now()), folder)
    except BaseException:  # an interruption too: half of a figure must not look like one
        _remove(name, folder)
        raise
    return figure


def skip_figure(name: str, folder: str | Path, reason: str) -> None:
    """Say that a figure is not part of this run, and why; earlier files of that name go.

    Parameters
    ----------
    name : str
        A name in data/figures.yaml.
    folder : path
        Made if it is not there.
    reason : str

    Raises
    ------
    ValuestabError
        A name that is not in the registry; no reason.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     skip_figure("figure_10", folder, "The profile has two contexts.")
    ...     read_record("figure_10", folder).skipped
    'The profile has two contexts.'
    """
    check_known("figure", name, load_figures())
    if not reason.strip():
        raise ValuestabError(f"{name} is left out without a reason: say why, for the report.")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _remove(name, folder)
    _write(FigureRecord(name, skipped=reason, written=_now()), folder)


def read_record(name: str, folder: str | Path) -> FigureRecord | None:
    """What `save_figure` or `skip_figure` kept of a figure; None if it was not made.

    Raises
    ------
    ValuestabError
        A file that neither of them wrote.

    Examples
    --------
    >>> read_record("figure_4a", "nowhere") is None
    True
    """
    path = Path(folder) / f"{name}.json"
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return FigureRecord(**(kept | {"files": tuple(kept["files"])}))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as error:
        raise ValuestabError(
            f"{path} cannot be read ({error!r}): remove it, and run the notebook of {name} again."
        ) from error


def _paths(name: str, folder: Path) -> list[Path]:
    return [folder / f"{name}.{ending}" for ending in ENDINGS]


def _remove(name: str, folder: Path) -> None:
    for path in _paths(name, folder):
        path.unlink(missing_ok=True)


def _write(record: FigureRecord, folder: Path) -> None:
    """The record appears at once and whole."""
    part = folder / f".{record.name}.{os.getpid()}.json"
    text = json.dumps(asdict(record), ensure_ascii=False, indent=1, allow_nan=False)
    part.write_text(text + "\n", encoding="utf-8")
    os.replace(part, folder / f"{record.name}.json")


def _plain(name: str, key: object, value: object) -> str | int | float:
    if isinstance(value, str):
        return value
    if isinstance(value, numbers.Real) and math.isfinite(value):
        return value.item() if hasattr(value, "item") else value
    raise ValuestabError(
        f"{key!r} of {name} is {value!r}, but what is kept about a figure must be text or a finite number: "
        "put it into words."
    )


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds")
