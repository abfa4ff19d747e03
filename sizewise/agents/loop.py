"""The loop of an agent: ask, call tools side by side, ask again, until it is done or a limit is reached; keeps nothing.

Every question is the house's, under the caller's key, budgets and data class; every question and every call is a step,
so that a run that died goes on at the step it died in. What a tool says is data: a failed call goes back to the model.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import perf_counter
from typing import Literal, Protocol

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from sizewise.agents.spec import Spec
from sizewise.data_class import DataClass, Place, strictest
from sizewise.errors import BadRequest, NoModelFits, OverBudget, SizewiseError
from sizewise.guardrails.untrusted_content import objection
from sizewise.handler import Answerer, Ask, Chosen, Event, Extra, Finished, Send, Text, Thought, ToolDelta, Tried
from sizewise.messages import Choice, Reply, ToolCall, Usage
from sizewise.providers.wires.openai.request_response import read_request
from sizewise.tools.tool import Call, Result, Tool, arguments, said

Ended = Literal["done", "steps", "money", "time", "repeats"]
"""Why it stopped: by itself, or at which limit; `repeats`: it did the same again and again."""

SAME = 3
"""Times that one call is made with the same arguments; beyond, the model is told, and at twice as many it ends."""
SIDE_BY_SIDE = 8
CALLS = 64
"""Calls of one step."""
CONTEXT = 400_000
"""Characters of a conversation; beyond, what tools brought first is left out, and that is said."""
AGENT = "agent"
"""The source of a tool that is another agent."""
SPOKEN = (Text, Thought, Extra, Finished, ToolDelta, Chosen)


class Bounds(Protocol):
    """The class of data, and how far it may go; None is nowhere."""

    @property
    def data_class(self) -> DataClass: ...
    @property
    def limit(self) -> Place | None: ...


Told = Callable[[Ask], Bounds]
"""What holds for a request."""

_encode = msgspec.json.Encoder().encode


class Steps(Protocol):
    """What the loop needs of a run that can die and go on."""

    async def step(self, key: str, work: Callable[[], Awaitable[bytes]]) -> bytes: ...
    async def wait(self, key: str, asked: bytes = b"", timeout_s: float | None = None) -> bytes | None: ...


class Said(Struct, frozen=True):
    """One answer of a model, as a step keeps it. `cost`: pico-dollars; `took`: seconds. `ended`: there is none."""

    text: str
    calls: tuple[ToolCall, ...]
    model: str
    cost: int
    took: float
    ended: Literal["", "money", "time"] = ""


class Made(Struct, frozen=True):
    """One call, as it is told: nothing of what it said."""

    agent: str
    tool: str
    failed: bool


class Outcome(Struct, frozen=True):
    """`text`: what it said last, empty where it stopped before. `cost`: pico-dollars. `agent`: who was on it last."""

    text: str
    ended: Ended
    steps: int
    cost: int
    agent: str
    calls: tuple[Made, ...] = ()
    data_class: DataClass | None = None  # how closely it must be kept, where a tool said so


class Hands(Protocol):
    """Who gives an agent its tools."""

    async def tools(self, spec: Spec, loop: Loop, spent: Spent) -> Sequence[Tool]: ...
    def spec(self, name: str) -> Spec: ...


class Spent:
    """What one task has taken so far, of all agents on it; a worker's is also its supervisor's (`above`)."""

    def __init__(self, spec: Spec, above: Spent | None = None) -> None:
        self.steps, self.cost, self.took = 0, 0, 0.0
        self.made: list[Made] = []
        self._max_steps, self._max_cost, self._max_s = spec.max_steps, spec.max_cost, spec.timeout_s
        self._above = above
        self._same: Counter[tuple[str, bytes]] = Counter()

    def over(self) -> Ended | None:
        if self.steps >= self._max_steps:
            return "steps"
        if self._max_cost is not None and self.cost >= self._max_cost:
            return "money"
        if self.took >= self._max_s:
            return "time"
        return None if self._above is None else self._above.over()

    def step(self) -> None:
        self.steps += 1
        if self._above is not None:
            self._above.step()

    def pay(self, cost: int) -> None:
        self.cost += cost
        if self._above is not None:
            self._above.pay(cost)

    @property
    def left(self) -> int | None:
        """Pico-dollars; None where there is no limit."""
        own = None if self._max_cost is None else max(0, self._max_cost - self.cost)
        outer = None if self._above is None else self._above.left
        return min((each for each in (own, outer) if each is not None), default=None)

    @property
    def left_s(self) -> float:
        return max(0.0, self._max_s - self.took)

    def again(self, name: str, given: Mapping[str, object]) -> int:
        key = (name, msgspec.json.encode(given, order="deterministic"))
        self._same[key] += 1
        return self._same[key]


class Loop:
    """One task. `place` begins the keys of its steps, unique in the run; `key` what others can tell repetitions by."""

    def __init__(
        self,
        answer: Answerer,
        hands: Hands,
        told: Told,
        ask: Ask,
        send: Send,
        place: str,
        key: str,
        steps: Steps | None,
    ) -> None:
        self.ask = ask
        self._answer = answer
        self._hands = hands
        self._told = told
        self._send = send
        self._place = place
        self._key = key
        self._steps = steps
        self._waited = 0.0  # seconds for people, which count for nobody
        self._found: DataClass | None = None

    def inner(self, call: Call) -> Loop:
        """For another agent, within one call of this one; what it says is not heard."""

        async def booked(event: Event) -> None:
            if not isinstance(event, SPOKEN):
                await self._send(event)

        place = self._place + call.key.removeprefix(self._key)
        return Loop(self._answer, self._hands, self._told, self.ask, booked, place, call.key, self._steps)

    async def run(self, spec: Spec, messages: Sequence[Mapping[str, object]], spent: Spent | None = None) -> Outcome:
        """Raises SizewiseError where no model can be asked, OverBudget where the caller's money is at its end."""
        spent = spent or Spent(spec)
        talk: list[dict[str, object]] = [dict(each) for each in messages]
        tools = await self._tools(spec, spent)
        while True:
            if (why := spent.over()) is not None:
                return self._outcome("", why, spec, spent)
            number = spent.steps
            spent.step()
            answer = await self._asked(spec, talk, tools, spent, number)
            spent.pay(answer.cost)
            spent.took += answer.took
            if answer.ended:
                return self._outcome("", answer.ended, spec, spent)
            if not answer.calls:
                return self._outcome(answer.text, "done", spec, spent)
            talk.append(_turn(answer))
            began, self._waited = perf_counter(), 0.0
            results, repeated = await self._called(spec, answer.calls, tools, spent, number)
            spent.took += max(0.0, perf_counter() - began - self._waited)
            self._tighten(results)
            talk += [_result(call, result) for call, result in zip(answer.calls, results, strict=True)]
            if repeated:
                return self._outcome("", "repeats", spec, spent)
            if (name := _handed(spec, answer.calls)) is not None:
                spec = self._hands.spec(name)
                tools = await self._tools(spec, spent)

    def _tighten(self, results: Sequence[Result]) -> None:
        """What was found is kept as closely from now on as whoever keeps it says."""
        wishes = self.ask.wishes
        classes = [each.data_class for each in results if each.data_class is not None]
        own = [wishes.data_class] if wishes.data_class is not None else []
        if classes:
            self._found = strictest(*classes, *([self._found] if self._found is not None else []))
        if classes and (strict := strictest(*classes, *own)) != wishes.data_class:
            self.ask = replace(self.ask, wishes=replace(wishes, data_class=strict, by="what a tool brought"))

    def _outcome(self, text: str, ended: Ended, spec: Spec, spent: Spent) -> Outcome:
        found = self._found
        return Outcome(text, ended, spent.steps, spent.cost, spec.name, tuple(spent.made), found)

    async def _tools(self, spec: Spec, spent: Spent) -> dict[str, Tool]:
        found = await self._hands.tools(spec, self, spent)
        return {each.name: each for each in found}

    async def _step(self, key: str, work: Callable[[], Awaitable[bytes]]) -> bytes:
        return await (work() if self._steps is None else self._steps.step(f"{self._place}.{key}", work))

    # ---- asking -----------------------------------------------------------------------------------------------------

    async def _asked(
        self, spec: Spec, talk: Sequence[Mapping[str, object]], tools: Mapping[str, Tool], spent: Spent, number: int
    ) -> Said:
        told: list[Event] = []

        async def work() -> bytes:
            return _encode(await self._said(spec, talk, tools, spent, told))

        answer = msgspec.json.decode(await self._step(str(number), work), type=Said)
        if not answer.calls:
            for event in told:
                await self._send(event)
            if answer.text:
                await self._send(Text(0, answer.text))
        return answer

    async def _said(
        self,
        spec: Spec,
        talk: Sequence[Mapping[str, object]],
        tools: Mapping[str, Tool],
        spent: Spent,
        chosen: list[Event],
    ) -> Said:
        """The model's words are held until it is known that they are its last: what it says beside a call is no
        answer. What is booked is told at once."""
        ask, began, cost = self._question(spec, talk, tools, spent), perf_counter(), 0
        ended: Literal["", "money", "time"] = ""

        async def hear(event: Event) -> None:
            nonlocal cost
            if isinstance(event, Tried):
                cost += event.cost or 0
            if isinstance(event, Chosen):
                chosen.append(event)
            elif not isinstance(event, SPOKEN):
                await self._send(event)

        reply = Reply((), Usage())
        try:
            async with asyncio.timeout(spent.left_s):
                reply = await self._answer(ask, hear)
        except TimeoutError:
            ended = "time"
        except NoModelFits:
            if spent.left is None or spent.steps == 1:
                raise
            ended = "money"
        choice = reply.choices[0] if reply.choices else Choice()
        calls = tuple(_named(call, n) for n, call in enumerate(choice.tool_calls[:CALLS]) if call.function is not None)
        return Said(choice.text, calls, reply.model, cost, perf_counter() - began, ended)

    def _question(
        self, spec: Spec, talk: Sequence[Mapping[str, object]], tools: Mapping[str, Tool], spent: Spent
    ) -> Ask:
        system = [{"role": "system", "content": spec.system}] if spec.system else []
        body: dict[str, object] = {"model": spec.model, "messages": [*system, *shortened(talk)]}
        if tools:
            body["tools"] = [tool.offered() for tool in tools.values()]
        if spec.max_tokens is not None:
            body["max_tokens"] = spec.max_tokens
        chat, _ = read_request(_encode(body))
        wishes = replace(self.ask.wishes, policy=spec.policy, idempotency_key=None)
        if spent.left is not None:
            wishes = replace(wishes, max_cost=min(spent.left, wishes.max_cost or spent.left))
        return replace(self.ask, what=chat, started=perf_counter(), wishes=wishes, found=None)

    # ---- calling ----------------------------------------------------------------------------------------------------

    async def _called(
        self, spec: Spec, calls: Sequence[ToolCall], tools: Mapping[str, Tool], spent: Spent, number: int
    ) -> tuple[list[Result], bool]:
        """The results in the order of the calls. Those of tools that stand `alone` are made one after the other, after
        all others. Whether it repeats itself without end."""
        room, repeated = asyncio.Semaphore(SIDE_BY_SIDE), False
        plans: list[Callable[[], Awaitable[Result]]] = []
        lonely: list[int] = []
        for place, call in enumerate(calls):
            plan, same = self._plan(spec, call, tools, spent, f"{number}.{place}")
            repeated = repeated or same >= 2 * SAME
            plans.append(plan)
            tool = tools.get(call.function.name) if call.function else None
            if tool is not None and tool.alone:
                lonely.append(place)
        results: dict[int, Result] = {}

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
            spent.made.append(Made(spec.name, call.function.name[:64] if call.function else "", result.failed))
        return ordered, repeated

    def _plan(
        self, spec: Spec, call: ToolCall, tools: Mapping[str, Tool], spent: Spent, step: str
    ) -> tuple[Callable[[], Awaitable[Result]], int]:
        assert call.function is not None  # others were left out
        name = call.function.name
        tool = tools.get(name)
        if tool is None:
            return _says(f"there is no tool {name[:64]!r}; there are: {', '.join(tools) or 'none'}"), 0
        try:
            given = arguments(call)
        except BadRequest as error:
            return _says(said(error)), spent.again(name, {"": call.function.arguments[:1_000]})
        same = spent.again(name, given)
        if same > SAME:
            return _says(
                f"this call was made {SAME} times with these arguments: use what it gave, or do another thing"
            ), same

        async def make() -> Result:
            return await self._made(spec, tool, given, step)

        return make, same

    async def _made(self, spec: Spec, tool: Tool, given: Mapping[str, object], step: str) -> Result:
        if tool.dangerous and objection(tool.name, (tool.name,), spec.auto_approve):
            refusal = await self._approved(spec, tool, given, step)
            if refusal:
                return Result(refusal, failed=True)
        ask, its = self.ask, self._told(self.ask)
        key, limit = f"{self._key}.{step}", its.limit or "process"
        call = Call(given, ask.caller, key, ask.trace, ask.wishes, its.data_class, limit)

        async def work() -> Result:
            try:
                return await tool.call(call)
            except OverBudget:
                raise
            except SizewiseError as error:
                return Result(said(error), failed=True)

        if tool.source == AGENT:  # its own steps are kept
            return await work()

        async def kept() -> bytes:
            return _encode(replace(await work(), data=None))  # the model reads the text

        return msgspec.json.decode(await self._step(step, kept), type=Result)

    async def _approved(self, spec: Spec, tool: Tool, given: Mapping[str, object], step: str) -> str:
        """Why the call may not be made; empty where a person said yes."""
        if self._steps is None:
            return "a person has to say yes to this tool, and nobody can be asked here"
        asked = {"question": f"May the agent {spec.name!r} call {tool.name!r}?", "show": given}
        began = perf_counter()
        told = await self._steps.wait(f"{self._place}.{step}.approve", _encode(asked), spec.approval_timeout_s)
        self._waited += perf_counter() - began
        if told is None:
            return "nobody said yes to this call in time"
        try:
            decision = msgspec.json.decode(told, type=Decision)
        except msgspec.DecodeError:
            decision = Decision()
        return "" if decision.approved else f"a person said no to this call. {decision.note[:2_000]}".strip()


