"""What the engine does of what a machine could do: sampling against memory bandwidth, a whole experiment, numerics."""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from valuestab_utils.conversations import MAX_NEW_TOKENS, next_prompt, simulate_conversations
from valuestab_utils.device_memory import messages_at_once
from valuestab_utils.instruments import load_pvq40
from valuestab_utils.letters import LetterTokens
from valuestab_utils.models import LanguageModel
from valuestab_utils.populations import load_population
from valuestab_utils.questionnaire import ask_questionnaire
from valuestab_utils.scoring import score_on_shared_prefix, score_one_by_one
from valuestab_utils.sessions import Experiment, Session
from valuestab_utils.topics import load_topics

NEAR = 0.1  # nats between the two likeliest letters below which a letter may turn


def timed(work: Callable[[], object]) -> tuple[float, object]:
    """Seconds that ``work`` takes, a GPU's included, and what it gives."""
    _wait()
    begun = time.perf_counter()
    result = work()
    _wait()
    return time.perf_counter() - begun, result


def memory_bandwidth(device: torch.device, runs: int = 7) -> float:
    """Bytes a second that a copy of a large block reads and writes (median of runs)."""
    n = 2**30 if device.type == "cuda" else 2**27
    block = torch.zeros(n, dtype=torch.uint8, device=device)
    target = torch.empty_like(block)
    seconds = [timed(lambda: target.copy_(block))[0] for _ in range(runs + 1)][1:]
    return 2 * n / statistics.median(seconds)


def sampling_bound(model, n_messages: int, n_tokens: int, bandwidth: float) -> float:
    """Steps a second at which sampling would read its weights and caches as fast as the memory gives them.

    Parameters
    ----------
    model : transformers.PreTrainedModel
    n_messages : int
        Sampled together.
    n_tokens : int
        Of each, prompt included, on average over the steps.
    bandwidth : float
        Bytes a second.
    """
    config = model.config.get_text_config()
    head = model.get_output_embeddings()
    embedding = model.get_input_embeddings()
    read = sum(weight.numel() * weight.itemsize for weight in model.parameters())
    if embedding.weight is not head.weight:  # of the former, a row a message is read
        read -= embedding.weight.numel() * embedding.weight.itemsize
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    cache = 2 * config.num_hidden_layers * config.num_key_value_heads * width * model.dtype.itemsize
    return bandwidth / (read + n_messages * n_tokens * cache)


def sampling_rate(tested: LanguageModel, n_messages: int) -> dict[str, float | int]:
    """Sample as many messages together, and compare with what memory bandwidth allows; prints what it finds."""
    personas, topics = load_population("fictional_characters"), load_topics(["history", "joke", "poem", "grammar"])
    some = [(p, t, seed) for seed in range(1, 100) for t in topics for p in personas][:n_messages]
    sessions = [Session(tested.name, tested.format, "fictional_characters", p, t, seed) for p, t, seed in some]
    prompts = [next_prompt(s, tested, [s.topic.first_message]) for s in sessions]
    ids = [len(tested._encode(prompt, MAX_NEW_TOKENS)) for prompt in prompts]
    if tested.model.device.type == "cuda":
        n_messages = min(n_messages, messages_at_once(tested.model, max(ids) + MAX_NEW_TOKENS))
        prompts, ids = prompts[:n_messages], ids[:n_messages]
    tested.speak(prompts[:1], 2)
    seconds, texts = timed(lambda: tested.speak(prompts, MAX_NEW_TOKENS))
    steps = max(text.n_tokens for text in texts)
    bandwidth = memory_bandwidth(tested.model.device)
    bound = sampling_bound(tested.model, n_messages, statistics.mean(ids) + steps / 2, bandwidth)
    rate = sum(text.n_tokens for text in texts) / seconds
    fraction = steps / seconds / bound
    print(
        f"{n_messages} messages sampled together, {steps} steps: {rate:.0f} tokens/s, {steps / seconds:.1f} steps/s, "
        f"prompts included\n  memory copies at {bandwidth / 1e9:.0f} GB/s, which allows {bound:.1f} steps/s: the "
        f"engine reaches {fraction:.0%} of it"
    )
    return {
        "sampled_together": n_messages,
        "conversation_tok_s_batched": round(rate, 1),
        "memory_gb_s": round(bandwidth / 1e9, 1),
        "bandwidth_fraction": round(fraction, 3),
    }


def whole_experiment(tested: LanguageModel, n_personas: int, seeds: int) -> dict[str, float | int]:
    """Fictional characters on the paper's five topics, three messages: conversations and questionnaire, from nothing.

    Results go to a temporary folder. Prints what it finds.
    """
    personas = load_population("fictional_characters", n_personas)
    topics = load_topics(["poem", "joke", "history", "chess", "grammar"])
    whole = Experiment(
        tested.name, tested.format, "fictional_characters", personas, topics, tuple(range(1, seeds + 1)), 3
    )
    with tempfile.TemporaryDirectory() as folder:
        talked, _ = timed(lambda: simulate_conversations(whole, tested, Path(folder)))
        asked, _ = timed(lambda: ask_questionnaire(whole, tested, load_pvq40(), Path(folder)))
    n = len(whole.sessions)
    print(
        f"{n} sessions of 40 items after 3 messages: conversations {talked:.0f} s, questionnaire {asked:.0f} s, "
        f"{(talked + asked) / n:.2f} s a session"
    )
    return {"experiment_sessions": n, "experiment_s": round(talked + asked, 1), "conversations_s": round(talked, 1)}


def numerics(
    tested: LanguageModel, reference, prompts: list[list[int]], letters: LetterTokens
) -> dict[str, float | int]:
    """How far log-probabilities in batches lie from those of fp32, each prompt alone; prints what it finds.

    Parameters
    ----------
    tested : LanguageModel
    reference : transformers.PreTrainedModel
        The same weights in fp32.
    prompts : list of list of int
        Token ids of one session's items.
    letters : LetterTokens
    """
    found = score_on_shared_prefix(tested.model, prompts, letters).logprobs
    exact = score_one_by_one(reference, prompts, letters).logprobs
    likely = exact > exact.max(1, keepdim=True).values - 10
    off = (found - exact).abs()[likely]
    best = exact.topk(2).values
    near = best[:, 0] - best[:, 1] < NEAR
    turned = found.argmax(1) != exact.argmax(1)
    first, second = found.topk(2).values.T
    ties = int((first == second).sum())
    print(
        f"{tested.settings['dtype']} in batches against float32 alone: log-probabilities of letters differ by "
        f"{off.median():.2g} nats (median), {off.max():.2g} (largest); {int(turned.sum())} of {len(turned)} letters "
        f"differ, {int((turned & ~near).sum())} of them where fp32's two likeliest are {NEAR} nats apart or more; "
        f"{ties} have two likeliest"
    )
    return {
        "median_abs_diff_from_fp32": float(f"{off.median():.2g}"),
        "max_abs_diff_from_fp32": float(f"{off.max():.2g}"),
        "letters_unlike_fp32": int(turned.sum()),
        "of_these_no_near_ties": int((turned & ~near).sum()),
        "letters_tied": ties,
    }


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
