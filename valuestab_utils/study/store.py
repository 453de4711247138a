"""Results on disk: one Parquet file a session, written whole or not at all, shared safely by several runs.

In ``<results>/<model>/<format>/<population>``, ``conversations`` has a file a session, and ``<instrument>/n<messages>``
one with its answers; ``pandas.read_parquet`` reads either folder as one tidy frame.
"""

import fcntl
import functools
import hashlib
import json
import os
import subprocess
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from valuestab_utils import __version__
from valuestab_utils.errors import ValuestabError
from valuestab_utils.models import Respondent
from valuestab_utils.paths import ROOT
from valuestab_utils.prompts import PROMPTS_DIGEST, Session, slug
from valuestab_utils.study.experiments import Experiment


def provenance(respondent: Respondent) -> dict[str, str]:
    """Columns that say which model, which prompts and which code made a row.

    ``family``; ``model_source`` (hub id, "embedded", or a local folder's name) and ``model_revision`` (the hub's
    commit, or a checksum of the folder); ``dtype`` (empty for a control); ``chat_template`` and ``prompts``, hashes
    ("none" without a template); ``package_version`` and ``git_commit``.
    """
    settings = respondent.settings
    return {
        "family": respondent.family,
        "model_source": settings["model_source"],
        "model_revision": settings["model_revision"],
        "dtype": settings.get("dtype", ""),
        "chat_template": respondent.template.digest if respondent.template else "none",
        "prompts": PROMPTS_DIGEST,
        "package_version": __version__,
        "git_commit": git_commit(),
    }


