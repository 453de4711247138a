"""What is given on the command line arrives as it was meant, or not at all."""

import nbformat
import pytest

from valuestab_utils.embedded import EMBEDDED_NAME
from valuestab_utils.errors import ValuestabError
from valuestab_utils.model_cards import model_card
from valuestab_utils.parameters import declared_parameters, for_notebooks, parse_value, split_words


@pytest.mark.parametrize(
    "text", ["0_1", "2_4", "010", "0x10", "0o7", "1:30", "1_000.5", "no", "on", "2024-01-01", "+5"]
)
def test_what_only_looks_like_a_number_or_a_truth_value_stays_text(text):
    assert parse_value(text) == text
    assert parse_value(f"[{text}, {text}]") == [text, text]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("-3", -3),
        ("0", 0),
        ("1.5", 1.5),
        ("1e-3", 0.001),
        (".5", 0.5),
        ("true", True),
        ("False", False),
    ]
    + [
        ("None", None),
        ("null", None),
        ("none", "none"),
        ("'5'", "5"),
        ("[joke, chess]", ["joke", "chess"]),
        ("[]", []),
    ]
    + [("[1, 2]", [1, 2]), ("a b", "a b"), ("1 2", "1 2")],
)
def test_literals(text, value):
    found = parse_value(text)
    assert (found, type(found)) == (value, type(value))


def test_what_is_no_yaml():
    with pytest.raises(ValuestabError, match=r"'\[1, 2' cannot be read"):
        parse_value("[1, 2")
    with pytest.raises(ValuestabError, match="cannot be read"):
        parse_value("!!python/object/apply:os.system [ls]")


def test_unknown_name_is_an_error_with_the_nearest():
    with pytest.raises(ValuestabError, match="Unknown parameter 'n_persona'. Did you mean 'n_personas'"):
        for_notebooks({"n_persona": "8"}, {"a": {"n_personas": 5}, "b": {"seeds": [1]}})


@pytest.mark.parametrize(
    ("default", "text", "message"),
    [
        ([1, 2], "3", "takes a list such as .*'3' is a whole number"),
        ([1, 2], "[1, 0_1]", "'0_1' in it is text"),
        ([1, 2], "[1, true]", "True in it is true or false"),
        (5, "0_1", "takes a whole number such as 5; '0_1' is text"),
        (5, "2.0", "'2.0' is a number"),
        (5, "true", "'true' is true or false"),
        (5, "None", "'None' is empty"),
        (True, "1", "takes true or false"),
        (0.5, "much", "takes a number"),
    ],
)
def test_value_of_another_type_than_the_default(default, text, message):
    with pytest.raises(ValuestabError, match=message):
        for_notebooks({"x": text}, {"notebook": {"x": default}})


@pytest.mark.parametrize(
    ("default", "text", "value"),
    [
        ("joke", "0_1", "0_1"),
        ("joke", "7", "7"),
        (None, "[1]", [1]),
        (0.5, "1", 1.0),
        ([], "[a]", ["a"]),
        (5, "8", 8),
    ],
)
def test_value_that_fits_the_default(default, text, value):
    assert for_notebooks({"x": text}, {"notebook": {"x": default}}) == {"notebook": {"x": value}}


def test_names_of_profile_and_model_are_text_whatever_they_look_like():
    assert for_notebooks({"model": "7", "profile": "null"}, {"n": {"model": None, "profile": "quick"}}) == {
        "n": {"model": "7", "profile": "null"}
    }


@pytest.mark.parametrize("text", ["2024", "2.50", "true", "[a]", "[a", "0_1"])
def test_a_folder_is_text_whatever_it_looks_like(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    found = for_notebooks({"results_dir": text}, {"n": {"results_dir": None}})
    assert found == {"n": {"results_dir": str(tmp_path / text)}}


@pytest.mark.parametrize("text", ["", "None", "null", "~"])
def test_no_folder_is_the_default_one(text):
    assert for_notebooks({"results_dir": text}, {"n": {"results_dir": None}})["n"] == {"results_dir": None}


def test_a_model_is_a_folder_where_its_card_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    known = "mistralai/Mistral-7B-v0.1"
    for name in ("tiny", "own/tiny", known, EMBEDDED_NAME):
        (tmp_path / name).mkdir(parents=True)
        model = for_notebooks({"model": name}, {"n": {"model": None}})["n"]["model"]
        assert model == (name if name in (known, EMBEDDED_NAME) else str(tmp_path / name))
        assert model_card(model) == model_card(name)  # wherever a notebook runs
    for name in ("elsewhere", "api:tiny", "owner/name"):
        assert for_notebooks({"model": name}, {"n": {"model": None}})["n"] == {"model": name}


def test_paths_are_relative_to_where_the_command_was_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.csv").touch()
    (tmp_path / "joke").mkdir()  # a name, not a path: it has no slash
    declared = {"n": dict.fromkeys(["results_dir", "populations", "model", "topics"])}
    given = {"results_dir": "here", "populations": "[own.csv, none]", "model": "./joke", "topics": "[joke]"}
    assert for_notebooks(given, declared)["n"] == {
        "results_dir": str(tmp_path / "here"),
        "populations": [str(tmp_path / "own.csv"), "none"],
        "model": str(tmp_path / "joke"),
        "topics": ["joke"],
    }


def test_words_that_are_no_parameters():
    with pytest.raises(ValuestabError, match="'n_personas' is no parameter"):
        split_words(["n_personas"])
    with pytest.raises(ValuestabError, match="given twice"):
        split_words(["a=1", "a=2"])


def test_defaults_are_read_from_the_parameters_cell(tmp_path):
    source = 'a = 1  # one\nb = [\n    "x=#y",\n]\nc: float = 0.5\nd = None\ne = a + 1\n'
    cells = [
        nbformat.v4.new_code_cell("z = 1"),
        nbformat.v4.new_code_cell(source, metadata={"tags": ["parameters"]}),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "n.ipynb")
    found = declared_parameters(tmp_path / "n.ipynb")
    assert list(found) == ["a", "b", "c", "d", "e"]
    assert (found["a"], found["b"], found["c"], found["d"]) == (1, ["x=#y"], 0.5, None)
    assert for_notebooks({"e": "[anything]"}, {"n": found})["n"] == {"e": ["anything"]}


def test_notebook_that_cannot_be_read(tmp_path):
    (tmp_path / "n.ipynb").write_text("{half")
    with pytest.raises(ValuestabError, match="cannot be read"):
        declared_parameters(tmp_path / "n.ipynb")
    nbformat.write(nbformat.v4.new_notebook(), tmp_path / "n.ipynb")
    with pytest.raises(ValuestabError, match="has no cell tagged 'parameters'"):
        declared_parameters(tmp_path / "n.ipynb")
