"""Small studies of papers 002 and 004, answered by a control or a fake in the model's place."""

import json
from contextlib import contextmanager

import pytest
from fakes import FakeRespondent

from valuestab_utils import study
from valuestab_utils.circumplex_control import load_circumplex
from valuestab_utils.instrument_names import load_instrument
from valuestab_utils.respondents import Answers


def circumplex():
    """The circumplex control, as the studied model."""
    pvq = [load_instrument(name, "project") for name in ("PVQ-40", "PVQ-RR")]
    return load_circumplex([*pvq, load_instrument("BFI-2"), load_instrument("Charity-game")])


class FewLetters(FakeRespondent):
    """Tells two letters' probabilities and no others', as services do; the first prompt of a call has no answer."""

    all_letters = False

    def answer(self, prompts, letters):
        told = super().answer(prompts, letters)
        chosen = told.logprobs.argmax(1)
        logprobs = told.logprobs.copy()
        logprobs[logprobs < logprobs.max(1, keepdims=True) - 0.5] = float("nan")
        logprobs[:, 0] = float("nan")
        chosen[0] = -1
        return Answers(logprobs, told.stray_tokens, told.stray_logprobs, chosen)


@contextmanager
def answered_by(respondent):
    """Whatever model a study names, this answers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "_load", lambda model, dtype: respondent)
        yield


def plan(folder, *entries, respondent=None, controls=(), results="results", **asked):
    """A study of these entries of a profile; each is asked in the format "own" unless it says otherwise."""
    profile = {
        "model": "SmolLM2-135M-Instruct", "topics": ["joke"], "seeds": [7], "n_messages": 1,
        "controls": list(controls), "experiments": [{"format": "own"} | entry for entry in entries],
    }  # fmt: skip
    (folder / "mine.yaml").write_text(json.dumps(profile))
    with answered_by(respondent or FakeRespondent()):
        settings = {"results_dir": folder / results, "wording": "project"} | asked
        return study.plan_study(str(folder / "mine.yaml"), **settings)
