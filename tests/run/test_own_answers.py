"""The report on a table of answers, and files of the first paper's public code: what is read, and what is refused."""

import itertools
import json
import math

import numpy as np
import pandas as pd
import pytest

from valuestab_utils.errors import ValuestabError
from valuestab_utils.metrics import ipsative_stability, rank_order_stability, value_scores
from valuestab_utils.paths import ROOT
from valuestab_utils.prompts import load_questionnaire
from valuestab_utils.run.own_answers import (
    cautions,
    read_answers,
    read_authors_results,
    stability_report,
)

KEY = load_questionnaire("PVQ-40").key
ITEMS = list(range(1, 41))
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


@pytest.fixture
def report(tmp_path):
    """The report on a frame, or on the text of a file, as the command prints it."""

    def report(content, key=None):
        path = tmp_path / "answers.csv"
        text = content.to_csv(index=False) if isinstance(content, pd.DataFrame) else content
        path.write_text(text, encoding="utf-8", newline="")
        return json.loads(json.dumps(stability_report(read_answers(path), key), allow_nan=False))

    return report


def complaint(report, *given):
    with pytest.raises(ValuestabError) as caught:
        report(*given)
    return str(caught.value)


def test_report_is_made_of_the_functions(report):
    frame, answers = table(seeds=[3, 7])
    found = report(frame)
    assert list(found) == [
        "rank_order", "rank_order_se", "per_value", "per_seed", "pairwise", "pairwise_ipsative", "ipsative",
        "ipsative_se", "per_persona", "undefined", "missing_answers", "unscored_items", "n_contexts",
        "n_personas", "n_items", "n_seeds", "centred", "units",
    ]  # fmt: skip
    # The report sorts contexts and personas; the numbers by name must be those of the unsorted array.
    scores = [value_scores(of_seed[None], KEY, ITEMS) for of_seed in answers]
    rank_order = [rank_order_stability(of_seed) for of_seed in scores]
    overall = [result.overall for result in rank_order]
    assert found["per_seed"] == pytest.approx(dict(zip(["3", "7"], overall, strict=True)))
    assert found["rank_order"] == pytest.approx(np.mean(overall))
    # The standard deviation of two numbers is |d| / sqrt(2), the standard error |d| / 2.
    assert found["rank_order_se"] == pytest.approx(abs(overall[0] - overall[1]) / 2)
    per_value = np.mean([result.each for result in rank_order], axis=0)
    assert found["per_value"] == pytest.approx(dict(zip(KEY, per_value, strict=True)))
    ipsative = [ipsative_stability(of_seed) for of_seed in scores]
    per_persona = np.mean([result.each for result in ipsative], axis=0)
    assert found["per_persona"] == pytest.approx(dict(zip(PERSONAS, per_persona, strict=True)))
    assert found["ipsative"] == pytest.approx(per_persona.mean())
    assert found["ipsative_se"] == pytest.approx(per_persona.std(ddof=1) / 2)
    for name, results in (("pairwise", rank_order), ("pairwise_ipsative", ipsative)):
        joke_poem = np.mean([result.pairwise[0, 2] for result in results])
        assert found[name]["joke"]["poem"] == found[name]["poem"]["joke"] == pytest.approx(joke_poem)
    assert [found["undefined"][n] for n in ("rank_order_of", "ipsative_of")] == [10 * 3 * 2, 4 * 3 * 2]
    assert [found[n] for n in ("n_contexts", "n_personas", "n_items", "n_seeds")] == [3, 4, 40, 2]
    assert found["units"] == (
        "rank_order_se: over 2 seeds; ipsative_se: over 4 personas, each averaged over its seeds first"
    )
    assert report(frame.sample(frac=1, random_state=1)) == found


