"""How it is drawn: tidy frames in, figures out; nothing is computed here beyond what drawing needs.

Imports errors, paths, and from prompts the labels of populations. Each function draws one figure; a table without rows
gives a figure that says what was not run.
"""

from valuestab_utils.plots.bars import (
    induction_bars,
    letter_bars,
    letter_mass_boxes,
    letter_probability_bars,
    message_length_bars,
    order_bars,
    politics_bars,
    retest_bars,
    stability_bars,
    value_donation_bars,
)
from valuestab_utils.plots.labels import FORMATS, MEASURES, QUESTIONNAIRE, respondent_label
from valuestab_utils.plots.lines import anchor_curves, as_svg, length_lines, rank_lines, value_means_lines
from valuestab_utils.plots.maps import persona_map, value_maps
from valuestab_utils.plots.matrices import (
    context_matrix,
    correlation_heatmap,
    rank_agreement_heatmap,
    significance_matrix,
    value_heatmap,
)
from valuestab_utils.plots.points import agreement_dots, similarity_points, ssd_bars

__all__ = [
    "FORMATS", "MEASURES", "QUESTIONNAIRE", "agreement_dots", "anchor_curves", "as_svg", "context_matrix",
    "correlation_heatmap", "induction_bars", "length_lines", "letter_bars", "letter_mass_boxes",
    "letter_probability_bars", "message_length_bars", "order_bars", "persona_map", "politics_bars",
    "rank_agreement_heatmap", "rank_lines", "respondent_label", "retest_bars", "significance_matrix",
    "similarity_points", "ssd_bars", "stability_bars", "value_donation_bars", "value_heatmap", "value_maps",
    "value_means_lines",
]
