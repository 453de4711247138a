"""Answers from the files of the first paper's public code, for a second look with this project's statistics.

``python -m valuestab_utils.authors_results FOLDER [--model NAME] [--output ANSWERS.csv]`` prints the
stability report as one JSON object, or writes the table that ``python -m valuestab_utils.stability`` reads.
"""

import argparse
import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from valuestab_utils.errors import ValuestabError, check_known
from valuestab_utils.stability import stability_report
from valuestab_utils.topics import NO_CONVERSATION
from valuestab_utils.value_scores import read_key

FILE_NAME = "results.json"
QUESTIONNAIRE = "pvq_auto"  # their name of the PVQ-40, asked in the form for the persona's gender
N_ITEMS = 40
METRIC_TOLERANCE = 1e-6
_SEED_AND_CONTEXT = re.compile(r"([0-9]+)_[0-9]+")


@dataclass(frozen=True)
class _Run:
    """What is read of one file: one model in one context, with one seed."""

    file: Path
    model: str
    context: str
    order_seed: str
    n_messages: int
    personas: tuple[str, ...]
    descriptions: tuple[str, ...]
    answers: tuple[tuple[int | None, ...], ...]  # (personas, items)


def read_authors_results(folder: str | Path, model: str | None = None) -> pd.DataFrame:
    """Read all files named ``results.json`` in a folder, and the folders in it, as one table of answers.

    A file holds one model after one conversation topic, with all personas. Of it are read: of ``args``
    engine, simulated_conversation_theme, simulated_conversation_n_messages and permute_options_seed;
    ``simulated_population`` (name, description); ``answers``, where an answer is a letter and the code 1-6 of
    the option that stood there, of which the code is read; and ``per_simulated_participant_metrics``, which
    must be the means of these codes over each value's items (not centred, as their code leaves them) to
    within 1e-6, by this project's own key. Not read: metrics, pop_metrics, per_permutation_metrics (copies
    and means of those), generations, lprobs, params (a copy of args), and all else in args.

    The seed is the first number of permute_options_seed: their scripts write ``<seed>_<number of the
    context>``, so the whole text is another one in each context, while rank-order stability needs the same
    seeds in all of them. Where no file has that form, a folder with one file a context is one replication,
    seed 0, and with several a plain number is the seed. Their conversations were not seeded.

    In their runs an answer that could not be read became a random letter with its code. Nothing in a file
    tells such an answer from another, so it counts here as an answer.

    Parameters
    ----------
    folder : str or Path
        Results of one population and one number of messages.
    model : str, optional
        Take this engine's files alone; needed if there are several engines.

    Returns
    -------
    DataFrame
        One row an answer, as `valuestab_utils.stability.stability_report` takes it: ``model``; ``context``,
        the theme, "no_conversation" where there is none; ``persona``, its name, or permutation_01, ... for a
        population without personas; ``seed`` (int); ``item`` (1-40); ``answer`` (1-6, or NA where the file
        has null); ``n_messages`` (0 without a conversation); ``persona_description``, empty without persona;
        and ``permute_options_seed``, as in the file.

    Raises
    ------
    ValuestabError
        If there is no such folder or file; a file is not JSON or lacks a field; has not as many participants
        as its population, or not 40 answers of each, or one outside 1 to 6; its answers do not give its own
        metrics (those with a missing answer are not compared); two files are of one context and seed;
        contexts differ in personas or seeds; or models or numbers of messages are mixed.

    References
    ----------
    Kovač et al. 2024, and the code that its authors published.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> args = {"engine": "m", "simulated_conversation_theme": "joke", "permute_options_seed": "3_0"}
    >>> content = {
    ...     "args": args | {"simulated_conversation_n_messages": 3},
    ...     "simulated_population": [{"name": "Sam", "description": "Sam the gardener."}],
    ...     "answers": [{"pvq_auto": [["A", 2]] * 40}],
    ...     "per_simulated_participant_metrics": [{"pvq_auto": dict.fromkeys(read_key(), 2.0)}],
    ... }
    >>> with TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "results.json").write_text(json.dumps(content))
    ...     frame = read_authors_results(folder)
    >>> frame.iloc[-1, :6].tolist() == ["m", "joke", "Sam", 3, 40, 2]
    True
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValuestabError(f"{str(folder)!r} is no folder: give the one that the files {FILE_NAME} are in.")
    contents = {file: _json(file) for file in sorted(folder.rglob(FILE_NAME))}
    if not contents:
        raise ValuestabError(f"There is no file {FILE_NAME} in {str(folder)!r} or the folders in it.")
    engines = {
        file: _text(_field(content, "args", file), "engine", file) for file, content in contents.items()
    }
    model = _the_model(sorted(set(engines.values())), model, folder)
    runs = [_run(file, content) for file, content in contents.items() if engines[file] == model]
    seeds = _seeds(runs)
    _refuse_mixed(runs, seeds)
    rows = [
        (model, run.context, persona, seed, item, answer, run.n_messages, description, run.order_seed)
        for run, seed in zip(runs, seeds)
        for persona, description, answers in zip(run.personas, run.descriptions, run.answers)
        for item, answer in enumerate(answers, start=1)
    ]
    columns = ["model", "context", "persona", "seed", "item", "answer", "n_messages", "persona_description"]
    frame = pd.DataFrame(rows, columns=[*columns, "permute_options_seed"])
    return frame.astype({"answer": "Int64"})


def cautions(frame: pd.DataFrame) -> list[str]:
    """What a reader of the stability of these answers must know, in one sentence each; often nothing.

    Parameters
    ----------
    frame : DataFrame
        As `read_authors_results` gives it.

    Examples
    --------
    >>> frame = pd.DataFrame({"context": ["joke", "chess"], "seed": 1, "permute_options_seed": "1_0",
    ...                       "persona_description": "Sam."})
    >>> cautions(frame)
    ['All contexts of seed 1 had the same option orders (1_0): a model that answers by letter looks stable.']
    """
    sentences = []
    for seed, part in frame.groupby("seed"):
        orders = part.drop_duplicates("context")["permute_options_seed"]
        shared = sorted(set(orders[orders.duplicated(keep=False)]) - {""})  # empty: not seeded
        if shared:
            which = "All" if orders.nunique() == 1 else "Some"
            sentences.append(
                f"{which} contexts of seed {seed} had the same option orders ({', '.join(shared)}): a model "
                "that answers by letter looks stable."
            )
    if (frame["persona_description"] == "").all():
        sentences.append(
            "These answers are without personas: rank-order stability compares permutations here and means "
            "nothing, read the ipsative one."
        )
    return sentences


def _json(file: Path) -> dict:
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ValuestabError(f"Cannot read {file}: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise ValuestabError(
            f"{file} is not valid JSON ({error}): get a whole copy, or move it away."
        ) from error
    if not isinstance(content, dict):
        raise ValuestabError(f"{file} is no JSON object, so it is no file of results: move it away.")
    return content


def _field(record: object, name: str, file: Path) -> object:
    if not isinstance(record, Mapping) or name not in record:
        raise ValuestabError(
            f"{file} has no field {name!r} where one belongs: get a whole copy, or move it away."
        )
    return record[name]


def _text(record: object, name: str, file: Path) -> str:
    text = _field(record, name, file)
    if not isinstance(text, str) or not text:
        raise ValuestabError(f"{file} has {text!r} in the field {name!r}: it must be a text.")
    return text


def _the_model(engines: list[str], model: str | None, folder: Path) -> str:
    if model is not None:
        return check_known("model", model, engines)
    if len(engines) > 1:
        raise ValuestabError(
            f"{folder} has the results of {len(engines)} models ({', '.join(engines)}): choose one (model=, "
            "or --model on the command line)."
        )
    return engines[0]


def _run(file: Path, content: dict) -> _Run:
    """Read one file and check it against itself."""
    args = _field(content, "args", file)
    theme = _field(args, "simulated_conversation_theme", file)
    n_messages = _field(args, "simulated_conversation_n_messages", file)
    if type(n_messages) is not int or n_messages < 0:
        raise ValuestabError(f"{file} has {n_messages!r} messages: it must be a whole number.")
    order_seed = _field(args, "permute_options_seed", file)
    if order_seed is not None and type(order_seed) not in (str, int):
        raise ValuestabError(f"{file} has the permute_options_seed {order_seed!r}: it must be a text.")
    population = _list(content, "simulated_population", file)
    personas, descriptions = _personas(population, file)
    participants, metrics = (
        _list(content, name, file) for name in ("answers", "per_simulated_participant_metrics")
    )
    for name, those in (("answers", participants), ("per_simulated_participant_metrics", metrics)):
        if len(those) != len(personas):
            raise ValuestabError(
                f"{file} has {len(personas)} participants in simulated_population and {len(those)} in "
                f"{name}: get a whole copy, or move it away."
            )
    answers = []
    for persona, participant, metric in zip(personas, participants, metrics):
        coded = _answers(participant, persona, file)
        _refuse_inconsistent(coded, _field(metric, QUESTIONNAIRE, file), persona, file)
        answers.append(coded)
    return _Run(
        file=file,
        model=_text(args, "engine", file),
        context=NO_CONVERSATION if theme is None else _text(args, "simulated_conversation_theme", file),
        order_seed="" if order_seed is None else str(order_seed),
        n_messages=0 if theme is None else n_messages,
        personas=personas,
        descriptions=descriptions,
        answers=tuple(answers),
    )


def _list(content: dict, name: str, file: Path) -> list:
    those = _field(content, name, file)
    if not isinstance(those, list) or not those:
        raise ValuestabError(f"{file} has no list of participants in the field {name!r}.")
    return those


def _personas(population: list, file: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names and descriptions; without personas, a number for each permutation, and no description."""
    if all(
        one is None or (isinstance(one, Mapping) and not one.get("description", "?")) for one in population
    ):
        return tuple(f"permutation_{i:02d}" for i in range(1, len(population) + 1)), ("",) * len(population)
    # Earlier versions of their code have the bare name.
    names = [one if isinstance(one, str) else _text(one, "name", file) for one in population]
    descriptions = [
        one if isinstance(one, str) else one.get("description", one["name"]) for one in population
    ]
    if not all(isinstance(description, str) and description for description in descriptions):
        raise ValuestabError(
            f"{file} has personas with and without description: give one population a folder."
        )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValuestabError(f"{file} has the persona {twice[0]!r} twice: give each its own name.")
    return tuple(names), tuple(descriptions)


