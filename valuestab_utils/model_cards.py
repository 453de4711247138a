"""What is known of a language model before it is loaded: source, family, format and sampling."""

import functools
import re
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from valuestab_utils.errors import ValuestabError, check_known, check_text
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
    template : dict
        Variables for its chat template.
    paper : tuple of str
        How paper 001 ran it ("16bit", "4bit", "api"); empty if it is not among the paper's models.
    remote_code : bool
        Whether it can only be loaded by running code from its repository.
    api : bool
        Whether it is no checkpoint, but is asked through its maker's API.
    """

    name: str
    source: str
    format: str | None
    family: str
    sampling: Sampling | None
    template: dict[str, object] = field(default_factory=dict)
    paper: tuple[str, ...] = ()
    remote_code: bool = False
    api: bool = False


API = "api:"  # before the name of a model that is asked through an API
_ENTRIES = ["id", "format", "family", "sampling", "template", "paper", "remote_code", "api"]
_IN_PAPER = {"16bit": "auto", "4bit": "4bit", "api": "auto"}  # with the dtype that is asked for


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
            check_known("entry", key, _ENTRIES)
        return ModelCard(
            name=slug(name),
            source=check_text("id", entry.get("id", name)),
            format=check_known("format", entry["format"], FORMATS) if "format" in entry else None,
            family=check_text("family", entry["family"]),
            sampling=_sampling(entry["sampling"]) if "sampling" in entry else None,
            template=dict(entry.get("template", {})),
            paper=tuple(check_known("way to run", kind, _IN_PAPER) for kind in entry.get("paper", [])),
            remote_code=_switch(entry, "remote_code"),
            api=_switch(entry, "api"),
        )
    except (KeyError, TypeError, ValueError, ValuestabError) as error:
        raise ValuestabError(
            f"The entry of {name!r} in models.yaml is not as it must be ({type(error).__name__}: {error}): "
            "write it like the others there."
        ) from error


def _sampling(given: object) -> Sampling:
    return Sampling() if given == "plain" else Sampling(**given)


def _switch(entry: dict, name: str) -> bool:
    value = entry.get(name, False)
    if type(value) is not bool:
        raise TypeError(f"{name} is {value!r}, where true or false is expected")
    return value


def paper_runs() -> tuple[tuple[str, str], ...]:
    """The 21 models of paper 001 (section 4.1), as they are asked for here.

    Returns
    -------
    tuple of (str, str)
        What to give as ``model`` and ``dtype``. On a GPU, "auto" is the 16 bit of the checkpoint, but for those
        that were saved in 32 bit: these need "float16" to be as in the paper.

    Examples
    --------
    >>> len(paper_runs()), paper_runs()[0]
    (21, ('mistralai/Mistral-7B-v0.1', 'auto'))
    """
    return tuple(
        (f"api:{name}" if card.api else name, _IN_PAPER[kind])
        for name, card in known_models().items()
        for kind in card.paper
    )


def model_card(model: str) -> ModelCard:
    """Find what ``model`` means: a name in data/models.yaml, a folder, a hub id (``owner/name``), or ``api:NAME``.

    Raises
    ------
    ValuestabError
        If it is none of these; the nearest known name is suggested. Or if it is the name that results of a known
        model in 4 or 8 bit go by, or that of a model which is asked through an API.
    """
    if model.startswith(API):
        card = known_models().get(model.removeprefix(API))
        if not re.fullmatch(r"[\w][\w.:/@-]*", model.removeprefix(API)):
            raise ValuestabError(f"{model!r} names no model: write api: and the name that its server knows it by.")
        known = (card.format, card.family, card.sampling) if card and card.api else (None, "API", None)
        return ModelCard(slug("api-" + model.removeprefix(API)), model, *known)
    if model in known_models():
        card = known_models()[model]
        if card.api:
            raise ValuestabError(
                f"{model!r} is no checkpoint that could be loaded, but a model behind an API: ask for 'api:{model}'."
            )
        return card
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
