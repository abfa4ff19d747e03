"""Published flows as tools: a schema from their inputs, a run of its own for each call; knows no model and no door."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Protocol

import msgspec
from msgspec import Raw

from sizewise.data_class import DataClass
from sizewise.errors import SizewiseError
from sizewise.flows.compiled_flow import Flow
from sizewise.flows.language.filters import shown
from sizewise.flows.language.flow_spec import Input
from sizewise.flows.language.types import Type
from sizewise.flows.versions.tables import Published
from sizewise.handler import Wishes
from sizewise.principal import Caller
from sizewise.tools.tool import DESCRIPTION, NAME, Call, Result, Tool

TIMEOUT_S = 600.0

_encode = msgspec.json.Encoder().encode


class Shelf(Protocol):
    def every(self, tenant: str = "", project: str = "") -> list[Published]: ...


class Library(Protocol):
    async def checked(self, tenant: str, project: str, name: str, version: str) -> Flow: ...


class Runs(Protocol):
    async def asked(
        self,
        caller: Caller,
        flow: str,
        inputs: bytes,
        *,
        version: str,
        door: str,
        wishes: Wishes,
        trace: str,
        id: str,
        within: str,
    ) -> tuple[bytes, DataClass | None]: ...


class FlowTools:
    """Each flow that is published in the caller's project, and that their key may use: an Offering."""

    def __init__(self, shelf: Shelf, library: Library, runs: Runs, door: str = "tool") -> None:
        self._shelf = shelf
        self._library = library
        self._runs = runs
        self._door = door

    async def tools(self, caller: Caller) -> Sequence[Tool]:
        if "ask" not in caller.may:
            return ()
        only = caller.scope.flows if caller.scope is not None else ()
        found: list[Tool] = []
        for each in self._shelf.every(caller.tenant, caller.project):
            if (only and each.name not in only) or not NAME.match(each.name):
                continue
            try:
                flow = await self._library.checked(caller.tenant, caller.project, each.name, each.version)
            except SizewiseError:
                continue  # it cannot run by now; whoever asks for it by name is told why
            found.append(self._tool(flow))
        return found

    def _tool(self, flow: Flow) -> Tool:
        name, version, voice = flow.name, flow.version, flow.voice.output if flow.voice else ""

        async def do(call: Call) -> Result:
            wishes = msgspec.structs.replace(call.wishes, data_class=call.data_class, idempotency_key=None)
            given = _encode(call.arguments)
            came, data_class = await self._runs.asked(
                call.caller,
                name,
                given,
                version=version,
                door=self._door,
                wishes=wishes,
                trace=call.trace,
                id=_id(call, name),
                within=call.key.partition(":")[0],
            )
            outputs = msgspec.json.decode(came, type=dict)
            text = shown(outputs.get(voice, outputs) if voice else outputs)
            return Result(text, data=Raw(came), data_class=data_class)

        says = flow.spec.description.strip()[:DESCRIPTION] or f"The flow {name}."
        return Tool(name, says, inputs(flow.spec.inputs), do, source="flow", timeout_s=TIMEOUT_S)


def _id(call: Call, flow: str) -> str:
    """The same run for the same call; a call without a key is a new one each time."""
    if not call.key:
        return ""
    said = msgspec.msgpack.encode(
        (call.caller.tenant, call.caller.project, call.caller.user or call.caller.key, flow, call.key)
    )
    return f"tool-{blake2b(said, digest_size=16).hexdigest()}"


def inputs(wanted: Mapping[str, Input]) -> dict[str, object]:
    """The JSON Schema of an object with these."""
    properties = {name: _described(each) for name, each in wanted.items()}
    required = [name for name, each in wanted.items() if each.required]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _described(given: Input) -> dict[str, object]:
    made = schema(given.type)
    if given.description:
        made["description"] = given.description
    return made if given.required else made | {"default": given.default}


def schema(kind: Type) -> dict[str, object]:
    """JSON Schema of a type."""
    if kind.name in WORDS:
        return {"type": WORDS[kind.name]} | ({"enum": list(kind.one_of)} if kind.one_of else {})
    if kind.name == "file":
        text = {"type": "string"}
        data = {"type": "string", "contentEncoding": "base64"}
        properties: dict[str, object] = {"name": text, "media_type": text, "data": data}
        return {"type": "object", "properties": properties, "required": ["name", "data"]}
    if kind.name == "messages":
        return {"type": "array", "items": {"type": "object", "required": ["role", "content"]}}
    if kind.name == "list":
        return {"type": "array", "items": schema(kind.of) if kind.of is not None else {}}
    if kind.name == "object":
        properties = {name: schema(each) for name, each in kind.fields.items()}
        open = kind.open or not properties
        made: dict[str, object] = {"type": "object", "properties": properties, "required": list(properties)}
        return made | {"additionalProperties": open}
    return {}


WORDS: Mapping[str, str] = {"text": "string", "number": "number", "integer": "integer", "boolean": "boolean"}
