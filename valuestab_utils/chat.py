"""Simulated conversations shown as chat, for notebooks."""

import html

import pandas as pd
from IPython.display import HTML

_BUBBLE = (
    "max-width:75%;padding:.5em .8em;margin:.25em 0;border-radius:.8em;white-space:pre-wrap;"
    "color:#111;background:{background};align-self:{side}"
)
_SIDES = {"interlocutor": ("#e8e8e8", "flex-start"), "tested": ("#cfe5f5", "flex-end")}


def show_chat(conversations: pd.DataFrame, n: int = 1) -> HTML:
    """Show the first ``n`` conversations of each model, format and population as chat.

    Parameters
    ----------
    conversations : DataFrame
        As `valuestab_utils.study.Study.conversations` gives them.
    n : int

    Returns
    -------
    IPython.display.HTML
    """
    blocks = []
    for names, rows in conversations.groupby(["model", "format", "population"], sort=False):
        groups = list(rows.groupby(["topic", "seed", "persona"], sort=False))
        for (topic, seed, persona), messages in groups[:n]:
            title = f"{', '.join(names)}: {persona}, {topic}, seed {seed}"
            bubbles = "".join(_bubble(row) for row in messages.sort_values("message").itertuples())
            blocks.append(
                f"<details open style='max-width:46em'><summary><b>{html.escape(title)}</b></summary>"
                f"<div style='display:flex;flex-direction:column'>{bubbles}</div></details>"
            )
    return HTML("\n".join(blocks))


def _bubble(row) -> str:
    background, side = _SIDES[row.role]
    who = row.role if row.message else "interlocutor, fixed first message"
    cut = " · stopped at the length limit" if row.finish == "length" else ""
    text = html.escape(row.content) or "<i>(nothing)</i>"
    return (
        f"<div style='{_BUBBLE.format(background=background, side=side)}'>"
        f"<small style='opacity:.65'>{who}{cut}</small><br>{text}</div>"
    )
