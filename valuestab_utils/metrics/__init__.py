"""What answers mean: value scores, agreement, inference, option orders, structure, hierarchy, populations, references.

It knows nothing of files of results or of models' classes. It may import from `prompts` and `letters`.
"""

# isort: skip_file
from valuestab_utils.metrics.agreement import (
    Agreement, correlations, ipsative_stability, mean_and_standard_error, mean_of_defined,
    neutral_profile, neutral_similarity, rank_order_stability, rank_order_to_neutral, retest_reliability, spearman,
    stability, value_donation_correlations,
)
from valuestab_utils.metrics.answers import Key, answers_array, check_key, read_answers, read_key
from valuestab_utils.metrics.hierarchy import (
    administration_differences, anchor_curve, hierarchy_table, published_agreement, rank_agreement, sinusoid,
    value_ranks,
)
from valuestab_utils.metrics.inference import LEVEL, bootstrap_interval, chance_stability, compare_pairs, length_effect
from valuestab_utils.metrics.option_orders import (
    balanced_answers, balanced_frame, corrected_stability, letter_bias, rotated_orders,
)
from valuestab_utils.metrics.populations import (
    WEIGHTINGS, Similarity, agreement_table, bootstrap_behaviour_similarity, bootstrap_values_similarities,
    higher_order_correlations, population_correlations, population_map, population_weights,
    prompt_similarities, sign_agreement, value_behaviour_correlations,
)
from valuestab_utils.metrics.references import (
    GROUPS, NO_HUMAN_19, HumanBehaviour, Reference, dominant_value_shares, human_10, human_means_19, human_signs,
    human_value_behaviour, no_human_data, published_disparities, published_means_19,
    published_similarities, references_10, references_19,
)
from valuestab_utils.metrics.scores import (
    RunScores, ScoredAnswers, complete_runs, run_scores, same_runs, scale_scores, score_answers, tells_probabilities,
    value_scores, without_probabilities,
)
from valuestab_utils.metrics.structure import (
    PersonaMap, align, class_separation, disparity_interval, load_character_classes, persona_map, value_correlations,
    value_map,
)

__all__ = [
    "GROUPS", "LEVEL", "NO_HUMAN_19", "WEIGHTINGS", "Agreement", "HumanBehaviour", "Key", "PersonaMap", "Reference",
    "RunScores", "ScoredAnswers", "Similarity", "administration_differences", "agreement_table", "align",
    "anchor_curve", "answers_array", "balanced_answers", "balanced_frame", "bootstrap_behaviour_similarity",
    "bootstrap_interval", "bootstrap_values_similarities", "chance_stability", "check_key", "class_separation",
    "compare_pairs", "complete_runs", "corrected_stability", "correlations", "disparity_interval",
    "dominant_value_shares", "hierarchy_table", "higher_order_correlations", "human_10", "human_means_19",
    "human_signs", "human_value_behaviour", "ipsative_stability", "length_effect",
    "letter_bias", "load_character_classes", "mean_and_standard_error", "mean_of_defined",
    "neutral_profile", "neutral_similarity", "no_human_data", "persona_map", "population_correlations",
    "population_map", "population_weights", "prompt_similarities", "published_agreement",
    "published_disparities", "published_means_19", "published_similarities", "rank_agreement", "rank_order_stability",
    "rank_order_to_neutral", "read_answers", "read_key", "references_10", "references_19", "retest_reliability",
    "rotated_orders", "run_scores", "same_runs", "scale_scores", "score_answers", "sign_agreement", "sinusoid",
    "spearman", "stability", "tells_probabilities", "value_behaviour_correlations", "value_correlations",
    "value_donation_correlations", "value_map", "value_ranks", "value_scores", "without_probabilities",
]
