"""What profiles say of the conditions of papers 002 and 004 is what is asked; what cannot be is refused beforehand."""

import pytest
from fakes import FakeRespondent
from paper_studies import FewLetters, plan

from valuestab_utils.errors import ValuestabError
from valuestab_utils.inductions import CONDITIONS, PROMPTING, STRUCTURE, load_runs
from valuestab_utils.profiles import PARTS_OF, load_profile
from valuestab_utils.study import CONTROLS, plan_study

ANCHORS = {"part": "structure", "population": "value_anchor", "n_personas": 3, "instruments": ["PVQ-RR"]}
WAYS = ANCHORS | {"part": "administrations", "administrations": ["batch"], "temperatures": [0.7]}
VALUES = {"part": "prompting", "population": "value_prompts", "n_personas": 2, "instruments": ["PVQ-40", "BFI-2"]}
FILLED = {"part": "priming", "population": "filled_questionnaire", "n_personas": 2, "instruments": ["BFI-2"]}
STABILITY = {"population": "fictional_characters", "n_personas": 2}


@pytest.fixture
def study(tmp_path):
    """Plans a study of these entries."""

    def study(*entries, paper="structure", **asked):
        return plan(tmp_path, *entries, paper=paper, **asked)

    return study


def places(planned):
    return [
        (m.part, m.experiment.population, m.instrument.name, m.administration, m.temperature)
        for m in planned.measurements
    ]


@pytest.mark.parametrize("profile", ["smoke", "quick", "single", "paper"])
def test_profiles_in_this_project_are_laid_out_for_every_paper(profile, study, monkeypatch):
    monkeypatch.setattr("valuestab_utils.study._load", lambda model, dtype: FakeRespondent())
    has = {entry.get("part", "pvq") for entry in load_profile(profile)["experiments"]}
    for paper in ("structure", "prompting"):
        if not has & set(PARTS_OF[paper]):
            continue
        planned = plan_study(profile, paper=paper)
        assert {m.part for m in planned.measurements} == has & set(PARTS_OF[paper]) and planned.paper == paper
        assert {e.population for e in planned.experiments} <= set(STRUCTURE if paper == "structure" else PROMPTING)
        assert {e.model for e in planned.experiments} == {"fake", "control-random", "control-circumplex"}
        assert not planned.left_out


def test_every_way_and_temperature_of_an_entry_is_asked_of_the_same_runs(study):
    ways = WAYS | {"administrations": ["letters", "batch", "serial"], "temperatures": [0.0, 0.7], "seeds": [1, 2]}
    planned = study(ANCHORS, ways)
    assert places(planned) == [("structure", "value_anchor", "PVQ-RR", "letters", None)] + [
        ("administrations", "value_anchor", "PVQ-RR", *how)
        for how in (("letters", None), ("batch", 0.0), ("batch", 0.7), ("serial", 0.0), ("serial", 0.7))
    ]
    assert {m.experiment.personas for m in planned.measurements} == {load_runs("value_anchor", 3)}
    assert [m.experiment.seeds for m in planned.measurements] == [(1,)] + [(1, 2)] * 5  # the profile's own are of 001
    assert len({m.place for m in planned.measurements}) == 6
    assert {(e.n_messages, e.topics[0].topic) for e in planned.experiments} == {(1, "no_conversation")}


def test_a_study_is_of_one_paper(study):
    entries = [ANCHORS, WAYS, VALUES, FILLED, STABILITY]
    assert {m.part for m in study(*entries).measurements} == {"structure", "administrations"}
    assert {m.part for m in study(*entries, paper="prompting").measurements} == {"prompting", "priming"}
    assert {m.part for m in study(*entries, paper="stability").measurements} == {"pvq"}
    assert {m.part for m in study(*entries, parts=["pvq", "administrations"]).measurements} == {"administrations"}
    assert places(study(*entries, paper="prompting", populations=["filled_questionnaire"])) == [
        ("priming", "filled_questionnaire", "BFI-2", "letters", None)
    ]


def test_sizes_on_the_command_line_change_runs_and_seeds(study):
    (m,) = study(ANCHORS, n_personas=5, seeds=[3, 4]).measurements
    assert m.experiment.personas == load_runs("value_anchor", 5) and m.experiment.seeds == (3, 4)
    (m,) = study({key: value for key, value in ANCHORS.items() if key != "n_personas"}).measurements
    assert len(m.experiment.personas) == 300


def test_the_larger_of_two_entries_of_one_place_is_asked(study):
    (m,) = study(ANCHORS, ANCHORS | {"n_personas": 5}).measurements
    assert len(m.experiment.personas) == 5
    assert len(study(WAYS, WAYS | {"temperatures": [0.0], "n_personas": 5}).measurements) == 2


