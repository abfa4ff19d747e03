"""A keeper with its engine in a thread of its own, and a carrier that plays what a test has written down for it."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from sizewise.app.services import Keeper
from sizewise.flows.engine import Steps
from sizewise.flows.run_service import Started
from sizewise.flows.tables import Run
from sizewise.principal import Caller
from sizewise.settings.storage import Flows

T = TypeVar("T")
Part = Callable[[Steps, "Floor"], Awaitable[bytes]]
VERSION = "b" * 64


class Floor:
    """`play` names what a run of that flow does; every step that is asked is counted in `asked`."""

    def __init__(self, home: Path, flowing: Flows | None = None) -> None:
        self.home = home
        self.plays: dict[str, Part] = {}
        self.asked: Counter[str] = Counter()
        self.started: list[Started] = []
        self._flowing = flowing
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.open()

    def open(self) -> None:
        self.keeper = Keeper(self.home, flowing=self._flowing)
        self.runs = self.keeper.runs
        self.boss = self.keeper.accounts.keys.caller(self.keeper.admin)
        self.runs.aim(self._carry)
        self._tending = asyncio.run_coroutine_threadsafe(self.runs.tend(), self._loop)

    def shut(self) -> None:
        self._tending.cancel()
        self.do(self.runs.close())
        self.keeper.close()

    def again(self) -> None:
        """As after a restart."""
        self.shut()
        self.open()

    def close(self) -> None:
        self.shut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _carry(self, started: Started, steps: Steps) -> bytes:
        self.started.append(started)
        return await self.plays[started.run.flow](steps, self)

    def play(self, flow: str, part: Part) -> None:
        self.plays[flow] = part
        if not any(each.name == flow for each in self.runs.shelf.every("local", "default")):
            self.do(self.runs.shelf.keep(self.boss, "default", flow, VERSION, f"name: {flow}".encode()))
            self.do(self.runs.shelf.publish(self.boss, "default", flow, VERSION))

    def start(self, flow: str, by: Caller | None = None, **how: Any) -> Run:
        return self.do(self.runs.start(by or self.boss, flow, how.pop("inputs", b"{}"), **how))

    def one(self, run: Run) -> Run:
        return self.do(self.runs.one(self.boss, run.id))

    def ended(self, run: Run) -> Run:
        return self.do(self.runs.ended(self.boss, run.id, 20))

    def key(self, project: str = "default", **how: Any) -> Caller:
        """Who comes with a new key."""
        return self.keeper.accounts.keys.caller(self.do(self.keeper.accounts.create(project, **how)).text)


async def step(steps: Steps, floor: Floor, key: str, gives: bytes = b"1") -> bytes:
    async def work() -> bytes:
        floor.asked[key] += 1
        return gives

    return await steps.step(key, work)
