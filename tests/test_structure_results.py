"""Notebook 06's tables: a known structure is found however it is asked, and like is compared with like."""

import numpy as np
import pandas as pd
import pytest
import value_runs
from paper_studies import circumplex, plan

from valuestab_utils import structure_findings as findings
from valuestab_utils import structure_results as results
from valuestab_utils.errors import ValuestabError
from valuestab_utils.pvqrr import load_pvqrr
from valuestab_utils.value_hierarchy import human_means_19

PVQ_RR = load_pvqrr("project")
HUMAN = human_means_19().set_index("value")["mean"]
WAYS = ("letters", "batch", "serial")


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """A control with a known circle as the model, and the random one beside it: all anchors once, in all ways."""
    entry = {"population": "value_anchor", "n_personas": 20, "instruments": ["PVQ-RR"]}
    of_ways = {"part": "administrations", "administrations": ["batch", "serial"], "temperatures": [0.7]} | entry
    folder, asked = tmp_path_factory.mktemp("structure"), {"respondent": circumplex(), "paper": "structure"}
    study = plan(folder, {"part": "structure"} | entry, controls=["control-random"], **asked)
    return study.answers("structure"), plan(folder, of_ways, **asked).answers("administrations")


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
    for name, value in chosen.items():
        table = table[table[name] == value]
    return table


def no_letters(table):
    return table.assign(**{f"logprob_{letter}": np.nan for letter in "ABCDEF"})


# A known structure, end to end


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
    said = findings.summary(results.agreement(results.hierarchies(scored)), table, "control-circumplex")
    first = f"rho {rho['circumplex control', 0.0]:.2f} with people, "
    first += f"SSD to the theory's circle {ssd['circumplex control', 0.0]:.2f}"
    assert said[0].startswith(f"Value anchors: circumplex control: {first}")


def test_the_known_structure_is_found_in_every_way_of_asking(asked):
    scored = results.scored(results.on_common_runs(*asked), PVQ_RR)
    assert {(one.runs.administration, one.temperature) for one in scored} == {
        ("letters", 0.0), ("letters", 0.7), ("batch", 0.7), ("serial", 0.7)
    }  # fmt: skip
    hierarchy = results.hierarchies(scored)
    ways = results.agreement(hierarchy, WAYS).query("model == 'control-circumplex' and temperature == 0.7")
    assert sorted(ways["administration"]) == sorted(WAYS) and (ways["rho"] > 0.9).all()
    assert set(ways["label"]) == {f"circumplex control, {way}" for way in WAYS}
    table = results.structures(scored, WAYS, n_resamples=3).query("model == 'control-circumplex'")
    assert len(table) == 4 and (table["disparity"] < 0.1).all()


def test_text_that_cannot_be_parsed_is_counted_and_has_no_hierarchy(asked):
    told = frame([as_humans()] * 3)
    batch = frame([as_humans(), np.full(57, np.nan), np.full(57, np.nan)], "batch", 0.7, text="well, 1. 3")
    batch["parsed"] = batch["answer"].notna()
    none = batch.assign(answer=np.nan, parsed=False, population="names", model="control-random")
    named = {"population": "names", "model": "control-random"}
    serial = pd.concat([frame([as_humans()] * 3, "serial", 0.7, **names) for names in ({}, named)])
    parsed = results.parsed_runs(pd.concat([batch, none]))
    assert parsed[["n_runs", "n_parsed", "share_parsed"]].to_numpy().tolist() == [[3, 1, 1 / 3], [3, 0, 0]]
    assert parsed["example"].tolist() == ["well, 1. 3"] * 2
    others = pd.concat([batch, none, serial])
    scored = results.scored(results.on_common_runs(certain(told), others), PVQ_RR)
    hierarchy = results.hierarchies(scored)
    read = of(hierarchy, model="m", administration="batch")
    assert set(read["n_runs"]) == {1} and set(read["n_missing"]) == {2} and read["mean"].notna().all()
    unread = of(hierarchy, model="control-random", administration="batch")
    assert unread["mean"].isna().all() and set(unread["n_runs"]) == {0} and set(unread["n_missing"]) == {3}
    differences = of(results.differences(scored), model="control-random")
    assert len(differences) == 1 and differences[["z", "rho_first"]].isna().all(axis=None)
    assert set(of(results.differences(scored), model="m", first="batch", second="serial")["n_runs"]) == {1}
    said = findings.of_administrations(differences, parsed)
    assert said.startswith("m (chat), in one prompt at 0.7: 1 of 3 runs could be parsed.") and "0 of 3" not in said
    assert said.endswith("1 comparisons are undefined, for want of a hierarchy on one side.")
    assert results.parsed_runs(asked[1])[["n_runs", "n_parsed"]].to_numpy().tolist() == [[20, 20]]


