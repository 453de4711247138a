"""The report on a table of answers: what the command reads, prints and refuses."""

import itertools
import json
import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from valuestab_utils.answers_csv import read_answers
from valuestab_utils.errors import ValuestabError
from valuestab_utils.paths import ROOT
from valuestab_utils.stability import (
    ipsative_stability,
    main,
    rank_order_stability,
    stability_report,
    value_scores,
)
from valuestab_utils.value_scores import read_key

CONTEXTS = ("joke", "chess", "poem")
PERSONAS = ("Frodo", "Sam", "Gollum", "Éowyn")
SMALL_KEY = {"A": [1], "B": [2], "C": [3], "D": [4]}


def table(contexts=CONTEXTS, personas=PERSONAS, seeds=None, n_items=40):
    """A complete table with random answers 1-6, and the answers as (seeds, contexts, personas, items)."""
    shape = (len(seeds or [0]), len(contexts), len(personas), n_items)
    answers = np.random.default_rng(0).integers(1, 7, size=shape)
    labels = itertools.product(seeds or [0], contexts, personas, range(1, n_items + 1))
    frame = pd.DataFrame(labels, columns=["seed", "context", "persona", "item"])
    frame["answer"] = answers.ravel()
    return frame if seeds else frame.drop(columns="seed"), answers.astype(float)


def small(answers, contexts=("a", "b"), personas=("x", "y", "z")):
    """A table of four items from answers (contexts, personas, items)."""
    cells = [
        (context, persona, item, answers[c][p][item - 1])
        for c, context in enumerate(contexts)
        for p, persona in enumerate(personas)
        for item in (1, 2, 3, 4)
    ]
    return pd.DataFrame(cells, columns=["context", "persona", "item", "answer"])


@pytest.fixture
def command(tmp_path, capsys):
    """Run the command on a frame, or on the text of a file; return its exit code, stdout and stderr."""

    def run(content, key=None):
        path = tmp_path / "answers.csv"
        if isinstance(content, pd.DataFrame):
            content = content.to_csv(index=False)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        argv = [str(path)]
        if key is not None:
            (tmp_path / "key.json").write_text(key if isinstance(key, str) else json.dumps(key))
            argv += ["--key", str(tmp_path / "key.json")]
        code = main(argv)
        return code, *capsys.readouterr()

    return run


def refuse_constant(name):
    raise AssertionError(f"{name} is no JSON")


def printed(outcome):
    code, out, err = outcome
    assert (code, err) == (0, "")
    return json.loads(out, parse_constant=refuse_constant)


def complaint(outcome):
    """The message of a refusal, which must be one line on stderr alone."""
    code, out, err = outcome
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    return err


# --- numbers


def test_report_is_made_of_the_functions(command):
    frame, answers = table(seeds=[3, 7])
    report = printed(command(frame))
    key, items = read_key(), list(range(1, 41))
    # The report sorts contexts and personas; the numbers by name must be those of the unsorted array.
    scores = [value_scores(of_seed, key, items) for of_seed in answers]
    rank_order = [rank_order_stability(of_seed) for of_seed in scores]
    overall = [result.overall for result in rank_order]
    assert report["per_seed"] == pytest.approx(dict(zip(["3", "7"], overall, strict=True)))
    assert report["rank_order"] == pytest.approx(np.mean(overall))
    # The standard deviation of two numbers is |d| / sqrt(2), the standard error |d| / 2.
    assert report["rank_order_se"] == pytest.approx(abs(overall[0] - overall[1]) / 2)
    per_value = np.mean([result.per_value for result in rank_order], axis=0)
    assert report["per_value"] == pytest.approx(dict(zip(key, per_value, strict=True)))
    joke_poem = np.mean([result.pairwise[0, 2] for result in rank_order])
    assert report["pairwise"]["joke"]["poem"] == pytest.approx(joke_poem)
    assert report["pairwise"]["poem"]["joke"] == report["pairwise"]["joke"]["poem"]
    assert {context: set(others) for context, others in report["pairwise"].items()} == {
        "joke": {"chess", "poem"}, "chess": {"joke", "poem"}, "poem": {"joke", "chess"},
    }  # fmt: skip

    ipsative = [ipsative_stability(of_seed) for of_seed in scores]
    per_persona = np.mean([result.per_persona for result in ipsative], axis=0)
    assert report["per_persona"] == pytest.approx(dict(zip(frame.persona.unique(), per_persona, strict=True)))
    assert report["ipsative"] == pytest.approx(per_persona.mean())
    assert report["ipsative_se"] == pytest.approx(per_persona.std(ddof=1) / 2)
    joke_poem = np.mean([result.pairwise[0, 2] for result in ipsative])
    assert report["pairwise_ipsative"]["joke"]["poem"] == pytest.approx(joke_poem)
    assert report["undefined"]["rank_order_of"] == 10 * 3 * 2
    assert report["undefined"]["ipsative_of"] == 4 * 3 * 2
    assert [report[n] for n in ("n_contexts", "n_personas", "n_items", "n_seeds")] == [3, 4, 40, 2]
    assert report["units"] == (
        "rank_order_se: over 2 seeds; ipsative_se: over 4 personas, each averaged over its 2 seeds first"
    )


