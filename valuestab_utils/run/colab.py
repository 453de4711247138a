"""Google Colab: what its session lacks is installed, its GPU is looked for, and files go to the user's browser.

Only the standard library is imported here before `install` has run: what it brings must not have been loaded before.
"""

import importlib
import json
import platform
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from valuestab_utils.errors import ValuestabError
from valuestab_utils.paths import ROOT

# What answers depend on, and what Colab lacks: installed as the lock has it.
AS_LOCKED = (
    *("accelerate", "bitsandbytes", "gguf", "huggingface-hub"),
    *("safetensors", "sentencepiece", "tokenizers", "transformers"),
)
# What Colab has and may have loaded already: kept from these versions on, those of its runtime 2026.01.
AT_LEAST = {
    "jinja2": "3.1",
    "matplotlib": "3.10",
    "numpy": "2.0",
    "pandas": "2.2",
    "pyarrow": "18.1",
    "pyyaml": "6.0",
    "scikit-learn": "1.6",
    "scipy": "1.16",
    "seaborn": "0.13",
    "tqdm": "4.67",
}
OLDEST_TORCH = "2.6"  # what transformers of the lock needs
SOFTWARE = ("torch", "transformers", "tokenizers", "numpy", "pandas", "scipy")
_MODULES = {"pyyaml": "yaml", "scikit-learn": "sklearn"}  # where the name is not that of the package
_READ_ME = """stability.png      the figure
stability.csv      the numbers behind it, one row a bar
answers.csv        the model's answers, one row an item; python -m valuestab_utils stability answers.csv reads it
conversations.csv  what was said before, one row a message
provenance.json    model, settings, versions and sizes, and the finding in words
"""


def install(lock: Path = ROOT / "requirements.lock", run: Callable = subprocess.run) -> None:
    """Install what this session lacks, at the versions of ``lock`` (lines name==version); PyTorch stays as it is."""
    locked, present = locked_versions(lock), installed_versions()
    torch = present.get("torch")
    if torch is None or _release(torch) < _release(OLDEST_TORCH):
        raise ValuestabError(
            f"This notebook keeps the PyTorch that is there, {OLDEST_TORCH} or later, and here is "
            f"{torch or 'none'}: on Colab choose the latest runtime version, on your own machine take make lab."
        )
    wanted = lacking(locked, present)
    if not wanted:
        print("Everything that is needed is there.")
        return
    words = [f"{name}=={version}" for name, version in wanted.items()]
    print(f"Installing {', '.join(words)} (a minute or two) ...", flush=True)
    with TemporaryDirectory() as folder:
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text("".join(f"{line}\n" for line in _constraints(locked, present, wanted)), encoding="utf-8")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        done = run([*pip, "--constraint", str(constraints), *words], capture_output=True, text=True)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["it said nothing"]
        raise ValuestabError(
            f"pip could not install {', '.join(words)} ({said[-1].rstrip('.')}): run this cell again, and if it fails "
            "again choose the latest runtime version (Runtime > Change runtime type)."
        )
    importlib.invalidate_caches()
    early = [name for name in wanted if _MODULES.get(name, name.replace("-", "_")) in sys.modules]
    if early:
        raise ValuestabError(
            f"{', '.join(early)} had been loaded before the right version was installed: choose Runtime > Restart "
            "session, then Runtime > Run all (nothing is installed twice)."
        )


def lacking(locked: Mapping[str, str], present: Mapping[str, str]) -> dict[str, str]:
    """Packages to install, with their versions in the lock; names are in lower case with hyphens.

    >>> locked = dict.fromkeys([*AS_LOCKED, *AT_LEAST], "99.1")
    >>> lacking(locked, locked | {"pandas": "2.2.2", "scipy": "1.9", "gguf": "99.0"})
    {'gguf': '99.1', 'scipy': '99.1'}
    """
    other = [name for name in AS_LOCKED if present.get(name) != locked[name]]
    old = [name for name, oldest in AT_LEAST.items() if _release(present.get(name, "0")) < _release(oldest)]
    return {name: locked[name] for name in [*other, *old]}


def locked_versions(lock: Path) -> dict[str, str]:
    """Versions that a lock file pins, by name in lower case with hyphens."""
    lines = (line.split("#")[0].split(";")[0].strip() for line in lock.read_text(encoding="utf-8").splitlines())
    return {_plain(name): version for name, equal, version in (line.partition("==") for line in lines) if equal}


