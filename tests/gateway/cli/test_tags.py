"""Tags out of a configuration and back into it, as people do it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.cli import main, tags
from gateway.settings import Configuration, load

MODBUS = """\
site: plant-1  # ours
cell: line-a
links: {bus: {driver: modbus, host: 192.0.2.10}}
devices:
  # the press
  press-1:
    link: bus
    groups:
      fast:
        interval: 1s
        tags:  # as on page 12
          level: {address: input:0, type: uint16, range: [0, 50.5]}  # litres
          "on": {address: coil:3, type: bool, description: "=HYPERLINK(1)"}
rules:
  full: {limit: {tag: press-1/level, high: 40}, message: full}
"""
HEAD = "device,group,tag,type,unit,low,high,deadband,writable,description,address,raw,order,scale,offset,length"

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    monkeypatch.chdir(tmp_path)

    def make(name: str, text: str) -> Path:
        path = Path(name)
        path.write_text(text, encoding="utf-8", newline="")
        return path

    return make


def alike(one: Configuration, other: Configuration) -> bool:
    """Groups are only the same as themselves, so what they are made of is compared."""

    def seen(of: Configuration) -> list[object]:
        groups = [group for link in of.links for device in link.devices for group in device.groups]
        return [(group.id, group.columns, group.settings) for group in groups]

    return seen(one) == seen(other)


def export(path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert tags.export(path, None, force=False) == 0
    return capsys.readouterr().out


def test_export(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    assert export(write("plant.yaml", MODBUS), capsys).splitlines() == [
        HEAD,
        "press-1,fast,level,uint16,,0,50.5,,,,input:0,,,,,",
        "press-1,fast,on,bool,,,,,,'=HYPERLINK(1),coil:3,,,,,",
    ]


def test_what_comes_back_unchanged_changes_nothing(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    path = write("plant.yaml", MODBUS)
    assert main(["tags", "export", "plant.yaml", "-o", "tags.csv"]) == 0
    assert Path("tags.csv").read_bytes().startswith(b"\xef\xbb\xbfdevice,")
    assert main(["tags", "import", "tags.csv", "plant.yaml"]) == 0
    assert path.read_text() == MODBUS
    assert capsys.readouterr().out == "plant.yaml: 0 tags changed, 0 added, 2 as they were\n"


def test_a_change_and_an_addition_leave_everything_else_as_it_is(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write("plant.yaml", MODBUS)
    sheet = export(path, capsys).replace(",uint16,,0,50.5,", ",uint16,l,0,60,")
    sheet += "press-1,fast,oil,float32,bar,,,0.5,true,öl,holding:8,int16,,0.1,,\r\n"
    assert tags.take(write("tags.csv", sheet), path) == 0
    assert path.read_text(encoding="utf-8") == MODBUS.replace("range: [0, 50.5]}", "range: [0, 60], unit: l}").replace(
        '"=HYPERLINK(1)"}\n',
        '"=HYPERLINK(1)"}\n          oil: {address: holding:8, raw: int16, scale: 0.1, type: float32, unit: bar, '
        'deadband: 0.5, writable: true, description: "öl"}\n',
    )
    assert capsys.readouterr().out == "plant.yaml: 1 tags changed, 1 added, 1 as they were\n"
    assert load(path).links[0].devices[0].groups[0].columns[-1].unit == "bar"


EXAMPLES = sorted(Path("config/examples").resolve().glob("*.yaml"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_examples_go_round(example: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Out, all tags to something else, and back: the same configuration."""
    for name in ("INFLUX_TOKEN", "MQTT_PASSWORD", "PLC_PASSWORD"):
        monkeypatch.setenv(name, "x")
    shutil.copytree(example.parent, tmp_path / "examples")
    path = tmp_path / "examples" / example.name
    before, text, sheet = load(path), path.read_bytes(), tmp_path / "tags.csv"
    assert tags.export(path, sheet, force=False) == 0
    changed = tmp_path / "changed.csv"
    rows = sheet.read_text(encoding="utf-8-sig").splitlines()
    description = rows[0].split(",").index("description")
    changed.write_text("\n".join([rows[0], *(_described(row, description) for row in rows[1:])]))
    assert tags.take(changed, path) == 0
    assert not alike(load(path), before)
    assert b"x\xc3\xa4" in b"".join(each.read_bytes() for each in path.parent.rglob("*.yaml"))
    assert tags.take(sheet, path) == 0
    assert alike(load(path), before)
    comments = [line for line in text.splitlines() if line.lstrip().startswith(b"#")]
    assert [line for line in path.read_bytes().splitlines() if line.lstrip().startswith(b"#")] == comments


def _described(row: str, column: int) -> str:
    cells = row.split(",", column + 1)
    cells[column] = "xä"
    return ",".join(cells)


TEMPLATE = """\
site: a
cell: b
links: {bus: {driver: modbus, host: h}}
templates:
  pump: {link: bus, groups: {g: {interval: 1s, tags: {level: {address: input:0, type: uint16}}}}}
devices:
  pump-1: {template: pump, unit: 1}
  pump-2: {template: pump, unit: 2}
"""


