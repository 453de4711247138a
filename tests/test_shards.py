"""Shards share no session, leave none out, and together make the files that one run makes."""

import json
from collections import Counter

import pandas as pd
import pytest
from fakes import FakeRespondent, language_model, small_instrument

from valuestab_utils import study
from valuestab_utils.errors import ValuestabError
from valuestab_utils.shards import cut_to_shard, run_shard, shard_of_sessions, unfinished_shards
from valuestab_utils.study import CONTROLS, plan_study

PROFILE = {
    "model": "SmolLM2-135M-Instruct", "topics": ["joke", "chess"], "seeds": [1, 2], "n_messages": 1,
    "controls": list(CONTROLS),
    "experiments": [
        {"population": "fictional_characters", "format": "own", "n_personas": 3},
        {"part": "lengths", "population": "fictional_characters", "format": "own", "n_personas": 2, "seeds": [1],
         "n_messages": [1, 3]},
        {"part": "neutral", "population": "none", "format": "own", "n_personas": 2, "seeds": [1],
         "topics": ["no_conversation"]},
        {"part": "orders", "population": "none", "format": "own", "n_personas": 2, "seeds": [1],
         "orders": ["second", "balanced"]},
    ],
}  # fmt: skip


@pytest.fixture
def plan(monkeypatch, tmp_path):
    """Plans the small study above, answered by what ``plan.respondent`` gives, with results in a folder of tmp_path."""
    monkeypatch.setattr(study, "load_pvq40", lambda wording: small_instrument())
    monkeypatch.setattr(study, "load_profile", lambda name: PROFILE)

    def plan(results="results", **asked):
        monkeypatch.setattr(study, "_load", lambda model, dtype: plan.respondent())
        return plan_study("mine", results_dir=tmp_path / results, **asked)

    plan.respondent = FakeRespondent
    return plan


def identities(planned):
    return {tuple(s.identity.values()) for m in planned.measurements for s in m.experiment.sessions}


def stored(folder):
    files = {path.relative_to(folder): path for path in folder.rglob("*.parquet")}
    return {name: pd.read_parquet(path) for name, path in files.items()}


def test_every_session_is_in_one_shard_with_all_that_is_asked_of_it(plan):
    planned = plan()
    shards = [cut_to_shard(planned, i, 4) for i in range(4)]
    parts = [identities(shard) for shard in shards]
    assert set().union(*parts) == identities(planned)
    assert sum(map(len, parts)) == len(identities(planned))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    asked = Counter((m.place, s) for m in planned.measurements for s in m.experiment.sessions)
    # A retest compares with the first orders, which are asked too, whether or not the study has them elsewhere.
    asked |= {((m.place[:6] + ("single",) + m.place[7:]), s): 1 for (m, s) in second(planned)}
    assert asked == Counter((m.place, s) for shard in shards for m in shard.measurements for s in m.experiment.sessions)


def second(planned):
    return [(m, s) for m in planned.measurements if m.orders == "second" for s in m.experiment.sessions]


def test_sessions_of_each_kind_are_dealt_out_evenly(plan):
    planned = plan(parts=["pvq"], controls=[])
    where = shard_of_sessions(planned, 2)
    by_topic = Counter((identity[4], shard) for identity, shard in where.items())
    assert set(by_topic.values()) == {3}
    assert shard_of_sessions(plan(parts=["pvq"], controls=[]), 2) == where


def test_more_shards_than_sessions_leave_some_without_work(plan):
    planned = plan(parts=["neutral"], controls=[])
    assert [len(identities(cut_to_shard(planned, i, 5))) for i in range(5)] == [1, 1, 0, 0, 0]
    assert [run_shard(planned, i, 5) for i in range(5)] == [1, 1, 0, 0, 0]


@pytest.mark.parametrize("index, count, said", [(3, 3, "the numbers 0 to 2"), (0, 0, "1 or more"), (-1, 2, "0 to 1")])
def test_numbers_that_are_no_shard(plan, index, count, said):
    with pytest.raises(ValuestabError, match=said):
        cut_to_shard(plan(), index, count)


@pytest.mark.slow
def test_shards_make_the_files_that_one_run_makes(plan):
    plan.respondent = language_model
    whole = plan("whole")
    whole.conversations()
    for m in whole.measurements:
        whole.answers(m.part, m.orders)
    whole.retest_answers()
    n_sessions = [run_shard(plan("shards"), i, 3) for i in (2, 0, 1)]
    assert sum(n_sessions) == len(identities(whole))
    expected, found = stored(whole.results_dir), stored(plan("shards").results_dir)
    assert expected.keys() == found.keys() and len(expected) > 60
    for name, frame in expected.items():
        pd.testing.assert_frame_equal(frame, found[name], check_exact=True)
    settings = [
        {path.relative_to(folder): path.read_text() for path in folder.rglob("_settings.json")}
        for folder in (whole.results_dir, plan("shards").results_dir)
    ]
    assert settings[0] == settings[1]


def test_what_a_shard_lacks_is_known_and_computed_alone(plan):
    plan.respondent = lambda: respondent
    respondent = FakeRespondent()
    assert unfinished_shards(plan(), 3) == [0, 1, 2]
    run_shard(plan(), 1, 3)
    assert unfinished_shards(plan(), 3) == [0, 2]
    respondent = FakeRespondent()
    respondent.interrupt_at = 5
    with pytest.raises(KeyboardInterrupt):
        run_shard(plan(), 0, 3)
    assert respondent.answered and unfinished_shards(plan(), 3) == [0, 2]
    before, respondent = respondent, FakeRespondent()
    run_shard(plan(), 0, 3)
    assert unfinished_shards(plan(), 3) == [2]
    assert respondent.answered and not set(before.answered) & set(respondent.answered)
    respondent = FakeRespondent()
    run_shard(plan(), 0, 3)
    assert respondent.calls == 0


def test_settings_that_another_machine_replaced_meanwhile_are_noticed(plan, tmp_path):
    class Overtaken(FakeRespondent):
        def answer(self, prompts, letters):
            for file in (tmp_path / "results").rglob("_settings.json"):
                file.write_text(json.dumps(json.loads(file.read_text()) | {"model_revision": "r2"}))
            return super().answer(prompts, letters)

    plan.respondent = Overtaken
    planned = plan(parts=["neutral"], controls=[], n_permutations=1)
    with pytest.raises(ValuestabError, match="other settings .model_revision is 'r2' there and 'r1' now"):
        run_shard(planned, 0, 1)
