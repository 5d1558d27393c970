"""What became of the links, sinks or rules of a configuration when it changed. Light to import, as `door` is."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gateway.problems import listed


class Difference(msgspec.Struct, frozen=True):
    """How many are as they were, and the names of the others."""

    kept: int = 0
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    def __str__(self) -> str:
        """`2 kept, 1 changed: floor`."""
        parts = [f"{self.kept} kept"] if self.kept else []
        for word, names in (("added", self.added), ("changed", self.changed), ("removed", self.removed)):
            if names:
                parts.append(f"{len(names)} {word}: {listed(names)}")
        return ", ".join(parts) or "none"


def compare(before: Mapping[str, object], after: Mapping[str, object]) -> Difference:
    """Of two generations, by name."""
    both = [name for name in after if name in before]
    return Difference(
        kept=sum(before[name] == after[name] for name in both),
        added=tuple(name for name in after if name not in before),
        changed=tuple(name for name in both if before[name] != after[name]),
        removed=tuple(name for name in before if name not in after),
    )
