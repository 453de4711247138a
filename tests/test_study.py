"""A study is what its profile says and no more, or one sentence before anything is computed."""

import json
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from fakes import CHATML, NO_SYSTEM, FakeRespondent, language_model, small_instrument
from tiny import byte_tokenizer, llama

from valuestab_utils import profiles, study
from valuestab_utils.controls import RandomRespondent, SyntheticRespondent
from valuestab_utils.draws import SAMPLER
from valuestab_utils.errors import ValuestabError
from valuestab_utils.figure_files import read_record
from valuestab_utils.parameters import declared_parameters, for_study
from valuestab_utils.paths import DATA, ROOT
from valuestab_utils.profiles import load_profile
from valuestab_utils.study import CONTROLS, plan_study, run_name

HEADER = "persona,name,description,gender\n"
PEOPLE = HEADER + "Sam,Sam,Sam the gardener.,M\nRose,Rose,Rose the brewer.,F\nTed,Ted,Ted the miller.,M\n"


@pytest.fixture
def loaded(monkeypatch):
    """Names of the models that were loaded; each is a fake, or what ``loaded.give`` is."""

    class Loaded(list):
        give = staticmethod(FakeRespondent)

    found = Loaded()

    def load(model, dtype):
        found.append(model)
        return found.give()

    monkeypatch.setattr(study, "_load", load)
    return found


@pytest.fixture
def profile(tmp_path):
    """Writes a profile of one small experiment, with what is changed."""

    def write(text="", **changes):
        settings = {
            "model": "SmolLM2-135M-Instruct",
            "topics": ["joke"],
            "seeds": [1],
            "n_messages": 1,
            "experiments": [{"population": "none", "format": "own", "n_personas": 2}],
            "controls": [],
        }
        settings = {name: value for name, value in (settings | changes).items() if value is not None}
        (tmp_path / "mine.yaml").write_text(text or json.dumps(settings))
        return str(tmp_path / "mine.yaml")

    return write


def sizes(planned):
    return {
        (e.model, e.format, e.population): (len(e.personas), len(e.topics), len(e.seeds))
        for e in planned.experiments
    }


def of_part(planned, part):
    return [m for m in planned.measurements if m.part == part]


# Profiles


def test_the_paper_profile_has_the_papers_sizes(loaded):
    found = sizes(plan_study("paper"))
    for model in ("fake", *CONTROLS):
        assert found.pop((model, "tuned_sys", "fictional_characters")) == (60, 5, 5)
        assert found.pop((model, "tuned_sys", "real_world_personas")) == (50, 5, 5)
        assert found.pop((model, "tuned_sys", "none")) == (50, 5, 1)
    assert not found
    planned = plan_study("paper")
    assert {e.n_messages for e in planned.experiments} == {3}
    lengths = [m.experiment for m in of_part(planned, "lengths") if m.experiment.model == "fake"]
    for population, expected in (("fictional_characters", [3, 7, 11, 19, 27, 35, 43]), ("none", [1, 3, 5, 7, 9, 43])):
        assert [e.n_messages for e in lengths if e.population == population] == expected
    tasks = {m.instrument.name: m for m in of_part(planned, "downstream") if m.experiment.model == "fake"}
    assert {name: len(m.instrument.items) for name, m in tasks.items()} == {
        **{"Donation": 100, "Stealing": 100, "Religion": 5}
    }
    assert tasks["Religion"].experiment.population == "real_world_personas"
    assert [len(m.experiment.topics) for m in of_part(planned, "contexts")] == [14, 14, 14]
    assert {t.topic for m in of_part(planned, "neutral") for t in m.experiment.topics} == {"no_conversation"}


