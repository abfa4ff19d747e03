"""Counts a request at the door, once, whatever comes of it: also one that a cache answers or that repeats another."""

from __future__ import annotations

from collections.abc import Coroutine

from sizewise.handler import Answerer, Ask, Send
from sizewise.limits.limiter import Budgets
from sizewise.messages import Reply

OURS = frozenset({"shadow", "judge", "flow"})
"""Doors of questions that we ask ourselves, and of the nodes of flows, which are asked for once: they cost tokens and
money as all do, but nobody's requests."""


class Limited:
    """An Answerer around an Answerer. Where nothing limits the caller it hands back the inner awaitable."""

    def __init__(self, answer: Answerer, budgets: Budgets) -> None:
        self._answer = answer
        self._budgets = budgets

    def __call__(self, ask: Ask, send: Send) -> Coroutine[object, None, Reply]:
        budgets = self._budgets
        if not budgets.limited or ask.door in OURS:
            return self._answer(ask, send)
        waits = budgets.knock(ask.caller)
        return self._answer(ask, send) if waits is None else self._later(waits, ask, send)

    async def _later(self, waits: Coroutine[object, None, None], ask: Ask, send: Send) -> Reply:
        await waits
        return await self._answer(ask, send)
