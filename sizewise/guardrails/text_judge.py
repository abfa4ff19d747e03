"""Handler that lets the guardrails judge each message of a request; asks no model, changes and blocks nothing."""

from __future__ import annotations

import asyncio

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from sizewise.errors import BadRequest
from sizewise.guardrails.pipeline import GuardrailPipeline
from sizewise.handler import GuardrailTriggered, ModelSelected, Request, Send
from sizewise.messages import ChatRequest, Choice, Reply, Usage

NAME = "guardrails"
"""In place of a model's name."""
REASON = "judged by the guardrails; no model was asked"


class JudgedText(Struct, frozen=True):
    """Findings as (guard, kind, number, action), and the guards that looked."""

    findings: list[tuple[str, str, int, str]]
    guards: list[str]


class TextJudge:
    """One choice for each message, whose `message` is a JudgedText."""

    def __init__(self, pipeline: GuardrailPipeline) -> None:
        self._pipeline = pipeline

    async def __call__(self, request: Request, send: Send) -> Reply:
        chat = request.payload
        if not isinstance(chat, ChatRequest):
            raise BadRequest("the guardrails judge texts", "send texts")
        await send(ModelSelected(NAME, REASON, 0))
        raws = msgspec.json.decode(chat.fields["messages"], type=list[Raw])
        choices: list[Choice] = []
        for index, (message, raw) in enumerate(zip(chat.messages, raws, strict=True)):
            fields = {"messages": Raw(b"[%b]" % bytes(raw))}
            one = replace(request, payload=ChatRequest(chat.model, [message], fields))
            counts, rules = await self._pipeline.judge(one)
            if counts:
                found_here = tuple((guard, kind, count) for (guard, kind), count in counts.items())
                await send(GuardrailTriggered(found_here, "flagged"))
            found = [(guard, kind, n, rules.actions.get(guard, "flag")) for (guard, kind), n in counts.items()]
            guards = [name for name, _ in (*rules.active, *rules.origin_aware)]
            choices.append(Choice(index=index, message=Raw(msgspec.json.encode(JudgedText(found, guards)))))
            await asyncio.sleep(0)  # thousands of texts may come at once
        return Reply(tuple(choices), Usage(), NAME)
