"""Results on disk: one Parquet file a session, written whole or not at all, shared safely by several runs.

The folder of an experiment is ``<results>/<model>/<format>/<population>``; in it, ``conversations/`` holds one file a
session and ``<instrument>/n<messages>/`` one file a session with its answers. ``pandas.read_parquet`` reads either
folder as one tidy frame.
"""

import fcntl
import hashlib
import json
import os
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq

from valuestab_utils.errors import ValuestabError
from valuestab_utils.sessions import Experiment, Session, slug


class Folder:
    """One kind of result of one experiment: a folder with a file for each session.

    Parameters
    ----------
    path : Path
    settings : dict, optional
        All that decides the results in it beside the sessions. The first run writes them to ``settings.json``; a run
        with others is refused. Without them, the folder can only be read.

    Raises
    ------
    ValuestabError
        If the folder was made with other settings.
    """

    def __init__(self, path: Path, settings: dict | None = None):
        self.path = path
        if settings is None:
            return
        path.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        self._acquire(0, wait=True)
        try:
            _remove_leftovers(path)
            self._check_settings(settings)
        finally:
            self._release(0)

    def __del__(self):
        if hasattr(self, "_lock"):
            os.close(self._lock)

    def file(self, session: Session) -> Path:
        """Where the session's result is, or will be."""
        return self.path / f"{session.stem}.parquet"

    def missing(self, sessions: Sequence[Session]) -> list[Session]:
        """Those of ``sessions`` that have no result yet."""
        there = {file.name for file in self.path.glob("*.parquet")}
        return [session for session in sessions if self.file(session).name not in there]

    def read(self, session: Session) -> pd.DataFrame:
        """The session's result."""
        return pq.read_table(self.file(session)).to_pandas()

    def n_rows(self, session: Session) -> int:
        """Rows of the session's result, from the file's footer alone."""
        return pq.read_metadata(self.file(session)).num_rows

    def read_all(self, sessions: Sequence[Session]) -> pd.DataFrame:
        """The results of several sessions, one after the other, as one tidy frame.

        Raises
        ------
        ValuestabError
            If one of them is missing or is no Parquet file.
        """
        missing = self.missing(sessions)
        if missing:
            raise ValuestabError(
                f"{len(missing)} of {len(sessions)} sessions have no result in {self.path} (first: {missing[0]}): "
                "run the notebook that computes them."
            )
        try:
            dataset = pa.dataset.dataset([str(self.file(session)) for session in sessions], format="parquet")
            return dataset.to_table().to_pandas()
        except pa.ArrowInvalid as error:
            raise ValuestabError(
                f"A result file in {self.path} cannot be read ({error}): delete that file; the same command "
                "computes its session anew."
            ) from error

    def write(self, session: Session, frame: pd.DataFrame) -> None:
        """Put the session's result in place, whole: a reader sees the old file or the new one, never half of one.

        Raises
        ------
        ValuestabError
            If the disk is full or cannot be written; what was there stays.
        """
        temporary = self.path / f".{session.stem}.{uuid.uuid4().hex}.tmp"
        try:
            with temporary.open("wb") as stream:
                pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), stream)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, self.file(session))
        except OSError as error:
            raise ValuestabError(
                f"The result of session {session} could not be written to {self.path} ({error.strerror or error}): "
                "make room or give another results_dir; everything before it is kept, and the same command goes on."
            ) from error
        finally:
            temporary.unlink(missing_ok=True)

    @contextmanager
    def claim(self, sessions: Sequence[Session]) -> Iterator[list[Session]]:
        """Reserve sessions for this process while it computes them; gives those that no other run is computing.

        A claim ends with the block, or with the process, however that ends.
        """
        claimed = [session for session in sessions if self._acquire(_place(session))]
        try:
            yield claimed
        finally:
            for session in claimed:
                self._release(_place(session))

    def wait_for(self, session: Session) -> None:
        """Wait until no other run is computing ``session``."""
        self._acquire(_place(session), wait=True)
        self._release(_place(session))

    def _acquire(self, place: int, wait: bool = False) -> bool:
        try:
            fcntl.lockf(self._lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB), 1, place)
        except BlockingIOError:
            return False
        return True

    def _release(self, place: int) -> None:
        fcntl.lockf(self._lock, fcntl.LOCK_UN, 1, place)

    def _check_settings(self, settings: dict) -> None:
        file = self.path / "settings.json"
        if not file.exists():
            temporary = self.path / f".settings.{uuid.uuid4().hex}.tmp"
            temporary.write_text(json.dumps(settings, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            os.replace(temporary, file)
        stored = json.loads(file.read_text(encoding="utf-8"))
        now = json.loads(json.dumps(settings))
        different = [
            f"{key} is {stored.get(key)!r} there and {now.get(key)!r} now"
            for key in {**stored, **now}
            if stored.get(key) != now.get(key)
        ]
        if different:
            raise ValuestabError(
                f"The results in {self.path} were made with other settings ({'; '.join(different)}), and the two must "
                "not mix: give another results_dir, or move that folder away."
            )


def _place(session: Session) -> int:
    """The session's byte in the lock file (which stays empty: locks need no content); byte 0 is the folder's own."""
    return 1 + int.from_bytes(hashlib.sha256(session.stem.encode()).digest()[:6])


def _remove_leftovers(folder: Path) -> None:
    """Remove the unfinished files of runs that were killed; a file being written is never this old."""
    for file in folder.glob(".*.tmp"):
        with suppress(FileNotFoundError):
            if time.time() - file.stat().st_mtime > 3600:
                file.unlink()


def experiment_folder(results_dir: Path, experiment: Experiment) -> Path:
    """Folder of all results of an experiment's model, format and population.

    Examples
    --------
    >>> from types import SimpleNamespace as Record
    >>> experiment_folder(Path("results"), Record(model="m", format="base", population="none")).as_posix()
    'results/m/base/none'
    """
    return Path(results_dir) / experiment.model / experiment.format / slug(experiment.population)
