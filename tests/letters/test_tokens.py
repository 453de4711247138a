"""From logits to letters: every token of a letter, and nothing else."""

import math

import pytest
import torch
from tiny import byte_tokenizer
from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from valuestab_utils.errors import ValuestabError
from valuestab_utils.letters.tokens import LetterTokens, letter_logprobs, letter_tokens, stray_token

G = "Ġ"  # how byte-level vocabularies write a space


def names(tokenizer, ids):
    return set(tokenizer.convert_ids_to_tokens(list(ids)))


def test_all_tokens_that_read_as_the_letter_alone_and_no_others():
    tokenizer = byte_tokenizer([(G, "A"), ("A", ")"), ("A", "n"), (G, "B")])
    found = letter_tokens(tokenizer, "AB")
    assert names(tokenizer, found.alone[0]) == {"A", f"{G}A"}
    assert names(tokenizer, found.alone[1]) == {"B", f"{G}B"}
    assert found.positions == 1 and found.bracketed == ((), ())


def test_sentencepiece_pieces_and_bytes_count_too():
    pieces = ["<unk>", "<s>", "</s>", "▁A", "A", "▁B", "B", "▁", "(", "Answer", ":", "<0x41>", "▁An"]
    vocab = {piece: i for i, piece in enumerate(pieces)}
    core = Tokenizer(models.BPE(vocab=vocab, merges=[], unk_token="<unk>", byte_fallback=True))
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    core.decoder = decoders.Sequence(steps)
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, **special)
    found = letter_tokens(tokenizer, "AB")
    assert names(tokenizer, found.alone[0]) == {"▁A", "A", "<0x41>"}
    assert names(tokenizer, found.alone[1]) == {"▁B", "B"}


def test_letter_without_a_token_is_an_error():
    with pytest.raises(ValuestabError, match="no single token for the letter 'é'"):
        letter_tokens(byte_tokenizer(), "Aé")


def test_log_probabilities_sum_over_tokens_of_raw_logits_in_float32():
    tokens = LetterTokens("AB", ((0, 1), (2,)), ((), ()), ())
    logits = torch.log(torch.tensor([[[0.2, 0.1, 0.3, 0.15, 0.25]]])) + 7  # a constant must not matter
    found = letter_logprobs(logits, tokens)
    assert found.exp().tolist()[0] == pytest.approx([0.3, 0.3], abs=1e-6)
    assert letter_logprobs(logits.bfloat16(), tokens).dtype == torch.float32
    ids, logprobs = stray_token(logits, tokens)
    assert ids.tolist() == [4] and logprobs.exp().item() == pytest.approx(0.25)
    with pytest.raises(ValuestabError, match="NaN"):
        letter_logprobs(logits * float("nan"), tokens)


@pytest.fixture
def joining():
    """A vocabulary in which a bracket and a letter are one token, with and without a space before."""
    return byte_tokenizer([(G, "("), (f"{G}(", "A"), (f"{G}(", "B"), (f"{G}(", "x")])


def test_bracket_and_letter_in_one_token_are_found(joining):
    found = letter_tokens(joining, "AB")
    assert found.positions == 2
    assert [names(joining, ids) for ids in found.bracketed] == [{f"{G}(A"}, {f"{G}(B"}]
    assert names(joining, found.bracket) == {f"{G}(", f"{G}(A", f"{G}(B", f"{G}(x"}
    assert joining.convert_ids_to_tokens(found.bare) == f"{G}("


def test_mass_of_joined_tokens_is_not_lost(joining):
    found, size = letter_tokens(joining, "AB"), len(joining)
    before, after = torch.full((size,), -50.0), torch.full((size,), -50.0)
    token = joining.convert_tokens_to_ids
    for name, p in {f"{G}(": 0.1, f"{G}(A": 0.4, f"{G}(B": 0.2, f"{G}(x": 0.1, "z": 0.2}.items():
        before[token(name)] = math.log(p)
    for name, p in {"A": 0.5, "B": 0.25, "q": 0.25}.items():
        after[token(name)] = math.log(p)
    probabilities = letter_logprobs(torch.stack([before, after])[None], found).exp()[0].tolist()
    assert probabilities == pytest.approx([(0.4 + 0.1 * 0.5) / 0.8, (0.2 + 0.1 * 0.25) / 0.8], abs=1e-5)
    assert sum(probabilities) <= 1
