"""Shards share no session, leave none out, and make the files that one run makes; no secret is written down."""

import json
import stat
import sys
from collections import Counter

import pandas as pd
import pytest
from fakes import FakeRespondent, language_model
from paper_studies import plan

from valuestab_utils.errors import ValuestabError
from valuestab_utils.run import cluster
from valuestab_utils.run.cluster import Job, Resources, run_shard, shards_of, slurm_executor

CHARACTERS = {"population": "fictional_characters", "n_personas": 3, "topics": ["joke", "chess"], "seeds": [1, 2]}
NOBODY = {"population": "none", "n_personas": 2, "seeds": [1]}
ENTRIES = (
    CHARACTERS,
    CHARACTERS | {"name": "lengths", "n_personas": 2, "n_messages": [1, 3]},
    NOBODY | {"name": "neutral", "topics": ["no_conversation"]},
    NOBODY | {"name": "orders", "topics": ["joke"], "way": ["second", "balanced"]},
)


def identities(study):
    return {tuple(s.identity.values()) for e in study.experiments for s in e.sessions}


def stored(folder):
    return {path.relative_to(folder): pd.read_parquet(path) for path in folder.rglob("*.parquet")}


def test_every_session_is_in_one_shard_with_all_that_is_asked_of_it(tmp_path):
    study = plan(tmp_path, *ENTRIES, controls=["control-random"])
    parts = [identities(shard) for shard in shards_of(study, 4)]
    assert set().union(*parts) == identities(study) and sum(map(len, parts)) == len(identities(study))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    asked = Counter((e.place, s) for shard in shards_of(study, 4) for e in shard.experiments for s in e.sessions)
    assert set(asked.values()) == {1} and asked >= Counter((e.place, s) for e in study.experiments for s in e.sessions)
    (pvq,) = [e for e in study.experiments if e.name == "pvq" and e.model == "fake"]
    topics = [Counter(s.topic.topic for s in e.sessions) for shard in shards_of(study, 2) for e in shard.of("pvq")]
    assert len(pvq.sessions) == 12 and all(counts == {"joke": 3, "chess": 3} for counts in topics)


@pytest.mark.slow
def test_shards_make_the_files_that_one_run_makes(tmp_path, monkeypatch):
    whole = plan(tmp_path, *ENTRIES, respondent=language_model(), results="whole")
    whole.conversations()
    for e in whole.experiments:
        whole.answers(e.name, e.way)
    whole.retest_answers()
    of_shards = plan(tmp_path, *ENTRIES, respondent=language_model(), results="shards")
    monkeypatch.setattr(cluster, "plan_study", lambda *_: of_shards)
    assert sum(run_shard((), i, 3) for i in (2, 0, 1)) == len(identities(whole))
    expected, found = stored(whole.results_dir), stored(of_shards.results_dir)
    assert expected.keys() == found.keys() and len(expected) > 30
    for name, frame in expected.items():
        pd.testing.assert_frame_equal(frame, found[name], check_exact=True)


def test_settings_that_another_machine_replaced_meanwhile_are_noticed(tmp_path, monkeypatch):
    class Overtaken(FakeRespondent):
        def answer(self, prompts, letters):
            for file in (tmp_path / "results").rglob("_settings.json"):
                file.write_text(json.dumps(json.loads(file.read_text()) | {"model_revision": "r2"}))
            return super().answer(prompts, letters)

    study = plan(tmp_path, ENTRIES[2], respondent=Overtaken())
    monkeypatch.setattr(cluster, "plan_study", lambda *_: study)
    with pytest.raises(ValuestabError, match="other settings .model_revision is 'r2' there and 'r1' now"):
        run_shard((), 0, 1)


def test_submission_has_the_resources_asked_for_and_writes_no_secret(tmp_path, monkeypatch):
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, script in {"sbatch": f"cp $1 {tmp_path}/submitted; echo Submitted batch job 7", "srun": ""}.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    for name in ("HF_TOKEN", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, "hf_verysecret")
    resources = Resources("gpu", "me", gpus=1, minutes=90, shards=40, mem="32G", sbatch={"qos": "high"})
    executor = slurm_executor(tmp_path / "logs", "quick", resources)
    cluster._submit(executor, [Job(run_shard, ("quick",), i, 2) for i in (0, 1)])
    script = (tmp_path / "submitted").read_text()
    for line in (
        *("--partition=gpu", "--account=me", "--gpus-per-node=1", "--time=90", "--mem=32G", "--qos=high"),
        *("--array=0-1%2", "--cpus-per-task=4", "--job-name=valuestab-quick", "--requeue"),
    ):
        assert f"#SBATCH {line}\n" in script
    assert f"{sys.executable} -u -m submitit.core._submit" in script and "wckey" not in script
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) >= 4 and not any(b"hf_verysecret" in path.read_bytes() for path in files)
