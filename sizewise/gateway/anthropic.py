"""/v1/messages and /v1/messages/count_tokens: bytes in, an Ask to the house, bytes out; decides nothing."""

from __future__ import annotations

import msgspec

from sizewise.answer import Ask
from sizewise.chat import Chat
from sizewise.errors import BadRequest, Forbidden, SizewiseError
from sizewise.gateway.anthropic_stream import MessageSse
from sizewise.gateway.exchange import JSON, Door, Headers, Heard, Knock, Out, traced, wishes
from sizewise.house import House
from sizewise.providers.wires.anthropic_asking import read_request
from sizewise.providers.wires.anthropic_replies import write_error, write_reply
from sizewise.providers.wires.openai_bodies import write_request


def shaped(door: Door) -> Door:
    """`door`, where what is turned away before it is a question is turned away in the words of this wire."""

    async def met(house: House, seen: Knock, body: bytes, out: Out) -> None:
        try:
            await door(house, seen, body, out)
        except SizewiseError as error:
            house.means.metrics.refused(error.code)
            await _refuse(out, error, traced(seen.trace), seen.trace)

    return met


async def messages(house: House, seen: Knock, body: bytes, out: Out) -> None:
    what, extras = _asked(house, seen, body)
    ask = Ask(what, seen.caller(house), seen.trace, seen.started, wishes(seen.wishes, extras), "messages")
    if what.stream:
        return await _streamed(house, ask, out)
    heard = Heard()
    try:
        reply = await house.answer(ask, heard)
        if heard.chosen is not None:
            reply = msgspec.structs.replace(reply, model=heard.chosen.model)
        written = write_reply(reply, f"msg_{ask.trace}")
    except SizewiseError as error:
        return await _refuse(out, error, heard.booked(ask.trace), ask.trace)
    degraded = [(b"x-sizewise-degraded", b"1")] if reply.degraded else []
    await out.whole(200, [JSON, *heard.booked(ask.trace), *_id(ask.trace), *degraded], written)


async def _streamed(house: House, ask: Ask, out: Out) -> None:
    sse = MessageSse(out, ask.what.model, ask.trace)
    try:
        await sse.finish(await house.answer(ask, sse))
    except SizewiseError as error:
        if out.begun:
            await sse.fail(error)
        else:
            await _refuse(out, error, sse.booked(ask.trace), ask.trace)
    finally:
        sse.stop()


async def count_tokens(house: House, seen: Knock, body: bytes, out: Out) -> None:
    """Exact, by the model's own template and tokenizer, or refused: an estimate would be taken for the truth."""
    what, _ = _asked(house, seen, body, counting=True)
    roles = house.roles()
    card = None if what.model in roles else house.card(what.model)
    local = house.connections.locals.get(card.name) if card else None
    if card is None or local is None:
        raise BadRequest(
            f"the tokens of {what.model[:200]!r} cannot be counted exactly here",
            "name a model that runs on this machine, or read `usage` in the reply",
            param="model",
        )
    llama = await local.wake()
    count = await llama.count(write_request(what, card.model))
    await out.whole(200, [JSON, *traced(seen.trace), *_id(seen.trace)], msgspec.json.encode({"input_tokens": count}))


def _asked(house: House, seen: Knock, body: bytes, *, counting: bool = False) -> tuple[Chat, msgspec.Raw | None]:
    if "ask" not in seen.caller(house).may:
        raise Forbidden("this key may not ask models", "use a key that has `ask`")
    return read_request(body, counting=counting)


def _id(trace: str) -> Headers:
    """What their SDKs show as the request's id."""
    return [(b"request-id", trace.encode())]


async def _refuse(out: Out, error: SizewiseError, headers: Headers, trace: str) -> None:
    more: Headers = [JSON, *headers, *_id(trace)]
    if error.retry_after is not None:
        more.append((b"retry-after", b"%d" % max(1, round(error.retry_after))))
    if error.status == 401:
        more.append((b"www-authenticate", b'Bearer realm="sizewise"'))
    await out.whole(error.status, more, write_error(error, trace))
