"""Rooms import only from those below them, code is linted, and the house stays as small as it is meant to be."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter

from valuestab_utils.paths import ROOT
from valuestab_utils.run.command_line import sizes

PACKAGE = ROOT / "valuestab_utils"


def said_by(*command):
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_layers_and_style():
    lint = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"
    for command in (["-c", lint], ["-m", "ruff", "check", "--no-cache", "valuestab_utils"]):
        code, said = said_by(*command)
        assert code == 0, said


def test_no_import_cycle():
    """Imports inside functions count; what imports from a room imports from its ``__init__``."""
    names = {path: ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in PACKAGE.rglob("*.py")}
    modules = {name.removesuffix(".__init__") for name in names.values()}
    imports = {}
    for path, name in names.items():
        found = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                full = {f"{node.module}.{alias.name}" for alias in node.names}
                found |= full & modules or {node.module}  # a file of a room, or what the room gives
            elif isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
        imports[name.removesuffix(".__init__")] = found & modules - {"valuestab_utils", name.removesuffix(".__init__")}
    list(TopologicalSorter(imports).static_order())  # raises CycleError


def test_sizes():
    table = sizes()
    n_tests = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in (ROOT / "tests").rglob("*.py"))
    assert table.loc[table["lines"] > 400, "file"].tolist() == []
    rooms = table.groupby("room")["files"].sum().drop("valuestab_utils")
    assert len(rooms) == 8 and rooms.max() <= 10
    assert table["files"].sum() <= 66
    assert table["code"].sum() <= 9950
    assert table["docstrings"].sum() <= 3500
    assert n_tests <= 10_000
