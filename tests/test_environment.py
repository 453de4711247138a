"""The three files of requirements say the same, and an unfinished environment is never used."""

import ast
import hashlib
import multiprocessing
import os
import re
import subprocess
import sys
import time
import tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions, requires, version
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from valuestab_utils import __version__
from valuestab_utils.environment import STAMP, build_environment
from valuestab_utils.errors import ValuestabError
from valuestab_utils.paths import ROOT


def requirements(name):
    lines = (line.split("#")[0].strip() for line in (ROOT / name).read_text().splitlines())
    return [Requirement(line) for line in lines if line]


def pins(name):
    found = {}
    for requirement in requirements(name):
        specifier = str(requirement.specifier)
        assert re.fullmatch(r"==[0-9][0-9a-z.]*", specifier), f"{requirement} in {name} is no exact pin"
        assert canonicalize_name(requirement.name) not in found, f"{requirement} stands twice in {name}"
        found[canonicalize_name(requirement.name)] = specifier
    return found


def test_lock_has_every_direct_requirement_at_its_version():
    direct, lock = pins("requirements.in"), pins("requirements.lock")
    assert {name: lock.get(name) for name in direct} == direct


def test_what_the_code_imports_is_a_direct_requirement():  # google.colab is there on Colab alone
    direct, homes = pins("requirements.in"), packages_distributions()
    for file in [*ROOT.glob("valuestab_utils/*.py"), *ROOT.glob("tests/*.py")]:
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
            for name in (
                {name.split(".")[0] for name in names} - sys.stdlib_module_names - {"valuestab_utils"}
            ):
                own = name in ("conftest", "google") or (ROOT / "tests" / f"{name}.py").exists()
                assert own or {canonicalize_name(home) for home in homes[name]} & set(
                    direct
                ), f"{file}: {name}"


def test_conda_users_get_the_same_lock_and_python():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    conda = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert pip == ["-r requirements.lock", "-e ."]
    assert conda == ["python=3.11", "pip"]  # no package from conda besides: it could be of another version
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == ">=3.11"


def test_lock_fits_every_build_of_torch():
    assert pins("requirements.lock")["torch"] == pins("requirements.in")["torch"]
    assert not [name for name in pins("requirements.lock") if name.startswith("nvidia-") or name == "triton"]


def test_what_is_installed_here_is_what_the_lock_says():
    for requirement in requirements("requirements.lock"):
        if requirement.marker is None or requirement.marker.evaluate():
            installed = version(requirement.name).split("+")[0]
            assert f"=={installed}" == str(requirement.specifier), requirement.name


def test_lock_has_all_that_its_packages_need():
    lock = pins("requirements.lock")
    for name in lock:
        try:
            metadata = requires(name) or []
        except PackageNotFoundError:
            assert name == "appnope"  # macOS alone
            continue
        for needed in map(Requirement, metadata):
            on_mac = {"platform_system": "Darwin", "sys_platform": "darwin", "extra": ""}
            wanted = needed.marker is None or any(
                Marker(str(needed.marker)).evaluate(platform) for platform in ({"extra": ""}, on_mac)
            )
            if wanted and name != "torch":  # torch brings what its build needs
                assert canonicalize_name(needed.name) in lock, f"{name} needs {needed}"


def test_package_version_has_one_source():
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dynamic"] == ["version"]
    assert f"version: {__version__}\n" in (ROOT / "CITATION.cff").read_text()


def make_venv_only(command):
    """Stands for a build: the scripts of an environment have its path written into them."""
    if command[1:3] == ["-m", "venv"]:
        bin = Path(command[3]) / "bin"
        bin.mkdir()
        (bin / "python").symlink_to(sys.executable)
        (bin / "tool").write_text(f"#!{bin}/python\nprint(__file__)")
        (bin / "tool").chmod(0o755)
    return SimpleNamespace(returncode=0)


@pytest.fixture
def place(tmp_path):
    (tmp_path / "lock").touch()
    return tmp_path / "venv", [tmp_path / "lock"]


def change(sources, text="other"):
    sources[0].write_text(text)
    os.utime(sources[0], (time.time() + 10, time.time() + 10))


def test_environment_is_built_once_and_anew_when_the_lock_changes(place):
    folder, sources = place
    commands = []

    def run(command):
        commands.append(command[1:4])
        return make_venv_only(command)

    build_environment(folder, ["--no-cache-dir"], sources, run)
    assert commands[0][:2] == ["-m", "venv"] and len(commands) == 3
    tool = folder / "bin" / "tool"
    assert subprocess.run([tool], capture_output=True, text=True).stdout == f"{tool}\n"
    (folder / "old").touch()
    change(sources, text="")  # a newer date alone
    build_environment(folder, [], sources, run)
    assert len(commands) == 3 and (folder / "old").exists()
    change(sources)
    build_environment(folder, [], sources, run)
    assert len(commands) == 6
    assert not (folder / "old").exists()
    assert {path.name for path in folder.parent.iterdir()} == {"venv", "venv.lock", "lock"}


