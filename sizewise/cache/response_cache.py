"""The same question gets the answer it got a while ago: in memory, off unless wished for; knows no wire and no meaning.

Two questions are the same when tenant, project, roles, class of data, every field, every wish and the policy with its
models are; see `question.py`. Only whole good answers are kept.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from time import monotonic

from msgspec import Struct
from msgspec.structs import replace

from sizewise.cache.cache_key import digest
from sizewise.cache.reply_codec import Answer, packed, unpacked
from sizewise.guardrails.data_leakage import canaries
from sizewise.guardrails.output_filter import leaks
from sizewise.handler import Answerer, Ask, Chosen, Event, Send
from sizewise.messages import Chat, Embed, Reply
from sizewise.reply_events import Word, gathered
from sizewise.routing.model_aliases import Plan
from sizewise.settings.storage import ExactCache

WHOLE = frozenset({"stop", "tool_calls", "function_call"})
"""How a good answer ends: not cut by a limit, not held back by a filter."""
BESIDE = 200
"""Bytes that an entry takes beside its answer."""
MOST_EVENTS = 100_000

Planning = Callable[[Chat | Embed, str | None], Plan]


def exact(answer: Answerer, plan: Planning, wanted: ExactCache) -> Answerer:
    """`answer` with a cache before it; `answer` itself where none is wanted."""
    return Cached(answer, plan, wanted) if wanted.ttl_s else answer


class Held(Struct, frozen=True):
    """An answer, packed; `at` and `until` are monotonic() seconds."""

    at: float
    until: float
    answer: bytes


class Shelf:
    """Answers by key, within bounds: the ones longest unused go first."""

    def __init__(self, max_entries: int, max_bytes: int) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._held: OrderedDict[bytes, Held] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._held)

    def find(self, key: bytes, now: float) -> Held | None:
        held = self._held.get(key)
        if held is None:
            return None
        if held.until <= now:
            self._drop(key)
            return None
        self._held.move_to_end(key)
        return held

    def keep(self, key: bytes, held: Held) -> None:
        self._drop(key)
        size = len(held.answer) + BESIDE
        if size > self._max_bytes:
            return
        self._held[key] = held
        self.bytes += size
        while self.bytes > self._max_bytes or len(self._held) > self._max_entries:
            self._drop(next(iter(self._held)))

    def _drop(self, key: bytes) -> None:
        held = self._held.pop(key, None)
        if held is not None:
            self.bytes -= len(held.answer) + BESIDE


class Cached:
    """An Answerer around an Answerer; lives as long as its House, so new settings begin with nothing."""

    def __init__(self, answer: Answerer, plan: Planning, wanted: ExactCache) -> None:
        self._answer = answer
        self._plan = plan
        self._ttl_s = wanted.ttl_s
        self._shelf = Shelf(wanted.max_entries, wanted.max_bytes)
        self._versions: dict[tuple[bool, str, str | None], str] = {}

    async def __call__(self, ask: Ask, send: Send) -> Reply:
        key = question(ask, self._version(ask))
        held = self._shelf.find(key, monotonic()) if ask.wishes.cache is None else None
        if held is not None:
            return await _given(held, ask, send)
        if ask.wishes.cache == "no-store":
            return await self._answer(ask, send)
        heard = Heard(send)
        reply = await self._answer(ask, heard.hear)
        if heard.chosen is not None and good(reply) and not told(ask, reply) and len(heard.words) < MOST_EVENTS:
            now, words = monotonic(), tuple(gathered(heard.words))
            self._shelf.keep(key, Held(now, now + self._ttl_s, packed(Answer(heard.chosen, reply, words))))
        return reply

    def _version(self, ask: Ask) -> str:
        """Raises UnknownModel."""
        asked = (isinstance(ask.what, Chat), ask.what.model, ask.wishes.policy)
        found = self._versions.get(asked)
        if found is None:
            plan = self._plan(ask.what, ask.wishes.policy)  # raises for a name that nobody has, so these stay few
            found = self._versions[asked] = version(plan)
        return found


class Heard:
    """Passes events on and keeps what an answer needs to be given again."""

    __slots__ = ("_send", "chosen", "words")

    def __init__(self, send: Send) -> None:
        self._send = send
        self.chosen: Chosen | None = None
        self.words: list[Word] = []

    def hear(self, event: Event) -> Awaitable[None]:
        if isinstance(event, Word):
            if len(self.words) < MOST_EVENTS:
                self.words.append(event)
        elif isinstance(event, Chosen):
            self.chosen = event
        return self._send(event)


def question(ask: Ask, version: str) -> bytes:
    """The key of a question put to a policy of this version."""
    caller = ask.caller
    return digest(ask, caller.tenant, caller.project, sorted(caller.may), caller.data_class, caller.scope, version)


def version(plan: Plan) -> str:
    """Of the policy and the models it may ask: whatever in them changes, changes it."""
    kind = type(plan.policy)
    said = (plan.name, kind.__module__, kind.__qualname__, plan.policy, plan.exact, plan.cards)
    return hashlib.sha256(repr(said).encode()).hexdigest()


def good(reply: Reply) -> bool:
    """Worth being given again: whole, and nobody distrusted it."""
    if reply.degraded:
        return False
    return all(choice.finish in WHOLE for choice in reply.choices) and bool(reply.choices or reply.vectors)


def told(ask: Ask, reply: Reply) -> bool:
    """Whether it repeats the canary of this very request, which no other request has to hear of."""
    return ask.fence is not None and bool(ask.fence.canary) and bool(leaks(reply, canaries((ask.fence.canary,))))


async def _given(held: Held, ask: Ask, send: Send) -> Reply:
    answer = unpacked(held.answer)
    age = max(0, round(monotonic() - held.at))
    why = f"the same question was answered {age} s ago (exact cache)"
    await send(replace(answer.chosen, why=why, attempts=0))
    if isinstance(ask.what, Chat) and ask.what.stream:
        for word in answer.events():
            await send(word)
    return answer.reply
