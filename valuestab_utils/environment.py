"""Build the virtual environment of the project: what `make env` runs. Needs nothing but Python itself.

pip takes a package that it was interrupted in for an installed one. An environment is therefore made in a folder
beside, from nothing, and takes its place when it is complete; until then, the one that is there serves.
"""

import contextlib
import fcntl
import glob
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from valuestab_utils.errors import ValuestabError
from valuestab_utils.paths import ROOT

STAMP = ".stamp"
_OURS = ".made-by-make"


def build_environment(
    folder: Path,
    pip_arguments: Sequence[str] = (),
    sources: Sequence[Path] = (ROOT / "requirements.lock", ROOT / "pyproject.toml"),
    run: Callable = subprocess.run,
) -> None:
    """Make the environment in ``folder`` unless it is there, made from what the sources say.

    Of two processes at once, one builds and the other waits for it.

    Parameters
    ----------
    folder : path
    pip_arguments : sequence of str
        Further arguments for pip, such as another index.
    sources : sequence of path
        The locked requirements, and whatever else makes an environment old when it changes.
    run : callable
        Runs a command (`subprocess.run`).

    Raises
    ------
    ValuestabError
        If something else is in the way, or a step fails.
    """
    folder = folder.absolute()
    if folder.is_symlink():
        folder = folder.resolve()  # the environment is to lie where the link leads
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        made_from = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
        stamp = folder / STAMP
        if stamp.exists() and stamp.read_text() == made_from:
            stamp.touch()  # a newer date alone, which make goes by
            return
        if folder.exists() and not (folder / _OURS).exists():
            raise ValuestabError(
                f"{folder} is there, but make env did not make it: remove it, or choose another place (make "
                "env VENV=.venv2)."
            )
        prefix = f"{folder.name}.making-"
        for left_by_a_kill in folder.parent.glob(f"{glob.escape(prefix)}*"):  # we are alone: nobody works in it
            shutil.rmtree(left_by_a_kill, ignore_errors=True)
        making = Path(tempfile.mkdtemp(prefix=prefix, dir=folder.parent))
        new, old = making / folder.name, making / f"{folder.name}.old"  # the first is what the shell's prompt shows
        try:
            new.mkdir()
            (new / _OURS).touch()
            (new / STAMP).write_text(made_from)  # now: what changes while we build makes it old
            _install(new, pip_arguments, sources[0], run)
            _name_place(new, folder)
            if folder.exists():
                folder.rename(old)
            new.rename(folder)
        finally:
            if old.exists() and not folder.exists():
                old.rename(folder)
            shutil.rmtree(making, ignore_errors=True)


def _install(folder: Path, pip_arguments: Sequence[str], lock: Path, run: Callable) -> None:
    pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", *pip_arguments]
    for command in (
        [sys.executable, "-m", "venv", str(folder)],
        [*pip, "--requirement", str(lock)],
        [*pip, "--quiet", "--no-build-isolation", "--no-deps", "--editable", str(ROOT)],
    ):
        if run(command).returncode:
            raise ValuestabError(
                f"The environment could not be finished (its last command was {' '.join(command)}), and what was there "
                "is as it was: see what it said above, and run the same command again."
            )


def _name_place(new: Path, folder: Path) -> None:
    """Let scripts and activation, which have the environment's path written into them, name where it will be."""
    for script in (new / "bin").iterdir():
        if script.is_file() and not script.is_symlink():  # a link is the interpreter
            text = script.read_bytes()
            if os.fsencode(new) in text:
                script.write_bytes(text.replace(os.fsencode(new), os.fsencode(folder)))


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(
                "Another process is building the environment; waiting for it ...", file=sys.stderr, flush=True
            )
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main(arguments: Sequence[str]) -> int:
    """Command line: the folder, then arguments for pip; returns the exit code."""
    try:
        build_environment(Path(arguments[0]), arguments[1:])
    except ValuestabError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        message = "Interrupted; what was there is as it was, and the same command builds the environment anew."
        print(message, file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
