import json
import re
from dataclasses import replace

import pytest

from valuestab_utils.errors import ValuestabError
from valuestab_utils.instruments import PVQ_OPTIONS, VALUES, Item, load_pvq40
from valuestab_utils.value_scores import PVQ40_KEY_FILE

ITEMS_PER_VALUE = {
    "Self-Direction": 4,
    "Stimulation": 3,
    "Hedonism": 3,
    "Achievement": 4,
    "Power": 3,
    "Security": 5,
    "Conformity": 4,
    "Tradition": 4,
    "Benevolence": 4,
    "Universalism": 6,
}
TAIL = "," + ",".join(f'"{option}"' for option in PVQ_OPTIONS) + ',"undef"'


def invented_rows(pronoun):
    """A file in the distributors' form, with invented portraits and the kinds of slips that theirs have."""
    rows = [f'"{pronoun} owns {n} kettles, and ‘likes’ them."{TAIL}' for n in range(1, 41)]
    rows[3] = f'"very fond of tea. {pronoun} drinks it."{TAIL}'  # begins in the middle of a sentence
    rows[19] = f'"Tea suits herm. {pronoun} pours it."{TAIL}'  # a word that is none
    if pronoun == "She":
        rows[39] = f'""{pronoun} owns a teapot, a blue one. {pronoun} keeps it.""{TAIL}'  # doubled quotes
    return rows


@pytest.fixture
def published(tmp_path):
    """Writes both files, either with some rows changed, and gives their folder."""

    def write(male=None, female=None, names=("pvq40_male.csv", "pvq40_female.csv"), encoding="utf-8"):
        for name, own, pronoun in zip(names, (male, female), ("He", "She")):
            text = "\n".join(own or invented_rows(pronoun))  # no final newline, as distributed
            (tmp_path / name).write_bytes(text.encode(encoding))
        return tmp_path

    return write


def changed(row, new, pronoun="He"):
    rows = invented_rows(pronoun)
    rows[row - 1] = new
    return rows


def test_structure_of_the_pvq40():
    pvq = load_pvq40("project")
    assert {value: len(items) for value, items in pvq.key.items()} == ITEMS_PER_VALUE
    assert [item.item for item in pvq.items] == list(range(1, 41))
    assert tuple(pvq.key) == VALUES and pvq.codes == (1, 2, 3, 4, 5, 6)
    assert pvq.key == json.loads(PVQ40_KEY_FILE.read_text())
    assert (pvq.name, pvq.wording) == ("PVQ-40", "project")


def test_instruction_and_options_letter_for_letter():
    pvq = load_pvq40("project")
    assert pvq.instruction == (
        "Here we briefly describe some people. Please read each description and think about how much each "
        "person is or is not like you. Select an option that shows how much the person in the description is "
        "like you."
    )
    assert pvq.options == (
        "Not like me at all",
        "Not like me",
        "A little like me",
        "Somewhat like me",
        "Like me",
        "Very much like me",
    )


def test_project_portraits_are_two_short_sentences_that_differ_in_pronouns_only():
    items = load_pvq40("project").items
    feminine = {"he": "she", "him": "her", "his": "her", "himself": "herself"}
    for item in items:
        assert item.male != item.female
        assert item.male.count(".") == 2 and item.male.endswith(".") and 14 <= len(item.male.split()) <= 24
        turned = re.sub(r"\w+", lambda word: feminine.get(word[0], word[0]), item.male.lower())
        assert turned == item.female.lower(), item.item
    assert len({portrait for item in items for portrait in (item.male, item.female)}) == 80


def test_portrait_by_gender():
    item = Item(7, "Hedonism", "He likes tea.", "She likes tea.")
    assert (item.portrait("M"), item.portrait("F")) == ("He likes tea.", "She likes tea.")
    with pytest.raises(ValuestabError, match="Item 7 .* no gender.*column gender"):
        item.portrait(None)
    with pytest.raises(ValuestabError, match="Unknown gender 'X'"):
        item.portrait("X")


@pytest.mark.parametrize(
    "names",
    [
        ("pvq40_male.csv", "pvq40_female.csv"),
        ("pvq_male_test.csv", "pvq_female_test.csv"),
        ("pvq40_male.csv", "pvq_female_test.csv"),
    ],
)
def test_published_files_are_taken_as_distributed(published, names):
    pvq = load_pvq40("published", published(names=names))
    assert pvq.wording == "published" and "published wording" in pvq.label and "NOT" not in pvq.label
    assert pvq.items[0] == Item(
        1, "Self-Direction", "He owns 1 kettles, and ‘likes’ them.", "She owns 1 kettles, and ‘likes’ them."
    )
    assert pvq.items[3].male == "very fond of tea. He drinks it."
    assert pvq.items[19].female == "Tea suits herm. She pours it."
    assert pvq.items[39].male == "He owns 40 kettles, and ‘likes’ them."
    assert pvq.items[39].female == "She owns a teapot, a blue one. She keeps it."
    assert pvq.key == load_pvq40("project").key


