"""Build the virtual environment of the project: what `make env` runs. Needs nothing but Python itself.

pip takes a package that it was interrupted in for an installed one. An environment that was not finished is
therefore thrown away and built anew; a stamp, written last, says that it was finished.
"""

import contextlib
import fcntl
import shutil
import subprocess
import sys
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
    """Make the environment in ``folder`` unless it is there, finished, and newer than what it is made from.

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
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        stamp = folder / STAMP
        if stamp.exists() and all(stamp.stat().st_mtime >= source.stat().st_mtime for source in sources):
            return
        if folder.exists() and not (folder / _OURS).exists():
            raise ValuestabError(
                f"{folder} is there, but make env did not make it: remove it, or choose another place (make "
                "env VENV=.venv2)."
            )
        removed = folder.with_name(
            f"{folder.name}.old"
        )  # renamed first: half an environment must not keep the name
        shutil.rmtree(removed, ignore_errors=True)
        if folder.exists():
            folder.rename(removed)
            shutil.rmtree(removed)
        folder.mkdir()
        (folder / _OURS).touch()
        pip = [
            str(folder / "bin" / "python"),
            "-m",
            "pip",
            "--disable-pip-version-check",
            "install",
            *pip_arguments,
        ]
        for command in (
            [sys.executable, "-m", "venv", str(folder)],
            [*pip, "--requirement", str(sources[0])],
            [*pip, "--quiet", "--no-build-isolation", "--no-deps", "--editable", str(ROOT)],
        ):
            if run(command).returncode:
                raise ValuestabError(
                    f"The environment in {folder} could not be finished (its last command was "
                    f"{' '.join(command)}): see what it said above, and run the same command again."
                )
        stamp.touch()


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
        print("Interrupted; the same command builds the environment anew.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
