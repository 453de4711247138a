"""What a run takes is counted on its own prompts; the text of a prompt that is shown is the one that is sent."""

import contextlib
import re

import pytest
from fakes import FakeRespondent, language_model
from paper_studies import plan as plan_of

from valuestab_utils.errors import ValuestabError
from valuestab_utils.models import ApiRespondent, RandomRespondent, model_card
from valuestab_utils.prompts import load_population, load_questionnaire, load_topics
from valuestab_utils.run import plan
from valuestab_utils.run.plan import find_session, render, render_conditions, render_formats
from valuestab_utils.study import MAX_NEW_TOKENS, Experiment, Study, missing_messages, plan_study

SIZES = {"topics": ["joke", "chess"], "n_personas": 3, "seeds": [1], "populations": ["fictional_characters"]}


@pytest.fixture
def study(monkeypatch, tmp_path):
    def study(respondent=None, **asked):
        respondent = respondent or language_model()
        monkeypatch.setattr("valuestab_utils.study.study._load", lambda model, dtype: respondent)
        return plan_study("smoke", changes={"results_dir": str(tmp_path), "experiments": ["pvq"]} | SIZES | asked)

    return study


def test_counts_are_those_of_the_sessions(study):
    row = plan.plan_table(study()).iloc[0]
    assert (row["sessions"], row["missing"], row["queries"]) == (6, 6, 6 * 40)
    # A byte is a token here: 40 whole prompts have the conversation 40 times, the engine once a session.
    assert row["naive_tokens"] - row["unique_tokens"] > 6 * 39 * MAX_NEW_TOKENS


def test_what_is_there_is_not_counted_again(study, tmp_path):
    fake = FakeRespondent()
    planned = study(fake)
    planned.answers()
    row = plan.plan_table(planned).iloc[0]
    assert (row["sessions"], row["missing"], row["queries"], row["naive_tokens"]) == (6, 0, 0, 0)
    assert missing_messages(planned.experiments[:1], tmp_path) == 0
    assert missing_messages(study(fake, n_messages=3).experiments[:1], tmp_path) == 12


def test_report_says_tokens_memory_and_time_and_leaves_nothing(study, monkeypatch, tmp_path):
    monkeypatch.setattr(plan, "seconds_needed", lambda *_: (80.0, 5400.0))
    lines = "\n".join(plan.requirements(study()))
    assert "6 messages and the answers of 6 sessions are missing: 240 queries, at most" in lines
    assert "GiB of weights in float32" in lines
    assert "about 80 s for conversations and 1.5 h for answers" in lines
    assert not list(tmp_path.iterdir())


ADMINISTRATIONS = {
    "name": "administrations", "population": "value_anchor", "n_personas": 2, "questionnaire": "PVQ-RR",
    "way": ["batch", "serial"], "temperature": 0.7,
}  # fmt: skip


def test_what_an_api_writes_has_the_price_of_what_it_writes(tmp_path, monkeypatch):
    for name in ("AZURE_OPENAI_ENDPOINT", "VALUESTAB_MAX_TOKENS", "VALUESTAB_MAX_USD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")  # where nobody is asked
    monkeypatch.setenv("VALUESTAB_API_KIND", "openai")
    monkeypatch.setenv("VALUESTAB_USD_PER_MTOK_IN", "1")
    monkeypatch.setenv("VALUESTAB_USD_PER_MTOK_OUT", "1000")
    by_letters = {"name": "structure", "population": "value_anchor", "n_personas": 1, "questionnaire": "PVQ-RR"}
    asked, served = ADMINISTRATIONS | {"way": "batch"}, ApiRespondent(model_card("api:served"))
    study = plan_of(tmp_path, by_letters, asked, respondent=served)
    table = plan.plan_table(study).set_index("experiment")
    written = {"structure": 8 * 57, "administrations": 2 * 12 * 57}  # at most: so many letters, and lines of two texts
    assert table["written_tokens"].to_dict() == written
    n_in, n_out = table["naive_tokens"].sum(), sum(written.values())
    assert f"Price: {n_in / 1e6 + n_out / 1e3:.2f} USD" in "\n".join(plan.requirements(study))


