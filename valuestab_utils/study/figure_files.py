"""Figures on disk: picture, data and what they show, under names that the registry knows."""

import datetime
import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import matplotlib.pyplot as plt
import pandas as pd
import yaml
from matplotlib.figure import Figure
from pydantic import BaseModel, ConfigDict, Field, StrictStr, ValidationError

from valuestab_utils.errors import ValuestabError, check_known, told_by
from valuestab_utils.files import checked
from valuestab_utils.paths import DATA
from valuestab_utils.study.profiles import EXPERIMENTS

REGISTRY = DATA / "figures.yaml"
ENDINGS = ("json", "png", "pdf", "csv", "txt")  # json first: without it nothing of a figure counts as made


class FigureEntry(BaseModel):
    """One line of the registry, data/figures.yaml.

    name : stem of its files
    paper : what it is in the paper ("Figure 4a"), "" if it goes beyond
    asked : the question that it answers, in one sentence
    notebook : which makes it, without .ipynb; section : the heading that it stands under
    needs : names of the experiments that it is made from
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^\w+$")
    paper: str
    title: str
    asked: str
    notebook: str = Field(pattern=r"^\d\d_\w+$")
    section: str
    needs: tuple[Literal[EXPERIMENTS], ...]


class FigureRecord(BaseModel):
    """What is kept of a figure beside its picture and data, as ``<name>.json`` holds it.

    found : what it shows, in a sentence or two
    about : sample, wording, models, version and date, in words
    skipped : why it is not part of the run, or ""
    written : when, in ISO format (UTC)
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    found: str = ""
    about: dict[str, StrictStr] = {}
    skipped: str = ""
    files: tuple[str, ...] = ()
    written: str = ""


@functools.cache
def load_figures() -> dict[str, FigureEntry]:
    """The registry of figures and tables by name, in the order of the paper; ValuestabError for a malformed entry.

    >>> figures = load_figures()
    >>> figures["figure_4a"].paper, figures["figure_4a"].notebook
    ('Figure 4a', '03_stability')
    """
    rows = yaml.safe_load(REGISTRY.read_text(encoding="utf-8"))
    entries = [checked(FigureEntry, row, f"{REGISTRY.name}, figure {i}") for i, row in enumerate(rows, start=1)]
    return {entry.name: entry for entry in entries}


def save_figure(
    figure: Figure | None,
    table: pd.DataFrame,
    name: str,
    folder: str | Path,
    found: str = "",
    about: Mapping[str, str] | None = None,
    text: str | None = None,
) -> Figure | None:
    """Write a figure as PNG and PDF, its table as CSV, ``text`` as TXT, and last what it shows as JSON.

    Earlier files of that name go first; if anything fails, none is left. The figure is closed. ``about`` has sample,
    wording, models, package_version, git_commit, date and whatever else a reader should know. ValuestabError for a name
    that is not in data/figures.yaml.

    >>> import tempfile
    >>> table, about = pd.DataFrame({"r": [0.5]}), {"date": "2025-01-31"}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_figure(None, table, "values", folder, "All are at 0.5.", about)
    ...     record = read_record("values", folder)
    >>> record.found, record.about, record.files
    ('All are at 0.5.', {'date': '2025-01-31'}, ('values.csv',))
    """
    folder = _emptied(name, folder)
    try:
        if figure is not None:
            figure.savefig(folder / f"{name}.png")
            figure.savefig(folder / f"{name}.pdf", metadata={"CreationDate": None})
            plt.close(figure)  # shown once, as the cell's result
        table.to_csv(folder / f"{name}.csv", index=False)
        if text is not None:
            (folder / f"{name}.txt").write_text(text, encoding="utf-8")
        files = tuple(f"{name}.{ending}" for ending in ENDINGS if (folder / f"{name}.{ending}").exists())
        _write(FigureRecord(name=name, found=found, about=about or {}, files=files, written=_now()), folder)
    except BaseException:  # an interruption too: half of a figure must not look like one
        _emptied(name, folder)
        raise
    return figure


def skip_figure(name: str, folder: str | Path, reason: str) -> None:
    """Say that a figure of the registry is not part of this run, and why; earlier files of that name go."""
    _write(FigureRecord(name=name, skipped=reason, written=_now()), _emptied(name, folder))


def read_record(name: str, folder: str | Path) -> FigureRecord | None:
    """What `save_figure` or `skip_figure` kept of a figure; None if it was not made."""
    path = Path(folder) / f"{name}.json"
    try:
        return FigureRecord.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise ValuestabError(
            f"{path} cannot be read ({told_by(error)}): remove it, and run the notebook of {name} again."
        ) from error


def _emptied(name: str, folder: str | Path) -> Path:
    """The folder without any file of that figure."""
    check_known("figure", name, load_figures())
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for ending in ENDINGS:
        (folder / f"{name}.{ending}").unlink(missing_ok=True)
    return folder


def _write(record: FigureRecord, folder: Path) -> None:
    part = folder / f".{record.name}.{os.getpid()}.json"
    part.write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")
    os.replace(part, folder / f"{record.name}.json")  # a record appears at once and whole


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds")
