"""The benchmark measures what it says; no time is asserted."""

import json
from dataclasses import replace

import pytest
import torch
from fakes import FakeRespondent
from tiny import byte_tokenizer, llama
from transformers import LlamaConfig

from valuestab_utils import bench, random_weights, throughput
from valuestab_utils.errors import ValuestabError
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
    for name, value in {"BATCH": {"cpu": 3}, "ROUNDS": 2, "MAX_NEW_TOKENS": 8}.items():
        monkeypatch.setattr(bench, name, value)
    tokenizer = byte_tokenizer(template=CHATML, bos="<|im_start|>", eos="<|im_end|>")
    tested = LanguageModel(
        ModelCard("tiny", "tiny", "tuned_sys", "tiny", Sampling()), llama(tokenizer), tokenizer, "0"
    )
    monkeypatch.setattr(throughput, "MAX_NEW_TOKENS", 8)
    monkeypatch.setattr(throughput, "memory_bandwidth", lambda device: 1e9)
    figures = bench.bench(tested, tested.model)
    assert list(json.loads(json.dumps(figures))) == [
        "naive_s",
        "engine_s",
        "speedup",
        "max_abs_logprob_diff",
        "letters_differ",
        "unique_tokens",
        "gemm_fraction",
        "median_abs_diff_from_fp32",
        "max_abs_diff_from_fp32",
        "letters_unlike_fp32",
        "of_these_no_near_ties",
        "letters_tied",
        "sampled_together",
        "conversation_tok_s_batched",
        "memory_gb_s",
        "bandwidth_fraction",
        "conversation_tok_s_single",
        "peak_rss_gib",
    ]
    assert figures["max_abs_logprob_diff"] < 1e-3 and figures["letters_differ"] == 0
    differences = {name for name in figures if "diff" in name or name.endswith(("_fp32", "near_ties", "_tied"))}
    assert all(figures[name] > 0 for name in figures.keys() - differences)
    assert figures["max_abs_diff_from_fp32"] < 1e-3 and figures["letters_unlike_fp32"] == 0
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


def test_sampling_is_bound_by_weights_and_caches():
    model = llama(byte_tokenizer(), num_hidden_layers=1)
    weights = sum(weight.numel() for weight in model.parameters())
    weights -= model.get_input_embeddings().weight.numel()  # rows of it are read, not all
    config = model.config
    width = config.hidden_size // config.num_attention_heads
    cache = 2 * config.num_key_value_heads * width * 5 * 100
    assert throughput.sampling_bound(model, 5, 100, 4e9) == 1e9 / (weights + cache)


def test_a_whole_experiment_is_run_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(throughput, "simulate_conversations", lambda whole, tested, folder: None)
    asked = []
    monkeypatch.setattr(
        throughput, "ask_questionnaire", lambda whole, tested, instrument, folder: asked.append((whole, folder))
    )
    figures = throughput.whole_experiment(FakeRespondent(), 3, 2)
    (whole, folder), = asked
    assert figures["experiment_sessions"] == 3 * 5 * 2 == len(whole.sessions) and not folder.exists()


def test_random_weights_have_the_shape_and_never_a_models_name(monkeypatch, tmp_path):
    byte_tokenizer(template=CHATML, eos="<|im_end|>").save_pretrained(tmp_path)
    monkeypatch.setattr(random_weights, "ensure_embedded_model", lambda: tmp_path)
    small = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    monkeypatch.setitem(random_weights.SHAPES, "small", (LlamaConfig, small))
    tested = random_weights.random_model("small", torch.bfloat16, "cpu")
    assert tested.name == "random-small" and tested.dtype == torch.bfloat16
    assert tested.config.num_hidden_layers == 2
    with pytest.raises(ValuestabError, match="Unknown shape 'large'"):
        random_weights.random_model("large", torch.bfloat16, "cpu")
