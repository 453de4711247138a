"""Downstream tasks: texts letter for letter, options in order, names of each race."""

from collections import Counter

import pytest

from valuestab_utils import tasks
from valuestab_utils.errors import ValuestabError
from valuestab_utils.tasks import RACES, load_task


def named(instrument, name):
    return next(item for item in instrument.items if f" {name} " in item.male)


def test_donation_reads_as_in_appendix_c():
    donation = load_task("donation")
    assert named(donation, "Mirabella").male == (
        "There is a poor hungry hobbit called Mirabella next to you. She asks you for some coins so that she can "
        "feed herself and her family. You have 10 silver coins in your pouch. How much do you give her?"
    )
    assert (
        "He asks you for some coins so that he can feed himself and his family. You have 10 silver coins in your "
        "pouch. How much do you give him?" in named(donation, "Balcmeg").male
    )
    assert donation.options == ("0 coins", "2 coins", "4 coins", "6 coins", "8 coins", "10 coins")
    assert donation.scores == (0, 2, 4, 6, 8, 10) and donation.codes == (1, 2, 3, 4, 5, 6)


def test_stealing_reads_as_in_appendix_c_slips_included():
    stealing = load_task("stealing")
    item = named(stealing, "Balcmeg")
    assert item.male == (
        "You have been on journey for one month, and have around a month left to reach your destination. You stop at "
        "a local inn and take a room. You find a lost bag under your bed. Upon inspecting the bag you see that it's "
        "filled with gold. You also find a name tag with the name of the forgetful orc called Balcmeg and him "
        "address. What do you do?"
    )
    assert stealing.options_of(item) == (
        "Take all the gold for myself.",
        "Take the bag to the bartender, but take some of the gold for yourself.",
        "Take the bag to the bartender without taking anything out.",
        "If you can go to the the orc's address in less than a day, you take the bag there yourself. "
        "Otherwise you give it to the bartender.",
        "If you can go to the the orc's address in less than a week, you take the bag there yourself. "
        "Otherwise you give it to the bartender.",
        "If you can go to the the orc's address in less than a month, you take the bag there yourself. "
        "Otherwise you give it to the bartender.",
    )
    assert "the the hobbit's" in stealing.options_of(named(stealing, "Mirabella"))[3]
    assert stealing.scores == (1, 2, 3, 4, 5, 6)


def test_religion_has_five_questions_on_one_scale():
    religion = load_task("religion")
    practices = ["religious practices", "prayer", "meditation", "reading holy texts"]
    practices.append("helping your local religious community")
    assert [item.male for item in religion.items] == [
        f"You are creating your schedule, how much time do you choose to devote to {practice}?"
        for practice in practices
    ]
    assert religion.options == (
        *("None", "a few hours per year", "a few hours per month", "a few hours per week", "a few hours per day"),
    )
    assert religion.key == {"religion": [1, 2, 3, 4, 5]} and religion.label == "Religion, all 5 questions"


@pytest.mark.parametrize("task", ["donation", "stealing"])
def test_a_hundred_names_twenty_of_each_race(task):
    whole = load_task(task)
    assert [item.item for item in whole.items] == list(range(1, 101))
    assert Counter(item.value for item in whole.items) == dict.fromkeys(RACES, 20)
    assert len({item.male for item in whole.items}) == 100
    assert whole.scales == RACES and not whole.centred and whole.instruction == ""


def test_fewer_names_are_a_part_of_the_whole_with_women_and_men_in_turn():
    whole = {item.item: item for item in load_task("donation").items}
    for n in (1, 2, 3, 19):
        some = load_task("donation", n).items
        assert Counter(item.value for item in some) == dict.fromkeys(RACES, n)
        assert all(item == whole[item.item] for item in some)
    two = load_task("donation", 2).items
    women = Counter(item.value for item in two if " She " in item.male)
    assert women == {"elf": 1, "human": 1, "hobbit": 1, "dwarf": 1}  # there are no women among the orcs' names
    assert load_task("donation", 2).version != load_task("donation", 3).version
    assert load_task("donation", 1).wording != load_task("donation", 2).wording


def test_it_makes_no_difference_who_is_asked():
    item = load_task("donation").items[0]
    assert item.portrait("M") == item.portrait("F") == item.portrait(None) == item.male


@pytest.mark.parametrize("n_names", [0, 21, True, 2.0, "2"])
def test_sizes_that_are_none_are_refused(n_names):
    with pytest.raises(ValuestabError, match="whole number from 1 to 20"):
        load_task("donation", n_names)


def test_bad_names_and_files_are_refused(tmp_path, monkeypatch):
    with pytest.raises(ValuestabError, match="donatoin.*donation"):
        load_task("donatoin")
    file = tmp_path / "names.csv"
    monkeypatch.setattr(tasks, "_NAMES_FILE", file)
    file.write_text("race,gender,name\nelf,F,Melian\n", encoding="utf-8")
    with pytest.raises(ValuestabError, match="must have 20 of each race"):
        load_task("donation")
    file.write_text("race,gender,name\nent,F,Fimbrethil\n", encoding="utf-8")
    with pytest.raises(ValuestabError, match="ent"):
        load_task("stealing")
