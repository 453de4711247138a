"""What the README says is there, and is as it says."""

import re

from valuestab_utils.paths import ROOT
from valuestab_utils.study import load_profile

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
        sizes = {e["population"]: e.get("n_personas", whole[e["population"]]) for e in profile["experiments"]}
        assert personas == f"{sizes['fictional_characters']}, {sizes['real_world_personas']}"
        assert int(topics) == len(profile["topics"]) and int(permutations) == sizes["none"]
        assert int(seeds.split()[0]) == len(profile["seeds"]) and int(messages) == profile["n_messages"]
