"""Each paper's notebooks, records and findings are kept apart, and one report has those that a run has."""

import json

import nbformat
import pandas as pd
import pytest
from test_figure_files import drawn
from test_report import ABOUT, Page
from test_report import write_notebook as write_executed
from test_reproduce import write_notebook

from valuestab_utils import reproduce as driver
from valuestab_utils.errors import ValuestabError
from valuestab_utils.figure_files import load_figures, save_figure
from valuestab_utils.papers import FIRST, PAPERS, paper_of, summary_file
from valuestab_utils.paths import ROOT
from valuestab_utils.profiles import PARTS_OF
from valuestab_utils.report import write_report
from valuestab_utils.reproduce import reproduce

BOOKS = {"stability": "01_conversations", "structure": "06_value_structure", "prompting": "07_value_prompting"}


# Which paper something is of


def test_every_notebook_figure_and_command_is_of_one_paper():
    books = sorted(path.stem for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    numbers = [number for paper in PAPERS.values() for number in paper.notebooks]
    assert sorted(numbers) == [book[:2] for book in books]
    assert {name: paper_of(book).name for name, book in BOOKS.items()} == {name: name for name in PAPERS}
    for entry in load_figures().values():
        assert entry.notebook in books
        if entry.name.startswith(("rozen", "yehudai")):
            assert paper_of(entry.notebook).name == ("structure" if entry.name.startswith("rozen") else "prompting")
        else:
            assert paper_of(entry.notebook).name == FIRST
    targets = (ROOT / "Makefile").read_text()
    assert all(f"\n{paper.command.removeprefix('make ')}:" in targets for paper in PAPERS.values())
    assert list(PARTS_OF) == list(PAPERS)


def test_each_paper_has_a_summary_of_its_own_that_its_notebook_writes():
    files = [summary_file(paper) for paper in PAPERS]
    assert files == ["summary.json", "summary_structure.json", "summary_prompting.json"]
    for paper, book in list(BOOKS.items())[1:]:
        source = (ROOT / "notebooks" / f"{book}.ipynb").read_text()
        assert f'paper=\\"{paper}\\"' in source and "study.conclude" in source
    with pytest.raises(KeyError):
        summary_file("rozen")


# Running one paper's notebooks


@pytest.fixture
def run(tmp_path):
    """Runs a paper on tiny notebooks, each of which writes its paper's summary."""
    figures = tmp_path / "figures"
    figures.mkdir()
    for paper, book in BOOKS.items():
        lines = json.dumps({"lines": [f"Found for {paper}.", "Controls."]})
        cell = f"open({str(figures / summary_file(paper))!r}, 'w').write({lines!r})"
        write_notebook(tmp_path / "notebooks", book, cell)

    def run(paper, **asked):
        folders = (tmp_path / "output", figures / summary_file(paper), tmp_path / "notebooks")
        return reproduce({}, *folders, paper=paper, **asked)

    return run


def test_a_papers_notebooks_alone_run_and_all_that_is_of_others_stays(run, tmp_path):
    figures, output = tmp_path / "figures", tmp_path / "output"
    names = ("rozen_figure_2a", "figure_4a", "yehudai_table_1")
    for name in names:
        save_figure(None, pd.DataFrame({"r": [0.5]}), name, figures, "old", ABOUT)
    for paper in PAPERS:
        (figures / summary_file(paper)).write_text(json.dumps({"lines": [f"Old for {paper}.", "x"]}))
    (output).mkdir()
    pages = [f"{book}.html" for book in (*BOOKS.values(), "report")]
    for page in pages:
        (output / page).touch()
    lines = run("structure")
    assert lines[:2] == ["Found for structure.", "Controls."] and "06_value_structure.html" in lines[2]
    assert all(json.loads((figures / f"{name}.json").read_text())["found"] == "old" for name in names)
    summaries = [json.loads((figures / summary_file(paper)).read_text())["lines"][0] for paper in PAPERS]
    assert summaries == ["Old for stability.", "Found for structure.", "Old for prompting."]
    assert sorted(path.name for path in output.glob("*.html")) == pages
    assert [path.name for path in output.glob("*.ipynb")] == ["06_value_structure.ipynb"]


def test_names_of_other_papers_notebooks_and_other_papers_are_refused(run, tmp_path):
    with pytest.raises(ValuestabError, match="notebook '07_value_prompting'"):
        run("structure", names=["07_value_prompting"])
    with pytest.raises(ValuestabError, match="Unknown paper 'structur'. Did you mean 'structure'"):
        reproduce({}, tmp_path / "output", tmp_path / "x.json", tmp_path / "notebooks", paper="structur")
    (tmp_path / "notebooks" / "06_value_structure.ipynb").unlink()
    with pytest.raises(ValuestabError, match="no notebook of the paper 'structure' in .*restore it"):
        run("structure")
    assert not (tmp_path / "output").exists()


def test_the_command_takes_the_paper(monkeypatch, capsys):
    called = {}

    def note(given, output, summary, names, paper):
        called.update(summary=summary.name, paper=paper)
        return ["Found.", "Open x in a browser."]

    monkeypatch.setattr(driver, "prepare_model", lambda *_: "run")
    monkeypatch.setattr(driver, "reproduce", note)
    monkeypatch.setattr(driver, "write_report", lambda run, figures, output: output / "report.html")
    assert driver.main(["--paper", "prompting"]) == 0
    assert called == {"summary": "summary_prompting.json", "paper": "prompting"}
    assert capsys.readouterr().out.endswith("report.html in a browser.\n")
    assert driver.main(["--paper", "yehudai"]) == 1
    assert "paper 'yehudai'" in capsys.readouterr().err


# The report


def record(figures, *names):
    for name in names:
        save_figure(drawn(), pd.DataFrame({"r": [0.12345]}), name, figures, f"{name} is at 0.12.", ABOUT)


def everything_of(paper, figures, output):
    names = [name for name, entry in load_figures().items() if paper_of(entry.notebook).name == paper]
    record(figures, *names)
    for book in {load_figures()[name].notebook for name in names}:
        write_executed(output, book)
    lines = [f"Found for {paper}.", f"Controls of {paper}."]
    (figures / summary_file(paper)).write_text(json.dumps({"lines": lines}))
    return set(names)


@pytest.fixture
def folders(tmp_path):
    return tmp_path / "figures" / "quick", tmp_path / "output" / "quick"


def report(folders):
    return Page(write_report("quick", *folders).read_text(encoding="utf-8"))


def test_a_report_has_the_papers_of_the_run_and_names_the_commands_of_others(folders):
    names = everything_of("structure", *folders)
    page = report(folders)
    assert {a["id"] for a in page.all("article")} == names
    text = " ".join(" ".join(page.articles.values()).split())
    assert "Rozen et al. 2025" in text and f"{len(names)} made, 0 not part of this run, 0 missing" in text
    for paper in ("stability", "prompting"):
        assert f"{PAPERS[paper].citation} is not in this run: {PAPERS[paper].command} adds it." in text
    assert "make structure adds it" not in text
    assert "incomplete" not in page.articles  # what was not asked for is not missing
    assert "Found for structure." in page.articles["summary"]


def test_a_report_puts_the_summaries_of_several_papers_together(folders):
    names = everything_of("prompting", *folders) | everything_of("structure", *folders)
    page = report(folders)
    assert {a["id"] for a in page.all("article")} == names
    said = page.articles["summary"]
    of_papers = [f"{what} {paper}." for paper in ("structure", "prompting") for what in ("Found for", "Controls of")]
    assert sorted(of_papers, key=said.index) == of_papers
    assert "incomplete" not in page.articles


def test_one_figure_of_a_paper_puts_all_of_the_paper_on_the_list_of_what_is_missing(folders):
    everything_of("structure", *folders)
    record(folders[0], "yehudai_table_1")
    page = report(folders)
    missing = sum(paper_of(entry.notebook).name == "prompting" for entry in load_figures().values()) - 1
    assert f"{missing} of " in page.articles["incomplete"] and "07_value_prompting" in page.articles["incomplete"]
    assert "make prompting adds it" not in " ".join(page.articles.values())


def test_a_failed_notebook_of_a_paper_without_figures_is_told(folders):
    everything_of("structure", *folders)
    write_executed(folders[1], "07_value_prompting", nbformat.v4.new_output("stream", text="x"), state=".failed")
    page = report(folders)
    assert "07_value_prompting" in page.articles["incomplete"]
    assert "Found for structure." in page.articles["summary"]


def test_without_anything_the_first_paper_is_what_is_missing(folders):
    folders[0].mkdir(parents=True)
    page = report(folders)
    text = " ".join(" ".join(page.articles.values()).split())
    assert f"{PAPERS[FIRST].command} adds it" not in text and "make structure adds it" in text
    assert "no summary of what was found" in page.articles["incomplete"]