def test_keys_of_the_report():
    report = stability_report(table()[0])
    assert list(report) == [
        "rank_order", "rank_order_se", "per_value", "per_seed", "pairwise", "pairwise_ipsative", "ipsative",
        "ipsative_se", "per_persona", "undefined", "missing_answers", "unscored_items", "n_contexts",
        "n_personas", "n_items", "n_seeds", "centred", "units",
    ]  # fmt: skip
    assert report["rank_order_se"] is None
    assert report["per_seed"] == {"0": report["rank_order"]}
    assert report["centred"] is True
    assert report["units"] == "rank_order_se: none, it takes 2 seeds; ipsative_se: over 4 personas"


def test_by_hand(command):
    # Every participant's four answers sum to 10, so the centred scores are the answers less 2.5. Personas x,
    # y, z by value in context a: A 1 2 4, B 2 1 3, C 3 4 2, D 4 3 1; in b: A 1 2 4, B 2 3 1, C 3 4 2,
    # D 4 1 3.
    # Rank-order: A 1; B: ranks 2 1 3 and 2 3 1: -1; C 1; D: ranks 3 2 1 and 3 1 2: 0.5. Mean 0.375.
    # Ipsative: x 1; y 2 1 4 3 and 2 3 4 1: d^2 = 4 + 4: 1 - 48 / 60 = 0.2; z 4 3 2 1 and 4 1 2 3: 0.2.
    # Mean 1.4 / 3; deviations 1.6/3 -.8/3 -.8/3; variance (3.84 / 9) / 2; standard error .8 / 3.
    in_a, in_b = [[1, 2, 3, 4], [2, 1, 4, 3], [4, 3, 2, 1]], [[1, 2, 3, 4], [2, 3, 4, 1], [4, 1, 2, 3]]
    report = printed(command(small([in_a, in_b]), SMALL_KEY))
    assert report["per_value"] == pytest.approx({"A": 1.0, "B": -1.0, "C": 1.0, "D": 0.5})
    assert report["rank_order"] == pytest.approx(0.375)
    assert report["pairwise"] == {"a": {"b": pytest.approx(0.375)}, "b": {"a": pytest.approx(0.375)}}
    assert report["per_persona"] == pytest.approx({"x": 1.0, "y": 0.2, "z": 0.2})
    assert report["ipsative"] == pytest.approx(1.4 / 3)
    assert report["ipsative_se"] == pytest.approx(0.8 / 3)


def test_identical_and_reversed_contexts():
    frame, _ = table(contexts=["one"])
    same = pd.concat([frame, frame.assign(context="two")])
    reverse = pd.concat([frame, frame.assign(context="two", answer=7 - frame.answer)])
    for other, expected in ((same, 1.0), (reverse, -1.0)):
        report = stability_report(other)
        assert (report["rank_order"], report["ipsative"]) == (expected, expected)


def test_order_of_rows_does_not_matter(command):
    frame, _ = table(seeds=[1, 2])
    assert command(frame) == command(frame.sample(frac=1, random_state=1)) == command(frame[::-1])


def test_names_do_not_matter():
    frame, _ = table()
    other = stability_report(frame.replace({"joke": "zzz", "Sam": "Aaa"}))
    report = stability_report(frame)
    assert other["rank_order"] == pytest.approx(report["rank_order"], abs=1e-14)
    assert other["per_persona"]["Aaa"] == report["per_persona"]["Sam"]
    assert other["pairwise"]["zzz"]["poem"] == pytest.approx(report["pairwise"]["joke"]["poem"], abs=1e-14)


