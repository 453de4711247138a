"""README and docs name files, commands and figures that are there."""

import os
import re
import shlex
import shutil
import subprocess

import pytest
import typer

from valuestab_utils import __version__
from valuestab_utils.models import RandomRespondent
from valuestab_utils.paths import ROOT
from valuestab_utils.run.command_line import app, of_study
from valuestab_utils.study import load_figures, study

PAGES = [ROOT / name for name in ("README.md", "CHANGELOG.md")]
PAGES += sorted([*(ROOT / "docs").glob("*.md"), *ROOT.glob("data/*/README.md")])
TEXTS = {page: page.read_text(encoding="utf-8") for page in PAGES}
BLOCKS = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OF_THE_READER = re.compile(r"\bmy[_/-]|path/to|\.\.\.")
# made by runs, put there by users, or where something was in earlier versions
NOT_HERE = re.compile(r"^(output|results|data/models|data/instruments)/|published/")


def inline(text):
    return re.findall(r"`([^`\n]+)`", BLOCKS.sub("", text))


def commands():
    """Command lines of all pages, without comments."""
    found = []
    for text in TEXTS.values():
        lines = [line for kind, block in BLOCKS.findall(text) if kind == "sh" for line in block.splitlines()]
        for line in [*lines, *inline(text)]:
            command = line.partition(" #")[0]
            words = shlex.split(command) if command.count("'") % 2 == 0 else []
            while words and "=" in words[0]:  # of the environment
                words.pop(0)
            if words[:1] == ["make"] or words[1:3] == ["-m", "valuestab_utils"]:
                found.append(tuple(words))
    return sorted(set(found))


def parse(words):
    """A command's arguments as the command line takes them."""
    name, *arguments = words
    command = typer.main.get_command(app).commands[name]
    return command.make_context(name, [word for word in arguments if word != "--help"]).params


def test_the_readme_is_a_page():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 200


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_paths_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)]+)\)", TEXTS[page]):
        path, _, heading = target.partition("#")
        linked = page.parent / path if path else page
        assert "://" in target or linked.exists(), target
        if heading:
            titles = re.findall(r"^#+ (.*)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
            assert heading in {title.lower().replace(" ", "-") for title in titles}, target
    paths = {word for word in inline(TEXTS[page]) if re.fullmatch(r"[\w.-]+(/[\w.-]*)+|[\w-]+\.(md|yaml)", word)}
    for path in paths:
        if not (OF_THE_READER.search(path) or NOT_HERE.search(path)):
            assert any((place / path).exists() for place in (ROOT, ROOT / "valuestab_utils", page.parent)), path


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("words", [c for c in commands() if c[0] == "make"], ids=" ".join)
def test_make_commands_are_understood(words, tmp_path, monkeypatch):
    monkeypatch.setattr(study, "_load", lambda model, dtype: RandomRespondent())
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    making = [*words, "-n", f"VENV={tmp_path}/env", "PYTHON=python3"]  # Make would look for it again and again
    done = subprocess.run(making, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for line in done.stdout.replace("\\\n", " ").splitlines():
        if "-m valuestab_utils " not in line:
            continue
        given = parse(shlex.split(line.split("-m valuestab_utils ")[1]))
        if given.get("words") and not OF_THE_READER.search(line):
            asked = of_study(given["profile"], given["model"], given["words"])
            study.plan_study(*asked, given.get("paper", "kovac2024"))


@pytest.mark.parametrize("words", [c for c in commands() if c[0] != "make"], ids=" ".join)
def test_commands_of_the_package_are_understood(words):
    if words[3] != "COMMAND":
        parse(words[3:])


def test_the_profile_that_is_shown_can_be_run(tmp_path, monkeypatch):
    monkeypatch.setattr(study, "_load", lambda model, dtype: RandomRespondent())
    (shown,) = (b for kind, b in BLOCKS.findall(TEXTS[ROOT / "docs/contributing.md"]) if "experiments:" in b)
    (tmp_path / "shown.yaml").write_text(shown, encoding="utf-8")
    assert {e.name for e in study.plan_study(str(tmp_path / "shown.yaml")).experiments} == set(
        re.findall(r"name: (\w+)", shown)
    )


def test_the_tables_of_figures_are_the_registry():
    row = re.compile(r"^\| (.+) \| (.+) \| (\d\d_\w+) \| (.+) \| `(\w+)\.csv` \|$", re.MULTILINE)
    registry = [
        (figure.paper or "beyond the paper", figure.title, figure.notebook, ", ".join(figure.needs) or "any", name)
        for name, figure in load_figures().items()
    ]
    assert row.findall(TEXTS[ROOT / "docs/papers.md"]) == registry


def test_the_way_of_an_answer_is_that_of_the_code():
    calls = re.findall(r"^\| `(\w+)` \| `([\w/.]+)` \|", TEXTS[ROOT / "docs/architecture.md"], re.MULTILINE)
    assert len(calls) > 10
    for name, file in calls:
        assert re.search(rf"^ *def {name}\(", (ROOT / "valuestab_utils" / file).read_text(encoding="utf-8"), re.M), name


def test_the_version_is_one():
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\n## {__version__}\n" in TEXTS[ROOT / "CHANGELOG.md"]
