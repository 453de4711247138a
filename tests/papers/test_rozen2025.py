"""Notebook 06's tables: a known structure is found however it is asked, and like is compared with like."""

import numpy as np
import pandas as pd
import pytest
import value_runs
from paper_studies import circumplex, plan

from valuestab_utils.metrics import human_means_19
from valuestab_utils.papers import rozen2025 as results
from valuestab_utils.papers import sentences
from valuestab_utils.prompts import load_questionnaire, load_runs

PVQ_RR = load_questionnaire("PVQ-RR", "project")
HUMAN = human_means_19().set_index("value")["mean"]


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """A control with a known circle as the model, and the random one beside it: all anchors once, in all ways."""
    entry = {"population": "value_anchor", "n_personas": 20, "questionnaire": "PVQ-RR"}
    of_ways = {"name": "administrations", "way": ["batch", "serial"], "temperature": 0.7} | entry
    folder, by = tmp_path_factory.mktemp("structure"), circumplex()
    study = plan(folder, {"name": "structure"} | entry, controls=["control-random"], respondent=by)
    return study.answers("structure"), plan(folder, of_ways, respondent=by).answers("administrations")


def frame(codes, administration="letters", temperature=np.nan, population="value_anchor", **columns):
    """Answers to the PVQ-RR from codes, shape (runs, 57) or (57,)."""
    codes = np.atleast_2d(np.asarray(codes, dtype=float))
    columns = {"administration": administration, "temperature": temperature, "instrument_version": "v"} | columns
    return value_runs.answers(PVQ_RR, codes, population, **columns)


def as_humans():
    """Codes whose hierarchy is the human one: the values in the human order get 1 to 6, three or four values each."""
    order = HUMAN.rank().to_dict()
    return [np.ceil(order[item.value] * 6 / 19) for item in PVQ_RR.items]


def certain(table, order=(3, 1, 6, 2, 5, 4)):
    """The answers with probabilities of the letters: nearly all of it is on the letter of the answer's option."""
    likely = np.full((len(table), 6), 1e-9)
    likely[np.arange(len(table)), table["answer"].astype(int) - 1] = 1
    return value_runs.with_probabilities(table, likely, order)


def of(table, **chosen):
    return table[(table[list(chosen)] == chosen).all(axis=1)]


def test_the_known_structure_is_found_by_letters_and_none_in_noise(asked):
    scored = results.scored(asked[0], PVQ_RR)
    rho = results.agreement(results.hierarchies(scored)).query("~published").set_index(["label", "temperature"])["rho"]
    table = results.structures(scored, n_resamples=3)
    ssd = table.query("~published").set_index(["label", "temperature"])["disparity"]
    for t in (0.0, 0.7):
        assert rho["circumplex control", t] > 0.9 and abs(rho["random control", t]) < 0.5
        assert ssd["circumplex control", t] < 0.1 and ssd["random control", t] > 0.5
    curves, fits = results.anchors(scored)
    fits = fits.set_index("label")
    assert fits["n_anchors"].tolist() == [19, 19]
    assert fits.loc["circumplex control", ["amplitude", "peak"]].tolist() == pytest.approx([1.5, 0], abs=0.2)
    assert curves.query("model == 'control-circumplex'").set_index("distance")["mean"].idxmax() == 0
    assert fits.loc["random control", "amplitude"] < 0.3
    points = results.maps(scored, table, "control-circumplex")
    assert len(points) == 19
    assert np.abs(points[["x", "y"]].to_numpy() - points[["reference_x", "reference_y"]].to_numpy()).max() < 0.1


def test_the_known_structure_is_found_in_every_way_of_asking(asked):
    scored = results.scored(results.on_common_runs(*asked), PVQ_RR)
    ways = results.agreement(results.hierarchies(scored)).query("model == 'control-circumplex'")
    assert set(zip(ways["administration"], ways["temperature"])) == {
        ("letters", 0.0), ("letters", 0.7), ("batch", 0.7), ("serial", 0.7)
    }  # fmt: skip
    assert (ways["rho"] > 0.9).all()
    table = results.structures(scored, n_resamples=3).query("model == 'control-circumplex'")
    assert len(table) == 4 and (table["disparity"] < 0.1).all()


