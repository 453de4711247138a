"""Sampling: the right distribution, and texts that depend on prompt and noise alone."""

import numpy as np
import pytest
import torch
from tiny import byte_tokenizer, llama

from valuestab_utils.errors import ValuestabError
from valuestab_utils.prompts import cut_at_label
from valuestab_utils.sampling import Sampling, draw, sample_messages


def rng(seed=0):
    return np.random.default_rng(seed)


def frequencies(logits, sampling, n=6000, seen=()):
    noise = rng()
    drawn = [draw(logits, noise, sampling, seen)[0] for _ in range(n)]
    return np.bincount(drawn, minlength=len(logits)) / n


P = torch.tensor([0.4, 0.3, 0.15, 0.1, 0.05])


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        (Sampling(), P),
        (Sampling(temperature=0.5), P**2 / (P**2).sum()),
        (Sampling(top_k=2), torch.tensor([4, 3, 0, 0, 0]) / 7),
        (Sampling(top_p=0.8), torch.tensor([0.4, 0.3, 0.15, 0, 0]) / 0.85),
        (Sampling(top_p=0.01), torch.tensor([1.0, 0, 0, 0, 0])),
        (Sampling(top_k=4, top_p=0.7), torch.tensor([4, 3, 0, 0, 0]) / 7),
        (Sampling(temperature=0), torch.tensor([1.0, 0, 0, 0, 0])),
    ],
)
def test_draws_follow_the_distribution(sampling, expected):
    found = frequencies(torch.log(P) + 3, sampling)
    assert np.abs(found - expected.numpy()).max() < 4 * np.sqrt(0.25 / 6000)
    assert (found[expected.numpy() == 0] == 0).all()


def test_repetition_penalty():
    logits = torch.tensor([2.0, 1.5, -1.0])
    assert draw(logits, rng(), Sampling(temperature=0, repetition_penalty=2.0), [0])[0] == 1
    assert draw(logits, rng(), Sampling(temperature=0), [0])[0] == 0


def test_close_calls_are_decided_without_the_batch():
    logits = torch.tensor([1.0, 1.0 - 1e-5, -9.0])
    greedy = Sampling(temperature=0)
    assert draw(logits, rng(), greedy, [], alone=lambda: torch.tensor([1.0, 1.1, 0.0])) == (1, True)
    assert draw(torch.tensor([1.0, 0.9, 0.0]), rng(), greedy, [], alone=lambda: 1 / 0) == (0, False)


def test_edge_of_the_nucleus_is_a_close_call():
    logits = torch.log(torch.tensor([0.5, 0.4, 0.1]))
    calls = [draw(logits, rng(seed), Sampling(top_p=0.9 + 1e-6), [])[1] for seed in range(60)]
    assert any(calls) and not all(calls)  # close where the edge's token would win


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
