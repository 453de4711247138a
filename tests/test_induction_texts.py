import csv
from collections import Counter

from valuestab_utils.instruments import VALUES
from valuestab_utils.paths import DATA
from valuestab_utils.value_circle import REFINED_VALUES


def read(name):
    with open(DATA / "inductions" / name, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_value_prompts():
    rows = read("value_descriptions.csv")
    assert tuple(row["value"] for row in rows) == VALUES
    for row in rows:
        begin = f"Imagine that you are a person who greatly values {row['value'].lower()}."
        assert row["prompt"] == f"{begin} {row['description']}" and row["description"].startswith("You value ")
    assert rows[4]["prompt"] == (
        "Imagine that you are a person who greatly values power. You value social status and prestige, and control or "
        "dominance over people and resources."
    )


def test_value_anchors_are_those_of_the_19_values_and_of_animal_welfare():
    rows = read("value_anchors.csv")
    assert {row["value"] for row in rows} == {*REFINED_VALUES, "Animal-welfare"} and len(rows) == 20
    assert rows[3]["description"] == "taking advantage of every opportunity to enjoy life's pleasures"


def test_lists_for_the_demographic_and_the_names_prompt():
    assert len({row["hobby"] for row in read("hobbies.csv")}) == 50
    assert len({row["occupation"] for row in read("occupations.csv")}) == 8
    names = read("names.csv")
    assert Counter(row["group"] for row in names) == {
        "American Indian": 37, "Asian Pacific": 60, "Black": 30, "Hispanic": 29, "White": 23,
    }  # fmt: skip
    assert {row["title"] for row in names} == {"Mr.", "Ms.", "Mx."}
    assert len({(row["title"], row["surname"]) for row in names}) == len(names)
    assert {row["group"] for row in names if "Aher" in row["source"]} == {"Asian Pacific"}
