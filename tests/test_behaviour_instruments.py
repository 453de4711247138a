import csv
import shutil

import pytest

from valuestab_utils.behaviour_instruments import BEHAVIOUR_INSTRUMENTS, load_behaviour_instrument
from valuestab_utils.behaviour_statements import (
    PROJECT_FILE,
    STATEMENTS_DIR,
    behaviour_areas,
    load_behaviour_statements,
)
from valuestab_utils.bfi2 import load_bfi2
from valuestab_utils.errors import ValuestabError
from valuestab_utils.instrument_files import read_items
from valuestab_utils.instrument_names import INSTRUMENTS, load_instrument
from valuestab_utils.value_circle import REFINED_VALUES


@pytest.mark.parametrize(
    ("name", "n_items", "n_scales", "scores"),
    [
        ("PVQ-40", 40, 10, (1, 2, 3, 4, 5, 6)),
        ("PVQ-RR", 57, 19, (1, 2, 3, 4, 5, 6)),
        ("Donation-causes", 9, 9, (1, 2, 3, 4, 5, 6)),
        ("Charity-game", 1, 1, (1, 2, 3, 4, 5, 6, 7)),
        ("Charity-choice", 1, 1, (0, 1)),
        ("Prosocialness", 16, 1, (1, 2, 3, 4, 5)),
        ("Everyday-behaviour", 85, 19, (0, 1, 2, 3, 4)),
        ("BFI-2", 60, 5, (1, 2, 3, 4, 5)),
    ],
)
def test_every_instrument_by_its_name(name, n_items, n_scales, scores):
    instrument = load_instrument(name, "auto" if name == "BFI-2" else "project")
    assert (instrument.name, len(instrument.scales), instrument.scores) == (name, n_scales, scores)
    assert len(instrument.items) == n_items
    assert all(instrument.key.values())  # no scale without items
    assert len({(item.male, item.value) for item in instrument.items}) == len(instrument.items)
    assert instrument.centred is name.startswith("PVQ")
    assert len(instrument.version) == 12


def test_names_and_wordings_that_are_not_there():
    assert INSTRUMENTS[2:7] == BEHAVIOUR_INSTRUMENTS and len(INSTRUMENTS) == 9
    with pytest.raises(ValuestabError, match=r"Did you mean 'BFI-2'\? Known: PVQ-40, PVQ-RR, Donation-causes,"):
        load_instrument("bfi2")
    with pytest.raises(ValuestabError, match="BFI-2 has one wording: ask for 'auto' or 'published'"):
        load_instrument("BFI-2", "project")


def test_everyday_behaviour_has_three_to_six_items_a_value_and_mixes_them():
    everyday = load_behaviour_instrument("Everyday-behaviour")
    assert everyday.scales == REFINED_VALUES
    assert {len(items) for items in everyday.key.values()} <= {3, 4, 5, 6}
    values = [item.value for item in everyday.items]
    assert all(one != other for one, other in zip(values, values[1:]))


def test_bfi2_is_keyed_as_published():
    bfi = load_bfi2()
    assert bfi.scales[3:] == ("Negative Emotionality", "Open-Mindedness")
    assert {len(items) for items in bfi.key.values()} == {12}
    assert bfi.key["Negative Emotionality"] == list(range(4, 60, 5))
    assert set(bfi.key["Negative Emotionality"]) & set(bfi.reversed_items) == {4, 9, 24, 29, 44, 49}
    assert len(bfi.reversed_items) == 30  # balanced
    assert bfi.options == (
        "Disagree strongly", "Disagree a little", "Neutral; no opinion", "Agree a little", "Agree strongly",
    )  # fmt: skip


def test_items_file_errors_name_file_and_row(tmp_path):
    path = tmp_path / "tea.csv"
    path.write_text("item,scale,text\n1,Tea,Black?\n3,Tea,Green?\n", encoding="utf-8")
    with pytest.raises(ValuestabError, match=r"tea.csv, row 3: item '3', but it must be 2"):
        read_items(path)
    path.write_text("item,scale,text\n1,Tea,\n", encoding="utf-8")
    with pytest.raises(ValuestabError, match="row 2: the text is empty"):
        read_items(path)


@pytest.fixture
def folder(tmp_path):
    def write(**files):
        for name, rows in files.items():
            with open(tmp_path / f"{name}.csv", "w", encoding="utf-8", newline="") as file:
                csv.writer(file).writerows([("behaviour", "area", "statement", "agrees"), *rows])
        return tmp_path

    return write


TEA = [("Love of tea", "interests", "Tea suits me.", "yes"), ("Love of tea", "interests", "Tea is dull.", "no")]
JAM = [("Love of jam", "interests", "Jam is dull.", "no"), ("Love of tea", "interests", "More tea!", "yes")]


def test_statements_of_all_files_make_one_instrument(folder):
    there = folder(project=TEA)
    alone = load_behaviour_statements(there)
    assert alone.wording == f"set {alone.wording[4:10]}: 2 statements, in this project's wording"
    both = load_behaviour_statements(folder(extra=JAM))
    assert both.wording.endswith(": 4 statements, 2 from project.csv, 2 from extra.csv")
    assert both.wording[:10] != alone.wording[:10]
    assert both.key == {"Love of tea": [1, 2, 4], "Love of jam": [3]} and both.reversed_items == (2, 3)
    assert load_behaviour_statements(folder(project=TEA[::-1])).wording != both.wording


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("Love of tea", "interests", "Tea?", "maybe")], "extra.csv, row 2: 'maybe' under agrees, but it must be"),
        ([("Love of tea", "", "Tea?", "yes")], "extra.csv, row 2: the cell area is empty"),
        ([JAM[0], TEA[0]], "extra.csv, row 3: the statement stands already in project.csv, row 2"),
        ([("Love of tea", "politics", "Tea?", "yes")], "the area 'politics', but 'interests' in project.csv, row 2"),
        ([], "extra.csv has no statements"),
    ],
)
def test_malformed_statements(folder, rows, message):
    with pytest.raises(ValuestabError, match=message):
        load_behaviour_statements(folder(project=TEA, extra=rows))


def test_no_statements(tmp_path):
    with pytest.raises(ValuestabError, match="has no CSV file"):
        load_behaviour_statements(tmp_path)


def test_wording_stays_short_with_many_files(folder):
    many = {f"set{i}": [(f"Love of tea {i}", "interests", "Tea!", "yes")] for i in range(150)}
    wording = load_behaviour_statements(folder(**many)).wording
    assert wording.endswith(": 150 statements, 1 from set0.csv, 1 from set1.csv, 1 from set10.csv and 147 more")


def test_the_projects_statements(tmp_path):
    shutil.copy(STATEMENTS_DIR / PROJECT_FILE, tmp_path)  # alone, whatever else a user put beside it
    statements, areas = load_behaviour_statements(tmp_path), behaviour_areas(tmp_path)
    assert statements.scores == (0, 1) and not statements.centred
    assert tuple(areas) == statements.scales and len(areas) == 12
    assert areas["Conservative politics"] == areas["Liberal politics"] == "politics"
    for items in statements.key.values():
        assert [number in statements.reversed_items for number in items] == [False, True, False, True]
    assert load_instrument("Behaviour-statements", "project").name == "Behaviour-statements"
