"""The server process: binds the port, runs all services, reloads the settings, and drains on shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp

from sizewise import __version__
from sizewise.app.application import Application, build_application
from sizewise.app.canary_serving import CanaryServing
from sizewise.app.decision_layer import learning_problems
from sizewise.app.edge_releases import EdgeReleases
from sizewise.app.environment_serving import EnvironmentServing
from sizewise.app.eval_jobs import EvalJobs
from sizewise.app.first_releases import FirstReleases, folder_owner
from sizewise.app.garbage_collection import GarbageCollection
from sizewise.app.knowledge_generations import KnowledgeGenerations
from sizewise.app.process_role import ALONE
from sizewise.app.release_application import build_release_application
from sizewise.app.resources import MergeMetrics, Resources
from sizewise.app.secret_rotation import SecretRotation
from sizewise.app.services import Services, open_services
from sizewise.app.shadow_flows import acting_node_of
from sizewise.app.tuning_jobs import TuningJobs
from sizewise.atomic_file import write_file_atomically
from sizewise.catalog import discovery
from sizewise.catalog.current_catalog import current_catalog
from sizewise.catalog.loader import load_cards, providers_without_models
from sizewise.errors import ConfigError, ExternalFailure, SizewiseError
from sizewise.evals.shadow_traffic import ShadowComparisons
from sizewise.flows.file_source import FlowFolderWatcher, default_flows_folder
from sizewise.flows.language.yaml_source import parse_yaml
from sizewise.gateway.background_runner import ResponsesRunner
from sizewise.gateway.batch_runner import ApiBatchRunner
from sizewise.gateway.cors import CorsApp
from sizewise.gateway.eval_runner import HostedEvalRunner
from sizewise.gateway.fast_path import fast_path_protocol
from sizewise.gateway.routes import build_asgi_app
from sizewise.gateway.signin_link import sign_in_url
from sizewise.gateway.tls import Certificates
from sizewise.graphql.asgi import GraphQLApp
from sizewise.handler import Handler
from sizewise.http.proxies import is_loopback
from sizewise.jobs.periodic_tasks import PeriodicTask
from sizewise.knowledge.load import DocumentProcesses
from sizewise.limits.request_body import BodyMemory
from sizewise.malloc_arena import share_arena
from sizewise.model_card import ModelCard
from sizewise.process import process_identity, raise_open_files_limit
from sizewise.prompts.prompt_library import PromptLibrary
from sizewise.providers.concurrency_limiter import FairQueue, NewQueue
from sizewise.providers.local.models import LocalModels
from sizewise.providers.model_listing import refresh_offered_models
from sizewise.releases.manifest import Release
from sizewise.settings.load import Settings, compute_in_one_thread, load_settings, read_settings_file, resolve_secret
from sizewise.settings.secret_commands import fetch_commands, keep_answers
from sizewise.storage.running_servers import register_server, unregister_server
from sizewise.telemetry.logs import log_loop_errors, prepare_logs
from sizewise.telemetry.metrics import Metrics
from sizewise.tools.mcp.client import McpServers
from sizewise.tools.sandbox.process_pool import Sandbox

# libuv accepts one connection per loop iteration (libuv/libuv#3696), which takes 10 ms under load: 1,000 clients that
# connected at once waited 6 s in bench/soak. Each copy of the listening socket accepts one per iteration.
LISTENER_COPIES = 8
END_TIMEOUT_S = 2  # seconds after the drain in which clients may read how their answers end
KEEP_ALIVE_S = 75  # an idle connection is kept this long, seconds
WEBSOCKET_MODULE = "uvicorn.protocols.websockets.websockets_sansio_impl"
"""Imported once the server is up, so that it delays neither the first requests nor the first subscription."""

log = logging.getLogger("sizewise.server")


class ReloadableApplication:
    """The current application, and its replacement on reload."""

    def __init__(
        self,
        *,
        settings: Settings,
        resources: Resources,
        discovered: tuple[ModelCard, ...],
        certificates: Certificates | None,
        siblings: Siblings,
        on_reload: Callable[[], None],
    ) -> None:
        """`discovered`: models of other servers on this machine. `siblings`: processes that reload together with this
        one. `on_reload` is called after each reload.
        """
        self.certificates = certificates
        self._siblings = siblings
        self._on_reload = on_reload
        self._resources = resources
        self._discovered = discovered  # searched for once
        self._reloading = asyncio.Lock()
        services = resources.services
        self.environments = EnvironmentServing(services.environments, services.releases, self._build_release)
        services.runs.use_releases(self.environments)
        self.environments.canaries = CanaryServing(
            services,
            handler_of=self._release_handler,
            acting_node=partial(acting_node_of, self.environments),
            published=lambda: self.app.handler,
            served=self.environments.live_releases,
        )
        self.app = self._build(settings)
        self.app.apply()
        self.environments.use(self.app)

    def __call__(self) -> Application:
        return self.app

    def _build(self, settings: Settings) -> Application:
        if problem := current_catalog(settings).problem:
            warn([f"the installed catalog update is not used: {problem}; sizewise doctor shows the next step"])
        cards = load_cards(settings, self._discovered)
        warn(providers_without_models(settings, cards))
        built = build_application(settings, self._resources, cards)
        warn(learning_problems(settings.learn, cards, built.aliases, built.connections.unavailable_reason))
        return replace(built, environments=self.environments) if settings.environments else built

    async def _release_handler(self, place: tuple[str, str, str], hash: str) -> Handler:
        return (await self.environments.application(place[0], place[1], hash)).handler

    def _build_release(self, live: Application, release: Release, tenant: str, project: str) -> Application:
        def cards_of(settings: Settings) -> tuple[ModelCard, ...]:
            return load_cards(settings, self._discovered)

        built = build_release_application(live, release, tenant, project, cards_of)
        return replace(built, environments=self.environments)

    async def reload(self) -> Application:
        """Reloads the settings. Raises ConfigError if they are invalid; then nothing has changed.

        One reload at a time: while one waits for lists of models, a later one would be undone by its older settings.
        """
        async with self._reloading:
            return await self._reload()

    async def _reload(self) -> Application:
        old, content = self.app.settings, read_settings_file(self.app.settings)
        settings = load_settings(old.config_file, old.home, content=content)
        await asyncio.to_thread(fetch_commands, settings)
        warn(await refresh_offered_models(settings))
        prepared = self.prepare(content, settings)
        await self._siblings.prepare_reload(content)  # everything that can fail comes before the first change
        self._siblings.apply_reload(content)
        self.apply(prepared)
        log.info("the settings were reloaded")
        return self.app

    def prepare(self, content: bytes | None, answered: Settings | None = None) -> PreparedReload:
        """Checks settings, and changes nothing. `content`: of the settings file. `answered`: settings whose commands
        have run; None: those of now. Raises ConfigError.
        """
        old = self.app.settings
        settings = load_settings(old.config_file, old.home, content=content)
        fixed = old.server
        server = replace(settings.server, host=fixed.host, port=fixed.port, workers=fixed.workers)
        keep_answers(answered or old, settings)
        fetch_commands(settings, only_new=True)
        app = self._build(replace(settings, server=server))
        if bool(server.tls.cert) is not bool(old.server.tls.cert):
            raise ConfigError(
                "TLS (server.tls) cannot be turned on or off by a reload", "restart Sizewise to change it"
            )
        renewed = self.certificates.prepare(server.tls) if self.certificates is not None else None
        return PreparedReload(app, renewed, prepare_logs(settings.logs, settings.home))

    async def rebuild(self) -> None:
        """With the settings as they are, whose secrets have changed. Raises ConfigError."""
        async with self._reloading:
            self.apply(PreparedReload(self._build(self.app.settings), None, _nothing))

    def apply(self, prepared: PreparedReload) -> None:
        """Cannot fail."""
        old, self.app = self.app, prepared.app
        prepared.apply_logs()
        prepared.app.apply()
        self.environments.use(prepared.app)
        if prepared.renew_certificates is not None:
            prepared.renew_certificates()
        old.client.drain()  # requests in flight finish on it
        self._on_reload()


@dataclass(frozen=True, slots=True)
class PreparedReload:
    app: Application
    renew_certificates: Callable[[], None] | None
    apply_logs: Callable[[], None]


class Siblings:
    """The other processes of the server, as a reload sees them: here there are none."""

    async def prepare_reload(self, content: bytes | None) -> None:
        """Has all of them check the settings. Raises ConfigError if one cannot apply them; then none does."""

    def apply_reload(self, content: bytes | None) -> None:
        """Has all of them apply what they have checked."""


class ServerFile:
    """`server.json` in the home directory, and its entry in the registry of running servers: how commands find this
    server. Holds no secret.
    """

    def __init__(self, settings: Settings, certificates: Certificates | None) -> None:
        self.url = settings.server.url
        self._home = settings.home
        self._path = settings.home / "server.json"
        self._certificates = certificates
        self._entry: Path | None = None

    def write(self) -> None:
        """When the server answers. Raises ExternalFailure."""
        self._write()
        self._entry = register_server(self._home, self.url)

    def _write(self) -> None:
        pid = os.getpid()
        found = {
            "url": self.url,
            "pid": pid,
            "process": process_identity(pid),
            **_certificate_fields(self._certificates),
        }
        try:
            write_file_atomically(self._path, json.dumps(found).encode())
        except OSError as error:
            hint = "make the home folder writable and free space on its disk, or choose another with --home DIR"
            raise ExternalFailure(f"cannot write {str(self._path)!r}: {error.strerror}", hint) from error

    def rewrite(self) -> None:
        """Called after a reload. Only logs an error, because the new settings are already in force."""
        try:
            self._write()
        except ExternalFailure as error:
            log.error("%s", error.message)

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)
        unregister_server(self._entry)


class UvicornServer(uvicorn.Server):
    """uvicorn's server, drained by a signal; the rest of the shutdown is ours."""

    def __init__(
        self,
        config: uvicorn.Config,
        drain_timeout_s: float,
        end_requests: Callable[[], None],
        drain: Callable[[], Awaitable[None]],
    ) -> None:
        """`end_requests` is called when requests still run `drain_timeout_s` seconds after the signal. `drain` waits
        for those that no connection waits for.
        """
        super().__init__(config)
        self._drain_timeout_s = drain_timeout_s
        self._end_requests = end_requests
        self._drain = drain

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        timer = asyncio.get_running_loop().call_later(self._drain_timeout_s, self._end_requests)
        draining = asyncio.ensure_future(self._drain())
        try:
            await super().shutdown(sockets)
            while not draining.done() and not self.force_exit:
                await asyncio.wait({draining}, timeout=0.1)
        finally:
            draining.cancel()
            timer.cancel()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        ends = (signal.SIGINT, signal.SIGTERM, *((signal.SIGHUP,) if sys.stdin.isatty() else ()))
        for number in ends:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in ends:
                loop.remove_signal_handler(number)


