"""The store process: what has one owner on a machine, and the APIs that need it; one of several processes of a server.

It is a whole server on a Unix socket: what a worker does not answer itself, it forwards here. It also leads reloads,
runs the local models, leases slots, and adds up the metrics of all workers.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import signal
import socket
from collections.abc import Coroutine, Mapping, Set
from functools import partial
from pathlib import Path

import msgspec
from starlette.types import ASGIApp

from sizewise.app.process_role import ProcessRole
from sizewise.app.readiness import background_problems
from sizewise.app.resources import MergeMetrics
from sizewise.app.services import Services
from sizewise.errors import ConfigError
from sizewise.gateway.fast_path import fast_path_protocol
from sizewise.gateway.routes import build_asgi_app
from sizewise.gateway.store_forwarding import ForwardedScope
from sizewise.gateway.tls import Certificates
from sizewise.graphql.asgi import GraphQLApp
from sizewise.ipc.messages import (
    ApplyReload,
    CountMetrics,
    Flush,
    GrantSlots,
    Hello,
    PrepareReload,
    RecallSlots,
    RefreshKeys,
    ReportImpaired,
    ToWorker,
)
from sizewise.ipc.store_server import StoreServer
from sizewise.jobs.periodic_tasks import PeriodicTask
from sizewise.model_card import ModelCard
from sizewise.providers.concurrency_limiter import NewQueue
from sizewise.providers.connections import ModelGauges
from sizewise.providers.leased_queue import SlotLeases
from sizewise.providers.local.models import LocalModels, ModelSharing
from sizewise.providers.local.runtime import LocalRuntime
from sizewise.server import (
    ReloadableApplication,
    ServerFile,
    ServerProcess,
    Siblings,
    announcement,
    reload_or_warn,
    warn,
    welcome,
)
from sizewise.settings.load import Settings
from sizewise.telemetry.metrics import Metrics
from sizewise.telemetry.metrics_snapshot import MetricsSnapshot, decode_snapshot, merge_snapshots, take_snapshot
from sizewise.workers.control import ControlSocket, Ready, RunFolder, SettingsAccepted

log = logging.getLogger("sizewise.workers")

RELOAD_TIMEOUT_S = 30.0
"""Seconds in which every worker must have checked new settings."""
FLUSH_TIMEOUT_S = 1.0
"""Seconds for which a read waits for the records of the workers."""
REFRESH_TIMEOUT_S = 1.0
"""Seconds for which a change of keys waits for the workers; one that is slower reads it at its next look."""
METRICS_TIMEOUT_S = 1.0
COUNT_INTERVAL_S = 5.0
"""Seconds between two looks at the metrics of the workers: a worker that is killed loses at most so much of them."""
IMPAIRED_INTERVAL_S = 1.0


def settings_digest(content: bytes | None) -> str:
    return hashlib.sha256(content or b"").hexdigest()


class WorkerSiblings(Siblings):
    """The workers of this server: a reload reaches all or none."""

    def __init__(self, server: StoreServer, control: ControlSocket, folder: RunFolder, digest: str) -> None:
        self._server = server
        self._control = control
        self._folder = folder
        self._digest = digest  # of the settings in force
        self._content: bytes | None = None
        self._prepared = frozenset[int]()  # workers that hold checked settings ready
        self._tasks: set[asyncio.Task[None]] = set()

    async def prepare_reload(self, content: bytes | None) -> None:
        asked = self._server.workers
        answers = await self._server.ask(lambda number: PrepareReload(number, content or b""), RELOAD_TIMEOUT_S)
        wrong = next((each for each in answers.values() if each.error), None)
        silent = asked - answers.keys() & self._server.workers  # one that is gone starts with the accepted settings
        if wrong is None and not silent:
            self._prepared = frozenset(answers)
            return
        self._server.tell(ApplyReload(apply=False))
        if wrong is not None:
            raise ConfigError(wrong.error, wrong.hint)
        raise ConfigError(
            f"gateway worker {min(silent)} did not check the settings within {RELOAD_TIMEOUT_S:g} s", "reload again"
        )

    def apply_reload(self, content: bytes | None) -> None:
        self._folder.accept_settings(content)
        self._control.report(SettingsAccepted())
        self._content, self._digest = content, settings_digest(content)
        self._server.tell(ApplyReload(apply=True), self._prepared)
        self._start_catch_up(self._server.workers - self._prepared)  # they have joined since

    def on_join(self, hello: Hello) -> None:
        """A worker that started while the settings were reloaded gets them now."""
        if hello.settings != self._digest and self._content is not None:
            self._start_catch_up({hello.worker})

    def _start_catch_up(self, workers: Set[int]) -> None:
        if workers:
            task = asyncio.get_running_loop().create_task(self._catch_up(workers, self._content or b""))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _catch_up(self, workers: Set[int], content: bytes) -> None:
        answers = await self._server.ask(lambda number: PrepareReload(number, content), RELOAD_TIMEOUT_S, workers)
        self._server.tell(ApplyReload(apply=True), {number for number, each in answers.items() if not each.error})


class WorkerMetrics:
    """The metrics of all workers, also of those that have ended."""

    def __init__(self, server: StoreServer) -> None:
        self._server = server
        self._latest: dict[int, tuple[int, MetricsSnapshot]] = {}  # by worker: its process and what it counted
        self._ended: list[MetricsSnapshot] = []

    async def refresh(self) -> None:
        for worker, answer in (await self._server.ask(CountMetrics, METRICS_TIMEOUT_S)).items():
            self._latest[worker] = (0, decode_snapshot(answer.data))

    def retire(self, hello: Hello) -> None:
        """A new process has taken the place of a worker: what the old one counted stays."""
        known = self._latest.pop(hello.worker, None)
        if known is not None:
            self._ended = [_sum([*self._ended, known[1].without_gauges()])]

    async def merge(self, own: Metrics, gauges: ModelGauges) -> tuple[Metrics, ModelGauges]:
        await self.refresh()
        mine = take_snapshot(own, gauges)
        return merge_snapshots([mine, *(each for _, each in self._latest.values()), *self._ended])

    def periodic_tasks(self) -> list[PeriodicTask]:
        return [PeriodicTask("metrics of workers", COUNT_INTERVAL_S, self.refresh)]


def _sum(snapshots: list[MetricsSnapshot]) -> MetricsSnapshot:
    metrics, gauges = merge_snapshots(snapshots)
    return take_snapshot(metrics, gauges)


class ImpairedReport:
    """Tells the workers what is impaired in the work that this process does for all, so that their /readyz names it."""

    def __init__(self, server: StoreServer) -> None:
        self._server = server
        self._told: list[str] = []

    def on_join(self, hello: Hello) -> None:
        self._server.tell(ReportImpaired(self._told), {hello.worker})

    def periodic_tasks(self, live: ReloadableApplication) -> list[PeriodicTask]:
        async def tell() -> None:
            found = background_problems(live.app.resources)
            if found != self._told:
                self._told = found
                self._server.tell(ReportImpaired(found))

        return [PeriodicTask("state for workers", IMPAIRED_INTERVAL_S, tell)]


class StoreProcess(ServerProcess):
    """The part of the server that this process does."""

    role = ProcessRole(0, has_siblings=True)

    def __init__(
        self,
        control: ControlSocket,
        folder: RunFolder,
        sockets: tuple[socket.socket, socket.socket],
        discovered: tuple[ModelCard, ...],
        *,
        worker_count: int,
        content: bytes | None,
    ) -> None:
        """`sockets`: those of the typed protocol and of HTTP. `content`: of the settings file."""
        super().__init__()
        self._control = control
        self._folder = folder
        protocol, self._http = sockets
        self._discovered = discovered
        self._server = StoreServer(protocol, worker_count)
        self._metrics = WorkerMetrics(self._server)
        self._impaired = ImpairedReport(self._server)
        self._siblings = WorkerSiblings(self._server, control, folder, settings_digest(content))
        self._leases = SlotLeases(self._server.take_own_slots(self._take_slots))
        self._locals = LocalModels(lambda placement: warn([placement]), ModelSharing(folder=folder.path))

    def listen(self, settings: Settings) -> tuple[Settings, list[socket.socket]]:
        return settings, [self._http]

    async def discover(self, settings: Settings) -> tuple[ModelCard, ...]:
        return self._discovered

    def load_certificates(self, settings: Settings) -> Certificates | None:
        return None  # its clients are the workers, on a Unix socket

    def local_models(self) -> LocalModels:
        return self._locals

    def new_queue(self) -> NewQueue:
        return self._leases.new_queue

    def siblings(self) -> Siblings:
        return self._siblings

    def server_file(self, settings: Settings, certificates: Certificates | None) -> ServerFile | None:
        return None

    def asgi_app(self, live: ReloadableApplication, services: Services) -> ASGIApp:
        return ForwardedScope(build_asgi_app(live, GraphQLApp(live, live.reload, services), services))

    def protocol(self, live: ReloadableApplication) -> type[asyncio.Protocol]:
        return fast_path_protocol(live, {})

    def jobs(self, live: ReloadableApplication) -> list[Coroutine[object, None, None]]:
        resources, services = live.app.resources, live.app.resources.services
        services.records.flush_siblings = services.limiter.flush_siblings = self._flush_workers
        self._server.open_model = self._open_model
        self._server.on_join = self._join
        services.api_keys.authenticator.refresh_siblings = self._refresh_keys
        resources.cache_epoch.on_advance = partial(self._server.tell, RefreshKeys(0, clears_cache=True))
        return [
            *super().jobs(live),
            self._server.serve(),
        ]

    def periodic_tasks(self, live: ReloadableApplication) -> list[PeriodicTask]:
        return [
            *super().periodic_tasks(live),
            *self._metrics.periodic_tasks(),
            *self._leases.periodic_tasks(),
            *self._impaired.periodic_tasks(live),
        ]

    def merge_metrics(self, metrics: Metrics) -> MergeMetrics | None:
        return partial(self._metrics.merge, metrics)

    def reload_on_hangup(self, live: ReloadableApplication) -> None:
        loop = asyncio.get_running_loop()  # the supervisor decides what a hangup means
        loop.add_signal_handler(signal.SIGHUP, lambda: loop.create_task(reload_or_warn(live)))

    def announce(self, live: ReloadableApplication, key: str, link: str) -> None:
        url = live.app.settings.server.url
        self._control.report(Ready(0, welcome(live.app, url, key, link), announcement(url, key, link, os.getppid())))

    async def _flush_workers(self) -> None:
        await self._server.ask(Flush, FLUSH_TIMEOUT_S)

    async def _refresh_keys(self) -> None:
        """Returns when every worker that answers in time knows the change: a new key can be used at once."""
        await self._server.ask(RefreshKeys, REFRESH_TIMEOUT_S)

    async def _open_model(self, file: str, runtime: Mapping[str, int | str]) -> str:
        return await self._locals.socket_of(Path(file), msgspec.convert(runtime, LocalRuntime))

    def _join(self, hello: Hello) -> None:
        self._metrics.retire(hello)
        self._impaired.on_join(hello)
        self._siblings.on_join(hello)

    def _take_slots(self, message: ToWorker) -> None:
        if isinstance(message, GrantSlots):
            self._leases.grant(message)
        elif isinstance(message, RecallSlots):
            self._leases.recall(message)