def test_proper_quotes_inside_a_portrait_stay(published):
    quoted = f'"""Tea"" is his word, and ""cup""."{TAIL}'
    assert load_pvq40("published", published(male=changed(5, quoted))).items[4].male == (
        '"Tea" is his word, and "cup".'
    )


def test_resaved_files_are_the_same(published):
    there = published()
    version = load_pvq40("published", there).version
    for path in there.iterdir():
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n") + b"\r\n")
    assert load_pvq40("published", there).version == version


def test_auto_takes_the_published_files_where_they_are(published, tmp_path):
    assert load_pvq40("auto", tmp_path).wording == "project"
    assert load_pvq40("auto", published()).wording == "published"
    assert load_pvq40("project", tmp_path).wording == "project"


def test_labels_are_loud():
    assert load_pvq40("project").label == (
        "PVQ-40, portraits written for this project (NOT the published wording)"
    )


def test_version_follows_the_content(published):
    there = published()
    version = load_pvq40("published", there).version
    assert re.fullmatch("[0-9a-f]{12}", version) and version != load_pvq40("project").version
    assert load_pvq40("published", there).version == version
    published(male=changed(1, f'"He owns no kettle."{TAIL}'))
    assert load_pvq40("published", there).version != version


def test_records_are_frozen():
    pvq = load_pvq40("project")
    with pytest.raises(AttributeError):
        pvq.items = ()
    assert replace(pvq, wording="published").items == pvq.items


def test_missing_published_files(published, tmp_path):
    with pytest.raises(ValuestabError, match=r"not in .*put pvq40_male\.csv and pvq40_female\.csv there"):
        load_pvq40("published", tmp_path)
    published(names=("pvq_male_test.csv",))
    for wording in ("auto", "published"):
        with pytest.raises(ValuestabError, match=r"has pvq_male_test\.csv, but pvq40_female\.csv is missing"):
            load_pvq40(wording, tmp_path)


def test_ambiguous_published_files(published):
    published()
    with pytest.raises(ValuestabError, match=r"both pvq40_male\.csv and pvq_male_test\.csv: remove one"):
        load_pvq40("auto", published(names=("pvq_male_test.csv", "pvq_female_test.csv")))


def test_one_file_copied_twice(published):
    with pytest.raises(ValuestabError, match="same portraits"):
        load_pvq40("published", published(female=invented_rows("He")))


def test_unknown_wording():
    with pytest.raises(ValuestabError, match="Unknown wording 'publised'.*'published'"):
        load_pvq40("publised")


GOOD = f'"He waits."{TAIL}'


@pytest.mark.parametrize(
    "rows, message",
    [
        (invented_rows("He")[:39], "has 39 rows.*row 40 is missing"),
        (invented_rows("He") + [GOOD], "has 41 rows.*row 41 is one too many"),
        (changed(3, GOOD.replace(',"undef"', "")), "row 3: 7 columns.*make 8"),
        (changed(3, GOOD.replace('"Like me",', "")), "row 3: 7 columns"),
        (changed(3, GOOD + ",x"), "row 3: 9 columns"),
        (changed(3, ""), "row 3: 0 columns"),
        (changed(3, f"He waits, and hopes.{TAIL}"), "row 3: 9 columns"),
        (changed(8, GOOD.replace("Somewhat", "Rather")), "row 8, column 5: 'Rather like me'.*'Somewhat"),
        (
            changed(8, '"He waits.",' + ",".join(f'"{option}"' for option in PVQ_OPTIONS[::-1]) + ',"undef"'),
            "row 8, column 2: 'Very much like me'.*'Not like me at all'",
        ),
        (changed(8, GOOD.replace("undef", "none")), "row 8, column 8: 'none'.*'undef'"),
        (changed(9, f'""{TAIL}'), "row 9: the portrait is empty"),
        (changed(9, f'" "{TAIL}'), "row 9: the portrait is empty"),
        (changed(9, '"He waits.'), "row 9: not a proper CSV row"),
    ],
)
def test_malformed_files_are_told_by_name_and_row(published, rows, message):
    with pytest.raises(ValuestabError, match=message) as error:
        load_pvq40("published", published(male=rows))
    assert "pvq40_male.csv" in str(error.value)


def test_files_that_are_not_utf8(published):
    with pytest.raises(ValuestabError, match="pvq40_male.csv is not UTF-8"):
        load_pvq40("published", published(encoding="cp1252"))
