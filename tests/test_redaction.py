"""Secrets reach no error, notebook, page or terminal."""

import json

import nbformat
import pytest
from huggingface_hub import constants
from huggingface_hub.utils import _auth

from valuestab_utils.errors import ValuestabError, redact, redact_json, secrets
from valuestab_utils.models import loading
from valuestab_utils.models.loading import load_model
from valuestab_utils.run.command_line import of_study
from valuestab_utils.run.reproduce import execute

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
        of_study("quick", "hf_of_mine_%1", [])


def test_a_librarys_error_does_not_give_the_token_away(monkeypatch):
    def fail(*_, **__):
        raise RuntimeError(f"401 for the header 'Bearer {TOKEN}'.")

    monkeypatch.setattr(loading.AutoTokenizer, "from_pretrained", fail)
    with pytest.raises(ValuestabError, match=r"RuntimeError: 401 for the header 'Bearer \*\*\*'") as error:
        load_model("owner/name")
    assert TOKEN not in str(error.value) and TOKEN not in repr(error.value)


def test_a_document_stays_one(monkeypatch):
    monkeypatch.setenv("PIN_KEY", "12345678")
    text = json.dumps({"share": 0.12345678, "text": ["a 12345678\n"], TOKEN: ODD})
    assert json.loads(redact_json(text)) == {"share": 0.12345678, "text": ["a ***\n"], "***": "***"}


PRINTING = (
    "import os, sys\nfrom IPython.display import HTML, display\n"
    "print(os.environ['HF_TOKEN'], repr(os.environ['OPENAI_API_KEY']))\n"
    "print(os.environ['HF_TOKEN'], file=sys.stderr)\n"
    "display(HTML('<b>' + os.environ['MY_SECRET'] + '</b>'))\n"
    "dict(os.environ)"
)


def write_notebook(folder, *cells):
    book = nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, cells)))
    book.metadata["kernelspec"] = {"name": "python3", "language": "python", "display_name": "Python 3"}
    nbformat.write(book, folder / "01_first.ipynb")
    return folder / "01_first.ipynb"


def test_a_notebook_that_prints_the_environment_and_one_that_fails(tmp_path, capsys):
    output = tmp_path / "output" / "01_first.ipynb"
    execute(write_notebook(tmp_path, PRINTING), {}, output)
    assert "*** '***'" in output.read_text() and "***" in capsys.readouterr().err
    assert_nowhere(output.parent)
    raising = "import os\nraise RuntimeError('x' * 275 + os.environ['HF_TOKEN'])"  # longer than what is shown of it
    with pytest.raises(ValuestabError, match=r"RuntimeError: x+\*\*\* \(all of it is in"):
        execute(write_notebook(tmp_path, PRINTING, raising), {}, output)
    said = capsys.readouterr()
    assert_nowhere(output.parent, said.out, said.err)