def installed_versions() -> dict[str, str]:
    """Versions of what Python finds here, by name in lower case with hyphens; of two copies, the one it imports."""
    found: dict[str, str] = {}
    for distribution in metadata.distributions():
        name = distribution.metadata["Name"]
        if name:  # a folder that an interrupted installation left has none
            found.setdefault(_plain(name), distribution.version)
    return found


def _constraints(locked: Mapping[str, str], present: Mapping[str, str], wanted: Mapping[str, str]) -> list[str]:
    """What pip must not touch, and the lock's version of whatever comes along."""
    kept = {name: present[name] for name in ("torch", *AT_LEAST) if name in present and name not in wanted}
    lines = [f"{name}=={version}" for name, version in kept.items()]
    for name, version in locked.items():
        if name not in present or name in wanted:
            lines.append(f"{name}=={version}")
        elif name not in kept and _release(present[name]) < _release(version):
            lines.append(f"{name}<={version}")  # raised if what is installed asks for it, but no further
    return lines


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.match(r"\d+(\.\d+)*", version).group().split("."))


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower().strip()


def describe_machine() -> str:
    """What models will run on, in words; ValuestabError on Colab without a GPU."""
    import torch

    if torch.cuda.is_available():
        gpu = torch.cuda.get_device_properties(0)
        return f"GPU: {gpu.name}, {gpu.total_memory / 2**30:.0f} GiB"
    if on_colab():
        raise ValuestabError(
            "This session has no GPU: choose Runtime > Change runtime type > T4 GPU, then Runtime > Run all. To go on "
            "without one, which takes hours, take describe_machine out of this cell."
        )
    return "No GPU: models run on the CPU, slowly."


def on_colab() -> bool:
    """Whether this is a session of Google Colab."""
    return bool(find_spec("google") and find_spec("google.colab"))  # the second fails without the first


def hand_over(path: Path) -> None:
    """On Colab, give a file to the user's browser; elsewhere, print where it is."""
    if on_colab():
        from google.colab import files

        files.download(str(path))
    else:
        print(f"Everything is in {path}.")


def write_archive(study, figure: str = "figure_4a", folder: str | Path = ".") -> Path:
    """Put a kept figure of a `Study` and the studied model's data into ``valuestab-<run>.zip``.

    The topic of an answer is in the column ``context``; ``option_order`` is six codes, first letter first.
    ValuestabError if the figure was not made.
    """
    picture = study.figures_dir / f"{figure}.png"
    if not picture.exists():
        raise ValuestabError(f"There is no {figure} in {study.figures_dir}: run the cell that draws it first.")
    tested = study.experiments[0]
    place = {"model": tested.model, "format": tested.format, "population": tested.population}
    answers, conversations = (
        table[(table[list(place)] == list(place.values())).all(axis=1)]
        for table in (study.answers(), study.conversations())
    )
    orders = [" ".join(map(str, order)) for order in answers["option_order"]]
    answers = answers.rename(columns={"topic": "context"}).assign(option_order=orders)
    kept = json.loads(picture.with_suffix(".json").read_text(encoding="utf-8"))
    about = {
        "found": kept["found"],
        **place,
        "settings": study.respondent(tested).settings,
        "prompts": ", ".join(answers["prompts"].unique()),
        "personas": [persona.persona for persona in tested.personas],
        "topics": [topic.topic for topic in tested.topics],
        "seeds": list(tested.seeds),
        "messages": tested.n_messages,
        **kept["about"],
        "python": platform.python_version(),
        "software": {name: metadata.version(name) for name in SOFTWARE},
        "gpu": describe_machine(),
    }
    path = Path(folder).resolve() / f"valuestab-{study.run}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for ending in (".png", ".csv"):
            archive.write(picture.with_suffix(ending), f"stability{ending}")
        for name, table in (("answers", answers), ("conversations", conversations)):
            # A model may say a lone carriage return, which is quoted only where line ends have one.
            archive.writestr(f"{name}.csv", table.to_csv(index=False, lineterminator="\r\n"))
        archive.writestr("provenance.json", json.dumps(about, ensure_ascii=False, indent=1, allow_nan=False) + "\n")
        archive.writestr("README.txt", _READ_ME)
    return path
