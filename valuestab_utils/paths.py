"""Where the compendium keeps its files, relative to the checkout."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "data"
MODELS = DATA / "models"  # converted model folders, git-ignored
