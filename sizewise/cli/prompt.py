"""`sizewise prompt`: list, check, show and render the prompt files of the folder, without a server; and publish one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click
import msgspec

from sizewise.cli.lazy_group import LazyCommand, LazyGroup
from sizewise.cli.options import local_options, wants_json
from sizewise.cli.output import write_json, write_table
from sizewise.cli.prompt_files import complete_prompt, find_prompt_file, load_prompt, prompt_files, prompts_folder
from sizewise.errors import BadRequest
from sizewise.prompts.prompt import PromptTemplate
from sizewise.prompts.prompt_library import PromptFile

SHORT = 12
"""Digits of a version in a table."""

COMMANDS: Mapping[str, LazyCommand] = {
    "list": LazyCommand("sizewise.cli.prompt:list_", "List the prompts of the folder."),
    "show": LazyCommand("sizewise.cli.prompt:show", "Show a prompt: its version, its variables and its text."),
    "check": LazyCommand("sizewise.cli.prompt:check", "Report all errors in prompts; exits with 1 if there are any."),
    "publish": LazyCommand("sizewise.cli.prompt_publish:publish", "Publish a prompt on the server."),
    "render": LazyCommand("sizewise.cli.prompt:render", "Print a prompt with values of its variables."),
}


@click.group(cls=LazyGroup, lazy_commands=COMMANDS, invoke_without_command=True)
@local_options
@click.pass_context
def prompt(ctx: click.Context) -> None:
    """Manage prompts as files: list, show, check, render, publish.

    A prompt is a file in the folder `prompts` next to sizewise.toml; its id is its name. Without a command it lists
    them.

    \b
    Example: sizewise prompt
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(COMMANDS["list"].load())


@click.command("list")
@local_options
def list_() -> None:
    """List the prompts of the folder.

    \b
    Example: sizewise prompt list --json
    """
    found = prompt_files()
    if wants_json():
        write_json({"prompts": [_summary(each) for each in found]})
        return
    if not found:
        click.echo(f"There is no prompt in {prompts_folder()}. Write one: NAME.md")
        return
    rows = [
        (
            each.id,
            each.prompt.version[:SHORT] if each.prompt is not None else "",
            " ".join(each.prompt.variables) if each.prompt is not None else "",
            _remark(each),
        )
        for each in found
    ]
    write_table(("PROMPT", "VERSION", "VARIABLES", ""), rows)


def _remark(file: PromptFile) -> str:
    if file.prompt is not None:
        return file.prompt.description
    return "" if file.error is None else f"error: {file.error.message}"


@click.command()
@click.argument("id", shell_complete=complete_prompt)
@local_options
def show(id: str) -> None:
    """Show a prompt: its version, its variables and its text.

    \b
    Example: sizewise prompt show answer
    """
    found = load_prompt(id)
    if wants_json():
        write_json(_details(found))
        return
    click.echo(f"{found.id}@{found.version}")
    if found.description:
        click.echo(found.description)
    for name, each in found.variables.items():
        needed = "required" if each.is_required else f"default {msgspec.json.encode(each.default).decode()}"
        click.echo(f"  {name}: {each.type}, {needed}{f': {each.description}' if each.description else ''}")
    click.echo(f"\n{found.text}")


@click.command()
@click.argument("ids", nargs=-1, metavar="[ID]...", shell_complete=complete_prompt)
@local_options
@click.pass_context
def check(ctx: click.Context, ids: Sequence[str]) -> None:
    """Report all errors in prompts; exits with 1 if there are any.

    \b
    Example: sizewise prompt check
    """
    found = [find_prompt_file(each) for each in ids] or prompt_files()
    if wants_json():
        write_json({"prompts": [_summary(each) for each in found]})
    else:
        for each in found:
            if each.error is not None:
                click.echo(f"{each.path}: {each.error.message}")
                click.echo(f"  {each.error.hint}")
            for name in each.prompt.unused if each.prompt is not None else ():
                click.echo(f"{each.path}: warning: the variable {name!r} is not used")
        wrong = sum(each.error is not None for each in found)
        click.echo(f"{len(found)} {'prompt' if len(found) == 1 else 'prompts'} checked, {wrong} with errors")
    ctx.exit(1 if any(each.error is not None for each in found) else 0)


@click.command()
@click.argument("id", shell_complete=complete_prompt)
@click.option("-v", "--var", "values", multiple=True, metavar="NAME=VALUE", help="Value of a variable; repeatable.")
@local_options
def render(id: str, values: Sequence[str]) -> None:
    """Print a prompt with values of its variables.

    Values are JSON, except those of text variables.

    \b
    Example: sizewise prompt render answer --var customer=Ann --var count=3
    """
    found = load_prompt(id)
    text = found.render(dict(_value(found, each) for each in values))
    if wants_json():
        write_json({"id": found.id, "version": found.version, "role": found.role, "text": text})
        return
    click.echo(text)


def _value(found: PromptTemplate, said: str) -> tuple[str, Any]:
    name, equals, value = said.partition("=")
    if not equals:
        raise BadRequest(f"{said[:60]!r} is not NAME=VALUE", f"such as --var {said[:20]}=VALUE")
    variable = found.variables.get(name)
    if variable is None or variable.type == "text":
        return name, value
    try:
        return name, msgspec.json.decode(value)
    except msgspec.DecodeError as error:
        raise BadRequest(f"the value of {name!r} is not JSON", f"its type is {variable.type}") from error


def _summary(file: PromptFile) -> dict[str, object]:
    error = None if file.error is None else {"line": file.error.line, "message": file.error.message}
    if file.prompt is None:
        return {"id": file.id, "file": str(file.path), "version": "", "error": error}
    return {"id": file.id, "file": str(file.path), **_details(file.prompt), "unused": file.prompt.unused, "error": None}


def _details(found: PromptTemplate) -> dict[str, object]:
    return {
        "id": found.id,
        "version": found.version,
        "description": found.description,
        "model": found.model,
        "policy": found.policy,
        "role": found.role,
        "variables": {
            name: {
                "type": each.type,
                "required": each.is_required,
                **({} if each.is_required else {"default": each.default}),
                "description": each.description,
            }
            for name, each in found.variables.items()
        },
        "text": found.text,
    }
