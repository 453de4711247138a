"""Notebook 06 where models tell no probabilities or answer all alike: nothing is dropped, sentences are true."""

import numpy as np
import pandas as pd
import pytest
from value_runs import answers, with_probabilities

from valuestab_utils import structure_findings, structure_results
from valuestab_utils.inductions import load_runs
from valuestab_utils.pvqrr import load_pvqrr

PVQRR = load_pvqrr("project")
N_ITEMS = len(PVQRR.items)


def anchored(codes, model, tells_probabilities=True):
    """Answers of the first runs with value anchors; all probability is on them."""
    codes = np.asarray(codes, dtype=float)
    runs = load_runs("value_anchor", len(codes))
    of = answers(
        PVQRR, codes, "value_anchor", [run.group for run in runs], model=model, instrument_version="v",
        administration="letters", temperature=np.nan,
    )
    frame = with_probabilities(of, np.eye(6)[codes.ravel().astype(int) - 1], range(1, 7))
    if not tells_probabilities:
        frame["logprob_F"] = np.nan
    return frame


@pytest.fixture(scope="module")
def random_codes():
    return np.random.default_rng(1).integers(1, 7, (20, N_ITEMS))


def test_anchor_curves_of_models_without_probabilities_stand_beside_those_with_them(random_codes):
    frames = [anchored(random_codes, "tells"), anchored(random_codes, "does-not", tells_probabilities=False)]
    curves, fits = structure_results.anchors(structure_results.scored(pd.concat(frames), PVQRR))
    assert fits["model"].tolist() == ["tells", "does-not"] and curves["model"].nunique() == 2
    assert fits["amplitude"].nunique() == 1  # the same answers


def test_a_model_that_answers_all_alike_puts_no_value_first():
    hierarchy = structure_results.hierarchies(structure_results.scored(anchored(np.full((3, N_ITEMS), 4), "m"), PVQRR))
    told = structure_findings.of_lines(structure_results.hierarchy_lines(hierarchy))
    assert told == "m (chat) puts all values alike. People put BEC first and POD last."


def test_values_that_share_the_first_place_are_all_named():
    lines = pd.DataFrame({
        "label": "m", "kind": ["run"] * 3 + ["human"] * 3, "acronym": ["AC", "HE", "ST"] * 2,
        "mean": [1.0, 1.0, -2.0, 2.0, 1.0, 0.0], "human_rank": [1, 2, 3] * 2,
    })
    assert structure_findings.of_lines(lines) == "m puts AC, HE first and ST last. People put AC first and ST last."


def test_the_summary_is_of_the_tested_model_and_names_what_distances_are_to(random_codes):
    frame = pd.concat([anchored(random_codes, "m"), anchored(random_codes, "m-Instruct")])
    scored = structure_results.scored(frame, PVQRR)
    agreement = structure_results.agreement(structure_results.hierarchies(scored))
    structures = structure_results.structures(scored, n_resamples=2)
    (sentence,) = structure_findings.summary(agreement, structures, "m")
    assert "m-Instruct" not in sentence and "SSD to the theory's circle 0." in sentence
    assert structure_findings.summary(pd.DataFrame(), pd.DataFrame(), "m") == []


def test_a_distance_without_an_interval_says_so(random_codes):
    told = structure_findings.of_structures(
        structure_results.structures(structure_results.scored(anchored(random_codes[:3], "m"), PVQRR), n_resamples=20)
    )
    assert "nan" not in told and ", without an interval" in told


def test_empty_and_cut_personas_are_counted():
    rows = [("generated_persona", 0, "Create a persona", "given"), ("generated_persona", 1, " ", "eos"),
            ("generated_persona", 1, "Ann is", "length"), ("names", 1, "", "eos")]
    frame = pd.DataFrame(rows, columns=["population", "message", "content", "finish"]).assign(model="m", format="base")
    told = structure_findings.of_personas(frame)
    assert told == "m (base): of 2 personas, 1 are empty and 1 were cut off at the length limit."
    assert structure_findings.of_personas(frame.iloc[3:]) == structure_findings.NOTHING
