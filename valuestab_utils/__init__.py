"""Helpers of the valuestab notebooks: prompts, letter scoring, sessions and value stability."""

import os

__version__ = "0.2.0"

# Threads that wait for each other should sleep, not spin: spinning makes PyTorch many times slower where anything
# else wants a core. It counts only if it is set before PyTorch is loaded, hence here.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
