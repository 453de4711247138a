"""On a real Slurm of one node: shards as jobs, one of them killed half-way, give the files that one run gives."""

import json
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path

import pandas as pd
import pytest
from fakes import CHATML
from tiny import byte_tokenizer, llama

from valuestab_utils import slurm
from valuestab_utils.errors import ValuestabError
from valuestab_utils.paths import ROOT
from valuestab_utils.slurm_jobs import notebooks_job
from valuestab_utils.slurm_queue import Queue
from valuestab_utils.slurm_runs import run_jobs
from valuestab_utils.study import CONTROLS, plan_study

NEEDED = os.environ.get("VALUESTAB_NEED_SLURM") == "1"
WHY_NOT = [name for name in ("slurmctld", "slurmd", "munged", "sbatch") if shutil.which(name) is None]
WHY_NOT += [] if os.geteuid() == 0 else ["root"]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(WHY_NOT) and not NEEDED, reason=f"a Slurm of its own needs {', '.join(WHY_NOT)}"),
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slurm")
    started = subprocess.run(["bash", ROOT / "tests/slurm.sh", "start", folder], capture_output=True, text=True)
    assert started.returncode == 0, started.stderr
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
        yield Queue()
    subprocess.run(["bash", ROOT / "tests/slurm.sh", "stop", folder], check=True)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A folder with a tiny random model."""
    tokenizer = byte_tokenizer(template=CHATML, eos="<|im_end|>")
    path = tmp_path_factory.mktemp("model") / "tiny"
    llama(tokenizer, num_hidden_layers=2, initializer_range=0.4).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@pytest.fixture
def profile(tmp_path):
    settings = {
        "model": "SmolLM2-135M-Instruct",
        "topics": ["joke", "chess"],
        "seeds": [1],
        "n_messages": 1,
        "controls": list(CONTROLS),
        "experiments": [
            {"population": "fictional_characters", "format": "own", "n_personas": 8},
            {"part": "orders", "population": "none", "format": "own", "n_personas": 3, "orders": ["second"]},
        ],
    }
    path = tmp_path / "slurmtest.yaml"
    path.write_text(json.dumps(settings))
    return path


@pytest.fixture
def executor(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_verysecret")
    monkeypatch.setattr("valuestab_utils.slurm_runs.GRACE", 2.0)
    monkeypatch.setattr("valuestab_utils.slurm_runs._POLL", (0.5, 0.5))
    options = slurm._parser().parse_args(["--cpus=1", "--minutes=10"])
    return slurm.slurm_executor(tmp_path / "logs", "test", options)


def stored(folder):
    return {path.relative_to(folder): path for path in folder.rglob("*.parquet")}


def kill_first_job_when_it_has_results(folder: Path, told: list) -> None:
    """Cancel the array's first job as soon as some of the tiny model's answers are there."""
    for _ in range(2400):
        if len(list(folder.glob("tiny/**/n1/*.parquet"))) >= 2:
            states = Queue().states() or {}
            running = sorted(job_id for job_id, state in states.items() if state.state == "RUNNING" and "_" in job_id)
            if running:
                subprocess.run(["scancel", running[0]], check=True)
                told += [running[0], len(stored(folder))]
                return
        time.sleep(0.05)


def test_shards_make_what_one_run_makes_though_a_job_is_killed(cluster, executor, model, profile, tmp_path, capsys):
    parameters = {"profile": str(profile), "model": str(model), "results_dir": str(tmp_path / "array")}
    killed = []
    killer = threading.Thread(target=kill_first_job_when_it_has_results, args=(tmp_path / "array", killed))
    killer.start()
    outcomes = slurm.compute_on_slurm(parameters, 3, executor, cluster, 1)
    killer.join()
    job_id, n_files = killed
    assert [outcome.error for outcome in outcomes] == [None] * 3
    # The killed job left no report, and one that was submitted again did the rest.
    assert not (tmp_path / "logs" / f"{job_id}_0_result.pkl").exists()
    assert capsys.readouterr().err.count("Submitted as Slurm job") == 2
    whole = plan_study(**parameters | {"results_dir": str(tmp_path / "alone")})
    whole.conversations()
    whole.answers()
    whole.retest_answers()
    expected, found = stored(tmp_path / "alone"), stored(tmp_path / "array")
    assert expected.keys() == found.keys() and n_files < len(expected)
    for name, path in expected.items():
        pd.testing.assert_frame_equal(pd.read_parquet(path), pd.read_parquet(found[name]), check_exact=True)
    assert not any(b"hf_verysecret" in path.read_bytes() for path in (tmp_path / "logs").rglob("*") if path.is_file())
    assert slurm.compute_on_slurm(parameters, 3, executor, cluster, 1) == []


def test_wrong_input_that_only_a_job_can_see_is_told_at_once(cluster, executor, model, profile, tmp_path):
    (tmp_path / "results").write_text("no folder")
    parameters = {"profile": str(profile), "model": str(model), "results_dir": str(tmp_path / "results")}
    with pytest.raises(ValuestabError, match="could not be written to .*Not a directory.*Said by shard"):
        slurm.compute_on_slurm(parameters, 2, executor, cluster, 3)
    end = time.monotonic() + 60
    while not all(state.ended for state in cluster.states().values()):
        assert time.monotonic() < end, "the other jobs go on"
        time.sleep(0.5)


def test_what_ends_the_notebooks_is_said_by_their_job(cluster, executor, tmp_path):
    log = tmp_path / "notebooks.log"
    call = {"the notebooks": (["--profile=smoke", f"--output={tmp_path / 'pages'}", "seds=[1]"], log)}
    with pytest.raises(ValuestabError, match="Unknown parameter 'seds'. Did you mean 'seeds'"):
        run_jobs(notebooks_job, call, executor, cluster, 3, "Notebooks", log)
    assert log.read_text().startswith("Unknown parameter 'seds'")


def test_an_order_that_slurm_refuses_is_one_sentence(cluster, model, profile, tmp_path):
    options = slurm._parser().parse_args(["--partition=nowhere"])
    executor = slurm.slurm_executor(tmp_path / "logs", "test", options)
    parameters = {"profile": str(profile), "model": str(model), "results_dir": str(tmp_path / "results")}
    with pytest.raises(ValuestabError, match="Slurm refused 2 jobs .*invalid partition"):
        slurm.compute_on_slurm(parameters, 2, executor, cluster, 3)
