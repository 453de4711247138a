import re
from collections import Counter

import pytest

from valuestab_utils.errors import ValuestabError
from valuestab_utils.populations import POPULATIONS, Persona, load_population, population_names

HEADER = "persona,name,description,gender\n"


@pytest.fixture
def population(tmp_path):
    def write(text, encoding="utf-8"):
        path = tmp_path / "mine.csv"
        path.write_bytes(text.encode(encoding))
        return path

    return write


@pytest.mark.parametrize(
    "name, size, women", [("fictional_characters", 60, 12), ("real_world_personas", 50, 11), ("none", 50, 25)]
)
def test_sizes_and_genders_of_the_papers_populations(name, size, women):
    personas = load_population(name)
    assert Counter(persona.gender for persona in personas) == {"M": size - women, "F": women}
    assert len({persona.persona for persona in personas}) == size


def test_fictional_characters_are_described_by_name_and_legendarium():
    personas = load_population("fictional_characters")
    assert all(
        persona.description == f"{persona.name} from J. R. R. Tolkien's Middle-earth legendarium."
        and persona.persona == persona.name
        for persona in personas
    )
    assert (personas[0].name, personas[-1].name) == ("Gandalf", "Gimli")
    assert load_population("fictional_characters", personas=["Durin's Bane"])[0].gender == "M"


def test_real_world_personas_have_name_years_and_a_few_words():
    for persona in load_population("real_world_personas"):
        assert re.fullmatch(
            re.escape(persona.name) + r" \(\d{4} – (\d{4})?\) [A-Z0-9][^.]*\.", persona.description
        ), persona


def test_none_induces_nobody_and_alternates_genders():
    personas = load_population("none")
    assert [persona.persona for persona in personas[:2]] == ["permutation_01", "permutation_02"]
    assert {persona.name for persona in personas} == {"CHATBOT"}
    assert "".join(persona.gender for persona in personas) == "MF" * 25
    assert not any(persona.induced for persona in personas)


def test_population_files_have_plain_quotes_and_line_ends():
    for name in population_names():
        raw = (POPULATIONS / f"{name}.csv").read_bytes()
        assert b"\r" not in raw and "’" not in raw.decode()


def test_subsets():
    assert len(load_population("none", n_personas=50)) == 50
    assert [p.persona for p in load_population("none", n_personas=2)] == ["permutation_01", "permutation_02"]
    chosen = load_population("fictional_characters", personas=["Gimli", "Gandalf"])
    assert [persona.name for persona in chosen] == ["Gimli", "Gandalf"]


@pytest.mark.parametrize("n", [0, -1, 51, 2.0, True, "3"])
def test_impossible_n_personas(n):
    with pytest.raises(ValuestabError, match=r"n_personas is .* whole number from 1 to 50.*none\.csv"):
        load_population("none", n_personas=n)


def test_n_personas_and_personas_exclude_each_other():
    with pytest.raises(ValuestabError, match="not both"):
        load_population("none", n_personas=1, personas=["permutation_01"])


def test_unknown_names_get_a_suggestion():
    with pytest.raises(ValuestabError, match="Unknown population 'fictional'.*'fictional_characters'"):
        load_population("fictional")
    with pytest.raises(ValuestabError, match="Unknown persona 'Eowyn'.*'Éowyn'"):
        load_population("fictional_characters", personas=["Eowyn"])
    with pytest.raises(ValuestabError, match="named twice"):
        load_population("fictional_characters", personas=["Gimli", "Gimli"])


@pytest.mark.parametrize("as_type", [str, lambda path: path])
def test_a_users_file(population, as_type):
    path = population(HEADER + '\nada,Ada," Ada, who counts.",F\n\nbox,BOX,,\n')
    assert load_population(as_type(path)) == (
        Persona("ada", "Ada", "Ada, who counts.", "F"),
        Persona("box", "BOX", "", None),
    )


def test_a_spreadsheets_file_with_byte_order_mark_other_line_ends_and_columns(population):
    path = population("gender,persona,note,name,description\r\nM,bo,x,Bo,Bo.\r\n", "utf-8-sig")
    assert load_population(path) == (Persona("bo", "Bo", "Bo.", "M"),)


@pytest.mark.parametrize(
    "text, message",
    [
        ("persona,name,gender\na,A,M\n", "lacks the column 'description'"),
        ("persona;name;description;gender\na;A;x;M\n", "lacks the column 'persona'.*separated by commas"),
        ("", "lacks the column 'persona'"),
        (HEADER, "no personas"),
        (HEADER + "a,A,x,M\nb,B,y,F\na,C,z,M\n", "row 4: the persona 'a' is there twice"),
        (HEADER + "a,A,x,M\n,B,y,F\n", "row 3: the persona is empty"),
        (HEADER + "a, ,x,M\n", "row 2: the name is empty"),
        (HEADER + "a,A,x,male\n", "row 2: the gender is 'male'.*M, F or empty"),
        (HEADER + "a,A,x, y,M\n", "row 2: 5 cells, but the header has 4.*double quotes"),
        (HEADER + "a,A,You are A.,M\n", "row 2: .*'You are'"),
        (HEADER + 'a,A,"x,M\n', "not a proper CSV"),
    ],
)
def test_malformed_files_are_told_by_name_and_row(population, text, message):
    with pytest.raises(ValuestabError, match=message) as error:
        load_population(population(text))
    assert "mine.csv" in str(error.value)


def test_unreadable_files(population, tmp_path):
    with pytest.raises(ValuestabError, match="mine.csv is not UTF-8"):
        load_population(population(HEADER + "é,É,x,F\n", "latin-1"))
    with pytest.raises(ValuestabError, match="absent.csv cannot be read: No such file"):
        load_population(tmp_path / "absent.csv")
