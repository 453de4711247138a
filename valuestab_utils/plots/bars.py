"""Bars: stability, what is compared with it, politics, donations, and how letters are used."""

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

from valuestab_utils.plots import labels, layout
from valuestab_utils.prompts import population_label

_PRINTED = "printed in the paper"
_AGES = {"10-12": ":", "20-28": "--"}
_GROUP = (("#0072B2", ""), ("#E69F00", "////"), ("#009E73", "...."))  # colours and hatches of a group's bars
_OUTLINED = [withStroke(linewidth=3, foreground="white")]  # a black line on a dark bar

INDUCTIONS = {"tuned_sys": "persona in the system message", "tuned_no_sys": "persona in a user message"}
ORDERS = {
    "single": "one random order",
    "balanced": "all rotations: the most probable option",
    "expected": "all rotations: the expected score",
}
RETEST = {
    "stability": "stability between contexts",
    "reliability": "retest reliability (same context, other orders)",
    "corrected": "corrected: stability / reliability, which may exceed 1",
}


def stability_bars(
    table: pd.DataFrame,
    population: str,
    measure: str,
    humans: pd.DataFrame,
    expected: pd.DataFrame,
    per_seed: pd.DataFrame | None = None,
    published: pd.DataFrame | None = None,
    instrument: str | None = None,
) -> Figure:
    """Bars of one measure in one population with ± 1 SE, as in figures 4a, 4b, 5 and 8 of paper 001.

    The tables are those of `valuestab_utils.papers.kovac2024`: `stability_table`; `human_stability`, a line each;
    `expected_table`, ± 3 SD beside the synthetic control; `per_seed_table`, points; `published_values`, the paper's own
    bars, in a lighter tone and hatched, in a block of their own below. With ``ci_low`` and ``ci_high`` in `table` a
    thin line under each bar is the bootstrap interval; with ``chance_low`` and ``chance_high`` a grey band behind it is
    what chance gives. Beside a bar stands how its answers were given: the letter chosen most with its share, the share
    of near-ties, and the mean letter mass. ValuestabError if a respondent has two rows (give an `instrument`).
    """
    rows = _part(table, population=population, measure=measure, instrument=instrument)
    if rows.empty:
        label = labels.measure_label(measure, instrument or labels.QUESTIONNAIRE)
        return layout.nothing(f"No {label[0].lower()}{label[1:]} was run for {population_label(population)}.")
    layout.check_once(rows, ["model", "format"])
    rows = labels.in_family_order(rows)
    printed = _part(published)
    printed = pd.DataFrame({"family": []}) if printed.empty else labels.in_family_order(printed)
    styles = labels.family_styles([*rows["family"], *printed["family"]])
    colours = {family: style["color"] for family, style in styles.items()}
    questions = rows["instrument"].iloc[0] if "instrument" in rows else labels.QUESTIONNAIRE
    names = [layout.folded(name) for name in labels.respondent_labels(rows)]
    if len(printed):
        names += [f"{_PRINTED}\n(not this run)", *printed["model"]]

    asked = labels.instrument_label(questions, rows["wording"].iloc[0])
    figure, axes = layout.one_panel(2.3 + 0.4 * len(names), f"mean Spearman's r over pairs of contexts\n{asked}")
    layout.name_rows(axes, names)
    axes.use_sticky_edges = False  # a band that ended at the frame would look cut off
    _draw_chance_and_interval(axes, rows)
    _bars(axes, rows["stability"], range(len(rows)), rows["standard_error"], labels.units_of(rows),
          height=0.54, color=rows["family"].map(colours))  # fmt: skip
    _say_letter_use(axes, rows)
    seeds = _part(per_seed, population=population, instrument=instrument)
    if len(seeds):
        at = _places(seeds, rows) + 0.15
        axes.scatter(seeds["stability"], at, s=13, c="white", ec="black", lw=0.7, zorder=3, label="one seed")
    control = _part(expected, population=population, measure=measure, instrument=instrument)
    if len(control):
        at, label = _places(control, rows) - 0.16, "expected of the synthetic control (± 3 SD)"
        _whiskers(axes, control["expected"], at, 3 * control["expected_sd"], label, fmt="D", ms=4, color="black")
    if len(printed):
        _draw_printed(axes, printed, len(rows), colours)
    for row in _part(humans, measure=measure).itertuples():
        label = f"humans, ages {row.ages} ({row.value})"
        axes.axvline(row.value, color="black", lw=1, ls=_AGES[row.ages], label=label)
    _at_least(axes, -0.3, 1.0)
    key = _family_key(colours)
    if len(printed):
        # Of no family's colour, as the bar that would stand for all of them in the legend is of the first one's.
        key.append(Patch(facecolor=layout.PALE, edgecolor=layout.DARK, hatch="////", lw=0, label=_PRINTED))
    title = f"{labels.measure_label(measure, questions)}: {population_label(population)}"
    return layout.finished(figure, title, 3, key)


