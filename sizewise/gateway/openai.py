"""/v1/chat/completions, /v1/embeddings and /v1/models: bytes in, an Ask to the house, bytes out; decides nothing."""

from __future__ import annotations

import time

import msgspec

from sizewise.answer import Ask
from sizewise.cards import Card
from sizewise.errors import Forbidden, SizewiseError
from sizewise.gateway.exchange import JSON, Heard, Knock, Out, refuse, wishes
from sizewise.gateway.stream import Sse
from sizewise.house import House
from sizewise.providers.wires.openai_bodies import read_embed, read_request, write_reply, write_vectors


async def chat(house: House, seen: Knock, body: bytes, out: Out) -> None:
    caller = seen.caller(house)
    if "ask" not in caller.may:
        raise Forbidden("this key may not ask models", "use a key that has `ask`")
    what, extras = read_request(body)
    ask = Ask(what, caller, seen.trace, seen.started, wishes(seen.wishes, extras))
    if what.stream:
        sse = Sse(out, what, seen.trace)
        try:
            await sse.finish(await house.answer(ask, sse))
        except SizewiseError as error:
            if out.begun:
                await sse.fail(error)
            else:
                await refuse(out, error, sse.booked(seen.trace))
        finally:
            sse.stop()
        return
    heard = Heard()
    try:
        reply = await house.answer(ask, heard)
    except SizewiseError as error:
        return await refuse(out, error, heard.booked(seen.trace))
    headers = [JSON, *heard.booked(seen.trace)]
    if reply.degraded:
        headers.append((b"x-sizewise-degraded", b"1"))
    if heard.chosen is not None and reply.body is None:
        reply = msgspec.structs.replace(reply, model=heard.chosen.model)  # as its streams say it
    await out.whole(200, headers, write_reply(reply, f"chatcmpl-{seen.trace}", int(time.time())))


async def embeddings(house: House, seen: Knock, body: bytes, out: Out) -> None:
    caller = seen.caller(house)
    if "ask" not in caller.may:
        raise Forbidden("this key may not ask models", "use a key that has `ask`")
    what, extras = read_embed(body)
    heard = Heard()
    try:
        reply = await house.answer(
            Ask(what, caller, seen.trace, seen.started, wishes(seen.wishes, extras), "embeddings"), heard
        )
    except SizewiseError as error:
        return await refuse(out, error, heard.booked(seen.trace))
    headers = [JSON, *heard.booked(seen.trace)]
    await out.whole(200, headers, write_vectors(reply, what.packed))


async def models(house: House, seen: Knock, body: bytes, out: Out) -> None:
    """GET /v1/models: what this key may name."""
    seen.caller(house)
    listed = [_named(name, "sizewise") for name in house.roles()] + [_model(card) for card in house.cards]
    await out.whole(200, [JSON], msgspec.json.encode({"object": "list", "data": listed}))


async def model(house: House, seen: Knock, body: bytes, out: Out) -> None:
    """GET /v1/models/{id}: the id comes in as the body, taken from the path. Raises UnknownModel."""
    seen.caller(house)
    name = body.decode("utf-8", "replace")
    shown = _named(name, "sizewise") if name in house.roles() else _model(house.card(name))
    await out.whole(200, [JSON], msgspec.json.encode(shown))


def _named(name: str, owner: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 0, "owned_by": owner}


def _model(card: Card) -> dict[str, object]:
    facts: dict[str, object] = {"context": card.context, "size": card.size, "place": card.place, "tools": card.tools}
    return _named(card.name, card.endpoint.provider) | {"sizewise": facts}
