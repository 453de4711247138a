"""The explorer's menus, by themselves and in JupyterLab."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fakes import CHESS, JOKE
from test_results_browser import results  # noqa: F401 - a fixture

from valuestab_utils.explorer import Explorer, rank_figure
from valuestab_utils.paths import ROOT
from valuestab_utils.results_browser import stored_answers

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def test_every_menu_changes_what_is_shown(results):  # noqa: F811
    explorer = Explorer(results)
    explorer.experiment.value = next(label for label in explorer.experiment.options if "synthetic" in label)
    assert explorer.message.value == "" and explorer.plot.value[:4] == b"\x89PNG"
    assert JOKE.first_message in explorer.behind.value or CHESS.first_message in explorer.behind.value
    for menu in (explorer.value, explorer.persona):
        before = explorer.plot.value, explorer.behind.value
        menu.value = menu.options[-1]
        assert explorer.plot.value != before[0] and explorer.behind.value != before[1]
    explorer.context.value = "no_conversation"
    assert "No conversation came before" in explorer.behind.value
    kept = explorer.value.value, explorer.persona.value
    labels = explorer.experiment.options
    explorer.experiment.value = next(label for label in labels if "PVQ" in label and "random" in label)
    assert (explorer.value.value, explorer.persona.value) == kept


def test_texts_are_no_markup(results, monkeypatch):  # noqa: F811
    explorer = Explorer(results)
    monkeypatch.setattr(
        "valuestab_utils.explorer.answers_behind",
        lambda *_: pd.DataFrame(
            [{"item": 1, "question": "<script>", "answer": "<b>", "letter": "A", "probability": np.nan}]
        ),
    )
    explorer._shown_again()
    assert "<script>" not in explorer.behind.value and "&lt;script&gt;" in explorer.behind.value


def test_an_empty_folder_and_a_damaged_file_are_said(results, tmp_path):  # noqa: F811
    assert "There are no answers in" in Explorer(tmp_path).message.value
    stored = stored_answers(results)[0]
    place = tmp_path.joinpath(*stored.path.parts[-5:])
    place.mkdir(parents=True)
    (place / "x.parquet").write_bytes(b"nothing")
    explorer = Explorer(tmp_path)
    assert "cannot be read" in explorer.message.value and explorer.plot.value == b""


def test_names_stand_apart_where_ranks_are_tied():
    ranks = pd.DataFrame({"joke": [1.5, 1.5, 3.0], "chess": [2.0, 2.0, 2.0]}, index=["Gandalf", "Gollum", "Sauron"])
    figure = rank_figure(ranks, "Power", "Gollum")
    labels = figure.axes[1]
    assert sorted(labels.get_yticks()) == [1, 2, 3]
    assert [text.get_text() for text in labels.get_yticklabels()] == ["Gandalf", "Gollum", "Sauron"]


class Browser:
    """A page in headless Chromium, driven by its DevTools protocol."""

    def __init__(self, folder: Path):
        self._port = free_port()
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-allow-origins=*"]
        options.append("--window-size=1200,1000")  # all that is clicked on must be in sight
        self._process = subprocess.Popen(
            [CHROMIUM, *options, f"--remote-debugging-port={self._port}", f"--user-data-dir={folder}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        import websocket  # of jupyter-server

        pages = wait_for(lambda: [p for p in get(f"http://127.0.0.1:{self._port}/json") if p["type"] == "page"])
        self._socket = websocket.create_connection(pages[0]["webSocketDebuggerUrl"], timeout=60)
        self._n = 0

    def send(self, method, **params):
        self._n += 1
        self._socket.send(json.dumps({"id": self._n, "method": method, "params": params}))
        while True:
            message = json.loads(self._socket.recv())
            if message.get("id") == self._n:
                return message["result"]

    def run(self, script):
        return self.send("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def click(self, selector):
        box = f"document.querySelector('{selector}').getBoundingClientRect()"
        at = self.run(f"[{box}.x, {box}.y]")
        for kind in ("mousePressed", "mouseReleased"):
            where = {"x": at[0] + 9, "y": at[1] + 9}
            self.send("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **where)

    def shift_enter(self):
        key = {"modifiers": 8, "key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13}
        self.send("Input.dispatchKeyEvent", type="keyDown", text="\r", **key)
        self.send("Input.dispatchKeyEvent", type="keyUp", **key)

    def close(self):
        self._socket.close()
        self._process.kill()
        self._process.wait()


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def get(address):
    with urllib.request.urlopen(address, timeout=5) as answer:
        return json.loads(answer.read())


def wait_for(condition, seconds=60):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if found := condition():
                return found
        except OSError:  # not there yet
            pass
        time.sleep(0.3)
    raise AssertionError("waited in vain")


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
def test_in_jupyterlab_a_menu_changes_the_plot(results, tmp_path):  # noqa: F811
    notebook = json.loads((ROOT / "notebooks" / "explorer.ipynb").read_text())
    for cell in notebook["cells"]:
        if "parameters" in cell["metadata"].get("tags", []):
            cell["source"] = [f"results_dir = {str(results)!r}"]
    (tmp_path / "explorer.ipynb").write_text(json.dumps(notebook))
    port = free_port()
    environment = os.environ | {
        "JUPYTER_CONFIG_DIR": str(tmp_path / "config"),
        "JUPYTERLAB_SETTINGS_DIR": str(tmp_path / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(tmp_path / "workspaces"),
        "PYTHONPATH": str(ROOT),
        "JUPYTER_PREFER_ENV_PATH": "1",
    }
    lab = [sys.executable, "-m", "jupyterlab", "--no-browser", f"--port={port}", "--IdentityProvider.token=t"]
    server = subprocess.Popen(
        [*lab, "--allow-root"], cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    browser = None
    try:
        wait_for(lambda: get(f"http://127.0.0.1:{port}/api/status?token=t"))
        browser = Browser(tmp_path / "browser")
        browser.send("Page.navigate", url=f"http://127.0.0.1:{port}/lab/tree/explorer.ipynb?token=t")
        wait_for(lambda: browser.run("document.querySelectorAll('.jp-CodeCell').length >= 2"))
        wait_for(lambda: browser.run("!!document.querySelector('.jp-Notebook-ExecutionIndicator[data-status=idle]')"))
        in_cell = "!!document.activeElement.closest('.jp-CodeCell')"
        wait_for(lambda: browser.click(".jp-CodeCell .cm-content") or browser.run(in_cell))
        for i in range(2):
            browser.shift_enter()
            prompt = f"document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')[{i}].textContent"
            wait_for(lambda: browser.run(prompt) == f"[{i + 1}]:")
        image = "(document.querySelector('.jp-OutputArea img.widget-image') || {}).src || ''"
        first = wait_for(lambda: browser.run(image))
        menu = "[...document.querySelectorAll('.widget-dropdown')].find(e => e.textContent.startsWith('Value'))"
        browser.run(
            f"(() => {{ const menu = {menu}.querySelector('select'); menu.selectedIndex = 3; "
            "menu.dispatchEvent(new Event('change', {bubbles: true})); })()"
        )
        wait_for(lambda: browser.run(image) not in ("", first))
        assert browser.run("document.body.innerText").count("Answers on") == 1
    finally:
        if browser:
            browser.close()
        server.terminate()
        server.wait()
