from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.mqtt.inbox import Entry, Inbox


def make() -> tuple[Inbox, list[tuple[int, int]]]:
    sent: list[tuple[int, int]] = []
    return Inbox(lambda mid, qos: sent.append((mid, qos))), sent


def test_a_message_waits_for_all_of_its_scans() -> None:
    inbox, sent = make()
    entry = inbox.add(7, 1, 2)
    inbox.done(entry)
    assert sent == []
    inbox.done(entry)
    assert sent == [(7, 1)]
    assert len(inbox) == 0


def test_a_message_without_scans_goes_at_its_turn() -> None:
    inbox, sent = make()
    first = inbox.add(1, 1, 1)
    inbox.add(2, 1, 0)
    assert sent == []
    inbox.done(first)
    assert sent == [(1, 1), (2, 1)]


def test_a_late_first_holds_back_the_others() -> None:
    inbox, sent = make()
    first, second = inbox.add(1, 1, 1), inbox.add(2, 2, 1)
    inbox.done(second)
    assert sent == []
    assert len(inbox) == 2
    inbox.done(first)
    assert sent == [(1, 1), (2, 2)]


@given(st.lists(st.integers(0, 3), max_size=20), st.randoms(use_true_random=False))
def test_in_whatever_order_scans_become_durable(counts: list[int], random: object) -> None:
    """Messages come and scans become durable in any mixture: each is acknowledged once, in order, and never early."""
    inbox, sent = make()
    entries: list[Entry] = []
    open_scans: list[int] = []
    waiting = list(enumerate(counts))
    while waiting or open_scans:
        if waiting and (not open_scans or random.random() < 0.5):  # type: ignore[attr-defined]
            mid, count = waiting.pop(0)
            entries.append(inbox.add(mid, 1, count))
            open_scans += [mid] * count
        else:
            mid = open_scans.pop(random.randrange(len(open_scans)))  # type: ignore[attr-defined]
            inbox.done(entries[mid])
        ready = next((mid for mid in range(len(entries)) if mid in open_scans), len(entries))
        assert sent == [(mid, 1) for mid in range(ready)]
        assert len(inbox) == len(entries) - ready
