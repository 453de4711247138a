"""Run a study on a Slurm cluster: its sessions in a job array, then the notebooks in one more job.

The array's jobs share no session. A job that reaches its time limit is put back into the queue by submitit and goes on
where it was, since what is stored is not computed again.
"""

import contextlib
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from submitit import SlurmExecutor
from submitit.core.utils import FailedJobError, FailedSubmissionError
from submitit.helpers import Checkpointable, clean_env
from tqdm import tqdm

from valuestab_utils.errors import ValuestabError
from valuestab_utils.paths import ROOT
from valuestab_utils.prompts import Session
from valuestab_utils.run.reproduce import planned, reproduce, say
from valuestab_utils.study import Study, answer_folder, conversation_folder, plan_study, progress

GRACE = 60.0  # seconds that a job's result may take to be seen here: NFS looks anew after 30 to 60
POLL = 10.0  # seconds between two looks at the queue
_TOPIC = 4  # its place in a session's identity
_LAST_LINES = 3


@dataclass(frozen=True)
class Resources:
    """What each job asks for; ``parallel`` jobs run at a time (0: all), ``sbatch`` are other options."""

    partition: str = ""
    account: str = ""
    gpus: int = 0
    minutes: int = 60
    shards: int = 16
    parallel: int = 0
    cpus: int = 4
    mem: str = ""
    max_timeouts: int = 3
    sbatch: Mapping[str, str] = field(default_factory=dict)


class Job(Checkpointable):
    """A call that begins anew after a time limit, and whose ValuestabError is no crash: gives result and sentence."""

    def __init__(self, function: Callable, *arguments: object):
        self.function, self.arguments = function, arguments

    def __call__(self) -> tuple[object, str]:
        try:
            return self.function(*self.arguments), ""
        except ValuestabError as error:
            return None, str(error)


def reproduce_on_slurm(
    of_study: tuple[str, str | None, dict], paper: str, output: Path | None, resources: Resources
) -> list[str]:
    """What `reproduce` does, in jobs. ``of_study`` are a study's profile, model and changes, with absolute paths."""
    check_slurm()
    study = planned(*of_study, paper)
    output = (output or ROOT / "output" / study.run).resolve()
    executor = slurm_executor(output / "slurm", study.run, resources)
    compute_on_slurm(study, (*of_study, paper), resources.shards, executor)
    job = Job(reproduce, *of_study, paper, (), output)
    return run_jobs(executor, {"the notebooks": job}, f"Notebooks of {study.run}")[0]


def compute_on_slurm(study: Study, plan: tuple, n_shards: int, executor: SlurmExecutor) -> list[int]:
    """Compute what is missing of a study in a job array, one job a shard; gives how many sessions each had.

    ``plan`` are the arguments of `plan_study`.
    """
    lacking = [i for i, shard in enumerate(shards_of(study, n_shards)) if _is_unfinished(shard)]
    say(f"{len(lacking)} of {n_shards} shards have something to do; results are in {study.results_dir}.")
    jobs = {f"shard {i} of {n_shards}": Job(run_shard, plan, i, n_shards) for i in lacking}
    return run_jobs(executor, jobs, f"Shards of {study.run}") if jobs else []


def shards_of(study: Study, count: int) -> list[Study]:
    """The study cut into ``count`` that share no session, so that each can be computed by a machine of its own.

    Sessions that are asked the same are put in the order of a hash of their identity and dealt out in turn: shards
    differ by one session at most, in all and of each topic. Together they make the files that one run makes.
    """
    # A retest compares second orders with the first ones, which are asked of the same sessions.
    first = (replace(e, way="letters") for e in study.experiments if e.way == "second")
    experiments = (*study.experiments, *first)
    asked: dict[tuple, list[tuple]] = defaultdict(list)
    for e in experiments:
        for session in e.sessions:
            asked[_identity(session)].append(e.place)
    # The hash only sees to it that no persona or seed gathers in one shard. Alone, modulo ``count``, it would make some
    # shards of few sessions twice as long as others.
    in_order = sorted(asked, key=lambda identity: (sorted(asked[identity]), identity[_TOPIC], _digest(identity)))
    shard_of = {identity: number % count for number, identity in enumerate(in_order)}
    cut: list[list] = [[] for _ in range(count)]
    for e in experiments:
        keys = defaultdict(set)
        for session in e.sessions:
            keys[shard_of[_identity(session)]].add(session.key)
        for number, of_shard in keys.items():
            cut[number].append(replace(e, keys=frozenset(of_shard)))
    return [replace(study, experiments=tuple(of_one), compare=()) for of_one in cut]


