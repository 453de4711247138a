"""Answers shown as a table, with the probabilities of all options, for notebooks."""

import html

import numpy as np
import pandas as pd

_STYLE = (
    "<style>.valuestab-answers {border-collapse: collapse; margin: .4em 0; line-height: 1.35} "
    ".valuestab-answers :is(td, th) {text-align: left; padding: .2em .6em; vertical-align: top} "
    ".valuestab-answers tr {border-bottom: 1px solid rgba(128, 128, 128, .35)} "
    ".valuestab-answers :is(td, th).p {text-align: right; min-width: 2.6em; padding: .2em .4em}</style>"
)


def answer_table(answers: pd.DataFrame) -> str:
    """Answers to the items of one scale as HTML; every text in it is escaped.

    Parameters
    ----------
    answers : DataFrame
        As `valuestab_utils.results_browser.answers_behind` gives it, one row or more.
    """
    first = answers.iloc[0]
    codes = range(1, len(first["probabilities"]) + 1)
    heads = "".join(f"<th class='p'>{code}</th>" for code in codes)
    rows = "".join(_row(row) for row in answers.itertuples())
    legend = "; ".join(f"{code} {option}" for code, option in zip(codes, first["options"]))
    lacking = "" if (answers["question"] != "").all() else " The wording that was asked is not here."
    below = (
        f"1 to {codes[-1]} are the options' probabilities{f' ({legend})' if legend else ''}; what lacks to 100% went "
        f"to other words, or the service did not tell it (?).{lacking}"
    )
    return (
        f"{_STYLE}<table class='valuestab-answers'>"
        f"<tr><th>item</th><th>question</th><th>answer</th><th>letter</th>{heads}</tr>{rows}</table>"
        f"<small style='display: block; line-height: 1.4'>{html.escape(below)}</small>"
    )


def _row(row) -> str:
    answer = "missing" if np.isnan(row.code) else row.answer or f"option {row.code:.0f}"
    cells = [str(row.item), row.question, answer + (" (near-tie)" if row.near_tie else ""), row.letter]
    shown = "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
    for code, p in enumerate(row.probabilities, start=1):
        text = "?" if np.isnan(p) else f"{p:.0%}"
        shade = 0 if np.isnan(p) else 0.55 * p
        shown += (
            f"<td class='p' style='background: rgba(0, 114, 178, {shade:.2f})'>"
            f"{f'<b>{text}</b>' if code == row.code else text}</td>"
        )
    return f"<tr>{shown}</tr>"
