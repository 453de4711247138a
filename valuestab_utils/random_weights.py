"""Language models of a real architecture and size with random weights: as fast or slow as the real ones.

For measuring speed alone: what they say means nothing, and their results are never stored under a model's name.
"""

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, MistralConfig

from valuestab_utils.embedded import ensure_embedded_model
from valuestab_utils.errors import check_known
from valuestab_utils.model_cards import ModelCard
from valuestab_utils.models import LanguageModel
from valuestab_utils.sampling import Sampling

# Sizes as in the models' config.json; the vocabulary is the embedded model's, whose tokenizer they borrow.
SHAPES = {
    "smollm2-135m": (
        LlamaConfig,
        {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30}
        | {"num_attention_heads": 9, "num_key_value_heads": 3, "tie_word_embeddings": True},
    ),
    "llama-2-7b": (
        LlamaConfig,
        {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32}
        | {"num_attention_heads": 32, "num_key_value_heads": 32, "tie_word_embeddings": False},
    ),
    "mistral-7b": (
        MistralConfig,
        {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "sliding_window": None}
        | {"num_attention_heads": 32, "num_key_value_heads": 8, "tie_word_embeddings": False},
    ),
}


def random_model(shape: str, dtype: torch.dtype, device: str) -> LanguageModel:
    """A model of ``shape`` with random weights and the embedded model's tokenizer and chat template.

    Parameters
    ----------
    shape : str
        One of `SHAPES`.
    dtype : torch.dtype
    device : str

    Raises
    ------
    ValuestabError
        Unknown shape, or no embedded model to take the tokenizer from.
    """
    kind, sizes = SHAPES[check_known("shape", shape, SHAPES)]
    tokenizer = AutoTokenizer.from_pretrained(ensure_embedded_model(), trust_remote_code=False)
    config = kind(
        vocab_size=len(tokenizer), max_position_embeddings=8192, eos_token_id=tokenizer.eos_token_id, **sizes
    )
    torch.manual_seed(0)
    with torch.device(device):  # where it is made, it need not be moved to
        model = AutoModelForCausalLM.from_config(config, dtype=dtype, trust_remote_code=False)
    card = ModelCard(f"random-{shape}", "random weights", "tuned_sys", "random", Sampling())
    return LanguageModel(card, model.eval(), tokenizer, "random weights of seed 0")
