"""All that a run found, on one page: each experiment with its question, answer, figure, data and origin.

The page is one file that needs nothing else: no network, no scripts. A run that is not complete says so at
its top.
"""

import argparse
import datetime
import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from valuestab_utils.errors import ValuestabError
from valuestab_utils.figure_files import load_figures
from valuestab_utils.papers import FIRST, PAPERS, Paper, paper_of, summary_file
from valuestab_utils.parameters import for_study, given_parameters
from valuestab_utils.paths import ROOT
from valuestab_utils.redaction import redact
from valuestab_utils.report_page import SHOWN_ROWS, fill_page
from valuestab_utils.report_parts import (
    ABOUT,
    UNFINISHED,
    ExecutedNotebook,
    ReportEntry,
    executed_notebook,
    is_own_wording,
    report_entry,
)

_COMMON = ("package_version", "git_commit", "models", "wording", "date")


def write_report(run: str, figures_dir: str | Path, output_dir: str | Path) -> Path:
    """Write ``report.html``, one self-contained page, from what a run left behind.

    Parameters
    ----------
    run : str
        Name of the run.
    figures_dir : path
        Its figures (see `valuestab_utils.figure_files.save_figure`), and summary.json with what was found.
    output_dir : path
        Its executed notebooks, NN_name.ipynb; a failed one is NN_name.failed.ipynb. The page goes here.

    Returns
    -------
    Path
        Of the page.

    Raises
    ------
    ValuestabError
        No figures; a record or notebook that cannot be read; a page that cannot be written.
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
    lines = [line for paper in papers for line in _summary(figures_dir / summary_file(paper.name))]
    page = fill_page(
        run=run,
        made_on=datetime.date.today().isoformat(),
        lines=lines,
        problems=find_problems(entries, notebooks.values(), lines),
        common=_common(entries),
        own_wordings=[w for w in _distinct(entries, "wording") if is_own_wording(w)],
        sections=_sections(entries),
        counts={
            "made": sum(e.made for e in entries),
            "skipped": sum(e.record is not None and not e.made for e in entries),
            "missing": sum(e.record is None for e in entries),
        },
        notebooks=list(notebooks.values()),
        papers=papers,
        other_papers=[paper for paper in PAPERS.values() if paper not in papers],
        visible=[ABOUT["sample"], ABOUT["wording"]],
        figures_place=f"figures/{figures_dir.name}",
        shown_rows=SHOWN_ROWS,
    )
    return _write(page, output_dir)


def find_problems(
    entries: Sequence[ReportEntry], notebooks: Iterable[ExecutedNotebook], lines: Sequence[str]
) -> list[str]:
    """Sentences on what a finished run would have and this one has not; none if it is complete.

    Parameters
    ----------
    entries : sequence of ReportEntry
    notebooks : iterable of ExecutedNotebook
    lines : sequence of str
        What was found in the whole run.
    """
    problems = [f"{UNFINISHED[book.state].format(book.name)}." for book in notebooks if book.state != "done"]
    missing = [e.entry.paper or e.entry.title for e in entries if e.record is None]
    if missing:
        problems.append(
            f"{len(missing)} of {len(entries)} figures and tables were not made: {', '.join(missing)}."
        )
    doubtful = [e.entry.paper or e.entry.title for e in entries if e.cautions]
    if doubtful:
        problems.append(f"Look at the cautions beside {', '.join(doubtful)}.")
    commits = _distinct(entries, "git_commit")
    if len(commits) > 1:
        problems.append(f"The figures were made by {len(commits)} states of the code: {', '.join(commits)}.")
    if not lines:
        problems.append("There is no summary of what was found.")
    return problems


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m valuestab_utils.report", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--profile", default="quick", help="a name in data/profiles, or a file of that form")
    parser.add_argument("--model", default="", help="a name in data/models.yaml, a folder, or a hub id")
    parser.add_argument("--output", type=Path, metavar="DIR", help="folder of the executed notebooks")
    parser.add_argument("parameters", nargs="*", metavar="name=value", help="parameters that the run was given")
    options = parser.parse_intermixed_args(arguments)
    try:
        from valuestab_utils.study import run_name  # loads PyTorch, which takes seconds

        run = run_name(**for_study(given_parameters(options)))
        output = (options.output or ROOT / "output" / run).resolve()
        page = write_report(run, ROOT / "figures" / run, output)
    except ValuestabError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    print(f"Open {os.path.relpath(page)} in a browser.")
    return 0


def _summary(path: Path) -> list[str]:
    try:
        return [str(line) for line in json.loads(path.read_text(encoding="utf-8"))["lines"]]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError) as error:
        raise ValuestabError(f"{path} cannot be read ({error!r}): run the notebooks again.") from error


def _papers_with_results(entries: Sequence[ReportEntry], notebooks: Iterable[ExecutedNotebook]) -> list[Paper]:
    """Papers of which this run has something; where it has nothing at all, the first, all of which is then missing."""
    there = {paper_of(e.entry.notebook) for e in entries if e.record is not None}
    there |= {paper_of(book.name) for book in notebooks if book.state != "missing"}
    return [paper for paper in PAPERS.values() if paper in there] or [PAPERS[FIRST]]


def _common(entries: Sequence[ReportEntry]) -> dict[str, list[str]]:
    """Everything that the figures say of their models, wordings and code, each once."""
    return {ABOUT[key]: values for key in _COMMON if (values := _distinct(entries, key))}


def _distinct(entries: Sequence[ReportEntry], key: str) -> list[str]:
    values = [str(e.record.about[key]) for e in entries if e.made and e.record.about.get(key, "") != ""]
    return list(dict.fromkeys(part for value in values for part in value.split("; ")))


def _sections(entries: Sequence[ReportEntry]) -> dict[str, list[ReportEntry]]:
    sections: dict[str, list[ReportEntry]] = {}
    for entry in entries:
        sections.setdefault(entry.entry.section, []).append(entry)
    return sections


def _write(page: str, folder: Path) -> Path:
    path, part = folder / "report.html", folder / f".report.{os.getpid()}.html"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part.write_text(redact(page), encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise ValuestabError(
            f"{path} cannot be written ({error.strerror}): make room, or change its rights."
        ) from error
    return path


if __name__ == "__main__":
    sys.exit(main())
