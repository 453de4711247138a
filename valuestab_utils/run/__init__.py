"""How it is started: the command line, notebooks, report, plan, cluster, bench, explorer, Colab.

It may import from all rooms. A name is imported when it is asked for: on Colab, `colab` comes before the libraries that
it installs.
"""

from importlib import import_module

_FILES = {
    "explore": "explorer",
    "render": "plan",
    "render_conditions": "plan",
    "render_formats": "plan",
    "show_chat": "explorer",
}
__all__ = ["explore", "render", "render_conditions", "render_formats", "show_chat"]


def __getattr__(name: str) -> object:
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_FILES[name]}"), name)
