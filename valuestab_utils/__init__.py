"""Helpers of the valuestab notebooks: prompts, letter scoring, sessions and value stability."""

__version__ = "0.1.0"
