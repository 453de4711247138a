"""The file to download holds the studied model's data and no other's, or is not there."""

import io
import json
import zipfile
from dataclasses import replace

import pandas as pd
import pytest
from fakes import FakeRespondent
from matplotlib.figure import Figure

from valuestab_utils import study
from valuestab_utils.errors import ValuestabError
from valuestab_utils.results_archive import write_archive
from valuestab_utils.stability import stability_report
from valuestab_utils.tables import rows_of, stability_table


class Fake(FakeRespondent):
    def speak(self, prompts, max_new_tokens):
        return [replace(text, content=f"{text.content}\rso") for text in super().speak(prompts, max_new_tokens)]

    @property
    def settings(self):
        return super().settings | {"dtype": "float32"}


@pytest.fixture
def planned(tmp_path, monkeypatch):
    monkeypatch.setattr(study, "_load", lambda *_: Fake())
    monkeypatch.setattr(study, "ROOT", tmp_path)
    return study.plan_study("single", n_personas=3, topics=["joke", "chess"], seeds=[1, 2], controls=["control-random"])


def test_without_the_figure_there_is_no_archive(planned, tmp_path):
    with pytest.raises(ValuestabError, match="no figure_4a in .* .it was not drawn yet.: run the cell that draws it"):
        write_archive(planned, folder=tmp_path)
    planned.keep(None, pd.DataFrame(), "figure_4a", "")
    with pytest.raises(ValuestabError, match="no figure_4a in .*has nothing for this figure in this run"):
        write_archive(planned, folder=tmp_path)
    assert not list(tmp_path.glob("*valuestab*"))


def test_the_models_answers_alone_give_the_figures_number_again(planned, tmp_path):
    rows = rows_of(stability_table(planned.answers()), measure="rank_order")
    planned.keep(Figure(), rows, "figure_4a", "Found this.")
    path = write_archive(planned, folder=tmp_path)
    assert path == tmp_path / f"valuestab-{planned.run}.zip" and not list(tmp_path.glob(".valuestab*"))
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    answers = pd.read_csv(io.BytesIO(files["answers.csv"]))
    assert set(answers["model"]) == {"fake"} and set(answers["context"]) == {"joke", "chess"}
    of_model = rows.set_index("model").loc["fake", "stability"]
    assert stability_report(answers)["rank_order"] == pytest.approx(of_model)
    bars = pd.read_csv(io.BytesIO(files["stability.csv"]))
    assert list(bars["stability"]) == pytest.approx(list(rows["stability"]))
    conversations = pd.read_csv(io.BytesIO(files["conversations.csv"]))
    assert set(conversations["model"]) == {"fake"} and len(conversations) == 3 * 2 * 2 * 4
    assert conversations["content"].str.endswith("\rso").sum() == 3 * 2 * 2 * 3  # all but the first messages
    about = json.loads(files["provenance.json"])
    assert about["found"] == "Found this." and about["settings"]["model_source"] == "fake"
    assert about["seeds"] == [1, 2] and len(about["personas"]) == 3 and about["messages"] == 3
