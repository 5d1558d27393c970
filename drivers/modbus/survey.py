"""What a Modbus device tells by being asked: who made it, which units answer, which addresses there are."""

from __future__ import annotations

import asyncio
import contextlib
import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from drivers.modbus import frame, identification
from drivers.modbus.address import Table
from drivers.modbus.client import Client, connect
from drivers.modbus.prospect import BLOCK, Answer, Claim, Prospector, Question
from gateway import target
from gateway.errors import ConfigError, ConnectionLost
from gateway.survey import Line, Names, Part, Plain, Survey, Tell

SCHEMES: Final = ("modbus",)
PORT: Final = 502
UNITS: Final = (1, 255, 0)
TIMEOUT_S: Final = 1.0
OPEN_S: Final = 5.0
PAUSE_S: Final = 0.002
"""Small devices like to breathe between two requests."""
MOST_REQUESTS: Final = 190
"""For addresses; a few more ask for units and the maker."""
MOST_REGISTERS: Final = 32
MOST_BITS: Final = 16
"""Tags of one table. It may have 65,536 addresses; which answer stands in a comment."""

_LETTERS: Final = {Table.HOLDING: "r", Table.INPUT: "i", Table.COIL: "c", Table.DISCRETE: "d"}
_HINTS: Final = (
    "A value of 32 bits takes two registers: type: uint32, int32 or float32, and order: ABCD, CDAB, BADC or DCBA.",
    "raw: int16, type: float32, scale: 0.1 for tenths; holding:5.3 is a bit. Add unit and range, and writable: true",
    "to coils and holding registers that may be written. Delete what you do not need.",
)


async def survey(url: str, tell: Tell) -> Survey:
    """Asks `modbus://HOST[:PORT][?unit=N]`, with 200 requests at most. Raises ConfigError, ConnectionLost."""
    where = target.parse(url, "unit")
    units = [int(where.number("unit", 1, 0, 255))] if "unit" in where.options else list(UNITS)
    client = await _connect(where.host, where.port or PORT)
    try:
        answering = [unit for unit in units if await _answers(client, unit)]
        if not answering:
            raise ConfigError(f"no unit answers of {', '.join(map(str, units))}: name yours with ?unit=N")
        claims = await _prospect(client, answering[0], tell)
        maker = await _identify(client, answering[0])
    finally:
        await client.close()
    found = [claim for claim in claims if claim.ranges]
    if not found:
        raise ConfigError(f"unit {answering[0]} answers, but none of the addresses that were tried is there")
    link = Line({"driver": "modbus", "host": where.host, "port": where.port or PORT})
    names = Names()
    name = names.take(maker, "device-1")
    return Survey(Part({"modbus": link}), Part({name: _device(answering[0], found)}), comment=_words(maker, answering))


async def _connect(host: str, port: int) -> Client:
    try:
        async with asyncio.timeout(OPEN_S):
            return await connect(host, port, 1, TIMEOUT_S, PAUSE_S)
    except TimeoutError:
        raise ConnectionLost(f"no answer from {host}:{port} within {OPEN_S:g} s") from None


async def _answers(client: Client, unit: int) -> bool:
    """Whether anything comes from it, be it a no."""
    question = Question(frame.read(unit, frame.READ_HOLDING_REGISTERS, 0, 1))
    await client.perform(question)
    return question.answer is not Answer.SILENCE


async def _prospect(client: Client, unit: int, tell: Tell) -> list[Claim]:
    """All tables. What one of them does not need is left to the next."""
    claims: list[Claim] = []
    left = MOST_REQUESTS
    for table in _LETTERS:
        tell(f"unit {unit}: looking for {table} addresses")
        share = left // (len(_LETTERS) - len(claims))
        prospector = Prospector(client, unit, table, share)
        claims.append(await prospector.search())
        left -= share - prospector.left
    return claims


async def _identify(client: Client, unit: int) -> str:
    """Nothing where it does not say so. The last question, because some hang up on it."""
    question = Question(identification.request(unit))
    with contextlib.suppress(ConnectionLost):
        await client.perform(question)
    return identification.words(question.body) if question.body is not None else ""


def _words(maker: str, answering: Sequence[int]) -> tuple[str, ...]:
    units = f"unit {answering[0]}" if len(answering) == 1 else f"units {', '.join(map(str, answering))}"
    return (
        f"{maker or 'A device that does not say who made it (function code 43)'}; {units} answered.",
        "Modbus knows addresses, not meanings: the manual of the device says what each is. The numbers beside the",
        "tags are what was read.",
        *_HINTS,
    )


def _device(unit: int, claims: Sequence[Claim]) -> Part:
    entries: dict[str, Line | Part] = {"link": Line("modbus"), "unit": Line(unit)}
    largest = min(claim.block for claim in claims)
    if largest < BLOCK:
        entries["max_registers"] = Line(largest, "a longer read was refused")
    entries["groups"] = Part({claim.table.value: _group(claim) for claim in claims})
    return Part(entries)


def _group(claim: Claim) -> Part:
    ranges = ", ".join(f"{each.start} to {each.stop - 1}" for each in claim.ranges)
    more = "" if claim.is_complete else "; more may lie beyond"
    chosen = choose(claim)
    comment = f"{claim.table} addresses that answer: {ranges}{more}"
    tags = {f"{_LETTERS[claim.table]}{address}": _tag(claim, address) for address in chosen}
    return Part({"interval": Line("1s"), "tags": Part(tags)}, (comment,))


def choose(claim: Claim) -> list[int]:
    """A handful to begin with: what is not zero first."""
    there = [address for each in claim.ranges for address in each if address in claim.values]
    telling = [address for address in there if claim.values[address]]
    most = MOST_BITS if claim.table.has_bits else MOST_REGISTERS
    return sorted([*telling, *(address for address in there if not claim.values[address])][:most])


def _tag(claim: Claim, address: int) -> Line:
    body: dict[str, Plain] = {"address": f"{claim.table}:{address}"}
    if claim.table.has_bits:
        return Line({**body, "type": "bool"}, "true" if claim.values[address] else "false")
    guess = "".join(f"; as float32 {order} {value:.6g}" for order, value in floats(claim.values, address))
    return Line({**body, "type": "uint16"}, f"{claim.values[address]}{guess}")


def floats(values: Mapping[int, int], address: int) -> Iterator[tuple[str, float]]:
    """What two registers are as a float32, in the orders in which that looks like a measured value."""
    first, second = values.get(address), values.get(address + 1)
    if not first or second is None:
        return
    for order, words in (("ABCD", (first, second)), ("CDAB", (second, first))):
        (value,) = struct.unpack(">f", struct.pack(">HH", *words))
        if math.isfinite(value) and 1e-3 <= abs(value) <= 1e6:
            yield order, value
