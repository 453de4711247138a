"""Stability against the length of the conversation, as in figures 6, 7, 13 and 14 of paper 001."""

import textwrap
from collections.abc import Sequence
from itertools import cycle

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from valuestab_utils.errors import ValuestabError
from valuestab_utils.figure_layout import (
    SMALL,
    WIDTH,
    check_once,
    folded,
    heading,
    legend_below,
    nothing,
    panel_grid,
)
from valuestab_utils.labels import (
    experiment_labels,
    family_styles,
    in_family_order,
    measure_label,
    population_label,
    respondent_label,
    respondent_labels,
    unit_label,
)

# One measure beside another: black and blue, as in the paper, and told apart without colour too.
MEASURE_STYLES = (
    {"color": "black", "ls": "-", "marker": "o"},
    {"color": "#0072B2", "ls": "--", "marker": "s"},
)
BETWEEN = {
    "rank_order": "rank-order stability between contexts",
    "rank_order_neutral": "rank-order stability to the neutral order",
    "neutral_similarity": "similarity to the neutral profile",
    "ipsative": "ipsative stability between contexts",
}
_DASHES = ("-", "--", "-.", ":")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p", "<", ">", "h", "d")


def length_lines(
    table: pd.DataFrame, measures: Sequence[str], published: pd.DataFrame | None = None
) -> Figure:
    """Stability against the number of messages exchanged, ± 1 SE: a line an experiment and measure.

    Parameters
    ----------
    table : DataFrame
        From `valuestab_utils.experiment_tables.length_table`.
    measures : sequence of str
        One measure (figures 6 and 7): all experiments in one panel. Two (figures 13 and 14): a panel an
        experiment that has the second, the first in black, the second in blue.
    published : DataFrame, optional
        Values that the paper prints, columns model, n_messages, r: hollow grey points on dotted lines. With
        one measure only.

    Returns
    -------
    Figure
        A number of messages at which a line has no defined value is named in the key.

    Raises
    ------
    ValuestabError
        For no measure or more than two, or if something has two values at one length.

    Examples
    --------
    >>> figure = length_lines(pd.DataFrame(), ["ipsative"])
    >>> figure.axes[0].texts[0].get_text()
    'No conversations of several lengths were asked for ipsative stability between contexts.'
    """
    if len(measures) not in (1, 2):
        raise ValuestabError(
            f"A figure of lengths shows 1 or 2 measures, not {len(measures)}: {list(measures)}."
        )
    rows = table if table.empty else table[table["measure"].isin(measures)]
    if rows.empty or (missing := [m for m in measures if m not in set(rows["measure"])]):
        wanted = measures if rows.empty else missing
        names = " and ".join(BETWEEN[measure] for measure in wanted)
        return nothing(f"No conversations of several lengths were asked for {names}.")
    check_once(rows, ["model", "format", "population", "measure", "n_messages"])
    rows = in_family_order(rows)
    rows = rows.assign(label=experiment_labels(rows)).sort_values("n_messages", kind="stable")
    if len(measures) == 2:
        return _one_panel_each(rows, measures)
    return _all_in_one(rows, measures[0], published)


def _all_in_one(rows: pd.DataFrame, measure: str, published: pd.DataFrame | None) -> Figure:
    lines = dict(list(rows.groupby("label", sort=False)))
    populations = list(dict.fromkeys(rows["population"]))
    one_place = len(populations) == 1
    styles = _respondent_styles(rows)
    figure, axes = plt.subplots(figsize=(WIDTH, 3.7 + (0.08 if one_place else 0.16) * len(lines)))
    handles: list[Artist] = []
    for label in dict.fromkeys(in_family_order(rows)["label"]):
        line = lines[label]
        first = line.iloc[0]
        style = styles[first["model"], first["format"]]
        if not one_place:  # the dashes tell populations apart
            style = style | {"ls": _DASHES[populations.index(first["population"]) % len(_DASHES)]}
        who = respondent_label(first["model"], first["format"])
        handles.append(_line(axes, line, who if one_place else label, style))
    at = set(rows["n_messages"])
    if published is not None and not published.empty:
        handles += _published(axes, published)
        at |= set(published["n_messages"])
    _finish(axes, sorted(at))
    axes.set_ylabel("mean Spearman's r", fontsize=8.5)
    axes.set_xlabel(f"messages exchanged before the questions; bars: {_errors(rows)}", fontsize=8.5)
    where = population_label(populations[0]) if one_place else "by population"
    heading(figure, f"{measure_label(measure)} in longer conversations: {where}")
    legend_below(figure, handles, 2 if one_place else 1)
    return figure


