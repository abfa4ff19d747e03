"""What can be wrong with an installation, one check a function: what was found, and the next step; changes nothing."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypeVar

from sizewise.auth import tables as accounts
from sizewise.cache import stored_response_tables as conversations
from sizewise.cache import tables as cache
from sizewise.catalog import gguf_header, memory_check
from sizewise.catalog.loader import cards, fetched, first, known, lies
from sizewise.catalog.memory_estimate import size
from sizewise.cli.api_client import Server, running
from sizewise.errors import ConfigError, SizewiseError
from sizewise.providers.local.runtime import ADD, Runtime, fitted, refuse_too_big
from sizewise.settings.load import Settings, secret
from sizewise.settings.validators import is_reference
from sizewise.storage.database import Work, connect, file
from sizewise.storage.encryption import Vault
from sizewise.storage.keys import tables as keyring
from sizewise.storage.keys.tables import DataKeys
from sizewise.telemetry import tables as telemetry

OLDEST = (3, 11)
T = TypeVar("T")
SCHEMAS = (accounts.SCHEMA, keyring.SCHEMA, telemetry.SCHEMA, conversations.SCHEMA, cache.SCHEMA)
ROOM = 500_000_000
"""Bytes of disk below which records will soon fail to be written."""


@dataclass(frozen=True, slots=True)
class Finding:
    check: str
    well: bool
    found: str
    next: str = ""


async def everything(settings: Settings | None, wrong: str = "", hint: str = "") -> list[Finding]:
    """All checks in the order in which one would mend. Without settings, `wrong` says why there are none."""
    findings = [_python(), _runtime()]
    if settings is None:
        return [*findings, Finding("settings", False, wrong, hint or "mend the file")]
    server = running(settings)
    return [
        *findings,
        _config(settings),
        *_references(settings),
        _home(settings),
        _disk(settings),
        _database(settings),
        await asyncio.to_thread(_vault, settings),  # a key service is a process of its own
        *_weights(settings),
        *([] if server else _fits(settings)),  # a running server's models are in memory already
        await (_answers(server) if server else _port(settings)),
    ]


def _python() -> Finding:
    said = f"{platform.python_version()} at {sys.executable}"
    return Finding("python", sys.version_info >= OLDEST, said, f"install Python {'.'.join(map(str, OLDEST))} or newer")


def _runtime() -> Finding:
    try:
        return Finding("runtime", True, f"xllamacpp {version('xllamacpp')}, for the embedded models")
    except PackageNotFoundError:
        return Finding("runtime", False, "xllamacpp is not installed", ADD)


def _config(settings: Settings) -> Finding:
    try:
        asked = cards(settings)
    except SizewiseError as error:
        return Finding("settings", False, error.message, error.hint)
    where = str(settings.config) if settings.config else "no file, all by default"
    if not asked:
        return Finding(
            "settings", False, f"{where}: there is no model to ask", f"sizewise models pull {first(settings).model}"
        )
    return Finding("settings", True, f"{where}; models: {', '.join(card.name for card in asked)}")


def _references(settings: Settings) -> Iterator[Finding]:
    """Keys of providers, by their references: never the keys."""
    for name, provider in settings.providers.items():
        for said in (provider.key, *provider.headers.values()):
            if is_reference(said):
                try:
                    secret(said)
                except SizewiseError as error:
                    yield Finding("key", False, f"of provider {name!r}: {error.message}", error.hint)
                else:
                    yield Finding("key", True, f"of provider {name!r}: {said} is there")


def _home(settings: Settings) -> Finding:
    home = settings.home
    if not home.exists():
        return Finding("home", True, f"{home} will be made by sizewise up")
    if not home.is_dir() or not os.access(home, os.W_OK | os.X_OK):
        return Finding(
            "home", False, f"{home} is no folder you can write", "make it writable, or choose another --home"
        )
    mode = stat.S_IMODE(home.stat().st_mode)
    if mode & 0o077:
        return Finding("home", False, f"{home} is open to others (mode {mode:o})", f"chmod 700 {home}")
    return Finding("home", True, str(home))


def _disk(settings: Settings) -> Finding:
    for folder in (settings.home, settings.cache):
        here = next(each for each in (folder, *folder.parents) if each.exists())
        free = shutil.disk_usage(here).free
        if free < ROOM:
            return Finding("disk", False, f"{size(free)} are free at {folder}", "make room")
    return Finding("disk", True, f"{size(free)} are free")


def _database(settings: Settings) -> Finding:
    path = settings.home / "sizewise.db"
    if not path.exists():
        return Finding("database", True, "will be made by sizewise up")
    try:
        with connect(file(str(path)), ()).read() as connection:  # without schemas: it is looked at, not migrated
            rows = connection.exec_driver_sql("SELECT room, version FROM schema_version").tuples().all()
    except SizewiseError as error:
        return Finding("database", False, error.message, error.hint)
    found: dict[str, int] = dict(rows)
    for schema in SCHEMAS:
        if found.get(schema.room, 0) > len(schema.migrations):
            newer = f"{path} was written by a newer Sizewise"
            return Finding("database", False, newer, "install that version again, or choose another --home")
    return Finding("database", True, str(path))


def _vault(settings: Settings) -> Finding:
    """Whether what is kept sealed can be opened, as far as its newest rows tell; a key service is asked once."""
    wanted, path = settings.encryption, settings.home / "sizewise.db"

    def look(work: Work[T]) -> T:
        with connect(file(str(path)), ()).read() as connection:
            return work(connection)

    try:
        vault = Vault(settings.home, DataKeys(look, look), wanted.key, wanted.kms)
        query = "SELECT room FROM schema_version"
        there = look(lambda c: c.exec_driver_sql(query).scalars().all()) if path.exists() else ()
        sealed = [look(room.newest) for room in (conversations, cache) if room.SCHEMA.room in there]
        if keyring.SCHEMA.room in there:
            vault.holds(filter(None, sealed))
            vault.probe()
    except ConfigError as error:
        return Finding("vault", False, error.message, error.hint)
    except SizewiseError:
        return Finding("vault", True, "cannot be looked at before the database can")
    if trouble := vault.trouble:
        said, _, hint = trouble.partition("; ")
        return Finding("vault", False, said, hint)
    if wanted.kms:
        return Finding("vault", True, f"its keys are wrapped by a key service, {wanted.kms.partition(':')[0]}:...")
    if wanted.key:
        return Finding("vault", True, f"its key is at {wanted.key.partition(':')[0]}:...")
    key = settings.home / "vault.key"
    return Finding("vault", True, str(key) if key.exists() else "its key will be made when something is to be sealed")


def _weights(settings: Settings) -> Iterator[Finding]:
    """Only files that are there and not as they should be; one that was never fetched is no fault."""
    for card in known(settings):
        assert card.weights is not None  # a local model has them
        path = lies(card.weights, settings.cache)
        if card.weights.path and not path.is_file():
            yield Finding("weights", False, f"{card.name}: {path} is gone", f"sizewise models remove {card.model}")
        elif path.is_file() and not fetched(card.weights, settings.cache) and not card.weights.path:
            length = path.stat().st_size
            said = f"{card.name}: {path} has {length:,} bytes instead of {card.weights.bytes:,}"
            yield Finding("weights", False, said, f"rm '{path}' && sizewise models pull {card.model}")
        elif path.is_file():
            yield Finding("weights", True, f"{card.name}: {size(path.stat().st_size)} at {path}")


def _fits(settings: Settings) -> Iterator[Finding]:
    asked = Runtime(context=settings.local.context, slots=settings.local.slots, threads=settings.local.threads)
    free = memory_check.available()
    for card in cards(settings):
        if card.weights is not None and card.task == "chat":
            try:
                header = gguf_header.read(Path(card.weights.path))
                refuse_too_big(card.name, header, fitted(asked, header), free)
            except SizewiseError as error:
                yield Finding("memory", False, error.message, error.hint)
            else:
                yield Finding("memory", True, f"{card.name} fits into {size(free) if free else 'memory'}")


async def _answers(server: Server) -> Finding:
    try:
        ready, impaired = await asyncio.wait_for(server.ready(), 10)
    except (SizewiseError, TimeoutError) as error:
        said = error.message if isinstance(error, SizewiseError) else f"{server.url} did not answer in 10 s"
        return Finding("server", False, said, "stop it and start it again: sizewise up")
    if ready and not impaired:
        return Finding("server", True, f"answers at {server.url}")
    hint = "sizewise models shows which; sizewise records shows what happened"
    return Finding("server", False, f"{server.url}: {'; '.join(impaired) or 'no model can answer'}", hint)


async def _port(settings: Settings) -> Finding:
    """Nobody answers there: what could be told of a port without taking it."""
    host, port = settings.server.host, settings.server.port
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    if not port:
        return Finding("server", True, "is not running; the system will choose its port")
    try:
        taken = await asyncio.wait_for(Server(url, "", settings).taken(), 5)
    except TimeoutError:
        taken = True  # somebody took the connection and says nothing
    if not taken:
        return Finding("server", True, f"is not running; port {port} is free")
    return Finding("server", False, f"port {port} is taken by another program", f"sizewise up --port {port + 1}")