def _part(table: pd.DataFrame | None, **wanted: str | None) -> pd.DataFrame:
    """Rows with the values that are wanted, as far as the table has such columns."""
    if table is None or table.empty:
        return pd.DataFrame()
    for column, value in wanted.items():
        if value is not None and column in table:
            table = table[table[column] == value]
    return table


def _places(points: pd.DataFrame, rows: pd.DataFrame) -> np.ndarray:
    """The row of each point's bar."""
    bars = list(zip(rows["model"], rows["format"]))
    return np.array([bars.index(name) for name in zip(points["model"], points["format"])])


def _draw_chance_and_interval(axes: Axes, rows: pd.DataFrame) -> None:
    at = np.arange(len(rows))
    if "ci_low" in rows and rows["ci_low"].notna().any():
        middle, half = (rows["ci_low"] + rows["ci_high"]) / 2, (rows["ci_high"] - rows["ci_low"]) / 2
        label = "95% bootstrap interval (personas)"
        axes.errorbar(middle, at + 0.38, xerr=half, fmt="none", ecolor="black", elinewidth=0.7, capsize=2, label=label)
    if "chance_low" in rows and rows["chance_low"].notna().any():
        width, label = rows["chance_high"] - rows["chance_low"], "95% of what chance gives"
        axes.barh(at, width, 0.94, rows["chance_low"], color=layout.PALE, lw=0, zorder=0.5, label=label)


def _say_letter_use(axes: Axes, rows: pd.DataFrame) -> None:
    layout.beside(axes, -0.5, "most chosen letter,\nnear-ties, letter mass", style="italic")
    for place, row in enumerate(rows.itertuples()):
        use = f"{row.top_letter} {row.top_letter_share:.0%}"
        if np.isfinite(row.letter_mass):  # else the service tells no probabilities
            use += f", {row.near_ties:.0%}, {labels.number(row.letter_mass)}"
        undefined = f"\n{row.undefined} of {row.correlations} r undefined" if row.undefined else ""
        layout.beside(axes, place, use + undefined)


def _draw_printed(axes: Axes, printed: pd.DataFrame, n_own: int, colours: Mapping[str, str]) -> None:
    """The paper's values, told apart by tone, hatching and a rule above them."""
    at = range(n_own + 1, n_own + 1 + len(printed))
    edges = printed["family"].map(colours)
    pale = [[0.75 + 0.25 * part for part in to_rgb(colour)] for colour in edges]
    axes.barh(at, printed["r"], 0.54, color=pale, edgecolor=list(edges), hatch="////", lw=0, label=_PRINTED)
    for place in (n_own - 0.5, n_own + 0.5):
        axes.axhline(place, color=layout.LIGHT, lw=1, zorder=0.6)
    for place, r, source in zip(at, printed["r"], printed["source"]):
        version = source.split(";")[0].split(" (")[0].split(", ")[-1]
        layout.beside(axes, place, f"{labels.number(r)}, {version}", color=layout.DARK)
    for tick in axes.get_yticklabels()[n_own:]:
        tick.set_color(layout.DARK)
    axes.get_yticklabels()[n_own].set_style("italic")