class ServerProcess:
    """What a process does of a server: here all of it. The parts of several processes are in sizewise/workers/."""

    role = ALONE

    def __init__(self, *, as_json: bool = False) -> None:
        self._as_json = as_json

    def listen(self, settings: Settings) -> tuple[Settings, list[socket.socket]]:
        """The bound sockets, and the settings with their port. Raises ExternalFailure."""
        server = settings.server
        listening = bind_socket(server.host, server.port)
        copies = [listening, *(listening.dup() for _ in range(1, LISTENER_COPIES))]
        return replace(settings, server=replace(server, port=listening.getsockname()[1])), copies

    async def discover(self, settings: Settings) -> tuple[ModelCard, ...]:
        """Refreshes the lists of providers, and searches for models of other servers on this machine."""
        warn(await refresh_offered_models(settings))
        return await discovery.discover_models(skip=settings.server.port) if settings.server.discover else ()

    def load_certificates(self, settings: Settings) -> Certificates | None:
        return Certificates(settings.server.tls, settings.home) if settings.server.tls.cert else None

    def local_models(self) -> LocalModels:
        return LocalModels(lambda placement: warn([placement]))

    def flow_folder(self, settings: Settings, services: Services) -> FlowFolderWatcher | None:
        return FlowFolderWatcher(
            default_flows_folder(settings.config_file, settings.home),
            services.flow_versions,
            folder_owner(services),
            published_file=settings.home / "published-flows.json",
        )

    def first_key(self, settings: Settings, services: Services) -> str:
        """A generated key, to be shown once; else empty. Raises ConfigError."""
        return services.api_keys.ensure_first_key(settings.api_key)

    def sign_in_link(self, settings: Settings, services: Services) -> str:
        """URL of a one-time sign-in link, to be shown; empty unless only this machine can reach the server."""
        if not is_loopback(settings.server.host):
            return ""
        return sign_in_url(settings.server.url, services.sign_in_links.create_at_start(), "/play")

    def siblings(self) -> Siblings:
        return Siblings()

    def new_queue(self) -> NewQueue:
        return FairQueue

    def sibling_problems(self) -> list[str]:
        """What is wrong with another process of this server; empty if nothing is."""
        return []

    def merge_metrics(self, metrics: Metrics) -> MergeMetrics | None:
        return None

    def server_file(self, settings: Settings, certificates: Certificates | None) -> ServerFile | None:
        return ServerFile(settings, certificates)

    def asgi_app(self, live: ReloadableApplication, services: Services) -> ASGIApp:
        return CorsApp(build_asgi_app(live, GraphQLApp(live, live.reload, services), services), live)

    def protocol(self, live: ReloadableApplication) -> type[asyncio.Protocol]:
        return fast_path_protocol(live)

    def websocket_protocol(self) -> Callable[..., asyncio.Protocol]:
        return _websocket_protocol

    def periodic_tasks(self, live: ReloadableApplication) -> list[PeriodicTask]:
        services, resources = live.app.resources.services, live.app.resources
        sources = (
            *(services.leadership, services.retention, services.limiter, services.api_keys, services.measured_paces),
            *(services.runs.recovery, services.scheduler, services.background, services.eval_runs),
            services.batches,
            services.machine_reports,
            *(services.otlp, services.deliveries, services.usage_rollups, services.size_limit, services.alerts),
            services.git_sync,
            services.annotation_feed,
            services.canaries,
            resources.file_attachments,
            live.environments,
            *([services.shared_answers] if services.shared_answers is not None else ()),
            KnowledgeGenerations(live),
            EdgeReleases(live),
            SecretRotation(lambda: live.app.settings, live.rebuild),
            *([resources.flow_files] if resources.flow_files is not None else ()),
        )
        return [task for source in sources for task in source.periodic_tasks()]

    def jobs(self, live: ReloadableApplication) -> list[Coroutine[object, None, None]]:
        """What runs until the server ends."""
        services, resources = live.app.resources.services, live.app.resources
        lost = resources.embedding_retries
        return [
            resources.periodic_tasks.run(self.periodic_tasks(live), services.leadership.leads),
            services.deliveries.run(),
            resources.file_attachments.resume(),
            live.app.knowledge_base.store_check.log_missing(),
            lost.resume_all(shared=bool(live.app.settings.database.url)),
            _warm(live),
        ]

    def reload_on_hangup(self, live: ReloadableApplication) -> None:
        if not sys.stdin.isatty():  # with a terminal, SIGHUP means that it was closed: uvicorn shuts down
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGHUP, lambda: loop.create_task(reload_or_warn(live)))

    def announce(self, live: ReloadableApplication, key: str, link: str) -> None:
        """The server answers from now on. `key`: the first one, if it was just generated. `link`: of `sign_in_link`."""
        url = live.app.settings.server.url
        said = announcement(url, key, link, os.getpid()) if self._as_json else welcome(live.app, url, key, link)
        print(said, flush=True)  # noqa: T201 - for the terminal


