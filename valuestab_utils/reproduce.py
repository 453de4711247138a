"""Run the notebooks in order, with parameters from the command line, and say what was found.

The notebooks are executed anew each time. What takes long in them is kept under results/ and taken from
there, so that a second run takes a minute, and an interrupted one goes on where it was. Each page and figure of an
earlier run stays until its own successor is there; where a notebook fails, its page, the report and what was found go.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from valuestab_utils.errors import ValuestabError, check_known
from valuestab_utils.execution import check_kernel, execute, withdraw
from valuestab_utils.papers import FIRST, PAPERS, paper_of, summary_file
from valuestab_utils.parameters import declared_parameters, for_notebooks, for_study, given_parameters
from valuestab_utils.paths import ROOT
from valuestab_utils.report import write_report


def reproduce(
    given: Mapping[str, str],
    output: Path,
    summary: Path,
    folder: Path = ROOT / "notebooks",
    names: Sequence[str] = (),
    paper: str = FIRST,
) -> list[str]:
    """Execute a paper's notebooks in order; return the lines that say what was found and which file to open.

    Parameters
    ----------
    given : mapping of str to str
        Parameters as text.
    output : path
        Folder for executed copies and pages.
    summary : path
        File that the notebooks write what was found to: JSON, the key "lines" with a list of two sentences.
    folder : path
        Where the notebooks are: every file ``NN_name.ipynb`` in it.
    names : sequence of str
        Notebooks to run, without .ipynb; all of the paper by default. What was found is known only if all run.
    paper : str
        One of `valuestab_utils.papers.PAPERS`.

    Raises
    ------
    ValuestabError
        Unknown names or unfitting values, before anything runs; a notebook that fails; no summary at the end.
    """
    check_known("paper", paper, PAPERS)
    every = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    there = {path.stem: path for path in every if paper_of(path.stem).name == paper}
    if not there:
        raise ValuestabError(f"There is no notebook of the paper {paper!r} in {folder}: restore it (git checkout).")
    chosen = sorted({check_known("notebook", name.removesuffix(".ipynb"), there) for name in names} or there)
    parameters = for_notebooks(given, {name: declared_parameters(path) for name, path in there.items()})
    check_kernel()
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValuestabError(
            f"{error.filename} cannot be written ({error.strerror}): name another folder (--output)."
        ) from error
    for number, name in enumerate(chosen, start=1):
        start = time.monotonic()
        _say(f"[{number}/{len(chosen)}] {name} ...")
        try:
            execute(there[name], parameters[name], output / f"{name}.ipynb")
        except ValuestabError:
            withdraw(output / "report.html", summary)  # what an earlier run found must not look like this one's
            raise
        _say(f"[{number}/{len(chosen)}] {name}: done in {time.monotonic() - start:.0f} s")
    found = _read_summary(summary) if len(chosen) == len(there) else []
    return [*found, f"Open {os.path.relpath(output / chosen[-1])}.html in a browser."]


def prepare_model(parameters: Mapping[str, object]) -> str:
    """Check the names of profile and model, make the embedded model if it is the one; return the run's name.

    Parameters
    ----------
    parameters : mapping
        Of `valuestab_utils.study.run_name`: the run's pages and figures go by that name.

    Raises
    ------
    ValuestabError
        Unknown profile or model, or no embedded model to be had.
    """
    from valuestab_utils.embedded import ensure_embedded_model  # these load PyTorch, which takes seconds
    from valuestab_utils.model_cards import model_card
    from valuestab_utils.study import load_profile, run_name

    name = run_name(**parameters)
    model = parameters.get("model") or load_profile(parameters["profile"])["model"]
    if model_card(model).source == "embedded":
        ensure_embedded_model()
    return name


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m valuestab_utils.reproduce", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--profile", default="quick", help="a name in data/profiles, or a file of that form")
    parser.add_argument("--model", default="", help="a name in data/models.yaml, a folder, or a hub id")
    parser.add_argument("--paper", default=FIRST, help="whose study: " + ", ".join(PAPERS))
    parser.add_argument("--notebooks", nargs="+", default=[], metavar="NAME", help="some notebooks only")
    parser.add_argument("--output", type=Path, metavar="DIR", help="folder for executed notebooks and pages")
    parser.add_argument("parameters", nargs="*", metavar="name=value", help="parameters of the notebooks")
    options = parser.parse_intermixed_args(arguments)
    try:
        given = given_parameters(options)
        run = prepare_model(for_study(given))
        output = (options.output or ROOT / "output" / run).resolve()
        figures = ROOT / "figures" / run
        check_known("paper", options.paper, PAPERS)
        summary = figures / summary_file(options.paper)
        lines = reproduce(given, output, summary, names=options.notebooks, paper=options.paper)
        if not options.notebooks:
            lines[-1] = f"Open {os.path.relpath(write_report(run, figures, output))} in a browser."
    except ValuestabError as error:
        _say(str(error))
        return 1
    except KeyboardInterrupt:
        _say("Interrupted; the same command goes on where it was.")
        return 130
    print("\n" + "\n".join(lines))
    return 0


def _read_summary(path: Path) -> list[str]:
    try:
        return [str(line) for line in json.loads(path.read_text(encoding="utf-8"))["lines"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValuestabError(
            f"All notebooks ran, but what was found could not be read from {path} ({error}): read it in the "
            "last of the notebooks, and report this."
        ) from error


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
