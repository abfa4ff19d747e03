"""`sizewise edge dev`: runs the Worker of the folder's release here, in workerd, with local doubles of KV and cache."""

from __future__ import annotations

import secrets
import shutil
import sys
from pathlib import Path

import click

from sizewise.auth.authenticator import digest
from sizewise.catalog.loader import load_cards
from sizewise.cli.edge_build import FOLDER, compile_folder, write_files
from sizewise.cli.options import command_settings, local_options, wants_json
from sizewise.cli.output import write_json
from sizewise.edge.local_worker import CONFIG, local_files
from sizewise.edge.worker_folder import folder_files
from sizewise.errors import BadRequest
from sizewise.process import become
from sizewise.releases.folder_release import project_folder
from sizewise.settings.load import resolve_secret

PORT = 8787
PLACES = ("node_modules/.bin/workerd", "edge/node_modules/.bin/workerd")
BINARY = "@cloudflare/workerd-linux-64/bin/workerd"


@click.command()
@click.option("--port", type=click.IntRange(1, 65_535), default=PORT, show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--workerd", type=click.Path(path_type=Path, dir_okay=False), help="The program; else that of PATH or npm."
)
@local_options
def dev(port: int, host: str, workerd: Path | None) -> None:
    """Run that Worker on this machine, in workerd.

    The key is SIZEWISE_KEY, or a new one that is printed. Secrets of providers come from the environment, under the
    names that the settings give them. KV, cache and Workers AI are local doubles.

    \b
    Example: sizewise edge dev --port 8787
    """
    settings = command_settings()
    program = _program(workerd)
    cards = load_cards(settings)
    compiled = compile_folder(settings, cards)
    for name in compiled.secrets:
        resolve_secret(f"env:{name}")  # raises now, instead of at the first request
    key = settings.api_key or f"sk-edge-{secrets.token_hex(12)}"
    folder = project_folder(settings) / FOLDER
    keys = {digest(key).hex(): dev_caller()}
    write_files(folder, {**folder_files(compiled, settings.edge), **local_files(compiled, cards, keys, host, port)})
    shown = "" if settings.api_key else key
    if wants_json():
        write_json({"url": f"http://{host}:{port}", "key": shown or None, "release": compiled.data["hash"]})
    else:
        click.echo(f"Worker of {compiled.data['hash'][:12]} on http://{host}:{port}/v1")
        if shown:
            click.echo(f"key: {key}")
    sys.stdout.flush()
    become([program, "serve", "--experimental", str(folder / CONFIG)])


def dev_caller() -> dict[str, object]:
    """What KV holds of the key of `edge dev`: it may ask."""
    return {
        "id": "dev",
        "tenant": "local",
        "project": "default",
        "dataClass": None,
        "permissions": ["ask"],
        "expires": None,
        "models": [],
        "policies": [],
        "endpoints": [],
    }


def _program(given: Path | None) -> str:
    """Raises BadRequest."""
    if given is not None:
        return str(given)
    found = shutil.which("workerd")
    for place in PLACES:
        near = Path(place).resolve()
        native = near.parents[1] / BINARY if near.name == "workerd" else near
        for each in (Path(place).parents[1] / BINARY, native):
            if found is None and each.is_file():
                found = str(each.resolve())
    if found is None:
        raise BadRequest("workerd is not here", "get it from npm: npm install workerd, or give --workerd PATH")
    return found