def run_server(settings: Settings, as_json: bool) -> None:
    """Serves until SIGINT or SIGTERM. Raises SizewiseError if the server cannot start."""
    run_process(settings, ServerProcess(as_json=as_json))


def run_process(settings: Settings, process: ServerProcess) -> None:
    """Serves until SIGINT or SIGTERM. Raises SizewiseError if the process cannot start."""
    share_arena()
    compute_in_one_thread()
    try:
        import uvloop
    except ImportError:  # Windows
        asyncio.run(_run_process(settings, process))
    else:
        uvloop.run(_run_process(settings, process))


def prompt_library(settings: Settings, services: Services) -> PromptLibrary:
    """The prompts beside the flows; they belong to the project of those."""
    owner = folder_owner(services)
    folder = default_flows_folder(settings.config_file, settings.home).parent / "prompts"
    return PromptLibrary(folder, lambda text: parse_yaml(text).data, owner.tenant, owner.project)


def eval_jobs(settings: Settings, services: Services) -> EvalJobs:
    """The evals beside the flows; they belong to the project of those."""
    owner = folder_owner(services)
    folder = default_flows_folder(settings.config_file, settings.home).parent / "evals"
    return EvalJobs(folder, services.api_keys.authenticator, owner.tenant, owner.project)


async def _run_process(settings: Settings, process: ServerProcess) -> None:
    prepare_logs(settings.logs, settings.home)()
    log_loop_errors(asyncio.get_running_loop())
    raise_open_files_limit()
    settings, listening = process.listen(settings)
    await asyncio.to_thread(fetch_commands, settings)
    services = open_services(
        settings.home,
        settings,
        url=resolve_secret(settings.database.url),
        role=process.role,
    )
    if process.role.owns_store:
        warn(encryption_problems(settings, services))
    locals = process.local_models()
    try:
        body_memory = BodyMemory()
        metrics = Metrics(services.records.queue_counts, services.limiter.spent_ratios, lambda: body_memory.held)
        resources = Resources(
            services=services,
            role=process.role,
            new_queue=process.new_queue(),
            sibling_problems=process.sibling_problems,
            merge_metrics=process.merge_metrics(metrics),
            metrics=metrics,
            body_memory=body_memory,
            local_models=locals,
            shadow_tasks=ShadowComparisons(services.quality_monitor, metrics),
            sandbox=Sandbox(settings.sandbox),
            document_processes=DocumentProcesses(settings.jobs),
            mcp_servers=McpServers(services.tool_pins),
            flow_files=process.flow_folder(settings, services),
            prompts=prompt_library(settings, services),
            eval_jobs=eval_jobs(settings, services),
            tuning_jobs=TuningJobs(
                settings.home, settings.cache_dir, settings.config_file, on_cluster=bool(settings.jobs.ray)
            ),
        )
        found = await process.discover(settings)
        certificates = process.load_certificates(settings)
        server_file = process.server_file(settings, certificates)
        live = ReloadableApplication(
            settings=settings,
            resources=resources,
            discovered=found,
            certificates=certificates,
            siblings=process.siblings(),
            on_reload=server_file.rewrite if server_file is not None else _nothing,
        )
        shown = process.first_key(settings, services), process.sign_in_link(settings, services)
        await _serve(live, process, listening, server_file, shown)
    finally:
        await locals.stop(0)
        services.close()
        for each in listening:
            each.close()


