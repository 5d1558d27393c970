from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gateway.journal import codec
from gateway.model import Scan, TagGroup, ValueType
from tests.gateway.build import NOW, group, scan


@st.composite
def runs(draw: st.DrawFn) -> list[Scan]:
    """Some scans of one group of any make: any bit pattern is a value, NaNs with payload included."""
    of = group(*draw(st.lists(st.sampled_from(list(ValueType)), min_size=1, max_size=9)))
    return [draw(rows(of)) for _ in range(draw(st.integers(1, 6)))]


@st.composite
def rows(draw: st.DrawFn, of: TagGroup) -> Scan:
    width = len(of.columns)
    planes = []
    for span in of.spans:
        size = span.stop - span.start
        if span.type is ValueType.STRING:
            planes.append(np.array(draw(st.lists(st.text(), min_size=size, max_size=size)), object))
        elif span.type is ValueType.BOOL:
            planes.append(draw(hnp.arrays(np.bool_, size)))
        else:
            raw = draw(st.binary(min_size=size * span.type.dtype.itemsize, max_size=size * span.type.dtype.itemsize))
            planes.append(np.frombuffer(raw, span.type.dtype))
    times = st.integers(-(1 << 63), (1 << 63) - 1)
    source = draw(st.one_of(times, hnp.arrays(np.int64, width)))
    status = draw(st.none() | hnp.arrays(np.uint32, width))
    columns = draw(st.none() | hnp.arrays(np.bool_, width))
    return Scan(of, source, draw(times), tuple(planes), status, columns)


@given(runs())
def test_every_bit_comes_back(scans: list[Scan]) -> None:
    schema = scans[0].group.schema
    back = codec.decode(schema, len(scans), codec.encode(scans))
    assert back.schema == schema
    assert back.points == sum(scan.points for scan in scans)
    for number, original in enumerate(scans):
        assert back.gateway_time[number] == original.gateway_time
        assert np.all(back.source_time[number] == original.source_time)
        for plane, expected in zip(back.values, original.values, strict=True):
            assert plane.dtype == expected.dtype
            assert plane[number].tolist() == expected.tolist() or plane[number].tobytes() == expected.tobytes()
        if original.status is not None:
            assert back.status is not None
            assert back.status[number].tolist() == original.status.tolist()
        if original.columns is not None:
            assert back.present is not None
            assert back.present[number].tolist() == original.columns.tolist()


@given(runs(), st.data())
def test_damaged_bytes_raise_nothing_but_codec_errors(scans: list[Scan], data: st.DataObject) -> None:
    body = codec.encode(scans)
    cut = data.draw(st.integers(0, len(body) - 1))
    with pytest.raises(codec.CodecError):
        codec.decode(scans[0].group.schema, len(scans), body[:cut])


def test_a_slow_signal_leaves_zeros_to_compress() -> None:
    of = group(*["uint16"] * 50)
    scans = [scan(of, [1000 + i] * 50, NOW + i) for i in range(16)]
    body = np.frombuffer(codec.encode(scans), np.uint8)
    assert (body == 0).sum() > 0.4 * body.size


@given(
    st.sampled_from(["float32", "float64"]),
    st.integers(0, 4),
    st.lists(st.integers(-(10**6), 10**6), min_size=1, max_size=40),
    st.lists(st.sampled_from([0.0, -0.0, float("nan"), float("inf"), 5e-324, 1e300, 2.0**53 + 2]), max_size=2),
)
def test_decimals_come_back_bit_for_bit(kind: str, digits: int, whole: list[int], odd: list[float]) -> None:
    values = [number / 10**digits for number in whole] + odd
    of = group(*[kind] * len(values))
    with np.errstate(over="ignore"):
        scans = [scan(of, values, NOW + i) for i in range(3)]
    back = codec.decode(of.schema, 3, codec.encode(scans))
    assert back.values[0][1].tobytes() == scans[1].values[0].tobytes()


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_decimals_take_two_bytes(kind: str) -> None:
    of = group(*[kind] * 1000)
    decimals = codec.encode([scan(of, [i / 10 for i in range(1000)])])
    assert len(decimals) < 2100


@given(st.binary(min_size=1, max_size=60))
def test_any_bytes_raise_nothing_but_codec_errors(body: bytes) -> None:
    for kind in ("float32", "string", "bool"):
        with contextlib.suppress(codec.CodecError):
            codec.decode(group(kind, kind).schema, 2, body)
