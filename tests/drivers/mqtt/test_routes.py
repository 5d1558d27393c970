from __future__ import annotations

from typing import Any

from drivers.mqtt import check, routes
from tests.drivers.mqtt.links import make_link

INT: dict[str, Any] = {"type": "int32"}


def test_subscriptions_are_shared_at_the_highest_qos() -> None:
    link = make_link(
        {
            "slow": {"topic": "plant/{device}", "qos": 0, "tags": {"a": INT}},
            "fast": {"topic": "plant/{device}", "tags": {"b": INT}},
            "each": {"topic": "{device}/{tag}/now", "qos": 0, "tags": {"c": INT, "d": INT}},
        }
    )
    assert routes.subscriptions(link) == {"plant/pump-1": 1, "pump-1/c/now": 0, "pump-1/d/now": 0}
    assert list(check(link)) == []


def test_commands() -> None:
    link = make_link(
        {
            "state": {"topic": "x", "tags": {"a": INT, "b": {**INT, "command_topic": "{device}/{tag}/set"}}},
            "plain": {"topic": "y", "format": "text", "tags": {"c": {**INT, "command_topic": "set"}}},
        }
    )
    assert routes.commands(link) == {"pump-1/b": ("pump-1/b/set", False), "pump-1/c": ("set", True)}


def test_two_tags_of_the_same_value() -> None:
    link = make_link(
        {
            "one": {"topic": "plant/{device}", "tags": {"a": INT, "b": {**INT, "path": '"a"'}}},
            "two": {"topic": "plant/pump-1", "tags": {"c": {**INT, "path": "a"}, "d": INT}},
        }
    )
    problem = "stands at the same path of the same topic as pump-1/a"
    assert list(check(link)) == [("pump-1/b", problem), ("pump-1/c", problem)]


def test_names_that_no_topic_can_hold() -> None:
    groups = {
        "state": {"topic": "{device}/state", "tags": {"a": INT}},
        "each": {"topic": "all/{tag}", "tags": {"b/c": INT, "d": INT}},
        "write": {"topic": "w", "tags": {"e+": {**INT, "command_topic": "{tag}/set"}}},
    }
    found = dict(check(make_link(groups, device="pump#1")))
    assert set(found) == {"pump#1/a", "pump#1/b/c", "pump#1/e+"}
    assert all("cannot stand for" in problem for problem in found.values())
