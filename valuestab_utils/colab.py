"""Google Colab: what its session lacks is installed, its GPU is looked for, and files go to the user's browser.

Only the standard library is imported here: what `install` brings must not have been loaded in another version.
"""

import importlib
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from valuestab_utils.errors import ValuestabError
from valuestab_utils.paths import ROOT

# What answers depend on, and what Colab lacks: installed as the lock has it.
AS_LOCKED = (
    "accelerate",
    "bitsandbytes",
    "gguf",
    "huggingface-hub",
    "safetensors",
    "sentencepiece",
    "tokenizers",
    "transformers",
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
_MODULES = {"pyyaml": "yaml", "scikit-learn": "sklearn"}  # where the name is not that of the package
RESTART = "choose Runtime > Restart session, then Runtime > Run all (nothing is installed twice)"


def install(lock: Path = ROOT / "requirements.lock", run: Callable = subprocess.run) -> None:
    """Install what this session lacks, at the versions of ``lock``; PyTorch stays as it is.

    Parameters
    ----------
    lock : path
        Lines ``name==version``.
    run : callable
        Runs a command (`subprocess.run`).

    Raises
    ------
    ValuestabError
        Without PyTorch, or with one that is too old; if pip fails; if a package was loaded before its right version
        was installed.
    """
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
    named = ", ".join(f"{name} {version}" for name, version in wanted.items())
    print(f"Installing {named} (a minute or two) ...", flush=True)
    with TemporaryDirectory() as folder:
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text("".join(f"{line}\n" for line in _constraints(locked, present, wanted)), encoding="utf-8")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        words = [f"{name}=={version}" for name, version in wanted.items()]
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
        raise ValuestabError(f"{', '.join(early)} had been loaded before the right version was installed: {RESTART}.")


def lacking(locked: Mapping[str, str], present: Mapping[str, str]) -> dict[str, str]:
    """Packages to install, with their versions in the lock.

    Parameters
    ----------
    locked, present : mapping of str to str
        Versions by name, in lower case with hyphens.

    Returns
    -------
    dict of str to str

    Examples
    --------
    >>> locked = dict.fromkeys([*AS_LOCKED, *AT_LEAST], "99.1")
    >>> lacking(locked, locked | {"pandas": "2.2.2", "scipy": "1.9", "gguf": "99.0"})
    {'gguf': '99.1', 'scipy': '99.1'}
    """
    wanted = [name for name in AS_LOCKED if present.get(name) != locked[name]]
    for name, oldest in AT_LEAST.items():
        if name not in present or _release(present[name]) < _release(oldest):
            wanted.append(name)
    return {name: locked[name] for name in wanted}


def locked_versions(lock: Path) -> dict[str, str]:
    """Versions that a lock file pins, by name in lower case with hyphens.

    Raises
    ------
    ValuestabError
        If it lacks a package that is needed here.
    """
    lines = (line.split("#")[0].split(";")[0].strip() for line in lock.read_text(encoding="utf-8").splitlines())
    locked = {_plain(name): version for name, equal, version in (line.partition("==") for line in lines) if equal}
    absent = [name for name in [*AS_LOCKED, *AT_LEAST] if name not in locked]
    if absent:
        raise ValuestabError(f"{lock} has no version of {', '.join(absent)}: restore it (git checkout).")
    return locked


def installed_versions() -> dict[str, str]:
    """Versions of what Python finds here, by name in lower case with hyphens; of two copies, the one it imports."""
    found: dict[str, str] = {}
    for distribution in distributions():
        name = distribution.metadata["Name"]
        if name:  # a folder that an interrupted installation left has none
            found.setdefault(_plain(name), distribution.version)
    return found


def describe_machine() -> str:
    """What models will run on, in words.

    Raises
    ------
    ValuestabError
        On Colab, without a GPU.
    """
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