def _answers(participant: object, persona: str, file: Path) -> tuple[int | None, ...]:
    pairs = _field(participant, QUESTIONNAIRE, file)
    if not isinstance(pairs, list) or len(pairs) != N_ITEMS:
        n = len(pairs) if isinstance(pairs, list) else "no list of"
        raise ValuestabError(f"{file} has {n} answers of {persona!r}, but the PVQ-40 has {N_ITEMS} items.")
    coded = []
    for item, pair in enumerate(pairs, start=1):
        code = pair[1] if isinstance(pair, list) and len(pair) == 2 else pair
        if code is not None and not (type(code) is int and 1 <= code <= 6):
            raise ValuestabError(
                f"{file} has the answer {pair!r} of {persona!r} to item {item}: it must be a letter and a "
                "whole number from 1 to 6, or null where missing."
            )
        coded.append(code)
    return tuple(coded)


def _refuse_inconsistent(coded: Sequence[int | None], metrics: object, persona: str, file: Path) -> None:
    for value, items in read_key().items():
        own = [coded[item - 1] for item in items]
        metric = _field(metrics, value, file)
        if None in own:
            continue
        mean = sum(own) / len(own)
        is_number = isinstance(metric, int | float) and not isinstance(metric, bool)
        if not is_number or not math.isclose(metric, mean, rel_tol=0, abs_tol=METRIC_TOLERANCE):
            raise ValuestabError(
                f"{file} contradicts itself: the answers of {persona!r} give {value} {mean:g}, but its "
                f"metrics say {metric!r}; get the original, or move it away."
            )


