"""The papers' personas, and a user's own."""

import re
from collections import Counter

import pytest

from valuestab_utils.errors import ValuestabError
from valuestab_utils.prompts.personas import Persona, load_population


@pytest.mark.parametrize(
    ("name", "size", "women"), [("fictional_characters", 60, 12), ("real_world_personas", 50, 11), ("none", 50, 25)]
)
def test_sizes_and_genders_of_the_papers_populations(name, size, women):
    personas = load_population(name)
    assert Counter(persona.gender for persona in personas) == {"M": size - women, "F": women}
    assert len({persona.persona for persona in personas}) == size
    assert not any("’" in persona.name + persona.description for persona in personas)


def test_descriptions_of_the_papers_populations():
    characters = load_population("fictional_characters")
    assert (characters[0].name, characters[-1].name) == ("Gandalf", "Gimli")
    for persona in characters:
        assert persona.description == f"{persona.name} from J. R. R. Tolkien's Middle-earth legendarium."
        assert persona.persona == persona.name
    for persona in load_population("real_world_personas"):
        years_and_words = r" \(\d{4} – (\d{4})?\) [A-Z0-9][^.]*\."
        assert re.fullmatch(re.escape(persona.name) + years_and_words, persona.description), persona
    nobody = load_population("none")
    assert {(persona.name, persona.induced) for persona in nobody} == {("CHATBOT", False)}
    assert "".join(persona.gender for persona in nobody) == "MF" * 25


@pytest.mark.parametrize(
    "text",
    [
        '\ufeffpersona,name,description,gender\n\nada,Ada," Ada, who counts.",F\n\nbox,BOX,,\n',
        'gender,note,persona,name,description\r\nF,x,ada,Ada,"Ada, who counts."\r\n,x,box,BOX,\r\n',
    ],
)
def test_a_users_file_as_spreadsheets_save_it(tmp_path, text):
    (tmp_path / "mine.csv").write_bytes(text.encode())
    assert load_population(str(tmp_path / "mine.csv")) == (
        Persona("ada", "Ada", "Ada, who counts.", "F"),
        Persona("box", "BOX", "", None),
    )


@pytest.mark.parametrize("row", ["a,A,y,F", "b,B,x,male", "b,B,x, y,M", "b,B,You are B.,M"])
def test_malformed_files_are_told_by_name_and_row(tmp_path, row):
    (tmp_path / "mine.csv").write_text(f"persona,name,description,gender\na,A,x,M\n{row}\n")
    with pytest.raises(ValuestabError, match="mine.csv, row 3"):
        load_population(tmp_path / "mine.csv")
