"""One file with all that a short run found: picture, numbers, answers, conversations and where they come from."""

import json
import os
import platform
import zipfile
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import torch

from valuestab_utils.errors import ValuestabError
from valuestab_utils.figure_files import read_record
from valuestab_utils.prompts import PROMPTS_DIGEST
from valuestab_utils.study import Study

SOFTWARE = ("torch", "transformers", "tokenizers", "numpy", "pandas", "scipy")
_READ_ME = """stability.png      the figure
stability.csv      the numbers behind it, one row a bar
answers.csv        the model's answers, one row an item; python -m valuestab_utils.stability answers.csv reads it
conversations.csv  what was said before, one row a message
provenance.json    model, settings, versions and sizes, and the finding in words
"""


def write_archive(study: Study, figure: str = "figure_4a", folder: str | Path = ".") -> Path:
    """Put a run's figure and the studied model's data into ``valuestab-<run>.zip``.

    Parameters
    ----------
    study : Study
        Whose figure was kept (`valuestab_utils.study.Study.keep`).
    figure : str
        Its name.
    folder : path

    Returns
    -------
    Path
        The archive: stability.png and .csv, answers.csv, conversations.csv, provenance.json, README.txt. Answers have
        the topic in the column ``context`` and their ``option_order`` as six codes, first letter first.

    Raises
    ------
    ValuestabError
        If the figure was not made, or the studied model has no answers.
    """
    record = read_record(figure, study.figures_dir)
    if record is None or f"{figure}.png" not in record.files:
        why = record.skipped if record else "it was not drawn yet"
        raise ValuestabError(f"There is no {figure} in {study.figures_dir} ({why}): run the cell that draws it first.")
    answers, conversations = (_of_model(table, study) for table in (study.answers(), study.conversations()))
    orders = [" ".join(map(str, order)) for order in answers["option_order"]]
    answers = answers.rename(columns={"topic": "context"}).assign(option_order=orders)
    path = Path(folder).resolve() / f"valuestab-{study.run}.zip"
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
            for ending in ("png", "csv"):
                archive.write(study.figures_dir / f"{figure}.{ending}", f"stability.{ending}")
            for name, table in (("answers", answers), ("conversations", conversations)):
                # A model may say a lone carriage return, which is quoted only where line ends have one.
                archive.writestr(f"{name}.csv", table.to_csv(index=False, lineterminator="\r\n"))
            archive.writestr("provenance.json", _provenance(study, record) + "\n")
            archive.writestr("README.txt", _READ_ME)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return path


def _of_model(table: pd.DataFrame, study: Study) -> pd.DataFrame:
    tested = study.experiments[0]
    names = [tested.model, tested.format, tested.population]
    rows = table[(table[["model", "format", "population"]] == names).all(axis=1)]
    if rows.empty:
        raise ValuestabError(f"{tested.model} has no rows in this run: run the cells above first.")
    return rows


def _provenance(study: Study, record) -> str:
    tested = study.experiments[0]
    about = {
        "found": record.found,
        "model": tested.model,
        "format": tested.format,
        "settings": study.respondent(tested).settings,
        "prompts": PROMPTS_DIGEST,
        "personas": [persona.persona for persona in tested.personas],
        "topics": [topic.topic for topic in tested.topics],
        "seeds": list(tested.seeds),
        "messages": tested.n_messages,
        **record.about,
        "python": platform.python_version(),
        "software": {name: version(name) for name in SOFTWARE},
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none",
    }
    return json.dumps(about, ensure_ascii=False, indent=1, allow_nan=False)
