"""Variables as devices and tags."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.opcua.address import Address
from drivers.opcua.convert import ARRAY, Kind
from drivers.opcua.tree import Variable, devices, is_usable
from gateway import draft
from gateway.settings import load
from gateway.survey import Line, Part, Survey

URI = "http://example.com/m"


def variable(*path: str, kind: int = Kind.DOUBLE, **more: object) -> Variable:
    return Variable(path, Address(URI, ".".join(path)), kind, **more)  # type: ignore[arg-type]


def plain(*variables: Variable) -> Mapping[str, object]:
    return Part(devices(variables, "server")).plain()


def test_what_stands_below_objects_is_a_device() -> None:
    found = plain(variable("Mixer", "Drive", "Speed"), variable("Mixer", "Level"), variable("Uptime", kind=Kind.INT64))
    assert found["Mixer"] == {
        "link": "server",
        "groups": {
            "values": {
                "tags": {
                    "Drive.Speed": {"node": f"nsu={URI};s=Mixer.Drive.Speed", "type": "float64"},
                    "Level": {"node": f"nsu={URI};s=Mixer.Level", "type": "float64"},
                }
            }
        },
    }
    assert list(found) == ["Mixer", "server"]


def test_a_folder_of_devices_is_none_itself() -> None:
    assert list(plain(variable("DeviceSet", "P1", "Level"), variable("Machines", "M 2", "Level"))) == ["P1", "M-2"]


def test_what_properties_say_goes_into_the_tag() -> None:
    found = plain(variable("M", "P", unit="bar\n" + "x" * 50, range=(0.0, 2.5), is_writable=True))
    tag = found["M"]["groups"]["values"]["tags"]["P"]  # type: ignore[index]
    assert tag == {
        "node": f"nsu={URI};s=M.P",
        "type": "float64",
        "unit": "bar " + "x" * 27 + "…",
        "range": [0, 2.5],
        "writable": True,
    }


@pytest.mark.parametrize("limits", [(0.0, 0.0), (5.0, 1.0), (math.nan, 1.0), (0.0, math.inf)])
def test_a_range_that_is_none_is_left_out(limits: tuple[float, float]) -> None:
    assert "range" not in str(plain(variable("M", "P", range=limits)))


@pytest.mark.parametrize(
    "given",
    [
        variable("M", "P", kind=ARRAY),
        variable("M", "P", kind=Kind.NULL),
        variable("M", "P", kind=22),
        Variable(("M",), Address(URI, "a\nb"), Kind.DOUBLE),
        Variable(("M",), Address("", "a"), Kind.DOUBLE),
    ],
)
def test_what_cannot_be_a_tag(given: Variable) -> None:
    assert not is_usable(given)
    assert plain(given) == {}


IDENTIFIERS = st.integers(0, 2**32 - 1) | st.text(max_size=20) | st.binary(max_size=8) | st.just(UUID(int=1))
VARIABLES = st.builds(
    Variable,
    st.lists(st.text(max_size=8) | st.just("DeviceSet"), max_size=4).map(tuple),
    st.builds(Address, st.integers(0, 9) | st.text(max_size=10), IDENTIFIERS),
    st.integers(-1, 25),
    st.booleans(),
    st.none() | st.text() | st.floats(),
    st.text(),
    st.none() | st.tuples(st.floats(), st.floats()),
)


@given(st.lists(VARIABLES, max_size=10, unique_by=lambda each: str(each.address)))
def test_whatever_a_server_has_the_configuration_is_good(variables: list[Variable]) -> None:
    found = devices(variables, "server")
    if not found:
        return
    link = Part({"server": Line({"driver": "opcua", "url": "opc.tcp://h"})})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "edgeward.yaml"
        path.write_text(draft.write(Survey(link, Part(found))), encoding="utf-8")
        load(path)