def _one_panel_each(rows: pd.DataFrame, measures: Sequence[str]) -> Figure:
    has_second = set(rows["label"][rows["measure"] == measures[1]])
    names = [label for label in dict.fromkeys(in_family_order(rows)["label"]) if label in has_second]
    size, width = ((WIDTH, 3.4), 90) if len(names) == 1 else ((WIDTH / 2, 2.6), 40)
    populations = list(dict.fromkeys(rows["population"][rows["label"].isin(names)]))
    where = f": {population_label(populations[0])}" if len(populations) == 1 else ""
    figure, panels = panel_grid(len(names), 2, size, sharex=True, sharey=True)
    for name, panel in zip(names, panels):
        of_name = rows[rows["label"] == name]
        shown = respondent_labels(of_name)[0] if where else name
        told = [folded(shown, width)]
        for measure, style in zip(measures, MEASURE_STYLES):
            line = of_name[of_name["measure"] == measure]
            _line(panel, line, BETWEEN[measure], style)
            if _undefined(line):
                told += textwrap.wrap(f"undefined at {_undefined(line)}: {BETWEEN[measure]}", width + 10)
        panel.set_title("\n".join(told), fontsize=SMALL, fontweight="normal")
        _finish(panel, sorted(set(rows["n_messages"])))
    for panel in panels[-2:]:
        panel.set_xlabel("messages exchanged before the questions", fontsize=8.5)
    for panel in panels[::2]:
        panel.set_ylabel("mean Spearman's r", fontsize=8.5)
    first, second = (measure_label(measure) for measure in measures)
    heading(figure, f"{first} and {second[0].lower()}{second[1:]} in longer conversations{where}")
    key: list[Artist] = [
        Line2D([], [], **style, label=BETWEEN[measure]) for measure, style in zip(measures, MEASURE_STYLES)
    ]
    error = Line2D([], [], color="black", marker="|", ms=8, mew=1.2, ls="", label=_errors(rows))
    legend_below(figure, [*key, error], 1)
    return figure


def _respondent_styles(rows: pd.DataFrame) -> dict[tuple[str, str], dict]:
    """Colour of the family; its marker for its first member, others and dashes for those after it."""
    families = family_styles(rows["family"])
    spare = [marker for marker in _MARKERS if marker not in {style.marker for style in families.values()}]
    styles: dict[tuple[str, str], dict] = {}
    members: dict[str, int] = {}
    for row in in_family_order(rows).drop_duplicates(["model", "format"]).itertuples():
        nth = members[row.family] = members.get(row.family, -1) + 1
        marker = spare[(nth - 1) % len(spare)] if nth and spare else families[row.family].marker
        dashes = _DASHES[nth % len(_DASHES)]
        styles[row.model, row.format] = {"color": families[row.family].colour, "marker": marker, "ls": dashes}
    return styles


def _line(axes: Axes, line: pd.DataFrame, label: str, style: dict) -> Artist:
    missing = _undefined(line)
    return axes.errorbar(
        line["n_messages"],
        line["stability"],
        yerr=line["standard_error"],
        lw=1.4,
        ms=5,
        capsize=2.5,
        elinewidth=1,
        label=label + (f" (undefined at {missing})" if missing else ""),
        **style,
    )


def _published(axes: Axes, published: pd.DataFrame) -> list[Artist]:
    """Points of the paper, one line a model: hollow, grey and thin, so as not to pass for this run's."""
    drawn: list[Artist] = []
    for marker, (model, line) in zip(cycle("osD^v"), published.groupby("model", sort=False)):
        line = line.sort_values("n_messages")
        style = {"color": "#8c8c8c", "mfc": "white", "marker": marker, "ms": 6, "lw": 1, "ls": (0, (1, 2))}
        label = f"printed in the paper (not this run): {model}"
        drawn += axes.plot(line["n_messages"], line["r"], label=label, zorder=1.5, **style)
    return drawn


def _finish(axes: Axes, at: Sequence[int]) -> None:
    axes.axhline(0, color="black", lw=0.8)
    axes.set_xticks(at, [str(n) for n in at])
    low, high = axes.get_ylim()
    axes.set_ylim(min(-0.1, low), max(1.0, high))
    room = max(0.5, 0.04 * (at[-1] - at[0]))
    axes.set_xlim(at[0] - room, at[-1] + room)


def _undefined(line: pd.DataFrame) -> str:
    return ", ".join(str(n) for n in line["n_messages"][line["stability"].isna()])


def _errors(rows: pd.DataFrame) -> str:
    """What the error bars are, with each unit once."""
    units = dict.fromkeys(unit_label(*names) for names in zip(rows["unit"], rows["population"]))
    return f"± 1 SE over {' or '.join(units)}"
