"""Results survive kills, full disks and company: whole files only, and each session computed once."""

import errno
import multiprocessing
import os
import signal
import time
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
from fakes import FakeRespondent, experiment, session

from valuestab_utils.errors import ValuestabError
from valuestab_utils.prompts import Persona
from valuestab_utils.study import Folder, ask, simulate_conversations, store

FORK = multiprocessing.get_context("fork")  # a fresh Python would take seconds to import PyTorch
SETTINGS = {"model_revision": "r1", "sampling": {"top_p": 0.9}, "shape": (1, 2)}
SESSIONS = [session(seed=seed) for seed in range(1, 7)]


def frame(value, n=5):
    return pd.DataFrame({"session": [f"s{value}"] * n, "value": float(value), "order": [np.arange(6)] * n})


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path / "results", SETTINGS)


@contextmanager
def child(function, *arguments):
    """Run a function in another process, which is killed (kill -9) at the latest at the end of the block.

    ``result()`` waits for what the function returns.
    """
    receiver, sender = FORK.Pipe(duplex=False)
    process = FORK.Process(target=lambda: sender.send(function(*arguments)))
    process.result = lambda: receiver.recv() if receiver.poll(60) else pytest.fail("no answer from a process")
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


def names(folder):
    return sorted(path.name for path in folder.path.iterdir())


def test_what_is_written_is_read(folder):
    for s in SESSIONS[:3]:
        folder.write(s, frame(s.seed))
    assert folder.missing(SESSIONS) == SESSIONS[3:]
    assert folder.n_rows(SESSIONS[0]) == 5 and folder.n_rows(SESSIONS[5]) == 0
    pd.testing.assert_frame_equal(folder.read_all([SESSIONS[1]]), frame(2))
    both = folder.read_all([SESSIONS[2], SESSIONS[0]])
    pd.testing.assert_frame_equal(both, pd.concat([frame(3), frame(1)], ignore_index=True))
    (folder.path / ".left.tmp").write_bytes(b"half")
    assert len(pd.read_parquet(folder.path)) == 15  # pandas reads the folder as one frame
    with pytest.raises(ValuestabError, match="3 of 6 sessions have no result .*fake/tuned_sys/p/Gandalf/joke/4"):
        folder.read_all(SESSIONS)