def _nothing() -> None:
    pass


async def _serve(
    live: ReloadableApplication,
    process: ServerProcess,
    listening: list[socket.socket],
    server_file: ServerFile | None,
    shown: tuple[str, str],
) -> None:
    settings, services = live.app.settings, live.app.resources.services
    config = uvicorn.Config(
        process.asgi_app(live, services),
        http=process.protocol(live),
        ws=cast("Any", process.websocket_protocol()),
        ws_max_size=settings.server.max_body_bytes,
        ws_per_message_deflate=False,  # a small message may decompress to a thousand times its size
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=round(settings.server.drain_timeout_s) + END_TIMEOUT_S,
    )
    services.background.start(ResponsesRunner(live))
    services.eval_runs.start(HostedEvalRunner(live))
    services.batches.start(ApiBatchRunner(live, services.batches))
    server = UvicornServer(
        config,
        settings.server.drain_timeout_s,
        partial(_end_requests, live.app.resources),
        partial(_drain, services),
    )
    secured = live.certificates
    if secured is not None:
        config.load()
        config.ssl = secured.context  # can be renewed; uvicorn reads its own only once
    serving = asyncio.create_task(server.serve(sockets=listening))
    while not server.started and not serving.done():  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.005)

    if server_file is not None:
        server_file.write()
    loop = asyncio.get_running_loop()
    process.reload_on_hangup(live)
    folder = live.app.resources.flow_files
    if folder is not None:
        await folder.sync_or_warn()
    if process.role.owns_store:  # only now, what is published is complete
        live.environments.before_refresh = FirstReleases(services, lambda: live.app.settings)
    tending = [loop.create_task(each) for each in process.jobs(live)]
    process.announce(live, *shown)
    log.info("serving at %s", settings.server.url)
    if process.role.owns_store:
        services.key_rotation.resume()
    with contextlib.suppress(OSError):  # no file descriptor is left: the first WebSocket imports it
        await asyncio.to_thread(import_module, WEBSOCKET_MODULE)
    tending.append(loop.create_task(GarbageCollection().run_periodically()))
    try:
        await serving
        if server.server_state.tasks:  # their clients read no end of the answer; recorded before the stores close
            await asyncio.wait(server.server_state.tasks, timeout=1)
    finally:
        services.api_keys.authenticator.stop_in_flight()  # what is cancelled from now on is booked as ours
        for each in tending:
            each.cancel()
        await live.app.resources.file_attachments.close()
        await live.app.resources.eval_jobs.close()
        if (trainings := live.app.resources.tuning_jobs) is not None:
            await trainings.close()
        works = services.background, services.eval_runs, services.batches
        await asyncio.gather(*(each.close(END_TIMEOUT_S) for each in works))
        await live.app.resources.embedding_retries.close()
        if server_file is not None:
            server_file.remove()
            if secured is not None:
                secured.close()
        await services.runs.recovery.close()
        await live.app.resources.shadow_tasks.stop()
        if live.environments.canaries is not None:
            await live.environments.canaries.stop()
        await services.limiter.close()
        await services.measured_paces.save()
        await services.deliveries.stop()
        await live.app.resources.vector_stores.close()
        await live.app.resources.sandbox.close()
        await live.app.resources.offload.close()
        await live.app.resources.document_processes.close()
        await live.app.resources.mcp_servers.close()
        await live.app.client.close()


