"""Sampling: the right distribution, and texts that depend on prompt and noise alone."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from tiny import byte_tokenizer, llama

from valuestab_utils.models.sampling import Noise, Sampling, draw, sample_messages


def rng(seed=0):
    return np.random.default_rng(seed)


def noise(n_rows, n_tokens, seed=0):
    return Noise([rng([seed, row]) for row in range(n_rows)], n_tokens, torch.device("cpu")).next(range(n_rows))


def steps(logits, sampling, n, seen=None, at_once=256):
    """Tokens of ``n`` steps from one distribution, drawn as messages draw theirs."""
    stream, drawn = Noise([rng(7)], len(logits), torch.device("cpu")), []
    for begin in range(0, n, at_once):
        gumbel = torch.cat([stream.next([0]) for _ in range(min(at_once, n - begin))])
        there = None if seen is None else seen.expand(gumbel.shape)
        drawn.append(draw(logits.expand(gumbel.shape), gumbel, sampling, there)[0])
    return torch.cat(drawn).numpy()


def distribution(logits, sampling, seen):
    """What is to be drawn from, by the definitions alone: penalty, temperature, top-k, then nucleus."""
    logits = logits.double().numpy()
    penalty = np.where(logits < 0, sampling.repetition_penalty, 1 / sampling.repetition_penalty)
    logits = np.where(seen.numpy(), logits * penalty, logits)
    if sampling.temperature == 0:
        return (np.arange(len(logits)) == logits.argmax()).astype(float)
    p = np.exp((logits - logits.max()) / sampling.temperature)
    by_size = np.argsort(-p)
    p[by_size[sampling.top_k or len(p) :]] = 0
    p /= p.sum()
    more_likely = p[by_size].cumsum() - p[by_size]
    p[by_size[1:][more_likely[1:] >= sampling.top_p]] = 0
    return p / p.sum()


@pytest.mark.parametrize("temperature", [0, 0.5, 1.0, 1.7])
@pytest.mark.parametrize("top_p", [1.0, 0.9, 0.6, 0.01])
@pytest.mark.parametrize("top_k", [0, 4, 1])
@pytest.mark.parametrize("penalty", [1.0, 1.3])
def test_draws_follow_the_distribution(temperature, top_p, top_k, penalty):
    logits = torch.tensor([1.9, -0.3, 1.2, 0.4, -2.0, 0.9, 0.1])
    seen = torch.tensor([True, True, False, False, False, True, False])
    sampling = Sampling(temperature, top_p, top_k, penalty)
    expected, n = distribution(logits, sampling, seen), 10_000
    found = np.bincount(steps(logits, sampling, n, seen), minlength=7)
    assert found[expected == 0].sum() == 0
    possible = expected > 0
    assert possible.sum() == 1 or chisquare(found[possible], n * expected[possible]).pvalue > 1e-4


# Noise in float32 drew a wrong token in 1.7% of such steps.
@pytest.mark.parametrize("sampling, n", [(Sampling(), 1_000), (Sampling(top_p=0.999999), 50)])
def test_in_a_large_vocabulary_an_impossible_token_is_never_drawn_and_an_unlikely_one_seldom(sampling, n):
    logits = torch.full((151_936,), -60.0)
    logits[70_000] = 0
    assert (steps(logits, sampling, n, at_once=16) == 70_000).all()
    rare = 0.01  # of all others together
    logits[logits < 0] = np.log(rare / (1 - rare) / (len(logits) - 1))
    others = (steps(logits, sampling, n // 2, at_once=16) != 70_000).sum()
    assert abs(others - rare * n / 2) < 5 * np.sqrt(rare * n / 2) + 1


def test_close_calls_are_told_also_at_the_edge_of_the_nucleus():
    logits = torch.tensor([[1.0, 1.0 - 1e-5, -9.0], [1.0, 0.9, 0.0]])
    tokens, close = draw(logits, noise(2, 3), Sampling(temperature=0))
    assert tokens.tolist() == [0, 0] and close.tolist() == [True, False]
    logits = torch.log(torch.tensor([0.5, 0.4, 0.1])).expand(60, -1)
    close = draw(logits, noise(60, 3), Sampling(top_p=0.9 + 1e-6))[1]
    assert close.any() and not close.all()  # close where the edge's token would win


def test_noise_is_that_of_each_generator_whoever_goes_on_and_if_it_is_drawn_ahead():
    ahead, plain = (Noise([rng(1), rng(2), rng(3)], 50, torch.device("cpu")) for _ in range(2))
    ahead._threads = ThreadPoolExecutor(3)
    for rows in ([0, 1, 2], [0, 2], [2]):
        ahead.prepare(rows)
        found = plain.next(rows)
        assert ahead.next(rows).equal(found)
    ahead.close()
    alone = rng(3).standard_exponential((3, 50))
    np.testing.assert_allclose(found[0], -np.log(alone[2]), rtol=1e-6)


@pytest.fixture(scope="module")
def tiny():
    tokenizer = byte_tokenizer()
    return llama(tokenizer), tokenizer


PROMPTS = ["Hello", "Tell me a very long story about nothing at all", "1. e4", "x", "What is the significance?"]


PLAIN = Sampling(temperature=0.8, top_p=0.95)


def sample(tiny, which, n=25, sampling=PLAIN, **more):
    model, tokenizer = tiny
    ids = [tokenizer(PROMPTS[i])["input_ids"] for i in which]
    return sample_messages(model, tokenizer, ids, [rng(100 + i) for i in which], sampling, n, **more)


@pytest.mark.parametrize(
    "sampling", [Sampling(), Sampling(temperature=0.3, top_p=0.9), Sampling(top_k=20, repetition_penalty=1.2)]
)
def test_texts_do_not_depend_on_the_batch(tiny, sampling):
    alone = [sample(tiny, [i], sampling=sampling)[0].content for i in range(5)]
    assert len(set(alone)) == 5
    for which in ([0, 1, 2, 3, 4], [4, 2, 0], [3, 1], [1, 1, 1, 0]):
        assert [s.content for s in sample(tiny, which, sampling=sampling)] == [alone[i] for i in which]


def test_end_of_sequence_and_labels_end_a_message(tiny):
    model, tokenizer = tiny
    free = sample(tiny, [0, 1, 2, 3, 4], n=25)
    letter = next(c for c in free[1].content if c.isascii() and c.isalpha())
    cuts = [lambda text: text.split(letter)[0]] * 5
    cut = sample(tiny, [0, 1, 2, 3, 4], n=25, cuts=cuts)
    assert cut[1].finish == "label" and letter not in cut[1].content
    assert free[1].content.startswith(cut[1].content) and cut[1].n_tokens < 25
    model.generation_config.eos_token_id = [tokenizer.eos_token_id, tokenizer(letter)["input_ids"][0]]
    try:
        ended = sample(tiny, [0, 1, 2, 3, 4], n=25)
    finally:
        model.generation_config.eos_token_id = tokenizer.eos_token_id
    assert ended[1].finish == "eos" and letter not in ended[1].content
    others = [i for i in (0, 2, 3, 4) if letter not in free[i].content]
    assert [ended[i].content for i in others] == [free[i].content for i in others]  # dropped rows leave the rest alone


def test_the_checkpoints_own_settings_do_not_warp(tiny):
    before = [s.content for s in sample(tiny, [0, 1])]
    tiny[0].generation_config.temperature, tiny[0].generation_config.top_k = 0.01, 1
    assert [s.content for s in sample(tiny, [0, 1])] == before
