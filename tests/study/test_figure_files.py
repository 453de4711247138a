"""What is kept of a figure, and that nothing half-made or old looks like one."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from valuestab_utils.study.figure_files import read_record, save_figure, skip_figure

TABLE = pd.DataFrame({"model": ["a", "b"], "stability": [0.5, np.nan]})


def drawn():
    figure, axes = plt.subplots(figsize=(2, 1))
    axes.bar(["a"], [1])
    return figure


def names(folder):
    return {path.name for path in folder.iterdir()}


def test_figure_is_saved_with_its_data_and_what_it_shows(tmp_path):
    figure = drawn()
    about = {"sample": "5 personas"}
    given = save_figure(figure, TABLE, "figure_4a", tmp_path / "new", "r is 0.5.", about)
    assert given is figure and not plt.fignum_exists(figure.number)
    assert names(tmp_path / "new") == {f"figure_4a.{ending}" for ending in ("png", "pdf", "csv", "json")}
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "new" / "figure_4a.csv"), TABLE)
    record = read_record("figure_4a", tmp_path / "new")
    assert (record.name, record.found, record.skipped) == ("figure_4a", "r is 0.5.", "")
    assert record.about == about
    assert record.files == ("figure_4a.png", "figure_4a.pdf", "figure_4a.csv")


def test_text_and_table_take_the_old_picture_away(tmp_path):
    save_figure(drawn(), TABLE, "figure_11", tmp_path)
    save_figure(None, TABLE, "figure_11", tmp_path, "2 formats.", text="You are Éowyn.")
    assert names(tmp_path) == {"figure_11.csv", "figure_11.txt", "figure_11.json"}
    assert (tmp_path / "figure_11.txt").read_text(encoding="utf-8") == "You are Éowyn."


def test_what_cannot_be_kept_is_refused_and_leaves_no_file(tmp_path):
    with pytest.raises(ValueError, match="about.sample"):
        save_figure(None, TABLE, "values", tmp_path, about={"sample": float("nan")})
    assert names(tmp_path) == set()


def test_failed_drawing_leaves_nothing_that_looks_current(tmp_path):
    save_figure(drawn(), TABLE, "figure_5", tmp_path, "Old.")
    save_figure(drawn(), TABLE, "figure_6", tmp_path, "Another.")

    class Broken(matplotlib.figure.Figure):
        def savefig(self, path, **_):
            if str(path).endswith(".pdf"):
                raise MemoryError
            path.touch()

    with pytest.raises(MemoryError):
        save_figure(Broken(), TABLE, "figure_5", tmp_path, "New.")
    assert names(tmp_path) == {f"figure_6.{ending}" for ending in ("png", "pdf", "csv", "json")}
    assert read_record("figure_5", tmp_path) is None


def test_skipped_figure_says_why_and_takes_the_old_one_away(tmp_path):
    save_figure(drawn(), TABLE, "figure_10", tmp_path, "Old.")
    skip_figure("figure_10", tmp_path, "The profile has one topic.")
    assert names(tmp_path) == {"figure_10.json"}
    record = read_record("figure_10", tmp_path)
    assert (record.skipped, record.found, record.files) == ("The profile has one topic.", "", ())