def induction_bars(table: pd.DataFrame) -> Figure:
    """The same model with its persona in the system message and in a user message (figure 15 of paper 001).

    Of `valuestab_utils.papers.kovac2024.stability_table`; controls and the format of base models are left out.
    """
    rows = _part(table, population="fictional_characters", measure="rank_order")
    if not rows.empty:
        rows = rows[rows["format"].isin(INDUCTIONS) & (rows["family"] != "control")]
    if rows.empty:
        return layout.nothing("No tuned format was run for fictional characters.")
    layout.check_once(rows, ["model", "format"])
    rows = labels.in_family_order(rows)
    wide = rows.pivot(index="model", columns="format").reindex(rows["model"].unique())
    words = wide["family"].notna().replace({True: "undefined", False: "not run"})
    words = words.reindex(columns=list(INDUCTIONS), fill_value="not run")
    lengths, errors = (wide[name].reindex(columns=list(INDUCTIONS)) for name in ("stability", "standard_error"))
    names = [labels.model_label(model) for model in wide.index]
    figure, axes = _grouped_bars(lengths, names, INDUCTIONS, words, errors, labels.units_of(rows))
    axes.set_xlabel("mean Spearman's r over pairs of contexts")
    return layout.finished(figure, "Rank-order stability by induction: fictional characters")


def order_bars(table: pd.DataFrame) -> Figure:
    """Stability from the single random order beside that from balanced ones, with the letter bias in nats.

    Of `valuestab_utils.papers.kovac2024.balanced_table`.
    """
    if table.empty:
        return layout.nothing("No balanced orders were asked.")
    rows = labels.in_family_order(table)
    figure, axes = _grouped_bars(rows, labels.row_labels(rows), ORDERS, {})
    layout.beside(axes, -0.5, "letter bias\n(nats)", style="italic")
    for place, bias in enumerate(rows["letter_bias"]):
        layout.beside(axes, place, labels.number(bias))
    axes.set_xlabel(f"{labels.measures_of(rows['measure'])}\n(mean Spearman's r over pairs of contexts)")
    return layout.finished(figure, f"What the order of the options does: {labels.populations_of(rows)}", 1)


def retest_bars(table: pd.DataFrame) -> Figure:
    """Stability, retest reliability and their ratio, or why there is none; of
    `valuestab_utils.papers.kovac2024.retest_table`.
    """
    if table.empty:
        return layout.nothing("No second orders were asked.")
    rows = labels.in_family_order(table)
    why = [textwrap.fill(f"no corrected value: {reason}", 62) for reason in rows["reason"]]
    figure, axes = _grouped_bars(rows, labels.row_labels(rows), RETEST, {"corrected": why})
    axes.set_xlabel(f"{labels.measures_of(rows['measure'])} (mean Spearman's r)")
    where = labels.populations_of(rows).capitalize()
    return layout.finished(figure, f"Is it the context, or noise in the answers? {where}", 1)


def message_length_bars(lengths: pd.DataFrame) -> Figure:
    """Mean length of the messages by experiment and role, and the share that was stopped at the limit."""
    if lengths.empty:
        return layout.nothing("No messages were written.")
    experiments = lengths[labels.EXPERIMENT].drop_duplicates()
    wide = lengths.pivot(index=labels.EXPERIMENT, columns="role", values=["tokens", "at_limit"])
    wide = wide.reindex(pd.MultiIndex.from_frame(experiments))
    names, roles = labels.experiment_labels(experiments), {role: role for role in lengths["role"].unique()}
    figure, axes = _grouped_bars(wide["tokens"], names, roles, dict.fromkeys(roles, "not written"))
    for role, bars in zip(roles, axes.containers):
        shares = wide["at_limit"][role]
        axes.bar_label(bars, [f"{share:.0%} at limit" if share > 0 else "" for share in shares], padding=2)
    axes.set(xlabel="mean tokens a message (limit 100)", xlim=(0, 118))
    return layout.finished(figure, "How long are the messages?")


