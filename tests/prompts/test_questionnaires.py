import csv
import hashlib
import json
import shutil
from collections import Counter
from dataclasses import asdict

import pytest
import yaml

from valuestab_utils.errors import ValuestabError
from valuestab_utils.prompts import QUESTIONNAIRES, Item, Persona, formats, load_questionnaire
from valuestab_utils.prompts import questionnaires as module

# Of all that is asked and how it counts: a change of one letter is another questionnaire.
HASHES = {
    "BFI-2": "6befc74302ac",
    "Behaviour-statements": "1ecfbfd59a72",
    "Charity-choice": "9cea30af59ff",
    "Charity-game": "3027eca7485e",
    "Donation 1": "cdf6590abcbd",
    "Donation 3": "58a226419eda",
    "Donation": "816f3a0ec916",
    "Donation-causes": "4a07b6902a4d",
    "Everyday-behaviour": "ad044c65d2f3",
    "PVQ-40": "1230d6a47d41",
    "PVQ-RR": "6c2d07d81aaa",
    "Prosocialness": "fe9642139e77",
    "Religion": "38bb5ce2a5ab",
    "Stealing 1": "5bcdd60bce2e",
    "Stealing 3": "edfa339881b3",
    "Stealing": "cceb450586dd",
    "example_de": "2df7fd9d9224",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A copy of data/questionnaires, without what a user has put there."""
    for path in [*module.FOLDER.glob("*.yaml"), *module.FOLDER.glob("*.csv")]:
        shutil.copy(path, tmp_path)
    (tmp_path / "Behaviour-statements").mkdir()
    shutil.copy(module.FOLDER / "Behaviour-statements/project.csv", tmp_path / "Behaviour-statements")
    (tmp_path / "published").mkdir()
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", QUESTIONNAIRES)
def test_what_is_asked_letter_for_letter(name, folder):
    for n_names in (1, 3, None) if name in ("Donation", "Stealing") else (None,):
        asked = load_questionnaire(name, n_names=n_names)
        content = json.dumps(asdict(asked) | {"label": asked.label, "key": asked.key}, ensure_ascii=False)
        given = name if n_names is None else f"{name} {n_names}"
        assert (given, hashlib.sha256(content.encode()).hexdigest()[:12]) == (given, HASHES[given])
        assert all(asked.key.values()) and set(asked.reversed_items) <= {item.item for item in asked.items}


def test_portraits_by_gender_and_questions_for_everybody():
    item = Item(7, "Hedonism", "He likes tea.", "She likes tea.")
    assert (item.portrait("M"), item.portrait("F")) == ("He likes tea.", "She likes tea.")
    with pytest.raises(ValuestabError, match="Item 7 .* no gender.*column gender"):
        item.portrait(None)
    assert load_questionnaire("Religion").items[1].portrait(None) == (
        "You are creating your schedule, how much time do you choose to devote to prayer?"
    )


def test_a_task_reads_as_in_appendix_c_slips_included():
    stealing = load_questionnaire("Stealing")
    item = next(item for item in stealing.items if " Balcmeg " in item.male)
    assert item.male == (
        "You have been on journey for one month, and have around a month left to reach your destination. You stop at "
        "a local inn and take a room. You find a lost bag under your bed. Upon inspecting the bag you see that it's "
        "filled with gold. You also find a name tag with the name of the forgetful orc called Balcmeg and him "
        "address. What do you do?"
    )
    assert stealing.options_of(item)[3] == (
        "If you can go to the the orc's address in less than a day, you take the bag there yourself. Otherwise you "
        "give it to the bartender."
    )
    assert load_questionnaire("Donation").scores == (0, 2, 4, 6, 8, 10)


def test_fewer_names_are_a_part_of_the_whole_with_women_and_men_in_turn():
    whole = load_questionnaire("Donation").items
    for n in (1, 2, 19):
        some = load_questionnaire("Donation", n_names=n).items
        assert set(some) <= set(whole) and set(Counter(item.value for item in some).values()) == {n}
    women = Counter(item.value for item in load_questionnaire("Donation", n_names=2).items if " She " in item.male)
    assert women == {"elf": 1, "human": 1, "hobbit": 1, "dwarf": 1}  # there are no women among the orcs' names
    assert load_questionnaire("Religion", n_names=1) == load_questionnaire("Religion")


def test_names_and_wordings_that_are_not_there():
    with pytest.raises(ValuestabError, match=r"Unknown questionnaire 'bfi2'. Did you mean 'BFI-2'\?"):
        load_questionnaire("bfi2")
    with pytest.raises(ValuestabError, match="Unknown wording of BFI-2 'project'.*Known: auto"):
        load_questionnaire("BFI-2", "project")
    with pytest.raises(ValuestabError, match="Unknown wording of PVQ-40 'publised'.*'published'"):
        load_questionnaire("PVQ-40", "publised")


def test_an_example_in_another_language_as_a_model_is_asked_it():
    german = load_questionnaire(module.FOLDER / "example_de.yaml")
    item = german.items[3]
    text = formats.question(german.instruction, item.portrait(None), german.options_of(item))
    ada = Persona("Ada", "Ada", "Ada, who counts.", None)
    assert formats.tested_prompt("base", None, ada, ["Guten Tag.", "Hallo!"], text) == (
        "CONTEXT: The following is a conversation with Ada, who counts.\n"
        "USER: Guten Tag.\nADA: Hallo!\n"
        "USER: Hier steht, was ein Mensch über seinen Alltag sagt. Wie gut trifft das auf Sie zu?\n\n"
        "Meine Schlüssel suche ich fast jeden Morgen.\n"
        "(A) Trifft gar nicht zu\n(B) Trifft wenig zu\n(C) Trifft teilweise zu\n(D) Trifft ziemlich zu\n"
        "(E) Trifft völlig zu\n"
        "ADA: Answer: ("
    )
    assert german.key == {"Ordnung": [1, 4, 7], "Neugier": [2, 5, 8, 10], "Geselligkeit": [3, 6, 9]}
    assert german.reversed_items == (4, 5, 6) and german.label == "example_de, 10 items"


TEA = {
    "name": "Tea", "source": "me", "license": "mine", "language": "en", "options": {1: "No", 2: "Yes"},
    "centred": False, "items": "tea.csv",
}  # fmt: skip
ROWS = "item,scale,text\n1,Tea,Black?\n2,Tea,Green?\n"


@pytest.fixture
def own(tmp_path):
    def write(rows=ROWS, **changes):
        (tmp_path / "tea.csv").write_text(rows, encoding="utf-8")
        content = {key: value for key, value in (TEA | changes).items() if value is not None}
        (tmp_path / "my.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
        return tmp_path / "my.yaml"

    return write


def test_a_users_own_with_ten_options_or_two_forms(own):
    letters = {n: f"{n} cups" for n in range(1, 11)}
    ten = load_questionnaire(str(own(options=letters, counts=[*range(10)])))
    assert (len(ten.codes), ten.scores[9], ten.scales) == (10, 9.0, ("Tea",))
    two = load_questionnaire(own("item,scale,male,female\n1,Tea,He does.,She does.\n"))
    assert two.items[0].portrait("F") == "She does." and two.version != ten.version


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optoins": {}}, "my.yaml: 'optoins'. Did you mean 'options'"),
        ({"centred": "yes"}, "my.yaml: centred is 'yes' .Input should be a valid boolean"),
        ({"options": {0: "No", 1: "Yes"}}, "my.yaml: options must be two to 10 different texts"),
        ({"counts": [1.0]}, "counts has 1 numbers for 2 options"),
        ({"scales": ["Tea", "Cake"]}, "tea.csv has no items Cake"),
        ({"name": "PVQ-40"}, "my.yaml has the name 'PVQ-40'"),
        ({"rows": "item,scale,text\n1,Tea,Black?\n3,Tea,Green?\n"}, "tea.csv, row 3: item 3, but must be 2"),
        ({"rows": "item,scale,text\n1,Tea,\n"}, "tea.csv, row 2: text is ''"),
        ({"rows": "item,scale,male\n1,Tea,He\n"}, "row 2: an item needs either a text, or a male and a female"),
        ({"rows": "item,scale,text\n1,Tea,Black?\n2,Tea,Black?\n"}, "row 3: the item stands already in .*row 2"),
    ],
)  # fmt: skip
def test_files_that_are_not_as_they_must_be(own, changes, message):
    with pytest.raises(ValuestabError, match=message):
        load_questionnaire(own(**changes))


HEADER = ("item", "scale", "text", "area", "reversed")


def add(folder, name, *rows):
    with open(folder / f"Behaviour-statements/{name}.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([HEADER, *((n, *row) for n, row in enumerate(rows, start=1))])


def test_statements_of_all_files_are_asked(folder):
    alone = load_questionnaire("Behaviour-statements")
    jam = ("Love of jam", "Jam is dull.", "food", "yes")
    add(folder, "extra", jam, (alone.scales[0], "Tea!", alone.areas[0], "no"))
    both = load_questionnaire("Behaviour-statements")
    assert both.wording.endswith(": 50 statements, 48 from project.csv, 2 from extra.csv")
    assert both.wording[:10] != alone.wording[:10] == f"set {alone.version[:6]}"
    assert both.key["Love of jam"] == [49] and both.reversed_items == (*alone.reversed_items, 49)
    assert (both.scales[12:], both.areas[12:]) == (("Love of jam",), ("food",))
    for i in range(150):
        add(folder, f"set{i}", (f"Love of tea {i}", "Tea!", "food", "no"))
    assert load_questionnaire("Behaviour-statements").wording.endswith("2 from extra.csv, 1 from set0.csv and 149 more")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("Religious faith", "Prayer gives me strength.", "religion", "no"), "stands already in .*project.csv, row"),
        (("Religious faith", "Tea?", "politics", "no"), "the area 'politics', but 'religion' in .*project.csv, row"),
        (("Religious faith", "Tea?", "", "no"), "area is ''"),
    ],
)
def test_statements_that_contradict_others(folder, row, message):
    add(folder, "extra", row)
    with pytest.raises(ValuestabError, match=f"extra.csv, row 2: .*{message}"):
        load_questionnaire("Behaviour-statements")


OPTIONS = load_questionnaire("PVQ-40").options
TAIL = "," + ",".join(f'"{option}"' for option in OPTIONS) + ',"undef"'


def distributed(pronoun, n=40):
    """A file in the form that the PVQ-40 is distributed in, with invented portraits and slips of the same kinds."""
    rows = [f'"{pronoun} owns {n} kettles, and ‘likes’ them."{TAIL}' for n in range(1, n + 1)]
    rows[3] = f'"""very"" fond of tea. {pronoun} drinks it."{TAIL}'  # begins in the middle of a sentence
    if pronoun == "She":
        rows[-1] = f'""{pronoun} owns a teapot, a blue one. {pronoun} keeps it.""{TAIL}'  # doubled quotes
    return rows


def with_header(pronoun, n=57):
    return ["item,portrait", *(f'{i},"{pronoun} owns {i} kettles."' for i in range(1, n + 1))]


def publish(folder, stem, male, female):
    for form, rows in (("male", male), ("female", female)):
        name = stem.replace("{form}", form)
        (folder / "published" / name).write_text("\n".join(rows), encoding="utf-8")  # no final newline


@pytest.mark.parametrize("stem", ["pvq40_{form}.csv", "pvq_{form}_test.csv"])
def test_published_files_are_taken_as_distributed(folder, stem):
    project = load_questionnaire("PVQ-40")
    publish(folder, stem, distributed("He"), distributed("She"))
    pvq = load_questionnaire("PVQ-40")
    assert pvq.items[0] == Item(
        1, "Self-Direction", "He owns 1 kettles, and ‘likes’ them.", "She owns 1 kettles, and ‘likes’ them."
    )
    assert pvq.items[3].male == '"very" fond of tea. He drinks it.'
    assert pvq.items[39].female == "She owns a teapot, a blue one. She keeps it."
    assert pvq.key == project.key and pvq.version != project.version
    assert pvq.label == "PVQ-40, published wording, imported from the user's own files"
    assert load_questionnaire("PVQ-40", "project") == project
    for path in (folder / "published").iterdir():  # as a spreadsheet saves them
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n") + b"\r\n")
    assert load_questionnaire("PVQ-40", "published") == pvq


def test_published_files_with_a_header(folder):
    publish(folder, "pvqrr_{form}.csv", with_header("He"), with_header("She"))
    pvqrr = load_questionnaire("PVQ-RR")
    assert (pvqrr.wording, pvqrr.items[56].female) == ("published", "She owns 57 kettles.")


def test_published_files_that_are_missing_or_too_many(folder):
    nothing = r"needs pvq40_male\.csv and pvq40_female\.csv in .* nothing: obtain it from its authors"
    with pytest.raises(ValuestabError, match=nothing):
        load_questionnaire("PVQ-40", "published")
    publish(folder, "pvq40_{form}.csv", distributed("He"), distributed("He"))
    with pytest.raises(ValuestabError, match="same portraits"):
        load_questionnaire("PVQ-40")
    publish(folder, "pvq_{form}_test.csv", distributed("He"), distributed("She"))
    with pytest.raises(ValuestabError, match="there is pvq40_male.csv, pvq_male_test.csv, pvq40_female.csv"):
        load_questionnaire("PVQ-40")
    for name in ("pvq40_female.csv", "pvq_male_test.csv", "pvq_female_test.csv"):
        (folder / "published" / name).unlink()
    with pytest.raises(ValuestabError, match="there is pvq40_male.csv: obtain"):
        load_questionnaire("PVQ-40")


def changed(row, new, rows=None):
    rows = rows or distributed("He")
    return [*rows[: row - 1], new, *rows[row:]]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (distributed("He", 39), "has 39 rows of items, but the PVQ-40 has 40 items"),
        (changed(3, f'"He waits."{TAIL},x'), "row 3: .* follow the portrait, but must be"),
        (changed(3, f"He waits, and hopes.{TAIL}"), "row 3: .*' and hopes.', 'Not like me at all'"),
        (changed(8, f'"He waits."{TAIL}'.replace("Somewhat", "Rather")), "row 8: .*'Rather like me'"),
        (changed(9, '"He waits.'), "row 9: not a proper CSV row"),
        (changed(5, "6,He skips one.", with_header("He", 40)), "row 5: here is item 6 .* must be item 4"),
        (changed(5, "4,He owns 1 kettles.", with_header("He", 40)), "row 5: .* must be item 4 with a portrait of its"),
    ],
)
def test_malformed_published_files(folder, rows, message):
    publish(folder, "pvq40_{form}.csv", rows, distributed("She"))
    with pytest.raises(ValuestabError, match=f"pvq40_male.csv.*{message}"):
        load_questionnaire("PVQ-40")