def test_undefined_correlations_are_null_and_counted(command):
    # Persona z answers 3 to all in context b: it has no ipsative stability, and is not 0 or 1.
    answers = [[[1, 2, 3, 4], [2, 1, 4, 3], [4, 3, 2, 1]], [[1, 2, 3, 4], [2, 1, 4, 3], [3, 3, 3, 3]]]
    report = printed(command(small(answers), SMALL_KEY))
    assert report["per_persona"] == {"x": 1.0, "y": 1.0, "z": None}
    assert report["ipsative"] == 1.0
    assert report["undefined"]["ipsative"] == 1
    reasons = report["undefined"]["reasons"]
    assert reasons["ipsative"] == {"constant_vector": 1, "fewer_than_3_observations": 0}
    assert report["units"].endswith("ipsative_se: over 2 personas (1 of 3 left out as undefined)")


def test_nothing_defined_is_null(command):
    frame, _ = table(seeds=[1, 2])
    report = printed(command(frame.assign(answer=3)))
    assert report["rank_order"] is report["rank_order_se"] is None
    assert report["ipsative"] is report["ipsative_se"] is None
    assert set(report["per_value"].values()) == set(report["per_seed"].values()) == {None}
    undefined = report["undefined"]
    assert undefined["rank_order"] == undefined["rank_order_of"] == 60
    assert undefined["ipsative"] == undefined["ipsative_of"] == 24
    assert undefined["reasons"]["rank_order"] == {"constant_vector": 60, "fewer_than_3_observations": 0}
    assert set(undefined["rank_order_per_value"].values()) == {6}
    assert "2 of 2 left out" in report["units"]
    assert "4 of 4 left out" in report["units"]


def test_undefined_seed_is_left_out_and_named():
    frame, _ = table(seeds=[1, 2, 3])
    frame.loc[frame.seed == 2, "answer"] = 4
    report = stability_report(frame)
    assert report["per_seed"]["2"] is None
    assert report["rank_order"] == pytest.approx((report["per_seed"]["1"] + report["per_seed"]["3"]) / 2)
    assert report["units"].startswith("rank_order_se: over 2 seeds (1 of 3 left out as undefined);")


# --- what may come


@pytest.mark.parametrize("mark", ["", "NA", "NaN", "nan", " "])
def test_missing_answers_are_kept_and_counted(command, mark):
    frame, answers = table()
    answers[0, 1, 2, [0, 5]] = math.nan
    text = frame.astype({"answer": object})
    at = (text.context == "chess") & (text.persona == "Gollum") & text.item.isin([1, 6])
    text.loc[at, "answer"] = mark
    report = printed(command(text))
    assert report["missing_answers"] == 2
    scores = value_scores(answers[0], read_key(), list(range(1, 41)))
    assert report["rank_order"] == pytest.approx(rank_order_stability(scores).overall)
    assert report["ipsative"] == pytest.approx(ipsative_stability(scores).overall)
    assert report == printed(command(text[~at]))  # absent rows are the same


def test_frames_of_notebooks_give_what_files_give(command):
    frame, _ = table(seeds=[1, 2])
    frame["answer"] = frame["answer"].astype(float)
    frame.loc[3, "answer"] = math.nan
    report = printed(command(frame))
    for other in (
        frame,
        frame.convert_dtypes(),
        frame.astype({"context": "category", "persona": "category"}),
        frame.astype(object).where(frame.notna(), None),
        frame.sample(frac=1, random_state=0),
    ):
        assert json.loads(json.dumps(stability_report(other))) == report


def test_labels_stay_text(command):
    personas = {"NA", "None", "nan", "1", "01", "1.0", "True", 'a "b", c'}
    report = printed(command(table(contexts=["1", "NA", "None"], personas=sorted(personas))[0]))
    assert set(report["per_persona"]) == personas
    assert set(report["pairwise"]) == {"1", "NA", "None"}
    assert report["n_personas"] == 8


def test_file_forms(command):
    frame, _ = table()
    plain = command(frame)
    text = frame.to_csv(index=False)
    for other in (
        "\ufeff" + text,  # as Excel writes UTF-8
        text.replace("\n", "\r\n"),
        text.replace("\n", "\n\n"),
        text.replace("context,persona,item,answer", "context, persona ,item,answer"),
        frame[["answer", "item", "persona", "context"]].assign(note="x").to_csv(),
        frame.astype({"answer": float}).to_csv(index=False),
    ):
        assert command(other) == plain


def test_large_seeds_keep_all_digits(command):
    frame, _ = table(seeds=[2**63 + 1, 2**63 + 2])
    assert list(printed(command(frame.astype({"seed": str})))["per_seed"]) == [str(2**63 + 1), str(2**63 + 2)]


