"""Code from a model's repository runs for models that are named, and for no other; hub models come from one commit."""

import json

import pytest
import torch
from fakes import CHATML
from test_models import prompts_of, refused, set_entry
from tiny import byte_tokenizer, llama

from valuestab_utils import loading, remote_code
from valuestab_utils.errors import ValuestabError
from valuestab_utils.loading import load_model
from valuestab_utils.model_cards import ModelCard

COMMIT = "0123456789abcdef0123456789abcdef01234567"
# A Llama that adds a table to its logits, from a buffer that is not in the checkpoint. It leaves a trace when run.
CODE = '''
import os
import torch
from transformers import LlamaConfig, LlamaForCausalLM

with open(os.environ["TRACE"], "a") as trace:
    trace.write("run ")

class OwnConfig(LlamaConfig):
    model_type = "own"

class OwnForCausalLM(LlamaForCausalLM):
    config_class = OwnConfig

    def __init__(self, config):
        super().__init__(config)
        self.register_buffer("table", torch.linspace(-3, 3, config.vocab_size), persistent=False)

    def _init_weights(self, module):
        pass

    def forward(self, input_ids=None, logits_to_keep=0, **kwargs):
        out = super().forward(input_ids=input_ids, logits_to_keep=logits_to_keep, **kwargs)
        out.logits = out.logits + self.table
        return out
'''


@pytest.fixture
def trace(tmp_path, monkeypatch):
    """File in which the code says that it was run; what is fetched stays in the test's own folder."""
    monkeypatch.setenv("TRACE", str(tmp_path / "trace"))
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    return tmp_path / "trace"


def write_model(path, code=CODE):
    """A model folder, with code of its own if there is any."""
    tokenizer = byte_tokenizer(template=CHATML, eos="<|im_end|>")
    llama(tokenizer, num_hidden_layers=1).save_pretrained(path)
    tokenizer.save_pretrained(path)
    if code:
        (path / "own.py").write_text(code)
        auto_map = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnForCausalLM"}
        set_entry(path / "config.json", model_type="own", auto_map=auto_map, architectures=["OwnForCausalLM"])
    return path


@pytest.fixture
def folder(tmp_path, trace):
    return write_model(tmp_path / "Own")


def write_to_hub(tmp_path, code):
    """A repository owner/own as it lies in the hub's cache, from where it can be loaded without network."""
    repository = tmp_path / "hub" / "models--owner--own"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    return write_model(repository / "snapshots" / COMMIT, code)


# Who is allowed


@pytest.mark.parametrize("given", ["*", "owner/*", "all", "1", "true", "owner/own,*", "owner/ow?"])
def test_a_wildcard_is_refused(monkeypatch, given):
    monkeypatch.setenv(remote_code.VARIABLE, given)
    with pytest.raises(ValuestabError, match="not the name of one model"):
        remote_code.is_allowed("owner/own", ModelCard("own", "owner/own", None, "F", None))


def test_a_model_is_allowed_by_its_full_name_alone(monkeypatch):
    card = ModelCard("own", "owner/own", None, "F", None)
    assert not remote_code.is_allowed("owner/own", card)
    monkeypatch.setenv(remote_code.VARIABLE, " other/one, owner/own ")
    assert remote_code.is_allowed("owner/own", card)
    monkeypatch.setenv(remote_code.VARIABLE, "owner/own2,Owner/own,owner/ow")
    assert not remote_code.is_allowed("owner/own", card)


def test_an_entry_that_needs_code_says_what_to_set_before_anything_is_loaded(monkeypatch):
    card = ModelCard("own", "owner/own", "base", "F", None, remote_code=True)
    monkeypatch.setattr(loading, "model_card", lambda _: card)
    said = refused("owner/own", "set VALUESTAB_REMOTE_CODE=owner/own")
    assert "with all your rights on this machine" in said


def test_code_is_not_run_unless_the_model_is_named(folder, trace, monkeypatch):
    refused(folder, "'.*Own' could not be loaded")
    monkeypatch.setenv(remote_code.VARIABLE, "someone/else")
    refused(folder, "'.*Own' could not be loaded")
    assert not trace.exists()


# What is run, and told


