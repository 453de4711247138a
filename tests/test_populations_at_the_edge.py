"""Notebook 07 where runs, answers or probabilities are missing: no crash, no number that is another model's."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from value_runs import answers, with_probabilities

from valuestab_utils import prompting_findings, prompting_results
from valuestab_utils.answer_draws import drawn_codes
from valuestab_utils.controls import RandomRespondent
from valuestab_utils.errors import ValuestabError
from valuestab_utils.inductions import load_runs
from valuestab_utils.instrument_names import load_instrument
from valuestab_utils.study import plan_study

PVQ, DONATIONS = load_instrument("PVQ-40", "project"), load_instrument("Donation-causes")
INSTRUMENTS = {of.name: of for of in (PVQ, DONATIONS)}


def asked(of, n_runs=11, model="m", condition="value_prompts", tells=True, format="chat"):
    """Answers of the first runs of a condition, each with probabilities of its own."""
    runs, n_options = load_runs(condition, n_runs), len(of.options)
    probabilities = np.random.default_rng(len(of.items)).dirichlet(np.ones(n_options), n_runs * len(of.items))
    codes = probabilities.argmax(1).reshape(n_runs, -1) + 1
    frame = answers(of, codes, condition, [run.group for run in runs], model=model, format=format,
                    administration="letters", temperature=np.nan)
    frame["persona"] = np.repeat([run.persona for run in runs], len(of.items))
    frame = with_probabilities(frame, probabilities, range(1, n_options + 1))
    return frame if tells else frame.assign(logprob_B=np.nan)


def put_together(**how):
    return prompting_results.prompted(pd.concat([asked(of, **how) for of in (PVQ, DONATIONS)]), INSTRUMENTS)


def test_with_too_few_runs_there_are_no_populations_and_it_says_why():
    few = put_together(n_runs=5)
    points = prompting_results.population_maps(few, "m")
    assert points["disparity"].isna().all() and "No map" in prompting_findings.of_maps(points)
    table = prompting_results.correlations_with(few, "Donation-causes", "m")
    assert table["r"].isna().all() and len(table) == 90
    assert "needs runs of Security" in prompting_findings.of_correlations(table)


def test_two_formats_of_a_model_are_two_respondents():
    frames = [asked(of, format=format) for format in ("base", "chat") for of in (PVQ, DONATIONS)]
    both = prompting_results.prompted(pd.concat(frames), INSTRUMENTS)
    panels = prompting_results.population_maps(both, "m")["panel"].unique()
    assert {"Uniform (base)", "Uniform (chat)"} <= set(panels)
    alone = prompting_results.correlations_with(put_together(format="base"), "Donation-causes", "m")
    pd.testing.assert_frame_equal(prompting_results.correlations_with(both, "Donation-causes", "m"), alone)


def test_what_was_filled_in_is_drawn_whatever_models_stand_beside():
    frames = [asked(of, model=model, tells=model == "m") for model in ("m", "service") for of in (PVQ, DONATIONS)]
    study = prompting_results.prompted(pd.concat(frames), INSTRUMENTS)
    assert study.temperature == 0 and set(study.shown.runs["model"]) == {"m"}
    first = asked(PVQ).iloc[: len(PVQ.items)]
    np.testing.assert_array_equal(study.shown.codes[0], drawn_codes(first, 0.7))
    assert (study.shown.codes[0] != first["answer"]).any()
    primed = asked(DONATIONS, condition="filled_questionnaire")
    table = prompting_results.primed_similarities(study, primed, INSTRUMENTS, "Uniform")
    assert "Test only" in set(table[~table["published"]]["priming"])


def test_tables_name_what_they_rest_on(monkeypatch):
    quickly = partial(prompting_results.values_similarity_table, n_iterations=2, n_samples=50)
    monkeypatch.setattr(prompting_results, "values_similarity_table", quickly)
    study = put_together()
    similarity = prompting_results.values_similarity(study)
    assert set(similarity[~similarity["published"]]["shares"]) == {study.shares_label}
    told = prompting_findings.of_similarities(similarity[similarity["reference"] == "human"])
    assert "Compared with: human: derived from ESS round 9" in told


def test_an_undefined_similarity_says_what_the_runs_lack_before_what_people_lack():
    table = pd.DataFrame({
        "label": "m", "row": ["Charity-game", "BFI-2"], "mean": np.nan, "published": False, "n_cells": [0, 19],
        "reason": ["No human data.", "A value does not vary."],
    })
    assert prompting_findings.of_similarities(table) == "m: undefined. A value does not vary."


def test_without_the_part_prompting_there_is_one_clear_error():
    with pytest.raises(ValuestabError, match="Without the PVQ-40 there are no values.*run the part prompting"):
        prompting_results.prompted(pd.DataFrame(), INSTRUMENTS)


def test_questionnaires_are_not_filled_in_by_a_model_that_does_not_tell_its_probabilities(monkeypatch, tmp_path):
    class Service(RandomRespondent):
        name, all_letters = "service", False

    monkeypatch.setattr("valuestab_utils.study._load", lambda model, dtype: Service())
    study = plan_study("quick", controls=[], paper="prompting", results_dir=tmp_path)
    assert not study.has("priming") and study.has("prompting")
    assert "from which filled questionnaires are drawn" in " ".join(study.left_out)
