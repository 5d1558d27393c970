"""The dashboards as files: up to date, the same in both languages, and right as far as Grafana's types and the front
end of the Flux compiler can tell. No Flux query is run here, and nothing is rendered."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import get_args

import pytest
import yaml

from gateway.model import AlarmState, DeviceState, Outcome, StatusCode
from rules.settings import Priority
from tests.docker.dashboards import DASHBOARDS, GRAFANA, ROOT, Json, Window, load
from tests.parts import grafana

BOARDS = {f"{language}/{name}": board for language in ("flux", "influxql") for name, board in load(language).items()}
FLUX = {name: board for name, board in BOARDS.items() if name.startswith("flux/")}
WINDOW = Window(0, 86_400_000)
COMPOSE: Json = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())["services"]

every_board = pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
every_flux_board = pytest.mark.parametrize("board", FLUX.values(), ids=FLUX)


def provisioned(folder: str, kind: str) -> Json:
    (file,) = (GRAFANA / folder / kind).iterdir()
    body: Json = yaml.safe_load(file.read_text())
    return body


# Made from their source


def test_they_are_made_from_their_source(tmp_path: Path) -> None:
    """Else: make dashboards."""
    grafana.build(tmp_path)
    made = {file.relative_to(tmp_path): file.read_text() for file in tmp_path.rglob("*.json")}
    assert made == {file.relative_to(DASHBOARDS): file.read_text() for file in DASHBOARDS.rglob("*.json")}


def test_there_are_five_in_each_language() -> None:
    assert [*load("flux")] == [*load("influxql")] == ["alarms", "device", "health", "maintenance", "plant"]


def test_addresses_are_unique() -> None:
    for language in ("flux", "influxql"):
        assert len({board["uid"] for board in load(language).values()}) == 5


@pytest.mark.parametrize("name", load("flux"))
def test_both_languages_show_the_same(name: str) -> None:
    """All but the queries is equal, and these ask for the same things."""
    flux, influxql = (copy.deepcopy(load(language)[name]) for language in ("flux", "influxql"))
    for one, other in zip(queries(flux), queries(influxql), strict=True):
        assert asked(one) == asked(other), (one, other)
    for board in (flux, influxql):
        for panel in board["panels"]:
            del panel["targets"]
        for variable in board["templating"]["list"]:
            variable.pop("query")
    assert flux == influxql


def queries(board: Json) -> Iterator[str]:
    for panel in board["panels"]:
        yield panel["targets"][0]["query"]


def asked(query: str) -> set[str]:
    """The measurements, the choices and the regular expressions of a query, whatever its language."""
    events = {name for name in ("alarms", "devices", "commands", "losses") if f'"{name}"' in query}
    return events | set(re.findall(r"/\S+?/(?=[ ),])", query))


# As Grafana wants them


@every_board
def test_panels_have_their_own_ids_and_places(board: Json) -> None:
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
    for one, other in combinations((panel["gridPos"] for panel in panels), 2):
        assert not overlap(one, other), (one, other)


def overlap(one: Json, other: Json) -> bool:
    beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
    return not (beside or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"])


@every_board
def test_everything_explains_itself(board: Json) -> None:
    titles = [panel["title"] for panel in board["panels"]]
    assert len(set(titles)) == len(titles)
    assert all(len(text) > 10 for text in [board["description"], *(panel["description"] for panel in board["panels"])])


@every_board
def test_links_lead_somewhere(board: Json) -> None:
    uids = {board["uid"] for board in BOARDS.values()}
    addresses = re.findall(r"'/d/([\w-]+)", str(board))
    assert set(addresses) <= uids
    assert board["links"][0]["tags"] == board["tags"]  # from each to all


@every_board
def test_what_a_query_needs_is_there_to_choose(board: Json) -> None:
    """And comes before whatever depends on it."""
    known = {"__from", "__to"}
    for variable in board["templating"]["list"]:
        assert set(re.findall(r"\$\{(\w+)", variable["query"])) <= known
        known.add(variable["name"])
    for query in queries(board):
        assert set(re.findall(r"\$\{(\w+)", query)) <= known
    assert all(panel.get("repeat", "cell") in known for panel in board["panels"])


@every_board
def test_every_state_has_a_colour(board: Json) -> None:
    """A panel that knows one state of a kind knows them all, and no other."""
    kinds: list[set[str]] = [set(AlarmState), set(DeviceState), set(Outcome), set(get_args(Priority))]
    known = [set(mapping["options"]) for mapping in mappings(board["panels"]) if mapping["type"] == "value"]
    for states in known:
        assert not any(states & kind for kind in kinds) or states in kinds


def mappings(part: object) -> Iterator[Json]:
    """All value mappings, at whatever depth."""
    if isinstance(part, list):
        for each in part:
            yield from mappings(each)
    elif isinstance(part, dict):
        if {"type", "options"} <= set(part) and part["type"] in ("value", "range"):
            yield part
        for each in part.values():
            yield from mappings(each)


def test_every_status_code_of_ours_has_words() -> None:
    panels = {panel["title"]: panel for panel in load("flux")["device"]["panels"]}
    exact = next(mappings(panels["What was not good"]))
    assert {int(code) for code in exact["options"]} == set(StatusCode)


def test_units_are_those_of_the_demo() -> None:
    """They follow whole names, and each is one of the demo's."""
    shown = {"celsius": "°C", "amp": "A", "percent": "%", "pressurebar": "bar", "ms": "ms"}
    overrides = [
        (re.compile(part["matcher"]["options"].strip("/")), part["properties"][0]["value"])
        for part in load("flux")["maintenance"]["panels"][0]["fieldConfig"]["overrides"]
    ]
    demo = demo_units()
    for pattern, unit in overrides:
        units = {known for name, known in demo if pattern.search(f"pump-1 {name}")}
        assert units == {shown.get(unit, unit.removeprefix("suffix:"))}, pattern
        assert not pattern.search("pump-1 bearing.temperature.limit")


