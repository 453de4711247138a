"""From next-token log-probabilities to the letters of the options (protocol, section 7).

The tokens that count for a letter are all those that read as that letter alone, with or without a space before it, and
in some vocabularies those that join ``(`` and the letter.
"""

from dataclasses import dataclass

import torch

from valuestab_utils.errors import ValuestabError
from valuestab_utils.prompts import QUERY


@dataclass(frozen=True)
class LetterTokens:
    """Token ids by letter; without bracketed ones, as in most vocabularies, `bracket` is empty and `bare` None.

    alone : for each letter, the tokens that read as it alone
    bracketed : for each letter, the tokens that read as ``(`` and the letter
    bracket : the tokens whose text begins with that bracket
    bare : the token of the bracket alone
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
    """Find the tokens of each letter in a vocabulary; ValuestabError if one of them has no single token."""
    special = set(tokenizer.all_special_ids)
    ordinary = {token: raw for raw, token in tokenizer.get_vocab().items() if token not in special}
    texts = {token: _reading(raw, token, tokenizer) for token, raw in ordinary.items()}
    alone = [tuple(sorted(t for t, text in texts.items() if text.strip() == letter)) for letter in letters]
    lacking = [letter for letter, tokens in zip(letters, alone) if not tokens]
    if lacking:
        raise ValuestabError(
            f"The vocabulary of {tokenizer.name_or_path!r} has no single token for the letter {lacking[0]!r}, so its "
            "answers cannot be read from the next token: use a model with another tokenizer."
        )
    begun = tokenizer(QUERY, add_special_tokens=False)["input_ids"]
    # A model that learnt to write "(" and a letter as one token gives little probability to the letter after a bare
    # "(", so that the mass would be lost: the place before the bracket is scored too, given that a bracket follows.
    with_letters = [tokenizer(QUERY + letter, add_special_tokens=False)["input_ids"] for letter in letters]
    if all(ids[: len(begun)] == begun for ids in with_letters):
        return LetterTokens(letters, tuple(alone), ((),) * len(letters), ())
    last = texts[begun[-1]]  # the bracket as the prompt ends with it, with or without a space before it
    if last.strip() != "(":
        raise ValuestabError(
            f"The vocabulary of {tokenizer.name_or_path!r} writes {QUERY!r} with a last token other than a bracket "
            "and joins brackets with letters, which cannot be scored: use a model with another tokenizer."
        )
    bracketed = [tuple(sorted(t for t, text in texts.items() if text == last + letter)) for letter in letters]
    bracket = tuple(sorted(t for t, text in texts.items() if text.startswith(last)))
    return LetterTokens(letters, tuple(alone), tuple(bracketed), bracket, bare=begun[-1])


def letter_logprobs(logits: torch.Tensor, tokens: LetterTokens) -> torch.Tensor:
    """Log-probability of each letter after ``Answer: (``, summed over the letter's tokens (paper 001, B.4).

    From raw logits (B, tokens.positions, V) at the prompt's last positions to (B, n_letters), fp32, nats. With
    bracketed tokens: of writing the letter given that a bracket is written, ``[P("(A") + P("(") P("A" | "(")] /
    P(anything that begins with "(")``. ValuestabError if a logit is NaN.
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
    never = torch.full_like(any_bracket, -torch.inf)
    joined = torch.stack([_sum(before, ids) if ids else never for ids in tokens.bracketed], dim=1)
    return torch.logaddexp(joined, before[:, tokens.bare, None] + after) - any_bracket[:, None]


def stray_token(logits: torch.Tensor, tokens: LetterTokens) -> tuple[torch.Tensor, torch.Tensor]:
    """The most likely token after ``Answer: (`` that is no letter (B,), and its log-probability (B,) in nats."""
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
