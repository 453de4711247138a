"""Speed of the engine, as ratios measured in one run: ``python -m valuestab_utils.bench [--model MODEL]``.

A session of the tested model (Gandalf, history) is simulated, and its 40 items are scored one full prompt at a time
and by the engine: after three messages, the paper's usual length, and after as many as make 500 tokens, which is what
talkative models reach with three. The last line is one JSON object with the figures of the latter.
"""

import argparse
import copy
import json
import os
import resource
import statistics
import sys
from collections.abc import Sequence

import torch

from valuestab_utils.chat_template import encode
from valuestab_utils.conversations import MAX_NEW_TOKENS, next_prompt
from valuestab_utils.errors import ValuestabError, check_known
from valuestab_utils.instruments import load_pvq40
from valuestab_utils.letters import LetterTokens, letter_tokens
from valuestab_utils.loading import load_model
from valuestab_utils.models import LanguageModel
from valuestab_utils.populations import load_population
from valuestab_utils.prompts import LETTERS
from valuestab_utils.quantization import FourBitLinear, Int8Linear
from valuestab_utils.questionnaire import item_prompts
from valuestab_utils.random_weights import SHAPES, random_model
from valuestab_utils.scoring import score_on_shared_prefix, score_one_by_one
from valuestab_utils.sessions import Session
from valuestab_utils.throughput import numerics, sampling_rate, timed, whole_experiment
from valuestab_utils.topics import load_topics

N_MESSAGES = 3
LONG = 500  # tokens of the longer conversation, persona included
BATCH = {"cpu": 32, "cuda": 256}  # messages sampled together
ROUNDS = 3


def matrix_rate(dtype: torch.dtype, device: torch.device, size: int = 2048, runs: int = 9) -> float:
    """Rate of a large matrix product on this machine, in floating-point operations a second (median of runs)."""
    a, b = (torch.randn(size, size, dtype=dtype, device=device) for _ in range(2))
    seconds = [timed(lambda: a @ b)[0] for _ in range(runs + 2)][2:]
    return 2 * size**3 / statistics.median(seconds)


def operations(model, n_shared: int, lengths: Sequence[int], scored: int) -> float:
    """Floating-point operations that scoring needs: the weights of every unique token, and its attention.

    Parameters
    ----------
    model : transformers.PreTrainedModel
    n_shared : int
        Tokens that all prompts share.
    lengths : sequence of int
        Tokens of each prompt beyond those.
    scored : int
        Positions at which next-token logits are computed.
    """
    config = model.config.get_text_config()
    head = model.get_output_embeddings()
    # By their shapes: packed weights are fewer numbers than are multiplied.
    linear = (torch.nn.Linear, FourBitLinear, Int8Linear)
    layers = sum(m.in_features * m.out_features for m in model.modules() if isinstance(m, linear) and m is not head)
    width = config.num_attention_heads * getattr(
        config, "head_dim", config.hidden_size // config.num_attention_heads
    )
    tokens = n_shared + sum(lengths)
    attended = n_shared * (n_shared + 1) / 2 + sum(n * n_shared + n * (n + 1) / 2 for n in lengths)
    attention = 4 * width * attended * config.num_hidden_layers
    return 2 * layers * tokens + 2 * head.weight.numel() * scored + attention


