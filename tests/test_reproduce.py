"""The driver of the notebooks, on tiny ones."""

import ast
import io
import json
import os
import re
import signal
import subprocess
import sys
import time

import nbformat
import pytest

from valuestab_utils import reproduce as driver
from valuestab_utils.errors import ValuestabError
from valuestab_utils.execution import check_kernel, execute
from valuestab_utils.paths import ROOT
from valuestab_utils.reproduce import reproduce


def write_notebook(folder, name, *cells, parameters="seed = 1"):
    tagged = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    book = nbformat.v4.new_notebook(cells=[tagged, *map(nbformat.v4.new_code_cell, cells)])
    book.metadata["kernelspec"] = {"name": "python3", "language": "python", "display_name": "Python 3"}
    folder.mkdir(exist_ok=True)
    nbformat.write(book, folder / f"{name}.ipynb")
    return folder / f"{name}.ipynb"


def printed(path):
    cells = nbformat.read(path, as_version=4).cells
    return "".join(
        output.get("text", "") for cell in cells if cell.cell_type == "code" for output in cell.outputs
    )


@pytest.fixture
def notebooks(tmp_path):
    return tmp_path / "notebooks"


@pytest.fixture
def run(tmp_path, notebooks):
    def run(names=(), **given):
        return reproduce(given, tmp_path / "output", tmp_path / "summary.json", notebooks, names)

    return run


def test_notebooks_run_in_order_and_say_what_was_found(tmp_path, notebooks, run, capsys):
    write_notebook(notebooks, "01_first", "import sys, os\nprint([seed, topic], sys.executable, os.getcwd())",
                   parameters='seed = 1\ntopic = "joke"')  # fmt: skip
    summary = json.dumps({"lines": ["Stability is 0.1.", "Chance is 0.0."]})
    write_notebook(
        notebooks, "02_second", f"open({str(tmp_path / 'summary.json')!r}, 'w').write({summary!r})"
    )
    write_notebook(notebooks, "draft", "1/0")  # not NN_name: not one of them
    lines = run(seed="7", topic="0_1")
    output = tmp_path / "output"
    assert lines[:2] == ["Stability is 0.1.", "Chance is 0.0."]
    assert re.fullmatch(r"Open (\S*output/02_second.html) in a browser.", lines[2])
    assert printed(output / "01_first.ipynb") == f"[7, '0_1'] {sys.executable} {notebooks}\n"
    assert {path.name for path in output.iterdir()} == {
        f"{name}.{ending}" for name in ("01_first", "02_second") for ending in ("ipynb", "html")
    }
    page = (output / "01_first.html").read_text()
    assert "[7, '0_1']" in page
    assert not re.search(r"<(script|link|img)[^>]*(src|href)=.?https?:|\bimport\(", page)
    assert "[2/2] 02_second: done" in capsys.readouterr().err


def test_nothing_runs_if_a_name_or_value_is_wrong(tmp_path, notebooks, run):
    write_notebook(notebooks, "01_first", "open('ran', 'w')")
    with pytest.raises(ValuestabError, match="Unknown parameter 'sed'. Did you mean 'seed'"):
        run(sed="2")
    with pytest.raises(ValuestabError, match="'seed' takes a whole number such as 1; '2_4' is text"):
        run(seed="2_4")
    with pytest.raises(ValuestabError, match="Unknown notebook '01_frist'. Did you mean '01_first'"):
        run(names=["01_frist"])
    assert not (notebooks / "ran").exists()
    assert not (tmp_path / "output").exists()


def finished(tmp_path, notebooks, run):
    """Two notebooks that say which files are there while the first runs, and a whole run of them with its report."""
    listing = f"import os, pathlib\nprint(sorted(os.listdir({str(tmp_path / 'output')!r})))"
    write_notebook(notebooks, "01_first", listing, parameters="fail = False")
    summary = f"pathlib.Path({str(tmp_path / 'summary.json')!r}).write_text('{{\"lines\": [\"Found.\"]}}')"
    write_notebook(notebooks, "02_second", "import pathlib\nassert not fail", summary, parameters="fail = False")
    run()
    (tmp_path / "output" / "report.html").touch()
    (tmp_path / "figure_4a.json").touch()  # a figure's record
    return {f"{name}.{ending}" for name in ("01_first", "02_second") for ending in ("ipynb", "html")}


