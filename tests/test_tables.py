"""Tables behind the figures, on answers made by hand."""

import numpy as np
import pandas as pd
import pytest
from fakes import tidy_answers
from scipy.stats import ttest_ind

from valuestab_utils import findings, tables
from valuestab_utils.stability import stability_report
from valuestab_utils.tasks import load_task


def test_identical_contexts_have_stability_one():
    table = tables.stability_table(tidy_answers())
    assert list(table["measure"]) == ["rank_order", "ipsative"]
    assert table["stability"].to_numpy() == pytest.approx([1, 1])
    assert list(table["unit"]) == ["seeds", "personas"]
    assert list(table["n_units"]) == [2, 4]
    assert (table["undefined"] == 0).all() and (table["letter_mass"] == 0.5).all()


def test_without_persona_there_is_ipsative_stability_alone():
    table = tables.stability_table(tidy_answers("none", seeds=(1,), n_personas=2))
    assert list(table["measure"]) == ["ipsative"]
    assert tables.per_seed_table(tidy_answers("none", seeds=(1,))).empty


def test_numbers_are_those_of_the_answers_command():
    frame = tidy_answers(topics=("joke", "chess", "poem"))
    frame.loc[frame["topic"] == "chess", "answer"] = np.roll(
        frame.loc[frame["topic"] == "chess", "answer"], 7
    )
    report = stability_report(frame.rename(columns={"topic": "context"}))
    table = tables.stability_table(frame).set_index("measure")
    assert table.loc["rank_order", "stability"] == report["rank_order"]
    assert table.loc["rank_order", "standard_error"] == pytest.approx(report["rank_order_se"])
    assert table.loc["ipsative", "stability"] == report["ipsative"]
    values = tables.per_value_table(frame).set_index("value")["stability"]
    assert values["Power"] == report["per_value"]["Power"]
    pairs = tables.context_pair_table(frame).set_index(["context", "other_context"])["stability"]
    assert pairs["joke", "chess"] == report["pairwise"]["joke"]["chess"] == pairs["chess", "joke"]


def test_undefined_correlations_are_counted_and_not_hidden():
    frame = tidy_answers(topics=("joke", "chess"), seeds=(1,))
    frame.loc[frame["topic"] == "chess", "answer"] = 3
    table = tables.stability_table(frame)
    assert table["stability"].isna().all()
    assert (table["undefined"] == table["correlations"]).all() and (table["constant"] > 0).all()
    assert findings.summary(table, "a-model")[0].count("undefined") == 1


def test_units_without_a_stability_are_not_counted_in_its_error():
    frame = tidy_answers(seeds=(1, 2, 3), n_personas=5)
    frame["answer"] = np.random.default_rng(0).integers(1, 7, len(frame))
    frame.loc[(frame["seed"] == 3) | (frame["persona"] == "p0"), "answer"] = 3
    table = tables.stability_table(frame).set_index("measure")
    assert table["n_units"].to_dict() == {"rank_order": 2, "ipsative": 4}
    assert (table["seeds"] == 3).all() and (table["personas"] == 5).all()
    of_seeds = tables.per_seed_table(frame)["stability"].dropna()
    assert table.loc["rank_order", "standard_error"] == pytest.approx(of_seeds.std() / np.sqrt(2))
    frame["answer"] = 3
    assert (tables.stability_table(frame)["n_units"] == 0).all()


def test_statistics_beyond_the_paper_stand_beside_it():
    frame = tidy_answers(n_personas=12)
    table = tables.stability_table(frame, intervals=True).set_index("measure")
    plain = tables.stability_table(frame).set_index("measure")
    pd.testing.assert_frame_equal(table[plain.columns], plain)
    rank_order = table.loc["rank_order"]
    assert rank_order["ci_low"] == rank_order["ci_high"] == 1  # identical contexts, whoever is drawn
    assert abs(rank_order["chance"]) < 0.1 and rank_order["chance_p"] < 0.01


def test_every_task_has_rows_of_its_own():
    religion = load_task("religion")
    frame = tidy_answers(n_personas=4)
    asked = frame[frame["item"].isin([item.item for item in religion.items])]
    asked = asked.assign(instrument="Religion", answer=asked["answer"].clip(upper=5))
    both = pd.concat([frame, asked])
    table = tables.stability_table(both)
    assert list(zip(table["instrument"], table["measure"])) == [
        *(("PVQ-40", "rank_order"), ("PVQ-40", "ipsative"), ("Religion", "rank_order"))
    ]
    assert list(tables.per_seed_table(both)["instrument"]) == ["PVQ-40"] * 2 + ["Religion"] * 2


def test_models_are_compared_on_their_seeds_or_permutations():
    rng = np.random.default_rng(0)
    noisy = tidy_answers(model="noisy", seeds=(1, 2, 3), n_personas=5)
    noisy["answer"] = rng.integers(1, 7, len(noisy))
    other = tidy_answers(seeds=(1, 2, 3), n_personas=5).assign(answer=rng.integers(1, 7, len(noisy)))
    frame = pd.concat([other, noisy])
    (pair,) = tables.comparison_table(frame, "fictional_characters", "rank_order").to_dict("records")
    expected = ttest_ind(*(tables.per_seed_table(one)["stability"] for one in (other, noisy)))
    assert pair["n_one"] == pair["n_other"] == 3 and pair["p"] == pytest.approx(expected.pvalue)
    assert pair["one"].startswith("a-model") and pair["other"].startswith("noisy")
    assert tables.comparison_table(frame, "none", "ipsative").empty
    (pair,) = tables.comparison_table(frame, "fictional_characters", "ipsative").to_dict("records")
    assert pair["n_one"] == 5  # personas


def test_nothing_asked_gives_empty_tables():
    nothing = pd.DataFrame()
    for function in (tables.stability_table, tables.per_seed_table, tables.per_value_table):
        assert function(nothing).empty
    assert tables.context_pair_table(nothing).empty
    assert tables.comparison_table(nothing, "none", "ipsative").empty


def test_printed_values_are_the_papers():
    printed = tables.published_values("fictional_characters", "rank_order").set_index("model")
    assert printed.loc["Mixtral-8x7B-Instruct-v0.1", ["r", "family"]].tolist() == [0.43, "Mixtral"]
    assert set(tables.published_values("none", "ipsative")["family"]) == {
        *("Mixtral", "Qwen", "Mistral", "LLaMa-2", "Phi")
    }
    donation = tables.published_values("fictional_characters", "rank_order", "Donation", "downstream")
    both = donation.set_index("model")["r"]
    assert both["Mixtral-8x7B-Instruct-v0.1-4b"] == 0.28 and both.index.is_unique  # the journal version's
    lengths = tables.published_values("fictional_characters", "rank_order", part="lengths")
    assert list(lengths["n_messages"]) == [3, 35, 43]
