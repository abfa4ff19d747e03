"""`sizewise edge deploy`, `status` and `rollback`: the folder's release live at Cloudflare, and back again."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

import click
import msgspec

from sizewise.auth.authenticator import digest
from sizewise.catalog.loader import load_cards
from sizewise.cli.edge_build import compile_folder
from sizewise.cli.edge_dev import dev_caller
from sizewise.cli.options import command_settings, local_options, wants_json
from sizewise.cli.output import write_json, write_table
from sizewise.edge.worker_folder import METADATA, RELEASE, RUNTIME, folder_files
from sizewise.edge.workers_api import WorkerDeployment, WorkersApi
from sizewise.errors import BadRequest, ExternalFailure, UpstreamError
from sizewise.http.client import HttpClient, HttpTimeouts
from sizewise.http.egress import EgressPolicy
from sizewise.settings.load import Settings, resolve_secret

SHORT = 12
CANARY_TRIES = 5
CANARY_PAUSE_S = 1.0
TIMEOUTS = HttpTimeouts(total=15.0)
T = TypeVar("T")


@click.command()
@local_options
def deploy() -> None:
    """Upload the folder's release, make it live, and check it.

    The version before stays: sizewise edge rollback. If `url` in [edge] does not answer with this release, the version
    before is made live again. Secrets of providers are set once, apart: wrangler secret put NAME.

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

    version = asyncio.run(_with_api(settings, work))
    if wants_json():
        write_json({"build": hash, "version": version, "checked": bool(settings.edge.url)})
        return
    click.echo(f"live: build {hash[:SHORT]}{f', version {version}' if version else ''}")
    if not settings.edge.url:
        click.echo("Not checked: set `url` in [edge], where clients reach the Worker.")


@click.command()
@local_options
def status() -> None:
    """Show what is live at the edge, and what was.

    \b
    Example: sizewise edge status
    """
    settings = command_settings()
    found = asyncio.run(_with_api(settings, lambda api, _: api.deployments()))
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

    done = asyncio.run(_with_api(settings, work))
    if wants_json():
        write_json(_fields(done))
    else:
        click.echo(f"live: build {done.build[:SHORT] or '(not ours)'}, version {done.version}")


@click.command()
@click.argument("name")
@local_options
def key(name: str) -> None:
    """Make a key for the edge, and write its digest to KV.

    It is shown once, and may ask. KV has it within a minute; revoke it with: wrangler kv key delete DIGEST.

    \b
    Example: sizewise edge key app
    """
    settings = command_settings()
    namespace = settings.edge.keys
    if not namespace:
        raise BadRequest("`keys` in [edge] is empty", "make a KV namespace, and write its ID there")
    text = f"sk-edge-{secrets.token_urlsafe(32)}"
    value = msgspec.json.encode({**dev_caller(), "id": name})
    hash = digest(text).hex()
    asyncio.run(_with_api(settings, lambda api, _: api.put_value(namespace, hash, value)))
    if wants_json():
        write_json({"id": name, "key": text, "digest": hash})
    else:
        click.echo(f"{text}\n  digest: {hash}")


def _fields(each: WorkerDeployment) -> dict[str, object]:
    return {"build": each.build, "version": each.version, "since": each.created_on}


async def _with_api(settings: Settings, work: Callable[[WorkersApi, HttpClient], Awaitable[T]]) -> T:
    edge = settings.edge
    if not edge.account or not edge.token:
        raise BadRequest(
            "`account` and `token` in [edge] are needed", 'set them, as token = "env:CLOUDFLARE_API_TOKEN"'
        )
    token = resolve_secret(edge.token)
    async with _client(settings) as client:
        return await work(WorkersApi(client, edge, token), client)


@asynccontextmanager
async def _client(settings: Settings) -> AsyncIterator[HttpClient]:
    allowed = {url: "anyone" for url in (settings.edge.api, settings.edge.url) if url}
    egress = EgressPolicy(msgspec.convert(allowed, dict), {"public": "anyone", "internal": "anyone"})
    async with HttpClient(egress, proxies=settings.proxies, ca_file=settings.ca_file) as client:
        yield client


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
