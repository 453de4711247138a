"""Code from a model's own repository: run only for models that the user names, and told in their results."""

import hashlib
import inspect
import os
from pathlib import Path

import torch
import transformers
from accelerate import init_empty_weights
from transformers import PreTrainedConfig
from transformers.dynamic_module_utils import get_class_from_dynamic_module
from transformers.models.auto.tokenization_auto import get_tokenizer_config

from valuestab_utils.errors import ValuestabError
from valuestab_utils.model_cards import ModelCard, known_models

VARIABLE = "VALUESTAB_REMOTE_CODE"


def allowed_names() -> tuple[str, ...]:
    """Models whose own code may be run: the names in VALUESTAB_REMOTE_CODE, separated by commas.

    Raises
    ------
    ValuestabError
        If one of them is a wildcard, or anything else that is not the name of one model.
    """
    names = tuple(name.strip() for name in os.environ.get(VARIABLE, "").split(",") if name.strip())
    for name in names:
        if set("*?[]") & set(name) or not ("/" in name or name in known_models()):
            raise ValuestabError(
                f"{VARIABLE} has {name!r}, which is not the name of one model: write each model whose repository's "
                "code you have read and trust by its full name, such as owner/name, separated by commas."
            )
    return names


def is_allowed(model: str, card: ModelCard) -> bool:
    """Whether the user allows code of this model's repository or folder to be run.

    Parameters
    ----------
    model : str
        As it was asked for.
    card : ModelCard
        What that means.

    Raises
    ------
    ValuestabError
        If it cannot be loaded without, and is not allowed; or if the list is not one of names.
    """
    folder = Path(card.source) if Path(card.source).is_absolute() else None
    for name in allowed_names():
        if name in (model, card.source) or (folder and Path(name).expanduser().resolve() == folder):
            return True
    if card.remote_code:
        raise ValuestabError(
            f"Model {model!r} can only be loaded by running Python code from its repository, with all your rights on "
            f"this machine: read that code, and if you trust it, set {VARIABLE}={model}."
        )
    return False


def find_code(model: str, source: str, commit: str | None) -> str | None:
    """Identify the code that would be run for a model, without running it.

    Parameters
    ----------
    model : str
    source : str
        Folder or hub id.
    commit : str or None
        Commit of the hub's repository; None for a folder.

    Returns
    -------
    str or None
        The commit, or the first 16 hexadecimal digits of the SHA-256 over a folder's Python files; None if the
        model brings no code.

    Raises
    ------
    ValuestabError
        If the code is another repository's, which nobody allowed and whose commit is not fixed.
    """
    fixed = {"revision": commit} if commit else {}
    config = PreTrainedConfig.get_config_dict(source, **fixed)[0]
    maps = [config.get("auto_map"), get_tokenizer_config(source, **fixed).get("auto_map")]
    references = [ref for one in maps if one for ref in _flat(one)]
    if not references:
        return None
    for reference in references:
        if "--" in reference:
            raise ValuestabError(
                f"Model {model!r} takes code from another repository ({reference.split('--')[0]}), which is not run "
                "here: fetch model and code into one folder, and give that folder."
            )
    return commit or _checksum(Path(source))


def check_class(model: str, source: str, commit: str | None, config) -> None:
    """Run the model's code up to its class, and see to it that this version of transformers can use it.

    Raises
    ------
    ValuestabError
        If the class is written for an older version.
    """
    reference = (getattr(config, "auto_map", None) or {}).get("AutoModelForCausalLM")
    if reference is None:
        return  # its architecture is the library's own
    fixed = {"revision": commit} if commit else {}
    model_class = get_class_from_dynamic_module(reference, source, **fixed)
    if "logits_to_keep" not in inspect.signature(model_class.forward).parameters:
        raise ValuestabError(
            f"The code in the repository of {model!r} is written for an older version of transformers (its forward "
            f"takes no logits_to_keep) and cannot be used with version {transformers.__version__}: take a newer "
            "checkpoint of that model, or one whose architecture is transformers' own."
        )


def restore_buffers(loaded) -> None:
    """Give a model of foreign code the values that its code puts into buffers beside the weights, in place.

    The library makes models without memory first and then leaves buffers that no checkpoint holds (tables of
    rotary embeddings, masks) to the model's own initialization, which code written before that does not have: they
    would hold whatever was in memory. Here the model is made once more, its weights left out, and its buffers copied.

    Parameters
    ----------
    loaded : transformers.PreTrainedModel
    """
    usual = torch.get_default_dtype()
    torch.set_default_dtype(loaded.dtype)
    try:
        with init_empty_weights(include_buffers=False):
            made = type(loaded)(loaded.config)
    finally:
        torch.set_default_dtype(usual)
    kept = loaded.state_dict().keys()
    for name, buffer in made.named_buffers():
        if name not in kept:
            loaded.get_buffer(name).copy_(buffer)


def _flat(references: object) -> list[str]:
    if isinstance(references, str):
        return [references]
    members = references.values() if isinstance(references, dict) else references or ()
    return [reference for member in members if member for reference in _flat(member)]


def _checksum(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        digest.update(str(file.relative_to(folder)).encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]
