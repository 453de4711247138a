"""Bars of stability, as in figures 4, 5 and 8 of paper 001, with what is needed to judge them."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from valuestab_utils.errors import ValuestabError
from valuestab_utils.figure_layout import (
    BAND,
    DARK,
    LIGHT,
    OUTLINED,
    SMALL,
    WIDTH,
    check_once,
    error_bars,
    folded,
    heading,
    key_of_errors,
    legend_below,
    nothing,
    say_undefined,
)
from valuestab_utils.labels import (
    QUESTIONNAIRE,
    FamilyStyle,
    family_styles,
    in_family_order,
    instrument_label,
    measure_label,
    population_label,
    respondent_label,
    unit_label,
)

PRINTED = "printed in the paper\n(not this run)"
LETTERS_BESIDE = "most chosen letter,\nnear-ties, letter mass"
_LINES = {"10-12": ":", "20-28": "--"}
_INTERVAL, _CHANCE = ["ci_low", "ci_high"], ["chance_low", "chance_high"]


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

    Parameters
    ----------
    table : DataFrame
        From `valuestab_utils.tables.stability_table`. With its ``ci_low`` and ``ci_high`` a thin line under
        each bar is the bootstrap interval; with ``chance_low`` and ``chance_high`` a grey band behind it is
        what chance gives.
    population, measure : str
        What to draw of it.
    humans : DataFrame
        From `valuestab_utils.tables.human_stability`: a line each.
    expected : DataFrame
        From `valuestab_utils.tables.expected_table`: an interval of ± 3 SD beside the synthetic control.
    per_seed : DataFrame, optional
        From `valuestab_utils.tables.per_seed_table`: points.
    published : DataFrame, optional
        From `valuestab_utils.tables.published_values`, columns model, family, r, source: the paper's own
        bars, in a lighter tone and hatched, in a block of their own below.
    instrument : str, optional
        What to draw of tables that have several, such as "Donation".

    Returns
    -------
    Figure
        Bars by family, in the paper's order. Beside each bar stands how its answers were given: the letter
        chosen most with its share, the share of near-ties, and the mean letter mass.

    Raises
    ------
    ValuestabError
        If a respondent has two rows (two instruments and none chosen), or a point has no bar.

    Examples
    --------
    >>> nobody = pd.DataFrame()
    >>> figure = stability_bars(nobody, "none", "ipsative", nobody, nobody)
    >>> figure.axes[0].texts[0].get_text()
    'No ipsative stability was run for no persona.'
    """
    rows = _part(table, population, measure, instrument)
    if rows.empty:
        label = measure_label(measure, instrument or QUESTIONNAIRE)
        return nothing(f"No {label[0].lower()}{label[1:]} was run for {population_label(population)}.")
    check_once(rows, ["model", "format"])
    rows = in_family_order(rows)
    none_printed = pd.DataFrame(columns=["model", "family", "r"])
    printed = none_printed if published is None else in_family_order(published)
    places = {names: i for i, names in enumerate(zip(rows["model"], rows["format"]))}
    first_printed = len(rows) + 1
    n_lines = len(rows) + (len(printed) + 1 if len(printed) else 0)
    styles = family_styles([*rows["family"], *printed["family"]])

    figure, axes = plt.subplots(figsize=(WIDTH, 2.3 + 0.4 * n_lines))
    key = _draw_own(axes, rows, styles)
    key += _draw_seeds(axes, _part(per_seed, population, None, instrument), places)
    key += _draw_expected(axes, _part(expected, population, measure, instrument), places)
    if len(printed):
        key += _draw_printed(axes, printed, first_printed, styles)
    key += _draw_humans(axes, humans, measure)
    axes.axvline(0, color="black", lw=0.8)

    labels = [folded(respondent_label(*names)) for names in places]
    if len(printed):
        labels += [PRINTED, *printed["model"]]
    axes.set_yticks(range(n_lines), labels, fontsize=8)
    for place, tick in enumerate(axes.get_yticklabels()):
        if place >= len(rows):
            tick.set(color=DARK, style="italic" if place == len(rows) else "normal")
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(n_lines - 0.4, -0.6)
    axes.set_xlim(min(-0.3, axes.get_xlim()[0]), max(1.0, axes.get_xlim()[1]))
    asked = rows.iloc[0]
    which = asked.get("instrument", QUESTIONNAIRE)
    axes.set_xlabel(
        f"mean Spearman's r over pairs of contexts\n{instrument_label(which, asked['wording'])}",
        fontsize=8.5,
    )
    heading(figure, f"{measure_label(measure, which)}: {population_label(population)}")
    families = [Patch(facecolor=style.colour, label=family) for family, style in styles.items()]
    legend_below(figure, families + key, columns=3)
    return figure


