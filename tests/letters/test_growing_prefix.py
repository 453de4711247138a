"""Scoring on what is kept of a growing prompt is scoring each whole prompt alone."""

import pytest
import torch
from tiny import byte_tokenizer, llama
from transformers import Gemma2Config, Gemma2ForCausalLM, MistralConfig, MistralForCausalLM

from valuestab_utils.letters.scoring import GrowingPrefix, can_be_kept, score_one_by_one
from valuestab_utils.letters.tokens import letter_tokens

PLAIN, JOINING = byte_tokenizer(), byte_tokenizer([("(", str(n)) for n in range(1, 7)])


def built(model, config, tokenizer, **settings):
    torch.manual_seed(0)
    sizes = {"vocab_size": len(tokenizer), "hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 3}
    heads = {"num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 8, "initializer_range": 0.2}
    return model(config(**sizes, **heads, **settings)).eval()


def windowed(tokenizer, sliding_window=512):
    return built(MistralForCausalLM, MistralConfig, tokenizer, sliding_window=sliding_window)


def soft_capped(tokenizer):
    eager = {"attn_implementation": "eager"}  # the one that caps
    return built(Gemma2ForCausalLM, Gemma2Config, tokenizer, attn_logit_softcapping=5.0, sliding_window=512, **eager)


def growing(tokenizer, codes="4162"):
    """Prompts of a conversation, each the one before with its answer and another question."""
    text, prompts = "A few words before the first question.", []
    for n, code in enumerate(codes):
        text += f"\nShe likes item {n}. Answer: ("
        prompts.append(tokenizer(text)["input_ids"])
        text += f"{code})"
    return prompts


@pytest.mark.parametrize("tokenizer", [PLAIN, JOINING], ids=["plain", "brackets and digits in one token"])
@pytest.mark.parametrize("build", [llama, windowed, soft_capped])
def test_same_as_each_prompt_alone_and_each_token_once(tokenizer, build):
    model, tokens, prompts = build(tokenizer), letter_tokens(tokenizer, "123456"), growing(tokenizer)
    kept, computed = GrowingPrefix(model), []
    assert can_be_kept(model, len(prompts[-1])) and not can_be_kept(windowed(tokenizer, sliding_window=64), 64)
    for ids in prompts:
        found, alone = kept.score(ids, tokens), score_one_by_one(model, [ids], tokens)
        assert (found.logprobs - alone.logprobs).abs().max() < 1e-4
        assert found.stray.equal(alone.stray) and (found.stray_logprobs - alone.stray_logprobs).abs().max() < 1e-4
        assert found.tokens_computed + found.n_shared == len(ids)
        computed.append(found.tokens_computed)
    joined = tokenizer is JOINING  # there, "(" becomes "(4" and is computed anew
    assert sum(computed) == len(prompts[-1]) + (joined and len(prompts) - 1)


def test_any_prompt_may_follow_any_other():
    model, tokens, prompts = llama(PLAIN), letter_tokens(PLAIN, "123456"), growing(PLAIN)
    other = PLAIN("Something else. Answer: (")["input_ids"]
    kept = GrowingPrefix(model)
    for ids in (prompts[2], prompts[0], prompts[0], prompts[0][:5], other, prompts[3]):
        alone = score_one_by_one(model, [ids], tokens)
        assert (kept.score(ids, tokens).logprobs - alone.logprobs).abs().max() < 1e-4


def test_what_an_interrupted_pass_left_is_not_used():
    model, tokens, prompts = llama(PLAIN), letter_tokens(PLAIN, "123456"), growing(PLAIN)
    kept = GrowingPrefix(model)
    kept.score(prompts[0], tokens)
    hook = model.model.layers[1].register_forward_pre_hook(lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        kept.score(prompts[1], tokens)
    hook.remove()
    found = kept.score(prompts[1], tokens)
    assert found.n_shared == 0
    assert (found.logprobs - score_one_by_one(model, [prompts[1]], tokens).logprobs).abs().max() < 1e-4