def bench(tested: LanguageModel, reference=None) -> dict[str, float | int]:
    """Measure one session scored both ways, and sampling alone and in a batch; prints as it goes.

    Parameters
    ----------
    tested : LanguageModel
    reference : transformers.PreTrainedModel, optional
        The same weights in fp32, to state the numerics of another dtype (see `valuestab_utils.throughput.numerics`).
    """
    persona, topic = load_population("fictional_characters", 1)[0], load_topics(["history"])[0]
    session = Session(tested.name, tested.format, "fictional_characters", persona, topic, 1)
    print(
        f"{tested.name}, {tested.settings['dtype']} on {tested.model.device}, {torch.get_num_threads()} threads"
    )

    said, drawn, seconds = [topic.first_message], 0, 0.0
    instrument = load_pvq40()
    letters = letter_tokens(tested.tokenizer, LETTERS[: len(instrument.options)])

    def prompts() -> list[list[int]]:
        return [encode(tested.tokenizer, p.text) for p in item_prompts(session, tested, instrument, said)]

    while len(os.path.commonprefix(prompts())) < LONG:
        for _ in range(2 if len(said) > 1 else N_MESSAGES):
            elapsed, texts = timed(
                lambda: tested.speak([next_prompt(session, tested, said)], MAX_NEW_TOKENS)
            )
            said.append(texts[0].content)
            drawn, seconds = drawn + texts[0].n_tokens, seconds + elapsed
        if len(said) == N_MESSAGES + 1:
            compare(tested, prompts(), letters, f"after {N_MESSAGES} messages")
    figures = compare(tested, prompts(), letters, f"after {len(said) - 1} messages")
    if reference is not None:
        figures |= numerics(tested, reference, prompts(), letters)

    single = drawn / seconds
    figures |= sampling_rate(tested, BATCH[tested.model.device.type])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # KiB on Linux
    print(f"  a message alone: {single:.1f} tokens/s\npeak memory of this process: {peak:.2f} GiB")
    figures |= {"conversation_tok_s_single": round(single, 1), "peak_rss_gib": round(peak, 2)}
    if torch.cuda.is_available():
        figures["peak_gpu_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
    return figures


def compare(
    tested: LanguageModel, prompts: list[list[int]], letters: LetterTokens, when: str
) -> dict[str, float | int]:
    """Score one session's prompts both ways; prints what `bench` returns."""
    # Interleaved, so that a machine that slows down meanwhile slows all three.
    rates, engine_runs, naive_runs = [], [], []
    for part in range(ROUNDS):
        rates.append(matrix_rate(tested.model.dtype, tested.model.device))
        engine_runs.append(timed(lambda: score_on_shared_prefix(tested.model, prompts, letters)))
        alone = prompts[part::ROUNDS]
        naive_runs.append(timed(lambda: score_one_by_one(tested.model, alone, letters)))
    naive_s, rate = sum(seconds for seconds, _ in naive_runs), statistics.median(rates)
    engine_s, engine = statistics.median(seconds for seconds, _ in engine_runs), engine_runs[0][1]
    naive_logprobs = torch.empty_like(engine.logprobs)
    for part, (_, scores) in enumerate(naive_runs):
        naive_logprobs[part::ROUNDS] = scores.logprobs
    lengths = [len(prompt) - engine.n_shared for prompt in prompts]
    needed = operations(tested.model, engine.n_shared, lengths, len(prompts) * letters.positions)
    figures = {
        "naive_s": round(naive_s, 2),
        "engine_s": round(engine_s, 2),
        "speedup": round(naive_s / engine_s, 2),
        "max_abs_logprob_diff": float(f"{(naive_logprobs - engine.logprobs).abs().max().item():.2g}"),
        "letters_differ": int((naive_logprobs.argmax(1) != engine.logprobs.argmax(1)).sum()),
        "unique_tokens": engine.n_shared + sum(lengths),
        "gemm_fraction": round(needed / engine_s / rate, 3),
    }
    print(
        f"one session of {len(prompts)} items {when} ({engine.n_shared} tokens that all items share):\n"
        f"  one full prompt at a time: {naive_s:.1f} s, {sum(map(len, prompts))} tokens\n"
        f"  by the engine: {engine_s:.1f} s (median of {ROUNDS}), {figures['unique_tokens']} tokens "
        f"({engine.tokens_computed} with padding), {figures['speedup']} times faster\n"
        f"  largest difference of a letter's log-probability: {figures['max_abs_logprob_diff']} nats; "
        f"letters that differ: {figures['letters_differ']}\n"
        f"  matrix products of this machine: {rate / 1e9:.0f} GFLOP/s; the engine reaches "
        f"{figures['gemm_fraction']:.0%} of it"
    )
    return figures


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0, or 2 after one sentence on stderr."""
    parser = argparse.ArgumentParser(
        prog="python -m valuestab_utils.bench", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--model", default="SmolLM2-135M-Instruct")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--shape", choices=SHAPES, help="random weights of this architecture and size instead")
    parser.add_argument("--personas", type=int, default=0, help="run the questionnaire on so many, from nothing")
    parser.add_argument("--seeds", type=int, default=5, help="of that experiment")
    asked = parser.parse_args(argv)
    try:
        tested, reference = _tested(asked)
        figures = bench(tested, reference)
        if asked.personas:
            figures |= whole_experiment(tested, asked.personas, asked.seeds)
        print(json.dumps(figures))
    except ValuestabError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _tested(asked: argparse.Namespace) -> tuple[LanguageModel, object]:
    """The model to measure, and its weights in fp32 if it is in another dtype."""
    if not asked.shape:
        tested = load_model(asked.model, asked.dtype)
        exact = tested.settings["dtype"] == "float32"
        return tested, None if exact else load_model(asked.model, "float32").model
    device = "cuda" if torch.cuda.is_available() else "cpu"
    check_known("dtype of random weights", asked.dtype, ["auto", "float32", "bfloat16", "float16"])
    dtype = {"auto": "bfloat16" if device == "cuda" else "float32"}.get(asked.dtype, asked.dtype)
    tested = random_model(asked.shape, getattr(torch, dtype), device)
    return tested, None if dtype == "float32" else copy.deepcopy(tested.model).float()


if __name__ == "__main__":
    sys.exit(main())
