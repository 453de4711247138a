"""Lines: stability in longer conversations, means of values, curves around an anchor, and the explorer's ranks."""

import io
import textwrap
import warnings
from collections.abc import Sequence
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from valuestab_utils.plots import labels, layout

BETWEEN = {
    "rank_order": "rank-order stability between contexts",
    "rank_order_neutral": "rank-order stability to the neutral order",
    "neutral_similarity": "similarity to the neutral profile",
    "ipsative": "ipsative stability between contexts",
}
# One measure beside another: black and blue, as in the paper, and told apart without colour too.
_MEASURE_STYLES = (
    {"color": "black", "ls": "-", "marker": "o"},
    {"color": "#0072B2", "ls": "--", "marker": "s"},
)
_DASHES = ("-", "--", "-.", ":")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p", "<", ">", "h", "d")

N_VALUES = 19
_FURTHEST = N_VALUES // 2
_SCORE = "mean centred score\n(points of the response scale)"
_KINDS = {
    "human": {"color": "#D55E00", "marker": "o", "lw": 2.4, "ms": 5, "zorder": 4},
    "run": {"lw": 2.2, "ms": 5, "zorder": 3},
    "published": {"color": layout.PRINTED, "mfc": "white", "lw": 0.8, "ms": 4, "zorder": 2},
}


def length_lines(table: pd.DataFrame, measures: Sequence[str], published: pd.DataFrame | None = None) -> Figure:
    """Stability against the number of messages exchanged, ± 1 SE: a line an experiment and measure.

    With one measure (figures 6 and 7) all experiments are in one panel. With two (figures 13 and 14) there is a panel
    an experiment that has the second, the first in black, the second in blue. `published` are values that the paper
    prints (columns model, n_messages, r; with one measure only): hollow grey points on dotted lines. A number of
    messages at which a line has no defined value is named in the key. ValuestabError if something has two values at one
    length.
    """
    rows = table if table.empty else table[table["measure"].isin(measures)]
    missing = [name for name in measures if rows.empty or name not in set(rows["measure"])]
    if missing:
        names = " and ".join(BETWEEN[measure] for measure in missing)
        return layout.nothing(f"No conversations of several lengths were asked for {names}.")
    layout.check_once(rows, ["model", "format", "population", "measure", "n_messages"])
    rows = labels.in_family_order(rows.sort_values("n_messages", kind="stable"))
    rows = rows.assign(experiment=labels.row_labels(rows.drop(columns="measure")), phrase=rows["measure"].map(BETWEEN))
    at = sorted(rows["n_messages"].unique())
    if len(measures) == 2:
        rows = rows[rows["experiment"].isin(rows["experiment"][rows["measure"] == measures[1]])]
        rows = rows.assign(panel=rows["experiment"], line=rows["phrase"])
        styles = dict(zip((BETWEEN[measure] for measure in measures), _MEASURE_STYLES))
    else:
        rows = rows.assign(panel="", line=rows["experiment"])
        styles = _experiment_styles(rows)

    n_panels = rows["panel"].nunique()
    height = 3.7 + 0.16 * len(styles) if n_panels == 1 else 2.6
    axes_labels = "messages exchanged before the questions", "mean Spearman's r"
    figure, panels = layout.panel_grid(n_panels, 2, height, *axes_labels)
    for (name, of_panel), panel in zip(rows.groupby("panel", sort=False), panels):
        for label, line in of_panel.groupby("line", sort=False):
            style = {"lw": 1.4, "ms": 5, "capsize": 2.5, "elinewidth": 1} | styles[label]
            panel.errorbar(line["n_messages"], line["stability"], yerr=line["standard_error"], label=label, **style)
        panel.axhline(0, color="black", lw=0.8)
        panel.set_title(layout.folded(name, 40))
    if published is not None and not published.empty:
        _draw_published(panels[0], published)
        at = sorted({*at, *published["n_messages"]})
    for panel in panels:
        panel.set_xticks(at, [str(n) for n in at])
    room = max(0.5, 0.04 * (at[-1] - at[0]))
    low, high = panels[0].get_ylim()
    panels[0].set(xlim=(at[0] - room, at[-1] + room), ylim=(min(-0.1, low), max(1.0, high)))
    undefined = rows[rows["stability"].isna()].astype({"n_messages": str})
    gaps = undefined.groupby(["line", "panel"], sort=False)["n_messages"].agg(", ".join)
    notes = [f"undefined at {lengths}: {', '.join(filter(None, names))}" for names, lengths in gaps.items()]
    notes = [f"bars: ± 1 SE over {labels.units_of(rows)}", *notes]
    title = f"{labels.measures_of(measures)} in longer conversations: {labels.populations_of(rows)}"
    return layout.finished(figure, title, 1, notes=notes)