def test_quick_has_what_every_bar_needs(loaded):
    found = sizes(plan_study("quick"))
    for (_, _, population), (personas, topics, seeds) in found.items():
        assert topics >= 3 and (population == "none" or (personas >= 5 and seeds >= 2))
    shapes = Counter(model for model, *_ in found)
    assert shapes == {"fake": 5, **{control: 3 for control in CONTROLS}}  # the fake's variants have one name
    assert {format for _, format, _ in found} == {"base", "tuned_sys", "tuned_no_sys"}
    planned = plan_study()
    assert planned.run == "quick" and all(planned.has(part) for part in profiles.PARTS_OF["stability"])
    for m in planned.measurements:  # never fewer behind a correlation that is drawn
        e = m.experiment
        assert e.population == "none" or len(e.personas) >= 5
        assert m.part == "neutral" or len(e.topics) >= 3


def test_quantized_variants_are_loaded_once_each(monkeypatch):
    kinds = []

    def load(model, dtype):
        kinds.append(dtype)
        respondent = FakeRespondent()
        respondent.name = f"fake-{dtype}"
        return respondent

    monkeypatch.setattr(study, "_load", load)
    planned = plan_study("quick")
    assert sorted(kinds) == ["4bit", "8bit", "auto"]
    assert {e.model for e in planned.experiments} == {"fake-auto", "fake-4bit", "fake-8bit", *CONTROLS}
    assert planned.tested_model == "fake-auto"


def test_smoke_runs_every_stage(loaded):
    found = sizes(plan_study("smoke"))
    assert {model for model, *_ in found} == {"fake", *CONTROLS}
    assert {format for _, format, _ in found} == {"tuned_sys"}
    assert {population for *_, population in found} == {"fictional_characters", "none"}
    assert all(topics >= 2 for _, topics, _ in found.values())
    assert all(personas >= 3 for (*_, name), (personas, _, _) in found.items() if name != "none")
    assert all(plan_study("smoke").has(part) for part in profiles.PARTS_OF["stability"])
    for paper in ("structure", "prompting"):
        assert {model for model, *_ in sizes(plan_study("smoke", paper=paper))} == {
            "fake", "control-random", "control-circumplex",
        }  # fmt: skip


@pytest.mark.parametrize("name", ["smoke", "quick", "paper"])
def test_the_built_in_profiles_study_the_embedded_model(name, loaded):
    plan_study(name)
    assert set(loaded) == {"SmolLM2-135M-Instruct"}


def test_unknown_profile():
    with pytest.raises(
        ValuestabError, match="Unknown profile 'quik'. Did you mean 'quick'. Known: paper, quick, single, smoke"
    ):
        load_profile("quik")
    with pytest.raises(ValuestabError, match="nowhere.yaml cannot be read .*data/profiles"):
        load_profile("nowhere.yaml")


@pytest.mark.parametrize("text", ["model: [", "\tx", "!!python/object/apply:os.system [ls]", "model: 'a\n\n"])
def test_a_profile_that_is_no_yaml_is_one_sentence(profile, text):
    with pytest.raises(ValuestabError, match="mine.yaml cannot be read") as error:
        load_profile(profile(text))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"seeds": None, "model": None}, "mine.yaml lacks model, seeds"),
        ({"experiments": []}, "lacks experiments"),
        ({"experiments": "all"}, "lacks experiments"),
        ({"experiments": [{"population": "none"}]}, "An experiment of profile .* lacks format"),
        ({"experiments": ["none"]}, "An experiment of profile .* lacks population, format"),
        ({"model": 5}, "The model of profile .*mine.yaml is 5, but must be text: give one name, in quotes"),
        ({"model": ["a"]}, r"The model of profile .* is \['a'\], but must be text"),
        ({"experiments": [{"population": 5, "format": "own"}]}, "The population of an experiment of .* is 5, but must"),
        (
            {"experiments": [{"population": "none", "format": "own", "dtype": [4]}]},
            r"The dtype of an experiment of .* is \[4\], but must be text",
        ),
        ({"seed": [1]}, "Unknown entry in .*: 'seed'. Did you mean 'seeds'"),
        (
            {"experiments": [{"population": "none", "format": "own", "n_persona": 2}]},
            "Unknown entry in an experiment .*'n_persona'. Did you mean 'n_personas'",
        ),
        (
            {"experiments": [{"population": "none", "format": "own", "part": "pcq"}]},
            "Unknown part 'pcq'. Did you mean 'pvq'",
        ),
        (
            {"experiments": [{"population": "none", "format": "own", "task": "donation"}]},
            "must name a task if it is of the part downstream, and may if of orders",
        ),
        (
            {"experiments": [{"population": "none", "format": "own", "part": "downstream"}]},
            "must name a task if it is of the part downstream, and may if of orders",
        ),
        (
            {"experiments": [{"population": "none", "format": "bass"}]},
            "Unknown format 'bass'. Did you mean 'base'",
        ),
    ],
)
def test_a_profile_that_lacks_something_or_has_something_unknown(profile, changes, message):
    with pytest.raises(ValuestabError, match=message):
        load_profile(profile(**changes))


