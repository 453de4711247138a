"""What was answered and paid for at an API, kept on disk, and a budget that is never exceeded."""

import fcntl
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from valuestab_utils.errors import ValuestabError

Tokens = tuple[int, int]  # in, out


class Journal:
    """Responses by request, a line each, so that an interrupted session is not paid for twice.

    Threads and processes may share one: each sees what the others have added.

    Parameters
    ----------
    path : Path or None
        None keeps it in memory.
    """

    def __init__(self, path: Path | None):
        self.path = path
        self._kept: dict[str, dict] = {}
        self._spent, self._read = (0, 0), 0
        self._lock = threading.Lock()

    @property
    def spent(self) -> Tokens:
        """Tokens in and out of all requests, those of other processes too."""
        with self._lock:
            self._catch_up()
            return self._spent

    def find(self, key: str) -> dict | None:
        """What was kept of a request's response."""
        with self._lock:
            if key not in self._kept:
                self._catch_up()
            return self._kept.get(key)

    def add(self, key: str, kept: dict | None, tokens_in: int, tokens_out: int) -> None:
        """Keep what is needed of a response, and what it cost; without a response, only the latter.

        Raises
        ------
        ValuestabError
            If it cannot be written.
        """
        if not self.path:
            with self._lock:
                self._remember(key, kept, tokens_in, tokens_out)
            return
        line = json.dumps({"key": key, "kept": kept, "tokens": [tokens_in, tokens_out]}, ensure_ascii=False)
        try:
            with self._lock, self._opened() as file:
                self._go_on(file)
                file.seek(0, os.SEEK_END)
                cut = file.tell() > self._read  # by a kill: the new line must not be joined to it
                file.write(("\n" * cut + line + "\n").encode())
                file.flush()
                file.seek(self._read)
                self._go_on(file)
        except OSError as error:
            raise ValuestabError(
                f"What was paid for could not be written to {self.path} ({error.strerror or error}): make room or give "
                "another results_dir; what is there is kept, and the same command goes on."
            ) from error

    def _catch_up(self) -> None:
        if self.path and self.path.exists() and self.path.stat().st_size > self._read:
            with self._opened() as file:
                self._go_on(file)

    @contextmanager
    def _opened(self) -> Iterator:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a+b") as file:
            fcntl.lockf(file, fcntl.LOCK_EX)  # given back when the file is closed
            yield file

    def _go_on(self, file) -> None:
        """Read the whole lines that are new."""
        file.seek(self._read)
        text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.splitlines():
            try:
                entry = json.loads(line)
            except ValueError:  # cut when a process was killed
                continue
            self._remember(entry["key"], entry["kept"], *entry["tokens"])

    def _remember(self, key: str, kept: dict | None, tokens_in: int, tokens_out: int) -> None:
        if kept is not None:
            self._kept[key] = kept
        self._spent = (self._spent[0] + tokens_in, self._spent[1] + tokens_out)


class Budget:
    """Lets a request begin only if what was spent, what is on its way, and its own most together stay within limits.

    Parameters
    ----------
    model : str
    settings : valuestab_utils.api_client.Settings
    """

    def __init__(self, model: str, settings):
        self.model, self.settings = model, settings
        self._begun = (0, 0)
        self._turn = threading.Condition()

    @contextmanager
    def reserved(self, journal: Journal, most: Tokens, stopped: Callable[[], bool]) -> Iterator[None]:
        """Hold ``most`` tokens back while a request runs; what it takes must be in the journal when the block ends.

        Raises
        ------
        ValuestabError
            If there is no room for it, and no other request could make any.
        """
        with self._turn:
            while not self._fits(_sum(journal.spent, self._begun, most)):
                if self._begun == (0, 0) or stopped():
                    raise ValuestabError(self._spent(journal.spent, most))
                self._turn.wait(1)
            self._begun = _sum(self._begun, most)
        try:
            yield
        finally:
            with self._turn:
                self._begun = _sum(self._begun, (-most[0], -most[1]))
                self._turn.notify_all()

    def _fits(self, tokens: Tokens) -> bool:
        # Without prices the amount is NaN, and there is no limit to it.
        return sum(tokens) <= self.settings.max_tokens and not self.settings.usd(*tokens) > self.settings.max_usd

    def _spent(self, spent: Tokens, most: Tokens) -> str:
        usd = self.settings.usd(*spent)
        price = "" if usd != usd else f", {usd:.4g} USD"
        limits = {"VALUESTAB_MAX_TOKENS": self.settings.max_tokens, "VALUESTAB_MAX_USD": self.settings.max_usd}
        told = " and ".join(f"{name}={value:.15g}" for name, value in limits.items() if value != float("inf"))
        return (
            f"The budget for {self.model} is spent: {spent[0]:,} tokens in and {spent[1]:,} out{price} in this results "
            f"folder, and the next request may take up to {sum(most):,} more, with {told}. What was answered is kept; "
            "with a larger budget, the same command goes on."
        )


def _sum(*tokens: Tokens) -> Tokens:
    return sum(t[0] for t in tokens), sum(t[1] for t in tokens)
