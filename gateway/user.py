"""The users of this machine."""

from __future__ import annotations

import pwd


def name(uid: int) -> str:
    """Who has this user id, for the record: `anna`, or `uid-1007` where nobody knows. Blocks: a directory service may
    be asked."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid-{uid}"
