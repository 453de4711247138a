"""What is said to a model: personas, contexts, questionnaires, formats, chat templates, sessions.

It knows nothing of results, of models' classes or of papers, and imports from no other room.
"""

# isort: skip_file
from valuestab_utils.files import read_rows
from valuestab_utils.prompts.chat_templates import ChatTemplate, Message, encode
from valuestab_utils.prompts.contexts import NO_CONVERSATION, Topic, by_length, load_topics
from valuestab_utils.prompts.formats import (
    FORMATS, LETTERS, PROMPTS_DIGEST, QUERY, cut_at_label, interlocutor_prompt, question, tested_prompt, turn_labels,
)
from valuestab_utils.prompts.inductions import (
    CONDITIONS, INDUCTIONS, NO_VALUE, PROMPTING, STRUCTURE, load_runs, needs_questionnaire, topic_of, what_is_said,
)
from valuestab_utils.prompts.personas import (
    POPULATIONS, Persona, load_population, population_label, population_names,
)
from valuestab_utils.prompts.questionnaires import (
    QUESTIONNAIRES, TWO_WORDINGS, Item, Questionnaire, load_questionnaire,
)
from valuestab_utils.prompts.sessions import Session, answer_noise, slug
from valuestab_utils.prompts.values import (
    ACRONYMS, BASIC_VALUE_OF, HIGHER_ORDER, HIGHER_ORDER_OF, REFINED_VALUES, VALUES, angles_on_circle,
    circular_order_correlation, higher_order_of, spelled,
)

__all__ = [
    "ACRONYMS", "BASIC_VALUE_OF", "CONDITIONS", "FORMATS", "HIGHER_ORDER", "HIGHER_ORDER_OF", "INDUCTIONS", "LETTERS",
    "NO_CONVERSATION", "NO_VALUE", "POPULATIONS", "PROMPTING", "PROMPTS_DIGEST", "QUERY", "QUESTIONNAIRES",
    "REFINED_VALUES", "STRUCTURE", "TWO_WORDINGS", "VALUES", "ChatTemplate", "Item", "Message", "Persona",
    "Questionnaire", "Session", "Topic", "angles_on_circle", "answer_noise", "by_length", "circular_order_correlation",
    "cut_at_label", "encode", "higher_order_of", "interlocutor_prompt", "load_population", "load_questionnaire",
    "load_runs", "load_topics", "needs_questionnaire", "population_label", "population_names", "question", "read_rows",
    "slug", "spelled", "tested_prompt", "topic_of", "turn_labels", "what_is_said",
]