def test_custom_key(command):
    frame, answers = table(n_items=6)
    frame["answer"] = 2.5 * frame["answer"] - 10
    report = printed(command(frame, SMALL_KEY))
    assert report["unscored_items"] == [5, 6]
    assert report["n_items"] == 6
    assert list(report["per_value"]) == ["A", "B", "C", "D"]
    scores = value_scores(answers[0], SMALL_KEY, [1, 2, 3, 4, 5, 6])
    assert report["rank_order"] == pytest.approx(rank_order_stability(scores).overall)


def test_pvq40_key_given_as_a_file_keeps_its_checks(command):
    frame, _ = table()
    assert command(frame, read_key()) == command(frame)
    frame.loc[0, "answer"] = 7
    assert "whole number from 1 to 6" in complaint(command(frame, read_key()))


def test_as_a_process(tmp_path):
    table()[0].to_csv(tmp_path / "answers.csv", index=False)
    argv = [sys.executable, "-m", "valuestab_utils.stability"]
    good, bad = (
        subprocess.Popen(
            [*argv, tmp_path / name], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for name in ("answers.csv", "none.csv")
    )
    out, err = good.communicate()
    assert (good.returncode, err) == (0, "")
    assert json.loads(out)["n_personas"] == 4
    out, err = bad.communicate()
    assert (bad.returncode, out, err.count("\n")) == (2, "", 1)


# --- what is refused


def changed(column, value, row=4):
    frame, _ = table(seeds=[1, 2])
    frame = frame.astype(object)
    frame.loc[row, column] = value
    return frame


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("answer", "abc", "Row 6 (the header is row 1): answer is 'abc'; it must be a number."),
        ("answer", "inf", "Row 6 (the header is row 1): answer is 'inf'; it must be a number."),
        ("answer", "1_0", "Row 6 (the header is row 1): answer is '1_0'; it must be a number."),
        ("answer", "1e999", "answer is '1e999'; it must be a number."),
        ("answer", "None", "answer is 'None'; it must be a number."),
        ("answer", "٣", "answer is '٣'; it must be a number."),
        ("answer", "0", "answer is '0'; it must be a whole number from 1 to 6, or empty where missing."),
        ("answer", "7", "answer is '7'; it must be a whole number from 1 to 6, or empty where missing."),
        ("answer", "-1", "answer is '-1'; it must be a whole number from 1 to 6, or empty where missing."),
        ("answer", "3.5", "answer is '3.5'; it must be a whole number from 1 to 6, or empty where missing."),
        ("item", "41", "Row 6 (the header is row 1): item 41 is not among the items 1 to 40 of the quest"),
        ("item", "0", "item 0 is not among the items 1 to 40"),
        ("item", "q1", "Row 6 (the header is row 1): item is 'q1'; it must be a whole number."),
        ("item", "1.5", "item is '1.5'; it must be a whole number."),
        ("item", "", "item is empty; it must be a whole number."),
        ("seed", "0_1", "Row 6 (the header is row 1): seed is '0_1'; it must be a whole number."),
        ("seed", "", "seed is empty; it must be a whole number."),
        ("persona", "", "Row 6 (the header is row 1): persona is empty; give it a name in every row."),
        ("context", " ", "context is empty; give it a name in every row."),
        ("item", 4, "Row 5 (the header is row 1) and row 6 both answer item 4 for 'Frodo', context 'joke'"),
        ("seed", "3", "11 of 36 participants have no rows, such as ('Frodo', context 'chess', seed 3),"),
    ],
)
def test_bad_cells(command, column, value, message):
    assert message in complaint(command(changed(column, value)))


@pytest.mark.parametrize("value", [True, math.inf, 10**400, [3], "x"])
def test_bad_cells_of_a_frame(value):
    frame, _ = table()
    frame["answer"] = frame["answer"].astype(object)
    frame.at[4, "answer"] = value
    with pytest.raises(ValuestabError, match=r"^Row 4: answer is .*; it must be"):
        stability_report(frame)


@pytest.mark.parametrize("value", [None, math.nan, pd.NA])
def test_frames_without_names(value):
    frame, _ = table()
    frame["persona"] = frame["persona"].astype(object)
    frame.at[4, "persona"] = value
    with pytest.raises(ValuestabError, match=r"^Row 4: persona is empty"):
        stability_report(frame)


