"""The exact text of any prompt of a session, for a person to read.

``python -m valuestab_utils.render --persona Gandalf --topic joke --item 5`` prints what the tested model is sent for
item 5; ``--message 2`` prints what precedes the conversation's second message. Conversations are read from the
results: simulate them first.
"""

import argparse
import sys
from collections.abc import Sequence

import pandas as pd

from valuestab_utils.batch_administration import batch_prompt
from valuestab_utils.conversations import next_prompt
from valuestab_utils.errors import ValuestabError, check_known
from valuestab_utils.inductions import PROMPTING, STRUCTURE
from valuestab_utils.papers import FIRST
from valuestab_utils.questionnaire import item_prompts
from valuestab_utils.serial_administration import serial_prompt
from valuestab_utils.sessions import Experiment, Session
from valuestab_utils.study import Study, plan_study
from valuestab_utils.texts_before import texts_before


def find_session(experiment: Experiment, persona: str, topic: str, seed: int) -> Session:
    """The session of an experiment with these names.

    Raises
    ------
    ValuestabError
        If the experiment has no such persona, topic or seed.
    """
    check_known("persona", persona, [p.persona for p in experiment.personas])
    check_known("topic", topic, [t.topic for t in experiment.topics])
    if seed not in experiment.seeds:
        raise ValuestabError(f"Seed {seed} is not among this experiment's: {list(experiment.seeds)}.")
    chosen = (persona, topic, seed)
    return next(s for s in experiment.sessions if (s.persona.persona, s.topic.topic, s.seed) == chosen)


def render(
    study: Study,
    experiment: Experiment,
    session: Session,
    *,
    item: int | None = None,
    message: int | None = None,
) -> str:
    """Exact text of one prompt of a session.

    Parameters
    ----------
    study : Study
        Where the session's conversation is read from.
    experiment : Experiment
    session : Session
        One of the experiment's.
    item : int, optional
        The prompt that asks this item.
    message : int, optional
        The prompt that this message of the conversation answers (odd: the tested model's, even: the interlocutor's).

    Raises
    ------
    ValuestabError
        Unknown item or message, not exactly one of the two, or a conversation that has not been simulated.
    """
    if (item is None) == (message is None):
        raise ValuestabError(
            "Say which prompt: an item (item=5) or a message of the conversation (message=2)."
        )
    n_messages = experiment.messages_of(session)
    if message is not None and not 1 <= message <= n_messages:
        raise ValuestabError(
            f"Session {session} has messages 1 to {n_messages}, so there is no message {message}."
        )
    said = [session.topic.first_message] if message == 1 else _said(study, experiment, session)
    respondent = study.respondent(experiment)
    if message is not None:
        return next_prompt(session, respondent, said[:message]).text
    numbers = [asked.item for asked in study.instrument.items]
    if item not in numbers:
        raise ValuestabError(
            f"{study.instrument.name} has items {numbers[0]} to {numbers[-1]}, so there is no item {item}."
        )
    return item_prompts(session, respondent, study.instrument, said)[numbers.index(item)].text


def render_formats(study: Study, item: int) -> tuple[str, pd.DataFrame]:
    """One item of the studied model in each of its formats, as paper 001's Figure 11 shows them.

    Parameters
    ----------
    study : Study
    item : int
        Asked of the first session of each format's first experiment.

    Returns
    -------
    text : str
        The prompts, each under its format's name.
    table : DataFrame
        One row a format: ``format``, ``session``, ``characters`` of the prompt.

    Raises
    ------
    ValuestabError
        See `render`.
    """
    shown: dict[str, tuple[str, str]] = {}
    for experiment in study.experiments:
        if experiment.model == study.tested_model and experiment.format not in shown:
            session = experiment.sessions[0]
            shown[experiment.format] = str(session), render(study, experiment, session, item=item)
    text = "\n\n".join(f"==== {format} ====\n{prompt}" for format, (_, prompt) in shown.items())
    table = pd.DataFrame(
        {"format": format, "session": name, "characters": len(prompt)}
        for format, (name, prompt) in shown.items()
    )
    return text, table


def render_conditions(study: Study, *parts: str) -> tuple[str, pd.DataFrame]:
    """What the studied model is sent first in each condition of some parts, in each way of asking.

    Parameters
    ----------
    study : Study
        Of paper 002 or 004; what a prompt shows of the model's own words must be there.
    parts : str
        Of `valuestab_utils.profiles.PARTS`.

    Returns
    -------
    text : str
        The prompts of each first session's first item, or of all items where they are asked together, each under the
        names of condition, instrument and way of asking.
    table : DataFrame
        One row each: ``condition``, ``instrument``, ``administration``, ``session``, ``characters``.
    """
    shown: dict[tuple[str, str, str], tuple[str, str]] = {}
    for m in study.measurements:
        names = (m.experiment.population, m.instrument.name, m.administration)
        if m.part not in parts or m.experiment.model != study.tested_model or names in shown:
            continue
        session, respondent = m.experiment.sessions[0], study.respondent(m.experiment)
        said = texts_before(m.experiment.only(session), study.results_dir, m.filled)[session.key]
        if m.administration == "batch":
            prompt = batch_prompt(session, respondent, m.instrument, said, m.temperature).text
        elif m.administration == "serial":
            prompt = serial_prompt(session, respondent, m.instrument, said, [4]).text
        else:
            prompt = item_prompts(session, respondent, m.instrument, said)[0].text
        shown[names] = str(session), prompt
    text = "\n\n".join(f"==== {', '.join(names)} ====\n{prompt}" for names, (_, prompt) in shown.items())
    columns = ("condition", "instrument", "administration", "session", "characters")
    rows = [(*names, session, len(prompt)) for names, (session, prompt) in shown.items()]
    return text, pd.DataFrame(rows, columns=columns)


def _said(study: Study, experiment: Experiment, session: Session) -> list[str]:
    filled = next((m.filled for m in study.measurements if m.filled), None)
    return texts_before(experiment.only(session), study.results_dir, filled)[session.key]


def _paper_of_population(population: str) -> str:
    conditions = {"structure": STRUCTURE, "prompting": PROMPTING}
    return next((paper for paper, known in conditions.items() if population in known), FIRST)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0, or 2 after one sentence on stderr."""
    parser = argparse.ArgumentParser(
        prog="python -m valuestab_utils.render", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--profile", default="quick")
    parser.add_argument("--model", help="default: the profile's")
    parser.add_argument("--population", default="fictional_characters")
    parser.add_argument("--format", default="own", help="own (default), base, tuned_sys or tuned_no_sys")
    parser.add_argument("--persona", required=True)
    parser.add_argument("--topic", help="default: the population's first")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--item", type=int)
    parser.add_argument("--message", type=int)
    parser.add_argument("--results-dir")
    asked = parser.parse_args(argv)
    try:
        study = plan_study(
            asked.profile,
            asked.model,
            [asked.population],
            [asked.format],
            controls=[],
            results_dir=asked.results_dir,
            paper=_paper_of_population(asked.population),
        )
        experiment = study.experiments[0]
        topic = asked.topic or experiment.topics[0].topic
        session = find_session(experiment, asked.persona, topic, asked.seed)
        print(render(study, experiment, session, item=asked.item, message=asked.message))
    except ValuestabError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
