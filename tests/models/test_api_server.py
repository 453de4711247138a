"""The same model in this process and behind a real server: llama.cpp, on the file that the embedded model came in."""

from dataclasses import replace

import numpy as np
import pytest
from fakes import GANDALF, asked_prompts

from valuestab_utils.models import Sampling, model_card
from valuestab_utils.models.api import ApiRespondent
from valuestab_utils.models.embedded import EMBEDDED_FILE, EMBEDDED_NAME
from valuestab_utils.prompts import load_questionnaire
from valuestab_utils.prompts.contexts import load_topics
from valuestab_utils.prompts.sessions import Session
from valuestab_utils.study.conversations import next_prompt

pytestmark = pytest.mark.slow

# llama.cpp rounds activations to 8 bit where this process computes in float32. Seen on 40 items: log-probabilities of
# letters differ by 0.24 nats at most (median 0.05), and 8 letters differ, where the two likeliest are 0.20 nats apart
# or less. Letters are compared where they are this far apart:
NOISE = 0.25
SAID = ["Whom do you trust?", "I trust those who do small deeds."]


@pytest.fixture(scope="module")
def served(embedded_folder):
    llama_cpp = pytest.importorskip("xllamacpp", reason="xllamacpp has no wheel for this system")
    gguf = embedded_folder / EMBEDDED_FILE.split("/")[-1]
    if not gguf.exists():
        pytest.skip(f"{gguf.name} is not in the model's folder, which was made before it was kept there")
    settings = llama_cpp.CommonParams()
    settings.model.path, settings.port, settings.n_ctx, settings.n_parallel = str(gguf), 0, 8192, 2
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = 1  # they wait for each other by turning round
    server = llama_cpp.Server(settings)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AZURE_OPENAI_ENDPOINT", "VALUESTAB_API_KIND", "OPENAI_API_KEY", "VALUESTAB_MAX_TOKENS"):
            patch.delenv(name, raising=False)
        patch.setenv("OPENAI_BASE_URL", f"{server.listening_address}/v1")
        patch.setenv("VALUESTAB_API_CONCURRENCY", "2")
        yield ApiRespondent(model_card(f"api:{EMBEDDED_NAME}"))
    del server


def session(respondent, seed=1):
    (topic,) = load_topics(["joke"])
    return Session(respondent.name, "tuned_sys", "fictional_characters", GANDALF, topic, seed)


def test_letters_agree_wherever_the_two_likeliest_are_not_within_noise(served, embedded):
    assert served.kind == "llamacpp" and served.template.begun_turn
    assert served.settings["letters"] == "top 20 log-probabilities" and "/" not in served.settings["model_revision"]
    whole = load_questionnaire("PVQ-40", "project")
    exact = embedded.answer(asked_prompts(session(embedded), embedded, whole, SAID)[4:15], "ABCDEF").logprobs
    found = served.answer(asked_prompts(session(served), served, whole, SAID)[4:15], "ABCDEF")
    assert np.abs(found.logprobs - exact).max() < 2 * NOISE  # also: every letter is among the likeliest 20 tokens
    best = np.sort(exact, 1)
    clear = best[:, -1] - best[:, -2] > NOISE
    assert clear.sum() >= 3 and (found.chosen == exact.argmax(1))[clear].all()


def test_its_own_sampling_settings_are_off_and_the_cards_are_on(served):
    def openings(sampling):
        tested = ApiRespondent(replace(served.card, sampling=sampling))
        sessions = [session(served, seed) for seed in range(12)]
        said = tested.speak([next_prompt(s, tested, [s.topic.first_message]) for s in sessions], 3)
        assert all(text.content and text.n_tokens <= 3 and text.finish in ("eos", "length") for text in said)
        return {text.content for text in said}

    assert len(openings(Sampling(top_k=1))) == 1 < len(openings(Sampling()))