# Which answers count


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
    told, untold = certain(frame([as_humans()])), no_letters(certain(frame([as_humans()], model="api")))
    untold.loc[untold["item"] == 5, "answer"] = np.nan  # a missing answer
    mean_of_rest = np.nanmean(untold["answer"])
    found = results.scored(pd.concat([told, untold]), PVQ_RR)
    read = [(one.runs.runs["model"].tolist(), one.temperature) for one in found]
    assert read == [(["m"], 0.0), (["m"], 0.7), (["api"], 0.0)]
    hierarchy = of(results.hierarchies(found), model="api").set_index("value")
    value = PVQ_RR.items[4].value
    others = untold[(untold["value"] == value) & untold["answer"].notna()]["answer"]
    assert hierarchy.loc[value, "mean"] == pytest.approx(others.mean() - mean_of_rest)
    # One letter lacking in one row, with the answer there, is enough: it may not be drawn.
    partly = told.copy()
    partly.loc[partly.index[3], "logprob_B"] = np.nan
    assert [one.temperature for one in results.scored(partly, PVQ_RR)] == [0.0]


def test_temperatures_and_ways_of_asking_do_not_mix():
    low, high = np.full(57, 2.0), np.array(as_humans())
    table = pd.concat([frame(low, "batch", 0.0), frame(high, "batch", 0.7), frame(7 - high, "serial", 0.7)])
    scored = results.scored(table, PVQ_RR)
    read = [(one.runs.administration, one.temperature) for one in scored]
    assert read == [("batch", 0.0), ("batch", 0.7), ("serial", 0.7)]
    hierarchy = results.hierarchies(scored)
    rho = results.agreement(hierarchy, WAYS).query("~published").set_index(["administration", "temperature"])["rho"]
    assert np.isnan(rho["batch", 0.0]) and rho["batch", 0.7] > 0.97 and rho["serial", 0.7] < -0.97
    differences = results.differences(scored)
    assert differences[["first", "second", "temperature"]].to_numpy().tolist() == [["batch", "serial", 0.7]]
    assert differences[["rho_first", "rho_second"]].iloc[0].tolist() == [rho["batch", 0.7], rho["serial", 0.7]]
    assert results.hierarchy_lines(hierarchy).empty and results.anchors(scored)[0].empty  # by letters only
    assert results.agreement(hierarchy).query("~published").empty


def test_answers_to_two_texts_of_the_questionnaire_are_refused():
    two = pd.concat([frame(as_humans()), frame(as_humans(), instrument_version="w", model="n")])
    with pytest.raises(ValuestabError, match="2 texts of the questionnaire"):
        results.scored(certain(two), PVQ_RR)


# Only the same runs are compared


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


def test_two_temperatures_are_two_ways():
    others = pd.concat([runs(3, 0, "batch", 0.0), runs(2, 1, "batch", 0.7)])
    common = results.on_common_runs(runs(4, 0, "letters"), others)
    assert named(common) == {("m", "letters"): [1, 2], ("m", "batch"): [1, 2]}


def test_runs_of_other_seeds_are_other_runs():
    others = pd.concat([runs(2, 0, "batch", 0.7), runs(2, 0, "serial", 0.7, seed=2)])
    assert results.on_common_runs(runs(2, 0, "letters"), others).empty


def test_without_letters_the_other_ways_are_still_cut_to_common_runs():
    others = pd.concat([runs(3, 0, "batch", 0.7), runs(3, 1, "serial", 0.7)])
    common = results.on_common_runs(pd.DataFrame(), others)
    assert named(common) == {("m", "batch"): [1, 2], ("m", "serial"): [1, 2]}


def test_letters_that_stand_in_both_parts_count_once():
    others = pd.concat([runs(2, 0, "letters"), runs(2, 0, "batch", 0.7)])
    assert len(results.on_common_runs(runs(3, 0, "letters"), others)) == 57 * 4


# Printed numbers stay the paper's


def test_printed_rows_are_marked_and_never_told_as_this_runs():
    mine = certain(frame([as_humans(), as_humans()], model="gpt_4_0314"))
    hierarchy = results.hierarchies(results.scored(mine, PVQ_RR))
    agreement = results.agreement(hierarchy)
    own, printed = agreement[~agreement["published"]], agreement[agreement["published"]]
    assert set(own["label"]) == {"gpt_4_0314 (chat)"} and len(own) == 2
    assert set(printed["population"]) == {"value_anchor"} and "GPT-4-0314" in set(printed["label"])
    assert findings.of_agreement(printed) == findings.NOTHING
    assert "GPT-4-0314" not in findings.of_agreement(agreement) and "Gemma" not in findings.of_agreement(agreement)
    lines = results.hierarchy_lines(hierarchy)
    assert lines["kind"].value_counts()[["human", "run"]].tolist() == [19, 19]
    assert set(of(lines, kind="run")["label"]) == {"gpt_4_0314 (chat)"}
    said = findings.of_lines(lines)
    assert said.startswith("gpt_4_0314 (chat) puts ") and said.count(" puts ") == 1
    no_maps = pd.DataFrame(columns=["label", "population", "temperature", "published", "disparity"])
    (said,) = findings.summary(agreement, no_maps, "gpt_4_0314")
    assert said.count("rho") == 1 and said.endswith("SSD undefined.")


