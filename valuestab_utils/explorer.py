"""Menus for JupyterLab to look into a results folder: the personas' order by context, and what lies behind a point."""

import html
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import ipywidgets as widgets
import pandas as pd

from valuestab_utils.answer_table import answer_table
from valuestab_utils.chat import show_chat
from valuestab_utils.errors import ValuestabError
from valuestab_utils.labels import QUESTIONNAIRE, population_label, respondent_label
from valuestab_utils.paths import ROOT
from valuestab_utils.rank_lines_plot import as_svg, rank_lines
from valuestab_utils.results_browser import (
    StoredAnswers,
    answers_behind,
    conversation_behind,
    induced,
    persona_ranks,
    personas_left_out,
    read_answers,
    stored_answers,
    values_of,
)


class Explorer:
    """Menus for model, population, questions, value, seed, persona and context, and what they choose.

    Parameters
    ----------
    results_dir : Path

    Attributes
    ----------
    view : ipywidgets.VBox
        What a notebook shows.
    """

    def __init__(self, results_dir: Path):
        self.results_dir = results_dir
        self._answers: dict[Path, pd.DataFrame] = {}
        self._quiet = False
        self.respondent, self.population, self.questions = _menu("Model"), _menu("Population"), _menu("Questions")
        self.value, self.seed = _menu("Value"), _menu("Seed", "14em")
        self.persona, self.context = _menu("Persona"), _menu("Context")
        self.again = widgets.Button(description="Look again", tooltip="Read the results folder anew", icon="refresh")
        self.message, self.behind = widgets.HTML(), widgets.HTML()
        self.plot = widgets.Image(format="svg+xml", layout=widgets.Layout(width="100%", max_width="54em"))
        self.again.on_click(lambda _: self.look_again())
        self._of_answers = self.value, self.seed, self.persona, self.context
        for menu in (self.respondent, self.population, self.questions, *self._of_answers):
            menu.observe(self._chosen, "value")
        row = widgets.Layout(flex_flow="row wrap")
        self.view = widgets.VBox(
            [
                widgets.HBox([self.respondent, self.again], layout=row),
                widgets.HBox([self.population, self.questions], layout=row),
                widgets.HBox([self.value, self.seed], layout=row),
                self.message,
                self.plot,
                widgets.HBox([self.persona, self.context], layout=row),
                self.behind,
            ]
        )
        self.look_again()

    @property
    def stored(self) -> StoredAnswers:
        """The chosen folder of answers."""
        place = *self.respondent.value, self.population.value, self.questions.value
        return next(s for s in self._stored if (s.model, s.format, s.population, s.questions) == place)

    def look_again(self) -> None:
        """Read the folder anew, as after a run has gone on."""
        self._answers.clear()
        self._stored = stored_answers(self.results_dir)
        self._show()

    def _chosen(self, _) -> None:
        if not self._quiet:
            self._show()

    def _show(self) -> None:
        """Fill the menus that follow from others, and show what is chosen."""
        try:
            with self._silent_menus():
                self._fill_menus()
            answers, seed = self._answers[self.stored.path], self.seed.value
            ranks = persona_ranks(answers, self.value.value, seed)
            figure = rank_lines(ranks, self.value.value, self.persona.value, self.context.value)
            self._say(_note(induced(answers), personas_left_out(answers, seed), len(ranks)), as_svg(figure))
        except ValuestabError as error:
            self._say(str(error), None)
        self.behind.value = "" if self.value.value is None else self._behind()

    def _fill_menus(self) -> None:
        if not self._stored:
            _empty((self.respondent, self.population, self.questions, *self._of_answers))
            raise ValuestabError(f"There are no answers in {self.results_dir}: run the notebooks first.")
        who = dict.fromkeys((s.model, s.format) for s in self._stored)
        _fill(self.respondent, _labelled(list(who), lambda one: respondent_label(*one), ", ".join))
        theirs = [s for s in self._stored if (s.model, s.format) == self.respondent.value]
        _fill(self.population, _labelled(list(dict.fromkeys(s.population for s in theirs)), population_label, str))
        asked = [s for s in theirs if s.population == self.population.value]
        asked.sort(key=lambda s: not s.instrument.startswith(QUESTIONNAIRE))  # the questionnaire before the tasks
        _fill(self.questions, [(s.questions, s.questions) for s in asked])
        try:
            answers = self._read()
            values = values_of(answers)
        except ValuestabError:
            _empty(self._of_answers)  # nothing stays to choose of a folder that cannot be read
            raise
        _fill(self.value, [(value, value) for value in values])
        _fill(self.seed, [(str(seed), seed) for seed in sorted(answers["seed"].unique().tolist())])
        _fill(self.persona, [(name, name) for name in sorted(answers["persona"].unique())])
        _fill(self.context, [(name.replace("_", " "), name) for name in sorted(answers["topic"].unique())])

    def _read(self) -> pd.DataFrame:
        path = self.stored.path
        if path not in self._answers:
            self._say("Reading the answers ...", None)
            self._answers[path] = read_answers(self.stored)
        return self._answers[path]

    def _behind(self) -> str:
        place = self.persona.value, self.context.value, self.seed.value
        answers = self._answers[self.stored.path]
        parts = []
        try:
            chat = conversation_behind(self.stored, answers, *place)
            parts.append(show_chat(chat).data if len(chat) else _said("No conversation came before the questions."))
        except ValuestabError as error:
            parts.append(_said(str(error)))
        try:
            parts.append(self._answers_shown(answers_behind(answers, *place, self.value.value)))
        except ValuestabError as error:
            parts.append(_said(str(error)))
        return "".join(parts)

    def _answers_shown(self, found: pd.DataFrame) -> str:
        if found.empty:
            return _said("This persona has no answers in this context yet.")
        return f"<h4>Answers on {html.escape(self.value.value)}</h4>{answer_table(found)}"

    def _say(self, text: str, plot: bytes | None) -> None:
        self.message.value = _said(text) if text else ""
        self.plot.layout.display = "none" if plot is None else None
        self.plot.value = plot or b""

    @contextmanager
    def _silent_menus(self) -> Iterator[None]:
        # Menus are filled one after the other: what they choose is shown once, when all are.
        self._quiet = True
        try:
            yield
        finally:
            self._quiet = False


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
    return Explorer(ROOT / "results" if results_dir is None else Path(str(results_dir)).expanduser()).view


