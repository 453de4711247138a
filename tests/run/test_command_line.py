"""What is given on the command line arrives as it was meant, or is refused in one sentence."""

import json

import pytest
from typer.testing import CliRunner

from valuestab_utils.errors import ValuestabError
from valuestab_utils.models import model_card
from valuestab_utils.run.command_line import app, of_study, sizes


def test_words_are_the_changes_of_a_study():
    words = ["n_personas=8", "seeds=[1, 2]", "topics=[joke, 0_1]", "dtype=4bit", "n_messages="]
    changes = {"n_personas": 8, "seeds": [1, 2], "topics": ["joke", "0_1"], "dtype": "4bit"}
    assert of_study("quick", "", words) == ("quick", None, changes)
    for wrong in (["n_personas"], ["seeds=[1", "a=2"], ["a=1", "a=2"], ["topics=hf_verysecret"]):
        with pytest.MonkeyPatch.context() as patch, pytest.raises(ValuestabError):
            patch.setenv("HF_TOKEN", "hf_verysecret")
            of_study("quick", "", wrong)


@pytest.mark.parametrize("text", ["2024", "2.50", "true", "[a]", "[a", "0_1"])
def test_a_folder_is_text_whatever_it_looks_like(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    assert of_study("quick", "", [f"results_dir={text}"])[2] == {"results_dir": str(tmp_path / text)}


def test_paths_are_relative_to_where_the_command_was_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.csv").touch()
    (tmp_path / "joke").mkdir()  # a name, not a path: it has no slash
    assert of_study("quick", "./joke", ["populations=[own.csv, none]", "topics=[joke]"]) == (
        "quick", str(tmp_path / "joke"), {"populations": [str(tmp_path / "own.csv"), "none"], "topics": ["joke"]},
    )  # fmt: skip


def test_a_model_is_a_folder_where_its_card_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    known = ("mistralai/Mistral-7B-v0.1", "SmolLM2-135M-Instruct")
    for name in ("tiny", "own/tiny", *known):
        (tmp_path / name).mkdir(parents=True)
        model = of_study("quick", name, [])[1]
        assert model == (name if name in known else str(tmp_path / name))
        assert model_card(model) == model_card(name)  # wherever a notebook runs
    assert [of_study("quick", name, [])[1] for name in ("elsewhere", "api:tiny")] == ["elsewhere", "api:tiny"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("report --profile smok", "Did you mean 'smoke'"),
        ("reproduce n_persons=2", "Did you mean 'n_personas'"),
        ("reproduce --paper kovac2042", "Did you mean 'kovac2024'"),
        ("report --profile smoke n_personas=3 results_dir=x", "'smoke-n_personas=3' has no figures"),
        ("stability /nowhere.csv", "/nowhere.csv"),
        ("cluster --shards 0", "--shards"),
        ("cluster", "EXECUTOR=slurm needs Slurm's commands, and sbatch, srun, squeue, "),
    ],
)
def test_what_is_wrong_is_one_sentence(words, said, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    done = CliRunner().invoke(app, words.split())
    assert done.exit_code in (1, 2) and said in done.stderr and "Traceback" not in done.stderr and done.stdout == ""


def test_tables_of_answers(tmp_path):
    rows = [("a", p, i, (p * i) % 6 + 1) for p in (1, 2, 3, 5) for i in range(1, 5)]
    lines = [f"{context},{p},{i},{answer}" for context in "ab" for _, p, i, answer in rows]
    (tmp_path / "answers.csv").write_text("\n".join(["context,persona,item,answer", *lines]))
    (tmp_path / "key.json").write_text(json.dumps({"A": [1], "B": [2], "C": [3, 4]}))
    words = ["stability", str(tmp_path / "answers.csv"), "--key", str(tmp_path / "key.json")]
    assert json.loads(CliRunner().invoke(app, words).stdout)["rank_order"] == 1.0


def test_sizes_count_code_and_docstrings_apart():
    table = sizes().set_index("file")
    package = table.loc["valuestab_utils/__main__.py"]
    assert (package["code"], package["docstrings"]) == (2, 1)
