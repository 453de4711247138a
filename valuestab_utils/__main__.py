"""``python -m valuestab_utils COMMAND``."""

from valuestab_utils.run.command_line import app

app(prog_name="python -m valuestab_utils")