def test_a_profile_of_ones_own_has_a_name_of_its_own(profile, tmp_path):
    Path(profile()).rename(tmp_path / "quick.yaml")
    with pytest.raises(ValuestabError, match="quick.yaml has the name of one in data/profiles, .* give it another"):
        load_profile(str(tmp_path / "quick.yaml"))


def test_a_folder_of_results_may_be_a_number(loaded):
    assert plan_study("smoke", results_dir=2024).results_dir == Path("2024")


@pytest.mark.parametrize("text", ["", "[]", "just text"])
def test_a_profile_that_is_no_mapping(profile, tmp_path, text):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ValuestabError, match="lacks model, topics, seeds, n_messages, experiments, controls"):
        load_profile(str(tmp_path / "mine.yaml"))


def test_seeds_with_underscores_are_no_numbers(profile, loaded):
    quick = (DATA / "profiles" / "quick.yaml").read_text()
    with pytest.raises(ValuestabError, match=r"seeds is .*'2_4'"):
        plan_study(profile(quick.replace("seeds: [1, 2]", "seeds: [1, 2_4]")))


def test_every_file_of_data_profiles_is_read():
    for file in profiles.PROFILES.glob("*.yaml"):
        assert load_profile(file.stem) == load_profile(str(file))


# What is changed by hand


