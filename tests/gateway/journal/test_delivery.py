"""What a sink has still to get, when it leaves and when it comes back."""

from __future__ import annotations

from gateway.journal.books import Head
from gateway.journal.chunk import Chunk, Stream
from gateway.journal.delivery import Delivery
from gateway.journal.ranges import OPEN_END


def balanced(delivery: Delivery) -> bool:
    done = delivery.delivered + delivery.dead_letters + delivery.dropped
    return delivery.ingested == done + delivery.pending


def test_a_sink_that_left_keeps_what_is_pending() -> None:
    delivery = Delivery.begin("cloud", Stream.NORMAL, Head(10, 100))
    delivery.advance(Head(13, 130))
    delivery.settle(Chunk(Stream.NORMAL, 10, 10))
    delivery.leave()
    assert not delivery.is_open
    delivery.advance(Head(20, 200))
    assert (list(delivery.ranges), delivery.ingested, delivery.pending) == ([(11, 13)], 30, 20)
    assert balanced(delivery)


def test_back_again_it_does_not_get_what_came_meanwhile() -> None:
    delivery = Delivery.begin("cloud", Stream.NORMAL, Head(0, 0))
    delivery.advance(Head(2, 20))
    delivery.leave()
    delivery.advance(Head(5, 50))
    delivery.rejoin()
    delivery.advance(Head(6, 60))
    assert (list(delivery.ranges), delivery.ingested, delivery.pending) == ([(0, 2), (5, OPEN_END)], 30, 30)
    assert balanced(delivery)


def test_to_rejoin_is_nothing_to_a_sink_that_is_there() -> None:
    delivery = Delivery.begin("cloud", Stream.NORMAL, Head(3, 30))
    delivery.advance(Head(4, 40))
    delivery.rejoin()
    assert (list(delivery.ranges), delivery.ingested, delivery.pending) == ([(3, OPEN_END)], 10, 10)


def test_what_came_after_the_last_standing_was_noted_is_nothing_to_it() -> None:
    """The stream goes on while a sink is away, and nobody notes that for its sake."""
    delivery = Delivery.begin("cloud", Stream.NORMAL, Head(0, 7))
    delivery.advance(Head(2, 27))
    delivery.leave()
    noted = delivery.standing()
    again = Delivery(noted, Head(900, 9000))
    assert (again.ingested, again.is_open) == (20, False)
    assert again.standing() == noted