def _grouped_bars(
    lengths: pd.DataFrame,
    names: Sequence[str],
    bars: Mapping[str, str],
    words: Mapping[str, Sequence[str]] | pd.DataFrame,
    errors: pd.DataFrame | None = None,
    unit: str = "",
) -> tuple[Figure, Axes]:
    """A group a row of ``lengths``, in it a bar a column that ``bars`` names; ``words`` stand for what is NaN."""
    figure, axes = layout.one_panel(1.7 + 0.21 * (len(bars) + 0.6) * len(names))
    layout.name_rows(axes, [layout.folded(label) for label in names], ruled=True)
    step = 0.8 / len(bars)
    for i, ((column, label), (colour, hatch)) in enumerate(zip(bars.items(), _GROUP)):
        at = np.arange(len(names)) + (i - (len(bars) - 1) / 2) * step
        style = {"color": colour, "hatch": hatch, "edgecolor": "white", "height": 0.9 * step, "label": label}
        of_column = None if errors is None else errors[column]
        _bars(axes, lengths[column], at, of_column, unit, words.get(column, "undefined"), **style)
    _at_least(axes, -0.3, 1.0)
    return figure, axes


def value_donation_bars(table: pd.DataFrame) -> Figure:
    """Correlation of values with coins given, a panel a value (figure 9); the side that the paper expects is grey."""
    if table.empty:
        return layout.nothing("No donations stand beside answers to the questionnaire.")
    rows = labels.in_family_order(table)
    rows = rows.assign(label=[layout.folded(label, 26) for label in labels.row_labels(rows)])
    layout.check_once(rows, ["label", "value"])
    colours = {family: style["color"] for family, style in labels.family_styles(rows["family"]).items()}
    rows = rows.assign(colour=rows["family"].map(colours), at=pd.factorize(rows["label"])[0])
    names = list(rows["label"].unique())
    height, xlabel = 1.15 + 0.25 * len(names), "mean Spearman's r of value and coins"
    figure, panels = layout.panel_grid(table["value"].nunique(), 2, height, xlabel)
    reach = 1.1 * np.nanmax([0.3, *(rows["correlation"].abs() + rows["standard_error"].fillna(0))])
    for value, panel in zip(table["value"].unique(), panels):
        part = rows[rows["value"] == value]
        sign = part["expected_sign"].iloc[0]
        panel.axvspan(0, sign * reach, color=layout.PALE, lw=0, zorder=0, label="expected side")
        _bars(panel, part["correlation"], part["at"], part["standard_error"], "seeds", color=part["colour"])
        side = "positive \N{RIGHTWARDS ARROW}" if sign > 0 else "\N{LEFTWARDS ARROW} negative"
        panel.set_title(value, fontweight="bold")
        panel.set_title(f"expected: {side}", loc="right")
    panels[0].set_xlim(-reach, reach)
    layout.name_rows(panels[0], names)
    return layout.finished(figure, f"Values and donations: {labels.populations_of(rows)}", 3, _family_key(colours))


def politics_bars(table: pd.DataFrame) -> Figure:
    """Agreement with conservative behaviours by higher-order value, a panel a model (figure 4b of paper 004).

    `table` has label, higher_order, agreement (0 to 1, NaN if undefined) and se (over runs; NaN if there is none).
    """
    if table.empty:
        return layout.nothing("No statements of conservative politics were asked.")
    layout.check_once(table, ["label", "higher_order"])
    styles = labels.higher_order_styles(table["higher_order"])
    height, xlabel = 1.4 + 0.3 * len(styles), "agreement (% of answers)"
    figure, panels = layout.panel_grid(table["label"].nunique(), 2, height, xlabel)
    for (label, part), panel in zip(table.groupby("label", sort=False), panels):
        at = part["higher_order"].map(list(styles).index)
        colours = [styles[name]["color"] for name in part["higher_order"]]
        _bars(panel, 100 * part["agreement"], at, 100 * part["se"], "runs", color=colours)
        panel.set_title(layout.folded(label, 40))
    layout.name_rows(panels[0], [style["label"] for style in styles.values()])
    panels[0].set_xlim(0, 105)
    return layout.finished(figure, "Agreement with conservative politics by value prompt")


def _family_key(colours: Mapping[str, str]) -> list[Patch]:
    return [Patch(facecolor=colour, label=family) for family, colour in colours.items()]


