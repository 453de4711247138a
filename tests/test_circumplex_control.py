"""The circle that the control has by construction is found in its answers, however it is asked."""

from dataclasses import replace

import numpy as np
import pytest
from fakes import NO_TALK, experiment, session, small_instrument

from valuestab_utils.batch_administration import ask_batch, batch_prompt
from valuestab_utils.circumplex_control import (
    CircumplexRespondent,
    CircumplexSettings,
    load_circumplex,
    value_directions,
)
from valuestab_utils.errors import ValuestabError
from valuestab_utils.inductions import load_runs
from valuestab_utils.instrument_names import INSTRUMENTS as INSTRUMENT_NAMES
from valuestab_utils.instrument_names import load_instrument
from valuestab_utils.instruments import PVQ_OPTIONS, Instrument, Item, load_pvq40
from valuestab_utils.populations import Persona
from valuestab_utils.questionnaire import ask_questionnaire, item_prompts
from valuestab_utils.serial_administration import ask_serial, serial_prompt

REFINED = tuple("SDT SDA ST HE AC POD POR FAC SEP SES TR COR COI HUM BED BEC UNC UNN UNT".split())
BASIC_OF = {"SDT": "Self-Direction", "SDA": "Self-Direction", "ST": "Stimulation", "HE": "Hedonism"}
BASIC_OF |= {"AC": "Achievement", "POD": "Power", "POR": "Power", "SEP": "Security", "SES": "Security"}
BASIC_OF |= {"TR": "Tradition", "HUM": "Tradition", "COR": "Conformity", "COI": "Conformity", "BED": "Benevolence"}
BASIC_OF |= {"BEC": "Benevolence", "UNC": "Universalism", "UNN": "Universalism", "UNT": "Universalism"}
ANCHORS = {f"somebody who loves {value.lower()} things": value for value in REFINED}
ANCHORS["kind to cats"] = "Animal-welfare"
DESCRIPTIONS = {f"greatly values {value.lower()}": value for value in set(BASIC_OF.values())}

ITEMS = [Item(i + 1, value, f"He likes {value}.", f"She likes {value}.") for i, value in enumerate(REFINED)]
NINETEEN = Instrument("Nineteen", "project", "v1", "", PVQ_OPTIONS, tuple(ITEMS), REFINED)
PVQ = load_pvq40("project")
GIVING = ("Would you give?", "How often do you keep all?")
BEHAVIOUR = Instrument(
    *("Behaviour", "project", "v1", "Think of last year.", ("never", "rarely", "sometimes", "often", "always")),
    tuple(Item(i, "giving", text, text) for i, text in enumerate(GIVING, start=1)),
    scales=("giving",), centred=False, reversed_items=(2,),
)  # fmt: skip
INSTRUMENTS = (NINETEEN, PVQ, BEHAVIOUR)
LETTERS = "ABCDEF"


def control(noise=0.0, **options):
    return CircumplexRespondent(
        INSTRUMENTS, REFINED, BASIC_OF, ANCHORS, DESCRIPTIONS, settings=CircumplexSettings(1.5, noise), **options
    )


def told(text, name="run", gender="F"):
    return Persona(name, "CHATBOT", "", gender, text and f"Answer from 1 to 6 as {text}.", "g")


ANCHORED = tuple(told(text, f"{value} 01") for text, value in ANCHORS.items() if value in REFINED)
WHOLE = experiment(ANCHORED, (NO_TALK,), n_messages=1)


def asked(how, instrument, folder, whole=WHOLE, respondent=None):
    respondent = respondent or control()
    if how == "letters":
        return ask_questionnaire(whole, respondent, instrument, folder)
    return (ask_batch if how == "batch" else ask_serial)(whole, respondent, instrument, folder, 0.0)