@functools.cache
def git_commit() -> str:
    """Commit of the checkout that the package runs from, with "+changes" if files differ; else ""."""
    try:
        if _git("rev-parse", "--show-prefix"):  # not the top of a checkout: a copy inside somebody else's
            return ""
        commit = _git("rev-parse", "HEAD")
        return commit + ("+changes" if _git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return ""


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


class Folder:
    """One kind of result of one experiment: a folder with a file for each session.

    ``settings`` are all that decides the results in it beside the sessions: the first run writes them to
    ``_settings.json``, and a run with others is refused (ValuestabError). Without them, the folder can only be read.
    """

    def __init__(self, path: Path, settings: dict | None = None):
        self.path = path
        if settings is None:
            return
        with self._sentence_if_unwritable("Results"):
            path.mkdir(parents=True, exist_ok=True)
            with self._lock_file() as lock:
                fcntl.lockf(lock, fcntl.LOCK_EX, 1, 0)
                self._check_settings(settings)

    def file(self, session: Session) -> Path:
        """Where the session's result is, or will be."""
        return self.path / f"{session.stem}.parquet"

    def settings(self) -> dict:
        """What decided the results in the folder."""
        file = self.path / "_settings.json"
        try:
            return json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValuestabError(
                f"{file} cannot be read ({error}), so nothing says what made the results beside it: put it "
                "back, give another results_dir, or move that folder away."
            ) from error

    def missing(self, sessions: Sequence[Session]) -> list[Session]:
        """Those of ``sessions`` that have no result yet."""
        return [session for session in sessions if not self.file(session).exists()]

    def n_rows(self, session: Session) -> int:
        """Rows of the session's result, from the file's footer alone; 0 if there is none."""
        file = self.file(session)
        if not file.exists():
            return 0
        with _sentence_if_unreadable(file):
            return pq.read_metadata(file).num_rows

    def read_all(self, sessions: Sequence[Session] | None = None) -> pd.DataFrame:
        """The results of these sessions, or of whichever are there, one after the other, as one tidy frame.

        ValuestabError if one is missing, damaged, or has other columns than the rest.
        """
        missing = self.missing(sessions or [])
        if missing:
            raise ValuestabError(
                f"{len(missing)} of {len(sessions)} sessions have no result in {self.path}, the first "
                f"{missing[0]}: run the notebook that computes them."
            )
        files = sorted(self.path.glob("*.parquet")) if sessions is None else [self.file(s) for s in sessions]
        tables = []
        for file in files:
            with _sentence_if_unreadable(file):
                tables.append(pq.ParquetFile(file, page_checksum_verification=True).read())
            if tables[-1].schema != tables[0].schema:
                raise ValuestabError(
                    f"{file} has other columns than {files[0]}, as from another version of this package, and the two "
                    "must not mix: give another results_dir, or move one of them away."
                )
        return pa.concat_tables(tables).to_pandas()

    def write(self, session: Session, frame: pd.DataFrame) -> None:
        """Put the session's result in place, whole: a reader sees the old file or the new one."""
        table = pa.Table.from_pandas(frame, preserve_index=False)
        with self._sentence_if_unwritable(f"The result of session {session}"):
            _write_whole(self.file(session), lambda out: pq.write_table(table, out, write_page_checksum=True))

    @contextmanager
    def claim(self, sessions: Sequence[Session], at_most: int) -> Iterator[list[Session]]:
        """Reserve for this process, while it computes them, the first sessions that no other run is computing.

        They may have a result by now: look again. A claim ends with the block, or with the process, however that ends.
        A process holds one claim at a time.
        """
        with self._lock_file() as lock:
            claimed: list[Session] = []
            for session in sessions:
                if len(claimed) == at_most:
                    break
                with suppress(BlockingIOError, PermissionError):  # in other hands
                    fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _place(session))
                    claimed.append(session)
            yield claimed

    def wait_for(self, session: Session) -> None:
        """Wait until no other run is computing ``session``."""
        with self._lock_file() as lock:
            fcntl.lockf(lock, fcntl.LOCK_EX, 1, _place(session))

    @contextmanager
    def _lock_file(self) -> Iterator[int]:
        # POSIX record locks: the system gives them back when the process ends or closes the file, so that
        # nothing has to be cleaned up after a kill.
        descriptor = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _check_settings(self, settings: dict) -> None:
        file = self.path / "_settings.json"
        now = json.loads(json.dumps(settings))
        if not file.exists() and not any(self.path.glob("*.parquet")):
            text = json.dumps(now, indent=1, ensure_ascii=False) + "\n"
            _write_whole(file, lambda out: out.write(text.encode()))
        stored = self.settings()
        different = [
            f"{key} is {stored.get(key)!r} there and {now.get(key)!r} now"
            for key in {**stored, **now}
            if stored.get(key) != now.get(key)
        ]
        if different:
            raise ValuestabError(
                f"The results in {self.path} were made with other settings ({'; '.join(different)}), and the "
                "two must not mix: give another results_dir, or move that folder away."
            )

    @contextmanager
    def _sentence_if_unwritable(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ValuestabError(
                f"{what} could not be written to {self.path} ({error.strerror or error}): make room or give "
                "another results_dir; everything before it is kept, and the same command goes on."
            ) from error


def claimed(wanted: Iterable[tuple[Folder, Session]], at_most: int) -> Iterator[list[tuple[Folder, Session]]]:
    """Reserve what is wanted for this process, so many at a time while the caller computes them, until all had a turn.

    They may have results by then: look again.
    """
    todo = list(wanted)
    while todo:
        with ExitStack() as claims:
            mine: list[tuple[Folder, Session]] = []
            for folder in dict.fromkeys(folder for folder, _ in todo):
                free = at_most - len(mine)
                sessions = [session for of, session in todo if of is folder]
                taken = claims.enter_context(folder.claim(sessions, free)) if free else []
                mine += [(folder, session) for session in taken]
            yield mine
        if not mine:  # all in other hands: let one of them finish
            folder, session = todo[0]
            folder.wait_for(session)
        done = set(mine)
        todo = [one for one in todo if one not in done]


def check_unchanged(session: Session, then: Mapping, now: Mapping, path: Path) -> None:
    """ValuestabError where a stored result was made with other texts than there are now under the same names."""
    for name, value in now.items():
        if then[name] != value:
            raise ValuestabError(
                f"The result of session {session} in {path} was made with the {name.replace('_', ' ')} "
                f"{then[name]!r}, which is now {value!r}: give what was changed another name, or give "
                "another results_dir."
            )


def experiment_folder(
    experiment: Experiment, results_dir: Path, place: str, respondent: Respondent | None, **settings: object
) -> Folder:
    """Folder of one kind of an experiment's results; to be written to, it needs who answers and what else decides."""
    e = experiment
    path = Path(results_dir) / e.model / e.format / slug(e.population) / place
    if respondent is None:
        return Folder(path)
    return Folder(path, {**respondent.settings, "prompts": PROMPTS_DIGEST, "population": e.population, **settings})


def _place(session: Session) -> int:
    """The session's byte in the lock file."""
    # The lock file stays empty, since locks need no content; byte 0 is that of the folder.
    return 1 + int.from_bytes(hashlib.sha256(session.stem.encode()).digest()[:6])


@contextmanager
def _sentence_if_unreadable(file: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise ValuestabError(
            f"{file} cannot be read ({' '.join(str(error).split())}): delete that file; the same command "
            "computes its session anew."
        ) from error


def _write_whole(file: Path, write: Callable[[BinaryIO], object]) -> None:
    # pandas.read_parquet passes over names with a dot or an underscore at the beginning.
    temporary = file.with_name(f".{file.stem}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("wb") as out:
            write(out)
            out.flush()
            os.fsync(out.fileno())  # the content must be on the disk before the name is
        os.replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)
