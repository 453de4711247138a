"""Speed of the engine, as ratios measured in one run.

The items of a simulated session (Gandalf, history) are scored one full prompt at a time and by the engine, after three
messages and after as many as make 500 tokens; then messages are sampled together, and compared with what the memory's
bandwidth allows.
"""

import copy
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, MistralConfig

from valuestab_utils.errors import check_known
from valuestab_utils.letters import LetterTokens, letter_tokens, score_on_shared_prefix, score_one_by_one
from valuestab_utils.models import (
    LanguageModel,
    ModelCard,
    Sampling,
    ensure_embedded_model,
    load_model,
    messages_at_once,
)
from valuestab_utils.prompts import (
    LETTERS,
    Persona,
    Session,
    Topic,
    encode,
    load_population,
    load_questionnaire,
    load_topics,
)
from valuestab_utils.study import (
    MAX_NEW_TOKENS,
    QUESTIONNAIRE,
    Experiment,
    ask,
    item_prompts,
    next_prompt,
    simulate_conversations,
)

# Sizes as in the models' config.json; the vocabulary is the embedded model's, whose tokenizer they borrow.
SHAPES = {
    "smollm2-135m": (LlamaConfig, (576, 1536, 30, 9, 3), {"tie_word_embeddings": True}),
    "llama-2-7b": (LlamaConfig, (4096, 11008, 32, 32, 32), {"tie_word_embeddings": False}),
    "mistral-7b": (MistralConfig, (4096, 14336, 32, 32, 8), {"tie_word_embeddings": False, "sliding_window": None}),
}
_SIZES = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")
MODEL = "SmolLM2-135M-Instruct"
N_MESSAGES = 3
LONG = 500  # tokens of the longer conversation, persona included
BATCH = {"cpu": 32, "cuda": 256}  # messages sampled together
ROUNDS = 3
NEAR = 0.1  # nats between the two likeliest letters below which a letter may turn
POPULATION = "fictional_characters"


Figures = dict[str, float | int]


def load(model: str = MODEL, dtype: str = "auto", shape: str = "") -> tuple[LanguageModel, object]:
    """The model to measure, and its weights in fp32 if it is in another dtype."""
    if not shape:
        tested = load_model(model, dtype)
        exact = tested.settings["dtype"] == "float32"
        return tested, None if exact else load_model(model, "float32").model
    device = "cuda" if torch.cuda.is_available() else "cpu"
    check_known("dtype of random weights", dtype, ["auto", "float32", "bfloat16", "float16"])
    dtype = {"auto": "bfloat16" if device == "cuda" else "float32"}.get(dtype, dtype)
    tested = random_model(shape, getattr(torch, dtype), device)
    return tested, None if dtype == "float32" else copy.deepcopy(tested.model).float()


def random_model(shape: str, dtype: torch.dtype, device: str) -> LanguageModel:
    """A model of ``shape`` with random weights and the embedded model's tokenizer and chat template."""
    kind, sizes, others = SHAPES[check_known("shape", shape, SHAPES)]
    tokenizer = AutoTokenizer.from_pretrained(ensure_embedded_model(), trust_remote_code=False)
    vocabulary = {"vocab_size": len(tokenizer), "eos_token_id": tokenizer.eos_token_id}
    config = kind(max_position_embeddings=8192, **vocabulary, **dict(zip(_SIZES, sizes, strict=True)), **others)
    torch.manual_seed(0)
    with torch.device(device):  # where it is made, it need not be moved to
        model = AutoModelForCausalLM.from_config(config, dtype=dtype, trust_remote_code=False)
    card = ModelCard(f"random-{shape}", "random weights", "tuned_sys", "random", Sampling())
    return LanguageModel(card, model.eval(), tokenizer, "random weights of seed 0")


