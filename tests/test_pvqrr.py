import csv
from collections import Counter

import pytest

from valuestab_utils.errors import ValuestabError
from valuestab_utils.instruments import PVQ_OPTIONS, VALUES, load_pvq40
from valuestab_utils.pvqrr import BASIC_VALUE_OF, load_pvqrr
from valuestab_utils.value_circle import ACRONYMS, REFINED_VALUES

KEY = {  # Schwartz 2017
    "SDT": (1, 23, 39), "SDA": (16, 30, 56), "ST": (10, 28, 43), "HE": (3, 36, 46), "AC": (17, 32, 48),
    "POD": (6, 29, 41), "POR": (12, 20, 44), "FAC": (9, 24, 49), "SEP": (13, 26, 53), "SES": (2, 35, 50),
    "TR": (18, 33, 40), "COR": (15, 31, 42), "COI": (4, 22, 51), "HUM": (7, 38, 54), "BED": (19, 27, 55),
    "BEC": (11, 25, 47), "UNC": (5, 37, 52), "UNN": (8, 21, 45), "UNT": (14, 34, 57),
}  # fmt: skip


@pytest.fixture
def published(tmp_path):
    def write(male=None, female=None):
        for name, own, pronoun in (("pvqrr_male.csv", male, "He"), ("pvqrr_female.csv", female, "She")):
            with open(tmp_path / name, "w", encoding="utf-8", newline="") as file:
                csv.writer(file).writerows([("item", "portrait"), *(own or invented(pronoun))])
        return tmp_path

    return write


def invented(pronoun="He"):
    return [(n, f"{pronoun} owns {n} kettles, all of them blue.") for n in range(1, 58)]


def test_structure_is_the_published_key():
    pvqrr = load_pvqrr("project")
    assert {ACRONYMS[value]: tuple(items) for value, items in pvqrr.key.items()} == KEY
    assert tuple(KEY) == tuple(ACRONYMS[value] for value in REFINED_VALUES)
    assert [item.item for item in pvqrr.items] == list(range(1, 58))
    assert (pvqrr.name, pvqrr.wording, pvqrr.instruction) == ("PVQ-RR", "project", "")
    assert pvqrr.options == PVQ_OPTIONS and pvqrr.scales == REFINED_VALUES and pvqrr.centred


def test_basic_values_of_the_refined_ones():
    assert tuple(BASIC_VALUE_OF) == REFINED_VALUES
    assert Counter(BASIC_VALUE_OF.values()) == {
        "Self-Direction": 2, "Stimulation": 1, "Hedonism": 1, "Achievement": 1, "Power": 2, None: 1, "Security": 2,
        "Tradition": 2, "Conformity": 2, "Benevolence": 2, "Universalism": 3,
    }  # fmt: skip
    assert set(BASIC_VALUE_OF.values()) - {None} == set(VALUES)


def test_project_portraits_differ_from_each_other_and_by_pronoun():
    pvqrr = load_pvqrr("project")
    texts = [text for item in pvqrr.items for text in (item.male, item.female)]
    texts += [text for item in load_pvq40("project").items for text in (item.male, item.female)]
    assert len(set(texts)) == 2 * 57 + 2 * 40
    swaps = {"he": "she", "him": "her", "his": "her", "himself": "herself"}
    for item in pvqrr.items:
        words = [word.strip(".,") for word in item.male.split()]
        expected = [swaps.get(word.lower(), word.lower()) for word in words]
        assert [word.strip(".,").lower() for word in item.female.split()] == expected


def test_published_wording(published):
    there = published()
    pvqrr = load_pvqrr("auto", there)
    assert (pvqrr.wording, pvqrr.items[56].male) == ("published", "He owns 57 kettles, all of them blue.")
    assert pvqrr.items[56].female.startswith("She") and pvqrr.key == load_pvqrr("project").key
    assert load_pvqrr("project", there).wording == "project"
    assert pvqrr.version != load_pvqrr("project").version


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (invented()[:56], "has 56 items, but the PVQ-RR has 57: item 57 is missing"),
        ([*invented(), (58, "He is one too many.")], "row 59: one row too many"),
        ([*invented()[:4], (6, "He skips one."), *invented()[5:]], "row 6: item '6', but it must be 5"),
        ([*invented()[:4], (5, " "), *invented()[5:]], "row 6: the portrait is empty"),
        ([*invented()[:4], (5, invented()[0][1]), *invented()[5:]], "row 6: the portrait of item 1 stands here again"),
    ],
)
def test_malformed_published_files(published, rows, message):
    with pytest.raises(ValuestabError, match=message):
        load_pvqrr("published", published(male=rows))


def test_missing_published_files(tmp_path, published):
    with pytest.raises(ValuestabError, match="obtain it from its authors"):
        load_pvqrr("published", tmp_path)
    with pytest.raises(ValuestabError, match="one is a copy"):
        load_pvqrr("auto", published(female=invented("He")))
    (tmp_path / "pvqrr_female.csv").unlink()
    with pytest.raises(ValuestabError, match="lacks pvqrr_female.csv"):
        load_pvqrr("auto", tmp_path)