def demo_units() -> set[tuple[str, str]]:
    machines: Json = yaml.safe_load((ROOT / "config" / "demo" / "machines.yaml").read_text())
    bodies = [*machines.get("templates", {}).values(), *machines["devices"].values()]
    groups = [group for body in bodies for group in body.get("groups", {}).values()]
    return {(name, tag["unit"]) for group in groups for name, tag in group["tags"].items() if "unit" in tag}


@pytest.mark.real("npm")
def test_types_are_grafanas() -> None:
    assert grafana.mistakes(BOARDS) == []


@pytest.mark.real("npm")
def test_types_catch_mistakes() -> None:
    """Each of these is a dashboard that Grafana would take, and show otherwise than meant."""
    names = ("whole", "live", "height", "kind", "unit", "custom")
    broken = {name: copy.deepcopy(BOARDS["flux/plant"]) for name in names}
    broken["live"]["liveNow"] = "yes"
    broken["height"]["panels"][0]["gridPos"]["h"] = "8"
    broken["kind"]["panels"][0]["options"]["graphMode"] = "sparkles"
    broken["unit"]["panels"][0]["fieldConfig"]["defaults"]["units"] = "bar"
    broken["custom"]["panels"][4]["fieldConfig"]["defaults"]["custom"]["filterabel"] = True
    found = grafana.mistakes(broken)
    assert {re.split("[:/]", words)[0] for words in found} == set(names) - {"whole"}, found


# As Flux wants them


@every_flux_board
def test_flux_asks_the_bucket_of_the_data_source(board: Json) -> None:
    asked = [*queries(board), *(each["query"] for each in board["templating"]["list"] if each["type"] == "query")]
    assert all(query.count("bucket: v.defaultBucket") == 1 for query in asked)


@pytest.mark.real("npm")
def test_flux_is_what_its_compiler_takes() -> None:
    asked = [(name, query) for name, board in FLUX.items() for query in filled(board)]
    verdicts = grafana.valid([query for _, query in asked])
    assert [pair for pair, is_valid in zip(asked, verdicts, strict=True) if not is_valid] == []


@pytest.mark.real("npm")
def test_the_flux_compiler_catches_mistakes() -> None:
    query = next(filled(FLUX["flux/plant"]))
    broken = [
        query.replace("sort(", "srot("),
        query.replace("sort(columns:", "sort(column:"),
        query.replace('sort(columns: ["_time"])', "sort(columns: 5)"),
        query.replace('"])', '"]'),
        query.replace("r.state", "r.state +"),
    ]
    assert grafana.valid([query, *broken]) == [True] + [False] * len(broken)


def filled(board: Json) -> Iterator[str]:
    """Its queries, and those of its lists, with something in the place of all that Grafana puts in."""
    texts = ["a.b", "c-1"]
    known = {variable["name"]: texts for variable in board["templating"]["list"]}
    for variable in board["templating"]["list"]:
        if variable["type"] == "textbox":
            known[variable["name"]] = [variable["query"]]
    for query in queries(board):
        yield WINDOW.flux(query, known)
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            yield WINDOW.flux(variable["query"], known)


# As they are provisioned


def test_the_data_source_is_that_of_the_compose_file() -> None:
    (source,) = provisioned("provisioning", "datasources")["datasources"]
    database = COMPOSE["influxdb"]["environment"]
    assert source["url"] == "http://influxdb:8086"
    assert source["jsonData"]["organization"] == database["DOCKER_INFLUXDB_INIT_ORG"]
    assert source["jsonData"]["defaultBucket"] == database["DOCKER_INFLUXDB_INIT_BUCKET"]
    assert "tokens:/tokens:ro" in COMPOSE["grafana"]["volumes"]
    script = (ROOT / "docker" / "influxdb" / "tokens.sh").read_text()
    assert "grant read grafana" in script
    assert '>"/tokens/$2/influxdb"' in script
    assert source["secureJsonData"] == {"token": "$__file{/tokens/grafana/influxdb}"}


@pytest.mark.parametrize(("folder", "language"), [("provisioning", "flux"), ("influxdb1", "influxql")])
def test_dashboards_go_with_their_data_source(folder: str, language: str) -> None:
    (source,) = provisioned(folder, "datasources")["datasources"]
    assert (source["jsonData"].get("version") == "Flux") is (language == "flux")
    for board in load(language).values():
        assert {panel["datasource"]["uid"] for panel in board["panels"]} == {source["uid"]}
    (provider,) = provisioned(folder, "dashboards")["providers"]
    mount = next(entry for entry in COMPOSE["grafana"]["volumes"] if entry.startswith("./grafana/dashboards:"))
    assert provider["options"]["path"] == f"{mount.split(':')[1]}/{language}"