class Decision(Struct, frozen=True):
    """What a person decided; what cannot be read is a no."""

    approved: bool = False
    note: str = ""


HAND = "hand_to_"
"""How the tool is called that makes another agent go on."""


def _first(several: BaseExceptionGroup[BaseException]) -> BaseException:
    inner = several.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner


def _handed(spec: Spec, calls: Sequence[ToolCall]) -> str | None:
    for call in calls:
        name = call.function.name if call.function else ""
        if name.startswith(HAND) and name.removeprefix(HAND) in spec.handoffs:
            return name.removeprefix(HAND)
    return None


def _named(call: ToolCall, number: int) -> ToolCall:
    """A call has an id, by which its result is told apart; some models give none."""
    return call if call.id else replace(call, id=f"call_{number}")


def _says(words: str) -> Callable[[], Awaitable[Result]]:
    async def say() -> Result:
        return Result(words, failed=True)

    return say


def _turn(answer: Said) -> dict[str, object]:
    return {"role": "assistant", "content": answer.text or None, "tool_calls": answer.calls}


def _result(call: ToolCall, result: Result) -> dict[str, object]:
    text = f"Error: {result.text}" if result.failed else result.text
    return {"role": "tool", "tool_call_id": call.id, "content": text or "(nothing)"}


def shortened(talk: Sequence[Mapping[str, object]]) -> list[Mapping[str, object]]:
    """The conversation within CONTEXT: what tools brought first is left out first, and that is said in its place."""
    sizes = [len(str(each.get("content") or "")) for each in talk]
    over = sum(sizes) - CONTEXT
    found = list(talk)
    for place, each in enumerate(talk):
        if over <= 0:
            break
        if each.get("role") == "tool" and sizes[place] > 200:
            found[place] = {**each, "content": f"[{sizes[place]} characters were left out: they came too long ago]"}
            over -= sizes[place] - 60
    return found