def test_text_that_cannot_be_parsed_is_counted_and_has_no_hierarchy():
    batch = frame([as_humans(), np.full(57, np.nan), np.full(57, np.nan)], "batch", 0.7, text="well, 1. 3")
    batch["parsed"] = batch["answer"].notna()
    none = batch.assign(answer=np.nan, parsed=False, model="n")
    serial = pd.concat([frame([as_humans()] * 3, "serial", 0.7, model=model) for model in "mn"])
    parsed = results.parsed_runs(pd.concat([batch, none]))
    assert parsed[["n_runs", "n_parsed", "share_parsed"]].to_numpy().tolist() == [[3, 1, 1 / 3], [3, 0, 0]]
    scored = results.scored(pd.concat([batch, none, serial]), PVQ_RR)
    hierarchy = results.hierarchies(scored)
    read, unread = (of(hierarchy, model=model, administration="batch") for model in "mn")
    assert set(read["n_runs"]) == {1} and set(read["n_missing"]) == {2} and read["mean"].notna().all()
    assert set(unread["n_runs"]) == {0} and set(unread["n_missing"]) == {3} and unread["mean"].isna().all()
    differences = results.differences(scored)
    assert set(of(differences, model="m")["n_runs"]) == {1} and of(differences, model="n")["z"].isna().all()


def test_means_and_agreement_by_hand_whichever_letters_the_options_stood_at():
    table = certain(frame([as_humans(), as_humans()]))
    hierarchy = results.hierarchies(results.scored(table, PVQ_RR))
    assert set(hierarchy["temperature"]) == {0.0, 0.7}
    codes = pd.Series(as_humans()).groupby([item.value for item in PVQ_RR.items]).first()
    found = of(hierarchy, temperature=0.7).set_index("value")["mean"]
    assert found.to_dict() == pytest.approx((codes - np.mean(as_humans())).to_dict())
    assert (results.agreement(hierarchy).query("~published")["rho"] > 0.97).all()
    turned = frame([7 - np.array(as_humans())] * 2)
    hierarchy = results.hierarchies(results.scored(certain(turned), PVQ_RR))
    assert (results.agreement(hierarchy).query("~published")["rho"] < -0.97).all()


def test_a_model_that_tells_few_letters_is_read_at_0_only_and_others_at_both():
    told, untold = certain(frame([as_humans()])), certain(frame([as_humans()], model="api"))
    untold.loc[:, [f"logprob_{letter}" for letter in "ABCDEF"]] = np.nan
    untold.loc[untold["item"] == 5, "answer"] = np.nan  # a missing answer
    found = results.scored(pd.concat([told, untold]), PVQ_RR)
    read = [(one.runs.runs["model"].tolist(), one.temperature) for one in found]
    assert read == [(["m"], 0.0), (["m"], 0.7), (["api"], 0.0)]
    hierarchy = of(results.hierarchies(found), model="api").set_index("value")["mean"]
    others = untold[(untold["value"] == PVQ_RR.items[4].value) & untold["answer"].notna()]["answer"]
    assert hierarchy[PVQ_RR.items[4].value] == pytest.approx(others.mean() - np.nanmean(untold["answer"]))
    # One letter lacking in one row, with the answer there, is enough: it may not be drawn.
    partly = told.copy()
    partly.loc[partly.index[3], "logprob_B"] = np.nan
    assert [one.temperature for one in results.scored(partly, PVQ_RR)] == [0.0]


def test_temperatures_and_ways_of_asking_do_not_mix():
    low, high = np.full(57, 2.0), np.array(as_humans())
    table = pd.concat([frame(low, "batch", 0.0), frame(high, "batch", 0.7), frame(7 - high, "serial", 0.7)])
    scored = results.scored(table, PVQ_RR)
    hierarchy = results.hierarchies(scored)
    rho = results.agreement(hierarchy).query("~published").set_index(["administration", "temperature"])["rho"]
    assert np.isnan(rho["batch", 0.0]) and rho["batch", 0.7] > 0.97 and rho["serial", 0.7] < -0.97
    differences = results.differences(scored)
    assert differences[["first", "second", "temperature"]].to_numpy().tolist() == [["batch", "serial", 0.7]]
    assert differences[["rho_first", "rho_second"]].iloc[0].tolist() == [rho["batch", 0.7], rho["serial", 0.7]]
    assert results.hierarchy_lines(hierarchy).empty and results.anchors(scored)[0].empty  # by letters only


def runs(n, first, administration, temperature=np.nan, **columns):
    return frame(np.full((n, 57), 3.0), administration, temperature, first_run=first, **columns)


def named(table):
    keys = ["model", "administration"]
    return {key: sorted({int(p[-3:]) for p in of["persona"]}) for key, of in table.groupby(keys, sort=False)}


