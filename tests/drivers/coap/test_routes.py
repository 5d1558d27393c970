from __future__ import annotations

from typing import Any

from drivers.coap import check, routes
from drivers.coap.code import Code
from tests.drivers.coap.links import INT, client_link, group_of, make_link, server_link


def test_what_takes_a_report() -> None:
    link = server_link(
        5683,
        {
            "state": {"path": "/plant/{device}", "tags": {"a": INT, "b": INT}},
            "more": {"path": "/plant/pump-1", "tags": {"c": INT}},
            "each": {"path": "/{device}/{tag}", "tags": {"d": INT, "e": INT}},
        },
    )
    found = {
        path: [(route.group.name, route.column) for route in takes] for path, takes in routes.reported(link).items()
    }
    assert found == {
        ("plant", "pump-1"): [("state", None), ("more", None)],
        ("pump-1", "d"): [("each", 0)],
        ("pump-1", "e"): [("each", 1)],
    }
    assert list(check(link)) == []


def test_what_is_asked_for() -> None:
    link = client_link(
        5683,
        {
            "slow": {"resource": "/slow", "interval": "1m", "tags": {"a": INT}},
            "live": {"resource": "/{device}/live", "observe": True, "tags": {"b": INT}},
        },
    )
    assert {name: route.path for name, route in routes.polled(link).items()} == {"pump-1/slow": ("slow",)}
    assert [(route.group, route.path) for route in routes.observed(link)] == [
        (group_of(link, "live"), ("pump-1", "live"))
    ]
    assert list(check(link)) == []


def test_commands() -> None:
    command: dict[str, Any] = {"resource": "/set/{tag}"}
    link = client_link(
        5683,
        {
            "state": {"resource": "/x", "interval": "1s", "tags": {"a": INT, "b": {**INT, "command": command}}},
            "plain": {
                "resource": "/y",
                "interval": "1s",
                "format": "text",
                "tags": {"c": {**INT, "command": {**command, "method": "post"}}},
            },
        },
    )
    assert routes.commands(link) == {
        "pump-1/b": (Code.PUT, ("set", "b"), False),
        "pump-1/c": (Code.POST, ("set", "c"), True),
    }


def test_two_tags_of_the_same_value() -> None:
    link = server_link(
        5683,
        {
            "one": {"path": "/plant/{device}", "tags": {"a": INT, "b": {**INT, "path": '"a"'}}},
            "two": {"path": "/plant/pump-1", "tags": {"c": {**INT, "path": "a"}, "d": INT}},
        },
    )
    problem = "stands at the same place of the same resource as pump-1/a"
    assert list(check(link)) == [("pump-1/b", problem), ("pump-1/c", problem)]


def test_groups_that_do_not_fit_their_link() -> None:
    resource = {"resource": "/x", "interval": "1s", "tags": {"a": INT}}
    command = {"resource": "/y"}
    path = {"path": "/y", "tags": {"b": INT, "c": {**INT, "command": command}}}
    assert [tag for tag, _ in check(server_link(5683, {"x": resource, "y": path}))] == ["pump-1/a", "pump-1/c"]
    assert [tag for tag, _ in check(client_link(5683, {"x": resource, "y": path}))] == ["pump-1/b", "pump-1/c"]


def test_names_that_no_path_can_hold() -> None:
    groups = {"each": {"path": "/all/{device}/{tag}", "tags": {"a": INT}}}
    ((tag, problem),) = check(make_link(groups, device="..", listen={}))
    assert tag == "../a"
    assert "cannot be a level" in problem
