"""Agent registry and runner: resolves an agent, its tools, workers, handoffs and memory; knows no flow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Protocol

import msgspec
from msgspec import Meta, Raw
from msgspec.structs import replace

from sizewise.agents.loop import (
    AGENT_SOURCE,
    HANDOFF_PREFIX,
    AgentLoop,
    AgentSteps,
    DataBoundsOf,
)
from sizewise.agents.result import AgentResult
from sizewise.agents.spec import AgentSpec, resolve_agent, spec_from_settings, validate_agents
from sizewise.agents.usage import AgentUsage
from sizewise.data_class import DataClass, strictest
from sizewise.errors import BadRequest
from sizewise.handler import Handler, Request, Send
from sizewise.settings.agents import AgentSettings
from sizewise.telemetry.spans import SpanRecorder, unrecorded_spans
from sizewise.tools.function_tool import function_tool
from sizewise.tools.tool import Tool, ToolAccess, ToolInvocation, ToolOutput

MAX_TASK_CHARS = 262_144
RECALL_LIMIT = 5
WORKER_PREFIX = "ask_"
"""Prefix of the tools that give a task to a worker."""

ShortText = Annotated[str, Meta(min_length=1, max_length=8_192)]


class AgentMemoryAccess(Protocol):
    async def remember(self, request: Request, subject: str, text: str, *, key: str) -> Sequence[object]: ...
    async def recall(
        self,
        request: Request,
        subject: str,
        query: str,
        limit: int,
    ) -> Sequence[Mapping[str, object]]: ...
    async def forget(self, request: Request, subject: str, query: str) -> Sequence[Mapping[str, object]]: ...


class AgentRunner:
    """The agents of one application. Raises ConfigError for settings that contradict each other."""

    def __init__(
        self,
        *,
        settings: Mapping[str, AgentSettings],
        tools: ToolAccess,
        handler: Handler,
        data_bounds: DataBoundsOf,
        memory: AgentMemoryAccess | None = None,
        spans: SpanRecorder | None = None,
    ) -> None:
        """`spans`: None: they are not recorded."""
        self._agents = {name: spec_from_settings(row, name) for name, row in settings.items()}
        validate_agents(self._agents)
        self._tools = tools
        self._handler = handler
        self._data_bounds = data_bounds
        self._memory = memory
        self._spans = spans or unrecorded_spans()

    async def run(
        self,
        request: Request,
        agent: Mapping[str, object],
        task: str,
        send: Send,
        *,
        key: str,
        steps: AgentSteps | None = None,
        path: str = "agent",
    ) -> dict[str, object]:
        """Runs the agent on `task` and returns the fields of AgentResult.

        `agent`: its name, or a whole spec. The cost and latency limits of `request` hold for the whole task. `key`:
        prefix of the idempotency keys; `path`: prefix of the keys of `steps`, unique in the run. Raises BadRequest for
        an unknown or invalid agent, and whatever a model call raises.
        """
        if not task.strip() or len(task) > MAX_TASK_CHARS:
            raise BadRequest(f"a task has 1 to {MAX_TASK_CHARS} characters", "describe what the agent has to do")
        spec, options = resolve_agent(agent, self._agents), request.options
        if options.max_cost is not None:
            spec = replace(spec, max_cost=max(1, min(options.max_cost, spec.max_cost or options.max_cost)))
        if options.max_latency_ms is not None:
            spec = replace(spec, timeout_s=min(spec.timeout_s, options.max_latency_ms / 1_000))
        request = replace(request, options=replace(options, max_cost=None, max_latency_ms=None))
        loop = AgentLoop(
            handler=self._handler,
            registry=self,
            data_bounds=self._data_bounds,
            request=request,
            send=send,
            path=path,
            key=key,
            steps=steps,
            spans=self._spans,
        )
        outcome = await loop.run(spec, [{"role": "user", "content": task}])
        return msgspec.json.decode(msgspec.json.encode(outcome), type=dict[str, object])

    def get_spec(self, name: str) -> AgentSpec:
        return self._agents[name]

    async def list_tools(self, spec: AgentSpec, loop: AgentLoop, usage: AgentUsage) -> Sequence[Tool]:
        found = list(await self._tools.select(spec.tools, loop.request.principal)) if spec.tools else []
        found += [self._worker_tool(self._require_agent(name), loop, usage) for name in spec.subagents]
        found += [_handoff_tool(self._require_agent(name)) for name in spec.handoffs]
        if spec.memory and self._memory is not None:
            found += _memory_tools(self._memory, loop.request)
        return found

    def _require_agent(self, name: str) -> AgentSpec:
        if name not in self._agents:
            raise BadRequest(f"there is no agent {name[:100]!r}", "declare it: [agents.NAME] in sizewise.toml")
        return self._agents[name]

    def _worker_tool(self, spec: AgentSpec, loop: AgentLoop, usage: AgentUsage) -> Tool:
        async def do(call: ToolInvocation) -> ToolOutput:
            task = call.arguments.get("task")
            if not isinstance(task, str) or not task.strip():
                raise BadRequest("the argument `task` is missing", "call it again with a `task`")
            outcome = await loop.for_worker(call).run(
                spec,
                [{"role": "user", "content": task}],
                AgentUsage(spec, usage),
            )
            usage.calls.extend(outcome.calls)
            return _worker_result(outcome)

        properties = {"task": {"type": "string", "description": "All that it needs to know."}}
        schema = {"type": "object", "properties": properties, "required": ["task"]}
        says = f"Gives a task to {spec.name}, and tells what came of it. {spec.description}".strip()
        return Tool(
            f"{WORKER_PREFIX}{spec.name}"[:64],
            says,
            schema,
            do,
            source=AGENT_SOURCE,
            untrusted=True,
            timeout_s=WORKER_TIMEOUT_S,
        )


WORKER_TIMEOUT_S = 40_000_000.0
"""Effectively none: a worker has limits of its own, and may wait for a person."""


def _worker_result(outcome: AgentResult) -> ToolOutput:
    why = outcome.stop_reason
    note = "" if why == "done" else f"It stopped before it was done ({why})."
    text = " ".join(filter(None, (outcome.text, note)))
    return ToolOutput(text, not outcome.text and why != "done", untrusted=True, data_class=outcome.data_class)


def _handoff_tool(spec: AgentSpec) -> Tool:
    async def do(call: ToolInvocation) -> ToolOutput:
        return ToolOutput(f"{spec.name} goes on from here.")

    schema = {"type": "object", "properties": {"why": {"type": "string"}}}
    says = f"Lets {spec.name} go on in your place. {spec.description}".strip()
    return Tool(f"{HANDOFF_PREFIX}{spec.name}"[:64], says, schema, do, exclusive=True)


def _memory_tools(memory: AgentMemoryAccess, request: Request) -> list[Tool]:
    """Tools for the memory of the request's session, or else of its user or key."""
    session = request.options.session
    subject = (
        f"session:{session}"
        if session
        else f"user:{request.principal.user_id or request.principal.key_id or 'anybody'}"
    )
    subject = subject[:200]

    async def remember(text: ShortText, call: ToolInvocation) -> Sequence[object]:
        """Store one fact for later conversations, of the user or of an answer that you gave, in one sentence."""
        kept = replace(request, options=replace(request.options, data_class=call.data_class))
        return await memory.remember(kept, subject, text, key=call.idempotency_key)

    async def recall(query: Annotated[str, Meta(max_length=2_000)] = "") -> ToolOutput:
        """Return stored facts that share words with the query; without a query, the newest."""
        return _memories_result(await memory.recall(request, subject, query, RECALL_LIMIT))

    async def forget(query: ShortText) -> ToolOutput:
        """Delete stored facts about the user: one by its id, or all that contain every word of the query."""
        return _memories_result(await memory.forget(request, subject, query))

    return [function_tool(remember), function_tool(recall, untrusted=True), function_tool(forget)]


def _memories_result(found: Sequence[Mapping[str, object]]) -> ToolOutput:
    """Memories for a model to read, with the strictest of their data classes."""
    data = msgspec.json.encode(found)
    classes = [msgspec.convert(each["data_class"], DataClass) for each in found if "data_class" in each]
    return ToolOutput(data.decode(), data=Raw(data), data_class=strictest(*classes) if classes else None)
