"""The driver of the notebooks, on tiny ones."""

import ast
import json
import re
import sys

import nbformat
import pytest

from valuestab_utils.errors import ValuestabError
from valuestab_utils.run import reproduce as driver
from valuestab_utils.run.reproduce import reproduce
from valuestab_utils.study import study

PARAMETERS = 'profile = "quick"\nmodel = None\nchanges = {}'
RUN = "smoke-n_personas=2"


def write_notebook(folder, name, *cells):
    tagged = nbformat.v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})
    book = nbformat.v4.new_notebook(cells=[tagged, *map(nbformat.v4.new_code_cell, cells)])
    book.metadata["kernelspec"] = {"name": "python3", "language": "python", "display_name": "Python 3"}
    nbformat.write(book, folder / f"{name}.ipynb")


def printed(path):
    cells = nbformat.read(path, as_version=4).cells
    outputs = [output for cell in cells if cell.cell_type == "code" for output in cell.outputs]
    return "".join(output.text for output in outputs if output.output_type == "stream")


def files(folder):
    return {path.name for path in folder.iterdir() if path.is_file()}


def pages_of(*names):
    return {f"{name}.{ending}" for name in names for ending in ("ipynb", "html")}


PAGES = pages_of("01_first", "02_second")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs the notebooks in tmp_path for a small study."""
    monkeypatch.setattr(driver, "ensure_embedded_model", lambda: None)
    for module in (driver, study):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(driver, "NOTEBOOKS", tmp_path)
    return lambda names=(), **changes: reproduce("smoke", None, {"n_personas": 2} | changes, names=names)


@pytest.fixture
def finished(tmp_path, run):
    """A whole run of two notebooks, the first of which says which files are there; gives what was said at its end."""
    output, figures = tmp_path / "output" / RUN, tmp_path / "figures" / RUN
    listing = f"import os, sys\nprint([changes, sys.executable, *os.listdir({str(output)!r})])"
    write_notebook(tmp_path, "01_first", "import os", f"os.makedirs({str(output)!r}, exist_ok=True)", listing)
    summary = f"open({str(figures / 'summary.json')!r}, 'w').write({json.dumps({'lines': ['Found.']})!r})"
    fails = f"import os\nassert not os.path.exists({str(tmp_path / 'fail')!r})"
    write_notebook(tmp_path, "02_second", fails, f"os.makedirs({str(figures)!r}, exist_ok=True)", summary)
    write_notebook(tmp_path, "draft", "1/0")  # not NN_name: not one of them
    return run()


def test_notebooks_run_in_order_and_say_what_was_found(tmp_path, finished):
    output = tmp_path / "output" / RUN
    assert finished[0] == "Found." and f"output/{RUN}/report.html" in finished[1]
    assert ast.literal_eval(printed(output / "01_first.ipynb"))[:2] == [{"n_personas": 2}, sys.executable]
    assert files(output) == PAGES | {"report.html"}
    page = (output / "01_first.html").read_text()
    assert "n_personas" in page
    assert not re.search(r"<(script|link|img)[^>]*(src|href)=.?https?:|\bimport\(", page)  # it opens without network


@pytest.mark.parametrize("wrong", [{"n_persona": 2}, {"names": ["01_frist"]}, {"experiments": ["structure"]}])
def test_nothing_runs_if_a_name_or_value_is_wrong(tmp_path, run, wrong):
    write_notebook(tmp_path, "01_first", "1/0")
    with pytest.raises(ValuestabError, match="Did you mean|structure|take others"):
        run(**wrong)
    assert files(tmp_path) == {"01_first.ipynb"} and not (tmp_path / "output").exists()


def test_nothing_of_a_run_goes_before_its_successor_is_there(tmp_path, finished, run):
    output = tmp_path / "output" / RUN
    (tmp_path / "figures" / RUN / "figure_4a.txt").touch()
    run()
    assert {*PAGES, "report.html"} < set(map(str, ast.literal_eval(printed(output / "01_first.ipynb"))))
    assert files(tmp_path / "figures" / RUN) == {"summary.json", "figure_4a.txt"}
    first = (output / "01_first.html").stat().st_mtime_ns
    run(names=["02_second"])
    assert files(output) == {*PAGES, "report.html"} and (output / "01_first.html").stat().st_mtime_ns == first


def test_failed_notebook_takes_the_place_of_its_own_success_and_of_what_was_found(tmp_path, finished, run):
    output = tmp_path / "output" / RUN
    (tmp_path / "fail").touch()
    with pytest.raises(ValuestabError, match=r"02_second.ipynb failed in its cell \[3\] with AssertionError"):
        run(names=["02_second"])
    assert files(output) == pages_of("01_first") | {"02_second.failed.ipynb"}
    assert files(tmp_path / "figures" / RUN) == set()
    (tmp_path / "fail").unlink()
    run()
    assert files(output) == PAGES | {"report.html"}


def test_bars_are_shown_in_the_log_and_kept_in_their_last_state(tmp_path, run, capsys):
    work = "from valuestab_utils.study import progress\nfor _ in progress(range(200), desc='Asking'): pass"
    write_notebook(tmp_path, "01_first", f"import os\nos.makedirs({str(tmp_path / 'figures' / RUN)!r})", work)
    run()
    assert 1 <= capsys.readouterr().err.count("Asking") <= 2
    assert "200/200" in printed(tmp_path / "output" / RUN / "01_first.ipynb")


def test_a_papers_notebooks_alone_run_and_all_that_is_of_others_stays(tmp_path, finished):
    output, figures = tmp_path / "output" / RUN, tmp_path / "figures" / RUN
    summary = figures / "summary_rozen2025.json"
    write_notebook(tmp_path, "06_third", f"open({str(summary)!r}, 'w').write({json.dumps({'lines': ['19.']})!r})")
    first = {page: (output / page).stat().st_mtime_ns for page in PAGES}
    lines = reproduce("smoke", None, {"n_personas": 2}, "rozen2025")
    assert lines[0] == "19." and files(output) == PAGES | pages_of("06_third") | {"report.html"}
    assert {page: (output / page).stat().st_mtime_ns for page in PAGES} == first
    assert json.loads((figures / "summary.json").read_text()) == {"lines": ["Found."]}
