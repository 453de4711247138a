"""Sampling: the right distribution, and texts that depend on prompt and noise alone."""

import os
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from tiny import byte_tokenizer, llama
from transformers import DynamicCache, RepetitionPenaltyLogitsProcessor

from valuestab_utils import sampling
from valuestab_utils.draws import Noise, Sampling, Seen, draw
from valuestab_utils.errors import ValuestabError
from valuestab_utils.prompts import cut_at_label
from valuestab_utils.sampling import sample_messages


def rng(seed=0):
    return np.random.default_rng(seed)


def noise(n_rows, n_tokens, seed=0):
    return Noise([rng([seed, row]) for row in range(n_rows)], n_tokens, torch.device("cpu")).next(range(n_rows))


def steps(logits, sampling, n, seen=None, at_once=256):
    """Tokens of ``n`` steps from one distribution, drawn as messages draw theirs."""
    stream, drawn = Noise([rng(7)], len(logits), torch.device("cpu")), []
    for begin in range(0, n, at_once):
        gumbel = torch.cat([stream.next([0]) for _ in range(min(at_once, n - begin))])
        shape = gumbel.shape
        drawn.append(draw(logits.expand(shape), gumbel, sampling, None if seen is None else seen.expand(shape))[0])
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


# Noise in float32 drew a wrong token in 1.7% of such steps. A hundred thousand take minutes.
N_STEPS = int(os.environ.get("VALUESTAB_STEPS", 1_000))