async def _drain(services: Services) -> None:
    await asyncio.gather(services.background.drain(), services.eval_runs.drain(), services.batches.drain())


def _end_requests(resources: Resources) -> None:
    """Ends what outlasted the drain: clients get an error, and the records say that it was the server."""
    resources.services.api_keys.authenticator.stop_in_flight()
    for call in resources.calls_in_flight.values():
        call.task.cancel()  # continues when its client leaves, but not past this point


def encryption_problems(settings: Settings, services: Services) -> list[str]:
    """Why stored data cannot be decrypted, or will not be by another server of the same database."""
    if problem := services.key_rotation.problem:
        return [problem]
    wanted = settings.encryption
    if settings.database.url and not (wanted.key or wanted.kms):
        return [
            "what this server encrypts in the shared database can only be decrypted with the key in its home. Give all"
            " servers one key: [encryption] key, docs/how-to/many-machines.md"
        ]
    return []


def warn(problems: list[str]) -> None:
    for each in problems:
        log.warning("%s", each)


def _websocket_protocol(**options: object) -> asyncio.Protocol:
    made: asyncio.Protocol = import_module(WEBSOCKET_MODULE).WebSocketsSansIOProtocol(**options)
    return made


async def _warm(live: ReloadableApplication) -> None:
    """Loads the local models behind `small` and `large`, smallest first; others load on first use."""
    app = live.app
    roles = [plan.cards[0].name for plan in (app.aliases.role_plan("small"), app.aliases.role_plan("large")) if plan]
    await app.resources.local_models.preload(
        [app.connections.local_models[n] for n in roles if n in app.connections.local_models],
    )


