"""Run a study on a Slurm cluster: its sessions in a job array, then the notebooks in one more job.

The array's jobs share no session, and a job computes what is missing and nothing else: one that died is submitted
again, and the same command goes on where it was.
"""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from submitit import SlurmExecutor

from valuestab_utils.errors import ValuestabError, check_known
from valuestab_utils.papers import FIRST, PAPERS
from valuestab_utils.parameters import for_study, given_parameters, split_words
from valuestab_utils.paths import ROOT
from valuestab_utils.reproduce import prepare_model
from valuestab_utils.slurm_jobs import Outcome, notebooks_job, shard_job
from valuestab_utils.slurm_queue import Queue
from valuestab_utils.slurm_runs import run_jobs


def compute_on_slurm(
    parameters: dict[str, object], n_shards: int, executor, queue: Queue, max_resubmits: int
) -> list[Outcome]:
    """Compute what is missing of a study in a job array, one job a shard.

    Parameters
    ----------
    parameters : dict
        Of `valuestab_utils.study.plan_study`; paths in it are absolute.
    n_shards : int
    executor : submitit.SlurmExecutor
    queue : Queue
    max_resubmits : int
        Times that a job which died is submitted again.

    Returns
    -------
    list of Outcome
        The jobs' reports; none where no session lacks answers.

    Raises
    ------
    ValuestabError
        See `valuestab_utils.slurm_runs.run_jobs`.
    """
    from valuestab_utils.shards import shard_of_sessions, unfinished_shards  # these load PyTorch
    from valuestab_utils.study import plan_study

    study = plan_study(**parameters)
    shards = unfinished_shards(study, n_shards)
    n_sessions = len(shard_of_sessions(study, n_shards))
    if not shards:
        _say(f"All {n_sessions} sessions have their results in {study.results_dir}.")
        return []
    _say(f"{n_sessions} sessions in {n_shards} shards, {len(shards)} of them with something to do.")
    calls = {f"shard {i} of {n_shards}": (parameters, i, n_shards) for i in shards}
    outcomes = list(run_jobs(shard_job, calls, executor, queue, max_resubmits, f"Shards of {study.run}").values())
    seconds = sorted(outcome.seconds for outcome in outcomes)
    done = sum(outcome.n_sessions for outcome in outcomes)
    span = f"{seconds[0]:.0f} to {seconds[-1]:.0f} s a shard, {sum(seconds):.0f} s in all"
    _say(f"{len(outcomes)} shards with {done} sessions are done: {span}.")
    return outcomes


def slurm_executor(folder: Path, run: str, options: argparse.Namespace) -> SlurmExecutor:
    """What submits the jobs, with the resources that the command line asks for; logs go to ``folder``.

    No variable of the environment, and so no token, is written to the folder: Slurm hands the environment on.

    Raises
    ------
    ValuestabError
        A malformed option of sbatch.
    """
    folder.mkdir(parents=True, exist_ok=True)
    executor = SlurmExecutor(folder)
    executor.update_parameters(
        job_name=f"valuestab-{run}",
        time=options.minutes,
        nodes=1,
        ntasks_per_node=1,
        cpus_per_task=options.cpus,
        gpus_per_node=options.gpus or None,
        mem=options.mem or None,
        partition=options.partition or None,
        account=options.account or None,
        array_parallelism=options.parallel or options.shards,
        use_srun=False,  # a step of srun would have one of the CPUs only
        signal_delay_s=0,
        wckey=None,
        additional_parameters=_sbatch_options(options.sbatch),
        setup=[
            f"export PYTHONPATH={shlex.quote(str(ROOT))}${{PYTHONPATH:+:$PYTHONPATH}}",
            "export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}",
        ],
    )
    return executor


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    options = _parser().parse_intermixed_args(arguments)
    queue = Queue()
    try:
        queue.check()
        given = given_parameters(options)
        parameters, paper = for_study(given), check_known("paper", options.paper, PAPERS)
        run = prepare_model(parameters)
        output = (options.output or ROOT / "output" / run).resolve()
        executor = slurm_executor(output / "slurm", run, options)
        compute_on_slurm(parameters | {"paper": paper}, options.shards, executor, queue, options.max_resubmits)
        log = output / "slurm" / "notebooks.log"
        log.unlink(missing_ok=True)
        words = [f"--profile={given['profile']}", f"--paper={paper}", f"--output={output}"]
        words += [f"{name}={value}" for name, value in given.items() if name != "profile"]
        call = {"the notebooks": (words, log)}
        done = run_jobs(notebooks_job, call, executor, queue, options.max_resubmits, f"Notebooks of {run}", log)
    except ValuestabError as error:
        _say(str(error))
        return 1
    except KeyboardInterrupt:
        _say("Interrupted; the same command goes on where it was.")
        return 130
    print(done["the notebooks"].text, end="")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m valuestab_utils.slurm", description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="quick", help="a name in data/profiles, or a file of that form")
    parser.add_argument("--model", default="", help="a name in data/models.yaml, a folder, or a hub id")
    parser.add_argument("--paper", default=FIRST, help="whose study: " + ", ".join(PAPERS))
    parser.add_argument("--output", type=Path, metavar="DIR", help="folder for pages and the jobs' logs (shared)")
    parser.add_argument("--partition", default="", help="partition of the cluster (default: the cluster's)")
    parser.add_argument("--account", default="", help="account that pays")
    parser.add_argument("--gpus", type=int, choices=(0, 1), default=0, help="GPUs of each job: more GPUs, more shards")
    parser.add_argument("--minutes", type=_count(1), default=60, metavar="N", help="time limit of each job")
    parser.add_argument("--shards", type=_count(1), default=16, metavar="N", help="jobs that share the sessions")
    parser.add_argument("--parallel", type=_count(0), default=0, metavar="N", help="jobs at a time; 0: all")
    parser.add_argument("--cpus", type=_count(1), default=4, metavar="N", help="CPUs of each job")
    parser.add_argument("--mem", default="", help="memory of each job, such as 32G (default: the cluster's)")
    parser.add_argument("--max-resubmits", type=_count(0), default=3, metavar="N", help="tries after a job died")
    parser.add_argument("--sbatch", action="append", default=[], metavar="NAME=VALUE", help="other options of sbatch")
    parser.add_argument("parameters", nargs="*", metavar="name=value", help="parameters of the notebooks")
    return parser


def _sbatch_options(words: Sequence[str]) -> dict[str, str]:
    """Options of sbatch by name, from NAME=VALUE words; names may have hyphens."""
    parted = [word.partition("=") for word in words]
    return split_words([name.lstrip("-").replace("-", "_") + equals + value for name, equals, value in parted])


def _count(least: int):
    def number(text: str) -> int:
        if not text.isascii() or not text.isdigit() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number of {least} or more")
        return int(text)

    return number


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
