"""The same idempotency key never pays twice: a request that comes again gets what the first one got; knows no wire.

Before a call is made its lease is durable. While it goes, whoever comes with the key follows it from its start. When it
has ended its answer lies sealed and is given again, also after a restart. A crash in between leaves a lease without an
answer, and then nobody can know whether it was paid for: that is said, and never tried again by itself.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Awaitable, Coroutine
from functools import partial
from typing import Protocol

import msgspec
from msgspec.structs import replace

from sizewise.cache.cache_key import digest
from sizewise.cache.idempotency_record import Kept, failure
from sizewise.cache.reply_codec import Answer, packed, unpacked
from sizewise.cache.single_flight import Call, Follower, Owner
from sizewise.cache.tables import Lease
from sizewise.errors import BadRequest, Conflict, OutcomeUnknown, SizewiseError, StoreFailed, VaultLocked
from sizewise.handler import Answerer, Ask, Chosen, Send
from sizewise.messages import Chat, Reply

log = logging.getLogger("sizewise.cache")

AGAIN = "given again for the same idempotency key, at no cost"
SHOWN = 100
"""Characters of a key in a message."""

Where = tuple[str, str, str]
Calls = dict[Where, Call]
"""Calls under way by tenant, project and key; outlives Houses."""


class Store(Protocol):
    """Where leases are kept; each raises StoreFailed or VaultLocked."""

    async def lease(self, lease: Lease) -> Kept | None:
        """None: it is ours, durably. Else what is kept under it."""

    async def settle(self, lease: Lease, kept: Kept) -> None: ...
    async def release(self, lease: Lease) -> None: ...


class Idempotent:
    """An Answerer around an Answerer. Without a key it is not there: it hands back the inner awaitable."""

    def __init__(self, answer: Answerer, store: Store, calls: Calls, *, own: bool = False) -> None:
        """`own`: what is answered depends on who asks, so that nobody is given what another was."""
        self._answer = answer
        self._own = own
        self._store = store
        self._calls = calls

    def __call__(self, ask: Ask, send: Send) -> Coroutine[object, None, Reply]:
        if ask.wishes.idempotency_key is None:
            return self._answer(ask, send)
        return self._once(ask, send)

    async def _once(self, ask: Ask, send: Send) -> Reply:
        """Between looking for a call and noting ours nothing is awaited: of two at once one is the second."""
        lease, streams = leased(ask, self._own), _streams(ask)
        where = (lease.tenant, lease.project, lease.key)
        call = self._calls.get(where)
        if call is None:
            call = self._calls[where] = Call(lease.digest, streams, partial(self._run, ask, lease))
            call.task.add_done_callback(lambda task: self._calls.pop(where))
            return await Owner(call, send).listen()
        if call.digest != lease.digest:
            raise _another(ask)
        return await Follower(call, send, streams, AGAIN).listen()

    async def _run(self, ask: Ask, lease: Lease, call: Call) -> Reply:
        kept = await self._store.lease(lease)
        return await (self._ask(ask, lease, call) if kept is None else self._again(ask, lease, call, kept))

    async def _ask(self, ask: Ask, lease: Lease, call: Call) -> Reply:
        try:
            reply = await self._answer(ask, call.put)
        except SizewiseError as error:
            kept = Kept(lease.digest, failure=failure(error))
            await self._noted(self._store.release(lease) if call.free else self._store.settle(lease, kept))
            raise
        answer = Answer(call.chosen or Chosen(reply.model, "", 0), reply, call.words)
        await self._noted(self._store.settle(lease, Kept(lease.digest, packed(answer))))
        return reply

    async def _noted(self, writing: Awaitable[None]) -> None:
        """Who asked gets the answer all the same; who asks again is told that its outcome is unknown."""
        try:
            await writing
        except (StoreFailed, VaultLocked) as error:
            log.warning("the outcome of a call under an idempotency key could not be kept: %s", error.message)

    async def _again(self, ask: Ask, lease: Lease, call: Call, kept: Kept) -> Reply:
        if kept.digest != lease.digest:
            raise _another(ask)
        if kept.failure is not None:
            kept.failure.again()
        if kept.answer is None:
            raise OutcomeUnknown(
                f"a call under the idempotency key {_shown(ask)} was begun, and the server stopped before it ended",
                "it may have been paid for; look into the records, and ask under a new key if you want it made again",
            )
        answer = unpacked(kept.answer)
        chosen = answer.chosen
        await call.put(replace(chosen, why=f"{AGAIN}: {chosen.why}", attempts=0))
        for word in answer.events() if call.streams else ():
            await call.put(word)
        return answer.reply


def leased(ask: Ask, own: bool = False) -> Lease:
    """Raises BadRequest for a key of nothing. Callers that are confined otherwise ask another question."""
    key, caller = ask.wishes.idempotency_key or "", ask.caller
    if not key.strip():
        raise BadRequest(
            "the idempotency key is empty", "send a new one with each new request", param="idempotency_key"
        )
    whose = (caller.tenant, caller.project, *((caller.user or caller.key,) if own else ()))
    hidden = hashlib.sha256(msgspec.msgpack.encode((*whose, key))).hexdigest()
    confined = (caller.scope, caller.data_class)
    return Lease(caller.tenant, caller.project, hidden, digest(ask, *(confined if any(confined) else ())))


def _streams(ask: Ask) -> bool:
    return isinstance(ask.what, Chat) and ask.what.stream


def _shown(ask: Ask) -> str:
    return repr((ask.wishes.idempotency_key or "")[:SHOWN])


def _another(ask: Ask) -> Conflict:
    return Conflict(
        f"the idempotency key {_shown(ask)} belongs to another request",
        "a new request takes a new key; the same request is sent again unchanged",
        param="idempotency_key",
    )