def test_angles_are_even_for_refined_values_and_means_for_basic_ones():
    refined, basic = value_directions(REFINED, BASIC_OF)
    assert np.diff(list(refined.values())) == pytest.approx([2 * np.pi / 19] * 18)
    step = 2 * np.pi / 19
    assert [basic[v] / step for v in ("Self-Direction", "Stimulation", "Power")] == pytest.approx([0.5, 2, 5.5])
    assert basic["Tradition"] / step + 19 == pytest.approx(11.5) == pytest.approx(basic["Conformity"] / step + 19)
    assert basic["Universalism"] / step + 19 == pytest.approx(17)
    with pytest.raises(ValuestabError, match="refined value 'XX'"):
        value_directions(REFINED, {"XX": "Power"})


@pytest.mark.parametrize("how", ["letters", "batch", "serial"])
def test_the_answer_follows_the_cosine_of_the_angle_whatever_the_administration(how, tmp_path):
    frame = asked(how, NINETEEN, tmp_path)
    codes = frame["answer"].to_numpy(dtype=float).reshape(19, 19)  # runs, items
    apart = np.subtract.outer(np.arange(19), np.arange(19)) * 2 * np.pi / 19
    assert np.array_equal(codes, np.round(3.5 + 1.5 * np.cos(apart)))
    assert (codes.diagonal() == 5).all()


def test_with_noise_values_correlate_by_their_distance_on_the_circle(tmp_path):
    frame = asked("batch", NINETEEN, tmp_path, respondent=control(noise=0.5))
    codes = frame["answer"].to_numpy(dtype=float).reshape(19, 19)
    found = np.corrcoef(codes - codes.mean(1, keepdims=True), rowvar=False)
    apart = np.abs(np.subtract.outer(np.arange(19), np.arange(19)))
    expected = np.cos(2 * np.pi * apart / 19)
    upper = np.triu_indices(19, 1)
    assert np.corrcoef(found[upper], expected[upper])[0, 1] > 0.85


def test_basic_values_are_told_by_name_or_description_and_asked_with_an_instruction(tmp_path):
    runs = tuple(told(text, f"{value} 01", "M") for text, value in sorted(DESCRIPTIONS.items()))
    frame = asked("letters", PVQ, tmp_path, experiment(runs, (NO_TALK,), n_messages=1))
    means = frame.groupby(["persona", "value"])["answer"].mean().unstack()
    for run, row in means.iterrows():
        assert row[run.removesuffix(" 01")] == row.max()
    assert means.loc["Power 01", "Universalism"] == means.loc["Power 01"].min() == 2


@pytest.mark.parametrize("format", ["base", "tuned_sys", "tuned_no_sys"])
def test_what_was_said_is_found_in_every_format_and_administration(format):
    s, respondent = session(told("a man from Ohio"), NO_TALK, format=format), control()
    at_first = serial_prompt(s, respondent, PVQ, [], [])
    later = serial_prompt(s, respondent, PVQ, [], [4, 5, 2])
    letters = item_prompts(s, respondent, PVQ, [])
    known = respondent.known
    found = [known.question(at_first.text, "123456"), known.question(later.text, "123456")]
    found += [known.question(letters[5].text, LETTERS)]
    found += known.numbered_questions(batch_prompt(s, respondent, PVQ, [], 0.0).text)
    assert {question.said for question in found} == {"Answer from 1 to 6 as a man from Ohio."}
    assert [q.item.item for q in found] == [1, 4, 6, *range(1, 41)] and {q.instrument.name for q in found} == {"PVQ-40"}
    assert found[2].codes == s.option_order(6, 6)


def test_anything_else_said_has_a_direction_of_its_own_and_nothing_said_has_none():
    respondent = control()
    assert respondent.direction("") == (0.0, 0.0)
    directions = [respondent.direction(f"Answer as person {i}.") for i in range(200)]
    angles, amplitudes = np.array(directions).T
    assert respondent.direction("Answer as person 3.") == directions[3]
    assert np.abs(np.exp(1j * angles).mean()) < 0.2 and 0 <= amplitudes.min() < 0.1 and 1.4 < amplitudes.max() <= 1.5
    assert respondent.direction("Be kind to cats.") == respondent.direction("Always kind to cats.")
    with pytest.raises(ValuestabError, match="texts of several values"):
        respondent.direction("Like somebody who loves unt things, or somebody who loves st things")


