"""`sizewise models update`: shows what a signed list changes in the catalog, and installs it; books nothing anew."""

from __future__ import annotations

import asyncio
import base64
import sys
from contextlib import AsyncExitStack
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import click

from sizewise.catalog.catalog_changes import CatalogChange, catalog_changes, update_errors
from sizewise.catalog.catalog_update import MAX_LIST_BYTES, CatalogUpdate, parse_update
from sizewise.catalog.current_catalog import (
    PACKAGED,
    UPDATE_FILE,
    Catalog,
    current_catalog,
    install_update,
    remove_update,
)
from sizewise.catalog.resumable_download import open_url, redact_url
from sizewise.catalog.update_signature import KEY_HINT, MAX_SIGNATURE_BYTES, verify_signature
from sizewise.cli.options import command_settings, local_options, refuse_options, wants_json
from sizewise.cli.output import write_json, write_table
from sizewise.cli.reload_server import reload_running_server
from sizewise.errors import BadRequest, ExternalFailure, UpstreamError
from sizewise.http.client import HttpTimeouts
from sizewise.http.egress import origin
from sizewise.settings.load import Settings

TIMEOUTS = HttpTimeouts(connect=15.0, first_byte=30.0, between_bytes=30.0, total=120.0)
SUFFIX = ".sig"


@click.command()
@click.argument("source", required=False, type=click.Path(), metavar="FILE|URL")
@click.option("--signature", type=click.Path(), metavar="FILE|URL", help="Its signature. [the list's name and .sig]")
@click.option("--dry-run", is_flag=True, help="Show the difference, and change nothing.")
@click.option("--yes", is_flag=True, help="Install it without being asked.")
@click.option("--older", is_flag=True, help="Install a list that is older than the installed one.")
@click.option("--remove", is_flag=True, help="Go back to the packaged catalog.")
@local_options
def update(source: str | None, signature: str | None, dry_run: bool, yes: bool, older: bool, remove: bool) -> None:
    """Update prices, models and windows from a signed list.

    The list must be signed with the Ed25519 key in [catalog] update_key. Shows the difference first. Costs that are
    booked stay as they are.

    \b
    Example: sizewise models update catalog.toml --dry-run
    """
    settings = command_settings()
    if remove == bool(source):
        raise BadRequest(
            "--remove goes without a list" if remove else "there is no list", "Give FILE or URL, or --remove."
        )
    before = current_catalog(settings)
    if source is None:
        refuse_options("with --remove", "signature", "older")
        _apply(settings, before, PACKAGED, None, dry_run=dry_run, yes=yes)
        return
    if not settings.catalog.update_key:
        raise BadRequest("no key is trusted to sign catalog updates", KEY_HINT)
    text = _read(source, MAX_LIST_BYTES, settings)
    signed = _read(signature or _beside(source), MAX_SIGNATURE_BYTES, settings)
    raw = verify_signature(text, signed, settings.catalog.update_key)
    after = Catalog(parse_update(text))
    _check(before.update, after, older)
    _apply(settings, before, after, (text, base64.b64encode(raw).decode()), dry_run=dry_run, yes=yes)


def _beside(source: str) -> str:
    """The list's name and `.sig`; of a URL, before its query."""
    if not _is_url(source):
        return f"{source}{SUFFIX}"
    parts = urlsplit(source)
    return urlunsplit(parts._replace(path=f"{parts.path}{SUFFIX}"))


def _is_url(source: str) -> bool:
    return source.startswith(("http://", "https://"))


def _read(source: str, max_bytes: int, settings: Settings) -> bytes:
    """Raises BadRequest or ExternalFailure."""
    if _is_url(source):
        return asyncio.run(_fetch(source, max_bytes, settings))
    try:
        with Path(source).open("rb") as file:
            found = file.read(max_bytes + 1)
    except OSError as why:
        raise BadRequest(f"{source!r} cannot be read: {why.strerror}", "Check the path.") from why
    if len(found) > max_bytes:
        raise BadRequest(f"{source!r} is larger than {max_bytes:,} bytes", "Check the path.")
    return found


async def _fetch(url: str, max_bytes: int, settings: Settings) -> bytes:
    origin(url)  # ConfigError for one that cannot be read
    shown = redact_url(url)
    try:
        async with AsyncExitStack() as stack:
            _, response = await open_url(url, settings, stack, headers=[("accept", "*/*")], timeouts=TIMEOUTS)
            if response.status != 200:
                raise ExternalFailure(f"{shown!r} responded with status {response.status}", "Check the URL.")
            return await response.read(max_bytes)
    except UpstreamError as why:
        raise ExternalFailure(f"{shown!r} cannot be read: {why.message}", "Check the URL.") from why


def _check(installed: CatalogUpdate, after: Catalog, older: bool) -> None:
    """Raises BadRequest for a list that contradicts itself, is of tomorrow or is older than the installed one."""
    today = datetime.now(UTC).date() + timedelta(days=1)  # it is tomorrow already somewhere
    if after.update.date > today.isoformat():
        raise BadRequest(f"the list is of {after.update.date}, which is in the future", "Check this machine's clock.")
    if after.update.date < installed.date and not older:
        raise BadRequest(
            f"the list is of {after.update.date}, and that of {installed.date} is installed",
            "Someone may be replaying an old list. If you want it: --older",
        )
    if wrong := list(update_errors(after, today)):
        raise BadRequest("the list is invalid:" + "".join(f"\n  {each}" for each in wrong[:10]), "Ask who signs it.")


def _apply(
    settings: Settings,
    before: Catalog,
    after: Catalog,
    signed: tuple[bytes, str] | None,
    *,
    dry_run: bool,
    yes: bool,
) -> None:
    """`signed`: the list and its signature; None removes the installed one."""
    changes, path = catalog_changes(before, after), settings.home / UPDATE_FILE
    if not wants_json():
        _show(after, changes)
    applied = not dry_run and (signed is not None or path.exists())
    if applied and changes and not yes:
        if wants_json() or not sys.stdin.isatty():
            raise BadRequest("the changes must be confirmed", "Read them with --dry-run, then add --yes.")
        click.confirm("Change the catalog so?", abort=True, err=True)
    try:
        if applied and signed is not None:
            install_update(settings.home, *signed)
        elif applied:
            remove_update(settings.home)
    except OSError as why:
        raise ExternalFailure(f"{str(path)!r} cannot be written: {why.strerror}", "Check the folder.") from why
    noticed = asyncio.run(reload_running_server(settings)) if applied else False
    if wants_json():
        found = {"date": after.update.date or None, "source": after.update.source or None}
        write_json({**found, "changes": [asdict(each) for each in changes], "applied": applied, "noticed": noticed})
        return
    done = "nothing was changed" if not applied else "removed" if signed is None else "installed"
    click.echo(f"{done}{'; the running server has reloaded' if noticed else ''}")


def _show(after: Catalog, changes: tuple[CatalogChange, ...]) -> None:
    update = after.update
    click.echo(f"{update.source}, {update.date}" if update.date else "the packaged catalog")
    if not changes:
        click.echo("no difference to the catalog in use")
        return
    rows = [(each.kind, f"{each.name} {each.what}".strip(), each.before or "-", each.after or "-") for each in changes]
    write_table(("CHANGE", "OF", "BEFORE", "AFTER"), rows)
    click.echo("Costs that are booked stay as they are.")
