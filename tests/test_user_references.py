"""Human data that a user puts into data/reference/user: read whole or refused with the row, and kept out of git."""

import itertools
import math
import shutil
import subprocess

import pandas as pd
import pytest

from valuestab_utils import plots
from valuestab_utils.bfi2 import load_bfi2
from valuestab_utils.errors import ValuestabError
from valuestab_utils.human_value_behaviour import human_value_behaviour
from valuestab_utils.instruments import VALUES
from valuestab_utils.paths import ROOT
from valuestab_utils.value_circle import angles_on_circle
from valuestab_utils.value_references import human_10

HEADER = "instrument,behaviour,value,r,n,source\n"


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def circle_of_ten():
    angles = angles_on_circle(VALUES)
    pairs = itertools.combinations(range(len(VALUES)), 2)
    return [f"{VALUES[i]},{VALUES[j]},{0.8 * math.cos(angles[i] - angles[j]):.6f}" for i, j in pairs]


def test_the_users_structure_of_the_ten_values_takes_the_place_of_the_derived_one(tmp_path):
    rows = circle_of_ten()
    file = write(tmp_path / "ten.csv", "\n".join(["value_a,value_b,r", *rows]))
    assert human_10(file).label == "human: the user's correlations (ten.csv)"
    assert human_10(file).correlations[0, 5] == pytest.approx(-0.8)
    assert "derived from ESS" in human_10(tmp_path / "none.csv").label
    write(file, "\n".join(["value_a,value_b,r", *rows[1:]]))
    with pytest.raises(ValuestabError, match="lacks 1 of 45 pairs, the first Self-Direction and Stimulation"):
        human_10(file)


def test_rows_of_an_unknown_instrument_are_refused_and_not_passed_over(tmp_path):
    file = write(tmp_path / "b.csv", HEADER + "BFI2,Agreeableness,Benevolence,0.5,100,A study\n")
    with pytest.raises(ValuestabError, match="row 2.*BFI2.*BFI-2"):
        human_value_behaviour(load_bfi2(), file)
    write(file, HEADER + "BFI-2,Agreeableness,Benevolence,0.5,100,\n")
    with pytest.raises(ValuestabError, match="row 2: the source is empty"):
        human_value_behaviour(load_bfi2(), file)
    write(file, HEADER + "BFI-2,Agreeableness,Benevolence,0.5,100,A study\n")
    assert human_value_behaviour(load_bfi2(), file).label == "the user's: A study"


@pytest.mark.skipif(not shutil.which("git") or not (ROOT / ".git").exists(), reason="not a git checkout")
def test_git_ignores_the_users_files_and_keeps_their_description():
    names = ["human_correlations_19.csv", "human_value_behaviour.csv", "README.md"]
    paths = [f"data/reference/user/{name}" for name in names]
    ignored = subprocess.run(["git", "check-ignore", *paths], cwd=ROOT, capture_output=True, text=True).stdout.split()
    assert ignored == paths[:2]


def test_figures_say_what_a_run_is_compared_with():
    place = {"label": "m", "low": 0.1, "high": 0.9, "temperature": 0.0, "administration": "letters"}
    own = {**place, "mean": 0.5, "row": "BFI-2", "human_label": "the user's: A study", "published": False}
    axes = plots.similarity_points(pd.DataFrame([own]), "A title", "similarity").axes[0]
    assert axes.get_xlabel().endswith("This run is compared with: the user's: A study")
    own |= {"condition": "basic", "disparity": 0.4, "reference": "human"}
    own |= {"reference_label": "human: the user's (x.csv)"}
    key = plots.ssd_bars(pd.DataFrame([own]).drop(columns="human_label")).legends[0]
    assert "This run is compared with: human: the user's (x.csv)" in [text.get_text() for text in key.get_texts()]
