"""Where the compendium keeps its files, relative to the checkout."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "data"
MODELS = DATA / "models"  # converted model folders, git-ignored

if not DATA.is_dir():
    raise ImportError(
        f"valuestab_utils has its data in a checkout of its repository, and there is none in {ROOT}: clone it, and "
        "install it from there with `pip install --editable .`"
    )
