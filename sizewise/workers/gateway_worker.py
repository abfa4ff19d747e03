"""A gateway worker: serves model requests on the shared port, and forwards the rest to the store process.

It reads and writes the database itself. What it needs of the store process is in sizewise/ipc/messages.py; while that
is away, all answers go on that do not need it.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path

from starlette.types import ASGIApp

from sizewise.app.process_role import ProcessRole
from sizewise.app.secret_rotation import SecretRotation
from sizewise.app.services import Services
from sizewise.errors import SizewiseError, StorageError
from sizewise.flows.file_source import FlowFolderWatcher
from sizewise.gateway.cors import CorsApp
from sizewise.gateway.fast_path import fast_path_protocol
from sizewise.gateway.routes import build_asgi_app
from sizewise.gateway.store_forwarding import StoreForwarder
from sizewise.gateway.tls import Certificates
from sizewise.gateway.websocket_tunnel import websocket_tunnel
from sizewise.gateway.worker_routes import WorkerRoutes, fast_routes, forwarding
from sizewise.ipc.messages import (
    Answered,
    ApplyReload,
    CountMetrics,
    Flush,
    GrantSlots,
    Hello,
    PrepareReload,
    RecallSlots,
    RefreshKeys,
    ReportImpaired,
)
from sizewise.ipc.model_connection import SharedModelProcess, connect_to_model
from sizewise.ipc.store_client import StoreClient
from sizewise.jobs.periodic_tasks import PeriodicTask
from sizewise.model_card import ModelCard
from sizewise.providers.concurrency_limiter import NewQueue
from sizewise.providers.leased_queue import SlotLeases
from sizewise.providers.local.models import LocalModels, ModelSharing
from sizewise.providers.local.runtime import LocalRuntime
from sizewise.server import PreparedReload, ReloadableApplication, ServerFile, ServerProcess
from sizewise.settings.load import Settings
from sizewise.telemetry.metrics_snapshot import encode_snapshot, take_snapshot
from sizewise.workers.control import ControlSocket, Ready, RunFolder
from sizewise.workers.store_process import settings_digest


class StoreMessages:
    """Does what the store process asks of this worker."""

    def __init__(self, live: ReloadableApplication, client: StoreClient, set_digest: Callable[[str], None]) -> None:
        self._live = live
        self._client = client
        self._set_digest = set_digest
        self._prepared: tuple[PreparedReload, str] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        client.on(Flush, lambda message: self._start(self._flush(message)))
        client.on(CountMetrics, self._count)
        client.on(PrepareReload, self._prepare)
        client.on(ApplyReload, self._apply)
        client.on(RefreshKeys, lambda message: self._start(self._refresh(message)))

    def _start(self, work: Coroutine[object, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _flush(self, message: Flush) -> None:
        services = self._live.app.resources.services
        try:
            await services.records.flush_if_healthy()
            if not services.payload_log.problem:
                await asyncio.to_thread(services.payload_log.flush)
            await services.limiter.flush(all=True)
        except StorageError as error:
            return self._client.send(Answered(message.number, error.message, error.hint))
        self._client.send(Answered(message.number))

    def _count(self, message: CountMetrics) -> None:
        app = self._live.app
        snapshot = take_snapshot(app.resources.metrics, app.connections.gauges())
        self._client.send(Answered(message.number, data=encode_snapshot(snapshot)))

    def _prepare(self, message: PrepareReload) -> None:
        try:
            self._prepared = self._live.prepare(message.content), settings_digest(message.content)
        except SizewiseError as error:
            self._client.send(Answered(message.number, error.message, error.hint))
        else:
            self._client.send(Answered(message.number))

    def _apply(self, message: ApplyReload) -> None:
        prepared, self._prepared = self._prepared, None
        if message.apply and prepared is not None:
            self._live.apply(prepared[0])
            self._set_digest(prepared[1])

    async def _refresh(self, message: RefreshKeys) -> None:
        services = self._live.app.resources.services
        if message.clears_cache:
            services.cache_epoch.advance()
        with suppress(StorageError):  # the next look is in half a second
            await services.api_keys.refresh()
        self._client.send(Answered(message.number))


class GatewayWorker(ServerProcess):
    """The part of the server that this process does."""

    def __init__(
        self,
        number: int,
        control: ControlSocket,
        folder: RunFolder,
        listening: list[socket.socket],
        *,
        discovered: tuple[ModelCard, ...],
        certificates: Certificates | None,
        content: bytes | None,
    ) -> None:
        """`number`: 1... `content`: of the settings file."""
        super().__init__()
        self.role = ProcessRole(number, has_siblings=True)
        self._control = control
        self._listening = listening
        self._discovered = discovered
        self._certificates = certificates
        self._digest = settings_digest(content)
        self._http = folder.http
        self._client = StoreClient(folder.protocol, self._hello)
        self._leases = SlotLeases(self._client.send)
        self._client.on(GrantSlots, self._leases.grant)
        self._client.on(RecallSlots, self._leases.recall)
        self._client.on(ReportImpaired, self._take_impaired)
        self._impaired: list[str] = []  # in the store process
        self._client.on_connect(self._leases.want_again)
        self._forwarder: StoreForwarder | None = None

    def listen(self, settings: Settings) -> tuple[Settings, list[socket.socket]]:
        self._forwarder = StoreForwarder(self._http)  # belongs to the event loop, which runs by now
        return settings, self._listening

    async def discover(self, settings: Settings) -> tuple[ModelCard, ...]:
        return self._discovered

    def load_certificates(self, settings: Settings) -> Certificates | None:
        return self._certificates

    def local_models(self) -> LocalModels:
        return LocalModels(sharing=ModelSharing(connect=self._connect_to_model))

    def new_queue(self) -> NewQueue:
        return self._leases.new_queue

    def sibling_problems(self) -> list[str]:
        return self._impaired if self._client.is_connected.is_set() else ["the store process is being restarted"]

    def flow_folder(self, settings: Settings, services: Services) -> FlowFolderWatcher | None:
        return None

    def first_key(self, settings: Settings, services: Services) -> str:
        return ""

    def sign_in_link(self, settings: Settings, services: Services) -> str:
        return ""

    def server_file(self, settings: Settings, certificates: Certificates | None) -> ServerFile | None:
        return None

    def asgi_app(self, live: ReloadableApplication, services: Services) -> ASGIApp:
        assert self._forwarder is not None
        served = build_asgi_app(live, self._forwarder, services, partial(forwarding, self._forwarder))
        return CorsApp(WorkerRoutes(served, self._forwarder), live)

    def protocol(self, live: ReloadableApplication) -> type[asyncio.Protocol]:
        assert self._forwarder is not None
        return fast_path_protocol(live, fast_routes(self._forwarder))

    def websocket_protocol(self) -> Callable[..., asyncio.Protocol]:
        return websocket_tunnel(self._http)

    def periodic_tasks(self, live: ReloadableApplication) -> list[PeriodicTask]:
        services = live.app.resources.services
        secrets = SecretRotation(lambda: live.app.settings, live.rebuild)
        sources = (
            services.limiter,
            services.api_keys,
            services.measured_paces,
            live.environments,
            *([services.shared_answers] if services.shared_answers is not None else ()),
            self._leases,
            secrets,
        )
        return [task for source in sources for task in source.periodic_tasks()]

    def jobs(self, live: ReloadableApplication) -> list[Coroutine[object, None, None]]:
        StoreMessages(live, self._client, self._set_digest)
        return [
            live.app.resources.periodic_tasks.run(self.periodic_tasks(live)),
            self._client.run(),
            self._report_ready(),
        ]

    def reload_on_hangup(self, live: ReloadableApplication) -> None:
        pass  # the store process leads reloads

    def announce(self, live: ReloadableApplication, key: str, link: str) -> None:
        pass  # by `_report_ready`

    async def _report_ready(self) -> None:
        await self._client.is_connected.wait()
        self._control.report(Ready(self.role.number))

    def _set_digest(self, digest: str) -> None:
        self._digest = digest

    def _take_impaired(self, message: ReportImpaired) -> None:
        self._impaired = message.reasons

    def _hello(self) -> Hello:
        return Hello(self.role.number, os.getpid(), self._digest, self._leases.held())

    async def _connect_to_model(self, file: Path, runtime: LocalRuntime) -> SharedModelProcess:
        return await connect_to_model(await self._client.open_model(file, asdict(runtime)))
