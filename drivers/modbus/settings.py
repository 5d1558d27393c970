"""What people write about Modbus TCP links, devices, groups and tags."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import numpy as np
from pydantic import BeforeValidator, Field, model_validator

from drivers.modbus.address import PATTERN, SPACE, Address, parse_address
from drivers.modbus.order import Order
from gateway import fields
from gateway.clock import SECOND
from gateway.model import ValueType

AddressField: TypeAlias = Annotated[
    Address, BeforeValidator(parse_address, json_schema_input_type=Annotated[str, Field(pattern=PATTERN)])
]


class TagSettings(fields.TagSettings):
    """One tag: where it lies, and how what lies there becomes its value: `value = raw * scale + offset`."""

    address: AddressField = Field(description="holding:100, input:0, coil:3, discrete:7, or holding:100.3 for one bit")
    raw: ValueType | None = Field(None, description="the type in the registers; the tag's own type unless set")
    order: Order = Field(Order.ABCD, description="the order of the bytes as they arrive, A being the highest")
    scale: float = Field(1.0, allow_inf_nan=False, description="value = raw * scale + offset")
    offset: float = Field(0.0, allow_inf_nan=False, description="value = raw * scale + offset")
    length: int | None = Field(None, ge=1, le=250, description="the length of a string in bytes, two a register")

    @property
    def raw_type(self) -> ValueType:
        return self.type if self.raw is None else self.raw

    @property
    def is_scaled(self) -> bool:
        return self.scale != 1.0 or self.offset != 0.0

    @property
    def count(self) -> int:
        """How many addresses of its table it takes."""
        if self.raw_type is ValueType.BOOL:
            return 1
        size = self.length or self.raw_type.dtype.itemsize
        return (size + 1) // 2

    @model_validator(mode="after")
    def _type_fits_table(self) -> TagSettings:
        raw, address = self.raw_type, self.address
        if {self.type, raw} & {ValueType.INT8, ValueType.UINT8}:
            raise ValueError("Modbus has no 8-bit values: use int16 or uint16")
        if address.table.has_bits and raw is not ValueType.BOOL:
            raise ValueError(f"a {address.table} is a bit: its type is bool, not {raw}")
        if raw is ValueType.BOOL and not address.table.has_bits and address.bit is None:
            raise ValueError(f"say which bit of the register: {address}.0 (the lowest) to {address}.15")
        if address.bit is not None and raw is not ValueType.BOOL:
            raise ValueError(f"{address} is one bit: its type is bool, not {raw}")
        return self

    @model_validator(mode="after")
    def _string_has_length(self) -> TagSettings:
        is_string = self.raw_type is ValueType.STRING
        if is_string and self.length is None:
            raise ValueError("a string needs its length in bytes, such as length: 16")
        if not is_string and self.length is not None:
            raise ValueError("only a string has a length")
        if is_string and self.order.swaps_words:
            raise ValueError("a string has no word order: use ABCD, or BADC where its letters come in swapped pairs")
        if self.address.start + self.count > SPACE:
            raise ValueError(f"{self.address} and the {self.count - 1} after it reach beyond the last, {SPACE - 1}")
        return self

    @model_validator(mode="after")
    def _raw_becomes_value(self) -> TagSettings:
        raw = self.raw_type
        if self.scale == 0:
            raise ValueError("a scale of 0 turns every value into the same")
        if raw is not self.type and {raw, self.type} & {ValueType.BOOL, ValueType.STRING}:
            raise ValueError(f"{raw} does not become {self.type}")
        if self.is_scaled and not (self.type.is_float and np.issubdtype(raw.dtype, np.number)):
            raise ValueError("scale and offset need a type of float32 or float64; the registers' own type goes to raw")
        if not self.is_scaled and not np.can_cast(raw.dtype, self.type.dtype, "safe"):
            raise ValueError(f"{raw} does not fit into {self.type} without loss")
        return self

    @model_validator(mode="after")
    def _writable_can_be_written(self) -> TagSettings:
        if not self.writable:
            return self
        if not self.address.table.is_writable:
            raise ValueError(f"{self.address} cannot be written: only coil and holding can")
        if self.address.bit is not None:
            raise ValueError("a bit of a register cannot be written without its 15 neighbours: write a coil, or all 16")
        if self.count > 123:
            raise ValueError("at most 123 registers, 246 bytes, can be written at once")
        return self


class GroupSettings(fields.PolledSettings):
    """Tags that are read together, in as few requests as their addresses allow."""

    # A frozen model is never written through its base, so the narrower type is safe.
    tags: dict[str, TagSettings] = Field(min_length=1)


class DeviceSettings(fields.DeviceSettings):
    """One unit at the far end of the link."""

    unit: int = Field(1, ge=0, le=255, description="unit id; 255 or 0 where the device itself is at the address")
    max_gap: int = Field(8, ge=0, le=124, description="unused registers read along to save a request; 16 bits each")
    max_registers: int = Field(125, ge=1, le=125, description="registers a request; 16 bits each")
    groups: dict[str, GroupSettings]

    @model_validator(mode="after")
    def _tags_fit_requests(self) -> DeviceSettings:
        for group in self.groups.values():
            for name, tag in group.tags.items():
                if tag.count > self.max_registers:
                    raise ValueError(f"{name} takes {tag.count} registers: more than max_registers, so never readable")
        return self


class LinkSettings(fields.LinkSettings):
    """One Modbus TCP connection."""

    host: str = Field(min_length=1, max_length=253)
    port: int = Field(502, ge=1, le=65_535)
    in_flight: int = Field(1, ge=1, le=16, description="requests on the wire at once; falls back to 1 where it fails")
    timeout: fields.Duration = Field(
        SECOND, gt=0, description="how long to wait for a reply; must cover all that are in flight"
    )
    pause: fields.Duration = Field(0, description="the least time between a reply and the next request")

    @model_validator(mode="after")
    def _pause_needs_turns(self) -> LinkSettings:
        if self.pause and self.in_flight > 1:
            raise ValueError("a device that needs a pause takes one request at a time: leave in_flight at 1")
        return self
