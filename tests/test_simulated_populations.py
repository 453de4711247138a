"""Populations of value-prompted runs: weights, samples, similarity to humans, tables."""

import numpy as np
import pandas as pd
import pytest
from value_runs import answers, instrument, with_probabilities

from valuestab_utils.bfi2 import DOMAINS
from valuestab_utils.dominant_values import GROUPS, dominant_value_shares
from valuestab_utils.errors import ValuestabError
from valuestab_utils.human_value_behaviour import HumanBehaviour, human_signs, human_value_behaviour
from valuestab_utils.instruments import VALUES
from valuestab_utils.population_similarity import (
    behaviour_similarity,
    population_correlations,
    sign_agreement,
    value_behaviour_correlations,
    values_similarity,
)
from valuestab_utils.prompting_tables import (
    average_behaviour,
    behaviour_similarity_table,
    values_similarity_table,
    weights_table,
)
from valuestab_utils.published_values import published_similarities
from valuestab_utils.run_scores import run_scores
from valuestab_utils.similarity_bootstrap import bootstrap_behaviour_similarity, iterated
from valuestab_utils.simulated_populations import (
    WEIGHTINGS,
    clipped,
    population_weights,
    prompt_similarities,
    sample_runs,
)
from valuestab_utils.value_circle import angles_on_circle
from valuestab_utils.value_references import human_10, references_10, theory_10

SHARES = pd.Series(0.05, index=list(GROUPS)) + pd.Series({"Power": -0.03, "Security": 0.03, "none": 0.45}).reindex(
    GROUPS, fill_value=0
)
LIKERT = tuple("123456")


def pvq():
    return instrument(VALUES, 3, name="PVQ-40", options=LIKERT, centred=True)


def prompted(seed=0, per_value=6, noise=0.8, population="value_prompts"):
    """PVQ answers of runs at their value's angle on the circle; runs without a prompt are noise."""
    rng = np.random.default_rng(seed)
    angles = angles_on_circle(VALUES)
    groups = [group for group in GROUPS for _ in range(per_value)]
    own = np.array([np.cos(angles - angles[VALUES.index(g)]) if g in VALUES else np.zeros(10) for g in groups])
    codes = np.clip(np.round(3.5 + 2 * np.tile(own, 3) + rng.normal(0, noise, (len(groups), 30))), 1, 6)
    return codes, answers(pvq(), codes, population, groups)


def test_weights_by_hand():
    similarities = dict.fromkeys(VALUES, 0.0) | {"Power": 0.6, "Security": 0.2, "Hedonism": -0.4}
    weights = {name: population_weights(name, SHARES, similarities) for name in WEIGHTINGS}
    for weight in weights.values():
        assert weight.sum() == pytest.approx(1) and (weight >= 0).all() and list(weight.index) == list(GROUPS)
    assert [round(weights[name]["Security"], 9) for name in WEIGHTINGS] == [0.1, 0.16, 0.13, 0.08, 0.25]
    assert [round(weights[name]["none"], 9) for name in WEIGHTINGS] == [0, 0, 0, 0.5, 0]
    assert clipped(similarities) == ["Hedonism"] and weights["Model-Specific"]["Hedonism"] == 0


def test_weights_without_any_likeness_are_refused():
    with pytest.raises(ValuestabError, match="none is positive"):
        population_weights("Model-Specific", SHARES, dict.fromkeys(VALUES, -0.1))
    with pytest.raises(ValuestabError, match="those of Power are undefined"):
        population_weights("Model-Specific", SHARES, dict.fromkeys(VALUES, 0.1) | {"Power": np.nan})
    with pytest.raises(ValuestabError, match="Did you mean 'H-Norm'"):
        population_weights("H-norm", SHARES)


def test_shares_are_derived_unless_the_user_has_some(tmp_path):
    shares, label = dominant_value_shares(tmp_path / "none.csv")
    assert shares.sum() == pytest.approx(1) and shares["none"] == 0.53 and "not by the rule" in label
    assert shares["Benevolence"] == pytest.approx(13.8 / 51.72 * 0.47)
    path = tmp_path / "shares.csv"
    own = SHARES.rename("share").rename_axis("value").reset_index()
    own.to_csv(path, index=False)
    pd.testing.assert_series_equal(dominant_value_shares(path)[0], SHARES.rename("share"), check_names=False)
    for bad, message in (
        (own.iloc[1:], "each of the ten values"),
        (own.assign(share=own["share"] / 2), "sum to 0.5"),
        (own.replace("Power", "Powers"), "row 6.*Did you mean 'Power'"),
        (own.assign(share=-own["share"]), "must not be negative"),
    ):
        bad.to_csv(path, index=False)
        with pytest.raises(ValuestabError, match=message):
            dominant_value_shares(path)


def test_samples_have_the_weights_and_need_runs():
    groups = ["Power"] * 3 + ["Security"] * 7 + ["none"]
    weights = pd.Series({"Power": 0.75, "Security": 0.25, "none": 0.0})
    drawn = sample_runs(np.random.default_rng(0), groups, weights, 20_000)
    shares = np.bincount(drawn, minlength=11) / 20_000
    np.testing.assert_allclose(shares, [0.25] * 3 + [0.25 / 7] * 7 + [0], atol=0.01)
    with pytest.raises(ValuestabError, match="Tradition"):
        sample_runs(np.random.default_rng(0), groups, pd.Series({"Tradition": 1.0}), 5)


