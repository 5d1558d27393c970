from __future__ import annotations

import pytest

from simulators.device import SECOND, Message
from simulators.fault import Fault, Faults, Kind
from simulators.service import switch


def message(number: int) -> Message:
    return Message({"a": float(number), "n": number, "on": True}, number * SECOND)


def test_without_faults_a_message_passes_as_it_is() -> None:
    assert Faults().stream("s").send(message(1), 1.0) == message(1)


def test_drop_takes_its_share_and_the_same_ones_every_time() -> None:
    def kept(seed: int) -> list[int]:
        stream = Faults(["drop:0.3"], seed).stream("s")
        return [i for i in range(1000) if stream.send(message(i), i) is not None]

    assert 650 < len(kept(1)) < 750
    assert kept(1) == kept(1) != kept(2)


def test_a_fault_lasts_from_start_to_stop() -> None:
    stream = Faults(["drop,start=3,stop=5"]).stream("s")
    assert [stream.send(message(i), i) is None for i in range(7)] == [False, False, False, True, True, False, False]


def test_freeze_repeats_the_last_values_as_if_they_were_new() -> None:
    stream = Faults(["freeze:1,start=2"]).stream("s")
    sent = [stream.send(message(i), i) for i in range(5)]
    assert [m and (m.values["a"], m.time_ns // SECOND) for m in sent] == [(0, 0), (1, 1), (1, 2), (1, 3), (1, 4)]


def test_spike_multiplies_one_number() -> None:
    sent = Faults(["spike:1,amount=3"]).stream("s").send(message(2), 0)
    assert sent is not None
    assert sent.values == {"a": 6.0, "n": 2, "on": True}


def test_delay_and_lie() -> None:
    sent = Faults(["delay:1,amount=0.5", "lie:1,amount=-60"]).stream("s").send(message(100), 0)
    assert sent == Message(message(100).values, 40 * SECOND, good=False, delay=0.5)


def test_streams_fail_independently() -> None:
    faults = Faults(["drop:0.5"])
    one, other = faults.stream("one"), faults.stream("other")
    assert [one.send(message(i), i) for i in range(50)] != [other.send(message(i), i) for i in range(50)]


def test_switching_at_run_time() -> None:
    faults = Faults()
    stream = faults.stream("s")
    assert switch(faults, b'{"faults": ["drop:1"]}') == {"faults": ["drop:1,start=0,stop=inf,amount=0"]}
    assert stream.send(message(1), 1) is None
    assert switch(faults, b'{"faults": []}') == {"faults": []}
    assert stream.send(message(2), 2) == message(2)


@pytest.mark.parametrize(
    "text", ["burn:1", "drop:2", "drop:x", "drop:nan", "drop,begin=1", "drop,start", "delay,amount=-1", ""]
)
def test_nonsense_is_refused_and_changes_nothing(text: str) -> None:
    with pytest.raises(ValueError):
        Fault.parse(text)
    faults = Faults(["drop:1"])
    assert "error" in switch(faults, b'{"faults": ["%s"]}' % text.encode())
    assert faults.on == (Fault(Kind.DROP),)


@pytest.mark.parametrize("line", [b"", b"[]", b"{}", b'{"faults": 1}', b'{"faults": [1]}', b"\xff"])
def test_a_line_that_makes_no_sense_is_answered(line: bytes) -> None:
    assert "error" in switch(Faults(), line)
