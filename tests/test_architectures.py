"""Every causal architecture of the library is scored and sampled as one full prompt at a time, or refused before."""

import warnings

import numpy as np
import pytest
from architectures import build, names
from fakes import session
from tiny import byte_tokenizer

from valuestab_utils.device_memory import bytes_per_token
from valuestab_utils.errors import ValuestabError
from valuestab_utils.model_cards import ModelCard
from valuestab_utils.models import LanguageModel
from valuestab_utils.respondents import Prompt
from valuestab_utils.sampling import Sampling, sample_messages
from valuestab_utils.scoring import score_one_by_one

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
        assert alone[0].text == text
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


def test_a_model_that_cannot_be_computed_is_refused_before_anything_is_sampled(monkeypatch):
    tested = loaded("llama")
    monkeypatch.setattr(tested.model, "forward", lambda **_: (_ for _ in ()).throw(TypeError("No such argument.")))
    monkeypatch.setattr("valuestab_utils.models.sample_messages", lambda *_: pytest.fail("sampled"))
    with pytest.raises(ValuestabError, match="llama cannot be asked: not even one prompt .*TypeError: No such argument"):
        tested.speak(prompts(), N_TOKENS)


@pytest.mark.parametrize(
    "name, bytes_of_keys",
    [("llama", 3 * 2 * 2 * 8), ("gemma4_text", None), ("dots3_note_text", None), ("gemma3n_text", None), ("mamba", 0)],
)
def test_the_memory_of_a_token_is_known_of_layers_that_differ(name, bytes_of_keys):
    config = build(name, len(TOKENIZER)).config
    found = bytes_per_token(config, 1)
    if bytes_of_keys is not None:
        inside = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
        assert found == bytes_of_keys + 2 * config.hidden_size + 3 * inside
    assert found > 0