def test_the_control_with_known_values_is_each_papers_own(study):
    for paper, entry, name in (("structure", ANCHORS, "circumplex"), ("stability", STABILITY, "synthetic")):
        planned = study(entry, paper=paper, controls=list(CONTROLS))
        assert {e.model for e in planned.experiments} == {"fake", "control-random", f"control-{name}"}
        with pytest.raises(ValuestabError, match="Unknown control 'control-circumplex'"):
            study(entry, paper=paper, controls=["control-circumplex"])


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (ANCHORS | {"population": "value_anchors"}, "condition 'value_anchors'. Did you mean 'value_anchor'"),
        (ANCHORS | {"population": "fictional_characters"}, "Unknown condition 'fictional_characters'"),
        (ANCHORS | {"instruments": ["PVQ-21"]}, "instrument 'PVQ-21'"),
        (ANCHORS | {"instruments": "PVQ-RR"}, "instruments is 'PVQ-RR', but must be a list"),
        (ANCHORS | {"instruments": []}, r"instruments is \[\], but must be a list"),
        ({key: value for key, value in ANCHORS.items() if key != "instruments"}, "lacks instruments"),
        (ANCHORS | {"n_personas": 301}, "n_personas is 301, .* from 1 to 300 runs"),
        (ANCHORS | {"n_personas": 0}, "n_personas is 0"),
        (ANCHORS | {"n_personas": "3 runs"}, "n_personas is '3 runs'"),
        (ANCHORS | {"seeds": ["one"]}, "seeds is .'one'., but must be a list"),
        (ANCHORS | {"topics": ["joke"]}, "entry in an experiment of profile .* 'topics'"),
        (ANCHORS | {"part": "structures"}, "part 'structures'. Did you mean 'structure'"),
        (ANCHORS | {"format": "tuned"}, "format 'tuned'"),
        (WAYS | {"administrations": ["batches"]}, "administration 'batches'. Did you mean 'batch'"),
        (WAYS | {"administrations": "batch"}, "administrations is 'batch', but must be a list"),
        (WAYS | {"temperatures": [1]}, r"temperatures is \[1\], but must be a list such as \[0.0\]"),
        (WAYS | {"temperatures": [-0.7]}, "The temperature is -0.7, but must be a number of 0 or more"),
        (WAYS | {"temperatures": [".nan"]}, "temperatures is"),
        (WAYS | {"instruments": ["BFI-2"]}, "BFI-2 has other options than the PVQ"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_is(study, entry, said):
    with pytest.raises(ValuestabError, match=said) as caught:
        study(entry)
    assert "\n" not in str(caught.value)


def test_codes_are_asked_for_only_where_the_prompt_explains_them(study):
    with pytest.raises(ValuestabError, match="value_prompts.* explain.* ask by letters"):
        study(VALUES | {"instruments": ["PVQ-40"], "administrations": ["batch"]}, paper="prompting")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"topics": ["joke"]}, "topics=.'joke'. does not concern this paper"),
        ({"n_messages": 3}, "n_messages=3 does not concern this paper"),
        ({"n_permutations": 2}, "n_permutations=2"),
        ({"n_names": 1}, "n_names=1"),
        ({"lengths": [1]}, r"lengths=\[1\]"),
        ({"populations": ["names"]}, "condition 'names'"),
        ({"populations": ["fictional_characters"]}, "condition 'fictional_characters'"),
        ({"populations": "value_anchor"}, "populations is 'value_anchor', but must be a list"),
        ({"populations": []}, "populations is"),
        ({"parts": ["pvq"]}, "no experiment of the paper 'structure' with the parts"),
        ({"parts": ["prompting"]}, "no experiment of the paper 'structure'"),
        ({"parts": ["structur"]}, "part 'structur'. Did you mean 'structure'"),
        ({"paper": "rozen"}, "paper 'rozen'"),
        ({"paper": "prompting"}, "no experiment of the paper 'prompting'"),
        ({"n_personas": True}, "n_personas is True"),
        ({"seeds": [1, 1]}, "distinct"),
        ({"seeds": 1}, "seeds is 1, but must be a list"),
        ({"controls": ["control-rand"]}, "control 'control-rand'"),
    ],
)
def test_what_does_not_concern_the_paper_is_refused(study, asked, said):
    with pytest.raises(ValuestabError, match=said):
        study(ANCHORS, **asked)


def test_what_needs_all_letters_is_left_out_where_they_are_not_told(study):
    few = FewLetters()
    both = WAYS | {"administrations": ["batch", "serial"]}
    planned = study(ANCHORS, both, respondent=few)
    assert [how[3] for how in places(planned)] == ["letters", "batch"]
    assert len(planned.left_out) == 1 and "serial answers" in planned.left_out[0]
    planned = study(VALUES, FILLED, FILLED | {"population": "value_prompts_filled"}, respondent=few, paper="prompting")
    assert {how[0] for how in places(planned)} == {"prompting"}
    assert len(planned.left_out) == 1 and "filled" in planned.left_out[0]
    with pytest.raises(ValuestabError, match="Nothing is left to be measured: fake does not give every"):
        study(FILLED, respondent=few, paper="prompting")
    # Controls do tell them.
    beside = study(both, respondent=few, controls=["control-random"])
    assert [(m.experiment.model, m.administration) for m in beside.measurements] == [
        ("fake", "batch"), ("control-random", "batch"), ("control-random", "serial")
    ]  # fmt: skip


def test_every_condition_can_be_planned(study):
    for condition in CONDITIONS:
        paper = "structure" if condition in STRUCTURE else "prompting"
        entry = ANCHORS | {"part": PARTS_OF[paper][0], "population": condition}
        (m,) = study(entry, paper=paper).measurements
        assert m.experiment.population == condition and len(m.experiment.sessions) == 3
