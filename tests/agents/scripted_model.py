"""A model that plays a script, agents over it, and steps that remember: what the tests of this room share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from sizewise.agents.loop import AgentSteps
from sizewise.agents.runner import AgentRunner
from sizewise.data_class import DataClass, Place
from sizewise.handler import AttemptFinished, Event, ModelSelected, Request, RequestOptions, Send, TextDelta
from sizewise.messages import ChatRequest, Choice, FunctionCall, Reply, ToolCall, Usage
from sizewise.principal import Principal
from sizewise.settings.agents import AgentSettings
from sizewise.tools.function_tool import FunctionTools
from sizewise.tools.tool import Tool, Toolset
from tests.timeouts import run_with_timeout

ME = Principal(tenant="acme", project="help", key_id="sw-1", user_id="u-1")
NOBODYS = ChatRequest("", [], {})

Turn = str | list[tuple[str, Any]]
"""What the model says, or calls: names and arguments (anything but a text is made JSON)."""


class Script:
    """An Answerer. Says its turns one after the other, by model; `asked` is every question it got."""

    def __init__(self, *turns: Turn, cost: int = 1_000, **by_model: list[Turn]) -> None:
        self.turns: dict[str, list[Turn]] = {"": list(turns)} | dict(by_model)
        self.asked: list[Request] = []
        self.cost = cost
        self.hang: asyncio.Event | None = None

    async def __call__(self, request: Request, send: Send) -> Reply:
        assert isinstance(request.payload, ChatRequest)
        self.asked.append(request)
        model = request.payload.model
        if self.hang is not None:
            await self.hang.wait()
        turns = self.turns.get(model, self.turns[""])
        turn = turns.pop(0) if len(turns) > 1 else turns[0]
        await send(AttemptFinished(model, "process", "answered", "script", 0, 0, 0, Usage(), self.cost))
        await send(ModelSelected(model, "script", 1))
        if isinstance(turn, str):
            return Reply((Choice(0, turn, "stop"),), Usage(), model)
        calls = tuple(
            ToolCall(
                FunctionCall(name, given if isinstance(given, str) else msgspec.json.encode(given).decode()),
                f"c{n}",
            )
            for n, (name, given) in enumerate(turn)
        )
        return Reply((Choice(0, "let me see", "tool_calls", calls),), Usage(), model)

    def bodies(self, place: int = -1) -> list[dict[str, Any]]:
        """The messages of a question."""
        found: list[dict[str, Any]] = msgspec.json.decode(self.asked[place].payload.fields["messages"])
        return found

    def offered(self, place: int = -1) -> list[str]:
        raw = self.asked[place].payload.fields.get("tools", b"[]")
        return [each["function"]["name"] for each in msgspec.json.decode(raw)]


class MemorySteps:
    """Steps in memory. `die` is the number of steps after which it dies, as a process does; `says` answers waits."""

    def __init__(self, says: bytes | None = None) -> None:
        self.done: dict[str, bytes] = {}
        self.waits: list[tuple[str, bytes]] = []
        self.die: int | None = None
        self.says = says

    async def step(self, key: str, work: Callable[[], Awaitable[bytes]]) -> bytes:
        if key not in self.done:
            if self.die is not None and len(self.done) >= self.die:
                raise Died
            self.done[key] = await work()
        return self.done[key]

    async def wait(self, key: str, asked: bytes = b"", timeout_s: float | None = None) -> bytes | None:
        self.waits.append((key, asked))
        return self.says


class Died(Exception):
    """As if the process had been killed."""


class Near(Struct, frozen=True):
    data_class: DataClass = "internal"
    limit: Place | None = "anyone"


def near(request: Request) -> Near:
    return Near(
        request.options.data_class or "internal",
        "machine" if request.options.data_class == "confidential" else "anyone",
    )


class Client:
    def __init__(self) -> None:
        self.events: list[Event] = []

    async def __call__(self, event: Event) -> None:
        self.events.append(event)

    @property
    def text(self) -> str:
        return "".join(each.text for each in self.events if isinstance(each, TextDelta))


def agents(script: Script, tools: list[Tool], memory: Any = None, **rows: AgentSettings) -> AgentRunner:
    return AgentRunner(
        settings=rows,
        tools=Toolset([FunctionTools(tools)]),
        handler=script,
        data_bounds=near,
        memory=memory,
    )


def worked(
    desk: AgentRunner,
    agent: Mapping[str, object],
    task: str = "do it",
    *,
    steps: AgentSteps | None = None,
    client: Client | None = None,
    options: RequestOptions = RequestOptions(),  # frozen
) -> dict[str, Any]:
    request = Request(NOBODYS, ME, "0" * 32, time.perf_counter(), options, "flow")
    run = desk.run(request, agent, task, client or Client(), key="run/agent", steps=steps, path="agent")
    return run_with_timeout(run)
