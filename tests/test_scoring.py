"""Scoring on a shared prefix is scoring each full prompt alone."""

import pytest
import torch
from tiny import byte_tokenizer, llama
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from valuestab_utils import scoring, shared_prefix
from valuestab_utils.chat_template import encode
from valuestab_utils.instruments import load_pvq40
from valuestab_utils.letters import LetterTokens, letter_tokens
from valuestab_utils.populations import load_population
from valuestab_utils.questionnaire import item_prompts
from valuestab_utils.scoring import score_on_shared_prefix, score_one_by_one
from valuestab_utils.sessions import Session
from valuestab_utils.topics import load_topics

TOKENIZER = byte_tokenizer()
LETTERS = letter_tokens(TOKENIZER, "ABCDEF")
SIZES = {
    "vocab_size": len(TOKENIZER),
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "initializer_range": 0.2,
}


def built(model, config):
    torch.manual_seed(0)
    return model(config).eval()


MODELS_BUILT = {
    "grouped queries": lambda: llama(TOKENIZER),
    "one key a query": lambda: llama(TOKENIZER, num_key_value_heads=6),
    "one key in all": lambda: llama(TOKENIZER, num_key_value_heads=1),
    "biases": lambda: built(Qwen2ForCausalLM, Qwen2Config(**SIZES)),
    "wide window": lambda: built(MistralForCausalLM, MistralConfig(**SIZES, sliding_window=4096)),
}


def prompts(shared=60, lengths=(3, 9, 30, 11, 4, 17), seed=1):
    generator = torch.Generator().manual_seed(seed)
    draw = lambda n: torch.randint(5, len(TOKENIZER), (n,), generator=generator).tolist()  # noqa: E731
    beginning = draw(shared)
    return [beginning + draw(n) for n in lengths]


def assert_same(model, ids, tokens=LETTERS):
    alone, shared = score_one_by_one(model, ids, tokens), score_on_shared_prefix(model, ids, tokens)
    assert (alone.logprobs - shared.logprobs).abs().max() < 1e-4
    assert torch.equal(alone.logprobs.argmax(1), shared.logprobs.argmax(1))
    assert torch.equal(alone.stray, shared.stray)
    return shared


@pytest.mark.parametrize("name", MODELS_BUILT)
@pytest.mark.parametrize("function", ["_attend", "_attend_flash"])
def test_same_as_each_prompt_alone(name, function, monkeypatch):
    monkeypatch.setattr(shared_prefix, "_attend_flash", getattr(shared_prefix, function))
    monkeypatch.setitem(scoring.BATCH_TOKENS, "cpu", 40)
    model = MODELS_BUILT[name]()
    assert shared_prefix.obstacle(model, 90) is None
    found = assert_same(model, prompts())
    assert found.n_shared == 60 and found.tokens_computed < 60 + 74 + 60


def test_prompts_of_any_shape():
    model = llama(TOKENIZER)
    assert_same(model, prompts(lengths=(7,)))  # one prompt: all of it but the scored position is shared
    assert_same(model, prompts(lengths=(5,)) * 3)  # identical prompts
    ids = prompts(lengths=(8,))
    assert_same(model, [ids[0], ids[0][:-3]])  # one is the beginning of the other


def test_two_scored_positions():
    tokens = LetterTokens("AB", ((70,), (71,)), ((72,), (73,)), (72, 73, 74), bare=74)
    assert_same(llama(TOKENIZER), prompts(lengths=(2, 5, 9)), tokens)


def test_models_that_cannot_share_say_why():
    narrow = built(MistralForCausalLM, MistralConfig(**SIZES, sliding_window=32))
    assert "window" in shared_prefix.obstacle(narrow, 33) and shared_prefix.obstacle(narrow, 32) is None
    assert "soft-capped" in shared_prefix.obstacle(built(Gemma2ForCausalLM, Gemma2Config(**SIZES)), 10)


def test_the_model_is_left_as_it_was_even_after_an_error(monkeypatch):
    model = llama(TOKENIZER)
    before = model.config._attn_implementation
    score_on_shared_prefix(model, prompts(), LETTERS)
    assert model.config._attn_implementation == before
    monkeypatch.setattr(shared_prefix, "_attend_flash", lambda *a: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        score_on_shared_prefix(model, prompts(), LETTERS)
    assert model.config._attn_implementation == before


def test_batches_hold_every_prompt_once_within_the_budget():
    lengths = [5, 9, 2, 30, 7, 7, 12]
    order = sorted(range(7), key=lengths.__getitem__)
    batches = scoring._batches(lengths, 24)
    assert [i for batch in batches for i in batch] == order
    assert len(batches) > 1 and all(sum(lengths[i] for i in batch) <= 24 + max(lengths) for batch in batches)


def embedded_scores(model, format, said, orders, n_prompts):
    """Scores on the shared prefix, which are those of each prompt alone, and the prompts' token ids."""
    (gandalf,), (topic,) = load_population("fictional_characters", 1), load_topics(["grammar"])
    session = Session(model.name, format, "fictional_characters", gandalf, topic, 1)
    prompts = item_prompts(session, model, load_pvq40("project"), [topic.first_message, *said], orders)[:n_prompts]
    ids, tokens = [encode(model.tokenizer, p.text) for p in prompts], letter_tokens(model.tokenizer, "ABCDEF")
    alone, shared = (f(model.model, ids, tokens) for f in (score_one_by_one, score_on_shared_prefix))
    assert (alone.logprobs - shared.logprobs).abs().max() < 1e-3
    assert torch.equal(alone.logprobs.argmax(1), shared.logprobs.argmax(1))
    return shared, ids


@pytest.mark.slow
@pytest.mark.parametrize("format", ["tuned_sys", "base"])
def test_embedded_model_scores_a_session_as_prompt_by_prompt(embedded, format):
    said = ["Let me see. " * 30, "Thank you, wise one.", "It is my pleasure, my friend. " * 24]
    shared, _ = embedded_scores(embedded, format, said, "single", 3)
    assert shared.logprobs.exp().sum(1).min() > 0.5  # it answers with letters
    assert shared.n_shared > 400


@pytest.mark.slow
def test_embedded_model_scores_all_orders_as_prompt_by_prompt(embedded):
    shared, ids = embedded_scores(embedded, "base", ["Let me see."], "balanced", 12)  # two items in six orders
    assert shared.tokens_computed < shared.n_shared + 0.85 * sum(len(i) - shared.n_shared for i in ids)