def test_reversed_items_and_scales_that_are_no_values(tmp_path):
    frame = asked("letters", BEHAVIOUR, tmp_path)
    codes = frame["answer"].to_numpy(dtype=float).reshape(19, 2)
    assert np.array_equal(codes[:, 0], 6 - codes[:, 1]) and len(set(codes[:, 0])) > 2
    angles = np.arange(19) * 2 * np.pi / 19
    expected = 3 + 0.8 * 1.5 * np.cos(control().scale_angle(BEHAVIOUR, "giving") - angles)
    assert np.abs(codes[:, 0] - expected).max() <= 0.5 + 1e-9


def test_means_raise_whole_scales(tmp_path):
    means = {"Nineteen": {value: 1.3 if value == "HE" else -0.7 for value in REFINED}}
    silent = experiment((told(""),), (NO_TALK,), n_messages=1)
    frame = asked("letters", NINETEEN, tmp_path, silent, control(means=means))
    assert list(frame["answer"]) == [5 if value == "HE" else 3 for value in REFINED]  # 4.8 and 2.8
    with pytest.raises(ValuestabError, match="means of Nineteen lack"):
        control(means={"Nineteen": {"HE": 1.0}})
    with pytest.raises(ValuestabError, match="Unknown instrument 'PVQ'"):
        control(means={"PVQ": {}})


def test_above_zero_a_batch_is_drawn_by_the_runs_noise(tmp_path):
    whole = replace(WHOLE, personas=ANCHORED[:1], seeds=tuple(range(1, 21)))
    drawn = ask_batch(whole, control(), NINETEEN, tmp_path, 0.7)
    likeliest = ask_batch(whole, control(), NINETEEN, tmp_path, 0.0)
    assert likeliest.groupby("item")["answer"].nunique().max() == 1 and drawn["text"].nunique() == 20
    gap = drawn.groupby("item")["answer"].mean() - likeliest.groupby("item")["answer"].mean()
    assert gap.abs().max() < 0.7


def test_what_it_does_not_know_is_refused_or_answered_in_words():
    respondent, s = control(), session(told("x"), NO_TALK)
    with pytest.raises(ValuestabError, match="knows 0 questions"):
        respondent.answer(item_prompts(s, respondent, small_instrument(), []), LETTERS)
    prompt = batch_prompt(s, respondent, small_instrument(), [], 0.7)
    assert not any(character.isdigit() for character in respondent.speak([prompt], 50)[0].content)
    with pytest.raises(ValuestabError, match="basic value 'SDT'"):
        CircumplexRespondent(INSTRUMENTS, REFINED, BASIC_OF, {}, {"x": "SDT"})
    assert control().settings != control(noise=1.0).settings != control(means={"PVQ-40": dict.fromkeys(PVQ.scales, 0)})


def test_scales_that_are_no_values_lie_where_they_are_told():
    placed = control(directions={("Behaviour", "giving"): "BEC"})
    assert placed.scale_angle(BEHAVIOUR, "giving") == placed.refined["BEC"]
    assert control().scale_angle(BEHAVIOUR, "giving") != placed.refined["BEC"]
    assert placed.settings != control().settings
    with pytest.raises(ValuestabError, match="refined value"):
        control(directions={("Behaviour", "giving"): "Charity"}).scale_angle(BEHAVIOUR, "giving")


def test_this_projects_control_knows_every_value_text_and_every_scale():
    instruments = [load_instrument(name) for name in INSTRUMENT_NAMES]
    own = load_circumplex(instruments)
    for condition, angles in (("value_anchor", own.refined), ("value_prompts", own.basic), ("value_names", own.basic)):
        for run in load_runs(condition, 22):
            angle, amplitude = own.direction(run.prefix)
            if run.group in angles:
                assert (angle, amplitude) == (angles[run.group], 1.5)
            elif run.group == "none":
                assert amplitude == 0
    placed = {(i.name, s) for i in instruments for s in i.scales if not set(i.scales) <= {*own.refined, *own.basic}}
    assert placed == set(own._directions)
