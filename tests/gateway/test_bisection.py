from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.bisection import NothingTaken, narrow
from gateway.errors import ChunkRejected, ChunkTooLarge, ConnectionLost


class Server:
    """Refuses what contains a culprit."""

    def __init__(self, culprits: set[int]) -> None:
        self.culprits = culprits
        self.got: set[int] = set()
        self.requests = 0

    async def write(self, parts: Sequence[range]) -> None:
        self.requests += 1
        numbers = {number for part in parts for number in part}
        if numbers & self.culprits:
            raise ChunkRejected("field type conflict")
        self.got |= numbers


def split(part: range) -> Sequence[range]:
    return [part[: len(part) // 2], part[len(part) // 2 :]] if len(part) > 1 else ()


REASON = ChunkRejected("together")


@given(st.sets(st.integers(0, 63), min_size=1, max_size=10), st.integers(1, 8))
async def test_all_but_the_culprits_arrive(culprits: set[int], pieces: int) -> None:
    server = Server(culprits)
    parts = [range(0, 64)[i::pieces] for i in range(pieces)]
    refused = await narrow(parts, REASON, server.write, split)
    assert {number for part, _ in refused for number in part} == culprits
    assert server.got == set(range(64)) - culprits
    assert all(reason == "field type conflict" for _, reason in refused)


@given(st.integers(0, 4999))
async def test_one_in_5000_costs_few_requests(culprit: int) -> None:
    server = Server({culprit})
    await narrow([range(5000)], REASON, server.write, split)
    assert server.requests <= 26


async def test_a_server_that_refuses_everything_convicts_nobody() -> None:
    server = Server(set(range(5000)))
    with pytest.raises(NothingTaken):
        await narrow([range(5000)], REASON, server.write, split)
    assert server.requests < 150


@given(st.integers(1, 200), st.integers(1, 4))
async def test_a_server_that_wants_far_less_at_once_gets_everything(most: int, pieces: int) -> None:
    """It says so of ever smaller parts, more than a hundred times, before it takes the first."""
    got: set[int] = set()
    requests = 0

    async def write(parts: Sequence[range]) -> None:
        nonlocal requests
        requests += 1
        if sum(map(len, parts)) > most:
            raise ChunkTooLarge(f"at most {most}")
        got.update(number for part in parts for number in part)

    parts = [range(0, 8000)[i::pieces] for i in range(pieces)]
    assert await narrow(parts, ChunkTooLarge("together"), write, split) == []
    assert got == set(range(8000))
    assert requests < 5 * 8000 // most + 20


async def test_a_server_to_which_everything_is_too_large_convicts_nobody() -> None:
    requests = 0

    async def write(parts: Sequence[range]) -> None:
        nonlocal requests
        requests += 1
        raise ChunkTooLarge("nothing at all")

    with pytest.raises(NothingTaken):
        await narrow([range(8000)], ChunkTooLarge("together"), write, split)
    assert requests < 150


async def test_one_value_alone_is_not_sent_again() -> None:
    refused = await narrow([range(1)], REASON, Server({0}).write, split)
    assert refused == [(range(0, 1), "together")]


async def test_a_lost_connection_ends_the_search() -> None:
    async def lost(parts: Sequence[range]) -> None:
        raise ConnectionLost("gone")

    with pytest.raises(ConnectionLost):
        await narrow([range(8)], REASON, lost, split)
