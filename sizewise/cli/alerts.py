"""`sizewise alerts`: lists alerts, checks rules, tests receivers, and silences; evaluates nothing itself."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence

import click
import msgspec

from sizewise.cli import operations
from sizewise.cli.lazy_group import LazyCommand, LazyGroup
from sizewise.cli.options import api_client, server_options, wants_json
from sizewise.cli.output import dim, format_time, write_json, write_table
from sizewise.errors import BadRequest

COMMANDS: Mapping[str, LazyCommand] = {
    "list": LazyCommand("sizewise.cli.alerts:list_", "List rules, their states, and silences."),
    "check": LazyCommand("sizewise.cli.alerts:check", "Measure the rules now; send nothing."),
    "test": LazyCommand("sizewise.cli.alerts:test", "Send a test message to a receiver."),
    "silence": LazyCommand("sizewise.cli.alerts:silence", "Send nothing about a rule for some hours."),
    "unsilence": LazyCommand("sizewise.cli.alerts:unsilence", "End a silence."),
    "files": LazyCommand(
        "sizewise.cli.alerts_files:files", "Write Prometheus rules with alerts, and a Grafana dashboard, to a folder."
    ),
}
HOURS = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,2})?)([hdm]?)")
PER_UNIT: Mapping[str, float] = {"": 1.0, "h": 1.0, "d": 24.0, "m": 1 / 60}


@click.group(cls=LazyGroup, lazy_commands=COMMANDS, invoke_without_command=True)
@server_options
@click.pass_context
def alerts(ctx: click.Context) -> None:
    """Show alerts: list, check, test, silence, unsilence.

    Without a command it lists the rules of [alerts] and [slo] with their states.

    \b
    Example: sizewise alerts
    """
    if ctx.invoked_subcommand is None:
        _list()


@click.command("list")
@server_options
def list_() -> None:
    """List rules, their states, and silences.

    \b
    Example: sizewise alerts list
    """
    _list()


def _list() -> None:
    found = asyncio.run(operations.list_alerts(api_client()))
    if wants_json():
        write_json(msgspec.to_builtins({"alerts": found.alerts, "silences": found.silences}))
        return
    if not found.alerts:
        click.echo(dim("no rules; add an [alerts.NAME] table to sizewise.toml"), err=True)
        return
    write_table(("RULE", "STATE", "VALUE", "SINCE", "LABELS"), [row for rule in found.alerts for row in _rows(rule)])
    for each in found.silences:
        what = ", ".join(filter(None, (each.rule or "all rules", _labels(each.labels))))
        click.echo(
            f"silenced until {format_time(each.ends)} by {each.author}: {what}, {each.covers} series: {each.reason}"
            f" ({each.id})"
        )


def _rows(rule: operations.Alert) -> list[tuple[str, ...]]:
    if rule.problem or not rule.states:
        return [(rule.name, rule.problem or "no data", "", "", "")]
    return [
        (rule.name, _state(each), _value(each.value), format_time(each.since), _labels(each.labels) or each.reason)
        for each in rule.states
    ]


def _state(each: operations.AlertSeries) -> str:
    silenced = f", silenced until {format_time(each.silenced_until)}" if each.silenced_until else ""
    return f"{each.state}{f' ({each.severity})' if each.severity else ''}{silenced}"


@click.command()
@click.argument("rule", required=False)
@server_options
@click.pass_context
def check(ctx: click.Context, rule: str | None) -> None:
    """Measure the rules now; send nothing.

    Shows the present value of each series and whether it crosses a threshold. Exits with 1 if one does.

    \b
    Example: sizewise alerts check user-spend
    """
    found = asyncio.run(operations.check_alerts(api_client(), rule=rule))
    if wants_json():
        write_json(msgspec.to_builtins({"checks": found}))
    elif not found:
        click.echo(dim("no data"), err=True)
    else:
        write_table(
            ("RULE", "SEVERITY", "VALUE", "LABELS"),
            [(each.rule, each.severity or "ok", _value(each.value), _labels(each.labels)) for each in found],
        )
    ctx.exit(1 if any(each.severity for each in found) else 0)


@click.command()
@click.argument("receiver")
@server_options
@click.pass_context
def test(ctx: click.Context, receiver: str) -> None:
    """Send a test message to a receiver.

    The message is marked as a test. Shows what the receiver answered; exits with 1 if it did not take it.

    \b
    Example: sizewise alerts test ops
    """
    found = asyncio.run(operations.test_alert(api_client(), receiver=receiver))
    if wants_json():
        write_json(msgspec.to_builtins(found))
    elif found.delivered:
        click.echo(f"{receiver} took the test message")
    else:
        click.echo(f"{receiver} did not take the test message: {found.error}", err=True)
        click.echo(f"hint: {found.hint}", err=True)
    ctx.exit(0 if found.delivered else 1)


@click.command()
@click.argument("rule", required=False)
@click.option("--for", "duration", required=True, metavar="TIME", help="Duration, as 30m, 4h or 2d.")
@click.option("--reason", required=True, help="Why; it is in the audit log.")
@click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", help="Only series with this label.")
@server_options
def silence(rule: str | None, duration: str, reason: str, labels: Sequence[str]) -> None:
    """Send nothing about a rule for some hours.

    Without RULE it silences all rules. They are evaluated meanwhile; what still fires at the end is sent then.

    \b
    Example: sizewise alerts silence user-spend --for 4h --reason "load test"
    """
    wanted = dict(map(_label, labels))
    started = operations.silence_alert(api_client(), rule=rule, labels=wanted, hours=_hours(duration), reason=reason)
    found = asyncio.run(started)
    if wants_json():
        write_json(msgspec.to_builtins(found))
    else:
        click.echo(f"{found.id}: {found.covers} series are silenced until {format_time(found.ends)}")


@click.command()
@click.argument("id")
@server_options
def unsilence(id: str) -> None:
    """End a silence.

    \b
    Example: sizewise alerts unsilence silence_3f1c9a2b7d4e5f60
    """
    found = asyncio.run(operations.expire_silence(api_client(), id=id))
    if wants_json():
        write_json(msgspec.to_builtins(found))
    else:
        click.echo(f"{found.id} has ended")


def _label(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise BadRequest(f"{text[:60]!r} is not a label", "write it as NAME=VALUE")
    return name, value


def _hours(text: str) -> float:
    found = HOURS.fullmatch(text)
    if not found:
        raise BadRequest(f"--for {text[:20]!r} is not a duration", "write it as 30m, 4h or 2d")
    return float(found[1]) * PER_UNIT[found[2]]


def _labels(labels: Sequence[operations.Label]) -> str:
    return ", ".join(f"{each.name}={each.value or 'none'}" for each in labels)


def _value(value: float | None) -> str:
    """Dollars may be millionths: never as 1.8e-06."""
    if value is None:
        return "no data"
    return f"{value:.9f}".rstrip("0").rstrip(".") if abs(value) < 1 else f"{value:,.6g}"
