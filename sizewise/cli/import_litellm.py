"""`sizewise import litellm`: the configuration of a LiteLLM proxy to a settings file, with a report on every line."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from functools import partial
from pathlib import Path

import click

from sizewise.cli.options import as_json, wants_json
from sizewise.cli.output import write_file, write_json
from sizewise.errors import BadRequest
from sizewise.flows.language.yaml_source import parse_yaml
from sizewise.migration.litellm import ImportedSettings, import_litellm
from sizewise.migration.migration_report import OUTCOMES, ReportLine
from sizewise.settings.load import inherited_environment, load_settings

SHOWN = ("changed", "refused")


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), default="sizewise.toml", help="[sizewise.toml]")
@click.option("--replace", is_flag=True, help="Overwrite the settings file.")
@click.option("--dry-run", is_flag=True, help="Print the settings and the report, and write nothing.")
@click.option("--all", "everything", is_flag=True, help="Report the lines that are carried, too.")
@click.option("--strict", is_flag=True, help="Exit with 1 if any line is refused.")
@as_json
def litellm(file: Path, out: Path, replace: bool, dry_run: bool, everything: bool, strict: bool) -> int:
    """Import the configuration of a LiteLLM proxy.

    FILE is its config.yaml. Models, names, fallbacks, limits, budgets, cache, guardrails and MCP servers become
    settings; each line that is changed or refused is listed with the reason. Keys are written by reference alone, and
    no code is run. Addresses that the file reads from the environment are read from yours.

    \b
    Example: sizewise import litellm config.yaml
    """
    environ = inherited_environment(lambda name: True)
    found = import_litellm(file, partial(parse_yaml, allow_aliases=True), environ)
    load_settings(config=out, content=found.text.encode())
    if not dry_run:
        if out.exists() and not replace:
            raise BadRequest(f"there is already {str(out)!r}", "use --replace, another --out, or --dry-run")
        write_file(out, found.text)
    missing = [name for name in found.variables if not environ.get(name)]
    if wants_json():
        shown: dict[str, object] = {"models": found.models}
        shown.update((each, sum(line.outcome == each for line in found.lines)) for each in OUTCOMES)
        shown |= {"lines": [asdict(each) for each in found.lines]}
        shown |= {"variables": list(found.variables), "missing_variables": missing}
        write_json({**shown, "settings": found.text, "out": None if dry_run else str(out)})
    else:
        _show(found, OUTCOMES if everything else SHOWN, out, dry_run, missing)
    return int(strict and any(each.outcome == "refused" for each in found.lines))


def _show(found: ImportedSettings, outcomes: tuple[str, ...], out: Path, dry_run: bool, missing: list[str]) -> None:
    if dry_run:
        click.echo(found.text)
    for outcome in outcomes:
        for each in (line for line in found.lines if line.outcome == outcome):
            click.echo(_line(each))
    counts = Counter(each.outcome for each in found.lines)
    click.echo(f"{found.models} models. Lines: {', '.join(f'{counts[each]} {each}' for each in OUTCOMES)}")
    if missing:
        click.echo(f"Set before you start it: {', '.join(missing)}")
    if dry_run:
        click.echo("Nothing was written (--dry-run).")
    else:
        click.echo(f"Written: {out}. Declare the place of servers of your own in it, then: sizewise up --config {out}")


def _line(each: ReportLine) -> str:
    return f"{each.outcome}: {each.file}:{each.line}: {each.key}: {each.message}"
