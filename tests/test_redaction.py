"""Secrets reach no error, notebook, page or terminal."""

import json
import re
import subprocess
import sys

import nbformat
import pytest
from huggingface_hub import constants
from huggingface_hub.utils import _auth
from test_reproduce import printed, write_notebook

from valuestab_utils import loading
from valuestab_utils import reproduce as driver
from valuestab_utils.errors import ValuestabError
from valuestab_utils.execution import execute
from valuestab_utils.loading import load_model
from valuestab_utils.parameters import for_notebooks
from valuestab_utils.paths import ROOT
from valuestab_utils.redaction import redact, redact_json, secrets

TOKEN = "hf_only_for_this_test_1234567890"
ODD = 'odd&"key"<with>/all\\zebra_signs'


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name, value in (("HF_TOKEN", TOKEN), ("OPENAI_API_KEY", ODD), ("MY_SECRET", TOKEN + "-longer")):
        monkeypatch.setenv(name, value)


def assert_nowhere(folder, *texts):
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    for text in [*texts, *(path.read_text(encoding="utf-8") for path in files), *(str(path) for path in files)]:
        assert TOKEN not in text and "zebra_signs" not in text


def test_secrets_are_told_by_the_names_of_their_variables():
    given = {"A_KEY": "12345678", "b_token": " long enough\n", "C_SECRET": "short", "KEYBOARD": "12345678"}
    assert secrets(given) == {"A_KEY": "12345678", "b_token": "long enough"}
    assert set(secrets()) >= {"HF_TOKEN", "OPENAI_API_KEY", "MY_SECRET"}


def test_every_form_of_a_secret_is_replaced():
    assert redact(f"Bearer {TOKEN}, {TOKEN}-longer.") == "Bearer ***, ***."
    for form in (ODD, json.dumps(ODD)[1:-1], "odd&amp;&quot;key&quot;&lt;with&gt;/all\\zebra_signs", repr(ODD)[1:-1]):
        assert redact(f"[{form}]") == "[***]"
    assert redact("odd%26%22key%22%3Cwith%3E%2Fall%5Czebra_signs") == "***"


def test_what_hf_auth_login_stored_is_a_secret(monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_STORED_TOKENS_PATH", str(tmp_path / "stored_tokens"))
    assert redact("hf_active_1 hf_of_mine_%1 renewing_1") == "hf_active_1 hf_of_mine_%1 renewing_1"
    _auth._save_token("hf_of_mine_%1", "mine", refresh_token="renewing_1", expires_at=1764000000)
    (tmp_path / "token").write_text("hf_active_1\n")
    assert redact("hf_active_1 hf_of_mine_%1 renewing_1 1764000000") == "*** *** *** 1764000000"
    with pytest.raises(ValuestabError, match="holds the secret hf auth login/mine/hf_token"):
        for_notebooks({"model": "hf_of_mine_%1"}, {"one": {"model": None}})
    (tmp_path / "stored_tokens").write_bytes(b"no [section \xff")
    (tmp_path / "token").unlink()
    assert redact("hf_active_1") == "hf_active_1"


def test_neither_start_up_nor_a_bare_python_needs_the_hub():
    said = "import sys, valuestab_utils.errors as e; print('huggingface_hub' in sys.modules, e.ValuestabError('x'))"
    for options in ([], ["-S"]):  # without site-packages, as when the environment is built
        found = subprocess.run([sys.executable, *options, "-c", said], cwd=ROOT, capture_output=True, text=True)
        assert found.stdout == "False x\n", found.stderr


def test_a_document_stays_one(monkeypatch):
    monkeypatch.setenv("PIN_KEY", "12345678")
    text = json.dumps({"share": 0.12345678, "text": ["a 12345678\n"], TOKEN: ODD})
    assert json.loads(redact_json(text)) == {"share": 0.12345678, "text": ["a ***\n"], "***": "***"}
    assert redact_json('{"a":  1}') == '{"a":  1}'


def test_a_librarys_error_does_not_give_the_token_away(monkeypatch):
    def fail(*_, **__):
        raise RuntimeError(f"401 for the header 'Bearer {TOKEN}'.")

    monkeypatch.setattr(loading.AutoTokenizer, "from_pretrained", fail)
    with pytest.raises(ValuestabError, match=r"RuntimeError: 401 for the header 'Bearer \*\*\*'") as error:
        load_model("owner/name")
    assert TOKEN not in str(error.value) and TOKEN not in repr(error.value)


@pytest.mark.parametrize("name, text", [("model", TOKEN), ("results_dir", f"/tmp/{TOKEN}"), ("HF_TOKEN", "anything")])
def test_a_parameter_that_holds_a_secret_is_refused(name, text):
    declared = {"one": {"model": None, "results_dir": None}}
    with pytest.raises(ValuestabError, match=f"The parameter '{name}' holds the secret HF_TOKEN") as error:
        for_notebooks({name: text}, declared)
    assert TOKEN not in str(error.value)


PRINTING = (
    "import os, sys\nfrom IPython.display import HTML, display\n"
    "print(os.environ['HF_TOKEN'], repr(os.environ['OPENAI_API_KEY']))\n"
    "print(os.environ['HF_TOKEN'], file=sys.stderr)\n"
    "display(HTML('<b>' + os.environ['MY_SECRET'] + '</b>'))\n"
    "dict(os.environ)"
)


def test_a_notebook_that_prints_the_environment(tmp_path):
    output = tmp_path / "output"
    output.mkdir()
    # What lies in the folder while the notebook runs is read by the notebook itself.
    look = f"from pathlib import Path\nfiles = list(Path({str(output)!r}).glob('.*.ipynb'))\n"
    look += "hidden = [os.environ['HF_TOKEN'] not in path.read_text() for path in files]\nprint('hidden', hidden)"
    execute(write_notebook(tmp_path / "notebooks", "01_first", PRINTING, look), {}, output / "01_first.ipynb")
    assert_nowhere(output)
    assert "hidden [True]" in printed(output / "01_first.ipynb")
    assert "*** '***'" in printed(output / "01_first.ipynb")
    nbformat.validate(nbformat.read(output / "01_first.ipynb", as_version=4))


def test_the_command_line_and_a_failed_notebook(tmp_path, monkeypatch, capsys):
    raising = "import os\nraise RuntimeError('x' * 275 + os.environ['HF_TOKEN'])"  # longer than what is shown of it
    write_notebook(tmp_path / "notebooks", "01_first", PRINTING, raising, parameters='profile = "quick"')
    monkeypatch.setattr(driver, "prepare_model", lambda *_: "run")
    monkeypatch.setattr(driver.reproduce, "__defaults__", (tmp_path / "notebooks", (), "stability"))
    output = tmp_path / "output"
    assert driver.main(["--output", str(output)]) == 1
    said = capsys.readouterr()
    assert re.search(r"RuntimeError: x+\*\*\* \(all of it is in", said.err)
    assert_nowhere(output, said.out, said.err)
    assert driver.main([f"results_dir={TOKEN}", "--output", str(output)]) == 1
    said = capsys.readouterr()
    assert "holds the secret HF_TOKEN" in said.err
    assert_nowhere(output, said.out, said.err)
