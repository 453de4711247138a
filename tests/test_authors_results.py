"""Files of the first paper's public code: what is read, what is refused, and the command."""

import itertools
import json
import subprocess
import sys

import numpy as np
import pytest

from valuestab_utils.answers_csv import read_answers
from valuestab_utils.authors_results import cautions, main, read_authors_results
from valuestab_utils.errors import ValuestabError
from valuestab_utils.paths import ROOT
from valuestab_utils.stability import ipsative_stability, rank_order_stability, stability_report, value_scores
from valuestab_utils.value_scores import read_key

SAMPLE = ROOT.parent / "shared" / "official" / "authors_results_sample"
THEMES = ("grammar", "joke", "poem")
PERSONAS = ("Frodo", "Sam", "Gollum", "Éowyn")
ITEMS = list(range(1, 41))
KEY = read_key()


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
        "metrics": {},
        "per_simulated_participant_metrics": metrics,
        "simulated_population": [
            {"name": p, "description": f"{p}, somebody.", "gender": "M"} for p in personas
        ],
        "answers": [
            {"pvq_auto": [["ABCDEF"[i % 6], int(code)] for i, code in enumerate(own)]} for own in answers
        ],
        "generations": [],
        "params": args,
    }


def write(folder, record, *place):
    path = folder.joinpath(*place)
    path.mkdir(parents=True, exist_ok=True)
    text = record if isinstance(record, str) else json.dumps(record)
    (path / "results.json").write_text(text, encoding="utf-8")
    return path / "results.json"


@pytest.fixture
def study(tmp_path):
    """Two seeds, three contexts, four personas, in nested folders; and the answers as an array."""
    answers = codes(2, 3, 4)
    for (s, seed), (c, theme) in itertools.product(enumerate((4, 9)), enumerate(THEMES)):
        write(tmp_path, content(answers[s, c], theme, f"{seed}_{c}"), f"seed_{seed}", f"theme_{theme}_2024")
    return tmp_path, answers


# --- what is read


def test_table_of_answers(study):
    folder, answers = study
    frame = read_authors_results(folder)
    assert list(frame) == [
        "model", "context", "persona", "seed", "item", "answer", "n_messages", "persona_description",
        "permute_options_seed",
    ]  # fmt: skip
    assert len(frame) == 2 * 3 * 4 * 40
    array = frame.pivot(index=["seed", "context", "persona"], columns="item", values="answer")
    for (s, seed), (c, theme), (p, persona) in itertools.product(
        enumerate((4, 9)), enumerate(THEMES), enumerate(PERSONAS)
    ):
        assert array.loc[(seed, theme, persona)].tolist() == answers[s, c, p].tolist()
    assert set(zip(frame["context"], frame["seed"], frame["permute_options_seed"])) == {
        (theme, seed, f"{seed}_{c}") for c, theme in enumerate(THEMES) for seed in (4, 9)
    }
    assert (frame["model"] == "m").all() and (frame["n_messages"] == 3).all()
    assert (frame["persona_description"] == frame["persona"] + ", somebody.").all()
    assert cautions(frame) == []


def test_straight_into_the_report(study):
    folder, answers = study
    report = stability_report(read_authors_results(folder))
    scores = [value_scores(of_seed, KEY, ITEMS) for of_seed in answers]
    overall = [rank_order_stability(of_seed).overall for of_seed in scores]
    assert report["per_seed"] == pytest.approx(dict(zip(("4", "9"), overall)))
    ipsative = np.mean([ipsative_stability(of_seed).overall for of_seed in scores])
    assert report["ipsative"] == pytest.approx(ipsative)
    assert (report["n_contexts"], report["n_personas"], report["n_seeds"]) == (3, 4, 2)


def test_order_of_personas_in_a_file_does_not_matter(tmp_path):
    answers = codes(2, 4)
    write(tmp_path, content(answers[0], "joke", "1_0"), "a")
    write(tmp_path, content(answers[1][::-1], "poem", "1_1", personas=PERSONAS[::-1]), "b")
    report = stability_report(read_authors_results(tmp_path))
    expected = rank_order_stability(value_scores(answers, KEY, ITEMS)).overall
    assert report["rank_order"] == pytest.approx(expected)


