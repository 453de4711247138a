"""HTML of the report: pictures, tables and notebooks as parts of one page that loads nothing."""

import base64
import csv
import functools
import html
import itertools
import re
import struct
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import nbformat
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from nbconvert import HTMLExporter
from nbformat import NotebookNode

from valuestab_utils.paths import DATA

SHOWN_ROWS = 60
_NUMBER = re.compile(r"-?(\d+\.?\d*([eE][+-]?\d+)?|inf)")
_WHOLE = re.compile(r"-?\d+(\.0)?")
_BAR = re.compile(r"[^\n]*\d+%\|[^|\n]*\|[^\n]*\[[^\n]*")  # a state of a progress bar
# What runs, loads or styles: the page has its own style, and takes nothing from elsewhere.
_UNWANTED = {"script", "style", "iframe", "object", "noscript", "template", "video", "audio", "svg"}
_UNWANTED_VOID = {"link", "meta", "base", "embed", "source", "input"}
_VOID = {"area", "br", "col", "hr", "img", "wbr"}
_KEPT_ATTRIBUTES = frozenset(
    "alt class colspan height href open rowspan src start style title type width".split()
)


@dataclass(frozen=True)
class Picture:
    """A picture inside the page: ``source`` is a data URI, width and height are in pixels."""

    source: str
    width: int
    height: int


@dataclass(frozen=True)
class Table:
    """The first rows of a CSV file as text, ready to be read.

    Attributes
    ----------
    columns : tuple of str
    numeric : tuple of bool
        Which columns hold numbers alone.
    rows : tuple of tuple of str
    n_rows : int
        How many the file has.
    """

    columns: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[str, ...], ...]
    n_rows: int


def fill_page(**contents: object) -> str:
    """The page with its contents; everything in them that is not Markup is escaped."""
    folder = DATA / "report"
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = Markup((folder / "report.css").read_text(encoding="utf-8"))
    return environment.get_template("report.html.j2").render(style=style, **contents)


def read_picture(path: Path) -> Picture:
    """A PNG file as part of the page."""
    data = path.read_bytes()
    width, height = struct.unpack(">II", data[16:24])
    return Picture("data:image/png;base64," + base64.b64encode(data).decode("ascii"), width, height)


def read_table(path: Path) -> Table:
    """The first rows of a CSV file, its numbers rounded to three digits after the point.

    Read as text, since a persona may be called None, and a seed like a date. An empty cell is a dash.
    """
    with path.open(newline="", encoding="utf-8") as stream:
        lines = csv.reader(stream)
        columns = tuple(next(lines, ()))
        rows = list(itertools.islice(lines, SHOWN_ROWS))
        n_rows = len(rows) + sum(1 for _ in lines)
    shown = [_round_column([row[i] for row in rows]) for i in range(len(columns))]
    return Table(
        columns,
        tuple(numeric for _, numeric in shown),
        tuple(zip(*(cells for cells, _ in shown), strict=True)),
        n_rows,
    )


def notebook_title(notebook: NotebookNode) -> str:
    """The notebook's first heading, or ""."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and (found := re.match(r"\s*#\s+(.+)", cell.source)):
            return found[1].strip()
    return ""


def notebook_html(notebook: NotebookNode) -> Markup:
    """A notebook as part of the page: its cells and outputs without scripts, styles, ids and progress bars.

    Its headings go three levels down, under those of the page.
    """
    body = nbformat.from_dict(notebook)  # a copy
    body.cells = [_without_bars(cell) for cell in body.cells]
    cleaner = _Cleaner()
    cleaner.feed(_exporter().from_notebook_node(body)[0])
    cleaner.close()
    return Markup("".join(cleaner.parts))


@functools.cache  # compiling its templates takes longer than a notebook
def _exporter() -> HTMLExporter:
    return HTMLExporter(template_name="basic", exclude_anchor_links=True)


def _round_column(cells: list[str]) -> tuple[list[str], bool]:
    """A column's cells as they are shown, and whether they are numbers."""
    given = [cell for cell in cells if cell]
    if not given or not all(_NUMBER.fullmatch(cell) for cell in given):
        return [cell or "–" for cell in cells], False
    whole = all(_WHOLE.fullmatch(cell) for cell in given)
    return [(cell.removesuffix(".0") if whole else _round(cell)) or "–" for cell in cells], True


def _round(cell: str) -> str:
    if not cell or not 0 < abs(float(cell)) < 0.0005:
        return f"{float(cell):.3f}" if cell else ""
    return f"{float(cell):.0e}"  # 0.000 would look like nothing


def _without_bars(cell: NotebookNode) -> NotebookNode:
    """The cell without widgets, and without what a progress bar leaves behind."""
    if cell.cell_type != "code":
        return cell
    outputs = []
    for output in cell.outputs:
        if output.output_type == "stream":
            output.text = _last_states(output.text)
            if not output.text.strip():
                continue
        elif output.output_type in ("display_data", "execute_result"):
            if any("widget" in kind or "javascript" in kind for kind in output.data):
                continue
            if set(output.data) <= {"text/plain"} and _BAR.fullmatch(
                output.data.get("text/plain", "").strip()
            ):
                continue
        outputs.append(output)
    cell.outputs = outputs
    return cell


def _last_states(text: str) -> str:
    """Lines as a terminal leaves them, without bars."""
    lines = [line.rstrip("\r").split("\r")[-1] for line in text.split("\n")]
    return "\n".join(line for line in lines if not _BAR.fullmatch(line))


class _Cleaner(HTMLParser):
    """Copies HTML without what could run, be loaded, or act beyond its own place on the page."""

    def __init__(self):
        super().__init__(convert_charrefs=False)
        self.parts: list[str] = []
        self._inside: list[str] = []  # unwanted elements that are open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag in _UNWANTED:
            self._inside.append(tag)
        if self._inside or tag in _UNWANTED_VOID:
            return
        given = {name: value or "" for name, value in attributes if name in _KEPT_ATTRIBUTES}
        if tag == "img" and not given.get("src", "").startswith("data:image/"):
            self.parts.append("<em>(a picture that is not part of this page)</em>")
            return
        if tag == "img":
            given["alt"] = "Output of the cell above"
        if not given.get("href", "https://").startswith(("http://", "https://")):
            del given["href"]  # a file beside the notebook, or a script
        if re.search(r"url\(|position", given.get("style", "")):
            del given["style"]
        if tag == "table":
            self.parts.append('<div class="scroll">')
        words = "".join(f' {name}="{html.escape(value)}"' for name, value in given.items())
        self.parts.append(f"<{self._named(tag)}{words}>")

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        if tag not in _VOID | _UNWANTED_VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._inside:
            if tag == self._inside[-1]:
                self._inside.pop()
        elif tag not in _VOID | _UNWANTED_VOID:
            self.parts.append(f"</{self._named(tag)}>" + ("</div>" if tag == "table" else ""))

    def handle_data(self, data: str) -> None:
        if not self._inside:
            self.parts.append(data)

    def handle_entityref(self, name: str) -> None:
        self.handle_data(f"&{name};")

    def handle_charref(self, name: str) -> None:
        self.handle_data(f"&#{name};")

    @staticmethod
    def _named(tag: str) -> str:
        return f"h{min(6, int(tag[1]) + 3)}" if re.fullmatch(r"h[1-6]", tag) else tag
