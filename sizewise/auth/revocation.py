"""Stops an answer under way at once when its key is revoked or runs out; knows keys by their ids only."""

from __future__ import annotations

import asyncio
import time

from sizewise.auth.authenticator import NEVER, Keys, Running
from sizewise.errors import BadKey
from sizewise.handler import Answerer, Ask, Send
from sizewise.messages import Reply


class Admitted:
    """An Answerer around an Answerer, in the task of the one who asks: the model stops, and what it did is booked.

    A call under an idempotency key goes on, as for any client that leaves: others may be listening to it.
    """

    def __init__(self, answer: Answerer, keys: Keys) -> None:
        self._answer = answer
        self._keys = keys

    async def __call__(self, ask: Ask, send: Send) -> Reply:
        task = asyncio.current_task()
        assert task is not None
        keys = self._keys
        mine = Running(ask.caller.key, task)
        keys.running.add(mine)
        until = keys.until(mine.id)
        alarm = None
        if until != NEVER:
            alarm = asyncio.get_running_loop().call_later(max(0.0, until - time.time()), mine.stop)
        try:
            return await self._answer(ask, send)
        except asyncio.CancelledError:
            if not mine.stopped or task.uncancel() > 0:
                raise
            raise BadKey(f"the key {mine.id!r} was revoked or expired in mid-answer", "ask for a new one") from None
        finally:
            if alarm is not None:
                alarm.cancel()
            keys.running.discard(mine)
            del task, mine  # a traceback keeps this frame, and the task its traceback
