"""What was accepted is remembered: whole, whenever the power fails, and whoever damages a file."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.generation import Archive, Generation

ONE = {"edgeward.yaml": b"site: one\n", "sub/rules.yaml": b"rules: {}\n"}
TWO = {"edgeward.yaml": b"site: two\n", "sub/rules.yaml": b"rules: {a: 1}\n"}
THREE = {"edgeward.yaml": b"site: three\n"}

_STEPS = ((os, "fsync"), (os, "replace"), (os, "open"), (Path, "rename"), (Path, "mkdir"))


def contents(archive: Archive) -> dict[str, bytes]:
    kept = archive.last()
    assert kept is not None
    return dict(kept.contents)


def test_nothing_was_accepted(tmp_path: Path) -> None:
    assert Archive(tmp_path).last() is None


def test_it_comes_back(tmp_path: Path) -> None:
    generation = Archive(tmp_path).remember(ONE, 5)
    digest = hashlib.sha256(b"site: one\nrules: {}\n").hexdigest()
    assert generation == Generation(1, digest, 5, ("edgeward.yaml", "sub/rules.yaml"))
    assert Archive(tmp_path).last() == (generation, ONE)


def test_the_same_files_are_the_same_generation(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    first = archive.remember(ONE, 1)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert archive.remember(ONE, 2) == first
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert archive.remember(TWO, 3).number == 2
    again = archive.remember(ONE, 4)
    assert (again.number, again.sha256) == (3, first.sha256)


def test_the_last_two_are_kept(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    for number in range(12):
        archive.remember({"edgeward.yaml": b"%d" % number}, number)
    assert sorted(path.name for path in (tmp_path / "generation").iterdir()) == ["11", "12"]
    assert contents(archive) == {"edgeward.yaml": b"11"}


def test_only_the_owner_reads_it(tmp_path: Path) -> None:
    Archive(tmp_path).remember(ONE, 1)
    for path in (tmp_path / "generation" / "1").iterdir():
        assert path.stat().st_mode & 0o077 == 0
    assert (tmp_path / "generation" / "1").stat().st_mode & 0o077 == 0


def test_files_of_one_name_in_two_folders(tmp_path: Path) -> None:
    both = {"a/x.yaml": b"1", "b/x.yaml": b"2"}
    Archive(tmp_path).remember(both, 1)
    assert contents(Archive(tmp_path)) == both


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b""), lambda path: path.write_bytes(b"\0" * 200)])
def test_a_damaged_record_costs_nothing(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    archive = Archive(tmp_path)
    archive.remember(ONE, 1)
    archive.remember(TWO, 2)
    damage(tmp_path / "generation.json")
    assert contents(archive) == TWO
    assert archive.remember(TWO, 3).number == 2, "and it is mended"
    assert (tmp_path / "generation.json").read_bytes().startswith(b'{"number":2,')


@pytest.mark.parametrize("name", ["0-edgeward.yaml", "1-rules.yaml", "generation.json"])
@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b"\0" * 10), lambda path: path.unlink()])
def test_of_a_damaged_copy_the_one_before(
    tmp_path: Path, name: str, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    archive = Archive(tmp_path)
    archive.remember(ONE, 1)
    archive.remember(TWO, 2)
    damage(tmp_path / "generation" / "2" / name)
    with caplog.at_level(logging.ERROR):
        assert contents(archive) == ONE
    assert "generation 2" in caplog.text
    assert archive.remember(THREE, 3).number == 3
    assert contents(archive) == THREE


def test_both_copies_are_damaged(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    archive.remember(ONE, 1)
    archive.remember(TWO, 2)
    for number in ("1", "2"):
        (tmp_path / "generation" / number / "0-edgeward.yaml").write_bytes(b"")
    assert archive.last() is None
    assert archive.remember(TWO, 3).number == 3


def test_cut_short_at_any_step_one_generation_is_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step that touches the disk fails once, as the last thing that happens; then somebody else looks."""
    outcomes = set()
    for step in range(1, 100):
        folder = tmp_path / str(step)
        Archive(folder).remember(ONE, 1)
        with monkeypatch.context() as patch:
            left = [step]
            for owner, name in _STEPS:
                patch.setattr(owner, name, _failing(getattr(owner, name), left))
            try:
                Archive(folder).remember(TWO, 2)
            except OSError:
                pass
            else:
                break
        kept = Archive(folder).last()
        assert kept is not None
        assert kept.contents in (ONE, TWO)
        outcomes.add(bytes(kept.contents["edgeward.yaml"]))
        assert Archive(folder).remember(THREE, 3).number > kept.generation.number, "the next reload works"
        assert contents(Archive(folder)) == THREE
        shutil.rmtree(folder)
    assert step > 10, "every step was met"
    assert len(outcomes) == 2, "before and after"


def _failing(step: Callable[..., object], left: list[int]) -> Callable[..., object]:
    def call(*arguments: object, **options: object) -> object:
        left[0] -= 1
        if left[0] <= 0:
            raise OSError(28, "No space left on device")
        return step(*arguments, **options)

    return call
