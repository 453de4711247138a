"""Work is done in parts that fit, and every part once."""

import pytest
import torch
from fakes import language_model
from transformers import LlamaConfig

from valuestab_utils import device_memory
from valuestab_utils.device_memory import in_parts, messages_at_once, weight_bytes
from valuestab_utils.errors import ValuestabError


class Memory:
    """Does work on at most so many items, as a GPU would."""

    def __init__(self, room):
        self.room, self.tried = room, []

    def __call__(self, part):
        self.tried.append(len(part))
        if len(part) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nmore")
        return [item * 2 for item in part]


def test_everything_is_done_once_in_parts_that_fit():
    memory = Memory(room=3)
    assert in_parts(memory, list(range(10)), 8, "message") == ([2 * i for i in range(10)], 2)
    assert memory.tried == [8, 4, 2, 2, 2, 2, 2]


def test_no_room_for_one_is_said():
    with pytest.raises(ValuestabError, match="no memory for a single message .CUDA out of memory. Tried.*2 GiB"):
        in_parts(Memory(room=0), [1, 2], 2, "message")


def test_what_is_free_decides_how_many(monkeypatch):
    model = language_model().model
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 0)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 0)

    def at_once(free, longest=100):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, free))
        return messages_at_once(model, longest)

    assert at_once(0) == 1 and at_once(2**40) == device_memory.MOST_MESSAGES
    assert 1 < at_once(2**26) < device_memory.MOST_MESSAGES
    assert at_once(2**26, 400) < at_once(2**26) < at_once(2**27)


def test_weights_are_counted_in_their_dtype():
    config = LlamaConfig(
        vocab_size=100, hidden_size=64, intermediate_size=128, num_hidden_layers=1, num_attention_heads=4
    )
    layer = 4 * 64 * 64 + 3 * 64 * 128 + 2 * 64
    ends = 2 * 100 * 64 + 64
    assert weight_bytes(config, torch.float32) == 4 * (layer + ends)
    assert weight_bytes(config, torch.bfloat16) == 2 * (layer + ends)
    four, eight = weight_bytes(config, "4bit"), weight_bytes(config, "8bit")
    assert 2 * 2 * 6400 < four < eight < weight_bytes(config, torch.bfloat16)
