"""A keeper with its engine in a thread of its own, and a carrier that plays what a test has written down for it."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from sizewise.app.services import open_services
from sizewise.flows.engine import Steps
from sizewise.flows.run_worker import RunExecution
from sizewise.flows.tables import FlowRun
from sizewise.jobs.periodic_tasks import PeriodicTasks
from sizewise.principal import Principal
from sizewise.settings.load import Settings
from sizewise.settings.storage import FlowsSettings

T = TypeVar("T")
Part = Callable[[Steps, "FlowHarness"], Awaitable[bytes]]
VERSION = "b" * 64


class FlowHarness:
    """`play` names what a run of that flow does; every step that is asked is counted in `asked`."""

    def __init__(self, home: Path, flowing: FlowsSettings | None = None) -> None:
        self.home = home
        self.plays: dict[str, Part] = {}
        self.asked: Counter[str] = Counter()
        self.started: list[RunExecution] = []
        self._settings = Settings(flows=flowing or FlowsSettings())
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.open()

    def open(self) -> None:
        self.services = open_services(self.home, self._settings)
        self.runs, self.versions = self.services.runs, self.services.flow_versions
        self.boss = self.services.api_keys.authenticator.authenticate(self.services.admin_token)
        self.runs.worker.configure(self._carry)
        self._tending = asyncio.run_coroutine_threadsafe(
            PeriodicTasks().run(self.runs.recovery.periodic_tasks()), self._loop
        )

    def shut(self) -> None:
        self._tending.cancel()
        self.do(self.runs.recovery.close())
        self.services.close()

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

    async def _carry(self, started: RunExecution, steps: Steps) -> bytes:
        self.started.append(started)
        return await self.plays[started.run.flow](steps, self)

    def play(self, flow: str, part: Part) -> None:
        self.plays[flow] = part
        if not any(each.name == flow for each in self.versions.list_published("local", "default")):
            self.do(self.versions.save(self.boss, "default", flow, VERSION, f"name: {flow}".encode()))
            self.do(self.versions.publish(self.boss, "default", flow, VERSION))

    def start(self, flow: str, by: Principal | None = None, **how: Any) -> FlowRun:
        return self.do(self.runs.starter.start(by or self.boss, flow, how.pop("inputs", b"{}"), **how))

    def one(self, run: FlowRun) -> FlowRun:
        return self.do(self.runs.queries.get(self.boss, run.id))

    def ended(self, run: FlowRun) -> FlowRun:
        return self.do(self.runs.completion.wait_until_ended(self.boss, run.id, 20))

    def key(self, project: str = "default", **how: Any) -> Principal:
        """Who comes with a new key."""
        return self.services.api_keys.authenticator.authenticate(
            self.do(self.services.api_keys.create(project, **how)).text,
        )


async def step(steps: Steps, floor: FlowHarness, key: str, gives: bytes = b"1") -> bytes:
    async def work() -> bytes:
        floor.asked[key] += 1
        return gives

    return await steps.step(key, work)
