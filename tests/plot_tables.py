"""Tables by hand for the figures' tests, and what can be asked of any figure."""

import pandas as pd
from matplotlib.text import Text

RESPONDENTS = [
    ("control-synthetic", "tuned_sys", "control"),
    ("SmolLM2-135M-Instruct", "tuned_sys", "SmolLM2"),
    ("mistralai--Mixtral-8x7B-Instruct-v0.1-4b", "tuned_no_sys", "Mixtral"),
    ("meta-llama--Llama-2-7b-hf", "base", "LLaMa-2"),
]
IN_ORDER = [  # of the families, as the paper has them
    "llama_2_7b (base)",
    "Mixtral-8x7B-Instruct-v0.1-4b (no system)",
    "SmolLM2-135M-Instruct (system)",
    "synthetic control",
]


def stability_rows(respondents=RESPONDENTS, **columns) -> pd.DataFrame:
    """As `tables.stability_table` gives them: 0.1, 0.2, ... with a standard error of 0.05."""
    table = pd.DataFrame(respondents, columns=["model", "format", "family"])
    table["stability"] = [0.1 * (i + 1) for i in range(len(respondents))]
    fixed = {
        "population": "fictional_characters", "instrument": "PVQ-40", "measure": "rank_order", "standard_error": 0.05,
        "unit": "seeds", "n_units": 5, "undefined": 0, "correlations": 100, "wording": "project", "top_letter": "C",
        "top_letter_share": 0.5, "near_ties": 0.25, "letter_mass": 0.75,
    }  # fmt: skip
    return table.assign(**fixed | columns)


def ticks(axes) -> list[str]:
    """Labels along the vertical axis, unfolded."""
    return [label.get_text().replace("\n", " ") for label in axes.get_yticklabels()]


def key(figure) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def bars(axes, label: str = "_container") -> list[float]:
    """Lengths of the bars that have a label; those that have none."""
    groups = [group for group in axes.containers if group.get_label().startswith(label)]
    return [bar.get_width() for group in groups for bar in group]


def texts(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def all_texts(figure) -> list:
    found = [figure._suptitle] if figure._suptitle else []
    for axes in figure.axes:
        found += [axes.title, axes._right_title, axes.xaxis.label, axes.yaxis.label, *axes.texts]
        for axis in (axes.xaxis, axes.yaxis) if axes.axison else ():
            low, high = sorted(axis.get_view_interval())
            found += [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    for legend in figure.legends:
        found += legend.get_texts()
    return [text for text in found if text.get_text() and text.get_visible()]


def assert_legible(figure) -> None:
    """All texts lie inside the figure, and no two upright ones lie on each other."""
    figure.canvas.draw()
    width, height = figure.canvas.get_width_height()
    boxes = [(text, Text.get_window_extent(text)) for text in all_texts(figure)]  # without arrows
    for text, box in boxes:
        inside = box.x0 > -2 and box.y0 > -2 and box.x1 < width + 2 and box.y1 < height + 2
        assert inside, f"{text.get_text()!r} leaves the figure"
    upright = [(text.get_text(), box) for text, box in boxes if text.get_rotation() == 0]
    for i, (one, box) in enumerate(upright):
        for other, its in upright[i + 1 :]:
            across = min(box.x1, its.x1) - max(box.x0, its.x0)
            along = min(box.y1, its.y1) - max(box.y0, its.y0)
            assert across < 2 or along < 3, f"{one!r} lies on {other!r}"
