"""`sizewise tune setup`: makes the training environment, after its size was said; installs nothing beside Sizewise."""

from __future__ import annotations

import asyncio

import click
import msgspec

from sizewise.cli.options import command_settings, local_options, wants_json
from sizewise.cli.output import write_json
from sizewise.cli.status_line import status_line
from sizewise.errors import BadRequest
from sizewise.settings.load import inherited_environment
from sizewise.tuning.environment import (
    CPU_BYTES,
    CPU_DOWNLOAD,
    GPU_BYTES,
    GPU_DOWNLOAD,
    environment_folder,
    make_environment,
)


@click.command()
@click.option("--gpu", is_flag=True, help="Install the build for GPUs. [a build for CPUs]")
@click.option("--python", default="", metavar="PATH", help="Make it with this Python. [the one of Sizewise]")
@click.option("--index", default="", metavar="URL", help="A package index with builds of PyTorch, besides pip's own.")
@click.option("--yes", is_flag=True, help="Install without being asked.")
@local_options
def setup(gpu: bool, python: str, index: str, yes: bool) -> None:
    """Install PyTorch in an environment of its own.

    It lies in the cache folder. Sizewise itself never imports it.

    \b
    Example: sizewise tune setup --python python3.11
    """
    found = command_settings()
    size, download = (GPU_BYTES, GPU_DOWNLOAD) if gpu else (CPU_BYTES, CPU_DOWNLOAD)
    folder = environment_folder(found.cache_dir)
    click.echo(f"PyTorch for {'GPUs' if gpu else 'CPUs'}, transformers and PEFT: {download} to download", err=True)
    click.echo(f"{size / 1e9:.1f} GB on disk, in {folder}", err=True)
    if not yes:
        if wants_json():
            raise BadRequest("the installation must be confirmed", "add --yes")
        click.confirm("Install it?", abort=True, err=True)
    env = inherited_environment(lambda name: not name.startswith(("SIZEWISE_", "PYTHON")))
    with status_line() as status:
        made = asyncio.run(
            make_environment(found.cache_dir, env, python=python, index=index, gpu=gpu, progress=status.show)
        )
    if wants_json():
        write_json(msgspec.to_builtins(made))
    else:
        click.echo("ready: " + ", ".join(f"{name} {version}" for name, version in made.versions.items()))
