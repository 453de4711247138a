"""What a run takes is counted on its own prompts, before anything is computed."""

import pytest
from fakes import FakeRespondent, language_model
from paper_studies import plan as plan_of

from valuestab_utils import plan
from valuestab_utils.api import ApiRespondent
from valuestab_utils.batch_administration import batch_prompt
from valuestab_utils.conversations import MAX_NEW_TOKENS
from valuestab_utils.model_cards import model_card
from valuestab_utils.study import plan_study
from valuestab_utils.tasks import load_task

SIZES = {"topics": ["joke", "chess"], "n_personas": 3, "seeds": [1], "populations": ["fictional_characters"]}


@pytest.fixture
def study(monkeypatch, tmp_path):
    def study(respondent=None, **asked):
        respondent = respondent or language_model()
        monkeypatch.setattr("valuestab_utils.study._load", lambda model, dtype: respondent)
        return plan_study("smoke", results_dir=tmp_path, **SIZES | {"parts": ["pvq"]} | asked)

    return study


def test_counts_are_those_of_the_sessions(study):
    row = plan.plan_table(study()).iloc[0]
    assert (row["sessions"], row["missing"], row["queries"]) == (6, 6, 6 * 40)
    # A byte is a token here: 40 whole prompts have the conversation 40 times, the engine once a session.
    assert row["naive_tokens"] - row["unique_tokens"] > 6 * 39 * MAX_NEW_TOKENS
    assert plan.messages_to_write(study()) == {"tiny": 6}


def test_balanced_orders_ask_every_item_as_often_as_it_has_options(study):
    table = plan.plan_table(study(populations=["real_world_personas"], parts=["orders"])).set_index("orders")
    n_options = len(load_task("religion").options)
    assert table.loc["balanced", "queries"] == n_options * table.loc["second", "queries"]


def test_what_is_there_is_not_counted_again(study):
    fake = FakeRespondent()
    planned = study(fake)
    planned.answers()
    row = plan.plan_table(planned).iloc[0]
    assert (row["sessions"], row["missing"], row["queries"], row["naive_tokens"]) == (6, 0, 0, 0)
    assert plan.messages_to_write(planned) == {"fake": 0}
    assert plan.messages_to_write(study(fake, n_messages=3)) == {"fake": 12}


def test_what_two_parts_have_is_counted_once(study):
    table = plan.plan_table(study(parts=["pvq", "induction"])).set_index("part")
    assert table.loc["pvq", "missing"] == 6 and table.loc["induction", ["missing", "queries"]].tolist() == [0, 0]


def test_nothing_is_left_by_counting(study, tmp_path):
    plan.report(study(), measure=False)
    assert not list(tmp_path.iterdir())


def test_report_says_tokens_memory_and_time(study, monkeypatch, tmp_path):
    rates = plan.Rates(scored=1000.0, prompt_s=2.0, step_s=0.5, batch=3, written_s=0.0)
    monkeypatch.setattr(plan, "calibrate", lambda study, model: rates)
    lines = "\n".join(plan.report(study()))
    assert "6 messages and the answers of 6 sessions are missing: 240 queries, at most" in lines
    assert "GiB of weights in float32" in lines
    run = study().run
    assert f"pages in output/{run}, figures in figures/{run}." in lines
    assert "about 104 s for conversations" in lines.replace("2 min", "104 s")  # two batches of 2 + 100 x 0.5 s


def test_calibration_measures_and_keeps_nothing(study, tmp_path):
    rates = plan.calibrate(study(), "tiny")
    assert rates.scored > 0 and rates.prompt_s >= 0 and rates.step_s >= 0 and rates.batch == 6
    assert not list(tmp_path.rglob("*.parquet"))


ADMINISTRATIONS = {
    "part": "administrations", "population": "value_anchor", "n_personas": 2, "instruments": ["PVQ-RR"],
    "administrations": ["batch", "serial"], "temperatures": [0.7],
}  # fmt: skip


def test_what_is_written_in_one_prompt_has_a_time_of_its_own(tmp_path, monkeypatch):
    study = plan_of(tmp_path, ADMINISTRATIONS, respondent=language_model(), paper="structure")
    rates = plan.calibrate(study, "tiny")
    assert rates.scored > 0 and rates.written_s >= 0 and (rates.prompt_s, rates.step_s) == (0, 0)
    table = plan.plan_table(study).set_index("asked")
    batch, serial = table.loc["batch 0.7"], table.loc["serial 0.7"]
    (m, _), session = study.measurements, study.experiments[0].sessions[0]
    prompt = batch_prompt(session, study.respondent(m.experiment), m.instrument, [], 0.7).text
    assert abs(batch["unique_tokens"] - 2 * len(prompt.encode())) < 100  # a byte is a token; the longest prefix counts
    assert (batch["naive_tokens"], batch["written_tokens"]) == (batch["unique_tokens"], 2 * 57 * 12)
    assert serial["written_tokens"] == 0
    rates = plan.Rates(scored=1000.0, prompt_s=0.0, step_s=0.0, batch=1, written_s=2.0)
    expected = (batch["unique_tokens"] + serial["unique_tokens"]) / 1000 + 2 * 57 * 12 * 2.0
    assert plan.seconds_needed(table, 0, rates) == (0, pytest.approx(expected))
    monkeypatch.setattr(plan, "calibrate", lambda study, model: rates)
    assert "with each prompt whole), and 1,368 written as answers." in "\n".join(plan.report(study))


def test_what_an_api_writes_has_the_price_of_what_it_writes(tmp_path, monkeypatch):
    for name in ("AZURE_OPENAI_ENDPOINT", "VALUESTAB_MAX_TOKENS", "VALUESTAB_MAX_USD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")  # where nobody is asked
    monkeypatch.setenv("VALUESTAB_API_KIND", "openai")
    monkeypatch.setenv("VALUESTAB_USD_PER_MTOK_IN", "1")
    monkeypatch.setenv("VALUESTAB_USD_PER_MTOK_OUT", "1000")
    by_letters = {"part": "structure", "population": "value_anchor", "n_personas": 1, "instruments": ["PVQ-RR"]}
    asked = ADMINISTRATIONS | {"administrations": ["batch"]}
    served = ApiRespondent(model_card("api:served"))
    study = plan_of(tmp_path, by_letters, asked, respondent=served, paper="structure")
    table = plan.plan_table(study).set_index("part")
    written = {"structure": 8 * 57, "administrations": 2 * 12 * 57}  # at most: so many letters, and lines of two texts
    assert table["written_tokens"].to_dict() == written
    n_in, n_out = table["naive_tokens"].sum(), sum(written.values())
    lines = "\n".join(plan.report(study))
    assert f"at most about {n_in:,} tokens in and {n_out:,} out (4 bytes a token)" in lines
    assert f"Price: {n_in / 1e6 + n_out / 1e3:.2f} USD" in lines


def test_command_refuses_in_one_sentence(capsys):
    assert plan.main(["--profile", "quik"]) == 1
    assert "Unknown profile 'quik'" in capsys.readouterr().err
    assert plan.main(["n_persons=8"]) == 1
    assert "n_personas" in capsys.readouterr().err
