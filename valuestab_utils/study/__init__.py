"""What is run: profiles, experiments, conversations, ways of asking, the store, the study.

It may import from the rooms above: `prompts`, `letters`, `metrics`, `models`.
"""

# isort: skip_file
from valuestab_utils.study.asking import FILLED_AT, answer_folder, ask, filled_questionnaire, load, texts_before
from valuestab_utils.study.conversations import (
    MAX_NEW_TOKENS, conversation_folder, missing_messages, next_prompt, simulate_conversations, texts_digest,
)
from valuestab_utils.study.experiments import QUESTIONNAIRE, Experiment
from valuestab_utils.study.figure_files import FigureEntry, FigureRecord, load_figures, read_record
from valuestab_utils.study.profiles import (
    EXPERIMENTS, FIRST, PAPERS, Paper, load_profile, paper_of, parse_value, summary_file, run_name,
)
from valuestab_utils.study.progress import IN_A_LOG, progress
from valuestab_utils.study.store import Folder
from valuestab_utils.study.study import EVERY_CONTROL, Study, plan_study
from valuestab_utils.study.ways import TOKENS_PER_ITEM, batch_prompt, item_prompts, serial_prompt

__all__ = [
    "EVERY_CONTROL", "EXPERIMENTS", "FILLED_AT", "FIRST", "IN_A_LOG", "MAX_NEW_TOKENS", "PAPERS", "QUESTIONNAIRE",
    "TOKENS_PER_ITEM", "Experiment", "FigureEntry", "FigureRecord", "Folder", "Paper", "Study", "answer_folder", "ask",
    "batch_prompt", "conversation_folder", "filled_questionnaire", "item_prompts", "load", "load_figures",
    "load_profile", "missing_messages", "next_prompt", "paper_of", "parse_value", "plan_study", "progress",
    "read_record", "run_name", "serial_prompt", "simulate_conversations", "summary_file", "texts_before",
    "texts_digest",
]
