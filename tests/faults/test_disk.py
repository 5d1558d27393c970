"""The model of a disk that loses power, on disks small enough to be seen through."""

from __future__ import annotations

import random

import pytest

from tests.faults.disk import LOSSES, NAMES, Disk, Loss, Names
from tests.faults.trace import Create, Operation, Remove, Rename, Sync, Truncate, Write, read

ROOT = "/d"
WRITTEN: tuple[Operation, ...] = (Create("/d/a"), Write("/d/a", 0, b"old"), Sync("/d/a", 2), Sync("/d", 3))


def files(operations: tuple[Operation, ...], names: Names, loss: Loss, seed: int = 0) -> dict[str, bytes]:
    disk = Disk(ROOT, names)
    for operation in operations:
        disk.apply(operation)
    image = disk.image(loss, random.Random(seed))
    return {path: bytes(content.data) for path, content in image.files.items() if content is not None}


@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize("loss", LOSSES)
def test_what_is_synced_stays(names: Names, loss: Loss) -> None:
    assert files(WRITTEN, names, loss) == {"a": b"old"}


@pytest.mark.parametrize("names", NAMES)
def test_what_is_not_synced_may_be_gone_or_there(names: Names) -> None:
    more = (*WRITTEN, Write("/d/a", 0, b"new"), Truncate("/d/a", 2))
    assert files(more, names, "dropped") == {"a": b"old"}
    assert files(more, names, "kept") == {"a": b"ne"}
    found = {files(more, names, "some", seed)["a"] for seed in range(200)}
    assert found == {b"old", b"new", b"ol", b"ne"}


def test_a_name_needs_its_directory_to_be_synced_or_a_journal() -> None:
    named = (Create("/d/a"), Write("/d/a", 0, b"x"), Sync("/d/a", 2))
    assert files(named, "strict", "dropped") == {}
    assert files(named, "journaled", "dropped") == {"a": b"x"}


@pytest.mark.parametrize("names", NAMES)
def test_a_rename_is_whole_or_not_at_all(names: Names) -> None:
    renamed = (*WRITTEN, Create("/d/b"), Write("/d/b", 0, b"new"), Sync("/d/b", 6), Rename("/d/b", "/d/a"))
    found = {files(renamed, names, "some", seed)["a"] for seed in range(50)}
    assert found == {b"old", b"new"}


def test_a_removal_that_is_not_synced_may_be_undone() -> None:
    removed = (*WRITTEN, Remove("/d/a"))
    assert files(removed, "strict", "dropped") == {"a": b"old"}
    assert files(removed, "strict", "kept") == {}


def test_writes_are_torn_between_sectors() -> None:
    torn = (*WRITTEN, Write("/d/a", 0, b"n" * 1024))
    found = {files(torn, "strict", "torn", seed)["a"] for seed in range(50)}
    assert found == {b"old", b"n" * 512, b"old" + bytes(509) + b"n" * 512, b"n" * 1024}


def test_a_sync_covers_what_had_ended_when_it_began() -> None:
    late = (Create("/d/a"), Sync("/d", 1), Write("/d/a", 0, b"x"), Sync("/d/a", 2))
    assert files(late, "strict", "dropped") == {"a": b""}


def quoted(text: str) -> str:
    return '"' + "".join(f"\\x{byte:02x}" for byte in text.encode()) + '"'


def test_calls_of_several_threads_are_put_together() -> None:
    path = quoted("/d/a").strip('"')
    lines = [
        f"7 1.0 openat(AT_FDCWD<{path}>, {quoted('/d/a')}, O_RDWR|O_CREAT, 0600) = 3<{path}>",
        f"7 1.1 pwrite64(3<{path}>, {quoted('hello')}, 5, 4096) = 5",
        f"7 1.2 fdatasync(3<{path}> <unfinished ...>",
        f"8 1.3 write(99<{path.replace('x64', 'x65')}>, {quoted('READY')}, 6) = 6",
        f"8 1.4 pwrite64(3<{path}>, {quoted('x')}, 1, 0) = 1",
        "7 1.5 <... fdatasync resumed>) = 0",
        f"7 1.6 unlink({quoted('/d/a')}) = -1 ENOENT (No such file or directory)",
    ]
    *first, said, second, sync = read(lines, "/d", 99)
    assert first == [Create("/d/a"), Write("/d/a", 4096, b"hello")]
    assert getattr(said, "line", "") == "READY"
    assert (second, sync) == (Write("/d/a", 0, b"x"), Sync("/d/a", 2))