@pytest.mark.parametrize(
    "asked, message",
    [
        ({"model": "SmolLM2-135M-instruct"}, "Unknown model .*Did you mean 'SmolLM2-135M-Instruct'"),
        ({"model": 5}, "model is 5, but must be text"),
        ({"profile": 5}, "profile is 5, but must be text"),
        ({"dtype": ["4bit"]}, r"dtype is \['4bit'\], but must be text"),
        ({"profile": "papers"}, "Unknown profile 'papers'. Did you mean 'paper'"),
        ({"topics": ["joke", "ches"]}, "Unknown topic 'ches'. Did you mean 'chess'.*no_conversation"),
        ({"topics": ["joke", "joke"]}, "A topic is named twice"),
        ({"topics": "joke"}, "topics is 'joke', but must be a list"),
        ({"topics": []}, r"topics is \[\]"),
        (
            {"populations": ["fictional"]},
            "Unknown population 'fictional'. Did you mean 'fictional_characters'",
        ),
        ({"populations": ["nowhere.csv"]}, "nowhere.csv cannot be read"),
        ({"populations": ["none", "none"]}, "none and none have one name"),
        ({"populations": "none"}, "populations is 'none', but must be a list"),
        ({"populations": []}, r"populations is \[\]"),
        ({"formats": ["tuned"]}, "Unknown format 'tuned'.*own, base, tuned_sys, tuned_no_sys"),
        ({"formats": "base"}, "formats is 'base', but must be a list"),
        ({"formats": []}, r"formats is \[\]"),
        ({"controls": ["random"]}, "Unknown control 'random'. Did you mean 'control-random'"),
        ({"controls": "control-random"}, "controls is 'control-random'"),
        ({"seeds": 1}, "seeds is 1, but must be a list"),
        ({"seeds": "[1, 2]"}, "seeds is .* but must be a list"),
        ({"seeds": [1, "2_4"]}, "seeds is .*2_4"),
        ({"seeds": [1, True]}, "seeds is .*True"),
        ({"seeds": [1.0]}, "seeds is"),
        ({"seeds": []}, r"seeds is \[\]"),
        ({"seeds": [1, 1]}, "The seeds of an experiment"),
        ({"n_personas": 0}, "n_personas is 0"),
        ({"n_personas": 61}, "n_personas is 61, .* from 1 to 60"),
        ({"n_personas": "5"}, "n_personas is '5'"),
        ({"n_permutations": 51}, "51, .* from 1 to 50"),
        ({"n_messages": 2}, "n_messages is 2, but must be an odd"),
        ({"n_messages": True}, "n_messages is True"),
        ({"n_messages": "3"}, "n_messages is '3'"),
        ({"wording": "publisht"}, "Unknown wording 'publisht'. Did you mean 'published'"),
        ({"dtype": "float64"}, "Unknown dtype 'float64'"),
        ({"parts": ["pca"]}, "Unknown part 'pca'"),
        ({"parts": "pvq"}, "parts is 'pvq', but must be a list"),
        ({"n_names": 21}, "n_names is 21, .* from 1 to 20"),
        ({"lengths": 3}, "lengths is 3, but must be a list"),
        ({"lengths": [1, 2]}, "n_messages is 2, but must be an odd"),
        ({"compare": "all"}, "compare is 'all', but must be a list"),
    ],
)
def test_bad_input_is_one_sentence_before_a_model_is_loaded(monkeypatch, asked, message):
    def too_late(*_, **__):
        pytest.fail("a model is loaded before the input is checked")

    monkeypatch.setattr("valuestab_utils.loading.AutoTokenizer.from_pretrained", too_late)
    with pytest.raises(ValuestabError, match=message) as error:
        plan_study(**asked)
    assert "\n" not in str(error.value)


def test_what_is_given_is_run_and_the_rest_is_as_the_profile_says(loaded):
    changed = plan_study(
        "paper", topics=["chess", "no_conversation"], seeds=[7], n_personas=4, n_permutations=6
    )
    assert sizes(changed)["fake", "tuned_sys", "fictional_characters"] == (4, 2, 1)
    assert sizes(changed)["fake", "tuned_sys", "none"] == (6, 2, 1)
    by_population = {e.population: e for e in changed.experiments}
    assert by_population["real_world_personas"].seeds == (7,)
    assert by_population["none"].seeds == (1,)  # its unit is the permutation
    assert [t.topic for t in by_population["none"].topics] == ["chess", "no_conversation"]
    assert {e.n_messages for e in plan_study("paper", n_messages=7).experiments} == {7}
    assert {e.model for e in plan_study("paper", controls=[]).experiments} == {"fake"}
    some = plan_study("paper", parts=["downstream", "lengths"], n_names=2, lengths=[5, 1, 5])
    assert {m.part for m in some.measurements} == {"downstream", "lengths"} and not some.has("pvq")
    assert {m.experiment.n_messages for m in of_part(some, "lengths")} == {1, 5}
    assert {len(m.instrument.items) for m in of_part(some, "downstream")} == {10, 5}
    own = plan_study("paper", topics=["joke", "chess"])  # these two parts are about topics of their own
    assert {len(m.experiment.topics) for m in of_part(own, "contexts")} == {14}
    assert {m.experiment.topics[0].topic for m in of_part(own, "neutral")} == {"no_conversation"}
    one = plan_study("quick", populations=["none"], controls=["control-random", "control-random"])
    assert {model for model, *_ in sizes(one)} == {"fake", "control-random"}
    assert {m.experiment.population for m in one.measurements} == {"none"}


