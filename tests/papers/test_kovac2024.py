"""Tables of stability on answers made by hand, and of the experiments beside it on the controls' answers."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from fakes import tidy_answers
from scipy.stats import ttest_ind

from valuestab_utils.errors import ValuestabError
from valuestab_utils.metrics import rank_order_stability, score_answers
from valuestab_utils.models import RandomRespondent, SyntheticRespondent
from valuestab_utils.models.controls import SyntheticSettings
from valuestab_utils.papers import kovac2024
from valuestab_utils.prompts import load_population, load_questionnaire, load_topics
from valuestab_utils.study import Experiment, ask, simulate_conversations

PVQ = load_questionnaire("PVQ-40", "project")
TASKS = load_questionnaire("Religion"), load_questionnaire("Donation", n_names=2)
QUESTIONNAIRES = {of.name: of for of in (PVQ, *TASKS)}
stability_table = partial(kovac2024.stability_table, questionnaires=QUESTIONNAIRES)
per_seed_table = partial(kovac2024.per_seed_table, questionnaires=QUESTIONNAIRES)


def test_identical_contexts_have_stability_one():
    table = stability_table(tidy_answers(n_personas=12))
    assert list(table["measure"]) == ["rank_order", "ipsative"]
    assert table["stability"].to_numpy() == pytest.approx([1, 1])
    assert list(table["unit"]) == ["seeds", "personas"]
    assert list(table["n_units"]) == [2, 12]
    assert (table["undefined"] == 0).all() and (table["letter_mass"] == 0.5).all()
    rank_order = table.set_index("measure").loc["rank_order"]
    assert rank_order["ci_low"] == rank_order["ci_high"] == 1  # identical contexts, whoever is drawn
    assert abs(rank_order["chance"]) < 0.1 and rank_order["chance_p"] < 0.01


def test_without_persona_there_is_ipsative_stability_alone():
    table = stability_table(tidy_answers("none", seeds=(1,), n_personas=2))
    assert list(table["measure"]) == ["ipsative"]
    assert per_seed_table(tidy_answers("none", seeds=(1,))).empty
    nothing = stability_table(tidy_answers()[:0])
    assert nothing.empty and {"measure", "stability", "chance_p", "letter_mass"} <= set(nothing)


def test_values_and_pairs_of_contexts_have_their_own_rows():
    frame = tidy_answers(topics=("joke", "chess", "poem"))
    frame.loc[frame["topic"] == "chess", "answer"] = np.roll(frame.loc[frame["topic"] == "chess", "answer"], 7)
    scored = score_answers(frame, PVQ)
    found = rank_order_stability(scored.scores)
    values = kovac2024.per_value_table(frame, QUESTIONNAIRES).set_index("value")["stability"]
    assert values.to_dict() == dict(zip(PVQ.scales, found.each))
    pairs = kovac2024.context_pair_table(frame, QUESTIONNAIRES).set_index(["context", "other_context"])["stability"]
    assert scored.contexts == ("chess", "joke", "poem") and len(pairs) == 6
    assert pairs["joke", "chess"] == found.pairwise[1, 0] == pairs["chess", "joke"] < pairs["joke", "poem"] == 1


def test_undefined_correlations_are_counted_and_not_hidden():
    frame = tidy_answers(topics=("joke", "chess"), seeds=(1,))
    frame.loc[frame["topic"] == "chess", "answer"] = 3
    table = stability_table(frame)
    assert table["stability"].isna().all()
    assert (table["undefined"] == table["correlations"]).all() and (table["constant"] > 0).all()


def test_units_without_a_stability_are_not_counted_in_its_error():
    frame = tidy_answers(seeds=(1, 2, 3), n_personas=5)
    frame["answer"] = np.random.default_rng(0).integers(1, 7, len(frame))
    frame.loc[(frame["seed"] == 3) | (frame["persona"] == "p0"), "answer"] = 3
    table = stability_table(frame).set_index("measure")
    assert table["n_units"].to_dict() == {"rank_order": 2, "ipsative": 4}
    assert (table["seeds"] == 3).all() and (table["personas"] == 5).all()
    of_seeds = per_seed_table(frame)["stability"].dropna()
    assert table.loc["rank_order", "standard_error"] == pytest.approx(of_seeds.std() / np.sqrt(2))


def test_every_task_has_rows_of_its_own():
    frame = tidy_answers(n_personas=4)
    asked = frame[frame["item"].isin([item.item for item in QUESTIONNAIRES["Religion"].items])]
    both = pd.concat([frame, asked.assign(instrument="Religion", answer=asked["answer"].clip(upper=5))])
    table = stability_table(both)
    assert list(zip(table["instrument"], table["measure"])) == [
        ("PVQ-40", "rank_order"), ("PVQ-40", "ipsative"), ("Religion", "rank_order")
    ]  # fmt: skip
    assert list(per_seed_table(both)["instrument"]) == ["PVQ-40"] * 2 + ["Religion"] * 2


def test_models_are_compared_on_their_seeds_or_permutations():
    rng = np.random.default_rng(0)
    noisy = tidy_answers(model="noisy", seeds=(1, 2, 3), n_personas=5)
    noisy["answer"] = rng.integers(1, 7, len(noisy))
    other = tidy_answers(seeds=(1, 2, 3), n_personas=5).assign(answer=rng.integers(1, 7, len(noisy)))
    frame = pd.concat([other, noisy])
    compare = partial(kovac2024.comparison_table, frame, QUESTIONNAIRES, "fictional_characters", instrument="PVQ-40")
    (pair,) = compare("rank_order").to_dict("records")
    expected = ttest_ind(*(per_seed_table(one)["stability"] for one in (other, noisy)))
    assert pair["n_one"] == pair["n_other"] == 3 and pair["p"] == pytest.approx(expected.pvalue)
    assert pair["one"].startswith("a-model") and pair["other"].startswith("noisy")
    (pair,) = compare("ipsative").to_dict("records")
    assert pair["n_one"] == 5  # personas


def test_printed_values_are_the_papers():
    printed = kovac2024.published_values("pvq", "fictional_characters", "rank_order").set_index("model")
    assert printed.loc["Mixtral-8x7B-Instruct-v0.1", ["r", "family"]].tolist() == [0.43, "Mixtral"]
    donation = kovac2024.published_values("downstream", "fictional_characters", "rank_order", "Donation")
    both = donation.set_index("model")["r"]
    assert both["Mixtral-8x7B-Instruct-v0.1-4b"] == 0.28 and both.index.is_unique  # the journal version's
    lengths = kovac2024.published_values("lengths", "fictional_characters", "rank_order")
    assert list(lengths["n_messages"]) == [3, 35, 43]
    assert kovac2024.published_values("pvq", "none", "ipsative", "mine").empty


# From the controls' answers


@pytest.fixture
def answered(tmp_path):
    def answered(respondent, topics=("joke", "chess"), n_messages=1, population="fictional_characters", n=8, **asked):
        sessions = (population, load_population(population, n), load_topics(topics), (1,))
        asked = {"questionnaire": PVQ, "n_messages": n_messages} | asked
        e = Experiment("pvq", respondent.name, "tuned_sys", *sessions, **asked)
        simulate_conversations(e, respondent, tmp_path)
        return ask(e, respondent, tmp_path)

    return answered


@pytest.fixture
def told(answered):
    settings = SyntheticSettings(context=0.6, answer=0.3, letter_bias=0)
    return partial(answered, SyntheticRespondent(QUESTIONNAIRES.values(), settings))


def test_lengths_are_rows_and_neutral_measures_come_with_what_they_need(told):
    answers = pd.concat([told(n_messages=n) for n in (1, 3)])
    alone = kovac2024.length_table(answers, answers[:0], QUESTIONNAIRES)
    assert list(zip(alone["n_messages"], alone["measure"])) == [
        (n, measure) for n in (1, 3) for measure in ("rank_order", "ipsative")
    ]
    neutral = pd.concat([told(["no_conversation"]), told(["no_conversation"], population="none", n=6)])
    table = kovac2024.length_table(answers, neutral, QUESTIONNAIRES)
    assert table["measure"].value_counts().to_dict() == {
        "rank_order": 2, "ipsative": 2, "neutral_similarity": 2, "rank_order_neutral": 2
    }  # fmt: skip
    assert table["stability"].notna().all()
    pd.testing.assert_frame_equal(table[table["measure"].isin(alone["measure"])].reset_index(drop=True), alone)


def test_the_neutral_order_is_that_of_the_same_model(told):
    answers, order = told(), told(["no_conversation"])
    table = kovac2024.length_table(answers, order, QUESTIONNAIRES).set_index("measure")
    assert "neutral_similarity" not in table.index  # nobody was asked without persona
    contexts, neutral = score_answers(answers, PVQ).scores[0], score_answers(order, PVQ).scores[0, 0]
    expected = [rank_order_stability(np.stack([context, neutral])).overall for context in contexts]
    assert table.loc["rank_order_neutral", "stability"] == pytest.approx(np.mean(expected))
    others = kovac2024.length_table(answers, order.assign(model="another"), QUESTIONNAIRES)
    assert set(others["measure"]) == {"rank_order", "ipsative"}
    with pytest.raises(ValuestabError, match="The personas are .*without a conversation"):
        kovac2024.length_table(answers, told(["no_conversation"], n=7), QUESTIONNAIRES)


def test_contexts_are_ordered_by_length_and_have_their_number(told):
    names = ["grammar", "joke", "chess", "year"]
    lengths = kovac2024.context_lengths(load_topics(names))
    assert list(lengths.items()) == [("chess", 5), ("joke", 15), ("year", 37), ("grammar", 113)]
    pairs = kovac2024.context_pair_table(told(names), QUESTIONNAIRES)
    effects = kovac2024.context_effects(told(names), QUESTIONNAIRES, lengths)
    assert len(pairs) == 4 * 3 and effects["n_pairs"].item() == 6
    assert effects["stability"].item() == pytest.approx(pairs["stability"].mean(), abs=1e-9)
    effects = kovac2024.context_effects(told(), QUESTIONNAIRES, lengths)
    assert effects[["rho", "p_value", "slope"]].isna().all(axis=None)  # two contexts are one pair


@pytest.mark.slow
def test_what_is_given_goes_with_values_as_the_synthetic_respondent_has_it(told):
    values, coins = told(n=40), told(n=40, questionnaire=QUESTIONNAIRES["Donation"])
    table = kovac2024.value_donation_table(values, coins, QUESTIONNAIRES).set_index("value")
    assert list(table.index) == ["Universalism", "Benevolence", "Power", "Achievement"]
    assert (np.sign(table["correlation"]) == table["expected_sign"]).all() and (table["n_units"] == 1).all()
    assert kovac2024.value_donation_table(values.assign(model="another"), coins, QUESTIONNAIRES).empty
    assert kovac2024.value_donation_table(coins, coins, QUESTIONNAIRES).empty  # without these values


def test_balanced_orders_restore_the_stability_that_the_bias_hides(answered):
    found = {}
    for bias in (0.0, 6.0):
        respondent = SyntheticRespondent([PVQ], SyntheticSettings(context=0, answer=0, letter_bias=bias))
        respondent.name = f"control-{bias}"
        answers = answered(respondent, n=12, way="balanced")
        found[bias] = kovac2024.balanced_table(answers, QUESTIONNAIRES).set_index("measure")
    # One of six letters is the bias above the others: that is 1 / 6 of it off the mean for five, 5 / 6 for one.
    row = found[6.0].loc["rank_order"]
    assert row["letter_bias"] == pytest.approx(6 * np.sqrt(5) / 6, abs=1e-9)
    assert row["favourite"] == "C" and row["favourite_effect"] == pytest.approx(6 * 5 / 6)
    for measure in ("rank_order", "ipsative"):
        unbiased, biased = found[0.0].loc[measure], found[6.0].loc[measure]
        assert unbiased["single"] == unbiased["balanced"] == biased["balanced"] == 1
        assert biased["expected"] == pytest.approx(unbiased["expected"])
        assert biased["single"] < 0.9 and biased["difference"] == 1 - biased["single"]


@pytest.mark.slow
def test_retest_tells_context_from_noise(answered):
    found = {}
    for context in (0.0, 1.2):
        settings = SyntheticSettings(profile=1.2, context=context, answer=1.5, letter_bias=0)
        respondent = SyntheticRespondent([PVQ], settings)
        respondent.name = f"control-{context}"
        orders = [answered(respondent, n=60, way=way) for way in ("letters", "second")]
        found[context] = kovac2024.retest_table(*orders, QUESTIONNAIRES).set_index("measure").loc["rank_order"]
    assert found[0.0]["stability"] < 0.85 and found[0.0]["corrected"] == pytest.approx(1, abs=0.06)
    # Half of what repeats within a context is the persona's, half the context's.
    assert found[1.2]["corrected"] == pytest.approx(0.5, abs=0.12)
    assert found[1.2]["reliability"] > found[1.2]["stability"] + 0.2


def test_where_nothing_repeats_there_is_a_reason_and_no_corrected_stability(answered):
    orders = [answered(RandomRespondent(), way=way) for way in ("letters", "second")]
    table = kovac2024.retest_table(*orders, QUESTIONNAIRES)
    assert table["corrected"].isna().all() and (table["reason"] != "").all()
    with pytest.raises(ValuestabError, match="The personas are .*in the first orders"):
        kovac2024.retest_table(orders[0][orders[0]["persona"] != "Gandalf"], orders[1], QUESTIONNAIRES)
