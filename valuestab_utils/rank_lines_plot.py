"""The personas' order by context, a line each: the explorer's picture."""

import io
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

_OTHERS, _CHOSEN = "#8a8a8a", "#0072b2"  # also told apart by width and brightness
_SVG = {"svg.fonttype": "none", "svg.hashsalt": "valuestab"}  # letters stay letters: sharp at any size, any script


def rank_lines(ranks: pd.DataFrame, value: str, chosen: str | None = None, context: str | None = None) -> plt.Figure:
    """One line a persona over the contexts: its rank on a value, the highest on top.

    Parameters
    ----------
    ranks : DataFrame
        As `valuestab_utils.results_browser.persona_ranks` gives it.
    value : str
    chosen : str, optional
        A persona whose line stands out; one that is not among them is passed over.
    context : str, optional
        Where on that line a ring stands.

    Returns
    -------
    matplotlib.figure.Figure
        Names stand at the last context, each at its own height even where ranks are tied.
    """
    n, contexts = len(ranks), list(ranks.columns)
    figure, axes = plt.subplots(figsize=(7.6, 1.3 + 0.21 * max(n, 8)), layout="constrained")
    places = np.arange(len(contexts))
    for persona, row in ranks.iterrows():
        how = {"color": _OTHERS, "alpha": 0.55, "linewidth": 1, "markersize": 4, "zorder": 2}
        if persona == chosen:
            how = {"color": _CHOSEN, "linewidth": 2.4, "markersize": 6, "zorder": 3}
        axes.plot(places, row, marker="o", **how)
    if chosen in ranks.index and context in contexts:
        at = contexts.index(context)
        axes.plot(at, ranks.loc[chosen, context], "o", markersize=13, mfc="none", mec=_CHOSEN, mew=1.6, zorder=4)
    axes.set(xlim=(-0.2, len(contexts) - 0.8), ylim=(n + 0.6, 0.4))
    axes.set_xticks(places, [name.replace("_", " ") for name in contexts], rotation=30 if len(contexts) > 7 else 0)
    axes.set_xlabel("topic of the conversation before")
    axes.set_yticks(sorted({1, *(rank for rank in axes.get_yticks() if rank == int(rank) and 1 <= rank <= n)}))
    axes.set_ylabel(f"rank on {value} (1 = highest)")
    names = axes.twinx()
    last = ranks.iloc[:, -1]
    names.set(ylim=axes.get_ylim())
    names.set_yticks(last.rank(method="first", na_option="bottom"), last.index)
    for label, persona in zip(names.get_yticklabels(), last.index):
        mine = persona == chosen
        label.set(size=9, color=_CHOSEN if mine else "black", fontweight="bold" if mine else "normal")
    names.tick_params(length=0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
        names.spines[side].set_visible(False)
    words = [axes.xaxis.label, axes.yaxis.label, *axes.get_xticklabels(), *names.get_yticklabels()]
    for text in words:
        text.set_parse_math(False)  # a dollar sign in a name is one
    return figure


def as_svg(figure: plt.Figure) -> bytes:
    """The figure as SVG, the same bytes for the same figure; the figure is closed."""
    with io.BytesIO() as out, plt.rc_context(_SVG), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph", UserWarning)  # the browser has letters that our font lacks
        figure.savefig(out, format="svg", metadata={"Date": None}, facecolor="white")
        plt.close(figure)
        return out.getvalue()
