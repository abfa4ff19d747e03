"""Child processes: none outlives the event loop that started it."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path

from sizewise.process import start_module


def test_a_child_that_nobody_waited_for_ends_with_the_event_loop() -> None:
    """Pytest makes errors of what asyncio warns of when it collects a transport that is still open."""

    async def start() -> int:
        return (await start_module("sizewise.offload.worker")).pid

    pid = asyncio.run(start())
    gc.collect()
    assert not Path(f"/proc/{pid}").exists()
