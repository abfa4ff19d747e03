"""Reading of client bodies: at once, in a thread, or checked in a worker process first, by their length.

A hostile body of megabytes can hold millions of values. Decoding all of them, as the check for repeated keys does, is
one call that holds the GIL; what the reader of an API decodes itself is less.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TypeVar

import msgspec
from msgspec import Raw

from sizewise.errors import BadBody
from sizewise.gateway.request_options import parse_options
from sizewise.handler import RequestOptions
from sizewise.offload.frames import Bytes
from sizewise.offload.job import Work, function_name
from sizewise.offload.offload import LONG_BYTES, Offload
from sizewise.providers.wires.openai.request_response import decode_client_body

CHECKED_BYTES = 1024 * 1024
"""Bodies from this size are checked in a worker process; a shorter one holds the GIL for at most 40 ms."""

Payload = TypeVar("Payload")
Parsed = TypeVar("Parsed")

PayloadReader = Callable[..., tuple[Payload, Raw | None]]
"""`read(body, is_checked=False)`: a payload and its `sizewise` object. `is_checked`: every JSON reader reads the body
alike. Raises BadBody.
"""
BodyReader = Callable[..., Parsed]
"""The same, for any result."""


def read_known_body(decoder: msgspec.json.Decoder[Parsed], body: bytes) -> tuple[Parsed, dict[str, Raw]]:
    """A body of an API that passes nothing on, and its raw fields. Raises BadBody, also for a field that is unknown
    and says something, and for wrong options in `sizewise`.
    """
    found, fields = decode_client_body(body or b"{}", decoder)
    known = type(found).__struct_fields__  # type: ignore[attr-defined]  # every such body is a Struct
    for name, raw in fields.items():
        if name not in known and bytes(raw) not in (b"null", b"[]", b"{}", b"false"):
            hint = f"known: {', '.join(each for each in known if each != 'sizewise')}"
            raise BadBody(f"there is no field `{name[:100]}`", hint, param=name[:100])
    parse_options({}, fields.get("sizewise"))
    return found, fields


async def read_payload(
    offload: Offload,
    read: PayloadReader[Payload],
    body: bytes,
    headers: dict[str, str],
    check: BodyReader[object] | None = None,
) -> tuple[Payload, RequestOptions]:
    """A payload and its options. `check`: a function at module level that refuses what `read` refuses; None: `read`."""
    if len(body) < LONG_BYTES:
        return _with_options(read, body, headers, False)
    is_checked = await check_body(offload, check or read, body)
    return await offload.in_thread(_with_options, read, body, headers, is_checked)


async def read_long_body(offload: Offload, read: BodyReader[Parsed], body: bytes) -> Parsed:
    """What `read` makes of a long body."""
    is_checked = await check_body(offload, read, body)
    return await offload.in_thread(read, body, is_checked=is_checked)


async def check_body(offload: Offload, read: BodyReader[object], body: bytes) -> bool:
    """Whether a body was checked in a worker process, because it is very long. Raises BadBody."""
    if len(body) < CHECKED_BYTES:
        return False
    await offload.in_process(body_checker, function_name(read), body)
    return True


def body_checker(setup: bytes) -> Work:
    """In a worker process: a body -> nothing. `setup` names the reader. Raises BadBody."""
    module, _, name = setup.decode().partition(":")
    read: BodyReader[object] = getattr(import_module(module), name)

    def check(body: bytes) -> list[Bytes]:
        read(body)
        return []

    return check


def _with_options(
    read: PayloadReader[Payload], body: bytes, headers: dict[str, str], is_checked: bool
) -> tuple[Payload, RequestOptions]:
    what, ours = read(body, is_checked=is_checked)
    return what, parse_options(headers, ours)
