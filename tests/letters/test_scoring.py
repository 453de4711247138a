"""Scoring on a shared prefix is scoring each full prompt alone."""

import pytest
import torch
from fakes import asked_prompts
from tiny import byte_tokenizer, llama
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from valuestab_utils.letters import obstacle_to_sharing, scoring, shared_prefix
from valuestab_utils.letters.scoring import score_on_shared_prefix, score_one_by_one
from valuestab_utils.letters.tokens import letter_tokens
from valuestab_utils.prompts import load_questionnaire
from valuestab_utils.prompts.chat_templates import encode
from valuestab_utils.prompts.contexts import load_topics
from valuestab_utils.prompts.personas import load_population
from valuestab_utils.prompts.sessions import Session

TOKENIZER = byte_tokenizer()
LETTERS = letter_tokens(TOKENIZER, "ABCDEF")
HEADS = {"num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 8, "initializer_range": 0.2}
SIZES = {"vocab_size": len(TOKENIZER), "hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 3} | HEADS
LONG = ["Let me see. " * 30, "Thank you, wise one.", "It is my pleasure, my friend. " * 24]


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
    assert obstacle_to_sharing(model, 90) is None
    found = assert_same(model, prompts())
    assert found.n_shared == 60 and found.tokens_computed < 60 + 74 + 60


def test_prompts_of_any_shape():
    model = llama(TOKENIZER)
    assert_same(model, prompts(lengths=(7,)))  # one prompt: all of it but the scored position is shared
    assert_same(model, prompts(lengths=(5,)) * 3)  # identical prompts
    ids = prompts(lengths=(8,))
    assert_same(model, [ids[0], ids[0][:-3]])  # one is the beginning of the other


def test_models_that_cannot_share_say_why():
    narrow = built(MistralForCausalLM, MistralConfig(**SIZES, sliding_window=32))
    assert "window" in obstacle_to_sharing(narrow, 33) and obstacle_to_sharing(narrow, 32) is None
    assert "soft-capped" in obstacle_to_sharing(built(Gemma2ForCausalLM, Gemma2Config(**SIZES)), 10)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("format", "said", "orders", "n_prompts"),
    [
        ("tuned_sys", LONG, "letters", 3),
        ("base", LONG, "letters", 3),
        ("base", ["Let me see."], "balanced", 12),  # two items in six orders
    ],
)
def test_embedded_model_scores_a_session_as_prompt_by_prompt(embedded, format, said, orders, n_prompts):
    (gandalf,), (topic,) = load_population("fictional_characters", 1), load_topics(["grammar"])
    session = Session(embedded.name, format, "fictional_characters", gandalf, topic, 1)
    talk = [topic.first_message, *said]
    prompts = asked_prompts(session, embedded, load_questionnaire("PVQ-40", "project"), talk, orders)[:n_prompts]
    ids, tokens = [encode(embedded.tokenizer, p.text) for p in prompts], letter_tokens(embedded.tokenizer, "ABCDEF")
    alone, shared = (f(embedded.model, ids, tokens) for f in (score_one_by_one, score_on_shared_prefix))
    assert (alone.logprobs - shared.logprobs).abs().max() < 1e-3
    assert torch.equal(alone.logprobs.argmax(1), shared.logprobs.argmax(1))
    if orders == "balanced":
        assert shared.tokens_computed < shared.n_shared + 0.85 * sum(len(i) - shared.n_shared for i in ids)
    else:
        assert shared.logprobs.exp().sum(1).min() > 0.5  # it answers with letters
        assert shared.n_shared > 400