def files(folder):
    return {path.name for path in folder.iterdir() if path.is_file()}


def test_nothing_of_a_run_goes_before_its_successor_is_there(tmp_path, notebooks, run):
    pages = finished(tmp_path, notebooks, run)
    output = tmp_path / "output"
    run()
    while_the_first_ran = ast.literal_eval(printed(output / "01_first.ipynb"))
    assert {*pages, "report.html"} < set(while_the_first_ran)
    assert files(tmp_path) == {"summary.json", "figure_4a.json"}
    first = (output / "01_first.html").stat().st_mtime_ns
    run(names=["02_second"])
    assert files(output) == {*pages, "report.html"} and (output / "01_first.html").stat().st_mtime_ns == first


def test_failed_notebook_takes_the_place_of_its_own_success_and_of_what_was_found(tmp_path, notebooks, run):
    pages = finished(tmp_path, notebooks, run)
    output = tmp_path / "output"
    with pytest.raises(ValuestabError, match="02_second.ipynb failed"):
        run(names=["02_second"], fail="true")
    assert files(output) == {"01_first.ipynb", "01_first.html", "02_second.failed.ipynb"}
    assert files(tmp_path) == {"figure_4a.json"}
    run()
    assert files(output) == pages


def test_failed_notebook_does_not_look_finished(tmp_path, notebooks, run):
    write_notebook(notebooks, "01_first", "print('so far')\n1 / 0")
    write_notebook(notebooks, "02_second", "open('ran', 'w')")
    output = tmp_path / "output"
    output.mkdir()
    for old in ("01_first.ipynb", "01_first.html", ".01_first.999999999.ipynb"):
        (output / old).touch()
    with pytest.raises(ValuestabError) as caught:
        run()
    assert str(caught.value) == (
        "01_first.ipynb failed in its cell [2] with ZeroDivisionError: division by zero "
        f"(all of it is in {output / '01_first.failed.ipynb'})."
    )
    assert files(output) == {"01_first.failed.ipynb"}
    assert "so far" in printed(output / "01_first.failed.ipynb")
    assert not (notebooks / "ran").exists()


def test_command_says_a_notebooks_own_sentence_alone_and_exits_with_1(
    tmp_path, notebooks, monkeypatch, capsys
):
    raising = (
        "from valuestab_utils.errors import ValuestabError\nraise ValuestabError('Unknown topic: say joke.')"
    )
    write_notebook(notebooks, "01_first", raising, parameters='profile = "quick"')
    monkeypatch.setattr(driver, "prepare_model", lambda *_: "run")
    monkeypatch.setattr(driver.reproduce, "__defaults__", (notebooks, (), "stability"))
    assert driver.main(["--profile", "smoke", "--output", str(tmp_path / "output")]) == 1
    assert capsys.readouterr().err.splitlines()[1:] == ["Unknown topic: say joke."]


def test_changed_parameters_give_a_run_of_its_own(monkeypatch):
    called = {}

    def note(given, output, summary, names, paper):
        called.update(output=output, figures=summary.parent)
        return ["Open x in a browser."]

    monkeypatch.setattr("valuestab_utils.embedded.ensure_embedded_model", lambda: None)
    monkeypatch.setattr(driver, "reproduce", note)
    assert driver.main(["--profile", "smoke", "--notebooks", "02_pvq", "--", "n_personas=2", "results_dir=x"]) == 0
    assert called == {name: ROOT / name / "smoke-n_personas=2" for name in ("output", "figures")}


def test_missing_summary_is_an_error_and_nothing_is_invented(notebooks, run):
    write_notebook(notebooks, "01_first", "pass")
    with pytest.raises(ValuestabError, match="what was found could not be read from .*summary.json"):
        run()