def test_formats_override_those_of_the_profile_for_the_model_alone(loaded):
    found = sizes(plan_study("quick", formats=["base", "tuned_no_sys", "base"]))
    assert {format for model, format, _ in found if model == "fake"} == {"base", "tuned_no_sys"}
    assert {format for model, format, _ in found if model != "fake"} == {"tuned_sys"}
    assert sum(model == "fake" for model, *_ in found) == 6
    own = sizes(plan_study("quick", formats=["own", "tuned_sys"]))
    assert sum(model == "fake" for model, *_ in own) == 3


def test_where_own_is_a_format_that_is_named_too_the_larger_experiment_is_run(loaded, profile):
    loaded.give = lambda: language_model(None)
    entries = [
        {"population": "none", "format": "own", "n_personas": 2},
        {"population": "none", "format": "base", "n_personas": 9},
    ]
    for experiments in (entries, entries[::-1]):
        assert sizes(plan_study(profile(experiments=experiments))) == {("tiny", "base", "none"): (9, 1, 1)}


@pytest.mark.parametrize(
    "template, own",
    [(None, "base"), (CHATML, "tuned_sys"), (NO_SYSTEM, "tuned_no_sys")],
    ids=["none", "any", "no"],
)
def test_a_models_own_format(loaded, profile, template, own):
    loaded.give = lambda: language_model(template)
    assert [e.format for e in plan_study(profile()).experiments] == [own]


def test_formats_that_a_model_cannot_be_asked_in(loaded, profile):
    loaded.give = lambda: language_model(None)
    for format in ("tuned_sys", "tuned_no_sys"):
        with pytest.raises(
            ValuestabError, match=f"tiny has no chat template, as the format '{format}' needs"
        ):
            plan_study(profile(), formats=["base", format])
    loaded.give = lambda: language_model(NO_SYSTEM)
    with pytest.raises(ValuestabError, match="tiny takes no system message.*use formats=.'tuned_no_sys'"):
        plan_study(profile(), formats=["tuned_sys"])


# Populations of one's own


def test_a_population_file_is_run_under_its_name(loaded, tmp_path):
    (tmp_path / "hobbits.csv").write_text(PEOPLE)
    planned = plan_study("quick", populations=[str(tmp_path / "hobbits.csv")], seeds=[3, 4], n_messages=1)
    assert sizes(planned)["fake", "tuned_sys", "hobbits"] == (3, 3, 2)


def test_a_population_file_must_not_pass_for_another(loaded, tmp_path):
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "hobbits.csv").write_text(PEOPLE)
        (tmp_path / place / "none.csv").write_text(PEOPLE)
    with pytest.raises(ValuestabError, match="a/hobbits.csv and .*b/hobbits.csv have one name"):
        plan_study(populations=[str(tmp_path / place / "hobbits.csv") for place in ("a", "b")])
    with pytest.raises(ValuestabError, match="a/none.csv has the name of one in data/populations"):
        plan_study(populations=[str(tmp_path / "a" / "none.csv")])
    (tmp_path / "names.csv").write_text(PEOPLE)
    with pytest.raises(ValuestabError, match="names.csv has the name of a condition"):
        plan_study(populations=[str(tmp_path / "names.csv")])
    with pytest.raises(ValuestabError, match="have one name"):
        plan_study(populations=["none", str(tmp_path / "a" / "none.csv")])
    built_in = plan_study(populations=[str(DATA / "populations" / "none.csv")], n_permutations=4, controls=[])
    assert sizes(built_in) == {("fake", "tuned_sys", "none"): (4, 3, 2)}


def test_personas_without_gender_are_found_before_a_model_is_loaded(loaded, tmp_path):
    (tmp_path / "ents.csv").write_text(PEOPLE + "Treebeard,Treebeard,Treebeard the ent.,\n")
    with pytest.raises(
        ValuestabError, match="1 personas of ents have no gender, such as 'Treebeard'.*fill in M or F"
    ):
        plan_study(populations=[str(tmp_path / "ents.csv")])
    assert not loaded
    assert plan_study(populations=[str(tmp_path / "ents.csv")], n_personas=3).experiments


