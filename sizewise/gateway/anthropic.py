"""/v1/messages and /v1/messages/count_tokens: bytes in, an Ask to the house, bytes out; decides nothing."""

from __future__ import annotations

import msgspec

from sizewise.app.application import House
from sizewise.errors import SizewiseError
from sizewise.gateway.anthropic_stream import MessageSse
from sizewise.gateway.count_tokens import counted
from sizewise.gateway.request_context import JSON, Headers, Heard, Knock, Out, Voice, refuse, traced, wishes
from sizewise.handler import Ask
from sizewise.messages import Chat
from sizewise.providers.wires.anthropic.request_in import read_request
from sizewise.providers.wires.anthropic.response import write_error, write_reply
from sizewise.providers.wires.anthropic.stream_out import failure
from sizewise.providers.wires.anthropic.wire import PASSED, SPOKEN

VOICE = Voice(write_error, failure, b"request-id")


async def messages(house: House, seen: Knock, body: bytes, out: Out) -> None:
    ask = _asked(house, seen, body)
    if isinstance(ask.what, Chat) and ask.what.stream:
        return await _streamed(house, ask, out)
    heard = Heard()
    try:
        reply = await house.answer(ask, heard)
        if heard.chosen is not None:
            reply = msgspec.structs.replace(reply, model=heard.chosen.model)
        written = write_reply(reply, f"msg_{ask.trace}")
    except SizewiseError as error:
        return await refuse(out, error, heard.booked(ask.trace), VOICE, ask.trace)
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
            await refuse(out, error, sse.booked(ask.trace), VOICE, ask.trace)
    finally:
        sse.stop()


async def count_tokens(house: House, seen: Knock, body: bytes, out: Out) -> None:
    count = await counted(house, _asked(house, seen, body, counting=True))
    await out.whole(200, [JSON, *traced(seen.trace), *_id(seen.trace)], msgspec.json.encode({"input_tokens": count}))


def _asked(house: House, seen: Knock, body: bytes, *, counting: bool = False) -> Ask:
    caller = seen.enter(house, "messages")
    what, extras = read_request(body, _passed(seen.headers), counting=counting)
    return Ask(what, caller, seen.trace, seen.started, wishes(seen.wishes, extras), "messages")


def _passed(headers: Headers) -> dict[str, str]:
    """What a model of the same wire gets of a client's headers; one that is said twice is a list."""
    said: dict[str, str] = {}
    for name, value in headers:
        known, text = name.decode("latin-1"), value.decode("latin-1")
        if known in PASSED and text != SPOKEN:
            said[known] = f"{said[known]}, {text}" if known in said else text
    return said


def _id(trace: str) -> Headers:
    """What their SDKs show as the request's id."""
    return [(b"request-id", trace.encode())]