def _note(induced: bool, left_out: Sequence[str], n: int) -> str:
    """What a reader of the plot must know beside it."""
    notes = []
    if not induced:
        notes.append(
            "No persona was induced here: each line is one order of the options, and differences between lines "
            "say nothing about anybody."
        )
    if left_out:
        names = ", ".join(left_out[:3]) + (f" and {len(left_out) - 3} more" if len(left_out) > 3 else "")
        notes.append(
            f"Shown are {n} of {n + len(left_out)}: the others have not answered after every topic with this seed "
            f"({names})."
        )
    return " ".join(notes)


def _said(text: str) -> str:
    return f"<p style='max-width: 54em; line-height: 1.4'>{html.escape(text)}</p>"


def _menu(name: str, width: str = "27em") -> widgets.Dropdown:
    layout = widgets.Layout(width=width, max_width="100%")
    return widgets.Dropdown(description=name, layout=layout, style={"description_width": "6em"})


def _labelled(names: Sequence, label: Callable, full: Callable) -> list[tuple[str, object]]:
    """Options of a menu by their labels, or by their full names where two have the same label."""
    labels = [label(name) for name in names]
    return [(full(name) if labels.count(text) > 1 else text, name) for name, text in zip(names, labels)]


def _fill(menu: widgets.Dropdown, options: list[tuple[str, object]]) -> None:
    """Give a menu its options, and keep what was chosen if it is among them."""
    before = menu.value
    if list(menu.options) != options:
        menu.options = options
    values = [value for _, value in options]
    menu.value = before if before in values else values[0]


def _empty(menus: Sequence[widgets.Dropdown]) -> None:
    for menu in menus:
        menu.options = []
