"""Tables behind the figures, on answers made by hand."""

import numpy as np
import pandas as pd
import pytest

from valuestab_utils import tables
from valuestab_utils.instruments import load_pvq40
from valuestab_utils.stability import stability_report

ITEMS = load_pvq40("project").items


def answers(
    population="fictional_characters", model="a-model", n_personas=4, topics=("joke", "chess"), seeds=(1, 2)
):
    """Answers that depend on persona and value alone: the same in every context."""
    rng = np.random.default_rng(3)
    rows = []
    for p in range(n_personas):
        profile = {item.item: int(rng.integers(1, 7)) for item in ITEMS}
        for topic in topics:
            for seed in seeds:
                for item in ITEMS:
                    code = profile[item.item]
                    rows.append(
                        {
                            "model": model,
                            "family": "F",
                            "format": "base",
                            "population": population,
                            "persona": f"p{p}",
                            "topic": topic,
                            "seed": seed,
                            "wording": "project",
                            "persona_description": "" if population == "none" else f"person {p}.",
                            "item": item.item,
                            "value": item.value,
                            "answer": code,
                            "letter": "ABCDEF"[code - 1],
                            "option_order": [1, 2, 3, 4, 5, 6],
                            "letter_mass": 0.5,
                            "near_tie": code == 1,
                            "stray_token": "I",
                            **{
                                f"logprob_{x}": np.log(0.5 if i == code - 1 else 0.02)
                                for i, x in enumerate("ABCDEF")
                            },
                        }
                    )
    return pd.DataFrame(rows)


def test_identical_contexts_have_stability_one():
    table = tables.stability_table(answers())
    assert list(table["measure"]) == ["rank_order", "ipsative"]
    assert table["stability"].to_numpy() == pytest.approx([1, 1])
    assert list(table["unit"]) == ["seeds", "personas"]
    assert list(table["n_units"]) == [2, 4]
    assert (table["undefined"] == 0).all() and (table["letter_mass"] == 0.5).all()


def test_without_persona_there_is_ipsative_stability_alone():
    table = tables.stability_table(answers("none", seeds=(1,), n_personas=2))
    assert list(table["measure"]) == ["ipsative"]
    assert tables.per_seed_table(answers("none", seeds=(1,))).empty


def test_numbers_are_those_of_the_answers_command():
    frame = answers(topics=("joke", "chess", "poem"))
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
    frame = answers(topics=("joke", "chess"), seeds=(1,))
    frame.loc[frame["topic"] == "chess", "answer"] = 3
    table = tables.stability_table(frame)
    assert table["stability"].isna().all()
    assert (table["undefined"] == table["correlations"]).all() and (table["constant"] > 0).all()
    assert tables.findings(table, "a-model")[0].count("undefined") == 1


def test_letter_use_and_shares():
    frame = answers()
    frame["letter"] = ["C", "C", "C", "D"] * (len(frame) // 4)
    use = tables.letter_use(frame).iloc[0]
    assert (use["top_letter"], use["top_letter_share"]) == ("C", 0.75)
    shares = tables.letter_shares(frame).set_index("letter")["share"]
    assert shares.to_dict() == {"A": 0, "B": 0, "C": 0.75, "D": 0.25, "E": 0, "F": 0}
    assert "letter C for 75% of its answers (17% if" in tables.position_sentences(tables.letter_use(frame))[0]


def test_letter_probabilities_name_the_option_that_a_letter_stood_for():
    frame = answers()
    frame["option_order"] = [[6, 5, 4, 3, 2, 1]] * len(frame)
    table = tables.letter_probabilities(frame, [2])
    assert list(table["code"]) == [6, 5, 4, 3, 2, 1]
    assert table["probability"].sum() == pytest.approx(0.6)
    assert table["persona"].unique().tolist() == ["p0"]


def test_findings_tell_model_and_controls_apart():
    frame = pd.concat([answers(), answers(model="control-random"), answers("none", seeds=(1,))])
    model, controls = tables.findings(tables.stability_table(frame), "a-model")
    assert model.startswith("a-model: base, rank-order 1.00 ± 0.00 fictional characters")
    assert "ipsative 1.00 ± 0.00 no persona" in model and "ipsative" not in controls
    assert controls == "Controls: random, rank-order 1.00 ± 0.00 fictional characters."


def test_message_lengths():
    rows = [
        ("tested", 1, 10, "eos", "a"),
        ("interlocutor", 2, 30, "eos", ""),
        ("tested", 3, 100, "length", "b"),
    ]
    frame = pd.DataFrame(rows, columns=["role", "message", "n_tokens", "finish", "content"])
    frame[["model", "format", "population"]] = ["m", "base", "p"]
    lengths = tables.message_lengths(frame).set_index("role")
    assert lengths.loc["tested", ["messages", "tokens", "at_limit"]].tolist() == [2, 55, 0.5]
    assert lengths.loc["interlocutor", "empty"] == 1