def test_missing_answers_stay_missing(tmp_path):
    record = content(codes(4))
    record["answers"][1]["pvq_auto"][4] = None
    record["answers"][2]["pvq_auto"][39] = [None, None]
    write(tmp_path, record)
    frame = read_authors_results(tmp_path)
    missing = frame[frame["answer"].isna()]
    assert missing[["persona", "item"]].values.tolist() == [["Sam", 5], ["Gollum", 40]]
    assert len(frame) == 160


@pytest.mark.parametrize(
    "population",
    [[{"name": "CHATBOT", "description": None, "gender": "M"}] * 3, [None] * 3],
    ids=["descriptions are null", "participants are null"],
)
def test_without_personas(tmp_path, population):
    for i, theme in enumerate(("joke", "poem")):
        record = content(codes(3, seed=i), theme, f"0_{i}")
        write(tmp_path, record | {"simulated_population": population}, theme)
    frame = read_authors_results(tmp_path)
    assert frame["persona"].unique().tolist() == ["permutation_01", "permutation_02", "permutation_03"]
    assert (frame["persona_description"] == "").all()
    assert len(cautions(frame)) == 1 and "without personas" in cautions(frame)[0]


def test_bare_names_of_earlier_versions(tmp_path):
    write(tmp_path, content(codes(4)) | {"simulated_population": list(PERSONAS)})
    assert read_authors_results(tmp_path)["persona"].unique().tolist() == list(PERSONAS)


def test_no_conversation(tmp_path):
    write(tmp_path, content(codes(4), None, "0_5"), "none")
    write(tmp_path, content(codes(4), "joke", "0_1", n_messages=7), "joke")
    frame = read_authors_results(tmp_path)
    pairs = set(zip(frame["context"], frame["n_messages"]))
    assert pairs == {("no_conversation", 0), ("joke", 7)}


def test_backups_are_passed_over(study):
    folder, _ = study
    (folder / "results_old.json.backup").write_text("no JSON")
    assert len(read_authors_results(folder)) == 960


@pytest.mark.parametrize(
    ("texts", "seeds"),
    [
        ({"joke": ["3_0"], "poem": ["3_1"]}, {3}),
        ({"joke": ["12_0", "4_0"], "poem": ["12_7", "4_7"]}, {4, 12}),  # not 120: the underscore divides
        ({"joke": ["0"], "poem": ["1"]}, {0}),  # the number of the context alone
        ({"joke": ["testing_seed"], "poem": ["testing_seed"]}, {0}),
        ({"joke": ["chunk_a"], "poem": ["chunk_b"]}, {0}),
        ({"joke": ["1", "2"], "poem": ["1", "2"]}, {1, 2}),
        ({"joke": [7], "poem": [7]}, {0}),
        ({"joke": [None], "poem": [None]}, {0}),
    ],
)
def test_seeds(tmp_path, texts, seeds):
    for theme, of_theme in texts.items():
        for i, text in enumerate(of_theme):
            write(tmp_path, content(codes(4), theme, text), theme, str(i))
    frame = read_authors_results(tmp_path)
    assert set(frame["seed"]) == seeds
    stability_report(frame)


@pytest.mark.parametrize(
    "texts",
    [{"joke": ["a", "b"], "poem": ["a", "b"]}, {"joke": ["1_0"], "poem": ["1"]}, {"joke": ["_1", "1_"]}],
)
def test_seeds_that_cannot_be_told(tmp_path, texts):
    for theme, of_theme in texts.items():
        for i, text in enumerate(of_theme):
            write(tmp_path, content(codes(4), theme, text), theme, str(i))
    with pytest.raises(ValuestabError, match=r"results.json has the permute_options_seed .* cannot be told"):
        read_authors_results(tmp_path)


def test_same_option_orders_in_all_contexts_are_said(tmp_path):
    for theme in THEMES:
        write(tmp_path, content(codes(4), theme, "0_0"), theme)
    [sentence] = cautions(read_authors_results(tmp_path))
    assert sentence.startswith("All contexts of seed 0 had the same option orders (0_0)")
    write(tmp_path, content(codes(4), "chess", "0_1"), "chess")
    assert cautions(read_authors_results(tmp_path))[0].startswith("Some contexts of seed 0")


