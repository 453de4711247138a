"""What was paid for is kept once and for all, and a budget holds."""

import json
import multiprocessing
import os
import signal
import sqlite3
import threading
import time

import pytest
from faulty_server import KEY, FaultyServer

from valuestab_utils.api_client import Client, Request
from valuestab_utils.api_journal import Journal
from valuestab_utils.api_settings import Settings
from valuestab_utils.errors import ValuestabError

GOES_ON = threading.Event()  # never set


def settings(max_tokens=float("inf"), max_usd=float("inf"), prices=(None, None), timeout=60.0):
    return Settings(None, 1, 1, timeout, max_tokens, max_usd, *prices)


def enter(journal, key, kept, tokens):
    journal.end(journal.begin(key, (10, 10), settings(), GOES_ON), key, kept, tokens)


def test_what_was_paid_for_before_there_was_a_database_is_taken_over_once(tmp_path):
    old, path = tmp_path / "api-gpt-3.5.jsonl", tmp_path / "api-gpt-3.5.sqlite"
    entries = [("one", {"text": "Éowyn"}, [5, 1]), ("vain", None, [7, 2])]
    lines = [json.dumps({"key": key, "kept": kept, "tokens": tokens}) for key, kept, tokens in entries]
    old.write_text("\n".join([lines[0], '{"key": "cut", "ke', lines[1]]) + "\n")
    for journal in (Journal(path), Journal(path)):
        assert journal.spent == (12, 3) and journal.find("one") == {"text": "Éowyn"}
        assert journal.find("vain") is None and journal.find("cut") is None
    enter(journal, "two", {}, (1, 1))
    assert Journal(path).spent == (13, 4)


def test_who_only_asks_what_was_spent_leaves_no_file(tmp_path):
    assert Journal(tmp_path / "_paid" / "m.sqlite").spent == (0, 0) and not list(tmp_path.iterdir())


def test_several_see_what_the_others_add(tmp_path):
    first, second = Journal(tmp_path / "m.sqlite"), Journal(tmp_path / "m.sqlite")
    journals = [first, second] * 4
    threads = [
        threading.Thread(target=lambda i=i, j=j: [enter(j, f"{i}-{n}", {"n": n}, (1, 2)) for n in range(20)])
        for i, j in enumerate(journals)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert first.spent == second.spent == Journal(first.path).spent == (160, 320)
    assert all(first.find(f"{i}-{n}") == {"n": n} for i in range(8) for n in range(20))


@pytest.mark.parametrize("damage", ["no folder", "no database"])
def test_what_cannot_be_kept_is_told(tmp_path, damage):
    (tmp_path / "file").write_text("This is no database, but a text of more than a hundred bytes" + "." * 999)
    path = tmp_path / "file" / "m.sqlite" if damage == "no folder" else tmp_path / "file"
    with pytest.raises(ValuestabError, match="could not be kept in .*the same command goes on"):
        enter(Journal(path), "one", {}, (1, 1))


def test_a_request_waits_for_those_on_their_way_and_begins_if_they_leave_room():
    limits, journal, begun = settings(max_tokens=100), Journal(None), threading.Event()

    def first():
        row = journal.begin("one", (50, 10), limits, GOES_ON)
        begun.set()
        second.join(0.05)
        assert second.is_alive()
        journal.end(row, "one", {}, (20, 5))

    def then():
        begun.wait()
        journal.end(journal.begin("two", (50, 10), limits, GOES_ON), "two", {}, (20, 5))

    second = threading.Thread(target=then)
    threads = [threading.Thread(target=first), second]
    for thread in threads[::-1]:
        thread.start()
    for thread in threads:
        thread.join()
    assert journal.spent == (40, 10)


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        (settings(max_tokens=99), "of VALUESTAB_MAX_TOKENS=99 is spent: .* 40 tokens in and 10 out .* 50 more"),
        (settings(max_usd=0.059, prices=(500.0, 1000.0)), "of VALUESTAB_MAX_USD=0.059 is spent: .* 10 out, 0.03 USD"),
    ],
)
def test_a_request_that_could_exceed_the_budget_is_not_begun(limits, told):
    journal = Journal(None)
    enter(journal, "one", {}, (40, 10))
    with pytest.raises(ValuestabError, match=told):
        journal.begin("two", (40, 10), limits, GOES_ON)
    larger = settings(limits.max_tokens + 1, limits.max_usd + 0.001, (limits.usd_in, limits.usd_out))
    assert journal.begin("two", (40, 10), larger, GOES_ON)