# Running it


def test_everything_goes_through_one_store_and_is_computed_once(loaded, tmp_path, monkeypatch):
    small = small_instrument()
    monkeypatch.setattr(study, "load_pvq40", lambda wording: small)
    respondents = []
    loaded.give = lambda: respondents.append(FakeRespondent()) or respondents[-1]
    asked = {"controls": ["control-random"], "results_dir": tmp_path, "n_personas": 2, "n_permutations": 2}
    asked["parts"] = ["pvq"]
    planned = plan_study("smoke", topics=["joke", "no_conversation"], **asked)
    answers = planned.answers()
    overview = planned.overview()
    assert len(answers) == overview["answers"].sum() == 3 * overview["sessions"].sum()
    assert list(overview["model"].unique()) == ["fake", "control-random"] == list(answers["model"].unique())
    conversations = planned.conversations()
    assert (
        set(conversations["topic"]) == {"joke"} and len(conversations) == overview["sessions"].sum() / 2 * 2
    )
    n_calls = sum(respondent.calls for respondent in respondents)
    again = plan_study("smoke", topics=["joke", "no_conversation"], **asked)
    pd.testing.assert_frame_equal(again.answers(), answers)
    assert n_calls and sum(respondent.calls for respondent in respondents) == n_calls
    assert {path.name for path in tmp_path.iterdir()} == {"fake", "control-random"}


def test_a_study_without_any_conversation_has_answers(loaded, tmp_path):
    planned = plan_study(
        "smoke", topics=["no_conversation"], controls=[], results_dir=tmp_path, n_personas=1, parts=["pvq"]
    )
    assert planned.conversations().empty and len(planned.answers()) == planned.overview()["answers"].sum()


def test_end_to_end_with_a_model_folder(tmp_path, profile):
    """A tiny real model from its folder, in two formats, with its answers through the whole pipeline."""
    tokenizer = byte_tokenizer(template=CHATML, eos="<|im_end|>")
    llama(tokenizer, num_hidden_layers=1, initializer_range=0.4).save_pretrained(tmp_path / "tiny")
    tokenizer.save_pretrained(tmp_path / "tiny")
    experiments = [
        {"population": "fictional_characters", "format": f, "n_personas": 2} for f in ("own", "base")
    ]
    planned = plan_study(
        profile(experiments=experiments, topics=["chess", "no_conversation"]),
        str(tmp_path / "tiny"),
        results_dir=tmp_path / "results",
    )
    answers = planned.answers()
    assert len(answers) == 2 * 2 * 2 * 40
    assert set(answers["format"]) == {"tuned_sys", "base"} and set(answers["model"]) == {"tiny"}
    assert answers["answer"].between(1, 6).all() and (answers["letter_mass"] > 0).all()
    for row in answers.to_dict("records"):
        assert row["answer"] == row["option_order"]["ABCDEF".index(row["letter"])]
    again = plan_study(str(tmp_path / "mine.yaml"), str(tmp_path / "tiny"), results_dir=tmp_path / "results")
    pd.testing.assert_frame_equal(again.answers(), answers)
    assert planned.figures_dir == ROOT / "figures" / "mine-tiny"


def test_who_is_tested_and_where_figures_go(loaded, tmp_path):
    planned = plan_study("smoke")
    assert planned.tested_model == "fake" and planned.figures_dir == ROOT / "figures" / "smoke"
    (tmp_path / "tiny").mkdir()
    assert plan_study("smoke", str(tmp_path / "tiny")).figures_dir == ROOT / "figures" / "smoke-tiny"
    assert run_name("smoke", str(tmp_path / "tiny"), "4bit") == "smoke-tiny-4bit"
    assert run_name("smoke", str(tmp_path / "tiny"), "4bit", seeds=[2]) == "smoke-tiny-4bit-seeds=2"
    who = [planned.respondent(experiment) for experiment in planned.experiments]
    assert {type(respondent) for respondent in who} == {FakeRespondent, RandomRespondent, SyntheticRespondent}
    assert planned.results_dir == ROOT / "results"


