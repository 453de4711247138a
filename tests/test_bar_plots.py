"""Bars of stability: each row once, in the paper's order, and nothing taken for what it is not."""

import numpy as np
import pandas as pd
import pytest
from plot_tables import IN_ORDER, RESPONDENTS, assert_legible, bars, key, stability_rows, ticks

from valuestab_utils import tables
from valuestab_utils.bar_plots import stability_bars
from valuestab_utils.errors import ValuestabError

WHERE = ("fictional_characters", "rank_order")
NOBODY = pd.DataFrame(columns=["measure", "ages", "value"])
NO_CONTROL = pd.DataFrame(columns=["model", "format", "population", "instrument", "measure"])
PRINTED = pd.DataFrame(
    {
        "model": ["gpt-3.5-turbo-1106", "Mistral-7B-Instruct-v0.2"],
        "family": ["GPT-3.5", "Mistral"],
        "r": [0.2, 0.28],
        "source": ["Kovač et al. 2024, journal version (and so on); 0.29 elsewhere"] * 2,
    }
)

pytestmark = pytest.mark.usefixtures("notebook_style")


def test_families_stand_in_the_papers_order():
    axes = stability_bars(stability_rows(), *WHERE, NOBODY, NO_CONTROL).axes[0]
    assert ticks(axes) == IN_ORDER
    assert bars(axes, "this run") == pytest.approx([0.4, 0.3, 0.2, 0.1])


def test_printed_values_stand_apart_from_the_runs_own():
    figure = stability_bars(stability_rows(), *WHERE, NOBODY, NO_CONTROL, published=PRINTED)
    axes = figure.axes[0]
    assert ticks(axes) == [
        *IN_ORDER,
        "printed in the paper (not this run)",
        "Mistral-7B-Instruct-v0.2",
        "gpt-3.5-turbo-1106",
    ]
    assert len(bars(axes, "this run")) == 4
    assert bars(axes, "printed in the paper") == [0.28, 0.2]
    own, printed = (
        next(group.patches[0] for group in axes.containers if group.get_label() == label)
        for label in ("this run", "printed in the paper")
    )
    assert printed.get_hatch() and not own.get_hatch() and printed.get_linewidth() == 0
    assert "0.28, journal version" in [text.get_text() for text in axes.texts]
    assert "printed in the paper" in key(figure)


def test_intervals_and_chance_are_drawn_where_the_table_has_them():
    plain = stability_bars(stability_rows(), *WHERE, NOBODY, NO_CONTROL)
    assert not [text for text in key(plain) if "bootstrap" in text or "chance" in text]
    table = stability_rows(ci_low=-0.05, ci_high=0.45, chance_low=-0.1, chance_high=0.12)
    figure = stability_bars(table, *WHERE, NOBODY, NO_CONTROL)
    assert {"95% bootstrap interval (personas)", "95% of what chance gives"} <= set(key(figure))
    drawn = [list(line.get_xdata()) for line in figure.axes[0].lines]
    assert drawn.count([-0.05, 0.45]) == 4
    bands = [
        band.get_paths()[0].get_extents() for band in figure.axes[0].collections if band.get_zorder() == 0.5
    ]
    assert [(band.x0, band.x1) for band in bands] == [pytest.approx((-0.1, 0.12))] * 4


def test_an_interval_that_no_row_has_is_not_in_the_key():
    figure = stability_bars(stability_rows(ci_low=np.nan, ci_high=np.nan), *WHERE, NOBODY, NO_CONTROL)
    assert "95% bootstrap interval (personas)" not in key(figure)


def test_human_lines_come_from_their_table_alone():
    humans = tables.human_stability()
    with_humans = stability_bars(stability_rows(), *WHERE, humans, NO_CONTROL)
    assert [text for text in key(with_humans) if "humans" in text] == [
        "humans, ages 10-12 (0.569)",
        "humans, ages 20-28 (0.657)",
    ]
    assert not [t for t in key(stability_bars(stability_rows(), *WHERE, NOBODY, NO_CONTROL)) if "humans" in t]


def test_of_several_tasks_one_is_drawn():
    both = pd.concat([stability_rows(), stability_rows(instrument="Donation", wording="5 of 100 questions")])
    figure = stability_bars(both, *WHERE, NOBODY, NO_CONTROL, instrument="Donation")
    assert figure.get_suptitle() == "Rank-order stability of donations: fictional characters"
    assert "Donation, 5 of 100 questions" in figure.axes[0].get_xlabel()
    assert len(bars(figure.axes[0], "this run")) == 4
    with pytest.raises(ValuestabError, match="several rows of it: choose one"):
        stability_bars(both, *WHERE, NOBODY, NO_CONTROL)


def test_a_seed_needs_a_bar():
    seeds = stability_rows().assign(model="somebody-else", seed=1)
    with pytest.raises(ValuestabError, match="somebody-else .* has a point, but no bar"):
        stability_bars(stability_rows(), *WHERE, NOBODY, NO_CONTROL, seeds)


def test_what_is_undefined_is_said():
    table = stability_rows(stability=np.nan, standard_error=np.nan, undefined=100)
    said = [text.get_text() for text in stability_bars(table, *WHERE, NOBODY, NO_CONTROL).axes[0].texts]
    assert said.count("undefined") == 4
    assert len([text for text in said if "100 of 100 r undefined" in text]) == 4


def test_without_persona_errors_are_over_permutations():
    table = stability_rows(population="none", measure="ipsative", unit="personas")
    figure = stability_bars(table, "none", "ipsative", NOBODY, NO_CONTROL)
    assert "± 1 SE over option-order permutations" in key(figure)
    assert figure.get_suptitle() == "Ipsative stability: no persona"


def test_a_part_that_was_not_run_is_told():
    figure = stability_bars(pd.DataFrame(), "none", "ipsative", NOBODY, NO_CONTROL, published=PRINTED)
    assert figure.axes[0].texts[0].get_text() == "No ipsative stability was run for no persona."


@pytest.mark.parametrize("n", [1, 25])
def test_one_bar_and_twenty_five_are_legible(n):
    long = "mistralai--Mixtral-8x7B-Instruct-v0.1-4b"
    many = [(f"{long}x{i}", "tuned_no_sys", "Mixtral") for i in range(n - 1)] + RESPONDENTS[:1]
    table = stability_rows(
        many, stability=0.2, undefined=3, ci_low=-0.2, ci_high=0.4, chance_low=-0.1, chance_high=0.1
    )
    assert_legible(stability_bars(table, *WHERE, tables.human_stability(), NO_CONTROL, published=PRINTED))


def test_without_printed_values_there_is_no_block_for_them():
    figure = stability_bars(stability_rows(), *WHERE, NOBODY, NO_CONTROL, published=PRINTED[:0])
    assert ticks(figure.axes[0]) == IN_ORDER and "printed in the paper" not in key(figure)