def test_correlations_of_values_with_behaviour_and_their_likeness_by_hand():
    values = np.array([[1.0, 3.0], [2.0, 3.0], [3.0, 0.0]])
    behaviour = np.array([[1.0], [0.0], [2.0]])
    found = value_behaviour_correlations(values, behaviour)
    np.testing.assert_allclose(found, [[0.5], [-np.sqrt(3) / 2]])
    human = np.array([[0.3, 0.1, np.nan], [-0.2, np.nan, 0.0]])
    ours = np.array([[0.4, 0.2, 9.0], [-0.1, np.nan, 0.1]])
    assert behaviour_similarity(ours, human) == pytest.approx(1)
    with pytest.raises(ValuestabError, match="1 of 4 value-behaviour"):
        behaviour_similarity(np.where(ours == 0.2, np.nan, ours), human)
    with pytest.raises(ValuestabError, match="2 correlations are known"):
        behaviour_similarity(ours[:1], human[:1])


def test_a_circular_population_is_like_the_theory():
    angles, where = angles_on_circle(VALUES), np.linspace(0, 2 * np.pi, 50, endpoint=False)
    even = np.column_stack([np.cos(angles), np.sin(angles)])
    assert values_similarity(np.cos(where[:, None] - angles), even) == pytest.approx(1)
    assert 0.8 < values_similarity(np.cos(where[:, None] - angles), theory_10().coordinates) < 1


def test_iterations_are_summed_up_and_undefined_ones_counted():
    numbers = iter([0.1, 0.2, 0.3, None, 0.4])

    def statistic(rng):
        number = next(numbers)
        if number is None:
            raise ValuestabError("no number")
        return number

    found = iterated(statistic, 5, 10, 0, 2)
    assert found.mean == pytest.approx(0.25) and found.sd == pytest.approx(np.std([0.1, 0.2, 0.3, 0.4], ddof=1))
    assert found.t == pytest.approx(0.25 / (found.sd / 2)) and found.n_undefined == 1 and found.reason == "no number"

    def nothing(rng):
        raise ValuestabError("nothing varies")

    none = iterated(nothing, 3, 10, 0, 0)
    assert np.isnan(none.mean) and none.n_undefined == 3 and none.reason == "nothing varies"


def test_prompts_are_weighed_by_the_structure_within_their_runs():
    runs = run_scores(prompted(per_value=12, noise=1.5)[1], pvq())
    found = prompt_similarities(runs, human_10().correlations, 0.0)
    assert list(found) == list(VALUES) and all(-1 <= similarity <= 1 for similarity in found.values())
    of_power = runs.take((runs.runs["group"] == "Power").to_numpy())
    with pytest.raises(ValuestabError, match="No run has the value prompt Self-Direction"):
        prompt_similarities(of_power, human_10().correlations, 0.0)


def test_answers_are_drawn_anew_for_each_sampled_run():
    of = instrument(VALUES, 1, name="PVQ-40", options=("no", "yes"))
    frame = answers(of, np.ones((11, 10)), groups=list(GROUPS))
    runs = run_scores(with_probabilities(frame, np.full((110, 2), 0.5), (1, 2)), of)
    game = instrument(("Contribution",), name="Charity-game", options=("no", "yes"))
    frame = answers(game, np.ones((11, 1)), groups=list(GROUPS))
    behaviour = run_scores(with_probabilities(frame, np.full((11, 2), 0.5), (1, 2)), game)
    known = pd.DataFrame({"Contribution": np.linspace(-0.4, 0.4, 10)}, index=list(VALUES))
    human = HumanBehaviour("Charity-game", known, "made up")
    weights = population_weights("Uniform", SHARES)
    drawn = bootstrap_behaviour_similarity(runs, behaviour, weights, human, 1.0, n_iterations=40)
    assert drawn.n_undefined == 0 and abs(drawn.mean) < 0.25  # pure noise is like nobody
    likeliest = bootstrap_behaviour_similarity(runs, behaviour, weights, human, 0.0, n_iterations=4)
    assert likeliest.n_undefined == 4 and "the same in all of them" in likeliest.reason


def test_human_data_of_the_big_five_and_of_the_users_file(tmp_path):
    bfi, path = instrument(DOMAINS, name="BFI-2"), tmp_path / "human.csv"
    human = human_value_behaviour(bfi, path)
    assert human.n_cells == 19 and human.correlations.loc["Self-Direction", "Open-Mindedness"] == 0.52
    assert human.correlations["Negative Emotionality"].isna().all()
    game = instrument(("Contribution",), name="Charity-game")
    assert human_value_behaviour(game, path) is None
    row = {"instrument": "Charity-game", "behaviour": "Contribution", "n": 46, "source": "them"}
    own = pd.DataFrame([row | {"value": "Power", "r": -0.3}, row | {"value": "Universalism", "r": 0.4}])
    own.to_csv(path, index=False)
    assert human_value_behaviour(game, path).n_cells == 2 and human_value_behaviour(bfi, path).n_cells == 19
    for bad, message in (
        (own.assign(r=2.0), "row 2: r = 2"), (own.assign(value="Power"), "row 3.*stand once"),
        (own.assign(behaviour="Giving"), "row 2.*'Giving'"),
    ):
        bad.to_csv(path, index=False)
        with pytest.raises(ValuestabError, match=message):
            human_value_behaviour(game, path)