def test_full_disk_is_told_and_leaves_no_half_file(tmp_path, notebooks, monkeypatch):
    notebook = write_notebook(notebooks, "01_first", "pass")

    def full(*_, **__):
        (tmp_path / f".01_first.{os.getpid()}.ipynb").write_text("{half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("valuestab_utils.execution.papermill.execute_notebook", full)
    (tmp_path / "01_first.html").touch()
    with pytest.raises(ValuestabError, match="could not be written .No space left on device"):
        execute(notebook, {}, tmp_path / "01_first.ipynb")
    assert list(tmp_path.iterdir()) == [notebooks]


def test_notebook_whose_process_dies(tmp_path, notebooks):
    notebook = write_notebook(notebooks, "01_first", "import os\nos.kill(os.getpid(), 9)")
    (tmp_path / "01_first.html").touch()
    with pytest.raises(ValuestabError, match="The process that ran 01_first.ipynb died"):
        execute(notebook, {}, tmp_path / "01_first.ipynb")
    assert list(tmp_path.iterdir()) == [notebooks]


def test_files_of_a_running_process_are_left_alone(tmp_path, notebooks):
    notebook = write_notebook(notebooks, "01_first", "pass")
    for process in (os.getppid(), 999999999):
        (tmp_path / f".01_first.{process}.html").touch()
    execute(notebook, {}, tmp_path / "01_first.ipynb")
    assert files(tmp_path) == {"01_first.ipynb", "01_first.html", f".01_first.{os.getppid()}.html"}


def test_progress_is_shown_in_the_notebook_and_in_the_log(tmp_path, notebooks, monkeypatch):
    work = "from valuestab_utils.progress import progress\n"
    work += "for _ in progress(range(200), desc='Asking', unit='item'): pass"
    notebook = write_notebook(notebooks, "01_first", work)
    monkeypatch.setattr("sys.stderr", log := io.StringIO())
    execute(notebook, {}, tmp_path / "01_first.ipynb")
    cell = nbformat.read(tmp_path / "01_first.ipynb", as_version=4).cells[-1]
    (bar,) = cell.outputs  # one output, updated in place
    assert re.match(r"Asking: 100%.* 200/200 \[", bar.data["text/plain"])
    lines = log.getvalue().splitlines()
    assert re.match(r"Asking: 100%.* 200/200 \[", lines[-1])
    assert len(lines) <= 11


def test_ctrl_c_ends_with_one_sentence_and_no_process_left(tmp_path, notebooks):
    started = tmp_path / "kernel"
    sleeping = f"import os, time\nopen({str(started)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)"
    write_notebook(notebooks, "01_first", sleeping, parameters='profile = "quick"')
    program = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "  # it may be ignored here
        "from pathlib import Path; from valuestab_utils import reproduce as d; "
        f"d.prepare_model = lambda *_: 'run'; d.reproduce.__defaults__ = (Path({str(notebooks)!r}), (), 'stability'); "
        f"sys.exit(d.main(['--output', {str(tmp_path / 'output')!r}]))"
    )
    process = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    for _ in range(1200):  # a busy machine takes long to start a kernel
        if started.exists() and started.read_text():
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert said.splitlines()[1:] == ["Interrupted; the same command goes on where it was."]
    assert list((tmp_path / "output").iterdir()) == []
    with pytest.raises(ProcessLookupError):
        os.kill(int(started.read_text()), 0)


def test_kernel_of_another_environment_is_refused_or_passed_over(tmp_path, monkeypatch):
    spec = {
        "argv": ["/elsewhere/bin/python", "-m", "ipykernel_launcher"],
        "display_name": "x",
        "language": "python",
    }
    folder = tmp_path / "kernels" / "python3"
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path))  # the user's own kernels: passed over
    check_kernel()
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    with pytest.raises(
        ValuestabError, match="kernel 'python3' runs /elsewhere/bin/python instead of .*JUPYTER_PATH"
    ):
        check_kernel()