async def reload_or_warn(live: ReloadableApplication) -> None:
    try:
        await live.reload()
    except SizewiseError as error:
        log.error("the new settings were rejected, the old ones stay: %s", error.message)


def bind_socket(host: str, port: int) -> socket.socket:
    """A bound socket. Raises ExternalFailure if the port is taken or not permitted."""
    try:
        (family, *_, address), *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        listening = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise ExternalFailure(
            f"cannot listen on {host!r}: {error.strerror}", "choose another address with --host"
        ) from error
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(address)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            hint = f"stop the other program, or choose another port: sizewise up --port {port + 1}"
            raise ExternalFailure(f"port {port} on {host} is in use", hint) from error
        raise ExternalFailure(
            f"cannot listen on {host}:{port}: {error.strerror}",
            "choose another --port or --host",
        ) from error
    listening.setblocking(False)
    return listening


def _certificate_fields(certificates: Certificates | None) -> dict[str, object]:
    """The certificates by which the server and the commands of this home authenticate each other."""
    return (
        {}
        if certificates is None
        else {"cert": certificates.server_certificate, "own": certificates.client_certificate}
    )


def announcement(url: str, key: str, link: str, pid: int) -> str:
    """The start message of `up --json`. `pid`: of the process to signal."""
    return json.dumps({"url": url, "key": key or None, "sign_in": link or None, "pid": pid})


