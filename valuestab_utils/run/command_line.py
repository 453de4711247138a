"""The command line, ``python -m valuestab_utils COMMAND``: what each command takes, and how it says what it found."""

import ast
import io
import json
import os
import tokenize
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import click
import pandas as pd
import typer
from typer.core import TyperGroup

from valuestab_utils.errors import ValuestabError, is_secret_name, secret_in
from valuestab_utils.models import ensure_embedded_model, known_models
from valuestab_utils.paths import ROOT
from valuestab_utils.run import bench as benchmark
from valuestab_utils.run.cluster import Resources, reproduce_on_slurm
from valuestab_utils.run.own_answers import (
    cautions,
    read_answers,
    read_authors_results,
    read_key,
    stability_report,
)
from valuestab_utils.run.plan import find_session, render, requirements
from valuestab_utils.run.report import write_report
from valuestab_utils.run.reproduce import reproduce, say
from valuestab_utils.study import FIRST, PAPERS, parse_value, plan_study, run_name

_TEXT = ("results_dir", "questionnaire", "dtype")  # changes that are text, whatever they look like


class Commands(TyperGroup):
    """Commands whose errors are one sentence for the user."""

    def invoke(self, context: click.Context) -> object:
        try:
            return super().invoke(context)
        except ValuestabError as error:
            say(str(error))
            raise typer.Exit(1) from error
        except KeyboardInterrupt:
            say("Interrupted; the same command goes on where it was.")
            raise typer.Exit(130) from None


app = typer.Typer(
    cls=Commands, add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None
)

Words = Annotated[
    list[str] | None, typer.Argument(metavar="name=value ...", help="changes of the profile, such as n_personas=8")
]
ProfileName = Annotated[str, typer.Option("--profile", help="a name in data/profiles, or a file of that form")]
ModelName = Annotated[str, typer.Option("--model", help="a name in data/models.yaml, a folder, or a hub id")]
PaperName = Annotated[str, typer.Option("--paper", help=f"whose experiments: {', '.join(PAPERS)}")]
Output = Annotated[Path | None, typer.Option(metavar="DIR", help="folder for executed notebooks and the report")]


@app.command("reproduce")
def reproduce_command(
    words: Words = None,
    profile: ProfileName = "quick",
    model: ModelName = "",
    paper: PaperName = FIRST,
    notebook: Annotated[list[str] | None, typer.Option(metavar="NAME", help="this one only; may be repeated")] = None,
    output: Output = None,
) -> None:
    """Run a paper's notebooks, and write the report."""
    print("", *reproduce(*of_study(profile, model, words), paper, notebook or (), output), sep="\n")


@app.command("cluster")
def cluster_command(
    words: Words = None,
    profile: ProfileName = "quick",
    model: ModelName = "",
    paper: PaperName = FIRST,
    output: Output = None,
    partition: Annotated[str, typer.Option(help="partition of the cluster (default: the cluster's)")] = "",
    account: Annotated[str, typer.Option(help="account that pays")] = "",
    gpus: Annotated[int, typer.Option(min=0, max=1, help="GPUs of each job: more GPUs, more shards")] = 0,
    minutes: Annotated[int, typer.Option(min=1, help="time limit of each job")] = 60,
    shards: Annotated[int, typer.Option(min=1, help="jobs that share the sessions")] = 16,
    parallel: Annotated[int, typer.Option(min=0, help="jobs at a time; 0: all")] = 0,
    cpus: Annotated[int, typer.Option(min=1, help="CPUs of each job")] = 4,
    mem: Annotated[str, typer.Option(help="memory of each job, such as 32G (default: the cluster's)")] = "",
    max_timeouts: Annotated[int, typer.Option(min=0, help="how often a job goes on after its time limit")] = 3,
    sbatch: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="other options of sbatch")] = None,
) -> None:
    """The same on a Slurm cluster: the sessions in a job array, then the notebooks in one more job."""
    others = {name.lstrip("-").replace("-", "_"): value for name, value in split_words(sbatch).items()}
    resources = Resources(partition, account, gpus, minutes, shards, parallel, cpus, mem, max_timeouts, others)
    print("", *reproduce_on_slurm(of_study(profile, model, words), paper, output, resources), sep="\n")


@app.command("plan")
def plan_command(
    words: Words = None,
    profile: ProfileName = "quick",
    model: ModelName = "",
    paper: PaperName = FIRST,
    calibration: Annotated[bool, typer.Option(help="load the model and measure its speed here")] = True,
) -> None:
    """Say what a run would take: sessions, queries, tokens, memory, time or price."""
    print(*requirements(plan_study(*of_study(profile, model, words), paper), calibration), sep="\n")


@app.command("report")
def report_command(
    words: Words = None, profile: ProfileName = "quick", model: ModelName = "", output: Output = None
) -> None:
    """Write the report of a run again, from its figures and executed notebooks."""
    run = run_name(*of_study(profile, model, words))
    page = write_report(run, ROOT / "figures" / run, output or ROOT / "output" / run)
    print(f"Open {os.path.relpath(page)} in a browser.")


@app.command("render")
def render_command(
    persona: Annotated[str, typer.Option(help="name of the persona")],
    words: Words = None,
    profile: ProfileName = "quick",
    model: ModelName = "",
    paper: PaperName = FIRST,
    topic: Annotated[str, typer.Option(help="name of the topic (default: the first)")] = "",
    seed: int = 1,
    item: Annotated[int | None, typer.Option(help="the prompt that asks this item")] = None,
    message: Annotated[int | None, typer.Option(help="the prompt that this message answers")] = None,
) -> None:
    """Print the exact text of a prompt of a session; its conversation is read from the results."""
    study = plan_study(*of_study(profile, model, words), paper)
    print(render(study, *find_session(study, persona, topic, seed), item=item, message=message))


