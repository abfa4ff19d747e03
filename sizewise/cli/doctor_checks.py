"""The checks of `sizewise doctor`, one per function: the finding and the next step; changes nothing."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import stat
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypeVar

from sizewise.auth import tables as auth_tables
from sizewise.cache import stored_response_tables
from sizewise.cache import tables as cache_tables
from sizewise.catalog import gguf_header, memory_check
from sizewise.catalog.current_catalog import current_catalog
from sizewise.catalog.loader import (
    default_local_card,
    is_downloaded,
    load_cards,
    local_cards,
    providers_without_models,
    weights_path,
)
from sizewise.catalog.memory_estimate import format_bytes
from sizewise.catalog.retirements import retirements
from sizewise.cli.api_client import ApiClient, running_server
from sizewise.cli.doctor_database import component_versions, has_database, opened_database
from sizewise.cli.python_build import slow_build
from sizewise.cli.server_choice import list_servers, servers_to_choose_from
from sizewise.errors import SizewiseError
from sizewise.guardrails.named_entities import active_models
from sizewise.process import max_open_files
from sizewise.providers.local.runtime import INSTALL_HINT, LocalRuntime, check_memory, fit_runtime
from sizewise.settings.load import Settings, resolve_secret
from sizewise.settings.validators import is_reference
from sizewise.storage.database import UnitOfWork
from sizewise.storage.encryption import HEADER_BYTES, EnvelopeEncryption
from sizewise.storage.keys import tables as key_tables
from sizewise.storage.keys.tables import DataKeyStore
from sizewise.telemetry import tables as telemetry_tables

OLDEST = (3, 11)
T = TypeVar("T")
SCHEMAS = (
    auth_tables.SCHEMA,
    key_tables.SCHEMA,
    telemetry_tables.SCHEMA,
    stored_response_tables.SCHEMA,
    cache_tables.SCHEMA,
)
ROOM = 500_000_000
"""Bytes of free disk space below which records will soon fail."""
ENOUGH_FILES = 4_096
"""Open files below which a busy server refuses requests long before its other limits."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    check: str
    well: bool
    found: str
    next: str = ""


async def run_checks(settings: Settings | None, settings_error: str = "", hint: str = "") -> list[CheckResult]:
    """All checks, in the order in which to fix them. Without settings, `settings_error` is the reason."""
    findings = [_python(), _runtime()]
    if settings is None:
        return [*findings, CheckResult("settings", False, settings_error, hint or "fix the file")]
    server = running_server(settings)
    return [
        *findings,
        _config(settings),
        *_providers(settings),
        *_catalog(settings),
        *_retired(settings),
        *_references(settings),
        _home(settings),
        _disk(settings),
        _database(settings),
        await asyncio.to_thread(_encryption, settings),  # blocks: it may call a key management service
        _open_files(),
        *_weights(settings),
        _personal_data(settings),
        *([] if server else _fits(settings)),  # a running server's models are in memory already
        await (_answers(server) if server else _port(settings)),
    ]


def _python() -> CheckResult:
    said = f"{platform.python_version()} at {sys.executable}"
    if flaw := slow_build():
        said += f", {flaw}: the server takes about a third more CPU than on an optimized Python"
    return CheckResult(
        "python",
        sys.version_info >= OLDEST,
        said,
        f"install Python {'.'.join(map(str, OLDEST))} or newer",
    )


def _runtime() -> CheckResult:
    try:
        return CheckResult("runtime", True, f"xllamacpp {version('xllamacpp')}, for the embedded models")
    except PackageNotFoundError:
        return CheckResult("runtime", False, "xllamacpp is not installed", INSTALL_HINT)


def _config(settings: Settings) -> CheckResult:
    try:
        asked = load_cards(settings)
    except SizewiseError as error:
        return CheckResult("settings", False, error.message, error.hint)
    where = str(settings.config_file) if settings.config_file else "no file, using the defaults"
    if not asked:
        return CheckResult(
            "settings",
            False,
            f"{where}: there is no model to call",
            f"sizewise models pull {default_local_card(settings).model}",
        )
    return CheckResult("settings", True, f"{where}; models: {', '.join(card.name for card in asked)}")


def _providers(settings: Settings) -> Iterator[CheckResult]:
    """Providers that no model belongs to. A server at the same address may list some when the gateway starts."""
    try:
        cards = load_cards(settings)
    except SizewiseError:
        return  # reported by `_config`
    for missing in providers_without_models(settings, cards):
        said, _, step = missing.partition(": ")
        yield CheckResult("models", False, said, step)


