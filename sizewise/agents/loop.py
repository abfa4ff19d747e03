"""Agent loop: ask the model, call tools concurrently, repeat until done or a limit is reached; stores nothing.

Model calls go through the application, under the caller's key, budgets and data class. Each model call and each tool
call is a step, so an interrupted run resumes at the step it stopped in. A failed tool call is reported to the model.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import perf_counter
from types import MappingProxyType
from typing import Protocol

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from sizewise.agents.conversation import ANSWER_NOW, assistant_message, tool_message, truncate_messages
from sizewise.agents.result import AgentResult, LimitReason, ModelTurn, StopReason, ToolCallRecord
from sizewise.agents.spec import AgentSpec
from sizewise.agents.usage import AgentUsage
from sizewise.agents.written_calls import written_tool_calls
from sizewise.data_class import DataBounds, DataClass, strictest
from sizewise.errors import BadRequest, BudgetExceeded, NoModelFits, RunLimitExceeded, SizewiseError, UpstreamRejected
from sizewise.guardrails.untrusted_content import tool_denial_reason
from sizewise.handler import (
    AttemptFinished,
    ChoiceFinished,
    Event,
    Handler,
    ModelSelected,
    RawDelta,
    ReasoningDelta,
    Request,
    Send,
    TextDelta,
    ToolDelta,
)
from sizewise.messages import Choice, Reply, ToolCall, Usage
from sizewise.providers.wires.openai.request_response import read_request
from sizewise.telemetry.spans import SpanRecorder
from sizewise.tools.tool import Tool, ToolInvocation, ToolOutput, error_text, parse_arguments

MAX_SAME_CALLS = 3
"""Times a call with equal arguments is made. Further repeats are refused; at twice as many the agent stops."""
CONCURRENCY = 8
MAX_CALLS_PER_STEP = 64
AGENT_SOURCE = "agent"
"""`Tool.source` of a tool that runs another agent."""
NO_FIELDS: Mapping[str, object] = MappingProxyType({})
OUTPUT_EVENTS = (TextDelta, ReasoningDelta, RawDelta, ChoiceFinished, ToolDelta, ModelSelected)


DataBoundsOf = Callable[[Request], DataBounds]

_encode = msgspec.json.Encoder().encode


class AgentSteps(Protocol):
    """The part of a durable run that the loop uses."""

    async def step(self, key: str, work: Callable[[], Awaitable[bytes]]) -> bytes: ...
    async def wait(self, key: str, question: bytes = b"", timeout_s: float | None = None) -> bytes | None: ...


class AgentRegistry(Protocol):
    """Looks up agents and their tools; implemented by AgentRunner."""

    async def list_tools(self, spec: AgentSpec, loop: AgentLoop, usage: AgentUsage) -> Sequence[Tool]: ...
    def get_spec(self, name: str) -> AgentSpec: ...


class AgentLoop:
    """Runs one task. `path`: prefix of its step keys, unique in the run. `key`: prefix of its idempotency keys."""

    def __init__(
        self,
        *,
        handler: Handler,
        registry: AgentRegistry,
        data_bounds: DataBoundsOf,
        request: Request,
        send: Send,
        path: str,
        key: str,
        steps: AgentSteps | None,
        spans: SpanRecorder,
    ) -> None:
        self.request = request
        self._handler = handler
        self._registry = registry
        self._data_bounds = data_bounds
        self._send = send
        self._path = path
        self._key = key
        self._steps = steps
        self._spans = spans
        self._data_class: DataClass | None = None

    def for_worker(self, call: ToolInvocation) -> AgentLoop:
        """The loop of a worker, inside one tool call of this loop; its output is not sent to the client."""

        async def booked(event: Event) -> None:
            if not isinstance(event, OUTPUT_EVENTS):
                await self._send(event)

        place = self._path + call.idempotency_key.removeprefix(self._key)
        return AgentLoop(
            handler=self._handler,
            registry=self._registry,
            data_bounds=self._data_bounds,
            request=replace(self.request, origin=call.origin),
            send=booked,
            path=place,
            key=call.idempotency_key,
            steps=self._steps,
            spans=self._spans,
        )

    async def run(
        self,
        spec: AgentSpec,
        messages: Sequence[Mapping[str, object]],
        usage: AgentUsage | None = None,
    ) -> AgentResult:
        """Raises SizewiseError if no model can be called, BudgetExceeded if the caller's budget is spent."""
        with self._spans.open("invoke_agent", spec.name, self.request, agent=spec.name) as span:
            self.request = span.request
            result = await self._run(spec, messages, usage or AgentUsage(spec))
            span.error = "" if result.stop_reason == "done" else result.stop_reason
            return result

    async def _run(self, spec: AgentSpec, messages: Sequence[Mapping[str, object]], usage: AgentUsage) -> AgentResult:
        talk: list[dict[str, object]] = [dict(each) for each in messages]
        tools = await self._tools(spec, usage)
        closing: LimitReason | None = None  # why the next step may call nothing
        while True:
            if (limit := usage.exceeded_limit()) is not None:
                return await self._stop(closing or limit, spec, usage)
            if tools and usage.remaining_steps == 1:
                closing = closing or "step_limit"
            number = usage.steps
            usage.count_step()
            answer = await self._ask_model_step(spec, talk, tools, usage, number, closing)
            usage.add_cost(answer.cost)
            usage.duration_s += answer.duration_s
            if answer.limit is not None or not answer.calls:
                return self._outcome(answer.text, answer.limit or "done", spec, usage)
            talk.append(assistant_message(answer))
            with usage.tool_calls():
                results, repeated = await self._call_tools(spec, answer.calls, tools, usage, number)
            self._tighten(results)
            talk += [tool_message(call, result) for call, result in zip(answer.calls, results, strict=True)]
            if repeated:
                closing = "repeated_calls"
            elif (name := _handoff_target(spec, answer.calls)) is not None:
                spec = self._registry.get_spec(name)
                tools = await self._tools(spec, usage)

    async def _stop(self, limit: LimitReason, spec: AgentSpec, usage: AgentUsage) -> AgentResult:
        """The end where no step is left, stored as a step that asked nothing."""

        async def work() -> bytes:
            return _encode(ModelTurn(text="", calls=(), model="", cost=0, duration_s=0.0, stop_reason=limit))

        turn = msgspec.json.decode(await self._step(str(usage.steps), work), type=ModelTurn)
        return self._outcome(turn.text, turn.limit or limit, spec, usage)

    def _tighten(self, results: Sequence[ToolOutput]) -> None:
        """Raises the request's data class to the strictest of `results`."""
        options = self.request.options
        classes = [each.data_class for each in results if each.data_class is not None]
        own = [options.data_class] if options.data_class is not None else []
        if classes:
            self._data_class = strictest(*classes, *([self._data_class] if self._data_class is not None else []))
        if classes and (strict := strictest(*classes, *own)) != options.data_class:
            self.request = replace(
                self.request,
                options=replace(options, data_class=strict, constraint_source="what a tool brought"),
            )

    def _outcome(self, text: str, why: StopReason, spec: AgentSpec, usage: AgentUsage) -> AgentResult:
        found = self._data_class
        return AgentResult(
            text=text,
            stop_reason=why,
            steps=usage.steps,
            cost=usage.cost,
            agent=spec.name,
            calls=tuple(usage.calls),
            data_class=found,
        )

    async def _tools(self, spec: AgentSpec, usage: AgentUsage) -> dict[str, Tool]:
        found = await self._registry.list_tools(spec, self, usage)
        return {each.name: each for each in found}

    async def _step(self, key: str, work: Callable[[], Awaitable[bytes]]) -> bytes:
        return await (work() if self._steps is None else self._steps.step(f"{self._path}.{key}", work))

    # ---- model calls ------------------------------------------------------------------------------------------------

    async def _ask_model_step(
        self,
        spec: AgentSpec,
        messages: Sequence[Mapping[str, object]],
        tools: Mapping[str, Tool],
        usage: AgentUsage,
        number: int,
        closing: LimitReason | None,
    ) -> ModelTurn:
        """`closing`: why it may call nothing; unless the step is stored, which says itself whether it is the last."""
        told: list[Event] = []

        async def work() -> bytes:
            return _encode(await self._ask_model(spec, messages, tools, usage, told, closing))

        answer = msgspec.json.decode(await self._step(str(number), work), type=ModelTurn)
        if answer.limit is not None or not answer.calls:
            for event in told:
                await self._send(event)
            if answer.text:
                await self._send(TextDelta(0, answer.text))
        return answer

    async def _ask_model(
        self,
        spec: AgentSpec,
        messages: Sequence[Mapping[str, object]],
        tools: Mapping[str, Tool],
        usage: AgentUsage,
        chosen: list[Event],
        closing: LimitReason | None,
    ) -> ModelTurn:
        """Holds the model's output, since text that accompanies a tool call is no answer.

        Appends ModelSelected events to `chosen`; sends the other events at once.
        """
        began, cost = perf_counter(), 0
        limit = closing

        async def hear(event: Event) -> None:
            nonlocal cost
            if isinstance(event, AttemptFinished):
                cost += event.cost or 0
            if isinstance(event, ModelSelected):
                chosen.append(event)
            elif not isinstance(event, OUTPUT_EVENTS):
                await self._send(event)

        reply = Reply((), Usage())
        try:
            async with asyncio.timeout(usage.remaining_s):
                reply = await self._reply(spec, messages, tools, usage, closing, hear)
        except TimeoutError:
            limit = "time_limit"
        except NoModelFits:
            if usage.remaining_cost is None or usage.steps == 1:
                raise
            limit = "cost_limit"
        choice = reply.choices[0] if reply.choices else Choice()
        text, made = choice.text, choice.tool_calls
        if tools and not made and choice.finish_reason == "stop":
            text, made = written_tool_calls(text, tools)
        if closing is not None:
            made = ()
        calls = tuple(
            _with_call_id(call, n) for n, call in enumerate(made[:MAX_CALLS_PER_STEP]) if call.function is not None
        )
        return ModelTurn(
            text=text,
            calls=calls,
            model=reply.model,
            cost=cost,
            duration_s=perf_counter() - began,
            stop_reason=limit or "",
        )

    async def _reply(
        self,
        spec: AgentSpec,
        messages: Sequence[Mapping[str, object]],
        tools: Mapping[str, Tool],
        usage: AgentUsage,
        closing: LimitReason | None,
        hear: Send,
    ) -> Reply:
        """Some APIs refuse any message between a tool's result and the answer: then the system prompt says it."""
        if closing is None:
            return await self._handler(self._build_request(spec, messages, tools, usage), hear)
        forbidden = {"tool_choice": "none"}
        talk = [*messages, {"role": "user", "content": ANSWER_NOW}]
        try:
            return await self._handler(self._build_request(spec, talk, tools, usage, forbidden), hear)
        except UpstreamRejected:
            spec = replace(spec, system="\n\n".join(filter(None, (spec.system, ANSWER_NOW))))
            return await self._handler(self._build_request(spec, messages, tools, usage, forbidden), hear)

    def _build_request(
        self,
        spec: AgentSpec,
        messages: Sequence[Mapping[str, object]],
        tools: Mapping[str, Tool],
        usage: AgentUsage,
        more: Mapping[str, object] = NO_FIELDS,
    ) -> Request:
        """`more`: fields of the body, where it has tools."""
        system = [{"role": "system", "content": spec.system}] if spec.system else []
        body: dict[str, object] = {"model": spec.model, "messages": [*system, *truncate_messages(messages)]}
        if tools:
            body["tools"] = [tool.to_openai() for tool in tools.values()]
            body |= more
        if spec.max_tokens is not None:
            body["max_tokens"] = spec.max_tokens
        chat, _ = read_request(_encode(body))
        options = replace(self.request.options, policy=spec.policy, idempotency_key=None)
        if usage.remaining_cost is not None:
            options = replace(options, max_cost=min(usage.remaining_cost, options.max_cost or usage.remaining_cost))
        return replace(self.request, payload=chat, started_at=perf_counter(), options=options, scan=None)

    # ---- tool calls -------------------------------------------------------------------------------------------------

    async def _call_tools(
        self,
        spec: AgentSpec,
        calls: Sequence[ToolCall],
        tools: Mapping[str, Tool],
        usage: AgentUsage,
        number: int,
    ) -> tuple[list[ToolOutput], bool]:
        """The results in the order of the calls, and whether the agent repeats itself and must stop.

        Calls of `exclusive` tools are made one at a time, after all others.
        """
        room, repeated = asyncio.Semaphore(CONCURRENCY), False
        plans: list[Callable[[], Awaitable[ToolOutput]]] = []
        lonely: list[int] = []
        for place, call in enumerate(calls):
            plan, same = self._plan_call(spec, call, tools, usage, f"{number}.{place}")
            repeated = repeated or same >= 2 * MAX_SAME_CALLS
            plans.append(plan)
            tool = tools.get(call.function.name) if call.function else None
            if tool is not None and tool.exclusive:
                lonely.append(place)
        results: dict[int, ToolOutput] = {}

        async def make(place: int) -> None:
            async with room:
                results[place] = await plans[place]()

        try:
            async with asyncio.TaskGroup() as group:
                for place in range(len(plans)):
                    if place not in lonely:
                        group.create_task(make(place))
        except BaseExceptionGroup as several:
            raise _first(several) from None
        for place in lonely:
            await make(place)
        ordered = [results[place] for place in range(len(plans))]
        for call, result in zip(calls, ordered, strict=True):
            name = call.function.name[:64] if call.function else ""
            usage.calls.append(ToolCallRecord(spec.name, name, result.failed))
        return ordered, repeated

    def _plan_call(
        self,
        spec: AgentSpec,
        call: ToolCall,
        tools: Mapping[str, Tool],
        usage: AgentUsage,
        step: str,
    ) -> tuple[Callable[[], Awaitable[ToolOutput]], int]:
        assert call.function is not None  # _ask_model drops calls without one
        name = call.function.name
        tool = tools.get(name)
        if tool is None:
            return _failed_call(f"there is no tool {name[:64]!r}; there are: {', '.join(tools) or 'none'}"), 0
        try:
            given = parse_arguments(call)
        except BadRequest as error:
            return _failed_call(error_text(error)), usage.count_repeat(name, {"": call.function.arguments[:1_000]})
        same = usage.count_repeat(name, given)
        if same > MAX_SAME_CALLS:
            return (
                _failed_call(
                    f"this call was made {MAX_SAME_CALLS} times with these arguments: use what it gave, or do another"
                    " thing",
                ),
                same,
            )

        async def make() -> ToolOutput:
            return await self._call_tool(spec, tool, given, usage, step)

        return make, same

    async def _call_tool(
        self,
        spec: AgentSpec,
        tool: Tool,
        arguments: Mapping[str, object],
        usage: AgentUsage,
        step: str,
    ) -> ToolOutput:
        if tool.needs_approval and tool_denial_reason(tool.name, (tool.name,), spec.auto_approve):
            with usage.waiting():
                refusal = await self._request_approval(spec, tool, arguments, step)
            if refusal:
                return ToolOutput(refusal, failed=True)
        request, its = self.request, self._data_bounds(self.request)
        key, limit = f"{self._key}.{step}", its.limit or "process"
        call = ToolInvocation(
            arguments=arguments,
            principal=request.principal,
            idempotency_key=key,
            trace=request.trace_id,
            options=request.options,
            data_class=its.data_class,
            limit=limit,
        )

        async def work() -> ToolOutput:
            with self._spans.open("execute_tool", tool.name, request, kind=tool.source) as span:
                try:
                    result = await tool.call(replace(call, origin=span.origin))
                except (BudgetExceeded, RunLimitExceeded):
                    raise
                except SizewiseError as error:
                    span.error = error.code
                    return ToolOutput(error_text(error), failed=True)
                span.end_tool(result.text, result.failed)
                return result

        if tool.source == AGENT_SOURCE:  # its steps are stored one by one
            return await work()

        async def kept() -> bytes:
            return _encode(replace(await work(), data=None))  # the model reads the text

        return msgspec.json.decode(await self._step(step, kept), type=ToolOutput)

    async def _request_approval(self, spec: AgentSpec, tool: Tool, arguments: Mapping[str, object], step: str) -> str:
        """Why the call may not be made; empty if a person approved it."""
        if self._steps is None:
            return "this tool needs a person's approval, and there is no way to ask for it here"
        question = f"May the agent {spec.name!r} call {tool.name!r}?"
        asked = {"question": question, "show": arguments, "approvers": tool.approvers}
        told = await self._steps.wait(f"{self._path}.{step}.approve", _encode(asked), spec.approval_timeout_s)
        if told is None:
            return "this call was not approved in time"
        try:
            decision = msgspec.json.decode(told, type=ToolApproval)
        except msgspec.DecodeError:
            decision = ToolApproval()
        return "" if decision.approved else f"a person denied this call. {decision.note[:2_000]}".strip()


class ToolApproval(Struct, frozen=True):
    """A person's decision; an unreadable one counts as a refusal."""

    approved: bool = False
    note: str = ""


HANDOFF_PREFIX = "hand_to_"
"""Prefix of the tools that hand the conversation to another agent."""


def _first(several: BaseExceptionGroup[BaseException]) -> BaseException:
    inner = several.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner


def _handoff_target(spec: AgentSpec, calls: Sequence[ToolCall]) -> str | None:
    for call in calls:
        name = call.function.name if call.function else ""
        if name.startswith(HANDOFF_PREFIX) and name.removeprefix(HANDOFF_PREFIX) in spec.handoffs:
            return name.removeprefix(HANDOFF_PREFIX)
    return None


def _with_call_id(call: ToolCall, number: int) -> ToolCall:
    """Adds the id that the result refers to; some models give none."""
    return call if call.id else replace(call, id=f"call_{number}")


def _failed_call(words: str) -> Callable[[], Awaitable[ToolOutput]]:
    async def say() -> ToolOutput:
        return ToolOutput(words, failed=True)

    return say
