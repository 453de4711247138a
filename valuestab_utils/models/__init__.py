"""Who answers: one respondent interface; local models, services and controls; loading, sampling, quantization.

It may import from `prompts`, `letters` and `metrics`.
"""

# isort: skip_file
from valuestab_utils.models.api import ANSWER_TOKENS, ApiRespondent
from valuestab_utils.models.controls import CircumplexRespondent, RandomRespondent, SyntheticRespondent
from valuestab_utils.models.embedded import ensure_embedded_model
from valuestab_utils.models.loading import load_model
from valuestab_utils.models.local import LanguageModel
from valuestab_utils.models.precision import bytes_per_token, messages_at_once, weight_bytes
from valuestab_utils.models.quantization import FourBitLinear, Int8Linear
from valuestab_utils.models.respondents import (
    API, SUFFIXES, Answers, ModelCard, Prompt, Respondent, Sampling, Text, known_models, model_card,
)
from valuestab_utils.models.sampling import SAMPLER

__all__ = [
    "ANSWER_TOKENS", "API", "Answers", "ApiRespondent", "CircumplexRespondent", "FourBitLinear", "Int8Linear",
    "LanguageModel", "ModelCard", "Prompt", "RandomRespondent", "Respondent", "SAMPLER", "SUFFIXES", "Sampling",
    "SyntheticRespondent", "Text", "bytes_per_token", "ensure_embedded_model", "known_models", "load_model",
    "messages_at_once", "model_card", "weight_bytes",
]
