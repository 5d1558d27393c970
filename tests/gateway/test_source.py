"""The files of a configuration, and copies of them in their place."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway import settings
from gateway.problems import InvalidConfiguration, Report
from gateway.source import Copies, Source, data_of

ROOT = "site: plant-1\ncell: line-a\ndata: state\ninclude: [sub/links.yaml]\n"
LINKS = "links: {floor: {driver: mqtt, host: broker, tls: {ca: ca.pem}}}\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/links.yaml").write_text(LINKS)
    (tmp_path / "edgeward.yaml").write_text(ROOT)
    return tmp_path / "edgeward.yaml"


def test_what_was_judged_is_remembered(path: Path) -> None:
    source = Source(path)
    settings.load(path, source)
    assert list(source.contents.items()) == [("edgeward.yaml", ROOT.encode()), ("sub/links.yaml", LINKS.encode())]


def test_copies_stand_where_the_files_stood(path: Path) -> None:
    source = Source(path)
    before = settings.load(path, source)
    path.write_text("")
    (path.parent / "sub/links.yaml").unlink()
    after = settings.load(path, Copies(path, source.contents))
    assert after == before
    assert after.data == path.parent / "state"
    assert after.links[0].settings.tls.ca == path.parent / "sub/ca.pem"  # type: ignore[attr-defined]


def test_a_copy_that_is_missing(path: Path) -> None:
    with pytest.raises(InvalidConfiguration, match="no copy of this file was kept"):
        settings.load(path, Copies(path, {"edgeward.yaml": ROOT.encode()}))
    with pytest.raises(InvalidConfiguration, match="no copy of this file was kept"):
        settings.load(path, Copies(path, {}))


def test_data_of(path: Path) -> None:
    assert data_of(path, Report()) == path.parent / "state"
    path.write_text("site: x\nnonsense: [1]\n")
    assert data_of(path, Report()) == path.parent / "data"
    for broken in ("", "site: [", "data: {"):
        path.write_text(broken)
        report = Report()
        assert data_of(path, report) is None
        assert report
