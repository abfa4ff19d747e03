"""What clients say without saying it: who asks the same again soon after was not content; keeps a hash and no word.

The hash is keyed by a secret of this process and never leaves it. It is feedback of the kind `asked-again`, so it
changes no estimate and no promise: an application may have other reasons to ask twice.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b

from msgspec import Struct

from sizewise.evals.quality_monitor import Watch
from sizewise.evals.tables import Verdict
from sizewise.messages import Chat
from sizewise.routing.observation import Witnessed

KIND = "asked-again"
MOST = 10_000
"""Questions that are remembered, the latest."""


class Given(Struct, frozen=True):
    """An answer that somebody was given."""

    trace: str
    policy: str
    model: str
    at: float  # unix seconds


def _words(chat: Chat) -> str:
    """All that was said in a conversation that ends with a person's words; empty for one that a tool's result ends."""
    if not chat.messages or chat.messages[-1].role != "user":
        return ""
    return "\0".join(f"{message.role}\0{message.text}" for message in chat.messages)


class Implicit:
    """One per process, outlives Houses. For one thread: the event loop."""

    def __init__(self, watch: Watch, clock: Callable[[], float] = time.time) -> None:
        self._watch = watch
        self._clock = clock
        self._secret = os.urandom(32)
        self._last: OrderedDict[bytes, Given] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

    def seen(self, its: Witnessed, within_s: float) -> None:
        """Notes an answer, and a verdict on the one before where the same key asks the same within so many seconds."""
        what = its.ask.what
        words = _words(what) if isinstance(what, Chat) else ""
        given = next((each for each in its.answered if each.given), None)
        if not words or given is None:
            return
        place, now = self._place(its, words), self._clock()
        before = self._last.pop(place, None)
        self._last[place] = Given(its.ask.trace, its.policy, given.card.name, now)
        if len(self._last) > MOST:
            self._last.popitem(last=False)
        if before is not None and now - before.at <= within_s and before.trace != its.ask.trace:
            task = asyncio.get_running_loop().create_task(self._watch.noticed(self._verdict(its, before, now)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _place(self, its: Witnessed, words: str) -> bytes:
        caller = its.ask.caller
        said = "\0".join((caller.tenant, caller.project, caller.key, words))
        return blake2b(said.encode("utf-8", "surrogatepass"), key=self._secret, digest_size=16).digest()

    def _verdict(self, its: Witnessed, before: Given, now: float) -> Verdict:
        caller = its.ask.caller
        return Verdict(
            caller.tenant,
            caller.project,
            before.policy,
            before.model,
            before.trace,
            round(now * 1_000),
            caller.key,
            KIND,
            0.0,
        )
