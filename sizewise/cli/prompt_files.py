"""The prompt files beside the flows: finds and reads them by id; needs no server."""

from __future__ import annotations

from pathlib import Path

import click

from sizewise.cli.options import command_settings
from sizewise.errors import BadRequest, did_you_mean
from sizewise.flows.file_source import default_flows_folder
from sizewise.flows.language.yaml_source import parse_yaml
from sizewise.prompts.prompt import PromptTemplate
from sizewise.prompts.prompt_library import PromptFile, list_prompt_ids, read_prompt


def prompts_folder() -> Path:
    """`prompts` beside the folder `flows`."""
    found = command_settings()
    return default_flows_folder(found.config_file, found.home).parent / "prompts"


def prompt_files() -> list[PromptFile]:
    folder = prompts_folder()
    return [read_prompt(folder, id, parse_front_matter) for id in list_prompt_ids(folder)]


def find_prompt_file(id: str) -> PromptFile:
    """Raises BadRequest."""
    folder = prompts_folder()
    known = list_prompt_ids(folder)
    if id not in known:
        hint = did_you_mean(id, known) or f"write the file {folder / f'{id[:60]}.md'}"
        raise BadRequest(f"there is no prompt {id[:60]!r} in {str(folder)!r}", hint)
    return read_prompt(folder, id, parse_front_matter)


def load_prompt(id: str) -> PromptTemplate:
    """Raises BadRequest, with file and line."""
    file = find_prompt_file(id)
    if file.prompt is None:
        assert file.error is not None
        raise BadRequest(f"{file.path}: {file.error.message}", file.error.hint)
    return file.prompt


def complete_prompt(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return [each for each in list_prompt_ids(prompts_folder()) if each.startswith(incomplete)]


def parse_front_matter(text: str) -> object:
    return parse_yaml(text).data
