"""What the order of the options does: recovered from a respondent whose bias and noise are known."""

import numpy as np
import pandas as pd
import pytest

from valuestab_utils.controls import RandomRespondent, SyntheticRespondent, SyntheticSettings
from valuestab_utils.conversations import simulate_conversations
from valuestab_utils.errors import ValuestabError
from valuestab_utils.instruments import load_pvq40
from valuestab_utils.order_tables import balanced_table, retest_table
from valuestab_utils.populations import load_population
from valuestab_utils.questionnaire import ask_questionnaire
from valuestab_utils.sessions import Experiment
from valuestab_utils.topics import load_topics

PVQ = load_pvq40("project")
TOPICS = load_topics(["joke", "chess"])


def ask(respondent, place, *orders, n_personas=12):
    personas = load_population("fictional_characters", n_personas)
    whole = Experiment(respondent.name, "tuned_sys", "p", personas, TOPICS, (1,), 1)
    simulate_conversations(whole, respondent, place)
    return [ask_questionnaire(whole, respondent, PVQ, place, kind) for kind in orders]


@pytest.mark.parametrize("bias", [0.0, 1.0, 3.0])
def test_the_letter_bias_that_was_put_in_comes_out(tmp_path, bias):
    respondent = SyntheticRespondent(PVQ, SyntheticSettings(answer=0, letter_bias=bias))
    (answers,) = ask(respondent, tmp_path, "balanced")
    row = balanced_table(answers).set_index("measure").loc["rank_order"]
    # One of six letters is `bias` above the others: that is bias / 6 off the mean for five, 5 / 6 bias for one.
    assert row["letter_bias"] == pytest.approx(bias * np.sqrt(5) / 6, abs=1e-9)
    if bias:
        assert row["favourite"] == "C" and row["favourite_effect"] == pytest.approx(bias * 5 / 6)


def test_balanced_orders_restore_the_stability_that_the_bias_hides(tmp_path):
    found = {}
    for bias in (0.0, 6.0):
        respondent = SyntheticRespondent(PVQ, SyntheticSettings(context=0, answer=0, letter_bias=bias))
        (answers,) = ask(respondent, tmp_path / str(bias), "balanced")
        found[bias] = balanced_table(answers).set_index("measure")
    for measure in ("rank_order", "ipsative"):
        unbiased, biased = found[0.0].loc[measure], found[6.0].loc[measure]
        assert unbiased["single"] == unbiased["balanced"] == biased["balanced"] == 1
        assert biased["expected"] == pytest.approx(unbiased["expected"])
        assert biased["single"] < 0.9 and biased["difference"] == 1 - biased["single"]


@pytest.mark.slow
def test_retest_tells_context_from_noise(tmp_path):
    found = {}
    for context in (0.0, 1.2):
        settings = SyntheticSettings(profile=1.2, context=context, answer=1.5, letter_bias=0)
        orders = ask(SyntheticRespondent(PVQ, settings), tmp_path / str(context), "single", "second", n_personas=60)
        found[context] = retest_table(*orders).set_index("measure").loc["rank_order"]
    assert found[0.0]["stability"] < 0.85 and found[0.0]["corrected"] == pytest.approx(1, abs=0.06)
    # Half of what repeats within a context is the persona's, half the context's.
    assert found[1.2]["corrected"] == pytest.approx(0.5, abs=0.12)
    assert found[1.2]["reliability"] > found[1.2]["stability"] + 0.2


def test_where_nothing_repeats_there_is_no_correction(tmp_path):
    table = retest_table(*ask(RandomRespondent(), tmp_path, "single", "second"))
    assert table["corrected"].isna().all() and (table["reason"] != "").all()


def test_sessions_that_were_not_asked_twice_are_left_out_of_the_first(tmp_path):
    single, second = ask(SyntheticRespondent(PVQ), tmp_path, "single", "second")
    some = second[second["persona"] != second["persona"].iloc[0]]
    assert (retest_table(single, some)["personas"] == 11).all()
    with pytest.raises(ValuestabError, match="has second orders, but no first ones"):
        retest_table(single.assign(model="other"), second)
    with pytest.raises(ValuestabError, match="not the same sessions in both"):
        retest_table(single[single["topic"] == "joke"], second)


def test_nothing_asked_gives_empty_tables():
    assert balanced_table(pd.DataFrame()).empty and retest_table(pd.DataFrame(), pd.DataFrame()).empty
