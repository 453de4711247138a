"""Any choice of a paper's experiments goes through its notebooks and the report, whatever figures are left out."""

import json
from functools import partial
from itertools import combinations

import matplotlib.pyplot as plt
import nbformat
import pytest
from fakes import FakeRespondent
from matplotlib.figure import Figure
from paper_studies import answered_by

from valuestab_utils import metrics
from valuestab_utils.papers import rozen2025
from valuestab_utils.paths import DATA, ROOT
from valuestab_utils.run.report import write_report
from valuestab_utils.study import PAPERS, load_figures, read_record, study

CHARACTERS, PERSONAS = "fictional_characters", "real_world_personas"
EXPERIMENTS = [
    {"name": "pvq", "population": CHARACTERS},
    {"name": "pvq", "population": "none"},
    {"name": "induction", "population": CHARACTERS, "format": "tuned_no_sys"},
    *({"name": "downstream", "population": CHARACTERS, "questionnaire": task} for task in ("Donation", "Stealing")),
    {"name": "downstream", "population": PERSONAS, "questionnaire": "Religion"},
    *({"name": "lengths", "population": name, "n_messages": [1, 3]} for name in (CHARACTERS, "none")),
    *({"name": "neutral", "population": name, "topics": ["no_conversation"]} for name in (CHARACTERS, "none")),
    {"name": "contexts", "population": CHARACTERS, "topics": ["joke", "chess", "grammar"]},
    {"name": "orders", "population": PERSONAS, "questionnaire": "Religion", "way": ["second", "balanced"]},
    {"name": "structure", "population": "value_anchor", "questionnaire": "PVQ-RR"},
    {"name": "administrations", "population": "value_anchor", "questionnaire": "PVQ-RR", "way": ["batch", "serial"]},
    {"name": "prompting", "population": "value_prompts", "questionnaire": ["PVQ-40", "BFI-2"], "n_personas": 11},
    {"name": "agreement", "population": "value_prompts", "questionnaire": "Behaviour-statements", "n_personas": 11},
    {"name": "priming", "population": "filled_questionnaire", "questionnaire": "BFI-2", "n_personas": 11},
]
PROFILE = {
    "model": "SmolLM2-135M-Instruct", "topics": ["joke", "chess"], "seeds": [1], "n_messages": 1,
    "controls": ["control-random", "control-synthetic"],
    "experiments": [{"n_personas": 3, "n_names": 1} | entry for entry in EXPERIMENTS],
}  # fmt: skip


class Model(FakeRespondent):
    settings = {"model_source": "fake", "model_revision": "r1", "dtype": ""}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("choices")
    (folder / "tiny.yaml").write_text(json.dumps(PROFILE))
    return folder


@pytest.fixture(scope="module")
def run(folder):
    """Runs a paper's notebooks with some changes, and the report; gives, of each figure, why it was left out."""
    cells = {}
    for path in sorted((ROOT / "notebooks").glob("0*.ipynb")):
        cells[path.stem] = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]

    def run(paper, **changes):
        books = [book for book in cells if book[:2] in PAPERS[paper].notebooks]
        for book in books:
            names: dict = {}
            for cell in cells[book]:
                exec(cell.source, names)
                if "parameters" in cell.metadata.get("tags", []):
                    names |= {"profile": str(folder / "tiny.yaml")}
                    names["changes"] = {"results_dir": str(folder / "results")} | changes
            plt.close("all")
        made = names["study"]
        write_report(made.run, made.figures_dir, folder / "output" / made.run)
        figures = [name for name, entry in load_figures().items() if entry.notebook in books]
        return {name: read_record(name, made.figures_dir).skipped for name in figures}

    with pytest.MonkeyPatch.context() as patch, answered_by(Model()):
        patch.setattr(study, "ROOT", folder)
        patch.setattr(Figure, "savefig", lambda *_, **__: None)
        for room, name, few in (
            (metrics, "bootstrap_interval", {"n_resamples": 20}),
            (metrics, "chance_stability", {"n_permutations": 20}),
            (rozen2025, "structures", {"n_resamples": 2}),
            (metrics, "bootstrap_values_similarities", {"n_iterations": 2}),
            (metrics, "bootstrap_behaviour_similarity", {"n_iterations": 2}),
        ):
            patch.setattr(room, name, partial(getattr(room, name), **few))
        yield run


CHOICES = [
    pytest.param(paper.name, list(names), id=" and ".join(names))
    for paper in PAPERS.values()
    for n in (1, 2)
    for names in combinations(paper.experiments, n)
]


@pytest.mark.parametrize(("paper", "names"), CHOICES)
def test_any_choice_of_experiments_runs(run, paper, names):
    for figure, skipped in run(paper, experiments=names).items():
        needs = load_figures()[figure].needs
        if skipped:
            assert all(name in skipped for name in needs if name not in names), (figure, skipped)
        elif figure != "yehudai_prompts":  # which shows those of priming, too
            assert not needs or set(needs) & set(names), figure


@pytest.mark.parametrize("n", [1, 2])
def test_with_few_personas_there_is_no_map(run, n):
    skipped = run("kovac2024", experiments=["pvq"], n_personas=n)
    assert "3 personas" in skipped["figure_12"] and not skipped["figure_5"]


def test_a_questionnaire_of_ones_own_has_every_figure_that_makes_sense_for_it(run):
    own = str(DATA / "questionnaires" / "example_de.yaml")
    skipped = run("kovac2024", experiments=["pvq", "downstream", "lengths"], questionnaire=own)
    made = {name for name, why in skipped.items() if not why}
    assert {"figure_4a", "figure_5", "figure_6", "figure_11", "figure_12", "letters_chosen", "values"} <= made
    assert "example_de" in skipped["figure_9"]
