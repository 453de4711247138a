"""Notebooks as they are committed: short, without logic or outputs, with the same parameters."""

import ast

import nbformat
import pytest
from paper_studies import answered_by, circumplex

from valuestab_utils import study
from valuestab_utils.figure_files import load_figures, read_record
from valuestab_utils.papers import FIRST, paper_of
from valuestab_utils.parameters import declared_parameters
from valuestab_utils.paths import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NUMBERED = [path for path in NOTEBOOKS if path.stem[0].isdigit()]  # those of the study; others stand for themselves


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_readable_and_clean(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    first = notebook.cells[0]
    assert first.cell_type == "markdown" and first.source.splitlines()[0].endswith("?"), (
        "a title that is a question"
    )
    assert sum("parameters" in cell.metadata.get("tags", []) for cell in notebook.cells) == 1
    for cell in (cell for cell in notebook.cells if cell.cell_type == "code"):
        assert not cell.outputs and cell.execution_count is None
        tree = ast.parse(cell.source)
        assert not any(
            isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Lambda)) for node in ast.walk(tree)
        )
        assert len(cell.source.splitlines()) <= (17 if "parameters" in cell.metadata.get("tags", []) else 10)


def test_all_numbered_notebooks_take_the_same_parameters_and_hand_all_of_them_on():
    declared = [declared_parameters(path) for path in NUMBERED]
    assert len(NUMBERED) == 7 and all(of_one == declared[0] for of_one in declared)
    for path in NUMBERED:
        source = "\n".join(
            cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"
        )
        calls = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Call)]
        plan = next(call for call in calls if getattr(call.func, "id", "") == "plan_study")
        given = {plan.args[0].id} | {w.arg for w in plan.keywords if getattr(w.value, "id", "") == w.arg}
        assert given == set(declared[0])
        papers = [word.value.value for word in plan.keywords if word.arg == "paper"] or [FIRST]
        assert papers == [paper_of(path.stem).name]


def test_every_figure_of_the_registry_is_made_by_the_notebook_that_it_names():
    made = {}
    for path in NUMBERED:
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code":
                calls = [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Call)]
                kept = [call for call in calls if getattr(call.func, "attr", "") == "keep"]
                made |= {call.args[2].value: path.stem for call in kept}
    assert made == {name: entry.notebook for name, entry in load_figures().items()}


@pytest.mark.parametrize(("book", "part", "n_made"), [
    ("03_stability", "lengths", 2), ("04_downstream", "lengths", 0), ("05_pca", "lengths", 0),
    ("06_value_structure", "administrations", 4),
])  # fmt: skip
def test_a_notebook_runs_through_where_most_of_its_parts_are_not_run(tmp_path, monkeypatch, book, part, n_made):
    monkeypatch.setattr(study, "ROOT", tmp_path)
    names: dict = {}
    with answered_by(circumplex()):
        for cell in nbformat.read(ROOT / "notebooks" / f"{book}.ipynb", as_version=4).cells:
            if cell.cell_type == "code":
                exec(cell.source, names)
            if "parameters" in cell.metadata.get("tags", []):
                names |= {"profile": "smoke", "parts": [part], "controls": []}
    figures = [name for name, entry in load_figures().items() if entry.notebook == book]
    skipped = [read_record(name, names["study"].figures_dir).skipped for name in figures]
    assert skipped.count("") == n_made
    assert all(f"The part {part!r}" not in sentence for sentence in skipped)