# Processes that share a budget


@pytest.fixture
def server(monkeypatch):
    for name in ("AZURE_OPENAI_ENDPOINT", "VALUESTAB_API_KIND"):
        monkeypatch.delenv(name, raising=False)
    with FaultyServer() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        yield server


def request(key):
    chat = [{"role": "user", "content": "x" * 60}]  # may take 60 + 2 * 32 + 8 = 132 tokens, and takes 103
    return Request(key, {"messages": chat, "max_tokens": 8}, lambda response: {}, key, 8)


def ask_ten(path, max_tokens, number, together, told):
    """What a process of a test does."""
    client = Client("served", Settings("vllm", 4, 1, 5.0, max_tokens, float("inf"), None, None))
    client.journal = Journal(path)
    together.wait()
    try:
        client.ask_all([request(f"{number}-{i}") for i in range(10)])
    except ValuestabError as error:
        told.put(str(error))


@pytest.mark.parametrize(("max_tokens", "answered"), [(140, 1), (1000, 9)])
def test_a_budget_holds_for_all_processes_together(server, tmp_path, monkeypatch, max_tokens, answered):
    at_once = server.response
    monkeypatch.setattr(server, "response", lambda *asked: time.sleep(0.1) or at_once(*asked))
    context = multiprocessing.get_context("spawn")
    together, told, path = context.Barrier(4), context.Queue(), tmp_path / "_paid" / "m.sqlite"
    processes = [
        context.Process(target=ask_ten, args=(path, max_tokens, number, together, told)) for number in range(4)
    ]
    for process in processes:
        process.start()
    said = [told.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert all(f"budget of VALUESTAB_MAX_TOKENS={max_tokens} is spent" in text for text in said)
    # Each waits for the others' answers: requests go on as long as 132 tokens more may be spent.
    assert server.answered == len(server.requests) == answered
    assert Journal(path).spent == (100 * answered, 3 * answered)


def begin_and_be_killed(path):
    Journal(path).begin("one", (50, 10), settings(), GOES_ON)
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_processs_request_counts_is_not_waited_for_and_is_not_sent_again_in_silence(tmp_path):
    path = tmp_path / "m.sqlite"
    killed = multiprocessing.get_context("spawn").Process(target=begin_and_be_killed, args=(path,))
    killed.start()
    killed.join()
    journal, limits = Journal(path), settings(max_tokens=100, timeout=0.2)
    assert killed.exitcode < 0 and journal.spent == (50, 10)
    begun = time.monotonic()
    with pytest.raises(ValuestabError, match="50 tokens in and 10 out"):
        journal.begin("two", (50, 10), limits, GOES_ON)
    assert time.monotonic() - begun < 5
    with pytest.warns(UserWarning, match="sent again: both may be paid for, and both count"):
        row = journal.begin("one", (30, 10), limits, GOES_ON)
    journal.end(row, "one", {"text": "x"}, (20, 5))
    assert journal.spent == (70, 15) and journal.find("one") == {"text": "x"}


def test_no_mode_that_a_network_file_system_lacks(tmp_path):
    enter(Journal(tmp_path / "m.sqlite"), "one", {}, (1, 1))
    assert sqlite3.connect(tmp_path / "m.sqlite").execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert [path.name for path in tmp_path.iterdir()] == ["m.sqlite"]
