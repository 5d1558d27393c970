from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from simulators.demo.child import Child
from simulators.demo.failure import DemoFailed


async def start(tmp_path: Path, script: str) -> Child:
    return await Child.start("machine", ["sh", "-c", script], tmp_path / "machine.log", {"WORD": "ready"})


async def test_it_is_ready_when_it_says_so_and_ends_when_it_is_told_to(tmp_path: Path) -> None:
    child = await start(tmp_path, "trap 'exit 0' TERM; echo $WORD; while :; do sleep 0.01; done")
    await child.ready()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(child.watch())  # it was asked to end: nothing is wrong
        await asyncio.sleep(0)
        await child.end()
    await child.end()


async def test_it_has_obeyed_an_order_when_it_answers(tmp_path: Path) -> None:
    child = await start(tmp_path, """trap 'exit 0' TERM; echo $WORD; while read line; do echo "$line"; done; sleep 9""")
    await child.ready()
    await child.order("drop:1")
    await child.order()
    assert (tmp_path / "machine.log").read_text() == 'ready\n{"faults":["drop:1"]}\n{"faults":[]}\n'
    await child.end()


async def test_one_that_ends_before_it_is_ready_is_told_with_its_words(tmp_path: Path) -> None:
    child = await start(tmp_path, "echo there is no broker >&2; exit 3")
    with pytest.raises(DemoFailed, match=r"(?s)the machine ended \(exit code 3\).*there is no broker"):
        await child.ready()


async def test_one_that_ends_unasked_is_told(tmp_path: Path) -> None:
    child = await start(tmp_path, "exit 0")
    with pytest.raises(DemoFailed, match="the machine ended"):
        await child.watch()


async def test_one_that_did_not_end_well_is_told(tmp_path: Path) -> None:
    child = await start(tmp_path, "trap 'exit 4' TERM; echo ready; while :; do sleep 0.01; done")
    await child.ready()
    with pytest.raises(DemoFailed, match=r"did not end well \(exit code 4\)"):
        await child.end()
