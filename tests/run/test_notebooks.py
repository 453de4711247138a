"""Notebooks as they are committed: short, without logic or outputs, with the same parameters."""

import ast

import nbformat
import pytest
from paper_studies import answered_by, circumplex

from valuestab_utils.paths import ROOT
from valuestab_utils.study import load_figures, paper_of, read_record, study

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NUMBERED = [path for path in NOTEBOOKS if path.stem[0].isdigit()]  # those of the study; others stand for themselves


def code_cells(path):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def calls(path):
    trees = [ast.parse(cell.source) for cell in code_cells(path)]
    return [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_short_and_clean(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.cells[0].source.splitlines()[0].endswith("?")  # its title
    assert sum("parameters" in cell.metadata.get("tags", []) for cell in notebook.cells) == 1
    for cell in code_cells(path):
        assert not cell.outputs and cell.execution_count is None
        logic = (ast.FunctionDef, ast.ClassDef, ast.Lambda)
        assert not any(isinstance(node, logic) for node in ast.walk(ast.parse(cell.source)))
        assert len(cell.source.splitlines()) <= 10


def test_all_numbered_notebooks_take_the_same_parameters_and_plan_their_papers_study():
    cells = [cell for path in NUMBERED for cell in code_cells(path)]
    (parameters,) = {cell.source for cell in cells if "parameters" in cell.metadata.get("tags", [])}
    assert [line.split(" = ")[0].strip() for line in parameters.splitlines()] == ["profile", "model", "changes"]
    assert len(NUMBERED) == 7
    for path in NUMBERED:
        plan = next(call for call in calls(path) if getattr(call.func, "id", "") == "plan_study")
        assert [argument.id for argument in plan.args] == ["profile", "model", "changes"]
        assert [word.value.value for word in plan.keywords] in ([paper_of(path.stem).name], [])


def test_every_figure_of_the_registry_is_made_by_the_notebook_that_it_names():
    kept = [(call, path) for path in NUMBERED for call in calls(path) if getattr(call.func, "attr", "") == "keep"]
    made = {call.args[2].value: path.stem for call, path in kept}
    assert made == {name: entry.notebook for name, entry in load_figures().items()}


@pytest.mark.parametrize(
    ("book", "experiment", "n_made"),
    [("03_stability", "lengths", 2), ("05_pca", "lengths", 0), ("06_value_structure", "administrations", 4)],
)
def test_a_notebook_runs_through_with_one_experiment(tmp_path, monkeypatch, book, experiment, n_made):
    monkeypatch.setattr(study, "ROOT", tmp_path)
    names: dict = {}
    with answered_by(circumplex()):
        for cell in code_cells(ROOT / "notebooks" / f"{book}.ipynb"):
            exec(cell.source, names)
            if "parameters" in cell.metadata.get("tags", []):
                names |= {"profile": "smoke", "changes": {"experiments": [experiment], "controls": []}}
    figures = [name for name, entry in load_figures().items() if entry.notebook == book]
    skipped = [read_record(name, names["study"].figures_dir).skipped for name in figures]
    assert skipped.count("") == n_made
