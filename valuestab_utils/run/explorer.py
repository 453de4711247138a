"""Menus for JupyterLab to look into a results folder: the personas' order by context, and what lies behind a point."""

import html
import re
from dataclasses import dataclass
from pathlib import Path

import ipywidgets as widgets
import numpy as np
import pandas as pd
from IPython.display import HTML
from jinja2 import Environment
from scipy.stats import rankdata

from valuestab_utils.errors import ValuestabError, check_known, listed
from valuestab_utils.metrics import score_answers
from valuestab_utils.paths import ROOT
from valuestab_utils.plots import as_svg, rank_lines
from valuestab_utils.prompts import (
    CONDITIONS,
    LETTERS,
    NO_CONVERSATION,
    TWO_WORDINGS,
    Persona,
    Questionnaire,
    Session,
    Topic,
    load_questionnaire,
    population_label,
)
from valuestab_utils.study import QUESTIONNAIRE, Folder, texts_digest

_NEEDED = (
    *("model", "format", "population", "persona", "topic", "seed", "persona_description", "gender", "conversation"),
    *("instrument", "wording", "instrument_version", "item", "value", "option_order", "letter_mass", "letter"),
    *("answer", "near_tie", "logprob_A"),
)


@dataclass(frozen=True)
class StoredAnswers:
    """A folder of answers to questions that were asked after so many messages."""

    model: str
    format: str
    population: str
    instrument: str
    n_messages: int
    path: Path

    @property
    def label(self) -> str:
        """Who was asked what, and when, for a person to choose from."""
        messages = f"{self.n_messages} message{'' if self.n_messages == 1 else 's'}"
        who = f"{self.model.replace('--', '/')} ({self.format})"
        return f"{who}, {population_label(self.population)}: {self.instrument} after {messages}"


def stored_answers(results_dir: Path) -> list[StoredAnswers]:
    """All folders of answers with each item asked once a session, in its first order of options.

    Sorted by their names, of each population the main questionnaire first.
    Those of runs (Rozen et al., Yehudai et al.) are left out: they have no topics between which values could change.
    """
    found = []
    for path in Path(results_dir).glob("*/*/*/*/n*"):
        length, of_runs = path.name.removeprefix("n"), path.parts[-3] in CONDITIONS
        if length.isdigit() and not of_runs and any(path.glob("*.parquet")):
            found.append(StoredAnswers(*path.parts[-5:-1], int(length), path))
    found.sort(key=lambda s: (s.model, s.format, s.population, s.instrument, s.n_messages))
    return sorted(found, key=lambda s: (s.model, s.format, s.population, not s.instrument.startswith(QUESTIONNAIRE)))


def read_stored(stored: StoredAnswers) -> pd.DataFrame:
    """The answers of a folder, as `valuestab_utils.study.ask` gives them."""
    answers = Folder(stored.path).read_all()
    lacking = [column for column in _NEEDED if column not in answers.columns]
    if lacking or answers.empty:
        raise ValuestabError(
            f"The files in {stored.path} have {f'no column {lacking[0]}' if lacking else 'no rows'}, so they are no "
            "answers that this version of the package wrote: move that folder away."
        )
    return answers


