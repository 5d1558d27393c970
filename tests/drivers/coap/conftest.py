"""The server of the tests on real counterparts."""

from __future__ import annotations

from tests.parts.libcoap import coap_server

__all__ = ["coap_server"]
