"""Execute one notebook, such that a failed or interrupted one never looks finished."""

import contextlib
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from valuestab_utils.paths import ROOT

# Before Jupyter looks for kernels: one that the user installed under the same name must not run the
# notebooks.
os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
# What the notebooks' processes inherit: this very package, and no warning of the debugger about frozen
# modules.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")

import nbformat
import papermill
from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
from nbclient.exceptions import DeadKernelError
from nbconvert import HTMLExporter
from papermill.exceptions import PapermillExecutionError
from papermill.iorw import papermill_io

from valuestab_utils.errors import ValuestabError
from valuestab_utils.progress import mirror
from valuestab_utils.redaction import redact, redact_json

_KERNEL = "python3"
# The template's scripts come from the network, and serve formulas and diagrams only: the page does without
# them.
_PAGE = """{%- extends 'index.html.j2' -%}
{%- block html_head_js -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
"""


def execute(notebook: Path, parameters: Mapping[str, object], output: Path) -> None:
    """Execute one notebook in its own folder; ``output`` and a page (.html) appear only if it succeeds.

    Those of an earlier execution stay until this one has succeeded or failed (an interruption is neither).
    Its progress bars are shown on this process' standard error too. Secrets of the environment that it prints are
    written as ``***`` (see `valuestab_utils.redaction`).

    Parameters
    ----------
    notebook : path
    parameters : mapping
        Values for the notebook's parameters.
    output : path
        The executed copy. A failed one is kept as ``NAME.failed.ipynb`` instead.

    Raises
    ------
    ValuestabError
        If the notebook fails, in the notebook's own words where it raised a ValuestabError itself.
    """
    _remove_unfinished(output)
    running = output.absolute().with_name(f".{output.stem}.{os.getpid()}.ipynb")
    failed = output.with_name(f"{output.stem}.failed.ipynb")
    papermill_io.register(str(running), _Redacting)
    try:
        with mirror(sys.stderr):
            papermill.execute_notebook(
                notebook,
                running,
                dict(parameters),
                kernel_name=_KERNEL,
                language="python",
                cwd=notebook.parent,
                progress_bar=False,
                start_timeout=300,  # for a machine that is busy otherwise
                extra_arguments=[
                    "--IPKernelApp.log_level=CRITICAL"
                ],  # it would log, among others, each interruption
            )
        page = running.with_suffix(".html")
        page.write_text(redact(to_page(running, title=output.stem)), encoding="utf-8")
        os.replace(page, output.with_suffix(".html"))
        os.replace(running, output)
        failed.unlink(missing_ok=True)
    except PapermillExecutionError as error:
        withdraw(output, output.with_suffix(".html"))
        os.replace(running, failed)
        if error.ename == ValuestabError.__name__:
            raise ValuestabError(error.evalue) from error
        said = redact(" ".join(f"{error.ename}: {error.evalue}".split()))[:300]  # a secret must not be cut first
        raise ValuestabError(
            f"{notebook.name} failed in its cell [{error.exec_count}] with {said} (all of it is in {failed})."
        ) from error
    except DeadKernelError as error:
        withdraw(output, output.with_suffix(".html"))
        raise ValuestabError(
            f"The process that ran {notebook.name} died, probably for want of memory: free some, or choose a "
            "smaller model or profile; the same command goes on where it was."
        ) from error
    except OSError as error:
        withdraw(output, output.with_suffix(".html"))
        raise ValuestabError(
            f"{output} could not be written ({error.strerror or error}): make room or name another folder "
            "(--output)."
        ) from error
    finally:
        running.unlink(missing_ok=True)
        running.with_suffix(".html").unlink(missing_ok=True)


class _Redacting:
    """How papermill writes the running notebook, each of its states: without secrets."""

    @staticmethod
    def write(content: str, path: str) -> None:
        Path(path).write_text(redact_json(content), encoding="utf-8")

    @staticmethod
    def pretty_path(path: str) -> str:
        return path


def _remove_unfinished(output: Path) -> None:
    """Take away what processes that were killed left of this notebook, but not what another writes at the moment."""
    left = [path for ending in ("ipynb", "html") for path in output.parent.glob(f".{output.stem}.*.{ending}")]
    for path in left:
        if not _is_running(path.suffixes[-2]):
            path.unlink(missing_ok=True)


def withdraw(*paths: Path) -> None:
    """Remove what an earlier success left: it must not stand for an execution that failed."""
    with contextlib.suppress(OSError):  # what cannot be removed must not hide why it failed
        for path in paths:
            path.unlink(missing_ok=True)


def to_page(notebook: Path, title: str) -> str:
    """HTML of an executed notebook that needs nothing from the network."""
    exporter = HTMLExporter(template_name="lab", raw_template=_PAGE, embed_images=True)
    node = nbformat.read(notebook, as_version=4)
    node.metadata["title"] = title
    return exporter.from_notebook_node(node)[0]


def check_kernel() -> None:
    """See to it that notebooks run in this very environment.

    Raises
    ------
    ValuestabError
        If Jupyter would take another interpreter.

    Examples
    --------
    >>> check_kernel()
    """
    try:
        python = KernelSpecManager().get_kernel_spec(_KERNEL).argv[0]
    except NoSuchKernel:
        python = "nothing"
    if re.fullmatch(r"python(3(\.\d+)?)?", python):
        return  # Jupyter puts its own interpreter there
    # The folder, since python and python3 lie side by side; not the file, whose link leads out of the
    # environment.
    if Path(python).parent.resolve() != Path(sys.executable).parent.resolve():
        raise ValuestabError(
            f"The Jupyter kernel {_KERNEL!r} runs {python} instead of {sys.executable}: unset JUPYTER_PATH, "
            "or install the requirements again (rm -r .venv; make env)."
        )


def _is_running(process: str) -> bool:
    try:
        os.kill(int(process.removeprefix(".")), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:  # another user's
        pass
    return True
