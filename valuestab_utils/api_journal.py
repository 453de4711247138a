"""What was asked of an API, answered and paid for, and a budget that is never exceeded: an SQLite database a model.

A request is entered, with the most that it can take, before it is sent. If its process is killed before the answer
comes, it stays entered so, since the service may have been paid.
"""

import json
import sqlite3
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from valuestab_utils.api_settings import Settings
from valuestab_utils.errors import ValuestabError

Tokens = tuple[int, int]  # in, out

_TABLES = (
    "CREATE TABLE answers (key TEXT PRIMARY KEY, kept TEXT NOT NULL)",
    # A row for each request without an answer, and row 0 for all that have ended: a sum over few rows is quick.
    "CREATE TABLE tokens (id INTEGER PRIMARY KEY, key TEXT, since REAL, tokens_in INTEGER, tokens_out INTEGER)",
    "INSERT INTO tokens VALUES (0, '', 0, 0, 0)",
)


class Journal:
    """Requests of one model and what was kept of their responses; threads, processes and machines may share it.

    Parameters
    ----------
    path : Path or None
        None keeps it in memory. When it is made, it takes over a .jsonl file of that name, the form it once had.
    """

    def __init__(self, path: Path | None):
        self.path, self._db, self._lock = path, None, threading.Lock()

    @property
    def spent(self) -> Tokens:
        """Tokens in and out of all requests; one without an answer counts as the most that it can take."""
        if self.path and not self.path.exists() and not self._old_form.exists():
            return 0, 0  # who only looks leaves no file behind
        with self._transaction("DEFERRED") as db:
            return _spent(db)

    def find(self, key: str) -> dict | None:
        """What was kept of a request's response."""
        with self._transaction("DEFERRED") as db:
            row = db.execute("SELECT kept FROM answers WHERE key = ?", (key,)).fetchone()
        return json.loads(row[0]) if row else None

    def begin(self, key: str, most: Tokens, settings: Settings, stop: threading.Event) -> int:
        """Enter a request as soon as the limits leave room for the ``most`` that it can take; gives what `end` needs.

        Requests on their way may take less than their most and are waited for, until ``stop`` is set; not those that
        began so long ago that their process must have been killed.

        Raises
        ------
        ValuestabError
            If there is no room for it.
        """
        while True:
            with self._transaction("IMMEDIATE") as db:  # the look at the limits and the entry are one
                spent, now = _spent(db), time.time()
                if settings.allow(spent[0] + most[0], spent[1] + most[1]):
                    (unanswered,) = db.execute("SELECT count(*) FROM tokens WHERE key = ?", (key,)).fetchone()
                    row = db.execute("INSERT INTO tokens VALUES (NULL, ?, ?, ?, ?)", (key, now, *most)).lastrowid
                    break
                oldest = now - 2 * settings.timeout
                (awaited,) = db.execute("SELECT count(*) FROM tokens WHERE since > ?", (oldest,)).fetchone()
            if not awaited or stop.wait(0.2):
                raise ValuestabError(_no_room(spent, most, settings))
        if unanswered:
            again = "A request without an answer is sent again: both may be paid for, and both count."
            warnings.warn(again, stacklevel=2)
        return row

    def end(self, row: int, key: str, kept: dict | None, tokens: Tokens) -> None:
        """Enter what a request took and what is kept of its response, if there is one."""
        with self._transaction("IMMEDIATE") as db:
            db.execute("DELETE FROM tokens WHERE id = ?", (row,))
            _add(db, key, kept, tokens)

    @property
    def _old_form(self) -> Path:
        return self.path.with_suffix(".jsonl")

    @contextmanager
    def _transaction(self, kind: str) -> Iterator[sqlite3.Connection]:
        try:
            with self._lock:
                self._db = self._db or self._opened()
                with self._db:
                    self._db.execute(f"BEGIN {kind}")
                    yield self._db
        except (sqlite3.Error, OSError) as error:
            raise ValuestabError(
                f"What was paid for could not be kept in {self.path} ({error}): make room or give another results_dir; "
                "what is there is kept, and the same command goes on."
            ) from error

    def _opened(self) -> sqlite3.Connection:
        if self.path:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        # Its journal mode is SQLite's own: WAL, the faster one, does not work on network file systems.
        db = sqlite3.connect(self.path or ":memory:", timeout=60, isolation_level=None, check_same_thread=False)
        with db:
            db.execute("BEGIN IMMEDIATE")  # one of several processes makes the tables
            if not db.execute("SELECT name FROM sqlite_master").fetchall():
                for statement in _TABLES:
                    db.execute(statement)
                old = self.path and self._old_form.exists()
                for line in self._old_form.read_bytes().splitlines() if old else ():
                    with suppress(ValueError):  # cut when a process was killed
                        entry = json.loads(line)
                        _add(db, entry["key"], entry["kept"], entry["tokens"])
        return db


def _spent(db: sqlite3.Connection) -> Tokens:
    return db.execute("SELECT sum(tokens_in), sum(tokens_out) FROM tokens").fetchone()


def _add(db: sqlite3.Connection, key: str, kept: dict | None, tokens: Tokens) -> None:
    db.execute("UPDATE tokens SET tokens_in = tokens_in + ?, tokens_out = tokens_out + ? WHERE id = 0", tokens)
    if kept is not None:
        db.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", (key, json.dumps(kept, ensure_ascii=False)))


def _no_room(spent: Tokens, most: Tokens, settings: Settings) -> str:
    usd = settings.usd(*spent)
    price = "" if usd != usd else f", {usd:.4g} USD"
    limits = {"VALUESTAB_MAX_TOKENS": settings.max_tokens, "VALUESTAB_MAX_USD": settings.max_usd}
    told = " and ".join(f"{name}={value:.15g}" for name, value in limits.items() if value != float("inf"))
    return (
        f"The budget of {told} is spent: the model took {spent[0]:,} tokens in and {spent[1]:,} out{price} in this "
        f"results folder, and the next request may take up to {sum(most):,} more. What was answered is kept; with a "
        "larger budget, the same command goes on."
    )
