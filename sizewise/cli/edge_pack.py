"""`sizewise edge pack`: one archive of the folder with which a small machine answers offline; uploads nothing."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from sizewise import __version__
from sizewise.catalog.loader import is_downloaded, local_card, local_cards
from sizewise.cli.api_client import ApiClient
from sizewise.cli.options import api_client_or_none, command_settings, server_options, wants_json
from sizewise.cli.output import write_json
from sizewise.edge.machine_pack import (
    HOME,
    MODELS,
    PackManifest,
    machine_settings,
    requirement,
    write_pack,
)
from sizewise.errors import BadRequest, ExternalFailure
from sizewise.model_card import ModelCard
from sizewise.releases.edges.offer import SignedOffer
from sizewise.releases.folder_release import build_release, project_folder
from sizewise.settings.load import Settings, read_settings_file


@click.command()
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), default=Path("sizewise-edge.tar.gz"), help="File."
)
@click.option("--model", "models", multiple=True, metavar="NAME", help="Local model whose weights go in; repeatable.")
@click.option("--gate", multiple=True, metavar="EVAL", help="Eval that a later release must pass there; repeatable.")
@click.option("--origin", metavar="URL", help="URL of the gateway as the machine reaches it. [origin in [edge]]")
@click.option(
    "--wheels",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Folder of wheels for the machine, as from: pip download -d FOLDER 'sizewise[local,flows,learn]'.",
)
@server_options
def pack(out: Path, models: tuple[str, ...], gate: tuple[str, ...], origin: str | None, wheels: Path | None) -> None:
    """Write an archive with which a small machine answers offline.

    It has the folder's flows, prompts and evals, the tables of sizewise.toml that answer, and the weights of each
    --model; no secret, and no setting of this server. With a running gateway it has the public key of its releases.

    \b
    Example: sizewise edge pack --model smollm2-135m --gate counter
    """
    settings = command_settings()
    release, root = build_release(settings), project_folder(settings)
    text = machine_settings((read_settings_file(settings) or b"").decode(), _known_evals(root, gate))
    chosen = [_with_weights(name, settings) for name in models]
    _require_this_version(wheels)
    lacking = sorted(set(release.manifest.requires.models) & _local_names(settings) - {each.name for each in chosen})
    server = api_client_or_none()
    manifest = PackManifest(
        release=release.manifest.hash,
        version=__version__,
        origin=origin or settings.edge.origin,
        release_key=asyncio.run(_release_key(server)) if server is not None else "",
        files={},
    )
    try:
        partial = out.with_name(f".{out.name}.new")
        with partial.open("wb") as target:
            made = write_pack(target, settings, text, root, chosen, wheels, lacking, manifest)
        os.replace(partial, out)
    except OSError as error:
        raise ExternalFailure(f"the archive cannot be written: {error.strerror}", "give another --out") from error
    gaps = [
        *(f"without the weights of {name}: add --model {name}" for name in lacking),
        *_gaps(made, settings, gate, has_wheels=wheels is not None),
    ]
    if wants_json():
        content = msgspec.to_builtins(made)
        write_json({"file": str(out), "bytes": out.stat().st_size, **content, "lacking": lacking, "gaps": gaps})
        return
    click.echo(f"{out}: {out.stat().st_size / 1e6:.1f} MB, {len(made.files)} files, release {made.release[:12]}")
    for gap in gaps:
        click.echo(f"  {gap}")
    click.echo("On the machine: tar xf it, and read README.txt")


def _gaps(made: PackManifest, settings: Settings, gate: tuple[str, ...], *, has_wheels: bool) -> Iterator[str]:
    """What the archive lacks, each with the next step."""
    if not any(name.startswith(f"{MODELS}/") for name in made.files) and not settings.providers:
        yield "no model: the machine can answer nothing; add --model NAME (sizewise models lists them)"
    if not any(name.startswith(f"{HOME}/{folder}/") for name in made.files for folder in ("flows", "prompts")):
        yield f"no flow and no prompt in {str(project_folder(settings))!r}: sizewise flow new NAME"
    if not gate:
        yield "no eval: a later release is taken unseen; make one (sizewise eval new NAME), and add --gate NAME"
    if not has_wheels:
        yield f"no Python packages: the machine installs them from its index; pip download -d FOLDER '{requirement()}'"
    if not made.origin:
        yield "no gateway: give --origin URL, or the machine names it in `edge join --origin`"
    if not made.release_key:
        yield "no key of a gateway: the machine will take no releases by itself; pack beside one with a live release"


def _require_this_version(wheels: Path | None) -> None:
    if wheels is not None and not any(wheels.glob(f"sizewise-{__version__}-*.whl")):
        raise BadRequest(
            f"{str(wheels)!r} has no wheel of sizewise {__version__}", f"pip download -d {wheels} '{requirement()}'"
        )


def _known_evals(root: Path, names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if not (root / "evals" / f"{name}.yaml").is_file():
            raise BadRequest(
                f"there is no eval {name!r} in {str(root / 'evals')!r}", "make one: sizewise eval new NAME"
            )
    return names


def _with_weights(name: str, settings: Settings) -> ModelCard:
    card = local_card(name, settings)
    if card.weights is None or not is_downloaded(card.weights, settings.cache_dir):
        raise BadRequest(f"the weights of {card.name} are not here", f"fetch them: sizewise models pull {card.model}")
    return card


def _local_names(settings: Settings) -> set[str]:
    return {card.name for card in local_cards(settings)}


async def _release_key(server: ApiClient) -> str:
    """Empty: the gateway has no environment with a release yet."""
    status, body = await server.get("/edge/release")
    return msgspec.json.decode(body, type=SignedOffer).key if status == 200 else ""
