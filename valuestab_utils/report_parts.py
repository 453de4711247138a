"""What a run has left of each figure and notebook, and how far it is to be trusted."""

import datetime
from dataclasses import dataclass
from pathlib import Path

import nbformat
from markupsafe import Markup

from valuestab_utils.errors import ValuestabError
from valuestab_utils.figure_files import FigureEntry, FigureRecord, read_record
from valuestab_utils.report_page import (
    Picture,
    Table,
    notebook_html,
    notebook_title,
    read_picture,
    read_table,
)

# How the origin of a figure is called; what else is kept stands under its own name.
ABOUT = {
    "sample": "Sample",
    "wording": "Wording",
    "models": "Models",
    "package_version": "Package version",
    "git_commit": "Commit",
    "date": "Date",
}
UNFINISHED = {"failed": "The notebook {} failed", "missing": "The notebook {} was not executed in this run"}


@dataclass(frozen=True)
class ReportEntry:
    """A figure of the registry with what the run has of it.

    Attributes
    ----------
    entry : FigureEntry
    record : FigureRecord or None
        None if it was not made in this run.
    cautions : tuple of str
        Why a reader should not take it for a part of a finished run.
    picture, table : Picture, Table or None
    text : str
    """

    entry: FigureEntry
    record: FigureRecord | None
    cautions: tuple[str, ...] = ()
    picture: Picture | None = None
    table: Table | None = None
    text: str = ""

    @property
    def made(self) -> bool:
        """Whether there is something to show."""
        return self.record is not None and not self.record.skipped

    @property
    def about(self) -> dict[str, object]:
        """Sample, wording and provenance under the names that a reader sees; what is empty is left out."""
        about = self.record.about if self.record else {}
        return {ABOUT.get(key, key.replace("_", " ").capitalize()): v for key, v in about.items() if v != ""}

    @property
    def own_wording(self) -> bool:
        """Whether it rests on portraits that are not the published ones."""
        return self.record is not None and is_own_wording(str(self.record.about.get("wording", "")))


@dataclass(frozen=True)
class ExecutedNotebook:
    """A notebook of the registry with what the run has of it: state is "done", "failed" or "missing"."""

    name: str
    state: str
    title: str = ""
    body: Markup | str = ""
    start: datetime.datetime | None = None
    end: datetime.datetime | None = None


def is_own_wording(wording: str) -> bool:
    """Whether an instrument's label says that its wording is this project's own.

    Examples
    --------
    >>> is_own_wording("PVQ-40, portraits written for this project (NOT the published wording)")
    True
    >>> is_own_wording("PVQ-40, published wording")
    False
    """
    return "not the published" in wording.lower()


def executed_notebook(name: str, folder: Path) -> ExecutedNotebook:
    """What the run has of a notebook.

    Raises
    ------
    ValuestabError
        A file that is no notebook.
    """
    failed, done = folder / f"{name}.failed.ipynb", folder / f"{name}.ipynb"
    path = failed if failed.exists() else done
    if not path.exists():
        return ExecutedNotebook(name, "missing")
    try:
        book = nbformat.read(path, as_version=4)
    except (OSError, ValueError, nbformat.ValidationError) as error:
        raise ValuestabError(f"{path} cannot be read ({error}): run {name} again.") from error
    times = book.metadata.get("papermill", {})
    return ExecutedNotebook(
        name,
        "failed" if path == failed else "done",
        notebook_title(book),
        notebook_html(book),
        _time(times.get("start_time")),
        _time(times.get("end_time")),
    )


def report_entry(entry: FigureEntry, folder: Path, notebook: ExecutedNotebook) -> ReportEntry:
    """What the run has of a figure that ``notebook`` makes, with cautions.

    Raises
    ------
    ValuestabError
        A record that cannot be read.
    """
    record = read_record(entry.name, folder)
    if record is None:
        return ReportEntry(entry, None)
    files = {Path(name).suffix: folder / name for name in record.files}
    cautions = [
        f"The file {path.name} is not there any more." for path in files.values() if not path.exists()
    ]
    written = _time(record.written)
    if notebook.state != "done":
        cautions.append(
            f"{UNFINISHED[notebook.state].format(entry.notebook)}: this may be from an earlier run."
        )
    elif written and notebook.start and written < notebook.start:
        cautions.append("This was made before the notebook was executed: it is from an earlier run.")
    elif written and notebook.end and written > notebook.end:
        cautions.append("This was made after the notebook was executed, and may differ from it.")
    there = {suffix: path for suffix, path in files.items() if path.exists()}
    return ReportEntry(
        entry,
        record,
        tuple(cautions),
        read_picture(there[".png"]) if ".png" in there else None,
        read_table(there[".csv"]) if ".csv" in there else None,
        there[".txt"].read_text(encoding="utf-8") if ".txt" in there else "",
    )


def _time(text: str | None) -> datetime.datetime | None:
    """A moment with its zone; one without is in UTC."""
    if not text:
        return None
    time = datetime.datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=datetime.UTC)
