"""`sizewise doctor`: runs the checks of the files doctor_*.py and shows their results; fixes nothing."""

from __future__ import annotations

import asyncio

import click

from sizewise.cli.doctor_checks import CheckResult, run_checks
from sizewise.cli.doctor_files import check_files
from sizewise.cli.doctor_knowledge import check_knowledge
from sizewise.cli.doctor_prices import check_media_prices
from sizewise.cli.doctor_receivers import check_receivers
from sizewise.cli.doctor_records import check_records
from sizewise.cli.doctor_triggers import check_triggers
from sizewise.cli.doctor_web_search import check_web_search
from sizewise.cli.options import command_settings, local_options, wants_json
from sizewise.cli.output import write_json
from sizewise.errors import ConfigError
from sizewise.settings.load import Settings


@click.command()
@local_options
@click.pass_context
def doctor(ctx: click.Context) -> None:
    """Check this installation, and show the next step for each problem.

    Exits with 0 if all is well, else with 1. Contacts only the server of this machine,
    the shared database, and the search engine of [web_search].

    \b
    Example: sizewise doctor
    """
    findings = asyncio.run(_findings())
    well = all(each.well for each in findings)
    if wants_json():
        checks = [{"check": f.check, "ok": f.well, "found": f.found, "next": f.next} for f in findings]
        write_json({"ok": well, "checks": checks})
    else:
        width = max(len(each.check) for each in findings)
        for each in findings:
            _show(each, width)
    ctx.exit(0 if well else 1)


async def _findings() -> list[CheckResult]:
    settings, error, hint = _settings()
    found = await run_checks(settings, error, hint)
    if settings is None:
        return found
    found += [
        *check_media_prices(settings),
        *await check_knowledge(settings),
        *check_files(settings),
        *check_records(settings),
    ]
    found += check_receivers(settings)
    found += check_triggers(settings)
    return [*found, *await check_web_search(settings)]


def _settings() -> tuple[Settings | None, str, str]:
    """The settings, or the error in them and its hint, which the doctor reports too."""
    try:
        return command_settings(), "", ""
    except ConfigError as error:
        return None, error.message, error.hint


def _show(finding: CheckResult, width: int) -> None:
    """`width`: of the longest name of a check."""
    mark = click.style("well ", fg="green") if finding.well else click.style("wrong", fg="red", bold=True)
    lines = finding.found.replace("\n", "\n" + " " * (width + 7))
    click.echo(f"{mark}  {finding.check:<{width}}  {lines}")
    if not finding.well:
        click.echo(f"{'':<{width + 9}}next: {finding.next}")