@pytest.mark.parametrize(("name", "text", "run"), [
    ("n_personas", "2", "n_personas=2"), ("n_permutations", "1", "n_permutations=1"), ("n_names", "1", "n_names=1"),
    ("n_messages", "3", "n_messages=3"), ("seeds", "[4, 5]", "seeds=4,5"), ("topics", "[joke]", "topics=joke"),
    ("controls", "[]", "controls="), ("wording", "project", "wording=project"), ("parts", "[pvq]", "parts=pvq"),
    ("dtype", "bfloat16", "dtype=bfloat16"), ("dtype", "4bit", "4bit"), ("lengths", "[3]", "lengths=3"),
    ("formats", "[base]", "formats=base"), ("compare", "[all]", "compare=all"), ("results_dir", "elsewhere", ""),
    ("populations", "[none]", "populations=none"), ("populations", "[own.csv]", "populations=own"),
    ("topics", "[joke, chess, poem, history, grammar, bicycle, weather, britney, no_conversation]", "8bdc10a2"),
    ("populations", "[../a b.csv]", "b73330fc"), ("wording", "auto", ""), ("seeds", "None", ""),
])  # fmt: skip
def test_a_run_goes_by_what_is_changed_of_its_profile(loaded, tmp_path, monkeypatch, name, text, run):
    for own in ("folder/own.csv", "a b.csv"):
        (tmp_path / own).parent.mkdir(exist_ok=True)
        (tmp_path / own).write_text(PEOPLE)
    monkeypatch.chdir(tmp_path / "folder")
    given = for_study({"profile": "smoke", name: text})
    named = run_name(**given)
    assert named == (f"smoke-{run}" if run else "smoke")
    assert plan_study(**given).run == named


def test_every_parameter_but_the_folder_of_results_is_in_the_name_whatever_the_order():
    declared = declared_parameters(ROOT / "notebooks" / "01_conversations.ipynb")
    changes = dict.fromkeys(declared.keys() - {"profile", "model"}, "x")
    names = {run_name("smoke", **{name: changed}) for name, changed in changes.items()}
    assert names == {"smoke", *(f"smoke-{name}=x" for name in changes if name != "results_dir")}
    assert run_name("smoke", seeds=[1], n_names=2) == run_name("smoke", n_names=2, seeds=[1])


# Parts beside the main one


@pytest.fixture
def small_study(loaded, tmp_path, monkeypatch):
    """Plans a study of three short items with what is given."""
    monkeypatch.setattr(study, "load_pvq40", lambda wording: small_instrument())

    def plan(*entries, **asked):
        monkeypatch.setattr(study, "load_profile", lambda name: {
            "model": "SmolLM2-135M-Instruct", "topics": ["joke", "chess"], "seeds": [1], "n_messages": 1,
            "experiments": [{"population": "none", "format": "own", "n_personas": 2} | e for e in entries],
            "controls": [],
        })  # fmt: skip
        return plan_study("mine", results_dir=tmp_path, **asked)

    return plan


def test_a_longer_conversation_is_simulated_once_and_asked_after_each_length(small_study, loaded):
    respondents = []
    loaded.give = lambda: respondents.append(FakeRespondent()) or respondents[-1]
    planned = small_study({"part": "lengths", "n_messages": [1, 3, 5]})
    answers = planned.answers("lengths")
    assert sorted(answers["asked_after"].unique()) == [1, 3, 5]
    assert (answers["asked_after"] == answers["n_messages"]).all()
    assert len(respondents[0].spoken) == 2 * 2 * 5  # personas x topics x messages
    assert len(planned.conversations()) == 2 * 2 * 6


