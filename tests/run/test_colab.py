"""The notebook for Google Colab: what it installs, and that it runs from nothing to the file to download."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import replace
from types import SimpleNamespace

import nbformat
import pandas as pd
import pytest
from fakes import CHATML, FakeRespondent
from matplotlib.figure import Figure
from tiny import byte_tokenizer, llama

from valuestab_utils.errors import ValuestabError
from valuestab_utils.papers.kovac2024 import rows_of, stability_table
from valuestab_utils.paths import ROOT
from valuestab_utils.run import colab
from valuestab_utils.run.own_answers import stability_report
from valuestab_utils.study import study

LOCKED = colab.locked_versions(ROOT / "requirements.lock")
COMPLETE = LOCKED | {"torch": "2.9.0+cu126"}
SMALL = {"n_personas": 3, "topics": ["joke", "chess"]}
TOKEN = "hf_not-a-token-but-must-not-be-seen"


@pytest.fixture
def pip(monkeypatch):
    """Sets what is installed; gives what pip is asked for and by which constraints."""

    def install(**present):
        asked = SimpleNamespace(command=None, constraints=set(), returncode=0)

        def run(command, **_):
            path = command[command.index("--constraint") + 1]
            asked.command, asked.constraints = command, set(open(path, encoding="utf-8").read().splitlines())
            return asked

        there = {name: version for name, version in (COMPLETE | present).items() if version}
        monkeypatch.setattr(colab, "installed_versions", lambda: there)
        for name in ("transformers", "gguf", "seaborn"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        colab.install(run=run)
        return asked

    return install


def test_what_answers_depend_on_is_pinned_and_what_colab_has_stays(pip):
    assert pip(numpy="2.0.2", pandas="2.2.2", matplotlib="3.10.0").command is None
    asked = pip(transformers="4.57.6", gguf=None, regex=None, numpy="2.0.2", click="8.3.1", tqdm="99.0", rich="99.0")
    assert asked.command[:4] == [sys.executable, "-m", "pip", "install"]
    assert asked.command[-2:] == [f"gguf=={LOCKED['gguf']}", f"transformers=={LOCKED['transformers']}"]
    assert {"torch==2.9.0+cu126", "numpy==2.0.2", f"regex=={LOCKED['regex']}"} <= asked.constraints
    assert f"click<={LOCKED['click']}" in asked.constraints, "raised if need be, but no further than the lock"
    assert "tqdm==99.0" in asked.constraints and not any(line.startswith("rich") for line in asked.constraints)
    assert pip(seaborn="0.12.9").command[-1] == f"seaborn=={LOCKED['seaborn']}"  # too old
    with pytest.raises(ValuestabError, match="2.6 or later, and here is 2.5.1"):
        pip(torch="2.5.1+cu124")


# The notebook, run as on Colab: a Python of its own, outside the checkout, and the code from a clone


def git(*arguments, cwd):
    done = subprocess.run(["git", *arguments], cwd=cwd, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path):
    """The checkout as it is now, as a repository to clone from; nothing is written into the checkout."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    path = tmp_path / "from" / "repository"
    leave = shutil.ignore_patterns("SmolLM2*", "__pycache__", ".ipynb_checkpoints")
    for name in ("valuestab_utils", "data", "notebooks"):
        shutil.copytree(ROOT / name, path / name, ignore=leave)
    for name in ("requirements.lock", ".gitignore"):
        shutil.copy(ROOT / name, path)
    git("init", "--quiet", cwd=path)
    git("add", ".", cwd=path)
    git("-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "--quiet", "-m", "As it is", cwd=path)
    return path


@pytest.fixture
def python(tmp_path):
    """A new virtual environment that finds this one's packages, but not this checkout."""
    folder = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (site_packages,) = folder.glob("lib/python*/site-packages")
    (site_packages / "packages.pth").write_text(sysconfig.get_path("purelib"))
    python = folder / "bin" / "python"
    quiet = {"env": environment(), "cwd": folder, "capture_output": True}
    assert subprocess.run([python, "-c", "import valuestab_utils"], **quiet).returncode, "it must come from the clone"
    subprocess.run([python, "-m", "ipykernel", "install", "--sys-prefix", "--name", "python3"], check=True, **quiet)
    return python


def environment():
    ours = ("PYTHONPATH", "MPLBACKEND", "JUPYTER_PATH", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    offline = {"PIP_NO_INDEX": "1", "HF_HUB_OFFLINE": "1", "HF_TOKEN": TOKEN, "OMP_NUM_THREADS": "1"}
    return kept | offline | {"JUPYTER_PREFER_ENV_PATH": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}


def run_notebook(python, folder, repository, parameters):
    notebook = nbformat.read(ROOT / "notebooks" / "colab.ipynb", as_version=4)
    install = next(cell for cell in notebook.cells if cell.cell_type == "code")
    install.source, n = re.subn(r'\AREPOSITORY = ".*?"', f"REPOSITORY = {str(repository)!r}", install.source)
    assert n == 1
    nbformat.write(notebook, folder / "colab.ipynb")
    command = [python, "-m", "papermill", "colab.ipynb", "done.ipynb", "-y", json.dumps(parameters)]
    words = ["--kernel", "python3", "--no-progress-bar"]
    done = subprocess.run([*command, *words], cwd=folder, env=environment(), capture_output=True, text=True)
    return done, nbformat.read(folder / "done.ipynb", as_version=4)


@pytest.mark.slow
def test_the_notebook_runs_from_nothing_to_the_file_to_download(tmp_path, repository, python):
    tokenizer = byte_tokenizer(template=CHATML, eos="<|im_end|>")
    model, folder = tmp_path / "from" / "Tiny-1", tmp_path / "work"
    llama(tokenizer, num_hidden_layers=1, initializer_range=0.4).save_pretrained(model)
    tokenizer.save_pretrained(model)
    folder.mkdir()
    asked = {"model": str(model), "changes": SMALL | {"seeds": [1], "dtype": "float32"}}
    done, notebook = run_notebook(python, folder, repository, asked)
    assert done.returncode == 0, done.stderr[-3000:]
    archive = folder / "valuestab-single-Tiny-1-dtype=float32-n_personas=3-seeds=1-topics=joke,chess.zip"
    assert {path.name for path in folder.iterdir()} == {"colab.ipynb", "done.ipynb", "valuestab", archive.name}

    with zipfile.ZipFile(archive) as opened:
        files = {name: opened.read(name) for name in opened.namelist()}
    tables = {"stability.csv", "answers.csv", "conversations.csv"}
    assert set(files) == {"stability.png", "provenance.json", "README.txt", *tables}
    bars = pd.read_csv(io.BytesIO(files["stability.csv"])).set_index("model")
    assert set(bars.index) == {"Tiny-1", "control-random", "control-synthetic"}
    answers = pd.read_csv(io.BytesIO(files["answers.csv"]))
    assert set(answers["model"]) == {"Tiny-1"} and len(answers) == 3 * 2 * 40
    conversations = pd.read_csv(io.BytesIO(files["conversations.csv"]), keep_default_na=False)
    assert len(conversations) == 3 * 2 * 4 and set(conversations["topic"]) == {"joke", "chess"}
    about = json.loads(files["provenance.json"])
    assert (about["model"], about["topics"], about["seeds"]) == ("Tiny-1", ["joke", "chess"], [1])
    assert about["git_commit"] == git("rev-parse", "HEAD", cwd=repository)
    assert about["settings"]["dtype"] == "float32"

    texts = [files[name].decode() for name in files if name != "stability.png"]
    assert not any(str(tmp_path) in text for text in texts), "a path of this machine"
    assert not any(TOKEN in text for text in [*texts, nbformat.writes(notebook), done.stderr, done.stdout])


# The file to download holds the studied model's data and no other's


class Fake(FakeRespondent):
    def speak(self, prompts, max_new_tokens):
        return [replace(text, content=f"{text.content}\rso") for text in super().speak(prompts, max_new_tokens)]

    @property
    def settings(self):
        return super().settings | {"dtype": "float32"}


@pytest.fixture
def planned(tmp_path, monkeypatch):
    monkeypatch.setattr(study, "_load", lambda *_: Fake())
    monkeypatch.setattr(study, "ROOT", tmp_path)
    return study.plan_study("single", changes=SMALL | {"seeds": [1, 2], "controls": ["control-random"]})


def test_the_models_answers_alone_give_the_figures_number_again(planned, tmp_path):
    rows = rows_of(stability_table(planned.answers(), planned.questionnaires), measure="rank_order")
    with pytest.raises(ValuestabError, match="no figure_4a in"):
        colab.write_archive(planned, folder=tmp_path)
    assert not list(tmp_path.glob("*valuestab*"))
    planned.keep(Figure(), rows, "figure_4a", "Found this.")
    path = colab.write_archive(planned, folder=tmp_path)
    assert path == tmp_path / f"valuestab-{planned.run}.zip" and not list(tmp_path.glob(".valuestab*"))
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    answers, bars, conversations = (
        pd.read_csv(io.BytesIO(files[f"{name}.csv"])) for name in ("answers", "stability", "conversations")
    )
    assert set(answers["model"]) == {"fake"} and set(answers["context"]) == {"joke", "chess"}
    of_model = rows.set_index("model").loc["fake", "stability"]
    assert stability_report(answers)["rank_order"] == pytest.approx(of_model)
    assert list(bars["stability"]) == pytest.approx(list(rows["stability"]))
    assert set(conversations["model"]) == {"fake"} and len(conversations) == 3 * 2 * 2 * 4
    assert conversations["content"].str.endswith("\rso").sum() == 3 * 2 * 2 * 3  # all but the first messages
    about = json.loads(files["provenance.json"])
    assert about["found"] == "Found this." and about["settings"]["model_source"] == "fake"
    assert about["seeds"] == [1, 2] and len(about["personas"]) == 3 and about["messages"] == 3