def _seeds(runs: Sequence[_Run]) -> list[int]:
    """The seed of each run, from the texts that seeded its option orders (see `read_authors_results`)."""
    matches = [_SEED_AND_CONTEXT.fullmatch(run.order_seed) for run in runs]
    if all(matches):
        return [int(match[1]) for match in matches]
    if not any(matches):
        if len({run.context for run in runs}) == len(runs):
            return [0] * len(runs)
        if all(re.fullmatch("[0-9]+", run.order_seed) for run in runs):
            return [int(run.order_seed) for run in runs]
    odd = next(run for run, match in zip(runs, matches) if not match)
    raise ValuestabError(
        f"{odd.file} has the permute_options_seed {odd.order_seed!r}, from which the seed cannot be told: it "
        "must be <seed>_<number of the context> in all files, or give a folder with one file a context."
    )


def _refuse_mixed(runs: Sequence[_Run], seeds: Sequence[int]) -> None:
    """Contexts compare only if they have the same personas, seeds and number of messages, once each."""
    files: dict[tuple[str, int], Path] = {}
    for run, seed in zip(runs, seeds):
        if (run.context, seed) in files:
            raise ValuestabError(
                f"{files[run.context, seed]} and {run.file} are both {run.model}, context {run.context!r}, "
                f"seed {seed}: move one of them away."
            )
        files[run.context, seed] = run.file
        if set(run.personas) != set(runs[0].personas):
            others = sorted(set(run.personas) ^ set(runs[0].personas))
            raise ValuestabError(
                f"{runs[0].file} and {run.file} have different personas ({others[0]!r} is in one alone): "
                "give a folder with one population."
            )
    talked = [run for run in runs if run.context != NO_CONVERSATION]
    for run in talked:
        if run.n_messages != talked[0].n_messages:
            raise ValuestabError(
                f"{talked[0].file} has conversations of {talked[0].n_messages} messages, {run.file} of "
                f"{run.n_messages}: give a folder with one length."
            )
    lacking = [
        (context, seed)
        for context in {c for c, _ in files}
        for seed in set(seeds)
        if (context, seed) not in files
    ]
    if lacking:
        context, seed = min(lacking)
        raise ValuestabError(
            f"No file has context {context!r} with seed {seed}, such as "
            f"{next(file for (_, other), file in files.items() if other == seed)} has: every context needs "
            "the same seeds."
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0, or 2 after one sentence on stderr. Cautions go to stderr, too."""
    parser = argparse.ArgumentParser(
        prog="python -m valuestab_utils.authors_results",
        description=f"Print the stability of the answers in a folder of {FILE_NAME} files of the first "
        "paper's public code, as one JSON object.",
    )
    parser.add_argument("folder", metavar="FOLDER", help="searched with all folders in it")
    parser.add_argument("--model", metavar="NAME", help="take this engine's files alone")
    parser.add_argument("--output", metavar="ANSWERS.csv", help="write the table of answers here instead")
    given = parser.parse_args(argv)
    try:
        frame = read_authors_results(given.folder, given.model)
        if given.output is None:
            printed = json.dumps(stability_report(frame), indent=2, allow_nan=False)
        else:
            printed = _write(frame, Path(given.output))
    except ValuestabError as error:
        print(error, file=sys.stderr)
        return 2
    for sentence in cautions(frame):
        print(sentence, file=sys.stderr)
    print(printed)
    return 0


def _write(frame: pd.DataFrame, path: Path) -> str:
    try:
        frame.to_csv(path, index=False)
    except OSError as error:
        raise ValuestabError(f"Cannot write {str(path)!r}: {error.strerror or error}.") from error
    return f"{len(frame)} answers are in {path}"


if __name__ == "__main__":
    sys.exit(main())
