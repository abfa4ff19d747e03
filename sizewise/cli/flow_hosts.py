"""The hosts that flows call, as `sizewise flow check` shows them, with settings to paste; finds none itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click

from sizewise.cli.output import write_table
from sizewise.flows.host_requirements import HostRequirement, Hosts, missing_grants, unknown_urls

Called = Mapping[str, Sequence[HostRequirement]]
"""By flow."""
UNKNOWN = "known only when it runs"


def host_report(called: Called, hosts: Hosts) -> dict[str, object]:
    """For scripts: each host once, and the settings that allow what is missing; empty if nothing is."""
    rows = [
        {"url": url, "name": name, "allowed": allowed, "methods": sorted(methods), "flows": sorted(flows)}
        for (url, name, allowed), (methods, flows) in _by_host(called).items()
    ]
    return {"hosts": rows, "settings": _settings(called, hosts)}


def print_hosts(called: Called, hosts: Hosts) -> None:
    """Nothing where no flow calls a host."""
    found = _by_host(called)
    if not found:
        return
    click.echo()
    rows = [
        (url or (UNKNOWN if not name else "-"), ", ".join(sorted(methods)), _state(name, allowed), _flows(flows))
        for (url, name, allowed), (methods, flows) in found.items()
    ]
    write_table(("HOST", "METHODS", "IN THE SETTINGS", "CALLED BY"), rows)
    if settings := _settings(called, hosts):
        click.echo("\nThese hosts are not allowed yet. To allow them, add to sizewise.toml of the server:\n")
        click.echo(settings, nl=False)
    if any(True for each in called.values() for _ in unknown_urls(each)):
        click.echo("\nA URL that is known only when its flow runs must be below one of the hosts in the settings.")


def _by_host(called: Called) -> dict[tuple[str, str, bool], tuple[set[str], set[str]]]:
    """URL, name and whether it is allowed -> methods and flows."""
    found: dict[tuple[str, str, bool], tuple[set[str], set[str]]] = {}
    for flow, required in called.items():
        for each in required:
            methods, flows = found.setdefault((each.url, each.name, each.allowed), (set(), set()))
            methods.add(each.method)
            flows.add(flow)
    return found


def _settings(called: Called, hosts: Hosts) -> str:
    required = [each for its in called.values() for each in its]
    return "\n".join(grant.settings for grant in missing_grants(required, hosts))


def _state(name: str, allowed: bool) -> str:
    return f"[hosts.{name}]" if allowed else f"[hosts.{name}] is missing" if name else "not allowed"


def _flows(flows: set[str]) -> str:
    first, *more = sorted(flows)
    return f"{first} and {len(more)} more" if more else first
