"""Stored responses of a principal: previous_response_id chains, retrieval, deletion and input items.

Each response stores its whole context as items: no chain is walked, and deleting a response breaks no other.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from sizewise.cache.background_responses import BackgroundResponses
from sizewise.cache.stored_responses import StoredResponse, StoredResponses
from sizewise.data_class import strictest
from sizewise.errors import (
    BadRequest,
    Conflict,
    EncryptionKeyUnavailable,
    PathNotFound,
    ResponseNotFound,
    StorageError,
)
from sizewise.gateway.responses_query import ItemQuery
from sizewise.handler import ModelSelected, RequestOptions
from sizewise.offload.offload import Offload
from sizewise.principal import Principal
from sizewise.providers.wires.responses.request_in import ResponsesRequest
from sizewise.providers.wires.responses.response_object import ResponseEnvelope
from sizewise.storage.erasure import Caller

Json = dict[str, Any]
RESPONSE_ID_PREFIX = "resp_"
ITEM_ID_PREFIXES: Mapping[str, str] = {"function_call": "fc", "function_call_output": "fc", "reasoning": "rs"}
"""Item type -> prefix of its id."""
ID_HALF_DIGITS = 24  # hex digits: first those of the chain's root, then its own

_encode = msgspec.json.Encoder().encode


class PrincipalResponses:
    """The stored responses that this principal can access: those of its project."""

    def __init__(self, store: StoredResponses, principal: Principal, background: BackgroundResponses) -> None:
        self._store = store
        self._principal = principal
        self._background = background

    async def previous(self, response_id: str | None) -> StoredResponse | None:
        """The response that a request builds on. Raises ResponseNotFound, also for a response of another project, and
        Conflict for one that is unfinished, failed or cancelled.
        """
        if response_id is None:
            return None
        stored = await self.find(response_id)
        if stored is None:
            if await self._background.store.find(response_id, self._principal.tenant, self._principal.project):
                raise _not_continuable(response_id, "is not finished")
            raise ResponseNotFound(
                f"the previous response with id {response_id!r} was not found",
                "it was not stored, has expired or was deleted: send the whole conversation as `input`",
                param="previous_response_id",
            )
        status = msgspec.json.decode(stored.body, type=_Status).status
        if status in ("failed", "cancelled"):
            raise _not_continuable(response_id, "was cancelled" if status == "cancelled" else "has failed")
        return stored

    async def get(self, id: str) -> StoredResponse:
        """Raises PathNotFound."""
        stored = await self.find(id)
        if stored is None:
            raise _not_found(id)
        return stored

    async def find(self, id: str) -> StoredResponse | None:
        return await self._store.find(id, self._principal.tenant, self._principal.project)

    async def delete(self, id: str) -> None:
        """Raises PathNotFound."""
        if not await self._store.delete(id, self._principal.tenant, self._principal.project):
            raise _not_found(id)

    async def save(
        self,
        response: Json,
        selection: ModelSelected | None,
        request: ResponsesRequest,
        prior_items: list[Raw],
        own_id: str,
        offload: Offload | None = None,
    ) -> Json:
        """Stores the response and returns it for the client, with `store` false if storing failed: it is paid for
        anyway. A repeated one, whose id is not `own_id`, is there already, unless the first client left. `offload`
        encodes a long one.
        """
        if not response["store"]:
            return response
        if offload is None:
            stored = to_stored(response, request, prior_items, *self._owner)
        else:
            stored = await offload.in_thread(to_stored, response, request, prior_items, *self._owner)
        if selection is not None and selection.data_class is not None:
            stored = replace(stored, data_class=selection.data_class, online=selection.online)
        try:
            await self._store.save(stored)
        except Conflict:
            if response["id"] == own_id:
                raise
        except (StorageError, EncryptionKeyUnavailable):
            return response | {"store": False}
        return response

    @property
    def _owner(self) -> tuple[str, str, Caller]:
        whose = self._principal
        return whose.tenant, whose.project, Caller(whose.key_id, whose.user_id)


def to_stored(
    response: Json, request: ResponsesRequest, prior_items: list[Raw], tenant: str, project: str, caller: Caller
) -> StoredResponse:
    said = [*prior_items, *request.input_items()]
    return StoredResponse(
        id=str(response["id"]),
        tenant=tenant,
        project=project,
        created=time.time_ns() // 1_000_000,
        body=_encode(response),
        context=_encode([*said, *response["output"]]),
        input=_encode(said),
        caller=caller,
    )


class _Status(Struct):
    status: str = "completed"


def _not_continuable(id: str, why: str) -> Conflict:
    return Conflict(
        f"the previous response with id {id!r} {why}",
        "wait for it to complete, or send the whole conversation as `input`",
        param="previous_response_id",
    )


def _not_found(id: str) -> PathNotFound:
    hint = "it was not stored, has expired or was deleted"
    return PathNotFound(f"the response with id {id[:200]!r} was not found", hint)


def context_items(stored: StoredResponse | None) -> list[Raw]:
    """The items that precede those of the next request."""
    return [] if stored is None else msgspec.json.decode(stored.context, type=list[Raw])


def tighten_options(options: RequestOptions, stored: StoredResponse | None) -> RequestOptions:
    """A conversation keeps its data class and `online`, whatever the options of the next request are."""
    if stored is None:
        return options
    if options.data_class is None or strictest(options.data_class, stored.data_class) != options.data_class:
        options = replace(options, data_class=stored.data_class, constraint_source="the conversation")
    return (
        options
        if stored.online or options.online == "deny"
        else replace(options, online="deny", constraint_source="the conversation")
    )


def input_item_page(stored: StoredResponse, query: ItemQuery) -> Json:
    """A page of the items before a response. Raises BadRequest if the item that it starts after is not there."""
    items = input_item_list(stored)
    if query.order == "asc":
        items.reverse()
    start = 0
    if query.after:
        start = next((place for place, item in enumerate(items, 1) if item["id"] == query.after), -1)
        if start < 0:
            raise BadRequest(
                f"this response has no input item with the id {query.after[:200]!r}",
                "pass the `last_id` of the page before",
                param="after",
            )
    page = items[start : start + query.limit]
    ends = {"first_id": page[0]["id"], "last_id": page[-1]["id"]} if page else {"first_id": "", "last_id": ""}
    return {"object": "list", "data": page, "has_more": start + query.limit < len(items), **ends}


def input_item_list(stored: StoredResponse) -> list[Json]:
    """The items before a response as the API lists them: newest first, each with an id and content parts."""
    items = msgspec.json.decode(stored.input, type=list[Json])
    return [_input_item(item, f"{stored.id[-ID_HALF_DIGITS:]}in{place:02d}") for place, item in enumerate(items)][::-1]


def _input_item(item: Json, name: str) -> Json:
    kind = item.get("type") or "message"
    shown = {**item, "type": kind, "id": item.get("id") or f"{ITEM_ID_PREFIXES.get(kind, 'msg')}_{name}"}
    if isinstance(item.get("content"), str):
        part = "output_text" if item.get("role") == "assistant" else "input_text"
        shown["content"] = [{"type": part, "text": item["content"]}]
    return shown


def new_envelope(request: ResponsesRequest) -> ResponseEnvelope:
    """A new response. Its id starts with the root's half, so that a chain needs no table."""
    previous = request.body.previous_response_id
    own = secrets.token_hex(ID_HALF_DIGITS // 2)
    chain = chain_id(previous) if previous else secrets.token_hex(ID_HALF_DIGITS // 2)
    return ResponseEnvelope(
        id=f"{RESPONSE_ID_PREFIX}{chain}{own}",
        created_at=int(time.time()),
        raw_fields=request.raw_fields,
        previous_response_id=previous,
        store=request.should_store,
    )


def repeatable_envelope(envelope: ResponseEnvelope, principal: Principal, key: str) -> ResponseEnvelope:
    """With an id that each retry of the request under the idempotency key has too."""
    said = _encode((principal.tenant, principal.project, key, envelope.raw_fields))
    digits = blake2b(said, digest_size=ID_HALF_DIGITS).hexdigest()
    chain = chain_id(envelope.id) if envelope.previous_response_id else digits[:ID_HALF_DIGITS]
    return replace(envelope, id=f"{RESPONSE_ID_PREFIX}{chain}{digits[ID_HALF_DIGITS:]}")


def first_envelope(envelope: ResponseEnvelope, selection: ModelSelected | None) -> ResponseEnvelope:
    """That of the first answer, if this is a retry under its idempotency key; not that of another API's answer."""
    first = selection.first_answer if selection is not None else None
    if first is None or not first.id.startswith(RESPONSE_ID_PREFIX):
        return envelope
    return replace(envelope, id=first.id, created_at=first.created)


def chain_id(id: str) -> str:
    """The part of a response id that is the same in its whole chain."""
    return id.removeprefix(RESPONSE_ID_PREFIX)[:ID_HALF_DIGITS]
