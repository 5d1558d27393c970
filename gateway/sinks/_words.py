"""A server's own words, on their way into ours. Pure."""

from __future__ import annotations

MOST = 500


def brief(text: str) -> str:
    """One line of at most `MOST` characters that is safe to log."""
    return " ".join("".join(c if c.isprintable() else " " for c in text[:MOST]).split())
