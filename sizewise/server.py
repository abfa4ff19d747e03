"""`sizewise up`: one process that serves everything on one port, from the first key to the last drained stream."""

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
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import import_module
from typing import Any, cast

import uvicorn

from sizewise import __version__
from sizewise.app.application import House, build
from sizewise.app.resources import Means
from sizewise.app.services import Keeper
from sizewise.catalog import discovery
from sizewise.catalog.loader import cards
from sizewise.errors import ConfigError, Outside, SizewiseError
from sizewise.evals.shadow_traffic import Shadows
from sizewise.flows.file_source import Folder, place
from sizewise.gateway.fast_path import lane
from sizewise.gateway.routes import app
from sizewise.gateway.tls import Certificates
from sizewise.graphql.asgi import GraphQL
from sizewise.model_card import Card
from sizewise.providers.local.models import Locals
from sizewise.settings.load import Settings, load, secret
from sizewise.telemetry.metrics import Metrics
from sizewise.telemetry.webhooks import Hooks
from sizewise.tools.mcp.client import Servers
from sizewise.tools.sandbox.process_pool import Sandbox

COLLECT = (20_000, 20, 20)  # requests free by counting; the default looks for cycles 30 times as often, 5 % of the CPU
# libuv accepts one connection a turn of its loop (libuv/libuv#3696), and under load a turn is 10 ms: a thousand clients
# that came at once waited 6 s in bench/soak. Each copy of the listening socket accepts one a turn.
ACCEPTS = 8
KEEP_ALIVE_S = 75  # an idle connection is kept this long
SOCKETS = "uvicorn.protocols.websockets.websockets_sansio_impl"
"""Loaded as soon as requests are answered: none of them is held up by it, nor the first subscription."""


class Live:
    """The house of the moment, and how the next one takes its place."""

    def __init__(
        self, settings: Settings, means: Means, found: tuple[Card, ...], certificates: Certificates | None = None
    ) -> None:
        self.certificates = certificates
        self.swapped: Callable[[], None] = lambda: None  # called when a new house has taken the old one's place
        self._means = means
        self._found = found  # other servers on this machine, looked for once
        self.house = self._built(settings)
        self.house.apply()

    def __call__(self) -> House:
        return self.house

    def _built(self, settings: Settings) -> House:
        return build(settings, self._means, cards(settings, self._found))

    async def reload(self) -> House:
        """Reads the settings again. Raises ConfigError when something is wrong in them: then nothing has changed."""
        old = self.house
        settings = load(old.settings.config, old.settings.home)
        server = replace(settings.server, host=old.settings.server.host, port=old.settings.server.port)
        # All that can fail comes before the first change.
        house = self._built(replace(settings, server=server))
        if bool(server.tls.cert) is not (self.certificates is not None):
            raise ConfigError("TLS (server.tls) is turned on and off at start only", "restart Sizewise for that")
        renewed = self.certificates.prepare(server.tls) if self.certificates is not None else None
        house.apply()
        if renewed is not None:
            renewed()
        self.house = house
        old.client.retire()  # requests in flight finish in it
        self.swapped()
        return self.house


class Server(uvicorn.Server):
    """uvicorn's server; a signal drains it and leaves the rest of our shutdown to us."""

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


def up(settings: Settings, as_json: bool) -> None:
    """Serves until SIGINT or SIGTERM. Raises SizewiseError for what keeps it from starting."""
    try:
        import uvloop
    except ImportError:  # Windows
        asyncio.run(_up(settings, as_json))
    else:
        uvloop.run(_up(settings, as_json))


async def _up(settings: Settings, as_json: bool) -> None:
    listening = listen(settings.server.host, settings.server.port)
    port = listening.getsockname()[1]
    settings = replace(settings, server=replace(settings.server, port=port))
    tls = settings.server.tls
    keeper = Keeper(
        settings.home,
        settings.records,
        secret(settings.database.url),
        vault=settings.encryption.key,
        kms=settings.encryption.kms,
        remembered=settings.stored_responses,
        again=settings.idempotency,
        memory=settings.memory,
        flowing=settings.flows,
    )
    locals = Locals()
    try:
        metrics = Metrics(keeper.waiting)
        hooks = Hooks()
        metrics.budgets, keeper.budgets.tell = keeper.budgets.ratios, hooks.tell
        keeper.accounts.tell = keeper.runs.tell = hooks.tell
        shadows, sandbox = Shadows(keeper.watch, metrics, tell=hooks.tell), Sandbox(settings.sandbox)
        mine = keeper.accounts.keys.caller(keeper.admin)
        folder = Folder(place(settings.config, settings.home), keeper.runs.shelf, mine)
        servers = Servers(keeper.pins)
        means = Means(keeper, metrics, locals, shadows, hooks, sandbox=sandbox, servers=servers, folder=folder)
        found = await discovery.found(skip=port) if settings.server.discover else ()
        certificates = Certificates(tls, settings.home) if tls.cert else None
        live = Live(settings, means, found, certificates)
        shown = keeper.accounts.first_key(settings.key)
        await _serve(live, listening, shown, as_json)
    finally:
        await locals.stop(0)
        keeper.close()
        listening.close()


