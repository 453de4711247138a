"""What the README says is there, and is as it says."""

import ast
import json
import re

from valuestab_utils.figure_files import load_figures
from valuestab_utils.papers import paper_of
from valuestab_utils.paths import ROOT
from valuestab_utils.profiles import PARTS_OF
from valuestab_utils.study import load_profile

NUMBER = r"\d+(?:-\d+)?[a-c]?"
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_layout_names_every_module_and_notebook_and_nothing_else():
    listed = set(re.findall(r"^(?:valuestab_utils|notebooks)/\S+", README, flags=re.M))
    there = {str(path.relative_to(ROOT)) for path in (ROOT / "valuestab_utils").glob("*.py")}
    there |= {str(path.relative_to(ROOT)) for path in (ROOT / "notebooks").iterdir() if path.is_file()}
    assert listed == there


def test_make_targets_and_files_that_it_names_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.M))
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", README, flags=re.M)) <= targets
    for path in re.findall(r"\((figures/\S+?)\)", README) + [
        "LICENSE",
        "CITATION.cff",
        "data/instruments/README.md",
    ]:
        assert (ROOT / path).exists(), path


def test_profile_table_is_what_the_profiles_say():
    rows = {
        row[0]: row[1:]
        for row in re.findall(
            r"^\| `(\w+)` \| (.*?) \| (.*?) \| (.*?) \| (.*?) \| (.*?) \|$", README, flags=re.M
        )
    }
    assert set(rows) == {"smoke", "quick", "paper"}
    whole = {"fictional_characters": 60, "real_world_personas": 50, "none": 50}
    for name, (personas, topics, seeds, permutations, messages) in rows.items():
        profile = load_profile(name)
        sizes = {}
        for e in (e for e in profile["experiments"] if e.get("part", "pvq") in PARTS_OF["stability"]):
            sizes.setdefault(e["population"], e.get("n_personas", whole[e["population"]]))
        assert personas == f"{sizes['fictional_characters']}, {sizes['real_world_personas']}"
        assert int(topics) == len(profile["topics"]) and int(permutations) == sizes["none"]
        assert int(seeds.split()[0]) == len(profile["seeds"]) and int(messages) == profile["n_messages"]


def test_figure_table_names_every_figure_with_its_notebook_part_and_data():
    rows = re.findall(r"^\| (.+?) \| .+? \| (.+?) \| (.+?) \| (.+?) \|$", README, flags=re.M)
    found = {
        file.removesuffix(".csv"): (title, notebooks, parts)
        for title, notebooks, parts, files in rows
        for file in re.findall(r"`(\w+\.csv)`", files)
    }
    figures, kept = load_figures(), kept_parts()
    assert set(found) == set(figures) == set(kept)
    for name, (title, notebooks, parts) in found.items():
        assert figures[name].notebook in notebooks.split(", ")
        numbers = re.findall(NUMBER, figures[name].paper)
        assert set(numbers) <= set(re.findall(NUMBER, title)) if numbers else title == "beyond the paper"
        assert set(parts.split(", ")) <= {*PARTS_OF[paper_of(figures[name].notebook).name], "all"}
        if figures[name].notebook[:2] in ("01", "02"):  # of whatever part is the run's first
            assert kept[name] == set()
        else:
            assert kept[name] == set(parts.split(", ")) or (not numbers and kept[name] < set(parts.split(", ")))


def kept_parts():
    """The parts that each figure's `keep` in a notebook names, and which it says to need where there is nothing."""
    kept = {}
    for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            source = "".join(cell["source"]) if cell["cell_type"] == "code" else ""
            for call in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)):
                if getattr(call.func, "attr", "") == "keep":
                    part = [ast.literal_eval(word.value) for word in call.keywords if word.arg == "part"]
                    kept[call.args[2].value] = set(part if part and isinstance(part[0], str) else sum(part, ()))
    return kept
