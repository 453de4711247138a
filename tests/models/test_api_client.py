"""What was paid for is kept once and for all, and a budget holds."""

import json
import subprocess
import sys
import threading
import time

import pytest
from faulty_server import KEY, FaultyServer

from valuestab_utils.errors import ValuestabError
from valuestab_utils.models import api_client
from valuestab_utils.models.api_client import Journal, Settings

GOES_ON = threading.Event()  # never set


def settings(max_tokens=float("inf"), max_usd=float("inf"), prices=(None, None), timeout=60.0):
    limits = {"timeout": timeout, "max_tokens": max_tokens, "max_usd": max_usd}
    return Settings(**limits, usd_in=prices[0], usd_out=prices[1])


def enter(journal, key, kept, tokens):
    journal.end(journal.begin(key, (10, 10), settings(), GOES_ON), key, kept, tokens)


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


@pytest.fixture
def server(monkeypatch):
    for name in ("AZURE_OPENAI_ENDPOINT", "VALUESTAB_API_KIND"):
        monkeypatch.delenv(name, raising=False)
    with FaultyServer() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        yield server


# What a process of its own does. It loads the file alone: with its room it would load torch, which takes seconds.
ALONE = """
import json, os, runpy, signal, sys, threading
from pathlib import Path

file, path, number, limits = sys.argv[1:]
own = runpy.run_path(file, run_name="api_client")
journal, settings = own["Journal"](Path(path)), own["Settings"](kind="vllm", attempts=1, **json.loads(limits))
"""
ASK_TEN = """
client = own["Client"]("served", settings)
client.journal = journal
chat = [{"role": "user", "content": "x" * 60}]  # may take 60 + 2 * 32 + 8 = 132 tokens, and takes 103
payload = {"messages": chat, "max_tokens": 8}
keys = [f"{number}-{i}" for i in range(10)]
requests = [own["Request"](key, payload, lambda response: {}, key, 8) for key in keys]
print("ready", flush=True)
sys.stdin.readline()
try:
    client.ask_all(requests)
except Exception as error:
    print(error)
"""
BEGIN_AND_BE_KILLED = """
journal.begin("one", (50, 10), settings, threading.Event())
os.kill(os.getpid(), signal.SIGKILL)
"""


def process(script, path, number=0, **limits):
    command = [sys.executable, "-c", ALONE + script, api_client.__file__, str(path), str(number), json.dumps(limits)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize(("max_tokens", "answered"), [(140, 1), (1000, 9)])
def test_a_budget_holds_for_all_processes_together(server, tmp_path, monkeypatch, max_tokens, answered):
    at_once = server.response
    monkeypatch.setattr(server, "response", lambda *asked: time.sleep(0.1) or at_once(*asked))
    path, limits = tmp_path / "_paid" / "m.sqlite", {"concurrency": 4, "timeout": 5.0, "max_tokens": max_tokens}
    processes = [process(ASK_TEN, path, number, **limits) for number in range(4)]
    assert [asking.stdout.readline() for asking in processes] == ["ready\n"] * 4
    for asking in processes:
        asking.stdin.write("go\n")
        asking.stdin.flush()
    said = [asking.communicate(timeout=240)[0] for asking in processes]
    assert all(f"budget of VALUESTAB_MAX_TOKENS={max_tokens} is spent" in text for text in said)
    # Each waits for the others' answers: requests go on as long as 132 tokens more may be spent.
    assert server.answered == len(server.requests) == answered
    assert Journal(path).spent == (100 * answered, 3 * answered)


def test_a_killed_processs_request_counts_is_not_waited_for_and_is_not_sent_again_in_silence(tmp_path):
    path = tmp_path / "m.sqlite"
    killed = process(BEGIN_AND_BE_KILLED, path)
    killed.communicate(timeout=240)
    journal, limits = Journal(path), settings(max_tokens=100, timeout=0.2)
    assert killed.returncode < 0 and journal.spent == (50, 10)
    begun = time.monotonic()
    with pytest.raises(ValuestabError, match="50 tokens in and 10 out"):
        journal.begin("two", (50, 10), limits, GOES_ON)
    assert time.monotonic() - begun < 5
    with pytest.warns(UserWarning, match="sent again: both may be paid for, and both count"):
        row = journal.begin("one", (30, 10), limits, GOES_ON)
    journal.end(row, "one", {"text": "x"}, (20, 5))
    assert journal.spent == (70, 15) and journal.find("one") == {"text": "x"}
