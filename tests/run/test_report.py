"""The report shows everything of a run, and nothing that is not of it, on one page that loads nothing."""

import datetime
import json
from html.parser import HTMLParser

import nbformat
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from valuestab_utils.prompts import load_questionnaire
from valuestab_utils.run.report import SHOWN_ROWS, read_table, write_report
from valuestab_utils.study.figure_files import load_figures, save_figure, skip_figure

EVIL = "<script>alert('x')</script> & \"quotes\""
ABOUT = {
    "sample": "5 personas", "wording": "PVQ-40, published wording", "models": "m (hub, revision 1, float32)",
    "package_version": "1.0", "git_commit": "abc", "date": "2025-01-31",
}  # fmt: skip
OWN = load_questionnaire("PVQ-40", "project")
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
    return nbformat.v4.new_output("display_data", {key.replace("_", "/"): value for key, value in data.items()})


def save(run, name, frame=None, said="x", **about):
    figure = Figure(figsize=(2, 1)) if name == "figure_4a" else None
    save_figure(figure, pd.DataFrame({"r": [0.12345]}) if frame is None else frame, name, run[0], said, ABOUT | about)


@pytest.fixture
def run(tmp_path):
    """A complete run: one figure drawn, one skipped, the rest tables."""
    figures, output = run = tmp_path / "figures" / "quick", tmp_path / "output" / "quick"
    for name, entry in load_figures().items():
        if not (output / f"{entry.notebook}.ipynb").exists():
            write_notebook(output, entry.notebook)
        if name == "figure_10":
            skip_figure(name, figures, "The profile has <one> topic.")
        else:
            save(run, name, said=f"{name} is at 0.12.")
    (figures / "summary.json").write_text(json.dumps({"lines": ["Stability is 0.1.", "Controls: 0."]}))
    return run


def page_of(run):
    path = write_report("quick", *run)
    assert path == run[1] / "report.html"
    return Page(path.read_text(encoding="utf-8"))


def test_every_figure_stands_there_with_question_answer_data_and_origin(run):
    page = page_of(run)
    figures = load_figures()
    assert [a["id"] for a in page.all("article")] == list(figures)  # in the registry's order
    for name in set(figures) - {"figure_10"}:
        entry = figures[name]
        for part in (entry.asked, entry.notebook, f"{name} is at 0.12.", f"{name}.csv", "0.123", *ABOUT.values()):
            assert part in page.articles[name]
    assert "Not part of this run. The profile has <one> topic." in page.articles["figure_10"].replace("  ", " ")
    assert "Stability is 0.1." in page.articles["summary"]
    assert f"{len(figures) - 1} made, 1 not part of this run, 0 missing" in page.articles["summary"]
    assert "incomplete" not in page.articles and "wording" not in page.articles
    save(run, "values", wording=f"{OWN.label}; Donation")
    own_wording = page_of(run).articles["wording"]
    assert OWN.label in own_wording and "Donation" not in own_wording
    (picture,) = page.all("img")
    assert picture["src"].startswith("data:image/png;base64,iVBOR") and picture["alt"] == "figure_4a is at 0.12."
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids)) and {a["href"] for a in page.all("a")} <= {f"#{name}" for name in ids}


def test_nothing_is_loaded_or_run(run):
    html = (
        "<style>body{display:none}</style><script src='https://a.b/c.js'>1 < 2</script><svg><image href='x'/></svg>"
        "<img src='https://a.b/c.png'><link rel='stylesheet' href='https://a.b/c.css'><iframe src='//a.b'></iframe>"
        "<a href='javascript:x()' id='contents' onclick='x()'>kept</a></div></section>"
        "<p style='background:url(https://a.b)'>styled</p>"
    )
    said = nbformat.v4.new_output("stream", text=EVIL)
    script = display(application_javascript="alert(1)")
    write_notebook(run[1], "01_conversations", display(text_html=html), script, said)
    frame = pd.DataFrame({EVIL: [EVIL]})
    save_figure(Figure(figsize=(2, 1)), frame, "figure_11", run[0], EVIL, {"wording": EVIL}, text=EVIL)
    skip_figure("figure_5", run[0], EVIL)
    (run[0] / "summary.json").write_text(json.dumps({"lines": [EVIL]}))
    text = write_report(EVIL, *run).read_text(encoding="utf-8")
    page = Page(text)
    assert not {"script", "link", "iframe", "svg"} & {tag for tag, _ in page.elements}
    assert len(page.all("style")) == 1 and "@import" not in text and "url(" not in text
    assert all(a["src"].startswith("data:") for a in page.all("img")) and any(a["alt"] == EVIL for a in page.all("img"))
    assert not any(key.startswith("on") for _, a in page.elements for key in a)
    assert "default-src 'none'" in page.all("meta")[2]["content"]
    assert "kept" in text and "styled" in text and "javascript:" not in text
    assert page.articles["figure_11"].count("<script>alert('x')</script>") >= 5


def failed_notebook(run):
    (run[1] / "04_downstream.ipynb").unlink()
    error = nbformat.v4.new_output("error", ename="ValueError", evalue="no", traceback=["ValueError: no <such>"])
    write_notebook(run[1], "04_downstream", error, state=".failed")


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda run: (run[0] / "figure_9.json").unlink(), "figures and tables were not made: Figure 9."),
        (lambda run: (run[0] / "figure_4a.png").unlink(), "Look at the cautions beside Figure 4a."),
        (lambda run: (run[0] / "summary.json").unlink(), "There is no summary"),
        (lambda run: (run[1] / "05_pca.ipynb").unlink(), "The notebook 05_pca was not executed in this run."),
        (failed_notebook, "The notebook 04_downstream failed."),
        (lambda run: save(run, "values", git_commit="def"), "made by 2 states of the code: abc, def"),
    ],
)
def test_what_is_missing_makes_the_run_incomplete(run, spoil, told):
    spoil(run)
    page = page_of(run)
    assert told in page.articles["incomplete"]
    if spoil is failed_notebook:
        assert "this may be from an earlier run" in page.articles["figure_8a"]
        assert "Caution" not in page.articles["figure_4a"]


@pytest.mark.parametrize(("start", "end", "told"), [(-2, -1, "after the"), (1, 2, "before the"), (-1, 1, "")])
def test_figures_of_another_execution_are_told(run, start, end, told):
    now = datetime.datetime.now(datetime.UTC)
    hours = {"start_time": start, "end_time": end}
    times = {key: (now + datetime.timedelta(hours=n)).isoformat() for key, n in hours.items()}
    write_notebook(run[1], "05_pca", times=times)
    said = page_of(run).articles["figure_12"]
    assert (f"{told} notebook was executed" in said) if told else ("Caution" not in said)


def test_first_rows_of_a_long_table_rounded(tmp_path):
    n = SHOWN_ROWS + 7
    values = [np.nan, 0.00001234, 2, *[0.123456] * (n - 3)]
    frame = pd.DataFrame({"persona": ["None", "2_4", *["x, y"] * (n - 2)], "r": values, "n": [np.nan, *range(1, n)]})
    frame.to_csv(tmp_path / "t.csv", index=False)
    table = read_table(tmp_path / "t.csv")
    assert (table.columns, table.n_rows, len(table.rows)) == (("persona", "r", "n"), n, SHOWN_ROWS)
    assert table.rows[:3] == (("None", "–", "–"), ("2_4", "1e-05", "1"), ("x, y", "2.000", "2"))
    assert table.rows[3] == ("x, y", "0.123", "3")
