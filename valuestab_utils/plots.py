"""Figures: each draws one tidy table and computes nothing."""

import textwrap
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

MEASURES = {"rank_order": "Rank-order stability", "ipsative": "Ipsative stability"}
FORMATS = {"base": "base", "tuned_sys": "system", "tuned_no_sys": "no system"}
POPULATIONS = {
    "fictional_characters": "fictional characters",
    "real_world_personas": "real-world personas",
    "none": "no persona",
}
OPTION_COLOURS = ("#b2182b", "#ef8a62", "#fddbc7", "#d1e5f0", "#67a9cf", "#2166ac")  # least to most like me
WORDINGS = {
    "project": "PVQ-40 in this project's own wording, NOT the published one",
    "published": "PVQ-40 in the published wording",
}
_CONTROL = "#999999"
_LINES = {"10-12": ":", "20-28": "--"}


def stability_bars(
    table: pd.DataFrame,
    population: str,
    measure: str,
    humans: pd.DataFrame,
    expected: pd.DataFrame,
    per_seed: pd.DataFrame | None = None,
) -> Figure:
    """Bars of one measure in one population with ± 1 SE, as in figures 4a, 4b and 5 of paper 001.

    Parameters
    ----------
    table : DataFrame
        From `valuestab_utils.tables.stability_table`.
    population, measure : str
        What to draw of it.
    humans : DataFrame
        From `valuestab_utils.tables.human_stability`: a line each.
    expected : DataFrame
        From `valuestab_utils.tables.expected_table`: drawn as an interval of ± 3 SD beside the synthetic control.
    per_seed : DataFrame, optional
        From `valuestab_utils.tables.per_seed_table`: drawn as points.

    Beside each bar stands how its answers were given: the letter chosen most with its share, the share of near-ties,
    and the mean letter mass.
    """
    rows = _part(table, population, measure)
    if rows.empty:
        return _nothing(f"No {MEASURES[measure].lower()} was run for {population.replace('_', ' ')}.")
    labels = {name: i for i, name in enumerate(_labels(rows))}
    figure, axes = plt.subplots(figsize=(8.5, 2.0 + 0.5 * len(labels)))
    families = list(dict.fromkeys(rows["family"][rows["family"] != "control"]))
    colours = {family: f"C{i}" for i, family in enumerate(families)} | {"control": _CONTROL}
    at = [labels[name] for name in _labels(rows)]
    axes.barh(at, rows["stability"], height=0.6, color=[colours[family] for family in rows["family"]])
    axes.errorbar(
        rows["stability"],
        at,
        xerr=rows["standard_error"],
        fmt="none",
        ecolor="black",
        elinewidth=1.2,
        capsize=3,
    )
    if per_seed is not None:
        points = per_seed[per_seed["population"] == population]
        where = [labels[name] + 0.2 for name in _labels(points)]
        axes.scatter(
            points["stability"],
            where,
            s=14,
            c="white",
            edgecolors="black",
            linewidths=0.7,
            zorder=3,
            label="one seed",
        )
    for row in _part(expected, population, measure).itertuples():
        axes.errorbar(
            row.expected,
            labels[_label(row.model, row.format)] - 0.2,
            xerr=3 * row.expected_sd,
            fmt="D",
            ms=4,
            color="black",
            capsize=3,
            label="expected of the synthetic control (± 3 SD)",
        )
    for row in humans[humans["measure"] == measure].itertuples():
        axes.axvline(
            row.value,
            color="black",
            lw=1,
            ls=_LINES[row.ages],
            label=f"humans, ages {row.ages} ({row.value})",
        )
    axes.axvline(0, color="black", lw=0.8)
    axes.set_yticks(list(labels.values()), list(labels))
    axes.invert_yaxis()
    axes.set_xlim(min(-0.3, axes.get_xlim()[0]), max(1.0, axes.get_xlim()[1]))
    unit = "option-order permutations" if population == "none" else rows["unit"].iloc[0]
    axes.set_xlabel(
        f"mean Spearman's r over pairs of contexts, ± 1 SE over {unit}\n{WORDINGS[rows['wording'].iloc[0]]}",
        fontsize=8.5,
    )
    beside = {"transform": axes.get_yaxis_transform(), "fontsize": 7.5, "va": "center"}
    axes.text(1.02, -0.62, "most chosen letter,\nnear-ties, letter mass", style="italic", **beside)
    for place, row in zip(at, rows.itertuples()):
        use = f"{row.top_letter} {row.top_letter_share:.0%}, {row.near_ties:.0%}, {row.letter_mass:.2f}"
        undefined = f"\n{row.undefined} of {row.correlations} r undefined" if row.undefined else ""
        axes.text(1.02, place, use + undefined, **beside)
    axes.set_title(f"{MEASURES[measure]}: {POPULATIONS.get(population, population)}")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8)
    return figure