def run_shard(plan: tuple, index: int, count: int) -> int:
    """Simulate and ask the sessions of one shard of the study that ``plan`` lays out; gives their number.

    ValuestabError as in a whole run, and if another run replaced a folder's settings meanwhile.
    """
    shard = shards_of(plan_study(*plan), count)[index]
    if not shard.experiments:
        return 0
    shard.conversations()
    for name, way in dict.fromkeys((e.name, e.way) for e in shard.experiments):
        shard.answers(name, way)
    # Two machines that begin a folder at the same moment may each believe to be the first where the file system
    # shows new files late or has no locks. The one whose settings did not stay must not pass.
    for e in shard.experiments:
        conversation_folder(e, shard.results_dir, shard.respondent(e))
        answer_folder(e, shard.results_dir, shard.respondent(e))
    return len({_identity(session) for e in shard.experiments for session in e.sessions})


def _is_unfinished(shard: Study) -> bool:
    return any(answer_folder(e, shard.results_dir).missing(e.sessions) for e in shard.experiments)


def _identity(session: Session) -> tuple:
    return tuple(session.identity.values())


def _digest(identity: tuple) -> str:
    return hashlib.sha256(json.dumps(identity, ensure_ascii=False).encode()).hexdigest()


def slurm_executor(folder: Path, run: str, resources: Resources) -> SlurmExecutor:
    """What submits the jobs; logs go to ``folder``, and no variable of the environment, so no token."""
    folder.mkdir(parents=True, exist_ok=True)
    executor = SlurmExecutor(folder, max_num_timeout=resources.max_timeouts)
    executor.update_parameters(
        job_name=f"valuestab-{run}",
        time=resources.minutes,
        nodes=1,
        ntasks_per_node=1,
        cpus_per_task=resources.cpus,
        gpus_per_node=resources.gpus or None,
        mem=resources.mem or None,
        partition=resources.partition or None,
        account=resources.account or None,
        array_parallelism=resources.parallel or resources.shards,
        srun_args=[f"--cpus-per-task={resources.cpus}"],  # else a step has one of the job's CPUs
        wckey=None,
        additional_parameters={"requeue": True, **resources.sbatch},
        setup=[
            f"export PYTHONPATH={shlex.quote(str(ROOT))}${{PYTHONPATH:+:$PYTHONPATH}}",
            "export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}",
        ],
    )
    return executor


