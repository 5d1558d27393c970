"""A reload is all or nothing, and what did not change does not notice."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from gateway import status
from gateway.backlog import Backlog
from gateway.cell import Cell
from gateway.contracts import Orders
from gateway.difference import Difference
from gateway.errors import ConnectionLost
from gateway.fields import CommandSettings
from gateway.generation import Archive
from gateway.model import CommandDone, Order, Outcome, Tag, Value
from gateway.problems import InvalidConfiguration
from gateway.status import Rates
from rules.alarm import Deed, Input
from tests.gateway.gate import wait_until
from tests.gateway.workshop import Driver, Sink, Workshop, device, install, link, rule, workshop

PLANT: dict[str, Any] = {
    "links": {"a": link(), "b": link()},
    "devices": {"press": device("a", fast=60, slow=60), "pump": device("b", state=60)},
    "sinks": {"cloud": {"sink": "fake"}},
    "rules": {"hot": rule("press/fast.x"), "late": rule("press/slow.x", on_delay="1h")},
}


@pytest.fixture(autouse=True)
def _plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)


def changed(**sections: object) -> dict[str, Any]:
    """The plant with some entries of some sections replaced; None takes one out."""
    plant: dict[str, Any] = json.loads(json.dumps(PLANT))
    for name, entries in sections.items():
        assert isinstance(entries, dict)
        merged = plant[name] | entries
        plant[name] = {key: entry for key, entry in merged.items() if entry is not None}
    return plant


def standing(cell: Cell) -> tuple[object, ...]:
    """Everything that belongs to a generation."""
    return (cell.configuration, cell.image, cell.engine, dict(cell.links), dict(cell.forwarders), cell.generation)


# Links


async def test_nothing_changed(tmp_path: Path) -> None:
    async with workshop(tmp_path, **PLANT) as shop:
        links, forwarders = dict(shop.cell.links), dict(shop.cell.forwarders)
        change = await shop.reload(**PLANT)
        assert change.generation == shop.cell.generation
        assert change.generation.number == 1
        assert (change.links, change.sinks, change.rules) == (Difference(2), Difference(1), Difference(2))
        assert (shop.cell.links, shop.cell.forwarders) == (links, forwarders)
        assert len(Driver.sessions) == 2


async def test_only_the_link_that_changed_is_touched(tmp_path: Path) -> None:
    async with workshop(tmp_path, **PLANT) as shop:
        kept, session = shop.cell.links["a"], Driver.sessions[0]
        change = await shop.reload(**changed(links={"b": link(port=2), "c": link()}))
        assert change.links == Difference(1, added=("c",), changed=("b",))
        assert shop.cell.links["a"] is kept
        await wait_until(lambda: all(each.online for each in shop.cell.links.values()))
        assert [(each.link.id, each.port, each.closed) for each in Driver.sessions] == [
            ("a", 1, False),
            ("b", 1, True),
            ("b", 2, False),
            ("c", 1, False),
        ]
        assert Driver.sessions[0] is session
        shop.publish("press/fast", 7)
        assert shop.value("press/fast.x") == 7
        assert kept.health["press"].scans == 1


async def test_a_link_that_goes(tmp_path: Path) -> None:
    async with workshop(tmp_path, **PLANT) as shop:
        change = await shop.reload(**changed(links={"b": None}, devices={"pump": None}))
        assert change.links == Difference(1, removed=("b",))
        assert [each.closed for each in Driver.sessions] == [False, True]
        assert list(shop.cell.image.tags()) == ["press/fast.x", "press/slow.x"]


async def test_the_old_session_ends_before_the_new_one_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    async def opened(driver: Driver) -> None:
        order.append(f"open {driver.port}")

    async def close(driver: Driver) -> None:
        await asyncio.sleep(0)
        order.append(f"close {driver.port}")

    monkeypatch.setattr(Driver, "open", opened)
    monkeypatch.setattr(Driver, "close", close)
    async with workshop(tmp_path, **PLANT) as shop:
        order.clear()
        await shop.reload(**changed(links={"b": link(port=2)}))
        await wait_until(lambda: shop.cell.links["b"].online)
        assert order == ["close 1", "open 2"]


async def test_a_link_that_cannot_be_opened_is_its_own_trouble(tmp_path: Path) -> None:
    async with workshop(tmp_path, **PLANT) as shop:
        await shop.reload(**changed(links={"b": link(port=0)}))
        await wait_until(lambda: shop.cell.links["b"].reason == "port 0 is nobody's")
        assert shop.cell.links["a"].online
        await shop.reload(**PLANT)
        await wait_until(lambda: shop.cell.links["b"].online)


async def test_a_driver_that_does_not_end_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def stubborn(driver: Driver) -> None:
        while not end.is_set():
            try:
                await end.wait()
            except asyncio.CancelledError:
                if driver.link.id != "b" or driver.port != 1:
                    raise
        raise asyncio.CancelledError

    end = asyncio.Event()
    monkeypatch.setattr("gateway.crew._END_SECONDS", 0.01)
    monkeypatch.setattr(Driver, "run", stubborn)
    async with workshop(tmp_path, **PLANT) as shop:
        await shop.reload(**changed(links={"b": link(port=2)}))
        await wait_until(lambda: shop.cell.links["b"].online)
        end.set()
    assert "link b did not end" in caplog.text


async def test_a_driver_that_takes_its_end_for_a_lost_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def mistaken(driver: Driver) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if driver.link.id == "b" and driver.port == 1:
                raise ConnectionLost("the connection was closed") from None
            raise

    monkeypatch.setattr("gateway.crew._END_SECONDS", 0.05)
    monkeypatch.setattr(Driver, "run", mistaken)
    async with workshop(tmp_path, **PLANT) as shop:
        await shop.reload(**changed(links={"b": link(port=2)}))
        assert [each.get_name() for each in asyncio.all_tasks()].count("link b") == 1


async def test_a_command_that_waits_goes_to_the_new_link(tmp_path: Path) -> None:
    async with workshop(tmp_path, **changed(links={"b": link(port=0)})) as shop:
        waiting = asyncio.create_task(shop.cell.write("pump/state.x", 5.0, "ann"))
        await asyncio.sleep(0)
        await shop.reload(**PLANT)
        assert (await waiting).outcome == "done"
        assert Driver.sessions[-1].written == [("pump/state.x", 5.0)]


async def test_a_command_that_waits_for_a_tag_that_goes(tmp_path: Path) -> None:
    async with workshop(tmp_path, **changed(links={"b": link(port=0)})) as shop:
        waiting = asyncio.create_task(shop.cell.write("pump/state.x", 5.0, "ann"))
        await asyncio.sleep(0)
        await shop.reload(**changed(links={"b": None}, devices={"pump": None}))
        done = await waiting
        assert (done.outcome, done.reason) == ("refused", "there is no tag pump/state.x")


# What is known


async def test_what_a_person_suppressed_stays_though_the_rule_changes(tmp_path: Path) -> None:
    async with workshop(tmp_path, **PLANT) as shop:
        until = shop.cell.clock.now() + 3600 * 10**9
        shop.cell.do("hot", Deed(Input.SHELVE, "ann", "noise", until))
        shop.cell.do("late", Deed(Input.REMOVE, "bob", "sensor is broken"))
        shop.publish("press/fast", 81)
        await shop.reload(**changed(rules={"hot": rule("press/fast.x", priority="low")}))
        hot, late = shop.cell.engine.alarms()
        assert (hot.state, hot.shelved_until, hot.comment) == ("normal", until, "noise")
        assert late.out_of_service
        due = shop.cell.engine.next_due()
        assert due is not None
        assert due - shop.cell.clock.monotonic() < 3600 * 10**9
        await shop.reload(**changed(rules={"hot": None}))
        assert shop.cell.engine.next_due() is None


async def test_readings_and_alarms_stay_where_the_group_stays(tmp_path: Path) -> None:
    async with workshop(tmp_path, **PLANT) as shop:
        shop.publish("press/fast", 81)
        shop.publish("press/slow", 5)
        shop.cell.do("hot", Deed(Input.ACKNOWLEDGE, "ann"))
        since = shop.cell.engine.alarms()[0].since
        await shop.reload(**changed(devices={"press": device("a", fast=60, slow=30)}, links={"a": link(port=2)}))
        assert shop.value("press/fast.x") == 81
        assert shop.value("press/slow.x") is None, "this one is another group now"
        assert shop.alarm("hot") == "acknowledged"
        assert shop.cell.engine.alarms()[0].since == since
        shop.publish("press/fast", 82)
        assert shop.alarm("hot") == "acknowledged", "it is not raised a second time"
        shop.publish("press/fast", 70)
        assert shop.alarm("hot") == "normal"


async def test_a_rule_that_changed_starts_anew_and_that_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with workshop(tmp_path, **changed(rules={"gone": rule("press/fast.x", 70)})) as shop:
        shop.publish("press/fast", 81)
        events: list[object] = []
        shop.cell.bus.told.append(events.append)
        change = await shop.reload(**changed(rules={"hot": rule("press/fast.x", 81)}))
        assert change.rules == Difference(1, changed=("hot",), removed=("gone",))
        assert events == []
        assert "alarm hot, which was unacknowledged, starts anew" in caplog.text
        assert "alarm gone, which was unacknowledged, is gone with its rule" in caplog.text
        assert shop.alarm("hot") == "normal"
        shop.publish("press/fast", 82)
        assert shop.alarm("hot") == "unacknowledged"


async def test_an_on_delay_runs_on(tmp_path: Path) -> None:
    async with workshop(tmp_path, **PLANT) as shop:
        shop.publish("press/slow", 81)
        due = shop.cell.engine.next_due()
        assert due is not None
        await shop.reload(**changed(rules={"hot": None, "other": rule("press/fast.x")}))
        assert shop.cell.engine.next_due() == due


async def test_a_new_expression_knows_what_the_image_knows(tmp_path: Path) -> None:
    async with workshop(tmp_path, **PLANT) as shop:
        shop.publish("press/fast", 50)
        await shop.reload(**changed(rules={"both": {"when": "press/fast.x > 40 and press/slow.x > 40"}}))
        assert shop.alarm("both") == "normal"
        shop.publish("press/slow", 50)
        assert shop.alarm("both") == "unacknowledged"


async def test_a_deadband_remembers(tmp_path: Path) -> None:
    plant = changed(devices={"press": device("a", deadband=5, fast=60)}, rules={"late": None})
    async with workshop(tmp_path, **plant) as shop:
        shop.publish("press/fast", 50)
        await shop.reload(**plant | {"rules": {}})
        shop.publish("press/fast", 52)
        shop.publish("press/fast", 60)
        await wait_until(lambda: len(Sink.made[0].values) == 2)
        assert Sink.made[0].values == [50, 60]


async def test_a_watch_outlives_its_tag(tmp_path: Path) -> None:
    async with workshop(tmp_path, **PLANT) as shop:
        reader, writer = await shop.gate.connect()
        writer.write(b'{"ask":"watch","tags":["pump/state.x","press/fast.x"],"interval":0.1}\n')
        assert len(json.loads(await reader.readline())["readings"]) == 2
        await shop.reload(**changed(links={"b": None}, devices={"pump": None}))
        shop.publish("press/fast", 3)
        (reading,) = json.loads(await reader.readline())["readings"]
        assert (reading["tag"], reading["value"]) == ("press/fast.x", 3)
        writer.close()


async def test_rates_of_devices_that_come_and_go(tmp_path: Path) -> None:
    rates = Rates()
    async with workshop(tmp_path, **PLANT) as shop:
        shop.publish("pump/state", 1)
        rates.sample(status.points(shop.cell), 0)
        await shop.reload(**changed(links={"b": link(port=2)}, devices={"new": device("a", x=60)}))
        rates.sample(status.points(shop.cell), 10**9)
        taken = status.collect(shop.cell, Backlog(0, {}), rates)
        assert {entry.id: entry.rate for entry in taken.devices} == {"press": 0, "new": None, "pump": None}


# Sinks


async def test_a_sink_that_changed_goes_on_with_what_is_pending(tmp_path: Path) -> None:
    async with workshop(tmp_path, **PLANT) as shop:
        (old,) = Sink.made
        for value in (1, 2, 3):
            shop.publish("press/fast", value)
        await wait_until(lambda: len(old.values) == 3)
        old.gate.clear()
        for value in (4, 5):
            shop.publish("press/fast", value)
        await shop.committed()
        reloading = asyncio.create_task(shop.reload(**changed(sinks={"cloud": {"sink": "fake", "url": "two"}})))
        await wait_until(lambda: len(Sink.made) == 2)
        await wait_until(lambda: shop.cell.generation.number == 2)
        shop.publish("press/fast", 6)
        old.gate.set()
        await reloading
        new = Sink.made[1]
        await wait_until(lambda: not shop.cell.journal.statistics("cloud").pending)
        assert old.closed
        assert sorted(old.values + new.values) == [1, 2, 3, 4, 5, 6], "nothing is lost, nothing comes twice"
        assert 6 in new.values
        assert balanced(shop, "cloud")


async def test_a_sink_that_is_new_begins_at_the_head(tmp_path: Path) -> None:
    async with workshop(tmp_path, **PLANT) as shop:
        shop.publish("press/fast", 1)
        await shop.committed()
        change = await shop.reload(**changed(sinks={"archive": {"sink": "fake"}}))
        assert change.sinks == Difference(1, added=("archive",))
        shop.publish("press/fast", 2)
        cloud, archive = Sink.made
        await wait_until(lambda: len(cloud.values) == 2 and len(archive.values) == 1)
        assert (cloud.values, archive.values) == ([1, 2], [2])
        assert balanced(shop, "cloud")
        assert balanced(shop, "archive")


async def test_a_sink_that_left_and_comes_back(tmp_path: Path) -> None:
    async with workshop(tmp_path, **PLANT) as shop:
        Sink.made[0].gate.clear()
        shop.publish("press/fast", 1)
        await shop.committed()
        leaving = asyncio.create_task(shop.reload(**PLANT | {"sinks": {}}))
        await wait_until(lambda: not shop.cell.forwarders)
        Sink.made[0].gate.set()
        await leaving
        await shop.committed()
        shop.publish("press/fast", 2)
        await shop.committed()
        await shop.reload(**PLANT)
        shop.publish("press/fast", 3)
        await wait_until(lambda: not shop.cell.journal.statistics("cloud").pending)
        assert Sink.made[0].values + Sink.made[1].values == [1, 3], "what came while it was away is not for it"
        assert balanced(shop, "cloud")


def balanced(shop: Workshop, sink: str) -> bool:
    account = shop.cell.journal.statistics(sink)
    return account.ingested == account.delivered + account.pending + account.dead_letters + account.dropped


async def test_only_the_sink_that_changed_listens_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what was ordered through it ends first."""
    heard: list[tuple[str, Orders]] = []
    deaf: list[str] = []
    gate = asyncio.Event()

    async def listen(sink: Sink, orders: Orders) -> None:
        heard.append((sink.url, orders))
        try:
            await asyncio.Event().wait()
        finally:
            deaf.append(sink.url)

    async def write(driver: Driver, tag: Tag, value: Value) -> None:
        await gate.wait()

    monkeypatch.setattr(Sink, "listen", listen)
    monkeypatch.setattr(Sink, "commands", CommandSettings.model_validate({"tags": ["press/*"]}))
    monkeypatch.setattr(Driver, "write", write)
    sinks = {"cloud": {"sink": "fake", "url": "one"}, "other": {"sink": "fake", "url": "two"}}
    async with workshop(tmp_path, **changed(sinks=sinks)) as shop:
        await wait_until(lambda: len(heard) == 2)
        answers: list[CommandDone] = []
        order = Order("o-1", "press/fast.x", 1.5, shop.cell.clock.now())
        dict(heard)["one"].submit(order, lambda: None, answers.append)
        reloading = asyncio.create_task(
            shop.reload(**changed(sinks=sinks | {"cloud": {"sink": "fake", "url": "three"}}))
        )
        await wait_until(lambda: shop.cell.generation.number == 2)
        assert (answers, deaf) == ([], [])
        gate.set()
        await reloading
        await wait_until(lambda: len(heard) == 3)
        assert [(done.command, done.origin, done.outcome) for done in answers] == [("o-1", "sink:cloud", Outcome.DONE)]
        assert deaf == ["one"]
        assert [url for url, _ in heard] == ["one", "two", "three"]


