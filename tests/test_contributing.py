"""The driver in CONTRIBUTING.md is run as it stands there."""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

import drivers
from gateway import plugins
from gateway.clock import SECOND
from gateway.model import Device, Link, Tag, TagGroup, ValueType
from tests.drivers.receiver import FakeReceiver


@pytest.fixture
def dice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    text = Path("CONTRIBUTING.md").read_text(encoding="utf-8")
    (tmp_path / "dice.py").write_text(re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0], encoding="utf-8")
    monkeypatch.setattr(drivers, "__path__", [*drivers.__path__, str(tmp_path)])
    yield plugins.load("driver", "dice")
    del sys.modules["drivers.dice"]


async def test_the_driver_that_the_text_shows_works(dice: types.ModuleType) -> None:
    settings = dice.TagSettings.model_validate({"type": "uint16", "sides": 2})
    tag = Tag("dice/a", ValueType.UINT16, address=settings)
    group = TagGroup("dice", "g", (tag,), SECOND, SECOND)
    link = Link("l", "dice", (Device("dice", (group,)),), dice.LinkSettings(driver="dice"))
    driver = dice.Driver(link, FakeReceiver())
    await driver.open()
    rolled = {int((await driver.read(group)).values[0][0]) for _ in range(50)}
    assert rolled == {1, 2}
    assert list(dice.check(link)) == []
    await driver.close()
