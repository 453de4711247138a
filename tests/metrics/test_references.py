"""What papers print, what is known of people, and a user's own files: read whole or refused with the row."""

import itertools
import math
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
from value_runs import instrument

from valuestab_utils.errors import ValuestabError
from valuestab_utils.metrics import (
    GROUPS,
    WEIGHTINGS,
    align,
    dominant_value_shares,
    human_10,
    human_means_19,
    human_signs,
    human_value_behaviour,
    published_disparities,
    published_means_19,
    published_similarities,
    references_19,
    sign_agreement,
)
from valuestab_utils.metrics.references import theory_10, theory_19
from valuestab_utils.paths import ROOT
from valuestab_utils.prompts import REFINED_VALUES, VALUES, angles_on_circle, higher_order_of, load_questionnaire

SHARES = pd.Series(0.05, index=list(GROUPS))
SHARES[["Power", "Security", "none"]] = 0.02, 0.08, 0.5


HEADER = "instrument,behaviour,value,r,n,source\n"


def test_the_users_structure_of_the_ten_values_takes_the_place_of_the_derived_one(tmp_path):
    angles = angles_on_circle(VALUES)
    pairs = itertools.combinations(range(len(VALUES)), 2)
    rows = [f"{VALUES[i]},{VALUES[j]},{0.8 * math.cos(angles[i] - angles[j]):.6f}" for i, j in pairs]
    file = tmp_path / "ten.csv"
    file.write_text("\n".join(["value_a,value_b,r", *rows]))
    assert human_10(file).label == "human: the user's correlations (ten.csv)"
    assert human_10(file).correlations[0, 5] == pytest.approx(-0.8)
    assert "derived from ESS" in human_10(tmp_path / "none.csv").label
    file.write_text("\n".join(["value_a,value_b,r", *rows[1:]]))
    with pytest.raises(ValuestabError, match="lacks 1 pairs, the first Self-Direction and Stimulation"):
        human_10(file)


def test_rows_of_an_unknown_instrument_are_refused_and_not_passed_over(tmp_path):
    file = tmp_path / "b.csv"
    file.write_text(HEADER + "BFI2,Agreeableness,Benevolence,0.5,100,A study\n")
    with pytest.raises(ValuestabError, match="row 2.*BFI2.*BFI-2"):
        human_value_behaviour(load_questionnaire("BFI-2"), file)
    file.write_text(HEADER + "BFI-2,Agreeableness,Benevolence,0.5,100,A study\n")
    human = human_value_behaviour(load_questionnaire("BFI-2"), file)
    assert human.label == "the user's: A study" and human.n_cells == 1


@pytest.mark.skipif(not shutil.which("git") or not (ROOT / ".git").exists(), reason="not a git checkout")
def test_git_ignores_the_users_files_and_keeps_their_description():
    names = ["human_correlations_19.csv", "human_value_behaviour.csv", "README.md"]
    paths = [f"data/reference/user/{name}" for name in names]
    ignored = subprocess.run(["git", "check-ignore", *paths], cwd=ROOT, capture_output=True, text=True).stdout.split()
    assert ignored == paths[:2]


def test_references():
    human = human_10()
    np.testing.assert_array_equal(human.correlations, human.correlations.T)
    assert human.values == VALUES and human.correlations[3, 4] == 0.2482  # achievement and power
    assert 0.05 < align(theory_10().coordinates, human.coordinates).disparity < 0.2
    assert higher_order_of(REFINED_VALUES[-1]) == "Self-transcendence"
    assert theory_19().coordinates[0, 0] < 0 < theory_19().coordinates[-1, 0]  # self-direction left of universalism


def circumplex(values):
    angles = angles_on_circle(values)
    return np.cos(np.subtract.outer(angles, angles))


