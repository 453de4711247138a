"""JupyterLab and a headless browser to look at it with, for tests."""

import base64
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path

import websocket

from valuestab_utils.paths import ROOT

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Browser:
    """A page in headless Chromium, driven by its DevTools protocol; closed at the end of a with block."""

    def __init__(self, folder: Path, size: str = "1200,1000"):
        port = free_port()
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-allow-origins=*"]
        options += [f"--window-size={size}", f"--remote-debugging-port={port}", f"--user-data-dir={folder}"]
        self._process = subprocess.Popen(
            [CHROMIUM, *options, "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        pages = until(lambda: [page for page in get(f"http://127.0.0.1:{port}/json") if page["type"] == "page"])
        self._socket = websocket.create_connection(pages[0]["webSocketDebuggerUrl"], timeout=60)
        self._sent = 0
        self.send("Emulation.setFocusEmulationEnabled", enabled=True)  # JupyterLab's current widget is the focused one

    def send(self, method: str, **params) -> dict:
        self._sent += 1
        self._socket.send(json.dumps({"id": self._sent, "method": method, "params": params}))
        while True:
            message = json.loads(self._socket.recv())
            if message.get("id") == self._sent:
                return message["result"]

    def run(self, script: str):
        """Value of a JavaScript expression, of what it promises if it is a promise; None if it has no value yet."""
        how = {"returnByValue": True, "awaitPromise": True}
        return self.send("Runtime.evaluate", expression=script, **how)["result"].get("value")

    def wait(self, script: str):
        """The expression's value as soon as it is true."""
        return until(lambda: self.run(script), script)

    def screenshot(self, file: Path) -> None:
        file.write_bytes(base64.b64decode(self.send("Page.captureScreenshot")["data"]))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()
        self._process.kill()
        self._process.wait()


@contextmanager
def jupyterlab(folder: Path):
    """JupyterLab on a folder, with its own settings; gives the address of a path in it, token included."""
    port, token = free_port(), secrets.token_hex(16)
    own = {name: str(folder / ".jupyter" / name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR")}
    own |= {name: str(folder / ".jupyter" / name) for name in ("JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR")}
    own |= {"IPYTHONDIR": str(folder / ".ipython"), "PYTHONPATH": str(ROOT), "JUPYTER_PREFER_ENV_PATH": "1"}
    options = ["--no-browser", "--allow-root", f"--port={port}", f"--IdentityProvider.token={token}"]
    options += ["--expose-app-in-browser", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    process = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", *options],
        cwd=folder,
        env=os.environ | own,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: get(f"http://127.0.0.1:{port}/api/status?token={token}"), "JupyterLab")
        yield lambda path: f"http://127.0.0.1:{port}{path}?token={token}"
    finally:
        process.terminate()  # it ends its kernels first
        process.wait()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def get(address: str):
    with urllib.request.urlopen(address, timeout=5) as answer:
        return json.loads(answer.read())


def until(condition, what: str = "the browser", seconds: float = 60):
    """What ``condition`` gives as soon as it is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(OSError):  # not there yet
            if found := condition():
                return found
        time.sleep(0.3)
    raise AssertionError(f"waited {seconds} seconds in vain for: {what}")
