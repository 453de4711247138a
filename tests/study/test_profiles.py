"""A profile and what is changed of it are what they say, or one sentence that names what is wrong and what fits."""

import json

import pytest
from fakes import FakeRespondent

from valuestab_utils.errors import ValuestabError
from valuestab_utils.paths import DATA
from valuestab_utils.study import load_profile, plan_study, run_name, study
from valuestab_utils.study.profiles import Changes

HEADER = "persona,name,description,gender\n"
PEOPLE = HEADER + "Sam,Sam,Sam the gardener.,M\nRose,Rose,Rose the brewer.,F\nTed,Ted,Ted the miller.,M\n"
ENT = "Treebeard,Treebeard,Treebeard the ent.,\n"


@pytest.fixture
def write(tmp_path):
    """Writes a profile of one small experiment, with what is changed of it; gives its path."""

    def write(text="", entry=None, **changes):
        settings = {"model": "SmolLM2-135M-Instruct", "topics": ["joke"], "seeds": [1], "n_messages": 1, "controls": []}
        settings["experiments"] = [entry or {"population": "none", "n_personas": 2}]
        (tmp_path / "mine.yaml").write_text(text or json.dumps(settings | changes))
        return str(tmp_path / "mine.yaml")

    return write


def entry(population="none", **named):
    return {"entry": {"population": population} | named}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text": "!!python/object/apply:os.system [ls]"}, "mine.yaml cannot be read"),
        ({"text": "model: m"}, "mine.yaml lacks topics"),
        ({"seed": [1]}, "Unknown entry of .*mine.yaml: 'seed'. Did you mean 'seeds'"),
        ({"controls": ["control-randm"]}, "Unknown controls .*'control-randm'. Did you mean 'control-random'"),
        ({"entry": {"name": "pvq"}}, "mine.yaml, experiment 1 lacks population"),
        (entry(name="pqv"), "Unknown name .*'pqv'. Did you mean 'pvq'"),
        (entry(name="downstream"), "experiment downstream must name its questionnaire"),
        (entry(temperature=True), "temperature.* is True"),
        (entry(part="pvq", task="donation"), "experiment 1: 'part' is called 'name' now"),
    ],
)
def test_a_profile_that_lacks_something_or_has_something_unknown(write, changes, message):
    with pytest.raises(ValuestabError, match=message):
        load_profile(write(**changes))


def test_one_entry_stands_for_a_list_of_one(write):
    (one,) = load_profile(write(**entry(way="second", n_messages=3, temperature=0, questionnaire="BFI-2"))).experiments
    assert (one.way, one.n_messages, one.temperature, one.questionnaire) == (("second",), (3,), (0.0,), ("BFI-2",))


