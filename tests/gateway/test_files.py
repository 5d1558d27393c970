"""A name is on disk when its directory is."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway import files
from gateway.cli import output


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders that were brought to disk, in order."""
    done: list[Path] = []
    monkeypatch.setattr(files, "sync", done.append)
    return done


def test_a_folder_is_on_disk_with_those_above_it(tmp_path: Path, synced: list[Path]) -> None:
    files.make(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    assert synced == [tmp_path, tmp_path / "a"]


def test_one_that_was_there_is_left_alone(tmp_path: Path, synced: list[Path]) -> None:
    files.make(tmp_path)
    assert synced == []


def test_a_file_that_a_command_writes_is_on_disk_under_its_name(tmp_path: Path, synced: list[Path]) -> None:
    output.replace(tmp_path / "site.yaml", b"site: plant\n")
    assert synced == [tmp_path]


def test_to_sync_is_no_error(tmp_path: Path) -> None:
    files.sync(tmp_path)
    with pytest.raises(FileNotFoundError):
        files.sync(tmp_path / "missing")
