"""Query parameters of stored responses: a page of items, or a stream from an event on; reads no response."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar
from urllib.parse import parse_qs

import msgspec
from msgspec import Meta, Struct

from sizewise.errors import BadRequest
from sizewise.providers.wires.responses.request_in import ALLOWED_INCLUDES

MAX_QUERY_BYTES = 4_096
T = TypeVar("T", bound=Struct)


class ItemQuery(Struct, frozen=True):
    """`after`: the id of the item before the page. `include` is checked, and everything is listed anyway."""

    after: str = ""
    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    order: Literal["asc", "desc"] = "desc"
    include: list[str] = []


class StreamQuery(Struct, frozen=True):
    """`starting_after`: the sequence number of the last event that the client has; -1: none."""

    stream: bool = False
    starting_after: Annotated[int, Meta(ge=-1, le=2**53)] = -1
    include: list[str] = []


def read_query(query_string: bytes, kind: type[T]) -> T:
    """Parameters of no meaning here are ignored. Raises BadRequest, which names the parameter."""
    if not query_string:
        return kind()
    sent = parse_qs(query_string[:MAX_QUERY_BYTES].decode("utf-8", "replace"), keep_blank_values=True)
    named = {name.removesuffix("[]"): values for name, values in sent.items()}
    known = {name: named[name] for name in kind.__struct_fields__ if name in named}
    unknown = [each for each in known.get("include", ()) if each not in ALLOWED_INCLUDES]
    if unknown:
        raise BadRequest(
            f"`include` has no value {unknown[0][:100]!r}",
            f"known: {', '.join(sorted(ALLOWED_INCLUDES))}",
            param="include",
        )
    values: dict[str, object] = {name: said if name == "include" else said[-1] for name, said in known.items()}
    for name, value in values.items():
        try:
            msgspec.convert({name: value}, kind, strict=False)
        except msgspec.ValidationError as error:
            reason = str(error).partition(" - at `$")[0]
            raise BadRequest(
                f"the parameter `{name}` is {str(value)[:100]!r}: {reason[:1].lower()}{reason[1:]}",
                "see the API reference for this parameter",
                param=name,
            ) from error
    return msgspec.convert(values, kind, strict=False)
