"""The folder of evals of a command: beside its settings; reads what sizewise/app/eval_folder.py reads."""

from __future__ import annotations

from pathlib import Path

import click

from sizewise.app.eval_folder import SUFFIXES, EvalFile, eval_names_in, find_eval, read_eval
from sizewise.cli.options import command_settings
from sizewise.cli.prompt_files import load_prompt
from sizewise.errors import BadRequest
from sizewise.flows.file_source import default_flows_folder


def evals_folder() -> Path:
    """`evals` beside the folder `flows`."""
    found = command_settings()
    return default_flows_folder(found.config_file, found.home).parent / "evals"


def eval_names() -> list[str]:
    return eval_names_in(evals_folder())


def load_eval(name: str) -> EvalFile:
    """A name in the folder, or a file anywhere. Raises BadRequest, with file, line and column."""
    given = Path(name)
    if given.suffix not in SUFFIXES:
        return find_eval(evals_folder(), name)
    if not given.is_file():
        raise BadRequest(f"there is no file {name!r}", "sizewise eval list shows the evals")
    return read_eval(given)


def prompt_version(found: EvalFile) -> str:
    """ID@VERSION of the target's prompt, as its file is now; empty: it has none. Raises BadRequest."""
    id = found.spec.target.prompt
    return f"{id}@{load_prompt(id).version}" if id else ""


def complete_eval(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return [each for each in eval_names() if each.startswith(incomplete)]
