"""Asks the person at the terminal before something is done that cannot be undone, or that others feel."""

from __future__ import annotations

import sys

from gateway.cli.client import CallFailed


def confirm(question: str) -> None:
    """Raises CallFailed where nobody says yes."""
    if not sys.stdin.isatty():
        raise CallFailed(f"{question} nobody is here to say so", "--yes says so")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise CallFailed("nothing was done")