def test_printed_distances_stand_beside_the_conditions_and_ways_that_were_run():
    rng = np.random.default_rng(1)
    table = certain(frame(rng.integers(1, 7, (6, 57)), population="names"))
    scored = results.scored(table, PVQ_RR)
    found = results.structures(scored, n_resamples=2)
    printed = found[found["published"]]
    assert set(printed["reference"]) == {"human"} and set(printed["population"]) == {"names"}
    assert set(printed["administration"]) == {"batch"}
    assert set(found[~found["published"]]["reference"]) == {"theory"}
    said = findings.of_structures(found)
    assert "cannot be compared with distances from the circle" in said and "Gemini" not in said


# Where there is nothing


def test_an_empty_part_gives_empty_tables_and_says_so():
    nothing = pd.DataFrame()
    scored = results.scored(nothing, PVQ_RR)
    hierarchy = results.hierarchies(scored)
    common = results.on_common_runs(certain(frame([as_humans()])), nothing)
    tables = [results.agreement(hierarchy), results.hierarchy_lines(hierarchy), results.differences(scored)]
    tables += [hierarchy, results.structures(scored), results.maps(scored, nothing, "m"), common]
    tables += [results.parsed_runs(nothing)]
    assert scored == [] and all(table.empty for table in [*tables, *results.anchors(scored)])
    for sentence in (findings.of_agreement, findings.of_lines, findings.of_structures, findings.of_anchors):
        assert sentence(nothing) == findings.NOTHING
    assert findings.of_administrations(nothing, nothing) == findings.NOTHING
    assert findings.of_maps(nothing).startswith("No map is defined")


def test_values_that_do_not_vary_have_no_map_and_the_reason_is_told():
    scored = results.scored(certain(frame([as_humans()] * 4)), PVQ_RR)
    table = results.structures(scored, n_resamples=2)
    own = table[~table["published"]]
    assert own["disparity"].isna().all() and (own["reason"] != "").all()
    points = results.maps(scored, table, "m")
    assert points["x"].isna().all() and points["disparity"].isna().all()
    assert "no structure defined; undefined in 2 of 2" in findings.of_structures(table)
    assert findings.of_maps(points).startswith("No map is defined")
    assert results.anchors(results.scored(certain(frame([as_humans()], population="names")), PVQ_RR))[0].empty


def test_sentences_say_what_the_tables_hold():
    fits = pd.DataFrame([
        {"label": "a", "amplitude": 1.5, "peak": 0.04, "r_squared": 0.98, "n_anchors": 19},
        {"label": "b", "amplitude": 0.2, "peak": -3.0, "r_squared": 0.5, "n_anchors": 4},
        {"label": "c", "amplitude": np.nan, "peak": np.nan, "r_squared": np.nan, "n_anchors": 0},
    ])  # fmt: skip
    said = findings.of_anchors(fits)
    assert "a: amplitude 1.50 points, highest +0.0 places from the anchor, R² 0.98." in said
    assert "R² 0.50, 4 of 19 values anchored." in said and said.endswith("c: no curve could be fitted.")
    rows = [(0.31, 0.2, "names", 0.0), (0.92, 0.001, "value_anchor", 0.7), (np.nan, np.nan, "basic", 0.0)]
    columns = ["rho", "p_value", "population", "temperature"]
    table = pd.DataFrame(rows, columns=columns).assign(label="m", published=False)
    said = findings.of_agreement(table)
    assert said.startswith("m: rho 0.31 (") and " to 0.92 (" in said and said.endswith("p < 0.05 in 1 of 2.")


def test_counting_is_told_from_answering():
    counts = [i % 6 + 1 for i in range(57)]
    table = pd.concat([frame(counts, "serial", 0.7), frame(np.full(57, 3.0), "batch", 0.7)])
    table.loc[table.index[0], "answer"] = np.nan  # in both: neither it nor the one after it counts
    shares = results.counting(table).set_index("administration")["share_counted"]
    assert shares["serial"] == 1 and shares["batch"] == 0
    assert results.counting(pd.DataFrame()).empty
