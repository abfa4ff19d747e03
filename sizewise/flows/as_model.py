"""Handler that serves flows as models (`flow:NAME[@VERSION]`): the conversation in, the flow's text out.

The flow runs in memory, and a client that disconnects stops it; run_start.py starts durable runs. Each model call of a
node is recorded and billed on its own, under the same trace.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Coroutine, Mapping
from hashlib import blake2b

import msgspec
from msgspec import UNSET, Raw
from msgspec.structs import replace

from sizewise.agents.step_results import agent_runs, cut_short
from sizewise.errors import BadRequest, Forbidden, ModelNotFound, PathNotFound
from sizewise.flows.acting_nodes import acting_node
from sizewise.flows.compiled_flow import CompiledFlow
from sizewise.flows.dag_runner import flow_model_name, run_flow
from sizewise.flows.engines.inline import InMemorySteps
from sizewise.flows.executor import EMPTY_CHAT, ENDPOINT, CompiledFlows
from sizewise.flows.language.filters import to_text
from sizewise.flows.language.types import Json
from sizewise.flows.node import NodeDependencies
from sizewise.flows.run_context import NodeTrace
from sizewise.flows.run_limits import RunLimits
from sizewise.handler import ChoiceFinished, Handler, Request, Send, TextDelta
from sizewise.messages import ChatRequest, Choice, Reply
from sizewise.money import format_dollars

MODEL_PREFIX = "flow:"
JSON_NULL = Raw(b"null")
MAX_STEPS = 500
"""Node executions that a reply lists, nested ones included."""
UNSUPPORTED_FIELDS = ("tools", "functions", "response_format", "audio", "modalities")
"""Fields of a chat request that a flow does not support."""


class FlowDispatcher:
    """Handler that passes `flow:` models to `flow_handler` and all others to `handler`; returns their coroutine."""

    def __init__(self, handler: Handler, flow_handler: Handler) -> None:
        self._handler = handler
        self._flow_handler = flow_handler

    def __call__(self, request: Request, send: Send) -> Coroutine[object, None, Reply]:
        chosen = self._flow_handler if request.payload.model.startswith(MODEL_PREFIX) else self._handler
        return chosen(request, send)


class FlowModel:
    """The Handler of all flows of an application."""

    def __init__(self, flows: CompiledFlows, dependencies: NodeDependencies, limits: RunLimits) -> None:
        self._flows = flows
        self._dependencies = dataclasses.replace(dependencies, flows=flows)
        self._limits = limits

    async def __call__(self, request: Request, send: Send) -> Reply:
        chat = request.payload
        if not isinstance(chat, ChatRequest):
            raise BadRequest(
                f"{chat.model[:100]!r} is a flow and cannot create embeddings", "use an embedding model", param="model"
            )
        for name in UNSUPPORTED_FIELDS:
            if bytes(chat.fields.get(name, JSON_NULL)) not in (b"null", b"[]"):
                raise BadRequest(
                    f"flows do not support `{name}`", "remove it, or use a model instead of a flow", param=name
                )
        if chat.n > 1:
            raise BadRequest("a flow returns a single answer", "remove `n`", param="n")
        flow = await self._resolve(request, chat.model.removeprefix(MODEL_PREFIX))
        _check_strangers(request, flow)
        # It keeps `session`, which selects a memory.
        options = replace(request.options, idempotency_key=None, policy=None, tool_calls=UNSET)
        traces, memory = list[NodeTrace](), InMemorySteps()
        id, principal = _run_id(request, flow), request.principal
        self._limits.require_room(principal.tenant)
        with self._limits.counting(id, principal.tenant) as usage:
            async with self._limits.stopping_in_time():
                outcome = await run_flow(
                    flow,
                    chat_inputs(flow, chat),
                    id=id,
                    request=replace(request, payload=EMPTY_CHAT, endpoint=ENDPOINT, options=options),
                    steps=memory,
                    dependencies=self._dependencies,
                    usage=usage,
                    send=send,
                    on_trace=traces.append,
                )
        text = to_text(outcome.outputs[flow.stream_source.output]) if flow.stream_source else to_text(outcome.outputs)
        if flow.stream_source is None:  # nothing has been streamed
            await send(TextDelta(0, text))
        await send(ChoiceFinished(0, "stop"))
        steps = [_step_fields(each) for each in traces if each.state != "running"][:MAX_STEPS]
        ours: dict[str, object] = {"flow": flow.name, "version": flow.version, "outputs": outcome.outputs}
        ours |= {"steps": steps} | _agent_fields(request, memory.results)
        fields = {"sizewise": Raw(msgspec.json.encode(ours))}
        return Reply((Choice(0, text, "stop"),), outcome.usage, flow_model_name(flow), fields=fields)

    async def _resolve(self, request: Request, name: str) -> CompiledFlow:
        try:
            version = await self._flows.resolve_version(request, name)
            return await self._flows.load_flow(request, name.partition("@")[0], version)
        except PathNotFound as error:
            raise ModelNotFound(error.message, error.hint, param="model") from error


def _check_strangers(request: Request, flow: CompiledFlow) -> None:
    """A flow may be published anew with other nodes than a widget was made for. Raises Forbidden."""
    scope = request.principal.scope
    if scope is not None and scope.anonymous and (node := acting_node(flow.graph)) is not None:
        raise Forbidden(
            f"the node {node.id!r} of the flow acts on something ({node.kind_name}), and its visitors are strangers",
            "publish a version without it, or ask with a key of your own",
        )


def _agent_fields(request: Request, results: Mapping[str, bytes]) -> dict[str, object]:
    """Whether an agent was cut short; and what its tools were asked and gave, if the client wants it. It is the
    caller's: the tools did it on their behalf, and strangers run no agents.
    """
    agents = agent_runs(results)
    reason, wanted = cut_short(agents), request.options.tool_calls is True
    return ({"stop_reason": reason} if reason else {}) | ({"agents": agents} if wanted else {})


def _step_fields(trace: NodeTrace) -> dict[str, object]:
    """The fields of FlowRunStep in the GraphQL API, and `tokens`; times in unix ms."""
    told: dict[str, object] = {
        "key": trace.path,
        "state": trace.state,
        "started": round(trace.began * 1_000),
        "ended": round((trace.ended or trace.began) * 1_000),
        "model": trace.model,
        "costUsd": None if trace.cost is None else format_dollars(trace.cost),
    }
    if trace.usage.input or trace.usage.output:
        told["tokens"] = (trace.usage.input, trace.usage.output)
    return told | ({"error": trace.error} if trace.error else {})


def _run_id(request: Request, flow: CompiledFlow) -> str:
    """The same for the same caller and idempotency key, so that a repeated run sends other systems the same keys."""
    key = request.options.idempotency_key
    if key is None:
        return secrets.token_hex(16)
    who = request.principal
    said = msgspec.msgpack.encode((who.tenant, who.project, who.user_id or who.key_id, flow.name, key))
    return blake2b(said, digest_size=16).hexdigest()


def chat_inputs(flow: CompiledFlow, chat: ChatRequest) -> dict[str, Json]:
    """A flow's inputs from a chat: its messages, the last user text, attached files, and `metadata` by name."""
    inputs: dict[str, Json] = {}
    takes = flow.chat_inputs
    if "messages" in takes:
        inputs[takes["messages"]] = msgspec.json.decode(chat.fields["messages"])
    if "question" in takes:
        inputs[takes["question"]] = chat.last_user_text()
    files = _attached_files(chat)
    for name, each in flow.spec.inputs.items():
        if files and each.type.name == "file":
            inputs[name] = files[0]
        elif each.type.item_type is not None and each.type.item_type.name == "file":
            inputs[name] = files
    said = chat.fields.get("metadata")
    if said is not None:
        for name, value in (msgspec.json.decode(said) or {}).items():
            if name in flow.spec.inputs:
                inputs[name] = _parse_metadata(value, flow.spec.inputs[name].type.name)
    return inputs


def _parse_metadata(value: Json, kind: str) -> Json:
    """A value of `metadata`, parsed as JSON unless the input is a text: clients send strings only."""
    if kind in ("text", "json") or not isinstance(value, str):
        return value
    try:
        return msgspec.json.decode(value)
    except msgspec.DecodeError:
        return value


def _attached_files(chat: ChatRequest) -> list[Json]:
    """The files of the last user message, in OpenAI's `file` content parts."""
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
