"""How an answer is read: tokens of a letter, scoring on what prompts share, draws from letter probabilities.

It knows nothing of results or of papers; of a model it takes tensors. It may import from `prompts`.
"""

# isort: skip_file
from valuestab_utils.letters.draws import at_temperature, codes_at, drawn_codes, option_logprobs
from valuestab_utils.letters.scoring import (
    BATCH_TOKENS, GrowingPrefix, Scores, can_be_kept, n_shared_tokens, score_on_copied_prefix, score_on_shared_prefix,
    score_one_by_one,
)
from valuestab_utils.letters.shared_prefix import obstacle_to_sharing, rope_set
from valuestab_utils.letters.tokens import LetterTokens, letter_tokens

__all__ = [
    "BATCH_TOKENS", "GrowingPrefix", "LetterTokens", "Scores", "at_temperature", "can_be_kept", "codes_at",
    "drawn_codes", "letter_tokens", "n_shared_tokens", "obstacle_to_sharing", "option_logprobs", "rope_set",
    "score_on_copied_prefix", "score_on_shared_prefix", "score_one_by_one",
]