async def _serve(live: Live, listening: socket.socket, key: str, as_json: bool) -> None:
    settings = live.house.settings
    config = uvicorn.Config(
        app(live, GraphQL(live, live.reload)),
        http=lane(live),
        ws=cast(Any, _socket),
        ws_max_size=settings.server.max_body_bytes,
        ws_per_message_deflate=False,  # what grows to a thousand times its size is no friend of ours
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=max(1, round(settings.server.drain_timeout_s)),
    )
    server = Server(config)
    note, secured = settings.home / "server.json", live.certificates
    url = f"http{'s' if secured else ''}://{_spelt(settings.server.host)}:{settings.server.port}"
    if secured is not None:
        config.load()
        config.ssl = secured.context  # which can be renewed; uvicorn's own is read once
    serving = asyncio.create_task(server.serve(sockets=[listening, *(listening.dup() for _ in range(1, ACCEPTS))]))
    while not server.started and not serving.done():  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.005)

    def write() -> None:
        note.write_text(json.dumps({"url": url, "pid": os.getpid(), **_shown(secured)}))

    def rewrite() -> None:
        try:
            write()
        except OSError as error:  # the settings are taken already: this is no reason to call them refused
            print(f"{note} cannot be written: {error.strerror}", file=sys.stderr)  # noqa: T201 - the terminal is its door

    write()
    live.swapped = rewrite
    loop = asyncio.get_running_loop()
    if not sys.stdin.isatty():  # with a terminal, SIGHUP says that it was closed: then we end with it
        loop.add_signal_handler(signal.SIGHUP, lambda: loop.create_task(_reloaded(live)))
    warming = loop.create_task(_warm(live))
    budgets = live.house.means.keeper.budgets
    keeper = live.house.means.keeper
    folder = live.house.means.folder
    assert folder is not None
    runs, tended = keeper.runs, (budgets, keeper.accounts, keeper.runs, keeper.timetable, folder)
    with contextlib.suppress(SizewiseError):  # it is looked at again
        await folder.look()
    tending = [loop.create_task(each.tend()) for each in tended]
    print(_json(url, key) if as_json else _welcome(live.house, url, key), flush=True)  # noqa: T201 - the terminal is its door
    keeper.resume()
    await asyncio.to_thread(import_module, SOCKETS)
    gc.collect()
    gc.freeze()  # what is loaded now stays: no need to look at it again at every collection
    gc.set_threshold(*COLLECT)
    try:
        await serving
        if server.server_state.tasks:  # cancelled, for their time was over: they are booked before the books are closed
            for call in live.house.means.calls.values():
                call.task.cancel()  # it goes on when its client leaves, but no longer than this
            await asyncio.wait(server.server_state.tasks, timeout=1)
    finally:
        warming.cancel()
        for each in tending:
            each.cancel()
        note.unlink(missing_ok=True)
        if secured is not None:
            secured.close()
        await runs.close()
        await live.house.means.shadows.stop()
        await budgets.close()
        await live.house.means.hooks.stop()
        await live.house.means.shelves.close()
        await live.house.means.sandbox.close()
        await live.house.means.servers.close()
        await live.house.client.close()


def _socket(**given: object) -> asyncio.Protocol:
    made: asyncio.Protocol = import_module(SOCKETS).WebSocketsSansIOProtocol(**given)
    return made


async def _warm(live: Live) -> None:
    """Loads the models behind `small` and `large`, smallest first; others wait until somebody asks."""
    house = live.house
    roles = [plan.cards[0].name for plan in (house.names.role("small"), house.names.role("large")) if plan]
    await house.means.locals.warm([house.connections.locals[n] for n in roles if n in house.connections.locals])


async def _reloaded(live: Live) -> None:
    try:
        await live.reload()
    except SizewiseError as error:
        print(f"the settings were not taken: {error.message}", file=sys.stderr)  # noqa: T201 - the terminal is its door


def listen(host: str, port: int) -> socket.socket:
    """A bound socket. Raises Outside when the port is taken or not ours to take."""
    try:
        (family, *_, address), *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        listening = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise Outside(f"cannot listen on {host!r}: {error.strerror}", "check --host") from error
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(address)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            hint = f"stop what listens there, or choose another: sizewise up --port {port + 1}"
            raise Outside(f"port {port} on {host} is taken", hint) from error
        raise Outside(f"cannot listen on {host}:{port}: {error.strerror}", "choose another --port or --host") from error
    listening.setblocking(False)
    return listening


def _shown(certificates: Certificates | None) -> dict[str, object]:
    """By which the verbs of this home know the server, and it them."""
    return {} if certificates is None else {"cert": certificates.leaf, "own": certificates.own}


def _spelt(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _json(url: str, key: str) -> str:
    return json.dumps({"url": url, "key": key or None, "pid": os.getpid()})


def _welcome(house: House, url: str, key: str) -> str:
    """What a newcomer needs: where, with which key, and a line to paste."""
    settings = house.settings
    models = ", ".join(card.name for card in house.cards) or "none yet; `sizewise models` shows what can be pulled"
    token, cert = settings.home / "admin.token", settings.server.tls.cert
    bearer = key or ("$SIZEWISE_KEY" if settings.key else f"$(cat '{token}')")
    lines = [
        f"Sizewise {__version__} is up: {url}",
        "",
        f"  models   {models}",
        f"  key      {key}   (shown only now: keep it)" if key else f"  key      the one you have; {token} works here",
        "",
        f"  curl {f'--cacert {cert} ' if cert else ''}{url}/v1/chat/completions \\",
        f'    -H "Authorization: Bearer {bearer}" \\',
        """    -H "Content-Type: application/json" \\""",
        """    -d '{"model": "auto", "messages": [{"role": "user", "content": "Say hello in five words."}]}'""",
        "",
        "Ctrl-C stops it.",
    ]
    return "\n".join(lines)
