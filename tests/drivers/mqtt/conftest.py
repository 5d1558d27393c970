"""The broker of the tests on real counterparts."""

from __future__ import annotations

from tests.parts.mosquitto import mosquitto

__all__ = ["mosquitto"]
