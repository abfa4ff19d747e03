"""A model that plays a script, agents over it, and steps that remember: what the tests of this room share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from sizewise.agents.loop import Steps
from sizewise.agents.runner import Agents
from sizewise.data_class import DataClass, Place
from sizewise.handler import Ask, Chosen, Event, Send, Text, Tried, Wishes
from sizewise.messages import Chat, Choice, Function, Reply, ToolCall, Usage
from sizewise.principal import Caller
from sizewise.settings.agents import Agent
from sizewise.tools.function_tool import Functions
from sizewise.tools.tool import Shelf, Tool

ME = Caller(tenant="acme", project="help", key="sw-1", user="u-1")
NOBODYS = Chat("", [], {})

Turn = str | list[tuple[str, Any]]
"""What the model says, or calls: names and arguments (anything but a text is made JSON)."""


class Script:
    """An Answerer. Says its turns one after the other, by model; `asked` is every question it got."""

    def __init__(self, *turns: Turn, cost: int = 1_000, **by_model: list[Turn]) -> None:
        self.turns: dict[str, list[Turn]] = {"": list(turns)} | dict(by_model)
        self.asked: list[Ask] = []
        self.cost = cost
        self.hang: asyncio.Event | None = None

    async def __call__(self, ask: Ask, send: Send) -> Reply:
        assert isinstance(ask.what, Chat)
        self.asked.append(ask)
        model = ask.what.model
        if self.hang is not None:
            await self.hang.wait()
        turns = self.turns.get(model, self.turns[""])
        turn = turns.pop(0) if len(turns) > 1 else turns[0]
        await send(Tried(model, "process", "answered", "script", 0, 0, 0, Usage(), self.cost))
        await send(Chosen(model, "script", 1))
        if isinstance(turn, str):
            return Reply((Choice(0, turn, "stop"),), Usage(), model)
        calls = tuple(
            ToolCall(Function(name, given if isinstance(given, str) else msgspec.json.encode(given).decode()), f"c{n}")
            for n, (name, given) in enumerate(turn)
        )
        return Reply((Choice(0, "let me see", "tool_calls", calls),), Usage(), model)

    def bodies(self, place: int = -1) -> list[dict[str, Any]]:
        """The messages of a question."""
        found: list[dict[str, Any]] = msgspec.json.decode(self.asked[place].what.fields["messages"])
        return found

    def offered(self, place: int = -1) -> list[str]:
        raw = self.asked[place].what.fields.get("tools", b"[]")
        return [each["function"]["name"] for each in msgspec.json.decode(raw)]


class Kept:
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


def near(ask: Ask) -> Near:
    return Near(ask.wishes.data_class or "internal", "machine" if ask.wishes.data_class == "confidential" else "anyone")


class Client:
    def __init__(self) -> None:
        self.events: list[Event] = []

    async def __call__(self, event: Event) -> None:
        self.events.append(event)

    @property
    def text(self) -> str:
        return "".join(each.text for each in self.events if isinstance(each, Text))


def agents(script: Script, tools: list[Tool], memory: Any = None, **rows: Agent) -> Agents:
    return Agents(rows, Shelf([Functions(tools)]), script, near, memory)


def worked(
    desk: Agents,
    agent: Mapping[str, object],
    task: str = "do it",
    *,
    steps: Steps | None = None,
    client: Client | None = None,
    wishes: Wishes = Wishes(),  # noqa: B008  # frozen
) -> dict[str, Any]:
    ask = Ask(NOBODYS, ME, "0" * 32, time.perf_counter(), wishes, "flow")
    return asyncio.run(desk.run(ask, agent, task, client or Client(), key="run/agent", steps=steps, place="agent"))
