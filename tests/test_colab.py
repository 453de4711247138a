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
from types import SimpleNamespace

import nbformat
import pandas as pd
import pytest
from fakes import CHATML
from tiny import byte_tokenizer, llama

from valuestab_utils import colab
from valuestab_utils.errors import ValuestabError
from valuestab_utils.paths import ROOT
from valuestab_utils.stability import stability_report

LOCKED = colab.locked_versions(ROOT / "requirements.lock")
COMPLETE = LOCKED | {"torch": "2.9.0+cu126"}
TOKEN = "hf_not-a-token-but-must-not-be-seen"


@pytest.fixture
def pip(monkeypatch):
    """Sets what is installed; keeps what pip is asked for."""
    asked = SimpleNamespace(commands=[], constraints=set(), returncode=0, stderr="")

    def run(command, **_):
        asked.commands.append(command)
        path = command[command.index("--constraint") + 1]
        asked.constraints = set(open(path, encoding="utf-8").read().splitlines())
        return asked

    def install(**present):
        there = COMPLETE | {name.replace("_", "-"): version for name, version in present.items()}
        there = {name: version for name, version in there.items() if version}
        monkeypatch.setattr(colab, "installed_versions", lambda: there)
        colab.install(run=run)
        return asked

    install.asked = asked
    return install


def test_where_all_is_there_nothing_is_installed(pip, capsys):
    assert pip(numpy="2.0.2", pandas="2.2.2", matplotlib="3.10.0").commands == []
    assert capsys.readouterr().out == "Everything that is needed is there.\n"


