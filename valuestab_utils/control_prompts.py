"""What a control finds in a prompt: which item of which instrument is asked, and what was said before the questions."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from valuestab_utils.errors import ValuestabError
from valuestab_utils.instruments import Instrument, Item
from valuestab_utils.prompts import LETTERS, QUERY

_TURN = re.compile(r"(?:<user> |USER: )?")
_BEGUN = re.compile(rf"\n(?:<assistant>|[^\n:<>]+:) {re.escape(QUERY)}")
_NUMBERED = re.compile(r"(?:<user> |USER: )?([1-9][0-9]*)\. (.+)")


@dataclass(frozen=True)
class Question:
    """An item as a prompt asks it.

    Attributes
    ----------
    said : str
        What stands before the first question, without the instrument's own instruction.
    instrument : Instrument
    item : Item
    codes : tuple of int
        Codes that may be answered, in the order of the letters, digits or options.
    """

    said: str
    instrument: Instrument
    item: Item
    codes: tuple[int, ...]


class KnownItems:
    """The items of some instruments, recognised by their texts.

    Parameters
    ----------
    instruments : sequence of Instrument

    Raises
    ------
    ValuestabError
        If an instrument is there twice.

    Examples
    --------
    >>> from valuestab_utils.instruments import load_pvq40
    >>> pvq = load_pvq40("project")
    >>> prompt = f"<user> Be kind.\\n\\n{pvq.instruction}\\n\\n{pvq.items[1].female}\\n<assistant> Answer: ("
    >>> found = KnownItems([pvq]).question(prompt, "123456")
    >>> found.item.item, found.item.value, found.said
    (2, 'Power', 'Be kind.')
    """

    def __init__(self, instruments: Sequence[Instrument]):
        names = [instrument.name for instrument in instruments]
        if len(set(names)) != len(names):
            raise ValuestabError(f"The instruments of a control are {names}, but each must be there once.")
        self._known: dict[str, list[tuple[Instrument, Item]]] = {}
        for instrument in instruments:
            for item in instrument.items:
                for text in dict.fromkeys((item.male, item.female)):
                    self._known.setdefault(text, []).append((instrument, item))

    def question(self, text: str, letters: str) -> Question:
        """What a prompt asks that ends in the begun answer.

        Parameters
        ----------
        text : str
        letters : str
            The letters that options are shown at, or the digits of the codes, where none are shown.

        Raises
        ------
        ValuestabError
            If its last question is none that is known, or could be one of several.
        """
        begun = list(_BEGUN.finditer(text))
        if not begun or begun[-1].end() != len(text):
            raise ValuestabError(f"A control was asked to answer after {text[-40:]!r}, which begins no answer.")
        body = text[: begun[-1].start()]
        if letters.isdigit():
            asked = [(i, item) for _, (i, item) in self._at_end(body) if len(i.options) == len(letters)]
            instrument, item = _only(asked, body)
            first = text[: begun[0].start()]
            said = [_before(first, shown, i) for shown, (i, _) in self._at_end(first) if i is instrument]
            return Question(_only(said, first), instrument, item, tuple(map(int, letters)))
        body, *options = _options(body, letters)
        asked = [
            (shown, i, item)
            for shown, (i, item) in self._at_end(body)
            if sorted(i.options_of(item)) == sorted(options)
        ]
        shown, instrument, item = _only(asked, body)
        codes = tuple(instrument.options_of(item).index(option) + 1 for option in options)
        return Question(_before(body, shown, instrument), instrument, item, codes)

    def numbered_questions(self, text: str) -> list[Question]:
        """What a prompt asks that ends in numbered items of an instrument, one a line; nothing if it does not.

        Raises
        ------
        ValuestabError
            If the items could be several instruments'.
        """
        lines = text.split("\n")[:-1]  # the last begins the answer
        portraits: list[str] = []
        while lines and (found := _NUMBERED.fullmatch(lines[-1])) and found[2] in self._known:
            portraits.insert(0, found[2])
            lines.pop()
        if not portraits:
            return []
        candidates = [i for i, _ in self._known[portraits[0]] if all(self._items(i, p) for p in portraits)]
        instrument = _only(candidates, portraits[0])
        said = _without_instruction("\n".join([*lines, ""]), instrument)
        return [
            Question(said, instrument, _only(self._items(instrument, p), p), instrument.codes) for p in portraits
        ]

    def _items(self, instrument: Instrument, portrait: str) -> list[Item]:
        return [item for i, item in self._known[portrait] if i is instrument]

    def _at_end(self, body: str) -> Iterator[tuple[str, tuple[Instrument, Item]]]:
        """Known texts that a prompt ends with, the longest first, and whose they are."""
        found = [text for text in self._known if body.endswith(text)]
        whole = [t for t in found if re.search(r"(?:\A|\n\n|\n?<user> |\n?USER: )\Z", body[: len(body) - len(t)])]
        for text in sorted(whole, key=len, reverse=True):
            for asked in self._known[text]:
                yield text, asked


def _options(body: str, letters: str) -> list[str]:
    """What stands before the options, and the options in the order of the letters."""
    parts = re.split(r"\n\(([" + LETTERS + r"])\) ", body)
    n = len(letters)
    if "".join(parts[-2 * n :: 2]) != letters:
        raise ValuestabError(f"A control was asked for {letters}, but shown {body[-60:]!r}.")
    shown = parts[-2 * n + 1 :: 2]
    return [body[: len(body) - sum(len(option) + len("\n(A) ") for option in shown)], *shown]


def _before(body: str, portrait: str, instrument: Instrument) -> str:
    return _without_instruction(body[: len(body) - len(portrait)], instrument)


def _without_instruction(head: str, instrument: Instrument) -> str:
    """What was said, from a prompt up to its first item: without the instruction and the marks of turns."""
    if instrument.instruction:
        whole, head = head, head.rstrip("\n").removesuffix(instrument.instruction)
        if len(head) == len(whole.rstrip("\n")):
            raise ValuestabError(f"{instrument.name} is asked without its instruction: {whole[-60:]!r}.")
    head = head.strip()
    for mark in ("<user>", "USER:"):
        head = head.removeprefix(mark).removesuffix(mark).strip()
    return head


def _only(found: list, where: str):
    if len(found) != 1:
        raise ValuestabError(
            f"A control knows {len(found)} questions, where it must know one, that are asked by {where[-60:]!r}."
        )
    return found[0]
