"""The Makefile hands parameters on as they were typed, and removes no results unasked."""

import os
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


def arguments_of_reproduce(*variables):
    code, out, _ = make("-n", "reproduce", *variables)
    assert code == 0
    return [word for word in shlex.split(out.splitlines()[-1])[4:] if not word.startswith("--paper")]


@pytest.mark.parametrize(
    "value", ["it's", 'say "it"', "$HOME $(ID) $$", "`id`; id", "a  b", "*", "back\\slash", "é", "#1", "[1, 2]"]
)
def test_nothing_in_a_value_means_anything_to_make_or_the_shell(value):
    assert arguments_of_reproduce(f"topics={value}", f"MODEL={value}", f"PROFILE={value}") == [
        f"--profile={value}", f"--model={value}", f"topics={value}",
    ]  # fmt: skip


def test_misspelt_variables_are_handed_on_so_that_they_are_refused_and_the_makefiles_own_are_not(tmp_path):
    words = arguments_of_reproduce("PROFIL=smoke", "PIP_ARGS=--no-cache-dir", f"VENV={tmp_path / 'env'}")
    assert words == ["--profile=quick", "--model=", "PROFIL=smoke"]


def test_results_are_not_removed_unasked():
    code, _, err = make("clean-results")
    assert code != 0 and "CONFIRM=yes" in err.splitlines()[0]
    assert "rm -rf results" not in make("-n", "clean")[1]