def questionnaire_of(answers: pd.DataFrame) -> Questionnaire:
    """The questionnaire that was asked; in another wording, where the one that was asked is not here."""
    name, wording = answers["instrument"].iloc[0], answers["wording"].iloc[0]
    if name in TWO_WORDINGS:
        try:
            return load_questionnaire(name, wording)
        except ValuestabError:  # the published wording is its authors', and need not be on this machine
            return load_questionnaire(name)
    whole = load_questionnaire(name)
    part = re.match(r"(\d+) of ", wording)  # of the questions about people of several names
    return load_questionnaire(name, n_names=int(part[1]) // len(whole.scales)) if part else whole


def personas_left_out(answers: pd.DataFrame, seed: int) -> list[str]:
    """Personas that have answers of this seed in some contexts, but not in all; they have no place in the order."""
    of_seed = answers[answers["seed"] == seed]
    asked = of_seed.groupby("persona")["topic"].nunique()
    return sorted(asked.index[asked < of_seed["topic"].nunique()])


def persona_ranks(answers: pd.DataFrame, value: str, seed: int) -> pd.DataFrame:
    """Each persona's place in the order of personas on a value, (personas by mean rank, contexts).

    Rank 1 has the highest score, ties share their mean rank, and a missing score has NaN. `personas_left_out` are not
    in it; ValuestabError if that leaves nobody.
    """
    of_seed = answers[answers["seed"] == seed]
    complete = of_seed[~of_seed["persona"].isin(personas_left_out(answers, seed))]
    if complete.empty:
        raise ValuestabError(f"No persona has answered in every context with seed {seed} yet: let the run go on.")
    scored = score_answers(complete, questionnaire_of(answers))
    check_known("value", value, scored.values)
    scores = scored.scores[0, :, :, scored.values.index(value)]  # (contexts, personas)
    ranks = np.stack([rankdata(-context, nan_policy="omit") for context in scores], 1)
    table = pd.DataFrame(ranks, index=list(scored.personas), columns=list(scored.contexts))
    return table.loc[table.mean(axis=1).sort_values(kind="stable").index]


def conversation_behind(
    stored: StoredAnswers, answers: pd.DataFrame, persona: str, topic: str, seed: int
) -> pd.DataFrame:
    """The conversation before a session's questions, one row a message; empty if there was none.

    ValuestabError if the file holds another conversation than the answers were given after.
    """
    asked = _of_session(answers, persona, topic, seed)
    if topic == NO_CONVERSATION:
        return pd.DataFrame()
    place = stored.model, stored.format, stored.population
    session = Session(*place, Persona(persona, persona, "", None), Topic(topic, None), seed)
    folder = Folder(stored.path.parent.parent / "conversations")
    rows = folder.read_all([session]).sort_values("message")
    rows = rows[rows["message"] <= stored.n_messages]
    if len(asked) and texts_digest(list(rows["content"])) != asked["conversation"].iloc[0]:
        raise ValuestabError(
            f"{folder.file(session)} holds another conversation than the one before these answers, which is lost: "
            "move both away, and the next run makes them anew."
        )
    return rows


def answers_behind(answers: pd.DataFrame, persona: str, topic: str, seed: int, value: str) -> pd.DataFrame:
    """What a persona answered in a context to the items of a value, one row an item.

    ``question`` as it was asked, "" if that wording is not here; ``letter``, "" if missing; ``answer`` in words, and
    ``code`` of the option (1 is the first), NaN if missing; then a column an option by code with its probability out of
    all next tokens (they sum to the letter mass; NaN where unknown).
    """
    questionnaire, found = questionnaire_of(answers), []
    items = {item.item: item for item in questionnaire.items}
    rows = _of_session(answers, persona, topic, seed)
    for row in rows[rows["value"] == value].sort_values("item").to_dict("records"):
        item = items[row["item"]]
        as_asked = questionnaire.version == row["instrument_version"]
        code = int(row["answer"]) if row["letter"] else np.nan
        answer = questionnaire.options_of(item)[code - 1] if row["letter"] else "missing"
        of_code = {int(c): float(np.exp(row[f"logprob_{letter}"])) for letter, c in zip(LETTERS, row["option_order"])}
        found.append(
            {"item": row["item"], "question": item.portrait(row["gender"]) if as_asked else ""}
            | {"answer": answer + (" (near-tie)" if row["near_tie"] else ""), "letter": row["letter"], "code": code}
            | dict(sorted(of_code.items()))
        )
    return pd.DataFrame(found)


def _of_session(rows: pd.DataFrame, persona: str, topic: str, seed: int) -> pd.DataFrame:
    return rows[(rows["persona"] == persona) & (rows["topic"] == topic) & (rows["seed"] == seed)]


def answer_table(answers: pd.DataFrame) -> str:
    """Rows of `answers_behind` as HTML, every text escaped, options shaded by their probability."""
    codes = [column for column in answers.columns if isinstance(column, int)]
    styled = answers.drop(columns="code").style.hide(axis="index")
    styled = styled.format(escape="html", subset=["question", "answer", "letter"])
    styled = styled.format("{:.0%}", na_rep="?", subset=codes)
    # Letters stay black: what is unknown has no shade, which would make them white on white.
    styled = styled.background_gradient("Blues", vmin=0, vmax=1.5, text_color_threshold=0, axis=None, subset=codes)
    styled = styled.set_properties(subset=["question", "answer"], **{"text-align": "left"})
    lacking = "" if (answers["question"] != "").all() else " The wording that was asked is not here."
    return (
        f"{styled.to_html()}<small>{codes[0]} to {codes[-1]} are the options' probabilities; what lacks to 100% went "
        f"to other words, or the service did not tell it (?).{lacking}</small>"
    )


_CHAT = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string("""
{% for title, messages in chats %}
<details open style="max-width:46em"><summary><b>{{ title }}</b></summary>
<div style="display:flex;flex-direction:column">
{% for m in messages %}
<div style="max-width:75%;padding:.5em .8em;margin:.25em 0;border-radius:.8em;white-space:pre-wrap;color:#111;
{{- "background:#cfe5f5;align-self:flex-end" if m.role == "tested" else "background:#e8e8e8;align-self:flex-start" }}">
{#- -#}
<small style="opacity:.65">{{ m.role if m.message else "interlocutor, fixed first message" }}
{{- " · stopped at the length limit" if m.finish == "length" }}</small><br>
{%- if m.content %}{{ m.content }}{% else %}<i>(nothing)</i>{% endif %}</div>
{% endfor %}
</div></details>
{% endfor %}
""")


def show_chat(conversations: pd.DataFrame, n: int = 1) -> HTML:
    """Show the first ``n`` conversations of each model, format and population of `Study.conversations` as chat."""
    chats = []
    for names, rows in conversations.groupby(["model", "format", "population"], sort=False):
        groups = list(rows.groupby(["topic", "seed", "persona"], sort=False))
        for (topic, seed, persona), messages in groups[:n]:
            title = f"{', '.join(names)}: {persona}, {topic}, seed {seed}"
            chats.append((title, messages.sort_values("message").to_dict("records")))
    return HTML(_CHAT.render(chats=chats))


def explore(results_dir: str | Path | None = None) -> widgets.VBox:
    """Show a results folder (by default ``results`` in the checkout) in a notebook; no model is needed."""
    return Explorer(ROOT / "results" if results_dir is None else Path(str(results_dir)).expanduser()).view


class Explorer:
    """Menus for a folder of answers, value, seed, persona and context; a notebook shows ``view``."""

    def __init__(self, results_dir: Path):
        self.results_dir = results_dir
        self._answers: dict[Path, pd.DataFrame] = {}
        self._quiet = False
        self.stored, self.value, self.seed = _menu("Answers", "54em"), _menu("Value"), _menu("Seed")
        self.persona, self.context = _menu("Persona"), _menu("Context")
        self.again = widgets.Button(description="Look again", tooltip="Read the results folder anew", icon="refresh")
        self.message, self.behind = widgets.HTML(), widgets.HTML()
        self.plot = widgets.Image(format="svg+xml", layout=widgets.Layout(width="100%", max_width="54em"))
        self.again.on_click(lambda _: self.look_again())
        self._of_answers = self.value, self.seed, self.persona, self.context
        for menu in (self.stored, *self._of_answers):
            menu.observe(self._show, "value")
        rows = [(self.stored, self.again), self._of_answers[:2], self._of_answers[2:]]
        folder, scale, point = [widgets.HBox(row, layout=widgets.Layout(flex_flow="row wrap")) for row in rows]
        self.view = widgets.VBox([folder, scale, self.message, self.plot, point, self.behind])
        self.look_again()

    def look_again(self) -> None:
        """Read the folder anew, as after a run has gone on."""
        self._answers.clear()
        self._quiet = True
        _fill(self.stored, [(stored.label, stored) for stored in stored_answers(self.results_dir)])
        self._quiet = False
        self._show()

    def _show(self, _: object = None) -> None:
        if self._quiet:  # menus are filled one after the other: what they choose is shown once, when all are
            return
        self._quiet = True
        self.behind.value = ""
        try:
            answers, seed = self._filled_menus(), self.seed.value
            self.behind.value = self._behind(answers)
            ranks = persona_ranks(answers, self.value.value, seed)
            figure = rank_lines(ranks, self.value.value, self.persona.value, self.context.value)
            self._say(_note(answers, seed, len(ranks)), as_svg(figure))
        except ValuestabError as error:
            self._say(str(error))
        finally:
            self._quiet = False

    def _filled_menus(self) -> pd.DataFrame:
        """The chosen answers, when the menus have what can be chosen of them."""
        try:
            if self.stored.value is None:
                raise ValuestabError(f"There are no answers in {self.results_dir}: run the notebooks first.")
            path = self.stored.value.path
            if path not in self._answers:
                self._say("Reading the answers ...")
                self._answers[path] = read_stored(self.stored.value)
            answers = self._answers[path]
            values = questionnaire_of(answers).scales
        except ValuestabError:
            for menu in self._of_answers:  # nothing stays to choose of a folder that cannot be read
                menu.options = []
            raise
        _fill(self.value, [(value, value) for value in values])
        _fill(self.seed, [(str(seed), seed) for seed in sorted(answers["seed"].unique().tolist())])
        _fill(self.persona, [(name, name) for name in sorted(answers["persona"].unique())])
        _fill(self.context, [(name.replace("_", " "), name) for name in sorted(answers["topic"].unique())])
        return answers

    def _behind(self, answers: pd.DataFrame) -> str:
        place = self.persona.value, self.context.value, self.seed.value
        try:
            chat = conversation_behind(self.stored.value, answers, *place)
            talk = show_chat(chat).data if len(chat) else _said("No conversation came before the questions.")
        except ValuestabError as error:
            talk = _said(str(error))
        found = answers_behind(answers, *place, self.value.value)
        if found.empty:
            return talk + _said("This persona has no answers in this context yet.")
        return f"{talk}<h4>Answers on {html.escape(self.value.value)}</h4>{answer_table(found)}"

    def _say(self, text: str, plot: bytes | None = None) -> None:
        self.message.value = _said(text) if text else ""
        self.plot.layout.display = "none" if plot is None else None
        self.plot.value = plot or b""


def _note(answers: pd.DataFrame, seed: int, n: int) -> str:
    notes, left_out = [], personas_left_out(answers, seed)
    if (answers["persona_description"] == "").any():
        notes.append(
            "No persona was induced here: each line is one order of the options, and differences between lines "
            "say nothing about anybody."
        )
    if left_out:
        notes.append(
            f"Shown are {n} of {n + len(left_out)}: the others have not answered after every topic with this seed "
            f"({listed(left_out, 3)})."
        )
    return " ".join(notes)


def _said(text: str) -> str:
    return f"<p style='max-width: 54em; line-height: 1.4'>{html.escape(text)}</p>"


def _menu(name: str, width: str = "27em") -> widgets.Dropdown:
    layout = widgets.Layout(width=width, max_width="100%")
    return widgets.Dropdown(description=name, layout=layout, style={"description_width": "6em"})


def _fill(menu: widgets.Dropdown, options: list[tuple[str, object]]) -> None:
    """Give a menu its options, and keep what was chosen if it is among them."""
    before = menu.value
    if list(menu.options) != options:
        menu.options = options
    values = [value for _, value in options]
    menu.value = before if before in values else next(iter(values), None)
