"""`sizewise doctor`: runs the checks of checks.py and shows what each found; mends nothing."""

from __future__ import annotations

import asyncio

import click

from sizewise.cli.doctor_checks import Finding, everything
from sizewise.cli.options import placed, settings, wants_json
from sizewise.cli.output import write_json
from sizewise.errors import ConfigError
from sizewise.settings.load import Settings


@click.command()
@placed
@click.pass_context
def doctor(ctx: click.Context) -> None:
    """What is wrong with this installation, and the next step.

    Ends with 0 when all is well, with 1 when something is not. Asks nobody but the server of this machine.

    \b
    Example: sizewise doctor
    """
    findings = asyncio.run(everything(*_settings()))
    well = all(each.well for each in findings)
    if wants_json():
        checks = [{"check": f.check, "well": f.well, "found": f.found, "next": f.next} for f in findings]
        write_json({"well": well, "checks": checks})
    else:
        for each in findings:
            _show(each)
    ctx.exit(0 if well else 1)


def _settings() -> tuple[Settings | None, str, str]:
    """The settings, or what is wrong with them and the next step: that too is for the doctor to tell."""
    try:
        return settings(), "", ""
    except ConfigError as error:
        return None, error.message, error.hint


def _show(finding: Finding) -> None:
    mark = click.style("well ", fg="green") if finding.well else click.style("wrong", fg="red", bold=True)
    click.echo(f"{mark}  {finding.check:<9} {finding.found}")
    if not finding.well:
        click.echo(f"{'':<17}next: {finding.next}")
