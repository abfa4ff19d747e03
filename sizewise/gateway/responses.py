"""/v1/responses and what is kept under it: bytes in, an Ask to the house, bytes out; decides nothing."""

from __future__ import annotations

import time
from functools import partial

import msgspec
from msgspec.structs import replace

from sizewise.app.application import House
from sizewise.errors import SizewiseError
from sizewise.gateway.request_context import JSON, USUAL, Heard, Knock, Out, Voice, refuse, traced, wishes
from sizewise.gateway.responses_storage import PREFIX, Kept, frame, items, listed, root, tightened
from sizewise.gateway.responses_stream import Keep, ResponseSse
from sizewise.handler import Ask, Wishes
from sizewise.providers.wires.responses.request_in import heard
from sizewise.providers.wires.responses.response_object import Frame
from sizewise.providers.wires.responses.stream_out import failure

VOICE = Voice(USUAL.body, lambda error, trace: failure(error))


async def create(house: House, seen: Knock, body: bytes, out: Out) -> None:
    kept = _kept(house, seen)
    asked = heard(body)
    previous = await kept.before(asked.seen.previous_response_id)
    before = items(previous)
    made = frame(asked)
    said = tightened(_in_chain(wishes(seen.wishes, asked.ours), made), previous)
    ask = Ask(asked.chat(before), seen.enter(house, "responses"), seen.trace, seen.started, said, "responses")
    keep: Keep = partial(kept.keep, asked=asked, before=before)
    if asked.seen.stream:
        return await _streamed(house, ask, made, keep, out)
    listening = Heard()
    try:
        reply = await house.answer(ask, listening)
    except SizewiseError as error:
        return await refuse(out, error, listening.booked(ask.trace))
    if listening.chosen is not None:
        reply = replace(reply, model=listening.chosen.model)
    shown = await keep(made.ended(reply, int(time.time())), listening.chosen)
    degraded = [(b"x-sizewise-degraded", b"1")] if reply.degraded else []
    await out.whole(200, [JSON, *listening.booked(ask.trace), *degraded], msgspec.json.encode(shown))


async def _streamed(house: House, ask: Ask, made: Frame, keep: Keep, out: Out) -> None:
    sse = ResponseSse(out, made, ask.what.model, ask.trace)
    try:
        await sse.finish(await house.answer(ask, sse), keep)
    except SizewiseError as error:
        if out.begun:
            await sse.fail(error)
        else:
            await refuse(out, error, sse.booked(ask.trace))
    finally:
        sse.stop()


async def retrieve(house: House, seen: Knock, body: bytes, out: Out) -> None:
    """GET /v1/responses/{id}: the id comes in as the body, taken from the path. Raises UnknownPath."""
    stored = await _kept(house, seen).one(body.decode("utf-8", "replace"))
    await out.whole(200, [JSON, *traced(seen.trace)], stored.body)


async def delete(house: House, seen: Knock, body: bytes, out: Out) -> None:
    """DELETE /v1/responses/{id}. Raises UnknownPath."""
    id = body.decode("utf-8", "replace")
    await _kept(house, seen).forget(id)
    gone = {"id": id, "object": "response", "deleted": True}
    await out.whole(200, [JSON, *traced(seen.trace)], msgspec.json.encode(gone))


async def input_items(house: House, seen: Knock, body: bytes, out: Out) -> None:
    """GET /v1/responses/{id}/input_items: all that was said before the response, the last first, on one page."""
    stored = await _kept(house, seen).one(body.decode("utf-8", "replace"))
    items = listed(stored)
    ends = {"first_id": items[0]["id"], "last_id": items[-1]["id"]} if items else {"first_id": "", "last_id": ""}
    shown = {"object": "list", "data": items, "has_more": False, **ends}
    await out.whole(200, [JSON, *traced(seen.trace)], msgspec.json.encode(shown))


def _kept(house: House, seen: Knock) -> Kept:
    """What is kept of this caller's. Raises Forbidden: who may not ask has nothing here."""
    return Kept(house.means.keeper, seen.enter(house, "responses"))


def _in_chain(said: Wishes, made: Frame) -> Wishes:
    """A chain of responses is a session, where the client names no other."""
    if said.session is not None or not (made.stored or made.previous):
        return said
    return replace(said, session=PREFIX + root(made.id))
