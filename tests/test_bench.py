"""The benchmark measures what it says; no time is asserted."""

import json
from dataclasses import replace

import torch
from tiny import byte_tokenizer, llama

from valuestab_utils import bench
from valuestab_utils.model_cards import ModelCard
from valuestab_utils.models import LanguageModel
from valuestab_utils.sampling import Sampling

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def test_figures_of_a_tiny_model_are_complete_and_agree(capsys, monkeypatch):
    whole, rate = bench.load_pvq40(), bench.matrix_rate
    monkeypatch.setattr(bench, "load_pvq40", lambda: replace(whole, items=whole.items[:6]))
    monkeypatch.setattr(bench, "matrix_rate", lambda dtype, device: rate(dtype, device, size=64, runs=3))
    for name, value in {"BATCH": 3, "ROUNDS": 2, "MAX_NEW_TOKENS": 8}.items():
        monkeypatch.setattr(bench, name, value)
    tokenizer = byte_tokenizer(template=CHATML, bos="<|im_start|>", eos="<|im_end|>")
    tested = LanguageModel(
        ModelCard("tiny", "tiny", "tuned_sys", "tiny", Sampling()), llama(tokenizer), tokenizer, "0"
    )
    figures = bench.bench(tested)
    assert list(json.loads(json.dumps(figures))) == [
        "naive_s",
        "engine_s",
        "speedup",
        "max_abs_logprob_diff",
        "letters_differ",
        "unique_tokens",
        "gemm_fraction",
        "conversation_tok_s_single",
        "conversation_tok_s_batched",
        "peak_rss_gib",
    ]
    assert figures["max_abs_logprob_diff"] < 1e-3 and figures["letters_differ"] == 0
    assert all(
        value > 0 for name, value in figures.items() if name not in ("max_abs_logprob_diff", "letters_differ")
    )
    assert "one full prompt at a time" in capsys.readouterr().out


def test_operations_are_those_of_the_weights_and_the_attention():
    model = llama(byte_tokenizer(), num_hidden_layers=1, num_key_value_heads=6)
    weights = 4 * 48 * 48 + 3 * 48 * 96  # four attention projections, three of the feed-forward part
    attention = (
        4 * 48 * (2 * 3 / 2 + (3 * 2 + 3 * 4 / 2))
    )  # queries and values: two tokens shared, three beyond
    head = model.get_output_embeddings().weight.numel()
    assert bench.operations(model, 2, [3], 1) == 2 * weights * 5 + attention + 2 * head


def test_matrix_rate_is_a_rate():
    assert bench.matrix_rate(torch.float32, torch.device("cpu"), size=64, runs=3) > 0
