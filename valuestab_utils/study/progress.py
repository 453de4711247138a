"""Progress bars that say what is left: one line that changes in a terminal or notebook, few lines in a log."""

import os
import shutil
import sys
from collections.abc import Iterable

from tqdm import tqdm

IN_A_LOG = "VALUESTAB_IN_A_LOG"  # environment variable: set where what notebooks show goes on to a log


def progress(iterable: Iterable | None = None, *, total: int | None = None, desc: str = "", unit: str = "it") -> tqdm:
    """A bar over ``iterable``; without one, give ``total`` and call ``update``. Nothing is shown with nothing to do."""
    if total is None and hasattr(iterable, "__len__"):
        total = len(iterable)
    watched = sys.stderr.isatty() or type(sys.stderr).__module__.startswith("ipykernel")
    in_a_log = IN_A_LOG in os.environ or not watched
    where = _Log() if in_a_log else sys.stderr
    # Both told to tqdm, which takes the size 0 that some terminals give for a reason to show nothing.
    width = min(100, shutil.get_terminal_size().columns - 1)
    # miniters=1: tqdm's thread then has nothing to redraw, which in a notebook would land in a later cell.
    how = {"miniters": 1, "mininterval": 30 if in_a_log else 0.5, "ncols": width, "nrows": 20, "disable": total == 0}
    return tqdm(iterable, total=total, desc=desc, unit=unit, file=where, **how)


class _Log:
    """A file for tqdm in which each state of a bar is a line of its own."""

    def write(self, text: str) -> None:
        if text.strip():
            sys.stderr.write(text.strip() + "\n")

    def flush(self) -> None:
        sys.stderr.flush()
