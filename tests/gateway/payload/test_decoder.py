from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.clock import SECOND
from gateway.model import Scan, StatusCode, Tag, TagGroup
from gateway.payload import settings
from gateway.payload.decoder import Decoder, Refused, parse

NOW = 1_700_000_000 * SECOND
TAGS: dict[str, Any] = {
    "on": {"type": "bool"},
    "small": {"type": "int8"},
    "big": {"type": "uint64"},
    "single": {"type": "float32"},
    "x": {"type": "float64", "path": "deep[1].x"},
    "name": {"type": "string"},
}
FULL: dict[str, Any] = {
    "on": True,
    "small": -128,
    "big": 2**64 - 1,
    "single": 0.1,
    "deep": [None, {"x": 61.25}],
    "name": "ü",
}
TIME = {"path": "ts", "format": "unix_ms"}
QUALITY = {"path": "q", "good": ["good", 0, 192]}


class GroupSettings(settings.GroupSettings):
    """What a driver adds: where the payloads come from, and whether that names the tag."""

    named: bool = False

    @property
    def names_tag(self) -> bool:
        return self.named


def decoder(**given: Any) -> Decoder:
    made = GroupSettings.model_validate({"tags": TAGS, **given})
    tags = [Tag(f"pump-1/{name}", spec.type, address=spec) for name, spec in made.tags.items()]
    return Decoder(TagGroup("pump-1", "state", TagGroup.sort(tags), None, 10 * SECOND, made), made)


def decode(body: object, **given: Any) -> Scan:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return decoder(**given).decode(raw, NOW).scan


def values(scan: Scan) -> dict[str, object]:
    """What is there, by the tag's name: the value, or the status code where it is not good."""
    row = [value for plane in scan.values for value in plane.tolist()]
    status = [0] * len(row) if scan.status is None else scan.status.tolist()
    present = [True] * len(row) if scan.columns is None else scan.columns.tolist()
    names = [tag.name for tag in scan.group.columns]
    return {n: s or v for n, v, s, p in zip(names, row, status, present, strict=True) if p}


class TestValues:
    def test_every_type_comes_out_exact(self) -> None:
        scan = decode(FULL)
        assert values(scan) == {
            "on": True,
            "small": -128,
            "big": 2**64 - 1,
            "single": 0.10000000149011612,
            "x": 61.25,
            "name": "ü",
        }
        assert [plane.dtype for plane in scan.values] == [span.type.dtype for span in scan.group.spans]
        assert (scan.status, scan.columns, scan.source_time, scan.gateway_time) == (None, None, NOW, NOW)

    def test_what_is_missing_is_not_there(self) -> None:
        assert values(decode({"on": False, "deep": [1]})) == {"on": False}

    @pytest.mark.parametrize(
        ("change", "status"),
        [
            ({"small": 128}, StatusCode.BAD_OUT_OF_RANGE),
            ({"small": 3.0}, StatusCode.BAD_TYPE_MISMATCH),
            ({"small": None}, StatusCode.BAD_NO_DATA),
            ({"small": {"a": 1}}, StatusCode.BAD_TYPE_MISMATCH),
        ],
    )
    def test_one_bad_value_leaves_its_neighbours_alone(self, change: dict[str, Any], status: int) -> None:
        good = values(decode(FULL))
        assert values(decode(FULL | change)) == good | {"small": status}

    def test_a_number_beyond_a_double_is_out_of_range(self) -> None:
        scan = decode(b'{"deep":[0,{"x":1e999}],"single":1.5,"big":18446744073709551616}')
        out = StatusCode.BAD_OUT_OF_RANGE
        assert values(scan) == {"x": out, "single": 1.5, "big": out}

    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            (b"", "is empty"),
            (b"{", "not JSON"),
            (b'{"on":NaN}', "not JSON"),
            (b'{"on":Infinity}', "not JSON"),
            (b'{"name":"\xff"}', "not JSON"),
            (b'{"name":"\\ud800"}', "not JSON"),
            (b"\xef\xbb\xbf{}", "not JSON"),
            (b'{"on":true}x', "not JSON"),
            (b"1" * 5000, "not JSON"),
            (b"[" * 100_000, "too deeply"),
            (b"{}", "no value of the group"),
            (b"3", "no value of the group"),
            (b"null", "no value of the group"),
        ],
    )
    def test_what_is_refused_as_a_whole(self, body: bytes, reason: str) -> None:
        with pytest.raises(Refused, match=reason):
            decode(body)

    def test_the_one_column_that_the_source_names(self) -> None:
        made = decoder(named=True, tags={"a": {"type": "float64"}, "b": {"type": "float64"}})
        assert values(made.decode(b"1.5", NOW, column=1).scan) == {"b": 1.5}


