"""What each paper found: tables and sentences, of the answers at hand and as printed.

It may import from all rooms but `run`. Every table has its columns also where there is nothing in it, and every
sentence says then that there is nothing.
"""

from valuestab_utils.papers import kovac2024, letters, rozen2025, sentences, yehudai2025
from valuestab_utils.papers.tables import rows_of

__all__ = ["kovac2024", "letters", "rows_of", "rozen2025", "sentences", "yehudai2025"]