def test_what_changes_during_a_build_makes_the_environment_old(place):
    folder, sources = place

    def run(command):
        if command[1:3] == ["-m", "venv"]:
            sources[0].write_text("other")
            time.sleep(0.1)
        return make_venv_only(command)

    build_environment(folder, [], sources, run)
    assert (folder / STAMP).read_text() != hashlib.sha256(b"other").hexdigest()
    assert (folder / STAMP).stat().st_mtime_ns <= sources[0].stat().st_mtime_ns


@pytest.mark.parametrize("failing", [0, 1, 2])
@pytest.mark.parametrize("how", [KeyboardInterrupt, ValuestabError])
def test_a_build_that_comes_to_nothing_leaves_what_was_there(place, failing, how):
    folder, sources = place
    (folder.parent / "venv.old").mkdir()  # the user's own
    (folder.parent / "venv.old" / ".made-by-make").touch()
    build_environment(folder, [], sources, make_venv_only)
    change(sources)
    steps = iter(range(3))

    def interrupted(command):
        make_venv_only(command)
        assert subprocess.run([folder / "bin" / "tool"]).returncode == 0  # it serves all the while
        fails = next(steps) == failing
        if fails and how is KeyboardInterrupt:
            raise KeyboardInterrupt
        return SimpleNamespace(returncode=int(fails))

    before = {*folder.parent.rglob("*")}
    with pytest.raises(how):
        build_environment(folder, [], sources, interrupted)
    assert {*folder.parent.rglob("*")} == before
    build_environment(folder, [], sources, make_venv_only)
    assert (folder / STAMP).read_text() == hashlib.sha256(b"other").hexdigest()
    assert {*folder.parent.rglob("*")} == before


def test_an_interruption_while_the_two_change_places_leaves_what_was_there(place, monkeypatch):
    folder, sources = place
    build_environment(folder, [], sources, make_venv_only)
    change(sources)
    rename = Path.rename

    def interrupted(path, target):
        if target == folder and ".old" not in path.name:
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build_environment(folder, [], sources, make_venv_only)
    assert subprocess.run([folder / "bin" / "tool"]).returncode == 0


def test_what_a_kill_left_goes_and_nothing_of_a_similar_name(place):
    folder, sources = place
    for name in ("venv.making-abc/venv", "venv.old", "venv.making", "venv2.making-abc"):
        (folder.parent / name).mkdir(parents=True)
    build_environment(folder, [], sources, make_venv_only)
    left = {path.name for path in folder.parent.iterdir() if path.is_dir()}
    assert left == {"venv", "venv.old", "venv.making", "venv2.making-abc"}


def test_an_environment_behind_a_link_stays_there(place, tmp_path):
    folder, sources = place
    folder.symlink_to(tmp_path / "elsewhere" / "env")
    for text in ("one", "two"):
        change(sources, text)
        build_environment(folder, [], sources, make_venv_only)
    assert folder.is_symlink() and (tmp_path / "elsewhere" / "env" / STAMP).exists()


def test_failed_step_is_named(place):
    folder, sources = place
    with pytest.raises(ValuestabError, match="could not be finished .*-m venv .*what was there is as it was"):
        build_environment(folder, [], sources, lambda command: SimpleNamespace(returncode=1))
    assert not folder.exists()


def test_what_make_did_not_make_is_left_alone(place):
    folder, sources = place
    folder.mkdir()
    (folder / "mine").touch()
    with pytest.raises(ValuestabError, match="make env did not make it: remove it, or choose another place"):
        build_environment(folder, [], sources, make_venv_only)
    assert (folder / "mine").exists()


def _build(folder, sources, log):
    def slowly(command):
        time.sleep(0.1)
        log.put(command)
        return make_venv_only(command)

    build_environment(folder, [], sources, slowly)


def test_two_processes_at_once_build_it_once(place):
    folder, sources = place
    context = multiprocessing.get_context("fork")
    log = context.SimpleQueue()
    both = [context.Process(target=_build, args=(folder, sources, log)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(timeout=30)
    assert [process.exitcode for process in both] == [0, 0]
    commands = [log.get() for _ in range(3)]
    assert log.empty()
    assert commands[0][1:3] == ["-m", "venv"]


def test_building_needs_nothing_but_python():
    code = "import sys, valuestab_utils.environment; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split()) <= set(sys.stdlib_module_names) | {"valuestab_utils", "__main__"}
