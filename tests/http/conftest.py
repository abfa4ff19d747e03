"""The client's tests run on both event loops: uvloop, which servers use, and asyncio's own, with its debug checks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import uvloop


class DebugLoop(asyncio.SelectorEventLoop):
    """Stays in debug mode, which the runner of the tests turns off."""

    def set_debug(self, enabled: bool) -> None:
        super().set_debug(True)


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop, "asyncio": DebugLoop}
