"""What `edgeward check` prints, for people and for programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.cli import check

GOOD = """\
site: plant-1
cell: line-a
links: {press-bus: {driver: modbus, host: 192.0.2.10}}
devices:
  press-1:
    link: press-bus
    groups:
      fast: {interval: 1s, tags: {level: {address: input:0, type: uint16}, flow: {address: input:1, type: uint16}}}
"""
BAD = "site: plant-1\nlink: {}\n"


def test_a_good_configuration_is_summed_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "plant.yaml"
    path.write_text(GOOD)
    assert check.run(path, json=False) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"{path}: 1 link, 1 device, 2 tags, 0 rules, 0 sinks"
    assert "not a safety function (IEC 61508, IEC 61511, ISO 13849)" in second


def test_every_problem_is_printed_as_it_reads_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("plant.yaml").write_text(BAD)
    assert check.run(Path("plant.yaml"), json=False) == 1
    assert capsys.readouterr().out.splitlines() == [
        'plant.yaml:1:1: missing key "cell"',
        "    the name of this cell, unique in the plant",
        'plant.yaml:2:1: unknown key "link"',
        '    did you mean "links"?',
        "2 problems",
    ]


def test_what_people_write_is_never_markup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("plant.yaml").write_text("site: a\ncell: b\n'[red]x[/]': 1\n")
    assert check.run(Path("plant.yaml"), json=False) == 1
    assert 'unknown key "[red]x[/]"' in capsys.readouterr().out


def test_json_says_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "plant.yaml"
    path.write_text(GOOD)
    assert check.run(path, json=True) == 0
    good = json.loads(capsys.readouterr().out)
    assert (good["valid"], good["links"], good["tags"]) == (True, 1, 2)
    path.write_text(BAD)
    assert check.run(path, json=True) == 1
    bad = json.loads(capsys.readouterr().out)
    assert bad["valid"] is False
    assert bad["problems"][1] == {
        "file": str(path),
        "line": 2,
        "column": 1,
        "message": 'unknown key "link"',
        "hint": 'did you mean "links"?',
    }
