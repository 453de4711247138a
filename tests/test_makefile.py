"""The Makefile says what it can do, and hands parameters on as they were typed."""

import os
import re
import shlex
import shutil
import subprocess

import pytest

from valuestab_utils.paths import ROOT

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def make(*arguments):
    # `make test` hands its own variables and depth on to what it runs
    handed_on = ("MAKE", "MFLAGS", "PROFILE", "MODEL", "PYTHON", "VENV", "PIP_ARGS", "CONFIRM")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(handed_on)}
    done = subprocess.run(["make", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def command_of_reproduce(*variables):
    code, out, _ = make("-n", "reproduce", *variables)
    assert code == 0
    words = shlex.split(out.splitlines()[-1])
    assert words[1:3] == ["-m", "valuestab_utils.reproduce"] and words[-1] == "--paper=stability"
    return words[3:-1]


def test_help_lists_every_target():
    text = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)[1].split()
    code, out, _ = make()
    assert code == 0
    listed = dict(re.findall(r"^  make (\S+) +(\S.*)$", out, re.MULTILINE))
    assert sorted(listed) == sorted(phony)
    assert out == make("help")[1]


def test_parameters_of_notebooks_arrive_as_they_were_typed():
    assert command_of_reproduce("n_personas=8", "seeds=[1, 2]") == [
        "--profile=quick", "--model=", "n_personas=8", "seeds=[1, 2]",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "value", ["it's", 'say "it"', "$HOME $(ID) $$", "`id`; id", "a  b", "*", "back\\slash", "é", "#1"]
)
def test_nothing_in_a_value_means_anything_to_make_or_the_shell(value):
    assert command_of_reproduce(f"topics={value}", f"MODEL={value}", f"PROFILE={value}") == [
        f"--profile={value}", f"--model={value}", f"topics={value}",
    ]  # fmt: skip


@pytest.mark.parametrize(("target", "own"), [("plan", ["--paper=stability"]), ("report", [])])
def test_plan_and_report_take_what_reproduce_takes(target, own):
    code, out, _ = make("-n", target, "MODEL=a/b", "n_personas=8", "dtype=4bit")
    assert code == 0
    words = shlex.split(out.splitlines()[-1])
    expected = [f"valuestab_utils.{target}", *own, "--profile=quick", "--model=a/b", "dtype=4bit", "n_personas=8"]
    assert words[2:] == expected


def test_bench_takes_a_shape_and_a_dtype():
    words = shlex.split(make("-n", "bench", "SHAPE=mistral-7b", "dtype=bfloat16", "PERSONAS=60")[1].replace("\\\n", ""))
    assert words[-3:] == ["--dtype=bfloat16", "--shape=mistral-7b", "--personas=60"]


def test_fast_tests_need_no_model():
    assert "valuestab_utils.embedded" in make("-n", "test", "MODEL_CARD=/nowhere")[1]
    out = make("-n", "test", "MODEL_CARD=/nowhere", "FAST=1")[1]
    assert "valuestab_utils.embedded" not in out and out.endswith(" -m 'not slow'\n")


def test_line_break_in_a_value_becomes_a_space():
    assert command_of_reproduce("seeds=[1,\n2]")[-1] == "seeds=[1, 2]"


def test_misspelt_variables_are_handed_on_too_so_that_they_are_refused():
    assert "PROFIL=smoke" in command_of_reproduce("PROFIL=smoke")


def test_what_belongs_to_the_makefile_is_no_parameter(tmp_path):
    words = command_of_reproduce("PIP_ARGS=--no-cache-dir", f"VENV={tmp_path / 'env'}")
    assert words == ["--profile=quick", "--model="]


def test_without_a_fitting_python_one_sentence_says_so(tmp_path):
    code, _, err = make("env", f"VENV={tmp_path / 'env'}", "PYTHON=false")
    assert code != 0
    assert re.match(r'Python 3\.11 or later is needed, and "false" is not: .*PYTHON=', err.splitlines()[0])
    assert not (tmp_path / "env").exists()


def test_results_are_not_removed_unasked():
    code, _, err = make("clean-results")
    assert code != 0
    assert "CONFIRM=yes" in err.splitlines()[0]
    assert "rm -rf results" not in make("-n", "clean")[1]