def test_by_hand(report):
    # Every participant's four answers sum to 10, so the centred scores are the answers less 2.5. Personas x,
    # y, z by value in context a: A 1 2 4, B 2 1 3, C 3 4 2, D 4 3 1; in b: A 1 2 4, B 2 3 1, C 3 4 2,
    # D 4 1 3.
    # Rank-order: A 1; B: ranks 2 1 3 and 2 3 1: -1; C 1; D: ranks 3 2 1 and 3 1 2: 0.5. Mean 0.375.
    # Ipsative: x 1; y 2 1 4 3 and 2 3 4 1: d^2 = 4 + 4: 1 - 48 / 60 = 0.2; z 4 3 2 1 and 4 1 2 3: 0.2.
    # Mean 1.4 / 3; deviations 1.6/3 -.8/3 -.8/3; variance (3.84 / 9) / 2; standard error .8 / 3.
    answers = [[1, 2, 3, 4, 6], [2, 1, 4, 3, 6], [4, 3, 2, 1, 6], [1, 2, 3, 4, 6], [2, 3, 4, 1, 6], [4, 1, 2, 3, 6]]
    frame = table("ab", "xyz", n_items=5)[0].assign(answer=np.ravel(answers))
    found = report(frame, SMALL_KEY)
    assert found["unscored_items"] == [5]
    assert found["per_value"] == pytest.approx({"A": 1.0, "B": -1.0, "C": 1.0, "D": 0.5})
    assert found["rank_order"] == found["pairwise"]["a"]["b"] == pytest.approx(0.375)
    assert found["per_persona"] == pytest.approx({"x": 1.0, "y": 0.2, "z": 0.2})
    assert found["ipsative"] == pytest.approx(1.4 / 3)
    assert found["ipsative_se"] == pytest.approx(0.8 / 3)
    assert found["rank_order_se"] is None  # of one seed
    # A persona that answers 3 to all in one context has no ipsative stability, and is not 0 or 1.
    frame.loc[(frame["context"] == "b") & (frame["persona"] == "z"), "answer"] = 3
    found = report(frame, SMALL_KEY)
    assert found["per_persona"] == pytest.approx({"x": 1.0, "y": 0.2, "z": None})
    assert found["ipsative"] == pytest.approx(0.6) and found["undefined"]["ipsative"] == 1
    assert found["units"].endswith("ipsative_se: over 2 personas, each averaged over its seeds first (1 of 3 left out as undefined)")
    assert "the items 1 twice" in complaint(report, frame, {"A": [1], "B": [1]})


def test_undefined_seeds_are_left_out_and_nothing_defined_is_null(report):
    frame, _ = table(seeds=[1, 2, 3])
    frame.loc[frame.seed == 2, "answer"] = 4
    found = report(frame)
    assert found["per_seed"]["2"] is None
    assert found["rank_order"] == pytest.approx((found["per_seed"]["1"] + found["per_seed"]["3"]) / 2)
    assert found["units"].startswith("rank_order_se: over 2 seeds (1 of 3 left out as undefined);")
    found = report(frame.assign(answer=3))
    for name in ("rank_order", "rank_order_se", "ipsative", "ipsative_se"):
        assert found[name] is None
    assert (found["undefined"]["rank_order"], found["undefined"]["ipsative"]) == (90, 36)


@pytest.mark.parametrize("mark", ["", "NA", "nan", " "])
def test_missing_answers_are_kept_and_counted(report, mark):
    frame, answers = table()
    answers[0, 1, 2, [0, 5]] = math.nan
    text = frame.astype({"answer": object})
    at = (text.context == "chess") & (text.persona == "Gollum") & text.item.isin([1, 6])
    text.loc[at, "answer"] = mark
    found = report(text)
    assert found["missing_answers"] == 2
    scores = value_scores(answers, KEY, ITEMS)
    assert found["rank_order"] == pytest.approx(rank_order_stability(scores).overall)
    assert found == report(text[~at])  # absent rows are the same


def test_forms_of_tables(report):
    personas = ["NA", "None", "1", "01", "1.0", 'a "b", c']  # labels stay text
    frame, _ = table(personas=personas)
    found = report(frame)
    assert set(found["per_persona"]) == set(personas)
    text = frame.to_csv(index=False)
    for other in (
        "\ufeff" + text,  # as Excel writes UTF-8
        text.replace("\n", "\r\n"),
        frame[["answer", "item", "persona", "context"]].assign(note="x").to_csv(),
        frame.astype({"answer": float}).to_csv(index=False),
    ):
        assert report(other) == found
    for other in (frame, frame.convert_dtypes(), frame.astype({"context": "category"}), frame.astype(object)):
        assert json.loads(json.dumps(stability_report(other))) == found


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("answer", "abc", "Row 6 (the header is row 1): answer is 'abc'; it must be a whole number"),
        *[("answer", value, f"answer is '{value}'; it must be a") for value in ("inf", "1_0", "٣")],
        *[("answer", value, "whole number from 1 to 6, or empty where missing.") for value in ("0", "7", "3.5")],
        ("item", "41", "item is '41'; it must be one of the items 1 to 40"),
        ("seed", "0_1", "seed is '0_1'; it must be a whole number."),
        ("persona", "", "persona is ''; give it a name in every row."),
        *[("item", same, "Item 4 of 'Frodo' in context 'joke'") for same in (4, "04", "4.0")],
        ("seed", "3", "11 of 36 participants have no rows, such as ('Frodo', context 'chess', seed 3),"),
    ],
)
def test_bad_cells(report, column, value, message):
    frame = table(seeds=[1, 2])[0].astype(object)
    frame.loc[4, column] = value
    assert message in complaint(report, frame)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (lambda f: f[(f.context != "chess") | (f.seed == 1)], "4 of 24 participants have no rows, such as ('Frodo'"),
        (lambda f: f[~f.item.isin([7, 33])], "The table lacks items of the key (7, 33)"),
        (lambda f: f[f.context == "joke"], "Stability needs at least 2 contexts, not 1"),
        (lambda f: f[f.persona.isin(["Frodo", "Sam"])], "Rank-order stability needs at least 3 personas, not 2"),
        (lambda f: f.drop(columns="answer"), "must have each of the columns context, persona, item, answer once"),
        (lambda f: f[:0], "has no rows of answers"),
    ],
)
def test_incomplete_tables(report, part, message):
    assert message in complaint(report, part(table(seeds=[1, 2])[0]))


