"""Models whose results are stored beside those of this run, and their answers to the same questions."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from valuestab_utils import administration
from valuestab_utils.draws import SAMPLER
from valuestab_utils.errors import ValuestabError, check_known
from valuestab_utils.measurements import Measurement
from valuestab_utils.prompts import FORMATS
from valuestab_utils.store import Folder

ALL = "all"


def stored_models(results_dir: Path) -> list[str]:
    """Names of the models that have any results, sorted; none if the folder is not there."""
    return sorted(path.name for path in results_dir.glob("*") if any(path.glob("*/*/*/*/*.parquet")))


def stored_answers(
    measurements: Sequence[Measurement], compare: Sequence[str], results_dir: Path
) -> list[pd.DataFrame]:
    """Answers of other models to the same items in the same sessions as ``measurements``, from their files.

    Parameters
    ----------
    measurements : sequence of Measurement
        Those of this run.
    compare : sequence of str
        Names of models, or "all" for each that has all of a measurement's sessions.
    results_dir : Path

    Returns
    -------
    list of DataFrame
        One for each other model and format that was asked the same, in the order of the names.

    Raises
    ------
    ValuestabError
        If a model that is named has no results, or lacks some of the sessions; with "all", such a model is left
        out instead (it may be running just now). If results are of another version of the sampler.
    """
    if not compare:
        return []
    there = stored_models(results_dir)
    named = [check_known("model with results", name, there) for name in compare if name != ALL]
    own = {(m.experiment.model, m.experiment.format) for m in measurements}
    found: dict[tuple, pd.DataFrame] = {}
    for m in measurements:
        for model in there if ALL in compare else named:
            for format in FORMATS:
                other = replace(m.experiment, model=model, format=format)
                there_too = replace(m, experiment=other)
                place = there_too.place
                folder = administration.folder(there_too, results_dir)
                if (model, format) in own or place in found or not any(folder.path.glob("*.parquet")):
                    continue
                if model not in named and folder.missing(other.sessions):
                    continue
                _check_sampler(folder)
                answers = administration.load(there_too, results_dir)
                found[place] = answers.assign(asked_after=other.n_messages)
    _check_all_found(named, found)
    return list(found.values())


def _check_sampler(folder: Folder) -> None:
    settings = folder.settings()
    # Only what runs on this machine's engine has a dtype: controls and services sample by themselves.
    if settings.get("dtype") and settings.get("sampler") != SAMPLER:
        raise ValuestabError(
            f"The results in {folder.path} are of version {settings.get('sampler', 1)} of the sampler, which is "
            f"{SAMPLER} now, and the two must not mix: run that model anew in another results_dir, or leave it out of "
            "compare."
        )


def _check_all_found(named: Sequence[str], found: dict) -> None:
    lacking = [name for name in named if name not in {place[1] for place in found}]
    if lacking and found:
        raise ValuestabError(
            f"{lacking[0]} was not asked what is compared here: run it with the same profile first, or leave it out "
            "of compare."
        )