@pytest.fixture(scope="module")
def talked(tmp_path_factory):
    """A study of two personas in two contexts, with its conversations."""
    respondent, names = RandomRespondent(), ("tuned_sys", "fictional_characters")
    personas, topics = load_population("fictional_characters", 2), load_topics(["joke", "no_conversation"])
    pvq = load_questionnaire("PVQ-40", "project")
    experiment = Experiment("pvq", respondent.name, *names, personas, topics, (1,), pvq)
    study = Study("quick", (experiment,), tmp_path_factory.mktemp("results"), {respondent.name: respondent})
    study.conversations()
    return study


def test_item_after_the_sessions_own_conversation(talked):
    place = find_session(talked, "Gollum", "joke")
    talk = talked.conversations().query("persona == 'Gollum'").sort_values("message")["content"].tolist()
    text = render(talked, *place, item=7)
    assert text.startswith(
        "<system> You are Gollum from J. R. R. Tolkien's Middle-earth legendarium.\n<user> Tell me a joke.\n"
    )
    experiment = talked.experiments[0]
    first = render(talked, experiment, experiment.sessions[0], item=7)
    assert render_formats(talked, item=7)[0] == f"==== tuned_sys ====\n{first}"
    assert f"<assistant> {talk[1]}\n<user> {talk[2]}\n<assistant> {talk[3]}\n<user> Here we briefly" in text
    assert talked.questionnaire.items[6].male in text and text.endswith("<assistant> Answer: (")
    assert render(talked, *place, message=1).endswith("<user> Tell me a joke.\n<assistant>")
    assert "You are simulating a human" in render(talked, *place, message=2)
    directly = render(talked, *find_session(talked, "Gandalf", "no_conversation"), item=1)
    assert directly.count("<user>") == 1 and "legendarium.\n<user> Here we briefly" in directly


@pytest.mark.parametrize(
    ("names", "prompt", "said"),
    [
        (("Gandlf", "joke", 1), {"item": 1}, "'Gandalf'"),
        (("Gandalf", "joke", 9), {"item": 1}, "seed .9.. Known: 1"),
        (("Gandalf", "joke", 1), {"item": 41}, "item .41."),
        (("Gandalf", "joke", 1), {"message": 4}, "message .4.. .*Known: 1, 2, 3"),
    ],
)
def test_what_there_is_no_prompt_of(talked, names, prompt, said):
    with pytest.raises(ValuestabError, match=said):
        render(talked, *find_session(talked, *names), **prompt)


NAMES = {"name": "structure", "population": "names", "n_personas": 2, "questionnaire": "PVQ-RR"}
CREATED = NAMES | {"population": "generated_persona"}
WAYS = NAMES | {"name": "administrations", "way": ["batch", "serial"], "temperature": [0.0, 0.7]}
FILLED = {"name": "priming", "population": "value_prompts_filled", "n_personas": 2, "questionnaire": "Charity-choice"}


@pytest.mark.parametrize("entries", [[NAMES, CREATED], [WAYS], [FILLED]])
def test_what_is_shown_of_runs_is_what_was_sent(tmp_path, entries):
    respondent = FakeRespondent()
    study = plan_of(tmp_path, *entries, respondent=respondent, controls=["control-random"])
    with pytest.raises(ValuestabError, match="no result") if entries != [WAYS] else contextlib.nullcontext():
        render_conditions(study, entries[0]["name"])
    study.answers(entries[0]["name"])
    sent = {text for _, text in respondent.spoken + respondent.answered}
    text, table = render_conditions(study, entries[0]["name"])
    shown = [shown.split(" ====\n", 1)[1] for shown in ("\n\n" + text).split("\n\n==== ")[1:]]
    ways = WAYS["way"] if entries == [WAYS] else ["letters"] * len(entries)
    assert table["administration"].tolist() == ways
    for prompt, row in zip(shown, table.itertuples(), strict=True):
        assert row.session.startswith("fake/") and row.condition in {entry["population"] for entry in entries}
        if row.administration == "serial":  # shown with the answer 4, which need not be this run's
            assert prompt in {re.sub(r"Answer: \([1-6]\)", "Answer: (4)", text) for text in sent}
        else:
            assert prompt in sent
