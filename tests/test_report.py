"""The report shows everything of a run, and nothing that is not of it, on one page that loads nothing."""

import datetime
import json
from html.parser import HTMLParser

import nbformat
import numpy as np
import pandas as pd
import pytest
from test_figure_files import drawn

from valuestab_utils import report
from valuestab_utils.errors import ValuestabError
from valuestab_utils.figure_files import load_figures, save_figure, skip_figure
from valuestab_utils.report import main, write_report
from valuestab_utils.report_page import SHOWN_ROWS, notebook_html, notebook_title, read_table
from valuestab_utils.report_parts import is_own_wording

EVIL = "<script>alert('x')</script> & \"quotes\""
ABOUT = {
    "sample": "5 personas",
    "wording": "PVQ-40, published wording",
    "models": "m (hub, revision 1, float32)",
    "package_version": "1.0",
    "git_commit": "abc",
    "date": "2025-01-31",
}
VOID = {"meta", "img", "br", "hr", "input", "col", "wbr", "area"}


class Page(HTMLParser):
    """Elements with their attributes, text by article, and whether all that is opened is closed."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.articles, self.open, self.article = [], {}, [], ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)
        if tag in ("article", "section", "nav"):
            self.article = dict(attributes).get("id") or tag

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.articles[self.article] = self.articles.get(self.article, "") + " " + " ".join(data.split())

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def write_notebook(folder, name, *outputs, state="", times=None):
    folder.mkdir(parents=True, exist_ok=True)
    cells = [
        nbformat.v4.new_markdown_cell(f"# Is {name} stable?\n\n## A part"),
        nbformat.v4.new_code_cell("print('code')", outputs=list(outputs), execution_count=1),
    ]
    book = nbformat.v4.new_notebook(cells=cells)
    book.metadata["papermill"] = times or {}
    nbformat.write(book, folder / f"{name}{state}.ipynb")
    return book


def display(**data):
    return nbformat.v4.new_output(
        "display_data", {key.replace("_", "/"): value for key, value in data.items()}
    )


@pytest.fixture
def run(tmp_path):
    """A complete run: one figure drawn, one skipped, the rest tables."""
    figures, output = tmp_path / "figures" / "quick", tmp_path / "output" / "quick"
    for name, entry in load_figures().items():
        if not (output / f"{entry.notebook}.ipynb").exists():
            write_notebook(output, entry.notebook)
        if name == "figure_10":
            skip_figure(name, figures, "The profile has <one> topic.")
        else:
            figure = drawn() if name == "figure_4a" else None
            save_figure(figure, pd.DataFrame({"r": [0.12345]}), name, figures, f"{name} is at 0.12.", ABOUT)
    (figures / "summary.json").write_text(json.dumps({"lines": ["Stability is 0.1.", "Controls: 0."]}))
    return figures, output


def page_of(run):
    path = write_report("quick", *run)
    assert path == run[1] / "report.html"
    return Page(path.read_text(encoding="utf-8"))


def test_every_figure_stands_there_with_question_answer_data_and_origin(run):
    page = page_of(run)
    figures = load_figures()
    ids = [a["id"] for a in page.all("article")]
    assert ids == list(figures)  # in the registry's order
    for name in set(figures) - {"figure_10"}:
        said = page.articles[name]
        expected = [
            figures[name].asked,
            figures[name].notebook,
            f"{name} is at 0.12.",
            f"{name}.csv",
            "0.123",
        ]
        for part in [*expected, *ABOUT.values()]:
            assert part in said
    assert "Stability is 0.1." in page.articles["summary"]
    assert f"{len(figures) - 1} made, 1 not part of this run, 0 missing" in page.articles["summary"]
    assert "incomplete" not in page.articles and "wording" not in page.articles


def test_picture_is_in_the_page_and_says_what_it_shows(run):
    (picture,) = page_of(run).all("img")
    assert picture["src"].startswith("data:image/png;base64,iVBOR")
    assert picture["alt"] == "figure_4a is at 0.12."
    assert int(picture["width"]) == 2 * int(picture["height"])


def test_skipped_figure_says_why(run):
    page = page_of(run)
    assert "Not part of this run. The profile has <one> topic." in " ".join(
        page.articles["figure_10"].split()
    )


def test_links_lead_to_places_on_the_page_and_ids_are_unique(run):
    page = page_of(run)
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    assert {a["href"] for a in page.all("a")} <= {f"#{name}" for name in ids}
    assert [a["for"] for a in page.all("label")] == [a["id"] for a in page.all("input")]


def test_nothing_is_loaded_or_run(run):
    figures, output = run
    html = (
        "<style>body{display:none}</style><script src='https://a.b/c.js'>1 < 2</script>"
        "<svg><image href='x'/></svg>"
        "<img src='https://a.b/c.png'><link rel='stylesheet' href='https://a.b/c.css'>"
        "<iframe src='//a.b'></iframe>"
        "<a href='javascript:x()' id='contents' onclick='x()'>kept</a></div></section>"
        "<p style='background:url(https://a.b)'>styled</p>"
    )
    write_notebook(
        output, "01_conversations", display(text_html=html), display(application_javascript="alert(1)")
    )
    text = write_report("quick", figures, output).read_text(encoding="utf-8")
    page = Page(text)
    assert not {"script", "link", "iframe", "svg"} & {tag for tag, _ in page.elements}
    assert len(page.all("style")) == 1 and "@import" not in text and "url(" not in text
    assert all(a["src"].startswith("data:") for a in page.all("img"))
    assert not any(key.startswith("on") for _, a in page.elements for key in a)
    assert "default-src 'none'" in page.all("meta")[2]["content"]
    assert "kept" in text and "styled" in text and "javascript:" not in text


def test_data_is_escaped(run):
    figures, output = run
    save_figure(
        drawn(), pd.DataFrame({EVIL: [EVIL]}), "figure_11", figures, EVIL, {"wording": EVIL}, text=EVIL
    )
    skip_figure("figure_5", figures, EVIL)
    (figures / "summary.json").write_text(json.dumps({"lines": [EVIL]}))
    write_notebook(output, "02_pvq", nbformat.v4.new_output("stream", text=EVIL))
    text = write_report(EVIL, figures, output).read_text(encoding="utf-8")
    page = Page(text)
    assert not page.all("script")
    assert page.articles["figure_11"].count("<script>alert('x')</script>") >= 5
    assert any(a["alt"] == EVIL for a in page.all("img"))
    assert text.count("alert(&#39;x&#39;)") + text.count("alert('x')") > 6


def test_own_wording_is_told_in_a_box(run):
    own = "PVQ-40, portraits written for this project (NOT the published wording)"
    save_figure(
        None, pd.DataFrame({"r": [1]}), "values", run[0], "x", ABOUT | {"wording": f"{own}; Donation"}
    )
    page = page_of(run)
    assert own in page.articles["wording"] and "Donation" not in page.articles["wording"]
    assert is_own_wording(own) and not is_own_wording("PVQ-40, published wording")


def test_own_wording_is_recognised_in_the_questionnaires_own_label():
    from valuestab_utils.instruments import load_pvq40

    assert is_own_wording(load_pvq40("project").label)


def test_missing_figure_makes_the_run_incomplete(run):
    for path in run[0].glob("figure_9.*"):
        path.unlink()
    page = page_of(run)
    assert f"1 of {len(load_figures())} figures and tables were not made: Figure 9." in page.articles["incomplete"]
    assert "Not made in this run." in page.articles["figure_9"]
    assert "(incomplete)" in write_report("quick", *run).read_text(encoding="utf-8").split("</title>")[0]


def test_old_picture_without_record_is_not_shown(run):
    (run[0] / "figure_4a.json").unlink()
    page = page_of(run)
    assert page.all("img") == [] and "Figure 4a" in page.articles["incomplete"]


def test_file_that_is_gone_is_told(run):
    (run[0] / "figure_4a.png").unlink()
    page = page_of(run)
    assert "Caution: The file figure_4a.png is not there any more." in " ".join(
        page.articles["figure_4a"].split()
    )
    assert "Look at the cautions beside Figure 4a." in page.articles["incomplete"]


def test_failed_notebook_never_looks_finished(run):
    _, output = run
    (output / "04_downstream.ipynb").unlink()
    error = nbformat.v4.new_output(
        "error", ename="ValueError", evalue="no", traceback=["ValueError: no <such>"]
    )
    write_notebook(output, "04_downstream", error, state=".failed")
    (output / "05_pca.ipynb").unlink()
    page = page_of(run)
    assert "The notebook 04_downstream failed." in page.articles["incomplete"]
    assert "The notebook 05_pca was not executed in this run." in page.articles["incomplete"]
    assert "this may be from an earlier run" in page.articles["figure_8a"]
    assert "this may be from an earlier run" in page.articles["figure_12"]
    assert "Caution" not in page.articles["figure_4a"]
    assert "FAILED" in page.articles["notebooks"] and "ValueError: no <such>" in page.articles["notebooks"]
    (opened,) = [a for a in page.all("details") if a.get("class") == "book" and "open" in a]
    assert opened["id"] == "notebook-04_downstream"


@pytest.mark.parametrize(
    ("start", "end", "told"),
    [(-2, -1, "after the notebook was executed"), (1, 2, "before the notebook was executed"), (-1, 1, "")],
)
def test_figures_of_another_execution_are_told(run, start, end, told):
    now = datetime.datetime.now(datetime.UTC)
    times = {
        key: (now + datetime.timedelta(hours=hours)).isoformat()
        for key, hours in (("start_time", start), ("end_time", end))
    }
    write_notebook(run[1], "05_pca", times=times)
    said = page_of(run).articles["figure_12"]
    assert (told in said) if told else ("Caution" not in said)


def test_figures_of_different_code_are_told(run):
    save_figure(None, pd.DataFrame({"r": [1]}), "values", run[0], "x", ABOUT | {"git_commit": "def"})
    assert "made by 2 states of the code: abc, def" in page_of(run).articles["incomplete"]


def test_run_without_summary_is_incomplete(run):
    (run[0] / "summary.json").unlink()
    assert "There is no summary" in page_of(run).articles["incomplete"]
    (run[0] / "summary.json").write_text("{half")
    with pytest.raises(ValuestabError, match="summary.json cannot be read"):
        write_report("quick", *run)


def test_no_figures_at_all(tmp_path):
    with pytest.raises(ValuestabError, match="'smoke' has no figures in .*make reproduce"):
        write_report("smoke", tmp_path / "nowhere", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_page_appears_whole_or_not_at_all(run, monkeypatch):
    (run[1] / "report.html").write_text("old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(report.os, "replace", full)
    with pytest.raises(ValuestabError, match="report.html cannot be written .No space left on device"):
        write_report("quick", *run)
    assert (run[1] / "report.html").read_text() == "old"
    assert not list(run[1].glob(".report*"))


def test_notebook_that_cannot_be_read(run):
    (run[1] / "02_pvq.ipynb").write_text("{half")
    with pytest.raises(ValuestabError, match="02_pvq.ipynb cannot be read .*: run 02_pvq again"):
        write_report("quick", *run)


def test_first_rows_of_a_long_table_rounded(tmp_path):
    n = SHOWN_ROWS + 7
    values = np.full(n, 0.123456)
    values[0], values[1], values[2] = np.nan, 0.00001234, 2
    whole = [np.nan, *range(1, n)]
    frame = pd.DataFrame(
        {"persona": ["None", "2_4", *["x, y"] * (n - 2)], "r": values, "n": whole, "mixed": "1.5"}
    )
    frame.loc[3, "mixed"] = "1.50 m"
    frame.to_csv(tmp_path / "t.csv", index=False)
    table = read_table(tmp_path / "t.csv")
    assert (table.columns, table.n_rows, len(table.rows)) == (("persona", "r", "n", "mixed"), n, SHOWN_ROWS)
    assert table.numeric == (False, True, True, False)
    assert table.rows[:4] == (
        ("None", "–", "–", "1.5"),
        ("2_4", "1e-05", "1", "1.5"),
        ("x, y", "2.000", "2", "1.5"),
        ("x, y", "0.123", "3", "1.50 m"),
    )


def test_table_without_rows(tmp_path):
    (tmp_path / "t.csv").write_text("model,r\n")
    table = read_table(tmp_path / "t.csv")
    assert (table.columns, table.rows, table.n_rows) == (("model", "r"), (), 0)


def test_long_table_says_how_many_rows_there_are(run):
    save_figure(None, pd.DataFrame({"r": range(100)}), "values", run[0], "x", ABOUT)
    said = page_of(run).articles["values"]
    assert "Data: 100 rows, values.csv" in said and "The first 60 of 100 rows." in said


def test_notebook_without_what_looks_bad(tmp_path):
    bar = "Asking: 100%|██████████| 50/50 [00:00<00:00, 13691.66item/s]"
    book = write_notebook(
        tmp_path,
        "01_x",
        display(text_plain=bar),
        nbformat.v4.new_output(
            "stream", name="stderr", text=f"\r  0%|  | 0/9 [00:00<?]\r{bar}\nkept warning\n"
        ),
        nbformat.v4.new_output(
            "display_data", {"application/vnd.jupyter.widget-view+json": {}, "text/plain": "HBox()"}
        ),
        display(text_html="<table border='1' id='a'><tr><td>0.5</td></tr></table>"),
        nbformat.v4.new_output("execute_result", {"text/plain": "50% | of it"}, execution_count=1),
    )
    before = nbformat.writes(book)
    html = notebook_html(book)
    assert nbformat.writes(book) == before  # the notebook itself is untouched
    assert notebook_title(book) == "Is 01_x stable?"
    assert "Asking" not in html and "0/9" not in html and "HBox" not in html
    assert "kept warning" in html and "50% | of it" in html
    assert '<div class="scroll"><table>' in html and " id=" not in html
    assert "<h4>Is 01_x stable?</h4>" in html and "<h5>A part</h5>" in html and "<h1" not in html
    Page(html)


def test_command(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(report, "ROOT", tmp_path)
    assert main(["--profile", "quick"]) == 0
    assert capsys.readouterr().out.endswith("output/quick/report.html in a browser.\n")
    assert main(["--profile", "smoke"]) == 1
    assert "'smoke' has no figures" in capsys.readouterr().err
    assert main(["--profile", "smoke", "n_personas=2", "results_dir=x"]) == 1
    assert "'smoke-n_personas=2' has no figures" in capsys.readouterr().err
    assert main(["n_persons=2"]) == 1
    assert "Did you mean 'n_personas'" in capsys.readouterr().err
    assert main(["--profile", "quik"]) == 1
    assert "Did you mean 'quick'" in capsys.readouterr().err
