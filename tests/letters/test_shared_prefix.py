"""Stems that only some prompts share are computed once, and change no result."""

import pytest
import torch
from test_scoring import LETTERS, MODELS_BUILT, TOKENIZER, assert_same
from tiny import llama

from valuestab_utils.letters import scoring, shared_prefix
from valuestab_utils.letters.scoring import _grouped, score_on_shared_prefix
from valuestab_utils.letters.tokens import LetterTokens


def drawn(n, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(5, len(TOKENIZER), (n,), generator=generator).tolist()


def family(sizes, stems, seed=0, ends=(9, 5, 12, 7)):
    """Prompts in groups of the given sizes, each with a stem of its own; members are interleaved."""
    beginning = drawn(40, seed)
    numbered = [(member, group) for group, size in enumerate(sizes) for member in range(size)]
    return [
        beginning
        + drawn(stems[group], 100 + group)
        + drawn(ends[(group + member) % len(ends)], 1000 + 50 * group + member)
        for member, group in sorted(numbered)
    ]


@pytest.mark.parametrize("name", MODELS_BUILT)
@pytest.mark.parametrize("function", ["_attend", "_attend_flash"])
@pytest.mark.parametrize("budget", [40, 800])
def test_groups_of_different_sizes_and_prompts_of_none(name, function, budget, monkeypatch):
    monkeypatch.setattr(shared_prefix, "_attend_flash", getattr(shared_prefix, function))
    monkeypatch.setitem(scoring.BATCH_TOKENS, "cpu", budget)
    ids = family((4, 2, 3, 1, 1), (25, 12, 18, 15, 3))
    found = assert_same(MODELS_BUILT[name](), ids)
    assert found.n_shared == 40
    alone, groups = _grouped([prompt[40:] for prompt in ids], 1)
    assert len(alone) == 2
    assert sorted((len(members), n_stem) for members, n_stem in groups) == [(2, 12), (3, 18), (4, 25)]


def test_single_orders_are_scored_as_if_there_were_no_stems(monkeypatch):
    monkeypatch.setattr(scoring, "compute_stems", lambda *args: pytest.fail("stems were computed"))
    ids = [prompt[:40] + drawn(3, 7) + prompt[40:] for prompt in family((1,) * 6, (20,) * 6)]
    assert score_on_shared_prefix(llama(TOKENIZER), ids, LETTERS).n_shared == 43
    assert_same(llama(TOKENIZER), family((1,), (20,)))


def test_duplicates_among_other_prompts():
    ids = family((1, 1, 1), (12, 12, 12))
    found = assert_same(llama(TOKENIZER), [*ids, *ids, ids[0]])
    assert (found.logprobs[:3] - found.logprobs[3:6]).abs().max() < 1e-5


@pytest.mark.parametrize("n_scored", [1, 2])
def test_a_stem_leaves_each_member_its_scored_positions(n_scored):
    rest = drawn(20, 1)
    rests = [rest, rest[:15], list(rest), drawn(20, 2)]  # duplicates, and one that begins the others
    alone, groups = _grouped(rests, n_scored)
    assert alone == [3] and sorted(i for members, _ in groups for i in members) == [0, 1, 2]
    assert all(len(rests[i]) - n_stem >= n_scored for members, n_stem in groups for i in members)


def test_nested_sharing_takes_what_saves_most():
    outer = drawn(10, 1)
    inner = [outer + drawn(30, 2), outer + drawn(30, 3)]
    rests = [stem + drawn(6, 20 + k) for k, stem in enumerate(inner * 3)]
    _, groups = _grouped(rests, 1)
    assert sorted((len(members), n_stem) for members, n_stem in groups) == [(3, 40), (3, 40)]  # 160 saved, not 50
    shallow = [outer + drawn(30, 40 + k) for k in range(6)]
    shallow += [outer + drawn(2, 50) + drawn(28, 60 + k) for k in (0, 1)]
    assert [(len(members), n_stem) for members, n_stem in _grouped(shallow, 1)[1]] == [(8, 10)]
    other = drawn(9, 5)  # so that not all share the outer stem
    assert_same(llama(TOKENIZER), [drawn(40, 9) + rest for rest in [*rests, other, *shallow]])


def test_two_scored_positions_after_stems():
    tokens = LetterTokens("AB", ((70,), (71,)), ((72,), (73,)), (72, 73, 74), bare=74)
    assert_same(llama(TOKENIZER), family((3, 3, 2), (20, 11, 14), ends=(2, 5, 3)), tokens)


def test_the_plain_attention_takes_half_precision_with_stems():
    torch.manual_seed(0)
    model = llama(TOKENIZER, initializer_range=0.05).to(torch.bfloat16)
    ids = family((4, 3), (20, 16))
    alone = scoring.score_one_by_one(model, ids, LETTERS).logprobs
    assert (score_on_shared_prefix(model, ids, LETTERS).logprobs - alone).abs().max() < 0.1
