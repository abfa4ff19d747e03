"""Idempotency-key middleware: a repeated request gets the first outcome and is never paid twice.

A lease and a pending record are durable before the call is made. During the call, repeated requests follow it from its
start. Afterwards the answer is stored encrypted and replayed, also after a restart. A crash in between leaves a lease
without an outcome: the call may have been paid for, so OutcomeUnknown is raised and nothing is retried.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Awaitable, Coroutine
from functools import partial

import msgspec
from msgspec.structs import replace

from sizewise.cache.cache_key import request_digest
from sizewise.cache.idempotency_record import IdempotencyRecord, recorded_error
from sizewise.cache.idempotency_store import IdempotencyStore
from sizewise.cache.reply_codec import StoredReply, decode_reply, encode_reply
from sizewise.cache.single_flight import Leader, SingleFlight, SingleFlightFollower
from sizewise.cache.tables import IdempotencyLease
from sizewise.errors import BadRequest, Conflict, EncryptionKeyUnavailable, OutcomeUnknown, SizewiseError, StorageError
from sizewise.handler import Event, FirstAnswer, Handler, ModelSelected, Request, Send
from sizewise.messages import ChatRequest, Reply, reply_size, request_size
from sizewise.offload.offload import Offload
from sizewise.storage.erasure import Caller

log = logging.getLogger("sizewise.cache")

REPLAY_REASON = "replayed for the same idempotency key, at no cost"
MAX_SHOWN_CHARS = 100
"""Characters of a key shown in a message."""
SHOWN_TRACE_CHARS = 16
"""Characters of a trace id, as in the list of records: unique in practice."""

CallKey = tuple[str, str, str]
CallsInFlight = dict[CallKey, SingleFlight]
"""Calls in flight by tenant, project and key; outlives an Application."""


class IdempotencyMiddleware:
    """Wraps a handler. Without a key it returns the inner awaitable."""

    def __init__(
        self,
        handler: Handler,
        store: IdempotencyStore,
        calls: CallsInFlight,
        *,
        offload: Offload,
        per_principal: bool = False,
    ) -> None:
        """`per_principal`: answers depend on the principal, so keys of different principals never match. `offload`
        compares long requests.
        """
        self._offload = offload
        self._handler = handler
        self._per_principal = per_principal
        self._store = store
        self._calls = calls

    def __call__(self, request: Request, send: Send) -> Coroutine[object, None, Reply]:
        if request.options.idempotency_key is None:
            return self._handler(request, send)
        return self._run_once(request, send)

    async def _run_once(self, request: Request, send: Send) -> Reply:
        """Nothing is awaited between the lookup and the entry of a call, so two simultaneous requests make one call."""
        lease = await self._offload.run(request_size(request.payload), lease_for, request, self._per_principal)
        streams = _is_streaming(request)
        where = (lease.tenant, lease.project, lease.key)
        call = self._calls.get(where)
        if call is None:
            call = self._calls[where] = SingleFlight(lease.digest, streams, partial(self._run, request, lease))
            call.task.add_done_callback(lambda task: self._calls.pop(where))
            return await Leader(call, send).relay()
        if call.digest != lease.digest:
            raise _key_conflict(request)
        return await SingleFlightFollower(call, send, streams, REPLAY_REASON).relay()

    async def _run(self, request: Request, lease: IdempotencyLease, call: SingleFlight) -> Reply:
        kept = await self._store.acquire(lease, request)
        return await (
            self._call_handler(request, lease, call) if kept is None else self._replay(request, lease, call, kept)
        )

    async def _call_handler(self, request: Request, lease: IdempotencyLease, call: SingleFlight) -> Reply:
        first = FirstAnswer(request.response_id or request.trace_id, int(time.time()))

        async def publish(event: Event) -> None:
            await call.publish(replace(event, first_answer=first) if isinstance(event, ModelSelected) else event)

        try:
            reply = replace(await self._handler(request, publish), completed_at=int(time.time()))
        except SizewiseError as error:
            kept = IdempotencyRecord(lease.digest, error=recorded_error(error))
            await self._log_failure(
                self._store.release(lease) if call.cost_free else self._store.complete(lease, kept),
            )
            raise
        encoded = await self._offload.run(reply_size(reply), _encode_answer, call, reply)
        kept = IdempotencyRecord(lease.digest, encoded)
        await self._log_failure(self._store.complete(lease, kept))
        return reply

    async def _log_failure(self, writing: Awaitable[None]) -> None:
        """On failure the first client still gets the answer; a repeated request then raises OutcomeUnknown."""
        try:
            await writing
        except (StorageError, EncryptionKeyUnavailable) as error:
            log.warning("the response to an idempotency key could not be stored: %s", error.message)

    async def _replay(
        self,
        request: Request,
        lease: IdempotencyLease,
        call: SingleFlight,
        record: IdempotencyRecord,
    ) -> Reply:
        if record.digest != lease.digest:
            raise _key_conflict(request)
        if record.error is not None:
            record.error.raise_again()
        if record.encoded_reply is None:
            shown = f"sizewise records {record.trace_id[:SHOWN_TRACE_CHARS]}".rstrip()
            raise OutcomeUnknown(
                f"the idempotency key {_shown_key(request)} has an unknown outcome: the server stopped during the call",
                f"it may have been billed: run `{shown}`, and use a new key to call again",
            )
        answer = decode_reply(record.encoded_reply)
        chosen = answer.model_selected
        await call.publish(replace(chosen, reason=f"{REPLAY_REASON}: {chosen.reason}", attempts=0))
        for word in answer.events() if call.streaming else ():
            await call.publish(word)
        return answer.reply


def _encode_answer(call: SingleFlight, reply: Reply) -> bytes:
    chosen = call.model_selected or ModelSelected(reply.model, "", 0)
    return encode_reply(StoredReply(chosen, reply, call.content_events))


def lease_for(request: Request, per_principal: bool = False) -> IdempotencyLease:
    """Raises BadRequest for an empty key. A different key scope or data class makes a different request."""
    key, principal = request.options.idempotency_key or "", request.principal
    if not key.strip():
        raise BadRequest(
            "the idempotency key is empty",
            "send a new key with each new request",
            param="idempotency_key",
        )
    whose = (principal.tenant, principal.project, *((principal.user_id or principal.key_id,) if per_principal else ()))
    hidden = hashlib.sha256(msgspec.msgpack.encode((*whose, key))).hexdigest()
    confined = (principal.scope, principal.data_class)
    return IdempotencyLease(
        principal.tenant,
        principal.project,
        hidden,
        request_digest(request, *(confined if any(confined) else ())),
        caller=Caller(principal.key_id, principal.user_id),
    )


def _is_streaming(request: Request) -> bool:
    return isinstance(request.payload, ChatRequest) and request.payload.stream


def _shown_key(request: Request) -> str:
    return repr((request.options.idempotency_key or "")[:MAX_SHOWN_CHARS])


def _key_conflict(request: Request) -> Conflict:
    return Conflict(
        f"the idempotency key {_shown_key(request)} belongs to another request",
        "use a new key for a new request; a retry sends the same request unchanged",
        param="idempotency_key",
    )
