"""What a writer has said, line by line, each written before anything that comes after it:

A ITEM...                  these are acknowledged
R SINK STREAM SEQ ITEM...  a sink has received a chunk
S SINK ITEM...             a sink is done with these, and that is on disk
D SINK POINTS              so many points were given up for a sink so far
G NUMBER                   the configuration of that number is accepted
F NUMBER                   the file that a command writes has the content of that number
READY                      open, and at work
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from tests.faults.content import Item


class History:
    def __init__(self) -> None:
        self.acknowledged: set[Item] = set()
        self.received: defaultdict[str, set[Item]] = defaultdict(set)
        self.settled: defaultdict[str, set[Item]] = defaultdict(set)
        self.chunks: dict[tuple[int, int], frozenset[Item]] = {}
        """By stream and number."""
        self.dropped: defaultdict[str, int] = defaultdict(int)
        self.most_dropped: defaultdict[str, int] = defaultdict(int)
        """What may have been given up at most: the next thing that the writer said of it."""
        self.generation = 0
        self.file = 0

    def feed(self, line: str) -> None:
        """Raises ValueError for what is no such line."""
        match line.split():
            case ["A", *names]:
                self.acknowledged.update(map(parse, names))
            case ["R", sink, stream, seq, *names]:
                items = frozenset(map(parse, names))
                self.received[sink] |= items
                self.chunks[int(stream), int(seq)] = items
            case ["S", sink, *names]:
                self.settled[sink].update(map(parse, names))
            case ["D", sink, points]:
                self.dropped[sink] = self.most_dropped[sink] = int(points)
            case ["G", number]:
                self.generation = int(number)
            case ["F", number]:
                self.file = int(number)
            case ["READY"]:
                pass
            case _:
                raise ValueError(f"the writer said {line!r}")


def name(item: Item) -> str:
    return f"{item[0]}.{item[1]}"


def names(items: Iterable[Item]) -> str:
    return " ".join(map(name, items))


def parse(text: str) -> Item:
    group, _, number = text.partition(".")
    return int(group), int(number)