# --- what is refused


def spoiled(change):
    record = content(codes(4))
    change(record)
    return record


def set_answer(answer):
    return lambda r: r["answers"][1]["pvq_auto"].__setitem__(6, answer)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ("{", "is not valid JSON"),
        ("[" * 100_000, "is not valid JSON"),
        ("[]", "is no JSON object"),
        *[
            (spoiled(lambda r, name=name: r.pop(name)), f"has no field '{name}'")
            for name in ("args", "simulated_population", "answers", "per_simulated_participant_metrics")
        ],
        *[
            (spoiled(lambda r, name=name: r["args"].pop(name)), f"has no field '{name}'")
            for name in (
                "engine", "simulated_conversation_theme", "simulated_conversation_n_messages",
                "permute_options_seed",
            )
        ],
        (spoiled(lambda r: r["args"].update(engine=None)), "has None in the field 'engine'"),
        (spoiled(lambda r: r["args"].update(simulated_conversation_theme=3)), "has 3 in the field"),
        (spoiled(lambda r: r["args"].update(simulated_conversation_n_messages="3")), "has '3' messages"),
        (spoiled(lambda r: r["args"].update(permute_options_seed=[1])), r"permute_options_seed \[1\]"),
        (spoiled(lambda r: r["answers"].pop()), "has 4 participants in .* and 3 in answers"),
        (spoiled(lambda r: r["per_simulated_participant_metrics"].pop()), "and 3 in per_simulated"),
        (spoiled(lambda r: r["simulated_population"].pop()), "has 3 participants in .* and 4"),
        (spoiled(lambda r: r.update(answers=[])), "no list of participants in the field 'answers'"),
        (spoiled(lambda r: r["simulated_population"][0].update(name="Sam")), "has the persona 'Sam' twice"),
        (spoiled(lambda r: r["simulated_population"][0].pop("name")), "has no field 'name'"),
        (spoiled(lambda r: r["simulated_population"][0].update(description="")), "with and without"),
        (spoiled(lambda r: r["answers"][1].pop("pvq_auto")), "no field 'pvq_auto'"),
        (spoiled(lambda r: r["answers"][1]["pvq_auto"].pop()), "has 39 answers of 'Sam', but"),
        *[
            (spoiled(set_answer(answer)), "of 'Sam' to item 7: it must be a letter and")
            for answer in (["A", 0], ["A", 7], ["A", "3"], ["A", True], ["A", 2.5], ["A"], "A", -100)
        ],
    ],
)  # fmt: skip
def test_refused_files(tmp_path, record, message):
    file = write(tmp_path, record)
    with pytest.raises(ValuestabError, match=message) as caught:
        read_authors_results(tmp_path)
    assert str(file) in str(caught.value)


def test_answers_must_give_the_files_own_metrics(tmp_path):
    record = content(codes(4))
    metrics = record["per_simulated_participant_metrics"][2]["pvq_auto"]
    metrics["Power"] += 5e-7
    write(tmp_path, record)
    assert len(read_authors_results(tmp_path)) == 160
    metrics["Power"] += 1e-5
    file = write(tmp_path, record)
    with pytest.raises(ValuestabError, match="the answers of 'Gollum' give Power") as caught:
        read_authors_results(tmp_path)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("metric", [None, "3", True, float("nan")])
def test_metrics_are_numbers(tmp_path, metric):
    record = content(np.ones((4, 40), dtype=int))
    record["per_simulated_participant_metrics"][0]["pvq_auto"]["Security"] = metric
    write(tmp_path, record)
    with pytest.raises(ValuestabError, match="of 'Frodo' give Security 1, but"):
        read_authors_results(tmp_path)
    del record["per_simulated_participant_metrics"][0]["pvq_auto"]["Security"]
    write(tmp_path, record)
    with pytest.raises(ValuestabError, match="no field 'Security'"):
        read_authors_results(tmp_path)


def test_centred_metrics_are_another_files(tmp_path):
    answers = codes(4)
    record = content(answers)
    for own, metrics in zip(answers, record["per_simulated_participant_metrics"]):
        metrics["pvq_auto"] = {value: mean - own.mean() for value, mean in metrics["pvq_auto"].items()}
    write(tmp_path, record)
    with pytest.raises(ValuestabError, match="contradicts itself"):
        read_authors_results(tmp_path)


