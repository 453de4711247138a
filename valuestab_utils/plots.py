"""Figures: each draws one tidy table and computes nothing. All are had from here; most have modules."""

import textwrap

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from valuestab_utils.bar_plots import stability_bars
from valuestab_utils.figure_layout import WIDTH, folded, nothing, panel_grid
from valuestab_utils.grouped_bars import (
    induction_bars,
    order_bars,
    retest_bars,
)
from valuestab_utils.labels import experiment_labels, respondent_labels
from valuestab_utils.line_plots import length_lines
from valuestab_utils.matrix_plots import (
    context_matrix,
    significance_matrix,
    value_heatmap,
)
from valuestab_utils.persona_map_plot import persona_map
from valuestab_utils.prompting_plots import agreement_dots, correlation_heatmap, politics_bars
from valuestab_utils.rank_agreement_plot import rank_agreement_heatmap
from valuestab_utils.similarity_plot import similarity_points
from valuestab_utils.ssd_plot import ssd_bars
from valuestab_utils.structure_plots import anchor_curves, value_means_lines
from valuestab_utils.value_donation_plot import value_donation_bars
from valuestab_utils.value_map_plot import value_maps

OPTION_COLOURS = ("#b2182b", "#ef8a62", "#fddbc7", "#d1e5f0", "#67a9cf", "#2166ac")  # least to most like me


def letter_bars(shares: pd.DataFrame) -> Figure:
    """Share of answers at each letter, a panel an experiment; dashed where position has no influence."""
    if shares.empty:
        return nothing("No answer was read from letters.")
    shares = shares.assign(experiment=experiment_labels(shares, between="\n"))
    names = list(dict.fromkeys(shares["experiment"]))
    figure, panels = panel_grid(len(names), 3, (WIDTH / 3, 1.9), sharex=True, sharey=True)
    for name, panel in zip(names, panels):
        rows = shares[shares["experiment"] == name]
        panel.bar(rows["letter"], rows["share"], color="C0")
        panel.axhline(1 / len(rows), color="black", ls="--", lw=0.8)
        panel.set_title(folded(name), fontsize=7, fontweight="normal")
        panel.set_ylim(0, 1)
    figure.supxlabel("letter chosen", fontsize=9)
    figure.supylabel("share of answers\n(dashed: no influence of position)", fontsize=9)
    return figure


def letter_probability_bars(
    probabilities: pd.DataFrame, portraits: dict[int, str], options: tuple[str, ...]
) -> Figure:
    """Next-token probability of each letter for a few items of a session, coloured by what it stood for."""
    items = list(dict.fromkeys(probabilities["item"]))
    figure, axes = plt.subplots(1, len(items), figsize=(3.1 * len(items), 3.5), sharey=True, squeeze=False)
    for item, panel in zip(items, axes.flat):
        rows = probabilities[probabilities["item"] == item]
        panel.bar(
            rows["letter"],
            rows["probability"],
            color=[OPTION_COLOURS[code - 1] for code in rows["code"]],
            edgecolor="black",
            linewidth=0.5,
        )
        panel.set_title(textwrap.fill(portraits[item], 38), fontsize=7.5, fontweight="normal")
        panel.set_xlabel(f"letter (item {item})")
    axes.flat[0].set_ylabel("next-token probability")
    axes.flat[0].set_ylim(0, 1)
    keys = [plt.Rectangle((0, 0), 1, 1, facecolor=c, edgecolor="black", lw=0.5) for c in OPTION_COLOURS]
    figure.legend(
        keys,
        options,
        loc="outside lower center",
        ncols=3,
        fontsize=8,
        title="what the letter stood for",
        title_fontsize=8,
    )
    return figure


def letter_mass_boxes(answers: pd.DataFrame) -> Figure:
    """Letter mass of every answer by model and format: how much probability is on the letters at all."""
    rows = answers.assign(respondent=respondent_labels(answers))
    figure, axes = plt.subplots(figsize=(WIDTH, 1.2 + 0.45 * rows["respondent"].nunique()))
    groups = {name: part["letter_mass"] for name, part in rows.groupby("respondent", sort=False)}
    axes.boxplot(
        list(groups.values()),
        orientation="horizontal",
        tick_labels=[folded(name) for name in groups],
        widths=0.55,
        patch_artist=True,
        boxprops={"facecolor": "C0"},
        medianprops={"color": "black"},
        flierprops={"markersize": 2},
    )
    axes.invert_yaxis()
    axes.set(xlim=(0, 1.02), xlabel="letter mass (summed probability of the letters, per answer)", ylabel="")
    axes.set_title("Does the model answer with a letter?")
    return figure


def message_length_bars(lengths: pd.DataFrame) -> Figure:
    """Mean length of the messages by experiment and role, and the share that was stopped at the limit."""
    rows = lengths.assign(experiment=[folded(name) for name in experiment_labels(lengths)])
    figure, axes = plt.subplots(figsize=(WIDTH, 1.4 + 0.42 * rows["experiment"].nunique()))
    sns.barplot(rows, x="tokens", y="experiment", hue="role", ax=axes)
    for bars, at_limit in zip(axes.containers, (g["at_limit"] for _, g in rows.groupby("role", sort=False))):
        axes.bar_label(bars, [f" {share:.0%} at limit" if share else "" for share in at_limit], fontsize=7)
    axes.set(xlabel="mean tokens a message (limit 100)", ylabel="", xlim=(0, 118))
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8)
    axes.get_legend().remove()
    return figure


__all__ = [
    "agreement_dots",
    "anchor_curves",
    "context_matrix",
    "correlation_heatmap",
    "induction_bars",
    "length_lines",
    "letter_bars",
    "letter_mass_boxes",
    "letter_probability_bars",
    "message_length_bars",
    "order_bars",
    "persona_map",
    "politics_bars",
    "rank_agreement_heatmap",
    "retest_bars",
    "significance_matrix",
    "similarity_points",
    "ssd_bars",
    "stability_bars",
    "value_donation_bars",
    "value_heatmap",
    "value_maps",
    "value_means_lines",
]
