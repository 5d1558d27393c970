"""Tables on a terminal, in colour; the same as plain text where nobody looks."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.log import printable

_PLAIN_WIDTH = 160

COLOURS = {
    "online": "green",
    "good": "green",
    "normal": "green",
    "connecting": "cyan",
    "acknowledged": "yellow",
    "returned": "yellow",
    "stale": "yellow",
    "uncertain": "yellow",
    "offline": "red",
    "quarantined": "red",
    "unacknowledged": "bold red",
    "bad": "red",
}


def console() -> Console:
    """As wide as the terminal, or wide enough for programs that look for a line."""
    return Console(highlight=False, emoji=False, width=None if sys.stdout.isatty() else _PLAIN_WIDTH)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """A column whose name ends in `>` holds figures, and is set to the right; the last one takes the room that is left.
    Cells are text, whatever is in them; the words for states have their colours."""
    made = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns[:-1]:
        made.add_column(column.removesuffix(">"), justify="right" if column.endswith(">") else "left", no_wrap=True)
    made.add_column(columns[-1], overflow="fold")
    for cells in rows:
        made.add_row(*(Text(printable(cell), COLOURS.get(cell, "")) for cell in cells))
    return made