def test_what_answers_depend_on_is_pinned_and_what_colab_has_stays(pip, monkeypatch):
    for name in ("transformers", "gguf"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    asked = pip(transformers="4.57.6", gguf=None, regex=None, numpy="2.0.2", click="8.3.1", tqdm="99.0", rich="99.0")
    (command,) = asked.commands
    assert command[:4] == [sys.executable, "-m", "pip", "install"]
    assert command[-2:] == [f"gguf=={LOCKED['gguf']}", f"transformers=={LOCKED['transformers']}"]
    assert {"torch==2.9.0+cu126", "numpy==2.0.2", f"regex=={LOCKED['regex']}"} <= asked.constraints
    assert f"click<={LOCKED['click']}" in asked.constraints, "raised if need be, but no further than the lock"
    assert "tqdm==99.0" in asked.constraints and not any(line.startswith("rich") for line in asked.constraints)
    assert len({re.split("[<=]=", line)[0] for line in asked.constraints}) == len(asked.constraints)


def test_what_is_too_old_is_replaced_by_the_locks(pip, monkeypatch):
    monkeypatch.delitem(sys.modules, "seaborn", raising=False)
    asked = pip(seaborn="0.12.9")
    assert asked.commands[0][-1] == f"seaborn=={LOCKED['seaborn']}"
    assert f"seaborn=={LOCKED['seaborn']}" in asked.constraints


@pytest.mark.parametrize("torch", [None, "2.5.1+cu124"])
def test_without_a_fitting_pytorch_one_sentence_says_so(pip, torch):
    with pytest.raises(ValuestabError, match=f"2.6 or later, and here is {re.escape(torch or 'none')}"):
        pip(torch=torch, transformers="4.57.6")
    assert pip.asked.commands == []


def test_failure_of_pip_is_told_in_its_own_words(pip):
    pip.asked.returncode, pip.asked.stderr = 1, "WARNING: a\nERROR: No matching distribution found for gguf.\n\n"
    with pytest.raises(ValuestabError, match="could not install gguf==.* .ERROR: No matching distribution found"):
        pip(gguf="0.1")


def test_a_package_that_was_loaded_too_early_wants_a_new_session(pip, monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", sys)
    with pytest.raises(ValuestabError, match="^pyyaml had been loaded before .* Runtime > Restart session"):
        pip(pyyaml="5.1")
    assert len(pip.asked.commands) == 1, "after the restart it is there"


def test_versions_are_read_from_the_lock_and_from_this_environment(tmp_path):
    assert LOCKED["huggingface-hub"] == colab.installed_versions()["huggingface-hub"]
    assert colab.lacking(LOCKED, LOCKED) == {}, "the lock itself is recent enough"
    (tmp_path / "lock").write_text("numpy==2.4.6\n")
    with pytest.raises(ValuestabError, match="has no version of accelerate, bitsandbytes"):
        colab.locked_versions(tmp_path / "lock")


def test_only_colab_asks_for_a_gpu_and_for_a_download(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert not colab.on_colab()
    colab.hand_over(tmp_path / "a.zip")
    assert capsys.readouterr().out == f"Everything is in {tmp_path / 'a.zip'}.\n"
    assert colab.describe_machine().startswith("No GPU")

    (tmp_path / "google" / "colab").mkdir(parents=True)
    (tmp_path / "google" / "colab" / "__init__.py").touch()
    (tmp_path / "google" / "colab" / "files.py").write_text("def download(path): print('to the browser:', path)\n")
    for name in [name for name in sys.modules if name.split(".")[0] == "google"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    colab.hand_over(tmp_path / "a.zip")
    assert capsys.readouterr().out == f"to the browser: {tmp_path / 'a.zip'}\n"
    with pytest.raises(ValuestabError, match="no GPU: choose Runtime > Change runtime type > T4 GPU"):
        colab.describe_machine()
    for name in [name for name in sys.modules if name.split(".")[0] == "google"]:
        monkeypatch.delitem(sys.modules, name)


# The notebook, run as on Colab: a Python of its own, outside the checkout, and the code from a clone


def git(*arguments, cwd=ROOT):
    done = subprocess.run(["git", *arguments], cwd=cwd, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """The checkout as it is now, as a repository to clone from; nothing is written into the checkout."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    path = tmp_path_factory.mktemp("colab") / "repository"
    path.mkdir()
    leave = shutil.ignore_patterns("models", "__pycache__", ".ipynb_checkpoints")
    for name in ("valuestab_utils", "data", "notebooks"):
        shutil.copytree(ROOT / name, path / name, ignore=leave)
    for name in ("requirements.lock", ".gitignore"):
        shutil.copy(ROOT / name, path)
    git("init", "--quiet", cwd=path)
    git("add", ".", cwd=path)
    git("-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "--quiet", "-m", "As it is", cwd=path)
    return path


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """A new virtual environment that finds this one's packages, but not this checkout."""
    folder = tmp_path_factory.mktemp("colab") / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (site_packages,) = folder.glob("lib/python*/site-packages")
    (site_packages / "packages.pth").write_text(sysconfig.get_path("purelib"))
    python = folder / "bin" / "python"
    found = subprocess.run([python, "-c", "import valuestab_utils"], cwd=folder, env=environment(), capture_output=True)
    assert found.returncode, "the package must come from the clone"
    subprocess.run([python, "-m", "ipykernel", "install", "--sys-prefix", "--name", "python3"], check=True,
                   env=environment(), capture_output=True)  # fmt: skip
    return python


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory):
    tokenizer = byte_tokenizer(template=CHATML, eos="<|im_end|>")
    folder = tmp_path_factory.mktemp("colab") / "Tiny-1"
    llama(tokenizer, num_hidden_layers=1, initializer_range=0.4).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def environment():
    ours = ("PYTHONPATH", "MPLBACKEND", "JUPYTER_PATH", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    offline = {"PIP_NO_INDEX": "1", "HF_HUB_OFFLINE": "1", "HF_TOKEN": TOKEN, "OMP_NUM_THREADS": "1"}
    return kept | offline | {"JUPYTER_PREFER_ENV_PATH": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}


def run_notebook(python, folder, repository, parameters):
    notebook = nbformat.read(ROOT / "notebooks" / "colab.ipynb", as_version=4)
    (install,) = [cell for cell in notebook.cells if "install" in cell.metadata.get("tags", [])]
    assert install is next(cell for cell in notebook.cells if cell.cell_type == "code")
    install.source, n = re.subn(r'\AREPOSITORY = ".*?"', f"REPOSITORY = {str(repository)!r}", install.source)
    assert n == 1
    nbformat.write(notebook, folder / "colab.ipynb")
    command = [python, "-m", "papermill", "colab.ipynb", "done.ipynb", "-y", json.dumps(parameters)]
    words = ["--kernel", "python3", "--no-progress-bar"]
    done = subprocess.run([*command, *words], cwd=folder, env=environment(), capture_output=True, text=True)
    return done, nbformat.read(folder / "done.ipynb", as_version=4)


def printed(notebook):
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return ["".join(output.get("text", "") for output in cell.outputs) for cell in cells]


@pytest.mark.slow
def test_the_notebook_runs_from_nothing_to_the_file_to_download(tmp_path, repository, python, tiny_model):
    before = git("status", "--porcelain") if (ROOT / ".git").exists() else ""
    small = {"n_personas": 3, "topics": ["joke", "chess"], "seeds": [1]}
    done, notebook = run_notebook(python, tmp_path, repository, {"model": str(tiny_model)} | small)
    assert done.returncode == 0, done.stderr[-3000:]
    said = printed(notebook)
    assert said[0] == "Everything that is needed is there.\n"
    run = "single-Tiny-1-dtype=float32-n_personas=3-seeds=1-topics=joke,chess"
    archive = tmp_path / f"valuestab-{run}.zip"
    assert said[-1] == f"Everything is in {archive}.\n"

    with zipfile.ZipFile(archive) as opened:
        files = {name: opened.read(name) for name in opened.namelist()}
    assert set(files) == {
        "stability.png", "stability.csv", "answers.csv", "conversations.csv", "provenance.json", "README.txt",
    }  # fmt: skip
    assert files["stability.png"].startswith(b"\x89PNG") and len(files["stability.png"]) > 20_000
    bars = pd.read_csv(io.BytesIO(files["stability.csv"])).set_index("model")
    assert set(bars.index) == {"Tiny-1", "control-random", "control-synthetic"}
    assert {"stability", "ci_low", "ci_high", "chance", "chance_p"} <= set(bars)
    answers = pd.read_csv(io.BytesIO(files["answers.csv"]))
    assert set(answers["model"]) == {"Tiny-1"} and len(answers) == 3 * 2 * 40
    found = stability_report(answers)
    assert found["rank_order"] == pytest.approx(bars.loc["Tiny-1", "stability"])
    assert (found["n_personas"], found["n_contexts"], found["n_seeds"]) == (3, 2, 1)
    orders = answers["option_order"].str.split().map(sorted)
    assert all(order == list("123456") for order in orders)
    conversations = pd.read_csv(io.BytesIO(files["conversations.csv"]), keep_default_na=False)
    assert len(conversations) == 3 * 2 * 4 and set(conversations["topic"]) == {"joke", "chess"}
    about = json.loads(files["provenance.json"])
    assert (about["model"], about["topics"], about["seeds"]) == ("Tiny-1", ["joke", "chess"], [1])
    assert about["git_commit"] == git("rev-parse", "HEAD", cwd=repository)
    assert about["settings"]["dtype"] == "float32" and about["found"].startswith("Most stable: Tiny-1 (system) ")

    texts = [files[name].decode() for name in files if name != "stability.png"]
    assert not any(str(tmp_path.parent) in text for text in texts), "a path of this machine"
    assert not any(TOKEN in text for text in [*texts, nbformat.writes(notebook), done.stderr, done.stdout])
    assert {path.name for path in tmp_path.iterdir()} == {"colab.ipynb", "done.ipynb", "valuestab", archive.name}
    assert before == (git("status", "--porcelain") if (ROOT / ".git").exists() else "")


@pytest.mark.slow
def test_a_wrong_address_is_told_in_one_sentence(tmp_path, python):
    done, notebook = run_notebook(python, tmp_path, tmp_path / "nowhere", {})
    assert done.returncode
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    (error,) = [output for output in outputs if output.output_type == "error"]
    assert re.match("The address in REPOSITORY could not be cloned, so correct it: .*nowhere", error.evalue, re.DOTALL)
    assert not (tmp_path / "valuestab").exists()
