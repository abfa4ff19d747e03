"""`sizewise edge deploy`, `status` and `rollback`: the folder's release live at Cloudflare, and back again."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import click
import msgspec

from sizewise.catalog.loader import load_cards
from sizewise.cli.edge_build import compile_folder
from sizewise.cli.edge_keys import KeySync, show_sync, sync_keys
from sizewise.cli.edge_worker import with_api
from sizewise.cli.options import api_client_or_none, command_settings, local_options, server_options, wants_json
from sizewise.cli.output import write_json, write_table
from sizewise.edge.worker_folder import METADATA, RELEASE, RUNTIME, folder_files
from sizewise.edge.workers_api import WorkerDeployment, WorkersApi
from sizewise.errors import BadRequest, ExternalFailure, SizewiseError, UpstreamError
from sizewise.http.client import HttpClient, HttpTimeouts
from sizewise.settings.load import Settings

SHORT = 12
CANARY_TRIES = 5
CANARY_PAUSE_S = 1.0
TIMEOUTS = HttpTimeouts(total=15.0)


@click.command()
@server_options
def deploy() -> None:
    """Upload the folder's release, make it live, and check it.

    The version before stays: sizewise edge rollback. If `url` in [edge] does not answer with this release, the version
    before is made live again. Secrets are set once, apart: wrangler secret put NAME. With `origin` and `keys`, the keys
    of the running gateway are written to KV as well.

    \b
    Example: sizewise edge deploy
    """
    settings = command_settings()
    compiled = compile_folder(settings, load_cards(settings))
    content, hash = folder_files(compiled, settings.edge), compiled.data["build"]

    async def work(api: WorkersApi, client: HttpClient) -> str:
        before = await api.deployments()
        modules = {name: content[name] for name in (RUNTIME, RELEASE)}
        version = await api.upload(modules, content[METADATA])
        if version:
            await api.deploy(version, hash)
        if settings.edge.url and not await _answers_with(client, settings.edge.url, hash):
            back = f"version {before[0].version} is live again" if before else "there is no version before it"
            if before:
                await api.deploy(before[0].version, before[0].build)
            raise ExternalFailure(f"{settings.edge.url} does not answer with this release; {back}", "see its logs")
        return version

    version = asyncio.run(with_api(settings, work))
    sync = _sync(settings)
    if wants_json():
        synced = None if isinstance(sync, str) else msgspec.to_builtins(sync)
        write_json({"build": hash, "version": version, "checked": bool(settings.edge.url), "keys": synced})
        return
    click.echo(f"live: build {hash[:SHORT]}{f', version {version}' if version else ''}")
    if not settings.edge.url:
        click.echo("Not checked: set `url` in [edge], where clients reach the Worker.")
    if isinstance(sync, str):
        click.echo(f"Keys were not written: {sync}")
    else:
        show_sync(sync)


def _sync(settings: Settings) -> KeySync | str:
    """What was written to KV; or why nothing was."""
    edge = settings.edge
    if not edge.origin or not edge.keys:
        return "`origin` and `keys` in [edge] say where they come from and go to"
    try:
        client = api_client_or_none()
        if client is None:
            return "the gateway does not run here; where it does: sizewise edge keys"
        return asyncio.run(with_api(settings, lambda api, _: sync_keys(api, edge.keys, client)))
    except SizewiseError as error:
        return f"{error.message}; try again: sizewise edge keys"


@click.command()
@local_options
def status() -> None:
    """Show what is live at the edge, and what was.

    \b
    Example: sizewise edge status
    """
    settings = command_settings()
    found = asyncio.run(with_api(settings, lambda api, _: api.deployments()))
    if wants_json():
        write_json({"deployments": [_fields(each) for each in found]})
        return
    if not found:
        click.echo(f"There is no Worker {settings.edge.name!r} in this account: sizewise edge deploy")
        return
    rows = [
        ("live" if place == 0 else "", each.build[:SHORT] or "(not ours)", each.version, each.created_on)
        for place, each in enumerate(found)
    ]
    write_table(("", "BUILD", "VERSION", "SINCE"), rows)


@click.command()
@local_options
def rollback() -> None:
    """Make the version live again that was live before.

    \b
    Example: sizewise edge rollback
    """
    settings = command_settings()

    async def work(api: WorkersApi, _: HttpClient) -> WorkerDeployment:
        found = await api.deployments()
        before = next((each for each in found[1:] if each.version != found[0].version), None)
        if before is None:
            raise BadRequest("there is no version before this one", "sizewise edge status shows what was live")
        await api.deploy(before.version, before.build)
        return before

    done = asyncio.run(with_api(settings, work))
    if wants_json():
        write_json(_fields(done))
    else:
        click.echo(f"live: build {done.build[:SHORT] or '(not ours)'}, version {done.version}")


def _fields(each: WorkerDeployment) -> dict[str, object]:
    return {"build": each.build, "version": each.version, "since": each.created_on}


async def _answers_with(client: HttpClient, url: str, hash: str) -> bool:
    """Whether the Worker's health names this build before long."""
    for _ in range(CANARY_TRIES):
        with suppress(UpstreamError):
            endpoint = client.endpoint(url)
            request = endpoint.request(
                "GET", "/health", b"", [], purpose="edge", data_class="public", timeouts=TIMEOUTS
            )
            async with await request as response:
                seen = await response.read(65_536)
            if response.status == 200 and hash.encode() in seen:
                return True
        await asyncio.sleep(CANARY_PAUSE_S)
    return False
