"""Implicit feedback: repeated requests within a short time count as negative feedback. Stores a hash, no text.

The hash is keyed with a secret of this process and never leaves it. The feedback has the kind `asked-again` and affects
no estimate and no guarantee: an application may have other reasons to ask twice.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b

from msgspec import Struct

from sizewise.evals.quality_monitor import QualityMonitor
from sizewise.evals.tables import Feedback
from sizewise.messages import ChatRequest
from sizewise.routing.observation import Observation

FEEDBACK_KIND = "asked-again"
MAX_ANSWERS = 10_000
"""The latest answers that are remembered."""


class RecentAnswer(Struct, frozen=True):
    """An answer delivered to a client."""

    trace: str
    policy: str
    model: str
    at: float  # unix seconds


def _words(chat: ChatRequest) -> str:
    """The text of a conversation whose last message is the user's; empty for others, such as after a tool result."""
    if not chat.messages or chat.messages[-1].role != "user":
        return ""
    return "\0".join(f"{message.role}\0{message.text}" for message in chat.messages)


class ImplicitFeedback:
    """One per process; it outlives applications. Not thread-safe: use it on the event loop."""

    def __init__(self, monitor: QualityMonitor, clock: Callable[[], float] = time.time) -> None:
        self._monitor = monitor
        self._clock = clock
        self._secret = os.urandom(32)
        self._recent: OrderedDict[bytes, RecentAnswer] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

    def observe(self, observation: Observation, within_s: float) -> None:
        """Remembers an answer, and rates the previous one 0 if the same key repeats the request within `within_s`."""
        what = observation.request.payload
        words = _words(what) if isinstance(what, ChatRequest) else ""
        given = next((each for each in observation.replies if each.was_delivered), None)
        if not words or given is None:
            return
        place, now = self._request_hash(observation, words), self._clock()
        before = self._recent.pop(place, None)
        self._recent[place] = RecentAnswer(observation.request.trace_id, observation.policy, given.card.name, now)
        if len(self._recent) > MAX_ANSWERS:
            self._recent.popitem(last=False)
        if before is not None and now - before.at <= within_s and before.trace != observation.request.trace_id:
            task = asyncio.get_running_loop().create_task(
                self._monitor.record_implicit(self._feedback(observation, before, now)),
            )
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _request_hash(self, observation: Observation, text: str) -> bytes:
        principal = observation.request.principal
        said = "\0".join((principal.tenant, principal.project, principal.key_id, text))
        return blake2b(said.encode("utf-8", "surrogatepass"), key=self._secret, digest_size=16).digest()

    def _feedback(self, observation: Observation, previous: RecentAnswer, now: float) -> Feedback:
        principal = observation.request.principal
        return Feedback(
            tenant=principal.tenant,
            project=principal.project,
            policy=previous.policy,
            model=previous.model,
            trace=previous.trace,
            at=round(now * 1_000),
            key=principal.key_id,
            kind=FEEDBACK_KIND,
            score=0.0,
        )
