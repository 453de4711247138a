"""Small studies of papers 002 and 004, answered by a control or a fake in the model's place."""

import json
from contextlib import contextmanager

import pytest
from fakes import FakeRespondent

from valuestab_utils.models import Answers, CircumplexRespondent
from valuestab_utils.prompts import load_questionnaire
from valuestab_utils.study import PAPERS, study


def circumplex():
    """The circumplex control, as the studied model."""
    pvq = [load_questionnaire(name, "project") for name in ("PVQ-40", "PVQ-RR")]
    return CircumplexRespondent([*pvq, load_questionnaire("BFI-2"), load_questionnaire("Charity-game")])


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


def plan(folder, *entries, respondent=None, controls=(), results="results", paper=None, model=None, **asked):
    """A study of these entries of a profile, of the first one's paper unless it is told; ``asked`` are changes."""
    profile = {
        "model": "SmolLM2-135M-Instruct", "topics": ["joke"], "seeds": [7], "n_messages": 1,
        "controls": list(controls), "experiments": entries,
    }  # fmt: skip
    (folder / "mine.yaml").write_text(json.dumps(profile))
    with answered_by(respondent or FakeRespondent()):
        changes = {"results_dir": folder / results, "wording": "project"} | asked
        of = [p.name for p in PAPERS.values() if entries[0].get("name", "pvq") in p.experiments]
        return study.plan_study(str(folder / "mine.yaml"), model, changes, paper or of[0])
