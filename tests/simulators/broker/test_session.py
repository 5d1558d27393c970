from __future__ import annotations

from collections.abc import Callable

import pytest

from simulators.broker import session as module
from simulators.broker.packet import Publish
from simulators.broker.session import Session


def numbered(number: int, qos: int = 1) -> Publish:
    return Publish("t", b"%d" % number, qos)


def sent(session: Session) -> list[tuple[int, int, bool]]:
    """What is due now: number, packet id, whether it is sent again."""
    return [(int(message.payload), message.packet_id, again) for message, again in session.due()]


@pytest.fixture
def session() -> Session:
    session = Session("c")
    session.filters["t"] = 1
    session.resume(2)
    return session


def test_no_more_than_the_receive_maximum_is_under_way(session: Session) -> None:
    for i in range(4):
        session.offer(numbered(i), 1)
    assert sent(session) == [(0, 1, False), (1, 2, False)]
    session.settle(1)
    assert sent(session) == [(2, 3, False)]
    session.settle(9)
    assert sent(session) == []


def test_after_a_reconnect_what_was_not_acknowledged_comes_first_again(session: Session) -> None:
    for i in range(4):
        session.offer(numbered(i), 1)
    assert len(sent(session)) == 2
    session.suspend()
    session.resume(1)
    assert sent(session) == [(0, 1, True)]
    session.settle(1)
    assert sent(session) == [(1, 2, True)]
    session.settle(2)
    assert sent(session) == [(2, 3, False)]


def test_qos_0_waits_for_nobody_who_is_away(session: Session) -> None:
    session.suspend()
    session.offer(numbered(0, qos=0), 1)
    session.offer(numbered(1), 0)
    session.offer(numbered(2), 1)
    session.resume(5)
    assert sent(session) == [(2, 1, False)]


def test_what_is_too_much_is_dropped_and_counted(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MESSAGES", 2)
    session.suspend()
    for i in range(5):
        session.offer(numbered(i), 1)
    session.resume(9)
    assert session.dropped == 3
    assert [number for number, _, _ in sent(session)] == [0, 1]
    monkeypatch.setattr(module, "BYTES", 3)
    for number in (100, 200):
        session.offer(numbered(number), 1)
    assert session.dropped == 4


def test_packet_ids_go_round_and_skip_those_in_use() -> None:
    session = Session("c")
    session.resume(2)
    session.offer(numbered(0), 1)
    assert sent(session) == [(0, 1, False)]
    session._last_id = 0xFFFD
    ids = []
    for i in range(3):
        session.offer(numbered(i), 1)
        ((_, packet_id, _),) = sent(session)
        ids.append(packet_id)
        session.settle(packet_id)
    assert ids == [0xFFFE, 0xFFFF, 2]


@pytest.mark.parametrize(
    ("filters", "options"),
    [
        ({"t": 0, "#": 1}, 1),
        ({"t": 0, "x": 1}, 0),
        ({"x": 1}, None),
        ({"t": 1 | module.NO_LOCAL}, None),
        ({"t": 1 | module.NO_LOCAL, "#": 0}, 0),
    ],
)
def test_overlapping_subscriptions_give_one_message(filters: dict[str, int], options: int | None) -> None:
    session = Session("c")
    session.filters = filters
    assert session.grant(numbered(1), session) == options


def test_the_retain_flag_goes_only_where_it_is_wanted(session: Session) -> None:
    offer: Callable[[int], None] = lambda options: session.offer(Publish("t", b"1", 1, retain=True), options)  # noqa: E731
    offer(1)
    offer(1 | module.RETAIN_AS_PUBLISHED)
    assert [message.retain for message, _ in session.due()] == [False, True]