@pytest.mark.parametrize("damage", ["half", "one bit"])
def test_a_damaged_file_is_an_error_that_names_it_and_says_what_to_do(folder, damage):
    numbers = np.random.default_rng(0).random(400)
    for s in SESSIONS[:2]:
        folder.write(s, frame(s.seed, n=400).assign(value=numbers))
    file = folder.file(SESSIONS[1])
    content = bytearray(file.read_bytes())
    if damage == "half":
        del content[len(content) // 2 :]
    else:  # a number that would be read as another one
        place = content.index(numbers[200].tobytes())
        content[place + 5] ^= 4
    file.write_bytes(content)
    for read in (lambda: folder.read_all([SESSIONS[1]]), lambda: folder.read_all(SESSIONS[:2])):
        with pytest.raises(ValuestabError, match=f"{file} cannot be read.*delete that file"):
            read()
    assert len(folder.read_all([SESSIONS[0]])) == 400  # the neighbour is whole


def test_files_with_other_columns_do_not_mix(folder):
    folder.write(SESSIONS[0], frame(1))
    folder.write(SESSIONS[1], frame(2).astype({"value": str}))
    with pytest.raises(ValuestabError, match=f"{SESSIONS[1].stem}.parquet has other columns"):
        folder.read_all(SESSIONS[:2])


def test_a_kill_in_the_middle_of_writing_leaves_the_old_file_and_all_neighbours(folder, monkeypatch):
    folder.write(SESSIONS[0], frame(1))
    folder.write(SESSIONS[1], frame(2))
    half_written = FORK.Event()

    def write_half(table, out, **_):
        out.write(b"PAR1" + bytes(1000))
        out.flush()
        half_written.set()
        time.sleep(60)

    def work():
        monkeypatch.setattr(store.pq, "write_table", write_half)
        Folder(folder.path, SETTINGS).write(victim, frame(9))

    for victim in (SESSIONS[0], SESSIONS[2]):  # noqa: B007  there already, and new
        half_written.clear()
        with child(work):
            assert half_written.wait(30)
    assert folder.missing(SESSIONS[:3]) == [SESSIONS[2]]
    both = pd.concat([frame(1), frame(2)], ignore_index=True)
    pd.testing.assert_frame_equal(folder.read_all(SESSIONS[:2]), both)
    assert len(pd.read_parquet(folder.path)) == 10


def test_a_full_disk_leaves_what_was_there(folder, monkeypatch):
    folder.write(SESSIONS[0], frame(1))
    before = names(folder)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for module, step in ((store.pq, "write_table"), (os, "fsync"), (os, "replace")):
        with monkeypatch.context() as patch, pytest.raises(ValuestabError, match="No space left.*make room"):
            patch.setattr(module, step, full)
            folder.write(SESSIONS[0], frame(2))
    assert names(folder) == before
    pd.testing.assert_frame_equal(folder.read_all([SESSIONS[0]]), frame(1))


def test_the_same_settings_are_accepted_and_others_refused_with_what_differs(folder):
    Folder(folder.path, {"shape": [1, 2], "sampling": {"top_p": 0.9}, "model_revision": "r1"})
    others = {"model_revision": "r2", "sampling": {"top_p": 0.9}, "dtype": "float32", "shape": [1, 2]}
    with pytest.raises(ValuestabError) as error:
        Folder(folder.path, others)
    said = "(model_revision is 'r1' there and 'r2' now; dtype is None there and 'float32' now)"
    assert said in str(error.value) and "give another results_dir" in str(error.value)


def test_results_without_their_settings_are_refused(folder):
    folder.write(SESSIONS[0], frame(1))
    settings = folder.path / "_settings.json"
    for spoil in (lambda: settings.write_text(""), settings.unlink):
        spoil()
        with pytest.raises(ValuestabError, match="_settings.json cannot be read .*nothing says what made"):
            Folder(folder.path, SETTINGS)


def test_two_runs_with_different_settings_cannot_both_begin(tmp_path, monkeypatch):
    write = store._write_whole

    def write_late(*arguments):
        time.sleep(0.2)  # long enough for the other to look meanwhile
        write(*arguments)

    def begin(revision, barrier):
        barrier.wait()
        try:
            Folder(tmp_path / "results", {"model_revision": revision})
        except ValuestabError as error:
            return str(error)
        return "begun"

    monkeypatch.setattr(store, "_write_whole", write_late)
    barrier = FORK.Barrier(2)
    with child(begin, "r1", barrier) as one, child(begin, "r2", barrier) as other:
        outcomes = sorted([one.result(), other.result()])
    assert outcomes[1] == "begun" and "other settings" in outcomes[0]


def test_a_claimed_session_is_in_nobody_elses_claim_until_its_process_is_killed(folder):
    claimed = FORK.Event()

    def work():
        mine = Folder(folder.path, SETTINGS)
        with mine.claim(SESSIONS, at_most=2):
            claimed.set()
            time.sleep(60)

    with child(work) as process:
        assert claimed.wait(30)
        with folder.claim(SESSIONS, at_most=3) as free:
            assert free == SESSIONS[2:5]
        with folder.claim(SESSIONS[:2], at_most=3) as free:
            assert free == []
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        with folder.claim(SESSIONS, at_most=10) as free:
            assert free == SESSIONS


def run(results_dir, whole, barrier):
    respondent = FakeRespondent(seconds=0.03)
    respondent.batch_sessions = 2
    barrier.wait()
    conversations = simulate_conversations(whole, respondent, results_dir)
    answers = ask(whole, respondent, results_dir)
    return respondent.spoken, respondent.answered, len(conversations), len(answers)


def test_two_runs_at_once_share_the_work_and_compute_nothing_twice(tmp_path):
    personas = [Persona(f"p{i}", f"P{i}", f"person {i}.", "M") for i in range(6)]
    whole = experiment(personas, n_messages=3)
    together = (tmp_path / "together", whole, FORK.Barrier(2))
    with child(run, *together) as one, child(run, *together) as other:
        found = [one.result(), other.result()]
    spoken, answered = ([call for of_one in found for call in of_one[i]] for i in range(2))
    assert len(spoken) == len(set(spoken)) == 12 * 3
    assert len(answered) == len(set(answered)) == 12 * 3
    assert all(of_one[0] and of_one[1] for of_one in found), "one of the two had nothing to do"
    assert [of_one[2:] for of_one in found] == [(12 * 4, 12 * 3)] * 2

    run(tmp_path / "alone", whole, FORK.Barrier(1))
    for kind in ("conversations", "Small-project/n3"):
        places = [tmp_path / place / "fake/tuned_sys/p" / kind for place in ("together", "alone")]
        pd.testing.assert_frame_equal(*map(pd.read_parquet, places))
