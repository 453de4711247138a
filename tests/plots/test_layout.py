"""Whatever was not run, its figure says so."""

import pandas as pd
import pytest

from valuestab_utils import plots

EMPTY = pd.DataFrame()
OTHERS = {  # what a figure takes besides its table
    "anchor_curves": [EMPTY],
    "context_matrix": ["none", []],
    "correlation_heatmap": ["A title", "a", "b"],
    "length_lines": [["ipsative"], EMPTY],
    "letter_probability_bars": [{}, []],
    "persona_map": [[]],
    "rank_lines": ["Power"],
    "significance_matrix": ["A title"],
    "similarity_points": ["A title", "similarity"],
    "stability_bars": ["none", "ipsative", EMPTY, EMPTY, EMPTY, EMPTY],
    "value_maps": ["A title"],
}
FIGURES = sorted(set(plots.__all__) - {"FORMATS", "MEASURES", "QUESTIONNAIRE", "as_svg", "respondent_label"})


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("table", [EMPTY, pd.DataFrame(columns=["anything"])], ids=["bare", "columns"])
def test_an_empty_table_gives_a_figure_that_says_so(notebook_style, name, table):
    (axes,) = getattr(plots, name)(table, *OTHERS.get(name, [])).axes
    assert axes.texts[0].get_text().endswith(".") and not axes.axison