def _experiment_styles(rows: pd.DataFrame) -> dict[str, dict]:
    """Colour of the family; its marker for its first member, others for those after it; dashes of the population.

    In one population dashes tell members apart as well.
    """
    families = labels.family_styles(rows["family"])
    spare = [marker for marker in _MARKERS if marker not in {style["marker"] for style in families.values()}]
    respondents = rows.drop_duplicates(["model", "format"]).set_index(["model", "format"])
    members, populations = respondents.groupby("family").cumcount(), list(rows["population"].unique())
    styles = {}
    for row in rows.drop_duplicates("experiment").itertuples():
        nth = members[row.model, row.format]
        marker = spare[(nth - 1) % len(spare)] if nth and spare else families[row.family]["marker"]
        dashes = nth if len(populations) == 1 else populations.index(row.population)
        styles[row.experiment] = families[row.family] | {"marker": marker, "ls": _DASHES[dashes % len(_DASHES)]}
    return styles


def _draw_published(axes: plt.Axes, published: pd.DataFrame) -> None:
    for marker, (model, line) in zip(cycle("osD^v"), published.groupby("model", sort=False)):
        line = line.sort_values("n_messages")
        style = {"color": layout.PRINTED, "mfc": "white", "marker": marker, "ms": 6, "lw": 1, "ls": ":", "zorder": 1.5}
        axes.errorbar(line["n_messages"], line["r"], label=f"printed in the paper (not this run): {model}", **style)


def value_means_lines(table: pd.DataFrame) -> Figure:
    """Mean centred score of each value, the values in the order that people give them (figure 2b of paper 002).

    Columns of ``table``: label, value, acronym, human_rank (1 is the most important), mean (points of the response
    scale), se (NaN if there is none) and kind: "human", "run", or "published" for what the paper prints. People are
    red, this run's models bold, the paper's thin and grey; the key names the values at which a line has no mean.
    """
    if table.empty:
        return layout.nothing("No mean value scores to draw.")
    layout.check_once(table, ["kind", "label", "value"])
    order = table.drop_duplicates("value").sort_values("human_rank")
    at = np.arange(len(order))
    xlabel = "value, from the most to the least important to people; bars: ± 1 SE over runs"
    figure, axes = layout.one_panel(4.6, xlabel, _SCORE)
    axes.axhline(0, color=layout.LIGHT, lw=0.8, zorder=0)
    for kind in _KINDS:
        of_kind = table[table["kind"] == kind]
        for label, style in labels.run_styles(of_kind["label"]).items():
            line = of_kind[of_kind["label"] == label].set_index("value").reindex(order["value"])
            absent = list(order["acronym"][line["mean"].isna().to_numpy()])
            shown = label + (f" (undefined: {', '.join(absent)})" if absent else "")
            if kind == "published":
                shown = f"{shown}, printed in the paper"
            style = {"capsize": 2, "elinewidth": 1, "label": textwrap.fill(shown, 48)} | style | _KINDS[kind]
            axes.errorbar(at, line["mean"], yerr=line["se"], **style)
    axes.set_xticks(at, order["acronym"])
    axes.set_xlim(-0.5, len(order) - 0.5)
    return layout.finished(figure, "Importance of the values to models and to people")