class TestTime:
    def test_the_devices_own(self) -> None:
        scan = decode(FULL | {"ts": 1_600_000_000_001}, time=TIME)
        assert scan.source_time == 1_600_000_000_001_000_000
        assert scan.gateway_time == NOW
        assert scan.status is None

    @pytest.mark.parametrize(
        ("ts", "reason"),
        [
            ({"ts": 0}, "before 2000"),
            ({"ts": 1_700_000_000_000_000}, "24 h ahead"),
            ({"ts": "noon"}, "is not unix_ms"),
            ({}, "no time at ts"),
        ],
    )
    def test_a_doubtful_time_keeps_the_values(self, ts: dict[str, Any], reason: str) -> None:
        scan, doubt = decoder(time=TIME).decode(json.dumps({"on": True, "small": 3.5} | ts).encode(), NOW)
        assert reason in doubt
        assert scan.source_time == NOW
        assert values(scan) == {"on": StatusCode.UNCERTAIN, "small": StatusCode.BAD_TYPE_MISMATCH}

    def test_a_retained_message_with_a_time_of_its_own_is_good(self) -> None:
        body = b'{"on":true,"ts":1600000000001}'
        assert decoder(time=TIME).decode(body, NOW, retained=True).scan.status is None
        without = decoder().decode(body, NOW, retained=True)
        assert values(without.scan) == {"on": StatusCode.UNCERTAIN}
        assert without.doubt == ""


class TestQuality:
    @pytest.mark.parametrize("q", ["good", 0, 192])
    def test_good(self, q: object) -> None:
        assert decode({"on": True, "q": q}, quality=QUALITY).status is None

    @pytest.mark.parametrize("q", ["bad", 1, False, None, [], {}])
    def test_bad(self, q: object) -> None:
        assert values(decode({"on": True, "q": q}, quality=QUALITY)) == {"on": StatusCode.BAD}

    def test_unknown(self) -> None:
        assert values(decode({"on": True}, quality=QUALITY)) == {"on": StatusCode.UNCERTAIN}


class TestText:
    @pytest.mark.parametrize(
        ("kind", "body", "found"),
        [
            ("float64", b" 1.5\n", 1.5),
            ("int8", b"-3", -3),
            ("bool", b"true", True),
            ("string", "°C".encode(), "°C"),
            ("int8", b"300", StatusCode.BAD_OUT_OF_RANGE),
            ("float64", b"nan", StatusCode.BAD_TYPE_MISMATCH),
            ("float64", b"1e999", StatusCode.BAD_OUT_OF_RANGE),
            ("float64", b"", StatusCode.BAD_NO_DATA),
        ],
    )
    def test_one_value(self, kind: str, body: bytes, found: object) -> None:
        assert values(decode(body, format="text", tags={"a": {"type": kind}})) == {"a": found}

    def test_no_utf8(self) -> None:
        with pytest.raises(Refused, match="not UTF-8"):
            decode(b"\xff", format="text", tags={"a": {"type": "string"}})


NAMES = st.sampled_from([*FULL, "ts", "q", "other"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
STRANGE = decoder(time={"path": "ts", "format": "iso8601"}, quality={"path": "q", "good": ["good"]})


@given(st.binary() | VALUES.map(lambda found: json.dumps(found).encode()) | st.text().map(str.encode))
def test_whatever_comes_is_a_whole_scan_or_refused(body: bytes) -> None:
    try:
        scan = STRANGE.decode(body, NOW).scan
    except Refused:
        return
    assert [len(plane) for plane in scan.values] == [span.stop - span.start for span in scan.group.spans]
    assert 0 < scan.points <= len(TAGS)
    assert scan.source_time > 0


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 2**64 - 1), st.text(max_size=100))
def test_what_a_correct_sender_sends_comes_out_bit_for_bit(x: float, big: int, name: str) -> None:
    body = json.dumps({"deep": [0, {"x": x}], "big": big, "name": name}).encode()
    try:
        found = values(decoder().decode(body, NOW).scan)
    except Refused:
        assert any(0xD800 <= ord(character) <= 0xDFFF for character in name)
    else:
        assert found == {"x": x, "big": big, "name": name}
        assert str(found["x"]) == str(x)


def test_a_document_as_deep_as_its_path_is_read() -> None:
    made = decoder(tags={"a": {"type": "int8", "path": ".".join(["k"] * 50)}})
    body = b'{"k":' * 50 + b"1" + b"}" * 50
    assert values(made.decode(body, NOW).scan) == {"a": 1}
    assert parse(b"[[1]]") == [[1]]