@app.command("bench")
def bench_command(
    model: ModelName = benchmark.MODEL,
    dtype: Annotated[str, typer.Option(help="precision to load it in")] = "auto",
    shape: Annotated[str, typer.Option(help=f"random weights of a size instead: {', '.join(benchmark.SHAPES)}")] = "",
    personas: Annotated[int, typer.Option(help="run the questionnaire on so many, from nothing")] = 0,
) -> None:
    """Measure the engine's speed against one full prompt at a time; the last line is JSON."""
    tested, reference = benchmark.load(model, dtype, shape)
    figures = benchmark.bench(tested, reference)
    if personas:
        figures |= benchmark.whole_experiment(tested, personas)
    print(json.dumps(figures))


@app.command("stability")
def stability_command(
    answers: Annotated[Path, typer.Argument(metavar="ANSWERS.csv", help="columns context, persona, item, answer")],
    key: Annotated[Path | None, typer.Option(metavar="KEY.json", help="{value: [items]} (default: PVQ-40)")] = None,
) -> None:
    """Print the rank-order and ipsative stability of a table of answers as JSON."""
    report = stability_report(read_answers(answers), None if key is None else read_key(key))
    print(json.dumps(report, indent=2, allow_nan=False))


@app.command("authors-results")
def authors_results_command(
    folder: Annotated[Path, typer.Argument(help="searched for results.json files, with all folders in it")],
    model: Annotated[str | None, typer.Option(help="take this engine's files alone")] = None,
    output: Annotated[
        typer.FileTextWrite | None,
        typer.Option(metavar="ANSWERS.csv", encoding="utf-8", help="write the table of answers here"),
    ] = None,
) -> None:
    """Print the stability of answers from the first paper's public code as JSON, or write them as a table."""
    answers = read_authors_results(folder, model)
    for sentence in cautions(answers):
        say(sentence)
    if output is None:
        print(json.dumps(stability_report(answers), indent=2, allow_nan=False))
    else:
        answers.to_csv(output, index=False)
        print(f"{len(answers)} answers are in {output.name}")


@app.command("embedded")
def embedded_command() -> None:
    """Fetch the embedded model, SmolLM2-135M-Instruct."""
    print(ensure_embedded_model())


@app.command("size")
def size_command() -> None:
    """Print files, lines of code and of docstrings by room, and lines of tests."""
    table = sizes()
    by_room = table.groupby("room").sum(numeric_only=True)
    by_room.loc["all"] = by_room.sum()
    n_tests = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in (ROOT / "tests").rglob("*.py"))
    print(by_room.to_string(), f"tests: {n_tests} lines", sep="\n")


def of_study(profile: str, model: str, words: Sequence[str] | None) -> tuple[str, str | None, dict[str, object]]:
    """Profile, model and changes as `plan_study` takes them; paths become absolute, since notebooks run elsewhere.

    ValuestabError if a word is no ``name=value``, or holds a secret of the environment.
    """
    given = {"profile": profile, "model": model} | split_words(words)
    for name, text in given.items():
        variable = name if is_secret_name(name) else secret_in(text)
        if variable:
            raise ValuestabError(
                f"The parameter {name!r} holds the secret {variable}, and parameters are written into notebooks: leave "
                "it to the environment or `hf auth login`."
            )
    profile, model = given.pop("profile"), given.pop("model")
    if Path(model).expanduser().is_dir() and model and model not in known_models():
        model = str(Path(model).expanduser().resolve())
    changes = {name: text if name in _TEXT else parse_value(text) for name, text in given.items() if text}
    return str(_absolute(profile)), model or None, {name: _absolute(value, name) for name, value in changes.items()}


def split_words(words: Sequence[str] | None) -> dict[str, str]:
    """Take ``name=value`` words apart."""
    found: dict[str, str] = {}
    for word in words or ():
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise ValuestabError(f"{word!r} is no parameter: write name=value, such as n_personas=8.")
        if name in found:
            raise ValuestabError(f"The parameter {name!r} is given twice: give it once.")
        found[name] = value
    return found


def _absolute(value: object, name: str = "") -> object:
    if isinstance(value, list):
        return [_absolute(member) for member in value]
    if not isinstance(value, str):
        return value
    path = Path(value).expanduser()
    is_path = ("/" in value or value.endswith((".csv", ".yaml"))) and path.exists()
    return str(path.resolve()) if is_path or name == "results_dir" else value


def sizes() -> pd.DataFrame:
    """Each file of the package with its room and its lines: of code (no blank, no comment), of docstrings, and all.

    ``__init__`` files count among the lines, but not as files.
    """
    rows = []
    for path in sorted((ROOT / "valuestab_utils").rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        documented = [node for node in ast.walk(ast.parse(source)) if isinstance(node, _DOCUMENTED)]
        strings = [node.body[0] for node in documented if ast.get_docstring(node, clean=False) is not None]
        docstrings = {line for string in strings for line in range(string.lineno, string.end_lineno + 1)}
        tokens = tokenize.generate_tokens(io.StringIO(source).readline)
        code = {line for t in tokens if t.type not in _LAYOUT for line in range(t.start[0], t.end[0] + 1)}
        n_lines = len(code - docstrings), len(docstrings), len(source.splitlines())
        rows.append((str(path.relative_to(ROOT)), path.parent.name, int(path.name != "__init__.py"), *n_lines))
    return pd.DataFrame(rows, columns=["file", "room", "files", "code", "docstrings", "lines"])


_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_LAYOUT = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