def anchor_curves(table: pd.DataFrame, fits: pd.DataFrame) -> Figure:
    """Scores by circular distance from the value that a run is anchored to (figure 4 of paper 002).

    Columns of ``table``: label, distance (whole places on the circle of the 19 values, -9 to 9), mean (points, centred)
    and se (over anchors). ``fits`` has, for each label, offset a, amplitude b, phase (radians) and r_squared of the
    dashed curve a + b cos(2 pi d / 19 + phase), d the distance; NaN where none could be fitted.
    """
    if table.empty:
        return layout.nothing("No runs were anchored to one of the 19 values.")
    layout.check_once(table, ["label", "distance"])
    layout.check_once(fits, ["label"])
    by_label = fits.set_index("label")
    xlabel = f"places from the anchored value on the circle of {N_VALUES}; bars: ± 1 SE over anchors"
    figure, axes = layout.one_panel(4.4, xlabel, _SCORE)
    axes.axvline(0, color=layout.LIGHT, lw=0.8, zorder=0)
    axes.axhline(0, color=layout.LIGHT, lw=0.8, zorder=0)
    around = np.linspace(-_FURTHEST, _FURTHEST, 361)
    for label, style in labels.run_styles(table["label"]).items():
        fit = by_label.loc[label]
        line = table[table["label"] == label].sort_values("distance")
        fitted = f"R² {labels.number(fit['r_squared'])}" if pd.notna(fit["r_squared"]) else "no curve could be fitted"
        points = style | {"ls": "", "ms": 5, "capsize": 2.5, "elinewidth": 1, "label": f"{label} ({fitted})"}
        axes.errorbar(line["distance"], line["mean"], yerr=line["se"], **points)
        curve = fit["offset"] + fit["amplitude"] * np.cos(2 * np.pi * around / N_VALUES + fit["phase"])
        axes.plot(around, curve, color=style["color"], ls="--", lw=1.3)
    distances = range(-_FURTHEST, _FURTHEST + 1)
    axes.set_xticks(distances, [f"{d:+d}" if d else "0" for d in distances])
    axes.set_xlim(-_FURTHEST - 0.5, _FURTHEST + 0.5)
    fitted = Line2D([], [], color=layout.DARK, ls="--", lw=1.3, label="fitted sinusoid")
    return layout.finished(figure, "Scores around the anchored value", key=[fitted])


_OTHERS = {"color": "#8a8a8a", "alpha": 0.55, "lw": 1, "ms": 4, "zorder": 2}
_CHOSEN = {"color": "#0072b2", "lw": 2.4, "ms": 6, "zorder": 3}  # also told apart by width and brightness
_SVG = {"svg.fonttype": "none", "svg.hashsalt": "valuestab"}  # letters stay letters: sharp at any size, any script


@plt.rc_context({"text.parse_math": False, "axes.spines.top": False, "axes.spines.right": False})
def rank_lines(ranks: pd.DataFrame, value: str, chosen: str | None = None, context: str | None = None) -> Figure:
    """One line a persona over the contexts: its rank on a value, the highest on top.

    ``ranks`` has a row a persona and a column a context. The line of ``chosen`` stands out, with a ring at ``context``;
    a persona that is not there is passed over.
    """
    if ranks.empty:
        return layout.nothing(f"There are no ranks on {value}.")
    n, contexts = ranks.shape[0], list(ranks.columns)
    figure, axes = plt.subplots(figsize=(7.6, 1.3 + 0.21 * max(n, 8)), layout="constrained")
    for persona, row in ranks.iterrows():
        axes.plot(range(len(contexts)), row, marker="o", **_CHOSEN if persona == chosen else _OTHERS)
    if chosen in ranks.index and context in contexts:
        ring = {"ms": 13, "mfc": "none", "mec": _CHOSEN["color"], "mew": 1.6, "zorder": 4}
        axes.plot(contexts.index(context), ranks.loc[chosen, context], "o", **ring)
    axes.set(xlim=(-0.2, len(contexts) - 0.8), ylim=(n + 0.6, 0.4))
    rotation = 30 if len(contexts) > 7 else 0
    axes.set_xticks(range(len(contexts)), [name.replace("_", " ") for name in contexts], rotation=rotation)
    axes.set_xlabel("topic of the conversation before")
    axes.set_yticks(sorted({1, *(rank for rank in axes.get_yticks() if rank == int(rank) and 1 <= rank <= n)}))
    axes.set_ylabel(f"rank on {value} (1 = highest)")
    names = axes.twinx()
    last = ranks.iloc[:, -1]
    # Ties are broken here, so that each name has a height of its own.
    names.set_yticks(last.rank(method="first", na_option="bottom"), last.index)
    names.set_ylim(axes.get_ylim())
    names.tick_params(length=0)
    for label in names.get_yticklabels():
        if label.get_text() == chosen:
            label.set(color=_CHOSEN["color"], fontweight="bold")
    return figure


def as_svg(figure: Figure) -> bytes:
    """The figure as SVG, the same bytes for the same figure; the figure is closed."""
    with io.BytesIO() as out, plt.rc_context(_SVG), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph", UserWarning)  # the browser has letters that our font lacks
        figure.savefig(out, format="svg", metadata={"Date": None}, facecolor="white")
        plt.close(figure)
        return out.getvalue()
