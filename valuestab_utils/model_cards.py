"""What is known of a language model before it is loaded: source, family, format and sampling."""

import functools
import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from valuestab_utils.errors import ValuestabError, check_known
from valuestab_utils.paths import DATA
from valuestab_utils.prompts import FORMATS
from valuestab_utils.quantization import SUFFIXES
from valuestab_utils.sampling import Sampling
from valuestab_utils.sessions import slug


@dataclass(frozen=True)
class ModelCard:
    """What is known of a model before it is loaded.

    Attributes
    ----------
    name : str
        Name under which its results are kept.
    source : str
        Folder or hub id that it is loaded from, or "embedded".
    format : str or None
        Its own format (paper 001, B.2); None is found out from its chat template.
    family : str
    sampling : Sampling or None
        None takes what the model's own generation_config.json says.
    """

    name: str
    source: str
    format: str | None
    family: str
    sampling: Sampling | None


@functools.cache
def known_models(path: Path = DATA / "models.yaml") -> dict[str, ModelCard]:
    """The models of data/models.yaml by name.

    Raises
    ------
    ValuestabError
        If the file cannot be read, or the entry of a model is not of the form that its head describes.
    """
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
        return {name: _card(name, entry) for name, entry in entries.items()}
    except (OSError, yaml.YAMLError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise ValuestabError(f"{path} cannot be read ({reason}): write it as its first lines say.") from error


def _card(name: str, entry: dict) -> ModelCard:
    try:
        for key in entry:
            check_known("entry", key, ["id", "format", "family", "sampling"])
        return ModelCard(
            name=slug(name),
            source=entry.get("id", name),
            format=check_known("format", entry["format"], FORMATS),
            family=entry["family"],
            sampling=Sampling(**entry.get("sampling", {})),
        )
    except (KeyError, TypeError, ValuestabError) as error:
        raise ValuestabError(
            f"The entry of {name!r} in models.yaml is not as it must be ({type(error).__name__}: {error}): "
            "write it like the others there."
        ) from error


def model_card(model: str) -> ModelCard:
    """Find what ``model`` means: a name in data/models.yaml, a folder, or a hub id (``owner/name``).

    Raises
    ------
    ValuestabError
        If it is none of these; the nearest known name is suggested. Or if it is the name that results of a known
        model in 4 or 8 bit go by.
    """
    if model in known_models():
        return known_models()[model]
    for dtype, suffix in SUFFIXES.items():
        if model.removesuffix(suffix) in known_models():
            raise ValuestabError(
                f"{model!r} is a name for results of a quantized model: ask for the model "
                f"{model.removesuffix(suffix)!r} with dtype={dtype!r}."
            )
    if Path(model).expanduser().is_dir():
        folder = Path(model).expanduser().resolve()
        return ModelCard(slug(folder.name), str(folder), None, folder.name, None)
    if not re.fullmatch(r"\w[\w.-]*/[\w.-]+", model):
        check_known("model (neither a folder nor a hub id like owner/name)", model, known_models())
    return ModelCard(slug(model), model, None, model.split("/")[0], None)
