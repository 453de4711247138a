"""Progress bars that say what is left: in a notebook, in a terminal, and in a log that nobody wants flooded.

A bar in a notebook is one output that is updated in place, plain text: it needs no widget, and an executed
copy keeps its last state alone. Under `valuestab_utils.reproduce` it is shown in the terminal as well: the
notebook's process appends each state to a file, and the driver shows what is appended (`mirror`).
"""

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TextIO

from tqdm import tqdm

MIRROR = "VALUESTAB_PROGRESS"  # environment variable: the file that states are appended to
_INTERVAL = 0.5  # seconds between two states
_SPARSE_SECONDS = 30.0
_SPARSE_STEPS = 10  # of the whole way


def progress(
    iterable: Iterable | None = None, *, total: int | None = None, desc: str = "", unit: str = "it"
) -> tqdm:
    """A progress bar that fits where it is shown.

    In a terminal it is an ordinary bar, in a notebook a line of text that changes in place, and elsewhere (a
    log, a pipe) at most a line for each tenth or each 30 seconds. Nothing is shown where there is nothing to
    do.

    Parameters
    ----------
    iterable : iterable, optional
        What to go through; without it, call ``update`` on the bar.
    total : int, optional
        Steps in all, where the iterable does not tell.
    desc : str
        What is being done.
    unit : str
        What one step is.

    Returns
    -------
    tqdm.tqdm
        A context manager, and an iterator over ``iterable``.

    Examples
    --------
    >>> with progress(total=0, desc="nothing to do") as bar:
    ...     bar.update(0)
    >>> list(progress([], desc="nothing to go through"))
    []
    """
    if total is None and hasattr(iterable, "__len__"):
        total = len(iterable)
    return _Bar(
        iterable,
        total=total,
        desc=desc,
        unit=unit,
        disable=total == 0,
        mininterval=_INTERVAL,
        gui=True,  # tqdm counts, and leaves the showing to `display`
        file=sys.stderr,
    )


class _Bar(tqdm):
    monitor_interval = 0  # no thread that redraws: its output would land in whichever cell is running by then

    def __init__(self, *args, **kwargs):
        self._shown_at: list[_Screen] = []
        super().__init__(*args, **kwargs)
        if not self.disable:
            self._shown_at = list(_screens())
            self.display()

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Show the present state."""
        for screen in self._shown_at:
            screen.show(str(self) if msg is None else msg, self.n / self.total if self.total else None)

    def close(self) -> None:
        """Show the last state and end the line."""
        if not self.disable:
            self.display()
            super().close()
            for screen in self._shown_at:
                screen.end()


def _screens() -> "Iterator[_Screen]":
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if getattr(shell, "kernel", None) is not None:
        yield _Notebook()
        if os.environ.get(MIRROR):
            yield _Appended(Path(os.environ[MIRROR]))
    else:
        yield _terminal_or_log(sys.stderr)


def _terminal_or_log(stream: TextIO) -> "_Screen":
    return _Terminal(stream) if stream.isatty() else _Log(stream)


class _Notebook:
    """One output of the running cell."""

    def __init__(self):
        self._handle = None

    def show(self, text: str, share: float | None) -> None:
        from IPython.display import display

        bundle = {"text/plain": text}
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)

    def end(self) -> None:
        pass


class _Terminal:
    """The present line of a terminal."""

    def __init__(self, stream: TextIO):
        self.stream = stream

    def show(self, text: str, share: float | None) -> None:
        try:
            width = os.get_terminal_size(self.stream.fileno()).columns or 80
        except OSError:
            width = 80
        self.stream.write(f"\r\033[K{text[: width - 1]}")
        self.stream.flush()

    def end(self) -> None:
        self.stream.write("\n")
        self.stream.flush()


class _Log:
    """Lines, few of them: the last state, and before it one for each tenth of the way or each half minute."""

    def __init__(self, stream: TextIO):
        self.stream = stream
        self._pending = self._written = ""
        self._step, self._time = 0, time.monotonic()

    def show(self, text: str, share: float | None) -> None:
        self._pending = text
        step = int((share or 0.0) * _SPARSE_STEPS)
        if step > self._step or time.monotonic() - self._time >= _SPARSE_SECONDS:
            self._step, self._time = step, time.monotonic()
            self._write()

    def end(self) -> None:
        self._write()

    def _write(self) -> None:
        if self._pending != self._written:
            self.stream.write(self._pending + "\n")
            self.stream.flush()
            self._written = self._pending


class _Appended:
    """A file that another process follows, one JSON line a state."""

    def __init__(self, path: Path):
        self.path = path

    def show(self, text: str, share: float | None) -> None:
        self._append({"text": text, "share": share})

    def end(self) -> None:
        self._append(None)

    def _append(self, state: dict | None) -> None:
        with (
            contextlib.suppress(OSError),
            self.path.open("a", encoding="utf-8") as stream,
        ):  # a bar is no result
            stream.write(json.dumps(state) + "\n")


_Screen = _Notebook | _Terminal | _Log | _Appended


@contextlib.contextmanager
def mirror(stream: TextIO) -> Iterator[None]:
    """While the block runs, show on ``stream`` the bars of the notebooks that this process executes.

    Parameters
    ----------
    stream : text file
        A terminal shows them as bars, anything else as a few lines.
    """
    with TemporaryDirectory(prefix="valuestab-") as folder:
        path = Path(folder) / "progress"
        path.touch()
        ended = threading.Event()
        before = os.environ.get(MIRROR)
        os.environ[MIRROR] = str(path)
        follower = threading.Thread(target=_follow, args=(path, stream, ended), daemon=True)
        follower.start()
        try:
            yield
        finally:
            ended.set()
            follower.join()
            os.environ.pop(MIRROR)
            if before is not None:
                os.environ[MIRROR] = before


def _follow(path: Path, stream: TextIO, ended: threading.Event) -> None:
    screen = None
    with path.open(encoding="utf-8") as states:
        rest = ""
        while True:
            last_look = ended.wait(0.2)
            *lines, rest = (rest + states.read()).split("\n")
            for line in lines:
                state = json.loads(line)
                if state is None and screen:
                    screen.end()
                    screen = None
                elif state is not None:
                    screen = screen or _terminal_or_log(stream)
                    screen.show(state["text"], state["share"])
            if last_look:
                if screen:
                    screen.end()  # the notebook ended in the middle of a bar
                return
