"""The server process: binds the port, runs all services, reloads the settings, and drains on shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import json
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from functools import partial
from importlib import import_module
from typing import Any, cast

import uvicorn

from sizewise import __version__
from sizewise.app.application import Application, build_application
from sizewise.app.resources import Resources
from sizewise.app.services import open_services
from sizewise.atomic_file import write_file_atomically
from sizewise.catalog import discovery
from sizewise.catalog.current_catalog import current_catalog
from sizewise.catalog.loader import load_cards, providers_without_models
from sizewise.errors import ConfigError, ExternalFailure, SizewiseError
from sizewise.evals.shadow_traffic import ShadowComparisons
from sizewise.flows.file_source import FlowFolderWatcher, default_flows_folder
from sizewise.gateway.background_runner import ResponsesRunner
from sizewise.gateway.cors import CorsApp
from sizewise.gateway.fast_path import fast_path_protocol
from sizewise.gateway.routes import build_asgi_app
from sizewise.gateway.tls import Certificates
from sizewise.graphql.asgi import GraphQLApp
from sizewise.limits.request_body import BodyMemory
from sizewise.model_card import ModelCard
from sizewise.process import raise_open_files_limit
from sizewise.providers.local.models import LocalModels
from sizewise.providers.model_listing import refresh_offered_models
from sizewise.settings.load import Settings, load_settings, resolve_secret
from sizewise.telemetry.metrics import Metrics
from sizewise.telemetry.webhooks import WebhookDispatcher
from sizewise.tools.mcp.client import McpServers
from sizewise.tools.sandbox.process_pool import Sandbox

# Requests are freed by reference counting; the default collects cycles 30 times as often and takes 5 % of the CPU.
GC_THRESHOLDS = (20_000, 20, 20)
# libuv accepts one connection per loop iteration (libuv/libuv#3696), which takes 10 ms under load: 1,000 clients that
# connected at once waited 6 s in bench/soak. Each copy of the listening socket accepts one per iteration.
LISTENER_COPIES = 8
END_TIMEOUT_S = 2  # seconds after the drain in which clients may read how their answers end
KEEP_ALIVE_S = 75  # an idle connection is kept this long, seconds
WEBSOCKET_MODULE = "uvicorn.protocols.websockets.websockets_sansio_impl"
"""Imported once the server is up, so that it delays neither the first requests nor the first subscription."""


class ReloadableApplication:
    """The current application, and its replacement on reload."""

    def __init__(
        self,
        *,
        settings: Settings,
        resources: Resources,
        discovered: tuple[ModelCard, ...],
        certificates: Certificates | None,
        on_reload: Callable[[], None],
    ) -> None:
        """`discovered`: models of other servers on this machine. `on_reload` is called after each reload."""
        self.certificates = certificates
        self._on_reload = on_reload
        self._resources = resources
        self._discovered = discovered  # searched for once
        self._reloading = asyncio.Lock()
        self.app = self._build(settings)
        self.app.apply()

    def __call__(self) -> Application:
        return self.app

    def _build(self, settings: Settings) -> Application:
        if problem := current_catalog(settings).problem:
            _warn([f"the installed catalog update is not used: {problem}; sizewise doctor shows the next step"])
        cards = load_cards(settings, self._discovered)
        _warn(providers_without_models(settings, cards))
        return build_application(settings, self._resources, cards)

    async def reload(self) -> Application:
        """Reloads the settings. Raises ConfigError if they are invalid; then nothing has changed.

        One reload at a time: while one waits for lists of models, a later one would be undone by its older settings.
        """
        async with self._reloading:
            return await self._reload()

    async def _reload(self) -> Application:
        old = self.app
        settings = load_settings(old.settings.config_file, old.settings.home)
        _warn(await refresh_offered_models(settings))
        server = replace(settings.server, host=old.settings.server.host, port=old.settings.server.port)
        # Everything that can fail comes before the first change.
        app = self._build(replace(settings, server=server))
        if bool(server.tls.cert) is not (self.certificates is not None):
            raise ConfigError(
                "TLS (server.tls) cannot be turned on or off by a reload", "restart Sizewise to change it"
            )
        renewed = self.certificates.prepare(server.tls) if self.certificates is not None else None
        app.apply()
        if renewed is not None:
            renewed()
        self.app = app
        old.client.drain()  # requests in flight finish on it
        self._on_reload()
        return self.app


class ServerFile:
    """`server.json` in the home directory: how commands find this server. Holds no secret."""

    def __init__(self, settings: Settings, certificates: Certificates | None) -> None:
        self.url = settings.server.url
        self._path = settings.home / "server.json"
        self._certificates = certificates

    def write(self) -> None:
        """Raises ExternalFailure."""
        found = {"url": self.url, "pid": os.getpid(), **_certificate_fields(self._certificates)}
        try:
            write_file_atomically(self._path, json.dumps(found).encode())
        except OSError as error:
            hint = "make the home folder writable and free space on its disk, or choose another with --home DIR"
            raise ExternalFailure(f"cannot write {str(self._path)!r}: {error.strerror}", hint) from error

    def rewrite(self) -> None:
        """Called after a reload. Reports an error on stderr only, because the new settings are already in force."""
        try:
            self.write()
        except ExternalFailure as error:
            print(error.message, file=sys.stderr)  # noqa: T201 - no log is set up

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)


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


def run_server(settings: Settings, as_json: bool) -> None:
    """Serves until SIGINT or SIGTERM. Raises SizewiseError if the server cannot start."""
    try:
        import uvloop
    except ImportError:  # Windows
        asyncio.run(_run_server(settings, as_json))
    else:
        uvloop.run(_run_server(settings, as_json))


async def _run_server(settings: Settings, as_json: bool) -> None:
    raise_open_files_limit()
    listening = bind_socket(settings.server.host, settings.server.port)
    port = listening.getsockname()[1]
    settings = replace(settings, server=replace(settings.server, port=port))
    tls = settings.server.tls
    webhooks = WebhookDispatcher()
    services = open_services(
        settings.home,
        settings,
        url=resolve_secret(settings.database.url),
        publish_event=webhooks.publish,
    )
    locals = LocalModels(lambda placement: _warn([placement]))
    try:
        body_memory = BodyMemory()
        metrics = Metrics(services.records.queue_counts, services.limiter.spent_ratios, lambda: body_memory.held)
        resources = Resources(
            services=services,
            metrics=metrics,
            body_memory=body_memory,
            local_models=locals,
            shadow_tasks=ShadowComparisons(services.quality_monitor, metrics, notify=webhooks.publish),
            webhooks=webhooks,
            sandbox=Sandbox(settings.sandbox),
            mcp_servers=McpServers(services.tool_pins),
            flow_files=FlowFolderWatcher(
                default_flows_folder(settings.config_file, settings.home),
                services.flow_versions,
                services.api_keys.authenticator.authenticate(services.admin_token),
                published_file=settings.home / "published-flows.json",
            ),
        )
        _warn(await refresh_offered_models(settings))
        found = await discovery.discover_models(skip=port) if settings.server.discover else ()
        certificates = Certificates(tls, settings.home) if tls.cert else None
        server_file = ServerFile(settings, certificates)
        live = ReloadableApplication(
            settings=settings,
            resources=resources,
            discovered=found,
            certificates=certificates,
            on_reload=server_file.rewrite,
        )
        shown = services.api_keys.ensure_first_key(settings.api_key)
        await _serve(live, listening, server_file, shown, as_json=as_json)
    finally:
        await locals.stop(0)
        services.close()
        listening.close()


async def _serve(
    live: ReloadableApplication,
    listening: socket.socket,
    server_file: ServerFile,
    key: str,
    *,
    as_json: bool,
) -> None:
    settings, services = live.app.settings, live.app.resources.services
    config = uvicorn.Config(
        CorsApp(build_asgi_app(live, GraphQLApp(live, live.reload, services), services), live),
        http=fast_path_protocol(live),
        ws=cast("Any", _websocket_protocol),
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
    server = UvicornServer(
        config,
        settings.server.drain_timeout_s,
        partial(_end_requests, live.app.resources),
        services.background.drain,
    )
    secured = live.certificates
    if secured is not None:
        config.load()
        config.ssl = secured.context  # can be renewed; uvicorn reads its own only once
    serving = asyncio.create_task(
        server.serve(sockets=[listening, *(listening.dup() for _ in range(1, LISTENER_COPIES))]),
    )
    while not server.started and not serving.done():  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.005)

    server_file.write()
    loop = asyncio.get_running_loop()
    if not sys.stdin.isatty():  # with a terminal, SIGHUP means that it was closed: uvicorn shuts down
        loop.add_signal_handler(signal.SIGHUP, lambda: loop.create_task(_reloaded(live)))
    warming = loop.create_task(_warm(live))
    folder = live.app.resources.flow_files
    assert folder is not None
    runs, tended = (
        services.runs,
        (
            *(
                services.limiter,
                services.api_keys,
                services.runs.recovery,
                services.scheduler,
                services.background,
                services.measured_paces,
                folder,
            ),
            live.app.resources.file_attachments,
        ),
    )
    await folder.sync_or_warn()
    tending = [loop.create_task(each.run_periodically()) for each in tended]
    print(_json(server_file.url, key) if as_json else _welcome(live.app, server_file.url, key), flush=True)  # noqa: T201 - for the terminal
    tending.append(loop.create_task(live.app.knowledge_base.store_check.log_missing()))
    services.key_rotation.resume()
    resumed = live.app.resources.embedding_retries.resume_all(shared=bool(settings.database.url))
    tending.append(loop.create_task(resumed))
    with contextlib.suppress(OSError):  # no file descriptor is left: the first WebSocket imports it
        await asyncio.to_thread(import_module, WEBSOCKET_MODULE)
    gc.collect()
    gc.freeze()  # what is loaded by now stays; collections need not scan it
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        await serving
        if server.server_state.tasks:  # their clients read no end of the answer; recorded before the stores close
            await asyncio.wait(server.server_state.tasks, timeout=1)
    finally:
        services.api_keys.authenticator.stop_in_flight()  # what is cancelled from now on is booked as ours
        warming.cancel()
        for each in tending:
            each.cancel()
        await live.app.resources.file_attachments.close()
        await services.background.close(END_TIMEOUT_S)
        await live.app.resources.embedding_retries.close()
        server_file.remove()
        if secured is not None:
            secured.close()
        await runs.recovery.close()
        await live.app.resources.shadow_tasks.stop()
        await services.limiter.close()
        await services.measured_paces.save()
        await live.app.resources.webhooks.stop()
        await live.app.resources.vector_stores.close()
        await live.app.resources.sandbox.close()
        await live.app.resources.offload.close()
        await live.app.resources.mcp_servers.close()
        await live.app.client.close()


def _end_requests(resources: Resources) -> None:
    """Ends what outlasted the drain: clients get an error, and the records say that it was the server."""
    resources.services.api_keys.authenticator.stop_in_flight()
    for call in resources.calls_in_flight.values():
        call.task.cancel()  # continues when its client leaves, but not past this point


def _warn(problems: list[str]) -> None:
    for each in problems:
        print(each, file=sys.stderr)  # noqa: T201 - for the terminal


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


async def _reloaded(live: ReloadableApplication) -> None:
    try:
        await live.reload()
    except SizewiseError as error:
        print(f"the new settings were rejected, the old ones stay: {error.message}", file=sys.stderr)  # noqa: T201 - for the terminal


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


def _json(url: str, key: str) -> str:
    return json.dumps({"url": url, "key": key or None, "pid": os.getpid()})


def _welcome(app: Application, url: str, key: str) -> str:
    """The start message: URL, key and a command to paste."""
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
        "",
        f"  curl {f'--cacert {cert} ' if cert else ''}{url}/v1/chat/completions \\",
        f'    -H "Authorization: Bearer {bearer}" \\',
        """    -H "Content-Type: application/json" \\""",
        """    -d '{"model": "auto", "messages": [{"role": "user", "content": "Say hello in five words."}]}'""",
        "",
        "Ctrl-C stops it.",
    ]
    return "\n".join(lines)
