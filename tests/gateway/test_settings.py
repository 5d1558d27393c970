"""A configuration becomes the objects that a cell is made of, or a list of all that is wrong with it.

The wrong ones are files: `tests/cases/config/NAME.yaml`, or `NAME/plant.yaml` where it takes several, and beside it
`NAME.expected` with what has to be said.
"""

from __future__ import annotations

import copy
import functools
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gateway import plugins, settings
from gateway.clock import MILLISECOND, SECOND
from gateway.model import TagGroup, ValueType
from gateway.problems import InvalidConfiguration, Place, Problem, Report
from gateway.settings import Configuration

CASES = Path(__file__).parents[1] / "cases" / "config"
EXAMPLES = Path(__file__).parents[2] / "config" / "examples"

PLANT = """\
site: plant-1
cell: line-a
links:
  press-bus: {driver: modbus, host: 192.0.2.10}
  spare: {driver: modbus, host: 192.0.2.11}
devices:
  press-1:
    link: press-bus
    unit: 7
    groups:
      fast:
        interval: 100ms
        tags:
          oil.pressure: {address: input:0, type: float32, unit: bar, range: [0, 400], deadband: 0.5}
          run: {address: coil:3, type: bool, writable: true, description: the main motor}
      slow: {interval: 10s, stale_after: 15s, tags: {cycles: {address: holding:0, type: uint32}}}
sinks:
  archive: {sink: files, directory: archive}
rules:
  high:
    limit: {tag: press-1/oil.pressure, high: 300}
    priority: high
    write: {tag: press-1/run, value: false}
"""


def load(path: Path, text: str = PLANT) -> Configuration:
    path.write_text(text, encoding="utf-8")
    return settings.load(path)


def problems(path: Path, text: str) -> tuple[Problem, ...]:
    """What is wrong with a configuration; nothing where it can be used."""
    try:
        load(path, text)
    except InvalidConfiguration as error:
        return error.problems
    return ()


def groups(configuration: Configuration) -> dict[str, TagGroup]:
    return {group.id: group for link in configuration.links for device in link.devices for group in device.groups}


@pytest.mark.parametrize("expected", sorted(CASES.glob("*.expected")), ids=lambda path: path.stem)
def test_every_mistake_is_told_with_its_place(expected: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CASES)
    path = Path(expected.stem, "plant.yaml") if Path(expected.stem).is_dir() else Path(f"{expected.stem}.yaml")
    with pytest.raises(InvalidConfiguration) as caught:
        settings.load(path)
    assert f"{caught.value}\n" == expected.read_text(encoding="utf-8")


