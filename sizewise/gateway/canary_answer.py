"""Answers of a canary: a request that it fails before the first byte is answered once more, by the stable release.

The client sees no error and the failure counts: the canary's own record has it. What may have acted already, a flow or
an agent, is not run again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec
from msgspec import Struct

from sizewise.errors import SizewiseError

FAILED_STATUS = 500
"""From this status on, the canary has failed."""
FLOW = "flow:"


class _Writer(Protocol):
    """A ResponseWriter, which the file that uses this one defines."""

    async def send_response(
        self, status: int, headers: list[tuple[bytes, bytes]], body: bytes, header_lines: bytes = b""
    ) -> None: ...
    async def start_stream(self, headers: list[tuple[bytes, bytes]]) -> None: ...
    async def write(self, data: bytes) -> None: ...
    async def end_stream(self) -> None: ...
    async def cut_stream(self) -> None: ...
    @property
    def has_started(self) -> bool: ...


class CanaryFailed(Exception):
    """The canary's answer, which was not sent."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class FirstByteWriter:
    """Wraps a ResponseWriter; raises CanaryFailed where a failure would be sent."""

    def __init__(self, writer: _Writer) -> None:
        self._writer = writer
        self.start_stream = writer.start_stream
        self.write = writer.write
        self.end_stream = writer.end_stream
        self.cut_stream = writer.cut_stream

    async def send_response(
        self, status: int, headers: list[tuple[bytes, bytes]], body: bytes, header_lines: bytes = b""
    ) -> None:
        if status >= FAILED_STATUS:
            raise CanaryFailed(status)
        await self._writer.send_response(status, headers, body, header_lines)

    @property
    def has_started(self) -> bool:
        return self._writer.has_started


async def answer_twice(
    by_canary: Callable[[_Writer], Awaitable[None]],
    by_stable: Callable[[], Awaitable[None]],
    writer: _Writer,
    body: bytes,
) -> None:
    """Raises what the canary raises where stable must not answer, and what stable raises."""
    if may_act(body):
        return await by_canary(writer)
    try:
        await by_canary(FirstByteWriter(writer))
    except CanaryFailed:
        await by_stable()
    except SizewiseError as error:
        if writer.has_started or error.status < FAILED_STATUS:
            raise
        await by_stable()


class _BodyModel(Struct):
    model: object = None


def may_act(body: bytes) -> bool:
    """Whether what answers may have done more than to answer."""
    try:
        model = msgspec.json.decode(body, type=_BodyModel).model
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return isinstance(model, str) and model.startswith(FLOW)
