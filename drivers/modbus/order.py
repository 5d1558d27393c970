"""How a number of several bytes lies in registers of two."""

from __future__ import annotations

from enum import StrEnum

import numpy as np
import numpy.typing as npt


class Order(StrEnum):
    """The order in which the bytes of a value arrive, A being its highest.

    For 64 bits the same two swaps hold: CDAB turns the order of the words round, BADC that of the bytes in each word,
    DCBA both.
    """

    ABCD = "ABCD"
    CDAB = "CDAB"
    BADC = "BADC"
    DCBA = "DCBA"

    @property
    def swaps_bytes(self) -> bool:
        return self in (Order.BADC, Order.DCBA)

    @property
    def swaps_words(self) -> bool:
        return self in (Order.CDAB, Order.DCBA)


def arrangement(order: Order, size: int) -> npt.NDArray[np.intp]:
    """Where the `size` (even) bytes of a value arrive, its lowest byte first: the index that makes it little-endian."""
    words = np.arange(size, dtype=np.intp).reshape(-1, 2)
    if order.swaps_words:
        words = words[::-1]
    if order.swaps_bytes:
        words = words[:, ::-1]
    return words.ravel()[::-1].copy()  # each swap undoes itself, so this table reads the same in both directions
