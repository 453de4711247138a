"""All that a run found, on one page: each experiment with its question, answer, figure, data and origin.

The page needs nothing else, no network and no scripts. A run that is not complete says so at its top.
"""

import base64
import datetime
import functools
import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from nbconvert import HTMLExporter
from nbconvert.preprocessors.sanitize import SanitizeHTML
from nbformat import NotebookNode
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from valuestab_utils.errors import ValuestabError, redact
from valuestab_utils.paths import DATA
from valuestab_utils.study import (
    FIRST,
    PAPERS,
    FigureEntry,
    FigureRecord,
    Paper,
    load_figures,
    paper_of,
    read_record,
    summary_file,
)

SHOWN_ROWS = 60
ABOUT = {
    "sample": "Sample",
    "wording": "Wording",
    "models": "Models",
    "package_version": "Package version",
    "git_commit": "Commit",
    "date": "Date",
}
UNFINISHED = {"failed": "The notebook {} failed", "missing": "The notebook {} was not executed in this run"}
_BAR = re.compile(r"[^\n]*\d+%\|[^|\n]*\|[^\n]*\[[^\n]*\n?")  # a state of a progress bar
_TAGS = "a b blockquote br code dd details div dl dt em h1 h2 h3 h4 h5 h6 hr i li ol p pre small span strong sub sup"
_TAGS += " summary table tbody td th thead tr ul"


@dataclass(frozen=True)
class Table:
    """The first of the ``n_rows`` rows of a CSV file, as text; ``numeric`` columns hold numbers alone."""

    columns: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[str, ...], ...]
    n_rows: int


@dataclass(frozen=True)
class ReportEntry:
    """A figure of the registry with what the run has of it.

    record : None if it was not made in this run
    cautions : why a reader should not take it for a part of a finished run
    picture : a data URI
    """

    entry: FigureEntry
    record: FigureRecord | None
    cautions: tuple[str, ...] = ()
    picture: str = ""
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


@dataclass(frozen=True)
class ExecutedNotebook:
    """A notebook of the registry with what the run has of it: state is "done", "failed" or "missing"."""

    name: str
    state: str
    title: str = ""
    body: Markup | str = ""
    start: datetime.datetime | None = None
    end: datetime.datetime | None = None


def write_report(run: str, figures_dir: str | Path, output_dir: str | Path) -> Path:
    """Write ``report.html``, one self-contained page, into ``output_dir``, from what a run left behind.

    ``figures_dir`` holds its figures and summary.json, ``output_dir`` its executed notebooks, NN_name.ipynb, or
    NN_name.failed.ipynb. ValuestabError without figures, or if a record or notebook cannot be read.
    """
    figures_dir, output_dir = Path(figures_dir), Path(output_dir)
    if not figures_dir.is_dir():
        raise ValuestabError(
            f"The run {run!r} has no figures in {figures_dir}: run it first (make reproduce), or give the profile, "
            "model and parameters that it was run with."
        )
    registry = load_figures()
    names = sorted({entry.notebook for entry in registry.values()})
    notebooks = {name: executed_notebook(name, output_dir) for name in names}
    entries = [report_entry(entry, figures_dir, notebooks[entry.notebook]) for entry in registry.values()]
    papers = _papers_with_results(entries, notebooks.values())
    entries = [e for e in entries if paper_of(e.entry.notebook) in papers]
    notebooks = {name: book for name, book in notebooks.items() if paper_of(name) in papers}
    lines = [line for paper in papers for line in read_summary(figures_dir / summary_file(paper.name))]
    names = dict.fromkeys(e.entry.section for e in entries)
    page = fill_page(
        run=run,
        made_on=datetime.date.today().isoformat(),
        entries=entries,
        lines=lines,
        problems=find_problems(entries, notebooks.values(), lines),
        is_own=is_own_wording,
        common={name: values for key, name in ABOUT.items() if key != "sample" and (values := _distinct(entries, key))},
        own_wordings=[w for w in _distinct(entries, "wording") if is_own_wording(w)],
        sections={name: [e for e in entries if e.entry.section == name] for name in names},
        notebooks=list(notebooks.values()),
        papers=papers,
        other_papers=[paper for paper in PAPERS.values() if paper not in papers],
        figures_place=f"figures/{figures_dir.name}",
    )
    path = output_dir / "report.html"
    write_whole(path, redact(page))
    return path


