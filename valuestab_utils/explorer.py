"""Widgets for JupyterLab that show a results folder: the personas' order by context, and what lies behind a point."""

import html
import io
from pathlib import Path

import ipywidgets as widgets
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from valuestab_utils.chat import show_chat
from valuestab_utils.errors import ValuestabError
from valuestab_utils.paths import ROOT
from valuestab_utils.results_browser import (
    StoredAnswers,
    answers_behind,
    conversation_behind,
    persona_ranks,
    read_answers,
    stored_answers,
    values_of,
)

_GREY, _CHOSEN = "#8a8a8a", "#0072b2"


def rank_figure(ranks: pd.DataFrame, value: str, chosen: str | None = None) -> plt.Figure:
    """One line a persona over the contexts, its rank on a value upwards; ``chosen`` stands out.

    Parameters
    ----------
    ranks : DataFrame
        As `valuestab_utils.results_browser.persona_ranks` gives it.
    value : str
    chosen : str, optional
        A persona.
    """
    n, contexts = len(ranks), list(ranks.columns)
    figure, axes = plt.subplots(figsize=(7.2, 1.4 + 0.2 * max(n, 8)), layout="constrained")
    places = np.arange(len(contexts))
    for persona, row in ranks.iterrows():
        mine = persona == chosen
        axes.plot(
            places, row, marker="o", color=_CHOSEN if mine else _GREY, alpha=1 if mine else 0.55,
            linewidth=2.4 if mine else 1, markersize=6 if mine else 4, zorder=3 if mine else 2,
        )  # fmt: skip
    axes.set(xlim=(-0.15, len(contexts) - 0.85), ylim=(n + 0.6, 0.4), ylabel=f"rank on {value} (1 = highest)")
    axes.set_xticks(places, [context.replace("_", " ") for context in contexts])
    axes.set_xlabel("context (topic of the conversation before)")
    ends = ranks.iloc[:, -1]
    labels = axes.twinx()  # names stand at the last context, each at its own height even where ranks are tied
    labels.set(ylim=axes.get_ylim())
    heights = ends.rank(method="first", na_option="bottom")
    labels.set_yticks(heights, ends.index)
    for text, persona in zip(labels.get_yticklabels(), ends.index):
        text.set(size=8, color=_CHOSEN if persona == chosen else "black")
        text.set_fontweight("bold" if persona == chosen else "normal")
    labels.tick_params(length=0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
        labels.spines[side].set_visible(False)
    axes.set_title(f"{n} personas ordered by {value}", loc="left", fontsize=11)
    return figure


class Explorer:
    """Menus for experiment, seed, value, persona and context; a plot, a conversation and answers follow them.

    Parameters
    ----------
    results_dir : Path
    """

    def __init__(self, results_dir: Path):
        self.results_dir = results_dir
        self._stored = {stored.label: stored for stored in stored_answers(results_dir)}
        self._answers: dict[Path, pd.DataFrame] = {}
        wide = widgets.Layout(width="46em")
        narrow = widgets.Layout(width="15em")
        style = {"description_width": "6em"}
        labels = list(self._stored)
        self.experiment = widgets.Dropdown(options=labels, description="Experiment", layout=wide, style=style)
        self.seed = widgets.Dropdown(description="Seed", layout=narrow, style=style)
        self.value = widgets.Dropdown(description="Value", layout=narrow, style=style)
        self.persona = widgets.Dropdown(description="Persona", layout=narrow, style=style)
        self.context = widgets.Dropdown(description="Context", layout=narrow, style=style)
        self.message = widgets.HTML()
        self.plot = widgets.Image(format="png", layout=widgets.Layout(max_width="52em"))
        self.behind = widgets.HTML()
        self._quiet = False
        self.experiment.observe(self._experiment_chosen, "value")
        for menu in (self.seed, self.value, self.persona, self.context):
            menu.observe(self._shown_again, "value")
        self.view = widgets.VBox(
            [
                self.experiment,
                widgets.HBox([self.value, self.seed]),
                self.message,
                self.plot,
                widgets.HBox([self.persona, self.context]),
                self.behind,
            ]
        )
        if self._stored:
            self._experiment_chosen()
        else:
            self._say(f"There are no answers in {results_dir}: run the notebooks first (make reproduce).")

    @property
    def stored(self) -> StoredAnswers:
        """The chosen folder of answers."""
        return self._stored[self.experiment.value]

    def answers(self) -> pd.DataFrame:
        """Answers of the chosen folder, read once."""
        path = self.stored.path
        if path not in self._answers:
            self._answers[path] = read_answers(self.stored)
        return self._answers[path]

    def _experiment_chosen(self, _=None) -> None:
        self._quiet = True  # menus are filled one after the other: show once, when all are
        try:
            answers = self.answers()
            _fill(self.seed, sorted(answers["seed"].unique().tolist()))
            _fill(self.value, values_of(answers))
            _fill(self.persona, sorted(answers["persona"].unique()))
            _fill(self.context, sorted(answers["topic"].unique()))
        except ValuestabError as error:
            self._say(str(error))
            return
        finally:
            self._quiet = False
        self._shown_again()

    def _shown_again(self, _=None) -> None:
        if self._quiet or self.value.value is None:
            return
        self._say("")
        try:
            ranks = persona_ranks(self.answers(), self.value.value, self.seed.value)
            self.plot.value = _png(rank_figure(ranks, self.value.value, self.persona.value))
            self.plot.layout.display = None
        except ValuestabError as error:
            self._say(str(error))
        try:
            self.behind.value = self._behind()
        except ValuestabError as error:
            self.behind.value = f"<p>{html.escape(str(error))}</p>"

    def _behind(self) -> str:
        place = self.persona.value, self.context.value, self.seed.value
        conversation = conversation_behind(self.stored, *place)
        chat = "<p>No conversation came before the questions.</p>"
        if len(conversation):
            chat = show_chat(conversation).data
        table = answers_behind(self.answers(), *place, self.value.value)
        if table.empty:
            return chat + "<p>This persona has no answers in this context yet.</p>"
        rows = "".join(
            f"<tr><td>{row.item}</td><td>{html.escape(row.question)}</td>"
            f"<td>{html.escape(row.answer) or 'missing'}</td><td>{row.letter}</td>"
            f"<td>{'' if np.isnan(row.probability) else f'{row.probability:.0%}'}</td></tr>"
            for row in table.itertuples()
        )
        head = "<tr><th>item</th><th>question</th><th>answer</th><th>letter</th><th>its probability</th></tr>"
        title = f"Answers on {html.escape(self.value.value)}"
        cells = "<style>.valuestab :is(td, th) {text-align: left; padding: .15em .7em; vertical-align: top}</style>"
        return f"{chat}<h4>{title}</h4>{cells}<table class='valuestab'>{head}{rows}</table>"

    def _say(self, text: str) -> None:
        self.message.value = f"<b>{html.escape(text)}</b>" if text else ""
        if text:
            self.plot.layout.display = "none"
            self.behind.value = ""


def explore(results_dir: str | Path | None = None) -> widgets.VBox:
    """Show a results folder in a notebook; no model is needed.

    Parameters
    ----------
    results_dir : path
        Default: ``results`` in the checkout.

    Returns
    -------
    ipywidgets.VBox
    """
    return Explorer(ROOT / "results" if results_dir is None else Path(results_dir).expanduser()).view


def _fill(menu: widgets.Dropdown, options) -> None:
    """Give a menu its options, and keep what was chosen if it is among them."""
    before = menu.value
    menu.options = list(options)
    menu.value = before if before in menu.options else menu.options[0]


def _png(figure: plt.Figure) -> bytes:
    with io.BytesIO() as out:
        figure.savefig(out, format="png", dpi=110)
        plt.close(figure)
        return out.getvalue()
