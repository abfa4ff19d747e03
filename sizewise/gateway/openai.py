"""/v1/chat/completions and /v1/embeddings: bytes in, an Ask to the house, bytes out; decides nothing."""

from __future__ import annotations

import time

import msgspec

from sizewise.app.application import House
from sizewise.errors import SizewiseError
from sizewise.gateway.openai_stream import Sse
from sizewise.gateway.request_context import Heard, Knock, Out, refuse, wishes
from sizewise.handler import Ask
from sizewise.providers.wires.openai.request_response import read_embed, read_request, write_reply, write_vectors


async def chat(house: House, seen: Knock, body: bytes, out: Out) -> None:
    caller = seen.enter(house, "chat")
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
    lines = heard.lines(seen.trace)
    if reply.degraded:
        lines += b"x-sizewise-degraded: 1\r\n"
    if heard.chosen is not None and reply.body is None:
        reply = msgspec.structs.replace(reply, model=heard.chosen.model)  # as its streams say it
    await out.whole(200, [], write_reply(reply, f"chatcmpl-{seen.trace}", int(time.time())), lines)


async def embeddings(house: House, seen: Knock, body: bytes, out: Out) -> None:
    caller = seen.enter(house, "embeddings")
    what, extras = read_embed(body)
    heard = Heard()
    try:
        reply = await house.answer(
            Ask(what, caller, seen.trace, seen.started, wishes(seen.wishes, extras), "embeddings"), heard
        )
    except SizewiseError as error:
        return await refuse(out, error, heard.booked(seen.trace))
    await out.whole(200, [], write_vectors(reply, what.packed), heard.lines(seen.trace))