def test_devices_of_one_template_change_together(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    path = write("plant.yaml", TEMPLATE)
    sheet = export(path, capsys)
    assert tags.take(write("tags.csv", sheet.replace("uint16", "int16")), path) == 0
    assert path.read_text() == TEMPLATE.replace("uint16", "int16")
    assert "2 tags changed" in capsys.readouterr().out


def test_devices_of_one_template_cannot_differ(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    path = write("plant.yaml", TEMPLATE)
    sheet = export(path, capsys)
    assert tags.take(write("tags.csv", sheet.replace("uint16", "int16", 1)), path) == 1
    assert capsys.readouterr().out.splitlines() == [
        'tags.csv:2:3: pump-1, pump-2 share the tag "level" through a template, and the rows differ',
        "    say the same in the rows of all, or give the device a group of its own in the configuration",
        "1 problem",
    ]
    assert path.read_text() == TEMPLATE


def test_tags_in_an_included_file_are_changed_there(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    top = "site: a\ncell: b\ninclude: [machines.yaml]\n"
    path = write("plant.yaml", top)
    rest = MODBUS.partition("cell: line-a\n")[2]
    other = write("machines.yaml", "\ufeff" + rest)
    assert tags.take(write("tags.csv", export(path, capsys).replace(",uint16,", ",int16,")), path) == 0
    assert path.read_text() == top
    assert other.read_text(encoding="utf-8") == "\ufeff" + rest.replace("uint16", "int16")


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("press-2,fast,x,bool,,,,,,,coil:9", 'tags.csv:2:1: unknown device "press-2"\n    did you mean "press-1"?'),
        (
            "press-1,slow,x,bool,,,,,,,coil:9",
            'tags.csv:2:2: unknown group "slow"\n    the groups of press-1 are fast; a new one is made in the '
            "configuration first",
        ),
        ("press-1,fast,x y,bool,,,,,,,coil:9", 'tags.csv:2:3: "x y" is not a name'),
        ("press-1,fast,x,boole,,,,,,,coil:9", "tags.csv:2:4: expected bool, int8"),
        ("press-1,fast,x,bool,,,,,maybe,,coil:9", 'tags.csv:2:9: expected true or false, found "maybe"'),
        (
            "press-1,fast,x,bool,,,,,,,coil:99999",
            "tags.csv:2:11: invalid value in press-1.x.address\n    the address 99999",
        ),
        ("press-1,fast,x,bool,,,,,,", 'tags.csv:2:3: missing key "address" in press-1.x'),
        ("press-1,fast,x,bool,,,,,,,coil:3", "tags.csv:2:3: press-1/x: lies on the same address as press-1/on"),
        ("press-1,fast,level,string,,,,,,,input:0,,,,,8", "plant.yaml:"),
        (
            "press-1,fast,x,uint16,,5,1,,,,input:9",
            "tags.csv:2:3: invalid settings in press-1.x\n    the range [5, 1] is empty",
        ),
    ],
)
def test_mistakes_have_a_row_and_a_column_and_change_nothing(
    write: Write, capsys: pytest.CaptureFixture[str], row: str, problem: str
) -> None:
    path = write("plant.yaml", MODBUS)
    assert tags.take(write("tags.csv", f"{HEAD}\n{row}\n"), path) == 1
    assert capsys.readouterr().out.startswith(problem)
    assert path.read_text() == MODBUS


def test_a_column_that_somebody_has_removed_takes_nothing_away(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write("plant.yaml", MODBUS.replace("type: uint16,", "type: float32, scale: 0.1, unit: l,"))
    before = path.read_text()
    sheet = "device;group;tag;type;address\npress-1;fast;level;float32;input:0\npress-1;fast;on;bool;coil:3\n"
    assert tags.take(write("tags.csv", sheet), path) == 0
    assert path.read_text() == before
    assert tags.take(write("tags.csv", sheet.replace("input:0", "input:8")), path) == 0
    assert path.read_text() == before.replace("input:0", "input:8")
    emptied = "device,group,tag,type,unit,address\npress-1,fast,level,float32,,input:8\n"
    assert tags.take(write("tags.csv", emptied), path) == 0
    assert path.read_text() == before.replace("input:0", "input:8").replace(" unit: l,", "")


def test_a_column_that_nobody_knows_is_told_once(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    path = write("plant.yaml", MODBUS)
    sheet = export(path, capsys).replace(",length\r", ",length,cabinet\r")
    assert tags.take(write("tags.csv", sheet), path) == 1
    assert capsys.readouterr().out.startswith('tags.csv:1:17: unknown column "cabinet"')


def test_a_tag_that_stands_twice(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    path = write("plant.yaml", MODBUS)
    row = "press-1,fast,x,bool,,,,,,,coil:9\n"
    assert tags.take(write("tags.csv", f"{HEAD}\n{row}{row}"), path) == 1
    assert capsys.readouterr().out.startswith(
        'tags.csv:3:3: the tag "press-1/x" stands here a second time\n    the first is in row 2\n'
    )


def test_nothing_is_overwritten_unless_forced(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    write("plant.yaml", MODBUS)
    csv = write("tags.csv", "precious")
    assert main(["tags", "export", "plant.yaml", "-o", "tags.csv"]) == 1
    assert "tags.csv exists already: choose another name, or --force" in capsys.readouterr().err
    assert csv.read_text() == "precious"
    assert main(["tags", "export", "plant.yaml", "-o", "tags.csv", "--force"]) == 0
    assert "press-1,fast,level" in csv.read_text()


def test_files_that_are_not_there(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    write("plant.yaml", MODBUS)
    assert main(["tags", "export", "other.yaml"]) == 1
    assert capsys.readouterr().out.startswith("other.yaml: there is no such file")
    assert main(["tags", "import", "other.csv", "plant.yaml"]) == 1
    assert "other.csv" in capsys.readouterr().err
