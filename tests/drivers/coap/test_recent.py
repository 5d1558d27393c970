from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from drivers.coap.recent import LIFETIME_S, Recent

HERE = ("192.0.2.1", 5683)


def test_a_repeat_gets_the_same_answer() -> None:
    recent = Recent()
    assert not recent.is_repeat((HERE, 1), b"a", 0)
    assert recent.is_repeat((HERE, 1), b"a", 1)
    assert recent.reply((HERE, 1)) == b""
    recent.answer((HERE, 1), b"done")
    assert recent.is_repeat((HERE, 1), b"a", 2)
    assert recent.reply((HERE, 1)) == b"done"


def test_other_sources_other_ids_and_other_contents_are_no_repeats() -> None:
    recent = Recent()
    recent.is_repeat((HERE, 1), b"a", 0)
    recent.answer((HERE, 1), b"done")
    assert not recent.is_repeat((("192.0.2.2", 5683), 1), b"a", 0)
    assert not recent.is_repeat((HERE, 2), b"a", 0)
    assert not recent.is_repeat((HERE, 1), b"b", 0)
    assert recent.reply((HERE, 1)) == b""


def test_nothing_is_remembered_for_ever() -> None:
    recent = Recent()
    recent.is_repeat((HERE, 1), b"a", 0)
    recent.is_repeat((HERE, 2), b"b", LIFETIME_S)
    assert not recent.is_repeat((HERE, 1), b"a", LIFETIME_S + 1)
    assert recent.is_repeat((HERE, 2), b"b", LIFETIME_S + 1)


@given(st.lists(st.tuples(st.integers(0, 9), st.binary(max_size=1))))
def test_no_more_is_remembered_than_asked(requests: list[tuple[int, bytes]]) -> None:
    recent = Recent(4)
    for now, (mid, data) in enumerate(requests):
        recent.is_repeat((HERE, mid), data, now / 10)
        assert recent.is_repeat((HERE, mid), data, now / 10)
        assert len(recent) <= 4
