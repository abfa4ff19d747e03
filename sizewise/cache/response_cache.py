"""Exact-match response cache in memory, and behind it that of all servers of one Postgres; off by default.

A request matches if tenant, project, permissions, data class, key scope, every field, every option, and the policy
with its models are equal; see `response_cache_key`. Only complete, trusted answers are stored.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from functools import partial
from time import monotonic

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from sizewise.cache.cache_epoch import CacheEpoch
from sizewise.cache.cache_key import request_digest
from sizewise.cache.fingerprints import plan_fingerprint, settings_fingerprint
from sizewise.cache.reply_codec import StoredReply, decode_reply, encode_reply
from sizewise.cache.shared_answers import FoundAnswer, NewAnswer, SharedAnswers
from sizewise.data_class import DataClass
from sizewise.guardrails.data_leakage import canary_guard
from sizewise.guardrails.output_filter import find_leaks
from sizewise.handler import Event, Handler, ModelSelected, Request, Send
from sizewise.messages import ChatRequest, EmbeddingRequest, Reply, reply_size, request_size
from sizewise.model_card import ModelTask
from sizewise.offload.offload import LONG_BYTES, Offload
from sizewise.reply_events import ContentEvent, coalesce
from sizewise.routing.model_aliases import RoutePlan
from sizewise.settings.root import FileSettings
from sizewise.settings.storage import ResponseCacheSettings

COMPLETE_FINISH_REASONS = frozenset({"stop", "tool_calls", "function_call"})
"""Finish reasons of a complete answer: neither cut by a limit nor blocked by a filter."""
ENTRY_OVERHEAD_BYTES = 200
"""Bytes of an entry in addition to its answer."""
MAX_EVENTS = 100_000
SHARED_CLASSES: frozenset[DataClass | None] = frozenset({"public", "internal"})
"""An answer to confidential data is stored in the database only if its client asks for it, by other ways."""

PlanLookup = Callable[[ChatRequest | EmbeddingRequest, str | None], RoutePlan]


def with_response_cache(
    handler: Handler,
    plan: PlanLookup,
    settings: FileSettings,
    offload: Offload | None = None,
    caches: tuple[CacheEpoch, SharedAnswers | None] | None = None,
) -> Handler:
    """`handler` behind a cache; `handler` itself if the cache is off. `offload` compares and encodes what is long.
    `caches`: the epoch that empties it, and the answers of all servers; those with other settings have others.
    """
    own = settings.response_cache
    if not own.ttl_s:
        return handler
    epoch, shared = caches or (None, None)
    settings_hash = settings_fingerprint(settings)
    return ResponseCache(handler, plan, own, offload=offload, epoch=epoch, shared=shared, settings_hash=settings_hash)


class CacheEntry(Struct, frozen=True):
    """An encoded answer; `stored_at` and `expires_at` are monotonic() seconds."""

    stored_at: float
    expires_at: float
    encoded_reply: bytes


class CacheStore:
    """Answers by key, bounded in number and bytes; evicts the least recently used."""

    def __init__(self, max_entries: int, max_bytes: int) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._entries: OrderedDict[bytes, CacheEntry] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: bytes, now: float) -> CacheEntry | None:
        held = self._entries.get(key)
        if held is None:
            return None
        if held.expires_at <= now:
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return held

    def put(self, key: bytes, entry: CacheEntry) -> None:
        self._drop(key)
        size = len(entry.encoded_reply) + ENTRY_OVERHEAD_BYTES
        if size > self._max_bytes:
            return
        self._entries[key] = entry
        self.bytes += size
        while self.bytes > self._max_bytes or len(self._entries) > self._max_entries:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: bytes) -> None:
        held = self._entries.pop(key, None)
        if held is not None:
            self.bytes -= len(held.encoded_reply) + ENTRY_OVERHEAD_BYTES


class ResponseCache:
    """Wraps a handler. Belongs to one Application, so new settings start with an empty cache."""

    def __init__(
        self,
        handler: Handler,
        plan: PlanLookup,
        settings: ResponseCacheSettings,
        *,
        offload: Offload | None = None,
        epoch: CacheEpoch | None = None,
        shared: SharedAnswers | None = None,
        settings_hash: bytes = b"",
    ) -> None:
        self._shared = shared
        self._settings_hash = settings_hash
        self._offload = offload
        self._handler = handler
        self._plan = plan
        self._ttl_s = settings.ttl_s
        self._new_store = partial(CacheStore, settings.max_entries, settings.max_bytes)
        self._store = self._new_store()
        self._epoch = epoch or CacheEpoch()
        self._epoch_number = self._epoch.number
        self._versions: dict[tuple[ModelTask, str, str | None], str] = {}

    async def __call__(self, request: Request, send: Send) -> Reply:
        version = self._policy_version(request)
        if self._offload is None or request_size(request.payload) < LONG_BYTES:
            key = response_cache_key(request, version)
        else:
            key = await self._offload.in_thread(response_cache_key, request, version)
        if self._epoch_number != self._epoch.number:
            self._store, self._epoch_number = self._new_store(), self._epoch.number
        store = self._store  # an answer that began in an earlier epoch goes into a cache that is gone
        if request.options.cache is None:
            held = store.get(key, monotonic())
            if held is not None:
                return await _replay(held, request, send, "response cache")
            held = await self._find_shared(request, key)
            if held is not None:
                store.put(key, held)
                return await _replay(held, request, send, "shared response cache")
        if request.options.cache == "no-store":
            return await self._handler(request, send)
        erasures = 0 if self._shared is None else self._shared.erasures
        heard = ReplyCollector(send)
        reply = await self._handler(request, heard.on_event)
        if (
            heard.model_selected is not None
            and is_cacheable(reply)
            and not leaks_canary(request, reply)
            and len(heard.content_events) < MAX_EVENTS
        ):
            encoded = partial(_encode_answer, heard.model_selected, reply, heard.content_events)
            if self._offload is None or reply_size(reply) < LONG_BYTES:
                stored = encoded()
            else:
                stored = await self._offload.in_thread(encoded)
            now = monotonic()
            store.put(key, CacheEntry(now, now + self._ttl_s, stored))
            if self._shared is not None and heard.model_selected.data_class in SHARED_CLASSES:
                where = request.principal
                self._shared.store(
                    NewAnswer(
                        tenant=where.tenant,
                        project=where.project,
                        key=self._shared_key(key),
                        erasures=erasures,
                        ttl_s=self._ttl_s,
                        encoded_reply=stored,
                    )
                )
        return reply

    async def _find_shared(self, request: Request, key: bytes) -> CacheEntry | None:
        """What another server has answered, if this one can read it."""
        if self._shared is None:
            return None
        where = request.principal
        found = await self._shared.find(where.tenant, where.project, self._shared_key(key))
        return None if found is None else _readable_entry(found, self._ttl_s)

    def _shared_key(self, key: bytes) -> bytes:
        return hashlib.sha256(self._settings_hash + key).digest()

    def _policy_version(self, request: Request) -> str:
        """Raises ModelNotFound."""
        payload = request.payload
        policy = request.options.policy if payload.model == "auto" else None  # means nothing elsewhere
        asked = (payload.task, payload.model, policy)
        found = self._versions.get(asked)
        if found is None:
            plan = self._plan(payload, policy)  # raises for an unknown name, so there are few versions
            found = self._versions[asked] = plan_fingerprint(plan)
        return found


def _encode_answer(chosen: ModelSelected, reply: Reply, events: list[ContentEvent]) -> bytes:
    return encode_reply(StoredReply(chosen, reply, tuple(coalesce(events))))


class ReplyCollector:
    """Passes events on and collects what a replay needs."""

    __slots__ = ("_send", "content_events", "model_selected")

    def __init__(self, send: Send) -> None:
        self._send = send
        self.model_selected: ModelSelected | None = None
        self.content_events: list[ContentEvent] = []

    def on_event(self, event: Event) -> Awaitable[None]:
        if isinstance(event, ContentEvent):
            if len(self.content_events) < MAX_EVENTS:
                self.content_events.append(event)
        elif isinstance(event, ModelSelected):
            self.model_selected = event
        return self._send(event)


def response_cache_key(request: Request, policy_version: str) -> bytes:
    """The cache key of a request under this version of its policy."""
    principal = request.principal
    return request_digest(
        request,
        principal.tenant,
        principal.project,
        sorted(principal.permissions),
        principal.data_class,
        principal.scope,
        policy_version,
    )


def is_cacheable(reply: Reply) -> bool:
    """Whether the reply is complete and not degraded."""
    if reply.degraded:
        return False
    return all(choice.finish_reason in COMPLETE_FINISH_REASONS for choice in reply.choices) and bool(
        reply.choices or reply.embeddings,
    )


def leaks_canary(request: Request, reply: Reply) -> bool:
    """Whether the reply repeats the canary of this request, which other requests must not see."""
    return (
        request.spotlighting is not None
        and bool(request.spotlighting.canary)
        and bool(find_leaks(reply, canary_guard((request.spotlighting.canary,))))
    )


def _readable_entry(found: FoundAnswer, ttl_s: float) -> CacheEntry | None:
    """None if a server of another version wrote it in another form, or if it is older than `ttl_s` allows here."""
    try:
        decode_reply(found.encoded_reply)
    except (msgspec.DecodeError, msgspec.ValidationError, KeyError, TypeError):
        return None
    good_for_s = min(found.good_for_s, ttl_s - found.age_s)
    now = monotonic()
    return CacheEntry(now - found.age_s, now + good_for_s, found.encoded_reply) if good_for_s > 0 else None


async def _replay(entry: CacheEntry, request: Request, send: Send, source: str) -> Reply:
    answer = decode_reply(entry.encoded_reply)
    age = max(0, round(monotonic() - entry.stored_at))
    why = f"the same request was answered {age} s ago ({source})"
    await send(replace(answer.model_selected, reason=why, attempts=0))
    if isinstance(request.payload, ChatRequest) and request.payload.stream:
        for word in answer.events():
            await send(word)
    return answer.reply