def test_ways_of_asking_are_compared_on_the_runs_that_all_have():
    conditions = [{}, {"model": "n"}, {"population": "names"}]
    letters = pd.concat([runs(4, 0, "letters", **condition) for condition in conditions])
    others = [runs(3, 1, "batch", 0.7), runs(4, 2, "serial", 0.7), runs(2, 0, "batch", 0.7, model="n")]
    common = results.on_common_runs(letters, pd.concat(others))
    assert named(common) == {
        ("m", "letters"): [2, 3], ("m", "batch"): [2, 3], ("m", "serial"): [2, 3],
        ("n", "letters"): [0, 1], ("n", "batch"): [0, 1],
    }  # fmt: skip
    assert set(common["population"]) == {"value_anchor"}
    assert len(common) == 57 * 10


@pytest.mark.parametrize(
    "n_by_letters, others, expected",
    [
        (4, [("batch", 3, 0, {"temperature": 0.0}), ("batch", 2, 1, {})], {"letters": [1, 2], "batch": [1, 2]}),
        (2, [("batch", 2, 0, {}), ("serial", 2, 0, {"seed": 2})], {}),
        (0, [("batch", 3, 0, {}), ("serial", 3, 1, {})], {"batch": [1, 2], "serial": [1, 2]}),
        (3, [("letters", 2, 0, {"temperature": np.nan}), ("batch", 2, 0, {})], {"letters": [0, 1], "batch": [0, 1]}),
    ],
    ids=["two temperatures are two ways", "other seeds are other runs", "without letters", "letters in both parts"],
)
def test_only_runs_of_every_way_and_seed_are_compared(n_by_letters, others, expected):
    letters = runs(n_by_letters, 0, "letters") if n_by_letters else runs(1, 0, "letters")[:0]
    asked = [runs(n, first, way, **{"temperature": 0.7} | columns) for way, n, first, columns in others]
    common = results.on_common_runs(letters, pd.concat(asked))
    assert common.empty or not common.duplicated(["persona", "administration", "temperature", "item"]).any()
    assert ({} if common.empty else named(common)) == {("m", way): found for way, found in expected.items()}


def test_printed_rows_are_marked_and_never_told_as_this_runs():
    mine = certain(frame([as_humans(), as_humans()], model="gpt_4_0314"))
    hierarchy = results.hierarchies(results.scored(mine, PVQ_RR))
    agreement = results.agreement(hierarchy)
    own, printed = agreement[~agreement["published"]], agreement[agreement["published"]]
    assert set(own["label"]) == {"gpt_4_0314 (chat)"} and len(own) == 2
    assert set(printed["population"]) == {"value_anchor"} and "GPT-4-0314" in set(printed["label"])
    said = sentences.of_hierarchies(agreement)
    assert "GPT-4-0314" not in said and "Gemma" not in said


def test_counting_is_told_from_answering():
    counts = [i % 6 + 1 for i in range(57)]
    table = pd.concat([frame(counts, "serial", 0.7), frame(np.full(57, 3.0), "batch", 0.7)])
    table.loc[table.index[0], "answer"] = np.nan  # in both: neither it nor the one after it counts
    shares = results.counting(table).set_index("administration")["share_counted"]
    assert shares["serial"] == 1 and shares["batch"] == 0


def anchored(codes, model):
    """Answers of the first runs with value anchors; all probability is on them."""
    codes = np.asarray(codes, dtype=float)
    runs = load_runs("value_anchor", len(codes))
    of = value_runs.answers(
        PVQ_RR, codes, "value_anchor", [run.group for run in runs], model=model, instrument_version="v",
        administration="letters", temperature=np.nan,
    )
    return value_runs.with_probabilities(of, np.eye(6)[codes.ravel().astype(int) - 1], range(1, 7))


def test_anchor_curves_of_models_without_probabilities_stand_beside_those_with_them():
    random_codes = np.random.default_rng(1).integers(1, 7, (20, 57))
    frames = [anchored(random_codes, "tells"), anchored(random_codes, "does-not").assign(logprob_F=np.nan)]
    curves, fits = results.anchors(results.scored(pd.concat(frames), PVQ_RR))
    assert fits["model"].tolist() == ["tells", "does-not"] and curves["model"].nunique() == 2
    assert fits["amplitude"].nunique() == 1  # the same answers


def test_a_model_that_answers_all_alike_puts_no_value_first():
    hierarchy = results.hierarchies(results.scored(anchored(np.full((3, 57), 4), "m"), PVQ_RR))
    told = sentences.of_lines(results.hierarchy_lines(hierarchy))
    assert told == "m (chat) puts all values alike. People put BEC first and POD last."
