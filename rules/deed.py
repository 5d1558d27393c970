"""What people do to alarms, how far that may go, and in which words it is refused. Pure."""

from __future__ import annotations

from rules.alarm import AlarmStatus, Deed, Input

_SECOND = 1_000_000_000
LONGEST_SHELVING = 24 * 3600 * _SECOND
"""So long, in nanoseconds, is an alarm shelved at most: what is longer is out of service."""

_WITH_REASON = frozenset({Input.SHELVE, Input.REMOVE})


def problem(deed: Deed, now: int) -> str | None:
    """Why this is not done to any alarm, as a sentence without its full stop; None if it may be."""
    if deed.given in _WITH_REASON and not deed.comment.strip():
        return "say why, in a comment"
    if deed.given is Input.SHELVE and not 0 < deed.until - now <= LONGEST_SHELVING:
        return "an alarm is shelved for 24h at most; out of service, it is until it is put back"
    return None


def refusal(status: AlarmStatus, given: Input) -> str:
    """Why this alarm cannot be moved so, as a sentence without its full stop."""
    return f"alarm {status.alarm} {_why(status, given)}"


def _why(status: AlarmStatus, given: Input) -> str:
    if given is Input.ACKNOWLEDGE:
        return f"is {status.state}: there is nothing to acknowledge"
    if given is Input.RESET:
        return _why_not_reset(status)
    if given is Input.REMOVE:
        return "is out of service already"
    return "is in service already" if given is Input.PLACE else "is not shelved"


def _why_not_reset(status: AlarmStatus) -> str:
    if not status.latched:
        return "is not latched: there is nothing to reset"
    return f"is {status.state}: " + ("its condition still holds" if status.active else "acknowledge it first")