def _catalog(settings: Settings) -> Iterator[CheckResult]:
    """The installed update of the catalog; a server without a valid one uses the packaged catalog."""
    found = current_catalog(settings)
    if found.problem:
        step = "install one that [catalog] update_key signs, or: sizewise models update --remove"
        yield CheckResult("catalog", False, f"the installed update is not used: {found.problem}", step)
    elif found.update.date:
        yield CheckResult("catalog", True, f"the update of {found.update.date} is used: {found.update.source}")


def _retired(settings: Settings) -> Iterator[CheckResult]:
    """Configured models that have ended; those that will soon are shown, and well."""
    try:
        found = retirements(settings, date.today())
    except SizewiseError:
        return  # `settings` reports it
    for each in found:
        yield CheckResult("model", not each.over, str(each), "choose another one: sizewise advise")


def _references(settings: Settings) -> Iterator[CheckResult]:
    """The API keys of providers, by reference: never the keys."""
    for name, provider in settings.providers.items():
        for said in (provider.key, *provider.headers.values()):
            if is_reference(said):
                try:
                    resolve_secret(said)
                except SizewiseError as error:
                    yield CheckResult("key", False, f"of provider {name!r}: {error.message}", error.hint)
                else:
                    yield CheckResult("key", True, f"of provider {name!r}: {said} is set")


def _home(settings: Settings) -> CheckResult:
    home = settings.home
    if not home.exists():
        return CheckResult("home", True, f"{home} will be created by sizewise up")
    if not home.is_dir() or not os.access(home, os.W_OK | os.X_OK):
        return CheckResult(
            "home",
            False,
            f"{home} is not a writable folder",
            "make it writable, or choose another --home",
        )
    mode = stat.S_IMODE(home.stat().st_mode)
    if mode & 0o077:
        return CheckResult("home", False, f"{home} is accessible to others (mode {mode:o})", f"chmod 700 {home}")
    return CheckResult("home", True, str(home))


def _disk(settings: Settings) -> CheckResult:
    for folder in (settings.home, settings.cache_dir):
        here = next(each for each in (folder, *folder.parents) if each.exists())
        free = shutil.disk_usage(here).free
        if free < ROOM:
            return CheckResult("disk", False, f"{format_bytes(free)} are free at {folder}", "free some space")
    return CheckResult("disk", True, f"{format_bytes(free)} are free")


def _open_files() -> CheckResult:
    """Whether the server may open a connection to a client and one to a provider for some thousand requests."""
    files = max_open_files()
    if files < ENOUGH_FILES:
        found = f"{files} open files are allowed: about {files // 2} concurrent requests"
        return CheckResult(
            "open files", False, found, "set LimitNOFILE=65536 in systemd, or ulimit -Hn 65536 in a shell"
        )
    return CheckResult("open files", True, f"{files:,} are allowed")


def _database(settings: Settings) -> CheckResult:
    name = "the shared database" if settings.database.url else str(settings.home / "sizewise.db")
    try:
        found = _components(settings)
    except SizewiseError as error:
        return CheckResult("database", False, error.message, error.hint)
    for schema in SCHEMAS:
        if found.get(schema.component, (0, 0))[1] > len(schema.steps):
            newer = f"{name} was written by a newer Sizewise"
            return CheckResult("database", False, newer, "install that version again, or choose another --home")
    return CheckResult("database", True, name if found else "will be created by sizewise up")


def _components(settings: Settings) -> Mapping[str, tuple[int, int]]:
    """As `component_versions`; empty if there is no database. Raises ConfigError and StorageError."""
    if not has_database(settings):
        return {}
    with opened_database(settings) as database:
        return component_versions(database)