def test_the_users_human_structure(tmp_path):
    path = tmp_path / "human.csv"
    assert [reference.kind for reference in references_19(path)] == ["theory"]
    truth = circumplex(REFINED_VALUES).round(6)
    rows = [(REFINED_VALUES[i], REFINED_VALUES[j], truth[i, j]) for i, j in itertools.combinations(range(19), 2)]
    pairs = pd.DataFrame(rows, columns=["value_a", "value_b", "r"])
    pairs.to_csv(path, index=False)
    human = references_19(path)[1]
    np.testing.assert_array_equal(human.correlations, truth)
    assert align(theory_19().coordinates, human.coordinates).disparity == pytest.approx(0, abs=1e-6)
    bad = {
        "lacks 1 pairs, the first Self-direction-thought and Self-direction-action": pairs.iloc[1:],
        "between -1 and 1": pairs.assign(r=1.2),
        "row 173": pd.concat([pairs, pairs.iloc[[0]].assign(r=0.1)]),
    }
    for message, table in bad.items():
        table.to_csv(path, index=False)
        with pytest.raises(ValuestabError, match=message):
            references_19(path)


def test_shares_are_derived_unless_the_user_has_some(tmp_path):
    shares, label = dominant_value_shares(tmp_path / "none.csv")
    assert shares.sum() == pytest.approx(1) and shares["none"] == 0.53 and "not by the rule" in label
    assert shares["Benevolence"] == pytest.approx(13.8 / 51.72 * 0.47)
    path = tmp_path / "shares.csv"
    own = SHARES.rename("share").rename_axis("value").reset_index()
    own.to_csv(path, index=False)
    pd.testing.assert_series_equal(dominant_value_shares(path)[0], SHARES.rename("share"), check_names=False)
    for bad in (own.iloc[1:], own.assign(share=own["share"] / 2)):
        bad.to_csv(path, index=False)
        with pytest.raises(ValuestabError, match="shares of 0 or more that sum to 1"):
            dominant_value_shares(path)


def test_human_data_of_the_big_five(tmp_path):
    bfi, path = instrument(load_questionnaire("BFI-2").scales, name="BFI-2"), tmp_path / "human.csv"
    human = human_value_behaviour(bfi, path)
    assert human.n_cells == 19 and human.correlations.loc["Self-Direction", "Open-Mindedness"] == 0.52
    assert human.correlations["Negative Emotionality"].isna().all()
    assert human_value_behaviour(instrument(("Contribution",), name="Charity-game"), path) is None


def test_signs_are_compared_where_they_are_published():
    game = instrument(("Contribution",), name="Charity-game")
    signs = human_signs(game)
    assert dict(zip(signs["value"], signs["sign"])) == {
        "Universalism": 1, "Benevolence": 1, "Power": -1, "Achievement": -1, "Hedonism": -1
    }
    assert len(human_signs(instrument(load_questionnaire("BFI-2").scales, name="BFI-2"))) == 8
    ours = pd.DataFrame({"instrument": "Charity-game", "behaviour": "Contribution", "value": list(VALUES), "r": 0.2})
    found = sign_agreement(ours.assign(r=ours["r"].where(ours["value"] != "Power")), signs).set_index("value")
    assert found["reproduced"].sum() == 2 and found.loc["Power", "reproduced"] is pd.NA


def test_printed_similarities():
    table = published_similarities()
    assert len(table) == 101 and table["mean"].between(0, 1).all()
    first = table[table["table"] == 1].groupby("weighting")["mean"].mean().round(4)
    # The paper's row of averages, but for its last digits (79.40, 80.90, 81.76, 82.81, 78.81).
    np.testing.assert_allclose(first[list(WEIGHTINGS)], [0.7940, 0.8090, 0.8176, 0.8281, 0.7881], atol=2e-4)


def test_published_numbers_are_read_as_printed():
    means = published_means_19()
    assert means.groupby(["model", "population", "temperature"]).ngroups == 24
    gemma = means.query("model == 'gemma_2_9b' and population == 'names' and temperature == 0.7").set_index("acronym")
    assert gemma.loc["SDT", "mean"] == 1.91 and gemma.loc["POD", "rank"] == 19
    table = published_disparities().set_index(["model", "population", "administration", "temperature"])["disparity"]
    assert table["gemini_1.0_pro", "value_anchor", "batch", 0.0] == 0.11
    assert table["llama_3.1_70b", "names", "serial", 0.7] == 0.69
    assert human_means_19()["value"].tolist() == list(REFINED_VALUES)
