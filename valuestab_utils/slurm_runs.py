"""Runs calls as Slurm jobs, watches them, and submits again what died."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from submitit.core.utils import FailedJobError, FailedSubmissionError, UncompletedJobError

from valuestab_utils.errors import ValuestabError
from valuestab_utils.progress import progress
from valuestab_utils.slurm_jobs import Outcome
from valuestab_utils.slurm_queue import JobState, Queue, outside_of_a_job

GRACE = 60.0  # seconds that a job's report may take to be seen here: NFS looks anew after 30 to 60
_POLL = (1.0, 30.0)  # seconds between two looks: at first, and at most
_DIED = "died"


@dataclass(eq=False)
class _Task:
    """One call and the job that runs it at present."""

    name: str
    arguments: tuple
    job: object = None
    submissions: int = 0
    gone_since: float | None = None
    last_state: str = "no state"


def run_jobs(
    function: Callable[..., Outcome],
    calls: Mapping[str, tuple],
    executor,
    queue: Queue,
    max_resubmits: int,
    title: str,
    log: Path | None = None,
) -> dict[str, Outcome]:
    """Run ``function(*arguments)`` as a job for each of ``calls``, all of them in one array; wait for all.

    A job that ends without a report (time limit, node failure, a crash) is submitted again. One whose report is a
    ValuestabError is not: the others are cancelled, and the error is raised at once.

    Parameters
    ----------
    function : callable
        Can be imported by name; gives an `Outcome`.
    calls : mapping of str to tuple
        Arguments by what the call is named in messages.
    executor : submitit.SlurmExecutor
    queue : Queue
    max_resubmits : int
        Times that each call is submitted again.
    title : str
        Of the progress bar.
    log : Path, optional
        A file that a job writes; what comes to it is shown.

    Raises
    ------
    ValuestabError
        One that a job reports; jobs that died too often, with the paths of their logs; Slurm refuses the jobs.
    """
    tasks = [_Task(name, arguments) for name, arguments in calls.items()]
    waiting, failed, outcomes = list(tasks), [], {}
    start, shown = time.monotonic(), 0
    try:
        _submit(executor, function, waiting)
        with progress(total=len(tasks), desc=title, unit="job") as bar:
            while waiting:
                states = queue.states()
                looks = [(task, _look(task, states)) for task in waiting]
                ended = {task.name: found for task, found in looks if isinstance(found, Outcome)}
                _raise_reported(ended, alone=len(tasks) == 1)
                outcomes |= ended
                died = [task for task, found in looks if found == _DIED]
                again = [task for task in died if task.submissions <= max_resubmits]
                failed += [task for task in died if task not in again]
                if again:
                    _submit(executor, function, again)
                waiting = [task for task in waiting if task.name not in ended and task not in failed]
                shown = _relay(log, shown)
                bar.set_postfix_str(_summary(waiting, failed, states), refresh=False)
                if ended:
                    bar.update(len(ended))
                bar.refresh()
                if waiting:
                    time.sleep(min(max(_POLL[0], (time.monotonic() - start) / 20), _POLL[1]))
    except ValuestabError:
        if _ids(waiting):
            queue.cancel(_ids(waiting))
        raise
    except KeyboardInterrupt:
        ids = " ".join(_ids(waiting))
        _say(f"The jobs go on without this command, and what they compute is kept; to end them: scancel {ids}")
        raise
    if failed:
        raise ValuestabError(_sentence_on(failed, len(tasks), max_resubmits))
    return outcomes


def _look(task: _Task, states: Mapping[str, JobState] | None) -> Outcome | str | None:
    """A job's report, that it died, or None while it may still run."""
    if task.job.paths.result_pickle.exists():
        try:
            return task.job.result()
        except UncompletedJobError:  # it raised something; the traceback is in its log
            task.last_state = "an error"
            return _DIED
    if states is None:  # nobody knows: look again
        return None
    state = states.get(task.job.job_id)
    if state is not None and not state.ended:
        task.gone_since = None
        return None
    if state is not None:
        task.last_state = state.state
        if state.state != "COMPLETED":
            return _DIED
    task.gone_since = task.gone_since or time.monotonic()
    return _DIED if time.monotonic() - task.gone_since >= GRACE else None


def _submit(executor, function: Callable, tasks: Sequence[_Task]) -> None:
    try:
        with outside_of_a_job():
            jobs = executor.map_array(function, *zip(*(task.arguments for task in tasks)))
    except (FailedJobError, FailedSubmissionError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ValuestabError(
            f"Slurm refused {len(tasks)} jobs ({reason}): check partition, account, time, GPUs and memory, and take "
            "no more shards than an array may have here (scontrol show config | grep MaxArraySize)."
        ) from error
    for task, job in zip(tasks, jobs, strict=True):
        task.job, task.gone_since, task.submissions = job, None, task.submissions + 1
    array = f", an array of {len(jobs)}" if len(jobs) > 1 else ""
    _say(f"Submitted as Slurm job {' '.join(_ids(tasks))}{array}; logs: {executor.folder}")


def _raise_reported(ended: Mapping[str, Outcome], alone: bool) -> None:
    for name, outcome in ended.items():
        if outcome.error is not None:
            others = "" if alone else f" (Said by {name}; the other jobs were cancelled, and results are kept.)"
            raise ValuestabError(outcome.error + others)


def _summary(waiting: Sequence[_Task], failed: Sequence[_Task], states: Mapping[str, JobState] | None) -> str:
    """What the jobs that are not done are doing, as far as Slurm tells."""
    if states is None:
        return "Slurm does not answer"
    now = [states.get(task.job.job_id) for task in waiting]
    pending = [state for state in now if state is not None and state.state == "PENDING"]
    why = ", ".join(sorted({state.reason for state in pending} - {"None"}))
    running = sum(state is not None and not state.ended for state in now) - len(pending)
    parts = [f"{running} running", f"{len(pending)} waiting" + (f" ({why})" if why else "")]
    again = sum(task.submissions > 1 for task in waiting)
    parts += [f"{again} submitted again"] if again else []
    return ", ".join([*parts, f"{len(failed)} failed"])


def _sentence_on(failed: Sequence[_Task], n_tasks: int, max_resubmits: int) -> str:
    named = "; ".join(f"{t.name} ended with {t.last_state}, log {t.job.paths.stderr}" for t in failed[:5])
    more = f"; and {len(failed) - 5} more" if len(failed) > 5 else ""
    tries = "1 try" if max_resubmits == 0 else f"{max_resubmits + 1} tries"
    return (
        f"{len(failed)} of {n_tasks} jobs did not finish in {tries} ({named}{more}): "
        "read the logs, give more time or memory or fewer sessions a job; the same command computes what is missing."
    )


def _relay(log: Path | None, shown: int) -> int:
    """Show the whole lines that came to ``log`` after its first ``shown`` characters; gives how many are shown now."""
    if log is None or not log.exists():
        return shown
    text = log.read_text(encoding="utf-8", errors="replace")
    whole = text[: text.rfind("\n") + 1]
    new = whole[shown:] if len(whole) >= shown else whole  # a job that was submitted again begins a new log
    for line in new.splitlines():
        _say(line)
    return len(whole)


def _ids(tasks: Sequence[_Task]) -> list[str]:
    """Ids of the tasks' jobs; an array by its own, if all that is left of it is here."""
    return list(dict.fromkeys(task.job.job_id.split("_")[0] for task in tasks if task.job is not None))


def _say(text: str) -> None:
    clear = "\r\033[K" if sys.stderr.isatty() else ""  # the progress bar comes again on the next line
    print(f"{clear}{text}", file=sys.stderr, flush=True)