# The first paper's public code

SAMPLE = ROOT.parent / "shared" / "official" / "authors_results_sample"
THEMES = ("grammar", "joke", "poem")


def codes(*shape, seed=0):
    return np.random.default_rng(seed).integers(1, 7, size=(*shape, 40))


def content(answers, theme="joke", seed="0_1", model="m", personas=PERSONAS, n_messages=3):
    """What such a file has in it, for answers (personas, items)."""
    metrics = [
        {"pvq_auto": {value: float(np.mean([own[i - 1] for i in items])) for value, items in KEY.items()}}
        for own in answers
    ]
    args = {
        "engine": model, "simulated_conversation_theme": theme, "permute_options_seed": seed,
        "simulated_conversation_n_messages": n_messages, "format": "chat",
    }  # fmt: skip
    return {
        "args": args,
        "per_simulated_participant_metrics": metrics,
        "simulated_population": [{"name": p, "description": f"{p}, somebody.", "gender": "M"} for p in personas],
        "answers": [{"pvq_auto": [["ABCDEF"[i % 6], int(code)] for i, code in enumerate(own)]} for own in answers],
    }


def write(folder, record, *place):
    path = folder.joinpath(*place, "results.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record), encoding="utf-8")
    return path


@pytest.fixture
def study(tmp_path):
    """Two seeds, three contexts, four personas in an order of each file's, in nested folders; and the answers."""
    answers = codes(2, 3, 4)
    for (s, seed), (c, theme) in itertools.product(*map(enumerate, ((4, 9), THEMES))):
        order = (-1) ** c
        record = content(answers[s, c, ::order], theme, f"{seed}_{c}", personas=PERSONAS[::order])
        write(tmp_path, record, f"seed_{seed}", f"theme_{theme}_2024")
    (tmp_path / "results_old.json.backup").write_text("no JSON")
    return tmp_path, answers


def test_table_of_answers(study):
    folder, answers = study
    frame = read_authors_results(folder)
    assert list(frame) == [
        "model", "context", "persona", "seed", "item", "answer", "n_messages", "persona_description",
        "permute_options_seed",
    ]  # fmt: skip
    array = frame.pivot(index=["seed", "context", "persona"], columns="item", values="answer")
    for (s, seed), (c, theme), (p, persona) in itertools.product(*map(enumerate, ((4, 9), THEMES, PERSONAS))):
        assert array.loc[(seed, theme, persona)].tolist() == answers[s, c, p].tolist()
    assert (frame["model"] == "m").all() and (frame["n_messages"] == 3).all()
    assert (frame["persona_description"] == frame["persona"] + ", somebody.").all()
    assert cautions(frame) == []


def test_missing_answers_stay_missing(tmp_path):
    record = content(codes(4))
    record["answers"][1]["pvq_auto"][4] = None
    record["answers"][2]["pvq_auto"][39] = [None, None]
    write(tmp_path, record)
    frame = read_authors_results(tmp_path)
    missing = frame[frame["answer"].isna()]
    assert missing[["persona", "item"]].values.tolist() == [["Sam", 5], ["Gollum", 40]]
    assert len(frame) == 160


@pytest.mark.parametrize("participant", [{"name": "CHATBOT", "description": None, "gender": "M"}, None])
def test_without_personas(tmp_path, participant):
    for i, theme in enumerate(("joke", "poem")):
        record = content(codes(3, seed=i), theme, f"0_{i}")
        write(tmp_path, record | {"simulated_population": [participant] * 3}, theme)
    frame = read_authors_results(tmp_path)
    assert frame["persona"].unique().tolist() == ["permutation_01", "permutation_02", "permutation_03"]
    assert (frame["persona_description"] == "").all()
    assert len(cautions(frame)) == 1 and "without personas" in cautions(frame)[0]


def test_no_conversation(tmp_path):
    write(tmp_path, content(codes(4), None, "0_5"), "none")
    write(tmp_path, content(codes(4), "joke", "0_1", n_messages=7), "joke")
    frame = read_authors_results(tmp_path)
    assert set(zip(frame["context"], frame["n_messages"])) == {("no_conversation", 0), ("joke", 7)}


@pytest.mark.parametrize(
    ("texts", "seeds"),
    [
        ({"joke": ["3_0"], "poem": ["3_1"]}, {3}),
        ({"joke": ["12_0", "4_0"], "poem": ["12_7", "4_7"]}, {4, 12}),  # not 120: the underscore divides
        ({"joke": ["0"], "poem": ["1"]}, {0}),  # the number of the context alone
        ({"joke": ["1", "2"], "poem": ["1", "2"]}, {1, 2}),
        ({"joke": [7], "poem": [7]}, {0}),
        ({"joke": ["1_0"], "poem": ["1"]}, None),
        ({"joke": ["_1", "1_"]}, None),
    ],
)
def test_seeds(tmp_path, texts, seeds):
    for theme, of_theme in texts.items():
        for i, text in enumerate(of_theme):
            write(tmp_path, content(codes(4), theme, text), theme, str(i))
    if seeds is None:
        with pytest.raises(ValuestabError, match=r"results.json has the permute_options_seed .* cannot be told"):
            read_authors_results(tmp_path)
    else:
        assert set(read_authors_results(tmp_path)["seed"]) == seeds


def set_answer(answer):
    return lambda r: r["answers"][1]["pvq_auto"].__setitem__(6, answer)


def add_to_metric(number):
    def change(record):
        record["per_simulated_participant_metrics"][2]["pvq_auto"]["Power"] += number

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r["args"].pop("permute_options_seed"), "lacks permute_options_seed"),
        (lambda r: r["answers"].pop(), "has 4 participants in .*, 3 in answers"),
        (lambda r: r["simulated_population"][0].update(name="Sam"), "has a persona twice"),
        (lambda r: r["simulated_population"][0].update(description=""), "with and without"),
        (lambda r: r["answers"][1]["pvq_auto"].pop(), "answer 2: pvq_auto.* at least 40 items"),
        *[(set_answer(a), "answer 2: pvq_auto.6") for a in (["A", 0], ["A", "3"], ["A", 2.5], ["A"], -100)],
        (add_to_metric(1e-5), "the answers of 'Gollum' give Power"),
        (add_to_metric(float("nan")), "the answers of 'Gollum' give Power"),
    ],
)
def test_refused_files(tmp_path, change, message):
    record = content(codes(4))
    add_to_metric(5e-7)(record)  # as rounding may have it
    file = write(tmp_path, record)
    assert len(read_authors_results(tmp_path)) == 160
    change(record)
    write(tmp_path, record)
    with pytest.raises(ValuestabError, match=message) as caught:
        read_authors_results(tmp_path)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"seed": "0_7"}, "Item 1 of 'Frodo' in context 'joke', seed 0, is answered by several"),
        ({"theme": "poem", "seed": "1_0"}, "8 of 16 participants have no rows"),
        ({"theme": "poem", "personas": ("Frodo", "Sam", "Gollum", "Merry")}, "participants have no rows"),
        ({"theme": "poem", "n_messages": 5}, r"conversations of 3 messages .* and 5 messages"),
        ({"theme": "poem", "model": "n"}, r"results of 2 models \(m, n\): choose one"),
    ],
)
def test_files_that_do_not_belong_together(tmp_path, other, message):
    write(tmp_path, content(codes(4)), "a")
    write(tmp_path, content(codes(4), **other), "b")
    with pytest.raises(ValuestabError, match=message):
        read_authors_results(tmp_path)
    if "model" in other:
        assert set(read_authors_results(tmp_path, model="n")["model"]) == {"n"}


def test_what_is_written_is_what_stability_reads(study, tmp_path_factory):
    folder, answers = study
    record = content(answers[0, 1], "joke", "4_1")
    record["answers"][0]["pvq_auto"][0] = None
    write(folder, record, "seed_4", "theme_joke_2024")
    frame, path = read_authors_results(folder), tmp_path_factory.mktemp("table") / "answers.csv"
    frame.to_csv(path, index=False)
    expected = stability_report(frame)
    assert stability_report(read_answers(path)) == expected and expected["missing_answers"] == 1


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="there is no sample next to the checkout")
def test_sample_of_the_authors_code():
    frame = read_authors_results(SAMPLE)
    assert frame.iloc[0].drop("persona_description").tolist() == ["smol", "grammar", "Gandalf", 0, 1, 6, 3, "0_0"]
    scores = value_scores(frame["answer"].to_numpy(dtype=float)[None, None, None], KEY, ITEMS, centre=False)
    record = json.loads((SAMPLE / "results.json").read_text())
    metrics = record["per_simulated_participant_metrics"][0]["pvq_auto"]
    np.testing.assert_allclose(scores[0, 0, 0], [metrics[value] for value in KEY], atol=1e-12)
