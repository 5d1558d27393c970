"""What ends a demo before its time."""

from __future__ import annotations


class DemoFailed(Exception):
    """The demo cannot begin, or cannot go on; the message tells people why."""
