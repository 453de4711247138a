"""The benchmark measures what it says; no time is asserted."""

from dataclasses import replace

from fakes import language_model

from valuestab_utils.run import bench


def test_figures_of_a_tiny_model_are_complete_and_agree(monkeypatch):
    whole, rate = bench.load_questionnaire("PVQ-40"), bench.matrix_rate
    monkeypatch.setattr(bench, "load_questionnaire", lambda name: replace(whole, items=whole.items[:6]))
    monkeypatch.setattr(bench, "matrix_rate", lambda dtype, device: rate(dtype, device, size=64, runs=3))
    for name, value in {"BATCH": {"cpu": 3}, "ROUNDS": 2, "MAX_NEW_TOKENS": 8}.items():
        monkeypatch.setattr(bench, name, value)
    monkeypatch.setattr(bench, "memory_bandwidth", lambda device: 1e9)
    tested = language_model(initializer_range=0.2)
    figures = bench.bench(tested, tested.model)
    assert figures["max_abs_logprob_diff"] < 1e-3 and figures["letters_differ"] == 0
    assert figures["max_abs_diff_from_fp32"] < 1e-3 and figures["letters_unlike_fp32"] == 0
    for name in ("naive_s", "engine_s", "speedup", "conversation_tok_s_batched", "conversation_tok_s_single"):
        assert figures[name] > 0
