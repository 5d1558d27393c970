from __future__ import annotations

import json

import pytest

from gateway.clock import SECOND
from gateway.errors import CommandRefused
from gateway.model import CommandDone, Order, Outcome
from gateway.sinks._order import MOST_BYTES, answer, decode, denial

ORDER: dict[str, object] = {"id": "o-1", "tag": "press-1/run", "value": True, "time": 1_700_000_000 * SECOND}
PLACE = {"site": "plant-1", "cell": "line-a"}


def order(**more: object) -> bytes:
    return json.dumps({key: value for key, value in (ORDER | more).items() if value is not None}).encode()


@pytest.mark.parametrize("value", [True, False, 0, -7, 2**64 - 1, -(2**63), 0.5, 7.0, "", "on"])
def test_a_value_keeps_its_type(value: object) -> None:
    found = decode(order(value=value)).value
    assert (found, type(found)) == (value, type(value))


def test_an_order() -> None:
    whole = decode(order(ttl=1.5, who="Ülo"))
    issued = 1_700_000_000 * SECOND
    assert whole == Order("o-1", "press-1/run", True, issued, issued + 3 * SECOND // 2, "Ülo")
    assert decode(order()).expires is None


@pytest.mark.parametrize("text", ["2023-11-14T22:13:20Z", "2023-11-14T23:13:20+01:00", "2023-11-14T22:13:20.000Z"])
def test_a_time_in_words(text: str) -> None:
    assert decode(order(time=text)).issued == 1_700_000_000 * SECOND


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "truncated"),
        (b"{no json", "malformed"),
        (b"[]", "Expected `object`"),
        (b"\xff\xfe", "malformed"),
        (b'{"id":"\xff"}', "utf-8"),
        (b"[" * MOST_BYTES, "Expected `object`"),
        (b"x" * (MOST_BYTES + 1), "at most 16384"),
        (order(id=None), "missing required field `id`"),
        (order(tag=None), "missing required field `tag`"),
        (order(value=None), "missing required field `value`"),
        (order(time=None), "missing required field `time`"),
        (order(id=""), "length >= 1"),
        (order(id="x" * 129), "length <= 128"),
        (order(id="two\nlines"), "matching regex"),
        (order(id=7), "Expected `str`"),
        (order(value=[1]), "got `array`"),
        (order(value={"value": 1}), "got `object`"),
        (order(value=2**64), "more than 64 bits"),
        (order(value="x" * 4097), "length <= 4096"),
        (order().replace(b"true", b"NaN"), "malformed"),
        (order().replace(b"true", b"1e999"), "out of range"),
        (order().replace(b"true", b"1" * 5000), "out of range"),
        (order().replace(b"true", b"[" * 10_000), "got `array`"),
        (order(time=1.5), "Expected"),
        (order(time=-1), ">= 0"),
        (order(time=2**63), "<= 9223372036854775807"),
        (order(time="2023-11-14T22:13:20"), "timezone"),
        (order(time="yesterday"), "Invalid RFC3339"),
        (order(ttl=0), "> 0"),
        (order(ttl=86_401), "<= 86400"),
        (order(ttl="5s"), "Expected `float"),
        (order(force=True), "unknown field `force`"),
    ],
)
def test_what_is_no_order(payload: bytes, reason: str) -> None:
    with pytest.raises(CommandRefused, match=reason):
        decode(payload)


def test_a_reason_is_no_longer_than_people_read() -> None:
    with pytest.raises(CommandRefused) as caught:
        decode(order(**{"x" * 10_000: 1}))
    assert len(str(caught.value)) < 250


def test_an_answer() -> None:
    done = CommandDone(7, "o-1", "press-1/run", False, "sink:cloud", Outcome.FAILED, "no answer")
    assert json.loads(answer(done, PLACE)) == {
        **{"time": 7, "site": "plant-1", "cell": "line-a", "id": "o-1", "tag": "press-1/run", "value": False},
        **{"outcome": "failed", "reason": "no answer"},
    }
    assert json.loads(denial("no", 7, PLACE)) == {"time": 7, **PLACE, "id": None, "outcome": "refused", "reason": "no"}
