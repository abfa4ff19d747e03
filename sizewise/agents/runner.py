"""Agents by name, put to work: their tools, workers, hand-offs and memory in hand; knows no flow and no door."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Protocol

import msgspec
from msgspec import Meta, Raw
from msgspec.structs import replace

from sizewise.agents.loop import AGENT, HAND, Loop, Outcome, Spent, Steps, Told
from sizewise.agents.spec import Spec, checked, given, read
from sizewise.data_class import DataClass, strictest
from sizewise.errors import BadRequest
from sizewise.handler import Answerer, Ask, Send
from sizewise.principal import Caller
from sizewise.settings.agents import Agent as Row
from sizewise.tools.function_tool import function
from sizewise.tools.tool import Call, Result, Tool

TASK = 262_144
"""Characters of a task."""
RECALLED = 5
ASK = "ask_"
"""How the tool is called that gives a worker a task."""

Short = Annotated[str, Meta(min_length=1, max_length=8_192)]


class Shelf(Protocol):
    async def chosen(self, names: Sequence[str], caller: Caller) -> tuple[Tool, ...]: ...


class Memory(Protocol):
    async def remember(self, ask: Ask, whose: str, text: str, *, key: str) -> Sequence[object]: ...
    async def recall(self, ask: Ask, whose: str, query: str, limit: int) -> Sequence[Mapping[str, object]]: ...
    async def forget(self, ask: Ask, whose: str, query: str) -> Sequence[Mapping[str, object]]: ...


class Agents:
    """The agents of one house. Raises ConfigError for rows that contradict each other."""

    def __init__(
        self, rows: Mapping[str, Row], shelf: Shelf, answer: Answerer, told: Told, memory: Memory | None = None
    ) -> None:
        self._known = {name: read(row, name) for name, row in rows.items()}
        checked(self._known)
        self._shelf = shelf
        self._answer = answer
        self._told = told
        self._memory = memory

    async def run(
        self,
        ask: Ask,
        agent: Mapping[str, object],
        task: str,
        send: Send,
        *,
        key: str,
        steps: Steps | None = None,
        place: str = "agent",
    ) -> dict[str, object]:
        """What came of it: `text`, `steps`, `cost` (pico-dollars), why it `ended`, who was `agent` last, and `calls`.

        `agent`: its name, or all of it. What `ask` may cost and take holds for the whole task. `key`: what others can
        tell repetitions by; `place`: begins the keys of `steps`, unique in the run. Raises BadRequest for an agent that
        is none, and what asking a model raises.
        """
        if not task.strip() or len(task) > TASK:
            raise BadRequest(f"a task has 1 to {TASK} characters", "say what it has to do")
        spec, wishes = given(agent, self._known), ask.wishes
        if wishes.max_cost is not None:
            spec = replace(spec, max_cost=max(1, min(wishes.max_cost, spec.max_cost or wishes.max_cost)))
        if wishes.max_ms is not None:
            spec = replace(spec, timeout_s=min(spec.timeout_s, wishes.max_ms / 1_000))
        ask = replace(ask, wishes=replace(wishes, max_cost=None, max_ms=None))
        loop = Loop(self._answer, self, self._told, ask, send, place, key, steps)
        outcome = await loop.run(spec, [{"role": "user", "content": task}])
        return msgspec.json.decode(msgspec.json.encode(outcome), type=dict[str, object])

    def spec(self, name: str) -> Spec:
        return self._known[name]

    async def tools(self, spec: Spec, loop: Loop, spent: Spent) -> Sequence[Tool]:
        found = list(await self._shelf.chosen(spec.tools, loop.ask.caller)) if spec.tools else []
        found += [self._worker(self._other(name), loop, spent) for name in spec.subagents]
        found += [_hand(self._other(name)) for name in spec.handoffs]
        if spec.memory and self._memory is not None:
            found += _remembering(self._memory, loop.ask)
        return found

    def _other(self, name: str) -> Spec:
        if name not in self._known:
            raise BadRequest(f"there is no agent {name[:100]!r}", "declare it: [agents.NAME] in sizewise.toml")
        return self._known[name]

    def _worker(self, spec: Spec, loop: Loop, spent: Spent) -> Tool:
        async def do(call: Call) -> Result:
            task = call.arguments.get("task")
            if not isinstance(task, str) or not task.strip():
                raise BadRequest("a worker is given a `task`", "call it again with one")
            outcome = await loop.inner(call).run(spec, [{"role": "user", "content": task}], Spent(spec, spent))
            spent.made.extend(outcome.calls)
            return _worked(outcome)

        properties = {"task": {"type": "string", "description": "All that it needs to know."}}
        schema = {"type": "object", "properties": properties, "required": ["task"]}
        says = f"Gives a task to {spec.name}, and tells what came of it. {spec.description}".strip()
        return Tool(f"{ASK}{spec.name}"[:64], says, schema, do, source=AGENT, foreign=True, timeout_s=LONG_S)


LONG_S = 40_000_000.0
"""Of a worker, which has limits of its own, and may wait for a person."""


def _worked(outcome: Outcome) -> Result:
    done = outcome.ended == "done"
    text = outcome.text if done else f"it stopped before it was done ({outcome.ended})"
    return Result(text, not done, foreign=True, data_class=outcome.data_class)


def _hand(spec: Spec) -> Tool:
    async def do(call: Call) -> Result:
        return Result(f"{spec.name} goes on from here.")

    schema = {"type": "object", "properties": {"why": {"type": "string"}}}
    says = f"Lets {spec.name} go on in your place. {spec.description}".strip()
    return Tool(f"{HAND}{spec.name}"[:64], says, schema, do, alone=True)


def _remembering(memory: Memory, ask: Ask) -> list[Tool]:
    """Of the session where the request has one, else of whoever asks."""
    session = ask.wishes.session
    whose = f"session:{session}" if session else f"user:{ask.caller.user or ask.caller.key or 'anybody'}"
    whose = whose[:200]

    async def remember(text: Short, call: Call) -> Sequence[object]:
        """Remembers a fact about whom you talk with, for later conversations. One fact in one sentence."""
        kept = replace(ask, wishes=replace(ask.wishes, data_class=call.data_class))
        return await memory.remember(kept, whose, text, key=call.key)

    async def recall(query: Annotated[str, Meta(max_length=2_000)] = "") -> Result:
        """What you remember of whom you talk with, that shares words with the query; without one the newest."""
        return _recalled(await memory.recall(ask, whose, query, RECALLED))

    async def forget(query: Short) -> Result:
        """Forgets what you remember: one memory by its id, or all that hold each word of the query."""
        return _recalled(await memory.forget(ask, whose, query))

    return [function(remember), function(recall, foreign=True), function(forget)]


def _recalled(found: Sequence[Mapping[str, object]]) -> Result:
    """Memories for a model to read, and to be kept as closely as the closest of them."""
    data = msgspec.json.encode(found)
    classes = [msgspec.convert(each["data_class"], DataClass) for each in found if "data_class" in each]
    return Result(data.decode(), data=Raw(data), data_class=strictest(*classes) if classes else None)