@pytest.mark.parametrize(
    ("drop", "message"),
    [
        ({"context": "chess"}, "4 of 24 participants have no rows, such as ('Frodo', context 'chess', "),
        ({"persona": "Sam"}, "3 of 24 participants have no rows, such as ('Sam', context 'chess', seed 2)"),
        ({"persona": "Sam", "context": "poem"}, "1 of 24 participants have no rows, such as ('Sam', context"),
    ],
)
def test_incomplete_design(command, drop, message):
    frame, _ = table(seeds=[1, 2])
    absent = frame.seed == 2
    for column, value in drop.items():
        absent &= frame[column] == value
    assert message in complaint(command(frame[~absent]))


def test_two_runs_in_one_file_are_duplicates(command):
    frame, _ = table()
    said = complaint(command(pd.concat([frame, frame])))
    assert "Row 2 (the header is row 1) and row 482 both answer item 1" in said


def test_persona_and_seed_written_in_two_ways_are_the_same(command):
    assert "both answer item 4" in complaint(command(changed("item", "04")))
    assert "both answer item 4" in complaint(command(changed("item", "4.0")))


def test_items_of_the_key_must_be_there(command):
    frame, _ = table()
    said = complaint(command(frame[~frame.item.isin([7, 33])]))
    assert "The table lacks items of the key (7, 33)" in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"contexts": ["joke"]}, "Stability needs at least 2 contexts, not 1"),
        ({"personas": ["Frodo", "Sam"]}, "Rank-order stability needs at least 3 personas, not 2"),
    ],
)
def test_too_little_to_compare(command, options, message):
    assert message in complaint(command(table(**options)[0]))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "has no rows of answers"),
        ("context,persona,item,answer\n", "has no rows of answers"),
        ("context,persona,item\na,b,1\n", "has no column answer; it has 'context', 'persona', 'item'"),
        ("Context,persona,item,score\na,b,1,2\n", "no column context, answer; it has 'Context', 'persona'"),
        ("context;persona;item;answer\na;b;1;2\n", "with commas between them"),
        ("context,persona,item,answer,answer\na,b,1,2,3\n", "has the column answer twice"),
        ("context,persona,item,answer\na,b,1,2\na,b,2\n", "Row 3 (the header is row 1) of"),
        ("context,persona,item,answer\na,b,c,1,2\n", "has 5 cells, the header has 4"),
        ('context,persona,item,answer\n"a,b,1,2\n', "is not CSV text in UTF-8"),
        (b"PK\x03\x04\xff\xfe", "is not CSV text in UTF-8"),
        ("context,persona,item,answer\nEowyn,É,1,2\n".encode("latin-1"), "is not CSV text in UTF-8"),
    ],
)
def test_bad_files(command, content, message):
    assert message in complaint(command(content))


def test_file_that_is_not_there(tmp_path, capsys):
    assert main([str(tmp_path / "none.csv")]) == 2
    assert "none.csv': No such file" in capsys.readouterr().err
    assert main([str(tmp_path)]) == 2
    assert "Is a directory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("{", "is not valid JSON"),
        ("", "is not valid JSON"),
        ("[1, 2]", "must map values to lists"),
        ('{"A": []}', "'A' has []"),
        ('{"A": ["1"]}', "must be whole numbers; 'A' has '1'"),
        ('{"A": [1], "B": [1]}', "item 1 twice, for 'A' and for 'B'"),
        ('{"A": [1], "A": [2]}', "names a value twice"),
        ('{"A": [1], "B": [99], "C": [2]}', "The table lacks items of the key (99)"),
        ('{"A": [1], "B": [2]}', "Ipsative stability needs at least 3 values, not 2"),
    ],
)
def test_bad_keys(command, key, message):
    assert message in complaint(command(table()[0], key))


def test_key_file_that_is_not_there(tmp_path, capsys):
    table()[0].to_csv(tmp_path / "answers.csv", index=False)
    for key in (str(tmp_path / "none.json"), ""):  # an empty name is no request for the default
        assert main([str(tmp_path / "answers.csv"), "--key", key]) == 2
        assert "Cannot read the key" in capsys.readouterr().err


def test_answers_too_large_to_rank(command):
    frame, _ = table(n_items=4)
    frame["answer"] *= 1e6
    assert "between -100000 and 100000" in complaint(command(frame, SMALL_KEY))


def test_rows_are_counted_as_in_the_file(tmp_path):
    path = tmp_path / "answers.csv"
    path.write_text('context,persona,item,answer\n\na,"two\nlines",1,2\n\nb,c,1,2\n')
    assert read_answers(path).index.tolist() == [3, 5]
