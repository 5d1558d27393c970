"""What a cancellation becomes when a task group fails in the same moment."""

from __future__ import annotations

import asyncio

import pytest

from gateway.apart import apart
from tests.virtual import run


async def group(*seconds: float) -> None:
    """Fails after the first, while the others still end."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(fail(seconds[0]))
        for each in seconds[1:]:
            tasks.create_task(linger(each))


async def fail(after: float) -> None:
    await asyncio.sleep(after)
    raise OSError("lost")


async def linger(seconds: float) -> None:
    """Takes its time to end when it is cancelled."""
    try:
        await asyncio.sleep(1000)
    finally:
        await asyncio.sleep(seconds)


@pytest.mark.parametrize("at", [0.5, 1.0, 1.5], ids=["before", "in the same tick", "while the others end"])
def test_a_cancellation_is_raised_whenever_it_comes(at: float) -> None:
    async def main() -> bool:
        task = asyncio.create_task(apart(group(1.0, 1.0)))
        asyncio.get_running_loop().call_later(at, task.cancel)
        await asyncio.wait((task,))
        return task.cancelled()

    assert run(main)


def test_a_failure_leaves_no_cancellation_behind() -> None:
    async def main() -> int:
        with pytest.raises(ExceptionGroup):
            await apart(group(1.0, 1.0))
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling()

    assert run(main) == 0


def test_what_it_returns_is_returned() -> None:
    async def main() -> str:
        return await apart(asyncio.sleep(1, "done"))

    assert run(main) == "done"


def test_who_takes_the_first_cancellation_for_something_else_gets_the_second() -> None:
    async def stubborn() -> None:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            await asyncio.sleep(1000)

    async def main() -> float:
        task = asyncio.create_task(apart(stubborn()))
        asyncio.get_running_loop().call_later(1, task.cancel)
        asyncio.get_running_loop().call_later(2, task.cancel)
        await asyncio.wait((task,))
        assert task.cancelled()
        return asyncio.get_running_loop().time()

    assert run(main) == pytest.approx(2)
