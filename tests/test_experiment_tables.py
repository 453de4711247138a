"""Tables of the experiments beside the main one, from the controls' answers."""

import numpy as np
import pandas as pd
import pytest

from valuestab_utils import findings
from valuestab_utils.controls import SyntheticRespondent, SyntheticSettings
from valuestab_utils.conversations import simulate_conversations
from valuestab_utils.errors import ValuestabError
from valuestab_utils.experiment_tables import (
    context_tables,
    length_table,
    persona_points,
    value_donation_table,
)
from valuestab_utils.instruments import load_pvq40
from valuestab_utils.neutral import neutral_profile
from valuestab_utils.populations import load_population
from valuestab_utils.questionnaire import ask_questionnaire
from valuestab_utils.scored_answers import score_answers
from valuestab_utils.sessions import Experiment
from valuestab_utils.stability import rank_order_stability
from valuestab_utils.tasks import load_task
from valuestab_utils.topics import load_topics

PVQ, DONATION = load_pvq40("project"), load_task("donation")


@pytest.fixture
def ask(tmp_path):
    respondent = SyntheticRespondent(PVQ, SyntheticSettings(context=0.6, answer=0.3, letter_bias=0), [DONATION])

    def ask(topics, n_messages=1, population="fictional_characters", n=8, instrument=PVQ, seeds=(1,)):
        personas, topics = load_population(population, n), load_topics(topics)
        e = Experiment(respondent.name, "tuned_sys", population, personas, topics, seeds, n_messages)
        simulate_conversations(e, respondent, tmp_path)
        answers = ask_questionnaire(e, respondent, instrument, tmp_path)
        return answers.assign(asked_after=n_messages)

    return ask


def test_lengths_are_rows_and_neutral_measures_come_with_what_they_need(ask):
    answers = pd.concat([ask(["joke", "chess"], n) for n in (1, 3)])
    alone = length_table(answers)
    assert list(zip(alone["n_messages"], alone["measure"])) == [
        (n, measure) for n in (1, 3) for measure in ("rank_order", "ipsative")
    ]
    neutral = pd.concat([ask(["no_conversation"]), ask(["no_conversation"], population="none", n=6)])
    table = length_table(answers, neutral)
    assert list(table["measure"].unique()) == ["rank_order", "ipsative", "neutral_similarity", "rank_order_neutral"]
    assert len(table) == 8 and table["stability"].notna().all()
    pd.testing.assert_frame_equal(table[table["measure"].isin(alone["measure"])].reset_index(drop=True), alone)
    # the neutral order has noise of its own, like each context's
    means = table.groupby("measure")["stability"].mean()
    assert means["rank_order"] > 0.5 and means["rank_order_neutral"] > 0.5


def test_neutral_order_and_profile_are_those_of_the_same_model(ask):
    answers, order = ask(["joke", "chess"]), ask(["no_conversation"])
    table = length_table(answers, order).set_index("measure")
    assert "neutral_similarity" not in table.index  # nobody was asked without persona
    contexts, neutral = score_answers(answers).scores[0], score_answers(order).scores[0, 0]
    expected = [rank_order_stability(np.stack([context, neutral])).overall for context in contexts]
    assert table.loc["rank_order_neutral", "stability"] == pytest.approx(np.mean(expected))
    others = length_table(answers, order.assign(model="another"))
    assert set(others["measure"]) == {"rank_order", "ipsative"}
    profile = neutral_profile(score_answers(ask(["no_conversation"], population="none", n=6)).scores[0, 0])
    assert profile.sum() == pytest.approx(55)


def test_a_neutral_order_of_other_personas_or_seeds_is_refused(ask):
    answers = ask(["joke", "chess"])
    with pytest.raises(ValuestabError, match="The personas are .*without a conversation"):
        length_table(answers, ask(["no_conversation"], n=7))
    with pytest.raises(ValuestabError, match="The seeds are .1., but without a conversation they are .1, 2."):
        length_table(answers, ask(["no_conversation"], seeds=(1, 2)))


def test_contexts_are_ordered_by_length_and_have_their_number(ask):
    names = ["grammar", "joke", "chess", "year"]
    pairs, effects, order, lengths = context_tables(ask(names), load_topics(names))
    assert order == ["chess", "joke", "year", "grammar"]
    assert lengths == {"chess": 5, "joke": 15, "year": 37, "grammar": 113}
    assert len(pairs) == 4 * 3 and effects["n_pairs"].item() == 6
    assert effects["stability"].item() == pytest.approx(pairs["stability"].mean(), abs=1e-9)


def test_two_contexts_have_no_correlation_with_their_lengths(ask):
    pairs, effects, order, _ = context_tables(ask(["joke", "chess"]), load_topics(["joke", "chess"]))
    assert order == ["chess", "joke"] and len(pairs) == 2
    assert effects["n_pairs"].item() == 1 and effects[["rho", "p_value", "slope"]].isna().all(axis=None)
    assert findings.of_contexts(effects).endswith("contexts; their lengths have no rank correlation with it.")


@pytest.mark.slow
def test_what_is_given_goes_with_values_as_the_synthetic_respondent_has_it(ask):
    values = ask(["joke", "chess"], n=40)
    coins = ask(["joke", "chess"], n=40, instrument=load_task("donation", 2))
    table = value_donation_table(values, coins).set_index("value")
    assert list(table.index) == ["Universalism", "Benevolence", "Power", "Achievement"]
    assert (np.sign(table["correlation"]) == table["expected_sign"]).all() and (table["n_units"] == 1).all()
    four = value_donation_table(values, coins, races=["elf", "orc", "human", "hobbit"]).set_index("value")
    assert (four["correlations"] == table["correlations"] * 4 / 5).all()
    assert value_donation_table(values.assign(model="another"), coins).empty
    with pytest.raises(ValuestabError, match="The personas are .*in the task Donation"):
        value_donation_table(ask(["joke", "chess"], n=39), coins)


def test_points_have_their_classes(ask):
    points, found = persona_points(ask(["joke", "chess"]))
    assert list(points["persona"]) == sorted(p.persona for p in load_population("fictional_characters", 8))
    assert points.set_index("persona").loc["Sauron", "class"] == "negative" and found.n_dimensions == 20


def test_nothing_asked_gives_empty_tables():
    nothing = pd.DataFrame()
    assert length_table(nothing, nothing).empty and value_donation_table(nothing, nothing).empty
    assert all(len(part) == 0 for part in context_tables(nothing, []))