def _encryption(settings: Settings) -> CheckResult:
    """Whether stored content can be decrypted, checked on its newest rows; a key management service is called once."""
    wanted = settings.encryption

    def look(work: UnitOfWork[T]) -> T:
        with opened_database(settings) as database:
            return database.read_transaction(work)

    try:
        there = _components(settings)
    except SizewiseError:
        return CheckResult("encryption", True, "cannot be checked before the database can")
    try:
        encryption = EnvelopeEncryption(settings.home, DataKeyStore(look, look), wanted.key, wanted.kms)
        sealed = [
            look(partial(tables.SEALED.newest_header, size=HEADER_BYTES))
            for tables in (stored_response_tables, cache_tables)
            if tables.SCHEMA.component in there
        ]
        if key_tables.SCHEMA.component in there:
            encryption.expect_keys_for(filter(None, sealed))
            encryption.probe()
    except SizewiseError as error:
        return CheckResult("encryption", False, error.message, error.hint)
    if trouble := encryption.problem:
        said, _, hint = trouble.partition("; ")
        return CheckResult("encryption", False, said, hint)
    if wanted.kms:
        return CheckResult(
            "encryption", True, f"keys are wrapped by a key management service, {wanted.kms.partition(':')[0]}:..."
        )
    if wanted.key:
        return CheckResult("encryption", True, f"key is at {wanted.key.partition(':')[0]}:...")
    key = settings.home / "vault.key"
    return CheckResult(
        "encryption",
        True,
        str(key) if key.exists() else "its key will be created when first needed",
    )


def _weights(settings: Settings) -> Iterator[CheckResult]:
    """Reports only files that exist and are wrong; a file that was never downloaded is fine."""
    for card in local_cards(settings):
        assert card.weights is not None  # a local model has them
        path = weights_path(card.weights, settings.cache_dir)
        if card.weights.path and not path.is_file():
            yield CheckResult(
                "weights", False, f"{card.name}: {path} is missing", f"sizewise models remove {card.model}"
            )
        elif path.is_file() and not is_downloaded(card.weights, settings.cache_dir) and not card.weights.path:
            length = path.stat().st_size
            said = f"{card.name}: {path} has {length:,} bytes instead of {card.weights.bytes:,}"
            yield CheckResult("weights", False, said, f"rm '{path}' && sizewise models pull {card.model}")
        elif path.is_file():
            yield CheckResult("weights", True, f"{card.name}: {format_bytes(path.stat().st_size)} at {path}")


def _personal_data(settings: Settings) -> CheckResult:
    """Which personal data is looked for, and by what: by its format, and names by models."""
    wanted = settings.guardrails
    policies = [policy.guardrails.get("custom.names", "off") for policy in settings.policies.values()]
    asked = {wanted.custom.get("names", "off"), *policies} - {"off"}
    if asked:
        names = f"names and addresses by {' and '.join(active_models())}: {', '.join(sorted(asked))}"
    else:
        names = 'names and addresses are not looked for; the custom guardrail "names" does it'
    return CheckResult("pii", True, f"personal data by its format: {wanted.pii}; {names}")


def _fits(settings: Settings) -> Iterator[CheckResult]:
    local = settings.local
    asked = LocalRuntime(context=local.context, slots=local.slots, threads=local.threads, gpu_layers=local.gpu_layers)
    free = memory_check.available_memory()
    for card in load_cards(settings):
        if card.weights is not None and card.task == "chat":
            try:
                header = gguf_header.read_header(Path(card.weights.path))
                check_memory(card.name, header, fit_runtime(asked, header), free)
            except SizewiseError as error:
                yield CheckResult("memory", False, error.message, error.hint)
            else:
                yield CheckResult("memory", True, f"{card.name} fits into {format_bytes(free) if free else 'memory'}")


async def _answers(server: ApiClient) -> CheckResult:
    try:
        ready, impaired = await asyncio.wait_for(server.readiness(), 10)
    except (SizewiseError, TimeoutError) as error:
        said = error.message if isinstance(error, SizewiseError) else f"{server.url} did not respond in 10 s"
        return CheckResult("server", False, said, "stop it and start it again: sizewise up")
    if ready and not impaired:
        return CheckResult("server", True, f"running at {server.url}")
    hint = "sizewise models shows which; sizewise records shows what happened"
    return CheckResult("server", False, f"{server.url}: {'; '.join(impaired) or 'no model is available'}", hint)


async def _port(settings: Settings) -> CheckResult:
    """No server is running there: checks whether the port is free, without taking it."""
    host, port = settings.server.host, settings.server.port
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    if not port:
        return CheckResult("server", True, "is not running; the system will choose its port")
    try:
        taken = await asyncio.wait_for(ApiClient(url, "", settings).is_listening(), 5)
    except TimeoutError:
        taken = True  # the connection was accepted, but nothing responds
    if several := servers_to_choose_from(settings.home):
        which = f"{len(several)} run with other homes: {list_servers(several)}; --home DIR checks one"
        return CheckResult("server", True, which)
    if not taken:
        return CheckResult("server", True, f"is not running; port {port} is free")
    return CheckResult("server", False, f"port {port} is taken by another program", f"sizewise up --port {port + 1}")