def write_whole(path: Path, text: str) -> None:
    """Write a file that is there whole or not at all; one that is there is replaced at once."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise ValuestabError(
            f"{path} cannot be written ({error.strerror}): make room, change its rights, or name another folder."
        ) from error


def read_summary(path: Path) -> list[str]:
    """Sentences on what was found, as `Study.conclude` keeps them; none without the file."""
    try:
        return [str(line) for line in json.loads(path.read_text(encoding="utf-8"))["lines"]]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError) as error:
        raise ValuestabError(f"{path} cannot be read ({error!r}): run the notebooks again.") from error


def find_problems(
    entries: Sequence[ReportEntry], notebooks: Iterable[ExecutedNotebook], lines: Sequence[str]
) -> list[str]:
    """Sentences on what a finished run would have and this one has not; none if it is complete."""
    problems = [f"{UNFINISHED[book.state].format(book.name)}." for book in notebooks if book.state != "done"]
    missing = [e.entry.paper or e.entry.title for e in entries if e.record is None]
    if missing:
        problems.append(f"{len(missing)} of {len(entries)} figures and tables were not made: {', '.join(missing)}.")
    doubtful = [e.entry.paper or e.entry.title for e in entries if e.cautions]
    if doubtful:
        problems.append(f"Look at the cautions beside {', '.join(doubtful)}.")
    commits = _distinct(entries, "git_commit")
    if len(commits) > 1:
        problems.append(f"The figures were made by {len(commits)} states of the code: {', '.join(commits)}.")
    if not lines:
        problems.append("There is no summary of what was found.")
    return problems


def executed_notebook(name: str, folder: Path) -> ExecutedNotebook:
    """What the run has of a notebook; ValuestabError if its file is no notebook."""
    failed, done = folder / f"{name}.failed.ipynb", folder / f"{name}.ipynb"
    path = failed if failed.exists() else done
    if not path.exists():
        return ExecutedNotebook(name, "missing")
    try:
        book = nbformat.read(path, as_version=4)
    except (OSError, ValueError, nbformat.ValidationError) as error:
        raise ValuestabError(f"{path} cannot be read ({error}): run {name} again.") from error
    headings = [re.match(r"\s*#\s+(.+)", cell.source) for cell in book.cells if cell.cell_type == "markdown"]
    title = next((found[1].strip() for found in headings if found), "")
    times = book.metadata.get("papermill", {})
    start, end = _time(times.get("start_time")), _time(times.get("end_time"))
    return ExecutedNotebook(name, "failed" if path == failed else "done", title, notebook_html(book), start, end)


def notebook_html(notebook: NotebookNode) -> Markup:
    """A notebook as part of the page, headings three levels down, without scripts, styles, ids and progress bars."""
    body = nbformat.from_dict(notebook)  # a copy
    outputs = [output for cell in body.cells if cell.cell_type == "code" for output in cell.outputs]
    for output in outputs:
        if output.output_type == "stream":
            output.text = _BAR.sub("", output.text)
        elif "text/html" in output.get("data", {}):  # pandas sends styles along, whose text would stay
            output.data["text/html"] = re.sub(r"(?is)<(style|script)\b.*?</\1>", "", output.data["text/html"])
    html = _exporter().from_notebook_node(body)[0]
    html = re.sub(r' id="[^"]*"', "", html)  # two notebooks may have the same
    return Markup(re.sub(r"<(/?)h([1-3])\b", lambda tag: f"<{tag[1]}h{int(tag[2]) + 3}", html))


@functools.cache  # compiling its templates takes longer than a notebook
def _exporter() -> HTMLExporter:
    attributes = {"*": ["class", "title", "style"], "a": ["href"], "td": ["colspan", "rowspan"], "details": ["open"]}
    sanitizer = SanitizeHTML(tags=_TAGS.split(), attributes=attributes, strip=True, enabled=True)
    exporter = HTMLExporter(template_name="basic", exclude_anchor_links=True)
    exporter.register_preprocessor(sanitizer, enabled=True)
    return exporter


def report_entry(entry: FigureEntry, folder: Path, notebook: ExecutedNotebook) -> ReportEntry:
    """What the run has of a figure that ``notebook`` makes, with cautions."""
    record = read_record(entry.name, folder)
    if record is None:
        return ReportEntry(entry, None)
    there = {Path(name).suffix: folder / name for name in record.files if (folder / name).exists()}
    cautions = [f"The file {name} is not there any more." for name in record.files if not (folder / name).exists()]
    written = _time(record.written)
    if notebook.state != "done":
        cautions.append(f"{UNFINISHED[notebook.state].format(entry.notebook)}: this may be from an earlier run.")
    elif written and notebook.start and written < notebook.start:
        cautions.append("This was made before the notebook was executed: it is from an earlier run.")
    elif written and notebook.end and written > notebook.end:
        cautions.append("This was made after the notebook was executed, and may differ from it.")
    return ReportEntry(
        entry,
        record,
        tuple(cautions),
        _data_uri(there[".png"]) if ".png" in there else "",
        read_table(there[".csv"]) if ".csv" in there else None,
        there[".txt"].read_text(encoding="utf-8") if ".txt" in there else "",
    )


def read_table(path: Path) -> Table:
    """The first rows of a CSV file, numbers rounded to three digits after the point; an empty cell is a dash."""
    # Only an empty cell is missing: a persona may be called None.
    frame = pd.read_csv(path, keep_default_na=False, na_values=[""]).convert_dtypes()
    shown = frame.head(SHOWN_ROWS)
    numeric = tuple(is_numeric_dtype(kind) and not is_bool_dtype(kind) for kind in shown.dtypes)
    rows = tuple(shown.map(_cell).itertuples(index=False, name=None))
    return Table(tuple(frame.columns), numeric, rows, len(frame))


def _cell(value: object) -> str:
    if pd.isna(value):
        return "–"
    if isinstance(value, float):
        return f"{value:.0e}" if 0 < abs(value) < 0.0005 else f"{value:.3f}"  # 0.000 would look like nothing
    return str(value)


def fill_page(**contents: object) -> str:
    """The page with its contents; everything in them that is not Markup is escaped."""
    page = Environment(loader=FileSystemLoader(DATA / "report"), autoescape=True, undefined=StrictUndefined)
    page.trim_blocks = page.lstrip_blocks = True
    style = Markup((DATA / "report" / "report.css").read_text(encoding="utf-8"))
    return page.get_template("report.html.j2").render(style=style, **contents)


def is_own_wording(wording: str) -> bool:
    """Whether a questionnaire's label says that its wording is this project's own.

    >>> is_own_wording("PVQ-40, portraits written for this project (NOT the published wording)")
    True
    """
    return "not the published" in str(wording).lower()


def _papers_with_results(entries: Sequence[ReportEntry], notebooks: Iterable[ExecutedNotebook]) -> list[Paper]:
    """Papers of which this run has something; where it has nothing at all, the first, all of which is then missing."""
    there = {paper_of(e.entry.notebook) for e in entries if e.record is not None}
    there |= {paper_of(book.name) for book in notebooks if book.state != "missing"}
    return [paper for paper in PAPERS.values() if paper in there] or [PAPERS[FIRST]]


def _distinct(entries: Sequence[ReportEntry], key: str) -> list[str]:
    values = [str(e.record.about[key]) for e in entries if e.made and e.record.about.get(key, "") != ""]
    return list(dict.fromkeys(part for value in values for part in value.split("; ")))


def _data_uri(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii")


def _time(text: str | None) -> datetime.datetime | None:
    """A moment with its zone; one without is in UTC."""
    if not text:
        return None
    time = datetime.datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=datetime.UTC)
