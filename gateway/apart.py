"""Runs in a task of its own what leaves a mess in the task that runs it.

A TaskGroup whose child fails leaves its task marked as cancelled for ever (Python 3.11): a timeout in it then ends it,
as a cancellation, with Python 3.11.2. And one that is cancelled in the very tick in which a child fails, or while the
others end, tells of the failure only: the cancellation is swallowed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def apart(work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns or raises. Every cancellation of the caller is passed on to it, and raised when it has ended,
    however it ends."""
    task = asyncio.create_task(work)
    try:
        await asyncio.wait((task,))
    except asyncio.CancelledError:
        await _end(task)
        raise
    return task.result()


async def _end(task: asyncio.Task[Any]) -> None:
    while not task.done():
        task.cancel()
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError:
            continue  # once more: it may have taken the first one for something else
    if not task.cancelled():
        task.exception()  # seen: what it failed of does not matter now
