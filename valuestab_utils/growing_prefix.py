"""Letter log-probabilities in a conversation that grows: the attention cache is kept from question to question."""

import os
from collections.abc import Sequence

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from valuestab_utils.letters import LetterTokens, letter_logprobs, stray_token
from valuestab_utils.scoring import Scores
from valuestab_utils.shared_prefix import rope_set


def can_be_kept(model, n_tokens: int) -> bool:
    """Whether a prompt of ``n_tokens`` tokens can be kept with this model, cut, and gone on with.

    The attention is the model's own, so that more models can than share a prefix; not those whose layers keep a state
    that cannot be cut, or a window that is shorter than the prompt.
    """
    if getattr(model, "_is_stateful", False) or not getattr(model, "_supports_attention_backend", False):
        return False
    return all(
        type(layer) is DynamicLayer
        or (type(layer) is DynamicSlidingWindowLayer and n_tokens < layer.sliding_window)
        for layer in DynamicCache(config=model.config).layers
    )


class GrowingPrefix:
    """Attention cache of the last prompt of one conversation.

    Of the next prompt, the tokens that it begins with in common are not computed again: the rest of the cache is cut
    off (a chat template may end a begun turn otherwise than it was begun), and what is new is fed to the model.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        One of which prompts can be kept (see `can_be_kept`).
    """

    def __init__(self, model):
        self.model = model
        self._ids: list[int] = []
        self._cache = DynamicCache(config=model.config)

    def score(self, ids: Sequence[int], tokens: LetterTokens) -> Scores:
        """Score the letters after a prompt: as `valuestab_utils.scoring.score_one_by_one` does, but for rounding.

        Parameters
        ----------
        ids : sequence of int
            Token ids of the whole prompt.
        tokens : LetterTokens

        Returns
        -------
        Scores
            Of one prompt; ``n_shared`` is how many tokens were there, ``tokens_computed`` how many were not.
        """
        ids = list(ids)
        interrupted = self._cache.get_seq_length() != len(self._ids)
        if interrupted or rope_set(self.model.config, len(self._ids)) != rope_set(self.model.config, len(ids)):
            self._ids, self._cache = [], DynamicCache(config=self.model.config)
        # What is fed must hold the positions that are scored.
        kept = min(len(os.path.commonprefix([self._ids, ids])), len(ids) - tokens.positions)
        with torch.inference_mode():
            if kept < len(self._ids):
                self._cache.crop(kept - len(self._ids))  # a negative number: how many to cut off
            self._ids = self._ids[:kept]
            logits = self.model(
                input_ids=torch.tensor([ids[kept:]], device=self.model.device),  # (1, T)
                past_key_values=self._cache,
                use_cache=True,
                logits_to_keep=tokens.positions,
            ).logits
        self._ids = ids
        stray, stray_logprobs = stray_token(logits, tokens)
        logprobs = letter_logprobs(logits, tokens)
        return Scores(logprobs.cpu(), stray.cpu(), stray_logprobs.cpu(), len(ids) - kept, kept)
