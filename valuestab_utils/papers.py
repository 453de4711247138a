"""The papers whose studies are implemented, each with its notebooks and its command."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Paper:
    """A paper.

    Attributes
    ----------
    name : str
        Its study's name in profiles, commands and files.
    citation, title : str
    command : str
        What runs its notebooks.
    notebooks : tuple of str
        Their numbers.
    """

    name: str
    citation: str
    title: str
    command: str
    notebooks: tuple[str, ...]


PAPERS = {
    paper.name: paper
    for paper in (
        Paper(
            "stability",
            "Kovač et al. 2024",
            "Stick to your Role! Stability of Personal Values Expressed in Large Language Models",
            "make reproduce",
            ("01", "02", "03", "04", "05"),
        ),
        Paper("structure", "Rozen et al. 2025", "Do LLMs have consistent values?", "make structure", ("06",)),
        Paper(
            "prompting",
            "Yehudai et al.",
            "Teaching Values to Machines: Simulating Human-Like Behavior in LLMs",
            "make prompting",
            ("07",),
        ),
    )
}
FIRST = next(iter(PAPERS))


def paper_of(notebook: str) -> Paper:
    """The paper that a notebook is of, by its number.

    Examples
    --------
    >>> paper_of("06_value_structure").citation, paper_of("03_stability").name
    ('Rozen et al. 2025', 'stability')
    """
    return next((paper for paper in PAPERS.values() if notebook[:2] in paper.notebooks), PAPERS[FIRST])


def summary_file(paper: str) -> str:
    """Name of the file with what was found for a paper, in a run's folder of figures.

    Examples
    --------
    >>> summary_file("stability"), summary_file("structure")
    ('summary.json', 'summary_structure.json')
    """
    return "summary.json" if paper == FIRST else f"summary_{PAPERS[paper].name}.json"