def _draw_own(axes: Axes, rows: pd.DataFrame, styles: dict[str, FamilyStyle]) -> list[Artist]:
    """Bars of this run with their errors, intervals and letter use; gives the key to them."""
    at = range(len(rows))
    colours = [styles[family].colour for family in rows["family"]]
    key: list[Artist] = [key_of_errors(unit_label(rows["unit"].iloc[0], rows["population"].iloc[0]))]
    if _has(rows, _INTERVAL):
        interval = {"color": "black", "lw": 0.7, "marker": "|", "ms": 4, "mew": 0.7}
        for place, (low, high) in zip(at, rows[_INTERVAL].to_numpy()):
            axes.plot([low, high], [place + 0.38] * 2, **interval)
        key.append(Line2D([], [], **interval, label="95% bootstrap interval (personas)"))
    if _has(rows, _CHANCE):
        for place, (low, high) in zip(at, rows[_CHANCE].to_numpy()):
            axes.fill_betweenx([place - 0.47, place + 0.47], low, high, color=BAND, lw=0, zorder=0.5)
        key.append(Patch(facecolor=BAND, label="95% of what chance gives"))
    axes.barh(at, rows["stability"], height=0.54, color=colours, label="this run")
    error_bars(axes, rows["stability"], at, rows["standard_error"])
    say_undefined(axes, rows["stability"], at)
    beside = {"transform": axes.get_yaxis_transform(), "fontsize": SMALL, "va": "center"}
    axes.text(
        1.02, 1.0, LETTERS_BESIDE, style="italic", fontsize=SMALL, va="bottom", transform=axes.transAxes
    )
    for place, row in zip(at, rows.itertuples()):
        use = f"{row.top_letter} {row.top_letter_share:.0%}"
        if np.isfinite(row.letter_mass):  # else the service tells no probabilities
            use += f", {row.near_ties:.0%}, {row.letter_mass:.2f}"
        undefined = f"\n{row.undefined} of {row.correlations} r undefined" if row.undefined else ""
        axes.text(1.02, place, use + undefined, **beside)
    return key


def _draw_seeds(axes: Axes, points: pd.DataFrame, places: dict) -> list[Artist]:
    if points.empty:
        return []
    at = [_place(row, places) + 0.15 for row in points.itertuples()]
    points = axes.scatter(
        points["stability"],
        at,
        s=13,
        c="white",
        edgecolors="black",
        linewidths=0.7,
        zorder=3,
        label="one seed",
    )
    return [points]


def _draw_expected(axes: Axes, expected: pd.DataFrame, places: dict) -> list[Artist]:
    drawn = [
        axes.errorbar(
            row.expected,
            _place(row, places) - 0.16,
            xerr=3 * row.expected_sd,
            fmt="D",
            ms=4,
            color="black",
            capsize=3,
            path_effects=OUTLINED,
            label="expected of the synthetic control (± 3 SD)",
        )
        for row in expected.itertuples()
    ]
    return drawn[:1]


def _draw_printed(
    axes: Axes, printed: pd.DataFrame, first: int, styles: dict[str, FamilyStyle]
) -> list[Artist]:
    """The paper's values, told apart by tone, hatching and a rule above them."""
    at = range(first, first + len(printed))
    colours = [styles[family].colour for family in printed["family"]]
    pale = [[0.75 + 0.25 * part for part in to_rgb(colour)] for colour in colours]
    axes.barh(
        at,
        printed["r"],
        height=0.54,
        color=pale,
        edgecolor=colours,
        hatch="////",
        lw=0,
        label="printed in the paper",
    )
    axes.axhline(first - 1.5, color=LIGHT, lw=1, zorder=0.6)
    axes.axhline(first - 0.5, color=LIGHT, lw=1, zorder=0.6)
    for place, row in zip(at, printed.itertuples()):
        text = f"{row.r:.2f}, {_short(row.source)}"
        axes.text(
            1.02, place, text, transform=axes.get_yaxis_transform(), fontsize=SMALL, va="center", color=DARK
        )
    return [Patch(facecolor="#eeeeee", edgecolor=DARK, hatch="////", lw=0, label="printed in the paper")]


def _draw_humans(axes: Axes, humans: pd.DataFrame, measure: str) -> list[Artist]:
    if humans.empty:
        return []
    return [
        axes.axvline(
            row.value,
            color="black",
            lw=1,
            ls=_LINES[row.ages],
            label=f"humans, ages {row.ages} ({row.value})",
        )
        for row in humans[humans["measure"] == measure].itertuples()
    ]


def _part(
    table: pd.DataFrame | None, population: str, measure: str | None, instrument: str | None
) -> pd.DataFrame:
    if table is None or table.empty:
        return pd.DataFrame()
    wanted = {"population": population, "measure": measure, "instrument": instrument}
    for column, value in wanted.items():
        if value is not None and column in table:
            table = table[table[column] == value]
    return table


def _has(rows: pd.DataFrame, columns: list[str]) -> bool:
    return set(columns) <= set(rows) and rows[columns].notna().any(axis=None)


def _place(row, places: dict) -> int:
    if (row.model, row.format) not in places:
        raise ValuestabError(
            f"{respondent_label(row.model, row.format)} has a point, but no bar: "
            "give tables of the same answers."
        )
    return places[row.model, row.format]


def _short(source: str) -> str:
    """Which version of the paper, without what a source adds to it."""
    return source.split(";")[0].split(" (")[0].split(", ")[-1]
