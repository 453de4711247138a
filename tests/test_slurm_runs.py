"""Jobs that die are submitted again, wrong input is told at once, and nobody's secret is written down."""

import os
import stat
import sys
from types import SimpleNamespace

import pytest
from submitit.core.utils import FailedJobError

from valuestab_utils import slurm, slurm_jobs, slurm_runs
from valuestab_utils.errors import ValuestabError
from valuestab_utils.slurm_jobs import Outcome, notebooks_job, shard_job
from valuestab_utils.slurm_queue import JobState, Queue, outside_of_a_job, parse_states
from valuestab_utils.slurm_runs import run_jobs

RUNNING, WAITING, KILLED = JobState("RUNNING", "None"), JobState("PENDING", "Priority"), JobState("TIMEOUT", "None")
RAISED = "raised"


class Cluster:
    """Executor and queue in one: each call has a script of what its jobs do, one entry a submission.

    An Outcome is reported, RAISED an error's traceback, and a JobState is what the queue says with no report there.
    """

    def __init__(self, folder, **scripts):
        self.folder, self.scripts = folder, {name: list(script) for name, script in scripts.items()}
        self.submitted, self.cancelled, self.jobs, self.silent = [], [], {}, 0

    def map_array(self, function, names):
        self.submitted.append(list(names))
        array = len(self.submitted)
        return [self._job(f"{array}_{i}", self.scripts[name].pop(0)) for i, name in enumerate(names)]

    def _job(self, job_id, does):
        self.jobs[job_id] = does

        def result():
            if does == RAISED:
                raise FailedJobError("a traceback")
            return does

        pickle = SimpleNamespace(exists=lambda: does == RAISED or isinstance(does, Outcome))
        paths = SimpleNamespace(result_pickle=pickle, stderr=self.folder / f"{job_id}_log.err")
        return SimpleNamespace(job_id=job_id, paths=paths, result=result)

    def states(self):
        if self.silent:
            self.silent -= 1
            return None
        return {job_id: does for job_id, does in self.jobs.items() if isinstance(does, JobState)}

    def cancel(self, job_ids):
        self.cancelled += job_ids

    def run(self, max_resubmits=2):
        calls = {name: (name,) for name in self.scripts}
        return run_jobs(None, calls, self, self, max_resubmits, "Shards")


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(slurm_runs.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(slurm_runs, "GRACE", 0.0)


def test_what_died_is_submitted_again_and_nothing_else(tmp_path):
    done = Outcome(1.0, n_sessions=4)
    cluster = Cluster(tmp_path, a=[done], b=[KILLED, RAISED, done], c=[KILLED, done])
    assert cluster.run() == {"a": done, "b": done, "c": done}
    assert cluster.submitted == [["a", "b", "c"], ["b", "c"], ["b"]] and not cluster.cancelled


def test_a_job_that_left_the_queue_without_a_word_is_submitted_again(tmp_path):
    class Gone(Cluster):
        def states(self):
            return {}

    assert Gone(tmp_path, a=[KILLED, Outcome(1.0)]).run() == {"a": Outcome(1.0)}


def test_a_silent_controller_is_no_dead_job(tmp_path):
    cluster = Cluster(tmp_path, a=[KILLED, Outcome(1.0)])
    cluster.silent = 5
    cluster.run(max_resubmits=1)
    assert len(cluster.submitted) == 2 and cluster.silent == 0


def test_jobs_that_die_too_often_are_named_with_their_logs_when_the_others_are_done(tmp_path):
    cluster = Cluster(tmp_path, a=[KILLED] * 3, b=[KILLED, Outcome(1.0)], c=[RAISED] * 3)
    with pytest.raises(ValuestabError) as caught:
        cluster.run()
    said = str(caught.value)
    assert said.startswith("2 of 3 jobs did not finish in 3 tries (a ended with TIMEOUT, log ")
    assert str(tmp_path / "3_0_log.err") in said and "c ended with an error" in said and "b ended" not in said


def test_a_job_that_slurm_takes_back_into_its_queue_is_waited_for(tmp_path):
    cluster = Cluster(tmp_path, a=[WAITING])
    looks = iter([RUNNING, WAITING, RUNNING, Outcome(1.0)])
    ask = cluster.states

    def states():
        now = next(looks)
        if isinstance(now, Outcome):
            cluster.task.job = cluster._job("1_0", now)
        cluster.jobs["1_0"] = now
        return ask()

    cluster.states = states
    submit = slurm_runs._submit

    def keep(executor, function, tasks):
        submit(executor, function, tasks)
        cluster.task = tasks[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slurm_runs, "_submit", keep)
        assert cluster.run() == {"a": Outcome(1.0)}
    assert cluster.submitted == [["a"]]


def test_wrong_input_is_said_at_once_and_ends_the_others(tmp_path):
    cluster = Cluster(tmp_path, a=[RUNNING], b=[Outcome(1.0, error="Unknown topic 'jok'.")])
    with pytest.raises(ValuestabError, match="Unknown topic 'jok'. .Said by b; the other jobs were cancelled"):
        cluster.run()
    assert cluster.submitted == [["a", "b"]] and cluster.cancelled == ["1"]


def test_ctrl_c_leaves_the_jobs_and_says_how_to_end_them(tmp_path, monkeypatch, capsys):
    def interrupt(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(slurm_runs.time, "sleep", interrupt)
    cluster = Cluster(tmp_path, a=[RUNNING])
    with pytest.raises(KeyboardInterrupt):
        cluster.run()
    assert "to end them: scancel 1\n" in capsys.readouterr().err and not cluster.cancelled


def test_a_refusal_of_slurm_is_one_sentence(tmp_path):
    class Full(Cluster):
        def map_array(self, function, names):
            raise FailedJobError("sbatch: error: Invalid job array specification")

    with pytest.raises(ValuestabError, match="Slurm refused 1 jobs .sbatch: error: Invalid job array .*MaxArraySize"):
        Full(tmp_path, a=[]).run()


# The commands of Slurm, stood in for by small scripts


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """Writes commands into a folder that is the whole PATH but for the system's own."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def write(**scripts):
        for name, script in scripts.items():
            file = folder / name
            file.write_text(f"#!/bin/sh\n{script}\n")
            file.chmod(file.stat().st_mode | stat.S_IXUSR)

    return write


def test_without_slurm_one_sentence_says_so(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert slurm.main(["--profile", "smoke"]) == 1
    assert capsys.readouterr().err.startswith("EXECUTOR=slurm needs Slurm's commands, and sbatch, srun, squeue, ")


def test_a_controller_that_does_not_answer(commands):
    commands(sbatch="", srun="", scancel="", squeue="echo 'Unable to contact slurm controller' >&2; exit 1")
    with pytest.raises(ValuestabError, match="does not answer .Unable to contact slurm controller"):
        Queue().check()
    assert Queue().states() is None


def test_states_are_read_as_squeue_prints_them(commands):
    commands(squeue="echo '7_0|RUNNING|None'; echo '7_1|PENDING|Resources'; echo '6|OUT_OF_MEMORY|OutOfMemory'")
    states = Queue().states()
    assert states["7_1"] == JobState("PENDING", "Resources") and not states["7_1"].ended
    assert states["6"].ended and not states["7_0"].ended
    assert parse_states("slurm_load_jobs: warning\n") == {}


def test_submission_has_the_resources_asked_for_and_writes_no_secret(commands, tmp_path, monkeypatch):
    commands(sbatch=f"cp $1 {tmp_path}/submitted; echo Submitted batch job 7", srun="", squeue="", scancel="")
    for name in ("HF_TOKEN", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, "hf_verysecret")
    words = "--partition gpu --account me --gpus 1 --minutes 90 --shards 40 --mem 32G --sbatch qos=high".split()
    executor = slurm.slurm_executor(tmp_path / "logs", "quick", slurm._parser().parse_args(words))
    executor.map_array(shard_job, [{}, {}], [0, 1], [2, 2])
    script = (tmp_path / "submitted").read_text()
    for line in (
        *("--partition=gpu", "--account=me", "--gpus-per-node=1", "--time=90", "--mem=32G", "--qos=high"),
        *("--array=0-1%2", "--cpus-per-task=4", "--job-name=valuestab-quick"),
    ):
        assert f"#SBATCH {line}\n" in script
    assert f"\n{sys.executable} -u -m submitit.core._submit" in script and "wckey" not in script
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) >= 4 and not any(b"hf_verysecret" in path.read_bytes() for path in files)


@pytest.mark.parametrize("words, said", [
    ("--gpus 2", "choose from"), ("--shards 0", "'0' is no whole number of 1 or more"), ("--minutes 1.5", "'1.5'"),
])  # fmt: skip
def test_numbers_on_the_command_line(words, said, capsys):
    with pytest.raises(SystemExit):
        slurm._parser().parse_args(words.split())
    assert said in capsys.readouterr().err


def test_a_job_submitted_from_a_job_takes_nothing_over(monkeypatch):
    monkeypatch.setenv("SLURM_CONF", "/etc/slurm.conf")
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "100")
    with outside_of_a_job():
        assert "SLURM_MEM_PER_NODE" in os.environ  # not in a job: what is set is meant
    monkeypatch.setenv("SLURM_JOB_ID", "5")
    with outside_of_a_job():
        assert [name for name in os.environ if name.startswith("SLURM_")] == ["SLURM_CONF"]
    assert os.environ["SLURM_MEM_PER_NODE"] == "100" and os.environ["SLURM_JOB_ID"] == "5"


# What a job reports


@pytest.fixture
def reproduced(monkeypatch):
    """Stands for `valuestab_utils.reproduce.main`: says and prints, and ends with ``reproduced.code``."""
    monkeypatch.setattr(slurm_jobs, "_end_at_once_when_told", lambda: None)
    ran = SimpleNamespace(code=0)

    def main(arguments):
        print("[1/5] 01_conversations ...", file=sys.stderr)
        print("Open the report.")
        if ran.code:
            print("Unknown parameter 'sed'.", file=sys.stderr)
        return ran.code

    monkeypatch.setattr("valuestab_utils.reproduce.main", main)
    return ran


def test_notebooks_log_as_they_go_and_print_at_the_end(reproduced, tmp_path):
    outcome = notebooks_job(["--profile=smoke"], tmp_path / "log")
    assert outcome.error is None and outcome.text == "Open the report.\n"
    assert (tmp_path / "log").read_text() == "[1/5] 01_conversations ...\n"
    reproduced.code = 1
    assert notebooks_job([], tmp_path / "log").error == "Unknown parameter 'sed'."


def test_wrong_parameters_of_a_shard_are_reported_not_raised(monkeypatch):
    monkeypatch.setattr(slurm_jobs, "_end_at_once_when_told", lambda: None)
    assert shard_job({"profile": "smok"}, 0, 1).error.startswith("Unknown profile 'smok'. Did you mean 'smoke'")
