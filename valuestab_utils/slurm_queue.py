"""Slurm's queue as its own commands tell it; accounting (sacct) is not needed."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from valuestab_utils.errors import ValuestabError

# States of a job that will not run again by itself. Every other one is a job that waits or runs.
_ENDED = frozenset(
    "BOOT_FAIL CANCELLED COMPLETED DEADLINE FAILED NODE_FAIL OUT_OF_MEMORY PREEMPTED REVOKED TIMEOUT".split()
)
_TIMEOUT = 60  # seconds for an answer of the controller


@dataclass(frozen=True)
class JobState:
    """State of a job, such as RUNNING or TIMEOUT, and Slurm's word on why it waits ("None" if it does not)."""

    state: str
    reason: str

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self.state in _ENDED


class Queue:
    """The jobs of this user."""

    def check(self) -> None:
        """See to it that jobs can be submitted from this machine.

        Raises
        ------
        ValuestabError
            If Slurm's commands are not here, or its controller does not answer.
        """
        lacking = [name for name in ("sbatch", "srun", "squeue", "scancel") if shutil.which(name) is None]
        if lacking:
            raise ValuestabError(
                f"EXECUTOR=slurm needs Slurm's commands, and {', '.join(lacking)} cannot be found here: run this "
                "on a login node of your cluster, or leave EXECUTOR out to run on this machine."
            )
        try:
            self._ask()
        except (OSError, subprocess.SubprocessError) as error:
            raise ValuestabError(
                f"Slurm's controller does not answer ({_reason(error)}): try again when it does, or ask its operators."
            ) from error

    def states(self) -> Mapping[str, JobState] | None:
        """States by job id (``12``, or ``12_3`` in an array); None if the controller does not answer just now.

        A job that is over is listed for a few minutes only.
        """
        try:
            return parse_states(self._ask())
        except (OSError, subprocess.SubprocessError):
            return None

    def cancel(self, job_ids: Sequence[str]) -> None:
        """Cancel these jobs; those that are over are passed over."""
        subprocess.run(["scancel", "--quiet", *job_ids], capture_output=True, timeout=_TIMEOUT, check=False)

    def _ask(self) -> str:
        command = ["squeue", "--me", "--noheader", "--array", "--states=all", "--format=%i|%T|%r"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT, check=True)
        return done.stdout


def parse_states(text: str) -> dict[str, JobState]:
    """Take apart what squeue prints, one job a line.

    Examples
    --------
    >>> parse_states("12_3|PENDING|Priority\\n14|TIMEOUT|None\\n")["14"].ended
    True
    """
    lines = [line.split("|", 2) for line in text.splitlines() if line.count("|") >= 2]
    return {job_id.strip(): JobState(state.strip(), reason.strip()) for job_id, state, reason in lines}


@contextmanager
def outside_of_a_job() -> Iterator[None]:
    """Hide that this process is in a job itself, if it is: one that it submits would take over its size."""
    hidden = {}
    if "SLURM_JOB_ID" in os.environ:
        names = [name for name in os.environ if name.startswith("SLURM_") and name != "SLURM_CONF"]
        hidden = {name: os.environ.pop(name) for name in names}
    try:
        yield
    finally:
        os.environ.update(hidden)


def _reason(error: Exception) -> str:
    said = getattr(error, "stderr", None) or str(error)
    return " ".join(str(said).split())[:300]