# All or nothing


async def refused(shop: Workshop, **sections: object) -> InvalidConfiguration:
    """The reload fails, and nothing has changed."""
    before, sessions, record = standing(shop.cell), len(Driver.sessions), Archive(shop.path.parent / "data").last()
    with pytest.raises(InvalidConfiguration) as caught:
        await shop.reload(**sections)
    assert standing(shop.cell) == before
    assert len(Driver.sessions) == sessions
    assert Archive(shop.path.parent / "data").last() == record
    assert caught.value.problems[0].message.partition(" ")[0] in shop.cell.refused
    return caught.value


async def test_what_is_wrong_is_told_all_at_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with workshop(tmp_path, **PLANT) as shop:
        error = await refused(shop, **changed(links={"a": {"driver": "fak"}, "b": link(prt=2)}))
        assert [str(problem).partition("\n")[0] for problem in error.problems] == [
            f'{shop.path}:12:14: unknown driver "fak" in links.a',
            f'{shop.path}:16:4: unknown key "prt" in links.b',
        ]
        assert "the configuration is refused, generation 1 stays in force" in caplog.text
        assert f'{shop.path}:16:4: unknown key "prt" in links.b (did you mean "port"?)' in caplog.text
        entry = status.collect(shop.cell, Backlog(0, {}), Rates()).generation
        assert (entry.number, entry.refused) == (
            1,
            f'what is on the disk is refused: {shop.path}:12:14: unknown driver "fak" in links.a, and 1 more',
        )
        await shop.reload(**PLANT)
        assert shop.cell.refused == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("site", "plant-2"),
        ("cell", "line-b"),
        ("data", "elsewhere"),
        ("http", {"port": 5}),
        ("journal", {"commit_interval": "1s"}),
    ],
)
async def test_what_cannot_change(tmp_path: Path, name: str, value: object) -> None:
    async with workshop(tmp_path, **PLANT) as shop:
        error = await refused(shop, **changed(links={"b": None}, devices={"pump": None}) | {name: value})
        (problem,) = error.problems
        assert problem.message == f"{name} cannot change while the gateway runs"
        line = shop.path.read_text().splitlines()[problem.line - 1]
        assert line.strip().startswith(f'"{name}"')


