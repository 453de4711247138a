"""From next-token log-probabilities to the letters of the options (protocol, section 7).

The tokens that count for a letter are all those that read as that letter alone, with or without a space before it.
In some vocabularies ``(`` and a letter are also one token. A model that learnt to write that token gives little
probability to the letter after a bare ``(``, so that the mass would be lost; there, the place before the bracket is
scored too, given that a bracket follows.
"""

from dataclasses import dataclass

import torch

from valuestab_utils.errors import ValuestabError
from valuestab_utils.prompts import QUERY


@dataclass(frozen=True)
class LetterTokens:
    """Token ids by letter.

    Attributes
    ----------
    letters : str
        The letters, in order.
    alone : tuple of tuple of int
        For each letter, the tokens that read as it alone.
    bracketed : tuple of tuple of int
        For each letter, the tokens that read as ``(`` and the letter; all empty in most vocabularies.
    bracket : tuple of int
        The tokens whose text begins with that bracket, when there are bracketed ones (else empty).
    bare : int or None
        The token of the bracket alone, when there are bracketed ones.
    """

    letters: str
    alone: tuple[tuple[int, ...], ...]
    bracketed: tuple[tuple[int, ...], ...]
    bracket: tuple[int, ...]
    bare: int | None = None

    @property
    def positions(self) -> int:
        """How many last positions of the prompt must be scored: 1, or 2 with bracketed tokens."""
        return 2 if self.bracket else 1


def letter_tokens(tokenizer, letters: str) -> LetterTokens:
    """Find the tokens of each letter in a vocabulary.

    Parameters
    ----------
    tokenizer : transformers.PreTrainedTokenizerBase
    letters : str
        The letters of the options, such as ``"ABCDEF"``.

    Raises
    ------
    ValuestabError
        If the vocabulary has no single token for one of the letters.
    """
    special = set(tokenizer.all_special_ids)
    texts = {
        token: text
        for text, token in (
            (_reading(raw, token, tokenizer), token) for raw, token in tokenizer.get_vocab().items()
        )
        if token not in special
    }
    alone = tuple(
        tuple(sorted(t for t, text in texts.items() if text.strip() == letter)) for letter in letters
    )
    for letter, tokens in zip(letters, alone):
        if not tokens:
            raise ValuestabError(
                f"The vocabulary of {tokenizer.name_or_path!r} has no single token for the letter {letter!r}, so its "
                "answers cannot be read from the next token: use a model with another tokenizer."
            )
    begun = tokenizer(QUERY, add_special_tokens=False)["input_ids"]
    merges = [
        tokenizer(QUERY + letter, add_special_tokens=False)["input_ids"][: len(begun)] != begun
        for letter in letters
    ]
    if not any(merges):
        return LetterTokens(letters, alone, ((),) * len(letters), ())
    last = texts[begun[-1]]  # the bracket as the prompt ends with it, with or without a space before it
    if last.strip() != "(":
        raise ValuestabError(
            f"The vocabulary of {tokenizer.name_or_path!r} writes {QUERY!r} with a last token other than a bracket "
            "and joins brackets with letters, which cannot be scored: use a model with another tokenizer."
        )
    bracketed = tuple(
        tuple(sorted(t for t, text in texts.items() if text == last + letter)) for letter in letters
    )
    bracket = tuple(sorted(t for t, text in texts.items() if text.startswith(last)))
    return LetterTokens(letters, alone, bracketed, bracket, bare=begun[-1])


def letter_logprobs(logits: torch.Tensor, tokens: LetterTokens) -> torch.Tensor:
    """Log-probability of each letter after ``Answer: (``, summed over the letter's tokens.

    Parameters
    ----------
    logits : Tensor, shape (B, tokens.positions, V)
        Raw logits at the prompt's last positions.
    tokens : LetterTokens

    Returns
    -------
    Tensor, shape (B, n_letters), fp32, nats
        With bracketed tokens: of writing the letter given that a bracket is written,
        ``[P("(A") + P("(") P("A" | "(")] / P(anything that begins with "(")``.

    Raises
    ------
    ValuestabError
        If a logit is NaN.

    References
    ----------
    Paper 001, B.4.
    """
    if torch.isnan(logits).any():
        raise ValuestabError(
            "The model gives NaN logits, so there is no answer to read: load it in another dtype (float32 is safest)."
        )
    logprobs = torch.log_softmax(logits.float(), dim=-1)  # (B, positions, V)
    after = torch.stack([_sum(logprobs[:, -1], ids) for ids in tokens.alone], dim=1)  # (B, L)
    if not tokens.bracket:
        return after
    before = logprobs[:, -2]
    any_bracket = _sum(before, tokens.bracket)  # (B,)
    joined = torch.stack(
        [_sum(before, ids) if ids else torch.full_like(any_bracket, -torch.inf) for ids in tokens.bracketed],
        dim=1,
    )
    return torch.logaddexp(joined, before[:, tokens.bare, None] + after) - any_bracket[:, None]


def stray_token(logits: torch.Tensor, tokens: LetterTokens) -> tuple[torch.Tensor, torch.Tensor]:
    """The most likely token after ``Answer: (`` that is no letter, and its log-probability.

    Parameters
    ----------
    logits : Tensor, shape (B, tokens.positions, V)

    Returns
    -------
    ids : Tensor, shape (B,)
    logprobs : Tensor, shape (B,), nats
    """
    logprobs = torch.log_softmax(logits[:, -1].float(), dim=-1)
    logprobs[:, [t for ids in tokens.alone for t in ids]] = -torch.inf
    best = logprobs.max(dim=-1)
    return best.indices, best.values


def _sum(logprobs: torch.Tensor, ids) -> torch.Tensor:
    return torch.logsumexp(logprobs[:, list(ids)], dim=-1)


def _reading(raw: str | bytes, token: int, tokenizer) -> str:
    """What a token reads as; only short ones are decoded, since nothing else can be a letter or begin a bracket."""
    text = raw.decode(errors="replace") if isinstance(raw, bytes) else raw
    if len(text) > 8 and "(" not in text:
        return text
    if text.startswith("▁"):  # SentencePiece's space, which decoding a single token would swallow
        return " " + tokenizer.decode([token]).lstrip()
    return tokenizer.decode([token])
