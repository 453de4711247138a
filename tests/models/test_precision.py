"""Half precision rounds no logits, and fast ways are held to float32."""

import copy

import pytest
import torch
from architectures import build
from tiny import byte_tokenizer, llama

from valuestab_utils.letters.scoring import score_on_shared_prefix, score_one_by_one
from valuestab_utils.letters.tokens import letter_tokens
from valuestab_utils.models import precision
from valuestab_utils.models.precision import Trials, float32_logits, in_float32, in_parts, largest_difference

TOKENIZER = byte_tokenizer()
LETTERS = letter_tokens(TOKENIZER, "ABCDEF")


def drawn(*shape, seed=1):
    return torch.randint(5, len(TOKENIZER), shape, generator=torch.Generator().manual_seed(seed))


def in_half(dtype=torch.bfloat16, **config):
    """A model in half precision, and the same weights in float32."""
    half = llama(TOKENIZER, **config).to(dtype)
    return half, copy.deepcopy(half).float()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_logits_are_the_output_layers_in_float32(dtype):
    model, _ = in_half(dtype, num_hidden_layers=1)
    model.lm_head.bias = torch.nn.Parameter(torch.randn(len(TOKENIZER)).to(dtype))
    ids = drawn(3, 40)
    with torch.inference_mode():
        exact = model.model(ids)[0].float() @ model.lm_head.weight.float().t() + model.lm_head.bias.float()
        logits = float32_logits(model)(ids).logits
        assert logits.dtype == torch.float32 and (logits - exact).abs().max() < 1e-5
        some = model(ids, logits_to_keep=torch.tensor([3, 7])).logits
        assert (some - logits[:, [3, 7]]).abs().max() < 1e-5
    assert model.dtype == dtype


def test_attention_to_a_shared_prefix_does_not_round_its_scores():
    """Its letters are as near to float32 as those of the model's own attention."""
    model, exact = in_half(initializer_range=0.3)
    beginning = drawn(200).tolist()
    ids = [beginning + drawn(20, seed=n).tolist() for n in range(2, 42)]
    float32_logits(model)
    reference = score_one_by_one(exact, ids, LETTERS).logprobs
    alone = (score_one_by_one(model, ids, LETTERS).logprobs - reference).square().mean().sqrt()
    shared = (score_on_shared_prefix(model, ids, LETTERS).logprobs - reference).square().mean().sqrt()
    assert shared < 1.2 * alone


@pytest.mark.parametrize("name", ["llama", "mixtral", "qwen3_next", "gpt2", "gemma3_text", "phi"])
def test_a_model_in_half_precision_computes_in_float32_while_it_is_asked_to(name):
    half = float32_logits(build(name, len(TOKENIZER)).to(torch.bfloat16))
    exact, ids = copy.deepcopy(half).float(), drawn(2, 30)
    before = {key: tensor.clone() for key, tensor in half.state_dict().items()}
    with torch.inference_mode():
        rounded = half(ids).logits
        with pytest.raises(KeyboardInterrupt), in_float32(half):
            assert (half(ids).logits - exact(ids).logits).abs().max() < 1e-5
            raise KeyboardInterrupt
        assert half(ids).logits.equal(rounded)
    for key, tensor in half.state_dict().items():
        assert tensor.dtype == before[key].dtype and tensor.equal(before[key])


LOGPROBS = torch.log_softmax(torch.tensor([[2.0, 1.0, -1.0], [0.0, 3.0, 1.0]]), -1)


def trial(model, fast_off, definition_off=(0.0, 0.0)):
    """A trial of a way that is so many nats off in half precision and in float32, as the definition may be."""

    def log_probabilities(off):
        found = LOGPROBS.clone()
        found[0, 1] += off[model.dtype == torch.float32]
        return found

    ways = [lambda: log_probabilities(fast_off), lambda: log_probabilities(definition_off)]
    return Trials().passes(model, "so", 10, *ways)


def test_rounding_in_half_precision_is_no_error_and_an_error_is_no_rounding(monkeypatch):
    """A mixture of experts may be off by more than any constant: what float32 shows decides."""
    model, exact = in_half()
    assert trial(model, (0.4, 0.0)) and not trial(model, (0.7, 0.0))
    assert trial(model, (0.7, 0.0), (-0.3, 0.0))  # as rounding makes it, the definition's included
    assert not trial(model, (0.3, 0.3))  # less than rounding may make, and wrong
    assert not trial(model, (5.0, 0.0), (-0.3, 0.0))
    assert trial(exact, (0.0, 0.0005)) and not trial(exact, (0.0, 0.002))
    monkeypatch.setattr(precision, "in_float32", lambda model: (_ for _ in ()).throw(RuntimeError()))
    assert trial(model, (0.4, 0.0)) and not trial(model, (0.6, 0.0))  # a constant decides


def test_a_way_is_tried_again_on_much_longer_prompts_and_never_after_it_failed():
    model, trials, tried = llama(TOKENIZER), Trials(), []

    def passes(n_tokens, off=0.0):
        def fast():
            tried.append(n_tokens)
            return LOGPROBS + off

        return trials.passes(model, "so", n_tokens, fast, lambda: LOGPROBS)

    assert passes(10) and passes(20) and passes(21) and passes(42) and tried == [10, 21]
    assert not passes(85, 0.1) and not passes(10) and tried == [10, 21, 85]


def test_what_is_unlikely_does_not_count_and_nan_does():
    found, unlikely = LOGPROBS.clone(), LOGPROBS.clone()
    found[0, 2], unlikely[0, 2] = -30, -20
    assert largest_difference(found, unlikely) == 0
    found[1, 1] = float("nan")
    assert largest_difference(found, unlikely) == float("inf")


def test_everything_is_done_once_in_parts_that_fit():
    tried = []

    def work(part):
        tried.append(len(part))
        if len(part) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nmore")
        return [item * 2 for item in part]

    assert in_parts(work, list(range(10)), 8, "message") == [2 * i for i in range(10)]
    assert tried == [8, 4, 2, 2, 2, 2, 2]
