from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest

from gateway import files
from gateway.clock import SECOND
from gateway.errors import ConnectionLost
from gateway.model import AlarmChanged, AlarmState, DataLost, ValueType
from gateway.sinks.files import Settings, Sink
from tests.gateway.sinks.samples import NOT_CONNECTED, START, UNCERTAIN, rows

F64 = ValueType.FLOAT64
DAY = 86_400 * SECOND
TODAY = "telemetry-2023-11-14.jsonl"  # the day of START


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "archive" / "line-a"


@pytest.fixture
def sink(directory: Path) -> Sink:
    return Sink(Settings(sink="files", directory=directory), "plant-1", "line-a")


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """What stands in for a full disk: the kernel writes up to there and then refuses."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def read(path: Path) -> list[dict[str, object]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


async def test_one_line_a_row(sink: Sink, directory: Path) -> None:
    columns = {"run": ValueType.BOOL, "count": ValueType.UINT64, "load": ValueType.FLOAT32, "mode": ValueType.STRING}
    await sink.write([rows(columns, (True, 2**64 - 1, 0.1, "ü\n"))])
    place = b'"site":"plant-1","cell":"line-a","device":"press-1","group":"fast"'
    values = '{"run":true,"count":18446744073709551615,"load":0.1,"mode":"ü\\n"}'.encode()
    assert (directory / TODAY).read_bytes() == (
        b'{"time":%d,"gateway_time":%d,%b,"values":%b,"quality":{}}\n' % (START, START + 1, place, values)
    )


async def test_what_is_written_is_on_disk_under_its_name(
    sink: Sink, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So are the folders that were made for it: without their names, a power cut would take the file."""
    synced: list[Path] = []
    monkeypatch.setattr(files, "sync", synced.append)
    await sink.write([rows({"load": F64}, (0.5,))])
    assert synced == [directory.parent.parent, directory.parent, directory]


async def test_what_is_not_good_has_its_code(sink: Sink, directory: Path) -> None:
    columns = dict.fromkeys("abcd", F64)
    status = [[0, UNCERTAIN, NOT_CONNECTED, 0]]
    await sink.write([rows(columns, (1.0, 2.0, 3.0, float("nan")), status=status)])
    (line,) = read(directory / TODAY)
    assert line["values"] == {"a": 1.0, "b": 2.0, "c": None, "d": None}
    assert line["quality"] == {"b": UNCERTAIN, "c": NOT_CONNECTED, "d": 0x8000_0000}


async def test_no_number_is_ever_other_than_json(sink: Sink, directory: Path) -> None:
    columns = {"a": ValueType.FLOAT32, "b": F64}
    await sink.write([rows(columns, (float("inf"), float("nan")), status=[[UNCERTAIN, UNCERTAIN]])])
    assert read(directory / TODAY)[0]["values"] == {"a": None, "b": None}


async def test_each_source_time_has_its_line(sink: Sink, directory: Path) -> None:
    batch = rows(dict.fromkeys("abc", F64), (1.0, 2.0, 3.0), times=[[30, 10, 30]], present=[[True, True, False]])
    await sink.write([batch])
    assert [(line["time"], line["values"]) for line in read(directory / TODAY)] == [(10, {"b": 2.0}), (30, {"a": 1.0})]


async def test_a_file_a_day_of_arrival(sink: Sink, directory: Path) -> None:
    batch = rows({"x": F64}, (1.0,), (2.0,))
    batch.gateway_time[1] += DAY
    await sink.write([batch])
    assert read(directory / TODAY)[0]["values"] == {"x": 1.0}
    assert read(directory / "telemetry-2023-11-15.jsonl")[0]["values"] == {"x": 2.0}


async def test_events_have_files_of_their_own(sink: Sink, directory: Path) -> None:
    raised = AlarmChanged(
        START, "hot", "pump-1/t", AlarmState.UNACKNOWLEDGED, AlarmState.NORMAL, "high", float("nan"), "Hot"
    )
    await sink.report([raised, DataLost(START + DAY, 5, "quota")])
    (line,) = read(directory / "events-2023-11-14.jsonl")
    assert line == {
        "site": "plant-1",
        "cell": "line-a",
        "type": "AlarmChanged",
        "time": START,
        "alarm": "hot",
        "tag": "pump-1/t",
        "state": "unacknowledged",
        "previous": "normal",
        "priority": "high",
        "value": None,
        "message": "Hot",
        "actor": "",
        "comment": "",
        "move": "",
        "latched": False,
        "suppressed": False,
        "shelved_until": 0,
        "out_of_service": False,
        "command": "",
        "revision": "",
    }
    assert read(directory / "events-2023-11-15.jsonl")[0]["points"] == 5


async def test_nothing_to_say_makes_no_file(sink: Sink, directory: Path) -> None:
    await sink.write([rows({"x": F64}, (1.0,), present=[[False]])])
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize("torn", [b"{", b"x" * 200_000, b"\x00" * 4096])
@pytest.mark.parametrize("whole", [b"", b'{"a": 1}\n{"a": 2}\n'])
async def test_a_torn_last_line_is_cut_off(sink: Sink, directory: Path, whole: bytes, torn: bytes) -> None:
    directory.mkdir(parents=True)
    (directory / TODAY).write_bytes(whole + torn)
    await sink.write([rows({"x": F64}, (1.0,))])
    body = (directory / TODAY).read_bytes()
    assert body.startswith(whole + b'{"time":')
    assert body.count(b"\n") == whole.count(b"\n") + 1


async def test_whole_lines_stay_as_they_are(sink: Sink, directory: Path) -> None:
    await sink.write([rows({"x": F64}, (1.0,))])
    before = (directory / TODAY).read_bytes()
    await sink.write([rows({"x": F64}, (1.0,))])
    assert (directory / TODAY).read_bytes() == before * 2


async def test_lines_are_on_disk_before_a_write_returns(
    sink: Sink, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[str, int]] = []

    def fsync(descriptor: int) -> None:
        synced.append((os.readlink(f"/proc/self/fd/{descriptor}"), os.fstat(descriptor).st_size))

    monkeypatch.setattr(os, "fsync", fsync)
    await sink.write([rows({"x": F64}, (1.0,))])
    path = directory / TODAY
    assert (str(path), path.stat().st_size) in synced
    assert str(directory) in [name for name, _ in synced]


async def test_what_does_not_fit_is_a_lost_connection_and_is_mended(sink: Sink, directory: Path) -> None:
    await sink.write([rows({"x": F64}, (1.0,))])
    path = directory / TODAY
    size = path.stat().st_size
    with file_size_limit(size + 10), pytest.raises(ConnectionLost, match="cannot be written"):
        await sink.write([rows({"x": F64}, (2.0,))])
    assert path.stat().st_size == size + 10
    await sink.write([rows({"x": F64}, (2.0,))])
    assert [line["values"] for line in read(path)] == [{"x": 1.0}, {"x": 2.0}]


async def test_a_place_that_is_no_directory_is_a_lost_connection(sink: Sink, directory: Path) -> None:
    directory.parent.mkdir()
    directory.write_text("a file")
    with pytest.raises(ConnectionLost, match="cannot be written"):
        await sink.write([rows({"x": F64}, (1.0,))])
