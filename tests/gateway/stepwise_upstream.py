"""An upstream whose stream goes on only when the test says so: what was read before had arrived on its own."""

from __future__ import annotations

import asyncio
import queue

from sizewise.testing.upstream import FakeOpenAI, FaultResponder, _chunk, _head, _part

STEPS = 20
END = STEPS + 1
CUT = -1


class StepwiseOpenAI(FakeOpenAI):
    """Streams `word-0`, `word-1` ... each after a `step()`; `end()` finishes, `cut()` breaks the connection."""

    def __init__(self) -> None:
        super().__init__()
        self._steps: queue.Queue[int] = queue.Queue()

    def step(self, number: int) -> None:
        self._steps.put(number)

    def fault(self, model: str) -> FaultResponder:
        return self._stream

    async def _stream(self, _: dict[str, object], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        writer.write(_head("200 OK", "text/event-stream") + _part(_chunk({"role": "assistant", "content": ""})))
        while (number := await asyncio.to_thread(self._steps.get, timeout=30)) not in (END, CUT):
            writer.write(_part(_chunk({"content": f"word-{number} "})))
            await writer.drain()
        if number == CUT:
            return False
        writer.write(_part(_chunk({}, "stop")) + _part(b"data: [DONE]\n\n") + b"0\r\n\r\n")
        return True
