"""`sizewise edge join`: changes the key that travelled to this machine for its own, and writes both to its home."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

import click
import msgspec
from msgspec import Struct

from sizewise.atomic_file import write_file_atomically
from sizewise.cli.api_client import ApiClient
from sizewise.cli.options import command_settings, local_options, wants_json
from sizewise.cli.output import write_json
from sizewise.cli.settings_patch import replace_table
from sizewise.edge.machine_pack import PackManifest, damaged_files, read_manifest
from sizewise.errors import BadRequest, ExternalFailure
from sizewise.settings.edge import machine_name, optional_url
from sizewise.settings.validators import optional_ed25519_key

KEY_FILE = "edge.key"


@click.command()
@click.argument("name")
@click.option("--origin", metavar="URL", help="URL of the gateway, without a path. [that of the archive]")
@click.option("--release-key", metavar="KEY", help="Public key of its releases. [that of the archive]")
@local_options
def join(name: str, origin: str | None, release_key: str | None) -> None:
    """Make this small machine report to a gateway, by a key of its own.

    Reads a key from stdin, which was made at the gateway for this machine alone: sizewise keys create NAME
    --permissions serve_edge. It is good for one joining: the machine gets another one in its place.

    \b
    Example: sizewise edge join till-1 < key.txt
    """
    settings = command_settings()
    packed = read_manifest(settings.home)
    if packed is not None and (damaged := damaged_files(settings.home, packed)):
        raise BadRequest(f"the archive came with other bytes than were packed: {damaged[0]}", "copy it again")
    said = _checked(name, origin, release_key, packed)
    token = sys.stdin.readline().strip() if not sys.stdin.isatty() else click.prompt("Key", hide_input=True)
    if not token:
        raise BadRequest(
            "there is no key on stdin", "make one at the gateway: sizewise keys create NAME --permissions serve_edge"
        )
    config = settings.config_file or settings.home / "sizewise.toml"
    before = _text(config)
    made = asyncio.run(_join(ApiClient(said["origin"], token, settings, remote=True)))
    text = _with_edge(before, {**said, "release_environment": made.environment}, settings.home / KEY_FILE)
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        write_file_atomically(settings.home / KEY_FILE, f"{made.key}\n".encode(), 0o600)
        write_file_atomically(config, text.encode())
    except OSError as error:
        raise ExternalFailure(
            f"the key cannot be written: {error.strerror}", f"revoke it: sizewise keys revoke {made.id}"
        ) from error
    if wants_json():
        write_json({"machine": name, "key": made.id, "origin": said["origin"], "config": str(config)})
        return
    click.echo(f"{name} reports to {said['origin']} by the key {made.id}")
    if not said["release_key"]:
        click.echo("  it takes no releases: no public key is known; give --release-key")
    click.echo("If it runs already, restart it.")


class JoinedMachine(Struct):
    """`environment`: of the key at the gateway; empty: it has none."""

    id: str
    key: str
    environment: str = ""


def _checked(name: str, origin: str | None, release_key: str | None, packed: PackManifest | None) -> dict[str, str]:
    """Raises BadRequest."""
    url = origin or (packed.origin if packed is not None else "")
    if not url:
        raise BadRequest("the URL of the gateway is not known", "give --origin URL")
    key = release_key if release_key is not None else packed.release_key if packed is not None else ""
    return {
        "machine": _valid(machine_name, name, "the name"),
        "origin": _valid(optional_url, url, "--origin").rstrip("/"),
        "release_key": _valid(optional_ed25519_key, key, "--release-key"),
    }


def _valid(check: Callable[[str], str], text: str, what: str) -> str:
    try:
        return check(text)
    except ValueError as error:
        raise BadRequest(f"{what}: {error}", "sizewise edge join --help") from error


async def _join(gateway: ApiClient) -> JoinedMachine:
    """Raises BadRequest for a key that the gateway refuses, ExternalFailure."""
    async with gateway.post("/edge/join", {}) as response:
        body = await response.read(65_536)
        if response.status == 200:
            return msgspec.json.decode(body, type=JoinedMachine)
    try:
        said = msgspec.json.decode(body)["error"]
        message, hint = str(said["message"]), str(said.get("hint") or "make another key at the gateway")
    except (msgspec.DecodeError, KeyError, TypeError):
        message, hint = f"status {response.status}", "look at --origin"
    raise BadRequest(f"the gateway refused: {message}", hint)


def _text(config: Path) -> str:
    """Raises ExternalFailure."""
    try:
        return config.read_text("utf-8") if config.exists() else ""
    except OSError as error:
        raise ExternalFailure(f"{str(config)!r} cannot be read: {error.strerror}", "look at its permissions") from error


def _with_edge(text: str, said: dict[str, str], key_file: Path) -> str:
    """The settings file with the table [edge]."""
    values = {**said, "key": f"file:{key_file}"}
    return replace_table(
        text, "[edge]", [f"{name} = {msgspec.json.encode(each).decode()}" for name, each in values.items()]
    )
