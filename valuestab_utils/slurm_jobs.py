"""What Slurm's jobs run: one shard of a study, and the notebooks at the end."""

import contextlib
import io
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from valuestab_utils.errors import ValuestabError


@dataclass(frozen=True)
class Outcome:
    """What a job that came to an end reports.

    Attributes
    ----------
    seconds : float
        How long it took, without the start of Python.
    error : str or None
        The sentence of a ValuestabError: another try would end in the same.
    n_sessions : int
        Sessions of the shard.
    text : str
        What is to be printed.
    """

    seconds: float
    error: str | None = None
    n_sessions: int = 0
    text: str = ""


def shard_job(parameters: Mapping[str, object], index: int, count: int) -> Outcome:
    """Compute what is missing of one shard of a study.

    Parameters
    ----------
    parameters : mapping
        Of `valuestab_utils.study.plan_study`.
    index, count : int
        See `valuestab_utils.shards.run_shard`.
    """
    _end_at_once_when_told()
    from valuestab_utils.shards import run_shard  # these load PyTorch, and a job's time has begun
    from valuestab_utils.study import plan_study

    start = time.monotonic()
    try:
        n_sessions = run_shard(plan_study(**parameters), index, count)
    except ValuestabError as error:
        return Outcome(time.monotonic() - start, error=str(error))
    return Outcome(time.monotonic() - start, n_sessions=n_sessions)


def notebooks_job(arguments: Sequence[str], log: Path) -> Outcome:
    """Execute the notebooks and write the report, as `valuestab_utils.reproduce` does with these arguments.

    What it says on its way goes to the file ``log``, line by line.
    """
    _end_at_once_when_told()
    from valuestab_utils.reproduce import main

    start = time.monotonic()
    printed = io.StringIO()
    with log.open("w", encoding="utf-8") as said, contextlib.redirect_stderr(said), contextlib.redirect_stdout(printed):
        code = main(list(arguments))
    error = None
    if code:
        lines = log.read_text(encoding="utf-8").strip().splitlines()
        error = lines[-1] if lines else f"The notebooks ended with the exit code {code}."
    return Outcome(time.monotonic() - start, error, text=printed.getvalue())


def _end_at_once_when_told() -> None:
    # submitit would let SIGTERM pass, and the job hold its GPU until it is killed. A job may end at any moment:
    # results are written whole.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
