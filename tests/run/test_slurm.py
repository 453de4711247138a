"""On a real Slurm of one node: shards as jobs, one of which reaches its time limit, give the files of one run."""

import json
import os
import shutil
import subprocess
import threading
import time

import pandas as pd
import pytest
from fakes import CHATML
from tiny import byte_tokenizer, llama

from valuestab_utils.errors import ValuestabError
from valuestab_utils.paths import ROOT
from valuestab_utils.run import cluster as slurm
from valuestab_utils.run.cluster import Job, Resources, run_jobs, slurm_executor
from valuestab_utils.run.reproduce import reproduce
from valuestab_utils.study import plan_study

NEEDED = os.environ.get("VALUESTAB_NEED_SLURM") == "1"
WHY_NOT = [name for name in ("slurmctld", "slurmd", "munged", "sbatch") if shutil.which(name) is None]
WHY_NOT += [] if os.geteuid() == 0 else ["root"]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(WHY_NOT) and not NEEDED, reason=f"a Slurm of its own needs {', '.join(WHY_NOT)}"),
]
CONTROLS = ["control-random", "control-synthetic"]


@pytest.fixture(scope="module", autouse=True)
def cluster(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slurm")
    started = subprocess.run(["bash", ROOT / "tests/slurm.sh", "start", folder], capture_output=True, text=True)
    assert started.returncode == 0, started.stderr
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
        patch.setenv("HF_TOKEN", "hf_verysecret")
        patch.setattr(slurm, "GRACE", 2.0)
        patch.setattr(slurm, "POLL", 0.5)
        yield
    subprocess.run(["bash", ROOT / "tests/slurm.sh", "stop", folder], check=True)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A folder with a tiny random model."""
    tokenizer = byte_tokenizer(template=CHATML, eos="<|im_end|>")
    path = tmp_path_factory.mktemp("model") / "tiny"
    llama(tokenizer, num_hidden_layers=2, initializer_range=0.4).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return str(path)


@pytest.fixture
def profile(tmp_path):
    settings = {
        "model": "SmolLM2-135M-Instruct",
        "topics": ["joke", "chess"],
        "seeds": [1],
        "n_messages": 1,
        "controls": CONTROLS,
        "experiments": [
            {"population": "fictional_characters", "n_personas": 8},
            {"name": "orders", "population": "none", "n_personas": 3, "way": "second"},
        ],
    }
    path = tmp_path / "slurmtest.yaml"
    path.write_text(json.dumps(settings))
    return str(path)


@pytest.fixture
def executor(tmp_path):
    return slurm_executor(tmp_path / "logs", "test", Resources(cpus=1, minutes=10))


def stored(folder):
    return {path.relative_to(folder): path for path in folder.rglob("*.parquet")}


def signal_first_job_when_it_has_results(folder, told):
    """Tell the array's first job, as Slurm would, that its time is nearly over, when some answers are there."""
    for _ in range(2400):
        if len(list(folder.glob("tiny/**/n1/*.parquet"))) >= 2:
            running = sorted(job for job, state in slurm.queued().items() if state == "RUNNING" and "_" in job)
            if running:
                subprocess.run(["scancel", "--signal=USR2", running[0]], check=True)
                told += [running[0], len(stored(folder))]
                return
        time.sleep(0.05)


def test_shards_make_what_one_run_makes_though_a_job_reaches_its_time_limit(executor, model, profile, tmp_path):
    plan = (profile, model, {"results_dir": str(tmp_path / "array")})
    told = []
    watcher = threading.Thread(target=signal_first_job_when_it_has_results, args=(tmp_path / "array", told))
    watcher.start()
    n_sessions = slurm.compute_on_slurm(plan_study(*plan), plan, 3, executor)
    watcher.join()
    job_id, n_files = told
    log = (tmp_path / "logs" / f"{job_id}_0_log.out").read_text()
    assert log.count("Starting with") == 2 and "Requeued job" in log  # it began anew, and did the rest
    whole = plan_study(profile, model, {"results_dir": str(tmp_path / "alone")})
    whole.conversations()
    whole.answers()
    whole.retest_answers()
    expected, found = stored(tmp_path / "alone"), stored(tmp_path / "array")
    assert expected.keys() == found.keys() and n_files < len(expected) and sum(n_sessions) == 16 * 3 + 6 * 3
    for name, path in expected.items():
        pd.testing.assert_frame_equal(pd.read_parquet(path), pd.read_parquet(found[name]), check_exact=True)
    assert not any(b"hf_verysecret" in path.read_bytes() for path in (tmp_path / "logs").rglob("*") if path.is_file())
    assert slurm.compute_on_slurm(plan_study(*plan), plan, 3, executor) == []


def test_wrong_input_that_only_a_job_can_see_is_told_at_once(executor, model, profile, tmp_path):
    (tmp_path / "results").write_text("no folder")
    plan = (profile, model, {"results_dir": str(tmp_path / "results")})
    with pytest.raises(ValuestabError, match="could not be written to .*Not a directory.*Said by shard"):
        slurm.compute_on_slurm(plan_study(*plan), plan, 2, executor)
    end = time.monotonic() + 60
    while slurm.queued():
        assert time.monotonic() < end, "the other jobs go on"
        time.sleep(0.5)


def test_what_ends_the_notebooks_is_said_by_their_job(executor, tmp_path):
    job = Job(reproduce, "smoke", None, {"seds": [1]}, "kovac2024", (), tmp_path / "pages")
    with pytest.raises(ValuestabError, match="Did you mean 'seeds'"):
        run_jobs(executor, {"the notebooks": job}, "Notebooks")


def test_a_job_that_is_killed_is_told_with_its_last_words(executor):
    job = Job(os.system, "echo what it said last >&2; kill -9 $PPID")
    with pytest.raises(ValuestabError, match="1 of 1 jobs did not finish: a job: what it said last.*log .*_log.err"):
        run_jobs(executor, {"a job": job}, "Jobs")


def test_an_order_that_slurm_refuses_is_one_sentence(tmp_path):
    executor = slurm_executor(tmp_path / "logs", "test", Resources(partition="nowhere"))
    with pytest.raises(ValuestabError, match="Slurm refused 2 jobs .*invalid partition"):
        run_jobs(executor, {"a": Job(os.getpid), "b": Job(os.getpid)}, "Jobs")