def welcome(app: Application, url: str, key: str, link: str) -> str:
    """The start message: URL, key, sign-in link and a command to paste."""
    settings = app.settings
    models = ", ".join(card.name for card in app.cards) or "none yet; `sizewise models` lists models to download"
    token, cert = settings.home / "admin.token", settings.server.tls.cert
    bearer = key or ("$SIZEWISE_KEY" if settings.api_key else f"$(cat '{token}')")
    lines = [
        f"Sizewise {__version__} is up: {url}",
        "",
        f"  models   {models}",
        f"  key      {key}   (shown only once: store it)"
        if key
        else f"  key      your existing key, or the admin token in {token}",
        f"  sign in  {link}" if link else "  sign in  run on this machine: sizewise open",
        *(["           (works once, within 15 minutes; a new one: sizewise open)"] if link else []),
        "",
        f"  curl {f'--cacert {cert} ' if cert else ''}{url}/v1/chat/completions \\",
        f'    -H "Authorization: Bearer {bearer}" \\',
        """    -H "Content-Type: application/json" \\""",
        """    -d '{"model": "auto", "temperature": 0,""",
        """         "messages": [{"role": "user", "content": "What is the capital of Italy?"}]}'""",
        "",
        "Ctrl-C stops it.",
    ]
    return "\n".join(lines)