def run_jobs(executor: SlurmExecutor, jobs: Mapping[str, Job], title: str) -> list:
    """Run ``jobs``, by their names, as one array, and wait for all; gives their results in that order.

    A ValuestabError of one is raised at once, and the others are cancelled. A job that ends without a result (killed,
    out of memory, its last time limit) is told when the others are done, with the last lines of its log. What a job
    that is alone says is shown.
    """
    submitted = dict(zip(jobs, _submit(executor, list(jobs.values())), strict=True))
    ids = " ".join(dict.fromkeys(job.job_id.split("_")[0] for job in submitted.values()))
    say(f"Submitted {len(jobs)} as Slurm job {ids}; logs: {executor.folder}")
    results, died, gone = {}, {}, {}
    shown = 0
    try:
        with progress(total=len(jobs), desc=title, unit="job") as bar:
            while waiting := [name for name in jobs if name not in results and name not in died]:
                queue = queued()
                for name in waiting:
                    job = submitted[name]
                    if job.paths.result_pickle.exists():
                        if job.exception() is None:
                            results[name], error = job.result()
                            if error:
                                others = " The other jobs were cancelled." if len(jobs) > 1 else ""
                                raise ValuestabError(f"{error} (Said by {name}.{others})")
                        else:
                            died[name] = _last_words(job)
                        bar.update()
                    elif queue is not None and job.job_id not in queue:
                        if time.monotonic() - gone.setdefault(name, time.monotonic()) >= GRACE:
                            died[name] = _last_words(job)
                    else:
                        gone.pop(name, None)
                shown = _relay(submitted[waiting[0]], shown) if len(jobs) == 1 else shown
                states = Counter((queue or {}).get(submitted[name].job_id, "ending").lower() for name in waiting)
                told = ", ".join(f"{n} {state}" for state, n in states.items())
                bar.set_postfix_str("Slurm does not answer" if queue is None else told)
                time.sleep(POLL if waiting else 0)
    except ValuestabError:
        subprocess.run(["scancel", "--quiet", *ids.split()], capture_output=True, check=False)
        raise
    except KeyboardInterrupt:
        say(f"The jobs go on without this command, and what they compute is kept; to end them: scancel {ids}")
        raise
    if died:
        named = "; ".join(f"{name}: {why}" for name, why in died.items())
        raise ValuestabError(
            f"{len(died)} of {len(jobs)} jobs did not finish: {named}. "
            "Give more time or memory, or fewer sessions a job; the same command computes what is missing."
        )
    return [results[name] for name in jobs]


def _submit(executor: SlurmExecutor, jobs: Sequence[Job]) -> list:
    # A job that is submitted from a job would take over its size.
    own = {name: os.environ[name] for name in ("SLURM_CONF",) if name in os.environ}
    with clean_env() if "SLURM_JOB_ID" in os.environ else contextlib.nullcontext():
        os.environ.update(own)
        try:
            with executor.batch():
                return [executor.submit(job) for job in jobs]
        except (FailedJobError, FailedSubmissionError) as error:
            reason = " ".join(str(error).split())[:300]
            raise ValuestabError(
                f"Slurm refused {len(jobs)} jobs ({reason}): check partition, account, time, GPUs and memory, and take "
                "no more shards than an array may have here (scontrol show config | grep MaxArraySize)."
            ) from error


def _last_words(job) -> str:
    lines = [line.strip() for line in (job.stderr() or "").splitlines() if line.strip()]
    return f"{' / '.join(lines[-_LAST_LINES:]) or 'it said nothing'} (log {job.paths.stderr})"


def _relay(job, shown: int) -> int:
    """Show the whole lines of a job's log after its first ``shown`` characters; gives how many are shown now."""
    text = job.stderr() or ""
    whole = text[: text.rfind("\n") + 1]
    for line in whole[shown:].splitlines():
        tqdm.write(line)
    return len(whole)


def queued() -> dict[str, str] | None:
    """State of each job of this user that is not over, by id; None if Slurm does not answer just now."""
    try:
        return dict(line.strip().split("|") for line in _ask_queue().splitlines() if "|" in line)
    except (OSError, subprocess.SubprocessError):
        return None


def _ask_queue() -> str:
    command = ["squeue", "--me", "--noheader", "--array", "--format=%i|%T"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def check_slurm() -> None:
    """ValuestabError if Slurm's commands are not on this machine, or its controller does not answer."""
    lacking = [name for name in ("sbatch", "srun", "squeue", "scancel") if shutil.which(name) is None]
    if lacking:
        raise ValuestabError(
            f"EXECUTOR=slurm needs Slurm's commands, and {', '.join(lacking)} cannot be found here: run this "
            "on a login node of your cluster, or leave EXECUTOR out to run on this machine."
        )
    try:
        _ask_queue()
    except (OSError, subprocess.SubprocessError) as error:
        said = " ".join(str(getattr(error, "stderr", None) or error).split())[:300]
        raise ValuestabError(
            f"Slurm's controller does not answer ({said}): try again when it does, or ask its operators."
        ) from error
