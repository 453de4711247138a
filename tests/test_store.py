"""Results survive kills, full disks and company: whole files only, and each session computed once."""

import errno
import multiprocessing
import os
import random
import signal
import time
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
from fakes import GANDALF, FakeRespondent, experiment, session, small_instrument

from valuestab_utils import store
from valuestab_utils.conversations import simulate_conversations
from valuestab_utils.errors import ValuestabError
from valuestab_utils.populations import Persona
from valuestab_utils.questionnaire import ask_questionnaire
from valuestab_utils.store import Folder, check_unchanged

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


# Reading and writing


def test_what_is_written_is_read(folder):
    for s in SESSIONS[:3]:
        folder.write(s, frame(s.seed))
    assert folder.missing(SESSIONS) == SESSIONS[3:]
    assert folder.n_rows(SESSIONS[0]) == 5 and folder.n_rows(SESSIONS[5]) == 0
    pd.testing.assert_frame_equal(folder.read(SESSIONS[1]), frame(2))
    both = folder.read_all([SESSIONS[2], SESSIONS[0]])
    pd.testing.assert_frame_equal(both, pd.concat([frame(3), frame(1)], ignore_index=True))


def test_pandas_reads_the_folder_as_one_frame(folder):
    for s in SESSIONS:
        folder.write(s, frame(s.seed))
    (folder.path / ".left.tmp").write_bytes(b"half")
    assert len(pd.read_parquet(folder.path)) == 30


def test_a_missing_session_is_named(folder):
    folder.write(SESSIONS[0], frame(1))
    with pytest.raises(
        ValuestabError, match="2 of 3 sessions have no result .*fake/tuned_sys/p/Gandalf/joke/2"
    ):
        folder.read_all(SESSIONS[:3])


