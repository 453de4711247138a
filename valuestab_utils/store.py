"""Results on disk: one Parquet file a session, written whole or not at all, shared safely by several runs.

In an experiment's folder, ``<results>/<model>/<format>/<population>``, the folder ``conversations`` has a
file for each session, and ``<instrument>/n<messages>`` one with its answers. ``pandas.read_parquet`` reads
either folder as one tidy frame; what else is in there has a name that it passes over.
"""

import fcntl
import hashlib
import json
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from valuestab_utils.errors import ValuestabError
from valuestab_utils.sessions import Experiment, Session, slug


class Folder:
    """One kind of result of one experiment: a folder with a file for each session.

    Parameters
    ----------
    path : Path
    settings : dict, optional
        All that decides the results in it beside the sessions. The first run writes them to
        ``_settings.json``; a run with others is refused. Without them, the folder can only be read.

    Raises
    ------
    ValuestabError
        If the folder was made with other settings, or cannot be written to.
    """

    def __init__(self, path: Path, settings: dict | None = None):
        self.path = path
        if settings is None:
            return
        with self._sentence_if_unwritable("Results"):
            path.mkdir(parents=True, exist_ok=True)
            with self._lock_file() as lock:
                fcntl.lockf(lock, fcntl.LOCK_EX, 1, 0)
                _remove_leftovers(path)
                self._check_settings(settings)

    def file(self, session: Session) -> Path:
        """Where the session's result is, or will be."""
        return self.path / f"{session.stem}.parquet"

    def settings(self) -> dict:
        """What decided the results in the folder.

        Raises
        ------
        ValuestabError
            If its ``_settings.json`` is missing or damaged.
        """
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

    def read(self, session: Session) -> pd.DataFrame:
        """The session's result.

        Raises
        ------
        ValuestabError
            If there is none, or its file is damaged.
        """
        return self.read_all([session])

    def read_all(self, sessions: Sequence[Session]) -> pd.DataFrame:
        """The results of several sessions, one after the other, as one tidy frame.

        Raises
        ------
        ValuestabError
            If one of them is missing, its file is damaged, or has other columns than the rest.
        """
        missing = self.missing(sessions)
        if missing:
            raise ValuestabError(
                f"{len(missing)} of {len(sessions)} sessions have no result in {self.path}, the first "
                f"{missing[0]}: run the notebook that computes them."
            )
        tables = [_read(self.file(session)) for session in sessions]
        for session, table in zip(sessions, tables):
            if table.schema != tables[0].schema:
                raise ValuestabError(
                    f"{self.file(session)} has other columns than {self.file(sessions[0])}, as from another "
                    "version of this package, and the two must not mix: give another results_dir."
                )
        return pa.concat_tables(tables).to_pandas()

    def write(self, session: Session, frame: pd.DataFrame) -> None:
        """Put the session's result in place, whole: a reader sees the old file or the new one.

        Raises
        ------
        ValuestabError
            If the disk is full or cannot be written; what was there stays.
        """
        table = pa.Table.from_pandas(frame, preserve_index=False)
        with self._sentence_if_unwritable(f"The result of session {session}"):
            _write_whole(self.file(session), lambda out: pq.write_table(table, out, write_page_checksum=True))

    @contextmanager
    def claim(self, sessions: Sequence[Session], at_most: int) -> Iterator[list[Session]]:
        """Reserve sessions for this process while it computes them: the first that no other run is computing.

        They may have a result by now: look again. A claim ends with the block, or with the process, however
        that ends. A process holds one claim at a time.
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


def read_whole_folder(path: Path) -> pd.DataFrame:
    """All results of a folder as one tidy frame, whichever sessions they are of.

    Raises
    ------
    ValuestabError
        If there are none, a file is damaged, or has other columns than the rest.
    """
    files = sorted(path.glob("*.parquet"))
    if not files:
        raise ValuestabError(f"There are no results in {path}: run the notebook that computes them.")
    tables = [_read(file) for file in files]
    for file, table in zip(files, tables):
        if table.schema != tables[0].schema:
            raise ValuestabError(
                f"{file} has other columns than {files[0]}, as from another version of this package, and the two "
                "must not mix: move one of them away."
            )
    return pa.concat_tables(tables).to_pandas()


def check_unchanged(session: Session, then: Mapping, now: Mapping, path: Path) -> None:
    """Hold what a stored result says of the texts that it was made with to what they are now.

    Raises
    ------
    ValuestabError
        If they differ: the result is another persona's, first message's or questionnaire's of the same name.
    """
    for name, value in now.items():
        if then[name] != value:
            raise ValuestabError(
                f"The result of session {session} in {path} was made with the {name.replace('_', ' ')} "
                f"{then[name]!r}, which is now {value!r}: give what was changed another name, or give "
                "another results_dir."
            )


def experiment_folder(results_dir: Path, experiment: Experiment) -> Path:
    """Folder of all results of an experiment's model, format and population.

    Examples
    --------
    >>> from types import SimpleNamespace as Record
    >>> experiment_folder(Path("results"), Record(model="m", format="base", population="none")).as_posix()
    'results/m/base/none'
    """
    return Path(results_dir) / experiment.model / experiment.format / slug(experiment.population)


def _place(session: Session) -> int:
    """The session's byte in the lock file (it stays empty: locks need no content); byte 0 is the folder's."""
    return 1 + int.from_bytes(hashlib.sha256(session.stem.encode()).digest()[:6])


def _read(file: Path) -> pa.Table:
    with _sentence_if_unreadable(file):
        return pq.ParquetFile(file, page_checksum_verification=True).read()


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
    temporary = file.with_name(f".{file.stem}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("wb") as out:
            write(out)
            out.flush()
            os.fsync(out.fileno())  # the content must be on the disk before the name is
        os.replace(temporary, file)
        folder = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # and the name too before the next result is begun
        finally:
            os.close(folder)
    finally:
        temporary.unlink(missing_ok=True)


def _remove_leftovers(folder: Path) -> None:
    """Remove the unfinished files of runs that were killed; a file being written is never this old."""
    for file in folder.glob(".*.tmp"):
        with suppress(FileNotFoundError):
            if time.time() - file.stat().st_mtime > 3600:
                file.unlink()
