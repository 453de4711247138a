"""Where a result comes from, kept in every row of it."""

import functools
import subprocess

from valuestab_utils import __version__
from valuestab_utils.paths import ROOT
from valuestab_utils.prompts import PROMPTS_DIGEST
from valuestab_utils.respondents import Respondent


def provenance(respondent: Respondent) -> dict[str, str]:
    """Columns that say which model, which prompts and which code made a row.

    Returns
    -------
    dict
        ``family``; ``model_source`` (hub id, "embedded", or a local folder's name) and ``model_revision``
        (the hub's commit, or a checksum of the folder); ``dtype`` (empty for a control); ``chat_template``, a
        hash of it, or "none"; ``prompts``, a hash of this project's prompt texts; ``package_version`` and
        ``git_commit``.
    """
    settings = respondent.settings
    return {
        "family": respondent.family,
        "model_source": settings["model_source"],
        "model_revision": settings["model_revision"],
        "dtype": settings.get("dtype", ""),
        "chat_template": respondent.template.digest if respondent.template else "none",
        "prompts": PROMPTS_DIGEST,
        "package_version": __version__,
        "git_commit": git_commit(),
    }


@functools.cache
def git_commit() -> str:
    """Commit of the checkout that the package runs from, with "+changes" if files differ; else ""."""
    try:
        if _git("rev-parse", "--show-prefix"):  # not the top of a checkout: a copy inside somebody else's
            return ""
        commit = _git("rev-parse", "HEAD")
        return commit + ("+changes" if _git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return ""


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()
