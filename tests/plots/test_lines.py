"""Lines: every point where it belongs, and gaps named and not bridged."""

import numpy as np
import pandas as pd
import pytest
from plot_tables import IN_ORDER, assert_legible, key, stability_rows

from valuestab_utils.plots import length_lines, value_means_lines

PRINTED = pd.DataFrame({"model": ["Mixtral", "Mixtral"], "n_messages": [43, 35], "r": [0.15, 0.17]})

pytestmark = pytest.mark.usefixtures("notebook_style")


def by_length(lengths=(11, 3), measures=("rank_order",)):
    parts = [stability_rows(n_messages=n, measure=measure) for n in lengths for measure in measures]
    return pd.concat(parts, ignore_index=True)


def test_a_line_a_respondent_from_short_to_long():
    figure = length_lines(by_length(), ["rank_order"])
    axes = figure.axes[0]
    assert key(figure) == [*IN_ORDER, "bars: ± 1 SE over seeds"]
    drawn = [group.lines[0] for group in axes.containers]
    assert [list(line.get_xdata()) for line in drawn] == [[3, 11]] * 4
    assert [line.get_ydata()[0] for line in drawn] == pytest.approx([0.4, 0.3, 0.2, 0.1])
    assert list(axes.get_xticks()) == [3, 11]
    assert_legible(figure)


def test_printed_points_are_hollow_and_named_as_such():
    figure = length_lines(by_length(), ["rank_order"], PRINTED)
    assert key(figure)[-2] == "printed in the paper (not this run): Mixtral"
    (line,) = [line for line in figure.axes[0].lines if line.get_markerfacecolor() == "white"]
    assert list(line.get_xdata()) == [35, 43] and list(line.get_ydata()) == [0.17, 0.15]


def test_a_length_without_value_is_named_and_not_bridged():
    table = by_length((3, 7, 11), ["rank_order", "neutral_similarity"])
    gap = (table["n_messages"] == 7) & (table["family"] == "control")
    table.loc[gap, ["stability", "standard_error"]] = np.nan
    one = length_lines(table, ["rank_order"])
    assert key(one)[-1] == "undefined at 7: synthetic control"
    assert np.isnan(one.axes[0].containers[-1].lines[0].get_ydata()[1])
    two = length_lines(table, ["rank_order", "neutral_similarity"])
    assert "undefined at 7: similarity to the neutral profile, synthetic control" in key(two)
    assert_legible(two)


def test_values_stand_in_the_order_of_people_whatever_the_order_of_the_rows():
    means = {"human": [0.8, -0.2, -1.4], "run": [0.5, np.nan, -1.0], "published": [0.7, 0.1, -2.0]}
    values = {"value": ["care", "rules", "power"], "acronym": ["CA", "RU", "PO"], "human_rank": [1, 2, 3]}
    table = pd.concat(pd.DataFrame(values | {"label": kind, "kind": kind, "mean": means[kind]}) for kind in means)
    figure = value_means_lines(table.assign(se=np.nan).iloc[::-1])
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["CA", "RU", "PO"]
    people, run, _ = (container.lines[0].get_ydata().astype(float) for container in figure.axes[0].containers)
    np.testing.assert_array_equal(people, [0.8, -0.2, -1.4])
    np.testing.assert_array_equal(run, [0.5, np.nan, -1.0])
    assert key(figure) == ["human", "run (undefined: RU)", "published, printed in the paper"]
    assert_legible(figure)