@pytest.mark.parametrize(
    ("one", "other", "message"),
    [
        ({}, {}, r"a.results.json and .*b.results.json are both m, context 'joke', seed 0"),
        ({}, {"seed": "0_7"}, "are both m, context 'joke', seed 0"),
        ({}, {"theme": "poem", "seed": "1_0"}, "No file has context 'joke' with seed 1"),
        ({}, {"theme": "poem", "personas": ("Frodo", "Sam", "Gollum", "Merry")}, "have different personas"),
        ({}, {"theme": "poem", "n_messages": 5}, r"conversations of 3 messages, .* of 5"),
        ({}, {"theme": "poem", "model": "n"}, r"results of 2 models \(m, n\): choose one"),
    ],
)
def test_files_that_do_not_belong_together(tmp_path, one, other, message):
    write(tmp_path, content(codes(4), **one), "a")
    write(tmp_path, content(codes(4), **other), "b")
    with pytest.raises(ValuestabError, match=message):
        read_authors_results(tmp_path)


def test_one_of_several_models(tmp_path):
    answers = codes(2, 4)
    for own, model in zip(answers, ("m", "n")):
        write(tmp_path, content(own, model=model), model)
    frame = read_authors_results(tmp_path, model="n")
    assert set(frame["model"]) == {"n"}
    assert frame["answer"].tolist() == answers[1].ravel().tolist()
    with pytest.raises(ValuestabError, match="Unknown model 'x'"):
        read_authors_results(tmp_path, model="x")


def test_nothing_to_read(tmp_path):
    with pytest.raises(ValuestabError, match=r"no file results.json"):
        read_authors_results(tmp_path)
    with pytest.raises(ValuestabError, match="is no folder"):
        read_authors_results(tmp_path / "elsewhere")


# --- the command


def test_command_prints_the_report(study, capsys):
    folder, _ = study
    assert main([str(folder)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert json.loads(out) == stability_report(read_authors_results(folder))


def test_command_writes_a_table_that_stability_reads(study, tmp_path_factory, capsys):
    folder, _ = study
    record = json.loads((folder / "seed_4" / "theme_joke_2024" / "results.json").read_text())
    record["answers"][0]["pvq_auto"][0] = None
    write(folder, record, "seed_4", "theme_joke_2024")
    path = tmp_path_factory.mktemp("table") / "answers.csv"
    assert main([str(folder), "--output", str(path)]) == 0
    assert str(path) in capsys.readouterr().out
    report = stability_report(read_answers(path))
    assert report == stability_report(read_authors_results(folder))
    assert report["missing_answers"] == 1


def test_command_says_cautions_beside_the_report(tmp_path, capsys):
    for theme in THEMES:
        write(tmp_path, content(codes(4), theme, "0_0"), theme)
    assert main([str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["n_contexts"] == 3
    assert err.count("\n") == 1 and "same option orders" in err


@pytest.mark.parametrize("more", [[], ["--model", "other"], ["--output", "no/such/folder/answers.csv"]])
def test_command_refuses_in_one_sentence(tmp_path, capsys, more):
    write(tmp_path, content(codes(4)))  # one context alone
    assert main([str(tmp_path), *more]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)


def test_command_as_a_module(tmp_path):
    command = [sys.executable, "-m", "valuestab_utils.authors_results", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1 and "no file results.json" in done.stderr


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="there is no sample next to the checkout")
def test_sample_of_the_authors_code():
    frame = read_authors_results(SAMPLE)
    assert frame.iloc[0].drop("persona_description").tolist() == [
        "smol",
        "grammar",
        "Gandalf",
        0,
        1,
        6,
        3,
        "0_0",
    ]
    scores = value_scores(frame["answer"].to_numpy(dtype=float)[None, None], KEY, ITEMS, centre=False)
    record = json.loads((SAMPLE / "results.json").read_text())
    metrics = record["per_simulated_participant_metrics"][0]["pvq_auto"]
    np.testing.assert_allclose(scores[0, 0], [metrics[value] for value in KEY], atol=1e-12)
