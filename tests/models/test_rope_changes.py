"""Long RoPE has two sets of frequencies, one for long calls: nothing computed with one is used with the other."""

import numpy as np
import pytest
import torch
from fakes import session
from tiny import byte_tokenizer
from transformers import Phi3Config, Phi3ForCausalLM

from valuestab_utils.letters.scoring import GrowingPrefix, score_on_shared_prefix, score_one_by_one
from valuestab_utils.letters.tokens import letter_tokens
from valuestab_utils.models import ModelCard
from valuestab_utils.models.local import LanguageModel
from valuestab_utils.models.respondents import Prompt
from valuestab_utils.models.sampling import Sampling, sample_messages

TOKENIZER, LIMIT = byte_tokenizer(), 60
LETTERS = letter_tokens(TOKENIZER, "ABCDEF")
SLOW = "its rotary embeddings change on the way"


def phi3():
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    factors = {"short_factor": [1.0] * 4, "long_factor": [1.0, 4.0, 9.0, 30.0]}
    rope = {"rope_type": "longrope", "rope_theta": 10000.0, "original_max_position_embeddings": LIMIT} | factors
    config = Phi3Config(
        vocab_size=len(TOKENIZER), max_position_embeddings=4096, original_max_position_embeddings=LIMIT,
        rope_parameters=rope, pad_token_id=0, bos_token_id=1, eos_token_id=2, initializer_range=0.4,
        num_key_value_heads=2, **sizes,
    )  # fmt: skip
    return Phi3ForCausalLM(config).eval()


def loaded():
    return LanguageModel(ModelCard("phi", "phi", "base", "Phi", Sampling(0.7)), phi3(), TOKENIZER, "r1")


def text(n, seed=0):
    return "".join(np.random.default_rng(seed).choice(list("abcdefgh "), n))


def items(shared, lengths):
    return [text(shared) + text(n, seed=n) for n in lengths]


@pytest.mark.parametrize(
    "shared, lengths, slow",
    [(30, (5, 12, 20), False), (50, (5, 20, 30), True), (50, (12, 20, 30), True), (70, (5, 20), False)],
)
def test_letters_are_those_of_each_whole_prompt(shared, lengths, slow, recwarn):
    model, asked = loaded(), items(shared, lengths)
    found = model.answer([Prompt(session(), item) for item in asked], "ABCDEF")
    ids = [TOKENIZER(item)["input_ids"] for item in asked]
    exact = score_one_by_one(model.model, ids, LETTERS).logprobs
    assert abs(found.logprobs - exact.numpy()).max() < 1e-4
    assert any(SLOW in str(warning.message) for warning in recwarn) == slow
    if slow:  # it matters: kept from before the change, keys would move letters by far more than rounding does
        assert (score_on_shared_prefix(model.model, ids, LETTERS).logprobs - exact).abs().max() > 0.1


def test_a_growing_prompt_begins_anew_where_they_change():
    model, whole = phi3(), TOKENIZER(text(100))["input_ids"]
    kept, computed = GrowingPrefix(model), []
    for n in (30, 55, 65, 80, 58):
        found = kept.score(whole[:n], LETTERS)
        assert (found.logprobs - score_one_by_one(model, [whole[:n]], LETTERS).logprobs).abs().max() < 1e-4
        computed.append(found.tokens_computed)
    assert computed == [30, 25, 65, 15, 58]


@pytest.mark.parametrize("lengths", [(20, 40, 70), (52, 58), (58, 61, 90), (20,)])
def test_messages_are_those_of_each_whole_text(lengths, recwarn):
    n_tokens, model = 10, loaded()
    asked = [Prompt(session(), text(n), np.random.default_rng(n)) for n in lengths]
    found = [said.content for said in model.speak(asked, n_tokens)]
    for n, content in zip(lengths, found, strict=True):
        ids, noise = TOKENIZER(text(n))["input_ids"], np.random.default_rng(n)
        alone = sample_messages(model.model, TOKENIZER, [ids], [noise], model.sampling, n_tokens, whole=True)
        assert alone[0].content == content
    changing = any(n <= LIMIT < n + n_tokens for n in lengths)
    assert any(SLOW in str(warning.message) for warning in recwarn) == changing
