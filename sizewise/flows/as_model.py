"""A flow as an Answerer: `model` is `flow:NAME[@VERSION]`, the words are the conversation, the reply is what it says.

It runs here and now and is not kept: a client that leaves stops it. A run that must outlive its client is started as
such (runs.py). What its nodes ask is recorded and paid for one by one, under the same trace.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Coroutine, Mapping
from hashlib import blake2b

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from sizewise.errors import BadRequest, UnknownModel, UnknownPath
from sizewise.flows.compiled_flow import Flow
from sizewise.flows.dag_runner import Trace, model_name, run
from sizewise.flows.engines.inline import Memory
from sizewise.flows.executor import DOOR, NOBODYS, Library
from sizewise.flows.language.filters import shown
from sizewise.flows.language.types import Json
from sizewise.flows.node import Means
from sizewise.handler import Answerer, Ask, Finished, Send
from sizewise.messages import Chat, Choice, Reply
from sizewise.money import dollars

PREFIX = "flow:"
NOTHING = Raw(b"null")
STEPS = 500
"""Nodes, with those within others, that a reply tells of."""
NOT_TAKEN = ("tools", "functions", "response_format", "audio", "modalities")
"""Of a chat's body: what only a model can be asked for."""


class Forked:
    """An Answerer around two: flows are answered by `flow`, all else by `answer`, whose awaitable it hands back."""

    def __init__(self, answer: Answerer, flow: Answerer) -> None:
        self._answer = answer
        self._flow = flow

    def __call__(self, ask: Ask, send: Send) -> Coroutine[object, None, Reply]:
        chosen = self._flow if ask.what.model.startswith(PREFIX) else self._answer
        return chosen(ask, send)


class Flows:
    """The Answerer of all flows of a house."""

    def __init__(self, library: Library, means: Means) -> None:
        self._library = library
        self._means = dataclasses.replace(means, library=library)

    async def __call__(self, ask: Ask, send: Send) -> Reply:
        chat = ask.what
        if not isinstance(chat, Chat):
            raise BadRequest(f"{chat.model[:100]!r} makes no vectors", "ask an embedding model", param="model")
        for name in NOT_TAKEN:
            if bytes(chat.fields.get(name, NOTHING)) not in (b"null", b"[]"):
                raise BadRequest(f"a flow takes no `{name}`", "leave it out, or ask a model", param=name)
        if chat.n > 1:
            raise BadRequest("a flow gives one answer", "leave `n` out", param="n")
        flow = await self._found(ask, chat.model.removeprefix(PREFIX))
        wishes = replace(ask.wishes, idempotency_key=None, policy=None)  # whose memory it is, a session says
        traces: list[Trace] = []
        outcome = await run(
            flow,
            given(flow, chat),
            id=_id(ask, flow),
            ask=replace(ask, what=NOBODYS, door=DOOR, wishes=wishes),
            steps=Memory(),
            means=self._means,
            send=send,
            watch=traces.append,
        )
        await send(Finished(0, "stop"))
        text = shown(outcome.outputs[flow.voice.output]) if flow.voice else shown(outcome.outputs)
        steps = [_step(each) for each in traces if each.state != "running"][:STEPS]
        ours = {"flow": flow.name, "version": flow.version, "outputs": outcome.outputs, "steps": steps}
        fields = {"sizewise": Raw(msgspec.json.encode(ours))}
        return Reply((Choice(0, text, "stop"),), outcome.usage, model_name(flow), fields=fields)

    async def _found(self, ask: Ask, name: str) -> Flow:
        try:
            version = await self._library.version(ask, name)
            return await self._library.flow(ask, name.partition("@")[0], version)
        except UnknownPath as error:
            raise UnknownModel(error.message, error.hint, param="model") from error


def _step(trace: Trace) -> dict[str, object]:
    """As a run that is kept is told of at /graphql (FlowRunStep), and its tokens; times in unix ms."""
    told: dict[str, object] = {
        "key": trace.place,
        "state": trace.state,
        "started": round(trace.began * 1_000),
        "ended": round((trace.ended or trace.began) * 1_000),
        "model": trace.model,
        "costUsd": None if trace.cost is None else dollars(trace.cost),
    }
    if trace.usage.input or trace.usage.output:
        told["tokens"] = (trace.usage.input, trace.usage.output)
    return told | ({"error": trace.error} if trace.error else {})


def _id(ask: Ask, flow: Flow) -> str:
    """The same for the same idempotency key of the same caller, so that what the run does outside is told again by the
    same keys."""
    key = ask.wishes.idempotency_key
    if key is None:
        return secrets.token_hex(16)
    who = ask.caller
    said = msgspec.msgpack.encode((who.tenant, who.project, who.user or who.key, flow.name, key))
    return blake2b(said, digest_size=16).hexdigest()


def given(flow: Flow, chat: Chat) -> dict[str, Json]:
    """A flow's inputs out of a chat: its messages, the last question, attached files, and by name its `metadata`."""
    inputs: dict[str, Json] = {}
    takes = flow.takes
    if "messages" in takes:
        inputs[takes["messages"]] = msgspec.json.decode(chat.fields["messages"])
    if "question" in takes:
        inputs[takes["question"]] = chat.ask()
    files = _files(chat)
    for name, each in flow.spec.inputs.items():
        if files and each.type.name == "file":
            inputs[name] = files[0]
        elif each.type.of is not None and each.type.of.name == "file":
            inputs[name] = files
    said = chat.fields.get("metadata")
    if said is not None:
        for name, value in (msgspec.json.decode(said) or {}).items():
            if name in flow.spec.inputs:
                inputs[name] = _typed(value, flow.spec.inputs[name].type.name)
    return inputs


def _typed(value: Json, kind: str) -> Json:
    """A value of `metadata`, where all are texts, as the input wants it."""
    if kind in ("text", "json") or not isinstance(value, str):
        return value
    try:
        return msgspec.json.decode(value)
    except msgspec.DecodeError:
        return value


def _files(chat: Chat) -> list[Json]:
    """The files of the last user message, as an OpenAI client attaches them."""
    messages: list[Mapping[str, Json]] = msgspec.json.decode(chat.fields["messages"])
    last = next((each for each in reversed(messages) if each.get("role") == "user"), {})
    parts = last.get("content")
    found: list[Json] = []
    for part in parts if isinstance(parts, list) else []:
        file = part.get("file") if isinstance(part, dict) else None
        if isinstance(file, dict) and isinstance(file.get("file_data"), str):
            data: str = file["file_data"]
            kind = data[5:].partition(";")[0] if data.startswith("data:") else ""
            found.append({"name": str(file.get("filename", "file")), "media_type": kind, "data": data})
    return found