def letter_bars(shares: pd.DataFrame) -> Figure:
    """Share of answers at each letter, one panel an experiment; a dashed line where position has no influence."""
    shares = shares.assign(experiment=_experiments(shares))
    names = list(dict.fromkeys(shares["experiment"]))
    columns = min(4, len(names))
    n_lines = -(-len(names) // columns)
    figure, panels = plt.subplots(
        n_lines, columns, figsize=(2.2 * columns, 2.0 * n_lines), sharex=True, sharey=True, squeeze=False
    )
    for panel in panels.flat[len(names) :]:
        panel.set_axis_off()
    for name, panel in zip(names, panels.flat):
        rows = shares[shares["experiment"] == name]
        panel.bar(rows["letter"], rows["share"], color="C0")
        panel.axhline(1 / len(rows), color="black", ls="--", lw=0.8)
        panel.set_title(name, fontsize=7, fontweight="normal")
        panel.set_ylim(0, 1)
    figure.supxlabel("letter chosen", fontsize=9)
    figure.supylabel("share of answers (dashed: no influence of position)", fontsize=9)
    return figure


def letter_probability_bars(
    probabilities: pd.DataFrame, portraits: dict[int, str], options: tuple[str, ...]
) -> Figure:
    """Next-token probability of each letter for a few items of one session, coloured by the option it stood for."""
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
    """Letter mass of every answer by model and format: how much of the probability is on the letters at all."""
    rows = answers.assign(respondent=_labels(answers))
    figure, axes = plt.subplots(figsize=(7.5, 1.2 + 0.45 * rows["respondent"].nunique()))
    groups = {name: part["letter_mass"] for name, part in rows.groupby("respondent", sort=False)}
    axes.boxplot(
        list(groups.values()),
        orientation="horizontal",
        tick_labels=list(groups),
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


def context_heatmaps(pairs: pd.DataFrame, population: str) -> Figure:
    """Stability between each two contexts, one panel a model and format (figure 10 of paper 001 for few contexts)."""
    rows = pairs[pairs["population"] == population]
    if rows.empty:
        return _nothing(f"No context pairs of {population.replace('_', ' ')}.")
    rows = rows.assign(respondent=_labels(rows))
    names = list(dict.fromkeys(rows["respondent"]))
    columns = min(4, len(names))
    n_lines = -(-len(names) // columns)
    figure, axes = plt.subplots(
        n_lines, columns, figsize=(2.9 * columns + 0.8, 2.7 * n_lines + 0.3), squeeze=False
    )
    for panel in axes.flat[len(names) :]:
        panel.set_axis_off()
    for name, panel in zip(names, axes.flat):
        matrix = rows[rows["respondent"] == name].pivot(
            index="context", columns="other_context", values="stability"
        )
        sns.heatmap(
            matrix,
            vmin=-1,
            vmax=1,
            cmap="vlag",
            annot=True,
            fmt=".2f",
            square=True,
            cbar=False,
            ax=panel,
            linewidths=0.5,
        )
        panel.set(xlabel="", ylabel="")
        panel.set_facecolor("#eeeeee")
        panel.set_title(name, fontsize=8.5)
    scale = plt.cm.ScalarMappable(plt.Normalize(-1, 1), "vlag")
    figure.colorbar(scale, ax=axes, label=f"{MEASURES[rows['measure'].iloc[0]]} (Spearman's r)", shrink=0.8)
    return figure


def value_heatmap(values: pd.DataFrame) -> Figure:
    """Rank-order stability of each value, a row an experiment."""
    if values.empty:
        return _nothing("No rank-order stability was computed.")
    rows = values.assign(experiment=[name.replace("\n", ", ") for name in _experiments(values)])
    order = {axis: list(dict.fromkeys(rows[axis])) for axis in ("experiment", "value")}
    matrix = rows.pivot(index="experiment", columns="value", values="stability").loc[
        order["experiment"], order["value"]
    ]
    figure, axes = plt.subplots(figsize=(9, 1.6 + 0.4 * len(matrix)))
    sns.heatmap(
        matrix,
        vmin=-1,
        vmax=1,
        cmap="vlag",
        annot=True,
        fmt=".2f",
        linewidths=0.5,
        ax=axes,
        annot_kws={"size": 8},
        cbar_kws={"label": "rank-order stability\n(Spearman's r)"},
    )
    axes.set_facecolor("#eeeeee")
    axes.set(xlabel="", ylabel="")
    axes.tick_params(axis="x", rotation=30)
    plt.setp(axes.get_xticklabels(), ha="right", rotation_mode="anchor")
    return figure


def message_length_bars(lengths: pd.DataFrame) -> Figure:
    """Mean length of the messages by experiment and role, and the share of them that was stopped at the limit."""
    rows = lengths.assign(experiment=[name.replace("\n", ", ") for name in _experiments(lengths)])
    figure, axes = plt.subplots(figsize=(7.5, 1.4 + 0.42 * rows["experiment"].nunique()))
    sns.barplot(rows, x="tokens", y="experiment", hue="role", ax=axes)
    for bars, at_limit in zip(axes.containers, (g["at_limit"] for _, g in rows.groupby("role", sort=False))):
        axes.bar_label(bars, [f" {share:.0%} at limit" if share else "" for share in at_limit], fontsize=7)
    axes.set(xlabel="mean tokens a message (limit 100)", ylabel="", xlim=(0, 118))
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8)
    axes.get_legend().remove()
    return figure


def save_figure(figure: Figure, table: pd.DataFrame, name: str, folder: str | Path) -> Figure:
    """Write a figure as PNG and PDF and its table as CSV under ``name`` in ``folder``; gives the figure."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / f"{name}.png")
    figure.savefig(folder / f"{name}.pdf", metadata={"CreationDate": None})
    table.to_csv(folder / f"{name}.csv", index=False)
    plt.close(figure)  # shown once, as the cell's result
    return figure


def _part(table: pd.DataFrame, population: str, measure: str) -> pd.DataFrame:
    return table[(table["population"] == population) & (table["measure"] == measure)]


def _label(model: str, format: str) -> str:
    if model.startswith("control-"):
        return model.removeprefix("control-") + " control"
    return f"{model.split('--')[-1]} ({FORMATS.get(format, format)})"


def _labels(table: pd.DataFrame) -> list[str]:
    return [_label(model, format) for model, format in zip(table["model"], table["format"])]


def _experiments(table: pd.DataFrame) -> list[str]:
    populations = [POPULATIONS.get(name, name) for name in table["population"]]
    return [f"{label}\n{population}" for label, population in zip(_labels(table), populations)]


def _nothing(message: str) -> Figure:
    figure, axes = plt.subplots(figsize=(7.5, 0.8))
    axes.set_axis_off()
    axes.text(0, 0.5, message, va="center")
    return figure