def test_no_case_is_without_its_expectation() -> None:
    cases = {path.stem for path in CASES.glob("*.yaml")} | {path.name for path in CASES.iterdir() if path.is_dir()}
    assert cases == {path.stem for path in CASES.glob("*.expected")}


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_examples_are_right(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("INFLUX_TOKEN", "MQTT_PASSWORD", "PLC_PASSWORD"):
        monkeypatch.setenv(name, "secret")
    assert settings.load(path).links


def test_links_devices_and_groups_come_out_as_the_model_has_them(tmp_path: Path) -> None:
    configuration = load(tmp_path / "plant.yaml")
    bus, spare = configuration.links
    assert (bus.id, bus.driver, [device.id for device in bus.devices]) == ("press-bus", "modbus", ["press-1"])
    assert (spare.id, spare.devices) == ("spare", ())
    fast, slow = groups(configuration).values()
    assert (fast.interval, fast.stale_after) == (100 * MILLISECOND, 1000 * MILLISECOND)
    assert (slow.interval, slow.stale_after) == (10 * SECOND, 15 * SECOND)
    assert [tag.id for tag in fast.columns] == ["press-1/run", "press-1/oil.pressure"]  # sorted by type
    oil = fast.columns[1]
    assert (oil.type, oil.unit, oil.range, oil.deadband, oil.writable) == (
        ValueType.FLOAT32,
        "bar",
        (0.0, 400.0),
        0.5,
        False,
    )
    assert (fast.columns[0].writable, fast.columns[0].description) == (True, "the main motor")


def test_the_rest_comes_out_typed_and_with_its_defaults(tmp_path: Path) -> None:
    configuration = load(tmp_path / "plant.yaml")
    assert (configuration.site, configuration.cell) == ("plant-1", "line-a")
    assert (configuration.http.host, configuration.http.port) == ("127.0.0.1", 9273)
    assert configuration.journal.commit_interval == 100 * MILLISECOND
    (rule,) = configuration.rules
    assert (rule.name, rule.condition, rule.condition_settings.tags()) == ("high", "limit", ("press-1/oil.pressure",))
    (sink,) = configuration.sinks
    assert (sink.name, sink.module.__name__) == ("archive", "gateway.sinks.files")
    assert configuration.files == (tmp_path / "plant.yaml",)


def test_a_path_is_relative_to_the_file_in_which_it_stands(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "token").write_text("secret\n")
    (tmp_path / "more" / "sinks.yaml").write_text("sinks: {near: {sink: files, directory: archive}}\n")
    text = f"include: [more/sinks.yaml]\njournal: {{key: {{file: more/token}}}}\n{PLANT}"
    configuration = load(tmp_path / "plant.yaml", text)
    directories = {sink.name: dict(sink.settings)["directory"] for sink in configuration.sinks}
    assert directories == {"archive": tmp_path / "archive", "near": tmp_path / "more" / "archive"}
    assert configuration.data == tmp_path / "data"
    assert configuration.journal.key is not None
    assert configuration.journal.key.reveal() == "secret"
    assert configuration.files == (tmp_path / "plant.yaml", tmp_path / "more" / "sinks.yaml")


def test_a_secret_in_a_mapping_is_relative_to_its_file_too(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "key").write_text("secret\n")
    sink = "{sink: http, url: https://h/in, headers: {X-Plant: one, X-Key: {file: key}}}"
    (tmp_path / "more" / "sinks.yaml").write_text(f"sinks: {{far: {sink}}}\n")
    configuration = load(tmp_path / "plant.yaml", f"include: [more/sinks.yaml]\n{PLANT}")
    (far,) = [sink for sink in configuration.sinks if sink.name == "far"]
    headers = dict(far.settings)["headers"]
    assert headers["X-Plant"] == "one"
    assert headers["X-Key"].reveal() == "secret"


def test_a_device_goes_before_its_template(tmp_path: Path) -> None:
    text = """\
site: plant-1
cell: line-a
links: {bus: {driver: modbus, host: 192.0.2.10}}
templates:
  pump:
    link: bus
    unit: 1
    groups:
      fast: {interval: 1s, tags: {speed: {address: input:0, type: uint16}}}
      slow: {interval: 10s, tags: {hours: {address: input:9, type: uint32}}}
devices:
  pump-1: {template: pump}
  pump-2: {template: pump, unit: 2, groups: {fast: {interval: 5s, tags: {current: {address: input:4, type: uint16}}}}}
"""
    configuration = load(tmp_path / "plant.yaml", text)
    assert [dict(device.settings)["unit"] for device in configuration.links[0].devices] == [1, 2]  # type: ignore[call-overload]
    assert {id_: [tag.name for tag in group.columns] for id_, group in groups(configuration).items()} == {
        "pump-1/fast": ["speed"],
        "pump-1/slow": ["hours"],
        "pump-2/fast": ["current"],
        "pump-2/slow": ["hours"],
    }


@pytest.mark.parametrize(
    "secret", ["hunter2", "[hunter2]", "{value: hunter2}", "{env: {hunter2: 1}}", "|-\n    hunter2"]
)
def test_a_secret_in_the_wrong_place_is_not_repeated(tmp_path: Path, secret: str) -> None:
    with pytest.raises(InvalidConfiguration) as caught:
        load(tmp_path / "plant.yaml", f"{PLANT}journal:\n  key: {secret}\n")
    assert "journal.key" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_six_thousand_tags_are_read_in_well_under_two_seconds(tmp_path: Path) -> None:
    tags = "".join(f"          t{i}: {{address: input:{2 * i}, type: float32, range: [0, 400]}}\n" for i in range(100))
    body = f"    groups:\n      fast:\n        interval: 1s\n        tags:\n{tags}"
    devices = "".join(f"  d{i}:\n    link: bus\n    unit: {i}\n{body}" for i in range(64))
    rules = "".join(f"  r{i}: {{limit: {{tag: d{i % 64}/t{i % 100}, high: 80}}}}\n" for i in range(1000))
    text = "site: s\ncell: c\nlinks: {bus: {driver: modbus, host: 192.0.2.10}}\n"
    start = time.process_time()
    configuration = load(tmp_path / "plant.yaml", f"{text}devices:\n{devices}rules:\n{rules}")
    assert time.process_time() - start < 2
    assert sum(len(group.columns) for group in groups(configuration).values()) == 6400


def test_one_mistake_in_a_template_is_one_problem() -> None:
    report = Report()
    report.add(Place("plant.yaml", 5, 3), "unknown key", "", ("devices", "a"))
    report.add(Place("plant.yaml", 5, 3), "unknown key", "", ("devices", "b"))
    assert [str(problem) for problem in report] == ["plant.yaml:5:3: unknown key in devices.a"]


LINES = PLANT.splitlines()


@hypothesis.settings(deadline=None)
@given(
    st.integers(0, len(LINES) - 1), st.integers(0, 60), st.sampled_from([*"{}[],:0-", "null", "\n", "{}", "9e9", "x"])
)
def test_one_wrong_stroke_is_a_problem_or_another_configuration(
    tmp_path_factory: pytest.TempPathFactory, line: int, column: int, stroke: str
) -> None:
    lines = list(LINES)
    lines[line] = lines[line][:column] + stroke + lines[line][column + 1 :]
    found = problems(tmp_path_factory.getbasetemp() / "stroke.yaml", "\n".join(lines))
    assert all(problem.message and problem.line <= len(lines) + 2 for problem in found)


def ways(value: object, keys: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The way to every key of nested mappings."""
    for key, inner in value.items() if isinstance(value, dict) else ():
        yield (*keys, key)
        yield from ways(inner, (*keys, key))


WAYS = list(ways(yaml.safe_load(PLANT)))
SHAPES: st.SearchStrategy[object] = st.sampled_from(
    [None, True, 0, -1.5, 2**70, "", "x", [], [[]], ["x"], {}, {"x": {}}, {"x": [{"y": None}]}, [{}]]
)


@hypothesis.settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(WAYS), SHAPES), max_size=3))
def test_any_shape_in_any_place_is_a_problem_or_another_configuration(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[tuple[str, ...], object]]
) -> None:
    data = yaml.safe_load(PLANT)
    for (*outer, last), value in changes:
        inner = functools.reduce(lambda node, key: node.get(key, {}) if isinstance(node, dict) else {}, outer, data)
        if isinstance(inner, dict):
            inner[last] = copy.deepcopy(value)
    found = problems(tmp_path_factory.getbasetemp() / "shape.yaml", json.dumps(data))
    assert all(problem.message and problem.line == 1 for problem in found)


@pytest.mark.parametrize("name", ["x" * 5000, "circle.yaml", "folder", "nothing/there.yaml", "plant.yaml/there.yaml"])
def test_an_include_that_is_no_file_is_a_problem_where_it_stands(tmp_path: Path, name: str) -> None:
    (tmp_path / "circle.yaml").symlink_to("circle.yaml")
    (tmp_path / "folder").mkdir()
    (problem,) = problems(tmp_path / "plant.yaml", f"include: [{name}]\n{PLANT}")
    assert (problem.line, problem.column) == (1, 11)
    assert problem.message.startswith("cannot include")


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "outside.yaml").write_text("rules: {}\n")
    (tmp_path / "inside" / "more.yaml").symlink_to("../outside.yaml")
    (problem,) = problems(tmp_path / "inside" / "plant.yaml", f"include: [more.yaml]\n{PLANT}")
    assert "lies outside" in problem.message


def test_a_path_that_goes_in_a_circle_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "circle.yaml").symlink_to("circle.yaml")
    with pytest.raises(InvalidConfiguration, match="there is no such file"):
        settings.load(tmp_path / "circle.yaml")


def test_a_rule_has_one_condition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = tmp_path / "shelf_of_conditions"
    shelf.mkdir()
    for name in ("__init__", "limit", "band"):
        (shelf / f"{name}.py").write_text("from rules.conditions.limit import Condition, Settings\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(plugins.PACKAGES, "condition", shelf.name)
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    (problem,) = problems(tmp_path / "plant.yaml", f"{PLANT}    band: {{tag: press-1/oil.pressure, low: 5}}\n")
    assert problem.message == "a rule has one condition in rules.high"
    assert problem.hint == "found limit, band; make a rule of each"
