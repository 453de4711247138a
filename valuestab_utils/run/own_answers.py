"""Answers from elsewhere: the stability of a table of them, and those of the first paper's public code as a table."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import BaseModel, BeforeValidator, Field, StrictInt, StrictStr

from valuestab_utils.errors import ValuestabError, check_known
from valuestab_utils.files import checked, read_utf8
from valuestab_utils.metrics import (
    Key,
    answers_array,
    check_key,
    ipsative_stability,
    rank_order_stability,
    read_answers,
    read_key,
    value_scores,
)
from valuestab_utils.prompts import NO_CONVERSATION, load_questionnaire

__all__ = ["cautions", "read_answers", "read_authors_results", "read_key", "stability_report"]
PVQ_SCALE = (1, 6)


def stability_report(frame: pd.DataFrame, key: Key | None = None) -> dict:
    """Rank-order and ipsative stability of a table of answers, as plain data for JSON.

    Kovač et al. 2024, sections 3.1, 3.2 and B.5. Columns context, persona, item, answer and perhaps seed, a row an
    answer; missing answers are empty, NA or NaN, or absent rows. Answers are centred on each participant's mean over
    all its answered items, scored or not. Without a key it is the PVQ-40's: its 40 items and no others, answers 1 to 6;
    with another, answers may be any numbers, and items outside it count for centring. ValuestabError with fewer than
    two contexts, three personas or three values. Numbers are None where undefined:

    rank_order, rank_order_se : mean and standard error over the seeds' stabilities (the latter None with one seed)
    per_value : rank-order stability, mean over pairs of contexts and seeds
    per_seed : rank-order stability; a table without seeds has one, called "0"
    pairwise : {context: {other context: rank-order stability, mean over values and seeds}}
    ipsative, ipsative_se : mean and standard error over personas, each the mean over its seeds
    per_persona, pairwise_ipsative : ipsative stability; the latter is the mean over personas and seeds
    undefined : correlations in no mean, and why (a constant vector, or fewer than three complete observations)
    unscored_items : items that are in no value
    units : what each standard error is over

    Three personas answer three items alike in both contexts:

    >>> answers = {"Sam": (6, 2, 1), "Frodo": (5, 3, 1), "Gollum": (1, 6, 3)}
    >>> rows = [(context, persona, item, answer) for context in ("joke", "chess") for persona in answers
    ...         for item, answer in enumerate(answers[persona], start=1)]
    >>> frame = pd.DataFrame(rows, columns=["context", "persona", "item", "answer"])
    >>> report = stability_report(frame, key={"Benevolence": [1], "Power": [2], "Security": [3]})
    >>> report["rank_order"], report["rank_order_se"], report["ipsative"], report["ipsative_se"]
    (1.0, None, 1.0, 0.0)
    """
    pvq40 = load_questionnaire("PVQ-40").key
    key = pvq40 if key is None else check_key(key)
    is_pvq40 = {v: set(items) for v, items in key.items()} == {v: set(items) for v, items in pvq40.items()}
    scored = [item for items in key.values() for item in items]
    answers = answers_array(frame, scored, scale=PVQ_SCALE if is_pvq40 else None, only_scored=is_pvq40)
    scores = value_scores(answers.coded, key, answers.items)
    rank_order, ipsative = rank_order_stability(scores), ipsative_stability(scores)

    measures, contexts = {"rank_order": rank_order, "ipsative": ipsative}, answers.contexts
    return _plain({
        "rank_order": rank_order.overall,
        "rank_order_se": rank_order.standard_error,
        "per_value": dict(zip(key, rank_order.each, strict=True)),
        "per_seed": dict(zip(answers.seeds, rank_order.per_seed, strict=True)),
        "pairwise": _pairs(contexts, rank_order.pairwise),
        "pairwise_ipsative": _pairs(contexts, ipsative.pairwise),
        "ipsative": ipsative.overall,
        "ipsative_se": ipsative.standard_error,
        "per_persona": dict(zip(answers.personas, ipsative.each, strict=True)),
        "undefined": {
            **{name: measure.undefined.n for name, measure in measures.items()},
            **{f"{name}_of": measure.undefined.of for name, measure in measures.items()},
            "rank_order_per_value": dict(zip(key, map(int, rank_order.undefined.each), strict=True)),
            "reasons": {
                name: {
                    "constant_vector": measure.undefined.constant,
                    "fewer_than_3_observations": measure.undefined.too_few,
                }
                for name, measure in measures.items()
            },
        },
        "missing_answers": int(np.isnan(answers.coded).sum()),
        "unscored_items": [item for item in answers.items if item not in scored],
        "n_contexts": len(contexts),
        "n_personas": len(answers.personas),
        "n_items": len(answers.items),
        "n_seeds": len(answers.seeds),
        "centred": True,
        "units": (
            f"rank_order_se: {_units('seeds', rank_order.n, len(answers.seeds))}; "
            f"ipsative_se: {_units('personas, each averaged over its seeds first', ipsative.n, len(answers.personas))}"
        ),
    })


def _plain(node: object) -> object:
    """As JSON has it: names are text, and what is undefined is None."""
    if isinstance(node, dict):
        return {str(name): _plain(part) for name, part in node.items()}
    if isinstance(node, float):
        return None if math.isnan(node) else float(node)
    return node


def _pairs(contexts: Sequence[str], matrix: np.ndarray) -> dict[str, dict[str, float]]:
    rows = {one: dict(zip(contexts, row, strict=True)) for one, row in zip(contexts, matrix, strict=True)}
    return {one: {other: r for other, r in row.items() if other != one} for one, row in rows.items()}


def _units(what: str, n_defined: int, n: int) -> str:
    left_out = f" ({n - n_defined} of {n} left out as undefined)" if n_defined < n else ""
    return (f"over {n_defined} {what}" if n_defined > 1 else f"none, it takes 2 {what.split(',')[0]}") + left_out


# The first paper's public code

FILE_NAME = "results.json"
METRIC_TOLERANCE = 1e-6
# Their scripts seed option orders with <seed>_<number of the context>: the whole text is another one in each context,
# while rank-order stability needs the same seeds in all of them.
_SEED_AND_CONTEXT = "([0-9]+)_[0-9]+"


def _code(pair: object) -> object:
    return pair[1] if isinstance(pair, list) and len(pair) == 2 else pair


def _persona(given: object) -> object:
    """As the later versions of their code have it: a name and a description."""
    return given if isinstance(given, dict) else {"name": given, "description": given}


Text = Annotated[StrictStr, Field(min_length=1)]
Code = Annotated[Annotated[StrictInt, Field(ge=1, le=6)] | None, BeforeValidator(_code)]


class _Persona(BaseModel):
    name: StrictStr | None = None
    description: StrictStr | None = Field(default_factory=lambda read: read["name"])


class _Arguments(BaseModel):
    engine: Text
    simulated_conversation_theme: Text | None
    simulated_conversation_n_messages: Annotated[StrictInt, Field(ge=0)]
    permute_options_seed: StrictStr | StrictInt | None


class _Answers(BaseModel):
    # their name of the PVQ-40, asked in the form for the persona's gender: a letter and the code 1-6, or null
    pvq_auto: Annotated[list[Code], Field(min_length=40, max_length=40)]


class _Metrics(BaseModel):
    pvq_auto: dict[str, float]


class _Results(BaseModel):
    args: _Arguments
    simulated_population: Annotated[list[Annotated[_Persona, BeforeValidator(_persona)]], Field(min_length=1)]
    answers: list[_Answers]
    per_simulated_participant_metrics: list[_Metrics]


def read_authors_results(folder: str | Path, model: str | None = None) -> pd.DataFrame:
    """All files named ``results.json`` in a folder, and the folders in it, as one table of answers (Kovač et al. 2024).

    A file holds one model after one conversation topic, with all personas. An answer is a letter and the code 1-6 of
    the option that stood there, of which the code is read. ``per_simulated_participant_metrics`` must be the means of
    these codes over each value's items (not centred) to within 1e-6, by this project's own key; means with a missing
    answer are not compared. In their runs an unreadable answer became a random letter with its code; nothing in a file
    tells such an answer from another, so it counts here as an answer.

    Columns, one row an answer: model; context (the theme, or "no_conversation"); persona (permutation_01, ... in a
    population without); seed; item (1-40); answer (1-6, NA where the file has null); n_messages (0 without a
    conversation); persona_description ("" without persona); permute_options_seed. ``seed`` is the first number of that;
    where no file has their form ``<seed>_<context>``, it is 0 with one file a context, else the plain number. Their
    conversations were not seeded.

    ValuestabError for a file that is damaged or contradicts itself, for two files of one context and seed, and if
    contexts differ in personas or seeds, or engines (without ``model``) or numbers of messages are mixed.
    """
    folder = Path(folder)
    contents = {file: _read(file) for file in sorted(folder.rglob(FILE_NAME))}
    if not contents:
        raise ValuestabError(f"There is no file {FILE_NAME} in {str(folder)!r} or the folders in it.")
    engines = sorted({content.args.engine for content in contents.values()})
    if model is None and len(engines) > 1:
        raise ValuestabError(f"{folder} has the results of {len(engines)} models ({', '.join(engines)}): choose one.")
    model = check_known("model", model or engines[0], engines)
    tables = [_table(file, content) for file, content in contents.items() if content.args.engine == model]
    frame = pd.concat(tables, ignore_index=True).astype({"answer": "Int64"})
    frame.insert(3, "seed", _seeds(frame))
    lengths = frame.loc[frame["context"] != NO_CONVERSATION].drop_duplicates("n_messages")
    if len(lengths) > 1:
        said = " and ".join(f"{n} messages ({file})" for n, file in zip(lengths["n_messages"], lengths["file"]))
        raise ValuestabError(f"There are conversations of {said}: give a folder with one length.")
    frame = frame.drop(columns="file")
    answers_array(frame, sorted(set(frame["item"])), PVQ_SCALE)  # refuses what does not belong together
    return frame


def cautions(frame: pd.DataFrame) -> list[str]:
    """What a reader of the stability of these answers must know, a sentence each: shared option orders, no personas."""
    orders = frame.drop_duplicates(["seed", "context"])
    shared = orders[orders.duplicated(["seed", "permute_options_seed"]) & (orders["permute_options_seed"] != "")]
    sentences = []
    if len(shared):
        sentences.append(
            f"Contexts had the same option orders (permute_options_seed {', '.join(shared['permute_options_seed'])}): "
            "a model that answers by letter looks stable."
        )
    if (frame["persona_description"] == "").all():
        sentences.append(
            "These answers are without personas: rank-order stability compares permutations here and means "
            "nothing, read the ipsative one."
        )
    return sentences


def _read(file: Path) -> _Results:
    try:
        content = json.loads(read_utf8(file))
    except ValueError as error:
        raise ValuestabError(f"{file} is no JSON ({error}): get a whole copy, or move it away.") from error
    return checked(_Results, content, str(file))


def _table(file: Path, content: _Results) -> pd.DataFrame:
    """Answers of one file, after a check of the file against itself."""
    personas, args = content.simulated_population, content.args
    names, descriptions = [p.name for p in personas], [p.description or "" for p in personas]
    if not any(descriptions):
        names = [f"permutation_{i:02d}" for i in range(1, len(personas) + 1)]
    elif not all(descriptions) or not all(names):
        raise ValuestabError(f"{file} has personas with and without description or name: give one population a folder.")
    if len(set(names)) < len(names):
        raise ValuestabError(f"{file} has a persona twice: give each its own name.")
    answers, metrics = content.answers, content.per_simulated_participant_metrics
    if not len(personas) == len(answers) == len(metrics):
        raise ValuestabError(
            f"{file} has {len(personas)} participants in simulated_population, {len(answers)} in answers and "
            f"{len(metrics)} in per_simulated_participant_metrics: get a whole copy, or move it away."
        )
    for name, answered, metric in zip(names, answers, metrics, strict=True):
        for value, items in load_questionnaire("PVQ-40").key.items():
            own = [answered.pvq_auto[item - 1] for item in items]
            theirs = metric.pvq_auto.get(value, math.nan)
            if None not in own and not abs(theirs - np.mean(own)) <= METRIC_TOLERANCE:  # nor NaN
                raise ValuestabError(
                    f"{file} contradicts itself: the answers of {name!r} give {value} {np.mean(own):g}, but its "
                    f"metrics say {theirs:g}: get a whole copy, or move it away."
                )
    theme, order_seed = args.simulated_conversation_theme, args.permute_options_seed
    rows = pd.DataFrame({"persona": names, "answer": [answered.pvq_auto for answered in answers]})
    rows.insert(0, "model", args.engine)
    rows.insert(1, "context", NO_CONVERSATION if theme is None else theme)
    rows.insert(3, "item", [list(range(1, 41))] * len(rows))
    rows["n_messages"] = 0 if theme is None else args.simulated_conversation_n_messages
    rows["persona_description"] = descriptions
    rows["permute_options_seed"] = "" if order_seed is None else str(order_seed)
    return rows.assign(file=str(file)).explode(["item", "answer"]).astype({"item": int})


def _seeds(frame: pd.DataFrame) -> pd.Series:
    given = frame["permute_options_seed"]
    seeds = given.str.extract(f"^{_SEED_AND_CONTEXT}$", expand=False)
    if seeds.isna().all():
        if (frame.groupby("context")["file"].nunique() == 1).all():
            return seeds.fillna("0").astype(int)
        seeds = given.where(given.str.fullmatch("[0-9]+"))
    if seeds.isna().any():
        odd = frame[seeds.isna()].iloc[0]
        raise ValuestabError(
            f"{odd['file']} has the permute_options_seed {odd['permute_options_seed']!r}, from which the seed cannot "
            "be told: it must be <seed>_<number of the context> in all files, or give a folder with one file a context."
        )
    return seeds.astype(int)