def test_named_code_is_run_with_its_own_buffers_and_told_in_settings(folder, trace, monkeypatch):
    monkeypatch.setenv(remote_code.VARIABLE, str(folder))
    model = load_model(str(folder))
    assert trace.exists() and type(model.model).__name__ == "OwnForCausalLM"
    assert len(model.settings["remote_code"]) == 16
    table = torch.linspace(-3, 3, model.model.config.vocab_size)
    torch.testing.assert_close(model.model.table, table)
    ids = torch.arange(9)[None]
    with torch.inference_mode():
        plain = super(type(model.model), model.model).forward(input_ids=ids).logits
        torch.testing.assert_close(model.model(input_ids=ids).logits, plain + table)
    prompts = prompts_of(model)[:3]
    assert model.answer(prompts, "ABC").logprobs.shape == (3, 3)
    (folder / "own.py").write_text(CODE + "\n")
    assert load_model(str(folder)).settings["remote_code"] != model.settings["remote_code"]


def test_a_model_without_code_has_no_word_of_it_in_its_settings(tmp_path, trace, monkeypatch):
    path = write_model(tmp_path / "Plain", code=None)
    monkeypatch.setenv(remote_code.VARIABLE, str(path))
    assert "remote_code" not in load_model(str(path)).settings


def test_code_of_another_repository_is_refused(folder, trace, monkeypatch):
    monkeypatch.setenv(remote_code.VARIABLE, str(folder))
    set_entry(folder / "config.json", auto_map={"AutoConfig": "someone/else--own.OwnConfig"})
    refused(folder, "takes code from another repository .someone/else.")
    set_entry(folder / "config.json", auto_map={})
    set_entry(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": [None, "someone/else--own.Own"]})
    refused(folder, "takes code from another repository .someone/else.")
    assert not trace.exists()


def test_code_for_an_older_library_is_refused_before_the_weights_are_read(folder, trace, monkeypatch):
    monkeypatch.setenv(remote_code.VARIABLE, str(folder))
    (folder / "own.py").write_text(CODE.replace("logits_to_keep=0, **kwargs", "**kwargs"))
    (folder / "model.safetensors").write_bytes(b"not read")
    refused(folder, "written for an older version of transformers .its forward takes no logits_to_keep.")


def test_models_with_code_are_not_quantized(folder, trace, monkeypatch):
    monkeypatch.setenv(remote_code.VARIABLE, str(folder))
    refused(folder, "runs code of its own, whose layers are not quantized here", dtype="4bit")
    assert not trace.exists()


# From the hub


def test_a_model_from_the_hub_says_its_commit(tmp_path, trace):
    write_to_hub(tmp_path, code=None)
    model = load_model("owner/own", lazily=True)
    assert model.settings["model_source"] == "owner/own" and model.settings["model_revision"] == COMMIT
    assert "remote_code" not in model.settings
    assert model.model.num_parameters() > 0


def test_everything_comes_from_the_commit_that_was_there_when_loading_began(tmp_path, trace):
    snapshot = write_to_hub(tmp_path, code=None)
    model = load_model("owner/own", lazily=True)
    (snapshot.parents[1] / "refs" / "main").write_text("f" * 40)  # somebody pushes
    assert model.model.num_parameters() > 0 and model.revision == COMMIT


def test_code_from_the_hub_is_run_at_that_commit_and_only_if_named(tmp_path, trace, monkeypatch):
    write_to_hub(tmp_path, CODE)
    refused("owner/own", "could not be loaded")
    assert not trace.exists()
    monkeypatch.setenv(remote_code.VARIABLE, "owner/own")
    model = load_model("owner/own")
    assert model.settings["remote_code"] == COMMIT and type(model.model).__name__ == "OwnForCausalLM"
    assert COMMIT in type(model.model).__module__ and trace.exists()


def test_a_commit_that_cannot_be_told_is_an_error(tmp_path, trace, monkeypatch):
    write_to_hub(tmp_path, code=None)
    monkeypatch.setattr(loading, "_hub_commit", lambda _: None)
    refused("owner/own", "cannot be told which commit of 'owner/own' was loaded")


def test_the_checksum_of_code_names_all_its_files(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"auto_map": {"AutoConfig": "own.Own"}}))
    (tmp_path / "own.py").write_text("a = 1")
    before = remote_code.find_code("m", str(tmp_path), None)
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "more.py").write_text("b = 1")
    assert len(before) == 16 and remote_code.find_code("m", str(tmp_path), None) != before
