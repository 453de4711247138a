"""Progress shows what is left, and never floods."""

import io
import json

from valuestab_utils import progress as module
from valuestab_utils.progress import MIRROR, mirror, progress


class Terminal(io.StringIO):
    def isatty(self):
        return True

    def fileno(self):
        raise OSError("no descriptor")


def bars(monkeypatch, stream, steps=1000):
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setattr(module, "_INTERVAL", 0)  # so that each step is shown if nothing thins them out
    with progress(total=steps, desc="Asking", unit="item") as bar:
        for _ in range(steps):
            bar.update(1)
    return stream.getvalue()


def test_log_gets_a_line_for_each_tenth(monkeypatch):
    lines = bars(monkeypatch, io.StringIO()).splitlines()
    assert len(lines) == 10
    assert "| 500/1000 [" in lines[4]
    assert "| 1000/1000 [" in lines[-1]


def test_terminal_keeps_to_one_line(monkeypatch):
    shown = bars(monkeypatch, Terminal(), steps=3)
    states = shown.removesuffix("\n").split("\r\033[K")[1:]
    assert [state.split("|")[0].strip() for state in states[:4]] == [
        "Asking:   0%",
        "Asking:  33%",
        "Asking:  67%",
        "Asking: 100%",
    ]
    assert shown.count("\n") == 1
    assert max(map(len, states)) < 80


def test_nothing_to_do_shows_nothing(monkeypatch):
    assert bars(monkeypatch, io.StringIO(), steps=0) == ""


def test_states_of_another_process_are_shown_until_it_ends_in_the_middle(monkeypatch):
    monkeypatch.delenv(MIRROR, raising=False)
    stream = io.StringIO()
    with mirror(stream):
        with open(module.os.environ[MIRROR], "a") as states:
            for share in (0.5, 0.55, 1.0):
                states.write(json.dumps({"text": f"first {share}", "share": share}) + "\n")
            states.write("null\n" + json.dumps({"text": "second", "share": 0.01}) + "\n")
    assert stream.getvalue().splitlines() == ["first 0.5", "first 1.0", "second"]
    assert MIRROR not in module.os.environ