@pytest.mark.parametrize("damage", ["half", "empty", "footer", "zeros", "one bit"])
def test_a_damaged_file_is_an_error_that_names_it_and_says_what_to_do(folder, damage):
    numbers = np.random.default_rng(0).random(400)
    for s in SESSIONS[:2]:
        folder.write(s, frame(s.seed, n=400).assign(value=numbers))
    file = folder.file(SESSIONS[1])
    content = bytearray(file.read_bytes())
    if damage == "half":
        del content[len(content) // 2 :]
    elif damage == "empty":
        content.clear()
    elif damage == "footer":
        start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
        content[start : start + 30] = b"\x01" * 30
    elif damage == "zeros":
        content[100:200] = bytes(100)
    else:  # a number that would be read as another one
        place = content.index(numbers[200].tobytes())
        content[place + 5] ^= 4
    file.write_bytes(content)
    for read in (lambda: folder.read(SESSIONS[1]), lambda: folder.read_all(SESSIONS[:2])):
        with pytest.raises(ValuestabError) as error:
            read()
        assert f"{file} cannot be read" in str(error.value) and "delete that file" in str(error.value)
        assert "\n" not in str(error.value)
    if damage in ("half", "empty", "footer"):
        with pytest.raises(ValuestabError, match="delete that file"):
            folder.n_rows(SESSIONS[1])
    assert len(folder.read(SESSIONS[0])) == 400  # the neighbour is whole


def test_files_with_other_columns_do_not_mix(folder):
    folder.write(SESSIONS[0], frame(1))
    folder.write(SESSIONS[1], frame(2).drop(columns="value"))
    with pytest.raises(ValuestabError, match=f"{SESSIONS[1].stem}.parquet has other columns"):
        folder.read_all(SESSIONS[:2])
    folder.write(SESSIONS[1], frame(2).astype({"value": str}))
    with pytest.raises(ValuestabError, match="has other columns"):
        folder.read_all(SESSIONS[:2])


# Kills and full disks


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

    for victim in (SESSIONS[0], SESSIONS[2]):  # there already, and new
        half_written.clear()
        with child(work) as process:
            assert half_written.wait(30)
            os.kill(process.pid, signal.SIGKILL)
    assert folder.missing(SESSIONS[:3]) == [SESSIONS[2]]
    pd.testing.assert_frame_equal(
        folder.read_all(SESSIONS[:2]), pd.concat([frame(1), frame(2)], ignore_index=True)
    )
    assert len(pd.read_parquet(folder.path)) == 10
    assert sum(name.endswith(".tmp") for name in names(folder)) == 2


def test_kills_at_any_moment_leave_whole_files_only(folder):
    def work(start):
        mine = Folder(folder.path, SETTINGS)
        for value in range(start, start + 10_000):
            for s in SESSIONS:
                mine.write(s, frame(value, n=value % 50 + 1))

    chance = random.Random(1)
    latest = -1.0
    for start in range(0, 80_000, 10_000):
        with child(work, start):
            time.sleep(chance.uniform(0.02, 0.15))
        for s in SESSIONS:
            if folder.missing([s]):
                continue
            found = folder.read(s)
            (value,) = set(found["value"])
            pd.testing.assert_frame_equal(found, frame(int(value), n=int(value) % 50 + 1))
            latest = max(latest, value)
    assert latest > 0


def test_old_leftovers_are_removed_and_files_being_written_are_not(folder):
    old, new = folder.path / ".a.tmp", folder.path / ".b.tmp"
    old.touch(), new.touch()
    os.utime(old, (time.time() - 7200,) * 2)
    folder.write(SESSIONS[0], frame(1))
    os.utime(folder.file(SESSIONS[0]), (time.time() - 7200,) * 2)
    Folder(folder.path, SETTINGS)
    assert names(folder) == [".b.tmp", ".lock", "_settings.json", f"{SESSIONS[0].stem}.parquet"]


@pytest.mark.parametrize("step", ["write_table", "fsync", "replace"])
def test_a_full_disk_is_one_sentence_and_what_was_there_stays(folder, monkeypatch, step):
    folder.write(SESSIONS[0], frame(1))
    before = names(folder)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(store.pq if step == "write_table" else os, step, full)
        for s in SESSIONS[:2]:
            with pytest.raises(ValuestabError) as error:
                folder.write(s, frame(2))
            assert str(error.value).startswith(
                f"The result of session {s} could not be written to {folder.path}"
            )
            assert "No space left on device" in str(error.value) and "make room" in str(error.value)
    assert names(folder) == before
    pd.testing.assert_frame_equal(folder.read(SESSIONS[0]), frame(1))
    folder.write(SESSIONS[1], frame(2))  # the same command goes on


def test_a_disk_too_full_for_the_settings_leaves_no_settings(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(
            ValuestabError, match="Results could not be written to .*No space left.*make room"
        ):
            Folder(tmp_path / "results", SETTINGS)
    assert [path.name for path in (tmp_path / "results").iterdir()] == [".lock"]
    Folder(tmp_path / "results", SETTINGS)


def test_a_place_that_cannot_be_written_to_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValuestabError, match="could not be written to .*give another results_dir"):
        Folder(tmp_path / "file" / "results", SETTINGS)


# Settings


def test_the_same_settings_are_accepted_and_others_refused_with_what_differs(folder):
    Folder(folder.path, {"shape": [1, 2], "sampling": {"top_p": 0.9}, "model_revision": "r1"})
    with pytest.raises(ValuestabError) as error:
        Folder(
            folder.path,
            {"model_revision": "r2", "sampling": {"top_p": 0.9}, "dtype": "float32", "shape": [1, 2]},
        )
    assert "(model_revision is 'r1' there and 'r2' now; dtype is None there and 'float32' now)" in str(
        error.value
    )
    assert "give another results_dir" in str(error.value)


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


def test_what_a_result_was_made_with_is_held_to_what_is_asked_now(tmp_path):
    then = {"persona_name": "Sam", "message": 3}
    check_unchanged(session(), then, {"persona_name": "Sam"}, tmp_path)
    with pytest.raises(
        ValuestabError, match="the persona name 'Sam', which is now 'Frodo': .*another results_dir"
    ):
        check_unchanged(session(), then, {"persona_name": "Frodo"}, tmp_path)


# Several runs at once


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


def test_a_claim_ends_with_its_block_even_in_an_error(folder):
    def others():
        with Folder(folder.path, SETTINGS).claim(SESSIONS, at_most=10) as free:
            return len(free)

    with folder.claim(SESSIONS[:4], at_most=4), child(others) as process:
        assert process.result() == 2
    with pytest.raises(KeyboardInterrupt), folder.claim(SESSIONS[:4], at_most=4):
        raise KeyboardInterrupt
    with child(others) as process:
        assert process.result() == 6


def test_waiting_for_a_session_ends_when_it_is_free(folder):
    claimed, is_over = FORK.Event(), FORK.Value("b", False)

    def work():
        with Folder(folder.path, SETTINGS).claim(SESSIONS[:1], at_most=1):
            claimed.set()
            time.sleep(0.3)
            is_over.value = True

    with child(work):
        assert claimed.wait(30)
        folder.wait_for(SESSIONS[1])  # nobody's
        assert not is_over.value
        folder.wait_for(SESSIONS[0])
        assert is_over.value


def run(results_dir, whole, instrument, barrier):
    respondent = FakeRespondent(seconds=0.03)
    barrier.wait()
    conversations = simulate_conversations(whole, respondent, results_dir, batch_sessions=2)
    answers = ask_questionnaire(whole, respondent, instrument, results_dir)
    return respondent.spoken, respondent.answered, len(conversations), len(answers)


def test_two_runs_at_once_share_the_work_and_compute_nothing_twice(tmp_path):
    personas = [Persona(f"p{i}", f"P{i}", f"person {i}.", "M") for i in range(6)]
    whole, instrument = experiment(personas, n_messages=3), small_instrument()
    together = (tmp_path / "together", whole, instrument, FORK.Barrier(2))
    with child(run, *together) as one, child(run, *together) as other:
        found = [one.result(), other.result()]
    spoken, answered = ([call for of_one in found for call in of_one[i]] for i in range(2))
    assert len(spoken) == len(set(spoken)) == 12 * 3
    assert len(answered) == len(set(answered)) == 12 * 3
    assert all(of_one[0] and of_one[1] for of_one in found), "one of the two had nothing to do"
    assert [of_one[2:] for of_one in found] == [(12 * 4, 12 * 3)] * 2

    run(tmp_path / "alone", whole, instrument, FORK.Barrier(1))
    for kind in ("conversations", "Small-project/n3"):
        one, other = (
            pd.read_parquet(tmp_path / place / "fake/tuned_sys/p" / kind) for place in ("together", "alone")
        )
        pd.testing.assert_frame_equal(one, other)


def test_a_run_takes_over_from_one_that_is_killed(tmp_path):
    whole, instrument = experiment([GANDALF]), small_instrument()

    class Slow(FakeRespondent):
        def speak(self, prompts, max_new_tokens):
            if self.calls == 2:
                third_message.set()
                time.sleep(60)
            return super().speak(prompts, max_new_tokens)

    third_message = FORK.Event()
    with child(simulate_conversations, whole, Slow(), tmp_path) as process:
        assert third_message.wait(30)
        with child(run, tmp_path, whole, instrument, FORK.Barrier(1)) as successor:
            time.sleep(0.2)
            os.kill(process.pid, signal.SIGKILL)
            spoken, answered, *_ = successor.result()
    assert len(spoken) == 2 and len(answered) == 6  # the last message of both, and what nobody had begun
