"""What a run of papers 002 and 004 is sent, for a person to read, is what it was sent."""

import re

import pytest
from fakes import FakeRespondent
from paper_studies import FewLetters, answered_by, plan

from valuestab_utils.errors import ValuestabError
from valuestab_utils.inductions import load_runs
from valuestab_utils.render import main, render_conditions
from valuestab_utils.texts_before import texts_before

NAMES = {"part": "structure", "population": "names", "n_personas": 2, "instruments": ["PVQ-RR"]}
CREATED = NAMES | {"population": "generated_persona"}
WAYS = NAMES | {"part": "administrations", "administrations": ["batch", "serial"], "temperatures": [0.0, 0.7]}
FILLED = {"part": "priming", "population": "value_prompts_filled", "n_personas": 2, "instruments": ["Charity-choice"]}


class Keeping(FakeRespondent):
    """Keeps the prompts that it is sent."""

    @property
    def sent(self):
        return [text for _, text in self.spoken + self.answered]


@pytest.fixture
def respondent():
    return Keeping()


@pytest.mark.parametrize(
    ("paper", "entries"), [("structure", [NAMES, CREATED]), ("structure", [WAYS]), ("prompting", [FILLED])]
)
def test_what_is_shown_is_what_was_sent(tmp_path, respondent, paper, entries):
    study = plan(tmp_path, *entries, respondent=respondent, controls=["control-random"], paper=paper)
    part = entries[0]["part"]
    study.answers(part)
    text, table = render_conditions(study, part)
    shown = [shown.split(" ====\n", 1)[1] for shown in ("\n\n" + text).split("\n\n==== ")[1:]]
    ways = [entry.get("administrations", ["letters"]) for entry in entries]
    assert table["administration"].tolist() == [way for of in ways for way in of]
    assert table["characters"].tolist() == [len(prompt) for prompt in shown]
    for prompt, row in zip(shown, table.itertuples(), strict=True):
        assert row.session.startswith("fake/") and row.condition in {entry["population"] for entry in entries}
        if row.administration == "serial":  # shown with the answer 4, which need not be this run's
            assert prompt in {re.sub(r"Answer: \([1-6]\)", "Answer: (4)", sent) for sent in respondent.sent}
        else:
            assert prompt in respondent.sent


def test_what_the_model_wrote_stands_in_what_is_shown(tmp_path, respondent):
    study = plan(tmp_path, CREATED, respondent=respondent, paper="structure")
    with pytest.raises(ValuestabError, match="no result"):
        render_conditions(study, "structure")
    study.answers("structure")
    session = study.experiments[0].sessions[0]
    persona = texts_before(study.experiments[0], study.results_dir)[session.key][1]
    assert persona.removesuffix(".") in render_conditions(study, "structure")[0]


def test_a_part_that_is_not_asked_shows_nothing(tmp_path):
    text, table = render_conditions(plan(tmp_path, NAMES, paper="structure"), "administrations")
    assert text == "" and table.empty and list(table)[:3] == ["condition", "instrument", "administration"]


# The command


@pytest.fixture
def command(tmp_path, capsys):
    """Runs the command on the profile that was last planned; gives its exit code and what it said."""

    def command(*words):
        with answered_by(FakeRespondent()):
            code = main(["--profile", str(tmp_path / "mine.yaml"), "--results-dir", str(tmp_path / "results"), *words])
        said = capsys.readouterr()
        return code, said.out if code == 0 else said.err

    return command


def test_the_command_prints_the_prompt_of_an_item_of_a_run(tmp_path, respondent, command):
    study = plan(tmp_path, NAMES, respondent=respondent, paper="structure", wording="auto")
    persona = load_runs("names", 2)[1]
    study.answers("structure")
    code, text = command("--population", "names", "--persona", persona.persona, "--item", "3")
    assert code == 0
    of_run = [sent for key, sent in respondent.answered if key[0] == persona.persona]
    assert text == of_run[2] + "\n"
    assert persona.prefix in text and study.instrument.items[2].portrait(persona.gender) in text


def test_the_command_shows_a_filled_questionnaire(tmp_path, respondent, command):
    study = plan(tmp_path, FILLED, respondent=respondent, paper="prompting", wording="auto")
    persona = load_runs("value_prompts_filled", 1)[0].persona
    words = ["--population", "value_prompts_filled", "--persona", persona, "--item", "1"]
    code, said = command(*words)
    assert code == 2 and "no result" in said and said.count("\n") == 1
    study.answers("priming")
    code, text = command(*words)
    assert code == 0 and text.removesuffix("\n") in respondent.sent and text.count(" Answer: ") >= 40


def test_the_command_says_what_is_wrong_in_one_sentence(tmp_path, command):
    plan(tmp_path, NAMES, paper="structure")
    persona = load_runs("names", 1)[0].persona
    for words, said in (
        (["--population", "basic", "--persona", persona, "--item", "3"], "condition 'basic'"),
        (["--population", "names", "--persona", "Dr. Nobody", "--item", "3"], "persona 'Dr. Nobody'"),
        (["--population", "names", "--persona", persona, "--item", "58"], "items 1 to 57"),
        (["--population", "names", "--persona", persona, "--message", "1"], "no message 1"),
        (["--population", "names", "--persona", persona], "Say which prompt"),
    ):
        code, found = command(*words)
        assert code == 2 and said in found and found.count("\n") == 1


def test_prompts_of_a_service_are_shown_too(tmp_path):
    study = plan(tmp_path, NAMES, WAYS, respondent=FewLetters(), paper="structure")
    assert render_conditions(study, "administrations")[1]["administration"].tolist() == ["batch"]