def _bars(
    axes: Axes,
    lengths: pd.Series,
    at: Sequence[float],
    errors: pd.Series | None = None,
    unit: str = "",
    words: str | Sequence[str] = "undefined",
    **style,
) -> None:
    """Horizontal bars with ± 1 SE over a unit, where there is one."""
    axes.barh(at, lengths, **{"height": 0.64, "lw": 0} | style)
    if errors is not None and errors.notna().any():
        _whiskers(axes, lengths, at, errors, f"± 1 SE over {unit}", fmt="none", ecolor="black", elinewidth=1.5)
    layout.say_undefined(axes, lengths, at, words)
    axes.axvline(0, color="black", lw=0.8)


def _whiskers(axes: Axes, middle: pd.Series, at: Sequence[float], reach: pd.Series, label: str, **style) -> None:
    axes.errorbar(middle, at, xerr=reach, capsize=3, path_effects=_OUTLINED, label=label, **style)


def _at_least(axes: Axes, low: float, high: float) -> None:
    left, right = axes.get_xlim()
    axes.set_xlim(min(low, left), max(high, right))


def letter_bars(shares: pd.DataFrame) -> Figure:
    """Share of answers at each letter, a panel an experiment; dashed where position has no influence."""
    if shares.empty:
        return layout.nothing("No answer was read from letters.")
    experiments = shares.groupby(labels.EXPERIMENT, sort=False)
    figure, panels = layout.panel_grid(experiments.ngroups, 3, 1.9)
    for (_, rows), panel in zip(experiments, panels):
        panel.bar(rows["letter"], rows["share"], color="C0")
        panel.axhline(1 / len(rows), color="black", ls="--", lw=0.8)
        (name,) = labels.experiment_labels(rows[:1], between="\n")
        panel.set_title(layout.folded(name), fontsize=7)
        panel.set_ylim(0, 1)
    figure.supxlabel("letter chosen", fontsize=8.5)
    figure.supylabel("share of answers\n(dashed: no influence of position)", fontsize=8.5)
    return figure


def letter_probability_bars(
    probabilities: pd.DataFrame, portraits: Mapping[int, str], options: Sequence[str]
) -> Figure:
    """Next-token probability of each letter for a few items of a session, coloured by what it stood for."""
    if probabilities.empty:
        return layout.nothing("No item was asked for a letter.")
    colours = colormaps["RdBu"](np.linspace(0.1, 0.9, len(options)))  # from the first option to the last
    n_items, ylabel = probabilities["item"].nunique(), "next-token probability"
    figure, panels = layout.panel_grid(n_items, n_items, 3.3, ylabel=ylabel, width=3.1 * n_items)
    for (item, rows), panel in zip(probabilities.groupby("item", sort=False), panels):
        at, probable = rows["letter"], rows["probability"]
        panel.bar(at, probable, color=colours[rows["code"] - 1], edgecolor="black", linewidth=0.5)
        panel.set_title(textwrap.fill(portraits[item], 42), fontsize=7.5)
        panel.set_xlabel(f"letter (item {item})")
    panels[0].set_ylim(0, 1)
    key = [Patch(facecolor=c, edgecolor="black", lw=0.5, label=option) for c, option in zip(colours, options)]
    return layout.finished(figure, "How sure is the model of its letter, and what did each letter stand for?", 3, key)


def letter_mass_boxes(answers: pd.DataFrame) -> Figure:
    """Letter mass of every answer by model and format: how much probability is on the letters at all."""
    if answers.empty:
        return layout.nothing("No answer was read from letters.")
    by_respondent = answers.groupby(["model", "format"], sort=False)["letter_mass"]
    names = [labels.respondent_label(*respondent) for respondent, _ in by_respondent]
    xlabel = "letter mass (summed probability of the letters, per answer)"
    figure, axes = layout.one_panel(1.2 + 0.45 * len(names), xlabel)
    style = {"boxprops": {"facecolor": "C0"}, "medianprops": {"color": "black"}, "flierprops": {"markersize": 2}}
    style |= {"positions": range(len(names)), "orientation": "horizontal", "widths": 0.55, "patch_artist": True}
    axes.boxplot([mass.dropna() for _, mass in by_respondent], **style)
    layout.say_undefined(axes, by_respondent.median(), range(len(names)), "no probabilities are known")
    layout.name_rows(axes, [layout.folded(name) for name in names])
    axes.set_xlim(0, 1.02)
    return layout.finished(figure, "Does the model answer with a letter?")