def test_the_retest_asks_the_same_sessions_in_both_orders(small_study):
    planned = small_study({}, {"part": "orders", "orders": ["second", "balanced"], "topics": ["joke"]})
    first, second = planned.retest_answers()
    assert set(first["topic"]) == {"joke"} and len(first) == len(second) == 2 * 3
    assert list(first["conversation"]) == list(second["conversation"])
    assert len(planned.answers("orders", orders="balanced")) == 6 * len(first)
    assert all(frame.empty for frame in small_study({}).retest_answers())
    assert small_study({}).answers("lengths").empty


@pytest.mark.parametrize(("part", "said"), [
    (None, "The part 'lengths' has nothing for this figure in this run."),
    ("pvq", "The part 'pvq' has nothing for this figure in this run."),
    (("lengths", "neutral"), "The part 'neutral' has nothing for this figure in this run: it needs the parts "
     "'lengths' and 'neutral'."),
    (("downstream", "pvq"), "The parts 'downstream' and 'pvq' have nothing for this figure in this run."),
])  # fmt: skip
def test_a_figure_without_data_names_what_it_lacks(small_study, tmp_path, monkeypatch, part, said):
    monkeypatch.setattr(study, "ROOT", tmp_path)
    planned = small_study({"part": "lengths", "n_messages": [1]})
    planned.keep(None, pd.DataFrame(), "figure_13", "", part)
    assert read_record("figure_13", planned.figures_dir).skipped == said


def test_what_a_model_cannot_do_is_left_out_openly_unless_it_was_asked_for(small_study, loaded):
    loaded.give = lambda: language_model(NO_SYSTEM)
    planned = small_study({}, {"part": "induction", "format": "tuned_sys"})
    assert [m.part for m in planned.measurements] == ["pvq"]
    assert len(planned.left_out) == 1 and "takes no system message" in planned.left_out[0]
    with pytest.raises(ValuestabError, match="Nothing is left.*takes no system message"):
        small_study({"format": "tuned_sys"})
    with pytest.raises(ValuestabError, match="no experiment of the paper 'stability'"):
        small_study({}, parts=["contexts"])


def test_models_in_the_results_folder_stand_beside(small_study, loaded, tmp_path):
    loaded.give = lambda: Named("other")
    small_study({}).answers()
    loaded.give = lambda: Named("third")
    small_study({"topics": ["joke"]}).answers()
    loaded.give = FakeRespondent
    alone, beside = small_study({}).answers(), small_study({}, compare=["other"]).answers()
    assert set(alone["model"]) == {"fake"} and list(beside["model"].unique()) == ["fake", "other"]
    assert len(beside) == 2 * len(alone)
    everyone = small_study({}, compare=["all"]).answers()  # the third lacks sessions
    assert list(everyone["model"].unique()) == ["fake", "other"]
    with pytest.raises(ValuestabError, match="2 of 4 sessions have no result in .*third"):
        small_study({}, compare=["third"]).answers()
    with pytest.raises(ValuestabError, match="Unknown model with results 'othr'. Did you mean 'other'"):
        small_study({}, compare=["othr"]).answers()


@pytest.mark.parametrize("compare", [["other"], ["all"]])
def test_results_of_another_sampler_do_not_stand_beside(small_study, loaded, compare):
    loaded.give = lambda: Named("other", dtype="float32", sampler=SAMPLER)
    small_study({}).answers()
    loaded.give = FakeRespondent
    assert set(small_study({}, compare=compare).answers()["model"]) == {"fake", "other"}
    for file in small_study({}).results_dir.glob("other/**/_settings.json"):
        settings = json.loads(file.read_text())
        del settings["sampler"]  # as before it had a version
        file.write_text(json.dumps(settings))
    with pytest.raises(ValuestabError, match="results in .*other.* are of version 1 of the sampler.*leave it out"):
        small_study({}, compare=compare).answers()


class Named(FakeRespondent):
    def __init__(self, name, **own_settings):
        super().__init__()
        self.name, self.own_settings = name, own_settings

    @property
    def settings(self):
        return super().settings | self.own_settings
