"""`sizewise edge key` and `keys`: API keys in the KV of the edge, by their digests; a key's text is shown once."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

import click
import msgspec

from sizewise.auth.authenticator import digest
from sizewise.cli import operations
from sizewise.cli.api_client import ApiClient
from sizewise.cli.edge_dev import dev_caller
from sizewise.cli.edge_worker import with_api
from sizewise.cli.operations import EdgeKey
from sizewise.cli.options import api_client, command_settings, refuse_options, server_options, wants_json
from sizewise.cli.output import write_json
from sizewise.edge.workers_api import WorkersApi
from sizewise.errors import BadRequest
from sizewise.settings.load import Settings

KV_DELAY_S = 60
"""Seconds that KV goes on giving what it has read before: as in edge/src/keys.ts."""
SOURCE = "gateway"
"""Name in the metadata of a value in KV: a key of the gateway, with the digest of what is stored of it."""


@dataclass(frozen=True, slots=True)
class KeySync:
    """`left_out`: keys that an edge cannot hold, each with the reason."""

    written: int
    removed: int
    unchanged: int
    left_out: tuple[str, ...]


@click.command()
@click.argument("name")
@server_options
def key(name: str) -> None:
    """Make a key that may ask at the edge; it is shown once.

    With `origin` in [edge] it is a key of the gateway, which can revoke it, and is valid at both. Without, the Worker
    stands alone, and so does the key: revoke it with wrangler kv key delete DIGEST.

    \b
    Example: sizewise edge key app
    """
    settings = command_settings()
    namespace = _namespace(settings)
    if settings.edge.origin:
        client = api_client()
        made = asyncio.run(operations.create_key(client, name=name, permissions=["ask"], personal=False))
        id, text = made.key.id, made.secret
        sync = asyncio.run(with_api(settings, lambda api, _: sync_keys(api, namespace, client)))
    else:
        refuse_options("without `origin` in [edge]: the key is the Worker's alone", "url")
        id, text, sync = name, f"sk-edge-{secrets.token_urlsafe(32)}", None
        value = msgspec.json.encode({**dev_caller(), "id": name})
        asyncio.run(with_api(settings, lambda api, _: api.put_value(namespace, digest(text).hex(), value)))
    if wants_json():
        write_json({"id": id, "key": text, "digest": digest(text).hex()})
        return
    click.echo(f"{text}\n  id: {id}\n  digest: {digest(text).hex()}")
    if sync is not None:
        show_sync(sync)


@click.command()
@server_options
def keys() -> None:
    """Write the gateway's keys to the edge: new ones in, revoked ones out.

    \b
    Example: sizewise edge keys
    """
    settings = command_settings()
    namespace, client = _namespace(settings), api_client()
    sync = asyncio.run(with_api(settings, lambda api, _: sync_keys(api, namespace, client)))
    if wants_json():
        write_json(msgspec.to_builtins(sync))
    else:
        show_sync(sync)


def show_sync(sync: KeySync) -> None:
    click.echo(f"keys at the edge: {sync.written} written, {sync.removed} removed, {sync.unchanged} unchanged")
    for each in sync.left_out:
        click.echo(f"  left out: {each}")
    if sync.removed:
        click.echo(f"A removed key may be accepted for {KV_DELAY_S} seconds more: so long KV keeps what it has read.")


async def sync_keys(api: WorkersApi, namespace: str, client: ApiClient) -> KeySync:
    """Makes KV hold the gateway's valid keys; keys that are the edge's own stay. Raises what either API does."""
    found = await operations.edge_keys(client)
    there = {
        name: str(metadata[SOURCE])
        for name, metadata in (await api.list_values(namespace)).items()
        if SOURCE in metadata
    }
    good = {each.digest: _value(each) for each in found if not each.obstacle}
    marks = {name: sha256(value).hexdigest()[:32] for name, value in good.items()}
    new = [name for name in good if there.get(name) != marks[name]]
    gone = [name for name in there if name not in good]
    await api.delete_values(namespace, gone)
    await api.put_values(namespace, _entries(new, good, marks))
    left_out = tuple(f"{each.id} ({each.obstacle})" for each in found if each.obstacle)
    return KeySync(len(new), len(gone), len(good) - len(new), left_out)


def _entries(names: Sequence[str], values: Mapping[str, bytes], marks: Mapping[str, str]) -> list[Mapping[str, object]]:
    return [{"key": name, "value": values[name].decode(), "metadata": {SOURCE: marks[name]}} for name in names]


def _value(each: EdgeKey) -> bytes:
    """As edge/src/keys.ts reads it."""
    told = msgspec.to_builtins(each)
    return msgspec.json.encode({name: value for name, value in told.items() if name not in ("digest", "obstacle")})


def _namespace(settings: Settings) -> str:
    if not settings.edge.keys:
        raise BadRequest("`keys` in [edge] is empty", "make a KV namespace, and write its ID there")
    return settings.edge.keys