@pytest.mark.parametrize("sampling, n", [(Sampling(), N_STEPS), (Sampling(top_p=0.999999), N_STEPS // 20)])
def test_in_a_large_vocabulary_an_impossible_token_is_never_drawn_and_an_unlikely_one_seldom(sampling, n):
    logits = torch.full((151_936,), -60.0)
    logits[70_000] = 0
    assert (steps(logits, sampling, n, at_once=16) == 70_000).all()
    rare = 0.01  # of all others together
    logits[logits < 0] = np.log(rare / (1 - rare) / (len(logits) - 1))
    others = (steps(logits, sampling, n // 2, at_once=16) != 70_000).sum()
    assert abs(others - rare * n / 2) < 5 * np.sqrt(rare * n / 2) + 1


def test_repetition_penalty():
    logits = torch.tensor([[2.0, 1.5, -1.0], [2.0, 1.5, -1.0]])
    seen = Seen([[0], [1, 1]], 3, logits.device)
    penalty = Sampling(temperature=0, repetition_penalty=2.0)
    assert draw(logits, noise(2, 3), penalty, seen.there)[0].tolist() == [1, 0]
    assert draw(logits, noise(2, 3), Sampling(temperature=0), seen.there)[0].tolist() == [0, 0]
    seen.add(torch.tensor([2, 0]))
    assert seen.there.tolist() == [[True, False, True], [True, True, False]]
    seen.keep([1])
    assert seen.there.tolist() == [[True, True, False]]


def test_penalty_is_that_of_transformers():
    logits, ids = torch.randn(4, 30, generator=torch.Generator().manual_seed(1)), torch.arange(8).reshape(4, 2)
    expected = RepetitionPenaltyLogitsProcessor(1.2)(ids, logits.clone()).argmax(1)
    seen = Seen(ids.tolist(), 30, logits.device).there
    assert draw(logits, noise(4, 30), Sampling(temperature=0, repetition_penalty=1.2), seen)[0].equal(expected)


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(0.7, 0.9), Sampling(0.6, 0.9, 50, 1.2), Sampling(1, 1, 5)])
def test_a_draw_does_not_depend_on_its_batch(sampling):
    logits, drawn = torch.randn(9, 400, generator=torch.Generator().manual_seed(2)) * 3, noise(9, 400)
    seen = torch.from_numpy(rng(5).random((9, 400)) < 0.1)
    tokens, close = draw(logits, drawn, sampling, seen)
    for i in range(9):
        row = slice(i, i + 1)
        assert draw(logits[row], drawn[row], sampling, seen[row]) == (tokens[row], close[row])


def test_close_calls_are_told():
    logits = torch.tensor([[1.0, 1.0 - 1e-5, -9.0], [1.0, 0.9, 0.0]])
    tokens, close = draw(logits, noise(2, 3), Sampling(temperature=0))
    assert tokens.tolist() == [0, 0] and close.tolist() == [True, False]


def test_edge_of_the_nucleus_is_a_close_call():
    logits = torch.log(torch.tensor([0.5, 0.4, 0.1])).expand(60, -1)
    close = draw(logits, noise(60, 3), Sampling(top_p=0.9 + 1e-6))[1]
    assert close.any() and not close.all()  # close where the edge's token would win


def test_noise_is_that_of_each_generator_whoever_goes_on():
    drawn = Noise([rng(1), rng(2)], 4, torch.device("cpu"))
    first, second = drawn.next([0, 1]), drawn.next([1])
    alone = rng(2)
    for row in (first[1], second[0]):
        np.testing.assert_allclose(row, -np.log(alone.standard_exponential(4)), rtol=1e-6)


def test_noise_of_nothing_is_finite():
    """A generator may give 0, whose logarithm would win against any logit."""
    zeros = SimpleNamespace(standard_exponential=np.zeros)
    assert Noise([zeros], 3, torch.device("cpu")).next([0]).tolist() == [[pytest.approx(53 * np.log(2))] * 3]


def test_noise_drawn_ahead_is_the_same():
    ahead, plain = (Noise([rng(1), rng(2), rng(3)], 50, torch.device("cpu")) for _ in range(2))
    ahead._threads = ThreadPoolExecutor(3)
    for rows in ([0, 1, 2], [0, 2], [2]):
        ahead.prepare(rows)
        assert ahead.next(rows).equal(plain.next(rows))
    ahead.close()


@pytest.fixture(scope="module")
def tiny():
    tokenizer = byte_tokenizer()
    return llama(tokenizer), tokenizer


PROMPTS = [
    "Hello",
    "Tell me a very long story about nothing at all",
    "1. e4",
    "x",
    "What is the significance?",
]


def sample(tiny, which, n=25, sampling=Sampling(temperature=0.8, top_p=0.95), **more):
    model, tokenizer = tiny
    ids = [tokenizer(PROMPTS[i])["input_ids"] for i in which]
    return sample_messages(model, tokenizer, ids, [rng(100 + i) for i in which], sampling, n, **more)


@pytest.mark.parametrize(
    "sampling", [Sampling(), Sampling(temperature=0.3, top_p=0.9), Sampling(top_k=20, repetition_penalty=1.2)]
)
def test_texts_do_not_depend_on_the_batch(tiny, sampling):
    alone = [sample(tiny, [i], sampling=sampling)[0].text for i in range(5)]
    assert len(set(alone)) == 5
    for which in ([0, 1, 2, 3, 4], [4, 2, 0], [3, 1], [1, 1, 1, 0]):
        assert [s.text for s in sample(tiny, which, sampling=sampling)] == [alone[i] for i in which]


def test_a_shorter_limit_gives_the_beginning(tiny):
    long, short = sample(tiny, [0], n=30)[0], sample(tiny, [0], n=10)[0]
    assert short.finish == "length" and short.n_tokens == 10
    assert tiny[1](long.text)["input_ids"][:3] == tiny[1](short.text)["input_ids"][:3]


def test_end_of_sequence_and_labels_end_a_message(tiny):
    model, tokenizer = tiny
    free = sample(tiny, [0, 1, 2, 3, 4], n=25)
    letter = next(c for c in free[1].text if c.isascii() and c.isalpha())
    cuts = [lambda text: text.split(letter)[0]] * 5
    cut = sample(tiny, [0, 1, 2, 3, 4], n=25, cuts=cuts)
    assert cut[1].finish == "label" and letter not in cut[1].text
    assert free[1].text.startswith(cut[1].text) and cut[1].n_tokens < 25
    model.generation_config.eos_token_id = [tokenizer.eos_token_id, tokenizer(letter)["input_ids"][0]]
    try:
        ended = sample(tiny, [0, 1, 2, 3, 4], n=25)
    finally:
        model.generation_config.eos_token_id = tokenizer.eos_token_id
    assert ended[1].finish == "eos" and letter not in ended[1].text
    others = [i for i in (0, 2, 3, 4) if letter not in free[i].text]
    assert [ended[i].text for i in others] == [
        free[i].text for i in others
    ]  # dropped rows leave the rest alone


def test_rows_that_go_on_are_selected_where_each_layer_is():
    """With layers on several GPUs, a row ends on all of them."""
    places = [torch.device("cpu"), torch.device("meta")]
    decoder = sampling._Decoder.__new__(sampling._Decoder)
    decoder.model, decoder.mask = SimpleNamespace(device=places[1]), torch.ones(3, 4, device=places[1])
    decoder.cache, decoder._forward = DynamicCache(), lambda ids: ids
    for i, place in enumerate(places):
        keys = torch.arange(3.0, device=place)[:, None, None, None].expand(3, 2, 4, 8)
        decoder.cache.update(keys, keys, i)
    decoder.advance([7, 8], [0, 2])
    assert [layer.keys.shape[0] for layer in decoder.cache.layers] == [2, 2] and decoder.mask.shape == (2, 5)
    assert decoder.cache.layers[0].keys[:, 0, 0, 0].tolist() == [0, 2]


def test_the_checkpoints_own_settings_do_not_warp(tiny):
    before = [s.text for s in sample(tiny, [0, 1])]
    tiny[0].generation_config.temperature, tiny[0].generation_config.top_k = 0.01, 1
    assert [s.text for s in sample(tiny, [0, 1])] == before


def test_nan_logits_are_an_error():
    tokenizer = byte_tokenizer()
    model = llama(tokenizer)
    model.lm_head.weight.data.fill_(float("nan"))
    with pytest.raises(ValuestabError, match="NaN"):
        sample((model, tokenizer), [0])


def test_base_labels_cut(tiny):
    assert cut_at_label("a USER: b", ["USER:"]) == "a "