def test_signs_are_compared_where_they_are_published():
    game = instrument(("Contribution",), name="Charity-game")
    signs = human_signs(game)
    assert dict(zip(signs["value"], signs["sign"])) == {
        "Universalism": 1, "Benevolence": 1, "Power": -1, "Achievement": -1, "Hedonism": -1
    }
    assert len(human_signs(instrument(DOMAINS, name="BFI-2"))) == 8
    assert human_signs(instrument(("a",), name="Prosocialness")).empty
    ours = pd.DataFrame({"instrument": "Charity-game", "behaviour": "Contribution", "value": list(VALUES), "r": 0.2})
    found = sign_agreement(ours.assign(r=ours["r"].where(ours["value"] != "Power")), signs).set_index("value")
    assert found["reproduced"].sum() == 2 and found.loc["Power", "reproduced"] is pd.NA


def test_tables_of_all_populations():
    game = instrument(("Contribution",), name="Charity-game", options=tuple("1234567"))
    codes, frame = prompted(per_value=4)
    giving = np.clip(codes[:, [9]] - codes[:, [4]] + 4, 1, 7)  # universalism gives, power keeps
    groups = [group for group in GROUPS for _ in range(4)]
    values = run_scores(frame, pvq())
    behaviour = run_scores(answers(game, giving, "value_prompts", groups), game)
    weights = weights_table(values, SHARES, human_10(), 0.0)
    assert len(weights) == 5 * 11
    own = weights[weights["weighting"] == "H-NP"]
    np.testing.assert_allclose(own["weight"], SHARES)
    table = values_similarity_table(values, weights, references_10(), 0.0, n_iterations=3, n_samples=100)
    likeness = table[(table["weighting"] == "Uniform") & (table["reference"] == "theory")].iloc[0]
    assert likeness["mean"] > 0.8 and likeness["low"] <= likeness["mean"] <= likeness["high"]

    known = pd.DataFrame({"Contribution": np.nan}, index=list(VALUES))
    known.loc[["Universalism", "Power", "Benevolence", "Achievement"], "Contribution"] = [0.5, -0.5, 0.4, -0.4]
    humans = {"Charity-game": HumanBehaviour("Charity-game", known, "made up")}
    likes = behaviour_similarity_table(values, [behaviour], weights, humans, 0.0, n_iterations=3, n_samples=100)
    assert likes.set_index("weighting").loc["Uniform", "mean"] > 0.9 and (likes["n_cells"] == 4).all()
    average = average_behaviour(likes)
    assert (average["priming"] == "Priming only").all() and (average["n_instruments"] <= 1).all()
    none = behaviour_similarity_table(values, [behaviour], weights, {"Charity-game": None}, 0.0)
    assert none["mean"].isna().all() and none["reason"].str.contains("human_value_behaviour.csv").all()
    assert np.isnan(average_behaviour(none)["mean"]).all()

    r = population_correlations(values, behaviour, population_weights("Uniform", SHARES), 0.0, n_samples=500)
    assert r.set_index("value").loc["Universalism", "r"] > 0.5


def test_each_column_of_the_paper_counts_once_in_the_average():
    similarities = {"Charity-game": 0.8, "BFI-2": 0.2, "Charity-choice": 0.4, "Prosocialness": 0.3, "Other": np.nan}
    table = pd.DataFrame({"instrument": list(similarities), "mean": list(similarities.values())})
    table = table.assign(model="m", format="chat", population="value_prompts", weighting="H-NP")
    (row,) = average_behaviour(table).itertuples()
    assert (row.mean, row.n_instruments) == (pytest.approx((0.6 + 0.2 + 0.3) / 3), 3)
    assert row.instruments == "Charity-game and Charity-choice, BFI-2, Prosocialness"
    (row,) = average_behaviour(table[table["instrument"] != "Charity-game"]).itertuples()
    assert (row.mean, row.n_instruments) == (pytest.approx((0.4 + 0.2 + 0.3) / 3), 3)
    (row,) = average_behaviour(table[table["instrument"] == "Other"]).itertuples()
    assert np.isnan(row.mean) and (row.n_instruments, row.instruments) == (0, "")


def test_printed_similarities():
    table = published_similarities()
    assert len(table) == 101 and table["mean"].between(0, 1).all()
    first = table[table["table"] == 1].groupby("weighting")["mean"].mean().round(4)
    # The paper's row of averages, but for its last digits (79.40, 80.90, 81.76, 82.81, 78.81).
    np.testing.assert_allclose(first[list(WEIGHTINGS)], [0.7940, 0.8090, 0.8176, 0.8281, 0.7881], atol=2e-4)