def bench(tested: LanguageModel, reference=None) -> Figures:
    """Measure one session scored both ways, and sampling alone and in a batch; prints as it goes.

    ``reference`` holds the same weights in fp32, for `numerics`.
    """
    persona, topic = load_population(POPULATION, 1)[0], load_topics(["history"])[0]
    whole = _experiment(tested, (persona,), (topic,), (1,))
    session = whole.sessions[0]
    letters = letter_tokens(tested.tokenizer, LETTERS[: len(whole.questionnaire.options)])
    print(f"{tested.name}, {tested.settings['dtype']} on {tested.model.device}, {torch.get_num_threads()} threads")
    said, drawn, seconds = [topic.first_message], 0, 0.0

    def prompts() -> list[list[int]]:
        return [encode(tested.tokenizer, p.text) for p in item_prompts(whole, session, tested, said)]

    while len(os.path.commonprefix(prompts())) < LONG:
        for _ in range(2 if len(said) > 1 else N_MESSAGES):
            elapsed, texts = timed(lambda: tested.speak([next_prompt(session, tested, said)], MAX_NEW_TOKENS))
            said.append(texts[0].content)
            drawn, seconds = drawn + texts[0].n_tokens, seconds + elapsed
        if len(said) == N_MESSAGES + 1:
            compare(tested, prompts(), letters, f"after {N_MESSAGES} messages")
    figures = compare(tested, prompts(), letters, f"after {len(said) - 1} messages")
    if reference is not None:
        figures |= numerics(tested, reference, prompts(), letters)
    figures |= sampling_rate(tested, BATCH[tested.model.device.type])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # KiB on Linux
    alone = {"conversation_tok_s_single": round(drawn / seconds, 1), "peak_rss_gib": round(peak, 2)}
    if torch.cuda.is_available():
        alone["peak_gpu_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
    return figures | _told("messages one by one, and memory", alone)


def compare(tested: LanguageModel, prompts: list[list[int]], letters: LetterTokens, when: str) -> Figures:
    """Score one session's prompts both ways; prints what it returns."""
    # Interleaved, so that a machine that slows down meanwhile slows all three.
    rates, engine_runs, naive_runs = [], [], []
    for part in range(ROUNDS):
        rates.append(matrix_rate(tested.model.dtype, tested.model.device))
        engine_runs.append(timed(lambda: score_on_shared_prefix(tested.model, prompts, letters)))
        naive_runs.append(timed(partial(score_one_by_one, tested.model, prompts[part::ROUNDS], letters)))
    naive_s, rate = sum(seconds for seconds, _ in naive_runs), statistics.median(rates)
    engine_s, engine = statistics.median(seconds for seconds, _ in engine_runs), engine_runs[0][1]
    naive_logprobs = torch.empty_like(engine.logprobs)
    for part, (_, scores) in enumerate(naive_runs):
        naive_logprobs[part::ROUNDS] = scores.logprobs
    with FlopCounterMode(display=False) as counter:
        score_on_shared_prefix(tested.model, prompts, letters)
    figures = {
        "naive_s": round(naive_s, 2),
        "engine_s": round(engine_s, 2),
        "speedup": round(naive_s / engine_s, 2),
        "max_abs_logprob_diff": float(f"{(naive_logprobs - engine.logprobs).abs().max().item():.2g}"),
        "letters_differ": int((naive_logprobs.argmax(1) != engine.logprobs.argmax(1)).sum()),
        "unique_tokens": sum(map(len, prompts)) - engine.n_shared * (len(prompts) - 1),
        "gemm_fraction": round(counter.get_total_flops() / engine_s / rate, 3),
    }
    return _told(f"one session of {len(prompts)} items {when}, {sum(map(len, prompts))} tokens one by one", figures)


def numerics(tested: LanguageModel, reference, prompts: list[list[int]], letters: LetterTokens) -> Figures:
    """How far log-probabilities in batches lie from those of the same weights in fp32, each prompt alone; prints it."""
    found = score_on_shared_prefix(tested.model, prompts, letters).logprobs
    exact = score_one_by_one(reference, prompts, letters).logprobs
    off = (found - exact).abs()[exact > exact.max(1, keepdim=True).values - 10]  # of likely letters
    best = exact.topk(2).values
    near = best[:, 0] - best[:, 1] < NEAR
    turned = found.argmax(1) != exact.argmax(1)
    first, second = found.topk(2).values.T
    figures = {
        "median_abs_diff_from_fp32": float(f"{off.median():.2g}"),
        "max_abs_diff_from_fp32": float(f"{off.max():.2g}"),
        "letters_unlike_fp32": int(turned.sum()),
        "of_these_no_near_ties": int((turned & ~near).sum()),
        "letters_tied": int((first == second).sum()),
    }
    return _told(f"{tested.settings['dtype']} in batches against float32 alone (near-tie: within {NEAR} nats)", figures)


def sampling_rate(tested: LanguageModel, n_messages: int) -> Figures:
    """Sample as many messages together, and compare with what memory bandwidth allows; prints what it finds."""
    personas, topics = load_population(POPULATION), load_topics(["history", "joke", "poem", "grammar"])
    some = [(p, t, seed) for seed in range(1, 100) for t in topics for p in personas][:n_messages]
    sessions = [Session(tested.name, tested.format, POPULATION, p, t, seed) for p, t, seed in some]
    prompts = [next_prompt(s, tested, [s.topic.first_message]) for s in sessions]
    ids = [tested.count_tokens(prompt.text) for prompt in prompts]
    if tested.model.device.type == "cuda":
        n_messages = min(n_messages, messages_at_once(tested.model, max(ids) + MAX_NEW_TOKENS))
        prompts, ids = prompts[:n_messages], ids[:n_messages]
    tested.speak(prompts[:1], 2)
    seconds, texts = timed(lambda: tested.speak(prompts, MAX_NEW_TOKENS))
    steps = max(text.n_tokens for text in texts)
    bandwidth = memory_bandwidth(tested.model.device)
    bound = sampling_bound(tested.model, n_messages, statistics.mean(ids) + steps / 2, bandwidth)
    figures = {
        "sampled_together": n_messages,
        "conversation_tok_s_batched": round(sum(text.n_tokens for text in texts) / seconds, 1),
        "memory_gb_s": round(bandwidth / 1e9, 1),
        "bandwidth_fraction": round(steps / seconds / bound, 3),
    }
    return _told(f"messages sampled together, {steps} steps; the memory allows {bound:.1f} a second", figures)


def whole_experiment(tested: LanguageModel, n_personas: int) -> Figures:
    """Run fictional characters on the paper's topics and five seeds, three messages, from nothing."""
    topics = load_topics(["poem", "joke", "history", "chess", "grammar"])
    whole = _experiment(tested, load_population(POPULATION, n_personas), topics, (1, 2, 3, 4, 5))
    with tempfile.TemporaryDirectory() as folder:
        talked, _ = timed(lambda: simulate_conversations(whole, tested, Path(folder)))
        asked, _ = timed(lambda: ask(whole, tested, Path(folder)))
    figures = {
        "experiment_sessions": len(whole.sessions),
        "experiment_s": round(talked + asked, 1),
        "conversations_s": round(talked, 1),
    }
    return _told(f"a whole experiment after {N_MESSAGES} messages", figures)


def _told(what: str, figures: Figures) -> Figures:
    print(f"{what}:\n" + "\n".join(f"  {name} = {value}" for name, value in figures.items()))
    return figures


def _experiment(
    tested: LanguageModel, personas: tuple[Persona, ...], topics: tuple[Topic, ...], seeds: tuple[int, ...]
) -> Experiment:
    asked = personas, topics, seeds, load_questionnaire(QUESTIONNAIRE), N_MESSAGES
    return Experiment("pvq", tested.name, tested.format, POPULATION, *asked)


# What the machine can do, and what the work needs


def timed(work: Callable[[], object]) -> tuple[float, object]:
    """Seconds that ``work`` takes, a GPU's included, and what it gives."""
    _wait()
    begun = time.perf_counter()
    result = work()
    _wait()
    return time.perf_counter() - begun, result


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def matrix_rate(dtype: torch.dtype, device: torch.device, size: int = 2048, runs: int = 9) -> float:
    """Floating-point operations a second of a large matrix product on this machine (median of runs)."""
    a, b = (torch.randn(size, size, dtype=dtype, device=device) for _ in range(2))
    seconds = [timed(lambda: a @ b)[0] for _ in range(runs + 2)][2:]
    return 2 * size**3 / statistics.median(seconds)


def memory_bandwidth(device: torch.device, runs: int = 7) -> float:
    """Bytes a second that a copy of a large block reads and writes (median of runs)."""
    n = 2**30 if device.type == "cuda" else 2**27
    block = torch.zeros(n, dtype=torch.uint8, device=device)
    target = torch.empty_like(block)
    seconds = [timed(lambda: target.copy_(block))[0] for _ in range(runs + 1)][1:]
    return 2 * n / statistics.median(seconds)


def sampling_bound(model, n_messages: int, n_tokens: int, bandwidth: float) -> float:
    """Steps a second at which sampling would read its weights and caches as fast as the memory gives them.

    ``n_messages`` of ``n_tokens`` each, prompts included, on average over the steps; bandwidth in bytes a second.
    """
    embedding = model.get_input_embeddings()
    read = sum(weight.numel() * weight.itemsize for weight in model.parameters())
    if embedding.weight is not model.get_output_embeddings().weight:  # of the former, a row a message is read
        read -= embedding.weight.numel() * embedding.weight.itemsize
    config = model.config.get_text_config()
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    cache = 2 * config.num_hidden_layers * config.num_key_value_heads * width * model.dtype.itemsize
    return bandwidth / (read + n_messages * n_tokens * cache)

