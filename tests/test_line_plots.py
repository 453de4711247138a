"""Figures 6, 7, 13 and 14 of the paper: stability against length."""

import numpy as np
import pandas as pd
import pytest
from plot_tables import IN_ORDER, assert_legible, key, stability_rows

from valuestab_utils.errors import ValuestabError
from valuestab_utils.line_plots import length_lines

PRINTED = pd.DataFrame({"model": ["Mixtral", "Mixtral"], "n_messages": [43, 35], "r": [0.15, 0.17]})

pytestmark = pytest.mark.usefixtures("notebook_style")


def by_length(lengths=(11, 3), measures=("rank_order",), **columns):
    parts = [
        stability_rows(n_messages=n, measure=measure, **columns) for n in lengths for measure in measures
    ]
    return pd.concat(parts, ignore_index=True)


def test_a_line_a_respondent_from_short_to_long():
    figure = length_lines(by_length(), ["rank_order"])
    axes = figure.axes[0]
    assert key(figure) == IN_ORDER
    drawn = [group.lines[0] for group in axes.containers]
    assert [list(line.get_xdata()) for line in drawn] == [[3, 11]] * 4
    assert [line.get_ydata()[0] for line in drawn] == pytest.approx([0.4, 0.3, 0.2, 0.1])
    assert list(axes.get_xticks()) == [3, 11]
    assert len({(line.get_color(), line.get_marker(), line.get_linestyle()) for line in drawn}) == 4
    assert "± 1 SE over seeds" in axes.get_xlabel()
    assert_legible(figure)


def test_a_respondent_keeps_its_marker_and_populations_have_their_dashes():
    both = pd.concat([by_length(measures=["ipsative"]), by_length(measures=["ipsative"], population="none")])
    figure = length_lines(both, ["ipsative"])
    drawn = {text: group.lines[0] for text, group in zip(key(figure), figure.axes[0].containers)}
    one, other = drawn["synthetic control, fictional characters"], drawn["synthetic control, no persona"]
    assert one.get_marker() == other.get_marker() and one.get_linestyle() != other.get_linestyle()
    assert_legible(figure)


def test_members_of_a_family_have_markers_of_their_own():
    same = by_length().assign(family="Mixtral")
    drawn = [group.lines[0] for group in length_lines(same, ["rank_order"]).axes[0].containers]
    assert len({line.get_marker() for line in drawn}) == 4


def test_printed_points_are_hollow_and_named_as_such():
    figure = length_lines(by_length(), ["rank_order"], PRINTED)
    assert key(figure)[-1] == "printed in the paper (not this run): Mixtral"
    line = [line for line in figure.axes[0].lines if line.get_markerfacecolor() == "white"][0]
    assert list(line.get_xdata()) == [35, 43] and list(line.get_ydata()) == [0.17, 0.15]
    assert list(figure.axes[0].get_xticks()) == [3, 11, 35, 43]


def test_two_measures_are_black_and_blue_in_a_panel_each():
    table = by_length(measures=["rank_order", "rank_order_neutral", "ipsative"])
    table = table[(table["measure"] != "rank_order_neutral") | (table["family"] != "control")]
    figure = length_lines(table, ["rank_order", "rank_order_neutral"])
    assert [axes.get_title(loc="left").replace("\n", " ") for axes in figure.axes if axes.axison] == IN_ORDER[
        :3
    ]
    assert key(figure) == [
        "rank-order stability between contexts",
        "rank-order stability to the neutral order",
        "± 1 SE over seeds",
    ]
    first, second = (group.lines[0] for group in figure.axes[0].containers)
    assert first.get_color() == "black" and first.get_linestyle() != second.get_linestyle()
    assert_legible(figure)


def test_a_length_without_value_is_named_and_not_bridged():
    table = by_length((3, 7, 11), ["rank_order", "neutral_similarity"])
    gap = (table["n_messages"] == 7) & (table["family"] == "control")
    table.loc[gap, ["stability", "standard_error"]] = np.nan
    one = length_lines(table, ["rank_order"])
    assert key(one)[-1] == "synthetic control (undefined at 7)"
    assert np.isnan(one.axes[0].containers[-1].lines[0].get_ydata()[1])
    two = length_lines(table, ["rank_order", "neutral_similarity"])
    assert "undefined at 7: similarity to the neutral profile" in two.axes[3].get_title(loc="left")


def test_a_measure_that_is_not_there_is_told():
    figure = length_lines(by_length(), ["rank_order", "neutral_similarity"])
    assert figure.axes[0].texts[0].get_text().endswith("asked for similarity to the neutral profile.")


def test_two_values_at_one_length_are_refused():
    with pytest.raises(ValuestabError, match="several rows of it"):
        length_lines(pd.concat([by_length(), by_length()]), ["rank_order"])
    with pytest.raises(ValuestabError, match="1 or 2 measures, not 3"):
        length_lines(by_length(), ["rank_order", "ipsative", "neutral_similarity"])
