"""Responses kept between two requests: found for who may see them, told apart from unknown ones by nobody else.

What a response builds on is kept with it, whole, as items: no chain is ever walked, and deleting one breaks no other.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from sizewise.app.services import Keeper
from sizewise.cache.stored_responses import Stored
from sizewise.data_class import strictest
from sizewise.errors import StoreFailed, UnknownPath, UnknownResponse, VaultLocked
from sizewise.handler import Chosen, Wishes
from sizewise.principal import Caller
from sizewise.providers.wires.responses.request_in import Asked
from sizewise.providers.wires.responses.response_object import Frame

Json = dict[str, Any]
PREFIX = "resp_"
SHORT: Mapping[str, str] = {"function_call": "fc", "function_call_output": "fc", "reasoning": "rs"}
"""Kind of an item -> how its id begins."""
HALF = 24  # hex digits: those of the chain's root, then its own

_encode = msgspec.json.Encoder().encode


class Kept:
    """What this caller has kept here."""

    def __init__(self, keeper: Keeper, caller: Caller) -> None:
        self._keeper = keeper
        self._caller = caller

    async def before(self, previous: str | None) -> Stored | None:
        """The response that a request builds on. Raises UnknownResponse, in the same words for somebody else's."""
        if previous is None:
            return None
        stored = await self._find(previous)
        if stored is None:
            raise UnknownResponse(
                f"the previous response with id {previous!r} was not found",
                "it was never kept, is too old, or was deleted: send the whole conversation as `input`",
                param="previous_response_id",
            )
        return stored

    async def one(self, id: str) -> Stored:
        """Raises UnknownPath."""
        stored = await self._find(id)
        if stored is None:
            raise _unknown(id)
        return stored

    async def _find(self, id: str) -> Stored | None:
        return await self._keeper.response(id, self._caller.tenant, self._caller.project)

    async def forget(self, id: str) -> None:
        """Raises UnknownPath."""
        if not await self._keeper.forget_response(id, self._caller.tenant, self._caller.project):
            raise _unknown(id)

    async def keep(self, response: Json, chosen: Chosen | None, asked: Asked, before: list[Raw]) -> Json:
        """The response as it shall be shown: kept, or saying that it was not. The answer is paid for either way."""
        if not response["store"]:
            return response
        id, caller, said = str(response["id"]), self._caller, [*before, *asked.items()]
        context, now = [*said, *response["output"]], time.time_ns() // 1_000_000
        stored = Stored(id, caller.tenant, caller.project, now, _encode(response), _encode(context), _encode(said))
        if chosen is not None and chosen.data_class is not None:
            stored = replace(stored, data_class=chosen.data_class, online=chosen.online)
        try:
            await self._keeper.keep_response(stored)
        except (StoreFailed, VaultLocked):
            return response | {"store": False}
        return response


def _unknown(id: str) -> UnknownPath:
    hint = "it was never kept, is too old, or was deleted"
    return UnknownPath(f"the response with id {id[:200]!r} was not found", hint)


def items(stored: Stored | None) -> list[Raw]:
    """What a request says that builds on it, before its own."""
    return [] if stored is None else msgspec.json.decode(stored.context, type=list[Raw])


def tightened(said: Wishes, stored: Stored | None) -> Wishes:
    """What was kept of a conversation goes no further than it went, whatever the next request says of itself."""
    if stored is None:
        return said
    if said.data_class is None or strictest(said.data_class, stored.data_class) != said.data_class:
        said = replace(said, data_class=stored.data_class, by="the conversation")
    return said if stored.online or said.online == "deny" else replace(said, online="deny", by="the conversation")


def listed(stored: Stored) -> list[Json]:
    """What was said before a response, as the API lists it: the last first, each with an id, content in parts."""
    items = msgspec.json.decode(stored.input, type=list[Json])
    return [_listed(item, f"{stored.id[-HALF:]}in{place:02d}") for place, item in enumerate(items)][::-1]


def _listed(item: Json, name: str) -> Json:
    kind = item.get("type") or "message"
    shown = {**item, "type": kind, "id": item.get("id") or f"{SHORT.get(kind, 'msg')}_{name}"}
    if isinstance(item.get("content"), str):
        part = "output_text" if item.get("role") == "assistant" else "input_text"
        shown["content"] = [{"type": part, "text": item["content"]}]
    return shown


def frame(asked: Asked) -> Frame:
    """A new response. Its id begins with that of the chain's root, so that the chain needs no table."""
    previous = asked.seen.previous_response_id
    own = secrets.token_hex(HALF // 2)
    chain = root(previous) if previous else secrets.token_hex(HALF // 2)
    return Frame(f"{PREFIX}{chain}{own}", int(time.time()), asked.sent, previous, asked.kept)


def root(id: str) -> str:
    """The part of a response's id that it has in common with all of its chain."""
    return id.removeprefix(PREFIX)[:HALF]
