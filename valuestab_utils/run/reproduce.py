"""Run a paper's notebooks in order, and say what was found.

Notebooks are executed anew each time, but what takes long in them is kept under results/, so that a second run takes a
minute, and an interrupted one goes on where it was. An earlier run's pages and figures stay until their successors are
there; where a notebook fails, its page, the report and what was found go.
"""

import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
import papermill
from nbclient.exceptions import DeadKernelError
from nbconvert import HTMLExporter
from papermill.exceptions import PapermillExecutionError

from valuestab_utils.errors import ValuestabError, check_known, redact, redact_json
from valuestab_utils.models import ensure_embedded_model, model_card
from valuestab_utils.paths import ROOT
from valuestab_utils.run.report import read_summary, write_report, write_whole
from valuestab_utils.study import FIRST, IN_A_LOG, PAPERS, Study, load_profile, paper_of, plan_study, summary_file

# The kernel is this environment's, whatever the user has installed under its name.
os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
os.environ.pop("JUPYTER_PATH", None)
# What the notebooks' processes inherit: this very package, and no warning of the debugger about frozen modules.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")

NOTEBOOKS = ROOT / "notebooks"
# The template's scripts come from the network, and serve formulas and diagrams only: the page does without them.
_PAGE = """{%- extends 'index.html.j2' -%}
{%- block html_head_js -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
"""


def reproduce(
    profile: str = "quick",
    model: str | None = None,
    changes: dict | None = None,
    paper: str = FIRST,
    names: Sequence[str] = (),
    output: Path | None = None,
) -> list[str]:
    """Execute a paper's notebooks, or ``names`` alone, and write the report into ``output`` (default: output/<run>).

    Returns lines that say what was found (with ``names``, none) and what to open. ValuestabError for what is wrong with
    the study, before anything runs, and for a notebook that fails.
    """
    study = planned(profile, model, changes, paper)
    every = {path.stem: path for path in NOTEBOOKS.glob("[0-9][0-9]_*.ipynb")}
    there = {name: path for name, path in every.items() if paper_of(name).name == paper}
    chosen = sorted({check_known("notebook", name.removesuffix(".ipynb"), there) for name in names} or there)
    output = (output or ROOT / "output" / study.run).resolve()
    summary = study.figures_dir / summary_file(PAPERS[paper].name)
    for number, name in enumerate(chosen, start=1):
        start = time.monotonic()
        say(f"[{number}/{len(chosen)}] {name} ...")
        try:
            parameters = {"profile": profile, "model": model, "changes": changes or {}}
            execute(there[name], parameters, output / f"{name}.ipynb")
        except ValuestabError:
            _withdraw(output / "report.html", summary)  # what an earlier run found must not look like this one's
            raise
        say(f"[{number}/{len(chosen)}] {name}: done in {time.monotonic() - start:.0f} s")
    report = write_report(study.run, study.figures_dir, output)
    return [*(read_summary(summary) if not names else []), f"Open {os.path.relpath(report)} in a browser."]


def planned(profile: str, model: str | None, changes: dict | None, paper: str) -> Study:
    """A study as `plan_study` lays it out; the embedded model is fetched if it is asked for."""
    study = plan_study(profile, model, changes, paper)
    if model_card(model or load_profile(profile).model).source == "embedded":
        ensure_embedded_model()
    return study


def execute(notebook: Path, parameters: Mapping[str, object], output: Path) -> None:
    """Execute one notebook in its own folder; ``output`` and a page (.html) appear only if it succeeds.

    A failed copy is kept as ``NAME.failed.ipynb``, and a ValuestabError says why, in the notebook's own words if it
    raised one. Secrets of the environment are written as ``***``.
    """
    failed, page = output.with_suffix(".failed.ipynb"), output.with_suffix(".html")
    output.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as folder:  # which nobody else can read: secrets are masked at the end
        running = Path(folder) / output.name
        try:
            _run(notebook, parameters, running)
            masked = redact_json(running.read_text(encoding="utf-8"))
            write_whole(page, redact(to_page(masked, output.stem)))
            write_whole(output, masked)
            failed.unlink(missing_ok=True)
        except PapermillExecutionError as error:
            _withdraw(output, page)
            write_whole(failed, redact_json(running.read_text(encoding="utf-8")))
            if error.ename == ValuestabError.__name__:
                raise ValuestabError(error.evalue) from error
            said = redact(" ".join(f"{error.ename}: {error.evalue}".split()))[:300]  # a secret must not be cut first
            raise ValuestabError(
                f"{notebook.name} failed in its cell [{error.exec_count}] with {said} (all of it is in {failed})."
            ) from error
        except DeadKernelError as error:
            _withdraw(output, page)
            raise ValuestabError(
                f"The process that ran {notebook.name} died, probably for want of memory: free some, or choose a "
                "smaller model or profile; the same command goes on where it was."
            ) from error


def _run(notebook: Path, parameters: Mapping[str, object], running: Path) -> None:
    if not sys.stderr.isatty():
        os.environ[IN_A_LOG] = "1"
    os.environ["COLUMNS"] = str(shutil.get_terminal_size().columns)  # which the notebook's process cannot ask
    papermill.execute_notebook(
        notebook,
        running,
        dict(parameters),
        kernel_name="python3",
        language="python",
        cwd=notebook.parent,
        progress_bar=False,
        stderr_file=_Masked(),  # the notebooks' own bars
        coalesce_streams=True,  # of which the executed copy keeps the last state
        start_timeout=300,  # for a machine that is busy otherwise
        extra_arguments=["--IPKernelApp.log_level=CRITICAL"],  # it would log, among others, each interruption
    )


class _Masked:
    """The terminal or log, without secrets."""

    def write(self, text: str) -> None:
        sys.stderr.write(redact(text))

    def flush(self) -> None:
        sys.stderr.flush()


def to_page(notebook: str, title: str) -> str:
    """HTML of an executed notebook (JSON) that needs nothing from the network."""
    exporter = HTMLExporter(template_name="lab", raw_template=_PAGE, embed_images=True)
    node = nbformat.reads(notebook, as_version=4)
    node.metadata["title"] = title
    return exporter.from_notebook_node(node)[0]


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _withdraw(*paths: Path) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
