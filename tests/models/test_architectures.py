"""Every causal architecture of the library is scored and sampled as one full prompt at a time."""

import warnings

import numpy as np
import pytest
from architectures import build, names
from fakes import session
from tiny import byte_tokenizer

from valuestab_utils.letters.scoring import score_one_by_one
from valuestab_utils.models import ModelCard
from valuestab_utils.models.local import LanguageModel
from valuestab_utils.models.respondents import Prompt
from valuestab_utils.models.sampling import Sampling, sample_messages

TOKENIZER, PLAIN, N_TOKENS = byte_tokenizer(), Sampling(0.7), 5
SAID = "She is a wizard. "
ITEMS = [f"{SAID * 2}{item} Answer: (" for item in ("Likes it?", "Is it so that she does?", "No?")]
CUTS = [lambda text: text, lambda text: text[:1], lambda text: text]  # the second message ends before the others
SLOW = ".*(is scored (on copies|one full prompt)|samples each token from its whole text)"

pytestmark = pytest.mark.slow  # half a minute in all


def prompts():
    asked = [(session(seed=n), SAID * n + "Who?", np.random.default_rng(n), cut) for n, cut in zip((2, 1, 3), CUTS)]
    return [Prompt(*each) for each in asked]


def loaded(name):
    model = build(name, len(TOKENIZER))
    return LanguageModel(ModelCard(name, name, "base", "Tiny", PLAIN), model, TOKENIZER, "r1")


@pytest.mark.parametrize("name", names())
def test_an_architecture_is_scored_and_sampled_as_one_full_prompt_at_a_time(name):
    tested = loaded(name)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", SLOW)
        texts = [text.content for text in tested.speak(prompts(), N_TOKENS)]
        found = tested.answer([Prompt(session(), item) for item in ITEMS], "ABCDEF")
    for prompt, text in zip(prompts(), texts, strict=True):
        ids = TOKENIZER(prompt.text)["input_ids"]
        given = [tested.model, TOKENIZER, [ids], [prompt.noise], PLAIN, N_TOKENS, [prompt.cut]]
        alone = sample_messages(*given, whole=True)
        assert alone[0].content == text
    ids = [TOKENIZER(item)["input_ids"] for item in ITEMS]
    exact = score_one_by_one(tested.model, ids, tested._letter_tokens("ABCDEF"))
    assert abs(found.logprobs - exact.logprobs.numpy()).max() < 1e-3
    assert (found.logprobs.argmax(1) == exact.logprobs.argmax(1).numpy()).all()


@pytest.mark.parametrize("name", ["llama", "mixtral", "phi3", "qwen3", "gemma3_text", "olmo2"])
def test_what_is_in_wide_use_is_sampled_in_batches_and_scored_on_what_is_shared(name):
    with warnings.catch_warnings():
        warnings.filterwarnings("error", ".*(is scored|samples each token)")
        tested = loaded(name)
        tested.speak(prompts(), N_TOKENS)
        tested.answer([Prompt(session(), item) for item in ITEMS], "ABCDEF")
