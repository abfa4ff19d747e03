"""Canary serving: what each process does for a canary beside answering requests by it.

It keeps conversations in their arm, draws requests for the shadow run, and says each second which release it serves and
since when requests are open.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Awaitable, Callable, Iterable
from random import random

import msgspec
from msgspec.structs import replace

from sizewise.app.canary_shadow import CanaryShadow
from sizewise.app.services import Services
from sizewise.handler import Handler
from sizewise.jobs.periodic_tasks import PeriodicTask
from sizewise.releases.canary import tables
from sizewise.releases.canary.begun_arms import BegunArms
from sizewise.releases.canary.open_requests import OpenRequests
from sizewise.releases.canary.split import RequestUnit
from sizewise.releases.canary.tables import CanaryServer
from sizewise.releases.environments.environment_store import Place
from sizewise.releases.environments.tables import LiveRelease

REPORT_S = 1.0


class CanaryServing:
    """One per process; outlives reloads."""

    def __init__(
        self,
        services: Services,
        *,
        handler_of: Callable[[Place, str], Awaitable[Handler]],
        acting_node: Callable[[Place, str, str], Awaitable[str]],
        published: Callable[[], Handler],
        served: Callable[[], Iterable[LiveRelease]],
    ) -> None:
        """`handler_of`: of a release; `acting_node`: of one of its flows; `published`: answers a judge's prompts;
        `served`: what this process serves.
        """
        self.open_requests = OpenRequests()
        self._arms = BegunArms(services.storage.database.read_in_thread)
        self._write = services.storage.writer.run_transaction
        self._served = served
        self._shadow = CanaryShadow(
            read=services.storage.database.read_transaction,
            write=self._write,
            numbers=services.records.ids,
            handler_of=handler_of,
            acting_node=acting_node,
            judge=published,
            draw=random,
        )
        self._shown: dict[str, tuple[str, str | None]] = {}
        self._name = f"{platform.node()}:{os.getpid()}"

    async def begun(self, live: LiveRelease, unit: RequestUnit) -> RequestUnit:
        """`unit`, with the arm in which its session began."""
        if live.canary is None or live.share <= 0 or not unit.session:
            return unit
        return replace(unit, begun=await self._arms.find(live.place, live.canary, unit.session))

    def observing(self, handler: Handler, live: LiveRelease) -> Handler:
        """Stable's `handler`, from which the shadow run of a canary draws requests."""
        return handler if live.canary is None else self._shadow.observing(handler, live.place)

    def periodic_tasks(self) -> list[PeriodicTask]:
        return [PeriodicTask("canary of this server", REPORT_S, self.report, at_once=True)]

    async def report(self) -> None:
        """Raises StorageError."""
        served = list(self._served())
        shown = {"/".join(each.place): (each.release, each.canary) for each in served}
        if not any(each.canary for each in served) and shown == self._shown:
            return
        self._shown = shown  # also once after a canary has ended: its end is confirmed
        await self._shadow.refresh()
        seen = CanaryServer(
            self._name,
            time.time_ns() // 1_000_000,
            self.open_requests.open_since(),
            msgspec.json.encode(shown).decode(),
        )
        await self._write(lambda c: tables.save_server(c, seen))

    async def stop(self) -> None:
        await self._shadow.stop()
