"""`sizewise import promptfoo`, `openai-evals`, `langfuse` and `inspect`: evals of other programs to eval files."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypedDict, Unpack

import click
import msgspec

from sizewise.cli.dataset_files import write_lines
from sizewise.cli.eval_files import evals_folder
from sizewise.cli.options import local_options, refuse_options, wants_json
from sizewise.cli.output import format_count, write_file, write_json
from sizewise.errors import BadRequest
from sizewise.evals.imports.imported_eval import ImportedEval, ImportReport
from sizewise.evals.imports.inspect_log import import_inspect
from sizewise.evals.imports.langfuse_items import import_langfuse
from sizewise.evals.imports.openai_evals import import_openai_evals
from sizewise.evals.imports.promptfoo import import_promptfoo
from sizewise.evals.runs.eval_items import read_items
from sizewise.evals.runs.eval_spec import build_spec
from sizewise.flows.language.yaml_source import parse_yaml

Importer = Callable[[Path, str, str], ImportReport]
"""(file, name, judge's model)."""
_SLUG = re.compile(r"[^A-Za-z0-9_-]+")


class _Given(TypedDict):
    judge: str
    replace: bool
    dry_run: bool
    strict: bool


def _options(verb: Callable[..., int]) -> Callable[..., int]:
    for option in (
        click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False)),
        click.option("--name", help="Name of the eval. [from the file or its folder]"),
        click.option("--judge", default="auto", metavar="MODEL", help="The model that judges criteria. [auto]"),
        click.option("--replace", is_flag=True, help="Overwrite evals of the same name."),
        click.option("--dry-run", is_flag=True, help="Show what would be carried, and write nothing."),
        click.option("--strict", is_flag=True, help="Exit with 1 if anything is not carried."),
        local_options,
    ):
        verb = option(verb)
    return verb


@click.command()
@_options
def promptfoo(file: Path, name: str | None, **given: Unpack[_Given]) -> int:
    """Import evals from promptfoo.

    FILE is a promptfooconfig.yaml. Each prompt becomes an eval, each test an item. Files that it names are read inside
    its folder. JavaScript, Python and other code is never run; what is not carried is listed by file and line.

    \b
    Example: sizewise import promptfoo promptfooconfig.yaml
    """
    parse = partial(parse_yaml, allow_aliases=True)
    return _import(lambda path, name, judge: import_promptfoo(path, parse, name, judge), file, name, **given)


@click.command("openai-evals")
@_options
def openai_evals(file: Path, name: str | None, **given: Unpack[_Given]) -> int:
    """Import an eval from OpenAI.

    FILE is an exported eval with its rows (JSON), or samples as JSON lines or CSV with `input` and `ideal`.

    \b
    Example: sizewise import openai-evals samples.jsonl
    """
    return _import(import_openai_evals, file, name, **given)


@click.command()
@_options
def langfuse(file: Path, name: str | None, **given: Unpack[_Given]) -> int:
    """Import a data set from Langfuse.

    FILE holds its items as the API and the interface export them: JSON, JSON lines or CSV.

    \b
    Example: sizewise import langfuse items.json
    """
    refuse_options("with items of Langfuse, which have no criteria to judge", "judge")
    return _import(lambda path, name, judge: import_langfuse(path, name), file, name, **given)


@click.command("inspect")
@_options
def inspect_(file: Path, name: str | None, **given: Unpack[_Given]) -> int:
    """Import the samples of an Inspect log.

    FILE is an .eval or .json log. Each sample becomes one item, whatever its epochs.

    \b
    Example: sizewise import inspect logs/2026-11-28_task.eval
    """
    return _import(import_inspect, file, name, **given)


def _import(
    importer: Importer, file: Path, name: str | None, *, judge: str, replace: bool, dry_run: bool, strict: bool
) -> int:
    report = importer(file, _name(file, name), judge)
    for each in report.evals:
        build_spec({**each.spec, "data": f"{each.name}.jsonl"})
    folder = evals_folder()
    paths = {each.name: (folder / f"{each.name}.yaml", folder / f"{each.name}.jsonl") for each in report.evals}
    if not dry_run:
        for pair in paths.values():
            if not replace and (there := next((each for each in pair if each.exists()), None)):
                raise BadRequest(f"there is already {str(there)!r}", "use --replace, or another --name")
        for each in report.evals:
            _write(each, *paths[each.name])
    if wants_json():
        rows = [{"name": each.name, "items": len(each.items), "targets": list(each.targets)} for each in report.evals]
        notes = [{"file": each.file, "line": each.line, "message": each.message} for each in report.notes]
        counts = {"assertions": report.seen, "carried": report.carried, "dry_run": dry_run}
        write_json({"evals": rows, **counts, "not_carried": notes})
    else:
        _show(report, paths, dry_run)
    is_lacking = bool(report.notes) if strict else False
    return 1 if is_lacking or not report.evals else 0


def _name(file: Path, name: str | None) -> str:
    """A configuration is named after its folder."""
    found = name or (file.resolve().parent.name if file.stem.startswith("promptfooconfig") else file.stem)
    plain = _SLUG.sub("-", found).strip("-") or "imported"
    return plain if plain[0].isalpha() else f"eval-{plain}"


def _write(each: ImportedEval, spec: Path, data: Path) -> None:
    write_lines(data, each.items)
    read_items(data)
    lines = [f"# Imported. Run it: sizewise eval run {each.name}"]
    if len(each.targets) > 1:
        more = " ".join(f"--target {target}" for target in each.targets)
        lines.append(f"# It named several targets: sizewise eval run {each.name} {more}")
    fields = {"target": each.spec["target"], "data": data.name, "scorers": each.spec["scorers"]}
    lines += [f"{key}: {msgspec.json.encode(value).decode()}" for key, value in fields.items()]
    write_file(spec, "\n".join(lines) + "\n")


def _show(report: ImportReport, paths: dict[str, tuple[Path, Path]], dry_run: bool) -> None:
    for each in report.evals:
        where = "" if dry_run else f" in {paths[each.name][0]}"
        click.echo(f"{each.name}: {format_count(len(each.items))} items{where}")
    if report.seen:
        click.echo(f"{format_count(report.carried)} of {format_count(report.seen)} assertions are carried")
    for note in report.notes:
        click.echo(f"not carried: {note}", err=True)
    if dry_run:
        click.echo("Nothing was written (--dry-run).")
    elif report.evals:
        click.echo(f"Next: sizewise eval run {report.evals[0].name} --dry-run")
