"""Agent loop: ask the model, call tools concurrently, repeat until done or a limit is reached; stores nothing.

Model calls go through the application, under the caller's key, budgets and data class. Each model call and each tool
call is a step, so an interrupted run resumes at the step it stopped in. A failed tool call is reported to the model.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from time import perf_counter
from typing import Literal, Protocol

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from sizewise.agents.spec import AgentSpec
from sizewise.agents.written_calls import written_tool_calls
from sizewise.data_class import DataBounds, DataClass, strictest
from sizewise.errors import BadRequest, BudgetExceeded, NoModelFits, RunLimitExceeded, SizewiseError
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

StopReason = Literal["done", "steps", "money", "time", "repeats"]
"""Why an agent stopped: `done`, or the limit it reached; `repeats`: it kept making the same call, and was then asked
for an answer without calls."""

MAX_SAME_CALLS = 3
"""Times a call with equal arguments is made. Further repeats are refused; at twice as many the agent stops."""
CONCURRENCY = 8
MAX_CALLS_PER_STEP = 64
MAX_CONTEXT_CHARS = 400_000
"""Characters of a conversation; beyond that, the oldest tool results are replaced by a notice."""
AGENT_SOURCE = "agent"
"""`Tool.source` of a tool that runs another agent."""
OUTPUT_EVENTS = (TextDelta, ReasoningDelta, RawDelta, ChoiceFinished, ToolDelta, ModelSelected)


DataBoundsOf = Callable[[Request], DataBounds]

_encode = msgspec.json.Encoder().encode


class AgentSteps(Protocol):
    """The part of a durable run that the loop uses."""

    async def step(self, key: str, work: Callable[[], Awaitable[bytes]]) -> bytes: ...
    async def wait(self, key: str, question: bytes = b"", timeout_s: float | None = None) -> bytes | None: ...


class ModelTurn(Struct, frozen=True):
    """One answer of a model, as a step stores it. `cost`: pico-dollars. `stop_reason`: why there is no answer."""

    text: str
    calls: tuple[ToolCall, ...]
    model: str
    cost: int
    duration_s: float
    stop_reason: Literal["", "money", "time"] = ""


class ToolCallRecord(Struct, frozen=True):
    """One tool call, without arguments and result."""

    agent: str
    tool: str
    failed: bool


class AgentResult(Struct, frozen=True):
    """`text`: the final answer, empty unless `ended` is `done`. `cost`: pico-dollars. `agent`: the last one active."""

    text: str
    ended: StopReason
    steps: int
    cost: int
    agent: str
    calls: tuple[ToolCallRecord, ...] = ()
    data_class: DataClass | None = None  # the strictest that a tool result had


class AgentRegistry(Protocol):
    """Looks up agents and their tools; implemented by AgentRunner."""

    async def list_tools(self, spec: AgentSpec, loop: AgentLoop, usage: AgentUsage) -> Sequence[Tool]: ...
    def get_spec(self, name: str) -> AgentSpec: ...


class AgentUsage:
    """Steps, cost and seconds used by a task. Those of a worker also count for its supervisor (`parent`). Seconds in
    which a tool call waits for a person do not count.
    """

    def __init__(self, spec: AgentSpec, parent: AgentUsage | None = None) -> None:
        self.steps, self.cost, self.duration_s = 0, 0, 0.0  # `duration_s` without the tool calls being made now
        self.calls: list[ToolCallRecord] = []
        self._max_steps, self._max_cost, self._max_s = spec.max_steps, spec.max_cost, spec.timeout_s
        self._parent = parent
        self._repeats: Counter[tuple[str, bytes]] = Counter()
        self._calls_began: float | None = None
        self._waiting, self._wait_began, self._waited_s = 0, 0.0, 0.0

    def exceeded_limit(self) -> StopReason | None:
        if self.steps >= self._max_steps:
            return "steps"
        if self._max_cost is not None and self.cost >= self._max_cost:
            return "money"
        if not self.remaining_s:
            return "time"
        return None if self._parent is None else self._parent.exceeded_limit()

    def count_step(self) -> None:
        self.steps += 1
        if self._parent is not None:
            self._parent.count_step()

    def add_cost(self, cost: int) -> None:
        self.cost += cost
        if self._parent is not None:
            self._parent.add_cost(cost)

    @property
    def remaining_cost(self) -> int | None:
        """Pico-dollars; None without a limit."""
        own = None if self._max_cost is None else max(0, self._max_cost - self.cost)
        outer = None if self._parent is None else self._parent.remaining_cost
        return min((each for each in (own, outer) if each is not None), default=None)

    @property
    def remaining_s(self) -> float:
        own = max(0.0, self._max_s - self.duration_s - self._calls_s())
        return own if self._parent is None else min(own, self._parent.remaining_s)

    @contextmanager
    def tool_calls(self) -> Iterator[None]:
        """Counts the time of the calls made inside."""
        self._calls_began, self._waited_s = perf_counter(), 0.0
        try:
            yield
        finally:
            self.duration_s += self._calls_s()
            self._calls_began = None

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Inside, a call waits for a person. Several may wait at once."""
        if not self._waiting:
            self._wait_began = perf_counter()
        self._waiting += 1
        try:
            with nullcontext() if self._parent is None else self._parent.waiting():
                yield
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._waited_s += perf_counter() - self._wait_began

    def _calls_s(self) -> float:
        """Seconds of the tool calls being made now."""
        if self._calls_began is None:
            return 0.0
        until = self._wait_began if self._waiting else perf_counter()
        return max(0.0, until - self._calls_began - self._waited_s)

    def count_repeat(self, name: str, arguments: Mapping[str, object]) -> int:
        key = (name, msgspec.json.encode(arguments, order="deterministic"))
        self._repeats[key] += 1
        return self._repeats[key]


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
            return await self._run(spec, messages, usage or AgentUsage(spec))

    async def _run(self, spec: AgentSpec, messages: Sequence[Mapping[str, object]], usage: AgentUsage) -> AgentResult:
        talk: list[dict[str, object]] = [dict(each) for each in messages]
        tools = await self._tools(spec, usage)
        while True:
            if (why := usage.exceeded_limit()) is not None:
                return self._outcome("", why, spec, usage)
            number = usage.steps
            usage.count_step()
            answer = await self._ask_model_step(spec, talk, tools, usage, number)
            usage.add_cost(answer.cost)
            usage.duration_s += answer.duration_s
            if answer.stop_reason:
                return self._outcome("", answer.stop_reason, spec, usage)
            if not answer.calls:
                return self._outcome(answer.text, "done", spec, usage)
            talk.append(_assistant_message(answer))
            with usage.tool_calls():
                results, repeated = await self._call_tools(spec, answer.calls, tools, usage, number)
            self._tighten(results)
            talk += [_tool_message(call, result) for call, result in zip(answer.calls, results, strict=True)]
            if repeated:
                return await self._answer_without_calls(spec, talk, tools, usage)
            if (name := _handoff_target(spec, answer.calls)) is not None:
                spec = self._registry.get_spec(name)
                tools = await self._tools(spec, usage)

    async def _answer_without_calls(
        self,
        spec: AgentSpec,
        messages: Sequence[Mapping[str, object]],
        tools: Mapping[str, Tool],
        usage: AgentUsage,
    ) -> AgentResult:
        """The answer of an agent that repeats its calls, from what they brought: a last step in which it may call
        nothing. Without text if a limit leaves no step.
        """
        if usage.exceeded_limit() is not None:
            return self._outcome("", "repeats", spec, usage)
        number = usage.steps
        usage.count_step()
        answer = await self._ask_model_step(spec, messages, tools, usage, number, may_call=False)
        usage.add_cost(answer.cost)
        usage.duration_s += answer.duration_s
        return self._outcome(answer.text, "repeats", spec, usage)

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

    def _outcome(self, text: str, ended: StopReason, spec: AgentSpec, usage: AgentUsage) -> AgentResult:
        found = self._data_class
        return AgentResult(
            text=text,
            ended=ended,
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
        *,
        may_call: bool = True,
    ) -> ModelTurn:
        told: list[Event] = []

        async def work() -> bytes:
            return _encode(await self._ask_model(spec, messages, tools, usage, told, may_call=may_call))

        answer = msgspec.json.decode(await self._step(str(number), work), type=ModelTurn)
        if not answer.calls:
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
        *,
        may_call: bool,
    ) -> ModelTurn:
        """Holds the model's output, since text that accompanies a tool call is no answer.

        Appends ModelSelected events to `chosen`; sends the other events at once.
        """
        request = self._build_request(spec, messages, tools, usage, may_call=may_call)
        began, cost = perf_counter(), 0
        ended: Literal["", "money", "time"] = ""

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
                reply = await self._handler(request, hear)
        except TimeoutError:
            ended = "time"
        except NoModelFits:
            if usage.remaining_cost is None or usage.steps == 1:
                raise
            ended = "money"
        choice = reply.choices[0] if reply.choices else Choice()
        text, made = choice.text, choice.tool_calls if may_call else ()
        if tools and may_call and not made and choice.finish_reason == "stop":
            text, made = written_tool_calls(text, tools)
        calls = tuple(
            _with_call_id(call, n) for n, call in enumerate(made[:MAX_CALLS_PER_STEP]) if call.function is not None
        )
        return ModelTurn(
            text=text,
            calls=calls,
            model=reply.model,
            cost=cost,
            duration_s=perf_counter() - began,
            stop_reason=ended,
        )

    def _build_request(
        self,
        spec: AgentSpec,
        messages: Sequence[Mapping[str, object]],
        tools: Mapping[str, Tool],
        usage: AgentUsage,
        *,
        may_call: bool,
    ) -> Request:
        system = [{"role": "system", "content": spec.system}] if spec.system else []
        body: dict[str, object] = {"model": spec.model, "messages": [*system, *truncate_messages(messages)]}
        if tools:
            body["tools"] = [tool.to_openai() for tool in tools.values()]
            body |= {} if may_call else {"tool_choice": "none"}
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
            usage.calls.append(
                ToolCallRecord(spec.name, call.function.name[:64] if call.function else "", result.failed),
            )
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


def _assistant_message(answer: ModelTurn) -> dict[str, object]:
    return {"role": "assistant", "content": answer.text or None, "tool_calls": answer.calls}


def _tool_message(call: ToolCall, result: ToolOutput) -> dict[str, object]:
    text = f"Error: {result.text}" if result.failed else result.text
    return {"role": "tool", "tool_call_id": call.id, "content": text or "(nothing)"}


def truncate_messages(messages: Sequence[Mapping[str, object]]) -> list[Mapping[str, object]]:
    """The conversation within MAX_CONTEXT_CHARS: the oldest tool results are replaced by a notice first."""
    sizes = [len(str(each.get("content") or "")) for each in messages]
    over = sum(sizes) - MAX_CONTEXT_CHARS
    found = list(messages)
    for place, each in enumerate(messages):
        if over <= 0:
            break
        if each.get("role") == "tool" and sizes[place] > 200:
            found[place] = {**each, "content": f"[{sizes[place]} characters were left out: they came too long ago]"}
            over -= sizes[place] - 60
    return found