async def test_a_sink_that_cannot_be_made(tmp_path: Path) -> None:
    async with workshop(tmp_path, **PLANT) as shop:
        broken = {"archive": {"sink": "fake", "url": "broken"}}
        error = await refused(shop, **changed(links={"a": link(port=2)}, sinks=broken))
        assert "the library knows no such place" in str(error)


async def test_a_disk_that_does_not_take_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    async with workshop(tmp_path, **PLANT) as shop:
        with monkeypatch.context() as patch:
            patch.setattr(Archive, "remember", full)
            error = await refused(shop, **changed(links={"a": link(port=2)}, sinks={"archive": {"sink": "fake"}}))
        assert "No space left on device" in str(error)
        assert [sink.closed for sink in Sink.made] == [False, True]
        assert not any(name == "archive" for name, _ in shop.cell.journal.deliveries)
        assert (await shop.reload(**changed(links={"a": link(port=2)}))).generation.number == 2


async def test_what_nobody_foresaw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with workshop(tmp_path, **PLANT) as shop:
        with monkeypatch.context() as patch:
            patch.setattr("gateway.settings.load", lambda path, source: 1 // 0)
            error = await refused(shop, **PLANT)
        assert "ZeroDivisionError" in str(error)


async def test_a_file_that_is_gone(tmp_path: Path) -> None:
    async with workshop(tmp_path, **PLANT) as shop:
        shop.path.unlink()
        with pytest.raises(InvalidConfiguration, match="there is no such file"):
            await shop.gate.reloader.reload()
        assert shop.cell.links["a"].online


# One after the other


async def test_two_at_a_time(tmp_path: Path) -> None:
    async with workshop(tmp_path, **PLANT) as shop:
        shop.write(**changed(links={"b": link(port=2)}))
        first, second = await asyncio.gather(shop.gate.reloader.reload(), shop.gate.reloader.reload())
        assert first.links.changed == ("b",)
        assert second.links == Difference(2)
        assert shop.cell.generation.number == 2


async def test_requests_while_it_reloads_are_one_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with workshop(tmp_path, **PLANT) as shop:
        adopted: list[int] = []
        adopt = Cell.adopt

        def counting(cell: Cell, *rest: Any) -> None:
            adopt(cell, *rest)
            adopted.append(cell.generation.number)
            if len(adopted) == 1:
                shop.write(**PLANT)
                for _ in range(3):
                    shop.gate.reloader.request()

        monkeypatch.setattr(Cell, "adopt", counting)
        shop.write(**changed(links={"b": link(port=2)}))
        shop.gate.reloader.request()
        await wait_until(lambda: len(adopted) == 2)
        await wait_until(lambda: shop.cell.links["b"].online)
        await shop.reload(**PLANT)
        assert adopted == [2, 3, 3]


async def test_a_request_that_is_refused_does_not_end_the_waiting(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with workshop(tmp_path, **PLANT) as shop:
        with caplog.at_level(logging.ERROR):
            shop.path.write_text("")
            shop.gate.reloader.request()
            await wait_until(lambda: bool(shop.cell.refused))
            shop.write(**changed(links={"c": link()}))
            shop.gate.reloader.request()
            await wait_until(lambda: shop.cell.generation.number == 2)
        assert "is refused" in caplog.text


# Through the control door


async def test_the_door(tmp_path: Path) -> None:
    async with workshop(tmp_path, **PLANT) as shop:
        shop.write(**changed(links={"b": None}, devices={"pump": None}))
        reply = await shop.gate.ask(ask="reload")
        assert (reply["answer"], reply["number"], reply["problems"]) == ("reload", 2, [])
        assert reply["sha256"] == shop.cell.generation.sha256
        assert reply["links"] == {"kept": 1, "added": [], "changed": [], "removed": ["b"]}
        shop.write(lnks={})
        reply = await shop.gate.ask(ask="reload")
        assert reply["number"] == 2
        (problem,) = reply["problems"]
        assert problem["message"] == 'unknown key "lnks"'
        assert (problem["file"], problem["hint"]) == (str(shop.path), 'did you mean "links"?')
        assert problem["line"] > 1
