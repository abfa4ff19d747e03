"""Tool provider that exposes published flows as tools; each call starts a run of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Protocol

import msgspec
from msgspec import Raw

from sizewise.data_class import DataClass
from sizewise.errors import SizewiseError
from sizewise.flows.compiled_flow import CompiledFlow
from sizewise.flows.language.filters import to_text
from sizewise.flows.language.flow_spec import InputSpec
from sizewise.flows.language.types import Type
from sizewise.flows.versions.published_flow import PublishedFlow
from sizewise.handler import RequestOptions
from sizewise.principal import Principal
from sizewise.request_origin import RequestOrigin
from sizewise.tools.tool import MAX_DESCRIPTION_CHARS, NAME_PATTERN, Tool, ToolInvocation, ToolOutput

_encode = msgspec.json.Encoder().encode


class PublishedFlows(Protocol):
    def list_published(self, tenant: str = "", project: str = "") -> list[PublishedFlow]: ...


class FlowLoader(Protocol):
    async def load(self, tenant: str, project: str, name: str, version: str) -> CompiledFlow: ...


class FlowCaller(Protocol):
    async def run_with_data_class(
        self,
        principal: Principal,
        flow: str,
        inputs: bytes,
        *,
        version: str,
        endpoint: str,
        options: RequestOptions,
        trace: str,
        origin: RequestOrigin | None,
        id: str,
        parent_run: str,
    ) -> tuple[bytes, DataClass | None]: ...


class FlowTools:
    """A ToolProvider of the flows that are published in the caller's project and that the key may use."""

    def __init__(
        self,
        published: PublishedFlows,
        flows: FlowLoader,
        runs: FlowCaller,
        endpoint: str = "tool",
        *,
        timeout_s: float | None = None,
    ) -> None:
        """`timeout_s`: of a call; None: as long as its run takes, which has the limits of runs."""
        self._timeout_s = timeout_s
        self._published = published
        self._flows = flows
        self._runs = runs
        self._endpoint = endpoint

    async def tools(self, principal: Principal) -> Sequence[Tool]:
        if "ask" not in principal.permissions:
            return ()
        only = principal.scope.flows if principal.scope is not None else ()
        found: list[Tool] = []
        for each in self._published.list_published(principal.tenant, principal.project):
            if (only and each.name not in only) or not NAME_PATTERN.match(each.name):
                continue
            try:
                flow = await self._flows.load(principal.tenant, principal.project, each.name, each.version)
            except SizewiseError:
                continue  # it no longer compiles; calling it by name returns the error
            found.append(self._tool(flow))
        return found

    def _tool(self, flow: CompiledFlow) -> Tool:
        name, version, voice = flow.name, flow.version, flow.stream_source.output if flow.stream_source else ""

        async def do(call: ToolInvocation) -> ToolOutput:
            options = msgspec.structs.replace(call.options, data_class=call.data_class, idempotency_key=None)
            given = _encode(call.arguments)
            came, data_class = await self._runs.run_with_data_class(
                call.principal,
                name,
                given,
                version=version,
                endpoint=self._endpoint,
                options=options,
                trace=call.trace,
                origin=call.origin,
                id=_run_id(call, name),
                parent_run=call.idempotency_key.partition(":")[0],
            )
            outputs = msgspec.json.decode(came, type=dict)
            text = to_text(outputs.get(voice, outputs) if voice else outputs)
            return ToolOutput(text, data=Raw(came), data_class=data_class)

        says = flow.spec.description.strip()[:MAX_DESCRIPTION_CHARS] or f"The flow {name}."
        return Tool(name, says, inputs_json_schema(flow.spec.inputs), do, source="flow", timeout_s=self._timeout_s)


def _run_id(call: ToolInvocation, flow: str) -> str:
    """The same run id for the same call; empty, for a new run, if the call has no idempotency key."""
    if not call.idempotency_key:
        return ""
    said = msgspec.msgpack.encode(
        (
            call.principal.tenant,
            call.principal.project,
            call.principal.user_id or call.principal.key_id,
            flow,
            call.idempotency_key,
        ),
    )
    return f"tool-{blake2b(said, digest_size=16).hexdigest()}"


def inputs_json_schema(inputs: Mapping[str, InputSpec]) -> dict[str, object]:
    """The JSON Schema of an object with `inputs` as its properties."""
    properties = {name: _input_json_schema(each) for name, each in inputs.items()}
    required = [name for name, each in inputs.items() if each.required]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _input_json_schema(spec: InputSpec) -> dict[str, object]:
    made = type_json_schema(spec.type)
    if spec.description:
        made["description"] = spec.description
    return made if spec.required else made | {"default": spec.default}


def type_json_schema(value_type: Type) -> dict[str, object]:
    if value_type.name in JSON_TYPES:
        return {"type": JSON_TYPES[value_type.name]} | ({"enum": list(value_type.enum)} if value_type.enum else {})
    if value_type.name == "file":
        text = {"type": "string"}
        data = {"type": "string", "contentEncoding": "base64"}
        properties: dict[str, object] = {"name": text, "media_type": text, "data": data}
        return {"type": "object", "properties": properties, "required": ["name", "data"]}
    if value_type.name == "messages":
        return {"type": "array", "items": {"type": "object", "required": ["role", "content"]}}
    if value_type.name == "list":
        return {
            "type": "array",
            "items": type_json_schema(value_type.item_type) if value_type.item_type is not None else {},
        }
    if value_type.name == "object":
        properties = {name: type_json_schema(each) for name, each in value_type.fields.items()}
        open = value_type.open or not properties
        made: dict[str, object] = {"type": "object", "properties": properties, "required": list(properties)}
        return made | {"additionalProperties": open}
    return {}


JSON_TYPES: Mapping[str, str] = {"text": "string", "number": "number", "integer": "integer", "boolean": "boolean"}
