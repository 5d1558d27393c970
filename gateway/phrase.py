"""What everything has in common that is said through the control door."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec

Name: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]


class Request(msgspec.Struct, frozen=True, tag_field="ask", forbid_unknown_fields=True):
    pass


class Reply(msgspec.Struct, frozen=True, tag_field="answer"):
    pass


class Failure(Reply, frozen=True, tag="error"):
    """The request was not carried out."""

    message: str
    hint: str = ""