WAYS = {"name": "administrations", "population": "value_anchor", "questionnaire": "PVQ-RR", "way": ["batch"]}
SMALL = {"population": "none"}


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (SMALL | {"population": "fictional"}, "Unknown population 'fictional'. Did you mean 'fictional_characters'"),
        (WAYS | {"n_personas": 301}, "n_personas is 301, .* from 1 to 300"),
        (WAYS | {"questionnaire": "BFI-2"}, "BFI-2 cannot be asked .*ask by letters"),
        (SMALL | {"way": "batch"}, "cannot be asked of none in the way 'batch'"),
        (SMALL | {"topics": ["joke", "joke"]}, "A topic is named twice"),
        (SMALL | {"seeds": [1, 1]}, "seeds .* distinct"),
        (SMALL | {"n_messages": 2}, "n_messages is 2, but must be an odd"),
    ],
)
def test_what_cannot_be_laid_out_is_refused(write, asked, message):
    paper = "rozen2025" if "name" in asked else "kovac2024"
    with pytest.raises(ValuestabError, match=message):
        plan_study(write(entry=asked), paper=paper)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"topcs": ["joke"]}, "Unknown entry of changes: 'topcs'. Did you mean 'topics'"),
        ({"parts": ["pvq"]}, "changes: 'parts' is called 'experiments' now"),
        ({"topics": "joke"}, r"changes: topics is 'joke' \(Input should be a list, such as \['joke', 'chess'\]\)"),
        ({"seeds": [1, "2_4"]}, "seeds.*2_4"),
        ({"n_personas": True}, "n_personas is True"),
        ({"n_messages": 2}, "n_messages is 2, but must be an odd"),
        ({"experiments": ["structure"]}, "no experiment of Kovač et al. 2024"),
        ({"questionnaire": "PVQ40"}, "'PVQ40'. Did you mean 'PVQ-40'"),
        ({"dtype": "float64"}, "Unknown dtype 'float64'"),
        ({"populations": ["none", str(DATA / "populations" / "none.csv")]}, "the name 'none' twice"),
        # What concerns nothing that is run.
        ({"experiments": ["pvq"], "lengths": [1]}, r"lengths=\(1,\) concerns none of the experiments .*\(pvq\)"),
        ({"experiments": ["contexts", "neutral"], "topics": ["joke"]}, "topics=.* concerns none"),
        ({"experiments": ["lengths"], "n_messages": 1}, "n_messages=1 concerns none"),
        ({"experiments": ["pvq"], "n_names": 2}, "n_names=2 concerns none"),
        ({"populations": ["none"], "n_personas": 2}, "n_personas=2 concerns none"),
    ],
)
def test_a_bad_change_is_one_sentence_before_a_model_is_loaded(monkeypatch, changes, message):
    def too_late(*_, **__):
        pytest.fail("a model is loaded before the input is checked")

    monkeypatch.setattr("valuestab_utils.models.loading.AutoTokenizer.from_pretrained", too_late)
    with pytest.raises(ValuestabError, match=message):
        plan_study("quick", changes=changes)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("none.csv", "none.csv has the name of a population of this project"),
        ("names.csv", "names.csv has the name of a population of this project"),
        ("ents.csv", "the persona has no gender: fill in M or F"),
    ],
)
def test_a_population_file_must_not_pass_for_another_nor_lack_a_gender(tmp_path, file, message):
    (tmp_path / file).write_text(PEOPLE + ENT * (file == "ents.csv"))
    with pytest.raises(ValuestabError, match=message):
        plan_study(changes={"populations": [str(tmp_path / file)]})


@pytest.mark.parametrize(("change", "run"), [
    ({"n_personas": 2}, "n_personas=2"), ({"seeds": [4, 5]}, "seeds=4,5"), ({"topics": ("joke",)}, "topics=joke"),
    ({"controls": []}, "controls="), ({"wording": "project"}, "wording=project"), ({"dtype": "4bit"}, "4bit"),
    ({"dtype": "bfloat16"}, "dtype=bfloat16"), ({"results_dir": "elsewhere"}, ""), ({"wording": "auto"}, ""),
    ({"populations": ["own.csv"]}, "populations=own"), ({"populations": ["../a b.csv"]}, "b73330fc"),
    ({"topics": "joke chess poem history grammar bicycle weather britney no_conversation".split()}, "8bdc10a2"),
    ({"seeds": None}, ""),
])  # fmt: skip
def test_a_run_goes_by_what_is_changed_of_its_profile(tmp_path, monkeypatch, change, run):
    (tmp_path / "folder").mkdir()
    for own in ("folder/own.csv", "a b.csv"):
        (tmp_path / own).write_text(PEOPLE)
    monkeypatch.chdir(tmp_path / "folder")
    monkeypatch.setattr(study, "_load", lambda model, dtype: FakeRespondent())
    expected = f"smoke-{run}" if run else "smoke"
    assert run_name("smoke", changes=change) == plan_study("smoke", changes=change).run == expected


def test_every_change_but_the_folder_of_results_is_in_the_name_whatever_the_order():
    examples = {name: field.examples[0] for name, field in Changes.model_fields.items() if field.examples}
    names = {name: run_name("smoke", changes={name: example}) for name, example in examples.items()}
    assert names.pop("results_dir") == "smoke"
    assert all(named.startswith(f"smoke-{name}=") for name, named in names.items())
    changes = {"seeds": [1], "n_names": 2}
    assert run_name("smoke", changes=changes) == run_name("smoke", changes=dict(reversed(changes.items())))
